//! The load: closed-loop workers and open-loop probes, on a thread of their own.
//!
//! *Worker*: one client, one operation in flight, paced by intended start times. *Probe*: an
//! operation on a node's own key, started at a fixed beat whatever became of the one before.

mod board;
mod pacer;
mod probe;
mod worker;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::alarm::{self, Alarm};
use crate::background::go_first;
use crate::clock::{Nanos, RunClock};
use crate::history::{EventKind, Recorder};
use crate::id::NodeId;
use crate::seed::Seed;
use crate::system::System;
use crate::workload::Generator;

pub use board::Board;
use pacer::Pacer;
pub use pacer::Timer;
pub use probe::{ProbeSettings, probe_key};
pub use worker::{Pin, WorkerSettings};

/// What the load thread needs.
#[derive(Debug)]
pub struct LoadSettings {
    /// The system under test.
    pub system: Arc<dyn System>,
    /// Where clients dial each node (a link's address).
    pub nodes: BTreeMap<NodeId, SocketAddr>,
    /// The names of the registers.
    pub keys: Vec<String>,
    /// Chooses operations.
    pub generator: Box<dyn Generator>,
    /// Closed-loop workers.
    pub workers: WorkerSettings,
    /// Open-loop probes, if there are any.
    pub probes: Option<ProbeSettings>,
    /// The first free process id; setup used those below.
    pub first_process: u64,
    /// Randomness of back-off.
    pub seed: Seed,
    /// The run's clock.
    pub clock: RunClock,
    /// Where everything is written.
    pub recorder: Recorder,
    /// What others may watch while the load runs.
    pub board: Arc<Board>,
}

/// What the load is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Run,
    Hold,
    Stop,
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    command: watch::Sender<Command>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The load could not be started.
#[derive(Debug, thiserror::Error)]
#[error("start the load thread: {0}")]
pub struct LoadError(#[from] std::io::Error);

impl Load {
    /// Starts all workers and probes.
    ///
    /// # Errors
    /// If the thread or its runtime cannot be made.
    pub fn start(settings: LoadSettings) -> Result<Self, LoadError> {
        let (command, commands) = watch::channel(Command::Run);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let timer = {
            let _inside = runtime.enter();
            alarm::Timer::new()?
        };
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                go_first();
                LocalSet::new().block_on(&runtime, serve(settings, timer, commands));
            })?;
        Ok(Self {
            command,
            thread: Some(thread),
        })
    }

    /// No new operations of workers from now on (probes go on), or again.
    pub fn hold(&self, hold: bool) {
        self.command
            .send_replace(if hold { Command::Hold } else { Command::Run });
    }

    /// Starts nothing new, lets what is in flight complete or time out, and ends.
    pub async fn stop(mut self) {
        self.command.send_replace(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            debug_assert!(
                matches!(joined, Ok(Ok(()))),
                "the load thread does not panic"
            );
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.command.send_replace(Command::Stop);
    }
}

async fn serve(settings: LoadSettings, timer: alarm::Timer, commands: watch::Receiver<Command>) {
    let mut tasks = tokio::task::JoinSet::new();
    let alarm = Alarm::new(timer);
    let ringing = tokio::task::spawn_local(Rc::clone(&alarm).ring());
    let shared = worker::Shared::new(settings, alarm);
    for index in 0..shared.workers.count {
        tasks.spawn_local(worker::work(Rc::clone(&shared), index, commands.clone()));
    }
    if let Some(probes) = shared.probes {
        for &node in shared.nodes.keys() {
            probe::spawn(&mut tasks, &shared, node, probes, &commands);
        }
    }
    tasks.spawn_local(sample_lag(Rc::clone(&shared), commands));
    while tasks.join_next().await.is_some() {}
    ringing.abort();
}

/// Writes down how late this thread's timers fire: the noise floor of everything measured here.
async fn sample_lag(shared: Rc<worker::Shared>, mut commands: watch::Receiver<Command>) {
    let Ok(mut timer) = Timer::new(shared.clock) else {
        return;
    };
    let mut due = shared.clock.now();
    loop {
        due = due + LAG_EVERY;
        tokio::select! {
            () = timer.until(due) => {}
            () = stopped(&mut commands) => return,
        }
        let late = shared.clock.now().since(due);
        shared
            .recorder
            .event(shared.clock.now(), EventKind::Lag { late });
        // After a long stall, do not sample the stall again with every tick that was missed.
        due = due.max(shared.clock.now().since(LAG_EVERY));
    }
}

async fn stopped(commands: &mut watch::Receiver<Command>) {
    // An error means that the sender is gone: that is a stop, too.
    drop(commands.wait_for(|command| *command == Command::Stop).await);
}

/// Ten milliseconds: fine enough to see every stall that matters, a trifle of the load.
const LAG_EVERY: Nanos = Nanos::from_millis(10);

/// A session is opened within this, or tried elsewhere.
const CONNECT_WITHIN: Duration = Duration::from_millis(250);
