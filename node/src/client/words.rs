//! The four-letter words: a client that sends four letters instead of a frame gets a text, and the
//! connection ends.
//!
//! They are answered at any time, also by a node without a leader. The texts have the format that the
//! parsers of existing clients and exporters accept.

use std::fmt::Write;

/// What the texts tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// This node.
    pub id: u8,
    /// What it is.
    pub mode: Mode,
    /// Whether clients are served.
    pub is_serving: bool,
    /// The leader, perhaps this node.
    pub leader: Option<u8>,
    /// The last epoch whose history was synchronised.
    pub epoch: u32,
    /// The last transaction applied.
    pub applied: u64,
    /// The last transaction known to be committed.
    pub committed: u64,
    /// The last transaction in the log.
    pub last_logged: u64,
    /// The digest of the state.
    pub digest: u64,
    /// Znodes.
    pub node_count: usize,
    /// Bytes of paths and data.
    pub data_size: u64,
    /// Open sessions.
    pub sessions: usize,
    /// Connections of clients, this one among them.
    pub connections: usize,
    /// Requests not yet answered.
    pub outstanding: usize,
    /// Frames and words received from clients.
    pub received: u64,
    /// Frames and texts sent to clients.
    pub sent: u64,
    /// Milliseconds that requests took: least, mean and most.
    pub latency_ms: (u64, f64, u64),
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Voters in the cluster.
    pub quorum_size: usize,
    /// Leader: followers connected.
    pub followers: usize,
    /// Leader: followers in its active set.
    pub synced_followers: usize,
    /// The port for clients.
    pub client_port: u16,
    /// Where the data is.
    pub data_dir: String,
    /// The tick, in milliseconds, from which the bounds of session timeouts derive.
    pub tick_ms: u32,
}

/// What a node is, in the words of ZooKeeper.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Without a leader, or not yet let in.
    #[default]
    Looking,
    /// Following.
    Follower,
    /// Leading.
    Leader,
}

/// Whether the first bytes of a connection are a word.
#[must_use]
pub fn is_word(first: [u8; 4]) -> bool {
    first.iter().all(u8::is_ascii_lowercase)
}

/// The text that answers a word.
#[must_use]
pub fn answer(word: [u8; 4], report: &Report) -> String {
    match &word {
        b"ruok" => "imok".to_owned(),
        b"mntr" => monitor(report),
        b"srvr" | b"stat" | b"isro" if !report.is_serving => NOT_SERVING.to_owned(),
        b"srvr" => server(report, ""),
        b"stat" => server(report, "Clients:\n\n"),
        b"isro" => "rw".to_owned(),
        b"envi" => format!("Environment:\nzookeeper.version={VERSION}\nos.name=Linux\n"),
        b"conf" => configuration(report),
        _ => format!(
            "{} is not executed because it is not in the whitelist.\n",
            word.escape_ascii()
        ),
    }
}

fn server(report: &Report, clients: &str) -> String {
    let (least, mean, most) = report.latency_ms;
    format!(
        "Zookeeper version: {VERSION}\n{clients}Latency min/avg/max: {least}/{mean:.4}/{most}\n\
         Received: {}\nSent: {}\nConnections: {}\nOutstanding: {}\nZxid: {:#x}\nMode: {}\n\
         Node count: {}\n",
        report.received,
        report.sent,
        report.connections,
        report.outstanding,
        report.applied,
        report.mode.word(),
        report.node_count,
    )
}

fn configuration(report: &Report) -> String {
    let tick = report.tick_ms;
    format!(
        "clientPort={}\ndataDir={}\ntickTime={tick}\nminSessionTimeout={}\nmaxSessionTimeout={}\n\
         serverId={}\n",
        report.client_port,
        report.data_dir,
        2 * tick,
        20 * tick,
        report.id,
    )
}

