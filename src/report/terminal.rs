//! The result as a person reads it on a terminal or in a CI log: 80 columns, words before colour.

use std::io::{self, Write};

use crate::check::{CheckResult, evidence_lanes};
use crate::clock::Nanos;
use crate::measure::LatencySummary;
use crate::results::RunRecord;
use crate::verdict::Verdict;

use super::Reporter;
use super::comparison::{comparison_table, remarks};
use super::distribution::Ranked;
use super::text::{self, FAILOVER, figure};

/// The result for people.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    /// Whether verdicts are coloured as well.
    pub colour: bool,
}

impl Reporter for Terminal {
    fn name(&self) -> &'static str {
        "human"
    }

    fn file_name(&self) -> &'static str {
        "report.txt"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        for table in [failover, latency] {
            if table(record, out)? {
                writeln!(out)?;
            }
        }
        beside(record, out)?;
        self.checks(&record.checks, out)?;
        counterexample(record, out)?;
        if !record.checks.is_empty() {
            writeln!(out)?;
        }
        self.closing(record, out)
    }
}

impl Terminal {
    fn checks(self, checks: &[CheckResult], out: &mut dyn Write) -> io::Result<()> {
        let width = checks
            .iter()
            .map(|c| c.verdict.word().len())
            .max()
            .unwrap_or(0);
        let name_width = checks
            .iter()
            .map(|c| c.name.chars().count())
            .max()
            .unwrap_or(0)
            .min(NAME_WIDTH);
        let indent = 2 + width + 2;
        for check in checks {
            let word = check.verdict.word().to_uppercase();
            let word = self.paint(check.verdict, &format!("{word:<width$}"));
            let name = &check.name;
            let left = name.chars().count().max(name_width) + indent + 2;
            let lines = text::wrap(&check.measured, WIDTH.saturating_sub(left));
            let alone = lines.len() > 1;
            if check.measured.is_empty() || alone {
                writeln!(out, "  {word}  {name}")?;
            } else {
                writeln!(out, "  {word}  {name:<name_width$}  {}", check.measured)?;
            }
            let more = if alone {
                [check.measured.as_str(), &check.reason]
            } else {
                [&check.reason, ""]
            };
            for text in more.into_iter().filter(|text| !text.is_empty()) {
                for line in text::wrap(text, WIDTH - indent - 2) {
                    writeln!(out, "{:indent$}  {line}", "")?;
                }
            }
        }
        Ok(())
    }

    fn closing(self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let word = record.verdict.word().to_uppercase();
        let conclusion = text::conclusion(record.verdict, &record.checks, record.duration);
        writeln!(out, "{}  {conclusion}", self.paint(record.verdict, &word))?;
        if record.verdict != Verdict::Pass && !record.reproduce.is_empty() {
            writeln!(out, "again   {}", record.reproduce)?;
            writeln!(
                out,
                "        (a seed repeats decisions, not the timing of the machine)"
            )?;
        }
        writeln!(out, "report  {}/report.html", record.folder)
    }

