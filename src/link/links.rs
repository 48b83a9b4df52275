//! The handle of all links: opens paths, replaces rules, reads counters.
//!
//! *Path*: who dials whom, and where the dialled node really listens. A connection on a path
//! carries data of two links, one in each direction; each obeys the rules of its own link.
//!
//! All proxying happens on one thread of its own, so that neither load nor judging disturbs it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, LocalSet};

use super::board::{Blow, Board};
use super::counters::Counters;
use super::gate::{Gate, PathState};
use super::probe::ListenProbe;
use super::rule::{DropLayer, Endpoint, LinkId, Rule};
use crate::alarm::Timer;
use crate::id::NodeId;
use crate::seed::Seed;

/// Who dials whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Who dials.
    pub dialer: Endpoint,
    /// Who is dialled.
    pub target: NodeId,
    /// Where the target really listens.
    pub upstream: SocketAddr,
    /// What the streams consist of.
    pub framing: Framing,
}

/// What the streams of a path consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Nothing is known.
    Opaque,
    /// Messages `[u32 big-endian length][body]` in both directions.
    LengthPrefixed,
}

/// The target of the self-test, which is no member of any cluster: their numbers begin at 1.
pub(super) const NOBODY: NodeId = NodeId(0);

/// Rules that cannot be obeyed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// Frames are to be dropped where nobody knows what a frame is.
    #[error("frames of {0} cannot be dropped: its protocol is not framed; use `layer: stall`")]
    NotFramed(LinkId),
    /// Frames are to come twice, or in another order, where nobody knows what a frame is.
    #[error("frames of {link} cannot be {what}: its protocol is not framed")]
    NoFrames {
        /// Of which link.
        link: LinkId,
        /// What was asked: `duplicated` or `reordered`.
        what: &'static str,
    },
    /// Packets are to be dropped where there are streams.
    #[error("packets of {0} cannot be dropped by a proxy, which has streams: use `layer: stall`")]
    NotPackets(LinkId),
    /// A loss, or another share, is no probability.
    #[error("{link} cannot lose, or harm, {loss} of its data: a share is between 0 and 1")]
    NotAProbability {
        /// Of which link.
        link: LinkId,
        /// What was asked.
        loss: f64,
    },
    /// A throttle that lets nothing through.
    #[error("{0} cannot be throttled to 0 bytes per second: cut it instead")]
    NoRate(LinkId),
    /// The thread of the links is gone.
    #[error("the links are closed")]
    Closed,
}

/// The handle of all links. Dropping it closes all connections.
#[derive(Debug)]
pub struct Links {
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Command {
    Open(Path, SocketAddr, oneshot::Sender<io::Result<SocketAddr>>),
    Close(SocketAddr),
    SetRules(
        BTreeMap<LinkId, Vec<Rule>>,
        oneshot::Sender<Result<(Landing, Crossed), RuleError>>,
    ),
    SetRunning(NodeId, bool),
    Strike(
        Blow,
        BTreeSet<LinkId>,
        oneshot::Sender<(usize, mpsc::UnboundedReceiver<()>)>,
    ),
    Counters(oneshot::Sender<BTreeMap<LinkId, Counters>>),
}

/// Resolves when rules have landed.
type Landing = oneshot::Receiver<()>;

/// What crossed each link so far.
type Crossed = BTreeMap<LinkId, Counters>;

impl Links {
    /// Starts the thread on which all links live. `seed` decides the fates of frames and segments.
    ///
    /// # Errors
    /// If no thread or runtime can be had.
    pub fn start(seed: Seed) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let timer = {
            let _inside = runtime.enter();
            Timer::new()?
        };
        let (commands, inbox) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("links".to_owned())
            .spawn(move || {
                let local = LocalSet::new();
                local.block_on(&runtime, Hub::new(seed, timer).run(inbox));
            })?;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Opens a path on a port of 127.0.0.1 that the kernel chooses, and returns the address that
    /// its dialer must dial. The target counts as not running until [`Links::set_running`] says
    /// otherwise, so dials are refused at first.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn open(&self, path: Path) -> io::Result<SocketAddr> {
        self.open_at(path, SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
    }

    /// As [`Links::open`], at this address; for port 0 the kernel chooses one.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn open_at(&self, path: Path, address: SocketAddr) -> io::Result<SocketAddr> {
        let (sender, answer) = oneshot::channel();
        self.send(Command::Open(path, address, sender));
        answer
            .await
            .map_err(|_| io::Error::other(RuleError::Closed))?
    }

    /// Closes the path with this address and resets nothing: its connections end as if both
    /// sides had closed.
    pub fn close(&self, address: SocketAddr) {
        self.send(Command::Close(address));
    }

    /// Replaces all rules; a link that is not in `rules` passes everything. Live and new
    /// connections of all links switch at the same instant. Returns when every connection and
    /// every listener has seen the new rules, and what had crossed each link at that instant.
    ///
    /// # Errors
    /// If a rule cannot be obeyed: then nothing has changed.
    pub async fn set_rules(
        &self,
        rules: BTreeMap<LinkId, Vec<Rule>>,
    ) -> Result<BTreeMap<LinkId, Counters>, RuleError> {
        let (sender, answer) = oneshot::channel();
        self.send(Command::SetRules(rules, sender));
        let (landing, crossed) = answer.await.map_err(|_| RuleError::Closed)??;
        landing.await.map_err(|_| RuleError::Closed)?;
        Ok(crossed)
    }

    /// Tells that the process of `target` was started or is gone. Started: its paths open as soon
    /// as it listens. Gone: its paths refuse dials from now on.
    pub fn set_running(&self, target: NodeId, running: bool) {
        self.send(Command::SetRunning(target, running));
    }

