//! `trials.csv`: one line per fault, for spreadsheets. Times and lengths in nanoseconds; an empty
//! cell was not measured.

use std::io::{self, Write};

use crate::clock::Nanos;
use crate::history::TrialOutcome;
use crate::measure::{Channel, TrialMeasure};
use crate::results::RunRecord;

use super::Reporter;

/// The trials for spreadsheets.
#[derive(Debug)]
pub(super) struct Trials;

impl Reporter for Trials {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn file_name(&self) -> &'static str {
        "trials.csv"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        writeln!(out, "{}", names.join(","))?;
        for trial in &record.measurements.trials {
            let cells: Vec<String> = COLUMNS
                .iter()
                .map(|(_, cell)| quoted(cell(trial)))
                .collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        Ok(())
    }
}

type Column = (&'static str, fn(&TrialMeasure) -> String);

const COLUMNS: &[Column] = &[
    ("trial", |t| {
        t.trial.map(|trial| trial.0.to_string()).unwrap_or_default()
    }),
    ("fault_id", |t| t.fault.0.to_string()),
    ("fault", |t| t.verb.clone()),
    ("label", |t| t.label.clone()),
    ("nodes", |t| {
        let nodes: Vec<String> = t.nodes.iter().map(ToString::to_string).collect();
        nodes.join(" ")
    }),
    ("on_leader", |t| t.on_leader.to_string()),
    ("outcome", |t| outcome(t.outcome).to_owned()),
    ("noisy", |t| t.noisy.to_string()),
    ("asked_ns", |t| t.asked.0.to_string()),
    ("landed_ns", |t| length(t.landed)),
    ("healed_ns", |t| length(t.healed)),
    ("end_ns", |t| t.end.0.to_string()),
    ("origin_ns", |t| t.origin.0.to_string()),
    ("channel", |t| channel(t.channel).to_owned()),
    ("detect_first_ns", |t| length(t.detect_first)),
    ("detect_quorum_ns", |t| length(t.detect_quorum)),
    ("detect_last_ns", |t| length(t.detect_last)),
    ("detect_evict_ns", |t| length(t.detect_evict)),
    ("elect_ns", |t| length(t.elect)),
    ("elect_rounds", |t| {
        t.elect_rounds
            .map(|rounds| rounds.to_string())
            .unwrap_or_default()
    }),
    ("sync_leader_ns", |t| length(t.sync_leader)),
    ("reroute_ns", |t| length(t.reroute)),
    ("recover_first_ns", |t| length(t.recover_first)),
    ("recover_steady_ns", |t| length(t.recover_steady)),
    ("redundancy_ns", |t| length(t.redundancy)),
    ("goodput_dip_ops", |t| {
        t.goodput_dip
            .map(|dip| format!("{dip:.1}"))
            .unwrap_or_default()
    }),
    ("winner", |t| {
        t.winner.map(|node| node.to_string()).unwrap_or_default()
    }),
];

fn length(length: Option<Nanos>) -> String {
    length
        .map(|length| length.0.to_string())
        .unwrap_or_default()
}

const fn outcome(outcome: Option<TrialOutcome>) -> &'static str {
    match outcome {
        Some(TrialOutcome::Completed) => "completed",
        Some(TrialOutcome::Censored) => "censored",
        Some(TrialOutcome::Skipped) => "skipped",
        None => "",
    }
}

const fn channel(channel: Option<Channel>) -> &'static str {
    match channel {
        Some(Channel::Transport) => "transport",
        Some(Channel::Timeout) => "timeout",
        None => "",
    }
}

/// Quotes a cell where RFC 4180 asks for it.
fn quoted(cell: String) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_line_has_every_column() {
        let mut record = sample::small();
        record.measurements.trials[0].label = "cut n2,n3 -> \"n1\"".to_owned();
        let mut bytes = Vec::new();
        Trials.write(&record, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + record.measurements.trials.len());
        assert!(
            lines[1].contains("\"cut n2,n3 -> \"\"n1\"\"\""),
            "{}",
            lines[1]
        );
        for line in &lines[2..] {
            assert_eq!(line.split(',').count(), COLUMNS.len(), "{line}");
        }
    }
}
