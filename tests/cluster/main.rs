//! The cluster with real processes: faults land, and nothing outlives the harness.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chaos::clock::Nanos;
use chaos::cluster::{ClusterError, Effect, Ending, Journal, Ports, ProcessState};
use chaos::history::{EventKind, ExitStatus};
use chaos::id::FaultId;
use chaos::link::{Endpoint, Framing, LinkId, Path as LinkPath, Rule};
use rustix::process::{Pid, Signal, getpgid, pidfd_send_signal};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

mod disk;
mod hamper;
mod stage;

use stage::{FAMILY, N1, N2, Stage, Tested, Watched, down, node, run};

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

/// Set in a child of a test: the child is to be the harness, and is killed.
const BE_THE_HARNESS: &str = "CHAOS_TEST_HARNESS";

/// Starts nodes, says who they are, and waits to be killed.
fn harness_to_be_killed() -> Tested {
    run(async {
        let stage = Stage::started(&[(N1, FAMILY), (N2, "exec sleep 600")]).await?;
        let mut pids = stage.lines(N1, 3).await?;
        pids.push(stage.cluster.pid(N2).ok_or("no pid")?.to_string());
        pids.push(stage.reaper.to_string());
        writeln!(io::stdout(), "\npids {}", pids.join(" "))?;
        std::future::pending().await
    })
}

