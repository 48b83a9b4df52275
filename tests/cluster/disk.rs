//! Nodes whose data lies on a disk that faults can reach. Where none can be mounted, each test says
//! so and ends.

use std::io::Write;

use chaos::clock::Nanos;
use chaos::cluster::{ClusterError, Effect, Ending, Trigger};
use chaos::disk::{Act, Calls, DiskError, Failure, Lost, Op, Rule, Torn};
use chaos::id::FaultId;

use crate::stage::{N1, Stage, Tested, down, node, run};

/// A stage with one node that runs this script; its disk is the folder `disk`.
async fn started(script: &str) -> Result<Option<Stage>, Box<dyn std::error::Error>> {
    let mut stage = Stage::new(&[(N1, script)]).await?;
    let mut spec = node(N1, script, stage.folder.path());
    spec.disk = Some(stage.folder.path().join("disk"));
    stage.cluster.respecify(spec)?;
    match stage.cluster.start(N1).await {
        Ok(_) => Ok(Some(stage)),
        Err(ClusterError::Disk {
            source: DiskError::Unavailable(why),
            ..
        }) => {
            // Shown also where the test passes.
            let _ = writeln!(std::io::stderr(), "not tested: {why}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn read(stage: &Stage, name: &str) -> std::io::Result<String> {
    std::fs::read_to_string(stage.folder.path().join("disk").join(name))
}

fn rule(op: Op, nth: u64, act: Act) -> Rule {
    let calls = Calls {
        nth,
        ..Calls::every(op)
    };
    Rule { calls, act }
}

fn wrong(op: Op, nth: u64, act: Act) -> Vec<Effect> {
    let rule = rule(op, nth, act);
    vec![Effect::Disk { node: N1, rule }]
}

fn power_loss() -> Vec<Effect> {
    let how = Ending::PowerLoss;
    vec![Effect::Down { node: N1, how }]
}

/// Writes, syncs, and does more that it does not sync.
const WRITER: &str = "cd disk; printf old > gone; printf durable > a; printf 12345 > b; sync gone a b; \
                      printf ' lost' >> a; printf X | dd of=b bs=1 seek=2 conv=notrunc 2>&-; \
                      printf new > c; rm gone; mv a moved; echo done; exec sleep 600";

#[test]
fn a_power_failure_takes_what_was_not_synced_and_a_kill_takes_nothing() -> Tested {
    run(async {
        let Some(mut stage) = started(WRITER).await? else {
            return Ok(());
        };
        stage.lines(N1, 1).await?;
        stage.cluster.begin(FaultId(1), down(N1)).await?;
        assert_eq!(read(&stage, "moved")?, "durable lost");
        assert_eq!(read(&stage, "b")?, "12X45");
        assert_eq!(read(&stage, "c")?, "new");
        assert!(read(&stage, "gone").is_err());
        let landing = stage.cluster.begin(FaultId(2), power_loss()).await;
        assert!(landing.is_err(), "it has no process");
        // The second process finds what the first one left, and does the same again: its sync
        // makes the names of before durable, but not what was in the files.
        stage.cluster.end(FaultId(1)).await?;
        stage.lines(N1, 2).await?;
        let landing = stage.cluster.begin(FaultId(3), power_loss()).await?;
        let lost = landing.lost.ok_or("nothing was measured")?;
        assert_eq!(read(&stage, "a")?, "durable");
        assert_eq!(read(&stage, "b")?, "12345");
        assert_eq!(read(&stage, "gone")?, "old");
        assert_eq!(read(&stage, "moved")?, "durable");
        assert_eq!(read(&stage, "c")?, "");
        assert_eq!(lost.names, 2, "gone was removed, a moved: {lost:?}");
        Ok(())
    })
}

#[test]
fn calls_fail_from_the_nth_on_and_work_again_afterwards() -> Tested {
    let script =
        "cd disk; : > a; while read -r _ < ../go; do sync a 2>&- && echo ok || echo bad; done";
    run(async {
        let Some(mut stage) = started(script).await? else {
            return Ok(());
        };
        let go = stage.folder.path().join("go");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &go,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )?;
        // The node may have looked for the pipe before it was there.
        stage.cluster.begin(FaultId(1), down(N1)).await?;
        stage.cluster.end(FaultId(1)).await?;
        let fails = wrong(Op::Fsync, 2, Act::Fail(Failure::Eio));
        stage.cluster.begin(FaultId(2), fails).await?;
        for turn in 1..=3 {
            std::fs::write(&go, "\n")?;
            stage.lines(N1, turn).await?;
        }
        let healed = stage.cluster.end(FaultId(2)).await?;
        let met = healed.met.get(&FaultId(2)).ok_or("nothing was counted")?;
        assert_eq!((met.calls, met.hits), (3, 2));
        std::fs::write(&go, "\n")?;
        assert_eq!(stage.lines(N1, 4).await?, ["ok", "bad", "bad", "ok"]);
        Ok(())
    })
}

#[test]
fn a_node_that_waits_for_its_disk_can_be_killed() -> Tested {
    let script = "cd disk; : > a; echo began; sync a; echo not reached; exec sleep 600";
    run(async {
        let Some(mut stage) = started("exec sleep 600").await? else {
            return Ok(());
        };
        let slow = wrong(Op::Fsync, 1, Act::Stall(Nanos::from_secs(3600)));
        stage.cluster.begin(FaultId(1), slow).await?;
        stage.cluster.begin(FaultId(2), down(N1)).await?;
        let mut spec = node(N1, script, stage.folder.path());
        spec.disk = Some(stage.folder.path().join("disk"));
        stage.cluster.respecify(spec)?;
        stage.cluster.end(FaultId(2)).await?;
        stage.lines(N1, 1).await?;
        stage.cluster.begin(FaultId(3), down(N1)).await?;
        assert_eq!(stage.lines(N1, 1).await?, ["began"]);
        Ok(())
    })
}

#[test]
fn of_a_torn_write_only_the_kept_parts_reach_the_disk() -> Tested {
    let script = "cd disk; : > a; sync a; echo ready; read -r _ < ../go; printf 112233 >> a; \
                  echo not reached; exec sleep 600";
    run(async {
        let Some(mut stage) = started("exec sleep 600").await? else {
            return Ok(());
        };
        rustix::fs::mknodat(
            rustix::fs::CWD,
            stage.folder.path().join("go"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )?;
        stage.cluster.begin(FaultId(1), down(N1)).await?;
        let mut spec = node(N1, script, stage.folder.path());
        spec.disk = Some(stage.folder.path().join("disk"));
        stage.cluster.respecify(spec)?;
        stage.cluster.end(FaultId(1)).await?;
        stage.lines(N1, 1).await?;
        let torn = Torn {
            parts: 3,
            keep: vec![1, 3],
        };
        let trigger = Trigger {
            node: N1,
            rule: rule(
                Op::Write,
                1,
                Act::PowerFails {
                    after: false,
                    torn: Some(torn),
                },
            ),
            within: Nanos::from_secs(10),
        };
        let armed = stage.cluster.arm(&trigger).await?;
        std::fs::write(stage.folder.path().join("go"), "\n")?;
        armed.struck().await;
        stage.cluster.disarm(armed).await?;
        let landing = stage.cluster.begin(FaultId(2), power_loss()).await?;
        let bytes = std::fs::read(stage.folder.path().join("disk/a"))?;
        assert_eq!(bytes, b"11\x00\x0033");
        let lost = landing.lost.ok_or("nothing was measured")?;
        let expected = Lost {
            files: 1,
            bytes: 2,
            names: 0,
        };
        assert_eq!(lost, expected);
        assert_eq!(stage.lines(N1, 1).await?, ["ready"]);
        Ok(())
    })
}
