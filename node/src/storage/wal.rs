//! The log of one generation: segments one behind the other, of which the last is written.
//!
//! Invariants: one batch is on its way to the disk at a time; the numbers of the batches rise by one
//! over all segments; a segment was durable whole before its first batch is written.

use std::collections::VecDeque;
use std::sync::mpsc;

use super::background::Background;
use super::batch::{BatchBuilder, HEAD, Head, RECORD};
use super::error::StorageError;
use super::files::Files;
use super::home::Home;
use super::segment::{OpenSegment, SegmentId};
use super::shape::Shape;
use crate::protocol::message::Entry;
use crate::protocol::zxid::Zxid;

/// See the module.
#[derive(Debug)]
pub(super) struct Wal<F: Files> {
    home: Home<F>,
    segment_bytes: usize,
    /// Those with batches, oldest first.
    segments: VecDeque<Segment>,
    open: OpenSegment<F::File>,
    /// The segment behind the open one, when it is made.
    next: mpsc::Receiver<OpenSegment<F::File>>,
    /// What was asked for and is not durable yet.
    batch: BatchBuilder,
    is_pending: bool,
    /// The number of the next batch.
    number: u64,
    /// The log, with what is pending.
    shape: Shape,
}

/// A segment with batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) sequence: u32,
    /// The least base of its batches: the log that begins with this segment reaches back so far.
    pub(super) reach: Zxid,
}

/// What is known of a log that can be written.
#[derive(Debug)]
pub(super) struct Position<O> {
    pub(super) open: OpenSegment<O>,
    pub(super) segments: VecDeque<Segment>,
    pub(super) number: u64,
    pub(super) shape: Shape,
}

impl<F: Files> Wal<F> {
    /// An empty log behind `base`, durably: its first segment and in it a batch that tells the base.
    pub(super) fn create(
        home: &Home<F>,
        background: &Background,
        (generation, base): (u32, Zxid),
        segment_bytes: usize,
    ) -> Result<Self, StorageError> {
        let first = SegmentId {
            generation,
            sequence: 1,
        };
        let position = Position {
            open: OpenSegment::create(home, first, segment_bytes)?,
            segments: VecDeque::new(),
            number: 1,
            shape: Shape::new(base),
        };
        let mut wal = Self::start(home, background, position, segment_bytes)?;
        wal.is_pending = true;
        wal.flush(background)?;
        Ok(wal)
    }

    /// A log that goes on from here.
    pub(super) fn start(
        home: &Home<F>,
        background: &Background,
        position: Position<F::File>,
        segment_bytes: usize,
    ) -> Result<Self, StorageError> {
        Ok(Self {
            home: home.clone(),
            segment_bytes,
            segments: position.segments,
            next: prepare(home, background, position.open.id, segment_bytes)?,
            open: position.open,
            batch: BatchBuilder::new(position.shape.last(), Vec::new()),
            is_pending: false,
            number: position.number,
            shape: position.shape,
        })
    }

    /// Appends entries; durable after [`Self::flush`].
    pub(super) fn append(
        &mut self,
        background: &Background,
        entries: &[Entry],
    ) -> Result<(), StorageError> {
        for entry in entries {
            let last = self.shape.last();
            if !self.shape.push(entry.zxid) {
                let next = entry.zxid;
                return Err(StorageError::AppendGap { last, next });
            }
            let size = RECORD + entry.payload.len();
            if self.is_pending && self.batch.size() + size > self.batch_limit() {
                self.flush_up_to(background, last)?;
            }
            self.batch.push(entry);
            self.is_pending = true;
        }
        Ok(())
    }

    /// Removes everything behind `after`; durable after [`Self::flush`], together with what is appended
    /// meanwhile.
    pub(super) fn truncate(
        &mut self,
        background: &Background,
        after: Zxid,
    ) -> Result<(), StorageError> {
        let (base, last) = (self.shape.base(), self.shape.last());
        let floor = (after <= last).then(|| self.shape.floor(after)).flatten();
        let Some(floor) = floor else {
            return Err(StorageError::TruncateOutside { base, last, after });
        };
        self.flush(background)?;
        if floor < last {
            self.shape.truncate(floor);
            self.begin_batch(floor);
            self.is_pending = true;
        }
        Ok(())
    }

    /// Makes everything durable that was asked for.
    pub(super) fn flush(&mut self, background: &Background) -> Result<(), StorageError> {
        self.flush_up_to(background, self.shape.last())
    }

