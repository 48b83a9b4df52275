//! Bands: the faults as shaded spans of time behind the charts.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::history::{Event, EventKind, FaultAsked, Tag};

use super::svg::{Anchor, BOLD, Px, Svg, TimeAxis, ink, put, width_of};

/// One fault while it lasted.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// `T1`, or `F3` for a fault outside of trials.
    pub(super) tag: String,
    pub(super) label: String,
    verb: String,
    pub(super) ink: &'static str,
    pub(super) from: Nanos,
    pub(super) to: Nanos,
    pub(super) landed: bool,
}

/// The faults of a run in the order of injection; one that was never healed lasts to the end.
pub(super) fn bands(events: &[Event], end: Nanos) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    let mut places = BTreeMap::new();
    for event in events {
        match &event.kind {
            EventKind::FaultAsked(asked) => {
                places.insert(asked.fault, bands.len());
                bands.push(Band::of(asked, event.time, end));
            }
            EventKind::FaultLanded { fault } => {
                if let Some(place) = places.get(fault) {
                    bands[*place].landed = true;
                }
            }
            EventKind::FaultHealed { fault } | EventKind::FaultMissed { fault, .. } => {
                if let Some(place) = places.get(fault) {
                    bands[*place].to = event.time;
                }
            }
            _ => {}
        }
    }
    bands
}

/// Shades the faults.
pub(super) fn shade(svg: &mut Svg, bands: &[Band], axis: TimeAxis, top: f64, bottom: f64) {
    for band in bands.iter().take(MAX_BANDS) {
        let (from, to) = (axis.x(band.from), axis.x(band.to));
        svg.rect(from, top, (to - from).max(0.8), bottom - top, band.ink);
    }
}

/// Marks where the faults begin, from the first of `tops` down, and, if there are few of them,
/// where they end, from the second. Of very many faults the shade is enough.
pub(super) fn mark(svg: &mut Svg, bands: &[Band], axis: TimeAxis, tops: (f64, f64), bottom: f64) {
    let mut lines = String::new();
    if bands.len() > MANY {
        return;
    }
    for band in bands {
        put!(
            lines,
            "M{} {}V{}",
            Px(axis.x(band.from)),
            Px(tops.0),
            Px(bottom)
        );
        if bands.len() <= FEW {
            put!(
                lines,
                "M{} {}V{}",
                Px(axis.x(band.to)),
                Px(tops.1),
                Px(bottom)
            );
        }
    }
    svg.path(&lines, ink::EVENT);
}

/// Names the faults at height `y`, each as fully as the room up to the next one allows.
pub(super) fn name(svg: &mut Svg, bands: &[Band], axis: TimeAxis, y: f64) {
    let mut taken = axis.left - 4.0;
    for (at, band) in bands.iter().enumerate() {
        let x = axis.x(band.from) + 3.0;
        let room = bands
            .get(at + 1)
            .map_or(axis.right + 10.0, |next| axis.x(next.from))
            - x
            - 3.0;
        let missed = if band.landed { "" } else { " (missed)" };
        let names = [
            format!("{} {}{missed}", band.tag, band.label),
            format!("{} {}{missed}", band.tag, band.verb.replace('_', " ")),
            band.tag.clone(),
        ];
        let fits = names
            .iter()
            .find(|name| x >= taken && width_of(name) * BOLD <= room);
        if let Some(name) = fits {
            svg.text(x, y, Anchor::Start, ink::HALO, name);
            taken = x + width_of(name) * BOLD;
        }
    }
}

impl Band {
    /// `T1 SIGKILL n1 (leader)`.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.tag, self.label)
    }

    fn of(asked: &FaultAsked, from: Nanos, to: Nanos) -> Self {
        Self {
            tag: asked
                .trial
                .map_or_else(|| asked.fault.to_string(), |trial| trial.to_string()),
            label: asked.label.clone(),
            verb: asked.verb.clone(),
            ink: wash(&asked.effects),
            from,
            to,
            landed: false,
        }
    }
}

/// The shade for what a fault does: red for processes that are gone, amber for stopped ones,
/// violet for links.
fn wash(effects: &[Tag]) -> &'static str {
    let any = |test: fn(&Tag) -> bool| effects.iter().any(test);
    if any(|tag| matches!(tag, Tag::Down(_))) {
        r##"class="bd" fill="#cf222e" fill-opacity=".1""##
    } else if any(|tag| matches!(tag, Tag::Paused(_))) {
        r##"class="bp" fill="#e0a015" fill-opacity=".13""##
    } else if any(|tag| matches!(tag, Tag::Link { .. })) {
        r##"class="bl" fill="#8250df" fill-opacity=".1""##
    } else {
        r##"class="bo" fill="#57606a" fill-opacity=".1""##
    }
}

/// More bands than pixels say nothing.
const MAX_BANDS: usize = 1000;
/// More lines would hide the chart.
const MANY: usize = 120;
/// Up to this many, the end of each band is marked too.
const FEW: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_fault_has_its_band_from_asked_to_healed() {
        let record = sample::small();
        let bands = bands(&record.events, record.duration);
        let trials = &record.measurements.trials;
        assert_eq!(bands.len(), trials.len());
        for (band, trial) in bands.iter().zip(trials) {
            assert_eq!((band.from, Some(band.to)), (trial.asked, trial.healed));
            assert!(band.landed);
        }
    }

    #[test]
    fn a_fault_that_was_never_healed_lasts_to_the_end() {
        let mut record = sample::small();
        record
            .events
            .retain(|event| !matches!(event.kind, EventKind::FaultHealed { .. }));
        let bands = bands(&record.events, record.duration);
        assert!(bands.iter().all(|band| band.to == record.duration));
    }
}
