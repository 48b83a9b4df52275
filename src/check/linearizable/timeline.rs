//! One order that zones show to exist, as the times at which the value changes.
//!
//! A chain with a backward zone takes effect at one instant that lies in none of the forward zones; one
//! with a forward zone holds the register from its first return to the next change. Inside a chain
//! the next segment begins as soon as everything of the one before has been invoked.
//!
//! What it is good for: an operation that only says "the value was not x" fits this order if some
//! other value was there at some instant of it. That proves that an order exists; if it does not
//! fit, another order may still do.

use super::segments::{NONE, Segments};
use super::zones::{Zone, follow};
use super::{KeyHistory, tick};
use crate::history::{Action, Outcome, Value};

/// How often chains are moved for those that do not fit.
const ROUNDS: usize = 32;

/// How many chains are tried for one that does not fit.
const TRIED: usize = 256;

/// From when on the register holds which value.
#[derive(Debug, Clone, Copy)]
struct Change {
    time: u64,
    value: Value,
}

/// A chain that takes effect at one instant.
#[derive(Debug, Clone, Copy)]
struct Moment {
    zone: Zone,
    at: u64,
}

/// A failed CAS that hides what it saw.
#[derive(Debug, Clone, Copy)]
struct Blind {
    invoked: u64,
    returned: u64,
    from: Value,
}

/// How many failed CASes that hide what they saw do not fit the order of these zones.
pub(super) fn misfits(key: &KeyHistory<'_>, segments: &Segments, forward: &[Zone]) -> usize {
    let blind: Vec<Blind> = (key.iter())
        .filter_map(
            |(_, operation)| match (operation.action, operation.outcome, operation.seen) {
                (Action::Cas { from, .. }, Outcome::Fail, None) => Some(Blind {
                    invoked: tick(operation.invoked),
                    returned: tick(operation.completed),
                    from,
                }),
                _ => None,
            },
        )
        .collect();
    let mut timeline = Timeline {
        key,
        segments,
        forward,
        moments: moments(segments, forward),
    };
    let mut fewest = usize::MAX;
    for _ in 0..ROUNDS {
        let changes = timeline.changes();
        let left = blind.iter().filter(|blind| !blind.fits(&changes));
        let left: Vec<Blind> = left.copied().collect();
        // Moving chains for some may take them from others.
        fewest = fewest.min(left.len());
        let mut has_moved = false;
        for blind in left {
            has_moved |= timeline.make_room(blind);
        }
        if !has_moved {
            return fewest;
        }
    }
    fewest
}

/// The chains whose zones are backward, by the last invocation.
fn moments(segments: &Segments, forward: &[Zone]) -> Vec<Moment> {
    let roots = (0..segments.all.len() as u32).filter(|at| segments.all[*at as usize].is_root());
    let mut moments: Vec<Moment> = roots
        .filter_map(|root| follow(segments, root).ok())
        .filter(|(zone, _)| !zone.is_forward())
        .map(|(zone, _)| Moment {
            zone,
            at: outside(forward, zone.last),
        })
        .collect();
    moments.sort_unstable_by_key(|moment| (moment.zone.last, moment.zone.root));
    moments
}

impl Blind {
    /// Whether another value was there at some instant of it.
    fn fits(&self, changes: &[Change]) -> bool {
        // The value that is there when it begins, and all that come until it returns.
        let first = changes.partition_point(|change| change.time < self.invoked);
        let seen = changes[first.saturating_sub(1)..].iter();
        let mut seen = seen.take_while(|change| change.time <= self.returned);
        seen.any(|change| change.value != self.from)
    }
}

struct Timeline<'a> {
    key: &'a KeyHistory<'a>,
    segments: &'a Segments,
    forward: &'a [Zone],
    /// By the last invocation.
    moments: Vec<Moment>,
}

impl Timeline<'_> {
    /// All changes in the order of time, the initial value first.
    fn changes(&self) -> Vec<Change> {
        // At equal times an instant comes before the zone that begins there.
        let moments = self
            .moments
            .iter()
            .map(|moment| (moment.at, false, moment.zone.root));
        let zones = self
            .forward
            .iter()
            .map(|zone| (zone.first, true, zone.root));
        let mut starts: Vec<(u64, bool, u32)> = moments.chain(zones).collect();
        starts.sort_unstable();
        let mut changes = Vec::with_capacity(self.segments.all.len());
        for (start, _, root) in starts {
            let mut time = start;
            let mut at = root;
            while at != NONE {
                let segment = &self.segments.all[at as usize];
                time = time.max(if at == root { start } else { segment.invoked });
                changes.push(Change {
                    time,
                    value: self.segments.value(self.key, segment),
                });
                // A chain in one instant has had everything invoked by then.
                time = time.max(segment.last_invoke.0);
                at = segment.child;
            }
        }
        changes
    }

    /// Moves a chain of other values to an instant of that operation, if one may be there.
    fn make_room(&mut self, blind: Blind) -> bool {
        let end = (self.moments).partition_point(|moment| moment.zone.last <= blind.returned);
        for number in (end.saturating_sub(TRIED)..end).rev() {
            let Moment { zone, at } = self.moments[number];
            let place = outside(self.forward, zone.last.max(blind.invoked));
            let is_free = place <= zone.first.min(blind.returned) && place != at;
            let root = &self.segments.all[zone.root as usize];
            if is_free && self.segments.value(self.key, root) != blind.from {
                self.moments[number].at = place;
                return true;
            }
        }
        false
    }
}

/// The first instant from `time` on that lies in no forward zone, its ends aside.
fn outside(forward: &[Zone], time: u64) -> u64 {
    let before = forward.partition_point(|zone| zone.first < time);
    match before.checked_sub(1).map(|at| forward[at].last) {
        Some(last) if last > time => last,
        _ => time,
    }
}
