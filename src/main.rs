//! The `chaos` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: the reaper must be a process of one thread.
    if std::env::args().nth(1).as_deref() == Some(chaos::cluster::REAPER_COMMAND) {
        return chaos::cluster::reaper_main();
    }
    ExitCode::SUCCESS
}
