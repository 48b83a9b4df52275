//! From ZooKeeper's configuration file and the `myid` beside the data to a configuration.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use super::zoo_cfg::{ServerLine, ZooCfg, ZooCfgError};
use super::{NodeArgs, Reads, SNAPSHOT_EVERY, session_timeouts};
use crate::protocol::io::Timing;
use crate::protocol::zxid::{Nanos, Sid};
use crate::server::Config;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Content { path: PathBuf, source: ZooCfgError },
    #[error("{}: expected the number of one of the servers, found {found:?}", path.display())]
    MyId { path: PathBuf, found: String },
    #[error("{}: no port for clients", path.display())]
    NoClientPort { path: PathBuf },
    #[error("cannot find the address of {host}: {source}")]
    Resolve { host: String, source: io::Error },
}

/// The configuration, and the keys of the file that had no effect.
pub(super) fn config(args: NodeArgs, path: &Path) -> Result<(Config, Vec<String>), FileError> {
    let file = ZooCfg::parse(&read(path)?).map_err(|source| {
        let path = path.to_owned();
        FileError::Content { path, source }
    })?;
    let dir = PathBuf::from(&file.data_dir);
    let me = if file.servers.is_empty() {
        ALONE
    } else {
        my_id(&dir, &file)?
    };
    let own = file.servers.get(&me);
    let peers = file.servers.iter().filter(|(id, _)| **id != me);
    let peers = peers.map(|(id, server)| Ok((Sid(*id), peer_address(server)?)));
    let (least, most) = session_timeouts(file.tick_ms);
    let patience = u64::from(file.tick_ms) * u64::from(file.sync_limit);
    let config = Config {
        me: Sid(me),
        peers: peers.collect::<Result<_, FileError>>()?,
        client: client_address(path, &file, own)?,
        listen: match own {
            Some(own) => peer_address(own)?,
            // Nobody will come.
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        },
        data: dir.join(SUBDIRECTORY),
        timing: Timing {
            heartbeat: args.heartbeat,
            suspect_floor: args.suspect_floor,
            suspect_cap: args.suspect_cap.min(Nanos::from_millis(patience)),
        },
        tick_ms: file.tick_ms,
        session_timeout_ms: (
            file.session_timeout_ms.0.unwrap_or(least),
            file.session_timeout_ms.1.unwrap_or(most),
        ),
        max_connections: file.max_connections,
        super_digest: args.super_digest.or_else(|| file.super_digest.clone()),
        members: file.members(),
        linear_reads: args.reads == Reads::Linear,
        snapshot_every: args
            .snapshot_every
            .or(file.snapshot_every)
            .unwrap_or(SNAPSHOT_EVERY),
        trace: args.trace,
        secret: args.secret,
        bugs: args.bug,
    };
    Ok((config, file.unused))
}

fn my_id(dir: &Path, file: &ZooCfg) -> Result<u8, FileError> {
    let path = dir.join("myid");
    let found = read(&path)?.trim().to_owned();
    match found.parse() {
        Ok(id) if file.servers.contains_key(&id) => Ok(id),
        _ => Err(FileError::MyId { path, found }),
    }
}

/// Clients may stand beside the server or on lines of their own.
fn client_address(
    path: &Path,
    file: &ZooCfg,
    own: Option<&ServerLine>,
) -> Result<SocketAddr, FileError> {
    let beside = own.and_then(|own| own.client.clone());
    let (host, port) = match (beside, file.client_port) {
        (Some((host, port)), _) => (host, port),
        (None, Some(port)) => (file.client_address.clone(), port),
        (None, None) => {
            let path = path.to_owned();
            return Err(FileError::NoClientPort { path });
        }
    };
    match host {
        Some(host) => resolve(&host, port),
        None => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
    }
}

/// Peers speak on the port that ZooKeeper's quorum uses; elections need no port of their own.
fn peer_address(server: &ServerLine) -> Result<SocketAddr, FileError> {
    resolve(&server.host, server.peer_port)
}

/// The first IPv4 address of a host, or else the first of any kind.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, FileError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let failed = |source| FileError::Resolve {
        host: host.to_owned(),
        source,
    };
    let found: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(failed)?.collect();
    let first = found
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| found.first());
    first
        .copied()
        .ok_or_else(|| failed(io::Error::from(io::ErrorKind::AddrNotAvailable)))
}

fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|source| {
        let path = path.to_owned();
        FileError::Read { path, source }
    })
}

/// The id of a server that is the only one.
const ALONE: u8 = 1;
/// Where the data is inside the data directory, which holds other files too.
const SUBDIRECTORY: &str = "chaos-node";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        node: NodeArgs,
    }

    fn configured(text: &str, my_id: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zoo.cfg");
        fs::write(&path, format!("dataDir={}\n{text}", dir.path().display())).unwrap();
        fs::write(dir.path().join("myid"), my_id).unwrap();
        let file = format!("--zoo-cfg={}", path.display());
        let args = Program::try_parse_from(["node", &file]).unwrap().node;
        let result = config(args, &path);
        result
            .map(|(config, _)| config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_member_finds_itself_and_its_peers() {
        let servers = "server.1=localhost:11:21\nserver.2=localhost:12:22\n";
        let config = configured(&format!("clientPort=5\ntickTime=100\n{servers}"), "2\n").unwrap();
        assert_eq!(config.me, Sid(2));
        assert_eq!(config.listen, SocketAddr::from(([127, 0, 0, 1], 12)));
        let peer = SocketAddr::from(([127, 0, 0, 1], 11));
        assert_eq!(
            config.peers.into_iter().collect::<Vec<_>>(),
            [(Sid(1), peer)]
        );
        assert_eq!(config.client, SocketAddr::from(([0, 0, 0, 0], 5)));
        assert_eq!(config.session_timeout_ms, (200, 2_000));
        assert_eq!(config.timing.suspect_cap, Nanos::from_millis(500));
        assert_eq!(config.data.file_name().unwrap(), SUBDIRECTORY);
    }

    #[test]
    fn a_server_without_others_stands_alone() {
        let config = configured("clientPort=5\nclientPortAddress=127.0.0.1", "").unwrap();
        assert_eq!((config.me, config.peers.len()), (Sid(1), 0));
        assert_eq!(config.client, SocketAddr::from(([127, 0, 0, 1], 5)));
    }

    #[test]
    fn mistakes_name_the_file() {
        let servers = "clientPort=5\nserver.1=localhost:11:21";
        let error = configured(servers, "7").unwrap_err();
        assert!(error.contains("myid: expected the number of one of the servers, found \"7\""));
        let error = configured("", "").unwrap_err();
        assert!(error.contains("zoo.cfg: no port for clients"), "{error}");
        let error = configured("tickTime=x", "").unwrap_err();
        assert!(error.contains("zoo.cfg: tickTime=x: expected"), "{error}");
    }
}
