//! The cluster with real processes: faults land, and nothing outlives the harness.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chaos::clock::{Nanos, RunClock};
use chaos::cluster::{
    Cluster, ClusterError, Effect, Ending, Journal, NodeSpec, ProcessState, Reaper, Setup,
};
use chaos::history::{Event, EventKind, ExitStatus};
use chaos::id::{FaultId, NodeId};
use chaos::link::{Endpoint, LinkId, Links, Rule};
use chaos::seed::Seed;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");
/// Whatever a test waits for comes within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(30);
const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);

type Tested = Result<(), Box<dyn std::error::Error>>;

fn run(test: impl Future<Output = Tested>) -> Tested {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async { timeout(DEADLINE, test).await? })
}

/// A cluster of shell scripts.
struct Stage {
    cluster: Cluster,
    events: mpsc::UnboundedReceiver<Event>,
    reaper: u32,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new(scripts: &[(NodeId, &str)]) -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let nodes = scripts
            .iter()
            .map(|(id, script)| node(*id, script, folder.path()))
            .collect();
        let reaper = Reaper::start(Path::new(CHAOS)).await?;
        let (sender, events) = mpsc::unbounded_channel();
        let reaper_pid = reaper.pid();
        let cluster = Cluster::new(Setup {
            nodes,
            links: Arc::new(Links::start(Seed(1))?),
            reaper,
            clock: RunClock::start(),
            events: sender,
            journal: folder.path().join("ledger.jsonl"),
        })?;
        Ok(Self {
            cluster,
            events,
            reaper: reaper_pid,
            folder,
        })
    }

    async fn started(scripts: &[(NodeId, &str)]) -> Result<Self, Box<dyn std::error::Error>> {
        let mut stage = Self::new(scripts).await?;
        for (node, _) in scripts {
            stage.cluster.start(*node).await?;
        }
        Ok(stage)
    }

    async fn next(&mut self) -> Result<EventKind, &'static str> {
        self.events
            .recv()
            .await
            .map(|event| event.kind)
            .ok_or("no more events")
    }

    fn state(&self, node: NodeId) -> Option<ProcessState> {
        self.cluster.states().get(&node).copied()
    }

    /// Waits until a node has written this many lines.
    async fn lines(&self, node: NodeId, count: usize) -> Result<Vec<String>, io::Error> {
        loop {
            let text = std::fs::read_to_string(self.folder.path().join(format!("{node}.out")))?;
            if text.lines().count() >= count {
                return Ok(text.lines().map(str::to_owned).collect());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn node(id: NodeId, script: &str, folder: &Path) -> NodeSpec {
    NodeSpec {
        id,
        program: "sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![("NODE".to_owned(), id.to_string())],
        dir: folder.to_owned(),
        stdout: folder.join(format!("{id}.out")),
        stderr: folder.join(format!("{id}.err")),
        listens: Vec::new(),
    }
}

/// A process by its pidfd, so that its end can be awaited whoever its parent is.
struct Watched(std::os::fd::OwnedFd);

impl Watched {
    fn new(pid: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("pid 0")?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    fn has_ended_within_the_deadline(&self) -> io::Result<bool> {
        let mut fds = [rustix::event::PollFd::new(
            &self.0,
            rustix::event::PollFlags::IN,
        )];
        let limit = rustix::time::Timespec::try_from(DEADLINE).map_err(io::Error::other)?;
        Ok(rustix::event::poll(&mut fds, Some(&limit))? == 1)
    }
}

/// A node with a child and a daemon that left its process group and session.
const FAMILY: &str =
    "sleep 600 & echo $!; (setsid sh -c 'echo $$; exec sleep 600' &) ; echo $$; wait";

fn down(node: NodeId) -> Vec<Effect> {
    vec![Effect::Down {
        node,
        how: Ending::Kill,
    }]
}

#[test]
fn when_the_harness_lets_go_no_descendant_survives() -> Tested {
    run(async {
        let stage = Stage::started(&[(N1, FAMILY), (N2, "exec sleep 600")]).await?;
        let mut watched = vec![Watched::new(stage.cluster.pid(N2).ok_or("no pid")?)?];
        for pid in stage.lines(N1, 3).await? {
            watched.push(Watched::new(pid.parse()?)?);
        }
        // All that a SIGKILL of the harness does to the reaper is to close the socket.
        drop(stage);
        for process in watched {
            assert!(process.has_ended_within_the_deadline()?);
        }
        Ok(())
    })
}

#[test]
fn when_the_reaper_is_killed_the_nodes_die_and_the_harness_notices() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        let node = Watched::new(stage.cluster.pid(N1).ok_or("no pid")?)?;
        pidfd_send_signal(&Watched::new(stage.reaper)?.0, Signal::KILL)?;
        assert!(node.has_ended_within_the_deadline()?);
        assert!(matches!(
            stage.next().await?,
            EventKind::ProcessStarted { .. }
        ));
        assert!(matches!(stage.next().await?, EventKind::Warning { .. }));
        let EventKind::ProcessExited { asked: false, .. } = stage.next().await? else {
            return Err("no exit".into());
        };
        let refused = stage.cluster.start(N1).await;
        assert!(
            matches!(refused, Err(ClusterError::NotStarted { .. })),
            "{refused:?}"
        );
        Ok(())
    })
}

#[test]
fn the_reaper_ignores_the_signals_of_a_terminal() -> Tested {
    run(async {
        let mut stage = Stage::new(&[(N1, "exec sleep 600")]).await?;
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
            pidfd_send_signal(&Watched::new(stage.reaper)?.0, signal)?;
        }
        stage.cluster.start(N1).await?;
        Ok(())
    })
}

