//! How the nodes of a stub keep together: who is there, who leads, and how long it takes until
//! somebody leads again, which is exactly as long as they were told.
//!
//! A node knows that another is gone by the end of its connection and by nothing else: whoever is
//! stopped or cut off is not missed. The lowest number leads. From the end of the connection to
//! its leader on a node serves nobody; it suspects the leader after `detect`, the next leader
//! knows that it won after `elect`, and all serve again after `sync`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Spec;
use super::store::Store;
use super::trace::{Trace, monotonic};
use super::wire::{Answer, Code, Word};
use crate::alarm::{Alarm, Bell};
use crate::clock::Nanos;
use crate::history::{NodeEventKind, SyncMode};
use crate::id::NodeId;
use crate::seed::{Seed, Stream};

/// One node among the others.
#[derive(Debug)]
pub(super) struct Ensemble {
    spec: Spec,
    store: Rc<Store>,
    trace: Trace,
    alarm: Rc<Alarm>,
    /// Connections on which others have said that they are there.
    there: Mutex<BTreeMap<NodeId, OwnedWriteHalf>>,
    alive: RefCell<BTreeSet<NodeId>>,
    leader: Cell<Option<NodeId>>,
    epoch: Cell<u64>,
    /// It serves nobody although somebody leads.
    vanished: Cell<bool>,
    chance: RefCell<Stream>,
    serving: watch::Sender<bool>,
    changed: watch::Sender<()>,
}

impl Ensemble {
    pub(super) fn new(
        spec: Spec,
        store: Rc<Store>,
        trace: Trace,
        alarm: Rc<Alarm>,
    ) -> io::Result<Rc<Self>> {
        let epoch = store.epoch()?;
        trace.tell(NodeEventKind::Boot {
            accepted_epoch: epoch,
            current_epoch: epoch,
            last_zxid: 0,
        });
        trace.tell(NodeEventKind::Looking {
            reason: "boot".to_owned(),
        });
        Ok(Rc::new(Self {
            spec,
            store,
            trace,
            alarm,
            there: Mutex::default(),
            alive: RefCell::default(),
            leader: Cell::new(None),
            epoch: Cell::new(epoch),
            vanished: Cell::new(false),
            chance: RefCell::new(Seed(monotonic()).stream("jitter")),
            serving: watch::Sender::new(false),
            changed: watch::Sender::new(()),
        }))
    }

