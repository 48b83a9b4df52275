//! Many bytes, such as a snapshot, that are never copied: not when they are made from a vector, not
//! when they are shared, and not when a piece is cut out. A copy of a hundred megabytes would stop the
//! node for longer than its peers wait for a sign of life.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Shared bytes, or a piece of such.
#[derive(Clone, Default)]
pub struct Blob {
    whole: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Blob {
    /// The piece of these bytes; it keeps the whole in memory. What lies beyond the end is left out.
    #[must_use]
    pub fn piece(&self, range: Range<usize>) -> Self {
        let at = |offset: usize| self.range.end.min(self.range.start.saturating_add(offset));
        Self {
            whole: Arc::clone(&self.whole),
            range: at(range.start)..at(range.end.max(range.start)),
        }
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole[self.range.clone()]
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self {
            whole: Arc::new(bytes),
            range,
        }
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Blob {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(bytes.to_vec())
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Blob {}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_cut_out_of_the_same_memory() {
        let whole = Blob::from(b"abcdef");
        let piece = whole.piece(1..4);
        assert_eq!(piece, Blob::from(b"bcd"));
        assert_eq!(piece.as_ptr(), whole[1..].as_ptr());
        assert_eq!(piece.piece(1..2), Blob::from(b"c"));
        assert_eq!(piece.piece(1..9), Blob::from(b"cd"));
        assert_eq!(piece.piece(3..usize::MAX), Blob::default());
        assert_eq!(piece.piece(9..9), Blob::default());
    }
}