#[test]
fn a_node_starts_with_a_clean_slate() -> Tested {
    run(async {
        let script = "echo $NODE; pwd; ls /proc/$$/fd | tr '\\n' ' '; echo; \
             grep -E '^Sig(Blk|Ign)' /proc/$$/status; ps -o pgid= -p $$; echo $$; exec sleep 600";
        let stage = Stage::started(&[(N1, script)]).await?;
        let lines = stage.lines(N1, 7).await?;
        assert_eq!(lines[0], "n1");
        assert_eq!(Path::new(&lines[1]), stage.folder.path().canonicalize()?);
        let fds: Vec<&str> = lines[2].split(' ').filter(|fd| !fd.is_empty()).collect();
        assert_eq!(fds, ["0", "1", "2"], "an open file was inherited");
        assert_eq!(lines[3], "SigBlk:\t0000000000000000");
        // Above 31 lie the C library's own signals, which no program can set back.
        let ignored = u64::from_str_radix(lines[4].trim_start_matches("SigIgn:\t"), 16)?;
        assert_eq!(
            ignored & 0x7fff_ffff,
            0,
            "a signal is ignored from the start"
        );
        assert_eq!(lines[5].trim(), lines[6], "no process group of its own");
        Ok(())
    })
}

#[test]
fn a_kill_lands_and_a_start_heals_it() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        let landing = stage.cluster.begin(FaultId(1), down(N1)).await?;
        assert!(landing.asked_at <= landing.landed_at);
        assert_eq!(stage.state(N1), Some(ProcessState::Down));
        let again = stage
            .cluster
            .begin(FaultId(2), down(N1))
            .await
            .map_err(|m| m.reason);
        assert_eq!(again, Err("n1 is already down".to_owned()));
        let healed = stage.cluster.start_node(N1).await?;
        assert_eq!(healed.faults, [FaultId(1)]);
        assert_eq!(stage.state(N1), Some(ProcessState::Running));
        assert_eq!(stage.cluster.incarnation(N1), 2);
        let kinds = [
            stage.next().await?,
            stage.next().await?,
            stage.next().await?,
        ];
        assert!(matches!(
            kinds[0],
            EventKind::ProcessStarted { incarnation: 1, .. }
        ));
        let killed = ExitStatus::Signal(9);
        assert_eq!(
            kinds[1],
            EventKind::ProcessExited {
                node: N1,
                status: killed,
                asked: true
            }
        );
        assert!(matches!(
            kinds[2],
            EventKind::ProcessStarted { incarnation: 2, .. }
        ));
        let journal = std::fs::read_to_string(stage.folder.path().join("ledger.jsonl"))?;
        assert!(Journal::unhealed(&journal)?.is_empty());
        Ok(())
    })
}

#[test]
fn a_death_by_itself_is_reported_and_not_undone() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exit 3"), (N2, "exec sleep 600")]).await?;
        let status = loop {
            if let EventKind::ProcessExited { status, asked, .. } = stage.next().await? {
                break (status, asked);
            }
        };
        assert_eq!(status, (ExitStatus::Code(3), false));
        stage
            .cluster
            .begin(FaultId(1), vec![Effect::Paused(N2)])
            .await?;
        let pid = stage.cluster.pid(N2).ok_or("no pid")?;
        pidfd_send_signal(&Watched::new(pid)?.0, Signal::KILL)?;
        while !matches!(stage.next().await?, EventKind::ProcessExited { .. }) {}
        stage.cluster.end(FaultId(1)).await?;
        assert_eq!(stage.cluster.heal_all().await?.faults, []);
        assert_eq!(stage.state(N1), Some(ProcessState::Down));
        assert_eq!(stage.state(N2), Some(ProcessState::Down));
        Ok(())
    })
}

#[test]
fn a_pause_lands_and_overlaps_with_a_kill() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        stage
            .cluster
            .begin(FaultId(1), vec![Effect::Paused(N1)])
            .await?;
        let pid = stage.cluster.pid(N1).ok_or("no pid")?;
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat"));
        assert!(stat()?.contains(") T "));
        assert_eq!(stage.state(N1), Some(ProcessState::Paused));
        let again = stage
            .cluster
            .begin(FaultId(2), vec![Effect::Paused(N1)])
            .await;
        assert!(again.is_err());
        assert_eq!(stage.cluster.resume_node(N1).await?.faults, [FaultId(1)]);
        assert!(!stat()?.contains(") T "));
        stage
            .cluster
            .begin(FaultId(3), vec![Effect::Paused(N1)])
            .await?;
        stage.cluster.begin(FaultId(4), down(N1)).await?;
        assert_eq!(stage.state(N1), Some(ProcessState::Down));
        stage.cluster.end(FaultId(4)).await?;
        assert_eq!(stage.state(N1), Some(ProcessState::Paused));
        assert_eq!(stage.cluster.heal_all().await?.faults, [FaultId(3)]);
        assert_eq!(stage.state(N1), Some(ProcessState::Running));
        Ok(())
    })
}

