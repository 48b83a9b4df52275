//! Three real nodes, and what their traces tell.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::word;

/// The cluster; its processes die with it.
pub(crate) struct Ensemble {
    dir: TempDir,
    client_ports: BTreeMap<u8, u16>,
    peer_ports: BTreeMap<u8, u16>,
    options: Vec<String>,
    running: BTreeMap<u8, Child>,
    sender: Sender<Line>,
    lines: Receiver<Line>,
    /// What was taken from `lines`, for the message of a failure.
    seen: Vec<Line>,
}

/// A node, and a line of its trace.
type Line = (u8, String);

impl Ensemble {
    /// Prepares three nodes with these further options; none is started.
    pub(crate) fn prepare(options: &[&str]) -> Self {
        let ports = free_ports(6);
        let (sender, lines) = channel();
        Self {
            dir: tempfile::tempdir().expect("a directory for the test"),
            client_ports: (1..).zip(ports[..3].iter().copied()).collect(),
            peer_ports: (1..).zip(ports[3..].iter().copied()).collect(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            running: BTreeMap::new(),
            sender,
            lines,
            seen: Vec::new(),
        }
    }

    /// Starts three nodes and waits until all serve. Gives the leader too.
    pub(crate) fn start(options: &[&str]) -> (Self, u8) {
        let mut ensemble = Self::prepare(options);
        for id in 1..=3 {
            ensemble.spawn(id);
        }
        let leader = ensemble.wait_for_all();
        (ensemble, leader)
    }

    /// Waits until one node leads and the others follow it.
    pub(crate) fn wait_for_all(&mut self) -> u8 {
        let mut leader = None;
        let mut synced = 0;
        while leader.is_none() || synced < 2 {
            let (id, line) = self.next_line("one leader and two followers");
            if is(&line, "active") {
                leader = Some(id);
            } else if is(&line, "synced") {
                synced += 1;
            }
        }
        leader.expect("the loop ended with one")
    }

    /// Starts a node.
    pub(crate) fn spawn(&mut self, id: u8) {
        let mut child = self
            .command(id)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the node's program exists");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let lines = self.sender.clone();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if lines.send((id, line)).is_err() {
                    return;
                }
            }
        });
        self.running.insert(id, child);
    }

    /// The command that starts a node.
    pub(crate) fn command(&self, id: u8) -> Command {
        let peers: Vec<String> = self
            .peer_ports
            .iter()
            .map(|(id, port)| format!("{id}={}", local(*port)))
            .collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaos-node"));
        command
            .arg("--id")
            .arg(id.to_string())
            .arg("--data")
            .arg(self.data(id))
            .arg("--client")
            .arg(self.address(id).to_string())
            .arg("--listen")
            .arg(local(self.peer_ports[&id]).to_string())
            .arg("--peers")
            .arg(peers.join(","))
            .args(&self.options);
        // Tests run on busy machines. A killed node is noticed at once all the same.
        if !self
            .options
            .iter()
            .any(|option| option.starts_with("--suspect-floor"))
        {
            command.args(["--suspect-floor=2s", "--suspect-cap=5s"]);
        }
        command
    }

    /// Kills a node with SIGKILL.
    pub(crate) fn kill(&mut self, id: u8) {
        let mut child = self.running.remove(&id).expect("it runs");
        child.kill().expect("it is our child");
        child.wait().expect("it was killed");
    }

    /// The process of a running node.
    pub(crate) fn process(&mut self, id: u8) -> &mut Child {
        self.running.get_mut(&id).expect("it runs")
    }

    /// Waits until this kind of event is in the trace of a node, and gives the line.
    pub(crate) fn wait(&mut self, id: u8, what: &str) -> String {
        loop {
            let (from, line) = self.next_line(&format!("{what} of n{id}"));
            if from == id && is(&line, what) {
                return line;
            }
        }
    }

    /// Whether this kind of event was seen in the trace of a node.
    pub(crate) fn saw(&self, id: u8, what: &str) -> bool {
        self.seen
            .iter()
            .any(|(from, line)| *from == id && is(line, what))
    }

    /// The longest time for which a node says that it stood still.
    pub(crate) fn longest_stall(&mut self) -> Duration {
        self.catch_up();
        let late = self.seen.iter().filter_map(|(_, line)| {
            let (_, rest) = line.split_once(r#""what":"stalled","late_ns":"#)?;
            rest.trim_end_matches('}').parse().ok()
        });
        Duration::from_nanos(late.max().unwrap_or(0))
    }

    /// Takes in what has happened, without waiting.
    pub(crate) fn catch_up(&mut self) {
        self.seen.extend(self.lines.try_iter());
    }

    /// Everything that has happened, for the message of a failure.
    pub(crate) fn told(&mut self) -> String {
        self.catch_up();
        format!("{:#?}", self.seen)
    }

    /// Forgets what has happened so far.
    pub(crate) fn forget(&mut self) {
        self.catch_up();
        self.seen.clear();
    }

    /// Waits until another node than this one leads.
    pub(crate) fn wait_for_leader_but(&mut self, id: u8) -> u8 {
        loop {
            let (from, line) = self.next_line("another leader");
            if from != id && is(&line, "active") {
                return from;
            }
        }
    }

    pub(crate) fn address(&self, id: u8) -> SocketAddr {
        local(self.client_ports[&id])
    }

    pub(crate) fn data(&self, id: u8) -> PathBuf {
        self.path().join(format!("n{id}"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// One value of a node's `mntr`.
    pub(crate) fn monitor(&self, id: u8, key: &str) -> String {
        let text = word(self.address(id), "mntr").expect("a node answers at any time");
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'))
            .expect("the key is always there")
            .to_owned()
    }

    fn next_line(&mut self, wanted: &str) -> Line {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.map_err(|_| format!("waited in vain for {wanted}: {:#?}", self.seen));
        self.seen.push(line.expect("the event comes in time"));
        self.seen.last().expect("it was pushed just now").clone()
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks again and again until the answer is right.
pub(crate) fn eventually(wanted: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain for {wanted}");
    }
}

/// Ports that are free now, all different. They lie below the range from which the kernel takes ports
/// for outgoing connections, so that nobody else gets them before the node does; several runs of the
/// tests begin at different places.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(997);
    std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(start) % 20_000)
        .filter_map(|offset| u16::try_from(10_000 + offset).ok())
        .filter(|port| TcpListener::bind(local(*port)).is_ok())
        .take(count)
        .collect()
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn is(line: &str, what: &str) -> bool {
    line.contains(&format!(r#""what":"{what}""#))
}

/// Long enough for a busy machine; a test never waits so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);
