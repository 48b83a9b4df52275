//! Writing frames.

use super::super::message::{Body, Entry, Frame, PeerRole, Ping, Standing, StreamAck, SyncMode};
use super::super::zxid::Zxid;

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

fn put_standing(out: &mut Vec<u8>, standing: Standing) {
    put_u32(out, standing.current_epoch);
    put_u64(out, standing.last_zxid.0);
}

fn put_ack(out: &mut Vec<u8>, ack: StreamAck) {
    put_u64(out, ack.through);
    put_u64(out, ack.beyond);
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_u64(out, entry.zxid.0);
    out.push(entry.origin.0);
    put_u64(out, entry.request);
    put_bytes(out, &entry.payload);
}

pub(super) fn put_frame(out: &mut Vec<u8>, frame: &Frame) {
    match frame {
        Frame::Hello(hello) => out.extend_from_slice(&[1, hello.from.0, hello.to.0]),
        Frame::Welcome(hello) => out.extend_from_slice(&[2, hello.from.0, hello.to.0]),
        Frame::Ping(ping) => {
            out.push(3);
            put_ping(out, ping);
        }
        Frame::VoteRequest(request) => {
            out.push(4);
            put_u64(out, request.round);
            put_standing(out, request.standing);
        }
        Frame::Vote(vote) => {
            out.push(5);
            put_u64(out, vote.round);
            out.push(u8::from(vote.granted));
        }
        Frame::Segment(segment) => {
            out.push(6);
            put_u64(out, segment.seq);
            put_ack(out, segment.ack);
            put_u64(out, segment.message.from);
            put_u64(out, segment.message.to);
            put_body(out, &segment.message.body);
        }
        Frame::StreamAck(ack) => {
            out.push(7);
            put_ack(out, *ack);
        }
    }
}

fn put_ping(out: &mut Vec<u8>, ping: &Ping) {
    put_u64(out, ping.incarnation);
    match ping.role {
        PeerRole::Looking => out.push(0),
        PeerRole::Following(leader) => out.extend_from_slice(&[1, leader.0]),
        PeerRole::Leading { epoch } => {
            out.push(2);
            put_u32(out, epoch);
        }
    }
    put_u64(out, ping.sent_at);
    put_u64(out, ping.echo);
    put_u64(out, ping.held);
    out.push(u8::from(ping.reply));
    put_u32(out, ping.accepted_epoch);
    put_standing(out, ping.standing);
}

fn put_body(out: &mut Vec<u8>, body: &Body) {
    match body {
        Body::FollowerInfo { accepted_epoch } => {
            out.push(1);
            put_u32(out, *accepted_epoch);
        }
        Body::NewEpoch { epoch } => {
            out.push(2);
            put_u32(out, *epoch);
        }
        Body::AckEpoch {
            promised,
            standing,
            epoch_ends,
        } => {
            out.push(3);
            out.push(u8::from(*promised));
            put_standing(out, *standing);
            out.push(u8::try_from(epoch_ends.len()).unwrap_or(u8::MAX));
            for end in epoch_ends {
                put_u64(out, end.0);
            }
        }
        Body::Truncate { to } => put_zxid(out, 4, *to),
        Body::SnapshotChunk {
            zxid,
            total,
            offset,
            bytes,
        } => {
            put_zxid(out, 5, *zxid);
            put_u64(out, *total);
            put_u64(out, *offset);
            put_bytes(out, bytes);
        }
        Body::SyncEntries { entries } => {
            out.push(6);
            put_u32(out, u32::try_from(entries.len()).unwrap_or(u32::MAX));
            for entry in entries {
                put_entry(out, entry);
            }
        }
        Body::NewLeader { epoch, zxid, mode } => {
            put_zxid(out, 7, *zxid);
            put_u32(out, *epoch);
            out.push(mode_tag(*mode));
        }
        Body::AckNewLeader { zxid } => put_zxid(out, 8, *zxid),
        Body::UpToDate { commit } => put_zxid(out, 9, *commit),
        Body::Proposal { entry, commit } => {
            put_zxid(out, 10, *commit);
            put_entry(out, entry);
        }
        Body::Ack { zxid } => put_zxid(out, 11, *zxid),
        Body::Commit { zxid } => put_zxid(out, 12, *zxid),
        Body::Request { request, payload } => {
            out.push(13);
            put_u64(out, *request);
            put_bytes(out, payload);
        }
        Body::RequestRefused { request } => put_tagged(out, 14, *request),
        Body::ReadIndex { request } => put_tagged(out, 15, *request),
        Body::ReadIndexReply { request, zxid } => {
            put_zxid(out, 16, *zxid);
            put_u64(out, *request);
        }
    }
}

fn put_zxid(out: &mut Vec<u8>, tag: u8, zxid: Zxid) {
    put_tagged(out, tag, zxid.0);
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, value: u64) {
    out.push(tag);
    put_u64(out, value);
}

const fn mode_tag(mode: SyncMode) -> u8 {
    match mode {
        SyncMode::Diff => 0,
        SyncMode::Trunc => 1,
        SyncMode::Snap => 2,
    }
}
