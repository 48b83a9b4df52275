//! The write-ahead journal of faults: one JSON line for each change, the intent durable before the
//! first system call.
//!
//! A harness that crashed leaves a journal from which the next one can tell which faults were
//! still in force.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use crate::clock::Nanos;
use crate::id::FaultId;

/// An append-only journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, on the run's clock.
    pub time: Nanos,
    /// Which fault.
    pub fault: FaultId,
    /// What became of it.
    pub state: FaultState,
    /// What it holds in force (with the intent only).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
}

/// What became of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultState {
    /// It is about to be injected.
    Intent,
    /// It is confirmed to be in force.
    Landed,
    /// It did not come into force.
    Missed,
    /// It was lifted.
    Healed,
}

impl Journal {
    /// Begins a new journal, durable from its first line on.
    ///
    /// # Errors
    /// If the file exists already or cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create_new(true).open(path)?;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file })
    }

    /// Goes on with a journal that is there.
    ///
    /// # Errors
    /// If it cannot be opened. A torn last line, which nobody could read, is taken away.
    pub fn append(path: &Path) -> io::Result<Self> {
        let text = std::fs::read(path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        let file = File::options().append(true).open(path)?;
        file.set_len(whole.map_or(0, |at| at as u64 + 1))?;
        Ok(Self { file })
    }

    /// Appends a line. An intent is on disk when this returns; the others follow when they may,
    /// since a lost one only makes the next harness heal what is healed already.
    ///
    /// # Errors
    /// If it cannot be written (or synced).
    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        if entry.state == FaultState::Intent {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// The faults of a journal that may still be in force, with their effects. A torn last line,
    /// as a crash leaves it, is ignored: its fault was never begun.
    ///
    /// # Errors
    /// If another line makes no sense, with its number.
    pub fn unhealed(text: &str) -> io::Result<BTreeMap<FaultId, Vec<Effect>>> {
        let mut open = BTreeMap::new();
        for (number, line) in (1_usize..).zip(text.split_inclusive('\n')) {
            if !line.ends_with('\n') {
                break;
            }
            let entry: Entry = serde_json::from_str(line).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("line {number}: {error}"),
                )
            })?;
            match entry.state {
                FaultState::Intent => {
                    open.insert(entry.fault, entry.effects);
                }
                FaultState::Landed => {}
                FaultState::Missed | FaultState::Healed => {
                    open.remove(&entry.fault);
                }
            }
        }
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn entry(fault: u32, state: FaultState, effects: Vec<Effect>) -> Entry {
        Entry {
            time: Nanos(7),
            fault: FaultId(fault),
            state,
            effects,
        }
    }

    #[test]
    fn what_was_begun_and_not_healed_is_found_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        let paused = vec![Effect::Paused(NodeId(2))];
        for (fault, state, effects) in [
            (1, FaultState::Intent, paused.clone()),
            (1, FaultState::Landed, Vec::new()),
            (2, FaultState::Intent, paused.clone()),
            (2, FaultState::Missed, Vec::new()),
            (3, FaultState::Intent, paused.clone()),
            (3, FaultState::Landed, Vec::new()),
            (1, FaultState::Healed, Vec::new()),
        ] {
            journal.write(&entry(fault, state, effects)).unwrap();
        }
        let mut text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with(
                r#"{"time":7,"fault":1,"state":"intent","effects":[{"paused":"n2"}]}"#
            )
        );
        text.push_str(r#"{"time":9,"fault":4,"sta"#);
        assert_eq!(
            Journal::unhealed(&text).unwrap(),
            BTreeMap::from([(FaultId(3), paused)])
        );
        assert!(Journal::create(&path).is_err());
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = Journal::unhealed("{}\n").unwrap_err();
        assert!(
            error.to_string().starts_with("line 1: missing field"),
            "{error}"
        );
    }
}
