//! What of a key's past can be forgotten while its operations go on.
//!
//! *Mark*: no operation in flight or still to come was invoked before it. *Begun* chain: something
//! of it has returned before the mark. *Over*: another begun chain must come after it, so that who
//! sees one of its values from the mark on has no order.
//!
//! A chain that is over says no more: whoever names its values later is refused because nobody is
//! known to write them, and what is kept can never have to come before it, since later returns are
//! later than all that the chain began. Of the chain that is not over, each segment is told by its
//! update, its earliest return and its latest invocation; a long beginning of it by two operations
//! that stand for the whole. So as much is kept as was going on at one time, however long it lasts.

use std::collections::BTreeSet;

use super::segments::{NONE, Segment, Segments, Stop};
use super::zones::{self, Clash, Zone};
use super::{KeyHistory, NEVER, evidence, is_untried, tick};
use crate::check::Evidence;
use crate::clock::Nanos;
use crate::history::{Action, History, Operation, Outcome, Value};
use crate::id::ProcessId;

/// The process of operations that stand for many.
const MANY: ProcessId = ProcessId(u64::MAX);

/// Shorter beginnings of a chain are kept as they are.
const LONG: usize = 4;

/// What the operations of one key say so far.
pub(in crate::check) enum Glance {
    /// An order exists; this much must be kept.
    Legal(Rest),
    /// No order exists, whatever comes.
    Illegal(Evidence),
    /// Zones cannot tell.
    Unsure(String),
}

/// What must be kept of a key.
pub(in crate::check) struct Rest {
    /// The value before the first of the operations.
    pub(in crate::check) initial: Value,
    /// In the order of invocation; those in flight among them.
    pub(in crate::check) operations: Vec<Operation>,
}

/// One chain with its zone.
struct Chain {
    zone: Zone,
    /// Its segments in their order.
    links: Vec<u32>,
}

/// Whether an operation has not completed yet.
pub(in crate::check) const fn is_in_flight(operation: &Operation) -> bool {
    operation.completed.0 == Nanos::MAX.0
}

/// Looks at the operations of one key so far. `history` holds this key alone, in the order of
/// invocation; nothing of it is later than `now`, and nothing to come is earlier.
pub(in crate::check) fn glance(history: &History, initial: Value, now: Nanos) -> Glance {
    let all = (0..).zip(&history.operations);
    let indices: Vec<u32> = (all.filter(|(_, operation)| !is_untried(operation)))
        .map(|(index, _)| index)
        .collect();
    let key = KeyHistory {
        operations: &history.operations,
        indices: &indices,
        initial,
    };
    let unsure = |unsure: zones::Unsure| Glance::Unsure(unsure.to_string());
    let (segments, forward) = match zones::order(&key) {
        Ok(ordered) => ordered,
        Err(Stop::Illegal(clash)) => return Glance::Illegal(told(history, &key, &clash)),
        Err(Stop::Repeated(value)) => return unsure(zones::Unsure::Repeated(value)),
    };
    match zones::blind(&key, &segments, &forward) {
        0 => {}
        count => return unsure(zones::Unsure::Blind(count)),
    }
    let flying = history.operations.iter().filter(|op| is_in_flight(op));
    let mark = flying.map(|operation| tick(operation.invoked)).min();
    Glance::Legal(rest(&key, &segments, mark.unwrap_or_else(|| tick(now))))
}

/// Evidence of a clash, where some operations may be forgotten or stand for many.
fn told(history: &History, key: &KeyHistory<'_>, clash: &Clash) -> Evidence {
    let mut evidence = evidence::of_clash(history, key, clash);
    if let Clash::Unwritten { value, reader, .. } = clash {
        evidence.sentence = format!(
            "{} found the value {}, which had been replaced before it began, or which nobody wrote",
            evidence::narrate(history, *reader),
            history.values.show(*value),
        );
    }
    let operations = &history.operations;
    let is_real = |at: &usize| operations[*at].process != MANY;
    if !evidence.operations.iter().all(is_real) {
        evidence.operations.retain(is_real);
        evidence.sentence = "what was seen does not fit the long chain of cas before it".to_owned();
    }
    evidence
}

