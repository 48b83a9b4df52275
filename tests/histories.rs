//! Histories with known verdicts: every file of `tests/histories` is judged as `expected.tsv` says.
//!
//! The environment variable `CHAOS_HISTORIES` may name a folder of histories that others recorded,
//! with an `expected.tsv` (file, model, `ok` or `illegal`); they are judged as well.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use chaos::check::linearizable::{Budget, Linearizability, check};
use chaos::check::{check_model, evidence_lanes, propose_model};
use chaos::history::decode;
use chaos::history::formats::{self, Decoded, Format};
use chaos::model::Register;
use chaos::verdict::Verdict;

#[test]
fn every_history_gets_its_known_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let expected = fs::read_to_string(folder.join("expected.tsv")).expect("the list of verdicts");
    let mut listed = BTreeSet::new();
    let mut wrong = String::new();
    for line in expected.lines().skip(1) {
        let (file, verdict) = line.split_once('\t').expect("file, tab, verdict");
        listed.insert(file.to_owned());
        let bytes = fs::read(folder.join(file)).expect(file);
        let (_, history) = decode(&bytes, file).expect("a readable history");
        let found = check(&history, &Register::default(), &Budget::without_clock(1));
        if found.verdict.word() != verdict {
            let lanes = found
                .evidence
                .map(|evidence| evidence_lanes(&history, &evidence));
            writeln!(
                wrong,
                "{file}: {} instead of {verdict}\n{}",
                found.verdict,
                lanes.unwrap_or_default()
            )
            .expect("writing to a String cannot fail");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let present: BTreeSet<String> = fs::read_dir(&folder)
        .expect("the folder of histories")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".jsonl"))
        .collect();
    assert_eq!(present, listed, "files and list differ");
}

#[test]
fn every_history_that_others_recorded_gets_its_known_verdict() {
    let Some(folder) = std::env::var_os("CHAOS_HISTORIES") else {
        println!("skipped: CHAOS_HISTORIES names no folder of histories");
        return;
    };
    let folder = Path::new(&folder);
    let expected = fs::read_to_string(folder.join("expected.tsv")).expect("the list of verdicts");
    let mut wrong = String::new();
    for line in expected.lines().skip(1).filter(|line| !line.is_empty()) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [file, _, verdict] = columns.as_slice() else {
            panic!("file, model and verdict, not {line}");
        };
        let bytes = fs::read(folder.join(file)).expect(file);
        let clock = Instant::now();
        let decoded = decoded(&bytes, file);
        let (read_in, clock) = (clock.elapsed(), Instant::now());
        let (model, found) = judged(&decoded);
        println!(
            "{file}: {} as {}, {model}, {} operations, read in {read_in:?}, checked in {:?}",
            found.verdict,
            decoded.format.name(),
            decoded.history.operations.len(),
            clock.elapsed()
        );
        let word = match found.verdict {
            Verdict::Pass => "ok",
            Verdict::Fail => "illegal",
            Verdict::Unknown => "unknown",
        };
        if word != *verdict {
            writeln!(wrong, "{file}: {word} instead of {verdict}").expect("a String takes all");
        }
        let Some(evidence) = found.evidence else {
            continue;
        };
        // What is exported of a violation must still be one, whichever tool reads it.
        let part = decoded.history.part(&evidence.operations);
        for format in [Format::Jsonl, Format::Edn, decoded.format] {
            let bytes = formats::export(&part, &decoded.header, format).expect("a known format");
            let again = judged(&decoded_again(&bytes, format)).1;
            if again.verdict != Verdict::Fail {
                let lanes = evidence_lanes(&decoded.history, &evidence);
                writeln!(
                    wrong,
                    "{file}: its evidence as {} is no violation\n{lanes}",
                    format.name()
                )
                .expect("a String takes all");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn decoded(bytes: &[u8], name: &str) -> Decoded {
    let length = Some(bytes.len() as u64);
    formats::read(&mut &*bytes, length, name, None, false).expect("a readable history")
}

/// What was exported is also seen to be of its format.
fn decoded_again(bytes: &[u8], format: Format) -> Decoded {
    let found = decoded(bytes, "an export");
    assert_eq!(found.format, format);
    found
}

fn judged(decoded: &Decoded) -> (&'static str, Linearizability) {
    let header = decoded.header.model.as_deref();
    let model = propose_model(&decoded.history, header)
        .expect("a model")
        .model;
    let budget = Budget::without_clock(1);
    let found = check_model(model, &decoded.history, &budget).expect("known operations");
    (model.name, found)
}