fn monitor(report: &Report) -> String {
    let (least, mean, most) = report.latency_ms;
    let mut text = String::new();
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{key}\t{value}").expect("writing to a string never fails");
    };
    line("zk_version", &VERSION);
    line("zk_server_state", &report.mode.word());
    line("zk_peer_state", &report.peer_state());
    line("zk_avg_latency", &format_args!("{mean:.4}"));
    line("zk_min_latency", &least);
    line("zk_max_latency", &most);
    line("zk_packets_received", &report.received);
    line("zk_packets_sent", &report.sent);
    line("zk_num_alive_connections", &report.connections);
    line("zk_outstanding_requests", &report.outstanding);
    line("zk_znode_count", &report.node_count);
    line("zk_watch_count", &0);
    line("zk_ephemerals_count", &0);
    line("zk_approximate_data_size", &report.data_size);
    line("zk_global_sessions", &report.sessions);
    line("zk_uptime", &report.uptime_ms);
    line("zk_quorum_size", &report.quorum_size);
    if report.mode == Mode::Leader {
        line("zk_learners", &report.followers);
        line("zk_synced_followers", &report.synced_followers);
        line("zk_synced_observers", &0);
        let pending = report.followers.saturating_sub(report.synced_followers);
        line("zk_pending_syncs", &pending);
    }
    line("chaos_epoch", &report.epoch);
    line("chaos_applied_zxid", &report.applied);
    line("chaos_committed_zxid", &report.committed);
    line("chaos_last_logged_zxid", &report.last_logged);
    match report.leader {
        Some(leader) => line("chaos_leader", &format_args!("n{leader}")),
        None => line("chaos_leader", &"none"),
    }
    line(
        "chaos_state_digest",
        &format_args!("{:016x}", report.digest),
    );
    text
}

impl Report {
    const fn peer_state(&self) -> &'static str {
        match (self.mode, self.is_serving) {
            (Mode::Looking, _) => "looking",
            (Mode::Follower, true) => "following - broadcast",
            (Mode::Follower, false) => "following - synchronization",
            (Mode::Leader, true) => "leading - broadcast",
            (Mode::Leader, false) => "leading - synchronization",
        }
    }
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::Looking => "looking",
            Self::Follower => "follower",
            Self::Leader => "leader",
        }
    }
}

/// In the old format, which every parser accepts: the level of the protocol, then whose it is.
const VERSION: &str = "3.9.3-chaos, built on 01/01/2026 00:00 GMT";
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn leader() -> Report {
        Report {
            id: 2,
            mode: Mode::Leader,
            is_serving: true,
            leader: Some(2),
            epoch: 1,
            applied: 0x1_0000_0005,
            committed: 0x1_0000_0005,
            last_logged: 0x1_0000_0006,
            digest: 0xab,
            node_count: 4,
            connections: 1,
            received: 3,
            sent: 2,
            latency_ms: (0, 0.5, 3),
            quorum_size: 3,
            followers: 2,
            synced_followers: 1,
            ..Report::default()
        }
    }

    #[test]
    fn srvr_has_the_old_format() {
        assert_eq!(
            answer(*b"srvr", &leader()),
            "Zookeeper version: 3.9.3-chaos, built on 01/01/2026 00:00 GMT\n\
             Latency min/avg/max: 0/0.5000/3\nReceived: 3\nSent: 2\nConnections: 1\n\
             Outstanding: 0\nZxid: 0x100000005\nMode: leader\nNode count: 4\n"
        );
    }

    #[test]
    fn mntr_tells_a_leader_its_followers_and_everybody_the_state() {
        let text = answer(*b"mntr", &leader());
        for line in [
            "zk_server_state\tleader",
            "zk_synced_followers\t1",
            "zk_pending_syncs\t1",
            "chaos_leader\tn2",
            "chaos_applied_zxid\t4294967301",
            "chaos_last_logged_zxid\t4294967302",
            "chaos_state_digest\t00000000000000ab",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn a_node_without_a_leader_still_answers() {
        let report = Report::default();
        assert_eq!(answer(*b"ruok", &report), "imok");
        assert_eq!(answer(*b"srvr", &report), NOT_SERVING);
        let text = answer(*b"mntr", &report);
        assert!(text.contains("zk_server_state\tlooking\n"), "{text}");
        assert!(text.contains("chaos_leader\tnone\n"), "{text}");
        assert!(!text.contains("zk_synced_followers"), "{text}");
    }

    #[test]
    fn other_words_are_refused_by_name() {
        assert_eq!(
            answer(*b"dump", &leader()),
            "dump is not executed because it is not in the whitelist.\n"
        );
        assert!(is_word(*b"dump"));
        assert!(!is_word([0, 0, 0, 45]));
    }
}
