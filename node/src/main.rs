//! The bundled node as a program of its own.

use std::process::ExitCode;

use clap::Parser;

/// A node allocates much and briefly (docs/decisions/0012).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A durable replicated store that speaks the ZooKeeper client protocol.
#[derive(Debug, Parser)]
#[command(name = "chaos-node", version)]
struct Program {
    #[command(flatten)]
    node: chaos_node::cli::NodeArgs,
}

fn main() -> ExitCode {
    chaos_node::cli::run(Program::parse().node)
}
