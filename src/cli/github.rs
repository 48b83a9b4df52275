//! `--format github`: the environment of GitHub Actions.

use std::io::Write;
use std::path::Path;

use super::failure::{self, Failure};
use super::plans::draw_seed;
use crate::exit::Exit;
use crate::report;
use crate::results::{RunFolder, RunRecord};

/// Prints the report with its annotations, and adds the page to the summary of the job's step.
pub(super) fn print(record: &RunRecord, folder: &RunFolder) -> Result<(), Failure> {
    let plan = folder.read("plan.yaml").unwrap_or_default();
    let token = format!("chaos-{:x}-{:x}", draw_seed(), std::process::id());
    let mut out = Vec::new();
    report::github(record, &String::from_utf8_lossy(&plan), &token, &mut out)
        .map_err(|error| Failure::of(Exit::Bug, &error))?;
    failure::output(&String::from_utf8_lossy(&out));
    if let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()) {
        let page = folder.read("report.md").unwrap_or_default();
        if let Err(reason) = append(Path::new(&path), &page) {
            failure::note(&format!(
                "warning: nothing was added to the step's summary: {reason}\n"
            ));
        }
    }
    Ok(())
}

/// Adds a page to the file, unless it would become too large to be shown.
fn append(path: &Path, page: &[u8]) -> Result<(), String> {
    let written = std::fs::metadata(path).map_or(0, |found| found.len());
    if written + page.len() as u64 + 1 > MOST_BYTES {
        return Err(format!(
            "with it, it would be longer than {MOST_BYTES} bytes"
        ));
    }
    let opened = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    opened
        .and_then(|mut file| file.write_all(&[page, b"\n"].concat()))
        .map_err(|error| error.to_string())
}

/// Where a step's summary is collected.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// What GitHub shows at most of one step.
const MOST_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_added_until_the_summary_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.md");
        let page = vec![b'x'; 400_000];
        append(&path, &page).unwrap();
        append(&path, &page).unwrap();
        let full = append(&path, &page).unwrap_err();
        assert!(full.contains("1048576 bytes"), "{full}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 800_002);
    }
}
