//! Which nodes died without anybody having asked for it, and which of these deaths follow from
//! what was done to them.
//!
//! A node may give up when its descriptors or its disk fail, and must refuse files that were
//! changed behind its back. Such a death is *excused*: it is told, and is no mark against the node.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::history::{Event, EventKind, FaultAsked, NodeEventKind, Tag};
use crate::id::{FaultId, NodeId};

/// A process may take this long to end after what it cannot bear has ended.
const AFTERMATH: Nanos = Nanos::from_secs(1);

/// So many deaths are named one by one.
const NAMED: usize = 5;

/// The deaths of a run that nobody asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deaths {
    /// Each with its time and how it ended.
    pub(super) unexplained: Vec<String>,
    /// How many follow from a fault.
    pub(super) excused: usize,
}

/// Goes through the events in the order of their times.
pub(super) fn deaths(events: &[Event]) -> Deaths {
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by_key(|event| event.time);
    let mut troubles = Troubles::default();
    let mut deaths = Deaths::default();
    for event in sorted {
        match &event.kind {
            EventKind::FaultAsked(asked) => troubles.begin(asked),
            EventKind::FaultHealed { fault } | EventKind::FaultMissed { fault, .. } => {
                troubles.end(*fault, event.time);
            }
            EventKind::Node(said)
                if matches!(
                    said.what,
                    NodeEventKind::Synced { .. } | NodeEventKind::Active { .. }
                ) =>
            {
                troubles.harmed.remove(&said.node);
            }
            EventKind::ProcessExited {
                node,
                status,
                asked: false,
            } => {
                if troubles.excuse(*node, event.time) {
                    deaths.excused += 1;
                } else {
                    let at = event.time.as_secs_f64();
                    deaths
                        .unexplained
                        .push(format!("{node} at {at:.1} s ({status:?})"));
                }
            }
            _ => {}
        }
    }
    deaths
}

impl Deaths {
    /// The unexplained ones, not all by name if there are many.
    pub(super) fn names(&self) -> String {
        let named = self.unexplained.iter().take(NAMED);
        let mut text = named.cloned().collect::<Vec<_>>().join(", ");
        if let Some(more) = self.unexplained.len().checked_sub(NAMED + 1) {
            text.push_str(&format!(" and {} more", more + 1));
        }
        text
    }
}

/// What a node may die of.
#[derive(Default)]
struct Troubles {
    /// Faults that a process may not bear, each with its nodes and the time of its end.
    unbearable: BTreeMap<FaultId, (Vec<NodeId>, Option<Nanos>)>,
    /// Nodes whose files were changed and that have not been in sync since.
    harmed: BTreeMap<NodeId, FaultId>,
}

impl Troubles {
    fn begin(&mut self, asked: &FaultAsked) {
        let mut nodes = Vec::new();
        for tag in &asked.effects {
            let Tag::Hampered { node, how } = tag else {
                continue;
            };
            match how.as_str() {
                "file" => {
                    self.harmed.insert(*node, asked.fault);
                }
                // A process that is only slow has no reason to end.
                "stutter" | "clock" => {}
                _ => nodes.push(*node),
            }
        }
        if !nodes.is_empty() {
            self.unbearable.insert(asked.fault, (nodes, None));
        }
    }

    /// File faults end at once; their harm goes on.
    fn end(&mut self, fault: FaultId, time: Nanos) {
        if let Some((_, end)) = self.unbearable.get_mut(&fault) {
            *end = Some(time);
        }
    }

    fn excuse(&self, node: NodeId, time: Nanos) -> bool {
        self.harmed.contains_key(&node)
            || self.unbearable.values().any(|(nodes, end)| {
                nodes.contains(&node) && end.is_none_or(|end| time <= end + AFTERMATH)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ExitStatus, NodeEvent};

    fn at(millis: u64, kind: EventKind) -> Event {
        Event {
            time: Nanos::from_millis(millis),
            kind,
        }
    }

    fn asked(fault: u32, node: u8, how: &str) -> EventKind {
        EventKind::FaultAsked(FaultAsked {
            fault: FaultId(fault),
            trial: None,
            verb: how.to_owned(),
            label: how.to_owned(),
            nodes: vec![NodeId(node)],
            on_leader: false,
            effects: vec![Tag::Hampered {
                node: NodeId(node),
                how: how.to_owned(),
            }],
        })
    }

    fn healed(fault: u32) -> EventKind {
        EventKind::FaultHealed {
            fault: FaultId(fault),
        }
    }

    fn exit(node: u8, asked: bool) -> EventKind {
        EventKind::ProcessExited {
            node: NodeId(node),
            status: ExitStatus::Code(1),
            asked,
        }
    }

    fn active(node: u8) -> EventKind {
        EventKind::Node(NodeEvent {
            node: NodeId(node),
            what: NodeEventKind::Active { epoch: 1, zxid: 0 },
        })
    }

    #[test]
    fn a_death_under_a_limit_and_shortly_after_is_excused() {
        let events = [
            at(0, asked(1, 1, "fd_limit")),
            at(10, exit(1, false)),
            at(20, exit(2, false)),
            at(30, healed(1)),
            at(1000, exit(1, false)),
            at(1100, exit(1, false)),
            at(1200, exit(3, true)),
        ];
        let found = deaths(&events);
        assert_eq!(found.excused, 2);
        assert_eq!(
            found.names(),
            "n2 at 0.0 s (Code(1)), n1 at 1.1 s (Code(1))"
        );
    }

    #[test]
    fn harmed_files_excuse_deaths_until_the_node_is_in_sync() {
        let events = [
            at(0, asked(1, 1, "file")),
            at(1, healed(1)),
            at(5000, exit(1, false)),
            at(6000, exit(1, false)),
            at(7000, active(1)),
            at(8000, exit(1, false)),
        ];
        let found = deaths(&events);
        assert_eq!(found.excused, 2);
        assert_eq!(found.unexplained.len(), 1);
    }

    #[test]
    fn a_slow_process_has_no_excuse_and_many_deaths_are_counted() {
        let mut events = vec![at(0, asked(1, 1, "stutter"))];
        events.extend((1..=7).map(|time| at(time, exit(1, false))));
        let found = deaths(&events);
        assert_eq!(found.excused, 0);
        assert!(found.names().ends_with("and 2 more"), "{}", found.names());
    }
}
