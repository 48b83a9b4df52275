//! What a run leaves behind: the record that every report is made from, and the results folder.

mod baseline;
mod brief;
mod facts;
mod folder;
mod record;
mod stored;
mod utc;

pub use baseline::{Baseline, BaselineError, BaselineRun, Beside, Machine, Samples};
pub use brief::{Brief, BriefMetric, ListedRun, list, write_list};
pub use facts::RunFacts;
pub use folder::{FolderError, RunFolder, RunName, names, runs};
pub use record::{Compared, Environment, PlanFacts, RunRecord};
pub use stored::StoredRun;
pub use utc::Utc;
