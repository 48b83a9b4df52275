//! Session guarantees: what one client may rely on, even where others see something else.
//!
//! After Terry et al., "Session guarantees for weakly consistent replicated data" (1994), per key.
//! *Session*: a process of the history. A process that goes on under a new number after an unknown
//! outcome begins a new session.
//!
//! Only what is certain counts as violated. Updates are ordered by trusted versions, else by time
//! (see [`Sources`]); what neither orders is not judged. Times alone cannot show that writes of one
//! session came in the wrong order, so `monotonic_writes` and `writes_follow_reads` need versions.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::sources::{Source, Sources, tick};
use super::{CheckResult, Class, Evidence};
use crate::history::{History, Operation, Outcome, Value};
use crate::id::ProcessId;
use crate::verdict::Verdict;

/// One of the four guarantees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// A session sees its own writes, or newer ones.
    ReadYourWrites,
    /// A session never sees an older value than it has seen.
    MonotonicReads,
    /// The writes of a session take effect in its order.
    MonotonicWrites,
    /// A write comes after what its session had seen.
    WritesFollowReads,
}

/// What became of one guarantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuaranteeFound {
    /// Which.
    pub guarantee: Guarantee,
    /// Operations of which it demands something.
    pub applicable: usize,
    /// Those that could be judged.
    pub judged: usize,
    /// Those that certainly violate it.
    pub violating: usize,
    /// The first violation.
    pub evidence: Option<Evidence>,
}

/// What became of the four.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// In the order of [`Guarantee::ALL`].
    pub guarantees: [GuaranteeFound; 4],
}

/// Judges the session guarantees of a history whose keys hold `initial` at the start.
#[must_use]
pub fn session_guarantees(history: &History, initial: Value) -> Sessions {
    judge(history, &Sources::of(history, initial))
}

/// The same with the sources at hand.
pub(super) fn judge(history: &History, sources: &Sources) -> Sessions {
    let mut found = Sessions {
        guarantees: Guarantee::ALL.map(|guarantee| GuaranteeFound {
            guarantee,
            applicable: 0,
            judged: 0,
            violating: 0,
            evidence: None,
        }),
    };
    let mut sessions: BTreeMap<(ProcessId, u32), Session> = BTreeMap::new();
    let mut ends: BTreeMap<ProcessId, u64> = BTreeMap::new();
    for (index, operation) in (0..).zip(&history.operations) {
        if operation.outcome == Outcome::Info {
            continue;
        }
        // A process does one thing after the other; if a recorded one did not, nothing is judged.
        let end = ends.entry(operation.process).or_insert(0);
        let is_next = *end < tick(operation.invoked.0);
        *end = tick(operation.completed.0).max(*end);
        let session = (operation.process, operation.key.0);
        let session = sessions.entry(session).or_default();
        let step = Step {
            history,
            sources,
            index,
            operation,
            source: sources.source(operation),
        };
        if is_next {
            step.judge(session, &mut found);
        }
        step.remember(session);
    }
    found
}

impl Guarantee {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ReadYourWrites,
        Self::MonotonicReads,
        Self::MonotonicWrites,
        Self::WritesFollowReads,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadYourWrites => "read_your_writes",
            Self::MonotonicReads => "monotonic_reads",
            Self::MonotonicWrites => "monotonic_writes",
            Self::WritesFollowReads => "writes_follow_reads",
        }
    }
}

impl GuaranteeFound {
    /// Fail: violated. Unknown: nothing was judged.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match (self.violating, self.judged) {
            (1.., _) => Verdict::Fail,
            (0, 0) => Verdict::Unknown,
            (0, _) => Verdict::Pass,
        }
    }

    /// As a line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        let reason = match (&self.evidence, self.judged, self.applicable) {
            (Some(evidence), ..) => evidence.sentence.clone(),
            (None, 0, 0) => "no session did anything to which it applies".to_owned(),
            (None, 0, count) => {
                format!("neither versions nor times order what {count} operations depend on")
            }
            (None, ..) => String::new(),
        };
        CheckResult {
            name: self.guarantee.name().to_owned(),
            class: Class::Safety,
            verdict: self.verdict(),
            limit: String::new(),
            measured: format!("{} of {} violate it", self.violating, self.judged),
            reason,
        }
    }
}

