//! The main job through the public binary, on real processes: short, but whole.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test helper may fail loudly"
)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const PLAN: &str = "\
version: 1
name: short
seed: 7
cluster: {system: zab, nodes: 3}
workload: {clients: 4, rate: 200/s, keys: {count: 4, pick: uniform}, mix: {read: 50%, write: 30%, cas: 20%}, timeout: 2s}
probe: {every: 20ms, deadline: 200ms}
steps:
  - repeat:
      times: 2
      name: trial
      steps:
        - wait_for: {state: steady, timeout: 60s}
        - kill: {node: leader, as: victim}
        - wait_for: {state: served, timeout: 60s}
        - start: {node: $victim}
        - wait_for: {state: synced, node: $victim, timeout: 60s}
expect:
  - linearizable
  - converged
  - lost_writes == 0
  - recovered
";

fn chaos(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1");
    command
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn killing_the_leader_twice_is_survived_proved_and_taken_apart() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("short.yaml"), PLAN).unwrap();
    let output = chaos(&["run", "short.yaml"], folder.path())
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{stderr}\n{stdout}");

    let run = folder.path().join("results/latest");
    let summary = json(&run.join("summary.json"));
    assert_eq!(summary["schema"], "chaos.summary/1");
    assert_eq!(summary["verdict"], "pass");
    assert_eq!(summary["faults"]["landed"], 2);
    for metric in [
        "detect.first",
        "elect",
        "sync.leader",
        "reroute",
        "recover.first",
    ] {
        assert_eq!(
            summary["metrics"][metric]["n"], 2,
            "{metric}: {}",
            summary["metrics"][metric]
        );
    }
    for trial in summary["trials"].as_array().unwrap() {
        let phases: u64 = ["detect", "elect", "sync", "reroute"]
            .iter()
            .map(|phase| trial["phases"][phase].as_u64().unwrap())
            .sum();
        assert_eq!(Some(phases), trial["recover_first_ns"].as_u64(), "{trial}");
    }
    for file in [
        "history.jsonl",
        "events.jsonl",
        "junit.xml",
        "latency.hlog",
        "latency.hgrm",
    ] {
        assert!(run.join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let html = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(html.contains("<svg") && html.contains("linearizable"));

    let again = chaos(&["check", "latest"], folder.path()).output().unwrap();
    assert_eq!(
        again.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&again.stdout)
    );
    let before = std::fs::read(run.join("summary.json")).unwrap();
    let report = chaos(&["report", "latest", "--format", "quiet"], folder.path())
        .output()
        .unwrap();
    assert_eq!(report.status.code(), Some(0));
    assert_eq!(
        before,
        std::fs::read(run.join("summary.json")).unwrap(),
        "the same view again"
    );
}

/// A run that is in its load phase, and its standard error.
fn running(folder: &Path) -> Child {
    std::fs::write(folder.join("short.yaml"), PLAN).unwrap();
    let mut run = chaos(&["run", "short.yaml"], folder)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stderr.as_mut().unwrap()).lines();
    let ready = lines.find(|line| line.as_ref().unwrap().contains("ready"));
    assert!(ready.is_some(), "the cluster became ready");
    run
}

/// Every process whose command line names this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(name) {
            found.push(command);
        }
    }
    found
}

/// `chaos run short.yaml` with its results on a disk of its own, of this size, in a mount namespace.
/// `None`, and a word about it, where no namespaces can be made.
fn on_a_small_disk(folder: &Path, size: &str) -> Option<Child> {
    std::fs::write(folder.join("short.yaml"), PLAN).unwrap();
    std::fs::create_dir(folder.join("results")).unwrap();
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command.arg(env!("CARGO_BIN_EXE_chaos")).current_dir(folder);
        command
    };
    let mount = format!("mount -t tmpfs -o size={size} tmpfs results");
    if !unshared(&mount).status().is_ok_and(|done| done.success()) {
        println!("no namespaces here: small disks are not tried");
        return None;
    }
    let mut command = unshared(&format!("{mount} && exec \"$0\" run short.yaml"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command.spawn().unwrap())
}

#[test]
fn no_run_begins_on_a_disk_that_is_nearly_full() {
    let folder = tempfile::tempdir().unwrap();
    let Some(child) = on_a_small_disk(folder.path(), "16m") else {
        return;
    };
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("left on the disk of"), "{stderr}");
    assert!(stderr.contains("--out DIR"), "{stderr}");
}

