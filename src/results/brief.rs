//! The runs below a results root, each by the few figures of its `summary.json` that the list of
//! runs shows.
//!
//! *Brief*: such figures. A run without a readable summary is listed with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use serde::Deserialize;

use super::folder::{FolderError, runs};
use crate::clock::Nanos;
use crate::verdict::Verdict;

/// One run of a list.
#[derive(Debug, Clone)]
pub struct ListedRun {
    /// The name of its folder.
    pub folder: String,
    /// Its figures, or why there are none.
    pub brief: Result<Brief, String>,
}

/// What `summary.json` says, as far as a list shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Brief {
    schema: String,
    /// The worst of its checks.
    pub verdict: Verdict,
    /// The plan's name.
    pub plan: String,
    /// The system under test.
    pub system: String,
    /// The bug planted in it.
    #[serde(default)]
    pub bug: Option<String>,
    /// Its metrics by their names.
    #[serde(default)]
    pub metrics: BTreeMap<String, BriefMetric>,
    /// The exit code of the run.
    #[serde(default)]
    pub exit_code: Option<u8>,
    /// From its origin to its end.
    #[serde(default)]
    pub duration_ns: Option<Nanos>,
    /// One for each fault that was asked for.
    #[serde(default)]
    trials: Vec<BriefTrial>,
    #[serde(default)]
    environment: BriefEnvironment,
}

/// A metric without its samples.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct BriefMetric {
    /// Samples.
    pub n: u64,
    /// Their median.
    pub p50: Option<f64>,
    /// Their 99th percentile.
    pub p99: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct BriefTrial {
    index: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct BriefEnvironment {
    #[serde(default)]
    started_utc: String,
}

impl Brief {
    /// How many faults were asked for.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.trials.len()
    }

    /// In how many trials that was.
    #[must_use]
    pub fn trials(&self) -> usize {
        let own = self.trials.iter().filter_map(|trial| trial.index);
        own.collect::<BTreeSet<_>>().len()
    }

    /// When it began, as its environment says; may be empty.
    #[must_use]
    pub fn started(&self) -> &str {
        &self.environment.started_utc
    }

    fn read(path: &Path) -> Result<Self, String> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err("no summary: still running, or ended before its end".to_owned());
            }
            Err(error) => return Err(format!("summary cannot be read: {error}")),
        };
        let mut text = Vec::new();
        BufReader::new(file)
            .take(LONGEST + 1)
            .read_to_end(&mut text)
            .map_err(|error| format!("summary cannot be read: {error}"))?;
        if text.len() as u64 > LONGEST {
            return Err(format!("summary of more than {} MB", LONGEST / 1_000_000));
        }
        let brief: Self = serde_json::from_slice(&text)
            .map_err(|error| format!("summary cannot be understood: {error}"))?;
        if brief.schema.starts_with("chaos.summary/") {
            Ok(brief)
        } else {
            Err(format!("summary of schema `{}`", brief.schema))
        }
    }
}

/// The newest `most` runs below a results root, newest first, and how many there are in all.
#[must_use]
pub fn list(root: &Path, most: usize) -> (Vec<ListedRun>, usize) {
    let ids = runs(root);
    let all = ids.len();
    let listed = ids.into_iter().take(most).map(|folder| ListedRun {
        brief: Brief::read(&root.join(&folder).join("summary.json")),
        folder,
    });
    (listed.collect(), all)
}

/// Lists the newest `most` runs and lets `fill` write the list to `name` in the results root, in
/// one step. Of several at once, the last one has seen what the others had finished.
///
/// # Errors
/// [`FolderError::Write`] naming the file; then the one before stays.
pub fn write_list(
    root: &Path,
    name: &str,
    most: usize,
    fill: impl FnOnce(&[ListedRun], usize, &mut dyn Write) -> io::Result<()>,
) -> Result<(), FolderError> {
    let path = root.join(name);
    let failed = |source| FolderError::Write {
        path: path.clone(),
        source,
    };
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(root.join(format!(".{name}.lock")))
        .map_err(failed)?;
    let lock =
        Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))?;
    let (runs, all) = list(root, most);
    let draft = root.join(format!(".{name}.draft"));
    let written = File::create(&draft).and_then(|file| {
        let mut writer = BufWriter::new(file);
        fill(&runs, all, &mut writer)?;
        writer.flush()?;
        fs::rename(&draft, &path)
    });
    if written.is_err() {
        // The first error is the one to tell; a draft that stays is only untidy.
        fs::remove_file(&draft).ok();
    }
    drop(lock);
    written.map_err(failed)
}

