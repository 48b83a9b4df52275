//! The folder of one run: `<root>/<UTC>-<plan>-<4 hex>/`, with `<root>/latest` linking to the
//! newest.
//!
//! Invariants: a folder is never reused; a whole file appears under its name or not at all (it is
//! written beside it and renamed), streams excepted, which grow line by line so that a dying run
//! keeps what it has recorded. Renaming guards against a dying process, not against power loss.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::facts::RunFacts;
use super::utc::Utc;
use crate::history::CodecError;
use crate::id::NodeId;

/// Names of the files in a run's folder.
pub mod names {
    /// What was asked and where it ran: [`RunFacts`](super::RunFacts).
    pub const FACTS: &str = "run.json";
    /// The plan as read.
    pub const PLAN: &str = "plan.yaml";
    /// The plan with all defaults filled in.
    pub const RESOLVED_PLAN: &str = "plan.resolved.yaml";
    /// The client operations, a stream.
    pub const HISTORY: &str = "history.jsonl";
    /// Faults, phases, probes, nodes: a stream.
    pub const EVENTS: &str = "events.jsonl";
    /// Intents of faults, written and synced before each, a stream.
    pub const LEDGER: &str = "ledger.jsonl";
    /// The scene of a violation, a folder: only with `on_violation: freeze`.
    pub const SCENE: &str = "scene";
    /// What the run is compared with: [`Beside`](crate::results::Beside), only if there is something.
    pub const BASELINE: &str = "baseline.json";
    /// What the harness logged, a stream.
    pub const LOG: &str = "chaos.log";
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    root: PathBuf,
    run_id: String,
}

/// What names a new run.
#[derive(Debug, Clone, Copy)]
pub struct RunName<'a> {
    /// When it starts.
    pub utc: Utc,
    /// The plan's name; what does not fit a file name becomes `-`.
    pub plan: &'a str,
    /// Random, to keep runs of one second apart.
    pub salt: u16,
}

