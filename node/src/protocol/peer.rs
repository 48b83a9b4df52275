//! The link with one peer: its connection, what is heard on it, and the dialling of a new one.
//!
//! A link is *open* when a transport connection exists, *greeted* when both ends know who speaks
//! on it, and *alive* when the peer has shown that it hears us as well: a ping of its own that
//! echoes one of ours. Only an alive link counts for elections and for following; when an alive
//! link breaks or falls silent in either direction, the peer is *suspected*.

use super::liveness::Detector;
use super::message::{Ping, Standing};
use super::stream::Stream;
use super::zxid::{ConnId, Nanos, Sid};

/// See the module.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) sid: Sid,
    /// This node has the greater sid and dials.
    pub(super) we_dial: bool,
    pub(super) dialing: bool,
    pub(super) next_dial: Nanos,
    pub(super) link: Option<Link>,
    /// It was alive and is not any more.
    pub(super) suspected: bool,
}

/// A connection with a peer.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) conn: ConnId,
    pub(super) opened: Nanos,
    pub(super) greeted: bool,
    pub(super) alive: bool,
    pub(super) next_hello: Nanos,
    pub(super) next_ping: Nanos,
    pub(super) detector: Detector,
    /// When the peer last showed that it had heard something new of us.
    pub(super) heard_us: Nanos,
    /// The newest of our ping times that the peer has echoed.
    pub(super) echoed: u64,
    /// The newest ping time of the peer, to be echoed, and when it arrived.
    pub(super) newest: u64,
    pub(super) newest_at: Nanos,
    pub(super) last_ping: Option<Ping>,
    pub(super) stream: Stream,
    /// The stream holds more than any working peer would leave: the link is to be cut.
    pub(super) overflowed: bool,
}

impl Peer {
    pub(super) const fn new(sid: Sid, we_dial: bool, now: Nanos) -> Self {
        Self {
            sid,
            we_dial,
            dialing: false,
            next_dial: now,
            link: None,
            suspected: false,
        }
    }

    /// The alive link, if there is one.
    pub(super) fn alive(&self) -> Option<&Link> {
        self.link.as_ref().filter(|link| link.alive)
    }

    /// What the peer last said of itself on an alive link.
    pub(super) fn gossip(&self) -> Option<&Ping> {
        self.alive().and_then(|link| link.last_ping.as_ref())
    }

    /// The peer's history as far as it is known, with the sid that breaks ties.
    pub(super) fn rank(&self) -> Option<(Standing, Sid)> {
        self.gossip().map(|ping| (ping.standing, self.sid))
    }

    pub(super) fn greeted_link(&mut self) -> Option<&mut Link> {
        self.link.as_mut().filter(|link| link.greeted)
    }
}

impl Link {
    pub(super) const fn new(conn: ConnId, greeted: bool, now: Nanos) -> Self {
        Self {
            conn,
            opened: now,
            greeted,
            alive: false,
            next_hello: now,
            next_ping: now,
            detector: Detector::new(now),
            heard_us: now,
            echoed: 0,
            newest: 0,
            newest_at: now,
            last_ping: None,
            stream: Stream::new(),
            overflowed: false,
        }
    }

    /// Takes a ping; tells whether it is the one that makes the link alive.
    pub(super) fn on_ping(&mut self, now: Nanos, ping: &Ping) -> bool {
        self.detector.beat(now);
        if ping.sent_at > self.newest {
            self.newest = ping.sent_at;
            self.newest_at = now;
        }
        if ping.echo > self.echoed {
            self.echoed = ping.echo;
            self.heard_us = now;
            let travelled = now.since(Nanos(ping.echo)).since(Nanos(ping.held));
            self.stream.observe_rtt(travelled);
        }
        self.last_ping = Some(*ping);
        let first = !self.alive && self.echoed != 0;
        self.alive |= first;
        first
    }

    /// The observer itself stood still for `late`.
    pub(super) fn forgive(&mut self, late: Nanos) {
        self.detector.forgive(late);
        self.heard_us = self.heard_us.after(late);
        self.opened = self.opened.after(late);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::PeerRole;
    use super::*;

    fn ping(sent_at: u64, echo: u64) -> Ping {
        Ping {
            incarnation: 1,
            role: PeerRole::Looking,
            sent_at,
            echo,
            held: 0,
            reply: false,
            accepted_epoch: 0,
            standing: Standing::default(),
        }
    }

    #[test]
    fn a_link_is_alive_only_when_the_peer_has_heard_us() {
        let mut link = Link::new(ConnId(1), true, Nanos(5));
        assert!(!link.on_ping(Nanos(10), &ping(7, 0)));
        assert!(!link.alive);
        assert!(link.on_ping(Nanos(20), &ping(8, 6)));
        assert!(link.alive);
        assert!(
            !link.on_ping(Nanos(30), &ping(9, 6)),
            "only the first one tells"
        );
        assert_eq!(link.heard_us, Nanos(20), "an old echo is no news");
    }
}
