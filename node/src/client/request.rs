//! What clients ask for, from the bytes of their frames.

use super::auth::Proof;
use super::multi;
use super::read::{Read, ReadKind};
use super::reconfigure::Reconfigure;
use super::watch::{WatchRequest, parse_watch_request};
use super::write::{self, Write};
use crate::jute::{JuteError, Reader};
use crate::protocol::message::MAX_PAYLOAD;
use crate::state::{ErrorCode, TxnOp};

/// The largest frame that a client may send, in bytes. A write fits into a transaction with its
/// headers and an ordinary identity or two, and is refused where that is not enough; ZooKeeper's own
/// limit is as large.
pub const MAX_REQUEST: usize = MAX_PAYLOAD - 256;

/// How much the identities of one session may take in a transaction, in bytes.
pub const MAX_IDENTITIES: usize = 8 * 1024;

/// A request of a connected client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Answered from the state.
    Read(Read),
    /// Several reads, each answered by itself.
    MultiRead(Vec<Read>),
    /// Goes through the replicated log.
    Write(Write),
    /// Must see everything that was committed before it: answered after asking a quorum.
    Sync {
        /// Echoed in the answer.
        path: String,
    },
    /// About the watches of this connection.
    Watch(WatchRequest),
    /// Tells who the client is.
    Authenticate(Proof),
    /// Would change the members of the cluster; is refused.
    Reconfigure(Reconfigure),
    /// Is refused; the connection goes on.
    Refused(ErrorCode),
    /// Names an operation that this node does not know; refused, and the connection ends.
    Unknown,
}

/// Reads a frame of a connected client: its number and what it asks for. Bytes behind the request
/// are not looked at, as in ZooKeeper.
///
/// # Errors
/// If there is no whole header: then there is no number to answer to.
pub fn parse(body: &[u8]) -> Result<(i32, Request), JuteError> {
    let mut input = Reader::new(body);
    let xid = input.i32()?;
    let operation = input.i32()?;
    let request = body_of(operation, &mut input);
    Ok((
        xid,
        request.unwrap_or(Request::Refused(ErrorCode::Marshalling)),
    ))
}

fn body_of(operation: i32, input: &mut Reader<'_>) -> Result<Request, JuteError> {
    Ok(match operation {
        CLOSE_SESSION => Request::Write(Write::plain(TxnOp::CloseSession)),
        CREATE | CREATE2 | CREATE_CONTAINER | CREATE_TTL | DELETE | SET_DATA | SET_ACCESS => {
            Request::Write(write::parse(operation, input)?)
        }
        MULTI => multi::parse(input)?,
        MULTI_READ => multi::parse_reads(input)?,
        SYNC => Request::Sync {
            path: input.text()?.to_owned(),
        },
        PING => Request::Read(Read::ping()),
        EXISTS => watching(input, ReadKind::Exists)?,
        GET_DATA => watching(input, ReadKind::Data)?,
        GET_CHILDREN => watching(input, ReadKind::Children)?,
        GET_CHILDREN2 => watching(input, ReadKind::ChildrenAndStat)?,
        GET_ACCESS => reading(input, ReadKind::Access)?,
        GET_ALL_CHILDREN_NUMBER => reading(input, ReadKind::AllChildrenNumber)?,
        GET_EPHEMERALS => reading(input, ReadKind::Ephemerals)?,
        WHO_AM_I => Request::Read(Read {
            kind: ReadKind::WhoAmI,
            ..Read::ping()
        }),
        SET_WATCHES | SET_WATCHES2 | ADD_WATCH | REMOVE_WATCHES | CHECK_WATCHES => {
            parse_watch_request(operation, input)?
        }
        AUTH => Request::Authenticate(Proof::parse(input)?),
        RECONFIGURE => Reconfigure::parse(input)?,
        // A check stands alone in no client; only a multi brings it.
        SASL | CHECK => Request::Refused(ErrorCode::Unimplemented),
        _ => Request::Unknown,
    })
}

fn watching(input: &mut Reader<'_>, kind: ReadKind) -> Result<Request, JuteError> {
    Read::parse(input, kind).map(Request::Read)
}

