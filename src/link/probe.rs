//! Which local TCP ports are listened on, read from the kernel's tables without touching anybody.
//!
//! A probe by connecting would appear in the log of the node under test, and would be a connection
//! that no client made.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::time::Duration;

use tokio::time::Instant;

/// The kernel's tables of TCP sockets, IPv4 and IPv6 (a listener on `::` serves IPv4 too).
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// One reading serves all who ask within this time.
const FRESH_FOR: Duration = Duration::from_millis(1);
/// `TCP_LISTEN` in those tables.
const LISTEN: &str = "0A";

/// The set of ports that are listened on, read at most once per millisecond.
#[derive(Debug, Default)]
pub(super) struct ListenProbe {
    read_at: Option<Instant>,
    ports: BTreeSet<u16>,
}

impl ListenProbe {
    /// Whether somebody listens on `port`. A table that cannot be read counts as empty.
    pub(super) fn is_listened_on(&mut self, port: u16) -> bool {
        let now = Instant::now();
        if self
            .read_at
            .is_none_or(|at| now.duration_since(at) >= FRESH_FOR)
        {
            self.read_at = Some(now);
            self.ports.clear();
            for table in TABLES {
                if let Ok(file) = File::open(table) {
                    // A table that breaks off in the middle is read again by the next probe.
                    let _ = listening(BufReader::new(file), &mut self.ports);
                }
            }
        }
        self.ports.contains(&port)
    }
}

/// Adds the listening ports of one table. The kernel writes listeners first, so reading stops at
/// the first socket of another kind and does not walk all connections.
fn listening(table: impl BufRead, ports: &mut BTreeSet<u16>) -> io::Result<()> {
    for line in table.lines().skip(1) {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if state != LISTEN {
            break;
        }
        if let Some(port) = local.rsplit(':').next()
            && let Ok(port) = u16::from_str_radix(port, 16)
        {
            ports.insert(port);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_seen_and_a_merely_bound_or_closed_port_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(ListenProbe::default().is_listened_on(port));
        drop(listener);
        assert!(!ListenProbe::default().is_listened_on(port));
    }

    #[test]
    fn reading_stops_behind_the_listeners() {
        let table = "  sl  local_address rem_address   st\n\
            0: 0100007F:1F90 00000000:0000 0A 0\n\
            1: 00000000:0050 00000000:0000 0A 0\n\
            2: 0100007F:2328 0100007F:1F90 01 0\n\
            3: 0100007F:2329 00000000:0000 0A 0\n";
        let mut ports = BTreeSet::new();
        listening(table.as_bytes(), &mut ports).unwrap();
        assert_eq!(ports, BTreeSet::from([0x1f90, 0x50]));
    }
}
