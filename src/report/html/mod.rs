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
mod index;
mod latency;
mod moment;
mod percentile;
mod roles;
mod svg;
mod table;
mod throughput;

use std::io::{self, Write};

use crate::results::RunRecord;

use super::Reporter;
use super::distribution::Ending;
use band::{Band, bands};
pub use counterexample::counterexample_page;
pub use index::{INDEX, INDEX_RUNS, index};
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
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\
             <title>{}</title>\n<style>\n{STYLE}</style></head>\n<body>\n",
            escape(&title)
        )?;
        let charts = Charts::of(record);
        let sections = sections(record, &charts);
        write!(
            out,
            "<a class=\"skip\" href=\"#main\">Skip to the checks</a>\n<header>{}</header>\n{}\n\
             <main id=\"main\" tabindex=\"-1\">\n",
            table::head(record),
            contents(&sections)
        )?;
        for Section { id, name, html } in &sections {
            writeln!(
                out,
                "<section id=\"to-{id}\" aria-label=\"{name}\">{html}</section>"
            )?;
        }
        write!(
            out,
            "</main>\n<div id=\"tip\" aria-hidden=\"true\" {}></div>\n\
             <script>\n{SCRIPT}</script>\n</body></html>\n",
            moment::data(
                record,
                &charts.points,
                &charts.bands,
                &charts.lanes,
                charts.axis
            )
        )
    }
}

/// What the charts have in common.
struct Charts {
    points: Vec<latency::Point>,
    bands: Vec<Band>,
    lanes: Lanes,
    axis: TimeAxis,
    scale: LogAxis,
}

impl Charts {
    fn of(record: &RunRecord) -> Self {
        let points = latency::points(record);
        let shown = points
            .iter()
            .filter(|point| point.outcome != Ending::Fail || point.took > 0);
        let scale = LogAxis::over(shown.map(|point| point.took), 0.0, 1.0);
        Self {
            bands: bands(&record.events, record.duration),
            lanes: Lanes::of(record),
            axis: TimeAxis::of_run(record.duration),
            points,
            scale,
        }
    }

    fn latency(&self) -> String {
        let chart = latency::chart(&self.points, &self.bands, self.axis, self.scale);
        titled("Latency over time", &latency::legend(), &chart, "")
    }

    fn throughput(&self, record: &RunRecord) -> String {
        let chart = throughput::chart(record, &self.bands, self.axis);
        let figures = moment::figures(&self.points, self.axis);
        titled("Throughput", &throughput::legend(), &chart, &figures)
    }

    fn roles(&self, record: &RunRecord) -> String {
        let chart = roles::chart(record, &self.lanes, &self.bands, self.axis);
        let changes = moment::roles(&self.lanes);
        titled("Node roles", &roles::legend(), &chart, &changes)
    }

    fn percentiles(&self, record: &RunRecord) -> String {
        format!(
            "<div class=\"two\"><div><h2>Latency by percentile</h2>{}</div>\
             <div><h2>Latency by phase</h2>{}</div></div>",
            percentile::chart(record, self.scale),
            table::latency(record)
        )
    }
}

/// A part of the page with a title of its own.
struct Section {
    /// Where links lead to.
    id: &'static str,
    /// What the list of contents calls it.
    name: &'static str,
    /// Empty if there is nothing to tell.
    html: String,
}

/// The page from top to bottom.
fn sections(record: &RunRecord, charts: &Charts) -> Vec<Section> {
    let loaded = !charts.points.is_empty();
    let seen = charts.lanes.len() > 0 && !record.events.is_empty();
    let evidence = record.evidence.as_ref();
    let part = |id, name, html| Section { id, name, html };
    let given = |given: bool, html: &dyn Fn() -> String| if given { html() } else { String::new() };
    let mut page = vec![
        part("checks", "Checks", table::checks(record)),
        part("warnings", "Warnings", table::warnings(record)),
        part("latency", "Latency", given(loaded, &|| charts.latency())),
        part(
            "throughput",
            "Throughput",
            given(loaded, &|| charts.throughput(record)),
        ),
        part("roles", "Roles", given(seen, &|| charts.roles(record))),
        part("anatomy", "Failover", anatomy::section(record)),
        part(
            "close-ups",
            "Close-ups",
            closeup::section(record, &charts.points, &charts.lanes, charts.scale),
        ),
        part(
            "percentiles",
            "Percentiles",
            given(loaded, &|| charts.percentiles(record)),
        ),
        part(
            "counterexample",
            "Counterexample",
            counterexample::section(&record.history, evidence, &record.events),
        ),
        part("baseline", "Baseline", baseline::section(record)),
        part("measures", "Measures", table::measures(record)),
        part("achieved", "Faults", table::achieved(record)),
        part("coverage", "Coverage", table::coverage(record)),
        part("environment", "Environment", table::environment(record)),
        part("again", "Again", table::again(record)),
    ];
    page.retain(|section| !section.html.is_empty());
    page
}

/// Links to the sections.
fn contents(sections: &[Section]) -> String {
    let link = |section: &Section| format!("<a href=\"#to-{}\">{}</a>", section.id, section.name);
    let links: Vec<String> = sections.iter().map(link).collect();
    format!(
        "<nav aria-label=\"Contents\">{}</nav>",
        links.join(" <span aria-hidden=\"true\">·</span> ")
    )
}

fn titled(title: &str, legend: &str, chart: &str, after: &str) -> String {
    format!("<h2>{title}</h2><div class=\"scroll\">{legend}{chart}</div>{after}")
}

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::history::{Event, EventKind, Outcome};
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
        for source in ["src=", "url(", "@import", "http://", "https://"] {
            assert!(!page.contains(source), "{source}");
        }
        for link in page.split("href=").skip(1) {
            let target = link.split('"').nth(1).unwrap();
            let id = target
                .strip_prefix('#')
                .expect("links lead to parts of the page");
            assert!(page.contains(&format!("id=\"{id}\"")), "{target}");
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
