//! `index.html` of a results root: all runs, and how their main figures went from run to run.
//!
//! *Trend*: one figure over the runs of one plan on one system, the oldest left.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::clock::Nanos;
use crate::results::{Brief, ListedRun};
use crate::verdict::Verdict;

use super::STYLE;
use super::svg::{Anchor, Px, Svg, escape, ink, put};
use crate::report::text::{counted, grouped};

/// Its name in the results root.
pub const INDEX: &str = "index.html";
/// The newest runs are listed, this many of them.
pub const INDEX_RUNS: usize = 500;

/// Writes the list of `runs`, newest first; there are `all` in the folder.
///
/// # Errors
/// Only those of `out`.
pub fn index(runs: &[ListedRun], all: usize, out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\
         <title>Runs of chaos</title>\n<style>\n{STYLE}{OWN_STYLE}</style></head>\n<body>\n\
         <a class=\"skip\" href=\"#runs\">Skip to the runs</a>\n<header><h1>Runs</h1>{}</header>\n\
         <main>\n{}\n{}\n</main>\n<div id=\"tip\" aria-hidden=\"true\"></div>\n\
         <script>\n{}</script>\n<script>\n{OWN_SCRIPT}</script>\n</body></html>\n",
        super::POLICY,
        head(runs, all),
        trends(runs),
        table(runs),
        super::SCRIPT,
    )
}

/// How many of each verdict, and what is left out.
fn head(runs: &[ListedRun], all: usize) -> String {
    let of = |verdict| {
        let briefs = runs.iter().filter_map(|run| run.brief.as_ref().ok());
        briefs.filter(|brief| brief.verdict == verdict).count()
    };
    let unread = runs.iter().filter(|run| run.brief.is_err()).count();
    let mut words = vec![counted(all, "run")];
    for verdict in [Verdict::Pass, Verdict::Fail, Verdict::Unknown] {
        words.push(format!(
            "{} {}",
            grouped(of(verdict) as i128),
            verdict.word()
        ));
    }
    if unread > 0 {
        words.push(format!("{} without a summary", grouped(unread as i128)));
    }
    let left = all.saturating_sub(runs.len());
    let mut html = format!("<p class=\"dim\">{}</p>", words.join(" · "));
    if left > 0 {
        put!(
            html,
            "<p class=\"dim\">The newest {} are shown; {} older ones are in the folder.</p>",
            grouped(runs.len() as i128),
            grouped(left as i128)
        );
    }
    html
}

/// The trends of every plan that ran more than once, the one that ran last first.
fn trends(runs: &[ListedRun]) -> String {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for run in runs {
        let Ok(brief) = &run.brief else { continue };
        // A planted bug makes another system of it.
        if brief.bug.is_some() {
            continue;
        }
        let key = (brief.plan.as_str(), brief.system.as_str());
        let place = *places.entry(key).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push((&run.folder, brief));
    }
    groups.retain(|(_, runs)| runs.len() > 1);
    if groups.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<section aria-label=\"Trends\"><h2>Trends</h2><p class=\"dim\">The last {MAX_POINTS} runs of \
         each plan, the newest at the right; runs with a planted bug are left out.</p>{}\
         <div class=\"trends\">",
        legend()
    );
    for (at, ((plan, system), runs)) in groups.iter().take(MAX_GROUPS).enumerate() {
        put!(
            html,
            "<article data-plan=\"{plan}\"><h3><span>{plan}</span> <b>{} · {}</b></h3>",
            escape(system),
            counted(runs.len(), "run"),
            plan = escape(plan)
        );
        for (number, (name, metric, percentile)) in TRENDS.into_iter().enumerate() {
            let points: Vec<(&str, &Brief, f64)> = runs
                .iter()
                .take(MAX_POINTS)
                .rev()
                .filter_map(|(folder, brief)| {
                    Some((*folder, *brief, figure(brief, metric, percentile)?))
                })
                .collect();
            html.push_str(&spark(&format!("trend-{at}-{number}"), name, &points));
        }
        html.push_str("</article>");
    }
    html.push_str("</div>");
    let left = groups.len().saturating_sub(MAX_GROUPS);
    if left > 0 {
        put!(html, "<p class=\"dim\">… and {left} more plans.</p>");
    }
    html.push_str("</section>");
    html
}

