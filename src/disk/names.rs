//! Names that a power failure takes away or gives back.
//!
//! A file that was made, removed or renamed is so on the disk only when the journal of the file
//! system was written. Here, as on ext4 and XFS, that happens with every completed fsync of
//! whatever file or folder: it writes all changes of names that came before it. Until then each
//! change can be taken back: what was removed or replaced waits in an attic.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, unlinkat};

/// A folder and a name in it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: Arc<OwnedFd>,
    pub(super) name: OsString,
}

impl Place {
    pub(super) fn new(folder: &Arc<OwnedFd>, name: &OsStr) -> Self {
        Self {
            folder: Arc::clone(folder),
            name: name.to_owned(),
        }
    }
}

#[derive(Debug)]
enum Change {
    Made {
        place: Place,
        is_folder: bool,
    },
    Removed {
        place: Place,
        attic: OsString,
        is_folder: bool,
    },
    Moved {
        from: Place,
        to: Place,
        replaced: Option<(OsString, bool)>,
    },
    Exchanged {
        one: Place,
        other: Place,
    },
}

/// The changes of names that are not on the disk yet, the oldest first.
#[derive(Debug)]
pub(super) struct Names {
    attic: OwnedFd,
    next: u64,
    /// The number of the oldest change.
    first: u64,
    changes: Vec<Change>,
}

impl Names {
    /// `attic`: an empty folder on the same file system.
    pub(super) const fn new(attic: OwnedFd) -> Self {
        Self {
            attic,
            next: 0,
            first: 0,
            changes: Vec::new(),
        }
    }

    /// A file or folder was made.
    pub(super) fn made(&mut self, place: Place, is_folder: bool) {
        self.changes.push(Change::Made { place, is_folder });
    }

    /// Removes a file, or a folder that is empty.
    pub(super) fn remove(&mut self, place: Place, is_folder: bool) -> io::Result<()> {
        if is_folder && !is_empty(&place)? {
            return Err(rustix::io::Errno::NOTEMPTY.into());
        }
        let attic = self.put_away(&place)?;
        self.changes.push(Change::Removed {
            place,
            attic,
            is_folder,
        });
        Ok(())
    }

    /// Renames, with the flags of `renameat2`.
    pub(super) fn rename(&mut self, from: Place, to: Place, flags: RenameFlags) -> io::Result<()> {
        if flags.contains(RenameFlags::EXCHANGE) {
            exchange(&from, &to)?;
            self.changes.push(Change::Exchanged {
                one: from,
                other: to,
            });
            return Ok(());
        }
        let there = kind(&to)?;
        let moved = kind(&from)?.ok_or(rustix::io::Errno::NOENT)?;
        let replaced = match there {
            Some(_) if flags.contains(RenameFlags::NOREPLACE) => {
                return Err(rustix::io::Errno::EXIST.into());
            }
            Some(true) if !moved => return Err(rustix::io::Errno::ISDIR.into()),
            Some(false) if moved => return Err(rustix::io::Errno::NOTDIR.into()),
            Some(true) if !is_empty(&to)? => return Err(rustix::io::Errno::NOTEMPTY.into()),
            Some(is_folder) => Some((self.put_away(&to)?, is_folder)),
            None => None,
        };
        if let Err(error) = renameat(&from.folder, &*from.name, &to.folder, &*to.name) {
            if let Some((attic, _)) = replaced {
                renameat(&self.attic, &*attic, &to.folder, &*to.name)?;
            }
            return Err(error.into());
        }
        self.changes.push(Change::Moved { from, to, replaced });
        Ok(())
    }

    /// A mark for [`Names::commit`]: everything up to now.
    pub(super) fn mark(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    /// All changes before the mark are on the disk.
    pub(super) fn commit(&mut self, mark: u64) {
        let count = usize::try_from(mark.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let count = count.min(self.changes.len());
        self.first += count as u64;
        for change in self.changes.drain(..count) {
            let gone = match change {
                Change::Removed {
                    attic, is_folder, ..
                } => Some((attic, is_folder)),
                Change::Moved { replaced, .. } => replaced,
                Change::Made { .. } | Change::Exchanged { .. } => None,
            };
            if let Some((name, is_folder)) = gone {
                let flags = if is_folder {
                    AtFlags::REMOVEDIR
                } else {
                    AtFlags::empty()
                };
                // What cannot be removed from the attic takes space there and nothing else.
                let _ = unlinkat(&self.attic, &*name, flags);
            }
        }
    }

    /// The power has failed: takes all changes back, the newest first, and tells how many.
    pub(super) fn lose(&mut self) -> io::Result<usize> {
        let mut lost = 0;
        self.first += self.changes.len() as u64;
        while let Some(change) = self.changes.pop() {
            lost += 1;
            match change {
                Change::Made { place, is_folder } => {
                    let flags = if is_folder {
                        AtFlags::REMOVEDIR
                    } else {
                        AtFlags::empty()
                    };
                    unlinkat(&place.folder, &*place.name, flags)?;
                }
                Change::Removed { place, attic, .. } => {
                    renameat(&self.attic, &*attic, &place.folder, &*place.name)?;
                }
                Change::Moved { from, to, replaced } => {
                    renameat(&to.folder, &*to.name, &from.folder, &*from.name)?;
                    if let Some((attic, _)) = replaced {
                        renameat(&self.attic, &*attic, &to.folder, &*to.name)?;
                    }
                }
                Change::Exchanged { one, other } => exchange(&one, &other)?,
            }
        }
        Ok(lost)
    }

    fn put_away(&mut self, place: &Place) -> io::Result<OsString> {
        let name = OsString::from(self.next.to_string());
        renameat(&place.folder, &*place.name, &self.attic, &*name)?;
        self.next += 1;
        Ok(name)
    }
}

fn exchange(one: &Place, other: &Place) -> io::Result<()> {
    Ok(renameat_with(
        &one.folder,
        &*one.name,
        &other.folder,
        &*other.name,
        RenameFlags::EXCHANGE,
    )?)
}

/// Whether a folder has this name, or something else (false), or nothing.
fn kind(place: &Place) -> io::Result<Option<bool>> {
    match rustix::fs::statat(&place.folder, &*place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
            Ok(Some(kind == rustix::fs::FileType::Directory))
        }
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_empty(place: &Place) -> io::Result<bool> {
    use rustix::fs::OFlags;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = rustix::fs::Mode::empty();
    let folder = rustix::fs::openat(&place.folder, &*place.name, flags, mode)?;
    for entry in rustix::fs::Dir::read_from(folder.as_fd())? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
