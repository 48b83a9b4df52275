//! ZooKeeper's client protocol, without sockets: requests and replies as bytes, reads of the state,
//! and the four-letter words.
//!
//! Supported: connect and reconnect, ping, create (also with the stat in its answer), delete, exists,
//! getData, setData, getChildren (with and without stat), sync, closeSession. What is known but not
//! built (watches, special kinds of znodes, access lists) is refused with [`ErrorCode::Unimplemented`];
//! other operations are refused and end the connection.
//!
//! [`ErrorCode::Unimplemented`]: crate::state::ErrorCode::Unimplemented

mod read;
mod reply;
mod request;
mod words;

pub use read::{Read, ReadKind};
pub use reply::{Reply, connect_response, expired_response, unknown_operation};
pub use request::{ConnectRequest, MAX_REQUEST, Request, Write, parse};
pub use words::{Mode, Report, answer, is_word};
