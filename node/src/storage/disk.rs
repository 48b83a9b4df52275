//! The real storage: a directory with the file of epochs, the log and the newest snapshot.

use std::path::PathBuf;

use super::background::Background;
use super::error::{Damage, StorageError};
use super::files::{self, Files};
use super::home::{Home, Owner};
use super::meta::{self, Epochs, MetaFile};
use super::recovery::{self, Log};
use super::segment::SegmentId;
use super::snapshot::SnapshotId;
use super::system::SystemFiles;
use super::wal::Wal;
use super::{Recovered, SaveTask, Storage, StorageOp};
use crate::protocol::blob::Blob;
use crate::protocol::io::DiskOp;
use crate::protocol::message::Entry;
use crate::protocol::zxid::Zxid;

/// Where and how much.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory; made if it does not exist.
    pub dir: PathBuf,
    /// Whose it is.
    pub node: u8,
    /// Size of each segment of the log, in bytes.
    pub segment_bytes: usize,
}

impl Options {
    /// Four MiB per segment: about 20 000 small writes.
    pub const SEGMENT_BYTES: usize = 4 << 20;
}

/// A directory in use. Dropping it lets another process use it.
#[derive(Debug)]
pub struct DiskStorage<F: Files = SystemFiles> {
    options: Options,
    files: F,
    open: Option<Open<F>>,
    background: Background,
    _lock: F::Lock,
}

#[derive(Debug)]
struct Open<F: Files> {
    home: Home<F>,
    meta: MetaFile<F>,
    wal: Wal<F>,
    snapshot: Option<SnapshotId>,
    saving: Option<SnapshotId>,
    segment_bytes: usize,
}

/// Where the work is done that nobody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// On a thread.
    Thread,
    /// At once, by who asks for it: then every run makes the same changes in the same order.
    Inline,
}

impl DiskStorage {
    /// Claims the directory for this process.
    ///
    /// # Errors
    /// If it cannot be made or written, or another process uses it.
    pub fn open(options: Options) -> Result<Self, StorageError> {
        Self::open_on(SystemFiles, options, Aside::Thread)
    }
}

impl<F: Files> DiskStorage<F> {
    /// The same on any file system.
    ///
    /// # Errors
    /// If the directory cannot be made or written, or is in use.
    pub fn open_on(files: F, options: Options, aside: Aside) -> Result<Self, StorageError> {
        files
            .make_dir(&options.dir)
            .map_err(StorageError::io("create", &options.dir))?;
        let path = options.dir.join("lock");
        let lock = files.lock(&path).map_err(StorageError::io("open", &path))?;
        let background = match aside {
            Aside::Inline => Background::inline(),
            Aside::Thread => Background::thread()
                .map_err(StorageError::io("start the thread for", &options.dir))?,
        };
        Ok(Self {
            _lock: lock.ok_or_else(|| StorageError::InUse(options.dir.clone()))?,
            options,
            files,
            open: None,
            background,
        })
    }

    /// Runs this on the open directory, which is closed for good if it fails.
    fn with_open<T>(
        &mut self,
        act: impl FnOnce(&mut Open<F>, &Background) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut open = self.open.take().ok_or(StorageError::Refused)?;
        self.background.check()?;
        let result = act(&mut open, &self.background)?;
        self.background.check()?;
        self.open = Some(open);
        Ok(result)
    }
}

impl<F: Files> Storage for DiskStorage<F> {
    fn recover(&mut self) -> Result<Recovered, StorageError> {
        let (open, recovered) = recover(&self.files, &self.options, &self.background)?;
        open.delete_old(&self.background)?;
        self.open = Some(open);
        Ok(recovered)
    }

    fn perform(&mut self, ops: &[StorageOp]) -> Result<(), StorageError> {
        self.with_open(|open, background| {
            for op in ops {
                open.perform(background, op)?;
            }
            open.wal.flush(background)
        })
    }

    fn begin_save(&mut self, zxid: Zxid, bytes: &Blob) -> Result<SaveTask, StorageError> {
        let bytes = bytes.clone();
        self.with_open(|open, _| {
            let task = open.begin_save(zxid);
            Ok(match task {
                None => Box::new(|| Ok(())),
                Some((home, id)) => Box::new(move || id.write(&home, &bytes)) as SaveTask,
            })
        })
    }

