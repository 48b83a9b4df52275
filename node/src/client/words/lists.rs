//! The words that tell of single connections, sessions and watches.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use crate::client::WatchTable;
use crate::protocol::zxid::ConnId;
use crate::state::State;

/// One connection of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLine {
    /// Where the client is.
    pub address: SocketAddr,
    /// Requests not yet answered.
    pub queued: usize,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// More, once it has a session.
    pub session: Option<SessionPart>,
}

/// What is told of a connection with a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPart {
    /// The session.
    pub id: i64,
    /// When the connection was opened, in milliseconds since 1970.
    pub established_ms: i64,
    /// The timeout of the session, in milliseconds.
    pub timeout_ms: i32,
    /// The number of the last request that was answered.
    pub last_xid: i32,
    /// The transaction in that answer.
    pub last_zxid: u64,
    /// Milliseconds that requests took: last, least, mean and most.
    pub latency_ms: (u64, u64, u64, u64),
}

impl ConnectionLine {
    /// The line in `stat`.
    pub(super) fn brief(&self) -> String {
        let Self {
            address,
            queued,
            received,
            sent,
            session,
        } = self;
        let interest = u8::from(session.is_some());
        format!(" /{address}[{interest}](queued={queued},recved={received},sent={sent})\n")
    }

    /// The line in `cons`.
    fn full(&self) -> String {
        let mut line = self.brief();
        let Some(part) = &self.session else {
            return line;
        };
        let (last, least, mean, most) = part.latency_ms;
        line.truncate(line.len() - ")\n".len());
        writeln!(
            line,
            ",sid={:#x},est={},to={},lcxid={:#x},lzxid={:#x},llat={last},minlat={least},\
             avglat={mean},maxlat={most})",
            part.id, part.established_ms, part.timeout_ms, part.last_xid, part.last_zxid,
        )
        .expect("writing to a string never fails");
        line
    }
}

/// The answer to `cons`.
#[must_use]
pub fn connections(lines: &[ConnectionLine]) -> String {
    let lines: String = lines.iter().map(ConnectionLine::full).collect();
    lines + "\n"
}

/// The answer to `dump`: the sessions and their ephemeral znodes.
#[must_use]
pub fn dump(state: &State) -> String {
    let mut text = String::from("SessionTracker dump:\n");
    let sessions = state.sessions();
    let lines: Vec<String> = sessions
        .map(|(session, timeout_ms)| format!("{session:#x}\t{timeout_ms}ms\n"))
        .collect();
    text += &format!("Global Sessions({}):\n{}", lines.len(), lines.concat());
    let mut owned: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (session, path) in state.ephemeral_paths() {
        owned.entry(session).or_default().push(path);
    }
    text += "ephemeral nodes dump:\n";
    text += &format!("Sessions with Ephemerals ({}):\n", owned.len());
    for (session, paths) in owned {
        text += &format!("{session:#x}:\n");
        for path in paths {
            text += &format!("\t{path}\n");
        }
    }
    text
}

/// The answer to `wchs`: how many watches there are.
#[must_use]
pub fn watch_summary(watches: &WatchTable) -> String {
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        watches.connection_count(),
        watches.path_count(),
        watches.total(),
    )
}

/// The answer to `wchc`: the paths that each session watches. `session` names that of a connection.
pub fn watches_by_session(watches: &WatchTable, session: impl Fn(ConnId) -> Option<i64>) -> String {
    let mut text = String::new();
    for (conn, paths) in watches.connections() {
        text += &format!("{:#x}\n", session(conn).unwrap_or(0));
        for path in paths {
            text += &format!("\t{path}\n");
        }
    }
    text
}

/// The answer to `wchp`: the sessions that watch each path. `session` names that of a connection.
pub fn watches_by_path(watches: &WatchTable, session: impl Fn(ConnId) -> Option<i64>) -> String {
    let mut text = String::new();
    for (path, watchers) in watches.paths() {
        text += &format!("{path}\n");
        for conn in watchers {
            text += &format!("\t{:#x}\n", session(conn).unwrap_or(0));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::WatchKind;
    use crate::client::words::{statistics, tests::leader};

    fn line(session: Option<SessionPart>) -> ConnectionLine {
        ConnectionLine {
            address: SocketAddr::from(([127, 0, 0, 1], 37_470)),
            queued: 0,
            received: 1,
            sent: 0,
            session,
        }
    }

    #[test]
    fn connections_have_the_captured_form() {
        let brief = " /127.0.0.1:37470[0](queued=0,recved=1,sent=0)\n";
        assert_eq!(connections(&[line(None)]), format!("{brief}\n"));
        let text = statistics(&leader(), &[line(None)]);
        let clients = format!("Clients:\n{brief}\nLatency min/avg/max: ");
        assert!(text.contains(&clients), "{text}");
        let part = SessionPart {
            id: 0x1_0000,
            established_ms: 5,
            timeout_ms: 6_000,
            last_xid: 16,
            last_zxid: 0x2_0000_0001,
            latency_ms: (1, 0, 2, 3),
        };
        assert_eq!(
            connections(&[line(Some(part))]),
            " /127.0.0.1:37470[1](queued=0,recved=1,sent=0,sid=0x10000,est=5,to=6000,lcxid=0x10,\
             lzxid=0x200000001,llat=1,minlat=0,avglat=2,maxlat=3)\n\n"
        );
    }

    #[test]
    fn watches_are_counted_and_listed_both_ways() {
        let mut watches = WatchTable::default();
        for (conn, path) in [(1, "/a"), (2, "/a"), (2, "/b")] {
            watches.add(ConnId(conn), path, WatchKind::Data).unwrap();
        }
        let session = |conn: ConnId| i64::try_from(conn.0 + 15).ok();
        assert_eq!(
            watch_summary(&watches),
            "2 connections watching 2 paths\nTotal watches:3\n"
        );
        assert_eq!(
            watches_by_session(&watches, session),
            "0x10\n\t/a\n0x11\n\t/a\n\t/b\n"
        );
        assert_eq!(
            watches_by_path(&watches, session),
            "/a\n\t0x10\n\t0x11\n/b\n\t0x11\n"
        );
    }

    #[test]
    fn a_state_without_sessions_dumps_as_empty() {
        assert_eq!(
            dump(&State::new()),
            "SessionTracker dump:\nGlobal Sessions(0):\nephemeral nodes dump:\n\
             Sessions with Ephemerals (0):\n"
        );
    }
}
