//! Nodes that go on, hampered, and harm that is done once.

use chaos::clock::Nanos;
use chaos::cluster::{Damage, Effect, Harm, Journal, ProcessState};
use chaos::id::FaultId;

use crate::stage::{N1, Stage, Tested, down, run};

const SHARE: f64 = 0.2;

fn stutter() -> Vec<Effect> {
    vec![Effect::Stutter {
        node: N1,
        share: SHARE,
        period: Nanos::from_millis(20),
    }]
}

/// The state letter of a process.
fn letter(pid: u32) -> std::io::Result<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
    Ok(fields.chars().next().unwrap_or('?'))
}

/// Looks until the process was seen both stopped and going on.
async fn is_seen_to_stutter(pid: u32) -> std::io::Result<()> {
    let mut seen = [false; 2];
    while seen != [true; 2] {
        seen[usize::from(letter(pid)? == 'T')] = true;
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[test]
fn a_stutter_stops_and_lets_go_until_it_ends() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        let pid = stage.cluster.pid(N1).ok_or("no pid")?;
        stage.cluster.begin(FaultId(1), stutter()).await?;
        is_seen_to_stutter(pid).await?;
        // A pause on top holds still; when it ends the stutter goes on.
        let pause = vec![Effect::Paused(N1)];
        stage.cluster.begin(FaultId(2), pause).await?;
        assert_eq!(letter(pid)?, 'T');
        assert_eq!(stage.state(N1), Some(ProcessState::Paused));
        stage.cluster.end(FaultId(2)).await?;
        is_seen_to_stutter(pid).await?;
        assert_eq!(stage.cluster.heal_all().await?.faults, [FaultId(1)]);
        assert_eq!(stage.state(N1), Some(ProcessState::Running));
        while letter(pid)? == 'T' {
            tokio::task::yield_now().await;
        }
        Ok(())
    })
}

#[test]
fn a_stutter_outlives_its_process_and_hampers_the_next_one() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        stage.cluster.begin(FaultId(1), stutter()).await?;
        stage.cluster.begin(FaultId(2), down(N1)).await?;
        stage.cluster.end(FaultId(2)).await?;
        is_seen_to_stutter(stage.cluster.pid(N1).ok_or("no pid")?).await?;
        stage.cluster.begin(FaultId(3), down(N1)).await?;
        assert!(stage.cluster.begin(FaultId(4), stutter()).await.is_err());
        stage.cluster.heal_all().await?;
        assert_eq!(stage.state(N1), Some(ProcessState::Running));
        Ok(())
    })
}

#[test]
fn the_lowest_limit_of_descriptors_counts_and_the_old_one_comes_back() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        let limit = |soft| vec![Effect::FdLimit { node: N1, soft }];
        let soft = |pid: Option<u32>| -> Result<String, Box<dyn std::error::Error>> {
            let pid = pid.ok_or("no pid")?;
            let text = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
            let line = text.lines().find(|line| line.starts_with("Max open files"));
            let field = line.and_then(|line| line.split_ascii_whitespace().nth(3));
            Ok(field.ok_or("no limit")?.to_owned())
        };
        let before = soft(stage.cluster.pid(N1))?;
        stage.cluster.begin(FaultId(1), limit(60)).await?;
        stage.cluster.begin(FaultId(2), limit(40)).await?;
        assert_eq!(soft(stage.cluster.pid(N1))?, "40");
        stage.cluster.end(FaultId(2)).await?;
        assert_eq!(soft(stage.cluster.pid(N1))?, "60");
        stage.cluster.begin(FaultId(3), down(N1)).await?;
        stage.cluster.end(FaultId(3)).await?;
        assert_eq!(soft(stage.cluster.pid(N1))?, "60", "a new process too");
        stage.cluster.heal_all().await?;
        assert_eq!(soft(stage.cluster.pid(N1))?, before);
        Ok(())
    })
}

#[test]
fn harm_is_done_once_and_leaves_nothing_in_force() -> Tested {
    run(async {
        let mut stage = Stage::started(&[(N1, "echo 12345 > log; exec sleep 600")]).await?;
        let dir = stage.cluster.nodes().next().ok_or("no node")?.dir.clone();
        while std::fs::read(dir.join("log")).ok().as_deref() != Some(b"12345\n") {
            tokio::task::yield_now().await;
        }
        let damage = |path: &str| Damage::File {
            node: N1,
            path: path.to_owned(),
            harm: Harm::CutOff { bytes: 3 },
        };
        let (there, not_there) = ([damage("lo*")], [damage("nothing")]);
        let missed = stage.cluster.begin_with(FaultId(1), Vec::new(), &not_there);
        assert!(missed.await.is_err());
        stage
            .cluster
            .begin_with(FaultId(2), Vec::new(), &there)
            .await?;
        assert_eq!(std::fs::read(dir.join("log"))?, b"123");
        assert!(stage.cluster.ledger().in_force().is_empty());
        let journal = std::fs::read_to_string(stage.folder.path().join("ledger.jsonl"))?;
        assert!(Journal::unhealed(&journal)?.is_empty());
        Ok(())
    })
}

#[test]
fn connections_are_struck_only_where_there_are_any() -> Tested {
    use chaos::link::{Endpoint, LinkId};
    run(async {
        let mut stage = Stage::started(&[(N1, "exec sleep 600")]).await?;
        let link = LinkId::new(Endpoint::Clients, Endpoint::Node(N1));
        for damage in [Damage::Reset { link }, Damage::HalfOpen { link }] {
            let begun = stage
                .cluster
                .begin_with(FaultId(1), Vec::new(), &[damage])
                .await;
            let missed = begun.expect_err("there is no connection");
            assert!(missed.reason.contains("clients->n1"), "{missed}");
        }
        Ok(())
    })
}
