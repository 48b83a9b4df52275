//! The word `mntr`: a row of names and values.
//!
//! The names that begin with `zk_` are those that exporters look for; the others tell what the
//! harness wants to know of this node.

use std::fmt::{Display, Write};

use super::{Mode, Report, VERSION};

/// The text, one `name tab value` a line.
pub(super) fn text(report: &Report) -> String {
    let mut lines = Lines::default();
    server(&mut lines, report);
    if matches!(report.mode, Mode::Leader | Mode::Standalone) {
        followers(&mut lines, report);
    }
    replication(&mut lines, report);
    lines.text
}

fn server(lines: &mut Lines, report: &Report) {
    let (least, mean, most) = report.latency_ms;
    lines.add("zk_version", VERSION);
    lines.add("zk_server_state", report.mode.word());
    lines.add("zk_peer_state", report.peer_state());
    lines.add("zk_avg_latency", format_args!("{mean:.4}"));
    lines.add("zk_min_latency", least);
    lines.add("zk_max_latency", most);
    lines.add("zk_packets_received", report.received);
    lines.add("zk_packets_sent", report.sent);
    lines.add("zk_num_alive_connections", report.connections);
    lines.add("zk_outstanding_requests", report.outstanding);
    lines.add("zk_znode_count", report.node_count);
    lines.add("zk_watch_count", report.watches);
    lines.add("zk_ephemerals_count", report.ephemerals);
    lines.add("zk_approximate_data_size", report.data_size);
    lines.add("zk_global_sessions", report.sessions);
    lines.add("zk_open_file_descriptor_count", report.open_files.0);
    lines.add("zk_max_file_descriptor_count", report.open_files.1);
    lines.add("zk_uptime", report.uptime_ms);
    lines.add("zk_quorum_size", report.quorum_size);
}

fn followers(lines: &mut Lines, report: &Report) {
    lines.add("zk_learners", report.followers);
    lines.add("zk_synced_followers", report.synced_followers);
    lines.add("zk_synced_observers", 0);
    let pending = report.followers.saturating_sub(report.synced_followers);
    lines.add("zk_pending_syncs", pending);
}

fn replication(lines: &mut Lines, report: &Report) {
    lines.add("chaos_epoch", report.epoch);
    lines.add("chaos_applied_zxid", report.applied);
    lines.add("chaos_committed_zxid", report.committed);
    lines.add("chaos_last_logged_zxid", report.last_logged);
    match report.leader {
        Some(leader) => lines.add("chaos_leader", format_args!("n{leader}")),
        None => lines.add("chaos_leader", "none"),
    }
    lines.add("chaos_state_digest", format_args!("{:016x}", report.digest));
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        writeln!(self.text, "{name}\t{value}").expect("writing to a string never fails");
    }
}

#[cfg(test)]
mod tests {
    use crate::client::words::answer;
    use crate::client::words::tests::leader;

    #[test]
    fn mntr_tells_a_leader_its_followers_and_everybody_the_state() {
        let text = answer(*b"mntr", &leader()).unwrap();
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
}
