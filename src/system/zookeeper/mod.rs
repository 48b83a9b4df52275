//! The ZooKeeper client protocol, as far as registers need it: shared by the bundled node and by
//! real ZooKeeper ensembles.

mod client;
mod wire;
mod words;

pub use client::{SessionOptions, ZkClient};
pub use words::{monitor, word};
