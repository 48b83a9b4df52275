//! A disk in memory that fails as real ones do.
//!
//! What is written is visible at once and durable after a sync: of the file for its bytes, of the
//! directory for its names. A *change* is anything that is done to the disk: create, write, sync,
//! rename, remove, sync of a directory. At a change of choice the disk stops, or answers with an error.
//! A crash keeps any set of the sectors and names that were not synced.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use chaos_node::storage::{Files, OpenFile};

/// Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<NameChange>,
    changes: u64,
    fault: Option<(u64, Fault)>,
    has_failed: bool,
    /// Changes that were tried after the fault.
    later_changes: u64,
    nonces: u64,
}

/// What happens at the chosen change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies before it: this change and all later ones do not happen.
    Stop,
    /// This error, once. A write may have been done in part; what a sync was to make durable never is.
    Error(i32),
    /// From here on, every other write is interrupted, and the rest write little at a time.
    Awkward,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    visible: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Add(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
    Remove(PathBuf),
}

/// An open file.
#[derive(Debug)]
pub(crate) struct File {
    state: Arc<Mutex<State>>,
    inode: usize,
}

impl Disk {
    /// The number of changes so far.
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Lets this happen at the `at`-th change from now on, counted from 0.
    pub(crate) fn fail_at(&self, at: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.changes + at, fault));
        state.has_failed = false;
        state.later_changes = 0;
    }

    /// The process is gone, the machine is not: everything that was written is still to be seen.
    pub(crate) fn restarted(&self) -> Self {
        let mut state = self.lock().clone();
        state.fault = None;
        state.has_failed = false;
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The machine is gone: of what was not synced, each sector and each name stays if `keep` says so.
    pub(crate) fn crashed(&self, mut keep: impl FnMut() -> bool) -> Self {
        let mut state = self.lock().clone();
        for inode in &mut state.inodes {
            for (at, bytes) in std::mem::take(&mut inode.pending) {
                let mut start = at;
                while start < at + bytes.len() {
                    let end = ((start / SECTOR + 1) * SECTOR).min(at + bytes.len());
                    if keep() {
                        put(&mut inode.durable, start, &bytes[start - at..end - at]);
                    }
                    start = end;
                }
            }
            inode.visible.clone_from(&inode.durable);
        }
        for change in std::mem::take(&mut state.pending_names) {
            if keep() {
                change.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        let fresh = Self {
            state: Arc::new(Mutex::new(state)),
        };
        fresh.restarted()
    }

    /// Whether the chosen change was reached.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// How many changes were tried after it.
    pub(crate) fn later_changes(&self) -> u64 {
        self.lock().later_changes
    }

    /// All files.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        let files = state.names.iter();
        files
            .map(|(path, inode)| (path.clone(), state.inodes[*inode].visible.clone()))
            .collect()
    }

    /// A disk with these files, durable.
    pub(crate) fn with(files: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let disk = Self::default();
        let mut state = disk.lock();
        state.nonces = 1000;
        for (path, bytes) in files {
            let inode = state.inodes.len();
            state.inodes.push(Inode {
                visible: bytes.clone(),
                durable: bytes.clone(),
                pending: Vec::new(),
            });
            state.names.insert(path.clone(), inode);
            state.durable_names.insert(path.clone(), inode);
        }
        drop(state);
        disk
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// Counts a change, and tells what is wrong with it.
    fn change(&mut self) -> Result<Option<Fault>, io::Error> {
        let number = self.changes;
        self.changes += 1;
        match self.fault {
            Some((at, Fault::Awkward)) if number >= at => {
                self.has_failed = true;
                Ok(Some(Fault::Awkward))
            }
            Some((at, fault)) if number == at => {
                self.has_failed = true;
                match fault {
                    Fault::Stop => Err(ErrorKind::Other.into()),
                    fault => Ok(Some(fault)),
                }
            }
            Some((at, fault)) if number > at => {
                self.later_changes += 1;
                match fault {
                    Fault::Stop => Err(ErrorKind::Other.into()),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// The same for changes that are done whole or not at all.
    fn whole_change(&mut self) -> Result<(), io::Error> {
        match self.change()? {
            Some(Fault::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }

    fn inode(&self, path: &Path) -> Result<usize, io::Error> {
        let inode = self.names.get(path).copied();
        inode.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Add(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl Files for Disk {
    type File = File;
    type Lock = ();

    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<()>> {
        Ok(Some(()))
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = Self::lock(self);
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = Self::lock(self);
        Ok(state.inodes[state.inode(path)?].visible.clone())
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut state = Self::lock(self);
        state.whole_change()?;
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.rename(NameChange::Add(path.to_owned(), inode));
        Ok(File {
            state: Arc::clone(&self.state),
            inode,
        })
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let inode = Self::lock(self).inode(path)?;
        Ok(File {
            state: Arc::clone(&self.state),
            inode,
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = Self::lock(self);
        state.whole_change()?;
        let inode = state.inode(from)?;
        state.rename(NameChange::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = Self::lock(self);
        state.whole_change()?;
        state.inode(path)?;
        state.rename(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut state = Self::lock(self);
        state.whole_change()?;
        for change in std::mem::take(&mut state.pending_names) {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn nonce(&self) -> io::Result<u64> {
        let mut state = Self::lock(self);
        state.nonces += 1;
        Ok(state.nonces)
    }
}

impl OpenFile for File {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        let number = state.changes;
        let fault = state.change()?;
        let count = match fault {
            Some(Fault::Awkward) if number.is_multiple_of(2) => {
                return Err(ErrorKind::Interrupted.into());
            }
            // Little, but at most some hundred writes per file.
            Some(Fault::Awkward) => bytes.len().min(1 + bytes.len() / 3),
            Some(Fault::Error(_)) => bytes.len() / 2,
            _ => bytes.len(),
        };
        let at = usize::try_from(at).unwrap();
        let inode = &mut state.inodes[self.inode];
        put(&mut inode.visible, at, &bytes[..count]);
        inode.pending.push((at, bytes[..count].to_vec()));
        match fault {
            Some(Fault::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(count),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let result = state.whole_change();
        if result.is_err() && state.fault.is_some_and(|(_, fault)| fault == Fault::Stop) {
            return result;
        }
        let inode = &mut state.inodes[self.inode];
        for (at, bytes) in std::mem::take(&mut inode.pending) {
            // After an error the pages count as clean: still visible, and no later sync writes them.
            if result.is_ok() {
                put(&mut inode.durable, at, &bytes);
            }
        }
        result
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
