//! Histories with known verdicts: every file of `tests/histories` is judged as `expected.tsv` says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use chaos::check::evidence_lanes;
use chaos::check::linearizable::{Budget, check};
use chaos::history::decode;
use chaos::model::Register;

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
