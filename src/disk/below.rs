//! What a call does to the folder below, once nothing is in its way.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileHandle, FileType, INodeNo, TimeOrNow};
use rustix::fs::{AtFlags, Mode, OFlags, statat};

use super::calls::Disk;
use super::names::Place;
use super::state::State;

pub(super) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_i32)
}

/// What the kernel is told of a file.
pub(super) fn attributes(state: &State, number: u64) -> io::Result<FileAttr> {
    let stat = statat(state.inodes.get(number)?, "", AtFlags::EMPTY_PATH)?;
    let time = |seconds: i64, nanos: u64| {
        let since = Duration::new(
            seconds.max(0).unsigned_abs(),
            u32::try_from(nanos).unwrap_or(0),
        );
        UNIX_EPOCH + since
    };
    let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
    Ok(FileAttr {
        ino: INodeNo(number),
        size: stat.st_size.unsigned_abs(),
        blocks: stat.st_blocks.unsigned_abs(),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: file_type(kind),
        perm: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

pub(super) const fn file_type(kind: rustix::fs::FileType) -> FileType {
    match kind {
        rustix::fs::FileType::Directory => FileType::Directory,
        rustix::fs::FileType::Symlink => FileType::Symlink,
        rustix::fs::FileType::Fifo => FileType::NamedPipe,
        rustix::fs::FileType::Socket => FileType::Socket,
        _ => FileType::RegularFile,
    }
}

/// Opens what a number stands for, once more.
pub(super) fn reopen(fd: &OwnedFd, flags: OFlags) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = flags | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// A file that is written is read too, for what a write destroys.
pub(super) fn flags_below(flags: i32) -> OFlags {
    let asked = OFlags::from_bits_retain(flags.cast_unsigned());
    if asked.intersects(OFlags::WRONLY | OFlags::RDWR) {
        OFlags::RDWR
    } else {
        OFlags::RDONLY
    }
}

/// Whether each write is to be durable when it returns.
pub(super) fn is_sync(flags: i32) -> bool {
    let asked = OFlags::from_bits_retain(flags.cast_unsigned());
    asked.intersects(OFlags::SYNC | OFlags::DSYNC)
}

impl State {
    pub(super) fn keep(&mut self, file: File) -> FileHandle {
        self.next_handle += 1;
        self.files.insert(self.next_handle, Arc::new(file));
        FileHandle(self.next_handle)
    }

    pub(super) fn file(&self, handle: FileHandle) -> io::Result<Arc<File>> {
        let file = self.files.get(&handle.0).cloned();
        file.ok_or_else(|| rustix::io::Errno::BADF.into())
    }

    /// Something was made under this name: tells the kernel of it.
    pub(super) fn entry(&mut self, folder: u64, name: &OsStr) -> io::Result<FileAttr> {
        let number = self.inodes.look_up(folder, name)?;
        attributes(self, number)
    }

    pub(super) fn place(&self, folder: u64, name: &OsStr) -> io::Result<Place> {
        Ok(Place::new(self.inodes.get(folder)?, name))
    }
}

impl Disk {
    pub(super) fn make(
        &self,
        folder: u64,
        name: &OsStr,
        is_folder: bool,
        make: impl FnOnce(&OwnedFd) -> io::Result<()>,
    ) -> io::Result<FileAttr> {
        let mut state = self.state();
        let place = state.place(folder, name)?;
        make(&place.folder)?;
        state.unsynced.names.made(place, is_folder);
        state.entry(folder, name)
    }

    pub(super) fn change(
        &self,
        number: u64,
        mode: Option<u32>,
        size: Option<u64>,
        times: (Option<TimeOrNow>, Option<TimeOrNow>),
        handle: Option<FileHandle>,
    ) -> io::Result<FileAttr> {
        let mut state = self.state();
        let fd = Arc::clone(state.inodes.get(number)?);
        if let Some(size) = size {
            let file = match handle.and_then(|handle| state.file(handle).ok()) {
                Some(file) => file,
                None => Arc::new(reopen(&fd, OFlags::RDWR)?),
            };
            state.unsynced.before_set_len(&file, size)?;
            file.set_len(size)?;
        }
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        if let Some(mode) = mode {
            rustix::fs::chmod(&path, Mode::from_raw_mode(mode))?;
        }
        let (accessed, modified) = times;
        if accessed.is_some() || modified.is_some() {
            let times = rustix::fs::Timestamps {
                last_access: timespec(accessed),
                last_modification: timespec(modified),
            };
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty())?;
        }
        attributes(&state, number)
    }

    pub(super) fn write(
        &self,
        handle: FileHandle,
        at: u64,
        data: &[u8],
        sync: bool,
    ) -> io::Result<u32> {
        let file = {
            let mut state = self.state();
            let file = state.file(handle)?;
            state.unsynced.before_write(&file, at, data.len() as u64)?;
            file.write_all_at(data, at)?;
            file
        };
        if sync {
            self.sync(&file, true)?;
        }
        u32::try_from(data.len()).map_err(io::Error::other)
    }

    /// The real thing below, so that it costs what it costs.
    pub(super) fn sync(&self, file: &File, only_data: bool) -> io::Result<()> {
        let syncing = self.state().unsynced.begin_sync(file)?;
        if only_data {
            file.sync_data()?;
        } else {
            file.sync_all()?;
        }
        self.state().unsynced.end_sync(syncing);
        Ok(())
    }

    /// Whether a write needs space that the file does not have yet.
    pub(super) fn grows(&self, handle: FileHandle, to: u64) -> bool {
        let file = self.state().file(handle);
        let len = file.and_then(|file| Ok(file.metadata()?.len()));
        len.is_ok_and(|len| to > len)
    }
}

pub(super) fn timespec(time: Option<TimeOrNow>) -> rustix::fs::Timespec {
    let special = |tv_nsec| rustix::fs::Timespec { tv_sec: 0, tv_nsec };
    match time {
        None => special(rustix::fs::UTIME_OMIT),
        Some(TimeOrNow::Now) => special(rustix::fs::UTIME_NOW),
        Some(TimeOrNow::SpecificTime(time)) => {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            let since = since.unwrap_or_default();
            rustix::fs::Timespec {
                tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(since.subsec_nanos()),
            }
        }
    }
}

impl Disk {
    pub(super) fn list(&self, number: u64) -> io::Result<FileHandle> {
        let mut state = self.state();
        let folder = reopen(
            state.inodes.get(number)?,
            OFlags::RDONLY | OFlags::DIRECTORY,
        )?;
        let mut listing = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            listing.push((entry.ino(), entry.file_type(), name));
        }
        state.next_handle += 1;
        let handle = state.next_handle;
        state.listings.insert(handle, listing);
        Ok(FileHandle(handle))
    }
}

/// As much as there is, up to the length of the buffer.
pub(super) fn read_full(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
