//! What crossed a link, and what became of it.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// What crossed one link over the whole run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Connections made by the sender to the receiver.
    pub connections: u64,
    /// Bytes taken from the sender, dropped ones included.
    pub bytes: u64,
    /// Frames whose fate was decided; 0 on opaque paths.
    pub frames: u64,
    /// Frames that were dropped.
    pub frames_dropped: u64,
    /// Frames that came twice.
    pub frames_duplicated: u64,
    /// Frames that the next one overtook.
    pub frames_reordered: u64,
    /// Segments whose fate was decided; 0 while nothing can happen to them, and of frames.
    pub segments: u64,
    /// Segments that were lost at least once and sent again.
    pub segments_stalled: u64,
    /// Segments, on framed paths frames, of which one bit was flipped.
    pub segments_corrupted: u64,
    /// Segments whose bytes were deleted from the stream.
    pub segments_deleted: u64,
    /// Bytes that a throttle made wait.
    pub bytes_throttled: u64,
    /// Pieces of streams that a delay or a loss held back, once they were delivered,
    pub waited: u64,
    /// and how long all of them together.
    pub waited_for: Nanos,
}

impl Counters {
    /// All counts by their names, times in nanoseconds.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 13] {
        [
            ("connections", self.connections),
            ("bytes", self.bytes),
            ("frames", self.frames),
            ("frames_dropped", self.frames_dropped),
            ("frames_duplicated", self.frames_duplicated),
            ("frames_reordered", self.frames_reordered),
            ("segments", self.segments),
            ("segments_stalled", self.segments_stalled),
            ("segments_corrupted", self.segments_corrupted),
            ("segments_deleted", self.segments_deleted),
            ("bytes_throttled", self.bytes_throttled),
            ("waited", self.waited),
            ("waited_for", self.waited_for.0),
        ]
    }
}
