//! Closed-loop workers: connect, take the next operation, invoke it, write down what was learned.
//!
//! After an operation of unknown outcome the worker goes on as a new process. Latency counts from
//! the intended start, so a worker that was held up owes the operations it could not start.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Board, CONNECT_WITHIN, Command, LoadSettings, Pacer, ProbeSettings, stopped};
use crate::alarm::Alarm;
use crate::clock::{Nanos, RunClock};
use crate::history::{Action, Completion, Invocation, Operation, Outcome, Recorder, Value};
use crate::id::{NodeId, ProcessId};
use crate::seed::{Seed, Stream};
use crate::system::{Client, Reply, System};
use crate::workload::{Generator, Next};

/// How many workers and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkerSettings {
    /// How many.
    pub count: u32,
    /// Operations per second over all of them; `None` = as fast as they go.
    pub rate: Option<f64>,
    /// An operation is given up after this.
    pub timeout: Nanos,
    /// To which node a worker holds.
    pub pin: Pin,
}

/// To which node a worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// It moves on to another node after a failure.
    Roam,
    /// It stays at its own node whatever happens.
    Spread,
    /// It goes where the leader is, as far as that is known.
    Leader,
}

/// What all workers and probes of the load thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) system: Arc<dyn System>,
    pub(super) nodes: BTreeMap<NodeId, SocketAddr>,
    pub(super) workers: WorkerSettings,
    pub(super) probes: Option<ProbeSettings>,
    pub(super) clock: RunClock,
    pub(super) recorder: Recorder,
    pub(super) board: Arc<Board>,
    pub(super) alarm: Rc<Alarm>,
    /// When the load began.
    began: Nanos,
    keys: Vec<Arc<str>>,
    generator: RefCell<Box<dyn Generator>>,
    seed: Seed,
    next_process: Cell<u64>,
}

impl Shared {
    pub(super) fn new(settings: LoadSettings, alarm: Rc<Alarm>) -> Rc<Self> {
        Rc::new(Self {
            alarm,
            began: settings.clock.now(),
            system: settings.system,
            nodes: settings.nodes,
            workers: settings.workers,
            probes: settings.probes,
            clock: settings.clock,
            recorder: settings.recorder,
            board: settings.board,
            keys: settings
                .keys
                .iter()
                .map(|key| Arc::from(key.as_str()))
                .collect(),
            generator: RefCell::new(settings.generator),
            seed: settings.seed,
            next_process: Cell::new(settings.first_process),
        })
    }

    fn new_process(&self) -> ProcessId {
        let process = self.next_process.get();
        self.next_process.set(process + 1);
        ProcessId(process)
    }
}

/// One worker.
struct Worker {
    shared: Rc<Shared>,
    timer: Pacer,
    backoff: Stream,
    process: ProcessId,
    /// All nodes; the worker's own first.
    nodes: Vec<(NodeId, SocketAddr)>,
    /// Which of `nodes` it holds to or tries next.
    at: usize,
    connection: Option<Box<dyn Client>>,
    last_use: Nanos,
}

/// Works until told to stop.
pub(super) async fn work(shared: Rc<Shared>, index: u32, mut commands: watch::Receiver<Command>) {
    let mut worker = Worker::new(shared, index);
    let holds = commands.clone();
    let mut intended = worker.first_start(index);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut commands) => break,
            () = worker.prepare(intended, &holds) => {}
        }
        if *commands.borrow() == Command::Stop {
            break;
        }
        if let Some(pause) = worker.period() {
            worker.operate(intended).await;
            intended = intended + pause;
        } else {
            intended = worker.shared.clock.now();
            worker.operate(intended).await;
        }
    }
    worker.close().await;
}

impl Worker {
    fn new(shared: Rc<Shared>, index: u32) -> Self {
        let mut nodes: Vec<_> = shared
            .nodes
            .iter()
            .map(|(node, addr)| (*node, *addr))
            .collect();
        let own = index as usize % nodes.len();
        nodes.rotate_left(own);
        Self {
            timer: Pacer::new(shared.clock, &shared.alarm),
            backoff: shared.seed.stream(&format!("worker {index}")),
            process: shared.new_process(),
            nodes,
            at: 0,
            connection: None,
            last_use: Nanos::ZERO,
            shared,
        }
    }