/// The runs of one plan on one system, newest first, by their folders.
type Group<'a> = ((&'a str, &'a str), Vec<(&'a str, &'a Brief)>);

fn legend() -> String {
    let mut svg = Svg::new(220.0, 14.0);
    let mut x = 6.0;
    for verdict in [Verdict::Pass, Verdict::Fail, Verdict::Unknown] {
        point(&mut svg, verdict, x, 7.0);
        svg.text(x + 9.0, 11.0, Anchor::Start, ink::TICK, verdict.word());
        x += 62.0;
    }
    svg.finish("trends-marks", "Legend", "Shapes of the verdicts")
}

/// One trend: its name, the newest value, the points.
fn spark(id: &str, name: &str, points: &[(&str, &Brief, f64)]) -> String {
    let Some((_, _, newest)) = points.last() else {
        return String::new();
    };
    let most = points
        .iter()
        .map(|(_, _, value)| *value)
        .fold(0.0, f64::max);
    let least = points
        .iter()
        .map(|(_, _, value)| *value)
        .fold(most, f64::min);
    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.text(0.0, 12.0, Anchor::Start, ink::TICK, name);
    svg.text(WIDTH, 12.0, Anchor::End, ink::LABEL, &time(*newest));
    let y = |value: f64| BOTTOM - value / most.max(1.0) * (BOTTOM - TOP);
    svg.path(&format!("M0 {}H{}", Px(BOTTOM), Px(WIDTH)), ink::GRID);
    let step = (RIGHT - LEFT) / points.len().saturating_sub(1).max(1) as f64;
    let x = |at: usize| RIGHT - (points.len() - 1 - at) as f64 * step;
    let mut line = String::new();
    for (at, (_, _, value)) in points.iter().enumerate() {
        let pen = if at == 0 { 'M' } else { 'L' };
        put!(line, "{pen}{} {}", Px(x(at)), Px(y(*value)));
    }
    svg.path(&line, LINE);
    for (at, (folder, brief, value)) in points.iter().enumerate() {
        let (verdict, value) = (brief.verdict, *value);
        svg.begin(&format!("{} {}\n{folder}", time(value), verdict.word()));
        point(&mut svg, verdict, x(at), y(value));
        svg.end();
    }
    let described = format!(
        "{} from {} to {}; the newest is {}.",
        counted(points.len(), "run"),
        time(least),
        time(most),
        time(*newest)
    );
    svg.finish(id, name, &described)
}

