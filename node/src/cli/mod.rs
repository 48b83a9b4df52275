//! The command line of a node.

mod file;
mod zoo_cfg;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::bug::Bugs;
use crate::clock;
use crate::protocol::io::Timing;
use crate::protocol::zxid::{Nanos, Sid};
use crate::server::{self, Config, ServerError};

/// Runs one node of the bundled replicated store.
#[derive(Debug, Clone, Args)]
pub struct NodeArgs {
    /// ZooKeeper's configuration file, instead of the options that name the node and its peers
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "data", "client", "listen", "peers"])]
    pub zoo_cfg: Option<PathBuf>,
    /// Which node this is, from 1
    #[arg(long, value_name = "N", required_unless_present = "zoo_cfg", value_parser = clap::value_parser!(u8).range(1..=127))]
    pub id: Option<u8>,
    /// Directory for its data; made if it does not exist
    #[arg(long, value_name = "DIR", required_unless_present = "zoo_cfg")]
    pub data: Option<PathBuf>,
    /// Address for clients
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "zoo_cfg")]
    pub client: Option<SocketAddr>,
    /// Address for its peers
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "zoo_cfg")]
    pub listen: Option<SocketAddr>,
    /// Where this node finds each node of the cluster; its own entry is not used
    #[arg(long, value_name = "N=HOST:PORT", value_delimiter = ',', required_unless_present = "zoo_cfg", value_parser = parse_peer)]
    pub peers: Vec<(u8, SocketAddr)>,
    /// Whether reads are answered from this node's state or ask a quorum first
    #[arg(long, value_enum, default_value_t = Reads::Local)]
    pub reads: Reads,
    /// File to which the trace is appended; standard output by default
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Transactions between two snapshots [default: 50000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub snapshot_every: Option<u64>,
    /// How often peers are pinged
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = parse_time)]
    pub heartbeat: Nanos,
    /// The shortest silence that makes a peer suspected
    #[arg(long, value_name = "TIME", default_value = "120ms", value_parser = parse_time)]
    pub suspect_floor: Nanos,
    /// The longest silence that is tolerated from a peer
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_time)]
    pub suspect_cap: Nanos,
    /// Session timeouts lie between 2 and 20 of these; a configuration file has its own
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_time)]
    pub tick: Nanos,
    /// What session passwords derive from; the same on all nodes
    #[arg(long, value_name = "TEXT", default_value = "chaos")]
    pub secret: String,
    /// Break these rules on purpose (planted bugs), or none; needs --allow-bugs
    #[arg(long, value_name = "NAME,..", default_value_t = Bugs::NONE, value_parser = str::parse::<Bugs>)]
    pub bug: Bugs,
    /// Allow --bug: this node may lose data
    #[arg(long)]
    pub allow_bugs: bool,
    /// Who may do everything: a user and the hash of `user:password`, as in digest access lists
    #[arg(long, value_name = "USER:HASH")]
    pub super_digest: Option<String>,
}

/// How reads are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reads {
    /// From the state of this node, as ZooKeeper does: ordered per session, perhaps stale
    Local,
    /// After asking a quorum: linearizable
    Linear,
}

/// Runs a node until it is asked to stop; what goes wrong is told on standard error.
#[must_use]
pub fn run(args: NodeArgs) -> ExitCode {
    match try_run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "this is where a node's errors are told"
)]
fn tell(error: &Failure) {
    eprintln!("error: {error}");
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot follow the clock file {}: {source}", path.display())]
    Clock {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("--peers names node {0} twice")]
    Twice(Sid),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("--suspect-floor and --suspect-cap must be longer than --heartbeat, and in this order")]
    Timing,
    #[error("--bug {0} makes this node break its rules: say --allow-bugs as well if you mean it")]
    BugsNotAllowed(Bugs),
    #[error(transparent)]
    File(#[from] file::FileError),
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn try_run(args: NodeArgs) -> Result<(), Failure> {
    let config = config(args)?;
    if let Some(path) = std::env::var_os(clock::CLOCK_VARIABLE).map(PathBuf::from) {
        clock::follow(&path).map_err(|source| Failure::Clock { path, source })?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(Failure::Runtime)?;
    Ok(runtime.block_on(server::run(config))?)
}

fn config(args: NodeArgs) -> Result<Config, Failure> {
    if !args.bug.is_empty() && !args.allow_bugs {
        return Err(Failure::BugsNotAllowed(args.bug));
    }
    let config = match args.zoo_cfg.clone() {
        Some(path) => {
            let (config, unused) = file::config(args, &path)?;
            if !unused.is_empty() {
                note(&path, &unused);
            }
            config
        }
        None => from_options(args)?,
    };
    let Timing {
        heartbeat,
        suspect_floor,
        suspect_cap,
    } = config.timing;
    if heartbeat == Nanos::ZERO || heartbeat >= suspect_floor || suspect_floor > suspect_cap {
        return Err(Failure::Timing);
    }
    Ok(config)
}

#[expect(
    clippy::print_stderr,
    reason = "who wrote the file should know what had no effect"
)]
fn note(path: &Path, unused: &[String]) {
    eprintln!(
        "note: {}: not used here: {}",
        path.display(),
        unused.join(", ")
    );
}

