//! A simulated network: connections that keep their order, links that lose, delay or cut.

use std::collections::BTreeMap;

use chaos_node::protocol::zxid::ConnId;

use super::rng::Rng;

/// What happens to frames from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Pass,
    /// So many of a million are lost.
    Lose(u64),
    /// All are lost.
    Cut,
    /// All come later by so many nanoseconds.
    Delay(u64),
}

/// One end of a connection: the node and which of its boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) boot: u64,
}

/// A connection. Direction 0 goes from the dialling end to the accepting one.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) ends: [End; 2],
    /// When the last frame of each direction arrives: later ones do not overtake it.
    pub(crate) last_arrival: [u64; 2],
    /// Frames that would arrive later are lost.
    pub(crate) broken_at: [u64; 2],
    /// The last message that each end has sent; older ones are repetitions.
    pub(crate) said: [u64; 2],
    /// The end was told, or closed it itself.
    pub(crate) closed: [bool; 2],
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Net {
    rules: Vec<Vec<Rule>>,
    /// One source of chance for each way, so that a frame more on one leaves the others alone.
    chance: Vec<Vec<Rng>>,
    /// When the way was last harmed.
    harmed: Vec<Vec<u64>>,
    /// Every frame takes up to so many nanoseconds longer, so that steps of different nodes
    /// overlap which otherwise never would.
    slowness: u64,
    pub(crate) conns: BTreeMap<u64, Conn>,
    next: u64,
}

/// The connection and the end to which an id belongs.
pub(crate) fn locate(conn: ConnId) -> (u64, usize) {
    (conn.0 / 2, (conn.0 % 2) as usize)
}

/// The id that an end of a connection uses.
pub(crate) fn id_of(conn: u64, end: usize) -> ConnId {
    ConnId(conn * 2 + end as u64)
}

impl Net {
    pub(crate) fn new(seed: u64, nodes: usize) -> Self {
        let stream = |from: usize, to: usize| Rng::stream(seed, 1000 + (from * 64 + to) as u64);
        let streams = |from: usize| (0..nodes).map(|to| stream(from, to)).collect();
        Self {
            rules: vec![vec![Rule::Pass; nodes]; nodes],
            chance: (0..nodes).map(streams).collect(),
            harmed: vec![vec![0; nodes]; nodes],
            slowness: 0,
            conns: BTreeMap::new(),
            next: 1,
        }
    }

    pub(crate) fn set(&mut self, from: usize, to: usize, rule: Rule, now: u64) {
        self.rules[from][to] = rule;
        self.harmed[from][to] = now;
    }

    pub(crate) fn heal(&mut self, now: u64) {
        for (rules, harmed) in self.rules.iter_mut().zip(&mut self.harmed) {
            for (rule, harmed) in rules.iter_mut().zip(harmed) {
                if std::mem::replace(rule, Rule::Pass) != Rule::Pass {
                    *harmed = now;
                }
            }
        }
    }

    /// From now on every frame takes up to `longest` longer.
    pub(crate) fn slow(&mut self, longest: u64, now: u64) {
        if std::mem::replace(&mut self.slowness, longest) != 0 {
            for harmed in self.harmed.iter_mut().flatten() {
                *harmed = now;
            }
        }
    }

    /// Something else than a rule harms the link between these.
    pub(crate) fn harm(&mut self, one: usize, two: usize, now: u64) {
        self.harmed[one][two] = now;
        self.harmed[two][one] = now;
    }

    /// Whether nothing has harmed the link between these since `since`.
    pub(crate) fn is_clean(&self, one: usize, two: usize, since: u64) -> bool {
        self.slowness == 0
            && [(one, two), (two, one)].into_iter().all(|(from, to)| {
                self.rules[from][to] == Rule::Pass && self.harmed[from][to] < since
            })
    }

    /// How long something takes from one node to the other, without rules.
    pub(crate) fn latency(&mut self, from: usize, to: usize) -> u64 {
        latency(&mut self.chance[from][to])
    }

    /// True `parts` times out of a million, for this way.
    pub(crate) fn chance(&mut self, from: usize, to: usize, parts: u64) -> bool {
        self.chance[from][to].chance(parts)
    }

    /// A number below `bound`, for this way.
    pub(crate) fn below(&mut self, from: usize, to: usize, bound: u64) -> u64 {
        self.chance[from][to].below(bound)
    }

    pub(crate) fn rule(&self, from: usize, to: usize) -> Rule {
        self.rules[from][to]
    }

    pub(crate) fn open(&mut self, ends: [End; 2], now: u64) -> u64 {
        let conn = self.next;
        self.next += 1;
        let state = Conn {
            ends,
            last_arrival: [now; 2],
            broken_at: [u64::MAX; 2],
            said: [0; 2],
            closed: [false; 2],
        };
        self.conns.insert(conn, state);
        conn
    }

    /// When a frame sent now arrives, if it does.
    pub(crate) fn arrival(&mut self, conn: u64, direction: usize, now: u64) -> Option<u64> {
        let state = self.conns.get_mut(&conn)?;
        let (from, to) = (state.ends[direction].node, state.ends[1 - direction].node);
        let rng = &mut self.chance[from][to];
        let extra = match self.rules[from][to] {
            Rule::Pass => 0,
            Rule::Cut => return None,
            Rule::Lose(parts) if rng.chance(parts) => return None,
            Rule::Lose(_) => 0,
            Rule::Delay(extra) => extra,
        };
        let extra = extra + rng.below(self.slowness + 1);
        let arrival = (now + latency(rng) + extra).max(state.last_arrival[direction] + 1);
        state.last_arrival[direction] = arrival;
        (arrival < state.broken_at[direction]).then_some(arrival)
    }
}

/// The way over a loopback and through a proxy, in nanoseconds, sometimes delayed by scheduling.
fn latency(rng: &mut Rng) -> u64 {
    if rng.chance(5_000) {
        rng.between(500_000, 6_000_000)
    } else {
        rng.between(40_000, 160_000)
    }
}
