//! Whose directory it is: what every file of it names, so that a stranger's file is noticed.

use std::path::PathBuf;

use super::files::Files;

/// The directory, the way to it, and its owner.
#[derive(Debug, Clone)]
pub(super) struct Home<F> {
    pub(super) files: F,
    pub(super) dir: PathBuf,
    pub(super) owner: Owner,
}

/// Stands in the header of every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// The node.
    pub(super) node: u8,
    /// Drawn when the directory was made. Clients cannot know it, so they cannot write what looks
    /// like a part of a file.
    pub(super) store: u64,
}

impl Owner {
    /// Eight plus one bytes, big endian.
    pub(super) fn bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [self.node; Self::SIZE];
        bytes[1..].copy_from_slice(&self.store.to_be_bytes());
        bytes
    }

    /// Back from [`Self::bytes`].
    pub(super) fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [node, store @ ..] = bytes;
        Self {
            node,
            store: u64::from_be_bytes(store),
        }
    }

    pub(super) const SIZE: usize = 9;
}

impl<F: Files> Home<F> {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}
