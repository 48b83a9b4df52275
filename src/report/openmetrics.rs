//! `metrics.prom`: the figures of the run as OpenMetrics text, for a push gateway or a collector
//! of text files. Times are seconds, sizes bytes.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::clock::Nanos;
use crate::history::EventKind;
use crate::measure::{Metric, Unit};
use crate::results::{RunRecord, Utc};
use crate::verdict::Verdict;

use super::Reporter;
use super::distribution::Ranked;

/// The figures as OpenMetrics.
#[derive(Debug)]
pub(super) struct OpenMetrics;

impl Reporter for OpenMetrics {
    fn name(&self) -> &'static str {
        "openmetrics"
    }

    fn file_name(&self) -> &'static str {
        "metrics.prom"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let mut page = Page {
            text: String::new(),
            common: format!(
                "plan=\"{}\",system=\"{}\"",
                escape(&record.plan.name),
                escape(&record.plan.system)
            ),
        };
        about(record, &mut page);
        checks(record, &mut page);
        counts(record, &mut page);
        measures(record, &mut page);
        latency(record, &mut page);
        page.text.push_str("# EOF\n");
        out.write_all(page.text.as_bytes())
    }
}

/// The text so far, and the labels that every sample has.
struct Page {
    text: String,
    common: String,
}

impl Page {
    /// Begins a family. A unit is the end of its name.
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.text, "{name}{{{}", self.common);
        for (label, value) in labels {
            let _ = write!(self.text, ",{label}=\"{}\"", escape(value));
        }
        let _ = writeln!(self.text, "}} {value}");
    }

    /// One of three states, as a `stateset`.
    fn verdict(&mut self, name: &str, labels: &[(&str, &str)], verdict: Verdict) {
        for state in [Verdict::Pass, Verdict::Unknown, Verdict::Fail] {
            let mut labels = labels.to_vec();
            labels.push((name, state.word()));
            self.sample(name, &labels, f64::from(u8::from(state == verdict)));
        }
    }
}

fn about(record: &RunRecord, page: &mut Page) {
    let plan = &record.plan;
    page.family("chaos_run", "info", "", "What ran.");
    let (nodes, clients) = (plan.nodes.to_string(), plan.clients.to_string());
    let seed = plan.seed.to_string();
    let mut labels = vec![
        ("run_id", record.run_id.as_str()),
        ("chaos", &record.environment.chaos),
        ("seed", &seed),
        ("nodes", &nodes),
        ("clients", &clients),
    ];
    if let Some(bug) = &plan.bug {
        labels.push(("bug", bug));
    }
    page.sample("chaos_run_info", &labels, 1.0);
    page.family("chaos_verdict", "stateset", "", "The worst of all checks.");
    page.verdict("chaos_verdict", &[], record.verdict);
    page.family("chaos_exit_code", "gauge", "", "The exit code of the run.");
    page.sample("chaos_exit_code", &[], f64::from(record.exit.code()));
    if let Some(start) = Utc::parse(&record.environment.started_utc) {
        let name = "chaos_run_start_timestamp_seconds";
        page.family(name, "gauge", "seconds", "When it began, in Unix time.");
        page.sample(name, &[], start.0 as f64);
    }
    let name = "chaos_run_duration_seconds";
    page.family(name, "gauge", "seconds", "From its origin to its end.");
    page.sample(name, &[], record.duration.as_secs_f64());
    let name = "chaos_host_memory_bytes";
    page.family(name, "gauge", "bytes", "Memory of the machine.");
    page.sample(name, &[], record.environment.memory as f64);
    let noise = [
        ("harness_lag_p99", record.environment.harness_lag_p99),
        ("proxy_rtt_p50", record.environment.proxy_rtt_p50),
    ];
    let name = "chaos_noise_seconds";
    page.family(
        name,
        "gauge",
        "seconds",
        "Below this nothing can be told apart.",
    );
    for (of, length) in noise {
        if let Some(length) = length {
            page.sample(name, &[("of", of)], length.as_secs_f64());
        }
    }
}

fn checks(record: &RunRecord, page: &mut Page) {
    page.family("chaos_check", "stateset", "", "The verdict of each check.");
    let mut seen = std::collections::BTreeSet::new();
    for check in &record.checks {
        // The same assertion twice has one verdict.
        if seen.insert(&check.name) {
            let labels = [
                ("check", check.name.as_str()),
                ("class", check.class.word()),
            ];
            page.verdict("chaos_check", &labels, check.verdict);
        }
    }
}

