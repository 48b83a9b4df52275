//! A disk that can be slow, fail, fill up, and lose what was not synced: a file system in user
//! space (FUSE) over a node's data folder.
//!
//! One process per node, `chaos __disk FOLDER`, mounts itself over the folder in a mount namespace
//! of its own; the node is started inside that namespace. Nobody else sees the mount, and it
//! vanishes with the last process in it. Whatever is written goes through to the folder at once,
//! where the harness sees it; what an fsync has not confirmed can be taken back, as if the power
//! had failed.
//!
//! [`Disk`] is the harness's end; it talks over a socket that the process gets as its standard
//! input.

mod below;
mod calls;
mod files;
mod handle;
mod names;
mod rules;
mod server;
mod state;
mod undo;
mod wire;

pub use handle::{Disk, DiskError};
pub use rules::{Act, Calls, Failure, Met, Op, Rule, Torn};
pub use server::disk_main;
pub use wire::Lost;

/// The argument that makes `chaos` serve a disk.
pub const DISK_COMMAND: &str = "__disk";