#[test]
fn a_disk_that_fills_up_ends_the_run_and_is_no_failure_of_the_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut child) = on_a_small_disk(folder.path(), "64m") else {
        return;
    };
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    while !told.contains("ready") {
        assert!(stderr.read_line(&mut told).unwrap() > 0, "{told}");
    }
    // As large as there is room for: the writer gets an error at the end.
    let inside = format!("/proc/{}/root{}", child.id(), folder.path().display());
    let ballast = Path::new(&inside).join("results/ballast");
    std::fs::write(ballast, vec![1; 64 << 20]).unwrap_err();
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5), "{told}");
    assert!(told.contains("left on the disk of"), "{told}");
}

const FAULTS_THAT_ARE_COUNTED: &str = "\
version: 1
name: counted
seed: 11
cluster: {system: zab, nodes: 3}
workload: {clients: 2, rate: 200/s, keys: {count: 4, pick: uniform}, mix: {read: 50%, write: 50%}, timeout: 2s}
steps:
  - wait_for: {state: steady, timeout: 60s}
  - drop: {from: leader, to: any follower, loss: 50%, for: 500ms}
  - wait_for: {state: steady, timeout: 60s}
  - delay: {between: [clients, all], by: 5ms, for: 500ms}
  - stutter: {node: any follower, share: 50%, period: 20ms, for: 500ms}
  - cut: {from: clients, to: all, for: 300ms}
expect:
  - linearizable
";

#[test]
fn what_a_fault_did_is_counted_while_it_is_in_force() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("counted.yaml"), FAULTS_THAT_ARE_COUNTED).unwrap();
    let output = chaos(&["run", "counted.yaml"], folder.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let run = folder.path().join("results/latest");
    let summary = json(&run.join("summary.json"));
    let figure = |at: usize, name: &str| {
        let figure = &summary["trials"][at]["achieved"][name];
        figure.as_u64().unwrap_or(0)
    };
    let trials = &summary["trials"];
    let (frames, dropped) = (figure(0, "frames"), figure(0, "frames_dropped"));
    assert!(0 < dropped && dropped < frames, "{trials}");
    let (waited, waited_for) = (figure(1, "waited"), figure(1, "waited_for"));
    assert!(waited > 0 && waited_for / waited >= 5_000_000, "{trials}");
    assert!(figure(2, "stopped_for") > 0, "{trials}");
    assert!(figure(2, "ran_for") > 0, "{trials}");
    // What the clients send waits before the cut: nothing is read from them.
    assert_eq!(trials[3]["achieved"]["bytes"], 0, "{trials}");
    let html = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(html.contains("frames dropped ("), "no figures in the page");
}

#[test]
fn nothing_survives_a_sigkill_of_the_harness() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = running(folder.path());
    assert!(processes_of(folder.path()).len() >= 3, "three nodes run");
    run.kill().unwrap();
    run.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes_of(folder.path()).is_empty() {
        assert!(
            Instant::now() < deadline,
            "left: {:?}",
            processes_of(folder.path())
        );
        std::thread::yield_now();
    }
}