impl Sessions {
    /// Fail: one is violated. Pass: those that apply to something were judged, and one was.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let applying = self.guarantees.iter().filter(|found| found.applicable > 0);
        let verdicts = applying.map(GuaranteeFound::verdict);
        verdicts.reduce(Verdict::merge).unwrap_or(Verdict::Unknown)
    }

    /// The first violation of the first violated guarantee.
    #[must_use]
    pub fn evidence(&self) -> Option<&Evidence> {
        self.guarantees
            .iter()
            .find_map(|found| found.evidence.as_ref())
    }

    /// All four as one line of the report.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        let (mut measured, mut reason) = (String::new(), String::new());
        for found in self.guarantees.iter().filter(|found| found.applicable > 0) {
            let comma = if measured.is_empty() { "" } else { ", " };
            let (name, bad, of) = (found.guarantee, found.violating, found.judged);
            // Writing to a string cannot fail.
            let _ = write!(measured, "{comma}{name} {bad} of {of}");
            let line = found.result();
            if line.verdict == self.verdict() && reason.is_empty() && !line.reason.is_empty() {
                reason = format!("{name}: {}", line.reason);
            }
        }
        if measured.is_empty() {
            reason = "no session did two things to one key".to_owned();
        }
        CheckResult {
            name: "session_guarantees".to_owned(),
            class: Class::Safety,
            verdict: self.verdict(),
            limit: String::new(),
            measured,
            reason,
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a session knows of one key.
#[derive(Debug, Default)]
struct Session {
    wrote: Newest,
    saw: Newest,
}

/// The newest of some updates, by version and by time.
#[derive(Debug, Default)]
struct Newest {
    /// The highest version, and which operation of the session learned it.
    version: Option<(i64, u32)>,
    /// The latest beginning of an update, and which operation of the session learned of it.
    begun: Option<(u64, u32)>,
    /// Something was learned, whether or not it can be ordered.
    is_any: bool,
}

impl Newest {
    fn learn(&mut self, version: Option<i64>, begun: u64, by: u32) {
        self.is_any = true;
        if let Some(version) = version {
            let newest = self.version.get_or_insert((version, by));
            if newest.0 < version {
                *newest = (version, by);
            }
        }
        let latest = self.begun.get_or_insert((begun, by));
        if latest.0 < begun {
            *latest = (begun, by);
        }
    }
}

/// Where in the order of updates something is.
#[derive(Debug, Clone, Copy)]
struct Place {
    version: Option<i64>,
    /// Since when it was certainly there.
    since: u64,
}

/// One operation in its session.
struct Step<'a> {
    history: &'a History,
    sources: &'a Sources,
    index: u32,
    operation: &'a Operation,
    source: Option<Source>,
}