fn rest(key: &KeyHistory<'_>, segments: &Segments, mark: u64) -> Rest {
    let chains = chains(segments);
    let flies = |segment: &Segment| {
        let writer = key.operations.get(segment.writer as usize);
        writer.is_some_and(is_in_flight)
    };
    // The two latest of the begun chains: whether another one must come after a chain.
    let (mut latest, mut second) = ((0, NONE), 0);
    for chain in chains.iter().filter(|chain| chain.zone.first < mark) {
        if chain.zone.last > latest.0 || latest.1 == NONE {
            second = second.max(latest.0);
            latest = (chain.zone.last, chain.zone.root);
        } else {
            second = second.max(chain.zone.last);
        }
    }
    let mut kept = BTreeSet::new();
    let mut whole = Rest {
        initial: key.initial,
        operations: Vec::new(),
    };
    for chain in &chains {
        let Zone { first, root, .. } = chain.zone;
        let another = if root == latest.1 { second } else { latest.0 };
        let links = chain.links.iter().map(|at| &segments.all[*at as usize]);
        let links: Vec<&Segment> = links.collect();
        let is_over = first < mark && first < another;
        if is_over && !links.iter().any(|segment| flies(segment)) {
            continue;
        }
        let begun = links.iter().rposition(|link| link.first_return.0 < mark);
        let begun = begun.filter(|at| *at >= LONG && !links[..=*at].iter().any(|s| flies(s)));
        if let Some(at) = begun {
            merge(key, segments, &links[..=at], &mut whole);
        }
        for segment in &links[begun.map_or(0, |at| at + 1)..] {
            kept.extend([
                segment.writer,
                segment.first_return.1,
                segment.last_invoke.1,
            ]);
        }
    }
    let open = segments.all.iter().filter(|s| !s.takes_effect());
    kept.extend(open.map(|segment| segment.writer));
    let flying = key.iter().filter(|(_, operation)| is_in_flight(operation));
    kept.extend(flying.map(|(index, _)| index));
    kept.remove(&NONE);
    let real = kept.iter().map(|at| key.operations[*at as usize].clone());
    whole.operations.extend(real);
    whole.operations.sort_by_key(|operation| operation.invoked);
    whole
}

fn chains(segments: &Segments) -> Vec<Chain> {
    let roots = (0..segments.all.len() as u32)
        .filter(|number| segments.all[*number as usize].is_root())
        .map(|root| {
            let (zone, _) = zones::follow(segments, root)
                .expect("every chain was followed when the order was found");
            let links = zones::chain(segments, root).collect();
            Chain { zone, links }
        });
    roots.collect()
}

/// Lets two operations stand for the beginning of a chain: its last value, held as long.
fn merge(key: &KeyHistory<'_>, segments: &Segments, links: &[&Segment], rest: &mut Rest) {
    let [begin, .., end] = links else {
        return;
    };
    let value = segments.value(key, end);
    let first = links.iter().map(|link| link.first_return.0).min();
    let last = links.iter().map(|link| link.last_invoke.0).max();
    let (first, last) = (first.unwrap_or(NEVER), last.unwrap_or(0));
    let stand_in = |action, invoked: u64, completed: u64, seen| Operation {
        process: MANY,
        key: key.operations[end.writer as usize].key,
        action,
        invoked: Nanos(invoked.saturating_sub(1)),
        completed: Nanos(completed.saturating_sub(1)),
        outcome: Outcome::Ok,
        seen,
        intended: None,
        node: None,
        version: None,
        error: None,
    };
    if begin.writer == NONE {
        rest.initial = value;
    } else {
        let write = Action::Write(value);
        rest.operations
            .push(stand_in(write, first.min(last), first, None));
    }
    // Returns late, so that it only says how long the value was held.
    rest.operations
        .push(stand_in(Action::Read, last, NEVER - 1, Some(value)));
}
