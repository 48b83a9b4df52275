//! `--picture PATH`: where the picture of a counterexample goes.
//!
//! A picture that cannot be written is a warning, never another verdict.

use std::path::{Path, PathBuf};

use clap::Args;

use super::failure;
use crate::check::Evidence;
use crate::history::History;
use crate::report;
use crate::results::{RunFolder, RunRecord};

/// Where pictures go.
#[derive(Debug, Args)]
pub(super) struct PictureArguments {
    /// Where to draw the counterexample of a history file (`none`: nowhere); of several files the
    /// name of each is added
    #[arg(long, value_name = "PATH", default_value = "counterexample.html")]
    picture: PathBuf,
}

impl PictureArguments {
    /// Draws the counterexample of the history file `name`, which is `alone` or one of several,
    /// and returns where.
    pub(super) fn draw(
        &self,
        name: &Path,
        alone: bool,
        history: &History,
        evidence: &Evidence,
    ) -> Option<PathBuf> {
        if self.picture == Path::new(NONE) {
            return None;
        }
        let path = if alone {
            self.picture.clone()
        } else {
            beside(&self.picture, name)
        };
        let page = report::counterexample_page(history, evidence, &[]);
        match std::fs::write(&path, page) {
            Ok(()) => Some(path),
            Err(error) => {
                warn(&path, &error);
                None
            }
        }
    }
}

/// Writes the views of a violation into the folder of its run, or removes those of an earlier
/// judgement, and returns the picture.
pub(super) fn keep(record: &RunRecord, folder: &RunFolder) -> Option<PathBuf> {
    let mut last = None;
    for reporter in report::COUNTEREXAMPLES {
        let name = reporter.file_name();
        if record.evidence.is_none() {
            // Mostly there is none.
            drop(std::fs::remove_file(folder.file(name)));
            continue;
        }
        last = match folder.write(name, |out| reporter.write(record, out)) {
            Ok(path) => Some(path),
            Err(error) => {
                warn(&folder.file(name), &error);
                None
            }
        };
    }
    last
}

fn warn(path: &Path, error: &dyn std::error::Error) {
    let reason = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    let path = path.display();
    failure::note(&format!("warning: {path} was not written: {reason}\n"));
}

/// `counterexample.html` of `stale.jsonl` among others is `counterexample-stale.html`.
pub(super) fn beside(picture: &Path, history: &Path) -> PathBuf {
    let part =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let own = part(history.file_stem());
    let name = format!("{}-{own}", part(picture.file_stem()));
    match picture.extension() {
        Some(extension) => picture.with_file_name(name).with_extension(extension),
        None => picture.with_file_name(name),
    }
}

/// The word for no picture at all.
const NONE: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_several_histories_have_names_of_their_own() {
        let name = |picture: &str, history: &str| {
            let path = beside(Path::new(picture), Path::new(history));
            path.display().to_string()
        };
        assert_eq!(name("out/c.html", "in/stale.jsonl"), "out/c-stale.html");
        assert_eq!(name("picture", "h.jsonl"), "picture-h");
    }
}
