//! What all nodes of a stub share: one file of registers, so that a node that is killed takes
//! nothing with it. The file lies in memory: a disk would add delays that nobody knows.
//!
//! A register is a slot found by the hash of its key. The file is locked for each operation unless
//! there is one node only: then nobody else touches it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, MemfdFlags, flock, memfd_create};

use super::wire::{Answer, Code, Question, Verb};
use crate::seed::fnv1a;

/// The registers.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    shared: bool,
    /// Where keys were found before.
    places: RefCell<BTreeMap<Vec<u8>, u64>>,
}

/// A slot as it lies in the file: hash of the key (0 = free), value, version.
#[derive(Debug, Clone, Copy)]
struct Slot([u64; 3]);

impl Store {
    /// Makes the file of a cluster: it is gone with whoever holds it.
    pub(super) fn make() -> io::Result<File> {
        let file = File::from(memfd_create("chaos-stub", MemfdFlags::CLOEXEC)?);
        file.set_len(HEAD + SLOTS * SLOT)?;
        Ok(file)
    }

    /// The name under which other processes find such a file.
    pub(super) fn path(file: &File) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
    }

    /// Opens the file of a cluster.
    pub(super) fn open(path: &Path, shared: bool) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self {
            file,
            shared,
            places: RefCell::default(),
        })
    }

    /// The highest epoch that anybody has led.
    pub(super) fn epoch(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn set_epoch(&self, epoch: u64) -> io::Result<()> {
        self.file.write_all_at(&epoch.to_le_bytes(), 0)
    }

    /// Does what a client asks of a register.
    pub(super) fn apply(&self, question: &Question) -> io::Result<Answer> {
        if self.shared {
            flock(&self.file, FlockOperation::LockExclusive)?;
        }
        let done = self.apply_alone(question);
        if self.shared {
            flock(&self.file, FlockOperation::Unlock)?;
        }
        done
    }

    fn apply_alone(&self, question: &Question) -> io::Result<Answer> {
        let (at, slot) = self.find(&question.key)?;
        let [hash, value, version] = slot.0;
        let is_there = hash != 0;
        let value = value.cast_signed();
        let held = |code| Answer {
            tag: question.tag,
            code,
            value,
            version: version.cast_signed(),
        };
        match question.verb {
            Verb::Write => {}
            Verb::Cas if is_there && value == question.old => {}
            Verb::Cas if is_there => return Ok(held(Code::Mismatch)),
            _ if is_there => return Ok(held(Code::Done)),
            _ => return Ok(Answer::of(Code::Absent)),
        }
        let version = if is_there { version + 1 } else { 0 };
        let slot = Slot([
            hash_of(&question.key),
            question.new.cast_unsigned(),
            version,
        ]);
        self.file.write_all_at(&slot.bytes(), at)?;
        Ok(Answer {
            tag: question.tag,
            code: Code::Done,
            value: question.new,
            version: version.cast_signed(),
        })
    }

    /// The place of this key and what is there.
    fn find(&self, key: &[u8]) -> io::Result<(u64, Slot)> {
        if let Some(at) = self.places.borrow().get(key) {
            return Ok((*at, self.slot(*at)?));
        }
        let hash = hash_of(key);
        for step in 0..SLOTS {
            let at = HEAD + (hash.wrapping_add(step) % SLOTS) * SLOT;
            let slot = self.slot(at)?;
            if slot.0[0] == hash {
                self.places.borrow_mut().insert(key.to_vec(), at);
            }
            if slot.0[0] == hash || slot.0[0] == 0 {
                return Ok((at, slot));
            }
        }
        Err(io::Error::other("all registers of the stub are taken"))
    }

    fn slot(&self, at: u64) -> io::Result<Slot> {
        let mut bytes = [0; SLOT as usize];
        self.file.read_exact_at(&mut bytes, at)?;
        let mut slot = [0; 3];
        for (word, bytes) in slot.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Ok(Slot(slot))
    }

    /// A digest of all registers.
    pub(super) fn digest(&self) -> io::Result<u64> {
        let mut bytes = vec![0; (SLOTS * SLOT) as usize];
        self.file.read_exact_at(&mut bytes, HEAD)?;
        Ok(fnv1a(&bytes))
    }
}

impl Slot {
    fn bytes(self) -> [u8; SLOT as usize] {
        let mut bytes = [0; SLOT as usize];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }
}

/// Never 0, which marks a free slot.
fn hash_of(key: &[u8]) -> u64 {
    fnv1a(key).max(1)
}

/// Before the slots: the epoch.
const HEAD: u64 = 8;
const SLOT: u64 = 24;
/// More than a plan may have keys; the file has holes where nothing was written.
const SLOTS: u64 = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(store: &Store, verb: Verb, key: &str, old: i64, new: i64) -> Answer {
        let key = key.as_bytes().to_vec();
        let question = Question {
            tag: 0,
            verb,
            key,
            old,
            new,
        };
        store.apply(&question).unwrap()
    }

    #[test]
    fn two_nodes_see_each_others_registers_and_versions_rise() {
        let file = Store::make().unwrap();
        let path = Store::path(&file);
        let one = Store::open(&path, true).unwrap();
        let two = Store::open(&path, true).unwrap();
        assert_eq!(ask(&one, Verb::Read, "a", 0, 0).code, Code::Absent);
        assert_eq!(ask(&one, Verb::Cas, "a", 0, 1).code, Code::Absent);
        assert_eq!(ask(&one, Verb::Write, "a", 0, 5).version, 0);
        let seen = ask(&two, Verb::Read, "a", 0, 0);
        assert_eq!((seen.code, seen.value, seen.version), (Code::Done, 5, 0));
        assert_eq!(ask(&two, Verb::Cas, "a", 4, 6).code, Code::Mismatch);
        let done = ask(&two, Verb::Cas, "a", 5, 6);
        assert_eq!((done.code, done.version), (Code::Done, 1));
        assert_eq!(ask(&one, Verb::Read, "a", 0, 0).value, 6);
        assert_eq!(one.digest().unwrap(), two.digest().unwrap());
        two.set_epoch(3).unwrap();
        assert_eq!(one.epoch().unwrap(), 3);
    }

    #[test]
    fn keys_of_one_slot_do_not_mix() {
        let file = Store::make().unwrap();
        let store = Store::open(&Store::path(&file), false).unwrap();
        for key in 0..2_000 {
            ask(&store, Verb::Write, &format!("k{key}"), 0, key);
        }
        for key in 0..2_000 {
            assert_eq!(ask(&store, Verb::Read, &format!("k{key}"), 0, 0).value, key);
        }
    }
}
