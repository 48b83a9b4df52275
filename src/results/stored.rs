//! Reading a run back: its facts and its streams, ready to be judged again.

use super::facts::RunFacts;
use super::folder::{FolderError, RunFolder, names};
use crate::history::{Event, Header, History, decode, decode_events};

/// All that a run has left behind, before any judgement.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// `run.json`.
    pub facts: RunFacts,
    /// The first line of `history.jsonl`.
    pub header: Header,
    /// `history.jsonl`.
    pub history: History,
    /// `events.jsonl`.
    pub events: Vec<Event>,
    /// Streams whose last line was cut short: the run died while it wrote it. That line is left
    /// out; all lines before it count.
    pub torn: Vec<&'static str>,
}

impl RunFolder {
    /// Reads the run back. A stream that was never begun is empty.
    ///
    /// # Errors
    /// [`FolderError::Read`], [`FolderError::Facts`], or [`FolderError::Stream`] naming file and
    /// line.
    pub fn load(&self) -> Result<StoredRun, FolderError> {
        let facts = self.facts()?;
        let mut torn = Vec::new();
        let mut stream = |name: &'static str| -> Result<(Vec<u8>, String), FolderError> {
            let path = self.file(name);
            let mut bytes = if path.exists() {
                self.read(name)?
            } else {
                Vec::new()
            };
            let whole = bytes
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            if whole < bytes.len() {
                torn.push(name);
                bytes.truncate(whole);
            }
            Ok((bytes, path.display().to_string()))
        };
        let (bytes, name) = stream(names::HISTORY)?;
        let (header, history) = decode(&bytes, &name)?;
        let (bytes, name) = stream(names::EVENTS)?;
        let events = decode_events(&bytes, &name)?;
        Ok(StoredRun {
            facts,
            header,
            history,
            events,
            torn,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::clock::Nanos;
    use crate::history::{EventKind, encode_event, encode_events_header};
    use crate::results::folder::tests::{NAME, facts};

    const HISTORY: &[u8] = b"{\"schema\":\"chaos.history/1\",\"seed\":7}\n\
        {\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"k1\",\"value\":5,\"time\":10}\n\
        {\"process\":1,\"type\":\"ok\",\"f\":\"write\",\"key\":\"k1\",\"value\":5,\"time\":20}\n";

    fn folder(root: &std::path::Path, history: &[u8]) -> RunFolder {
        let folder = RunFolder::create(root, NAME).unwrap();
        folder.save_facts(&facts(folder.run_id())).unwrap();
        folder
            .stream(names::HISTORY)
            .unwrap()
            .write_all(history)
            .unwrap();
        let mut lines = Vec::new();
        encode_events_header(&mut lines);
        let kind = EventKind::Mark {
            text: "here".to_owned(),
        };
        encode_event(
            &mut lines,
            &Event {
                time: Nanos(3),
                kind,
            },
        );
        folder
            .stream(names::EVENTS)
            .unwrap()
            .write_all(&lines)
            .unwrap();
        folder
    }

    #[test]
    fn a_run_reads_back_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        let run = folder(root.path(), HISTORY).load().unwrap();
        assert_eq!(run.header.seed, Some(7));
        assert_eq!(run.history.operations.len(), 1);
        assert_eq!(run.history.operations[0].completed, Nanos(20));
        assert_eq!(run.events.len(), 1);
        assert!(run.torn.is_empty());
    }

    #[test]
    fn a_run_that_died_in_the_middle_of_a_line_keeps_the_lines_before() {
        let root = tempfile::tempdir().unwrap();
        let run = folder(root.path(), &HISTORY[..HISTORY.len() - 9])
            .load()
            .unwrap();
        assert_eq!(run.torn, [names::HISTORY]);
        assert_eq!(run.history.operations.len(), 1);
        assert_eq!(
            run.history.operations[0].completed,
            Nanos::MAX,
            "its end is not known"
        );
    }

    #[test]
    fn a_run_without_streams_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(root.path(), NAME).unwrap();
        folder.save_facts(&facts(folder.run_id())).unwrap();
        let run = folder.load().unwrap();
        assert!(run.history.operations.is_empty() && run.events.is_empty());
    }

    #[test]
    fn a_damaged_line_is_named() {
        let root = tempfile::tempdir().unwrap();
        let broken = [HISTORY, b"nonsense\n"].concat();
        let error = folder(root.path(), &broken).load().unwrap_err();
        assert!(error.to_string().contains("history.jsonl:4"), "{error}");
    }
}
