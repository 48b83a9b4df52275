//! chaos: fault injection for replicated systems.
//!
//! Modules in layer order; each may import only from layers above it in this list
//! (docs/architecture.md, enforced by `tests/tidy.rs`).

pub mod alarm;
pub mod background;
pub mod clock;
pub mod dial;
pub mod exit;
pub mod id;
pub mod parcel;
pub mod ready;
mod registry;
pub mod seed;
pub mod space;
pub mod verdict;

pub mod history;

pub mod disk;
pub mod link;
pub mod model;
pub mod packet;

pub mod check;
pub mod cluster;
pub mod measure;

pub mod fault;
pub mod system;
pub mod workload;

pub mod load;
pub mod plan;
pub mod results;

pub mod report;

pub mod run;

pub mod campaign;

pub mod cli;
