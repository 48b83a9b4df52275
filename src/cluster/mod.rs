//! The cluster under test: effects in force, processes, ports, and the reaper that spawns.

mod effect;
mod view;

pub use effect::{Effect, Ending};
pub use view::{ClusterView, NodeView, ProcessState, Role};
