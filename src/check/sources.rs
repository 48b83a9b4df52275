//! Which update each observation saw, and which of two updates certainly came first.
//!
//! *Source* of an observation: the update that put there what was seen. It is known where the value
//! was written once, or where the version names the update.
//!
//! *Trusted* versions: every acknowledged update of the key has one, no two have the same, and who
//! saw a version saw the value of its update. Then versions order updates. Without them times do:
//! a value was *there* once its update was acknowledged or somebody had seen it, and an update that
//! began after that came later.

use crate::history::{Action, FixedMap, History, Operation, Outcome, Value};

/// Where an observation got its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From this update, as an index into `History::operations`.
    Update(u32),
    /// From nobody: it was there at the start.
    Initial,
    /// Nobody ever tried to write it.
    Nowhere,
    /// Several updates may have put it there.
    Unclear,
}

/// The sources of a history.
#[derive(Debug)]
pub(super) struct Sources {
    keys: Vec<Key>,
    initial: Value,
    /// For every update since when its value was certainly there; `u64::MAX` if nobody knows.
    since: Vec<u64>,
    /// For every update its version, where versions are trusted and it is known.
    versions: Vec<Option<i64>>,
    /// What each operation put there, if it may have happened.
    values: Vec<Option<Value>>,
}

/// What is known of one key.
#[derive(Debug, Default)]
struct Key {
    is_trusted: bool,
    /// The update of every value; `None` if several may have written it.
    writers: FixedMap<Value, Option<u32>>,
    /// The acknowledged update of every version.
    by_version: FixedMap<i64, u32>,
}

impl Sources {
    /// Of a history whose keys hold `initial` at the start.
    pub(super) fn of(history: &History, initial: Value) -> Self {
        let mut sources = Self {
            keys: history.keys.iter().map(|_| Key::default()).collect(),
            initial,
            since: vec![u64::MAX; history.operations.len()],
            versions: vec![None; history.operations.len()],
            values: history.operations.iter().map(written).collect(),
        };
        for key in &mut sources.keys {
            key.is_trusted = true;
        }
        for (index, operation) in (0..).zip(&history.operations) {
            sources.add_update(index, operation);
        }
        for operation in &history.operations {
            sources.compare_version(history, operation);
        }
        for (version, operation) in sources.versions.iter_mut().zip(&history.operations) {
            let is_trusted = sources.keys[operation.key.0 as usize].is_trusted;
            *version = version.filter(|_| is_trusted);
        }
        for operation in &history.operations {
            sources.add_sight(history, operation);
        }
        sources
    }

    /// Where `seen` came from, as `operation` saw it. `version` is that of the value seen.
    fn find(&self, operation: &Operation, seen: Value, version: Option<i64>) -> Source {
        let key = &self.keys[operation.key.0 as usize];
        if let Some(update) = version
            .filter(|_| key.is_trusted)
            .and_then(|version| key.by_version.get(&version))
        {
            return Source::Update(*update);
        }
        match key.writers.get(&seen) {
            Some(Some(_)) if seen == self.initial => Source::Unclear,
            Some(Some(update)) => Source::Update(*update),
            Some(None) => Source::Unclear,
            None if seen == self.initial => Source::Initial,
            None => Source::Nowhere,
        }
    }

    /// Where what `operation` observed came from; `None` if it observed nothing.
    pub(super) fn source(&self, operation: &Operation) -> Option<Source> {
        if operation.outcome == Outcome::Ok
            && let Some(source) = self.replaced(operation)
        {
            return Some(source);
        }
        let seen = observed(operation)?;
        Some(self.find(operation, seen, operation.version))
    }

    /// Where the value came from that a CAS replaced, if it took effect; `None` if it is no CAS.
    pub(super) fn replaced(&self, operation: &Operation) -> Option<Source> {
        let Action::Cas { from, .. } = operation.action else {
            return None;
        };
        let key = &self.keys[operation.key.0 as usize];
        // With the version just below its own, an update can only be the one before.
        let before = (operation.version)
            .filter(|_| key.is_trusted && operation.outcome == Outcome::Ok)
            .and_then(|version| version.checked_sub(1))
            .filter(|version| {
                let update = key.by_version.get(version);
                update.is_some_and(|update| self.values[*update as usize] == Some(from))
            });
        Some(self.find(operation, from, before))
    }

    /// Since when the value of an update was certainly there; `u64::MAX` if nobody knows.
    pub(super) fn since(&self, update: u32) -> u64 {
        self.since[update as usize]
    }

    /// The version of an update, where versions are trusted.
    pub(super) fn version(&self, update: u32) -> Option<i64> {
        self.versions[update as usize]
    }

    fn add_update(&mut self, index: u32, operation: &Operation) {
        let Some(value) = written(operation) else {
            return;
        };
        let key = &mut self.keys[operation.key.0 as usize];
        (key.writers.entry(value))
            .and_modify(|writer| *writer = None)
            .or_insert(Some(index));
        if operation.outcome == Outcome::Ok {
            self.since[index as usize] = tick(operation.completed.0);
            self.versions[index as usize] = operation.version;
            let is_new = (operation.version)
                .is_some_and(|version| key.by_version.insert(version, index).is_none());
            key.is_trusted &= is_new;
        }
    }

    /// An observation that does not fit the version of an update spoils the trust.
    fn compare_version(&mut self, history: &History, operation: &Operation) {
        let (Some(seen), Some(version)) = (observed(operation), operation.version) else {
            return;
        };
        let key = &mut self.keys[operation.key.0 as usize];
        if let Some(update) = key.by_version.get(&version) {
            let value = written(&history.operations[*update as usize]);
            key.is_trusted &= value == Some(seen);
        } else if let Some(Some(update)) = key.writers.get(&seen)
            && seen != self.initial
        {
            // The version of an update of unknown outcome is known from those who saw it.
            let known = self.versions[*update as usize].get_or_insert(version);
            key.is_trusted &= *known == version;
        }
    }

    /// Somebody saw the value of an update: it was there by then.
    fn add_sight(&mut self, history: &History, operation: &Operation) {
        let Some(Source::Update(update)) = self.source(operation) else {
            return;
        };
        let begun = history.operations[update as usize].invoked;
        let seen = operation.completed.max(begun);
        let since = &mut self.since[update as usize];
        *since = tick(seen.0).min(*since);
    }
}

/// The value that an operation saw and did not change.
pub(super) fn observed(operation: &Operation) -> Option<Value> {
    match (operation.action, operation.outcome) {
        (Action::Read, Outcome::Ok) | (Action::Cas { .. }, Outcome::Fail) => operation.seen,
        _ => None,
    }
}

/// The value that an operation put there, if it may have happened.
pub(super) fn written(operation: &Operation) -> Option<Value> {
    match (operation.action, operation.outcome) {
        (Action::Write(to) | Action::Cas { to, .. }, Outcome::Ok | Outcome::Info) => Some(to),
        (Action::Read | Action::Do(..), _) | (_, Outcome::Fail) => None,
    }
}

/// An instant after 0, which is before everything.
pub(super) const fn tick(time: u64) -> u64 {
    time.saturating_add(1)
}
