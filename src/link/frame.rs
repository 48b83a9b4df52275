//! Frames: messages of the form `[u32 big-endian length][body]` in a byte stream.
//!
//! The fate of a frame is asked once, when its header is complete; up to three bytes of a header
//! are kept back until then. A frame that is duplicated or comes late is kept until it is complete;
//! of all others nothing is kept, so that frames of any length pass in constant memory. What
//! remains of the stream is always a sequence of whole frames.

/// How many bytes of length stand before a body.
const HEADER: usize = 4;
/// A longer body is neither duplicated nor late: it would have to be kept.
pub(super) const GATHER_MAX: u32 = 1 << 20;

/// What happens to a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FrameFate {
    /// It vanishes. The rest then means nothing.
    pub(super) dropped: bool,
    /// It comes twice.
    pub(super) doubled: bool,
    /// The next frame overtakes it.
    pub(super) late: bool,
    /// This bit of its body is flipped.
    pub(super) flip: Option<u64>,
}

/// What one call of [`Framer::sift`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sifted {
    /// Frames that went out twice.
    pub(super) doubled: u64,
    /// Frames that were overtaken.
    pub(super) overtaken: u64,
}

/// Where a parser stands in one byte stream.
#[derive(Debug, Default)]
pub(super) struct Framer {
    header: [u8; HEADER],
    header_len: usize,
    body_len: u64,
    body_left: u64,
    fate: FrameFate,
    /// The frame that is being collected, where its fate asks for that.
    gathered: Vec<u8>,
    /// The frame that waits to be overtaken; empty if none does.
    late: Vec<u8>,
}

impl Framer {
    /// Appends to `out` those bytes of `input` that may go out now. `judge` is told the length of a
    /// body.
    pub(super) fn sift(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        mut judge: impl FnMut(u32) -> FrameFate,
    ) -> Sifted {
        let mut sifted = Sifted::default();
        let mut rest = input;
        while !rest.is_empty() {
            if self.body_left > 0 {
                let left = usize::try_from(self.body_left).unwrap_or(usize::MAX);
                let (body, behind) = rest.split_at(left.min(rest.len()));
                self.pass_body(body, out);
                rest = behind;
            } else {
                let (part, behind) = rest.split_at((HEADER - self.header_len).min(rest.len()));
                self.header[self.header_len..self.header_len + part.len()].copy_from_slice(part);
                self.header_len += part.len();
                rest = behind;
                if self.header_len < HEADER {
                    continue;
                }
                self.begin(&mut judge, out);
            }
            if self.body_left == 0 {
                self.complete(out, &mut sifted);
            }
        }
        sifted
    }

    /// Whether a frame waits to be overtaken.
    pub(super) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Lets go of the frame that waits to be overtaken, unless that would tear another one apart:
    /// then the end of the other one lets it go.
    pub(super) fn let_go(&mut self, out: &mut Vec<u8>) {
        if self.body_left == 0 || self.is_gathering() || self.fate.dropped {
            out.append(&mut self.late);
        }
    }

