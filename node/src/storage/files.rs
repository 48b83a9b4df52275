//! The seam under the storage: the few things that it asks of a file system.
//!
//! Every change of the disk goes through [`Files`] and [`OpenFile`], so that tests can stop at each of
//! them, lose what was not synced, or answer with an error. On top of the seam stand the two habits of
//! the storage: a file appears whole or not at all, and a failed change is never tried again (only what
//! was certainly not done is repeated: a write that was interrupted, or the rest of a short one).

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::StorageError;

/// A file system, as far as the storage needs one.
pub trait Files: Clone + fmt::Debug + Send + Sync + 'static {
    /// An open file.
    type File: OpenFile;
    /// Holds a directory for this process until it is dropped.
    type Lock: fmt::Debug + Send;

    /// Makes a directory, and its name durable. One that exists is fine.
    ///
    /// # Errors
    /// The system's answer.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// Claims a lock file; `None` if another process has it.
    ///
    /// # Errors
    /// The system's answer.
    fn lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;

    /// The names in a directory, in any order. Names that are not text are left out.
    ///
    /// # Errors
    /// The system's answer.
    fn names(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// A whole file.
    ///
    /// # Errors
    /// The system's answer.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Makes an empty file for writing, in place of one that exists.
    ///
    /// # Errors
    /// The system's answer.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file that exists for writing.
    ///
    /// # Errors
    /// The system's answer.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives a file another name, in place of a file that has it. Durable after [`Self::sync_dir`].
    ///
    /// # Errors
    /// The system's answer.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file. Durable after [`Self::sync_dir`].
    ///
    /// # Errors
    /// The system's answer.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The system's answer.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// A number that nobody can guess.
    ///
    /// # Errors
    /// The system's answer.
    fn nonce(&self) -> io::Result<u64>;
}

/// A file open for writing.
pub trait OpenFile: fmt::Debug + Send + 'static {
    /// Writes some of these bytes at this place and tells how many.
    ///
    /// # Errors
    /// The system's answer.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Makes everything written durable, and the size.
    ///
    /// # Errors
    /// The system's answer. What was written is then neither durable nor lost.
    fn sync(&self) -> io::Result<()>;
}

/// Writes all these bytes, however often the system wants to be asked.
pub(super) fn write_all(file: &impl OpenFile, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, at) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                at += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn sync(file: &impl OpenFile, path: &Path) -> Result<(), StorageError> {
    file.sync().map_err(StorageError::io("sync", path))
}

/// Puts a file into place that `fill` writes: after a crash it is there whole, or what was there
/// before. Gives the file, open for writing.
pub(super) fn replace<F: Files>(
    files: &F,
    path: &Path,
    fill: impl FnOnce(&F::File) -> io::Result<()>,
) -> Result<F::File, StorageError> {
    let temporary = temporary_name(path);
    let file = files
        .create(&temporary)
        .map_err(StorageError::io("create", &temporary))?;
    fill(&file).map_err(StorageError::io("write", &temporary))?;
    sync(&file, &temporary)?;
    files
        .rename(&temporary, path)
        .map_err(StorageError::io("rename", &temporary))?;
    if let Some(dir) = path.parent() {
        sync_dir(files, dir)?;
    }
    Ok(file)
}

/// Deletes these files and makes that durable. Those that are gone already are fine. A crash may
/// leave any of them.
pub(super) fn remove_all<F: Files>(
    files: &F,
    dir: &Path,
    names: impl IntoIterator<Item = String>,
) -> Result<(), StorageError> {
    let mut is_changed = false;
    for name in names {
        let path = dir.join(name);
        match files.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StorageError::io("delete", &path)(error));
            }
            _ => is_changed = true,
        }
    }
    if is_changed {
        sync_dir(files, dir)?;
    }
    Ok(())
}

pub(super) fn sync_dir<F: Files>(files: &F, dir: &Path) -> Result<(), StorageError> {
    files.sync_dir(dir).map_err(StorageError::io("sync", dir))
}

/// The names in a directory, sorted.
pub(super) fn names<F: Files>(files: &F, dir: &Path) -> Result<Vec<String>, StorageError> {
    let mut names = files.names(dir).map_err(StorageError::io("list", dir))?;
    names.sort();
    Ok(names)
}

/// A whole file; `None` if there is none.
pub(super) fn read<F: Files>(files: &F, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match files.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("read", path)(error)),
    }
}

/// Files left by a crash in the midst of [`replace`] end like this.
pub(super) const TEMPORARY: &str = ".tmp";

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    PathBuf::from(name)
}