/// A run in a trend: the verdict by its shape and its colour.
fn point(svg: &mut Svg, verdict: Verdict, x: f64, y: f64) {
    let (px, py) = (Px(x), Px(y));
    match verdict {
        Verdict::Pass => put!(
            svg.body,
            r##"<circle cx="{px}" cy="{py}" r="3" class="mf" fill="#35a35a"/>"##
        ),
        Verdict::Fail => {
            let path = format!("M{} {}l6.4 6.4m0 -6.4l-6.4 6.4", Px(x - 3.2), Px(y - 3.2));
            svg.path(&path, r##"class="no" fill="none" stroke="#cf222e" stroke-width="2.4" stroke-linecap="round""##);
        }
        Verdict::Unknown => {
            let path = format!("M{px} {}l4.2 7.4h-8.4z", Px(y - 4.6));
            svg.path(&path, r##"class="fi" fill="#e0a015""##);
        }
    }
}

fn table(runs: &[ListedRun]) -> String {
    let mut html = "<section id=\"runs\" aria-label=\"Runs\"><h2>All runs</h2><div id=\"filter\"></div>\
                    <div class=\"wide\"><table class=\"tight runs\"><thead><tr><th scope=\"col\">verdict</th>\
                    <th scope=\"col\">run</th><th scope=\"col\">plan</th><th scope=\"col\">system</th>\
                    <th class=\"num\" scope=\"col\">faults</th>"
        .to_owned();
    for (name, ..) in FIGURES {
        put!(html, "<th class=\"num\" scope=\"col\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for run in runs {
        match &run.brief {
            Ok(brief) => html.push_str(&row(&run.folder, brief)),
            Err(reason) => {
                let reason: Vec<char> = reason.chars().take(MAX_REASON).collect();
                put!(
                    html,
                    "<tr data-plan=\"\" data-verdict=\"none\"><td class=\"dim\">– none</td>\
                     <td><a href=\"{}/\">{}</a></td><td colspan=\"2\" class=\"dim\">{}</td>\
                     <td colspan=\"{}\"></td></tr>",
                    address(&run.folder),
                    escape(&run.folder),
                    escape(&String::from_iter(reason)),
                    FIGURES.len() + 1
                );
            }
        }
    }
    html.push_str("</tbody></table></div></section>");
    html
}

fn row(folder: &str, brief: &Brief) -> String {
    let word = brief.verdict.word();
    let mark = match brief.verdict {
        Verdict::Pass => "✓",
        Verdict::Unknown => "?",
        Verdict::Fail => "✗",
    };
    let bug = brief.bug.as_ref().map_or_else(String::new, |bug| {
        format!(" <span class=\"dim\">bug {}</span>", escape(bug))
    });
    let mut html = format!(
        "<tr data-plan=\"{plan}\" data-verdict=\"{word}\"><td class=\"{word}\">{mark} {word}</td>\
         <td><a href=\"{}/report.html\">{}</a></td><td>{plan}{bug}</td><td>{}</td>\
         <td class=\"num\">{}</td>",
        address(folder),
        escape(&when(folder, brief)),
        escape(&brief.system),
        grouped(brief.faults() as i128),
        plan = escape(&brief.plan),
    );
    for (_, metric, percentile) in FIGURES {
        let value = figure(brief, metric, percentile);
        let value = value.map_or_else(|| "–".to_owned(), time);
        put!(html, "<td class=\"num\">{value}</td>");
    }
    html.push_str("</tr>");
    html
}

/// When a run began, for people: `2026-11-23 03:45:12`; else the name of its folder.
fn when(folder: &str, brief: &Brief) -> String {
    let started = brief.started().trim_end_matches('Z').replace('T', " ");
    if started.is_empty() {
        folder.to_owned()
    } else {
        started
    }
}

fn figure(brief: &Brief, metric: &str, percentile: Percentile) -> Option<f64> {
    let metric = brief.metrics.get(metric).filter(|metric| metric.n > 0)?;
    match percentile {
        Percentile::P50 => metric.p50,
        Percentile::P99 => metric.p99,
        Percentile::Max => metric.max,
    }
}

fn time(ns: f64) -> String {
    Nanos(ns.max(0.0).round() as u64).to_string()
}

/// A folder's name as a part of a relative address: nothing in it has a meaning of its own.
fn address(folder: &str) -> String {
    let mut address = String::new();
    for byte in folder.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            put!(address, "%{byte:02X}");
        }
    }
    address
}

#[derive(Debug, Clone, Copy)]
enum Percentile {
    P50,
    P99,
    Max,
}

const FIGURES: [(&str, &str, Percentile); 4] = [
    ("first ok p50", "recover.first", Percentile::P50),
    ("first ok p99", "recover.first", Percentile::P99),
    ("write outage max", "outage.write", Percentile::Max),
    ("detect p50", "detect.first", Percentile::P50),
];
const TRENDS: [(&str, &str, Percentile); 3] = [
    ("first ok p99", "recover.first", Percentile::P99),
    ("write outage max", "outage.write", Percentile::Max),
    ("detect p50", "detect.first", Percentile::P50),
];
const LINE: &str = r##"class="all" fill="none" stroke="#0b5cad" stroke-width="1.2" stroke-opacity=".6" stroke-linejoin="round""##;
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 66.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 60.0;
const LEFT: f64 = 6.0;
const RIGHT: f64 = WIDTH - 6.0;
/// Runs of one trend.
const MAX_POINTS: usize = 40;
/// Plans with trends: with their marks below a megabyte.
const MAX_GROUPS: usize = 24;
const MAX_REASON: usize = 120;
const OWN_STYLE: &str = include_str!("index.css");
const OWN_SCRIPT: &str = include_str!("index.js");

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(verdict: &str, plan: &str, value: u64) -> Brief {
        let text = format!(
            r#"{{"schema": "chaos.summary/1", "verdict": "{verdict}", "plan": "{plan}",
               "system": "zab", "trials": [{{}}],
               "metrics": {{"recover.first": {{"n": 1, "p50": {value}, "p99": {value}, "max": {value}}}}},
               "environment": {{"started_utc": "2026-11-23T03:45:12Z"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn run(at: usize, brief: Result<Brief, String>) -> ListedRun {
        let folder = format!("20261123T0345{at:04}Z-run");
        ListedRun { folder, brief }
    }

    fn render(runs: &[ListedRun], all: usize) -> String {
        let mut bytes = Vec::new();
        index(runs, all, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// The words of a page, a line for each row or chart.
    fn words(page: &str) -> String {
        let body = page.split("<header>").nth(1).unwrap();
        let body = body.split("<div id=\"tip\"").next().unwrap();
        let broken = ["</tr>", "</svg>", "</p>", "</h1>", "</h2>", "</h3>"]
            .iter()
            .fold(body.to_owned(), |text, end| text.replace(end, "\n"));
        let mut words = String::new();
        let mut inside = false;
        for character in broken.replace("</", " </").chars() {
            match character {
                '<' => inside = true,
                '>' => inside = false,
                other if !inside => words.push(other),
                _ => {}
            }
        }
        let lines = words.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ")
        });
        let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        lines.join("\n")
    }

    #[test]
    fn what_a_page_of_four_runs_says() {
        let runs = [
            run(4, Ok(brief("fail", "kill-leader", 240_000_000))),
            run(3, Err("no summary: still running".to_owned())),
            run(2, Ok(brief("unknown", "pause-leader", 52_000_000))),
            run(1, Ok(brief("pass", "kill-leader", 25_400_000))),
        ];
        insta::assert_snapshot!(words(&render(&runs, 4)));
    }

    #[test]
    fn verdicts_have_shapes_of_their_own() {
        let drawn = |verdict| {
            let mut svg = Svg::new(10.0, 10.0);
            point(&mut svg, verdict, 5.0, 5.0);
            svg.body
        };
        assert!(drawn(Verdict::Pass).starts_with("<circle"));
        assert!(drawn(Verdict::Fail).contains("l6.4 6.4m0"));
        assert!(drawn(Verdict::Unknown).contains("h-8.4z"));
    }

    #[test]
    fn a_full_page_keeps_its_limit_and_says_what_is_left_out() {
        let runs: Vec<ListedRun> = (0..INDEX_RUNS)
            .map(|at| {
                run(
                    at,
                    Ok(brief(
                        "pass",
                        &format!("plan-{}", at % 30),
                        at as u64 * 1000,
                    )),
                )
            })
            .collect();
        let page = render(&runs, 1700);
        assert!(page.len() < 2_000_000, "{}", page.len());
        assert!(page.contains("The newest 500 are shown; 1,200 older ones are in the folder."));
        assert!(page.contains("and 6 more plans"));
    }

    #[test]
    fn nothing_recorded_becomes_markup_or_leads_elsewhere() {
        let mut evil = brief("pass", "p", 1);
        evil.plan = "<script>alert(1)</script>\"".to_owned();
        evil.bug = Some("<b>".to_owned());
        let folder = "javascript:alert(1)//<script>\"".to_owned();
        let runs = [
            ListedRun {
                folder: folder.clone(),
                brief: Ok(evil.clone()),
            },
            ListedRun {
                folder: folder.clone(),
                brief: Ok(evil),
            },
            ListedRun {
                folder,
                brief: Err("<script>".to_owned()),
            },
        ];
        let page = render(&runs, 3);
        assert_eq!(page.matches("<script>").count(), 2, "only our own");
        assert!(
            page.contains("href=\"javascript%3Aalert%281%29%2F%2F%3Cscript%3E%22/report.html\"")
        );
        for source in ["src=", "url(", "@import", "http://", "https://"] {
            assert!(!page.contains(source), "{source}");
        }
    }

    #[test]
    fn a_folder_without_runs_has_a_page_too() {
        let page = render(&[], 0);
        assert!(page.contains("0 runs · 0 pass"));
        assert!(!page.contains("<h2>Trends"));
    }
}
