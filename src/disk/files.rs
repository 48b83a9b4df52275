//! The file system itself: every call goes through to the folder below, after it has met the rules
//! and what it destroys was put aside.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, Mode, OFlags, openat};

use super::below::{attributes, errno, file_type, flags_below, is_sync, read_full, reopen};
use super::calls::{Call, Disk, Refuse};
use super::rules::Op;

/// The kernel asks again each time: after a power failure nothing that it remembers is true.
const TTL: Duration = Duration::ZERO;

/// What is mounted.
pub(super) struct Mounted(pub(super) Arc<Disk>);

/// Answers with what a call gave.
macro_rules! answer {
    ($reply:expr, $result:expr, |$value:pat_param| $good:expr) => {{
        match $result {
            Ok($value) => $good,
            Err(error) => $reply.error(errno(&error)),
        }
    }};
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some(reply) = self.0.admit(reply) else {
            return;
        };
        let entry = self.0.state().entry(parent.0, name);
        answer!(reply, entry, |attr| reply.entry(&TTL, &attr, Generation(0)));
    }

    fn forget(&self, _: &Request, ino: INodeNo, times: u64) {
        self.0.state().inodes.forget(ino.0, times);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let Some(reply) = self.0.admit(reply) else {
            return;
        };
        let attr = attributes(&self.0.state(), ino.0);
        answer!(reply, attr, |attr| reply.attr(&TTL, &attr));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let times = (accessed, modified);
        let change = move |disk: &Disk, reply: ReplyAttr| {
            let attr = disk.change(ino.0, mode, size, times, handle);
            answer!(reply, attr, |attr| reply.attr(&TTL, &attr));
        };
        match size {
            Some(_) => self.0.call(Call::on(Op::Truncate, ino.0), reply, change),
            None => {
                if let Some(reply) = self.0.admit(reply) {
                    change(&self.0, reply);
                }
            }
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let Some(reply) = self.0.admit(reply) else {
            return;
        };
        let fd = self.0.state().inodes.get(ino.0).map(Arc::clone);
        let target = fd.and_then(|fd| Ok(rustix::fs::readlinkat(&fd, "", Vec::new())?));
        answer!(reply, target, |target| reply.data(target.as_bytes()));
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let owned = name.to_owned();
        let mode = Mode::from_raw_mode(mode & !umask);
        self.0.call(
            Call::on(Op::Create, parent.0).named(name).growing(true),
            reply,
            move |disk, reply| {
                let made = disk.make(parent.0, &owned, true, |folder| {
                    Ok(rustix::fs::mkdirat(folder, &*owned, mode)?)
                });
                answer!(reply, made, |attr| reply.entry(&TTL, &attr, Generation(0)));
            },
        );
    }

    fn symlink(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let (owned, target) = (name.to_owned(), target.to_owned());
        self.0.call(
            Call::on(Op::Create, parent.0).named(name).growing(true),
            reply,
            move |disk, reply| {
                let made = disk.make(parent.0, &owned, false, |folder| {
                    Ok(rustix::fs::symlinkat(&target, folder, &*owned)?)
                });
                answer!(reply, made, |attr| reply.entry(&TTL, &attr, Generation(0)));
            },
        );
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let owned = name.to_owned();
        self.0.call(
            Call::on(Op::Create, parent.0).named(name).growing(true),
            reply,
            move |disk, reply| {
                let from = disk.state().inodes.get(ino.0).map(Arc::clone);
                let made = from.and_then(|from| {
                    let path = format!("/proc/self/fd/{}", from.as_raw_fd());
                    disk.make(parent.0, &owned, false, |folder| {
                        let flags = AtFlags::SYMLINK_FOLLOW;
                        Ok(rustix::fs::linkat(
                            rustix::fs::CWD,
                            path,
                            folder,
                            &*owned,
                            flags,
                        )?)
                    })
                });
                answer!(reply, made, |attr| reply.entry(&TTL, &attr, Generation(0)));
            },
        );
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, false, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(parent, name, true, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (old, new) = (name.to_owned(), new_name.to_owned());
        let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
        self.0.call(
            Call::on(Op::Rename, new_parent.0).named(new_name),
            reply,
            move |disk, reply| {
                let mut state = disk.state();
                let from = state.place(parent.0, &old);
                let to = state.place(new_parent.0, &new);
                let renamed = from.and_then(|from| state.unsynced.names.rename(from, to?, flags));
                drop(state);
                answer!(reply, renamed, |()| reply.ok());
            },
        );
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.0
            .call(Call::on(Op::Open, ino.0), reply, move |disk, reply| {
                let mut state = disk.state();
                let fd = state.inodes.get(ino.0).map(Arc::clone);
                let file = fd.and_then(|fd| reopen(&fd, flags_below(flags.0)));
                let handle = file.map(|file| state.keep(file));
                drop(state);
                answer!(reply, handle, |handle| reply
                    .opened(handle, FopenFlags::empty()));
            });
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let owned = name.to_owned();
        let mode = Mode::from_raw_mode(mode & !umask);
        self.0.call(
            Call::on(Op::Create, parent.0).named(name).growing(true),
            reply,
            move |disk, reply| {
                let mut file = None;
                let made = disk.make(parent.0, &owned, false, |folder| {
                    let asked = flags_below(flags);
                    let flags = asked | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                    file = Some(File::from(openat(folder, &*owned, flags, mode)?));
                    Ok(())
                });
                let made = made.and_then(|attr| {
                    let file = file.ok_or(rustix::io::Errno::IO)?;
                    Ok((attr, disk.state().keep(file)))
                });
                answer!(reply, made, |(attr, handle)| {
                    reply.created(&TTL, &attr, Generation(0), handle, FopenFlags::empty());
                });
            },
        );
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.0
            .call(Call::on(Op::Read, ino.0), reply, move |disk, reply| {
                let file = disk.state().file(handle);
                let mut bytes = vec![0; size as usize];
                let read = file.and_then(|file| read_full(&file, offset, &mut bytes));
                answer!(reply, read, |length| reply.data(&bytes[..length]));
            });
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let sync = is_sync(flags.0);
        if self.0.is_free() {
            let written = self.0.write(handle, offset, data, sync);
            answer!(reply, written, |length| reply.written(length));
            return;
        }
        let grows = self.0.grows(handle, offset + data.len() as u64);
        let data = data.to_vec();
        let parts = self
            .0
            .state()
            .file(handle)
            .ok()
            .map(|file| (file, offset, data.clone()));
        let call = Call::on(Op::Write, ino.0).growing(grows).writing(parts);
        self.0.call(call, reply, move |disk, reply| {
            let written = disk.write(handle, offset, &data, sync);
            answer!(reply, written, |length| reply.written(length));
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        if let Some(reply) = self.0.admit(reply) {
            reply.ok();
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.state().files.remove(&handle.0);
        reply.ok();
    }

    fn fsync(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        only_data: bool,
        reply: ReplyEmpty,
    ) {
        self.0
            .call(Call::on(Op::Fsync, ino.0), reply, move |disk, reply| {
                let file = disk.state().file(handle);
                let synced = file.and_then(|file| disk.sync(&file, only_data));
                answer!(reply, synced, |()| reply.ok());
            });
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let Some(reply) = self.0.admit(reply) else {
            return;
        };
        let listed = self.0.list(ino.0);
        answer!(reply, listed, |handle| reply
            .opened(handle, FopenFlags::empty()));
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let Some(mut reply) = self.0.admit(reply) else {
            return;
        };
        let state = self.0.state();
        let listing = state.listings.get(&handle.0);
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        let entries = listing.into_iter().flatten().enumerate().skip(skipped);
        for (number, (ino, kind, name)) in entries {
            if reply.add(INodeNo(*ino), number as u64 + 1, file_type(*kind), name) {
                break;
            }
        }
        drop(state);
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.state().listings.remove(&handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.0
            .call(Call::on(Op::Fsync, ino.0), reply, move |disk, reply| {
                let fd = disk.state().inodes.get(ino.0).map(Arc::clone);
                let folder = fd.and_then(|fd| reopen(&fd, OFlags::RDONLY | OFlags::DIRECTORY));
                let synced = folder.and_then(|folder| disk.sync(&folder, false));
                answer!(reply, synced, |()| reply.ok());
            });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let Some(reply) = self.0.admit(reply) else {
            return;
        };
        let state = self.0.state();
        let root = state.inodes.get(1).map(Arc::clone);
        let is_full = state.rules.is_full();
        drop(state);
        let stat = root.and_then(|root| Ok(rustix::fs::fstatvfs(&root)?));
        answer!(reply, stat, |stat| {
            let free = |blocks: u64| if is_full { 0 } else { blocks };
            let names = u32::try_from(stat.f_namemax).unwrap_or(255);
            let size = u32::try_from(stat.f_bsize).unwrap_or(4096);
            reply.statfs(
                stat.f_blocks,
                free(stat.f_bfree),
                free(stat.f_bavail),
                stat.f_files,
                free(stat.f_ffree),
                size,
                names,
                u32::try_from(stat.f_frsize).unwrap_or(4096),
            );
        });
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let grows = self.0.grows(handle, offset + length);
        self.0.call(
            Call::on(Op::Truncate, ino.0).growing(grows),
            reply,
            move |disk, reply| {
                let mut state = disk.state();
                let done = state.file(handle).and_then(|file| {
                    // Punching holes destroys what a write of zeros would.
                    state.unsynced.before_write(&file, offset, length)?;
                    let flags = rustix::fs::FallocateFlags::from_bits_retain(mode.cast_unsigned());
                    Ok(rustix::fs::fallocate(&file, flags, offset, length)?)
                });
                drop(state);
                answer!(reply, done, |()| reply.ok());
            },
        );
    }
}

impl Mounted {
    fn remove(&self, parent: INodeNo, name: &OsStr, is_folder: bool, reply: ReplyEmpty) {
        let owned = name.to_owned();
        self.0.call(
            Call::on(Op::Remove, parent.0).named(name),
            reply,
            move |disk, reply| {
                let mut state = disk.state();
                let place = state.place(parent.0, &owned);
                let removed = place.and_then(|place| state.unsynced.names.remove(place, is_folder));
                drop(state);
                answer!(reply, removed, |()| reply.ok());
            },
        );
    }
}

macro_rules! refuse {
    ($($reply:ty),*) => {
        $(impl Refuse for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite
);