impl Step<'_> {
    fn judge(&self, session: &Session, found: &mut Sessions) {
        let [own, seen, writes, follow] = &mut found.guarantees;
        if self.source.is_some() {
            self.judge_sight(&session.wrote, own);
            self.judge_sight(&session.saw, seen);
        }
        if self.operation.is_acknowledged_update() {
            self.judge_write(&session.wrote, writes);
            self.judge_write(&session.saw, follow);
        }
    }

    /// What is seen now must not certainly be older than what the session knows.
    fn judge_sight(&self, known: &Newest, found: &mut GuaranteeFound) {
        found.applicable += usize::from(known.is_any);
        let place = match self.source {
            Some(Source::Update(update)) => Place {
                version: self.sources.version(update),
                since: self.sources.since(update),
            },
            Some(Source::Initial) => Place {
                version: None,
                since: 0,
            },
            Some(Source::Nowhere | Source::Unclear) | None => return,
        };
        let Some((begun, by_time)) = known.begun else {
            return;
        };
        found.judged += 1;
        let by_version = (place.version.zip(known.version))
            .filter(|(own, (newest, _))| own < newest)
            .map(|(_, (_, by))| by);
        let older = by_version.or_else(|| (place.since < begun).then_some(by_time));
        if let Some(earlier) = older {
            self.violate(found, earlier);
        }
    }

    /// The version that the write was told must be above all that the session knows.
    fn judge_write(&self, known: &Newest, found: &mut GuaranteeFound) {
        found.applicable += usize::from(known.is_any);
        let own = self.sources.version(self.index);
        let Some((own, (newest, by))) = own.zip(known.version) else {
            return;
        };
        found.judged += 1;
        if own < newest {
            self.violate(found, by);
        }
    }

    fn violate(&self, found: &mut GuaranteeFound, earlier: u32) {
        found.violating += 1;
        if found.evidence.is_none() {
            found.evidence = Some(self.evidence(earlier));
        }
    }

    fn evidence(&self, earlier: u32) -> Evidence {
        let mut operations = vec![earlier as usize];
        let before = &self.history.operations[earlier as usize];
        for source in [self.source, self.sources.source(before)] {
            if let Some(Source::Update(update)) = source {
                operations.push(update as usize);
            }
        }
        operations.push(self.index as usize);
        operations.sort_unstable();
        operations.dedup();
        let key = self.history.key_name(self.operation.key);
        let tell = |operation: &Operation| {
            let call = crate::model::Call::from(operation);
            let what = call.describe(&self.history.values);
            let version = operation
                .version
                .map(|version| format!(" (version {version})"));
            format!("{what}{}", version.unwrap_or_default())
        };
        Evidence {
            key: key.to_owned(),
            operations,
            sentence: format!(
                "process {} had done {} on {key}, then did {}, which is older",
                self.operation.process,
                tell(before),
                tell(self.operation),
            ),
            attempt: None,
        }
    }

    /// Enters what the session knows from now on.
    fn remember(&self, session: &mut Session) {
        match self.source {
            Some(Source::Update(update)) => {
                let begun = tick(self.history.operations[update as usize].invoked.0);
                let version = self.sources.version(update);
                session.saw.learn(version, begun, self.index);
            }
            Some(Source::Initial) => session.saw.learn(Some(i64::MIN), 0, self.index),
            Some(Source::Nowhere | Source::Unclear) => session.saw.is_any = true,
            None => {}
        }
        if self.operation.is_acknowledged_update() {
            let version = self.sources.version(self.index);
            let begun = tick(self.operation.invoked.0);
            session.wrote.learn(version, begun, self.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ok;
    use super::*;
    use crate::history::Action;

    fn of(process: u64, mut operation: Operation, version: Option<i64>) -> Operation {
        operation.process = ProcessId(process);
        operation.version = version;
        operation
    }

    fn write(value: i64, from: u64) -> Operation {
        ok(Action::Write(Value(value)), from, from + 5, None)
    }

    fn read(value: i64, from: u64) -> Operation {
        ok(Action::Read, from, from + 5, Some(Value(value)))
    }

    fn judge(operations: Vec<Operation>) -> Sessions {
        let history = History {
            keys: vec!["k1".to_owned()],
            operations,
            ..History::default()
        };
        session_guarantees(&history, Value::NIL)
    }

    fn verdicts(found: &Sessions) -> [Verdict; 4] {
        found.guarantees.each_ref().map(GuaranteeFound::verdict)
    }

    #[test]
    fn times_show_a_session_that_misses_its_own_write_and_goes_back() {
        let found = judge(vec![
            of(1, write(1, 0), None),
            of(2, write(2, 10), None),
            of(2, read(1, 20), None),
            of(3, read(2, 30), None),
            of(3, read(1, 40), None),
        ]);
        let [fail, unknown] = [Verdict::Fail, Verdict::Unknown];
        assert_eq!(verdicts(&found), [fail, fail, unknown, unknown]);
        assert_eq!(found.verdict(), Verdict::Fail);
        let evidence = found.evidence().expect("a violation has evidence");
        assert_eq!(evidence.operations, [0, 1, 2]);
        insta::assert_snapshot!(evidence.sentence, @"process 2 had done write 2 on k1, then did read → 1, which is older");
        insta::assert_snapshot!(found.result().measured, @"read_your_writes 1 of 1, monotonic_reads 1 of 1");
    }

    #[test]
    fn versions_show_updates_of_a_session_in_the_wrong_order() {
        let found = judge(vec![
            of(1, write(1, 0), Some(2)),
            of(1, write(2, 10), Some(1)),
            of(2, read(1, 20), Some(2)),
            of(2, write(3, 30), Some(0)),
        ]);
        let [fail, unknown] = [Verdict::Fail, Verdict::Unknown];
        assert_eq!(verdicts(&found), [unknown, unknown, fail, fail]);
        let line = found.guarantees[3].result();
        insta::assert_snapshot!(line.reason, @"process 2 had done read → 1 (version 2) on k1, then did write 3 (version 0), which is older");
    }

    #[test]
    fn versions_that_contradict_the_values_are_not_used() {
        // Two updates with one version; an observation with the version of another value.
        for (second, seen) in [(1, 1), (2, 2)] {
            let found = judge(vec![
                of(1, write(1, 0), Some(1)),
                of(1, write(2, 10), Some(second)),
                of(2, read(1, 12), Some(seen)),
                of(2, read(2, 22), Some(0)),
            ]);
            let [pass, unknown] = [Verdict::Pass, Verdict::Unknown];
            assert_eq!(verdicts(&found), [unknown, pass, unknown, unknown]);
            // Something applied, and could not be judged.
            assert_eq!(found.verdict(), unknown);
        }
    }

    #[test]
    fn another_process_is_another_session() {
        let found = judge(vec![
            of(1, write(1, 0), None),
            of(1, write(2, 10), None),
            of(2, read(1, 20), None),
        ]);
        assert_eq!(found.guarantees[0].applicable, 0);
        assert_eq!(
            judge(vec![]).result().reason,
            "no session did two things to one key"
        );
    }
}
