//! Frames: messages of the form `[u32 big-endian length][body]` in a byte stream.
//!
//! The fate of a frame is asked once, when its header is complete; up to three bytes of a header
//! are kept back until then. Nothing else is kept: frames of any length pass in constant memory,
//! and what remains of the stream is always a sequence of whole frames.

/// How many bytes of length stand before a body.
const HEADER: usize = 4;

/// Where a parser stands in one byte stream.
#[derive(Debug, Default)]
pub(super) struct Framer {
    header: [u8; HEADER],
    header_len: usize,
    body_left: u64,
    dropping: bool,
}

impl Framer {
    /// Appends to `out` those bytes of `input` that belong to frames that `keep` lets pass.
    pub(super) fn sift(&mut self, input: &[u8], out: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        let mut rest = input;
        while !rest.is_empty() {
            if self.body_left > 0 {
                let left = usize::try_from(self.body_left).unwrap_or(usize::MAX);
                let (body, behind) = rest.split_at(left.min(rest.len()));
                if !self.dropping {
                    out.extend_from_slice(body);
                }
                self.body_left -= body.len() as u64;
                rest = behind;
                continue;
            }
            let (part, behind) = rest.split_at((HEADER - self.header_len).min(rest.len()));
            self.header[self.header_len..self.header_len + part.len()].copy_from_slice(part);
            self.header_len += part.len();
            rest = behind;
            if self.header_len == HEADER {
                self.header_len = 0;
                self.body_left = u64::from(u32::from_be_bytes(self.header));
                self.dropping = !keep();
                if !self.dropping {
                    out.extend_from_slice(&self.header);
                }
            }
        }
    }

    /// Bytes of a header that is not complete; the source ended in the middle of it.
    pub(super) fn unfinished(&self) -> &[u8] {
        &self.header[..self.header_len]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_exactly_the_kept_frames_remain(
            frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..20),
            piece in 1_usize..50,
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(body, _)| frame(body)).collect();
            let expected: Vec<u8> =
                frames.iter().filter(|(_, keep)| *keep).flat_map(|(body, _)| frame(body)).collect();
            let mut fates = frames.iter().map(|(_, keep)| *keep);
            let mut framer = Framer::default();
            let mut out = Vec::new();
            for bytes in stream.chunks(piece) {
                framer.sift(bytes, &mut out, || fates.next().expect("one question for each frame"));
            }
            prop_assert_eq!(out, expected);
            prop_assert!(fates.next().is_none());
            prop_assert!(framer.unfinished().is_empty());
        }
    }

    #[test]
    fn a_torn_header_is_kept_back_and_can_be_told() {
        let mut framer = Framer::default();
        let mut out = Vec::new();
        framer.sift(&[0, 0, 0], &mut out, || true);
        assert!(out.is_empty());
        assert_eq!(framer.unfinished(), [0, 0, 0]);
    }
}
