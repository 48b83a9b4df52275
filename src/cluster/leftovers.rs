//! What a run that was killed may have left, and how it is removed.
//!
//! Every process of a run, whoever started it, carries the run's *mark* in its environment: the
//! run's name and the harness that it belongs to. A process whose harness is gone is a leftover. In
//! ordinary life there is none: the reaper, or the kernel for it, kills them all. Namespaces and
//! mounts vanish with the last process in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::effect::Effect;
use super::journal::{Entry, FaultState, Journal};
use crate::clock::Nanos;
use crate::id::FaultId;

/// The variable that holds the mark.
const MARK: &str = "CHAOS_RUN";

/// How long a killed process may take to vanish.
const WITHIN: Duration = Duration::from_secs(5);

/// A process of a run whose harness is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its process id.
    pub pid: u32,
    /// What it runs.
    pub name: String,
    /// The run that it belonged to.
    pub run: String,
}

/// A run that ended while faults were in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Unhealed {
    /// The run's folder.
    pub folder: PathBuf,
    /// What was in force.
    pub faults: Vec<(FaultId, Vec<Effect>)>,
}

/// The mark of a run of this process.
pub(super) fn mark(run: &str) -> (&'static str, String) {
    let pid = std::process::id();
    let start = started_at(pid).unwrap_or(0);
    (MARK, format!("{run} {pid} {start}"))
}

/// The leftovers of this user; root sees those of all.
#[must_use]
pub fn leftovers() -> Vec<Leftover> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<Leftover> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(leftover)
        .collect();
    found.sort_unstable_by_key(|leftover| leftover.pid);
    found
}

/// Kills leftovers until there are none; those that were killed.
///
/// # Errors
/// If one does not die.
pub fn remove_leftovers() -> io::Result<Vec<Leftover>> {
    let mut removed = Vec::new();
    loop {
        let found = leftovers();
        if found.is_empty() {
            return Ok(removed);
        }
        for one in found {
            kill(&one)?;
            removed.push(one);
        }
    }
}

fn kill(leftover: &Leftover) -> io::Result<()> {
    let raw = Pid::from_raw(leftover.pid.cast_signed());
    let Some(pidfd) = raw.and_then(|raw| pidfd_open(raw, PidfdFlags::empty()).ok()) else {
        return Ok(());
    };
    // Only if its number is still its own.
    if self::leftover(leftover.pid).as_ref() != Some(leftover) {
        return Ok(());
    }
    if pidfd_send_signal(&pidfd, Signal::KILL).is_err() {
        return Ok(());
    }
    let limit = Timespec::try_from(WITHIN).map_err(io::Error::other)?;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    if poll(&mut fds, Some(&limit))? == 0 {
        let Leftover { pid, name, .. } = leftover;
        let message = format!("process {pid} ({name}) does not die");
        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
    }
    Ok(())
}

