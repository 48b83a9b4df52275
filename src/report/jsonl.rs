//! `--format jsonl`: the run as a stream of JSON objects, one a line, for programs that read as it
//! comes: its phases, then its trials, then its checks; the last line is summary.json.

use std::io::{self, Write};

use serde::Serialize;

use crate::clock::Nanos;
use crate::history::EventKind;
use crate::results::RunRecord;

use super::summary::{Check, Document, Trial};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Phase {
        run_id: &'a str,
        at_ns: Nanos,
        phase: &'a str,
    },
    Trial {
        run_id: &'a str,
        trial: Box<Trial<'a>>,
    },
    Check {
        run_id: &'a str,
        check: Check<'a>,
    },
}

/// All lines.
///
/// # Errors
/// Only those of `out`.
pub fn json_lines(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    let run_id = record.run_id.as_str();
    let phases = record.events.iter().filter_map(|event| match &event.kind {
        EventKind::Phase { phase } => Some(Line::Phase {
            run_id,
            at_ns: event.time,
            phase,
        }),
        _ => None,
    });
    let trials = record.measurements.trials.iter().map(|trial| Line::Trial {
        run_id,
        trial: Box::new(Trial::of(trial)),
    });
    let checks = record.checks.iter().map(|check| Line::Check {
        run_id,
        check: Check::of(check),
    });
    for line in phases.chain(trials).chain(checks) {
        write_line(&line, out)?;
    }
    write_line(&Document::of(record), out)
}

fn write_line(line: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::sample;

    #[test]
    fn every_line_is_an_object_and_the_last_is_the_summary() {
        let record = sample::failed();
        let mut bytes = Vec::new();
        json_lines(&record, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let (last, lines) = lines.split_last().unwrap();
        assert_eq!(last["schema"], "chaos.summary/1");
        let of = |kind: &str| -> Vec<&Value> {
            let all = lines.iter().filter(|line| line["type"] == kind);
            all.map(|line| &line[kind]).collect()
        };
        assert_eq!(
            Value::from_iter(of("trial").into_iter().cloned()),
            last["trials"]
        );
        assert_eq!(
            Value::from_iter(of("check").into_iter().cloned()),
            last["checks"]
        );
        assert!(lines.iter().all(|line| line["run_id"] == record.run_id));
        let known = of("phase").len() + of("trial").len() + of("check").len();
        assert_eq!(lines.len(), known);
    }
}
