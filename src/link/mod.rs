//! The fault proxy: links between nodes, and between clients and nodes.

mod rule;

pub use rule::{DropLayer, Endpoint, LinkId, Rule};
