//! chaos: fault injection for replicated systems.
//!
//! Modules in layer order; each may import only from layers above it in this list
//! (docs/architecture.md, enforced by `tests/tidy.rs`).

pub mod clock;
pub mod exit;
pub mod id;
pub mod seed;
pub mod verdict;

pub mod history;

pub mod link;
pub mod model;

pub mod check;
pub mod cluster;
pub mod measure;

pub mod results;

pub mod report;
