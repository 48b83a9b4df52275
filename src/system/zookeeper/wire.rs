//! The bytes of the ZooKeeper client protocol (jute encoding: big endian, length-prefixed).
//!
//! Only what the harness client sends and reads. Replies are parsed with bounds checks: a strange
//! server gives an error, never a panic.

/// Operation codes of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum OpCode {
    Create = 1,
    GetData = 4,
    SetData = 5,
    Sync = 9,
    Ping = 11,
    Close = -11,
}

/// Error codes that the client tells apart.
pub(super) mod code {
    pub(crate) const OK: i32 = 0;
    pub(crate) const NO_NODE: i32 = -101;
    pub(crate) const BAD_VERSION: i32 = -103;
    pub(crate) const NODE_EXISTS: i32 = -110;
}

/// The reserved transaction id of pings.
pub(super) const PING_XID: i32 = -2;

/// A frame larger than this is refused, as ZooKeeper itself does by default.
pub(super) const FRAME_MAX: usize = 0xf_ffff;

/// Builds one request frame.
#[derive(Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    /// A frame without header, for the connect request.
    pub(super) fn bare() -> Self {
        Self(vec![0; 4])
    }

    /// A frame that begins with a request header.
    pub(super) fn new(xid: i32, op: OpCode) -> Self {
        Self::bare().int(xid).int(op as i32)
    }

    pub(super) fn int(mut self, value: i32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn bool(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }

    pub(super) fn buffer(mut self, bytes: &[u8]) -> Self {
        let len = i32::try_from(bytes.len()).expect("requests are far smaller than 2 GiB");
        self = self.int(len);
        self.0.extend_from_slice(bytes);
        self
    }

    /// The finished frame with its length in front.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len() - 4).expect("requests are far smaller than 4 GiB");
        self.0[..4].copy_from_slice(&len.to_be_bytes());
        self.0
    }
}

/// Reads the fields of one reply frame.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    pub(super) fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn long(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A buffer; a length of −1 is read as empty.
    pub(super) fn buffer(&mut self) -> Option<&'a [u8]> {
        let len = self.int()?;
        if len < 0 {
            Some(&[])
        } else {
            self.take(usize::try_from(len).ok()?)
        }
    }

    /// A `Stat`; only the version is of use here.
    pub(super) fn stat_version(&mut self) -> Option<i32> {
        self.take(4 * 8)?;
        let version = self.int()?;
        self.take(4 + 4 + 8 + 4 + 4 + 8)?;
        Some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_length_header_and_fields() {
        let frame = Request::new(7, OpCode::GetData)
            .buffer(b"/k")
            .bool(false)
            .finish();
        assert_eq!(
            frame,
            [
                0, 0, 0, 15, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2, b'/', b'k', 0
            ]
        );
    }

    #[test]
    fn short_replies_are_noticed() {
        assert_eq!(Fields(&[0, 0, 0]).int(), None);
        assert_eq!(Fields(&[0, 0, 0, 9, 1]).buffer(), None);
        assert_eq!(Fields(&[0xff, 0xff, 0xff, 0xff]).buffer(), Some(&[][..]));
        assert_eq!(Fields(&[0; 67]).stat_version(), None);
        assert_eq!(Fields(&[0; 68]).stat_version(), Some(0));
    }
}
