//! Whatever happens to the tool, nothing of a run is left: no process, no mount, no namespace, no
//! listening port.
//!
//! A run with every kind of fault in force is killed at random moments. All its processes inherit a
//! mark in their environment from the harness that the test starts. `CHAOS_CLEANUP_ROUNDS` says how
//! often (3 if not set); the moments follow from the round.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");
const MARK: &str = "CHAOS_CLEANUP_TEST";
/// Whatever a test waits for comes within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(60);
/// The run is killed within this time after its first line.
const MOMENTS: Duration = Duration::from_millis(2_500);

/// All kinds of faults, at once and one after the other.
const ALL: &str = "\
version: 1
name: everything
cluster: {system: zab, nodes: 5}
workload: {clients: 4, rate: 200/s, mix: {read: 50%, write: 50%}, timeout: 1s}
probe: {every: 20ms, deadline: 50ms}
steps:
  - disk: {node: n1, stall: 5ms, as: slow}
  - clock: {node: n2, bump: 10s, as: wrong}
  - fd_limit: {node: n2, soft: 200, as: few}
  - stutter: {node: n3, share: 50%, period: 50ms, as: stutters}
  - delay: {between: [n1, n2], by: 2ms, as: late}
  - drop: {between: [n2, n3], loss: 10%, as: lossy}
  - throttle: {from: n1, to: n4, rate: 1MB/s, as: thin}
  - cut: {from: n4, to: n5, as: cut}
  - parallel:
      branches:
        - - repeat: {times: 100, steps: [{kill: {node: n5, for: 50ms}}, {wait: 20ms}]}
        - - repeat: {times: 100, steps: [{pause: {node: n4, for: 50ms}}, {wait: 20ms}]}
        - - repeat: {times: 100, steps: [{power_off: {node: n3, lose_unsynced: true, for: 100ms}}, {wait: 50ms}]}
        - - repeat: {times: 100, steps: [{isolate: {node: n2, clients: true, for: 50ms}}, {wait: 20ms}]}
  - heal: all
";

/// Only one run at a time, so that everything that appears is its own.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The machine before a run.
struct Before {
    listening: BTreeSet<String>,
    namespaces: BTreeSet<PathBuf>,
    mounts: String,
    _only: MutexGuard<'static, ()>,
}

impl Before {
    fn now() -> Self {
        Self {
            _only: ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner),
            listening: listening(),
            namespaces: namespaces(),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
        }
    }

    /// Looks until nothing is left, or says what is.
    fn is_again(&self, mark: &str) {
        let start = Instant::now();
        loop {
            let left = self.left(mark);
            if left.is_empty() {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "left: {left:#?}");
            pause(Duration::from_millis(2));
        }
    }

    fn left(&self, mark: &str) -> Vec<String> {
        let mut left = marked(mark);
        if !left.is_empty() {
            return left;
        }
        left.extend(listening().difference(&self.listening).cloned());
        let spaces = namespaces();
        let spaces = spaces.difference(&self.namespaces);
        left.extend(spaces.map(|space| space.display().to_string()));
        if fs::read_to_string("/proc/self/mounts").unwrap() != self.mounts {
            left.push("a mount".to_owned());
        }
        left
    }
}

/// The processes with this mark, each with its state.
fn marked(mark: &str) -> Vec<String> {
    let wanted = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let environ = fs::read(process.path().join("environ")).unwrap_or_default();
        if environ
            .split(|byte| *byte == 0)
            .any(|word| word == wanted.as_bytes())
        {
            let stat = fs::read_to_string(process.path().join("stat"));
            found.push(stat.unwrap_or_default());
        }
    }
    found
}

/// The listening sockets of this network, by their addresses.
fn listening() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.get(3) == Some(&"0A") {
                found.insert(words[1].to_owned());
            }
        }
    }
    found
}

/// All namespaces of all processes.
fn namespaces() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        for kind in ["user", "net", "mnt", "pid"] {
            found.extend(fs::read_link(process.path().join("ns").join(kind)).ok());
        }
    }
    found
}

/// A run of the harness.
struct Run {
    child: Child,
    mark: String,
    out: tempfile::TempDir,
}

impl Run {
    /// Starts it and waits for the first line with this word.
    fn start(plan: &str, mark: &str, word: &str) -> Self {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("plan.yaml");
        fs::write(&path, plan).unwrap();
        let mut child = Command::new(CHAOS)
            .args(["run", &path.display().to_string(), "--seed", "1"])
            .args(["--out", &out.path().join("results").display().to_string()])
            .env(MARK, mark)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(word) {
            let length = errors.read_line(&mut said).unwrap();
            assert!(length > 0, "it ended before it said `{word}`: {said}");
        }
        // Nobody may wait for room in the pipe.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self {
            child,
            mark: mark.to_owned(),
            out,
        }
    }

    fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    fn results(&self) -> PathBuf {
        let mut runs = fs::read_dir(self.out.path().join("results")).unwrap();
        let is_run = |entry: &fs::DirEntry| entry.path().join("history.jsonl").exists();
        runs.find_map(|entry| entry.ok().filter(is_run))
            .unwrap()
            .path()
    }

    fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < DEADLINE, "it does not end");
            pause(Duration::from_millis(2));
        }
    }
}

