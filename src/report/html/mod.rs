//! `report.html`: the run on one page that needs no network, no script and no style sheet to be
//! read.
//!
//! The charts are static SVG whose marks carry presentation attributes; the style sheet adds dark
//! mode and print, the script a shared cross-hair. A content security policy forbids loading
//! anything. Invariants: every recorded text is escaped; every chart bounds its marks, so that the
//! page stays below 2 MB for a million operations.

mod anatomy;
mod band;
mod baseline;
mod closeup;
mod counterexample;
mod latency;
mod percentile;
mod roles;
mod svg;
mod table;
mod throughput;

use std::io::{self, Write};

use crate::history::Outcome;
use crate::results::RunRecord;

use super::Reporter;
use band::bands;
pub use counterexample::counterexample_page;
use roles::Lanes;
use svg::{LogAxis, TimeAxis, escape};

/// The run as a page.
#[derive(Debug)]
pub(super) struct Page;

impl Reporter for Page {
    fn name(&self) -> &'static str {
        "html"
    }

    fn file_name(&self) -> &'static str {
        "report.html"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let title = format!("{} {}", record.verdict.word().to_uppercase(), record.run_id);
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
             <title>{}</title>\n<style>\n{STYLE}</style></head>\n<body>\n",
            escape(&title)
        )?;
        for section in sections(record) {
            if !section.is_empty() {
                writeln!(out, "{section}")?;
            }
        }
        write!(
            out,
            "<div id=\"tip\"></div>\n<script>\n{SCRIPT}</script>\n</body></html>\n"
        )
    }
}

/// The page from top to bottom.
fn sections(record: &RunRecord) -> Vec<String> {
    let bands = bands(&record.events, record.duration);
    let axis = TimeAxis::of_run(record.duration);
    let points = latency::points(record);
    let shown = points
        .iter()
        .filter(|point| point.outcome != Outcome::Fail || point.took > 0);
    let scale = LogAxis::over(shown.map(|point| point.took), 0.0, 1.0);
    let lanes = Lanes::of(record);
    let mut page = vec![
        table::head(record),
        table::checks(record),
        table::warnings(record),
    ];
    if !points.is_empty() {
        page.push(titled(
            "Latency over time",
            &latency::legend(),
            &latency::chart(&points, &bands, axis, scale),
        ));
        page.push(titled(
            "Throughput",
            &throughput::legend(),
            &throughput::chart(record, &bands, axis),
        ));
    }
    if lanes.len() > 0 && !record.events.is_empty() {
        page.push(titled(
            "Node roles",
            &roles::legend(),
            &roles::chart(record, &lanes, &bands, axis),
        ));
    }
    page.push(anatomy::section(record));
    page.push(closeup::section(record, &points, &lanes, scale));
    if !points.is_empty() {
        page.push(format!(
            "<div class=\"two\"><div><h2>Latency by percentile</h2>{}</div>\
             <div><h2>Latency by phase</h2>{}</div></div>",
            percentile::chart(record, scale),
            table::latency(record)
        ));
    }
    let evidence = record.evidence.as_ref();
    page.push(counterexample::section(
        &record.history,
        evidence,
        &record.events,
    ));
    page.push(baseline::section(record));
    page.push(table::measures(record));
    page.push(table::achieved(record));
    page.push(table::coverage(record));
    page.push(table::environment(record));
    page
}