fn reading(input: &mut Reader<'_>, kind: ReadKind) -> Result<Request, JuteError> {
    let path = input.text()?.to_owned();
    let has_watch = false;
    Ok(Request::Read(Read {
        kind,
        path,
        has_watch,
    }))
}

pub(super) const CLOSE_SESSION: i32 = -11;
pub(super) const CREATE: i32 = 1;
pub(super) const DELETE: i32 = 2;
pub(super) const EXISTS: i32 = 3;
pub(super) const GET_DATA: i32 = 4;
pub(super) const SET_DATA: i32 = 5;
pub(super) const GET_ACCESS: i32 = 6;
pub(super) const SET_ACCESS: i32 = 7;
pub(super) const GET_CHILDREN: i32 = 8;
pub(super) const SYNC: i32 = 9;
pub(super) const PING: i32 = 11;
pub(super) const GET_CHILDREN2: i32 = 12;
pub(super) const CHECK: i32 = 13;
pub(super) const MULTI: i32 = 14;
pub(super) const CREATE2: i32 = 15;
pub(super) const RECONFIGURE: i32 = 16;
pub(super) const CHECK_WATCHES: i32 = 17;
pub(super) const REMOVE_WATCHES: i32 = 18;
pub(super) const CREATE_CONTAINER: i32 = 19;
pub(super) const CREATE_TTL: i32 = 21;
pub(super) const MULTI_READ: i32 = 22;
pub(super) const AUTH: i32 = 100;
pub(super) const SET_WATCHES: i32 = 101;
pub(super) const SASL: i32 = 102;
pub(super) const GET_EPHEMERALS: i32 = 103;
pub(super) const GET_ALL_CHILDREN_NUMBER: i32 = 104;
pub(super) const SET_WATCHES2: i32 = 105;
pub(super) const ADD_WATCH: i32 = 106;
pub(super) const WHO_AM_I: i32 = 107;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::hex;
    use crate::jute::Writer;

    #[test]
    fn captured_requests_are_understood() {
        assert_eq!(
            parse(&hex("fffffffe 0000000b")).unwrap(),
            (-2, Request::Read(Read::ping()))
        );
        let close = Request::Write(Write::plain(TxnOp::CloseSession));
        assert_eq!(parse(&hex("0000001e fffffff5")).unwrap(), (30, close));
        let read = Read {
            kind: ReadKind::Data,
            path: "/g".to_owned(),
            has_watch: true,
        };
        let data = hex("00000006 00000004 00000002 2f67 01");
        assert_eq!(parse(&data).unwrap(), (6, Request::Read(read)));
        let ephemerals = Read {
            kind: ReadKind::Ephemerals,
            path: "/".to_owned(),
            has_watch: false,
        };
        let asked = hex("00000017 00000067 00000001 2f");
        assert_eq!(parse(&asked).unwrap(), (23, Request::Read(ephemerals)));
    }

    #[test]
    fn what_is_not_built_is_refused_and_the_connection_goes_on() {
        let refused = Request::Refused(ErrorCode::Unimplemented);
        for operation in [SASL, CHECK] {
            let mut out = Writer::new();
            out.i32(1).i32(operation).buffer(b"any");
            let (_, request) = parse(&out.into_bytes()).unwrap();
            assert_eq!(request, refused, "{operation}");
        }
    }

    #[test]
    fn unknown_operations_and_broken_bodies_are_told_apart() {
        let unknown = hex("00000014 0000004d 00000002 2f67");
        assert_eq!(parse(&unknown).unwrap(), (20, Request::Unknown));
        let broken = hex("00000014 00000004 00000009 2f67");
        let marshalling = Request::Refused(ErrorCode::Marshalling);
        assert_eq!(parse(&broken).unwrap(), (20, marshalling));
        assert!(parse(&[0; 7]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes: Vec<u8>, operation in -11..108_i32) {
            let _ = parse(&bytes);
            let mut framed = Writer::new();
            framed.i32(1).i32(operation).raw(&bytes);
            prop_assert!(parse(&framed.into_bytes()).is_ok());
        }
    }
}