/// What this process is, if it is a leftover.
fn leftover(pid: u32) -> Option<Leftover> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let run = orphan_of(&environ, |harness, start| {
        started_at(harness) == Some(start)
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let name = name.trim().to_owned();
    Some(Leftover { pid, name, run })
}

/// The run whose mark is in this environment, unless its harness `lives`.
fn orphan_of(environ: &[u8], lives: impl Fn(u32, u64) -> bool) -> Option<String> {
    let mut variables = environ.split(|byte| *byte == 0);
    let mark = variables.find_map(|variable| {
        let text = std::str::from_utf8(variable).ok()?;
        text.strip_prefix(MARK)?.strip_prefix('=')
    })?;
    let mut words = mark.rsplitn(3, ' ');
    let start = words.next()?.parse().ok()?;
    let harness = words.next()?.parse().ok()?;
    let run = words.next()?.to_owned();
    (!lives(harness, start)).then_some(run)
}

/// When a process was started, in the kernel's ticks since boot: with its number, this is a name
/// that nobody else ever gets.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    // A zombie's number is its own still, but it does nothing any more.
    if fields.next() == Some("Z") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The runs below this results root that ended while faults were in force, whose effects are gone
/// with their processes. They count as healed from now on, and what their disks had set aside is
/// removed.
///
/// # Errors
/// If a folder or a ledger cannot be read or written.
pub fn settle_ledgers(root: &Path) -> io::Result<Vec<Unhealed>> {
    let mut settled = Vec::new();
    let Ok(entries) = fs::read_dir(root) else {
        return Ok(settled);
    };
    for entry in entries {
        let folder = entry?.path();
        let ledger = folder.join("ledger.jsonl");
        // `latest` is another name of one of them.
        if folder.is_symlink() || !ledger.is_file() {
            continue;
        }
        let unhealed = Journal::unhealed(&fs::read_to_string(&ledger)?)?;
        if unhealed.is_empty() || is_going_on(&folder) {
            continue;
        }
        let mut journal = Journal::append(&ledger)?;
        for fault in unhealed.keys() {
            journal.write(&Entry {
                time: Nanos::ZERO,
                fault: *fault,
                state: FaultState::Healed,
                effects: Vec::new(),
            })?;
        }
        remove_attics(&folder)?;
        settled.push(Unhealed {
            folder,
            faults: unhealed.into_iter().collect(),
        });
    }
    settled.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(settled)
}

/// Whether a process works on this run: its harness holds its streams open.
fn is_going_on(folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else {
        return false;
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return false;
    };
    entries.flatten().any(|process| {
        let files = fs::read_dir(process.path().join("fd"));
        files.into_iter().flatten().flatten().any(|file| {
            let target = fs::read_link(file.path());
            target.is_ok_and(|target| target.starts_with(&folder))
        })
    })
}

fn remove_attics(folder: &Path) -> io::Result<()> {
    let Ok(nodes) = fs::read_dir(folder.join("nodes")) else {
        return Ok(());
    };
    for node in nodes {
        for entry in fs::read_dir(node?.path()).into_iter().flatten() {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "attic") {
                fs::remove_dir_all(path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_whose_harness_is_gone_is_a_leftover() {
        let environ = b"PATH=/bin\0CHAOS_RUN=a run 17 99\0HOME=/\0";
        let lives = |pid, start| (pid, start) == (17, 99);
        assert_eq!(orphan_of(environ, lives), None);
        assert_eq!(orphan_of(environ, |_, _| false).unwrap(), "a run");
        // Another process has the harness's number now.
        let other = |pid, start| (pid, start) == (17, 98);
        assert_eq!(orphan_of(environ, other).unwrap(), "a run");
        for none in [
            &b""[..],
            b"CHAOS_RUN=\0",
            b"CHAOS_RUN=x y z\0",
            b"XCHAOS_RUN=a 1 2\0",
        ] {
            assert_eq!(orphan_of(none, |_, _| false), None);
        }
    }

    #[test]
    fn this_process_is_marked_by_a_start_that_can_be_read_again() {
        let (_, mark) = mark("run");
        let environ = format!("CHAOS_RUN={mark}\0");
        let lives = |pid, start| started_at(pid) == Some(start);
        assert_eq!(orphan_of(environ.as_bytes(), lives), None);
    }

    #[test]
    fn a_ledger_that_was_left_open_is_settled_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("run");
        let attic = folder.join("nodes/n1/data.attic");
        fs::create_dir_all(&attic).unwrap();
        let mut journal = Journal::create(&folder.join("ledger.jsonl")).unwrap();
        let effects = vec![Effect::Paused(crate::id::NodeId(1))];
        let intent = Entry {
            time: Nanos(1),
            fault: FaultId(4),
            state: FaultState::Intent,
            effects: effects.clone(),
        };
        journal.write(&intent).unwrap();
        // Somebody still writes it: that run goes on.
        assert_eq!(settle_ledgers(root.path()).unwrap(), []);
        drop(journal);
        let settled = settle_ledgers(root.path()).unwrap();
        assert_eq!(settled.len(), 1);
        assert_eq!(settled[0].faults, [(FaultId(4), effects)]);
        assert!(!attic.exists());
        assert_eq!(settle_ledgers(root.path()).unwrap(), []);
        assert_eq!(settle_ledgers(Path::new("/nowhere")).unwrap(), []);
    }
}