    /// Time between two intended starts of this worker; `None` = no pause.
    fn period(&self) -> Option<Nanos> {
        let rate = self.shared.workers.rate?;
        let seconds = f64::from(self.shared.workers.count) / rate;
        Some(Nanos::from(Duration::from_secs_f64(seconds)))
    }

    /// When the first operation of this worker is meant to start.
    fn first_start(&self, index: u32) -> Nanos {
        let now = self.shared.began;
        let count = u64::from(self.shared.workers.count);
        self.period()
            .map_or(now, |period| now + offset(period, count, u64::from(index)))
    }

    /// Waits for the intended start, for the load not to be held, and for a connection. A
    /// connection that breaks meanwhile is replaced at once, as an event-driven client would do.
    /// Safe to drop at any time: no operation is in flight here.
    async fn prepare(&mut self, intended: Nanos, commands: &watch::Receiver<Command>) {
        loop {
            self.connect().await;
            let now = self.shared.clock.now();
            let held = *commands.borrow() == Command::Hold;
            if intended <= now && !held {
                return;
            }
            self.idle(intended, held, commands).await;
        }
    }

    /// Waits for whatever comes first: the intended start, the time for a ping, the end of a hold,
    /// the loss of the connection.
    async fn idle(&mut self, intended: Nanos, held: bool, commands: &watch::Receiver<Command>) {
        let ping = self.last_use + PING_EVERY;
        let due = if held { ping } else { ping.min(intended) };
        let mut commands = commands.clone();
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        tokio::select! {
            biased;
            () = connection.lost() => {
                self.connection = None;
                self.move_on();
                return;
            }
            () = self.timer.until(due) => {}
            // An error means that the load is being ended: the caller sees that itself.
            _ = commands.wait_for(|command| *command != Command::Hold), if held => {}
        }
        if self.shared.clock.now() >= ping {
            self.ping().await;
        }
    }

    /// Opens a connection unless there is one where it should be.
    async fn connect(&mut self) {
        if self.shared.workers.pin == Pin::Leader {
            self.go_to_leader();
        }
        let mut failures = 0_u32;
        while self.connection.is_none() {
            let (_, addr) = self.nodes[self.at];
            // A node that lost power does not answer at all: the first tries are impatient.
            let within = (CONNECT_FIRST * (1 << failures.min(4))).min(CONNECT_WITHIN);
            match self.shared.system.connect(addr, within).await {
                Ok(client) => {
                    self.connection = Some(client);
                    self.last_use = self.shared.clock.now();
                }
                Err(_) => {
                    failures += 1;
                    self.move_on();
                    self.back_off(failures).await;
                }
            }
        }
    }

    /// Does one operation on the open connection.
    async fn operate(&mut self, intended: Nanos) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        let shared = Rc::clone(&self.shared);
        let Next { key, action } = shared.generator.borrow_mut().next();
        let name = &shared.keys[key.0 as usize];
        let invoked = shared.clock.now();
        let (node, _) = self.nodes[self.at];
        shared.board.invoked();
        shared.recorder.invoke(Invocation {
            process: self.process,
            key: Arc::clone(name),
            action,
            time: invoked,
            intended,
            node,
        });
        let timeout = Duration::from(shared.workers.timeout);
        let reply = tokio::time::timeout(timeout, connection.invoke(name, action))
            .await
            .unwrap_or_else(|_| Reply::lost(&action, "timeout".to_owned()));
        let ended = shared.clock.now();
        self.last_use = ended;
        if let Some(value) = learned(&action, &reply) {
            shared.generator.borrow_mut().learn(key, value);
        }
        if reply.outcome == Outcome::Ok && action.is_update() {
            shared.board.update_served(Operation {
                process: self.process,
                key,
                action,
                invoked,
                completed: ended,
                outcome: Outcome::Ok,
                seen: None,
                intended: Some(intended),
                node: Some(node),
                version: reply.version,
                error: None,
            });
        }
        if reply.broken {
            self.connection = None;
            self.move_on();
        }
        shared.recorder.complete(Completion {
            process: self.process,
            key: Arc::clone(name),
            action,
            time: ended,
            outcome: reply.outcome,
            seen: reply.seen,
            version: reply.version,
            error: reply.error,
        });
        if reply.outcome == Outcome::Info {
            self.process = shared.new_process();
        }
        shared.board.ended(reply.outcome);
    }

    async fn ping(&mut self) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        let answered = tokio::time::timeout(CONNECT_WITHIN, connection.ping()).await;
        if !matches!(answered, Ok(Ok(()))) {
            self.connection = None;
            self.move_on();
        }
        self.last_use = self.shared.clock.now();
    }

    fn move_on(&mut self) {
        match self.shared.workers.pin {
            // Any other node at random: were it always the next one, the clients of nodes that
            // fail in turn would gather at one node.
            Pin::Roam if self.nodes.len() > 1 => {
                let step = 1 + self.backoff.index(self.nodes.len() - 1);
                self.at = (self.at + step) % self.nodes.len();
            }
            Pin::Roam => {}
            Pin::Spread => {}
            Pin::Leader => self.go_to_leader(),
        }
    }

    /// Leaves another node's connection for the leader's; stays where it is while none is known.
    fn go_to_leader(&mut self) {
        let Some(leader) = self.shared.board.leader() else {
            return;
        };
        let place = self.nodes.iter().position(|(node, _)| *node == leader);
        if let Some(place) = place.filter(|place| *place != self.at) {
            self.at = place;
            self.connection = None;
        }
    }

    /// 1 ms, doubling to 8 ms, each with up to as much again: quick enough not to lengthen an
    /// outage visibly, gentle enough not to storm an electing cluster.
    async fn back_off(&mut self, failures: u32) {
        let base = Nanos::from_millis(1 << failures.min(4).saturating_sub(1));
        let jitter = Nanos(self.backoff.below(base.0));
        self.timer
            .until(self.shared.clock.now() + base + jitter)
            .await;
    }

    async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            drop(tokio::time::timeout(CONNECT_WITHIN, connection.close()).await);
        }
    }
}

