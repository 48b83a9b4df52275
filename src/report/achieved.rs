//! What the faults really did, in words: the figures that were counted while they were in force.

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::measure::TrialMeasure;

use super::text::{counted, grouped};

/// One kind of fault of a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Achieved {
    /// The plan's verb.
    pub(super) verb: String,
    /// How many of them were counted.
    pub(super) faults: usize,
    /// What all of them together did.
    pub(super) sentence: String,
}

/// The kinds of faults of which anything was counted, by their verbs.
pub(super) fn achieved(trials: &[TrialMeasure]) -> Vec<Achieved> {
    let mut kinds: BTreeMap<&str, (usize, Figures<'_>)> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| !trial.figures.is_empty()) {
        let (faults, sums) = kinds.entry(&trial.verb).or_default();
        *faults += 1;
        for (name, figure) in &trial.figures {
            *sums.0.entry(name).or_default() += figure;
        }
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(verb, (faults, sums))| Achieved {
            verb: verb.to_owned(),
            faults,
            sentence: sums.sentence(),
        })
        .collect()
}

/// Sums by the names of the figures.
#[derive(Default)]
struct Figures<'a>(BTreeMap<&'a str, u64>);

impl Figures<'_> {
    fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    fn sentence(&self) -> String {
        let mut parts = Vec::new();
        let stood = Nanos(self.get("stopped_for"));
        let span = Nanos(stood.0 + self.get("ran_for"));
        if span > Nanos(0) {
            parts.push(format!(
                "ran for {} of {span}",
                share(span.0 - stood.0, span.0)
            ));
        }
        for (part, whole, what) in SHARES {
            let part = self.get(part);
            // Of framed and of opaque streams together, frames and segments are counted.
            let whole = whole.split(' ').map(|whole| self.get(whole)).sum();
            if part > 0 {
                let of = format!("{} of {}", grouped(part), grouped(whole));
                parts.push(format!("{of} {what} ({})", share(part, whole)));
            }
        }
        if let waited @ 1.. = self.get("waited") {
            let each = Nanos(self.get("waited_for") / waited);
            parts.push(format!("{} pieces waited, {each} each", grouped(waited)));
        }
        if let throttled @ 1.. = self.get("bytes_throttled") {
            parts.push(format!("{} throttled", bytes(throttled)));
        }
        if self.0.contains_key("lost_bytes") {
            parts.push(format!(
                "lost {} in {} and {}",
                bytes(self.get("lost_bytes")),
                counted(self.get("lost_files") as usize, "file"),
                counted(self.get("lost_names") as usize, "name change")
            ));
        }
        match self.0.get("bytes") {
            Some(0) => parts.push("nothing passed".to_owned()),
            Some(count) => parts.push(format!("{} entered", bytes(*count))),
            None => {}
        }
        parts.join("; ")
    }
}

/// `12.5 %`.
#[expect(clippy::cast_precision_loss, reason = "for display only")]
fn share(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

#[expect(clippy::cast_precision_loss, reason = "for display only")]
fn bytes(count: u64) -> String {
    match count {
        0..1000 => format!("{count} B"),
        1000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// A figure that is a part of another one, and what it is called.
const SHARES: [(&str, &str, &str); 11] = [
    ("frames_dropped", "frames", "frames dropped"),
    ("frames_duplicated", "frames", "frames came twice"),
    ("frames_reordered", "frames", "frames overtaken"),
    (
        "segments_stalled",
        "segments",
        "segments lost and sent again",
    ),
    ("segments_corrupted", "frames segments", "pieces corrupted"),
    ("segments_deleted", "segments", "segments deleted"),
    ("lost", "packets", "packets lost"),
    ("cut", "packets", "packets met a cut"),
    ("duplicated", "packets", "packets came twice"),
    ("reordered", "packets", "packets overtaken"),
    ("hits", "calls", "calls struck"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn sentence(figures: &[(&str, u64)]) -> String {
        Figures(figures.iter().copied().collect()).sentence()
    }

    #[test]
    fn figures_read_as_what_was_done() {
        assert_eq!(
            sentence(&[("bytes", 12_345), ("frames", 1000), ("frames_dropped", 201)]),
            "201 of 1,000 frames dropped (20.1 %); 12.3 kB entered"
        );
        assert_eq!(sentence(&[("bytes", 0)]), "nothing passed");
        assert_eq!(
            sentence(&[("bytes", 8), ("waited", 2), ("waited_for", 20_400_000)]),
            "2 pieces waited, 10.2 ms each; 8 B entered"
        );
        assert_eq!(
            sentence(&[("ran_for", 800_000_000), ("stopped_for", 200_000_000)]),
            "ran for 80.0 % of 1.00 s"
        );
        assert_eq!(
            sentence(&[("bytes", 1), ("frames", 100), ("segments_corrupted", 5)]),
            "5 of 100 pieces corrupted (5.0 %); 1 B entered"
        );
        assert_eq!(
            sentence(&[("calls", 40), ("hits", 3)]),
            "3 of 40 calls struck (7.5 %)"
        );
        assert_eq!(
            sentence(&[
                ("lost_bytes", 2_000_000),
                ("lost_files", 1),
                ("lost_names", 0)
            ]),
            "lost 2.0 MB in 1 file and 0 name changes"
        );
    }

    #[test]
    fn faults_of_one_verb_are_taken_together_and_uncounted_ones_left_out() {
        let mut trials = sample::small().measurements.trials;
        assert_eq!(achieved(&trials), []);
        for trial in trials.iter_mut().take(2) {
            trial.verb = "cut".to_owned();
            trial.figures = BTreeMap::from([("bytes".to_owned(), 3)]);
        }
        let expected = Achieved {
            verb: "cut".to_owned(),
            faults: 2,
            sentence: "6 B entered".to_owned(),
        };
        assert_eq!(achieved(&trials), [expected]);
    }
}
