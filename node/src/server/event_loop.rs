//! The loop: wait, feed in everything that is ready, do what was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::task::yield_now;

use super::backlog::Backlog;
use super::config::Config;
use super::error::ServerError;
use super::inbox::{Durable, Event, Inbox, Wake};
use super::sessions::Sessions;
use super::snapshots::Snapshots;
use super::start::moment;
use crate::clock;
use crate::protocol::Core;
use crate::protocol::io::{Input, Output, Phase};
use crate::protocol::message::MAX_TRANSACTIONS;
use crate::protocol::zxid::{ConnId, Nanos};
use crate::state::{Change, State};
use crate::storage::DiskWorker;
use crate::trace::Trace;
use crate::transport::{ClientEvent, Connection, PeerEvent, read_client, read_peer};

/// A running node.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: Config,
    pub(super) core: Core,
    pub(super) state: State,
    pub(super) sessions: Sessions,
    pub(super) trace: Trace,
    pub(super) worker: DiskWorker<Durable>,
    pub(super) snapshots: Snapshots,
    pub(super) backlog: Backlog,
    pub(super) peer_events: Sender<PeerEvent>,
    pub(super) client_events: Sender<ClientEvent>,
    pub(super) ids: Arc<AtomicU64>,
    /// What the protocol asked for and is not done yet.
    pub(super) outputs: Vec<Output>,
    pub(super) peers: BTreeMap<ConnId, Connection>,
    pub(super) clients: BTreeMap<ConnId, ClientConnection>,
    /// Clients for whom something was gathered, perhaps several times over.
    pub(super) answered: Vec<ConnId>,
    /// When the protocol wants a tick, in monotonic nanoseconds.
    pub(super) wake_at: u64,
    /// What the last transaction changed; kept to use its memory again.
    pub(super) changes: Vec<Change>,
    /// When sessions are looked at next, in monotonic nanoseconds.
    pub(super) review_at: u64,
    pub(super) applied_since_snapshot: u64,
    pub(super) started: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// A client's socket, and what it may still have outstanding.
#[derive(Debug)]
pub(super) struct ClientConnection {
    pub(super) connection: Connection,
    pub(super) permits: Arc<Semaphore>,
}

impl Server {
    /// Runs until it is asked to stop.
    pub(super) async fn run(&mut self, inbox: &mut Inbox) -> Result<(), ServerError> {
        self.step(Input::Tick);
        loop {
            self.settle()?;
            let deadline = if self.is_behind() {
                0
            } else {
                self.wake_at.min(self.review_at)
            };
            match inbox.wait(deadline, self.takes_requests()).await {
                Wake::Stop => break,
                Wake::Time => {}
                Wake::Event(event) => self.handle(event)?,
            }
            self.drain(inbox)?;
            let now = clock::monotonic_ns();
            if now >= self.wake_at {
                if now - self.wake_at > LATE_NS {
                    self.catch_up(inbox).await?;
                }
                self.step(Input::Tick);
            }
            if now >= self.review_at {
                self.review(now);
            }
        }
        self.trace
            .stop(clock::true_ns())
            .map_err(|source| self.trace_error(source))
    }

    /// Whether clients may be served: the protocol says so, and the state is the one that it means.
    pub(super) fn is_serving(&self) -> bool {
        self.core.status().serving && self.backlog.is_open() && !self.snapshots.is_restoring()
    }

    pub(super) fn step(&mut self, input: Input) {
        let now = Nanos(clock::monotonic_ns());
        self.core.step(now, input, &mut self.outputs);
    }

    /// Feeds in what has happened already, up to a bound: what came in is answered before more is
    /// taken.
    fn drain(&mut self, inbox: &mut Inbox) -> Result<(), ServerError> {
        for _ in 0..BATCH {
            match inbox.ready(self.takes_requests()) {
                Some(event) => self.handle(event)?,
                None => break,
            }
        }
        Ok(())
    }

    /// This process stood still, so the sockets hold what came in meanwhile. Lets the readers hand it
    /// over, so that silence is judged only afterwards.
    async fn catch_up(&mut self, inbox: &mut Inbox) -> Result<(), ServerError> {
        let mut quiet_rounds = 0;
        for _ in 0..CATCH_UP_ROUNDS {
            yield_now().await;
            match inbox.ready(self.takes_requests()) {
                Some(event) => {
                    self.handle(event)?;
                    self.drain(inbox)?;
                    quiet_rounds = 0;
                }
                None => quiet_rounds += 1,
            }
            // One round lets the sockets be polled, the next lets the readers run.
            if quiet_rounds > 3 {
                break;
            }
        }
        Ok(())
    }