/// Why a results folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The root or the run's folder cannot be made.
    #[error("create results folder {path}")]
    Create {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("write {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `latest` cannot be made to point to the run.
    #[error("link {path} to the new run")]
    Link {
        /// The link.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No run goes by that name.
    #[error(
        "find run `{name}`: it is neither a folder with a {} nor a run in {root}",
        names::FACTS
    )]
    NoSuchRun {
        /// What was asked for.
        name: String,
        /// The results root that was searched.
        root: PathBuf,
        /// Runs that are there, newest first, a few.
        newest: Vec<String>,
    },
    /// `run.json` is not what this version reads.
    #[error("understand {path}: {problem}")]
    Facts {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A stream is damaged; the text names file and line.
    #[error("understand {0}")]
    Stream(#[from] CodecError),
}

impl RunFolder {
    /// Makes the folder of a new run below `root` (made too, if need be) and lets `latest` point
    /// to it.
    ///
    /// # Errors
    /// [`FolderError::Create`] naming the path that cannot be made or written,
    /// [`FolderError::Link`] if `latest` exists and is no link.
    pub fn create(root: &Path, name: RunName<'_>) -> Result<Self, FolderError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Create { path, source }
        };
        fs::create_dir_all(root).map_err(at(root))?;
        for attempt in 0..SALTS {
            let salt = name.salt.wrapping_add(attempt);
            let run_id = format!("{}-{}-{salt:04x}", name.utc.compact(), slug(name.plan));
            let path = root.join(&run_id);
            match fs::create_dir(&path) {
                Ok(()) => {
                    let folder = Self {
                        root: root.to_owned(),
                        run_id,
                    };
                    folder.link_latest()?;
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(&path)(error)),
            }
        }
        Err(at(root)(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "every name of this second is taken",
        )))
    }

    /// Finds a run: a path to its folder, its id below `root`, or `latest`.
    ///
    /// # Errors
    /// [`FolderError::NoSuchRun`], with the newest runs that are there.
    pub fn open(root: &Path, name: &str) -> Result<Self, FolderError> {
        for path in [PathBuf::from(name), root.join(name)] {
            if !path.join(names::FACTS).is_file() {
                continue;
            }
            // `latest` is followed, so that the run is known by its own name.
            let real = fs::canonicalize(&path).map_err(|source| FolderError::Read {
                path: path.clone(),
                source,
            })?;
            let run_id = real.file_name().map(|id| id.to_string_lossy().into_owned());
            if let Some(run_id) = run_id {
                let sibling = path.parent().map(|parent| parent.join(&run_id));
                let root = match sibling {
                    Some(sibling) if fs::canonicalize(&sibling).is_ok_and(|s| s == real) => {
                        path.parent().map(Path::to_owned)
                    }
                    _ => real.parent().map(Path::to_owned),
                };
                return Ok(Self {
                    root: root.unwrap_or_default(),
                    run_id,
                });
            }
        }
        let mut newest = runs(root);
        newest.truncate(SUGGESTIONS);
        Err(FolderError::NoSuchRun {
            name: name.to_owned(),
            root: root.to_owned(),
            newest,
        })
    }

    /// Writes a whole file in one step: under its name it is complete or absent.
    ///
    /// # Errors
    /// [`FolderError::Write`] naming the file; then nothing is left of it.
    pub fn write(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<PathBuf, FolderError> {
        let path = self.file(name);
        let draft = self.file(&format!(".{}.draft", name.replace('/', "-")));
        let done = File::create(&draft).and_then(|file| {
            let mut writer = BufWriter::new(file);
            fill(&mut writer)?;
            writer.flush()?;
            fs::rename(&draft, &path)
        });
        if let Err(source) = done {
            // The first error is the one to tell; a draft that stays is only untidy.
            fs::remove_file(&draft).ok();
            return Err(FolderError::Write { path, source });
        }
        Ok(path)
    }

    /// Opens a stream that grows during the run. It must not exist yet.
    ///
    /// # Errors
    /// [`FolderError::Write`] naming the file.
    pub fn stream(&self, name: &str) -> Result<File, FolderError> {
        let path = self.file(name);
        File::options()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| FolderError::Write { path, source })
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn save_facts(&self, facts: &RunFacts) -> Result<(), FolderError> {
        self.write(names::FACTS, |out| {
            serde_json::to_writer_pretty(&mut *out, facts)?;
            out.write_all(b"\n")
        })
        .map(drop)
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// [`FolderError::Read`], or [`FolderError::Facts`] if it is damaged or of another version.
    pub fn facts(&self) -> Result<RunFacts, FolderError> {
        let path = self.file(names::FACTS);
        let bytes = self.read(names::FACTS)?;
        let facts: RunFacts =
            serde_json::from_slice(&bytes).map_err(|error| FolderError::Facts {
                path: path.clone(),
                problem: error.to_string(),
            })?;
        if facts.schema != RunFacts::SCHEMA {
            let problem = format!("schema `{}`, not `{}`", facts.schema, RunFacts::SCHEMA);
            return Err(FolderError::Facts { path, problem });
        }
        Ok(facts)
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`FolderError::Read`] naming the file.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let path = self.file(name);
        fs::read(&path).map_err(|source| FolderError::Read { path, source })
    }

    /// Makes and names the folder of one node: `nodes/n1`.
    ///
    /// # Errors
    /// [`FolderError::Create`] naming the path.
    pub fn node(&self, node: NodeId) -> Result<PathBuf, FolderError> {
        let path = self.path().join("nodes").join(node.to_string());
        fs::create_dir_all(&path).map_err(|source| FolderError::Create {
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// The results root it is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        if self.root.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &self.root
        }
    }

    /// The folder itself, as the user would type it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.run_id)
    }

    /// The path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// `<UTC>-<plan>-<4 hex>`.
    #[must_use]
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Replaces the link in one step: there is no instant without a `latest`.
    fn link_latest(&self) -> Result<(), FolderError> {
        let path = self.root.join(LATEST);
        let draft = self.root.join(format!(".{LATEST}-{}", self.run_id));
        std::os::unix::fs::symlink(&self.run_id, &draft)
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|source| {
                fs::remove_file(&draft).ok();
                FolderError::Link { path, source }
            })
    }
}

/// The ids of all runs below a results root, newest first; none if it cannot be read.
#[must_use]
pub fn runs(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let mut ids: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| entry.path().join(names::FACTS).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids
}

/// A plan's name as a part of a file name.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || character == '_' {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == SLUG_LENGTH {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "plan".to_owned()
    } else {
        slug.to_owned()
    }
}

