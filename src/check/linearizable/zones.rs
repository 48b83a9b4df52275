//! Zones: linearizability of a register with unique written values in near-linear time.
//!
//! After Gibbons & Korach, "Testing shared memories" (SIAM J. Comput. 26, 1997), extended to
//! compare-and-set and to operations of unknown outcome.
//!
//! *Zone* of a chain: from `first`, its earliest return, to `last`, its latest invocation. A chain
//! occupies the register without a gap. With `first < last` the zone is *forward*: the register
//! certainly holds the chain's values throughout. Otherwise it is *backward*: the chain fits into
//! any instant between `last` and `first`.
//!
//! Chain A must come before B if `first(A) < last(B)`; an order exists unless two chains must each
//! come before the other, which is: two forward zones overlap, or a backward zone lies inside a
//! forward one. (Longer cycles contain a cycle of two, because the relation only compares the two
//! numbers of a chain.) Inside a chain the order of the segments is given and checked by a running
//! maximum.

use std::cell::OnceCell;

use super::segments::{Mark, NONE, Segment, Segments, Stop};
use super::timeline::misfits;
use super::{KeyHistory, tick};
use crate::history::{Action, Outcome, Value};

/// What zones can say about a key.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::check) enum Answer {
    /// An order exists.
    Ok,
    /// No order exists.
    Illegal(Clash),
    /// Zones cannot tell.
    Undecided(Unsure),
}

/// Why zones cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::check) enum Unsure {
    /// Two updates have this value, and somebody saw it.
    Repeated(Value),
    /// So many failed CASes hide what they saw, and do not fit any place known to be free.
    Blind(usize),
}

/// The few operations that no order explains, as indices into the history; `NONE` for one that is
/// not there (the initial value has no writer).
///
/// *Proofs*: operations that show that an update of unknown outcome among the others took effect.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::check) enum Clash {
    /// A value was seen that nobody can have written.
    Unwritten {
        value: Value,
        reader: u32,
        proofs: Vec<u32>,
    },
    /// A value was seen, and only after that its write began.
    Future { writer: u32, reader: u32 },
    /// Two CASes replaced the same value, which was written once.
    TwoCas {
        value: Value,
        writer: u32,
        cas: [u32; 2],
        proofs: Vec<u32>,
    },
    /// CASes each of which needs the value of the one before, and none begins.
    Cycle { cas: Vec<u32>, proofs: Vec<u32> },
    /// `late` belongs before `early` in the chain, but began after `early` had returned.
    Order {
        late: u32,
        early: u32,
        links: Vec<u32>,
    },
    /// Two chains must each come before the other.
    Overlap { holds: Box<[Hold; 2]> },
}

/// How long a chain certainly lasted.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::check) struct Hold {
    /// The first operation of the chain to return; `NONE` for the initial value.
    pub(in crate::check) since: u32,
    /// The last operation of the chain to begin; `NONE` for the initial value.
    pub(in crate::check) until: u32,
    /// The updates that tie the two together.
    pub(in crate::check) links: Vec<u32>,
    /// What shows that those of them whose outcome is unknown took effect.
    pub(in crate::check) proofs: Vec<u32>,
    /// Whether the register held the chain from `since` to `until` (a forward zone).
    pub(in crate::check) is_forward: bool,
}

/// The zone of one chain.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
pub(super) struct Zone {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) root: u32,
}

impl Zone {
    pub(super) const fn is_forward(&self) -> bool {
        self.first < self.last
    }
}

/// Decides whether an order of the operations of `key` exists, if zones can tell.
pub(super) fn judge(key: &KeyHistory<'_>) -> Answer {
    match order(key) {
        Err(Stop::Illegal(clash)) => Answer::Illegal(clash),
        Err(Stop::Repeated(value)) => Answer::Undecided(Unsure::Repeated(value)),
        Ok((segments, forward)) => match blind(key, &segments, &forward) {
            0 => Answer::Ok,
            _ => match misfits(key, &segments, &forward) {
                0 => Answer::Ok,
                count => Answer::Undecided(Unsure::Blind(count)),
            },
        },
    }
}

/// Finds that an order exists, leaving aside failed CASes that hide what they saw; with the
/// forward zones in the order of time.
pub(super) fn order(key: &KeyHistory<'_>) -> Result<(Segments, Vec<Zone>), Stop> {
    let segments = Segments::group(key)?;
    let roots = segments.all.iter().filter(|s| s.is_root()).count();
    // Room for both that never moves: what is not used is not touched.
    let (mut forward, mut backward) = (Vec::with_capacity(roots), Vec::with_capacity(roots));
    let mut chained = 0;
    for (number, segment) in segments.all.iter().enumerate() {
        if segment.is_root() {
            let (zone, length) = follow(&segments, number as u32).map_err(Stop::Illegal)?;
            if zone.is_forward() {
                forward.push(zone);
            } else {
                backward.push(zone);
            }
            chained += length;
        }
    }
    let active = segments.all.iter().filter(|s| s.takes_effect()).count();
    if chained < active {
        return Err(Stop::Illegal(cycle(&segments)));
    }
    forward.sort_unstable_by_key(|zone| (zone.first, zone.root));
    if let Some([one, other]) = (forward.windows(2))
        .map(|pair| [pair[0], pair[1]])
        .find(|[one, other]| other.first < one.last)
    {
        return Err(Stop::Illegal(overlap(key, &segments, [one, other])));
    }
    for zone in &backward {
        // Forward zones do not overlap: only the last one that begins before can reach past.
        let before = forward.partition_point(|f| f.first < zone.last);
        if let Some(around) = before.checked_sub(1).map(|at| forward[at])
            && zone.first < around.last
        {
            return Err(Stop::Illegal(overlap(key, &segments, [around, *zone])));
        }
    }
    Ok((segments, forward))
}

