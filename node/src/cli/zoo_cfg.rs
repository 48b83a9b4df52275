//! ZooKeeper's configuration file, as far as it means something here.
//!
//! Keys that only another server could use are collected, so that they can be named to whoever wrote
//! them; what this node cannot be (an observer, part of a weighted quorum) is refused.

use std::collections::BTreeMap;

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ZooCfg {
    pub(super) tick_ms: u32,
    /// How many ticks a peer may be silent.
    pub(super) sync_limit: u32,
    pub(super) data_dir: String,
    /// The address for clients, if one is named, and the port, if it does not stand with the server.
    pub(super) client_address: Option<String>,
    pub(super) client_port: Option<u16>,
    pub(super) session_timeout_ms: (Option<i32>, Option<i32>),
    pub(super) max_connections: u32,
    pub(super) super_digest: Option<String>,
    pub(super) snapshot_every: Option<u64>,
    pub(super) servers: BTreeMap<u8, ServerLine>,
    /// Keys that mean nothing here.
    pub(super) unused: Vec<String>,
}

/// A `server.N` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerLine {
    pub(super) host: String,
    pub(super) peer_port: u16,
    pub(super) election_port: u16,
    /// Behind the semicolon: address and port for clients.
    pub(super) client: Option<(Option<String>, u16)>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ZooCfgError {
    #[error("line {line}: expected key=value")]
    NotAKey { line: usize },
    #[error("{key}={value}: expected {expected}")]
    Value {
        key: String,
        value: String,
        expected: &'static str,
    },
    #[error("{key} is missing")]
    Missing { key: &'static str },
    #[error("{key}={value}: {what} are not supported")]
    Unsupported {
        key: String,
        value: String,
        what: &'static str,
    },
}

impl ZooCfg {
    pub(super) fn parse(text: &str) -> Result<Self, ZooCfgError> {
        let mut found = Self {
            tick_ms: 3_000,
            sync_limit: 5,
            data_dir: String::new(),
            client_address: None,
            client_port: None,
            session_timeout_ms: (None, None),
            max_connections: 60,
            super_digest: None,
            snapshot_every: None,
            servers: BTreeMap::new(),
            unused: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .ok_or(ZooCfgError::NotAKey { line: index + 1 })?;
            found.take(key.trim(), value.trim())?;
        }
        if found.data_dir.is_empty() {
            return Err(ZooCfgError::Missing { key: "dataDir" });
        }
        Ok(found)
    }

    /// The members of the cluster as clients read them.
    pub(super) fn members(&self) -> String {
        let mut text = String::new();
        for (id, server) in &self.servers {
            let ServerLine {
                host,
                peer_port,
                election_port,
                client,
            } = server;
            text += &format!("server.{id}={host}:{peer_port}:{election_port}:participant");
            if let Some((address, port)) = client {
                let address = address.as_deref().unwrap_or("0.0.0.0");
                text += &format!(";{address}:{port}");
            }
            text.push('\n');
        }
        text + "version=0"
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), ZooCfgError> {
        match key {
            "tickTime" => self.tick_ms = positive(key, value)?,
            "syncLimit" => self.sync_limit = positive(key, value)?,
            "dataDir" => value.clone_into(&mut self.data_dir),
            "clientPort" => self.client_port = Some(number(key, value, A_PORT)?),
            "clientPortAddress" => self.client_address = Some(value.to_owned()),
            "minSessionTimeout" => self.session_timeout_ms.0 = timeout(key, value)?,
            "maxSessionTimeout" => self.session_timeout_ms.1 = timeout(key, value)?,
            "maxClientCnxns" => self.max_connections = number(key, value, "a number")?,
            "snapCount" => {
                let count: u32 = positive(key, value)?;
                self.snapshot_every = Some(u64::from(count));
            }
            "superDigest" | "DigestAuthenticationProvider.superDigest" => {
                self.super_digest = Some(value.to_owned());
            }
            "peerType" if value == "observer" => return Err(unsupported(key, value, OBSERVERS)),
            _ if key.starts_with("group.") || key.starts_with("weight.") => {
                return Err(unsupported(key, value, "weighted quorums"));
            }
            _ => match key.strip_prefix("server.") {
                Some(id) => self.take_server(key, id, value)?,
                None => self.unused.push(key.to_owned()),
            },
        }
        Ok(())
    }

    fn take_server(&mut self, key: &str, id: &str, value: &str) -> Result<(), ZooCfgError> {
        let id = id.parse().ok().filter(|id| (1..=127).contains(id));
        let id = id.ok_or_else(|| ZooCfgError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            expected: "a server from 1 to 127",
        })?;
        let wrong = || ZooCfgError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            expected: "HOST:PORT:PORT[:participant][;[HOST:]PORT]",
        };
        let (server, client) = match value.split_once(';') {
            Some((server, client)) => {
                let client = client_part(client.trim()).ok_or_else(wrong)?;
                (server.trim(), Some(client))
            }
            None => (value, None),
        };
        // Of several addresses of one server the first will do.
        let first = server.split('|').next().unwrap_or(server);
        let (host, rest) = split_host(first).ok_or_else(wrong)?;
        let mut parts = rest.split(':');
        let mut port = || parts.next()?.parse().ok();
        let (peer_port, election_port) = port().zip(port()).ok_or_else(wrong)?;
        match parts.next() {
            None | Some("participant") => {}
            Some("observer") => return Err(unsupported(key, value, OBSERVERS)),
            Some(_) => return Err(wrong()),
        }
        let server = ServerLine {
            host: host.to_owned(),
            peer_port,
            election_port,
            client,
        };
        self.servers.insert(id, server);
        Ok(())
    }
}