fn send(pid: u32, signal: Signal) {
    let raw = Pid::from_raw(pid.cast_signed()).unwrap();
    // One that is gone needs no signal.
    if let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) {
        let _ = pidfd_send_signal(pidfd, signal);
    }
}

/// What a run has said at least when it is struck: mostly, that all kinds of faults are in force.
const fn word(round: u64) -> &'static str {
    if round % 4 == 1 { "chaos" } else { " F7 " }
}

/// Lets a while pass that follows from the number of the round.
fn some_moment(round: u64) {
    let share = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let while_ = Duration::from_nanos((MOMENTS.as_nanos() as u64 * share) >> 32);
    pause(while_);
}

/// Lets the machine do something else.
fn pause(limit: Duration) {
    let limit = Timespec::try_from(limit).unwrap();
    let _ = poll(&mut [], Some(&limit));
}

fn rounds() -> u64 {
    let rounds = std::env::var("CHAOS_CLEANUP_ROUNDS").ok();
    rounds.and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Where no disk can be mounted its faults are left out, and so for packets.
fn plan(packets: bool) -> String {
    let known = Command::new(CHAOS)
        .args(["doctor", "--format", "json"])
        .output();
    let findings: serde_json::Value = serde_json::from_slice(&known.unwrap().stdout).unwrap();
    let can = |what: &str| {
        let mut findings = findings.as_array().unwrap().iter();
        findings
            .any(|one| one["enables"].as_str().unwrap().contains(what) && one["available"] == true)
    };
    let mut plan = ALL.to_owned();
    if !can("disk") {
        let _ = writeln!(std::io::stderr(), "not tested: disks");
        plan = plan
            .lines()
            .filter(|line| !line.contains("disk:"))
            .collect::<Vec<_>>()
            .join("\n");
        plan = plan.replace("lose_unsynced: true, ", "");
    }
    if packets && can("network: packet") {
        plan = plan.replace("cluster:", "network: packet\ncluster:");
    }
    plan
}

#[test]
fn a_harness_that_is_killed_leaves_nothing() {
    let plans = [plan(false), plan(true)];
    for round in 0..rounds() {
        let before = Before::now();
        let which = usize::try_from(round % 2).unwrap();
        let mut run = Run::start(&plans[which], &format!("kill {round}"), word(round));
        some_moment(round);
        run.signal(Signal::KILL);
        run.wait();
        before.is_again(&run.mark);
    }
}

#[test]
fn a_harness_that_is_interrupted_ends_in_order_and_leaves_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for round in 0..rounds() {
            let before = Before::now();
            let mut run = Run::start(&plan(false), &format!("{signal:?} {round}"), word(round));
            some_moment(round);
            run.signal(signal);
            assert_eq!(run.wait(), Some(code), "{signal:?} in round {round}");
            before.is_again(&run.mark);
            let ledger = fs::read_to_string(run.results().join("ledger.jsonl")).unwrap_or_default();
            let unhealed = chaos::cluster::Journal::unhealed(&ledger).unwrap();
            assert!(unhealed.is_empty(), "{unhealed:?}");
        }
    }
}

#[test]
fn a_reaper_that_is_killed_takes_its_nodes_along_and_is_no_verdict_on_them() {
    for round in 0..rounds() {
        let before = Before::now();
        let mut run = Run::start(&plan(false), &format!("reaper {round}"), " F7 ");
        some_moment(round);
        let children = format!("/proc/{0}/task/{0}/children", run.child.id());
        let children = fs::read_to_string(children).unwrap();
        let reaper = children.split_whitespace().next();
        send(reaper.unwrap().parse().unwrap(), Signal::KILL);
        let code = run.wait();
        assert_eq!(code, Some(3), "in round {round}");
        before.is_again(&run.mark);
    }
}

#[test]
fn a_process_that_the_run_did_not_start_is_never_touched() {
    let before = Before::now();
    // It looks like a node of the run: the same program, below the same parent.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut stranger = Command::new(CHAOS)
        .args([
            "node",
            "--id",
            "1",
            "--client",
            "127.0.0.1:0",
            "--listen",
            "127.0.0.1:0",
        ])
        .args([
            "--peers",
            "1=127.0.0.1:1",
            "--data",
            &data.display().to_string(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", stranger.id()));
    let mut run = Run::start(&plan(false), "stranger", " F7 ");
    let until = Instant::now() + MOMENTS;
    while Instant::now() < until {
        assert!(runs(&stat), "the stranger was struck");
        pause(Duration::from_millis(1));
    }
    run.signal(Signal::KILL);
    run.wait();
    let results = run.out.path().join("results").display().to_string();
    let healed = Command::new(CHAOS)
        .args(["heal", "--out", &results])
        .output();
    let healed = String::from_utf8(healed.unwrap().stdout).unwrap();
    // What was in force is known, and is gone.
    assert!(healed.contains("gone with its processes"), "{healed}");
    let again = Command::new(CHAOS)
        .args(["heal", "--out", &results])
        .output();
    assert_eq!(
        again.unwrap().stdout,
        b"nothing was left
"
    );
    assert!(runs(&stat), "the stranger was struck");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    before.is_again(&run.mark);
}

fn runs(stat: &Path) -> bool {
    let stat = fs::read_to_string(stat).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    !fields.starts_with(['T', 'Z', 'X'])
}
