//! What clients ask for, from the bytes of their frames.

use super::read::{Read, ReadKind};
use crate::jute::{JuteError, Reader};
use crate::protocol::message::MAX_PAYLOAD;
use crate::state::{Access, CreateMode, ErrorCode, PASSWORD_LEN, TxnOp, is_valid_path};

/// The largest frame that a client may send, in bytes. A write fits into a transaction with its
/// headers; ZooKeeper's own limit is just as large.
pub const MAX_REQUEST: usize = MAX_PAYLOAD - 64;

/// The first frame of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// The newest transaction that the client has seen anywhere.
    pub last_zxid_seen: u64,
    /// The session timeout that it would like, in milliseconds.
    pub timeout_ms: i32,
    /// The session that it continues; 0 for a new one.
    pub session: i64,
    /// The password of that session.
    pub password: [u8; PASSWORD_LEN],
    /// Whether it said if it accepts a read-only server; the answer then says whether this is one.
    pub has_read_only: bool,
}

impl ConnectRequest {
    /// Reads the frame.
    ///
    /// # Errors
    /// If the bytes are not a connect request.
    pub fn parse(body: &[u8]) -> Result<Self, JuteError> {
        let mut input = Reader::new(body);
        let _protocol = input.i32()?;
        let last_zxid_seen = input.u64()?;
        let timeout_ms = input.i32()?;
        let session = input.i64()?;
        let given = input.buffer()?;
        let mut password = [0; PASSWORD_LEN];
        if given.len() == PASSWORD_LEN {
            password.copy_from_slice(given);
        }
        let has_read_only = !input.is_empty();
        if has_read_only {
            input.bool()?;
        }
        input.end()?;
        Ok(Self {
            last_zxid_seen,
            timeout_ms,
            session,
            password,
            has_read_only,
        })
    }
}

/// A request of a connected client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Answered from the state.
    Read(Read),
    /// Goes through the replicated log.
    Write(Write),
    /// Must see everything that was committed before it: answered after asking a quorum.
    Sync {
        /// Echoed in the answer.
        path: String,
    },
    /// Is refused; the connection goes on.
    Refused(ErrorCode),
    /// Names an operation that this node does not know; refused, and the connection ends.
    Unknown,
}

/// A request that goes through the replicated log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What is proposed.
    pub op: TxnOp,
    /// Whether the answer to a create carries the stat.
    pub with_stat: bool,
}

/// Reads a frame of a connected client: its number and what it asks for.
///
/// # Errors
/// If there is no whole header: then there is no number to answer to.
pub fn parse(body: &[u8]) -> Result<(i32, Request), JuteError> {
    let mut input = Reader::new(body);
    let xid = input.i32()?;
    let operation = input.i32()?;
    let request = match operation {
        PING => Ok(Request::Read(Read::ping())),
        CLOSE_SESSION => Ok(write(TxnOp::CloseSession)),
        CREATE => create(&mut input, false),
        CREATE2 => create(&mut input, true),
        DELETE => delete(&mut input),
        SET_DATA => set_data(&mut input),
        SYNC => path(&mut input).map(|path| Request::Sync { path }),
        EXISTS => read(&mut input, ReadKind::Exists),
        GET_DATA => read(&mut input, ReadKind::Data),
        GET_CHILDREN => read(&mut input, ReadKind::Children),
        GET_CHILDREN2 => read(&mut input, ReadKind::ChildrenAndStat),
        _ => return Ok((xid, Request::Unknown)),
    };
    let request = request.and_then(|request| input.end().map(|()| request));
    Ok((
        xid,
        request.unwrap_or(Request::Refused(ErrorCode::Marshalling)),
    ))
}

const fn write(op: TxnOp) -> Request {
    Request::Write(Write {
        op,
        with_stat: false,
    })
}

fn path(input: &mut Reader<'_>) -> Result<String, JuteError> {
    input.text().map(str::to_owned)
}

fn create(input: &mut Reader<'_>, with_stat: bool) -> Result<Request, JuteError> {
    let path = path(input)?;
    let data = input.buffer()?.to_vec();
    let access = access_list(input)?;
    let flags = input.i32()?;
    Ok(match access {
        _ if !is_valid_path(&path) => Request::Refused(ErrorCode::BadArguments),
        Allowed::Empty => Request::Refused(ErrorCode::InvalidAcl),
        Allowed::Restricted => Request::Refused(ErrorCode::Unimplemented),
        Allowed::Open if flags != PERSISTENT => Request::Refused(ErrorCode::Unimplemented),
        Allowed::Open => Request::Write(Write {
            op: TxnOp::Create {
                path,
                data,
                access: vec![Access::open()],
                mode: CreateMode::Persistent,
                sequential: false,
            },
            with_stat,
        }),
    })
}

fn delete(input: &mut Reader<'_>) -> Result<Request, JuteError> {
    let path = path(input)?;
    let version = input.i32()?;
    Ok(write(TxnOp::Delete { path, version }))
}

