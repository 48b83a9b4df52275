//! The replication protocol (ZAB) as a pure state machine: no clock, no sockets, no disk.
//!
//! [`Core`] takes one [`io::Input`] at a time and says what is to be done. [`io`] is the seam with
//! the shell, [`message`] what nodes say to each other, [`wire`] its bytes, [`zxid`] the
//! identifiers. The words are those of the ZAB papers: election, discovery, synchronisation,
//! broadcast; epoch, history, quorum.

pub mod blob;
mod broadcast;
mod discovery;
mod election;
mod gate;
pub mod io;
mod links;
mod liveness;
mod log;
mod machine;
pub mod message;
mod peer;
mod quorum;
mod readindex;
mod rng;
mod role;
#[cfg(test)]
mod rules;
mod stream;
mod sync;
pub mod wire;
pub mod zxid;

pub use machine::Core;
