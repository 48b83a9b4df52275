//! The stub: a system whose delays are known, to try the harness itself. It answers after exactly
//! as long as it was told, takes exactly as long to replace a leader, and vanishes for exactly as
//! long as it is told to; whatever else a run measures is the harness.

mod client;
mod ensemble;
mod server;
mod store;
mod trace;
mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::ThreadId;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Client, ConnectError, Launch, Layout, SettingError, Status, System};
use crate::clock::Nanos;
use crate::dial::Dialer;
use crate::id::NodeId;
use client::{StubClient, Trunk, trunk};
use store::Store;
use wire::{Code, Verb};

pub use server::stub_main;

/// The argument by which the executable becomes a node of the stub.
pub const STUB_COMMAND: &str = "__stub";

/// All that a node of the stub is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    id: NodeId,
    client: SocketAddr,
    listen: SocketAddr,
    peers: BTreeMap<NodeId, SocketAddr>,
    store: PathBuf,
    trace: PathBuf,
    answer: Nanos,
    slow: Nanos,
    slow_every: u64,
    detect: Nanos,
    elect: Nanos,
    sync: Nanos,
    vanish: Nanos,
    /// Per mille.
    jitter: u32,
}

/// The driver of the stub.
#[derive(Debug)]
pub struct Stub {
    executable: PathBuf,
    dialer: Dialer,
    times: BTreeMap<&'static str, Nanos>,
    slow_every: u64,
    /// Per mille.
    jitter: u32,
    /// Connections that all clients of a thread share, if they do.
    trunks: Option<Mutex<Vec<(ThreadId, SocketAddr, Trunk)>>>,
    /// The registers that all nodes share.
    registers: File,
}

impl Stub {
    /// Settings that `cluster.config` may carry, with what they are if it does not, and what they
    /// mean.
    pub const SETTINGS: &'static [(&'static str, &'static str, &'static str)] = &[
        (
            "answer",
            "0ms",
            "every answer comes this long after its question",
        ),
        ("slow", "0ms", "but a slow one takes this long"),
        (
            "slow_every",
            "0",
            "every so many answers of a node are slow; 0 = none",
        ),
        (
            "detect",
            "50ms",
            "from the end of a connection to the suspicion of that node",
        ),
        (
            "elect",
            "40ms",
            "from there until the next leader knows that it won",
        ),
        ("sync", "30ms", "from there until it serves"),
        (
            "jitter",
            "0%",
            "detect, elect and sync are drawn anew each time, up to so much shorter or longer",
        ),
        (
            "connections",
            "own",
            "`shared`: all clients share one connection to each node, which takes the kernel's part out of the cost of an operation",
        ),
        (
            "vanish",
            "400ms",
            "how long `call: {do: vanish}` makes all nodes serve nobody",
        ),
    ];

    /// What a node can be asked to do, and what that means.
    pub const CALLS: &'static [(&'static str, &'static str)] = &[(
        "vanish",
        "all nodes drop their clients and serve nobody for as long as the setting `vanish` says",
    )];

    /// A driver whose nodes are started as `executable __stub …`.
    ///
    /// # Errors
    /// If `config` has a setting that the stub does not know, or a value that makes no sense, or there
    /// is no memory for the registers.
    pub fn new(
        executable: PathBuf,
        config: &BTreeMap<String, String>,
        dialer: Dialer,
    ) -> Result<Self, SettingError> {
        let names = Self::SETTINGS.iter().map(|(name, ..)| *name);
        let names: Vec<&str> = names.collect();
        SettingError::refuse_unknown("stub", config.keys(), &names)?;
        let mut times = BTreeMap::new();
        let mut slow_every = 0;
        let mut jitter = 0;
        let mut is_shared = false;
        for (name, default, _) in Self::SETTINGS {
            let value = config.get(*name).map_or(*default, String::as_str);
            let refuse = |expected| SettingError::Value {
                name: (*name).to_owned(),
                value: value.to_owned(),
                expected,
            };
            match *name {
                "slow_every" => {
                    slow_every = value.parse().map_err(|_| refuse("a whole number"))?;
                }
                "jitter" => {
                    let percent = value.strip_suffix('%').and_then(|text| text.parse().ok());
                    let percent: Option<u32> = percent.filter(|percent| *percent <= 100);
                    jitter = percent.ok_or_else(|| refuse("a percentage up to 100%"))? * 10;
                }
                "connections" => match value {
                    "shared" => is_shared = true,
                    "own" => {}
                    _ => return Err(refuse("`own` or `shared`")),
                },
                name => {
                    let time = Nanos::parse(value);
                    times.insert(name, time.ok_or_else(|| refuse("a time such as `5ms`"))?);
                }
            }
        }
        Ok(Self {
            executable,
            dialer,
            times,
            slow_every,
            jitter,
            trunks: is_shared.then(Mutex::default),
            registers: Store::make()?,
        })
    }

    fn spec(&self, node: NodeId, layout: &Layout) -> Spec {
        let time = |name| self.times.get(name).copied().unwrap_or_default();
        Spec {
            id: node,
            client: layout.client,
            listen: layout.peer,
            peers: layout.peers.clone(),
            store: Store::path(&self.registers),
            trace: layout.dir.join("trace.jsonl"),
            answer: time("answer"),
            slow: time("slow"),
            slow_every: self.slow_every,
            detect: time("detect"),
            elect: time("elect"),
            sync: time("sync"),
            vanish: time("vanish"),
            jitter: self.jitter,
        }
    }
}

