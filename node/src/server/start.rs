//! From a configuration to a running loop, in an order that lets every mistake show at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::backlog::Backlog;
use super::config::Config;
use super::error::ServerError;
use super::event_loop::Server;
use super::inbox::{Durable, Inbox};
use super::rules::Rules;
use super::sessions::{Moment, Sessions};
use super::snapshots::Snapshots;
use crate::bug::Bugs;
use crate::clock;
use crate::protocol::Core;
use crate::protocol::io::{Boot, CoreConfig, Output};
use crate::protocol::zxid::Nanos;
use crate::siphash::siphash;
use crate::state::{Secret, State};
use crate::storage::{DiskStorage, DiskWorker, Options, Storage};
use crate::trace::Trace;
use crate::transport::{accept_clients, accept_peers, listen};

/// Runs a node until it is asked to stop by SIGTERM or SIGINT. Needs a current-thread runtime.
///
/// # Errors
/// If the node cannot start, or cannot go on without harm to its data.
pub async fn run(config: Config) -> Result<(), ServerError> {
    let peer_listener = open_listener(config.listen, "peers")?;
    let client_listener = open_listener(config.client, "clients")?;
    let trace = open_trace(&config)?;
    let mut storage = DiskStorage::open(Options {
        dir: config.data.clone(),
        node: config.me.0,
        segment_bytes: Options::SEGMENT_BYTES,
    })?;
    let (state, boot) = recover(&mut storage, config.bugs)?;
    let core = start_core(&config, boot)?;

    let (durable, disk) = mpsc::unbounded_channel();
    let report = move |result| {
        // The loop is gone only when the process ends.
        let _ = durable.send(result);
    };
    let worker: DiskWorker<Durable> = DiskWorker::start(storage, report)
        .map_err(|source| system("start the disk thread", source))?;
    let (finished, snapshots) = mpsc::unbounded_channel();
    let snapshot_thread = Snapshots::start(finished)
        .map_err(|source| system("start the thread for snapshots", source))?;
    let (peer_events, peers) = mpsc::channel(PEER_EVENTS);
    let (client_events, clients) = mpsc::channel(CLIENT_EVENTS);
    let ids = Arc::new(AtomicU64::new(1));
    let mut inbox = Inbox {
        disk,
        peers,
        clients,
        snapshots,
        terminate: handler(SignalKind::terminate())?,
        interrupt: handler(SignalKind::interrupt())?,
    };
    let (peer_sender, client_sender) = (peer_events.clone(), client_events.clone());
    tokio::spawn(accept_peers(peer_listener, Arc::clone(&ids), peer_sender));
    tokio::spawn(accept_clients(
        client_listener,
        Arc::clone(&ids),
        client_sender,
    ));

    let now = clock::monotonic_ns();
    let mut server = Server {
        sessions: Sessions::new(rules(&config), moment()),
        applied_since_snapshot: config.snapshot_phase(),
        changes: Vec::new(),
        core,
        state,
        trace,
        worker,
        snapshots: snapshot_thread,
        backlog: Backlog::default(),
        peer_events,
        client_events,
        ids,
        outputs: Vec::<Output>::new(),
        peers: BTreeMap::new(),
        clients: BTreeMap::new(),
        answered: Vec::new(),
        wake_at: now,
        review_at: now,
        started: now,
        received: 0,
        sent: 0,
        config,
    };
    server.run(&mut inbox).await
}

fn open_trace(config: &Config) -> Result<Trace, ServerError> {
    Trace::open(config.me, config.trace.as_deref()).map_err(|source| {
        let path = config.trace.clone();
        ServerError::Trace { path, source }
    })
}

pub(super) fn moment() -> Moment {
    Moment {
        monotonic_ns: clock::monotonic_ns(),
        wall_ms: clock::wall_ms(),
    }
}

fn open_listener(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, ServerError> {
    listen(address).map_err(|source| ServerError::Listen {
        address,
        purpose,
        source,
    })
}

/// Reads the disk: the state as of the snapshot, and what the protocol starts from.
fn recover(storage: &mut DiskStorage, bugs: Bugs) -> Result<(State, Boot), ServerError> {
    let (boot, snapshot) = storage.recover()?.into_boot();
    let state = match snapshot {
        None => State::new(),
        Some(bytes) => {
            let zxid = boot.snapshot;
            State::decode(&bytes).map_err(|source| ServerError::Snapshot { zxid, source })?
        }
    };
    Ok((state.with_bugs(bugs), boot))
}

fn start_core(config: &Config, boot: Boot) -> Result<Core, ServerError> {
    let mut voters: Vec<_> = config.peers.keys().copied().collect();
    voters.push(config.me);
    let core = CoreConfig {
        me: config.me,
        voters,
        seed: boot_nonce(config),
        timing: config.timing,
        keep_entries: KEEP_ENTRIES,
        bugs: config.bugs,
    };
    let now = Nanos(clock::monotonic_ns());
    Core::new(core, boot, now).map_err(|source| ServerError::Boot {
        data: config.data.clone(),
        source,
    })
}

fn rules(config: &Config) -> Rules {
    Rules {
        me: config.me,
        secret: Secret::new(&config.secret),
        session_timeout_ms: config.session_timeout_ms,
        linear_reads: config.linear_reads,
        boot: u32::try_from(boot_nonce(config) >> 32).unwrap_or(0),
        max_connections: config.max_connections,
        super_digest: config.super_digest.clone(),
        members: config.members.clone(),
    }
}

/// Differs between nodes and between boots of one node, without being a secret.
fn boot_nonce(config: &Config) -> u64 {
    let key = (clock::monotonic_ns(), u64::from(config.me.0));
    let mut bytes = clock::wall_ms().to_be_bytes().to_vec();
    bytes.extend_from_slice(&std::process::id().to_be_bytes());
    siphash(key, &bytes)
}

fn handler(kind: SignalKind) -> Result<Signal, ServerError> {
    signal(kind).map_err(|source| system("handle signals", source))
}

const fn system(action: &'static str, source: std::io::Error) -> ServerError {
    ServerError::System { action, source }
}

/// Events that may wait for the loop. Past them the readers wait, and the senders behind them.
const PEER_EVENTS: usize = 4096;
const CLIENT_EVENTS: usize = 1024;
/// Entries kept in memory behind a snapshot, so that a follower that lags a little gets them instead of
/// a whole snapshot.
const KEEP_ENTRIES: usize = 5_000;
