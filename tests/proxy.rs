//! `chaos proxy` as a user meets it: relays, obeys rules from a file and over HTTP, ends when asked.

#![expect(clippy::unwrap_used, reason = "a test helper may fail loudly")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Whatever a test waits for comes within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

struct Proxy {
    child: Child,
    address: SocketAddr,
    api: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It is gone already where a test has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(upstream: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.args(["proxy", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
    command.args(["--upstream", &upstream.to_string()]);
    command
}

impl Proxy {
    fn start(upstream: SocketAddr, more: &[&str]) -> Self {
        Self::spawn(command(upstream).args(more))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let proxy = lines.next().unwrap().unwrap();
        let api = lines.next().unwrap().unwrap();
        Self {
            child,
            address: proxy.split_whitespace().nth(1).unwrap().parse().unwrap(),
            api: api.rsplit('/').next().unwrap().parse().unwrap(),
        }
    }

    /// The status code and the body.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let mut stream = connect(self.api);
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    /// A connection and the server's end of it. The proxy refuses until it has seen the server.
    fn pair(&self, server: &TcpListener) -> (TcpStream, TcpStream) {
        let client = loop {
            match TcpStream::connect(self.address) {
                Ok(client) => break client,
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
            }
        };
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        let (target, _) = server.accept().unwrap();
        target.set_read_timeout(Some(DEADLINE)).unwrap();
        (client, target)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn server() -> (TcpListener, SocketAddr) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

fn passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut seen = vec![0; bytes.len()];
    to.read_exact(&mut seen).unwrap();
    assert_eq!(seen, bytes);
}

fn refused(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn it_relays_and_its_rules_change_over_http() {
    let (server, upstream) = server();
    let proxy = Proxy::start(upstream, &[]);
    let (mut client, mut target) = proxy.pair(&server);
    passes(&mut client, &mut target, b"question");
    passes(&mut target, &mut client, b"answer");
    assert_eq!(proxy.ask("GET", "/rules", ""), (200, serde_json::json!({})));
    let rules = r#"{"forth": [{"corrupt": {"share": "100%"}}]}"#;
    assert_eq!(proxy.ask("PUT", "/rules", rules).0, 200);
    let (_, seen) = proxy.ask("GET", "/rules", "");
    assert_eq!(
        seen,
        serde_json::from_str::<serde_json::Value>(rules).unwrap()
    );
    client.write_all(&[0; 100]).unwrap();
    let mut harmed = [0; 100];
    target.read_exact(&mut harmed).unwrap();
    assert!(harmed.iter().any(|byte| *byte != 0));
    let (status, counters) = proxy.ask("GET", "/counters", "");
    assert_eq!(status, 200);
    assert_eq!(counters["forth"]["bytes"], 108);
    assert!(counters["forth"]["segments_corrupted"].as_u64().unwrap() >= 1);
    assert_eq!(counters["back"]["segments_corrupted"], 0);
    assert_eq!(proxy.ask("PUT", "/rules", "{}").0, 200);
    passes(&mut client, &mut target, b"healed");
    let (_, struck) = proxy.ask("POST", "/reset", "");
    assert_eq!(struck["connections"], 1);
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_it_does_not_understand_is_answered_with_the_reason_and_changes_nothing() {
    let (server, upstream) = server();
    let proxy = Proxy::start(upstream, &[]);
    let (mut client, mut target) = proxy.pair(&server);
    for (method, path, body, status) in [
        ("PUT", "/rules", r#"{"forth": ["cut"], "x": 1}"#, 400),
        (
            "PUT",
            "/rules",
            r#"{"both": [{"duplicate": {"share": "5%"}}]}"#,
            400,
        ),
        ("DELETE", "/rules", "", 405),
        ("GET", "/nothing", "", 404),
    ] {
        let (got, answer) = proxy.ask(method, path, body);
        assert_eq!(got, status, "{method} {path} {body}");
        assert!(!answer["error"].as_str().unwrap().is_empty());
    }
    let rule = r#"{"back": [{"drop": {"loss": "5%", "layer": "frame"}}]}"#;
    let (_, answer) = proxy.ask("PUT", "/rules", rule);
    let why = answer["error"].as_str().unwrap();
    assert!(why.contains("`back`") && why.contains("--framed"), "{why}");
    passes(&mut client, &mut target, b"as before");
}

#[test]
fn a_file_says_what_is_wrong_from_the_beginning_and_framed_streams_can_do_more() {
    let (server, upstream) = server();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("twice.yaml");
    std::fs::write(&file, "forth: [{duplicate: {share: 100%}}]\n").unwrap();
    let file = file.to_str().unwrap();
    let proxy = Proxy::start(upstream, &["--framed", "--rules", file]);
    let (mut client, mut target) = proxy.pair(&server);
    client.write_all(b"\0\0\0\x02ab").unwrap();
    let mut seen = [0; 12];
    target.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"\0\0\0\x02ab\0\0\0\x02ab");
    let (code, why) = refused(command(upstream).args(["--rules", file]));
    assert_eq!(code, Some(2), "{why}");
    assert!(why.contains("`forth`") && why.contains("--framed"), "{why}");
}

#[test]
fn it_takes_as_many_descriptors_as_it_may_have() {
    let (server, upstream) = server();
    let plain = command(upstream);
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -S -n 64; exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args());
    let proxy = Proxy::spawn(&mut few);
    let mut pairs: Vec<_> = (0..100).map(|_| proxy.pair(&server)).collect();
    for (client, target) in &mut pairs {
        passes(client, target, b"hello");
        passes(target, client, b"hi");
    }
}

#[test]
fn it_ends_when_asked_and_says_why_it_cannot_begin() {
    let (_server, upstream) = server();
    let mut proxy = Proxy::start(upstream, &[]);
    let busy = proxy.api.to_string();
    let (code, why) = refused(command(upstream).args(["--rules", "nowhere.yaml"]));
    assert_eq!(code, Some(2), "{why}");
    let mut taken = Command::new(env!("CARGO_BIN_EXE_chaos"));
    taken.args(["proxy", "--listen", &busy, "--upstream", &busy]);
    let (code, why) = refused(&mut taken);
    assert_eq!(code, Some(5), "{why}");
    assert!(why.contains(&busy), "{why}");
    let pid = rustix::process::Pid::from_child(&proxy.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(proxy.child.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(proxy.address).is_err());
}