fn from_options(args: NodeArgs) -> Result<Config, Failure> {
    let me = Sid(args.id.ok_or(Failure::Missing("--id"))?);
    let mut peers = BTreeMap::new();
    for (id, address) in args.peers {
        if peers.insert(Sid(id), address).is_some() {
            return Err(Failure::Twice(Sid(id)));
        }
    }
    let listen = args.listen.ok_or(Failure::Missing("--listen"))?;
    let members = members(&peers);
    peers.remove(&me);
    let tick_ms = u32::try_from(args.tick.0 / 1_000_000)
        .unwrap_or(u32::MAX)
        .max(1);
    Ok(Config {
        me,
        peers,
        client: args.client.ok_or(Failure::Missing("--client"))?,
        listen,
        data: args.data.ok_or(Failure::Missing("--data"))?,
        timing: Timing {
            heartbeat: args.heartbeat,
            suspect_floor: args.suspect_floor,
            suspect_cap: args.suspect_cap,
        },
        tick_ms,
        session_timeout_ms: session_timeouts(tick_ms),
        max_connections: 0,
        super_digest: args.super_digest,
        members,
        linear_reads: args.reads == Reads::Linear,
        snapshot_every: args.snapshot_every.unwrap_or(SNAPSHOT_EVERY),
        trace: args.trace,
        secret: args.secret,
        bugs: args.bug,
    })
}

/// The members of a cluster that was told on the command line. There is one port between peers, which
/// stands for both of ZooKeeper's.
fn members(peers: &BTreeMap<Sid, SocketAddr>) -> String {
    let line = |(id, address): (&Sid, &SocketAddr)| {
        let port = address.port();
        format!(
            "server.{}={}:{port}:{port}:participant\n",
            id.0,
            address.ip()
        )
    };
    peers.iter().map(line).collect::<String>() + "version=0"
}

/// 2 and 20 ticks, in milliseconds.
fn session_timeouts(tick_ms: u32) -> (i32, i32) {
    let tick = i32::try_from(tick_ms).unwrap_or(i32::MAX);
    (tick.saturating_mul(2), tick.saturating_mul(20))
}

fn parse_peer(text: &str) -> Result<(u8, SocketAddr), String> {
    let (id, address) = text
        .split_once('=')
        .ok_or_else(|| "expected N=HOST:PORT".to_owned())?;
    let id = id
        .parse()
        .ok()
        .filter(|id| (1..=127).contains(id))
        .ok_or_else(|| format!("{id:?} is not a node: expected 1 to 127"))?;
    let address = address
        .parse()
        .map_err(|_| format!("{address:?} is not an address: expected HOST:PORT"))?;
    Ok((id, address))
}

fn parse_time(text: &str) -> Result<Nanos, String> {
    let units = [("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000)];
    units
        .iter()
        .find_map(|(unit, nanos)| {
            let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
            count.checked_mul(*nanos).map(Nanos)
        })
        .ok_or_else(|| "expected a whole number with its unit, such as 20ms or 2s".to_owned())
}

const SNAPSHOT_EVERY: u64 = 50_000;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::bug::Bug;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        node: NodeArgs,
    }

    fn parse(extra: &[&str]) -> Result<Config, String> {
        let mut line = vec![
            "node",
            "--id=2",
            "--data=d",
            "--client=127.0.0.1:1",
            "--listen=127.0.0.1:2",
            "--peers=1=127.0.0.1:3,2=127.0.0.1:4,3=127.0.0.1:5",
        ];
        line.extend_from_slice(extra);
        let program = Program::try_parse_from(line).map_err(|error| error.to_string())?;
        config(program.node).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_gives_a_configuration() {
        let config = parse(&["--reads=linear", "--heartbeat=5ms", "--tick=1s"]).unwrap();
        assert_eq!(config.me, Sid(2));
        let peers: Vec<Sid> = config.peers.keys().copied().collect();
        assert_eq!(peers, [Sid(1), Sid(3)], "its own entry is not used");
        assert!(config.linear_reads);
        assert_eq!(config.timing.heartbeat, Nanos::from_millis(5));
        assert_eq!(config.timing.suspect_floor, Nanos::from_millis(120));
        assert_eq!(config.tick_ms, 1_000);
        assert_eq!(config.session_timeout_ms, (2_000, 20_000));
        assert!(
            config
                .members
                .starts_with("server.1=127.0.0.1:3:3:participant\nserver.2=")
        );
    }

    #[test]
    fn bugs_are_planted_only_where_they_are_allowed() {
        assert!(parse(&[]).unwrap().bugs.is_empty());
        assert!(parse(&["--bug=none"]).unwrap().bugs.is_empty());
        let config = parse(&["--bug=no-truncate,hole-in-diff", "--allow-bugs"]).unwrap();
        let bugs = [Bug::NoTruncate, Bug::HoleInDiff].into_iter().collect();
        assert_eq!(config.bugs, bugs);
    }

    #[test]
    fn mistakes_are_refused_with_what_was_expected() {
        for (extra, expected) in [
            ("--heartbeat=5", "such as 20ms"),
            ("--heartbeat=200ms", "--suspect-floor"),
            ("--peers=1=127.0.0.1:9", "names node n1 twice"),
            ("--peers=0=127.0.0.1:9", "expected 1 to 127"),
            ("--peers=x", "expected N=HOST:PORT"),
            ("--bug=no-prevote", "did you mean `no-pre-vote`?"),
            ("--bug=no-truncate", "say --allow-bugs"),
            ("--zoo-cfg=f", "cannot be used with"),
        ] {
            let error = parse(&[extra]).unwrap_err();
            assert!(error.contains(expected), "{extra}: {error}");
        }
    }
}
