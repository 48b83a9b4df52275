//! Files that survive a crash: whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::error::StorageError;

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(StorageError::io("sync", dir))
}

/// Puts a file into place that holds `parts` one behind the other: after a crash it is there whole,
/// or what was there before. Gives the file, open for writing.
pub(super) fn replace(path: &Path, parts: &[&[u8]]) -> Result<File, StorageError> {
    let temporary = temporary_name(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .map_err(StorageError::io("create", &temporary))?;
    for part in parts {
        file.write_all(part)
            .map_err(StorageError::io("write", &temporary))?;
    }
    file.sync_all()
        .map_err(StorageError::io("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(StorageError::io("rename", &temporary))?;
    if let Some(dir) = path.parent() {
        sync_dir(dir)?;
    }
    Ok(file)
}

/// Deletes a file and makes that durable. One that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(StorageError::io("delete", path)(error));
        }
        _ => {}
    }
    path.parent().map_or(Ok(()), sync_dir)
}

/// The names in a directory, sorted.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(StorageError::io("list", dir))? {
        let entry = entry.map_err(StorageError::io("list", dir))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a whole file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match fs::read(path) {
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
