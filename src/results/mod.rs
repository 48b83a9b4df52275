//! What a run leaves behind: the record that every report is made from, and the results folder.

mod facts;
mod folder;
mod record;
mod stored;
mod utc;

pub use facts::RunFacts;
pub use folder::{FolderError, RunFolder, RunName, names, runs};
pub use record::{Environment, PlanFacts, RunRecord};
pub use stored::StoredRun;
pub use utc::Utc;