#[test]
fn a_termination_gives_a_grace_even_to_a_paused_node() -> Tested {
    run(async {
        let polite = "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done";
        let stubborn = "trap '' TERM; echo up; while :; do sleep 0.01; done";
        let mut stage = Stage::started(&[(N1, polite), (N2, stubborn)]).await?;
        stage.lines(N1, 1).await?;
        stage.lines(N2, 1).await?;
        stage
            .cluster
            .begin(FaultId(1), vec![Effect::Paused(N1)])
            .await?;
        stage.cluster.terminate(N1, Nanos::from_secs(20)).await?;
        let how = Ending::Terminate {
            grace: Nanos::from_millis(20),
        };
        stage
            .cluster
            .begin(FaultId(2), vec![Effect::Down { node: N2, how }])
            .await?;
        let mut ends = BTreeMap::new();
        while ends.len() < 2 {
            if let EventKind::ProcessExited {
                node,
                status,
                asked: true,
            } = stage.next().await?
            {
                ends.insert(node, status);
            }
        }
        assert_eq!(
            ends,
            BTreeMap::from([(N1, ExitStatus::Code(7)), (N2, ExitStatus::Signal(9))])
        );
        Ok(())
    })
}

#[test]
fn a_loss_of_power_is_one_fault_that_a_start_heals() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600"), (N2, "exec sleep 600")]).await?;
        let link = LinkId::new(Endpoint::Node(N1), Endpoint::Node(N2));
        let mut effects = down(N1);
        for link in [link, link.reversed()] {
            effects.push(Effect::Link {
                link,
                rule: Rule::Cut,
            });
        }
        stage.cluster.begin(FaultId(1), effects).await?;
        assert!(stage.cluster.ledger().is_cut(link.from, link.to));
        assert_eq!(stage.cluster.start_node(N1).await?.faults, [FaultId(1)]);
        assert!(stage.cluster.ledger().rules().is_empty());
        Ok(())
    })
}

#[test]
fn what_cannot_be_done_is_refused_and_leaves_no_trace() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        let missing = stage
            .cluster
            .begin(FaultId(1), down(N2))
            .await
            .map_err(|m| m.reason);
        assert_eq!(missing, Err("there is no node n2".to_owned()));
        let empty = stage
            .cluster
            .begin(FaultId(2), Vec::new())
            .await
            .map_err(|m| m.reason);
        assert_eq!(empty, Err("it has no effect".to_owned()));
        let wild = Rule::Drop {
            loss: 2.0,
            layer: chaos::link::DropLayer::Stall,
        };
        let link = LinkId::new(Endpoint::Clients, Endpoint::Node(N1));
        let mut effects = down(N1);
        effects.push(Effect::Link { link, rule: wild });
        assert!(stage.cluster.begin(FaultId(3), effects).await.is_err());
        assert_eq!(
            stage.state(N1),
            Some(ProcessState::Running),
            "links come before processes"
        );
        assert!(stage.cluster.ledger().in_force().is_empty());
        assert!(matches!(
            stage.cluster.start(N1).await,
            Err(ClusterError::NotDown(N1))
        ));
        stage.cluster.shutdown().await?;
        Ok(())
    })
}

#[test]
fn a_program_that_does_not_exist_is_an_error_of_that_node() -> Tested {
    run(async {
        let mut stage = Stage::new(&[(N1, "exec sleep 600")]).await?;
        let mut spec = node(N1, "", stage.folder.path());
        spec.program = "/nonexistent/program".into();
        stage.cluster.respecify(spec)?;
        let error = stage
            .cluster
            .start(N1)
            .await
            .map_err(|error| error.to_string());
        let text = "n1 cannot be started: No such file or directory (os error 2)";
        assert_eq!(error, Err(text.to_owned()));
        let mut spec = node(N1, "", stage.folder.path());
        spec.listens = vec![([192, 0, 2, 1], 80).into()];
        assert!(matches!(
            stage.cluster.respecify(spec),
            Err(ClusterError::NotLoopback { .. })
        ));
        Ok(())
    })
}

#[test]
fn a_shutdown_leaves_nothing() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, FAMILY), (N2, "exec sleep 600")]).await?;
        let mut watched = vec![Watched::new(stage.reaper)?];
        for pid in stage.lines(N1, 3).await? {
            watched.push(Watched::new(pid.parse()?)?);
        }
        stage.cluster.shutdown().await?;
        for process in watched {
            assert!(process.has_ended_within_the_deadline()?);
        }
        let mut asked = 0;
        while let Ok(event) = stage.events.try_recv() {
            asked += u32::from(matches!(
                event.kind,
                EventKind::ProcessExited { asked: true, .. }
            ));
        }
        assert_eq!(asked, 2);
        Ok(())
    })
}