/// Walks a chain from its root; returns its zone and its number of segments.
pub(super) fn follow(segments: &Segments, root: u32) -> Result<(Zone, usize), Clash> {
    let mut zone = Zone {
        first: u64::MAX,
        last: 0,
        root,
    };
    let mut length = 0;
    let mut at = root;
    while at != NONE {
        let segment = &segments.all[at as usize];
        if segment.too_early != NONE {
            return Err(Clash::Future {
                writer: segment.writer,
                reader: segment.too_early,
            });
        }
        if segment.first_return.0 < zone.last {
            return Err(disorder(segments, at));
        }
        zone.first = zone.first.min(segment.first_return.0);
        zone.last = zone.last.max(segment.last_invoke.0);
        length += 1;
        at = segment.child;
    }
    Ok((zone, length))
}

/// The nearest segment before `at` that began something after `at` had returned something.
fn disorder(segments: &Segments, at: u32) -> Clash {
    let Mark(returned, early) = segments.all[at as usize].first_return;
    let mut links = vec![segments.all[at as usize].writer];
    let mut earlier = segments.all[at as usize].parent;
    while earlier != NONE {
        let segment = &segments.all[earlier as usize];
        links.push(segment.writer);
        if segment.last_invoke.0 > returned {
            return Clash::Order {
                late: segment.last_invoke.1,
                early,
                links,
            };
        }
        earlier = segment.parent;
    }
    unreachable!("the caller found a later invocation in an earlier segment of this chain");
}

/// CASes that take effect and hang on no root.
fn cycle(segments: &Segments) -> Clash {
    let roots = segments.roots();
    let start = (0..segments.all.len())
        .find(|number| segments.all[*number].takes_effect() && roots[*number] == NONE);
    let start = start.expect("the caller counted more segments than the chains have");
    let (mut cas, mut proofs) = (Vec::new(), Vec::new());
    let mut at = start as u32;
    loop {
        cas.push(segments.all[at as usize].writer);
        proofs.extend(segments.proofs(at));
        at = segments.all[at as usize].parent;
        if at == start as u32 {
            return Clash::Cycle { cas, proofs };
        }
    }
}

/// Tells the clash of two zones by as few operations as it takes.
fn overlap(key: &KeyHistory<'_>, segments: &Segments, zones: [Zone; 2]) -> Clash {
    let [one, other] = zones;
    // One acknowledged update inside the forward zone of the other chain says it all.
    for (around, inside) in [(one, other), (other, one)] {
        let update = chain(segments, inside.root)
            .map(|at| &segments.all[at as usize])
            .find(|segment| segment.is_within(key, around.first, around.last));
        if let Some(segment) = update.filter(|_| around.is_forward()) {
            let alone = Hold {
                since: segment.writer,
                until: segment.writer,
                links: vec![segment.writer],
                proofs: Vec::new(),
                is_forward: false,
            };
            return Clash::Overlap {
                holds: Box::new([hold(segments, around), alone]),
            };
        }
    }
    Clash::Overlap {
        holds: Box::new(zones.map(|zone| hold(segments, zone))),
    }
}

/// The segments of a chain in their order.
pub(super) fn chain(segments: &Segments, root: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(root), |at| {
        Some(segments.all[*at as usize].child).filter(|child| *child != NONE)
    })
}

/// The operations that make a zone what it is.
fn hold(segments: &Segments, zone: Zone) -> Hold {
    let chain: Vec<u32> = chain(segments, zone.root).collect();
    let place = |is_it: &dyn Fn(&Segment) -> bool| {
        let found = chain
            .iter()
            .position(|at| is_it(&segments.all[*at as usize]));
        found.expect("the zone's ends are ends of segments of its chain")
    };
    let first = place(&|segment| segment.first_return.0 == zone.first);
    let last = place(&|segment| segment.last_invoke.0 == zone.last);
    let links = &chain[first.min(last)..=first.max(last)];
    Hold {
        since: segments.all[chain[first] as usize].first_return.1,
        until: segments.all[chain[last] as usize].last_invoke.1,
        links: links
            .iter()
            .map(|at| segments.all[*at as usize].writer)
            .collect(),
        proofs: links.iter().flat_map(|at| segments.proofs(*at)).collect(),
        is_forward: zone.is_forward(),
    }
}

/// How many failed CASes hide what they saw and cannot be placed by what the zones show.
///
/// Such a CAS says only "the value was not `from`". It fits for certain before the write of `from`
/// began, and inside the forward zone of another chain.
pub(super) fn blind(key: &KeyHistory<'_>, segments: &Segments, forward: &[Zone]) -> usize {
    let roots = OnceCell::new();
    let mut count = 0;
    for (_, operation) in key.iter() {
        let (Action::Cas { from, .. }, Outcome::Fail, None) =
            (operation.action, operation.outcome, operation.seen)
        else {
            continue;
        };
        let Some(number) = segments.of_value(from) else {
            continue;
        };
        let segment = &segments.all[number as usize];
        let (invoked, returned) = (tick(operation.invoked), tick(operation.completed));
        if !segment.is_repeated && (!segment.takes_effect() || invoked < segment.invoked) {
            continue;
        }
        let root = roots.get_or_init(|| segments.roots())[number as usize];
        let after = forward.partition_point(|zone| zone.last < invoked);
        let is_placed = forward[after..]
            .iter()
            .take_while(|zone| zone.first <= returned)
            .take(2)
            .any(|zone| zone.root != root);
        count += usize::from(segment.is_repeated || !is_placed);
    }
    count
}
