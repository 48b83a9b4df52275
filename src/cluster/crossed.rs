//! What crossed the links of a fault while it was in force: what it really did.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::Effect;
use super::keep::Achieved;
use crate::clock::Nanos;
use crate::id::{FaultId, NodeId};
use crate::link::LinkId;

/// Counts by their names, times in nanoseconds.
pub type Figures = BTreeMap<String, u64>;

/// What had crossed each link at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crossed {
    links: BTreeMap<LinkId, BTreeMap<&'static str, u64>>,
}

/// The faults of links in force, and what had crossed their links when they came into force.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    since: BTreeMap<FaultId, Since>,
}

#[derive(Debug)]
struct Since {
    links: BTreeSet<LinkId>,
    crossed: Crossed,
    stuttering: BTreeSet<NodeId>,
}

impl Crossed {
    /// `named` gives the counts of one link by their names.
    pub(super) fn of<C, const N: usize>(
        counters: &BTreeMap<LinkId, C>,
        named: impl Fn(&C) -> [(&'static str, u64); N],
    ) -> Self {
        let counts = counters.iter();
        let links = counts.map(|(link, counts)| (*link, named(counts).into_iter().collect()));
        Self {
            links: links.collect(),
        }
    }

    /// What has crossed these links since another instant, all together. What did not happen is
    /// left out, but not that nothing passed: `bytes` is always there.
    fn since(&self, before: &Self, links: &BTreeSet<LinkId>) -> Figures {
        let mut figures = Figures::from([("bytes".to_owned(), 0)]);
        for link in links {
            for (name, now) in self.links.get(link).into_iter().flatten() {
                let past = before.links.get(link).and_then(|counts| counts.get(name));
                let more = now.saturating_sub(past.copied().unwrap_or(0));
                if more > 0 {
                    *figures.entry((*name).to_owned()).or_default() += more;
                }
            }
        }
        figures
    }
}

impl Gauge {
    /// A fault comes into force. Nothing is gauged of one that neither touches links nor lets
    /// processes stutter.
    pub(super) fn begin(&mut self, fault: FaultId, effects: &[Effect], crossed: Crossed) {
        let links = effects.iter().filter_map(|effect| match effect {
            Effect::Link { link, .. } => Some(*link),
            _ => None,
        });
        let stuttering = effects.iter().filter_map(|effect| match effect {
            Effect::Stutter { node, .. } => Some(*node),
            _ => None,
        });
        let since = Since {
            links: links.collect(),
            crossed,
            stuttering: stuttering.collect(),
        };
        if !since.links.is_empty() || !since.stuttering.is_empty() {
            self.since.insert(fault, since);
        }
    }

    /// A fault did not come into force.
    pub(super) fn forget(&mut self, fault: FaultId) {
        self.since.remove(&fault);
    }

    /// These faults are lifted; `achieved` tells once how the stutter of a node went.
    pub(super) fn end(
        &mut self,
        faults: &[FaultId],
        crossed: &Crossed,
        mut achieved: impl FnMut(NodeId) -> Option<Achieved>,
    ) -> BTreeMap<FaultId, Figures> {
        let mut gauged = BTreeMap::new();
        for fault in faults {
            let Some(since) = self.since.remove(fault) else {
                continue;
            };
            let mut figures = Figures::new();
            if !since.links.is_empty() {
                figures = crossed.since(&since.crossed, &since.links);
            }
            for achieved in since.stuttering.into_iter().filter_map(&mut achieved) {
                for (name, time) in [("stopped_for", achieved.stopped), ("ran_for", achieved.ran)] {
                    *figures.entry(name.to_owned()).or_default() += Nanos::from(time).0;
                }
            }
            if !figures.is_empty() {
                gauged.insert(*fault, figures);
            }
        }
        gauged
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::link::{Endpoint, Rule};

    fn link(from: u8, to: u8) -> LinkId {
        LinkId::new(Endpoint::Node(NodeId(from)), Endpoint::Node(NodeId(to)))
    }

    fn crossed(bytes: [u64; 3], dropped: u64) -> Crossed {
        let links = [link(1, 2), link(2, 1), link(1, 3)];
        let bytes = links.into_iter().zip(bytes).collect();
        Crossed::of(&bytes, |bytes| [("bytes", *bytes), ("dropped", dropped)])
    }

    #[test]
    fn a_fault_is_told_what_crossed_its_own_links_while_it_lasted() {
        let mut gauge = Gauge::default();
        let effects = [link(1, 2), link(2, 1)].map(|link| Effect::Link {
            link,
            rule: Rule::Cut,
        });
        gauge.begin(FaultId(1), &effects, crossed([10, 20, 30], 1));
        gauge.begin(FaultId(2), &effects[..1], crossed([10, 20, 30], 1));
        gauge.begin(FaultId(3), &[Effect::Paused(NodeId(1))], Crossed::default());
        let ended = gauge.end(&[FaultId(1), FaultId(3)], &crossed([15, 20, 99], 1), |_| {
            None
        });
        let figures = Figures::from([("bytes".to_owned(), 5)]);
        assert_eq!(ended, BTreeMap::from([(FaultId(1), figures)]));
        let ended = gauge.end(&[FaultId(2)], &crossed([10, 20, 99], 4), |_| None);
        let figures = Figures::from([("bytes".to_owned(), 0), ("dropped".to_owned(), 3)]);
        assert_eq!(ended, BTreeMap::from([(FaultId(2), figures)]));
    }

    #[test]
    fn a_stutter_is_told_how_long_its_processes_stood_and_ran() {
        let mut gauge = Gauge::default();
        let effects = [1, 2].map(|node| Effect::Stutter {
            node: NodeId(node),
            share: 0.5,
            period: Nanos::from_millis(100),
        });
        gauge.begin(FaultId(1), &effects, Crossed::default());
        let ended = gauge.end(&[FaultId(1)], &Crossed::default(), |_| {
            Some(Achieved {
                stopped: Duration::from_nanos(3),
                ran: Duration::from_nanos(2),
            })
        });
        let figures = [("stopped_for".to_owned(), 6), ("ran_for".to_owned(), 4)];
        assert_eq!(ended, BTreeMap::from([(FaultId(1), figures.into())]));
    }
}
