//! `chaos heal`: removes what runs that were killed have left.

use std::path::PathBuf;

use clap::Args;

use super::failure::{self, Failure};
use crate::cluster::{Leftover, Unhealed, remove_leftovers, settle_ledgers};
use crate::exit::Exit;

/// Where to look.
#[derive(Debug, Args)]
#[command(after_help = "\
Ordinarily nothing is left: the reaper, or the kernel in its place, kills every process of a run
whose harness is gone, and with them vanish their namespaces, mounts and sockets. Runs that go on
are not touched. `chaos run` looks for processes of dead runs too before it starts.")]
pub(super) struct HealArguments {
    /// The results root whose ledgers are looked at
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
}

/// Kills leftover processes, settles ledgers, and tells.
pub(super) fn heal(arguments: &HealArguments) -> Result<Exit, Failure> {
    let killed = remove_leftovers().map_err(|error| Failure::of(Exit::Setup, &error))?;
    let settled = settle_ledgers(&arguments.out);
    let settled = settled.map_err(|error| Failure::of(Exit::Setup, &error))?;
    failure::output(&told(&killed, &settled));
    Ok(Exit::Pass)
}

fn told(killed: &[Leftover], settled: &[Unhealed]) -> String {
    let mut text = String::new();
    for Leftover { pid, name, run } in killed {
        text += &format!("killed process {pid} ({name}) of {run}\n");
    }
    for run in settled {
        let faults = run.faults.iter();
        let faults = faults.map(|(fault, effects)| {
            let effects: Vec<String> = effects.iter().map(ToString::to_string).collect();
            format!("{fault} ({})", effects.join(", "))
        });
        let faults: Vec<String> = faults.collect();
        text += &format!(
            "{} ended while in force: {}; gone with its processes\n",
            run.folder.display(),
            faults.join(", ")
        );
    }
    if text.is_empty() {
        text += "nothing was left\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Effect;
    use crate::id::{FaultId, NodeId};

    #[test]
    fn what_was_left_is_told_by_name() {
        let killed = [Leftover {
            pid: 4711,
            name: "sleep".to_owned(),
            run: "20261127T101112Z-weather-0007".to_owned(),
        }];
        let settled = [Unhealed {
            folder: PathBuf::from("results/20261127T101112Z-weather-0007"),
            faults: vec![(FaultId(3), vec![Effect::Paused(NodeId(2))])],
        }];
        insta::assert_snapshot!(told(&killed, &settled));
        assert_eq!(told(&[], &[]), "nothing was left\n");
    }
}