fn set_data(input: &mut Reader<'_>) -> Result<Request, JuteError> {
    let path = path(input)?;
    let data = input.buffer()?.to_vec();
    let version = input.i32()?;
    Ok(write(TxnOp::SetData {
        path,
        data,
        version,
    }))
}

fn read(input: &mut Reader<'_>, kind: ReadKind) -> Result<Request, JuteError> {
    let path = path(input)?;
    let wants_watch = input.bool()?;
    Ok(if wants_watch {
        // A watch that never fires would be a lie.
        Request::Refused(ErrorCode::Unimplemented)
    } else {
        Request::Read(Read { kind, path })
    })
}

/// What an access list says, as far as this node cares.
enum Allowed {
    /// Nobody may do anything: not a list that ZooKeeper accepts.
    Empty,
    /// Everybody may do everything.
    Open,
    /// Anything else, which this node could not enforce.
    Restricted,
}

fn access_list(input: &mut Reader<'_>) -> Result<Allowed, JuteError> {
    let count = input.count()?.unwrap_or(0);
    let mut access = Allowed::Empty;
    for index in 0..count {
        let permissions = input.i32()?;
        let scheme = input.text()?;
        let id = input.text()?;
        let is_open = (permissions, scheme, id) == (ALL_PERMISSIONS, "world", "anyone");
        access = if index == 0 && is_open {
            Allowed::Open
        } else {
            Allowed::Restricted
        };
    }
    Ok(access)
}

const ALL_PERMISSIONS: i32 = 31;
const PERSISTENT: i32 = 0;

const CLOSE_SESSION: i32 = -11;
const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const GET_CHILDREN: i32 = 8;
const SYNC: i32 = 9;
const PING: i32 = 11;
const GET_CHILDREN2: i32 = 12;
const CREATE2: i32 = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jute::Writer;

    /// The body of a frame as captured from a real client, written as hexadecimal digits.
    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn a_captured_connect_request_is_understood() {
        let body = hex(
            "00000000 0000000000000000 00001770 0000000000000000 00000010 00000000000000000000000000000000 00",
        );
        let request = ConnectRequest::parse(&body).unwrap();
        assert_eq!((request.timeout_ms, request.session), (6_000, 0));
        assert!(request.has_read_only);
        let old = ConnectRequest::parse(&body[..44]).unwrap();
        assert!(!old.has_read_only);
    }

    #[test]
    fn captured_requests_are_understood() {
        let create = hex(
            "00000002 00000001 00000002 2f67 00000002 6430 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000000",
        );
        let (xid, request) = parse(&create).unwrap();
        let op = TxnOp::Create {
            path: "/g".to_owned(),
            data: b"d0".to_vec(),
            access: vec![Access::open()],
            mode: CreateMode::Persistent,
            sequential: false,
        };
        assert_eq!((xid, request), (2, write(op)));
        let set = hex("00000009 00000005 00000002 2f67 00000002 6431 00000000");
        let op = TxnOp::SetData {
            path: "/g".to_owned(),
            data: b"d1".to_vec(),
            version: 0,
        };
        assert_eq!(parse(&set).unwrap(), (9, write(op)));
        assert_eq!(
            parse(&hex("fffffffe 0000000b")).unwrap(),
            (-2, Request::Read(Read::ping()))
        );
        assert_eq!(
            parse(&hex("0000001e fffffff5")).unwrap(),
            (30, write(TxnOp::CloseSession))
        );
    }

    #[test]
    fn what_could_not_be_kept_is_refused() {
        let watch = hex("00000006 00000004 00000002 2f67 01");
        let unimplemented = Request::Refused(ErrorCode::Unimplemented);
        assert_eq!(parse(&watch).unwrap().1, unimplemented);
        let create = |access: &[(i32, &str, &str)], flags: i32| {
            let mut out = Writer::new();
            out.i32(1).i32(1).text("/a").buffer(b"").count(access.len());
            for (permissions, scheme, id) in access {
                out.i32(*permissions).text(scheme).text(id);
            }
            out.i32(flags);
            parse(&out.into_bytes()).unwrap().1
        };
        let open = (31, "world", "anyone");
        assert!(matches!(create(&[open], 0), Request::Write(_)));
        assert_eq!(create(&[open], 1), unimplemented);
        assert_eq!(create(&[(1, "world", "anyone")], 0), unimplemented);
        assert_eq!(create(&[open, open], 0), unimplemented);
        assert_eq!(create(&[], 0), Request::Refused(ErrorCode::InvalidAcl));
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
        fn no_bytes_make_parsing_panic(bytes: Vec<u8>, operation in -11..16_i32) {
            let _ = ConnectRequest::parse(&bytes);
            let _ = parse(&bytes);
            let mut framed = Writer::new();
            framed.i32(1).i32(operation).raw(&bytes);
            prop_assert!(parse(&framed.into_bytes()).is_ok());
        }
    }
}