/// The link to the newest run.
const LATEST: &str = "latest";
/// Names tried when runs start within one second with one salt.
const SALTS: u16 = 16;
/// Runs named when the one asked for is not there.
const SUGGESTIONS: usize = 3;
/// Keeps the whole folder name well below the 255 bytes of a file name.
const SLUG_LENGTH: usize = 48;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::Nanos;
    use crate::results::{Environment, PlanFacts};

    pub(in crate::results) const NAME: RunName<'_> = RunName {
        utc: Utc(1_795_405_512),
        plan: "Kill leader!",
        salt: 0x7f3a,
    };

    pub(in crate::results) fn facts(run_id: &str) -> RunFacts {
        RunFacts {
            schema: RunFacts::SCHEMA.to_owned(),
            run_id: run_id.to_owned(),
            plan: PlanFacts {
                name: "kill-leader".to_owned(),
                about: String::new(),
                path: "plans/kill-leader.yaml".to_owned(),
                system: "zab".to_owned(),
                nodes: 3,
                clients: 16,
                rate: Some(800.0),
                trials: 10,
                seed: u64::MAX,
                probe_every: None,
                probe_deadline: Nanos::from_millis(50),
                timeout: Nanos::from_secs(2),
                bug: None,
            },
            expect: vec!["linearizable".to_owned()],
            environment: Environment::default(),
            reproduce: "chaos run plans/kill-leader.yaml --seed 7".to_owned(),
            ended: Some(Nanos::from_secs(41)),
            interrupted: None,
        }
    }

    #[test]
    fn a_run_is_found_by_its_id_by_its_path_and_as_the_latest() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("made/on/the/way");
        let folder = RunFolder::create(&root, NAME).unwrap();
        assert_eq!(folder.run_id(), "20261123T034512Z-kill-leader-7f3a");
        folder.save_facts(&facts(folder.run_id())).unwrap();
        for name in [folder.run_id(), "latest", folder.path().to_str().unwrap()] {
            let found = RunFolder::open(&root, name).unwrap();
            assert_eq!(found.run_id(), folder.run_id());
            assert_eq!(found.path(), folder.path());
            assert_eq!(found.facts().unwrap(), facts(folder.run_id()));
        }
        assert_eq!(runs(&root), [folder.run_id()]);
    }

    #[test]
    fn two_runs_of_one_second_and_salt_get_two_folders_and_latest_is_the_second() {
        let root = tempfile::tempdir().unwrap();
        let first = RunFolder::create(root.path(), NAME).unwrap();
        let second = RunFolder::create(root.path(), NAME).unwrap();
        assert_ne!(first.path(), second.path());
        let latest = fs::read_link(root.path().join("latest")).unwrap();
        assert_eq!(latest, Path::new(second.run_id()));
    }

    #[test]
    fn an_unusable_root_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a-file");
        fs::write(&file, "").unwrap();
        let error = RunFolder::create(&file, NAME).unwrap_err();
        assert!(error.to_string().contains("a-file"), "{error}");
        fs::create_dir(dir.path().join("latest")).unwrap();
        let error = RunFolder::create(dir.path(), NAME).unwrap_err();
        assert!(matches!(error, FolderError::Link { .. }), "{error}");
    }

    #[test]
    fn a_file_that_fails_half_way_leaves_the_old_one_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), NAME).unwrap();
        folder
            .write("report.md", |out| out.write_all(b"whole"))
            .unwrap();
        let failed = folder.write("report.md", |out| {
            out.write_all(b"ha")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(matches!(failed, Err(FolderError::Write { .. })));
        assert_eq!(folder.read("report.md").unwrap(), b"whole");
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 1, "no draft stays behind");
    }

    #[test]
    fn a_stream_is_opened_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), NAME).unwrap();
        folder
            .stream(names::HISTORY)
            .unwrap()
            .write_all(b"{}\n")
            .unwrap();
        assert!(matches!(
            folder.stream(names::HISTORY),
            Err(FolderError::Write { .. })
        ));
        assert_eq!(folder.read(names::HISTORY).unwrap(), b"{}\n");
    }

    #[test]
    fn an_unknown_run_is_answered_with_the_runs_that_are_there() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), NAME).unwrap();
        folder.save_facts(&facts(folder.run_id())).unwrap();
        match RunFolder::open(root.path(), "yesterday") {
            Err(FolderError::NoSuchRun { newest, .. }) => assert_eq!(newest, [folder.run_id()]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn facts_of_another_version_or_damaged_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), NAME).unwrap();
        let mut other = facts(folder.run_id());
        other.schema = "chaos.run/2".to_owned();
        folder.save_facts(&other).unwrap();
        assert!(
            folder
                .facts()
                .unwrap_err()
                .to_string()
                .contains("chaos.run/2")
        );
        folder
            .write(names::FACTS, |out| out.write_all(b"{\"schema\":"))
            .unwrap();
        assert!(matches!(folder.facts(), Err(FolderError::Facts { .. })));
    }

    #[test]
    fn odd_plan_names_become_file_names() {
        for (name, expected) in [
            ("kill-leader", "kill-leader"),
            ("../../etc/passwd", "etc-passwd"),
            ("a  b//c", "a-b-c"),
            ("…", "plan"),
            ("", "plan"),
        ] {
            assert_eq!(slug(name), expected);
        }
        assert_eq!(slug(&"x".repeat(500)).len(), SLUG_LENGTH);
    }
}
