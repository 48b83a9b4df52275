//! The real storage: a directory with the file of epochs, the log and the newest snapshot.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use super::error::StorageError;
use super::files;
use super::meta::{Epochs, MetaFile};
use super::segment::SegmentId;
use super::snapshot::SnapshotId;
use super::wal::Wal;
use super::{Recovered, Storage, StorageOp};
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
    /// Room for records that each segment of the log is made with, in bytes.
    pub segment_bytes: usize,
}

impl Options {
    /// Four MiB per segment: about 40 000 small writes, and made in some milliseconds.
    pub const SEGMENT_BYTES: usize = 4 << 20;
}

/// A directory in use. Dropping it lets another process use it.
#[derive(Debug)]
pub struct DiskStorage {
    options: Options,
    _lock: Flock<fs::File>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    meta: MetaFile,
    wal: Wal,
    snapshot: Option<SnapshotId>,
}

impl DiskStorage {
    /// Claims the directory for this process.
    ///
    /// # Errors
    /// If it cannot be made or written, or another process uses it.
    pub fn open(options: Options) -> Result<Self, StorageError> {
        fs::create_dir_all(&options.dir).map_err(StorageError::io("create", &options.dir))?;
        let path = options.dir.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StorageError::io("open", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| StorageError::InUse(options.dir.clone()))?;
        Ok(Self {
            options,
            _lock: lock,
            open: None,
        })
    }
}

impl Storage for DiskStorage {
    fn recover(&mut self) -> Result<Recovered, StorageError> {
        let dir = &self.options.dir;
        let names = files::names(dir)?;
        for name in names.iter().filter(|name| name.ends_with(files::TEMPORARY)) {
            files::remove(&dir.join(name))?;
        }
        let snapshot = names
            .iter()
            .filter_map(|name| SnapshotId::parse(name))
            .max();
        let segments = log_segments(&names);
        let is_fresh = snapshot.is_none() && segments.is_empty();
        let meta = MetaFile::open(dir, self.options.node, is_fresh)?;
        let (wal, entries) = recover_log(&self.options, snapshot, segments)?;
        let bytes = snapshot.map(|id| id.read(dir)).transpose()?;
        let recovered = Recovered {
            accepted_epoch: meta.epochs().accepted,
            current_epoch: meta.epochs().current,
            snapshot: snapshot.map(|id| id.zxid).zip(bytes),
            base: wal.base(),
            entries,
        };
        let mut open = Open {
            meta,
            wal,
            snapshot,
        };
        open.delete_old_snapshots(&self.options)?;
        self.open = Some(open);
        Ok(recovered)
    }

    fn perform(&mut self, ops: &[StorageOp]) -> Result<(), StorageError> {
        let open = self.open.as_mut().expect("the owner recovers first");
        // Appends wait for each other, so that a batch costs one write and one fdatasync; every
        // other operation first makes what stands before it durable.
        let mut waiting: Vec<Entry> = Vec::new();
        for op in ops {
            if let StorageOp::Protocol(DiskOp::Append(entries)) = op {
                waiting.extend_from_slice(entries);
                continue;
            }
            open.wal.append(&waiting)?;
            waiting.clear();
            open.change(&self.options, op)?;
        }
        open.wal.append(&waiting)
    }
}

/// Reads the log that belongs to the snapshot. Deletes what an older generation left, and what an
/// installation that was not finished had prepared.
fn recover_log(
    options: &Options,
    snapshot: Option<SnapshotId>,
    segments: Vec<SegmentId>,
) -> Result<(Wal, Vec<Entry>), StorageError> {
    let generation = snapshot.map_or(0, |id| id.generation);
    let (current, void): (Vec<_>, Vec<_>) = segments
        .into_iter()
        .partition(|id| id.generation == generation);
    // An installation begins with a log in force; without one, a snapshot was lost.
    if let Some(id) = void.iter().find(|id| id.generation > generation)
        && current.is_empty()
    {
        let what = "its snapshot is missing";
        return Err(StorageError::corrupt(&id.path(&options.dir), 0, what));
    }
    for id in void {
        files::remove(&id.path(&options.dir))?;
    }
    let zxid = snapshot.map_or(Zxid::ZERO, |id| id.zxid);
    let Some(first) = current.first() else {
        let id = SegmentId {
            generation,
            base: zxid,
        };
        let wal = Wal::create(&options.dir, id, options.segment_bytes)?;
        return Ok((wal, Vec::new()));
    };
    if first.base > zxid {
        let what = "the log before it is missing";
        return Err(StorageError::corrupt(&first.path(&options.dir), 0, what));
    }
    let first = *first;
    let (wal, entries) = Wal::recover(&options.dir, current, options.segment_bytes)?;
    let last = entries.last().map_or(first.base, |entry| entry.zxid);
    if last < zxid {
        let what = format!("the log ends with {last}, before the snapshot {zxid}");
        return Err(StorageError::corrupt(&first.path(&options.dir), 0, what));
    }
    Ok((wal, entries))
}

impl Open {
    fn change(&mut self, options: &Options, op: &StorageOp) -> Result<(), StorageError> {
        match op {
            StorageOp::Protocol(DiskOp::Append(entries)) => self.wal.append(entries),
            StorageOp::Protocol(DiskOp::Truncate { after }) => self.wal.truncate(*after),
            StorageOp::Protocol(DiskOp::SetMeta {
                accepted_epoch,
                current_epoch,
            }) => self.meta.set(Epochs {
                accepted: *accepted_epoch,
                current: *current_epoch,
            }),
            StorageOp::Protocol(DiskOp::InstallSnapshot {
                zxid,
                bytes,
                entries,
            }) => self.install(options, *zxid, (bytes, entries)),
            StorageOp::SaveSnapshot { zxid, bytes } => {
                let id = SnapshotId {
                    generation: self.wal.generation(),
                    zxid: *zxid,
                };
                if self.snapshot >= Some(id) {
                    return Ok(());
                }
                id.write(&options.dir, bytes)?;
                self.snapshot = Some(id);
                self.delete_old_snapshots(options)?;
                self.wal.forget(*zxid)
            }
        }
    }

    /// Replaces the history. The log of the new generation is complete before the snapshot makes it
    /// valid, and the old one void, by a rename.
    fn install(
        &mut self,
        options: &Options,
        zxid: Zxid,
        (bytes, entries): (&[u8], &[Entry]),
    ) -> Result<(), StorageError> {
        let generation = self.wal.generation() + 1;
        let base = SegmentId {
            generation,
            base: zxid,
        };
        let mut wal = Wal::create(&options.dir, base, options.segment_bytes)?;
        wal.append(entries)?;
        let id = SnapshotId { generation, zxid };
        id.write(&options.dir, bytes)?;
        self.wal = wal;
        self.snapshot = Some(id);
        for old in log_segments(&files::names(&options.dir)?) {
            if old.generation < generation {
                files::remove(&old.path(&options.dir))?;
            }
        }
        self.delete_old_snapshots(options)
    }

    fn delete_old_snapshots(&mut self, options: &Options) -> Result<(), StorageError> {
        for name in files::names(&options.dir)? {
            if SnapshotId::parse(&name).is_some_and(|id| Some(id) < self.snapshot) {
                files::remove(&options.dir.join(name))?;
            }
        }
        Ok(())
    }
}

fn log_segments(names: &[String]) -> Vec<SegmentId> {
    names
        .iter()
        .filter_map(|name| SegmentId::parse(name))
        .collect()
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
