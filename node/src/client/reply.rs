//! The frames that clients get.

use crate::jute::Writer;
use crate::state::{ErrorCode, Outcome, PASSWORD_LEN};

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

impl Reply {
    /// The answer to a write that was applied.
    #[must_use]
    pub fn to_write(xid: i32, zxid: u64, outcome: &Outcome, with_stat: bool) -> Self {
        let mut out = Writer::new();
        let body = match outcome {
            Outcome::Created { path, stat } => {
                out.text(path);
                if with_stat {
                    stat.write(&mut out);
                }
                Ok(out.into_bytes())
            }
            Outcome::DataSet(stat) | Outcome::AccessSet(stat) => {
                stat.write(&mut out);
                Ok(out.into_bytes())
            }
            Outcome::Opened
            | Outcome::Moved { .. }
            | Outcome::Closed
            | Outcome::Touched
            | Outcome::Deleted
            | Outcome::Checked
            | Outcome::Reaped => Ok(Vec::new()),
            Outcome::Multi(_) | Outcome::MultiRefused(_) => Err(ErrorCode::Unimplemented),
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

/// The frame that refuses an operation that is not known; the connection ends behind it.
#[must_use]
pub fn unknown_operation(xid: i32) -> Vec<u8> {
    Reply {
        xid,
        zxid: u64::MAX,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Stat;

    #[test]
    fn frames_equal_those_captured_from_zookeeper() {
        assert_eq!(
            Reply {
                xid: 1,
                zxid: 0xc_0000_0bf3,
                body: Err(ErrorCode::NoNode)
            }
            .frame(),
            b"\0\0\0\x10\0\0\0\x01\0\0\0\x0c\0\0\x0b\xf3\xff\xff\xff\x9b"
        );
        let created = Outcome::Created {
            path: "/g".to_owned(),
            stat: Stat::default(),
        };
        assert_eq!(
            Reply::to_write(2, 0xc_0000_0bf4, &created, false).frame(),
            b"\0\0\0\x16\0\0\0\x02\0\0\0\x0c\0\0\x0b\xf4\0\0\0\0\0\0\0\x02/g"
        );
        assert_eq!(
            Reply::to_sync(11, 0xc_0000_0bf7, "/g").frame(),
            b"\0\0\0\x16\0\0\0\x0b\0\0\0\x0c\0\0\x0b\xf7\0\0\0\0\0\0\0\x02/g"
        );
        assert_eq!(
            unknown_operation(20),
            b"\0\0\0\x10\0\0\0\x14\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa"
        );
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
        let reply = Reply::to_write(1, 1, &created, true);
        assert_eq!(reply.body.unwrap().len(), 6 + 68);
    }
}
