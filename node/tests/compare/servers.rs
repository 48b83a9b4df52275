//! The two servers: each alone in its cluster, started with the same configuration.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server; it dies with this.
pub(crate) struct Server {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Server {
    /// A real ZooKeeper, if there is one.
    pub(crate) fn zookeeper() -> Option<Self> {
        let classes = match std::env::var("ZOOKEEPER_CLASSPATH") {
            Ok(classes) => classes,
            Err(_) if Path::new(DEBIAN).join("zookeeper.jar").exists() => format!("{DEBIAN}/*"),
            Err(_) => return None,
        };
        let (dir, port) = prepare();
        let child = Command::new("java")
            .args(["-Xmx256m", "-cp", &classes])
            .arg("-Dzookeeper.forceSync=no")
            .arg("-Dzookeeper.extendedTypesEnabled=true")
            .arg(format!(
                "-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER}"
            ))
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(dir.path().join("zoo.cfg"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self::started(child, dir, port))
    }

    /// This node.
    pub(crate) fn node() -> Self {
        let (dir, port) = prepare();
        let child = Command::new(env!("CARGO_BIN_EXE_chaos-node"))
            .args(["--super-digest", SUPER, "--zoo-cfg"])
            .arg(dir.path().join("zoo.cfg"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self::started(child.expect("the node's program exists"), dir, port)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        local(self.port)
    }

    fn started(child: Child, dir: TempDir, port: u16) -> Self {
        let server = Self {
            child,
            port,
            _dir: dir,
        };
        let end = Instant::now() + Duration::from_secs(60);
        while !server.serves() {
            assert!(Instant::now() < end, "the server does not serve in time");
        }
        server
    }

    fn serves(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(self.address())?;
            // A server that only just began may never answer this connection.
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"srvr")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok::<_, std::io::Error>(text)
        };
        ask().is_ok_and(|text| text.contains("Mode: standalone"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with a configuration, and the port that stands there.
fn prepare() -> (TempDir, u16) {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let listener = TcpListener::bind(local(0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let data = dir.path().display();
    let text = format!(
        "tickTime=2000\ndataDir={data}\nclientPort={port}\nmaxClientCnxns=0\n\
         admin.enableServer=false\n4lw.commands.whitelist=*\n"
    );
    fs::write(dir.path().join("zoo.cfg"), text).expect("the directory is ours");
    (dir, port)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Where Debian keeps Java's classes.
const DEBIAN: &str = "/usr/share/java";
/// The password of `super` is `test`.
const SUPER: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
