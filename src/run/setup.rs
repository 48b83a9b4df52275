//! Brings a run to the point where its steps can begin: folder, links, nodes, registers, load.

use std::cell::RefCell;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Mutex, Notify, mpsc, watch};

use crate::clock::{Nanos, RunClock};
use crate::cluster::{Cluster, ClusterError, Network, NoFreePort, NodeSpec, Reaper, Setup};
use crate::dial::{Dialer, Sockets};
use crate::fault::FaultSpec;
use crate::history::{EventKind, Header, Recorder, Recording, Value};
use crate::id::NodeId;
use crate::link::{Links, SelfTest};
use crate::load::{Board, Load, LoadSettings, Pin, ProbeSettings, WorkerSettings};
use crate::packet::{SWITCH_COMMAND, Switch};
use crate::parcel;
use crate::plan::{self, Plan};
use crate::results::{FolderError, PlanFacts, RunFacts, RunFolder, RunName, names};
use crate::seed::Seed;
use crate::system::{Stub, System, Zab};
use crate::workload::{KeyPick, Register, RegisterParameters};

use super::environment::{environment, utc_now};
use super::judge::SAFETY;
use super::layout::{Layouts, Needs, absolute, lay_out, spec};
use super::observe::Traces;
use super::online::{self, Watch};
use super::progress::Progress;
use super::pump::{Incoming, last_words};
use super::registers::{FIRST_PROCESS, RegisterError};
use super::stage::Stage;
use super::tracker::Tracker;
use super::{Request, RunError};

