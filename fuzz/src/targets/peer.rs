//! What other nodes send: frames with their length in front.

use std::sync::Arc;

use chaos_node::protocol::blob::Blob;
use chaos_node::protocol::message::{
    Body, Entry, Frame, Hello, Message, PeerRole, Ping, Segment, Standing, StreamAck, SyncMode,
    Vote, VoteRequest,
};
use chaos_node::protocol::wire::{PREFIX, body_length, decode, encode, seal};
use chaos_node::protocol::zxid::{Sid, Zxid};

use super::Target;

pub(super) const TARGET: Target = Target {
    name: "peer",
    run,
    seeds,
    repair,
    // An entry without a payload is an `Entry` and an allocation for some 20 bytes; it is read twice.
    factor: 8,
    floor: 256,
};

fn run(input: &[u8]) -> bool {
    let Some((prefix, body)) = input.split_first_chunk::<PREFIX>() else {
        return false;
    };
    if body_length(*prefix) != Ok(body.len()) {
        return false;
    }
    let Ok(frame) = decode(body) else {
        return false;
    };
    let mut again = Vec::new();
    encode(&frame, &mut again);
    assert_eq!(decode(&again[PREFIX..]).as_ref(), Ok(&frame));
    true
}

/// Puts the right length and checksum in front.
#[expect(clippy::ptr_arg, reason = "repairs of other targets change the length")]
fn repair(input: &mut Vec<u8>, _choice: u64) {
    if let Some((prefix, body)) = input.split_first_chunk_mut::<PREFIX>() {
        *prefix = (body.len() as u32).to_be_bytes();
        seal(body);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let hello = Hello {
        from: Sid(1),
        to: Sid(2),
    };
    let standing = Standing {
        current_epoch: 3,
        last_zxid: Zxid::new(3, 9),
    };
    let roles = [
        PeerRole::Looking,
        PeerRole::Following(Sid(3)),
        PeerRole::Leading { epoch: 4 },
    ];
    let pings = roles.map(|role| {
        Frame::Ping(Ping {
            incarnation: 1,
            role,
            sent_at: 2,
            echo: 3,
            held: 4,
            reply: true,
            accepted_epoch: 5,
            standing,
        })
    });
    let mut frames = vec![
        Frame::Hello(hello),
        Frame::Welcome(hello),
        Frame::VoteRequest(VoteRequest { round: 7, standing }),
        Frame::Vote(Vote {
            round: 7,
            granted: true,
        }),
        Frame::StreamAck(StreamAck {
            through: 4,
            beyond: 5,
        }),
    ];
    frames.extend(pings);
    let segments = bodies(standing).into_iter().map(|body| {
        Frame::Segment(Segment {
            seq: 1,
            ack: StreamAck::default(),
            message: Message {
                from: 1,
                to: 2,
                body,
            },
        })
    });
    frames.extend(segments);
    let encoded = frames.iter().map(|frame| {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        bytes
    });
    encoded.collect()
}

fn bodies(standing: Standing) -> Vec<Body> {
    let zxid = Zxid::new(3, 9);
    let entry = |counter| Entry {
        zxid: Zxid::new(3, counter),
        origin: Sid(1),
        request: 8,
        payload: Arc::from(&b"payload"[..]),
    };
    vec![
        Body::FollowerInfo { accepted_epoch: 2 },
        Body::NewEpoch { epoch: 3 },
        Body::AckEpoch {
            promised: true,
            standing,
            epoch_ends: vec![zxid, Zxid::new(2, 4)],
        },
        Body::Truncate { to: zxid },
        Body::SnapshotChunk {
            zxid,
            total: 100,
            offset: 3,
            bytes: Blob::from(b"piece"),
        },
        Body::SyncEntries {
            entries: (1..5).map(entry).collect(),
        },
        Body::NewLeader {
            epoch: 3,
            zxid,
            mode: SyncMode::Trunc,
        },
        Body::AckNewLeader { zxid },
        Body::UpToDate { commit: zxid },
        Body::Proposal {
            entry: entry(2),
            commit: zxid,
        },
        Body::Ack { zxid },
        Body::Commit { zxid },
        Body::Request {
            request: 5,
            payload: Arc::from(&b"payload"[..]),
        },
        Body::RequestRefused { request: 5 },
        Body::ReadIndex { request: 5 },
        Body::ReadIndexReply { request: 5, zxid },
    ]
}