    /// The same, and the next batch begins behind `last`.
    fn flush_up_to(&mut self, background: &Background, last: Zxid) -> Result<(), StorageError> {
        if !self.is_pending {
            return Ok(());
        }
        background.check()?;
        let full = if self.open.has_room(self.batch.size()) {
            None
        } else {
            Some(self.roll(background)?)
        };
        let batch = self.batch.finish(self.number, self.open.salt);
        self.open.append(batch)?;
        let first = self.number;
        self.number += 1;
        let base = self.batch.base();
        let sequence = self.open.id.sequence;
        match self.segments.back_mut() {
            Some(newest) if newest.sequence == sequence => newest.reach = newest.reach.min(base),
            _ => self.segments.push_back(Segment {
                sequence,
                reach: base,
            }),
        }
        self.begin_batch(last);
        // A segment without a batch has nothing that a seal could protect.
        if let Some(full) = full {
            background.submit(Box::new(move || full.seal(first)))?;
        }
        Ok(())
    }

    /// Tells the disk that everything is durable, so that damage to the last batch is noticed later. A
    /// crash may lose that again.
    pub(super) fn mark(&mut self) -> Result<(), StorageError> {
        let mut mark = BatchBuilder::new(self.shape.last(), Vec::with_capacity(HEAD));
        let bytes = mark.finish(self.number, self.open.salt);
        match Head::parse(bytes, self.open.salt) {
            Some(head) if self.open.has_room(HEAD) => self.open.mark(head),
            _ => Ok(()),
        }
    }

    /// Forgets the segments that are not needed when the history up to `zxid` is in a snapshot. Their
    /// files may be deleted.
    pub(super) fn forget(&mut self, zxid: Zxid) {
        while self.segments.len() > 1 {
            let reach = self.segments.iter().skip(1).map(|segment| segment.reach);
            match reach.min() {
                Some(reach) if reach <= zxid => {
                    self.segments.pop_front();
                    self.shape.forget(reach);
                }
                _ => break,
            }
        }
    }

    /// The oldest segment that is needed.
    pub(super) fn first_sequence(&self) -> u32 {
        self.segments
            .front()
            .map_or(self.open.id.sequence, |segment| segment.sequence)
    }

    /// The transaction before the first one of the log.
    pub(super) const fn base(&self) -> Zxid {
        self.shape.base()
    }

    pub(super) const fn generation(&self) -> u32 {
        self.open.id.generation
    }

    /// Goes on in the next segment; gives the one that is full.
    fn roll(&mut self, background: &Background) -> Result<OpenSegment<F::File>, StorageError> {
        // The sender is dropped only if an earlier task failed.
        let Ok(next) = self.next.recv() else {
            return Err(background.check().err().unwrap_or(StorageError::Refused));
        };
        let next = if next.has_room(self.batch.size()) {
            next
        } else {
            let capacity = OpenSegment::<F::File>::capacity_for(self.batch.size());
            OpenSegment::create(&self.home, next.id, capacity)?
        };
        self.next = prepare(&self.home, background, next.id, self.segment_bytes)?;
        Ok(std::mem::replace(&mut self.open, next))
    }

    fn begin_batch(&mut self, base: Zxid) {
        let empty = BatchBuilder::new(base, Vec::new());
        let buffer = std::mem::replace(&mut self.batch, empty).into_buffer();
        self.batch = BatchBuilder::new(base, buffer);
        self.is_pending = false;
    }

    /// A batch is cut here: a quarter of a segment, so that little room is lost at a segment's end.
    const fn batch_limit(&self) -> usize {
        self.segment_bytes / 4
    }
}

/// Has the segment behind this one made.
fn prepare<F: Files>(
    home: &Home<F>,
    background: &Background,
    SegmentId {
        generation,
        sequence,
    }: SegmentId,
    capacity: usize,
) -> Result<mpsc::Receiver<OpenSegment<F::File>>, StorageError> {
    let id = SegmentId {
        generation,
        sequence: sequence + 1,
    };
    let home = home.clone();
    let (sender, receiver) = mpsc::channel();
    background.submit(Box::new(move || {
        let segment = OpenSegment::create(&home, id, capacity)?;
        // Nobody wants it if the log was replaced meanwhile.
        let _ = sender.send(segment);
        Ok(())
    }))?;
    Ok(receiver)
}
