//! The node as a whole: one loop that feeds the protocol and does what it asks for.
//!
//! The loop owns the protocol, the state machine and all connections; nothing is shared. Sockets are
//! read by tasks and the disk is written by a thread, and both only send events. Everything that is
//! ready is fed in before any output is looked at, so that writes to the disk and to sockets are few
//! and large when there is much to do.

mod activity;
mod backlog;
mod config;
mod error;
mod event_loop;
mod inbox;
mod latency;
mod outputs;
mod replica;
mod rules;
mod session;
mod sessions;
mod snapshots;
mod start;
mod word;
mod work;

pub use config::Config;
pub use error::ServerError;
pub use replica::{Asked, Now, Replica, ReplicaOptions};
pub use start::run;