fn titled(title: &str, legend: &str, chart: &str) -> String {
    format!("<h2>{title}</h2>{legend}{chart}")
}

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::history::{Event, EventKind};
    use crate::report::sample::{self, Shape};

    const LIMIT: usize = 2_000_000;

    fn render(record: &RunRecord) -> String {
        let mut bytes = Vec::new();
        Page.write(record, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_page_has_every_section_in_order() {
        let page = render(&sample::failed());
        let mut from = 0;
        for title in [
            "Checks:",
            "Latency over time",
            "Throughput",
            "Node roles",
            "Failover anatomy",
            "Close-ups",
            "Latency by percentile",
            "Counterexample:",
            "All measures",
            "Coverage",
            "Environment",
            "Again",
        ] {
            let found = page[from..].find(&format!("<h2>{title}"));
            from += found.unwrap_or_else(|| panic!("{title} is missing or out of order"));
        }
    }

    #[test]
    fn the_page_of_a_quarter_of_a_million_operations_is_small() {
        let shape = Shape {
            trials: 10,
            operations: 240_000,
            pause: true,
            trial: Nanos::from_secs(12),
        };
        let size = render(&sample::run(shape)).len();
        assert!(size < LIMIT / 2, "{size}");
    }

    #[test]
    fn the_page_of_a_million_operations_and_a_thousand_faults_keeps_its_limit() {
        let shape = Shape {
            trials: 1000,
            operations: 1_000_000,
            pause: true,
            trial: Nanos::from_secs(4),
        };
        let mut record = sample::run(shape);
        for (at, operation) in record.history.operations.iter_mut().enumerate() {
            if at % 7 == 0 {
                operation.outcome = Outcome::Fail;
            } else if at % 11 == 0 {
                operation.outcome = Outcome::Info;
            }
        }
        let size = render(&record).len();
        assert!(size < LIMIT, "{size}");
    }

    #[test]
    fn a_run_with_a_baseline_shows_both_sides() {
        let mut record = sample::small();
        assert!(!render(&record).contains("Beside the baseline"));
        let mut compared = sample::compared();
        compared.from = Some("results/<b>.json".to_owned());
        record.compared = Some(compared);
        let page = render(&record);
        assert!(page.contains("<h2>Beside the baseline</h2>"));
        assert!(page.contains("results/&lt;b&gt;.json"));
        assert!(page.contains("▲ worse") && page.contains("beside-elect"));
    }

    #[test]
    fn nothing_recorded_becomes_markup() {
        let evil = "<script>alert(1)</script>\"'&".to_owned();
        let mut record = sample::failed();
        record.run_id.clone_from(&evil);
        record.plan.name.clone_from(&evil);
        record.plan.about.clone_from(&evil);
        record.reproduce.clone_from(&evil);
        record.environment.extra.insert(evil.clone(), evil.clone());
        record.history.keys[1].clone_from(&evil);
        record.checks[0].reason.clone_from(&evil);
        record.measurements.trials[0].label.clone_from(&evil);
        record.measurements.trials[0].verb.clone_from(&evil);
        let time = Nanos::ZERO;
        record.events.push(Event {
            time,
            kind: EventKind::Warning { text: evil.clone() },
        });
        for event in &mut record.events {
            if let EventKind::FaultAsked(asked) = &mut event.kind {
                asked.label.clone_from(&evil);
            }
        }
        if let Some(evidence) = &mut record.evidence {
            evidence.key.clone_from(&evil);
            evidence.sentence.clone_from(&evil);
        }
        let page = render(&record);
        assert_eq!(page.matches("<script>").count(), 1, "only our own");
        assert!(!page.contains("\"'&"));
        assert!(page.contains("&lt;script&gt;alert(1)"));
    }

    #[test]
    fn the_page_loads_nothing_and_says_so() {
        let page = render(&sample::small());
        assert!(page.contains("default-src 'none'"));
        for source in ["src=", "href=", "url(", "@import", "http://", "https://"] {
            assert!(!page.contains(source), "{source}");
        }
    }

    /// `CHAOS_VIEWS=FOLDER cargo test --lib every_view_of_many_kinds` keeps them to be looked at.
    #[test]
    fn every_view_of_many_kinds_of_runs_is_written() {
        let vanishing = tempfile::tempdir().unwrap();
        let kept = std::env::var("CHAOS_VIEWS");
        let folder = kept.map_or_else(|_| vanishing.path().to_owned(), std::path::PathBuf::from);
        let shape = |trials, operations, pause, secs| Shape {
            trials,
            operations,
            pause,
            trial: Nanos::from_secs(secs),
        };
        let mut isolated = sample::run(shape(6, 30_000, true, 8));
        sample::isolate(&mut isolated);
        let runs = [
            ("isolate", isolated),
            ("kill", sample::run(shape(10, 32_000, false, 4))),
            ("pause", sample::run(shape(6, 60_000, true, 8))),
            ("many", sample::run(shape(200, 100_000, true, 4))),
            ("failed", sample::failed()),
            ("empty", sample::empty()),
        ];
        for (name, record) in runs {
            for reporter in crate::report::REPORTERS {
                let path = folder.join(format!("{name}-{}", reporter.file_name()));
                let mut file = std::fs::File::create(&path).unwrap();
                reporter.write(&record, &mut file).unwrap();
                assert!(file.metadata().unwrap().len() > 0, "{}", path.display());
            }
        }
    }
}