    fn saved(&mut self) -> Result<(), StorageError> {
        self.with_open(Open::saved)
    }

    fn settle(&mut self) -> Result<(), StorageError> {
        self.with_open(|open, _| open.wal.mark())
    }
}

impl<F: Files> Open<F> {
    fn perform(&mut self, background: &Background, op: &StorageOp) -> Result<(), StorageError> {
        // Appends wait for each other, so that a batch costs one write and one fdatasync; every other
        // operation first makes what stands before it durable.
        match op {
            StorageOp::Protocol(DiskOp::Append(entries)) => self.wal.append(background, entries),
            StorageOp::Protocol(DiskOp::Truncate { after }) => {
                self.wal.truncate(background, *after)
            }
            StorageOp::Protocol(DiskOp::SetMeta {
                accepted_epoch,
                current_epoch,
            }) => {
                self.wal.flush(background)?;
                self.meta.set(Epochs {
                    accepted: *accepted_epoch,
                    current: *current_epoch,
                })
            }
            StorageOp::Protocol(DiskOp::InstallSnapshot {
                zxid,
                bytes,
                entries,
            }) => {
                self.wal.flush(background)?;
                self.install(background, *zxid, (bytes, entries))
            }
            StorageOp::SaveSnapshot { zxid, bytes } => {
                self.wal.flush(background)?;
                if let Some((home, id)) = self.begin_save(*zxid) {
                    id.write(&home, bytes)?;
                }
                self.saved(background)
            }
        }
    }

    /// Replaces the history. The log of the new generation is complete before the snapshot makes it
    /// valid, and the old one void, by a rename.
    fn install(
        &mut self,
        background: &Background,
        zxid: Zxid,
        (bytes, entries): (&[u8], &[Entry]),
    ) -> Result<(), StorageError> {
        let generation = self.wal.generation() + 1;
        let log = (generation, zxid);
        let mut wal = Wal::create(&self.home, background, log, self.segment_bytes)?;
        wal.append(background, entries)?;
        wal.flush(background)?;
        let id = SnapshotId { generation, zxid };
        id.write(&self.home, bytes)?;
        self.wal = wal;
        self.snapshot = Some(id);
        self.delete_old(background)
    }

    /// What to write for a snapshot of the own state; nothing if a later one is there already.
    fn begin_save(&mut self, zxid: Zxid) -> Option<(Home<F>, SnapshotId)> {
        let generation = self.wal.generation();
        let id = SnapshotId { generation, zxid };
        self.saving = (self.snapshot < Some(id)).then_some(id);
        self.saving.map(|id| (self.home.clone(), id))
    }

    /// The snapshot is durable: what it covers is not needed any more.
    fn saved(&mut self, background: &Background) -> Result<(), StorageError> {
        if let Some(id) = self.saving.take() {
            // A snapshot from another node may have come meanwhile.
            if self.snapshot < Some(id) {
                self.snapshot = Some(id);
                self.wal.forget(id.zxid);
            }
            self.delete_old(background)?;
        }
        Ok(())
    }

    /// Has the files deleted that nobody needs.
    fn delete_old(&self, background: &Background) -> Result<(), StorageError> {
        let first = SegmentId {
            generation: self.wal.generation(),
            sequence: self.wal.first_sequence(),
        };
        let (home, snapshot) = (self.home.clone(), self.snapshot);
        background.submit(Box::new(move || {
            let names = files::names(&home.files, &home.dir)?;
            let is_old = |name: &String| {
                SegmentId::parse(name).is_some_and(|id| id < first)
                    || SnapshotId::parse(name).is_some_and(|id| Some(id) < snapshot)
            };
            let old = names.into_iter().filter(is_old);
            files::remove_all(&home.files, &home.dir, old)
        }))
    }
}