/// Workers start evenly spread over one period; but where more than one would start within a
/// [`TICK`], those start together: the kernel's timer costs more than an operation.
fn offset(period: Nanos, count: u64, index: u64) -> Nanos {
    let apart = period.0 / count.max(1);
    let even = Nanos(apart * index);
    if apart >= TICK.0 {
        return even;
    }
    Nanos(even.0 / TICK.0 * TICK.0)
}

/// What a reply tells about the register.
fn learned(action: &Action, reply: &Reply) -> Option<Value> {
    match (action, reply.outcome) {
        (Action::Write(value) | Action::Cas { to: value, .. }, Outcome::Ok) => Some(*value),
        (Action::Read | Action::Cas { .. }, _) => reply.seen,
        (Action::Write(_) | Action::Do(..), _) => None,
    }
}

/// A healthy node opens a session within a few milliseconds.
const CONNECT_FIRST: Duration = Duration::from_millis(40);

/// The shortest time between two instants at which operations are meant to start.
const TICK: Nanos = Nanos(200_000);

/// An idle connection is used at least this often, well below any session timeout.
const PING_EVERY: Nanos = Nanos::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_learns_from_what_succeeded_and_from_what_was_in_the_way() {
        let cas = Action::Cas {
            from: Value(1),
            to: Value(2),
        };
        assert_eq!(learned(&cas, &Reply::ok(None, None)), Some(Value(2)));
        let failed = Reply {
            seen: Some(Value(9)),
            ..Reply::fail("value differs")
        };
        assert_eq!(learned(&cas, &failed), Some(Value(9)));
        let write = Action::Write(Value(3));
        assert_eq!(
            learned(&write, &Reply::lost(&write, "eof".to_owned())),
            None
        );
    }

    #[test]
    fn workers_start_evenly_spread_and_at_high_rates_a_few_at_once() {
        let starts = |period, count| -> Vec<u64> {
            (0..count)
                .map(|index| offset(Nanos::from_millis(period), count, index).0 / 1_000)
                .collect()
        };
        assert_eq!(starts(20, 4), [0, 5_000, 10_000, 15_000]);
        let many = starts(4, 200);
        assert_eq!(many[..11], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200]);
        assert_eq!(many[199], 3_800);
    }

    #[test]
    fn a_lost_update_is_info_and_a_lost_read_is_fail() {
        let write = Action::Write(Value(3));
        assert_eq!(Reply::lost(&write, "eof".to_owned()).outcome, Outcome::Info);
        assert_eq!(
            Reply::lost(&Action::Read, "eof".to_owned()).outcome,
            Outcome::Fail
        );
    }
}
