//! What a run leaves behind: the record that every report is made from, and the results folder.

mod record;

pub use record::{Environment, PlanFacts, RunRecord};
