//! The fault proxy: links between nodes, and between clients and nodes.

mod board;
pub mod calibration;
mod conditions;
mod connection;
mod counters;
mod fate;
mod frame;
mod gate;
mod links;
mod pipe;
mod probe;
mod rule;
mod self_test;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_harm;
mod throttle;

pub use calibration::Calibration;
pub use conditions::Conditions;
pub use counters::Counters;
pub use fate::{Draw, FateKey, frame_is_lost};
pub use links::{Framing, Links, Path, RuleError};
pub use rule::{DropLayer, Endpoint, LinkId, Rule, Spread};
pub use self_test::{Ends, SelfTest, compare};