    /// Finds the others and keeps a leader, for ever.
    pub(super) async fn run(self: Rc<Self>, listener: TcpListener) {
        for (peer, addr) in &self.spec.peers {
            spawn_local(Rc::clone(&self).dial(*peer, *addr));
        }
        spawn_local(Rc::clone(&self).begin());
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(Rc::clone(&self).hear(stream));
        }
    }

    /// Whether clients are served.
    pub(super) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// The same, now.
    pub(super) fn is_serving(&self) -> bool {
        *self.serving.borrow()
    }

    /// Role, epoch and digest for the harness: the code tells whether clients are served, the
    /// lowest bit of the value who leads.
    pub(super) fn status(&self) -> io::Result<Answer> {
        let leads = i64::from(self.leader.get() == Some(self.spec.id));
        let epoch = i64::try_from(self.epoch.get()).unwrap_or(i64::MAX / 2);
        Ok(Answer {
            tag: 0,
            code: if self.is_serving() {
                Code::Done
            } else {
                Code::NotServing
            },
            value: epoch * 2 + leads,
            version: self.store.digest()?.cast_signed(),
        })
    }

    /// Has all nodes serve nobody for a while, from one instant on; that and the end of it.
    pub(super) async fn vanish(self: &Rc<Self>) -> Answer {
        let from = monotonic() + NOTICE.0;
        let until = from + self.spec.vanish.0;
        self.tell_all(Word::Vanish(from, until)).await;
        spawn_local(Rc::clone(self).be_gone(from, until));
        Answer {
            tag: 0,
            code: Code::Done,
            value: from.cast_signed(),
            version: until.cast_signed(),
        }
    }

    async fn be_gone(self: Rc<Self>, from: u64, until: u64) {
        self.wait_until(from).await;
        self.vanished.set(true);
        self.update();
        self.wait_until(until).await;
        self.vanished.set(false);
        self.update();
    }

    /// A delay of a failover, with its jitter.
    fn drawn(&self, delay: Nanos) -> Duration {
        let widest = delay.0 / 1_000 * u64::from(self.spec.jitter);
        let drawn = self.chance.borrow_mut().below(widest * 2 + 1);
        Duration::from_nanos(delay.0 - widest + drawn)
    }

    /// Waits for a monotonic instant.
    async fn wait_until(&self, at: u64) {
        let left = Duration::from_nanos(at.saturating_sub(monotonic()));
        self.wait(Instant::now() + left).await;
    }

    async fn wait(&self, due: Instant) {
        Bell::new(Rc::clone(&self.alarm)).until(due).await;
    }

    /// The first leader leads as soon as all are there; later ones are found by an election.
    async fn begin(self: Rc<Self>) {
        if self.epoch.get() > 0 {
            // Somebody most probably leads, and says so as soon as it is connected.
            let begun = Instant::now() + GRACE;
            self.wait(begun).await;
            return self.elect(begun).await;
        }
        let mut changed = self.changed.subscribe();
        while self.alive.borrow().len() < self.spec.peers.len() && self.leader.get().is_none() {
            if changed.changed().await.is_err() {
                return;
            }
        }
        if self.leader.get().is_none() && self.is_lowest() {
            self.won();
            self.lead().await;
        }
    }

    fn is_lowest(&self) -> bool {
        self.alive.borrow().iter().all(|peer| *peer > self.spec.id)
    }

    fn has_quorum(&self) -> bool {
        (self.alive.borrow().len() + 1) * 2 > self.spec.peers.len() + 1
    }

    /// Elections, until somebody leads; the first of them began at `from`.
    async fn elect(self: Rc<Self>, mut from: Instant) {
        while self.leader.get().is_none() {
            let elected = from + self.drawn(self.spec.elect);
            self.wait(elected).await;
            if self.leader.get().is_none() && self.is_lowest() && self.has_quorum() {
                self.won();
                self.wait(Instant::now() + self.drawn(self.spec.sync)).await;
                // It may have been deposed, or left alone, meanwhile.
                if self.leader.get().is_none() && self.has_quorum() {
                    return self.lead().await;
                }
            }
            from = Instant::now() + Duration::from(self.spec.sync) + AGAIN;
            self.wait(from).await;
        }
    }

    fn won(&self) {
        self.trace.tell(NodeEventKind::Elected {
            round: self.epoch.get() + 1,
        });
    }

    async fn lead(self: Rc<Self>) {
        let epoch = self.store.epoch().unwrap_or(0).max(self.epoch.get()) + 1;
        if self.store.set_epoch(epoch).is_err() {
            return;
        }
        self.epoch.set(epoch);
        self.leader.set(Some(self.spec.id));
        self.trace.tell(NodeEventKind::EpochAgreed { epoch });
        self.trace.tell(NodeEventKind::Active { epoch, zxid: 0 });
        self.update();
        self.tell_all(Word::Lead(epoch)).await;
    }

    fn update(&self) {
        let serves = self.leader.get().is_some() && !self.vanished.get();
        self.serving.send_if_modified(|serving| {
            let is_new = *serving != serves;
            *serving = serves;
            is_new
        });
    }

    async fn tell_all(&self, word: Word) {
        let mut there = self.there.lock().await;
        for connection in there.values_mut() {
            // Whoever is gone is noticed by whoever reads.
            let _ = connection.write_all(&word.encode()).await;
        }
    }

    /// Keeps a connection to a peer and notices its end.
    async fn dial(self: Rc<Self>, peer: NodeId, addr: SocketAddr) {
        loop {
            if let Ok((mut reading, writing)) = self.meet(addr).await {
                self.there.lock().await.insert(peer, writing);
                self.alive.borrow_mut().insert(peer);
                self.changed.send_replace(());
                if self.leader.get() == Some(self.spec.id) {
                    self.welcome(peer).await;
                }
                // Nothing is ever said on this side: it ends.
                drop(Word::read(&mut reading).await);
                let ended = Instant::now();
                self.alive.borrow_mut().remove(&peer);
                self.there.lock().await.remove(&peer);
                self.lost(peer, ended);
            }
            self.wait(Instant::now() + AGAIN).await;
        }
    }

    async fn meet(
        &self,
        addr: SocketAddr,
    ) -> io::Result<(tokio::net::tcp::OwnedReadHalf, OwnedWriteHalf)> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (mut reading, mut writing) = stream.into_split();
        writing
            .write_all(&Word::Here(self.spec.id.0).encode())
            .await?;
        // A link accepts for nodes that are not there.
        Word::read(&mut reading).await?;
        Ok((reading, writing))
    }

    async fn welcome(&self, peer: NodeId) {
        self.trace.tell(NodeEventKind::SyncStart {
            peer,
            mode: SyncMode::Diff,
            txns: 0,
            bytes: 0,
        });
        self.trace.tell(NodeEventKind::Rejoin { of: peer });
        if let Some(connection) = self.there.lock().await.get_mut(&peer) {
            let word = Word::Lead(self.epoch.get());
            // Whoever is gone is noticed by whoever reads.
            let _ = connection.write_all(&word.encode()).await;
        }
    }

    /// A peer's connection has ended.
    fn lost(self: &Rc<Self>, peer: NodeId, ended: Instant) {
        let detected = ended + self.drawn(self.spec.detect);
        if self.leader.get() == Some(peer) {
            self.leader.set(None);
            self.update();
            spawn_local(Rc::clone(self).miss_leader(peer, detected));
        } else if self.leader.get() == Some(self.spec.id) {
            spawn_local(Rc::clone(self).miss_follower(peer, detected));
        }
    }

    async fn miss_leader(self: Rc<Self>, leader: NodeId, detected: Instant) {
        self.wait(detected).await;
        self.suspect(leader);
        // What happens from here on counts from what was written down, not from what was meant.
        self.trace.tell(NodeEventKind::Looking {
            reason: "leader_lost".to_owned(),
        });
        self.elect(Instant::now()).await;
    }

    async fn miss_follower(self: Rc<Self>, follower: NodeId, detected: Instant) {
        self.wait(detected).await;
        self.suspect(follower);
        self.trace.tell(NodeEventKind::Evict {
            of: follower,
            reason: "eof".to_owned(),
        });
    }

    fn suspect(&self, of: NodeId) {
        self.trace.tell(NodeEventKind::Suspect {
            of,
            channel: "eof".to_owned(),
            silence_ns: self.spec.detect.0,
            timeout_ns: 0,
        });
    }

    /// Hears what a peer says.
    async fn hear(self: Rc<Self>, stream: TcpStream) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let (mut reading, mut writing) = stream.into_split();
        let mut sender = None;
        while let Ok(word) = Word::read(&mut reading).await {
            match word {
                Word::Here(peer) => {
                    sender = Some(NodeId(peer));
                    let here = Word::Here(self.spec.id.0).encode();
                    if writing.write_all(&here).await.is_err() {
                        return;
                    }
                }
                Word::Lead(epoch) => {
                    if let Some(leader) = sender {
                        self.follow(leader, epoch);
                    }
                }
                Word::Vanish(from, until) => {
                    spawn_local(Rc::clone(&self).be_gone(from, until));
                }
            }
        }
    }

    fn follow(&self, leader: NodeId, epoch: u64) {
        if epoch < self.epoch.get() || self.leader.get() == Some(leader) {
            return;
        }
        self.epoch.set(epoch);
        self.leader.set(Some(leader));
        self.trace.tell(NodeEventKind::Following { leader });
        self.trace.tell(NodeEventKind::Synced {
            leader,
            epoch,
            mode: SyncMode::Diff,
            txns: 0,
            bytes: 0,
            zxid: 0,
        });
        self.update();
        self.changed.send_replace(());
    }
}

/// Between an order to vanish and the instant: all have heard it by then.
const NOTICE: Nanos = Nanos::from_millis(20);

/// How long a node that comes back waits for the leader to say so before it asks for votes.
const GRACE: Duration = Duration::from_secs(1);

/// A peer that does not answer is tried again after this.
const AGAIN: Duration = Duration::from_millis(5);