#[test]
fn an_interrupt_heals_judges_what_there_is_and_exits_130() {
    let folder = tempfile::tempdir().unwrap();
    let run = running(folder.path());
    kill(
        Pid::from_raw(i32::try_from(run.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let summary = json(&folder.path().join("results/latest/summary.json"));
    assert_eq!(summary["exit_code"], 130);
    assert!(processes_of(folder.path()).is_empty());
}

#[test]
fn a_node_program_that_fails_at_start_is_named_with_exit_5() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("short.yaml"), PLAN).unwrap();
    let output = chaos(
        &["run", "short.yaml", "--node-bin", "/bin/false"],
        folder.path(),
    )
    .output()
    .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(stderr.contains("ended at start"), "{stderr}");
    let output = chaos(
        &["run", "short.yaml", "--node-bin", "/no/such/program"],
        folder.path(),
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/program"));
}

#[test]
fn a_plan_that_expects_nothing_is_judged_by_the_safety_checks() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "version: 1\nname: plain\nsteps:\n  - wait: 500ms\n";
    std::fs::write(folder.path().join("plain.yaml"), plan).unwrap();
    let output = chaos(&["run", "plain.yaml", "--format", "json"], folder.path())
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = summary["checks"].as_array().unwrap();
    for name in ["linearizable", "converged", "lost_writes == 0"] {
        assert!(
            checks.iter().any(|check| check["name"] == name),
            "{name}: {checks:?}"
        );
    }
}

#[test]
fn a_plan_whose_fault_finds_no_victim_is_inconclusive_not_passed() {
    let folder = tempfile::tempdir().unwrap();
    let plan = "version: 1\nname: nobody\nsteps:\n  - kill: [n1, n2]\n  - pause: {node: leader, for: 1s}\n  - start: [n1, n2]\n";
    std::fs::write(folder.path().join("nobody.yaml"), plan).unwrap();
    let output = chaos(&["run", "nobody.yaml", "--format", "json"], folder.path())
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = summary["checks"].as_array().unwrap();
    let completed = checks
        .iter()
        .find(|check| check["name"] == "run completed")
        .unwrap();
    assert_eq!(completed["verdict"], "unknown");
    assert!(
        completed["reason"].as_str().unwrap().contains("leader"),
        "{completed}"
    );
}

/// A follower that is cut off goes on answering local reads until it notices: stale ones.
fn stale_reads(folder: &Path, reaction: &str) -> (std::process::Output, Value) {
    let plan = format!(
        "version: 1
name: stale
seed: 11
cluster: {{system: zab, nodes: 3, config: {{suspect_floor: 3s, suspect_cap: 4s}}}}
workload: {{clients: 9, rate: 600/s, keys: {{count: 3}}, mix: {{read: 70%, write: 30%}}, reads: local, pin: spread, timeout: 1s}}
on_violation: {reaction}
steps:
  - wait_for: {{ops: 50, timeout: 60s}}
  - isolate: {{node: any follower}}
  - wait_for: {{ops: 1000000, timeout: 10m}}
expect: [linearizable]
"
    );
    std::fs::write(folder.join("stale.yaml"), plan).unwrap();
    let output = chaos(&["run", "stale.yaml"], folder).output().unwrap();
    let summary = json(&folder.join("results/latest/summary.json"));
    (output, summary)
}

/// What the check during the run recorded: key and sentence.
fn violations(run: &Path) -> Vec<(String, String)> {
    let events = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    let events = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    events
        .filter(|event| event["kind"] == "violation")
        .map(|event| (text(&event["key"]), text(&event["sentence"])))
        .collect()
}

#[test]
fn a_violation_ends_the_steps_at_once_and_the_final_check_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let (output, summary) = stale_reads(folder.path(), "stop");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("violation  k"), "{stderr}");
    let run = folder.path().join("results/latest");
    assert!(!violations(&run).is_empty(), "{stderr}");
    assert!(!run.join("scene").exists());
    let checks = summary["checks"].as_array().unwrap();
    let verdict = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.map(|check| check["verdict"].clone())
    };
    assert_eq!(verdict("linearizable"), Some("fail".into()), "{checks:?}");
    assert_eq!(verdict("online check agrees"), Some("pass".into()));
    assert_eq!(verdict("run completed"), Some("unknown".into()));
}

#[test]
fn a_violation_freezes_the_nodes_and_leaves_the_scene() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = stale_reads(folder.path(), "freeze");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let scene = folder.path().join("results/latest/scene");
    let read = |name: &str| std::fs::read_to_string(scene.join(name)).unwrap();
    let found = violations(&folder.path().join("results/latest"));
    assert!(read("violation.txt").contains(&found[0].1), "{found:?}");
    assert!(read("operations.txt").contains("read"));
    assert!(read("cluster.txt").contains("in force"), "the isolation");
    for node in ["n1", "n2", "n3"] {
        let status = read(&format!("{node}/status"));
        assert!(status.contains("(stopped)"), "{node} stood still: {status}");
        assert!(read(&format!("{node}/fds.txt")).contains("socket"));
        assert!(read(&format!("{node}/last-lines.txt")).contains("boot"));
        assert!(scene.join(node).join("data/trace.jsonl").is_file());
    }
    assert_eq!(processes_of(folder.path()), Vec::<String>::new());
}