    /// Whether this node may take more from its clients. Otherwise their sockets fill up and they
    /// slow down: the leader refuses what exceeds its bound, and a refused request costs its client
    /// the connection.
    fn takes_requests(&self) -> bool {
        self.core.requests() < MAX_TRANSACTIONS / (self.config.peers.len() + 1)
    }

    fn handle(&mut self, event: Event) -> Result<(), ServerError> {
        match event {
            Event::Disk(done) => self.on_disk(&done?),
            Event::Peer(event) => self.on_peer(event),
            Event::Client(event) => self.on_client(event),
            Event::Snapshot(finished) => self.on_finished(finished)?,
        }
        Ok(())
    }

    fn on_disk(&mut self, done: &[Durable]) {
        let mut newest = None;
        for durable in done {
            match durable {
                Durable::Batch(ticket) => newest = Some(*ticket),
                Durable::Saved(zxid) => {
                    self.snapshots.saved();
                    self.step(Input::Compacted { zxid: *zxid });
                }
            }
        }
        if let Some(ticket) = newest {
            self.step(Input::DiskDone { ticket });
        }
    }

    fn on_peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Opened {
                conn,
                dialed,
                stream,
            } => {
                let events = self.peer_events.clone();
                let connection =
                    Connection::start(stream, |stream| read_peer(stream, conn, events));
                self.peers.insert(conn, connection);
                self.step(Input::Connected { conn, dialed });
            }
            // Frames of a connection that was closed here may still be under way.
            PeerEvent::Frame { conn, frame } => {
                if self.peers.contains_key(&conn) {
                    self.step(Input::Frame { conn, frame });
                }
            }
            PeerEvent::Closed { conn, reason } => {
                if self.peers.remove(&conn).is_some() {
                    self.step(Input::Disconnected { conn, reason });
                }
            }
            PeerEvent::DialFailed { peer, reason } => self.step(Input::DialFailed { peer, reason }),
        }
    }

    fn on_client(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Opened {
                conn,
                stream,
                address,
            } => {
                if self.sessions.opened(conn, address, moment()) {
                    self.open_client(conn, stream);
                }
            }
            ClientEvent::Word { conn, word } => {
                self.received += 1;
                let text = self.answer_word(word);
                self.sessions.closed(conn);
                if let Some(mut client) = self.clients.remove(&conn) {
                    self.sent += 1;
                    let gathered = client.connection.gathered();
                    gathered.extend_from_slice(text.as_bytes());
                    client.connection.finish();
                }
            }
            ClientEvent::Frame { conn, body } => {
                self.received += 1;
                if self.is_serving() {
                    self.sessions.frame(conn, &body, moment(), &self.state);
                    self.do_effects();
                } else {
                    self.sessions.closed(conn);
                    self.clients.remove(&conn);
                }
            }
            ClientEvent::Written { conn } => {
                self.sessions.written(conn, moment(), &self.state);
                self.do_effects();
            }
            ClientEvent::Closed { conn } => {
                self.sessions.closed(conn);
                self.clients.remove(&conn);
            }
        }
    }

    fn open_client(&mut self, conn: ConnId, stream: TcpStream) {
        let events = self.client_events.clone();
        let permits = Arc::new(Semaphore::new(OUTSTANDING));
        let shared = Arc::clone(&permits);
        let connection =
            Connection::start(stream, |stream| read_client(stream, conn, shared, events));
        let client = ClientConnection {
            connection,
            permits,
        };
        self.clients.insert(conn, client);
    }

    /// Looks after sessions.
    fn review(&mut self, now: u64) {
        self.review_at = now + REVIEW_NS;
        if self.is_serving() {
            let is_leader = self.core.status().phase == Phase::Leading;
            self.sessions.review(is_leader, moment(), &self.state);
            self.do_effects();
        }
    }

    pub(super) fn trace_error(&self, source: std::io::Error) -> ServerError {
        let path = self.config.trace.clone();
        ServerError::Trace { path, source }
    }
}

/// A tick later than this tells that the process stood still; timers are exact to 1 or 2 ms.
const LATE_NS: u64 = 10_000_000;
/// Past this many rounds the peers send faster than this node reads, and time must go on.
const CATCH_UP_ROUNDS: u32 = 256;
/// Events fed in before outputs are done: enough to share disk writes, few enough for latency.
const BATCH: usize = 1024;
/// Requests that one client may have unanswered; past that it is not read.
const OUTSTANDING: usize = 256;
/// How often sessions are looked at.
const REVIEW_NS: u64 = 100_000_000;
