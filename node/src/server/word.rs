//! The four-letter words, answered from everything that the node knows of itself.

use std::fs;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};

use super::event_loop::Server;
use crate::client::{
    Mode, Report, answer, connections, dump, statistics, watch_summary, watches_by_path,
    watches_by_session,
};
use crate::clock;
use crate::protocol::io::Phase;

impl Server {
    /// The text that answers a word.
    pub(super) fn answer_word(&mut self, word: [u8; 4]) -> String {
        let mut report = self.report();
        match &word {
            b"conf" | b"dirs" => report.disk_bytes = bytes_in(&self.config.data),
            b"mntr" => report.open_files = open_files(),
            _ => {}
        }
        if report.is_serving && word == *b"snap" {
            return self.snapshot_on_demand();
        }
        if report.is_serving {
            match &word {
                b"crst" => self.sessions.reset_traffic(),
                b"srst" => self.reset_statistics(),
                _ => {}
            }
        }
        if let Some(text) = answer(word, &report) {
            return text;
        }
        let watches = self.sessions.watches();
        match &word {
            b"stat" => statistics(&report, &self.sessions.lines(&self.state)),
            b"cons" => connections(&self.sessions.lines(&self.state)),
            b"wchs" => watch_summary(watches),
            b"wchc" => watches_by_session(watches, |conn| self.sessions.session_of(conn)),
            b"wchp" => watches_by_path(watches, |conn| self.sessions.session_of(conn)),
            _ => dump(&self.state),
        }
    }

    fn reset_statistics(&mut self) {
        self.received = 0;
        self.sent = 0;
        self.sessions.latency = super::latency::Latency::default();
    }

    fn report(&self) -> Report {
        let status = self.core.status();
        let config = &self.config;
        Report {
            id: config.me.0,
            mode: match status.phase {
                Phase::Looking => Mode::Looking,
                Phase::Joining | Phase::Following => Mode::Follower,
                Phase::Electing | Phase::Leading if config.peers.is_empty() => Mode::Standalone,
                Phase::Electing | Phase::Leading => Mode::Leader,
            },
            is_serving: self.is_serving(),
            leader: status.leader.map(|leader| leader.0),
            epoch: status.current_epoch,
            applied: self.state.applied(),
            committed: status.committed.0,
            last_logged: status.last_logged.0,
            digest: self.state.digest(),
            node_count: self.state.node_count(),
            data_size: self.state.data_size(),
            sessions: self.state.session_count(),
            ephemerals: self.state.ephemerals_count(),
            watches: self.sessions.watches().total(),
            connections: self.clients.len(),
            outstanding: self.sessions.outstanding(),
            received: self.received,
            sent: self.sent,
            latency_ms: self.sessions.latency.in_ms(),
            open_files: (0, 0),
            uptime_ms: (clock::monotonic_ns() - self.started) / 1_000_000,
            quorum_size: config.peers.len() + 1,
            disk_bytes: 0,
            followers: status.followers,
            synced_followers: status.synced_followers,
            client_port: config.client.port(),
            data_dir: config.data.display().to_string(),
            tick_ms: config.tick_ms,
            session_timeout_ms: config.session_timeout_ms,
            max_connections: config.max_connections,
            members: config.members.clone(),
        }
    }
}

/// The bytes of the files in a directory; what cannot be read counts nothing.
fn bytes_in(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}

/// The file descriptors that this process has, and how many it may have; 0 for what the system does
/// not tell.
fn open_files() -> (u64, u64) {
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    (u64::try_from(open).unwrap_or(u64::MAX), most)
}
