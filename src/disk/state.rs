//! What a disk knows: files by their numbers, what is not on the disk yet, the rules, and the
//! calls that wait.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

use super::names::Names;
use super::rules::{Rules, Torn};
use super::undo::{Store, Undo};
use super::wire::Lost;

/// What a file is below, whatever its names.
type Key = (u64, u64);

/// A file or folder that the kernel knows by a number.
#[derive(Debug)]
struct Inode {
    /// Opened with `O_PATH`.
    fd: Arc<OwnedFd>,
    key: Key,
    lookups: u64,
}

/// All files and folders that the kernel knows.
#[derive(Debug)]
pub(super) struct Inodes {
    by_number: BTreeMap<u64, Inode>,
    by_key: BTreeMap<Key, u64>,
    next: u64,
}

impl Inodes {
    /// The root has number 1.
    pub(super) fn new(root: OwnedFd) -> io::Result<Self> {
        let key = key(&root)?;
        let root = Inode {
            fd: Arc::new(root),
            key,
            lookups: 1,
        };
        Ok(Self {
            by_number: BTreeMap::from([(1, root)]),
            by_key: BTreeMap::from([(key, 1)]),
            next: 2,
        })
    }

    /// The file of this number.
    pub(super) fn get(&self, number: u64) -> io::Result<&Arc<OwnedFd>> {
        let inode = self.by_number.get(&number);
        let inode = inode.ok_or_else(|| io::Error::from(rustix::io::Errno::STALE))?;
        Ok(&inode.fd)
    }

    /// The number of what has this name; the kernel will know it once more.
    pub(super) fn look_up(&mut self, folder: u64, name: &OsStr) -> io::Result<u64> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(self.get(folder)?, name, flags, Mode::empty())?;
        let key = key(&fd)?;
        let number = *self.by_key.entry(key).or_insert_with(|| {
            self.next += 1;
            self.next - 1
        });
        let inode = self.by_number.entry(number).or_insert_with(|| Inode {
            fd: Arc::new(fd),
            key,
            lookups: 0,
        });
        inode.lookups += 1;
        Ok(number)
    }

    /// The kernel forgets so many of the times that it was told of it.
    pub(super) fn forget(&mut self, number: u64, times: u64) {
        if let Some(inode) = self.by_number.get_mut(&number).filter(|_| number != 1) {
            inode.lookups = inode.lookups.saturating_sub(times);
            if inode.lookups == 0 {
                self.by_key.remove(&inode.key);
                self.by_number.remove(&number);
            }
        }
    }
}

/// A file with data that is not on the disk yet.
#[derive(Debug)]
struct Dirty {
    file: Arc<File>,
    /// The last is the newest; each has the number of the sync that will make it durable, once
    /// that has begun.
    layers: Vec<(Option<u64>, Undo)>,
}

/// An fsync that goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syncing {
    key: Key,
    serial: u64,
    names: u64,
}

/// What is not on the disk yet.
#[derive(Debug)]
pub(super) struct Unsynced {
    files: BTreeMap<Key, Dirty>,
    pub(super) names: Names,
    next_sync: u64,
    /// Parts of torn writes that reach the disk.
    torn: Vec<(Arc<File>, u64, Vec<u8>)>,
    /// How many writes were torn, and how many of their bytes do not.
    torn_off: (u64, u64),
}

impl Unsynced {
    pub(super) const fn new(names: Names) -> Self {
        Self {
            files: BTreeMap::new(),
            names,
            next_sync: 0,
            torn: Vec::new(),
            torn_off: (0, 0),
        }
    }

    /// A write of so many bytes is about to be done.
    pub(super) fn before_write(&mut self, file: &Arc<File>, at: u64, len: u64) -> io::Result<()> {
        self.undo(file)?.before_write(&&**file, at, len)
    }

    /// The length is about to be changed.
    pub(super) fn before_set_len(&mut self, file: &Arc<File>, len: u64) -> io::Result<()> {
        self.undo(file)?.before_set_len(&&**file, len)
    }

    fn undo(&mut self, file: &Arc<File>) -> io::Result<&mut Undo> {
        let dirty = self.files.entry(key(&**file)?).or_insert_with(|| Dirty {
            file: Arc::clone(file),
            layers: Vec::new(),
        });
        if dirty.layers.last().is_none_or(|(sync, _)| sync.is_some()) {
            dirty.layers.push((None, Undo::new((&**file).len()?)));
        }
        let (_, undo) = dirty.layers.last_mut().ok_or(rustix::io::Errno::IO)?;
        Ok(undo)
    }

