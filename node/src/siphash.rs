//! SipHash-2-4, a keyed 64-bit hash (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
//!
//! Used where a hash must be the same in every process and every release: the digest of the state, and
//! the passwords of sessions, which every node derives from the session's id and the cluster's secret.

/// The hash of `bytes` under a 128-bit key, given as two little-endian halves.
#[must_use]
pub fn siphash(key: (u64, u64), bytes: &[u8]) -> u64 {
    let mut state = State {
        v0: key.0 ^ 0x736f_6d65_7073_6575,
        v1: key.1 ^ 0x646f_7261_6e64_6f6d,
        v2: key.0 ^ 0x6c79_6765_6e65_7261,
        v3: key.1 ^ 0x7465_6462_7974_6573,
    };
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let mut array = [0; 8];
        array.copy_from_slice(word);
        state.absorb(u64::from_le_bytes(array));
    }
    let mut last = [0; 8];
    let tail = words.remainder();
    last[..tail.len()].copy_from_slice(tail);
    last[7] = bytes.len().to_le_bytes()[0];
    state.absorb(u64::from_le_bytes(last));
    state.finish()
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_paper_hold() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let input: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(key, &input), 0xa129_ca61_49be_45e5);
        assert_eq!(siphash(key, &[]), 0x726f_db47_dd0e_0e31);
    }
}
