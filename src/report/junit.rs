//! `junit.xml`: one test case per check, for CI systems.
//!
//! A failed check is a failure. An undecided one is an error of type `inconclusive`, not a skip:
//! most CI systems show a skipped test as green.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::check::CheckResult;
use crate::results::RunRecord;
use crate::verdict::Verdict;

use super::Reporter;

/// The checks for CI systems.
#[derive(Debug)]
pub(super) struct Junit;

impl Reporter for Junit {
    fn name(&self) -> &'static str {
        "junit"
    }

    fn file_name(&self) -> &'static str {
        "junit.xml"
    }

    fn write(&self, record: &RunRecord, out: &mut dyn Write) -> io::Result<()> {
        let mut suite = TestSuite::new(record.plan.name.clone());
        suite.set_time(Duration::from(record.duration));
        suite.add_property(("run_id", record.run_id.as_str()));
        suite.add_property(("seed", record.plan.seed.to_string().as_str()));
        suite.add_property(("reproduce", record.reproduce.as_str()));
        suite.add_test_cases(record.checks.iter().map(|check| case(record, check)));
        let mut report = Report::new("chaos");
        report.set_time(Duration::from(record.duration));
        report.add_test_suite(suite);
        report.serialize(out).map_err(io::Error::other)
    }
}

fn case(record: &RunRecord, check: &CheckResult) -> TestCase {
    let status = match check.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => not_passed(NonSuccessKind::Failure, check.class.word(), record, check),
        Verdict::Unknown => not_passed(NonSuccessKind::Error, "inconclusive", record, check),
    };
    let mut case = TestCase::new(check.name.clone(), status);
    case.set_classname(format!("chaos.{}", record.plan.name));
    case.set_time(Duration::ZERO);
    if !check.measured.is_empty() {
        case.set_system_out(format!("measured: {}", check.measured));
    }
    case
}

fn not_passed(
    kind: NonSuccessKind,
    what: &str,
    record: &RunRecord,
    check: &CheckResult,
) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    let message = if check.reason.is_empty() {
        &check.measured
    } else {
        &check.reason
    };
    status.set_type(what);
    status.set_message(message.clone());
    status.set_description(format!(
        "{}\nlimit: {}\nmeasured: {}\nreport: {}/report.html\nagain: {}",
        check.reason, check.limit, check.measured, record.folder, record.reproduce
    ));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn render(record: &RunRecord) -> String {
        let mut bytes = Vec::new();
        Junit.write(record, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn one_test_case_per_check() {
        insta::assert_snapshot!(render(&sample::failed()));
    }

    #[test]
    fn recorded_text_cannot_break_the_document() {
        let mut record = sample::failed();
        record.checks[0].reason = "]]></failure> \u{1b}[31m\u{0} & <b>".to_owned();
        let xml = render(&record);
        assert!(!xml.contains("<b>") && !xml.contains('\u{1b}') && !xml.contains('\u{0}'));
        assert_eq!(xml.matches("</failure>").count(), 2, "one per failed check");
    }
}