    /// An fsync of this file or folder begins.
    pub(super) fn begin_sync(&mut self, file: &File) -> io::Result<Syncing> {
        let serial = self.next_sync;
        self.next_sync += 1;
        let key = key(file)?;
        let dirty = self.files.get_mut(&key);
        if let Some((sync @ None, _)) = dirty.and_then(|dirty| dirty.layers.last_mut()) {
            *sync = Some(serial);
        }
        Ok(Syncing {
            key,
            serial,
            names: self.names.mark(),
        })
    }

    /// It has ended well: what was there when it began is durable.
    pub(super) fn end_sync(&mut self, syncing: Syncing) {
        if let Some(dirty) = self.files.get_mut(&syncing.key) {
            let later = |sync: Option<u64>| sync.is_none_or(|serial| serial > syncing.serial);
            dirty.layers.retain(|(sync, _)| later(*sync));
            if dirty.layers.is_empty() {
                self.files.remove(&syncing.key);
            }
        }
        self.names.commit(syncing.names);
    }

    /// Of a write, some parts will be on the disk when the power has failed.
    pub(super) fn tear(&mut self, file: &Arc<File>, at: u64, bytes: &[u8], torn: &Torn) {
        let parts = (torn.parts.max(1) as usize).min(bytes.len().max(1));
        let size = bytes.len().div_ceil(parts).max(1);
        self.torn_off.0 += 1;
        for (number, part) in (1..).zip(bytes.chunks(size)) {
            if torn.keep.contains(&number) {
                let offset = at + (size as u64) * u64::from(number - 1);
                self.torn.push((Arc::clone(file), offset, part.to_vec()));
            } else {
                self.torn_off.1 += part.len() as u64;
            }
        }
    }

    /// The power has failed.
    pub(super) fn lose(&mut self) -> io::Result<Lost> {
        let mut lost = Lost::default();
        for dirty in std::mem::take(&mut self.files).into_values() {
            let mut touched = 0;
            for (_, undo) in dirty
                .layers
                .iter()
                .rev()
                .filter(|(_, undo)| !undo.is_empty())
            {
                touched += undo.touched();
                undo.restore(&mut &*dirty.file)?;
            }
            lost.files += u64::from(touched > 0);
            lost.bytes += touched;
        }
        let (writes, bytes) = std::mem::take(&mut self.torn_off);
        lost.files += writes;
        lost.bytes += bytes;
        for (file, at, bytes) in std::mem::take(&mut self.torn) {
            file.write_all_at(&bytes, at)?;
        }
        lost.names = self.names.lose()? as u64;
        Ok(lost)
    }
}

/// A call that waits for its answer.
pub(super) type Waiting = Box<dyn FnOnce() + Send>;

/// All of it, behind one lock.
pub(super) struct State {
    pub(super) inodes: Inodes,
    pub(super) files: BTreeMap<u64, Arc<File>>,
    pub(super) listings: BTreeMap<u64, Vec<(u64, rustix::fs::FileType, std::ffi::OsString)>>,
    pub(super) next_handle: u64,
    pub(super) unsynced: Unsynced,
    pub(super) rules: Rules,
    /// The power has failed: calls wait here.
    pub(super) dark: bool,
    pub(super) waiting: Vec<Waiting>,
    /// Whoever uses the disk is about to die: every call fails at once.
    pub(super) refusing: bool,
}

impl State {
    /// The path of a file from the root of the disk, as it is now.
    pub(super) fn path(&self, root: &str, number: u64) -> String {
        let link = self.inodes.get(number).ok().and_then(|fd| {
            let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
            std::fs::read_link(link).ok()
        });
        let path = link.map(|path| path.to_string_lossy().into_owned());
        let path = path.unwrap_or_default();
        let below = path.strip_prefix(root).unwrap_or(&path);
        below.trim_start_matches('/').to_owned()
    }
}

/// The key of an open file.
fn key(fd: impl std::os::fd::AsFd) -> io::Result<Key> {
    let stat = statat(fd, "", AtFlags::EMPTY_PATH)?;
    Ok((stat.st_dev, stat.st_ino))
}
