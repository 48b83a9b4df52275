//! The operations of one key grouped by the value they touch.
//!
//! *Segment*: one update that takes effect (or the initial value) and the operations that saw its
//! value. *Chain*: a segment that a plain write began, followed by the segments of the CASes that
//! each replaced the value before; nothing else can come between the segments of a chain.
//!
//! An update of unknown outcome whose value nobody saw is left out: whatever order explains the
//! others explains them without it. One whose value was seen did take effect, but nobody knows
//! until when it may have: its return is [`NEVER`].

use super::values::ValueTable;
use super::zones::Clash;
use super::{KeyHistory, NEVER, tick};
use crate::history::{Action, Operation, Outcome, Value};

/// No operation, no segment.
pub(super) const NONE: u32 = u32::MAX;

/// One update and the operations that saw its value.
#[derive(Debug)]
pub(super) struct Segment {
    /// The update; `NONE` for the initial value.
    pub(super) writer: u32,
    /// The segment that this one's CAS replaced; `NONE` for a plain write.
    pub(super) parent: u32,
    /// The segment of the CAS that replaced this one; `NONE` if there is none.
    pub(super) child: u32,
    /// Any operation that proves that the update took effect, `NONE` if there is none.
    pub(super) observer: u32,
    /// When the update was invoked.
    pub(super) invoked: u64,
    /// The earliest return, and of which operation.
    pub(super) first_return: (u64, u32),
    /// The latest invocation, and of which operation.
    pub(super) last_invoke: (u64, u32),
    /// The earliest return of an operation that saw the value.
    pub(super) first_seen: (u64, u32),
    /// The outcome of the update is unknown.
    is_info: bool,
    /// The update is a CAS.
    is_cas: bool,
    /// Another update has the same value; then it cannot be told whose value was seen.
    pub(super) is_repeated: bool,
}

/// All segments of one key, the initial one first.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) all: Vec<Segment>,
    table: ValueTable,
}

/// Why there are no segments to look at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// No order exists.
    Illegal(Clash),
    /// Two updates have this value, and somebody saw it.
    Repeated(Value),
}

impl Segments {
    /// Groups the operations of `key`.
    pub(super) fn group(key: &KeyHistory<'_>) -> Result<Self, Stop> {
        let mut segments = Self::of_updates(key);
        segments.observe(key)?;
        segments.confirm(key)?;
        if let Some(segment) = segments
            .all
            .iter()
            .find(|s| s.is_repeated && s.is_observed())
        {
            return Err(Stop::Repeated(segments.value(key, segment)));
        }
        segments.link(key)?;
        Ok(segments)
    }

    /// The segment of the first update that wrote `value`, if one did or may have.
    pub(super) fn of_value(&self, value: Value) -> Option<u32> {
        self.table.number(value)
    }

    /// One segment for each update that may have happened.
    fn of_updates(key: &KeyHistory<'_>) -> Self {
        let values = key.iter().filter_map(|(_, operation)| written(operation));
        let table = ValueTable::for_values(values.chain([key.initial]));
        let mut segments = Self {
            all: Vec::with_capacity(key.indices.len() / 2 + 1),
            table,
        };
        segments.table.insert(key.initial, 0);
        segments.all.push(Segment::initial());
        for (index, operation) in key.iter() {
            let Some(value) = written(operation) else {
                continue;
            };
            let number = segments.all.len() as u32;
            if let Some(earlier) = segments.table.insert(value, number) {
                segments.all[earlier as usize].is_repeated = true;
            }
            segments.all.push(Segment::of(index, operation));
        }
        segments
    }

    /// Enters everything that saw a value.
    fn observe(&mut self, key: &KeyHistory<'_>) -> Result<(), Stop> {
        let mut own = 0;
        for (index, operation) in key.iter() {
            own += usize::from(written(operation).is_some());
            match (operation.action, operation.outcome) {
                (Action::Read, Outcome::Ok) | (Action::Cas { .. }, Outcome::Fail) => {
                    if let Some(seen) = operation.seen {
                        let number = self.writer_of(seen, index)?;
                        self.all[number as usize].see(index, operation);
                    }
                }
                (Action::Cas { from, .. }, Outcome::Ok) => {
                    let number = self.writer_of(from, index)?;
                    self.all[number as usize].observer = index;
                    self.all[own].parent = number;
                }
                (Action::Write(_) | Action::Read | Action::Do(..), _)
                | (Action::Cas { .. }, Outcome::Info) => {}
            }
        }
        Ok(())
    }

    /// A CAS of unknown outcome whose value was seen did happen, so it saw its own `from`, whose
    /// writer then happened too.
    fn confirm(&mut self, key: &KeyHistory<'_>) -> Result<(), Stop> {
        let is_news = |s: &Segment| s.is_cas && s.is_info && s.is_observed() && s.parent == NONE;
        let mut news: Vec<u32> = (0..self.all.len() as u32)
            .filter(|number| is_news(&self.all[*number as usize]))
            .collect();
        while let Some(number) = news.pop() {
            let segment = &self.all[number as usize];
            // Of repeated values nobody knows which update was seen: no conclusions from them.
            if segment.parent != NONE || segment.is_repeated {
                continue;
            }
            let Action::Cas { from, .. } = key.operations[segment.writer as usize].action else {
                continue;
            };
            let writer = segment.writer;
            let parent = self.table.number(from).ok_or_else(|| {
                Stop::Illegal(Clash::Unwritten {
                    value: from,
                    reader: writer,
                    proofs: self.proofs(number),
                })
            })?;
            self.all[number as usize].parent = parent;
            let segment = &mut self.all[parent as usize];
            if !segment.is_observed() {
                segment.observer = writer;
            }
            if is_news(segment) {
                news.push(parent);
            }
        }
        Ok(())
    }

