//! The first frame of a connection.

use crate::jute::{JuteError, Reader};
use crate::state::PASSWORD_LEN;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::hex;

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

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes: Vec<u8>) {
            let _ = ConnectRequest::parse(&bytes);
        }
    }
}
