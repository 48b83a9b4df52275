//! ZooKeeper's client protocol, without sockets: requests and replies as bytes, reads of the state,
//! watches, and the four-letter words.
//!
//! Everything that clients ask of ZooKeeper 3.9 is here but what is refused with
//! [`ErrorCode::Unimplemented`]: SASL and reconfiguration. Operations without a name are refused too,
//! and end the connection.
//!
//! [`ErrorCode::Unimplemented`]: crate::state::ErrorCode::Unimplemented

mod auth;
mod connect;
mod multi;
mod read;
mod reconfigure;
mod reply;
mod request;
mod sha1;
mod stat;
mod watch;
mod watches;
mod words;
mod write;

pub use auth::Proof;
pub use connect::ConnectRequest;
pub use multi::multi_read_body;
pub use read::{CONFIGURATION, Read, ReadKind, View};
pub use reconfigure::Reconfigure;
pub use reply::{
    Form, NO_ZXID, Reply, connect_response, event, expired_response, unknown_operation,
};
pub use request::{MAX_IDENTITIES, MAX_REQUEST, Request, parse};
pub use watch::{Missed, WatchAnswer, WatchRequest};
pub use watches::{MAX_WATCH_BYTES, TooManyWatches, WatchKind, WatchTable, WatchTarget};
pub use words::{
    ConnectionLine, Mode, Report, SessionPart, answer, connections, dump, is_word, statistics,
    watch_summary, watches_by_path, watches_by_session,
};
pub use write::Write;

/// The bytes that these hexadecimal digits stand for; whatever else is in the text separates.
#[cfg(test)]
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
