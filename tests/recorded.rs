//! Histories that others recorded, with verdicts that are known.
//!
//! `CHAOS_HISTORIES=FOLDER cargo test --test recorded` judges every file that the folder's
//! `expected.tsv` names (file, model, ok or illegal); without it there is nothing to do.

use std::fs::File;
use std::path::Path;

use chaos::clock::Nanos;
use chaos::history::formats;
use chaos::run::{Measure, judge_history};
use chaos::verdict::Verdict;

fn verdict(path: &Path) -> Verdict {
    let name = path.display().to_string();
    let mut file = File::open(path).expect(&name);
    let decoded = formats::read(&mut file, None, &name, None, false);
    let decoded = decoded.expect(&name);
    let (measure, _) = Measure::proposed(&decoded.history, &decoded.header).expect("a model");
    let judged = judge_history(&decoded.history, measure, Nanos::from_secs(600));
    judged.expect("the model knows its operations").checks[0].verdict
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
        let found = match verdict(&folder.join(file)) {
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