#[test]
fn when_the_harness_is_killed_no_descendant_survives() -> Tested {
    if std::env::var_os(BE_THE_HARNESS).is_some() {
        return harness_to_be_killed();
    }
    let mut harness = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "when_the_harness_is_killed_no_descendant_survives",
            "--nocapture",
        ])
        .env(BE_THE_HARNESS, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = harness.stdout.take().ok_or("no output")?;
    let pids = BufReader::new(output)
        .lines()
        .find_map(|line| Some(line.ok()?.strip_prefix("pids ")?.to_owned()))
        .ok_or("the harness did not start")?;
    let watched = pids
        .split(' ')
        .map(|pid| Watched::new(pid.parse()?))
        .collect::<Result<Vec<_>, _>>();
    harness.kill()?;
    harness.wait()?;
    let watched = watched?;
    assert_eq!(watched.len(), 5);
    for process in watched {
        assert!(process.has_ended_within_the_deadline()?);
    }
    Ok(())
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
        let EventKind::ProcessExited { asked: true, .. } = stage.next().await? else {
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

/// Linux shares processors between sessions first: in one of its own a node beside a busy harness
/// waits for its turn so long that others take it for dead.
#[test]
fn a_node_stays_in_the_session_of_the_harness_and_out_of_its_process_group() -> Tested {
    run(async {
        let stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        let node = stage.cluster.pid(N1).ok_or("no pid")?;
        for pid in [stage.reaper, node] {
            // The session is 0 where its leader is outside of the process namespace we run in.
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
            assert_eq!(nix::unistd::getsid(Some(pid))?, nix::unistd::getsid(None)?);
            assert_ne!(
                nix::unistd::getpgid(Some(pid))?,
                nix::unistd::getpgid(None)?
            );
        }
        Ok(())
    })
}

#[test]
fn a_node_starts_with_a_clean_slate() -> Tested {
    run(async {
        let mut stage = Stage::new(&[(N1, "")]).await?;
        let mut spec = node(N1, "", stage.folder.path());
        (spec.program, spec.args) = ("sleep".into(), vec!["600".to_owned()]);
        stage.cluster.respecify(spec)?;
        stage.cluster.start(N1).await?;
        let pid = stage.cluster.pid(N1).ok_or("no pid")?;
        let proc = Path::new("/proc").join(pid.to_string());
        assert_eq!(
            proc.join("cwd").read_link()?,
            stage.folder.path().canonicalize()?
        );
        let environment = std::fs::read_to_string(proc.join("environ"))?;
        assert!(
            environment
                .split('\0')
                .any(|variable| variable == "NODE=n1")
        );
        let raw = Pid::from_raw(i32::try_from(pid)?).ok_or("pid 0")?;
        assert_eq!(getpgid(Some(raw))?, raw, "no process group of its own");
        let status = std::fs::read_to_string(proc.join("status"))?;
        for field in ["SigBlk:\t", "SigIgn:\t"] {
            let set = status
                .lines()
                .find_map(|line| line.strip_prefix(field))
                .ok_or(field)?;
            // Above 31 lie the C library's own signals, which no program can set back.
            assert_eq!(
                u64::from_str_radix(set, 16)? & 0x7fff_ffff,
                0,
                "{field}{set}"
            );
        }
        // The program opens its libraries for a moment; what it inherited would stay.
        while std::fs::read_dir(proc.join("fd"))?.count() != 3 {
            tokio::task::yield_now().await;
        }
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
fn a_node_that_forks_stands_still_goes_on_and_dies_as_a_whole() -> Tested {
    run(async {
        let script = "(read p _ </proc/self/stat; echo $p; sh -c 'read p _ </proc/self/stat; \
                      echo $p; exec sleep 600'; :) & wait";
        let mut stage = Stage::started(&[(N1, script)]).await?;
        let pids = stage.lines(N1, 2).await?;
        let watched = pids.iter().map(|pid| Watched::new(pid.parse()?));
        let watched = watched.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?;
        let stopped = |pid: &String| -> io::Result<bool> {
            Ok(std::fs::read_to_string(format!("/proc/{pid}/stat"))?.contains(") T "))
        };
        let pause = vec![Effect::Paused(N1)];
        stage.cluster.begin(FaultId(1), pause).await?;
        for pid in &pids {
            assert!(stopped(pid)?, "{pid} runs");
        }
        stage.cluster.end(FaultId(1)).await?;
        for pid in &pids {
            assert!(!stopped(pid)?, "{pid} stands still");
        }
        stage.cluster.begin(FaultId(2), down(N1)).await?;
        for process in watched {
            assert!(process.has_ended_within_the_deadline()?);
        }
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

/// Set in a child of a test: the child is to be the node that listens at this address.
const BE_THE_NODE: &str = "CHAOS_TEST_LISTEN";

/// A server that answers each connection with one byte.
fn node_that_listens(address: &str) -> Tested {
    let server = TcpListener::bind(address)?;
    loop {
        server.accept()?.0.write_all(b"!")?;
    }
}

/// What a dialer meets at this address.
async fn dial(address: SocketAddr) -> &'static str {
    let dialled = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.read_exact(&mut [0]).await
    };
    match timeout(Duration::from_millis(100), dialled).await {
        Ok(Ok(_)) => "answer",
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => "refused",
        Ok(Err(_)) => "broken",
        Err(_) => "silence",
    }
}

async fn dial_until(address: SocketAddr, wanted: &str) {
    while dial(address).await != wanted {
        tokio::task::yield_now().await;
    }
}

#[test]
fn dials_meet_what_they_would_meet_without_a_proxy() -> Tested {
    if let Ok(address) = std::env::var(BE_THE_NODE) {
        return node_that_listens(&address);
    }
    run(async {
        let mut stage = Stage::new(&[(N1, "")]).await?;
        let mut ports = Ports::new(u64::from(std::process::id()));
        let upstream = SocketAddr::from(([127, 0, 0, 1], ports.take()?));
        let mut spec = node(N1, "", stage.folder.path());
        spec.program = std::env::current_exe()?;
        spec.args = ["--exact", "dials_meet_what_they_would_meet_without_a_proxy"]
            .map(str::to_owned)
            .to_vec();
        spec.env = vec![(BE_THE_NODE.to_owned(), upstream.to_string())];
        spec.listens = vec![upstream];
        stage.cluster.respecify(spec)?;
        let (target, dialer) = (N1, Endpoint::Clients);
        let path = LinkPath {
            dialer,
            target,
            upstream,
            framing: Framing::Opaque,
        };
        let address = stage.links.open(path).await?;
        assert_eq!(dial(address).await, "refused");
        stage.cluster.start(N1).await?;
        dial_until(address, "answer").await;
        stage
            .cluster
            .begin(FaultId(1), vec![Effect::Paused(N1)])
            .await?;
        assert_eq!(dial(address).await, "silence");
        stage.cluster.end(FaultId(1)).await?;
        dial_until(address, "answer").await;
        stage.cluster.begin(FaultId(2), down(N1)).await?;
        dial_until(address, "refused").await;
        stage.cluster.start_node(N1).await?;
        dial_until(address, "answer").await;
        let link = LinkId::new(Endpoint::Node(N1), Endpoint::Clients);
        let mut power_off = down(N1);
        power_off.push(Effect::Link {
            link,
            rule: Rule::Cut,
        });
        stage.cluster.begin(FaultId(3), power_off).await?;
        assert_eq!(dial(address).await, "silence");
        stage.cluster.heal_all().await?;
        dial_until(address, "answer").await;
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
