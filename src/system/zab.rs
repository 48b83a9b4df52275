//! The bundled ZAB node: `chaos node …` as processes of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

use super::zookeeper::{SessionOptions, ZkClient, monitor, word};
use super::{Client, ConnectError, Launch, Layout, SettingError, Status, System};
use crate::dial::Dialer;
use crate::id::NodeId;

/// The setting that makes the nodes break rules on purpose: names of planted bugs, or `none`.
pub const BUG_SETTING: &str = "bug";

/// Sessions of load clients and probes end this long after their client vanished.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// The driver of the bundled node.
#[derive(Debug)]
pub struct Zab {
    executable: PathBuf,
    linear: bool,
    dialer: Dialer,
    options: Vec<(String, String)>,
}

impl Zab {
    /// Settings that `cluster.config` may carry, as `chaos node --help` explains them.
    pub const SETTINGS: &'static [&'static str] = &[
        "heartbeat",
        "suspect_floor",
        "suspect_cap",
        "snapshot_every",
        BUG_SETTING,
    ];

    /// What a node can be asked to do, and what that means.
    pub const CALLS: &'static [(&'static str, &'static str)] = &[
        ("snapshot", "save a snapshot of the state now"),
        ("reset_statistics", "forget what was counted (`srst`)"),
    ];

    /// A driver whose nodes are started as `executable node …`.
    ///
    /// # Errors
    /// If `config` has a setting that the node does not know.
    pub fn new(
        executable: PathBuf,
        linear: bool,
        config: &BTreeMap<String, String>,
    ) -> Result<Self, SettingError> {
        SettingError::refuse_unknown("bundled node", config.keys(), Self::SETTINGS)?;
        let options = config.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        Ok(Self {
            executable,
            linear,
            dialer: Dialer::default(),
            options,
        })
    }

    /// Reaches its nodes by this dialer.
    #[must_use]
    pub fn by(mut self, dialer: Dialer) -> Self {
        self.dialer = dialer;
        self
    }
}

#[async_trait]
impl System for Zab {
    fn name(&self) -> &'static str {
        "zab"
    }

    fn title(&self) -> &'static str {
        "bundled zab"
    }

    fn launch(&self, node: NodeId, layout: &Layout) -> Launch {
        let trace = layout.dir.join("trace.jsonl");
        let data = layout.dir.join("data");
        let peers: Vec<String> = layout
            .peers
            .iter()
            .map(|(peer, addr)| format!("{}={addr}", peer.0))
            .chain([format!("{}={}", node.0, layout.peer)])
            .collect();
        let mut args: Vec<String> = ["node", "--id"].map(str::to_owned).to_vec();
        args.push(node.0.to_string());
        for (flag, value) in [
            ("--data", data.display().to_string()),
            ("--client", layout.client.to_string()),
            ("--listen", layout.peer.to_string()),
            ("--peers", peers.join(",")),
            (
                "--reads",
                if self.linear { "linear" } else { "local" }.to_owned(),
            ),
            ("--trace", trace.display().to_string()),
        ] {
            args.extend([flag.to_owned(), value]);
        }
        for (name, value) in &self.options {
            args.extend([format!("--{}", name.replace('_', "-")), value.clone()]);
            // Whoever started the run has allowed it.
            if name == BUG_SETTING {
                args.push("--allow-bugs".to_owned());
            }
        }
        let program = layout
            .program
            .clone()
            .unwrap_or_else(|| self.executable.clone());
        Launch {
            program,
            args,
            env: Vec::new(),
            trace: Some(trace),
            data: Some(data),
        }
    }

    fn frames_peers(&self) -> bool {
        true
    }

    async fn status(&self, addr: SocketAddr, timeout: Duration) -> Result<Status, ConnectError> {
        let fields = monitor(&self.dialer, addr, timeout).await?;
        let number = |name: &str| -> Result<u64, ConnectError> {
            let text = fields.get(name).map_or("", String::as_str);
            text.parse()
                .map_err(|_| ConnectError::Protocol(format!("mntr: {name} is `{text}`")))
        };
        let state = fields.get("zk_server_state").map_or("", String::as_str);
        Ok(Status {
            serving: matches!(state, "leader" | "follower" | "standalone"),
            leads: matches!(state, "leader" | "standalone"),
            epoch: number("chaos_epoch")?,
            applied: number("chaos_applied_zxid")?,
            committed: number("chaos_committed_zxid")?,
            digest: fields.get("chaos_state_digest").cloned(),
        })
    }

    async fn call(
        &self,
        what: &str,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<String, ConnectError> {
        let (letters, done) = match what {
            "snapshot" => ("snap", "Snapshot"),
            "reset_statistics" => ("srst", "Server stats reset"),
            other => {
                return Err(ConnectError::Protocol(format!(
                    "there is no call `{other}`"
                )));
            }
        };
        let answer = word(&self.dialer, addr, letters, timeout).await?;
        if answer.starts_with(done) {
            Ok(answer)
        } else {
            Err(ConnectError::Protocol(answer))
        }
    }

    async fn connect(
        &self,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<Box<dyn Client>, ConnectError> {
        let options = SessionOptions {
            timeout: SESSION_TIMEOUT,
            synced_reads: false,
        };
        Ok(Box::new(
            ZkClient::connect_by(&self.dialer, addr, timeout, options).await?,
        ))
    }
}