#[async_trait]
impl System for Stub {
    fn name(&self) -> &'static str {
        "stub"
    }

    fn title(&self) -> &'static str {
        "stub with known delays"
    }

    fn launch(&self, node: NodeId, layout: &Layout) -> Launch {
        let spec = self.spec(node, layout);
        let argument = serde_json::to_string(&spec).unwrap_or_default();
        let program = layout.program.clone();
        Launch {
            program: program.unwrap_or_else(|| self.executable.clone()),
            args: vec![STUB_COMMAND.to_owned(), argument],
            env: Vec::new(),
            trace: Some(spec.trace),
            data: None,
        }
    }

    fn frames_peers(&self) -> bool {
        false
    }

    async fn status(&self, addr: SocketAddr, timeout: Duration) -> Result<Status, ConnectError> {
        let mut client = StubClient::dial(&self.dialer, addr, timeout).await?;
        let answer = client.ask_within(Verb::Status, timeout).await?;
        Ok(Status {
            serving: answer.code == Code::Done,
            leads: answer.value & 1 == 1,
            epoch: (answer.value >> 1).cast_unsigned(),
            applied: 0,
            committed: 0,
            digest: Some(format!("{:016x}", answer.version.cast_unsigned())),
        })
    }

    async fn call(
        &self,
        what: &str,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<String, ConnectError> {
        if what != "vanish" {
            return Err(ConnectError::Protocol(format!("there is no call `{what}`")));
        }
        let mut client = StubClient::dial(&self.dialer, addr, timeout).await?;
        let answer = client.ask_within(Verb::Vanish, timeout).await?;
        let gone = Nanos((answer.version - answer.value).cast_unsigned());
        Ok(format!("nobody serves for {gone}"))
    }

    async fn connect(
        &self,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<Box<dyn Client>, ConnectError> {
        let mut client = match &self.trunks {
            None => StubClient::dial(&self.dialer, addr, timeout).await?,
            Some(trunks) => {
                let thread = std::thread::current().id();
                let mut trunks = trunks.lock().await;
                trunks.retain(|(.., trunk)| !trunk.is_closed());
                let mut there = trunks.iter();
                let there = there.find(|(of, to, _)| (*of, *to) == (thread, addr));
                let trunk = if let Some((.., trunk)) = there {
                    trunk.clone()
                } else {
                    let trunk = trunk(&self.dialer, addr, timeout).await?;
                    trunks.push((thread, addr, trunk.clone()));
                    trunk
                };
                StubClient::on(trunk)
            }
        };
        match client.ask_within(Verb::Hello, timeout).await?.code {
            Code::NotServing => Err(ConnectError::NotServing),
            _ => Ok(Box::new(client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stub(settings: &[(&str, &str)]) -> Result<Stub, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let config = settings.iter().map(owned).collect();
        Stub::new(PathBuf::from("chaos"), &config, Dialer::default())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_times_and_anything_else_is_refused_by_name() {
        let made = stub(&[("answer", "2ms"), ("slow_every", "100")]).unwrap();
        assert_eq!(made.times["answer"], Nanos::from_millis(2));
        assert_eq!(made.times["elect"], Nanos::from_millis(40));
        assert_eq!(made.slow_every, 100);
        let wrong = [
            stub(&[("answers", "2ms")]),
            stub(&[("answer", "2")]),
            stub(&[("slow_every", "2ms")]),
        ];
        let texts = wrong.map(Result::unwrap_err).join("\n");
        insta::assert_snapshot!(texts, @r"
        the stub has no setting `answers`: it has answer, slow, slow_every, detect, elect, sync, jitter, connections, vanish
        the setting `answer` is `2`: expected a time such as `5ms`
        the setting `slow_every` is `2ms`: expected a whole number
        ");
    }
}