    /// Everything that is kept back; the source ended, perhaps in the middle of a frame. Where that
    /// one is half out, the late one goes with it: it would be taken for the rest of its body.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.let_go(out);
        self.late.clear();
        out.append(&mut self.gathered);
        out.extend_from_slice(&self.header[..self.header_len]);
        self.header_len = 0;
    }

    fn is_gathering(&self) -> bool {
        !self.fate.dropped && (self.fate.doubled || self.fate.late)
    }

    fn begin(&mut self, judge: &mut impl FnMut(u32) -> FrameFate, out: &mut Vec<u8>) {
        self.header_len = 0;
        let length = u32::from_be_bytes(self.header);
        self.body_len = u64::from(length);
        self.body_left = self.body_len;
        self.fate = judge(length);
        if length > GATHER_MAX {
            self.fate.doubled = false;
            self.fate.late = false;
        }
        // One at a time: a second late frame is the one that overtakes.
        self.fate.late &= self.late.is_empty();
        let header = self.header;
        if let Some(sink) = self.sink(out) {
            sink.extend_from_slice(&header);
        }
    }

    fn pass_body(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let from = self.body_len - self.body_left;
        self.body_left -= body.len() as u64;
        let flip = self.fate.flip;
        let Some(sink) = self.sink(out) else { return };
        let start = sink.len();
        sink.extend_from_slice(body);
        let flipped = flip
            .and_then(|bit| Some((usize::try_from((bit / 8).checked_sub(from)?).ok()?, bit % 8)));
        if let Some((byte, bit)) = flipped
            && let Some(byte) = sink[start..].get_mut(byte)
        {
            *byte ^= 1 << bit;
        }
    }

    fn sink<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Option<&'a mut Vec<u8>> {
        if self.fate.dropped {
            None
        } else if self.is_gathering() {
            Some(&mut self.gathered)
        } else {
            Some(out)
        }
    }

    /// The present frame is complete.
    fn complete(&mut self, out: &mut Vec<u8>, sifted: &mut Sifted) {
        let fate = std::mem::take(&mut self.fate);
        if fate.dropped {
            return;
        }
        if fate.doubled {
            sifted.doubled += 1;
            self.gathered.extend_from_within(..);
        }
        if fate.late {
            std::mem::swap(&mut self.late, &mut self.gathered);
            return;
        }
        out.append(&mut self.gathered);
        if self.has_late() {
            sifted.overtaken += 1;
            out.append(&mut self.late);
        }
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

    /// What must come out, in the plainest way to say it.
    fn expected(frames: &[(Vec<u8>, FrameFate)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut late: Option<Vec<u8>> = None;
        for (body, fate) in frames.iter().filter(|(_, fate)| !fate.dropped) {
            let mut body = body.clone();
            if let Some(bit) = fate.flip.filter(|_| !body.is_empty()) {
                body[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
            }
            let bytes = frame(&body).repeat(if fate.doubled { 2 } else { 1 });
            match late.take() {
                None if fate.late => late = Some(bytes),
                other => out.extend(bytes.into_iter().chain(other.unwrap_or_default())),
            }
        }
        out.extend(late.unwrap_or_default());
        out
    }

    fn a_frame() -> impl Strategy<Value = (Vec<u8>, FrameFate)> {
        let body = prop::collection::vec(any::<u8>(), 0..40);
        let fate = any::<(bool, bool, bool, bool, prop::sample::Index)>();
        (body, fate).prop_map(|(body, (dropped, doubled, late, flips, bit))| {
            let flip = (flips && !body.is_empty()).then(|| bit.index(body.len() * 8) as u64);
            let fate = FrameFate {
                dropped,
                doubled,
                late,
                flip,
            };
            (body, fate)
        })
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_each_frame_meets_its_fate(
            frames in prop::collection::vec(a_frame(), 0..20),
            piece in 1_usize..50,
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(body, _)| frame(body)).collect();
            let mut fates = frames.iter();
            let mut framer = Framer::default();
            let mut out = Vec::new();
            let mut sifted = Sifted::default();
            for bytes in stream.chunks(piece) {
                let part = framer.sift(bytes, &mut out, |length| {
                    let (body, fate) = fates.next().expect("one question for each frame");
                    assert_eq!(length as usize, body.len());
                    *fate
                });
                sifted.doubled += part.doubled;
                sifted.overtaken += part.overtaken;
            }
            framer.finish(&mut out);
            prop_assert_eq!(out, expected(&frames));
            prop_assert!(fates.next().is_none());
            let doubled = frames.iter().filter(|(_, fate)| fate.doubled && !fate.dropped).count();
            prop_assert_eq!(sifted.doubled, doubled as u64);
        }

        #[test]
        fn a_late_frame_that_is_let_go_tears_no_other_apart(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..12),
            piece in 1_usize..20,
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
            let mut framer = Framer::default();
            let mut out = Vec::new();
            let mut turn = 0;
            for bytes in stream.chunks(piece) {
                framer.sift(bytes, &mut out, |_| {
                    turn += 1;
                    FrameFate { late: turn % 3 == 1, ..FrameFate::default() }
                });
                framer.let_go(&mut out);
            }
            framer.finish(&mut out);
            let mut seen = Vec::new();
            let mut plain = Framer::default();
            let mut lengths = Vec::new();
            plain.sift(&out, &mut seen, |length| {
                lengths.push(length as usize);
                FrameFate::default()
            });
            let mut wanted: Vec<usize> = bodies.iter().map(Vec::len).collect();
            lengths.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(lengths, wanted);
        }
    }

    #[test]
    fn a_torn_header_is_kept_back_and_can_be_told() {
        let mut framer = Framer::default();
        let mut out = Vec::new();
        framer.sift(&[0, 0, 0], &mut out, |_| FrameFate::default());
        assert!(out.is_empty());
        framer.finish(&mut out);
        assert_eq!(out, [0, 0, 0]);
    }

    #[test]
    fn a_frame_too_long_to_keep_passes_as_it_is() {
        let bytes = frame(&vec![1; GATHER_MAX as usize + 1]);
        let fate = FrameFate {
            doubled: true,
            late: true,
            ..FrameFate::default()
        };
        let mut out = Vec::new();
        Framer::default().sift(&bytes, &mut out, |_| fate);
        assert!(out == bytes);
    }
}
