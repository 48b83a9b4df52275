//! The replication protocol (ZAB) as a pure state machine: no clock, no sockets, no disk.
//!
//! [`io`] is the seam with the shell, [`message`] what nodes say to each other, [`zxid`] the
//! identifiers. The words are those of the ZAB papers: election, discovery, synchronisation,
//! broadcast; epoch, history, quorum.

pub mod io;
pub mod message;
pub mod wire;
pub mod zxid;