    fn paint(self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Pass => "32",
            Verdict::Unknown => "33",
            Verdict::Fail => "31",
        };
        if self.colour {
            format!("\x1b[1;{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The run beside its baseline, if it has one or should have.
fn beside(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    let Some(compared) = &record.compared else {
        return Ok(());
    };
    for remark in remarks(compared) {
        for line in text::wrap(&remark, WIDTH - 2) {
            writeln!(out, "  {line}")?;
        }
    }
    if !compared.rows.is_empty() {
        let table = comparison_table(&compared.rows, ["before", "now"]);
        write!(out, "{table}")?;
    }
    writeln!(out)
}

/// The stages of the failovers; says whether there was anything to print.
fn failover(record: &RunRecord, out: &mut dyn Write) -> io::Result<bool> {
    let mut any = false;
    for (stage, metric) in FAILOVER {
        let Some(metric) = record.measurements.metrics.get(*metric) else {
            continue;
        };
        let ranked = Ranked::new(&metric.samples);
        let (Some(p50), Some(p90), Some(max)) = (ranked.at(500), ranked.at(900), ranked.max())
        else {
            continue;
        };
        if !any {
            writeln!(
                out,
                "  {:<9}{:>10}{:>10}{:>10}{:>6}",
                "failover", "p50", "p90", "max", "n"
            )?;
            any = true;
        }
        let mut notes = Vec::new();
        if *stage == "detect" {
            notes.push(text::channels(&record.measurements));
        }
        if metric.censored > 0 {
            notes.push(format!("{} censored", metric.censored));
        }
        if metric.noisy > 0 {
            notes.push(format!("{} noisy left out", metric.noisy));
        }
        notes.retain(|note| !note.is_empty());
        let figures = [p50, p90, max].map(|value| figure(metric.unit, value));
        let line = format!(
            "  {stage:<9}{:>10}{:>10}{:>10}{:>6}    {}",
            figures[0],
            figures[1],
            figures[2],
            ranked.len(),
            notes.join(", ")
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(any)
}

/// Latency before and during faults; says whether there was anything to print.
fn latency(record: &RunRecord, out: &mut dyn Write) -> io::Result<bool> {
    let Some(phases) = record.measurements.latency.get("all") else {
        return Ok(false);
    };
    let rows: Vec<(&str, &LatencySummary)> = ["steady", "fault"]
        .into_iter()
        .filter_map(|phase| Some((phase, phases.get(phase)?)))
        .filter(|(_, summary)| summary.n > 0)
        .collect();
    if rows.is_empty() {
        return Ok(false);
    }
    write!(out, "  {:<9}", "latency")?;
    writeln!(
        out,
        "{:>10}{:>10}{:>10}{:>10}{:>10}{:>9}",
        "p50", "p90", "p99", "p99.9", "max", "n"
    )?;
    for (phase, summary) in rows {
        write!(out, "  {phase:<9}")?;
        for value in [
            summary.p50,
            summary.p90,
            summary.p99,
            summary.p999,
            summary.max,
        ] {
            write!(out, "{:>10}", Nanos(value).to_string())?;
        }
        writeln!(out, "{:>9}", summary.n)?;
    }
    Ok(true)
}

/// The operations that prove a violation, as lanes.
fn counterexample(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    let Some(evidence) = &record.evidence else {
        return Ok(());
    };
    let lanes = evidence_lanes(&record.history, evidence);
    writeln!(out, "\ncounterexample on {}", lanes.trim_end())
}

/// A CI log is read in 80 columns.
const WIDTH: usize = 80;
/// A longer name pushes its figures aside rather than all figures.
const NAME_WIDTH: usize = 34;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn render(record: &RunRecord, colour: bool) -> String {
        let mut bytes = Vec::new();
        Terminal { colour }.write(record, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_passed_run() {
        let text = render(&sample::small(), false);
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_failed_run() {
        let text = render(&sample::failed(), false);
        // Lanes are as wide as their operations need.
        let mut own = text.lines().filter(|line| !line.starts_with("  process"));
        assert!(own.all(|line| line.chars().count() <= WIDTH), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_empty_run_has_a_verdict_and_nothing_else() {
        insta::assert_snapshot!(render(&sample::empty(), false), @r"
        UNKNOWN  inconclusive: 0 checks in 0.0 s
        again   chaos run plans/nothing.yaml --seed 1
                (a seed repeats decisions, not the timing of the machine)
        report  results/20261123T034512Z-nothing-0001/report.html
        ");
    }

    #[test]
    fn colour_only_adds_escapes() {
        let record = sample::failed();
        let coloured = render(&record, true);
        assert!(coloured.contains("\x1b[1;31mFAIL"));
        let mut plain = coloured;
        for code in ["\x1b[1;31m", "\x1b[1;32m", "\x1b[1;33m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, render(&record, false));
    }
}
