//! The `chaos` command.
//!
//! The same executable is also the reaper (`chaos __reaper`), the faulty disk (`chaos __disk`),
//! the packet switch (`chaos __switch`), a stub's node (`chaos __stub`) and the bundled node (`chaos node`): one
//! build is enough. They are dispatched before anything else is set up.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, FromArgMatches};

/// Nodes allocate much and briefly (docs/decisions/0012).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1).and_then(|word| word.to_str()) {
        Some(chaos::cluster::REAPER_COMMAND) => chaos::cluster::reaper_main(&arguments[2..]),
        Some(chaos::packet::SWITCH_COMMAND) => chaos::packet::switch_main(&arguments[2..]),
        Some(chaos::disk::DISK_COMMAND) => chaos::disk::disk_main(&arguments[2..]),
        Some(chaos::space::ENTER_COMMAND) => chaos::space::enter_main(&arguments[2..]),
        Some(chaos::system::STUB_COMMAND) => chaos::system::stub_main(&arguments[2..]),
        Some("node") => node(&arguments[1..]),
        _ => chaos::cli::main(arguments),
    }
}

/// Runs the bundled node: `chaos node …` is `chaos-node …`.
fn node(arguments: &[OsString]) -> ExitCode {
    let command = chaos_node::cli::NodeArgs::augment_args(
        clap::Command::new("chaos node").about("One node of the bundled ZAB store"),
    );
    let matches = command.get_matches_from(arguments);
    match chaos_node::cli::NodeArgs::from_arg_matches(&matches) {
        Ok(arguments) => chaos_node::cli::run(arguments),
        Err(error) => error.exit(),
    }
}
