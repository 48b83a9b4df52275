//! `--format github`: the result as GitHub Actions reads it from a log: an error for each failed
//! check, a warning for each that is unknown, at their lines of the plan.

use std::io::{self, Write};

use crate::check::CheckResult;
use crate::plan::Plan;
use crate::results::RunRecord;
use crate::verdict::Verdict;

use super::{Reporter, Terminal};

/// The report for people and the annotations behind it. `plan` is the plan's text, for the lines;
/// `token` is a word that nobody who wrote a plan or ran as a node could know: between its two
/// mentions nothing in the report is taken for a command.
///
/// # Errors
/// Only those of `out`.
pub fn github(record: &RunRecord, plan: &str, token: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "::stop-commands::{token}")?;
    Terminal { colour: false }.write(record, out)?;
    writeln!(out, "::{token}::")?;
    let lines = Plan::parse(&record.plan.path, plan).map_or_else(
        |_| Vec::new(),
        |(plan, _)| plan.expect.into_iter().map(|e| (e.text, e.line)).collect(),
    );
    for check in &record.checks {
        let command = match check.verdict {
            Verdict::Pass => continue,
            Verdict::Unknown => "warning",
            Verdict::Fail => "error",
        };
        let line = lines.iter().find(|(text, _)| *text == check.name);
        annotation(command, record, check, line.map(|(_, line)| *line), out)?;
    }
    Ok(())
}

/// A failure before there was anything to judge, as an annotation.
#[must_use]
pub fn github_failure(plan: &str, message: &str) -> String {
    format!(
        "::error file={},title={}::{}\n",
        property(plan),
        property("chaos"),
        data(message)
    )
}

fn annotation(
    command: &str,
    record: &RunRecord,
    check: &CheckResult,
    line: Option<usize>,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, "::{command} file={}", property(&record.plan.path))?;
    if let Some(line) = line {
        write!(out, ",line={line}")?;
    }
    let title = format!("{}: {} {}", record.plan.name, check.name, check.verdict);
    let told = [&check.measured, &check.reason];
    let told: Vec<&str> = told
        .into_iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .collect();
    let mut told = told.join("; ");
    if told.is_empty() {
        told = "nothing was measured".to_owned();
    }
    told.push_str(&format!("\n{}", record.reproduce));
    writeln!(out, ",title={}::{}", property(&title), data(&told))
}

/// Text behind the last `::` of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn render(record: &RunRecord, plan: &str) -> String {
        let mut bytes = Vec::new();
        github(record, plan, "t0ken", &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn commands(text: &str) -> Vec<&str> {
        let rest = text.split_once("::t0ken::\n").unwrap().1;
        rest.lines().collect()
    }

    #[test]
    fn a_failed_run_has_an_annotation_for_each_check_that_did_not_pass() {
        let record = sample::failed();
        let name = &record.checks[1].name;
        let plan = format!("version: 1\nname: p\nsteps:\n  - wait: 1s\nexpect:\n  - {name}\n");
        let text = render(&record, &plan);
        let commands = commands(&text);
        let bad = record.checks.iter().filter(|c| c.verdict != Verdict::Pass);
        assert_eq!(commands.len(), bad.count());
        assert!(commands[1].contains(",line=6,title="), "{}", commands[1]);
        insta::assert_snapshot!(commands.join("\n"));
    }

    #[test]
    fn recorded_text_stays_text() {
        let mut record = sample::failed();
        record.plan.path = "a:b,c%.yaml".to_owned();
        record.checks.truncate(1);
        record.checks[0].name = "x::y, 50%\n::error::boo".to_owned();
        record.checks[0].reason = "first\r\n::set-output name=x::y".to_owned();
        let text = render(&record, "");
        let commands = commands(&text);
        assert_eq!(commands.len(), 1, "{text}");
        assert!(
            commands[0].starts_with("::error file=a%3Ab%2Cc%25.yaml,title="),
            "{text}"
        );
        assert!(
            commands[0].contains("x%3A%3Ay%2C 50%25%0A%3A%3Aerror%3A%3Aboo"),
            "{text}"
        );
        assert!(text.starts_with("::stop-commands::t0ken\n"));
    }

    #[test]
    fn a_passed_run_has_none() {
        assert_eq!(commands(&render(&sample::small(), "")), [""; 0]);
    }

    #[test]
    fn a_failure_without_a_result_is_one_line() {
        let text = github_failure("p.yaml", "no port\ncaused by: 100%");
        assert_eq!(
            text,
            "::error file=p.yaml,title=chaos::no port%0Acaused by: 100%25\n"
        );
    }
}