/// Why the cluster cannot be set up: exit code 5.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A setting of the system is wrong.
    #[error("{0}")]
    Setting(#[from] crate::system::SettingError),
    /// The program of the nodes is not there.
    #[error("there is no program {0}")]
    NoProgram(PathBuf),
    /// Sockets, threads or files of the harness.
    #[error("{what}")]
    Harness {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A folder of a node.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No port is free.
    #[error(transparent)]
    Ports(#[from] NoFreePort),
    /// A node cannot be started.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A node ended before the cluster was ready.
    #[error("{node} ended at start ({status}); its last words:\n    {last_words}")]
    NodeDied {
        /// Which.
        node: NodeId,
        /// How.
        status: String,
        /// What it wrote to stderr.
        last_words: String,
    },
    /// No leader, or not all nodes in sync.
    #[error("the cluster was not ready within {limit}: {state}")]
    NotReady {
        /// How long was waited.
        limit: Nanos,
        /// The cluster in words.
        state: String,
    },
    /// Something has killed the reaper.
    #[error("the reaper is gone, and all nodes with it: something outside has killed it")]
    Gone,
    /// The disk of the results is full, or nearly.
    #[error(
        "only {left} are left on the disk of {}, and a run needs {needed}: make room, or write the \
         results elsewhere with --out DIR",
        folder.display()
    )]
    NoSpace {
        /// The folder on that disk.
        folder: PathBuf,
        /// For people.
        left: String,
        /// For people.
        needed: String,
    },
    /// A register cannot be created.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The load cannot be started.
    #[error(transparent)]
    Load(#[from] crate::load::LoadError),
}

/// What exists before anything is started: results are written from here on.
pub(super) struct Opened {
    pub(super) folder: RunFolder,
    pub(super) recording: Recording,
    /// The check that runs meanwhile, if it does.
    pub(super) watch: Option<Watch>,
    pub(super) parts: Parts,
}

/// What the stage is made from.
pub(super) struct Parts {
    folder: RunFolder,
    clock: RunClock,
    recorder: Recorder,
}

/// Makes the results folder with the plan and the facts, and opens the streams.
pub(super) fn open(request: &Request) -> Result<Opened, RunError> {
    let plan = &request.plan;
    let clock = RunClock::start();
    let utc = utc_now();
    let salt = u16::try_from(clock.origin() >> 10 & 0xffff).unwrap_or(0);
    let folder = RunFolder::create(
        &request.out,
        RunName {
            utc,
            plan: &plan.name,
            salt,
        },
    )?;
    folder.write(names::PLAN, |out| out.write_all(request.text.as_bytes()))?;
    let resolved = plan.to_resolved_yaml();
    folder.write(names::RESOLVED_PLAN, |out| {
        out.write_all(resolved.as_bytes())
    })?;
    folder.save_facts(&RunFacts {
        schema: RunFacts::SCHEMA.to_owned(),
        run_id: folder.run_id().to_owned(),
        plan: facts_of(request),
        expect: expectations(plan),
        environment: environment(utc.to_string()),
        reproduce: request.reproduce.clone(),
        ended: None,
        interrupted: None,
    })?;
    let header = Header {
        model: None,
        clock_origin: Some(clock.origin()),
        plan: Some(plan.name.clone()),
        seed: Some(request.seed),
    };
    let (history, events) = (folder.file(names::HISTORY), folder.file(names::EVENTS));
    let harness = |what| move |source| RunError::Harness { what, source };
    let (tap, watch) = if plan.is_checked_online() {
        let (tap, watch) = online::start().map_err(harness("start the check"))?;
        (Some(tap), Some(watch))
    } else {
        (None, None)
    };
    let (recorder, recording) = Recorder::start(&history, &events, &header, tap)
        .map_err(harness("open history and events"))?;
    recorder.event(
        clock.now(),
        EventKind::Phase {
            phase: "setup".to_owned(),
        },
    );
    let parts = Parts {
        folder: folder.clone(),
        clock,
        recorder,
    };
    Ok(Opened {
        folder,
        recording,
        watch,
        parts,
    })
}

/// The plan's expectations; the safety checks if it has none.
fn expectations(plan: &Plan) -> Vec<String> {
    if plan.expect.is_empty() {
        return SAFETY.iter().map(|text| (*text).to_owned()).collect();
    }
    let texts = plan.expect.iter().map(|expectation| &expectation.text);
    texts.cloned().collect()
}

/// The plan as reports show it.
#[must_use]
pub fn facts_of(request: &Request) -> PlanFacts {
    let plan = &request.plan;
    PlanFacts {
        name: plan.name.clone(),
        about: plan.about.clone(),
        path: request.path.clone(),
        system: plan.cluster.system.clone(),
        nodes: plan.cluster.nodes,
        clients: plan.workload.clients,
        rate: plan.workload.rate,
        trials: plan.trials(),
        seed: request.seed,
        probe_every: plan.probe.as_ref().map(|probe| probe.every),
        probe_deadline: plan
            .probe
            .as_ref()
            .map_or(Nanos::from_millis(50), |p| p.deadline),
        timeout: plan.workload.timeout,
        bug: plan.cluster.planted_bug().map(str::to_owned),
    }
}

/// Opens links, starts the reaper and all nodes.
pub(super) async fn stage(
    request: &Request,
    parts: Parts,
    progress: &Rc<dyn Progress>,
) -> Result<(Stage, Incoming), SetupError> {
    let plan = &request.plan;
    let Parts {
        folder,
        clock,
        recorder,
    } = parts;
    let seed = Seed(request.seed);
    let harness = |what| move |source| SetupError::Harness { what, source };
    let reaper = Reaper::start(&request.executable, folder.run_id()).await;
    let reaper = reaper.map_err(harness("start the reaper"))?;
    let (network, dialer) = network(plan, seed, &reaper, &folder).await?;
    let system = system_of(request, dialer)?;
    let layouts = lay_out(plan, &folder, &network, &*system, clock.origin()).await?;
    let traces = traces(&layouts, &*system, clock).map_err(harness("follow the nodes' traces"))?;
    let journal = folder.file(names::LEDGER);
    let nodes = describe(request, &layouts, &*system);
    let (events, processes) = mpsc::unbounded_channel();
    let cluster = Cluster::new(Setup {
        nodes,
        network: network.clone(),
        reaper,
        clock,
        events,
        journal,
    })?;
    let voters = plan.cluster.nodes;
    let context = super::judge::context(&facts_of(request));
    let stage = Stage {
        seed,
        voters,
        clock,
        recorder,
        system,
        cluster: Mutex::new(Some(cluster)),
        network,
        folders: layouts.folders(),
        folder: absolute(&folder.path())?,
        direct: layouts.direct,
        linked: layouts.linked,
        _ports: layouts.ports,
        keys: (1..=plan.workload.keys.count)
            .map(|k| format!("k{k}"))
            .collect(),
        probed: plan
            .probe
            .as_ref()
            .map_or([false; 2], |probe| [probe.read, probe.write]),
        context,
        board: Arc::new(Board::new(voters)),
        load: RefCell::new(None),
        tracker: RefCell::new(Tracker::new(voters)),
        changed: Notify::new(),
        alarm: watch::Sender::new(None),
        so_far: RefCell::default(),
        heard: RefCell::default(),
        progress: Rc::clone(progress),
    };
    Ok((
        stage,
        Incoming {
            traces,
            processes,
            restart: plan.cluster.restart,
        },
    ))
}

fn traces(layouts: &Layouts, system: &dyn System, clock: RunClock) -> io::Result<Traces> {
    let traces = layouts.nodes.iter();
    let traces = traces.filter_map(|(node, layout)| system.launch(*node, layout).trace);
    Traces::follow(&traces.collect::<Vec<_>>(), clock)
}

/// What carries the data, as the plan wants it, and how the harness dials there.
async fn network(
    plan: &Plan,
    seed: Seed,
    reaper: &Reaper,
    folder: &RunFolder,
) -> Result<(Network, Dialer), SetupError> {
    let harness = |what| move |source| SetupError::Harness { what, source };
    match plan.network {
        plan::Network::Proxy => {
            let links = Links::start(seed).map_err(harness("start the links"))?;
            Ok((Network::Proxy(Arc::new(links)), Dialer::default()))
        }
        plan::Network::Packet => {
            let start = harness("start the packet switch");
            let (ours, theirs) = parcel::pair().map_err(harness("talk to the packet switch"))?;
            let (nodes, seed) = (plan.cluster.nodes.to_string(), seed.0.to_string());
            let args = vec![SWITCH_COMMAND.to_owned(), nodes, seed];
            let log = std::path::absolute(folder.file(SWITCH_LOG));
            let log = log.map_err(harness("name a file"))?;
            reaper.helper(args, &theirs, &log).await.map_err(start)?;
            drop(theirs);
            let switch = Switch::attach(ours).await.map_err(ClusterError::Switch)?;
            let switch = Arc::new(switch);
            let sockets: Arc<dyn Sockets> = Arc::<Switch>::clone(&switch);
            Ok((Network::Packet(switch), Dialer::elsewhere(sockets)))
        }
    }
}

/// How all nodes are to be started.
fn describe(request: &Request, layouts: &Layouts, system: &dyn System) -> Vec<NodeSpec> {
    let faults = request.plan.faults();
    let needs = Needs {
        clocks: faults
            .iter()
            .any(|fault| matches!(fault, FaultSpec::Clock(_))),
        disks: faults.iter().any(|fault| fault.as_dyn().needs_disk()),
    };
    let nodes = layouts.nodes.iter();
    nodes
        .map(|(node, layout)| spec(system, *node, layout, needs))
        .collect()
}

fn system_of(request: &Request, dialer: Dialer) -> Result<Arc<dyn System>, SetupError> {
    let cluster = &request.plan.cluster;
    let linear = request.plan.workload.reads == plan::Reads::Linear;
    if let Some(program) = &cluster.node_bin
        && !FilePath::new(program).is_file()
    {
        return Err(SetupError::NoProgram(PathBuf::from(program)));
    }
    let executable = request.executable.clone();
    if cluster.system == "stub" {
        return Ok(Arc::new(Stub::new(executable, &cluster.config, dialer)?));
    }
    let zab = Zab::new(executable, linear, &cluster.config)?;
    Ok(Arc::new(zab.by(dialer)))
}

/// Starts the nodes, waits until all are in sync, creates the registers, starts the load.
pub(super) async fn ready(stage: &Rc<Stage>, request: &Request) -> Result<(), SetupError> {
    stage.progress.now("starting the cluster");
    for node in NodeId::all(stage.voters) {
        if let Some(mut cluster) = stage.cluster().await {
            cluster.start(node).await?;
        }
    }
    let leader = in_sync(stage).await?;
    stage.record(EventKind::Phase {
        phase: "ready".to_owned(),
    });
    let voters = stage.voters;
    let epoch = stage.view().node(leader).map_or(0, |view| view.epoch);
    stage.tell(
        "ready",
        &format!("{leader} leads epoch {epoch}, {voters} of {voters} in sync"),
    );
    let values = create_registers(stage, leader).await?;
    stage.record(EventKind::Phase {
        phase: "load".to_owned(),
    });
    let load = Load::start(load_settings(stage, &request.plan, values))?;
    stage.load.replace(Some(load));
    Ok(())
}

/// Waits until all nodes are in sync: the leader.
async fn in_sync(stage: &Stage) -> Result<NodeId, SetupError> {
    let deadline = stage.clock.now() + READY_LIMIT;
    let died = || {
        stage
            .so_far
            .borrow()
            .iter()
            .find_map(|event| match &event.kind {
                EventKind::ProcessExited {
                    node,
                    status,
                    asked: false,
                } => Some((*node, *status)),
                _ => None,
            })
    };
    let found = stage
        .until(deadline, || {
            let leader = stage.tracker.borrow().all_in_sync();
            leader.map(Ok).or_else(|| died().map(Err))
        })
        .await;
    match found {
        Some(Ok(leader)) => Ok(leader),
        Some(Err((node, status))) => Err(SetupError::NodeDied {
            node,
            status: format!("{status:?}"),
            last_words: last_words(stage, node),
        }),
        None => Err(SetupError::NotReady {
            limit: READY_LIMIT,
            state: stage.describe(),
        }),
    }
}

async fn create_registers(stage: &Stage, leader: NodeId) -> Result<Vec<Value>, SetupError> {
    let registers = stage.registers();
    Ok(registers
        .create(leader, stage.linked[&leader], stage.voters)
        .await?)
}

fn load_settings(stage: &Stage, plan: &Plan, values: Vec<Value>) -> LoadSettings {
    let workload = &plan.workload;
    let first_value = i64::try_from(values.len())
        .unwrap_or(i64::MAX)
        .saturating_add(1);
    let parameters = RegisterParameters {
        keys: workload.keys.count,
        pick: match workload.keys.pick {
            plan::Pick::Uniform => KeyPick::Uniform,
            plan::Pick::Zipf => KeyPick::Zipf,
        },
        read: workload.mix.read,
        write: workload.mix.write,
    };
    let stream = stage.seed.stream("workload");
    LoadSettings {
        system: Arc::clone(&stage.system),
        nodes: stage.linked.clone(),
        keys: stage.keys.clone(),
        generator: Box::new(Register::new(parameters, values, first_value, stream)),
        workers: WorkerSettings {
            count: workload.clients,
            rate: workload.rate,
            timeout: workload.timeout,
            pin: match workload.pin {
                plan::Pin::Roam => Pin::Roam,
                plan::Pin::Spread => Pin::Spread,
                plan::Pin::Leader => Pin::Leader,
            },
        },
        probes: plan.probe.as_ref().map(|probe| ProbeSettings {
            every: probe.every,
            deadline: probe.deadline,
            timeout: probe.timeout,
            kinds: [probe.read, probe.write],
        }),
        first_process: FIRST_PROCESS,
        seed: stage.seed,
        clock: stage.clock,
        recorder: stage.recorder.clone(),
        board: Arc::clone(&stage.board),
    }
}

/// What the network adds to a round trip, and whether rules do what they say; `None`, with a
/// warning, if it cannot be measured. Before any fault is in force.
pub(super) async fn self_test(stage: &Stage) -> Option<SelfTest> {
    let tested = stage.network.self_test().await;
    tested
        .inspect_err(|error| stage.warn(&format!("the links could not be tried: {error}")))
        .ok()
}

/// A cluster of bundled nodes is ready within a second; a busy machine gets more.
const READY_LIMIT: Nanos = Nanos::from_secs(30);

/// In the run's folder: what the packet switch complains of.
const SWITCH_LOG: &str = "switch.log";
