//! `chaos proxy`: the fault proxy alone, between clients and any TCP server.

mod api;
mod rules;

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{self, Failure};
use crate::exit::Exit;
use crate::id::NodeId;
use crate::link::{Endpoint, Framing, LinkId, Links, Path};
use crate::seed::Seed;
use api::Api;
use rules::Rules;

/// The server behind the proxy.
const TARGET: NodeId = NodeId(1);
/// The direction from the clients to the server.
const FORTH: LinkId = LinkId::new(Endpoint::Clients, Endpoint::Node(TARGET));

const EXAMPLES: &str = "\
Examples:
  chaos proxy --listen 127.0.0.1:7000 --upstream 127.0.0.1:6379
  chaos proxy --listen 127.0.0.1:7000 --upstream 127.0.0.1:6379 --rules slow.yaml
  chaos proxy --listen 127.0.0.1:7000 --upstream 127.0.0.1:6379 --api 127.0.0.1:7001
  curl -X PUT http://127.0.0.1:7001/rules -d '{\"both\": [{\"delay\": {\"by\": \"50ms\"}}]}'

A rules file says what is wrong in each direction (`forth`: clients to server):
  forth: [{throttle: {rate: 100kB/s}}]
  back:  [{drop: {loss: 5%, layer: stall}}]
  both:  [{delay: {by: 20ms, jitter: 5ms, dist: normal}}]

Rules: cut, drop {loss, layer: stall|corrupt|frame}, delay {by, jitter, dist}, throttle {rate},
corrupt {share}; with --framed also duplicate {share}, reorder {share} and `layer: frame`.

API: GET /rules, PUT /rules, GET /counters, POST /reset, POST /half_open; all bodies are JSON.";

/// What to relay.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProxyArguments {
    /// Where clients connect
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// The server that they mean
    #[arg(long, value_name = "HOST:PORT")]
    upstream: String,
    /// What is wrong from the beginning
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Where rules can be changed over HTTP; nobody is asked who they are
    #[arg(long, value_name = "ADDR:PORT")]
    api: Option<SocketAddr>,
    /// Both directions consist of messages: a big-endian u32 with the length, then so many bytes
    #[arg(long)]
    framed: bool,
    /// Repeats every random decision
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Relays until SIGINT or SIGTERM.
pub(super) fn proxy(arguments: &ProxyArguments) -> Result<Exit, Failure> {
    let upstream = resolve(&arguments.upstream)?;
    let rules = match &arguments.rules {
        None => Rules::default(),
        Some(file) => {
            let refuse = |why: String| {
                Failure::new(Exit::Usage, format!("rules of {}: {why}", file.display()))
            };
            let text = std::fs::read_to_string(file).map_err(|e| refuse(e.to_string()))?;
            Rules::parse(&text).map_err(refuse)?
        }
    };
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| setup("start", &error))?;
    runtime.block_on(relay(arguments, upstream, rules))
}

/// Each connection takes two descriptors, and 1024 are soon used up. A process that starts no
/// others may have as many as the machine grants.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused: then there are as many as before, and a dial too many waits for its turn.
    let _ = setrlimit(Resource::Nofile, limit);
}

async fn relay(
    arguments: &ProxyArguments,
    upstream: SocketAddr,
    rules: Rules,
) -> Result<Exit, Failure> {
    let ends = |kind| signal(kind).map_err(|error| setup("listen for signals", &error));
    let (mut int, mut term) = (
        ends(SignalKind::interrupt())?,
        ends(SignalKind::terminate())?,
    );
    let links = Links::start(Seed(arguments.seed)).map_err(|error| setup("start", &error))?;
    let path = Path {
        dialer: Endpoint::Clients,
        target: TARGET,
        upstream,
        framing: if arguments.framed {
            Framing::LengthPrefixed
        } else {
            Framing::Opaque
        },
    };
    let address = links
        .open_at(path, arguments.listen)
        .await
        .map_err(|error| setup(&format!("listen on {}", arguments.listen), &error))?;
    links
        .set_rules(rules.table(FORTH))
        .await
        .map_err(|error| Failure::new(Exit::Usage, rules::refused(&error, FORTH)))?;
    links.set_running(TARGET, true);
    let mut told = format!("proxy  {address} -> {upstream}\n");
    let api = match arguments.api {
        None => None,
        Some(at) => {
            let fails = |error: &io::Error| setup(&format!("listen on {at}"), error);
            let listener = TcpListener::bind(at).await.map_err(|e| fails(&e))?;
            let at = listener.local_addr().map_err(|e| fails(&e))?;
            told += &format!("api    http://{at}\n");
            Some(Api::new(listener, rules))
        }
    };
    failure::output(&told);
    // A closed stdout is not an error of ours.
    drop(io::stdout().flush());
    let serve = async {
        match api {
            None => std::future::pending().await,
            Some(api) => api.serve(&links, FORTH).await,
        }
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
        () = serve => {}
    }
    Ok(Exit::Pass)
}

fn resolve(text: &str) -> Result<SocketAddr, Failure> {
    let refuse = |why: String| {
        Failure::new(
            Exit::Usage,
            format!("`--upstream {text}` is no address: {why}"),
        )
    };
    let mut found = text.to_socket_addrs().map_err(|e| refuse(e.to_string()))?;
    found
        .next()
        .ok_or_else(|| refuse("nobody has that name".to_owned()))
}

fn setup(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Setup, format!("the proxy cannot {what}: {error}"))
}
