//! Nodes that are started with ZooKeeper's configuration file.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::{Client, buffer, word};
use crate::ensemble::{eventually, free_ports, local};

/// A node that dies with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes a configuration with this line in front of the rest, and starts a node with it.
fn start(dir: &TempDir, first: &str, rest: &str) -> Running {
    let path = dir.path().join("zoo.cfg");
    let text = format!("{first}\ndataDir={}\n{rest}", dir.path().display());
    fs::write(&path, text).expect("the directory is ours");
    let child = Command::new(env!("CARGO_BIN_EXE_chaos-node"))
        .arg("--zoo-cfg")
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    Running(child.expect("the node's program exists"))
}

fn is_mode(port: u16, mode: &str) -> bool {
    let line = format!("Mode: {mode}\n");
    word(local(port), "srvr").is_ok_and(|text| text.contains(&line))
}

#[test]
fn a_server_without_others_serves_alone_and_keeps_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_ports(1)[0];
    let line = format!("clientPort={port}");
    for round in 0..2_u8 {
        let mut node = start(&dir, &line, "autopurge.purgeInterval=1\n");
        eventually("a standalone server", || is_mode(port, "standalone"));
        let mut client = Client::connect(local(port)).unwrap();
        let created = client.create("/a", b"1").unwrap().error;
        assert_eq!(created, if round == 0 { 0 } else { -110 });
        let pid = i32::try_from(node.0.id()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        assert_eq!(node.0.wait().unwrap().code(), Some(0));
        let errors = std::io::read_to_string(node.0.stderr.take().unwrap()).unwrap();
        assert!(
            errors.ends_with("zoo.cfg: not used here: autopurge.purgeInterval\n"),
            "{errors}"
        );
    }
}

#[test]
fn three_servers_find_each_other_by_name_and_tell_who_they_are() {
    let ports = free_ports(6);
    let servers: String = (1..=3)
        .map(|id| format!("server.{id}=localhost:{}:1:participant\n", ports[id + 2]))
        .collect();
    let dirs: Vec<TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let nodes: Vec<Running> = (1..=3)
        .map(|id| {
            let dir = &dirs[id - 1];
            fs::write(dir.path().join("myid"), id.to_string()).unwrap();
            let line = format!("clientPort={}\ntickTime=1000", ports[id - 1]);
            start(dir, &line, &format!("syncLimit=5\n{servers}"))
        })
        .collect();
    eventually("a leader and two followers", || {
        let count = |mode| (0..3).filter(|at| is_mode(ports[*at], mode)).count();
        (count("leader"), count("follower")) == (1, 2)
    });
    let mut client = Client::connect(local(ports[0])).unwrap();
    let mut body = buffer(b"/zookeeper/config");
    body.push(0);
    let answer = client.call(4, &body).unwrap();
    let expected = buffer(format!("{servers}version=0").as_bytes());
    assert_eq!(answer.body[..expected.len()], expected);
    let conf = word(local(ports[0]), "conf").unwrap();
    assert!(conf.contains("minSessionTimeout=2000\n"), "{conf}");
    assert!(conf.contains(&servers), "{conf}");
    drop(nodes);
}

#[test]
fn an_observer_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = start(&dir, "server.1=localhost:1:2:observer", "");
    assert_eq!(node.0.wait().unwrap().code(), Some(1));
    let errors = std::io::read_to_string(node.0.stderr.take().unwrap()).unwrap();
    assert!(
        errors.contains("server.1=localhost:1:2:observer: observers are not supported"),
        "{errors}"
    );
}
