//! Loopback ports for nodes: outside the kernel's ephemeral range, free when chosen, and kept free.
//!
//! A chosen port is *reserved* by a socket that is bound to it and does not listen. Another chaos
//! process that looks for ports cannot bind it, while a node can, because servers set
//! `SO_REUSEADDR`. For one that does not, [`Ports::release`] lifts the reservation first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// Where the kernel tells its range of ephemeral ports.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// That range where the kernel does not tell it (the default of Linux).
const EPHEMERAL_DEFAULT: (u16, u16) = (32_768, 60_999);
/// Below lie well-known services and ports that need privileges.
const LOWEST: u16 = 10_000;

/// Ports that this process has handed out; none is ever handed out twice.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// No port is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of {tried} loopback ports is free")]
pub struct NoFreePort {
    /// How many were tried.
    pub tried: usize,
}

/// Hands out ports and keeps them reserved until it is dropped.
#[derive(Debug)]
pub struct Ports {
    candidates: Vec<u16>,
    next: usize,
    reserved: BTreeMap<u16, OwnedFd>,
}

impl Ports {
    /// Begins at a place that `entropy` decides (process id and time, so that several processes
    /// begin at different places).
    #[must_use]
    pub fn new(entropy: u64) -> Self {
        let (low, high) = fs::read_to_string(EPHEMERAL)
            .ok()
            .and_then(|text| parse_range(&text))
            .unwrap_or(EPHEMERAL_DEFAULT);
        let candidates = candidates(low, high);
        let places = candidates.len().max(1) as u64;
        let next = usize::try_from(entropy.wrapping_mul(0x9e37_79b9_7f4a_7c15) % places);
        Self {
            candidates,
            next: next.unwrap_or(0),
            reserved: BTreeMap::new(),
        }
    }

    /// A port of 127.0.0.1 that nobody uses, reserved from now on.
    ///
    /// # Errors
    /// If there is none.
    pub fn take(&mut self) -> Result<u16, NoFreePort> {
        for _ in 0..self.candidates.len() {
            let port = self.candidates[self.next];
            self.next = (self.next + 1) % self.candidates.len();
            if !TAKEN
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(port)
            {
                continue;
            }
            if let Ok(socket) = reserve(port) {
                self.reserved.insert(port, socket);
                return Ok(port);
            }
        }
        Err(NoFreePort {
            tried: self.candidates.len(),
        })
    }

    /// Lifts the reservation of a port whose node cannot bind beside it.
    pub fn release(&mut self, port: u16) {
        self.reserved.remove(&port);
    }
}

/// Binds without `SO_REUSEADDR`, so that any other user of the port is noticed, and allows it
/// afterwards, so that the node may bind too.
fn reserve(port: u16) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Some((low, high)),
        _ => None,
    }
}

/// All ports outside `low..=high`; where an administrator left none, the upper end is used.
fn candidates(low: u16, high: u16) -> Vec<u16> {
    let outside: Vec<u16> = (LOWEST..=u16::MAX)
        .filter(|port| !(low..=high).contains(port))
        .collect();
    if outside.is_empty() {
        (LOWEST..=u16::MAX).collect()
    } else {
        outside
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ports_lie_outside_the_ephemeral_range_and_never_repeat() {
        let mut one = Ports::new(7);
        let mut other = Ports::new(7);
        let ports: Vec<u16> = (0..20)
            .flat_map(|_| [one.take().unwrap(), other.take().unwrap()])
            .collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        let text = fs::read_to_string(EPHEMERAL).unwrap();
        let (low, high) = parse_range(&text).unwrap();
        assert!(ports.iter().all(|port| !(low..=high).contains(port)));
    }

    #[test]
    fn a_node_can_listen_on_a_reserved_port_and_another_seeker_cannot_have_it() {
        let mut ports = Ports::new(11);
        let port = ports.take().unwrap();
        assert_eq!(reserve(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let _node = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn a_busy_port_is_skipped() {
        let mut ports = Ports::new(13);
        let first = (0..ports.candidates.len())
            .map(|ahead| ports.candidates[(ports.next + ahead) % ports.candidates.len()])
            .find(|port| reserve(*port).is_ok())
            .unwrap();
        let _busy = TcpListener::bind((Ipv4Addr::UNSPECIFIED, first)).unwrap();
        assert_ne!(ports.take().unwrap(), first);
    }

    #[test]
    fn there_are_candidates_whatever_the_range() {
        assert_eq!(candidates(10_001, 65_535), [10_000]);
        assert!(candidates(1, 65_535).len() > 50_000);
        assert_eq!(parse_range("32768\t60999\n"), Some((32_768, 60_999)));
        assert_eq!(parse_range("nonsense"), None);
    }
}