fn counts(record: &RunRecord, page: &mut Page) {
    let [ok, fail, info] = record.history.outcomes();
    page.family(
        "chaos_operations",
        "gauge",
        "",
        "Client operations by outcome.",
    );
    for (outcome, count) in [("ok", ok), ("fail", fail), ("info", info)] {
        page.sample("chaos_operations", &[("outcome", outcome)], count as f64);
    }
    let mut stages = [("asked", 0), ("landed", 0), ("missed", 0), ("healed", 0)];
    for event in &record.events {
        let stage = match event.kind {
            EventKind::FaultAsked(_) => 0,
            EventKind::FaultLanded { .. } => 1,
            EventKind::FaultMissed { .. } => 2,
            EventKind::FaultHealed { .. } => 3,
            _ => continue,
        };
        stages[stage].1 += 1;
    }
    page.family("chaos_faults", "gauge", "", "Faults by how far they came.");
    for (stage, count) in stages {
        page.sample("chaos_faults", &[("stage", stage)], f64::from(count));
    }
}

/// The metrics of docs/measuring.md: one family for each kind of unit.
fn measures(record: &RunRecord, page: &mut Page) {
    let metrics = &record.measurements.metrics;
    let families = [
        ("chaos_measure_seconds", "summary", "seconds"),
        ("chaos_measure_ratio", "summary", "ratio"),
        // A dip may be below zero, which a summary must not be.
        ("chaos_measure_number", "gauge", ""),
    ];
    for (family, kind, unit) in families {
        page.family(family, kind, unit, "Metrics, see docs/measuring.md.");
        for (name, metric) in metrics.iter().filter(|(_, m)| family_of(m.unit) == family) {
            let scale = if metric.unit == Unit::Ns { 1e9 } else { 1.0 };
            let ranked = Ranked::new(&metric.samples);
            for (quantile, per_mille) in QUANTILES {
                if let Some(value) = ranked.at(per_mille) {
                    let labels = [("metric", name.as_str()), ("quantile", quantile)];
                    page.sample(family, &labels, value / scale);
                }
            }
            if kind == "summary" {
                let labels = [("metric", name.as_str())];
                let sum: f64 = metric.samples.iter().filter(|s| !s.is_nan()).sum();
                page.sample(&format!("{family}_count"), &labels, ranked.len() as f64);
                page.sample(&format!("{family}_sum"), &labels, sum / scale);
            }
        }
    }
    let counts: [(&str, &str, Count); 3] = [
        ("chaos_samples", "Samples of each metric.", |m| {
            m.samples.len()
        }),
        (
            "chaos_samples_censored",
            "Those that are lower bounds.",
            |m| m.censored,
        ),
        ("chaos_samples_noisy", "Those left out.", |m| m.noisy),
    ];
    for (family, help, count) in counts {
        page.family(family, "gauge", "", help);
        for (name, metric) in metrics {
            page.sample(family, &[("metric", name)], count(metric) as f64);
        }
    }
}

const fn family_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Ns => "chaos_measure_seconds",
        Unit::Ratio => "chaos_measure_ratio",
        Unit::Count | Unit::Ops => "chaos_measure_number",
    }
}

fn latency(record: &RunRecord, page: &mut Page) {
    let family = "chaos_latency_seconds";
    page.family(
        family,
        "summary",
        "seconds",
        "Latency from the intended start, by kind of operation and phase.",
    );
    for (op, phases) in &record.measurements.latency {
        for (phase, summary) in phases {
            let values = [
                ("0.5", summary.p50),
                ("0.9", summary.p90),
                ("0.99", summary.p99),
                ("0.999", summary.p999),
                ("1.0", summary.max),
            ];
            for (quantile, value) in values {
                let labels = [
                    ("op", op.as_str()),
                    ("phase", phase),
                    ("quantile", quantile),
                ];
                page.sample(family, &labels, Nanos(value).as_secs_f64());
            }
            let labels = [("op", op.as_str()), ("phase", phase.as_str())];
            page.sample(&format!("{family}_count"), &labels, summary.n as f64);
        }
    }
}

