//! The parts of the page that are words and figures: head, checks, measures, environment.

use crate::check::CheckResult;
use crate::clock::Nanos;
use crate::history::EventKind;
use crate::link::Calibration;
use crate::measure::{HitPhase, HitRole};
use crate::results::RunRecord;
use crate::verdict::Verdict;

use super::svg::{escape, put};
use crate::report::achieved::achieved as achieved_rows;
use crate::report::distribution::{Ending, Ranked};
use crate::report::text::{
    channels, conclusion, counted, coverage as coverage_rows, figure, grouped,
};

/// Verdict, what was run, and the figures that are looked for first.
pub(super) fn head(record: &RunRecord) -> String {
    let plan = &record.plan;
    let rate = plan.rate.map_or_else(
        || "closed loop".to_owned(),
        |rate| format!("{rate:.0} op/s open loop"),
    );
    let facts = [
        format!(
            "{} × {}",
            counted(usize::from(plan.nodes), "node"),
            plan.system
        ),
        counted(plan.clients as usize, "client"),
        rate,
        counted(record.history.operations.len(), "operation"),
        format!("{:.1} s", record.duration.as_secs_f64()),
        format!("seed {}", plan.seed),
        record.environment.started_utc.clone(),
        plan.bug
            .as_ref()
            .map_or_else(String::new, |bug| format!("planted bug {bug}")),
    ];
    let facts: Vec<String> = facts
        .iter()
        .filter(|fact| !fact.is_empty())
        .map(|fact| escape(fact))
        .collect();
    let word = record.verdict.word();
    let mut html = format!(
        "<h1><span class=\"badge {word}\">{}</span> {} <span class=\"dim\">{}</span></h1>\
         <p class=\"dim\">{}</p>",
        word.to_uppercase(),
        escape(&plan.name),
        escape(&record.run_id),
        facts.join(" · ")
    );
    if !plan.about.is_empty() {
        put!(html, "<p>{}</p>", escape(plan.about.trim()));
    }
    html.push_str(&tiles(record));
    html
}

fn tiles(record: &RunRecord) -> String {
    let mut tiles: Vec<(String, String, String)> = Vec::new();
    let wanted = [
        ("first ok after a fault, median", "recover.first"),
        ("detection, median", "detect.first"),
        ("write outage, median", "outage.write"),
    ];
    for (title, name) in wanted {
        let Some(metric) = record.measurements.metrics.get(name) else {
            continue;
        };
        let ranked = Ranked::new(&metric.samples);
        let (Some(p50), Some(max)) = (ranked.at(500), ranked.max()) else {
            continue;
        };
        let mut note = format!("max {}, n = {}", figure(metric.unit, max), ranked.len());
        if metric.censored > 0 {
            note.push_str(&format!(", {} censored", metric.censored));
        }
        if name == "detect.first" {
            let channels = channels(&record.measurements);
            note.push_str(if channels.is_empty() { "" } else { ", " });
            note.push_str(&channels);
        }
        tiles.push((title.to_owned(), figure(metric.unit, p50), note));
    }
    let steady = record
        .measurements
        .latency
        .get("all")
        .and_then(|phases| phases.get("steady"));
    if let Some(steady) = steady.filter(|steady| steady.n > 0) {
        let note = format!("p99 {}, n = {}", Nanos(steady.p99), grouped(steady.n));
        tiles.push((
            "latency without faults, median".to_owned(),
            Nanos(steady.p50).to_string(),
            note,
        ));
    }
    let [ok, fail, info] = record.history.outcomes();
    let endings = record.history.operations.iter().map(Ending::of);
    let differing = endings.filter(|ending| *ending == Ending::Differs).count();
    let mut note = format!(
        "{} failed, {} unknown",
        grouped((fail - differing) as i128),
        grouped(info as i128)
    );
    if differing > 0 {
        note.push_str(&format!(", {} cas differed", grouped(differing as i128)));
    }
    tiles.push(("operations ok".to_owned(), grouped(ok as i128), note));
    let mut html = "<dl class=\"tiles\">".to_owned();
    for (title, value, note) in tiles {
        put!(
            html,
            "<div><dt>{}</dt><dd>{}</dd><dd class=\"dim\">{}</dd></div>",
            escape(&title),
            escape(&value),
            escape(&note)
        );
    }
    html.push_str("</dl>");
    html
}

/// All checks, in the order of the plan.
pub(super) fn checks(record: &RunRecord) -> String {
    let summary = conclusion(record.verdict, &record.checks, record.duration);
    let mut html = format!("<h2>Checks: {}</h2>", escape(&summary));
    if record.checks.is_empty() {
        return html;
    }
    html.push_str(
        "<table class=\"checks\"><thead><tr><th scope=\"col\">check</th><th scope=\"col\">result</th><th scope=\"col\">limit</th><th scope=\"col\">measured</th></tr></thead><tbody>",
    );
    for check in record.checks.iter().take(MAX_ROWS) {
        html.push_str(&check_row(check));
    }
    html.push_str("</tbody></table>");
    let left = record.checks.len().saturating_sub(MAX_ROWS);
    if left > 0 {
        put!(
            html,
            "<p class=\"dim\">… and {left} more in summary.json</p>"
        );
    }
    html
}