/// Reads everything back, and cleans up after a crash.
fn recover<F: Files>(
    files: &F,
    options: &Options,
    background: &Background,
) -> Result<(Open<F>, Recovered), StorageError> {
    let dir = &options.dir;
    // What a process left that was killed is visible, but need not be durable.
    files::sync_dir(files, dir)?;
    let names = files::names(files, dir)?;
    let segments: Vec<_> = names
        .iter()
        .filter_map(|name| SegmentId::parse(name))
        .collect();
    let snapshot = names
        .iter()
        .filter_map(|name| SnapshotId::parse(name))
        .max();
    let path = dir.join(meta::NAME);
    let meta = match MetaFile::open(files, path.clone(), options.node)? {
        Some(meta) => meta,
        None if snapshot.is_some() || !segments.is_empty() => {
            return Err(StorageError::NoEpochs(dir.clone()));
        }
        None => {
            let store = files
                .nonce()
                .map_err(StorageError::io("draw a number for", dir))?;
            let owner = Owner {
                node: options.node,
                store,
            };
            MetaFile::create(files, path, owner)?
        }
    };
    let home = Home {
        files: files.clone(),
        dir: dir.clone(),
        owner: meta.owner(),
    };
    let unfinished = names.into_iter().filter(|name| is_unfinished(name));
    files::remove_all(files, dir, unfinished)?;
    let bytes = snapshot.map(|id| id.read(&home)).transpose()?;
    let is_fresh = meta.epochs() == Epochs::default() && snapshot.is_none();
    let log = recover_log(
        &home,
        background,
        (segments, snapshot),
        options.segment_bytes,
    )?;
    let (wal, entries) = match log {
        Some(log) => log,
        // The first start may have ended before the first batch; later there is one.
        None if is_fresh => {
            let wal = Wal::create(&home, background, (0, Zxid::ZERO), options.segment_bytes)?;
            (wal, Vec::new())
        }
        None => return Err(StorageError::NoLog(dir.clone())),
    };
    let recovered = Recovered {
        accepted_epoch: meta.epochs().accepted,
        current_epoch: meta.epochs().current,
        snapshot: snapshot.map(|id| id.zxid).zip(bytes),
        base: wal.base(),
        entries,
    };
    let open = Open {
        home,
        meta,
        wal,
        snapshot,
        saving: None,
        segment_bytes: options.segment_bytes,
    };
    Ok((open, recovered))
}

/// Reads the log that belongs to the snapshot. Deletes what an older generation left, and what an
/// installation that was not finished had prepared.
fn recover_log<F: Files>(
    home: &Home<F>,
    background: &Background,
    (mut segments, snapshot): (Vec<SegmentId>, Option<SnapshotId>),
    segment_bytes: usize,
) -> Result<Option<Log<F>>, StorageError> {
    segments.sort();
    let generation = snapshot.map_or(0, |id| id.generation);
    let (current, void): (Vec<_>, Vec<_>) = segments
        .into_iter()
        .partition(|id| id.generation == generation);
    let Some(first) = current.first() else {
        // An installation begins with a log in force; without one, a snapshot was lost.
        return match void.first() {
            Some(id) => Err(Damage::at(0, "its snapshot is missing").of(&id.path(home))),
            None => Ok(None),
        };
    };
    let path = first.path(home);
    files::remove_all(&home.files, &home.dir, void.iter().map(|id| id.name()))?;
    let Some((wal, entries)) = recovery::recover(home, background, &current, segment_bytes)? else {
        return Ok(None);
    };
    let zxid = snapshot.map_or(Zxid::ZERO, |id| id.zxid);
    let last = entries
        .last()
        .map_or_else(|| wal.base(), |entry| entry.zxid);
    let what = if wal.base() > zxid {
        format!(
            "the log before it is missing: it begins behind {}",
            wal.base()
        )
    } else if last < zxid {
        format!("the log ends with {last}, before the snapshot {zxid}")
    } else {
        return Ok(Some((wal, entries)));
    };
    Err(Damage::at(0, what).of(&path))
}

/// Whether this is what a crash left of a file that was being made.
fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(files::TEMPORARY).is_some_and(|name| {
        name == meta::NAME || SegmentId::parse(name).is_some() || SnapshotId::parse(name).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            dir: dir.path().to_owned(),
            node: 1,
            segment_bytes: 1024,
        };
        let first = DiskStorage::open(options.clone()).unwrap();
        assert!(matches!(
            DiskStorage::open(options.clone()),
            Err(StorageError::InUse(_))
        ));
        drop(first);
        assert!(DiskStorage::open(options).is_ok());
    }
}
