//! The frames that clients get.

use super::multi;
use super::stat::write_stat;
use crate::jute::Writer;
use crate::state::{ChangeKind, ErrorCode, Outcome, PASSWORD_LEN};

/// An answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The number that the client gave to the request.
    pub xid: i32,
    /// The transaction of a write, or the last one applied before a read.
    pub zxid: u64,
    /// The body, or why there is none.
    pub body: Result<Vec<u8>, ErrorCode>,
}

/// What the answer to a write tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A create tells the path.
    Plain,
    /// A create tells the path and the stat.
    WithStat,
    /// Each operation of a multi has its part.
    Multi {
        /// Which of them tell the stat when they create.
        with_stat: Vec<bool>,
    },
}

impl Reply {
    /// The answer to a write that was applied.
    #[must_use]
    pub fn to_write(xid: i32, zxid: u64, outcome: &Outcome, form: &Form) -> Self {
        let mut out = Writer::new();
        let body = match outcome {
            Outcome::Created { path, stat } => {
                out.text(path);
                if *form == Form::WithStat {
                    write_stat(stat, &mut out);
                }
                Ok(out.into_bytes())
            }
            Outcome::DataSet(stat) | Outcome::AccessSet(stat) => {
                write_stat(stat, &mut out);
                Ok(out.into_bytes())
            }
            Outcome::Opened
            | Outcome::Moved { .. }
            | Outcome::Closed
            | Outcome::Touched
            | Outcome::Deleted
            | Outcome::Checked
            | Outcome::Reaped => Ok(Vec::new()),
            Outcome::Multi(outcomes) => Ok(match form {
                Form::Multi { with_stat } => multi::done(outcomes, with_stat),
                Form::Plain | Form::WithStat => multi::done(outcomes, &[]),
            }),
            // The header tells success all the same: that is what ZooKeeper says.
            Outcome::MultiRefused(codes) => Ok(multi::refused(codes)),
            Outcome::Refused(code) => Err(*code),
        };
        Self { xid, zxid, body }
    }

    /// The answer to a sync.
    #[must_use]
    pub fn to_sync(xid: i32, zxid: u64, path: &str) -> Self {
        let mut out = Writer::new();
        out.text(path);
        Self {
            xid,
            zxid,
            body: Ok(out.into_bytes()),
        }
    }

    /// The answer to a request that has no body in its answer.
    #[must_use]
    pub const fn empty(xid: i32, zxid: u64, done: Result<(), ErrorCode>) -> Self {
        let body = match done {
            Ok(()) => Ok(Vec::new()),
            Err(code) => Err(code),
        };
        Self { xid, zxid, body }
    }

    /// Its frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.i32(self.xid).u64(self.zxid);
        match &self.body {
            Ok(body) => out.i32(0).raw(body),
            Err(code) => out.i32(code.code()),
        };
        out.into_frame()
    }
}

/// The frame that tells a watch what happened. `zxid` is the transaction that did it, or
/// [`NO_ZXID`] where a client that comes back is told what it missed.
#[must_use]
pub fn event(zxid: u64, kind: ChangeKind, path: &str) -> Vec<u8> {
    let kind = match kind {
        ChangeKind::Created => 1,
        ChangeKind::Deleted => 2,
        ChangeKind::DataChanged => 3,
        ChangeKind::ChildrenChanged => 4,
    };
    let mut out = Writer::new();
    out.i32(EVENT_XID).u64(zxid).i32(0);
    out.i32(kind).i32(CONNECTED).text(path);
    out.into_frame()
}

/// The frame that refuses an operation that is not known; the connection ends behind it.
#[must_use]
pub fn unknown_operation(xid: i32) -> Vec<u8> {
    Reply {
        xid,
        zxid: NO_ZXID,
        body: Err(ErrorCode::Unimplemented),
    }
    .frame()
}

/// The frame that accepts a session. `has_read_only` as in the request.
#[must_use]
pub fn connect_response(
    session: i64,
    timeout_ms: i32,
    password: [u8; PASSWORD_LEN],
    has_read_only: bool,
) -> Vec<u8> {
    let mut out = Writer::new();
    out.i32(0).i32(timeout_ms).i64(session).buffer(&password);
    if has_read_only {
        out.bool(false);
    }
    out.into_frame()
}

/// The frame that tells that a session has expired; the connection ends behind it.
#[must_use]
pub fn expired_response(has_read_only: bool) -> Vec<u8> {
    connect_response(0, 0, [0; PASSWORD_LEN], has_read_only)
}

/// Stands in a header where no transaction is meant.
pub const NO_ZXID: u64 = u64::MAX;
const EVENT_XID: i32 = -1;
/// The state of the client that every event carries.
const CONNECTED: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::hex;
    use crate::state::Stat;

    #[test]
    fn frames_equal_those_captured_from_zookeeper() {
        let refused = Reply::empty(1, 0xc_0000_0bf3, Err(ErrorCode::NoNode));
        assert_eq!(
            refused.frame(),
            hex("00000010 00000001 0000000c00000bf3 ffffff9b")
        );
        let created = Outcome::Created {
            path: "/g".to_owned(),
            stat: Stat::default(),
        };
        assert_eq!(
            Reply::to_write(2, 0xc_0000_0bf4, &created, &Form::Plain).frame(),
            hex("00000016 00000002 0000000c00000bf4 00000000 00000002 2f67")
        );
        assert_eq!(
            Reply::to_sync(11, 0xc_0000_0bf7, "/g").frame(),
            hex("00000016 0000000b 0000000c00000bf7 00000000 00000002 2f67")
        );
        assert_eq!(
            unknown_operation(20),
            hex("00000010 00000014 ffffffffffffffff fffffffa")
        );
        assert_eq!(
            event(NO_ZXID, ChangeKind::DataChanged, "/g"),
            hex("0000001e ffffffff ffffffffffffffff 00000000 00000003 00000003 00000002 2f67")
        );
    }

    #[test]
    fn a_failed_multi_is_a_success_in_its_header() {
        let outcome = Outcome::MultiRefused(vec![-103, -2]);
        let with_stat = vec![false, false];
        let frame = Reply::to_write(15, 0xc_0000_0bfa, &outcome, &Form::Multi { with_stat });
        let captured = "00000033 0000000f 0000000c00000bfa 00000000 ffffffff00ffffff99 ffffff99 ffffffff00fffffffe fffffffe ffffffff01ffffffff";
        assert_eq!(frame.frame(), hex(captured));
    }

    #[test]
    fn connect_responses_have_the_captured_lengths() {
        assert_eq!(connect_response(1, 2, [3; 16], true).len(), 4 + 37);
        assert_eq!(connect_response(1, 2, [3; 16], false).len(), 4 + 36);
        let mut expired = vec![0, 0, 0, 0x25];
        expired.extend_from_slice(&[0; 16]);
        expired.extend_from_slice(&[0, 0, 0, 0x10]);
        expired.extend_from_slice(&[0; 17]);
        assert_eq!(expired_response(true), expired);
    }

    #[test]
    fn a_create_with_stat_answers_both() {
        let created = Outcome::Created {
            path: "/g".to_owned(),
            stat: Stat::default(),
        };
        let reply = Reply::to_write(1, 1, &created, &Form::WithStat);
        assert_eq!(reply.body.unwrap().len(), 6 + 68);
    }
}
