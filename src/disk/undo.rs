//! What a power failure takes away from one file: everything since the last completed fsync.
//!
//! Writes go through to the file at once, so that a process that merely dies loses nothing. Before
//! each, the bytes that it destroys are put aside. An fsync that completes forgets them; a power
//! failure puts them back, and the length that the file had. So little is remembered where a file
//! is only appended to: its length.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes with a length: a file, or a vector in tests.
pub(super) trait Store {
    /// How many bytes it holds.
    fn len(&self) -> io::Result<u64>;
    /// Reads exactly so many bytes from `offset` on.
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes all bytes from `offset` on.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the end off, or appends zeros.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
}

impl Store for &File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, offset)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }
}

/// How to go back to what the store held when this was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undo {
    len: u64,
    /// Bytes that stood there then, by their offset; no two overlap.
    saved: BTreeMap<u64, Vec<u8>>,
    touched: u64,
}

impl Undo {
    /// To what a store of this length holds now.
    pub(super) const fn new(len: u64) -> Self {
        Self {
            len,
            saved: BTreeMap::new(),
            touched: 0,
        }
    }

    /// Whether nothing was changed since.
    pub(super) const fn is_empty(&self) -> bool {
        self.touched == 0
    }

    /// How many bytes were written or cut off since.
    pub(super) const fn touched(&self) -> u64 {
        self.touched
    }

    /// Puts aside what a write of so many bytes will destroy. Call it before the write.
    pub(super) fn before_write(
        &mut self,
        store: &impl Store,
        offset: u64,
        len: u64,
    ) -> io::Result<()> {
        self.save(store, offset, offset.saturating_add(len))?;
        self.touched += len;
        Ok(())
    }

    /// Puts aside what a change of the length will destroy. Call it before the change.
    pub(super) fn before_set_len(&mut self, store: &impl Store, len: u64) -> io::Result<()> {
        let now = store.len()?;
        self.save(store, len, now)?;
        self.touched += now.abs_diff(len);
        Ok(())
    }

    /// Brings the store back.
    pub(super) fn restore(&self, store: &mut impl Store) -> io::Result<()> {
        if store.len()? != self.len {
            store.set_len(self.len)?;
        }
        for (offset, bytes) in &self.saved {
            store.write(*offset, bytes)?;
        }
        Ok(())
    }

    /// Reads what stands in `from..to`, unless it was put aside before or was not there then.
    fn save(&mut self, store: &impl Store, from: u64, to: u64) -> io::Result<()> {
        let to = to.min(self.len);
        let mut at = from;
        while at < to {
            let before = self.saved.range(..=at).next_back();
            let known_to = before.map_or(0, |(start, bytes)| start + bytes.len() as u64);
            if known_to > at {
                at = known_to;
                continue;
            }
            let next = self.saved.range(at..to).next();
            let gap_to = next.map_or(to, |(start, _)| *start);
            let mut bytes = vec![0; usize::try_from(gap_to - at).map_err(io::Error::other)?];
            store.read(at, &mut bytes)?;
            self.saved.insert(at, bytes);
            at = gap_to;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Store for Vec<u8> {
        fn len(&self) -> io::Result<u64> {
            Ok(self.as_slice().len() as u64)
        }

        fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
            let at = usize::try_from(offset).unwrap();
            into.copy_from_slice(&self[at..at + into.len()]);
            Ok(())
        }

        fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let at = usize::try_from(offset).unwrap();
            if self.as_slice().len() < at + bytes.len() {
                self.resize(at + bytes.len(), 0);
            }
            self[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn set_len(&mut self, len: u64) -> io::Result<()> {
            self.resize(usize::try_from(len).unwrap(), 0);
            Ok(())
        }
    }

    #[derive(Debug, Clone)]
    enum Change {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Sync,
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            5 => (0_u64..60, prop::collection::vec(any::<u8>(), 1..20))
                .prop_map(|(at, bytes)| Change::Write(at, bytes)),
            2 => (0_u64..70).prop_map(Change::SetLen),
            1 => Just(Change::Sync),
        ]
    }

    proptest! {
        /// The oracle keeps a whole copy at every fsync.
        #[test]
        fn what_comes_back_is_what_was_synced(changes in prop::collection::vec(change(), 0..40)) {
            let mut live: Vec<u8> = (0..30).collect();
            let mut durable = live.clone();
            let mut undo = Undo::new(live.len() as u64);
            for change in changes {
                match change {
                    Change::Write(at, bytes) => {
                        undo.before_write(&live, at, bytes.len() as u64).unwrap();
                        Store::write(&mut live, at, &bytes).unwrap();
                    }
                    Change::SetLen(len) => {
                        undo.before_set_len(&live, len).unwrap();
                        Store::set_len(&mut live, len).unwrap();
                    }
                    Change::Sync => {
                        durable.clone_from(&live);
                        undo = Undo::new(live.len() as u64);
                    }
                }
            }
            undo.restore(&mut live).unwrap();
            prop_assert_eq!(live, durable);
        }
    }

    #[test]
    fn appending_costs_no_memory() {
        let mut live = vec![1; 10];
        let mut undo = Undo::new(10);
        undo.before_write(&live, 10, 1000).unwrap();
        Store::write(&mut live, 10, &[2; 1000]).unwrap();
        assert!(undo.saved.is_empty());
        assert_eq!(undo.touched(), 1000);
        undo.restore(&mut live).unwrap();
        assert_eq!(live, [1; 10]);
    }
}
