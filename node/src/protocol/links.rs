//! Connections, greetings, pings and suspicion: everything below the roles.

use super::io::{BreakReason, Output, Timing, TraceEvent};
use super::machine::Core;
use super::message::{Frame, Hello, PeerRole, Ping};
use super::peer::{Link, Peer};
use super::role::{LeaderStage, Role};
use super::zxid::{ConnId, Nanos, Sid};

/// How many accepted connections may be waiting for their greeting.
const MAX_STRANGERS: usize = 64;

/// How long a connection may take to become alive before a new one is tried: three trips over a
/// link with an injected delay of 150 ms fit in.
const GREETING_PATIENCE: Nanos = Nanos::from_millis(500);

/// How much longer than the suspicion timeout a peer may fail to echo anything new: an echo needs
/// both directions, and either may lose frames.
const ECHO_MARGIN: Nanos = Nanos::from_millis(60);

/// Between two dials, with jitter.
const REDIAL: (Nanos, Nanos) = (Nanos::from_millis(20), Nanos::from_millis(40));

impl Core {
    pub(super) fn on_connected(&mut self, conn: ConnId, dialed: Option<Sid>) {
        let Some(sid) = dialed else {
            if self.strangers.len() >= MAX_STRANGERS {
                self.out.push(Output::Close { conn });
            } else {
                self.strangers.insert(conn, self.now);
            }
            return;
        };
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&sid) else {
            self.out.push(Output::Close { conn });
            return;
        };
        peer.dialing = false;
        match peer {
            peer if peer.we_dial && peer.link.is_none() => {
                peer.link = Some(Link::new(conn, false, now));
                self.tick_link(sid);
            }
            _ => self.out.push(Output::Close { conn }),
        }
    }

    pub(super) fn on_disconnected(&mut self, conn: ConnId, reason: BreakReason) {
        self.strangers.remove(&conn);
        if let Some(sid) = self.peer_of(conn) {
            self.lose_link(sid, reason.word(), None);
        }
    }

    pub(super) fn on_dial_failed(&mut self, sid: Sid, _reason: BreakReason) {
        let pause = self.rng.between(REDIAL.0, REDIAL.1);
        let next_dial = self.now.after(pause);
        if let Some(peer) = self.peers.get_mut(&sid) {
            peer.dialing = false;
            peer.next_dial = next_dial;
        }
    }

    pub(super) fn on_frame(&mut self, conn: ConnId, frame: Frame) {
        if let Frame::Hello(hello) = frame {
            self.on_hello(conn, hello);
            return;
        }
        let Some(sid) = self.peer_of(conn) else {
            return;
        };
        let now = self.now;
        let Some(link) = self.peers.get_mut(&sid).and_then(|peer| peer.link.as_mut()) else {
            return;
        };
        // Only a peer that has read our greeting sends anything else, should its welcome be lost.
        link.greeted = true;
        link.detector.hear(now);
        match frame {
            Frame::Hello(_) | Frame::Welcome(_) => {}
            Frame::Ping(ping) => self.on_ping(sid, ping),
            Frame::VoteRequest(request) => self.on_vote_request(sid, request),
            Frame::Vote(vote) => self.on_vote(sid, vote),
            Frame::StreamAck(ack) => {
                if link.stream.on_ack(ack) {
                    self.on_stream_progress(sid);
                }
            }
            Frame::Segment(segment) => {
                for message in link.stream.receive(now, segment) {
                    if self.peer_of(conn) == Some(sid) {
                        self.on_message(sid, message);
                    }
                }
            }
        }
    }

    /// Only the greater sid of a pair greets, on a connection that it dialled.
    fn on_hello(&mut self, conn: ConnId, hello: Hello) {
        let (now, me) = (self.now, self.me);
        let Some(peer) = self.peers.get(&hello.from).filter(|peer| !peer.we_dial) else {
            self.strangers.remove(&conn);
            self.out.push(Output::Close { conn });
            return;
        };
        if hello.to != me {
            self.strangers.remove(&conn);
            self.out.push(Output::Close { conn });
            return;
        }
        let current = peer.link.as_ref().map(|link| link.conn);
        if current != Some(conn) {
            if self.strangers.remove(&conn).is_none() {
                return;
            }
            if let Some(old) = current {
                // The peer has given up the old connection, or it would not have dialled.
                self.out.push(Output::Close { conn: old });
                self.lose_link(hello.from, BreakReason::Reset.word(), None);
            }
            if let Some(peer) = self.peers.get_mut(&hello.from) {
                peer.link = Some(Link::new(conn, true, now));
            }
        }
        let welcome = Frame::Welcome(Hello {
            from: me,
            to: hello.from,
        });
        self.out.push(Output::Send {
            conn,
            frame: welcome,
        });
        self.ping(hello.from, true);
    }

    fn on_ping(&mut self, sid: Sid, ping: Ping) {
        let now = self.now;
        self.epoch_floor = self.epoch_floor.max(ping.accepted_epoch);
        let Some(peer) = self.peers.get_mut(&sid) else {
            return;
        };
        let Some(link) = &mut peer.link else { return };
        let came_alive = link.on_ping(now, &ping);
        let alive = link.alive;
        if came_alive {
            peer.next_dial = now;
            if std::mem::take(&mut peer.suspected) {
                self.trace(TraceEvent::Trust { of: sid });
            }
        }
        if ping.reply || came_alive {
            self.ping(sid, false);
        }
        if !alive {
            return;
        }
        match &self.role {
            Role::Looking(_) => self.looking_on_ping(sid, &ping, came_alive),
            Role::Following(_) => self.following_on_ping(sid, &ping),
            Role::Leading(_) => self.leading_on_ping(sid, &ping),
        }
    }

    /// Sends a ping on a greeted link.
    pub(super) fn ping(&mut self, sid: Sid, reply: bool) {
        let role = match &self.role {
            Role::Looking(_) => PeerRole::Looking,
            Role::Following(following) => PeerRole::Following(following.leader),
            Role::Leading(leading) if leading.stage == LeaderStage::Gathering => {
                PeerRole::Leading { epoch: 0 }
            }
            Role::Leading(leading) => PeerRole::Leading {
                epoch: leading.epoch,
            },
        };
        let standing = self.standing();
        let (now, incarnation, accepted_epoch) = (self.now, self.incarnation, self.accepted_epoch);
        // Rising strictly, so that an echo tells which of two pings was heard.
        let sent_at = now.0.max(self.last_ping_time + 1);
        let Some(link) = self.peers.get_mut(&sid).and_then(Peer::greeted_link) else {
            return;
        };
        let (echo, held) = (link.newest, now.since(link.newest_at).0);
        let conn = link.conn;
        let ping = Ping {
            incarnation,
            role,
            sent_at,
            echo,
            held,
            reply,
            accepted_epoch,
            standing,
        };
        self.last_ping_time = sent_at;
        self.out.push(Output::Send {
            conn,
            frame: Frame::Ping(ping),
        });
    }

    /// Tells everybody at once what this node is now.
    pub(super) fn ping_all(&mut self, reply: bool) {
        let sids: Vec<Sid> = self.peers.keys().copied().collect();
        for sid in sids {
            self.ping(sid, reply);
        }
    }

    pub(super) fn tick_links(&mut self) {
        let sids: Vec<Sid> = self.peers.keys().copied().collect();
        for sid in sids {
            self.tick_link(sid);
        }
        let now = self.now;
        let (out, strangers) = (&mut self.out, &mut self.strangers);
        strangers.retain(|&conn, accepted| {
            let keep = now.since(*accepted) < GREETING_PATIENCE;
            if !keep {
                out.push(Output::Close { conn });
            }
            keep
        });
    }

    /// Whatever is due on the link with one peer.
    fn tick_link(&mut self, sid: Sid) {
        let (now, timing) = (self.now, self.timing);
        let (me, reads_wait) = (self.me, self.leader_reads_wait());
        let Some(peer) = self.peers.get_mut(&sid) else {
            return;
        };
        let Some(link) = &mut peer.link else {
            if peer.we_dial && !peer.dialing && peer.next_dial <= now {
                peer.dialing = true;
                self.out.push(Output::Dial { peer: sid });
            }
            return;
        };
        if !link.alive {
            if now.since(link.opened) > GREETING_PATIENCE {
                let conn = link.conn;
                self.out.push(Output::Close { conn });
                self.lose_link(sid, BreakReason::Timeout.word(), None);
                return;
            }
        } else if let Some(overdue) = overdue(link, now, &timing) {
            let conn = link.conn;
            self.out.push(Output::Close { conn });
            self.lose_link(sid, BreakReason::Timeout.word(), Some(overdue));
            return;
        } else if link.overflowed {
            self.cut_link(sid, "overflow");
            return;
        }
        if !link.greeted && link.next_hello <= now {
            link.next_hello = now.after(timing.heartbeat);
            let conn = link.conn;
            let frame = Frame::Hello(Hello { from: me, to: sid });
            self.out.push(Output::Send { conn, frame });
        }
        if link.greeted && link.next_ping <= now {
            // A link that loses frames is probed, and more often: many chances to be heard before
            // the timeout.
            let quiet = Nanos(timing.heartbeat.0 * 5 / 2);
            let doubtful = link.detector.silence(now) > quiet || now.since(link.heard_us) > quiet;
            let factor = if doubtful { 1 } else { 2 };
            link.next_ping = now.after(Nanos(timing.heartbeat.0 * factor / 2));
            self.ping(sid, doubtful || reads_wait);
        }
    }

    /// The connection with `sid` is gone: tells the trace and the role, and prepares the next one.
    pub(super) fn lose_link(&mut self, sid: Sid, channel: &'static str, overdue: Option<Overdue>) {
        let now = self.now;
        let pause = self.rng.between(Nanos::ZERO, Nanos::from_millis(4));
        let Some(peer) = self.peers.get_mut(&sid) else {
            return;
        };
        let Some(link) = peer.link.take() else { return };
        // A connection that never came alive is not followed by the next one at once.
        peer.next_dial = now.after(if link.alive {
            pause
        } else {
            Nanos(pause.0 + REDIAL.0.0)
        });
        if !link.alive {
            // Its stream may have made it a follower before the pings went both ways.
            self.evict(sid, channel);
            return;
        }
        peer.suspected = true;
        let silence = link.detector.silence(now);
        let Overdue { silence, timeout } = overdue.unwrap_or(Overdue {
            silence,
            timeout: Nanos::ZERO,
        });
        self.trace(TraceEvent::Suspect {
            of: sid,
            channel,
            silence,
            timeout,
        });
        self.asked.remove(&sid);
        match &self.role {
            Role::Looking(_) => self.looking_lost_peer(sid),
            Role::Following(following) => {
                if following.leader == sid {
                    self.look("leader_lost");
                }
            }
            Role::Leading(_) => self.evict(sid, channel),
        }
    }

    /// Closes the link with `sid` for a reason of our own.
    pub(super) fn cut_link(&mut self, sid: Sid, channel: &'static str) {
        let conn = self
            .peers
            .get(&sid)
            .and_then(|peer| peer.link.as_ref())
            .map(|link| link.conn);
        if let Some(conn) = conn {
            self.out.push(Output::Close { conn });
            self.lose_link(sid, channel, None);
        }
    }

    pub(super) fn flush_streams(&mut self) {
        let now = self.now;
        let out = &mut self.out;
        for peer in self.peers.values_mut() {
            let Some(link) = peer.greeted_link() else {
                continue;
            };
            let conn = link.conn;
            link.stream.transmit(now, |segment| {
                out.push(Output::Send {
                    conn,
                    frame: Frame::Segment(segment),
                });
            });
            if let Some(ack) = link.stream.take_ack(now) {
                out.push(Output::Send {
                    conn,
                    frame: Frame::StreamAck(ack),
                });
            }
        }
    }

    /// When a link has something to do next.
    pub(super) fn link_deadline(&self) -> Nanos {
        let of_peer = |peer: &Peer| match &peer.link {
            Some(link) if link.alive => {
                let timeout = link.detector.timeout(&self.timing);
                let suspicion = link.detector.heard().after(timeout).after(Nanos(1));
                link.next_ping.min(link.stream.deadline()).min(suspicion)
            }
            Some(link) if link.greeted => link.next_ping.min(link.stream.deadline()),
            Some(link) => link.next_hello,
            None if peer.we_dial && !peer.dialing => peer.next_dial,
            None => Nanos::NEVER,
        };
        self.peers
            .values()
            .map(of_peer)
            .min()
            .unwrap_or(Nanos::NEVER)
    }

    fn peer_of(&self, conn: ConnId) -> Option<Sid> {
        let has = |peer: &&Peer| peer.link.as_ref().is_some_and(|link| link.conn == conn);
        self.peers.values().find(has).map(|peer| peer.sid)
    }
}

/// A timeout that ran out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overdue {
    silence: Nanos,
    timeout: Nanos,
}

/// Whether the peer was not heard, or did not hear us, for too long.
fn overdue(link: &Link, now: Nanos, timing: &Timing) -> Option<Overdue> {
    let timeout = link.detector.timeout(timing);
    let unheard = Overdue {
        silence: link.detector.silence(now),
        timeout,
    };
    let deaf = Overdue {
        silence: now.since(link.heard_us),
        timeout: timeout.after(ECHO_MARGIN),
    };
    [unheard, deaf]
        .into_iter()
        .find(|overdue| overdue.silence > overdue.timeout)
}
