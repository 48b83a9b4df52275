//! Reading a log back: which segments belong to it, what they hold, and where to go on.
//!
//! A crash leaves three things behind the last durable batch: nothing, a torn batch, and segments that
//! were made but not used. Everything else is damage, and refused.

use std::collections::VecDeque;

use super::background::Background;
use super::error::{Damage, StorageError};
use super::files::{self, Files};
use super::home::Home;
use super::segment::{Contents, OpenSegment, SegmentId, Tail};
use super::shape::Shape;
use super::wal::{Position, Segment, Wal};
use crate::protocol::message::Entry;
use crate::protocol::zxid::Zxid;

/// A log, and what it holds.
pub(super) type Log<F> = (Wal<F>, Vec<Entry>);

/// Reads the log of these segments, which are of one generation and rise. Deletes what is void. Gives
/// `None` if no batch was ever written.
pub(super) fn recover<F: Files>(
    home: &Home<F>,
    background: &Background,
    segments: &[SegmentId],
    segment_bytes: usize,
) -> Result<Option<Log<F>>, StorageError> {
    let (void, mut run) = consecutive(segments);
    let mut read = Vec::new();
    for id in run {
        read.push((*id, Contents::read(home, *id)?));
    }
    let Some(used) = read
        .iter()
        .rposition(|(_, contents)| !contents.batches.is_empty())
    else {
        return Ok(None);
    };
    drop_marks(&mut read);
    check_numbers(home, &read, used)?;
    let unused: Vec<SegmentId>;
    (run, unused) = (
        &run[..=used],
        read[used + 1..].iter().map(|(id, _)| *id).collect(),
    );
    read.truncate(used + 1);

    let (shape, placed, entries) = replay(home, &mut read)?;
    files::remove_all(&home.files, &home.dir, void.iter().map(|id| id.name()))?;
    // Newest first and one by one: a gap before one that is left would make it seem the whole log.
    for id in unused.iter().rev() {
        files::remove_all(&home.files, &home.dir, [id.name()])?;
    }
    let (id, contents) = &read[run.len() - 1];
    // A torn batch is overwritten: it has one head, in front, so nothing behind can be taken for a batch.
    let position = Position {
        open: OpenSegment::resume(home, *id, contents)?,
        segments: placed,
        number: contents.last_number().unwrap_or(0) + 1,
        shape,
    };
    let wal = Wal::start(home, background, position, segment_bytes)?;
    Ok(Some((wal, entries)))
}

/// The newest segments whose sequences have no gap, and those before them. What was forgotten may be
/// deleted in any order, so older ones may be left; whether too many are gone shows in the base.
fn consecutive(segments: &[SegmentId]) -> (&[SegmentId], &[SegmentId]) {
    let gap = segments
        .windows(2)
        .rposition(|pair| pair[0].sequence + 1 != pair[1].sequence);
    segments.split_at(gap.map_or(0, |index| index + 1))
}

/// Removes what tells only that a segment was durable, if the batch that took its number stands in the
/// next segment.
fn drop_marks(read: &mut [(SegmentId, Contents)]) {
    for index in 1..read.len() {
        let next = read[index].1.batches.first().map(|batch| batch.number);
        let contents = &mut read[index - 1].1;
        let is_superseded = |number| next == Some(number);
        if let Some(mark) = contents
            .batches
            .pop_if(|batch| batch.entries.is_empty() && is_superseded(batch.number))
        {
            contents.end = mark.start;
        }
    }
}

/// Whether the batches up to the segment `used` are all there, and those that a seal vouches for.
fn check_numbers<F: Files>(
    home: &Home<F>,
    read: &[(SegmentId, Contents)],
    used: usize,
) -> Result<(), StorageError> {
    let mut expected = None;
    for (index, (id, contents)) in read.iter().enumerate() {
        let first = contents.batches.first().map(|batch| batch.number);
        if let (Some(expected), Some(first)) = (expected, first)
            && expected != first
        {
            let (before, contents) = &read[index - 1];
            let what = format!("batch {expected} is missing: the next segment begins with {first}");
            return Err(Damage::at(contents.end, what).of(&before.path(home)));
        }
        if first.is_none() && index < used {
            let what = "no batch, and a later segment has one";
            return Err(Damage::at(contents.end, what).of(&id.path(home)));
        }
        expected = contents.last_number().map(|number| number + 1).or(expected);
    }
    for (id, contents) in read {
        if let Tail::Sealed(number) = contents.tail
            && expected <= Some(number)
        {
            let what = format!("a seal, but batch {number}, which stood behind it, is missing");
            return Err(Damage::at(contents.end, what).of(&id.path(home)));
        }
    }
    Ok(())
}

/// Applies the batches in their order.
fn replay<F: Files>(
    home: &Home<F>,
    read: &mut [(SegmentId, Contents)],
) -> Result<(Shape, VecDeque<Segment>, Vec<Entry>), StorageError> {
    let mut placed = VecDeque::new();
    let mut shape: Option<Shape> = None;
    let mut entries: Vec<Entry> = Vec::new();
    for (id, contents) in read {
        let mut reach: Option<Zxid> = None;
        for batch in &mut contents.batches {
            let base = batch.base;
            let log = shape.get_or_insert_with(|| Shape::new(base));
            if base < log.base() {
                *log = Shape::new(base);
                entries.clear();
            } else if log.floor(base) == Some(base) {
                log.truncate(base);
                entries.truncate(entries.partition_point(|entry| entry.zxid <= base));
            } else {
                let what = format!("a batch behind {base}, which is not in the log");
                return Err(Damage::at(batch.start, what).of(&id.path(home)));
            }
            for entry in &batch.entries {
                if !log.push(entry.zxid) {
                    let what = format!("transaction {} behind {}", entry.zxid, log.last());
                    return Err(Damage::at(batch.start, what).of(&id.path(home)));
                }
            }
            entries.append(&mut batch.entries);
            reach = Some(reach.map_or(base, |reach| reach.min(base)));
        }
        if let Some(reach) = reach {
            placed.push_back(Segment {
                sequence: id.sequence,
                reach,
            });
        }
    }
    let shape = shape.unwrap_or_else(|| Shape::new(Zxid::ZERO));
    Ok((shape, placed, entries))
}