    /// Lets every segment know the CAS that replaced it: there can be one only.
    fn link(&mut self, key: &KeyHistory<'_>) -> Result<(), Stop> {
        for number in 1..self.all.len() {
            let parent = self.all[number].parent;
            if parent == NONE || !self.all[number].takes_effect() {
                continue;
            }
            let earlier = self.all[parent as usize].child;
            if earlier != NONE {
                let value = self.value(key, &self.all[parent as usize]);
                return Err(Stop::Illegal(Clash::TwoCas {
                    value,
                    writer: self.all[parent as usize].writer,
                    cas: [earlier, number as u32].map(|n| self.all[n as usize].writer),
                    proofs: [earlier, number as u32]
                        .iter()
                        .flat_map(|n| self.proofs(*n))
                        .collect(),
                }));
            }
            self.all[parent as usize].child = number as u32;
        }
        Ok(())
    }

    /// The operations without which the update might not have happened: none if it was
    /// acknowledged.
    pub(super) fn proofs(&self, number: u32) -> Vec<u32> {
        let mut proofs = Vec::new();
        let mut at = Some(number as usize);
        while let Some(segment) = at.map(|at| &self.all[at]).filter(|s| s.is_info) {
            proofs.push(segment.observer);
            // An observer may itself be a CAS of unknown outcome, which then needs a proof.
            at = self
                .all
                .iter()
                .position(|other| other.writer == segment.observer);
        }
        proofs
    }

    /// For every segment the root of its chain; `NONE` for one that hangs on no root.
    pub(super) fn roots(&self) -> Vec<u32> {
        let mut roots = vec![NONE; self.all.len()];
        for (root, segment) in self.all.iter().enumerate() {
            let mut at = if segment.is_root() { root as u32 } else { NONE };
            while at != NONE {
                roots[at as usize] = root as u32;
                at = self.all[at as usize].child;
            }
        }
        roots
    }

    fn writer_of(&self, value: Value, reader: u32) -> Result<u32, Stop> {
        self.table
            .number(value)
            .ok_or(Stop::Illegal(Clash::Unwritten {
                value,
                reader,
                proofs: Vec::new(),
            }))
    }

    /// The value of a segment.
    pub(super) fn value(&self, key: &KeyHistory<'_>, segment: &Segment) -> Value {
        if segment.writer == NONE {
            return key.initial;
        }
        written(&key.operations[segment.writer as usize]).unwrap_or(key.initial)
    }
}

impl Segment {
    fn initial() -> Self {
        Self {
            writer: NONE,
            parent: NONE,
            child: NONE,
            observer: NONE,
            invoked: 0,
            first_return: (0, NONE),
            last_invoke: (0, NONE),
            first_seen: (NEVER, NONE),
            is_info: false,
            is_cas: false,
            is_repeated: false,
        }
    }

    fn of(index: u32, operation: &Operation) -> Self {
        let invoked = tick(operation.invoked);
        let is_info = operation.outcome == Outcome::Info;
        let returned = if is_info {
            NEVER
        } else {
            tick(operation.completed)
        };
        Self {
            writer: index,
            invoked,
            first_return: (returned, index),
            last_invoke: (invoked, index),
            is_info,
            is_cas: matches!(operation.action, Action::Cas { .. }),
            ..Self::initial()
        }
    }

    fn see(&mut self, index: u32, operation: &Operation) {
        self.observer = index;
        let (invoked, returned) = (tick(operation.invoked), tick(operation.completed));
        if returned < self.first_return.0 {
            self.first_return = (returned, index);
        }
        if returned < self.first_seen.0 {
            self.first_seen = (returned, index);
        }
        if invoked > self.last_invoke.0 {
            self.last_invoke = (invoked, index);
        }
    }

    const fn is_observed(&self) -> bool {
        self.observer != NONE
    }

    /// Whether it belongs to the order that is looked for.
    pub(super) const fn takes_effect(&self) -> bool {
        !self.is_info || self.is_observed()
    }

    /// Whether its update was acknowledged, and ran wholly between two instants.
    pub(super) fn is_within(&self, key: &KeyHistory<'_>, first: u64, last: u64) -> bool {
        let update = key.operations.get(self.writer as usize);
        update.is_some_and(|operation| {
            let returned = tick(operation.completed);
            !self.is_info && first < self.invoked && returned < last
        })
    }

    /// Whether it begins a chain.
    pub(super) const fn is_root(&self) -> bool {
        !self.is_cas && self.takes_effect()
    }
}

/// The value that an operation put there, if it may have happened.
fn written(operation: &Operation) -> Option<Value> {
    match (operation.action, operation.outcome) {
        (Action::Write(to) | Action::Cas { to, .. }, Outcome::Ok | Outcome::Info) => Some(to),
        (Action::Read | Action::Do(..), _) | (_, Outcome::Fail) => None,
    }
}
