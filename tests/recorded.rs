//! Histories that others recorded, with verdicts that are known.
//!
//! `CHAOS_HISTORIES=FOLDER cargo test --test recorded` judges every file that the folder's
//! `expected.tsv` names (file, model, ok or illegal); without it there is nothing to do. What is
//! exported of a violation has to be one as well.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use chaos::check::Evidence;
use chaos::clock::Nanos;
use chaos::history::formats::{self, Decoded, Format};
use chaos::run::{Measure, judge_history};
use chaos::verdict::Verdict;

fn decoded(input: &mut dyn Read, name: &str) -> Decoded {
    formats::read(input, None, name, None, false).expect(name)
}

fn judged(decoded: &Decoded) -> (Verdict, Option<Evidence>) {
    let (measure, _) = Measure::proposed(&decoded.history, &decoded.header).expect("a model");
    let judged = judge_history(&decoded.history, measure, Nanos::from_secs(600));
    let judged = judged.expect("the model knows its operations");
    (judged.checks[0].verdict, judged.evidence)
}

/// The verdicts of a counterexample that was written in several formats and read again.
fn exported(decoded: &Decoded, evidence: &Evidence) -> Vec<(Format, Verdict)> {
    let part = decoded.history.part(&evidence.operations);
    let formats = [Format::Jsonl, Format::Edn, decoded.format].into_iter();
    let judge = |format| {
        let bytes = formats::export(&part, &decoded.header, format).expect("it can be said");
        let again = self::decoded(&mut bytes.as_slice(), "an export");
        assert_eq!(
            again.format, format,
            "an export is seen to be of its format"
        );
        (format, judged(&again).0)
    };
    formats.map(judge).collect()
}

#[test]
fn recorded_histories_get_the_verdicts_that_are_known() {
    let Some(folder) = std::env::var_os("CHAOS_HISTORIES") else {
        return;
    };
    let folder = Path::new(&folder);
    let list = std::fs::read_to_string(folder.join("expected.tsv")).expect("expected.tsv");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in list.lines().skip(1) {
        let mut columns = line.split('\t');
        let (Some(file), Some(_), Some(expected)) =
            (columns.next(), columns.next(), columns.next())
        else {
            panic!("not three columns: {line}");
        };
        let mut input = File::open(folder.join(file)).expect(file);
        let decoded = decoded(&mut input, file);
        let (verdict, evidence) = judged(&decoded);
        for (format, verdict) in evidence.map_or_else(Vec::new, |e| exported(&decoded, &e)) {
            if verdict != Verdict::Fail {
                let format = format.name();
                wrong.push(format!(
                    "{file}: its counterexample as {format} is {verdict}"
                ));
            }
        }
        let found = match verdict {
            Verdict::Pass => "ok",
            Verdict::Fail => "illegal",
            Verdict::Unknown => "unknown",
        };
        count += 1;
        if found != expected {
            wrong.push(format!("{file}: {found} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty() && count > 0, "{count} files, {wrong:#?}");
    println!("{count} files, all as expected");
}
