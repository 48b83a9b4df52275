//! The four-letter words: a client that sends four letters instead of a frame gets a text, and the
//! connection ends.
//!
//! Some are answered at any time, also by a node without a leader; the others need one. The texts have
//! the format that the parsers of existing clients and exporters accept.

mod lists;
mod monitor;

pub use lists::{
    ConnectionLine, SessionPart, connections, dump, watch_summary, watches_by_path,
    watches_by_session,
};

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
    /// Ephemeral znodes.
    pub ephemerals: usize,
    /// Watches of the clients of this node.
    pub watches: usize,
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
    /// Open file descriptors of this process, and how many it may have.
    pub open_files: (u64, u64),
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Voters in the cluster.
    pub quorum_size: usize,
    /// Bytes in the data directory; counted only for the words that tell it.
    pub disk_bytes: u64,
    /// Leader: followers connected.
    pub followers: usize,
    /// Leader: followers in its active set.
    pub synced_followers: usize,
    /// The port for clients.
    pub client_port: u16,
    /// Where the data is.
    pub data_dir: String,
    /// The tick, in milliseconds.
    pub tick_ms: u32,
    /// The bounds of session timeouts, in milliseconds.
    pub session_timeout_ms: (i32, i32),
    /// Most connections from one address; 0 for no bound.
    pub max_connections: u32,
    /// The members of the cluster, one a line, and the version of that list.
    pub members: String,
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
    /// Alone in its cluster, and leading it.
    Standalone,
}

/// Whether the first bytes of a connection are a word.
#[must_use]
pub fn is_word(first: [u8; 4]) -> bool {
    first.iter().all(u8::is_ascii_lowercase)
}

/// The text that answers a word; `None` for those that tell of single connections, watches or
/// sessions, which have functions of their own.
#[must_use]
pub fn answer(word: [u8; 4], report: &Report) -> Option<String> {
    Some(match &word {
        b"ruok" => "imok".to_owned(),
        b"mntr" => monitor::text(report),
        b"envi" => environment(),
        b"conf" => configuration(report),
        _ if !needs_leader(word) => format!(
            "{} is not executed because it is not in the whitelist.\n",
            word.escape_ascii()
        ),
        _ if !report.is_serving => NOT_SERVING.to_owned(),
        b"srvr" => server(report, ""),
        b"isro" => "rw".to_owned(),
        b"dirs" => format!("datadir_size: {0}\nlogdir_size: {0}\n", report.disk_bytes),
        b"crst" => "Connection stats reset.\n".to_owned(),
        b"srst" => "Server stats reset.\n".to_owned(),
        _ => return None,
    })
}

/// The answer to `stat`, with a line for each connection.
#[must_use]
pub fn statistics(report: &Report, lines: &[ConnectionLine]) -> String {
    let clients: String = lines.iter().map(ConnectionLine::brief).collect();
    server(report, &format!("Clients:\n{clients}\n"))
}

/// Whether a word is known but tells nothing on a node without a leader.
fn needs_leader(word: [u8; 4]) -> bool {
    // `snap`, which saves a snapshot, is known to this server only.
    const WORDS: [&[u8; 4]; 12] = [
        b"srvr", b"stat", b"isro", b"dirs", b"crst", b"srst", b"cons", b"dump", b"wchs", b"wchc",
        b"wchp", b"snap",
    ];
    WORDS.contains(&&word)
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

fn environment() -> String {
    let (name, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("Environment:\nzookeeper.version={VERSION}\nos.name={name}\nos.arch={arch}\n")
}

fn configuration(report: &Report) -> String {
    let Report {
        client_port,
        data_dir,
        disk_bytes,
        tick_ms,
        max_connections,
        session_timeout_ms: (least, most),
        id,
        members,
        ..
    } = report;
    format!(
        "clientPort={client_port}\nsecureClientPort=-1\ndataDir={data_dir}\n\
         dataDirSize={disk_bytes}\ndataLogDir={data_dir}\ndataLogSize={disk_bytes}\n\
         tickTime={tick_ms}\nmaxClientCnxns={max_connections}\nminSessionTimeout={least}\n\
         maxSessionTimeout={most}\nserverId={id}\nmembership: \n{members}\n",
    )
}

impl Report {
    const fn peer_state(&self) -> &'static str {
        match (self.mode, self.is_serving) {
            (Mode::Looking, _) => "looking",
            (Mode::Follower, true) => "following - broadcast",
            (Mode::Follower, false) => "following - synchronization",
            (Mode::Leader | Mode::Standalone, true) => "leading - broadcast",
            (Mode::Leader | Mode::Standalone, false) => "leading - synchronization",
        }
    }
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::Looking => "looking",
            Self::Follower => "follower",
            Self::Leader => "leader",
            Self::Standalone => "standalone",
        }
    }
}

/// In the old format, which every parser accepts: the level of the protocol, then whose it is.
pub(super) const VERSION: &str = "3.9.3-chaos, built on 01/01/2026 00:00 GMT";
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn leader() -> Report {
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
            answer(*b"srvr", &leader()).unwrap(),
            "Zookeeper version: 3.9.3-chaos, built on 01/01/2026 00:00 GMT\n\
             Latency min/avg/max: 0/0.5000/3\nReceived: 3\nSent: 2\nConnections: 1\n\
             Outstanding: 0\nZxid: 0x100000005\nMode: leader\nNode count: 4\n"
        );
    }

    #[test]
    fn a_node_without_a_leader_still_answers() {
        let report = Report::default();
        assert_eq!(answer(*b"ruok", &report).unwrap(), "imok");
        for word in [b"srvr", b"stat", b"dump", b"cons", b"wchs"] {
            assert_eq!(answer(*word, &report).unwrap(), NOT_SERVING);
        }
        let text = answer(*b"mntr", &report).unwrap();
        assert!(text.contains("zk_server_state\tlooking\n"), "{text}");
        assert!(text.contains("chaos_leader\tnone\n"), "{text}");
        assert!(!text.contains("zk_synced_followers"), "{text}");
    }

    #[test]
    fn conf_tells_what_the_node_was_given() {
        let report = Report {
            client_port: 2181,
            tick_ms: 2_000,
            session_timeout_ms: (4_000, 40_000),
            members: "server.1=a:1:2:participant\nversion=0".to_owned(),
            ..leader()
        };
        let text = answer(*b"conf", &report).unwrap();
        for line in [
            "clientPort=2181",
            "tickTime=2000",
            "minSessionTimeout=4000",
            "maxSessionTimeout=40000",
            "serverId=2",
            "server.1=a:1:2:participant",
            "version=0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn other_words_are_refused_by_name() {
        assert_eq!(
            answer(*b"gtmk", &leader()).unwrap(),
            "gtmk is not executed because it is not in the whitelist.\n"
        );
        assert_eq!(answer(*b"dump", &leader()), None, "it has its own function");
        assert!(is_word(*b"dump"));
        assert!(!is_word([0, 0, 0, 45]));
    }
}
