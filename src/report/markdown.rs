//! `report.md`: the result in a page of Markdown, small enough for a CI job's summary.

use std::io::{self, Write};

use crate::clock::Nanos;
use crate::measure::{HitPhase, HitRole};
use crate::results::RunRecord;
use crate::verdict::Verdict;

use super::Reporter;
use super::achieved;
use super::comparison::{Line, remarks};
use super::distribution::Ranked;
use super::text::{self, FAILOVER, figure, grouped};

/// The result as Markdown.
#[derive(Debug)]
pub(super) struct Markdown;

impl Reporter for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn file_name(&self) -> &'static str {
        "report.md"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let conclusion = text::conclusion(record.verdict, &record.checks, record.duration);
        let word = record.verdict.word().to_uppercase();
        writeln!(
            out,
            "# {word}: {}\n\n{conclusion}.\n",
            escape(&record.plan.name)
        )?;
        if let Some(bug) = &record.plan.bug {
            writeln!(out, "The nodes had a planted bug: {}.\n", escape(bug))?;
        }
        checks(record, out)?;
        failover(record, out)?;
        latency(record, out)?;
        beside(record, out)?;
        did(record, out)?;
        coverage(record, out)?;
        if let Some(evidence) = &record.evidence {
            let (key, sentence) = (escape(&evidence.key), escape(&evidence.sentence));
            writeln!(out, "## Counterexample\n\nKey {key}: {sentence}\n")?;
        }
        let [ok, fail, info] = record
            .history
            .outcomes()
            .map(|count| grouped(count as i128));
        writeln!(
            out,
            "Run {} with seed {}: {ok} operations ok, {fail} failed, {info} of unknown outcome.\n",
            escape(&record.run_id),
            record.plan.seed
        )?;
        writeln!(out, "```\n{}\n```", record.reproduce.replace("```", "'''"))
    }
}

fn checks(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    if record.checks.is_empty() {
        return Ok(());
    }
    writeln!(out, "| result | check | measured |\n|---|---|---|")?;
    for check in record.checks.iter().take(MAX_CHECKS) {
        let mut measured = escape(&check.measured);
        if check.verdict != Verdict::Pass && !check.reason.is_empty() {
            measured = format!("{measured}<br>{}", escape(&check.reason));
        }
        let word = match check.verdict {
            Verdict::Pass => "pass",
            Verdict::Unknown => "**unknown**",
            Verdict::Fail => "**fail**",
        };
        writeln!(out, "| {word} | {} | {measured} |", escape(&check.name))?;
    }
    if record.checks.len() > MAX_CHECKS {
        writeln!(
            out,
            "\n… and {} more in summary.json.",
            record.checks.len() - MAX_CHECKS
        )?;
    }
    writeln!(out)
}

fn failover(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<_> = FAILOVER
        .iter()
        .filter_map(|(stage, name)| Some((stage, record.measurements.metrics.get(*name)?)))
        .filter_map(|(stage, metric)| {
            let ranked = Ranked::new(&metric.samples);
            let figures = [ranked.at(500)?, ranked.at(900)?, ranked.max()?];
            Some((
                stage,
                figures.map(|value| figure(metric.unit, value)),
                ranked.len(),
            ))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "| failover | p50 | p90 | max | n |\n|---|--:|--:|--:|--:|"
    )?;
    for (stage, [p50, p90, max], n) in rows {
        writeln!(out, "| {stage} | {p50} | {p90} | {max} | {n} |")?;
    }
    writeln!(out)
}

fn beside(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    let Some(compared) = &record.compared else {
        return Ok(());
    };
    for remark in remarks(compared) {
        writeln!(out, "- {}", escape(&remark))?;
    }
    if compared.rows.is_empty() {
        return writeln!(out);
    }
    writeln!(
        out,
        "\n| median | before | now | change | | interval | n |\n|---|--:|--:|--:|---|---|--:|"
    )?;
    for line in compared.rows.iter().map(Line::of) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} {} | {} | {} |",
            line.name,
            line.before,
            line.now,
            line.change,
            line.word,
            line.more,
            line.interval,
            line.n
        )?;
    }
    writeln!(out)
}

fn latency(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    let Some(phases) = record.measurements.latency.get("all") else {
        return Ok(());
    };
    writeln!(
        out,
        "| latency | p50 | p90 | p99 | p99.9 | max | n |\n|---|--:|--:|--:|--:|--:|--:|"
    )?;
    for (phase, summary) in phases {
        let [p50, p90, p99, p999, max] = [
            summary.p50,
            summary.p90,
            summary.p99,
            summary.p999,
            summary.max,
        ]
        .map(Nanos);
        let (phase, n) = (escape(phase), grouped(summary.n));
        writeln!(
            out,
            "| {phase} | {p50} | {p90} | {p99} | {p999} | {max} | {n} |"
        )?;
    }
    writeln!(out)
}

/// What the faults really did.
fn did(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    let kinds = achieved::achieved(&record.measurements.trials);
    if kinds.is_empty() {
        return Ok(());
    }
    writeln!(out, "| fault | n | counted while in force |\n|---|--:|---|")?;
    for kind in kinds {
        let verb = escape(&kind.verb);
        writeln!(out, "| {verb} | {} | {} |", kind.faults, kind.sentence)?;
    }
    writeln!(out)
}

/// Each cell: how often in a steady, a degraded and an electing cluster.
fn coverage(record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
    let rows = text::coverage(&record.measurements.coverage);
    if rows.is_empty() {
        return Ok(());
    }
    let roles = HitRole::ALL.map(HitRole::word).join(" | ");
    let phases = HitPhase::ALL.map(HitPhase::word).join(" / ");
    writeln!(out, "| hit while {phases} | {roles} |")?;
    writeln!(out, "|---|{}", "--:|".repeat(HitRole::ALL.len()))?;
    for (verb, cells) in rows {
        writeln!(out, "| {} | {} |", escape(&verb), cells.join(" | "))?;
    }
    writeln!(out)
}

/// Recorded text in a table cell: on one line, cut, without any markup.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for (at, character) in text.chars().enumerate() {
        if at == MAX_TEXT {
            escaped.push('…');
            break;
        }
        match character {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Together with [`MAX_TEXT`] this keeps the page below 64 KiB for any run.
const MAX_CHECKS: usize = 30;
/// Characters of one recorded text.
const MAX_TEXT: usize = 140;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CheckResult, Class};
    use crate::report::sample;

    fn render(record: &RunRecord) -> String {
        let mut bytes = Vec::new();
        Markdown.write(record, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_failed_run() {
        insta::assert_snapshot!(render(&sample::failed()));
    }

    #[test]
    fn it_stays_small_whatever_was_recorded() {
        let mut record = sample::failed();
        let wordy = CheckResult {
            name: "<|>".repeat(1000),
            class: Class::Safety,
            verdict: Verdict::Fail,
            limit: String::new(),
            measured: "|".repeat(10_000),
            reason: "*".repeat(10_000),
        };
        record.checks = vec![wordy; 1000];
        let text = render(&record);
        assert!(text.len() < 64 * 1024, "{}", text.len());
        assert!(!text.contains("<|"));
    }
}
