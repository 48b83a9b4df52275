//! The log of a node as it will be once all disk batches are done.
//!
//! Behind its *base* (the last transaction that is not kept any more) every transaction directly
//! follows the one before it. What of it is durable is known to [`super::gate::Gate`].

use std::collections::VecDeque;

use super::io::BootError;
use super::message::{Entry, MAX_EPOCH_ENDS};
use super::zxid::Zxid;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Log {
    base: Zxid,
    entries: VecDeque<Entry>,
}

impl Log {
    /// Checks what the disk gave.
    pub(super) fn new(base: Zxid, entries: Vec<Entry>) -> Result<Self, BootError> {
        let mut log = Self {
            base,
            entries: VecDeque::with_capacity(entries.len()),
        };
        for entry in entries {
            let (previous, next) = (log.last(), entry.zxid);
            if !log.append(entry) {
                return Err(BootError::Gap { previous, next });
            }
        }
        Ok(log)
    }

    /// Appends if the entry follows the last one; tells whether it did.
    #[must_use]
    pub(super) fn append(&mut self, entry: Entry) -> bool {
        let fits = entry.zxid.follows(self.last());
        if fits {
            self.entries.push_back(entry);
        }
        fits
    }

    /// Appends without asking whether the entry follows: what a planted bug may do.
    pub(super) fn append_unchecked(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Removes everything after `keep`, which must not lie before the base.
    pub(super) fn truncate(&mut self, keep: Zxid) {
        debug_assert!(keep >= self.base, "what is not kept cannot be cut");
        let length = self.position_after(keep);
        self.entries.truncate(length);
    }

    /// Forgets everything: the history up to `base` is in a snapshot.
    pub(super) fn reset(&mut self, base: Zxid) {
        self.base = base;
        self.entries.clear();
    }

    /// Forgets what lies at or before `covered`, but at most `most` entries, and keeps the `keep` newest
    /// at least.
    pub(super) fn compact(&mut self, covered: Zxid, keep: usize, most: usize) {
        let spare = self.entries.len().saturating_sub(keep).min(most);
        if spare == 0 {
            return;
        }
        let count = self.position_after(covered).min(spare);
        if let Some(last) = self.entries.drain(..count).next_back() {
            self.base = last.zxid;
        }
    }

    pub(super) const fn base(&self) -> Zxid {
        self.base
    }

    pub(super) fn last(&self) -> Zxid {
        self.entries.back().map_or(self.base, |entry| entry.zxid)
    }

    /// The entries after `zxid`, which must not lie before the base.
    pub(super) fn after(&self, zxid: Zxid) -> impl Iterator<Item = &Entry> {
        debug_assert!(zxid >= self.base, "what is not kept cannot be read");
        self.entries.range(self.position_after(zxid)..)
    }

    /// The entry that stands directly behind `zxid`.
    pub(super) fn next_after(&self, zxid: Zxid) -> Option<&Entry> {
        self.entries.get(self.position_after(zxid))
    }

    /// How many entries lie after `zxid`.
    pub(super) fn count_after(&self, zxid: Zxid) -> usize {
        self.entries.len() - self.position_after(zxid)
    }

    /// The last transaction of each epoch, newest first, as far as the log goes back.
    pub(super) fn epoch_ends(&self) -> Vec<Zxid> {
        let mut ends = vec![self.last()];
        while ends.len() < MAX_EPOCH_ENDS {
            let epoch = ends[ends.len() - 1].epoch();
            match self.last_up_to(Zxid::new(epoch, 0)) {
                Some(end) if end.epoch() < epoch => ends.push(end),
                _ => break,
            }
        }
        ends
    }

    /// The last transaction that this log shares with one whose epochs end like that, or `None`
    /// if it lies before the base or before the last end given.
    ///
    /// Every log that has a transaction of an epoch has all earlier ones of that epoch, so two
    /// logs share an epoch up to the lesser of its two ends.
    pub(super) fn common_point(&self, ends: &[Zxid]) -> Option<Zxid> {
        for &theirs in ends {
            let ours = self.last_up_to(Zxid::new(theirs.epoch(), u32::MAX))?;
            if ours.epoch() == theirs.epoch() {
                let common = ours.min(theirs);
                return (common >= self.base).then_some(common);
            }
        }
        None
    }

    /// The last transaction at or before `zxid`; `None` before the base.
    fn last_up_to(&self, zxid: Zxid) -> Option<Zxid> {
        if zxid < self.base {
            return None;
        }
        Some(match self.position_after(zxid).checked_sub(1) {
            Some(index) => self.entries[index].zxid,
            None => self.base,
        })
    }

    fn position_after(&self, zxid: Zxid) -> usize {
        self.entries.partition_point(|entry| entry.zxid <= zxid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::message::Payload;
    use super::super::zxid::Sid;
    use super::*;

    fn entry(epoch: u32, counter: u32) -> Entry {
        Entry {
            zxid: Zxid::new(epoch, counter),
            origin: Sid(1),
            request: 0,
            payload: Payload::from([]),
        }
    }

    /// A log with these many transactions in epochs 1, 2, 3 ….
    fn log(lengths: &[u32]) -> Log {
        let mut entries = Vec::new();
        for (epoch, &length) in (1..).zip(lengths) {
            entries.extend((1..=length).map(|counter| entry(epoch, counter)));
        }
        Log::new(Zxid::ZERO, entries).unwrap()
    }

    #[test]
    fn a_log_with_a_hole_is_refused() {
        let error = Log::new(Zxid::ZERO, vec![entry(1, 1), entry(1, 3)]).unwrap_err();
        assert_eq!(
            error,
            BootError::Gap {
                previous: Zxid::new(1, 1),
                next: Zxid::new(1, 3)
            }
        );
        let mut log = log(&[2]);
        assert!(!log.append(entry(1, 2)) && !log.append(entry(2, 2)));
        assert_eq!(log.last(), Zxid::new(1, 2));
    }

    #[test]
    fn epoch_ends_run_from_the_newest_to_the_base() {
        assert_eq!(
            log(&[2, 0, 3]).epoch_ends(),
            [Zxid::new(3, 3), Zxid::new(1, 2), Zxid::ZERO]
        );
        assert_eq!(log(&[]).epoch_ends(), [Zxid::ZERO]);
        let mut compacted = log(&[2, 0, 3]);
        compacted.compact(Zxid::new(1, 2), 0, usize::MAX);
        assert_eq!(compacted.base(), Zxid::new(1, 2));
        assert_eq!(compacted.epoch_ends(), [Zxid::new(3, 3), Zxid::new(1, 2)]);
    }

    #[test]
    fn a_log_that_was_compacted_too_far_has_no_common_point() {
        let mut leader = log(&[5]);
        leader.compact(Zxid::new(1, 4), 0, usize::MAX);
        assert_eq!(leader.common_point(&log(&[3]).epoch_ends()), None);
        assert_eq!(
            leader.common_point(&log(&[4]).epoch_ends()),
            Some(Zxid::new(1, 4))
        );
        assert_eq!(leader.common_point(&[Zxid::ZERO]), None);
    }

    #[test]
    fn compaction_keeps_the_newest_entries() {
        let mut log = log(&[9]);
        log.compact(Zxid::new(1, 8), 5, 3);
        assert_eq!(log.base(), Zxid::new(1, 3), "a few at a time");
        log.compact(Zxid::new(1, 8), 5, 3);
        log.compact(Zxid::new(1, 8), 5, 3);
        assert_eq!((log.base(), log.last()), (Zxid::new(1, 4), Zxid::new(1, 9)));
        assert_eq!(log.count_after(Zxid::new(1, 4)), 5);
    }

    proptest! {
        /// Two logs that grew from a shared history, each with its own later epochs.
        #[test]
        fn the_common_point_is_the_longest_shared_prefix(
            shared in proptest::collection::vec(0u32..4, 0..4),
            ours in 0u32..4, theirs in 0u32..4, ours_has_the_epoch in any::<bool>(),
            next in 0u32..3,
        ) {
            // In the epoch after the shared ones both have a prefix of what its one leader
            // proposed; later epochs belong to either side alone.
            let mut one = shared.clone();
            let mut two = shared;
            one.push(ours);
            two.push(theirs);
            one.push(if ours_has_the_epoch { next } else { 0 });
            two.push(if ours_has_the_epoch { 0 } else { next });
            let (one, two) = (log(&one), log(&two));
            let shared = one
                .after(Zxid::ZERO)
                .zip(two.after(Zxid::ZERO))
                .take_while(|(a, b)| a.zxid == b.zxid)
                .last()
                .map_or(Zxid::ZERO, |(a, _)| a.zxid);
            proptest::prop_assert_eq!(one.common_point(&two.epoch_ends()), Some(shared));
        }
    }
}