/// Bytes of a summary: thousands of trials with their samples have a few millions.
const LONGEST: u64 = 64_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::folder::tests::{NAME, facts};
    use crate::results::{RunFolder, RunName, Utc};

    fn run(root: &Path, second: u64, summary: Option<&str>) -> RunFolder {
        let utc = Utc(NAME.utc.0 + second);
        let folder = RunFolder::create(root, RunName { utc, ..NAME }).unwrap();
        folder.save_facts(&facts(folder.run_id())).unwrap();
        if let Some(text) = summary {
            fs::write(folder.file("summary.json"), text).unwrap();
        }
        folder
    }

    const GOOD: &str = r#"{"schema": "chaos.summary/1", "verdict": "pass", "plan": "p",
        "system": "zab", "new": [1], "trials": [{"index": 1}, {"index": 2}],
        "metrics": {"elect": {"unit": "ns", "n": 2, "p50": 5, "p99": 7, "max": 7, "samples": [5, 7]}},
        "environment": {"started_utc": "2026-11-23T03:45:12Z"}}"#;

    #[test]
    fn a_run_is_listed_with_its_figures_or_with_the_reason_why_not() {
        let root = tempfile::tempdir().unwrap();
        run(root.path(), 0, Some(GOOD));
        run(root.path(), 1, None);
        run(root.path(), 2, Some("{\"schema\": \"chaos."));
        run(
            root.path(),
            3,
            Some(&GOOD.replace("chaos.summary/1", "other/1")),
        );
        let (runs, all) = list(root.path(), 10);
        assert_eq!(all, 4);
        let told: Vec<&str> = runs[..3]
            .iter()
            .map(|run| run.brief.as_ref().unwrap_err().as_str())
            .collect();
        assert_eq!(told[0], "summary of schema `other/1`");
        assert!(told[1].starts_with("summary cannot be understood: EOF"));
        assert!(told[2].starts_with("no summary"));
        let brief = runs[3].brief.as_ref().unwrap();
        assert_eq!(
            (brief.faults(), brief.trials(), brief.started()),
            (2, 2, "2026-11-23T03:45:12Z")
        );
        assert_eq!(brief.metrics["elect"].p50, Some(5.0));
    }

    #[test]
    fn only_the_newest_are_read_and_the_others_are_counted() {
        let root = tempfile::tempdir().unwrap();
        for second in 0..5 {
            run(root.path(), second, Some(GOOD));
        }
        let (runs, all) = list(root.path(), 2);
        assert_eq!((runs.len(), all), (2, 5));
        assert!(runs[0].folder > runs[1].folder);
    }

    #[test]
    fn many_writers_at_once_leave_one_whole_list_and_no_draft() {
        let root = tempfile::tempdir().unwrap();
        let write = |second| {
            run(root.path(), second, Some(GOOD));
            write_list(root.path(), "index.html", 100, |runs, all, out| {
                assert_eq!(runs.len(), all);
                writeln!(out, "{all} {}", "x".repeat(100_000))
            })
            .unwrap();
        };
        std::thread::scope(|scope| {
            for second in 0..8 {
                scope.spawn(move || write(second));
            }
        });
        let text = fs::read_to_string(root.path().join("index.html")).unwrap();
        assert_eq!(text, format!("8 {}\n", "x".repeat(100_000)));
        assert!(!root.path().join(".index.html.draft").exists());
    }

    #[test]
    fn a_list_that_cannot_be_written_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("index.html")).unwrap();
        let done = write_list(root.path(), "index.html", 1, |_, _, _| Ok(()));
        assert!(done.unwrap_err().to_string().ends_with("index.html"));
    }
}