/// One of the counts of a metric.
type Count = fn(&Metric) -> usize;

/// As written in the canonical form of the format.
const QUANTILES: [(&str, usize); 4] = [("0.5", 500), ("0.9", 900), ("0.99", 990), ("1.0", 1000)];

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::report::sample;

    fn render(record: &RunRecord) -> String {
        let mut bytes = Vec::new();
        OpenMetrics.write(record, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Name with labels, and value. Refuses what the format does not allow.
    fn parse(text: &str) -> BTreeMap<String, f64> {
        let body = text.strip_suffix("# EOF\n").unwrap();
        let mut samples = BTreeMap::new();
        let (mut family, mut kind) = (String::new(), String::new());
        let mut families = BTreeSet::new();
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let [word, name, rest] = comment.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                    panic!("{line}");
                };
                match word {
                    "TYPE" => {
                        assert!(families.insert(name.to_owned()), "{name} comes twice");
                        (family, kind) = (name.to_owned(), rest.to_owned());
                    }
                    "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                    "HELP" => assert!(!rest.is_empty()),
                    _ => panic!("{line}"),
                }
                assert_eq!(name, family);
                continue;
            }
            let (name, labels, value) = sample_of(line);
            let suffixes: &[&str] = match kind.as_str() {
                "info" => &["_info"],
                "summary" => &["", "_count", "_sum"],
                "gauge" | "stateset" => &[""],
                other => panic!("{other}"),
            };
            let suffix = name.strip_prefix(&family).unwrap();
            assert!(suffixes.contains(&suffix), "{line}");
            if kind == "stateset" {
                assert!(labels.contains_key(&family) && [0.0, 1.0].contains(&value));
            }
            if kind == "summary" {
                assert!(value >= 0.0 && labels.contains_key("quantile") == suffix.is_empty());
            }
            let key = format!("{name}{labels:?}");
            assert!(samples.insert(key, value).is_none(), "{line} comes twice");
        }
        samples
    }

    fn sample_of(line: &str) -> (String, BTreeMap<String, String>, f64) {
        let (name, rest) = line.split_once('{').unwrap();
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut letters = after.char_indices();
            let end = loop {
                match letters.next().unwrap() {
                    (_, '\\') => value.push(match letters.next().unwrap().1 {
                        'n' => '\n',
                        other @ ('\\' | '"') => other,
                        other => panic!("\\{other}"),
                    }),
                    (at, '"') => break at,
                    (_, other) => value.push(other),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        let value = rest.strip_prefix("} ").unwrap();
        (name.to_owned(), labels, value.parse().unwrap())
    }

    #[test]
    fn the_text_is_openmetrics_and_says_what_the_summary_says() {
        let mut record = sample::failed();
        record.checks[0].name = "odd \"name\" \\ of\ntwo lines".to_owned();
        let samples = parse(&render(&record));
        let total: f64 = samples
            .iter()
            .filter(|(key, _)| key.starts_with("chaos_operations{"))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(total, record.history.operations.len() as f64);
        let failed = samples
            .iter()
            .filter(|(key, value)| key.contains("\"chaos_check\": \"fail\"") && **value == 1.0)
            .count();
        let told = record
            .checks
            .iter()
            .filter(|c| c.verdict == Verdict::Fail)
            .count();
        assert_eq!(failed, told);
        let recover = &record.measurements.metrics["recover.first"];
        let worst = recover.samples.iter().copied().fold(0.0, f64::max) / 1e9;
        let found = samples.iter().find(|(key, _)| {
            key.contains("\"metric\": \"recover.first\"") && key.contains("\"quantile\": \"1.0\"")
        });
        assert_eq!(*found.unwrap().1, worst);
    }

    #[test]
    fn an_empty_run_is_openmetrics_as_well() {
        let samples = parse(&render(&sample::empty()));
        assert!(samples.keys().any(|key| key.starts_with("chaos_verdict")));
    }

    #[test]
    fn the_text_of_a_small_run() {
        let mut record = sample::small();
        record.checks.truncate(2);
        record
            .measurements
            .metrics
            .retain(|name, _| ["elect", "availability.write", "goodput.dip"].contains(&&**name));
        record.measurements.latency.retain(|op, _| op == "all");
        insta::assert_snapshot!(render(&record));
    }
}
