//! The reaper: a small single-threaded process that spawns every node and outlives the harness
//! just long enough to kill them all.
//!
//! The harness starts itself again as `chaos __reaper` and keeps one end of a SEQPACKET pair. The
//! reaper is the parent of every node, and of every helper process of the run, and the subreaper of all their descendants. When its end of
//! the pair reads end-of-file, the harness is gone, even by SIGKILL: it kills and reaps all
//! descendants until none is left. If the reaper itself dies, the kernel kills the nodes
//! (`PR_SET_PDEATHSIG`, which is safe here because the reaper has one thread).

mod handle;
mod server;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::history::ExitStatus;

pub use handle::Reaper;
pub(super) use handle::{Incoming, Socket};
pub use server::reaper_main;

/// The argument that makes `chaos` a reaper.
pub const REAPER_COMMAND: &str = "__reaper";

/// The harness asks for a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spawn {
    /// Comes back in the answer.
    pub(super) tag: u64,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) dir: PathBuf,
    /// Appended to.
    pub(super) stdout: PathBuf,
    pub(super) stderr: PathBuf,
    /// A file descriptor comes along that becomes its standard input; otherwise that is empty.
    pub(super) has_stdin: bool,
}

/// The reaper reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// It is ready to spawn.
    Ready {
        /// Whether it is the first process of a PID namespace.
        first: bool,
    },
    /// A process runs; its pidfd comes along.
    Spawned { tag: u64 },
    /// A process could not be spawned.
    Refused { tag: u64, error: String },
    /// A process has ended and was reaped.
    Exited { tag: u64, status: ExitStatus },
}
