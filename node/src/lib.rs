//! The bundled node: a durable ZAB replicated store that speaks the ZooKeeper client protocol.

pub mod bug;
pub mod cli;
pub mod client;
pub mod clock;
pub mod jute;
pub mod protocol;
pub mod server;
pub mod siphash;
pub mod state;
pub mod storage;
pub mod trace;
pub mod transport;