fn check_row(check: &CheckResult) -> String {
    let mark = match check.verdict {
        Verdict::Pass => "✓",
        Verdict::Unknown => "?",
        Verdict::Fail => "✗",
    };
    let word = check.verdict.word();
    let limit = if check.limit.is_empty() {
        "–".to_owned()
    } else {
        escape(&cut(&check.limit).replace("<=", "≤").replace(">=", "≥"))
    };
    let mut measured = escape(&cut(&check.measured));
    if !check.reason.is_empty() {
        let gap = if measured.is_empty() { "" } else { "<br>" };
        measured.push_str(&format!(
            "{gap}<span class=\"dim\">{}</span>",
            escape(&cut(&check.reason))
        ));
    }
    format!(
        "<tr><td>{}</td><td class=\"{word}\">{mark} {word}</td><td>{limit}</td><td>{measured}</td></tr>",
        escape(&cut(&check.name))
    )
}

/// What the reader must know before trusting the figures: warnings, missed faults, noise.
pub(super) fn warnings(record: &RunRecord) -> String {
    let mut lines: Vec<String> = Vec::new();
    for event in &record.events {
        let at = event.time.as_secs_f64();
        match &event.kind {
            EventKind::Warning { text } => lines.push(format!("{at:.3} s: {text}")),
            EventKind::FaultMissed { fault, reason } => {
                lines.push(format!("{at:.3} s: {fault} did not land: {reason}"));
            }
            _ => {}
        }
    }
    let noisy = record
        .measurements
        .trials
        .iter()
        .filter(|trial| trial.noisy)
        .count();
    if noisy > 0 {
        lines.push(format!(
            "{} noisy: the harness itself was late, their times are left out",
            counted(noisy, "trial")
        ));
    }
    if lines.is_empty() {
        return String::new();
    }
    let mut html = "<h2>Warnings</h2><ul>".to_owned();
    for line in lines.iter().take(MAX_WARNINGS) {
        put!(html, "<li>{}</li>", escape(&cut(line)));
    }
    let left = lines.len().saturating_sub(MAX_WARNINGS);
    if left > 0 {
        put!(html, "<li>… and {left} more in events.jsonl</li>");
    }
    html.push_str("</ul>");
    html
}