/// `HOST:rest`, where the host may be an IPv6 address in brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(text) => {
            let (host, rest) = text.split_once(']')?;
            Some((host, rest.strip_prefix(':')?))
        }
        None => text.split_once(':'),
    }
}

/// `[HOST:]PORT`
fn client_part(text: &str) -> Option<(Option<String>, u16)> {
    if let Ok(port) = text.parse() {
        return Some((None, port));
    }
    let (host, port) = split_host(text)?;
    Some((Some(host.to_owned()), port.parse().ok()?))
}

fn number<T: std::str::FromStr>(
    key: &str,
    value: &str,
    expected: &'static str,
) -> Result<T, ZooCfgError> {
    value.parse().map_err(|_| ZooCfgError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    })
}

fn positive(key: &str, value: &str) -> Result<u32, ZooCfgError> {
    let expected = "a number above 0";
    match number(key, value, expected)? {
        0 => Err(ZooCfgError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        }),
        count => Ok(count),
    }
}

/// −1 stands for the default.
fn timeout(key: &str, value: &str) -> Result<Option<i32>, ZooCfgError> {
    let given: i32 = number(key, value, "milliseconds")?;
    Ok((given > 0).then_some(given))
}

fn unsupported(key: &str, value: &str, what: &'static str) -> ZooCfgError {
    ZooCfgError::Unsupported {
        key: key.to_owned(),
        value: value.to_owned(),
        what,
    }
}

const A_PORT: &str = "a port";
const OBSERVERS: &str = "observers";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_file_is_understood() {
        let found = ZooCfg::parse(
            "# a comment\n tickTime = 2000\ninitLimit=10\nsyncLimit=2\ndataDir=/d\n\
             clientPort=2181\nmaxSessionTimeout=60000\nsnapCount=10\nsecureClientPort=2281\n\
             server.1=localhost:2888:3888:participant\nserver.2=[::1]:2889:3889;10.0.0.1:2182\n",
        )
        .unwrap();
        assert_eq!((found.tick_ms, found.sync_limit), (2_000, 2));
        assert_eq!((&found.data_dir[..], found.client_port), ("/d", Some(2181)));
        assert_eq!(found.session_timeout_ms, (None, Some(60_000)));
        assert_eq!(
            (found.max_connections, found.snapshot_every),
            (60, Some(10))
        );
        assert_eq!(found.unused, ["initLimit", "secureClientPort"]);
        assert_eq!(found.servers[&1].peer_port, 2_888);
        assert_eq!(found.servers[&2].host, "::1");
        let client = Some((Some("10.0.0.1".to_owned()), 2_182));
        assert_eq!(found.servers[&2].client, client);
        assert_eq!(
            found.members(),
            "server.1=localhost:2888:3888:participant\n\
             server.2=::1:2889:3889:participant;10.0.0.1:2182\nversion=0"
        );
    }

    #[test]
    fn mistakes_are_told_with_key_and_value() {
        for (text, expected) in [
            ("dataDir", "line 1: expected key=value"),
            ("tickTime=2000", "dataDir is missing"),
            ("tickTime=0", "tickTime=0: expected a number above 0"),
            ("clientPort=x", "clientPort=x: expected a port"),
            (
                "peerType=observer",
                "peerType=observer: observers are not supported",
            ),
            (
                "server.1=a:1:2:observer",
                "server.1=a:1:2:observer: observers are not supported",
            ),
            (
                "server.0=a:1:2",
                "server.0=a:1:2: expected a server from 1 to 127",
            ),
            (
                "server.1=a:1",
                "server.1=a:1: expected HOST:PORT:PORT[:participant][;[HOST:]PORT]",
            ),
            (
                "group.1=1:2",
                "group.1=1:2: weighted quorums are not supported",
            ),
        ] {
            assert_eq!(ZooCfg::parse(text).unwrap_err().to_string(), expected);
        }
    }
}