    /// Resets, at both ends, every connection that carries data of one of `links` in either
    /// direction, whatever their rules. Returns how many, once both ends of each are closed. New
    /// connections are as good as before.
    ///
    /// # Errors
    /// If the links are closed.
    pub async fn reset(&self, links: &[LinkId]) -> Result<usize, RuleError> {
        self.strike(Blow::Reset, links).await
    }

    /// Leaves every connection that carries data of one of `links` in either direction half open:
    /// who was dialled sees a reset, who dialled hears nothing, and what it sends vanishes.
    /// Returns how many, once this is so.
    ///
    /// # Errors
    /// If the links are closed.
    pub async fn half_open(&self, links: &[LinkId]) -> Result<usize, RuleError> {
        self.strike(Blow::HalfOpen, links).await
    }

    async fn strike(&self, blow: Blow, links: &[LinkId]) -> Result<usize, RuleError> {
        let (sender, answer) = oneshot::channel();
        self.send(Command::Strike(
            blow,
            links.iter().copied().collect(),
            sender,
        ));
        let (struck, mut landing) = answer.await.map_err(|_| RuleError::Closed)?;
        // Nothing is ever sent: it ends when the last strike has landed.
        while landing.recv().await.is_some() {}
        Ok(struck)
    }

    /// What crossed each link so far.
    ///
    /// # Errors
    /// If the links are closed.
    pub async fn counters(&self) -> Result<BTreeMap<LinkId, Counters>, RuleError> {
        let (sender, answer) = oneshot::channel();
        self.send(Command::Counters(sender));
        answer.await.map_err(|_| RuleError::Closed)
    }

    /// A command to a thread that is gone is answered by its dropped sender.
    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}

/// The owner of all paths, on the links thread.
struct Hub {
    board: Rc<Board>,
    probe: Rc<RefCell<ListenProbe>>,
    paths: BTreeMap<SocketAddr, (Rc<PathState>, AbortHandle)>,
    running: BTreeMap<NodeId, bool>,
}

impl Hub {
    fn new(seed: Seed, timer: Timer) -> Self {
        Self {
            board: Board::new(seed, timer),
            probe: Rc::default(),
            paths: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        tokio::task::spawn_local(Rc::clone(&self.board.alarm).ring());
        while let Some(command) = inbox.recv().await {
            self.obey(command);
        }
    }

    /// Answers go to senders whose receiver may have lost interest: that is no error.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Open(path, address, answer) => {
                let _ = answer.send(self.open(path, address));
            }
            Command::Close(address) => {
                if let Some((_, gate)) = self.paths.remove(&address) {
                    gate.abort();
                }
            }
            Command::SetRules(rules, answer) => {
                let _ = answer.send(self.set_rules(&rules));
            }
            Command::SetRunning(target, running) => {
                self.running.insert(target, running);
                for (state, _) in self.paths.values() {
                    if state.path.target == target {
                        state.set_running(running);
                    }
                }
            }
            Command::Strike(blow, links, answer) => {
                let _ = answer.send(self.board.strike(blow, &links));
            }
            Command::Counters(answer) => {
                let _ = answer.send(self.crossed());
            }
        }
    }

    fn open(&mut self, path: Path, address: SocketAddr) -> io::Result<SocketAddr> {
        let state = Rc::new(PathState::new(path));
        state.set_running(self.running.get(&path.target).copied().unwrap_or(false));
        let (gate, address) = Gate::new(&self.board, &self.probe, &state, address)?;
        let task = tokio::task::spawn_local(gate.serve());
        self.paths.insert(address, (state, task.abort_handle()));
        Ok(address)
    }

    /// What crossed each link that a fault can strike.
    fn crossed(&self) -> Crossed {
        let mut counters = self.board.counters();
        counters.retain(|link, _| !link.touches(NOBODY));
        counters
    }

    fn set_rules(
        &self,
        rules: &BTreeMap<LinkId, Vec<Rule>>,
    ) -> Result<(Landing, Crossed), RuleError> {
        for (link, rule) in rules
            .iter()
            .flat_map(|(l, rules)| rules.iter().map(move |r| (l, r)))
        {
            self.check(*link, rule)?;
        }
        let (sender, landing) = oneshot::channel();
        let crossed = self.crossed();
        self.board.publish(rules, sender);
        Ok((landing, crossed))
    }

    fn check(&self, link: LinkId, rule: &Rule) -> Result<(), RuleError> {
        let (loss, needs_frames) = match *rule {
            Rule::Throttle { rate: 0 } => return Err(RuleError::NoRate(link)),
            Rule::Cut | Rule::Delay { .. } | Rule::Throttle { .. } => return Ok(()),
            Rule::Drop {
                layer: DropLayer::Packet,
                ..
            } => return Err(RuleError::NotPackets(link)),
            Rule::Drop { loss, layer } => (
                loss,
                (layer == DropLayer::Frame).then_some(RuleError::NotFramed(link)),
            ),
            Rule::Corrupt { share } => (share, None),
            Rule::Duplicate { share } => {
                let what = "duplicated";
                (share, Some(RuleError::NoFrames { link, what }))
            }
            Rule::Reorder { share } => {
                let what = "reordered";
                (share, Some(RuleError::NoFrames { link, what }))
            }
        };
        if !(0.0..=1.0).contains(&loss) {
            return Err(RuleError::NotAProbability { link, loss });
        }
        let is_opaque = |state: &PathState| {
            state.path.framing == Framing::Opaque
                && (state.link() == link || state.link().reversed() == link)
        };
        match needs_frames {
            Some(error) if self.paths.values().any(|(state, _)| is_opaque(state)) => Err(error),
            _ => Ok(()),
        }
    }
}