/// Latency by kind and phase.
pub(super) fn latency(record: &RunRecord) -> String {
    let mut html =
        "<div class=\"wide\"><table class=\"half\"><thead><tr><th>operations</th><th>phase</th>"
            .to_owned();
    for name in ["n", "p50", "p90", "p99", "p99.9", "max"] {
        put!(html, "<th class=\"num\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for (op, phases) in &record.measurements.latency {
        let mut named = false;
        for (phase, summary) in phases
            .iter()
            .filter(|(_, summary)| summary.n > 0)
            .take(MAX_ROWS)
        {
            // The kind is named once; the rows below it belong to it.
            let op = if named { "" } else { op };
            named = true;
            put!(
                html,
                "<tr><td><b>{}</b></td><td>{}</td>",
                escape(op),
                escape(phase)
            );
            put!(html, "<td class=\"num\">{}</td>", grouped(summary.n));
            for value in [
                summary.p50,
                summary.p90,
                summary.p99,
                summary.p999,
                summary.max,
            ] {
                put!(html, "<td class=\"num\">{}</td>", Nanos(value));
            }
            html.push_str("</tr>");
        }
    }
    html.push_str("</tbody></table></div>");
    html
}

/// Every metric with its samples' percentiles.
pub(super) fn measures(record: &RunRecord) -> String {
    let mut html = String::new();
    for (name, metric) in &record.measurements.metrics {
        let ranked = Ranked::new(&metric.samples);
        put!(
            html,
            "<tr><td>{}</td><td class=\"num\">{}</td>",
            escape(name),
            grouped(ranked.len() as i128)
        );
        for value in [ranked.at(500), ranked.at(900), ranked.at(990), ranked.max()] {
            let cell = value.map_or_else(|| "–".to_owned(), |value| figure(metric.unit, value));
            put!(html, "<td class=\"num\">{cell}</td>");
        }
        put!(
            html,
            "<td class=\"num\">{}</td><td class=\"num\">{}</td></tr>",
            metric.censored,
            metric.noisy
        );
    }
    if html.is_empty() {
        return html;
    }
    format!(
        "<h2>All measures</h2><div class=\"wide\"><table class=\"tight\"><thead><tr><th>measure</th><th class=\"num\">n</th>\
         <th class=\"num\">p50</th><th class=\"num\">p90</th><th class=\"num\">p99</th>\
         <th class=\"num\">max</th><th class=\"num\">censored</th><th class=\"num\">noisy</th>\
         </tr></thead><tbody>{html}</tbody></table></div>\
         <p class=\"dim\">Percentiles are real samples (nearest rank). A censored sample is at \
         least as long as shown; noisy trials are left out. What was watched and never \
         happened has n = 0.</p>"
    )
}

/// What the faults really did.
pub(super) fn achieved(record: &RunRecord) -> String {
    let kinds = achieved_rows(&record.measurements.trials);
    if kinds.is_empty() {
        return String::new();
    }
    let mut html = String::new();
    for kind in kinds {
        put!(
            html,
            "<tr><td>{}</td><td class=\"num\">{}</td><td>{}</td></tr>",
            escape(&kind.verb),
            kind.faults,
            kind.sentence
        );
    }
    format!(
        "<h2>What the faults did</h2><table><thead><tr><th>fault</th><th class=\"num\">n</th>\
         <th>counted while in force</th></tr></thead><tbody>{html}</tbody></table>\
         <p class=\"dim\">Where faults overlap on a link, each is told all that happened on it.</p>"
    )
}

/// Which faults hit whom, and when.
pub(super) fn coverage(record: &RunRecord) -> String {
    let rows = coverage_rows(&record.measurements.coverage);
    if rows.is_empty() {
        return String::new();
    }
    let mut html = String::new();
    for (verb, cells) in rows {
        put!(html, "<tr><td>{}</td>", escape(&verb));
        for cell in cells {
            put!(html, "<td class=\"num\">{cell}</td>");
        }
        html.push_str("</tr>");
    }
    let roles = HitRole::ALL.map(|role| format!("<th class=\"num\">{}</th>", role.word()));
    let phases = HitPhase::ALL.map(HitPhase::word).join(" / ");
    format!(
        "<h2>Coverage</h2><div class=\"wide\"><table class=\"tight\"><thead><tr><th>fault</th>{}</tr></thead><tbody>{html}</tbody>\
         </table></div><p class=\"dim\">How often each fault landed on a node in this role, while the \
         cluster was {phases}. What is empty was never tried.</p>",
        roles.concat()
    )
}

/// What a delay and a loss did before the load began.
fn tried(found: &Calibration) -> [String; 2] {
    [
        format!("{} for {} asked, each way", found.delay, found.delay_asked),
        format!(
            "{:.1} % of {} for {:.1} % asked",
            found.loss * 100.0,
            grouped(found.sent),
            found.loss_asked * 100.0
        ),
    ]
}

/// Where it ran.
pub(super) fn environment(record: &RunRecord) -> String {
    let place = &record.environment;
    let known = |length: Option<Nanos>| length.map(|l| l.to_string()).unwrap_or_default();
    let [delay, loss] = place.calibration.as_ref().map(tried).unwrap_or_default();
    let mut rows: Vec<(&str, String)> = vec![
        ("chaos", place.chaos.clone()),
        ("build", place.build.clone()),
        ("plan", record.plan.path.clone()),
        (
            "cpu",
            if place.cpus == 0 {
                String::new()
            } else {
                format!("{} × {}", place.cpus, place.cpu)
            },
        ),
        (
            "memory",
            if place.memory == 0 {
                String::new()
            } else {
                gibibytes(place.memory)
            },
        ),
        ("kernel", place.kernel.clone()),
        ("started", place.started_utc.clone()),
        ("harness lag p99", known(place.harness_lag_p99)),
        ("proxy round trip p50", known(place.proxy_rtt_p50)),
        ("delay on trial", delay),
        ("loss on trial", loss),
        ("probes", probes(record)),
    ];
    rows.extend(
        place
            .extra
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    let mut html = "<h2>Environment</h2><table class=\"facts\"><tbody>".to_owned();
    for (name, value) in rows
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .take(MAX_ROWS)
    {
        put!(
            html,
            "<tr><td class=\"key\">{}</td><td>{}</td></tr>",
            escape(&cut(name)),
            escape(&cut(value))
        );
    }
    html.push_str("</tbody></table>");
    html
}

/// The command that repeats the run.
pub(super) fn again(record: &RunRecord) -> String {
    format!(
        "<h2>Again</h2><p><code class=\"command\">{}</code></p><p class=\"dim\">A seed repeats \
         decisions, not the timing of the machine.</p>",
        escape(&record.reproduce)
    )
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn probes(record: &RunRecord) -> String {
    record.plan.probe_every.map_or_else(
        || "none".to_owned(),
        |every| format!("every {every}, bad after {}", record.plan.probe_deadline),
    )
}

/// A recorded text of a length that a page can bear.
fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_TEXT {
        return text.to_owned();
    }
    text.chars().take(MAX_TEXT).chain(['…']).collect()
}

const MAX_ROWS: usize = 200;
const MAX_WARNINGS: usize = 30;
const MAX_TEXT: usize = 600;
