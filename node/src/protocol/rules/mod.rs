//! One test per rule of the protocol, on one node whose peers are played by the test.

mod following_tests;
mod leading_tests;

use crate::bug::Bugs;
use crate::protocol::Core;
use crate::protocol::blob::Blob;
use crate::protocol::io::{
    Boot, BootError, BreakReason, CoreConfig, DiskOp, Input, Output, Phase, RejectReason, Timing,
    TraceEvent,
};
use crate::protocol::message::{
    Body, Entry, Frame, Hello, MAX_PAYLOAD, Message, Payload, PeerRole, Ping, Segment, Standing,
    StreamAck, SyncMode, Vote, VoteRequest,
};
use crate::protocol::zxid::{COUNTER_LIMIT, ConnId, Nanos, Sid, Ticket, Zxid};

/// The node under test is `n2` of three; `n1` and `n3` are the test's.
struct Stage {
    core: Core,
    now: Nanos,
    seqs: [u64; 4],
    out: Vec<Output>,
    /// Disk batches are done at once.
    quick_disk: bool,
}

const ME: Sid = Sid(2);

fn config(me: Sid, voters: u8) -> CoreConfig {
    CoreConfig {
        me,
        voters: (1..=voters).map(Sid).collect(),
        seed: 1,
        timing: Timing::default(),
        keep_entries: 5000,
        bugs: Bugs::NONE,
    }
}

fn entry(epoch: u32, counter: u32) -> Entry {
    let zxid = Zxid::new(epoch, counter);
    Entry {
        zxid,
        origin: Sid(3),
        request: zxid.0,
        payload: Payload::from([7u8]),
    }
}

/// A disk with transactions `1.1` to `1.count`.
fn disk(count: u32) -> Boot {
    Boot {
        accepted_epoch: 1,
        current_epoch: 1,
        entries: (1..=count).map(|counter| entry(1, counter)).collect(),
        ..Boot::default()
    }
}

fn standing(epoch: u32, last: Zxid) -> Standing {
    Standing {
        current_epoch: epoch,
        last_zxid: last,
    }
}

impl Stage {
    fn new(boot: Boot) -> Self {
        let now = Nanos::from_millis(1000);
        let core = Core::new(config(ME, 3), boot, now).unwrap();
        let mut stage = Self {
            core,
            now,
            seqs: [1; 4],
            out: Vec::new(),
            quick_disk: true,
        };
        stage.give(Input::Tick);
        // n2 dials n1, n3 dials n2.
        stage.give(Input::Connected {
            conn: ConnId(1),
            dialed: Some(Sid(1)),
        });
        stage.give(Input::Connected {
            conn: ConnId(3),
            dialed: None,
        });
        stage.frame(
            1,
            Frame::Welcome(Hello {
                from: Sid(1),
                to: ME,
            }),
        );
        stage.frame(
            3,
            Frame::Hello(Hello {
                from: Sid(3),
                to: ME,
            }),
        );
        stage
    }

    /// Gives an input and keeps the outputs of it alone.
    fn give(&mut self, input: Input) {
        self.now = self.now.after(Nanos::from_micros(10));
        self.out.clear();
        self.core.step(self.now, input, &mut self.out);
        while self.quick_disk
            && let Some(ticket) = self.out.iter().rev().find_map(ticket_of)
            && self.core.gate.oldest().is_some()
        {
            self.core
                .step(self.now, Input::DiskDone { ticket }, &mut self.out);
        }
    }

    fn frame(&mut self, peer: u8, frame: Frame) {
        self.give(Input::Frame {
            conn: ConnId(u64::from(peer)),
            frame,
        });
    }

    /// A ping of `peer` that echoes what this node sent, so that the link is alive.
    fn ping(&mut self, peer: u8, role: PeerRole, standing: Standing) {
        let (sent_at, echo) = (self.now.0, self.core.last_ping_time.max(1));
        self.frame(
            peer,
            Frame::Ping(Ping {
                incarnation: 1,
                role,
                sent_at,
                echo,
                held: 0,
                reply: false,
                accepted_epoch: standing.current_epoch,
                standing,
            }),
        );
    }

    fn say(&mut self, peer: u8, body: Body) {
        let seq = self.seqs[usize::from(peer)];
        self.seqs[usize::from(peer)] += 1;
        let message = Message {
            from: 1,
            to: self.core.incarnation,
            body,
        };
        self.frame(
            peer,
            Frame::Segment(Segment {
                seq,
                ack: StreamAck::default(),
                message,
            }),
        );
    }

    /// What this node has said in order to `peer` with the last input.
    fn said(&self, peer: u8) -> Vec<Body> {
        let to_peer = |output: &Output| match output {
            Output::Send {
                conn,
                frame: Frame::Segment(segment),
            } if conn.0 == u64::from(peer) => Some(segment.message.body.clone()),
            _ => None,
        };
        self.out.iter().filter_map(to_peer).collect()
    }

    fn vote(&mut self, peer: u8, round: u64, standing: Standing) -> Option<bool> {
        self.frame(peer, Frame::VoteRequest(VoteRequest { round, standing }));
        self.out.iter().find_map(|output| match output {
            Output::Send {
                frame: Frame::Vote(vote),
                ..
            } => Some(vote.granted),
            _ => None,
        })
    }

    fn traced(&self, wanted: impl Fn(&TraceEvent) -> bool) -> bool {
        self.out
            .iter()
            .any(|output| matches!(output, Output::Trace(event) if wanted(event)))
    }

    fn is_fatal(&self) -> bool {
        self.out
            .iter()
            .any(|output| matches!(output, Output::Fatal(_)))
    }

    /// Becomes a follower of n3 in `epoch`, with `extra` behind its own log.
    fn follow(&mut self, epoch: u32, extra: Vec<Entry>) {
        self.ping(3, PeerRole::Leading { epoch }, standing(epoch, Zxid::ZERO));
        self.say(3, Body::NewEpoch { epoch });
        let last = extra
            .last()
            .map_or_else(|| self.core.log.last(), |entry| entry.zxid);
        if !extra.is_empty() {
            self.say(3, Body::SyncEntries { entries: extra });
        }
        self.say(
            3,
            Body::NewLeader {
                epoch,
                zxid: last,
                mode: SyncMode::Diff,
            },
        );
        self.say(3, Body::UpToDate { commit: last });
        assert_eq!(self.core.status().phase, Phase::Following);
        assert!(self.core.status().serving);
    }

    /// Becomes the leader-elect, with n1 asked for its promise.
    fn elect(&mut self) {
        self.ping(1, PeerRole::Looking, Standing::default());
        self.give(Input::Tick);
        let round = self.core.round;
        self.frame(
            1,
            Frame::Vote(Vote {
                round,
                granted: true,
            }),
        );
        self.say(1, Body::FollowerInfo { accepted_epoch: 1 });
        assert_eq!(self.core.status().phase, Phase::Electing);
    }

    /// Becomes the established leader with n1 as its follower.
    fn lead(&mut self) -> u32 {
        self.elect();
        let epoch = self.core.status().accepted_epoch;
        let last = self.core.log.last();
        let (standing, epoch_ends) = (Standing::default(), vec![last]);
        self.say(
            1,
            Body::AckEpoch {
                promised: true,
                standing,
                epoch_ends,
            },
        );
        self.say(1, Body::AckNewLeader { zxid: last });
        assert_eq!(self.core.status().phase, Phase::Leading);
        epoch
    }
}

fn ticket_of(output: &Output) -> Option<Ticket> {
    match output {
        Output::Disk { ticket, .. } => Some(*ticket),
        _ => None,
    }
}
