//! A whole data directory: an input is its files one behind the other, each as `[length of the name
//! u8][name][length u32][bytes]`.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use chaos_node::protocol::blob::Blob;
use chaos_node::protocol::io::DiskOp;
use chaos_node::protocol::message::Entry;
use chaos_node::protocol::zxid::{Sid, Zxid};
use chaos_node::storage::{Aside, DiskStorage, Files, OpenFile, Options, Storage, StorageOp};

use super::{Target, files};

pub(super) const TARGET: Target = Target {
    name: "directory",
    run,
    seeds: || directories().iter().map(pack).collect(),
    repair,
    factor: 8,
    floor: FLOOR,
};

/// A fresh directory: a file of epochs, a segment and the next one.
const FLOOR: usize = 64 << 10;

type Directory = BTreeMap<PathBuf, Vec<u8>>;

/// What recovery accepts it accepts again, and finds the same.
fn run(input: &[u8]) -> bool {
    let disk = Memory::with(unpack(input));
    let Ok(first) = open(&disk).and_then(|mut storage| storage.recover()) else {
        return false;
    };
    let second = open(&disk).and_then(|mut storage| storage.recover());
    let second = second.expect("what was accepted is accepted again");
    assert_eq!(first, second);
    true
}

fn repair(input: &mut Vec<u8>, choice: u64) {
    let mut directory = unpack(input);
    for (index, file) in directory.values_mut().enumerate() {
        files::repair(file, choice.rotate_right(index as u32));
    }
    *input = pack(&directory);
}

/// The files of some directories whose names begin so.
pub(super) fn files(name: &str) -> Vec<Vec<u8>> {
    let prefix = format!("/data/{name}");
    let all = directories().into_iter().flatten();
    all.filter(|(path, _)| path.to_string_lossy().starts_with(&prefix))
        .map(|(_, bytes)| bytes)
        .collect()
}

/// Directories as real runs leave them.
fn directories() -> Vec<Directory> {
    let entries = |epoch, from: u32, to: u32| {
        let entry = |counter: u32| Entry {
            zxid: Zxid::new(epoch, counter),
            origin: Sid(1),
            request: 5,
            payload: Arc::from(vec![7; counter as usize % 40]),
        };
        (from..=to).map(entry).collect::<Vec<_>>()
    };
    let append = |epoch, from, to| StorageOp::Protocol(DiskOp::Append(entries(epoch, from, to)));
    let epochs = StorageOp::Protocol(DiskOp::SetMeta {
        accepted_epoch: 2,
        current_epoch: 1,
    });
    let after = Zxid::new(1, 4);
    let truncate = StorageOp::Protocol(DiskOp::Truncate { after });
    let save = StorageOp::SaveSnapshot {
        zxid: after,
        bytes: Blob::from(b"ours"),
    };
    let install = StorageOp::Protocol(DiskOp::InstallSnapshot {
        zxid: Zxid::new(3, 9),
        bytes: Blob::from(b"theirs"),
        entries: entries(3, 10, 12),
    });
    let one = vec![append(1, 1, 3)];
    let cut = vec![append(1, 1, 9), truncate, append(2, 1, 4), epochs, save];
    let long = vec![append(1, 1, 30), append(1, 31, 60)];
    let installed = vec![append(1, 1, 9), install, append(3, 13, 20)];
    let histories = [vec![], one, cut, long, installed];
    histories.iter().map(|history| directory(history)).collect()
}

fn directory(history: &[StorageOp]) -> Directory {
    let disk = Memory::default();
    let mut storage = open(&disk).expect("memory does not fail");
    storage.recover().expect("memory does not fail");
    for op in history {
        let result = storage.perform(std::slice::from_ref(op));
        result.expect("memory does not fail");
    }
    disk.files()
}

fn open(disk: &Memory) -> Result<DiskStorage<Memory>, chaos_node::storage::StorageError> {
    let options = Options {
        dir: "/data".into(),
        node: 1,
        segment_bytes: 1024,
    };
    DiskStorage::open_on(disk.clone(), options, Aside::Inline)
}

fn pack(directory: &Directory) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, file) in directory {
        let name = path
            .file_name()
            .map_or(&[][..], |name| name.as_encoded_bytes());
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&(file.len() as u32).to_be_bytes());
        bytes.extend_from_slice(file);
    }
    bytes
}

fn unpack(mut bytes: &[u8]) -> Directory {
    let mut directory = Directory::new();
    while let Some((name, file, rest)) = unpack_one(bytes) {
        let name = String::from_utf8_lossy(name).replace('/', "_");
        if name != "." && name != ".." && !name.is_empty() {
            directory.insert(Path::new("/data").join(name), file.to_vec());
        }
        bytes = rest;
    }
    directory
}

fn unpack_one(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (file, rest) = rest.split_at(length.min(rest.len()));
    Some((name, file, rest))
}

/// A directory in memory, without faults.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<PathBuf, File>>>);

/// A file in it, by whatever name.
#[derive(Debug, Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn with(files: Directory) -> Self {
        let files = files.into_iter();
        let files = files.map(|(path, bytes)| (path, File(Arc::new(Mutex::new(bytes)))));
        Self(Arc::new(Mutex::new(files.collect())))
    }

    fn files(&self) -> Directory {
        let names = self.names_lock();
        let files = names.iter();
        files
            .map(|(path, file)| (path.clone(), file.bytes().clone()))
            .collect()
    }

    fn names_lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, File>> {
        self.0.lock().expect("nobody panics with the lock")
    }
}

impl File {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("nobody panics with the lock")
    }
}

impl Files for Memory {
    type File = File;
    type Lock = ();

    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<()>> {
        Ok(Some(()))
    }

    fn names(&self, _dir: &Path) -> io::Result<Vec<String>> {
        let files = self.names_lock();
        let names = files.keys().filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.open(path).map(|file| file.bytes().clone())
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let file = File::default();
        self.names_lock().insert(path.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let file = self.names_lock().get(path).cloned();
        file.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.names_lock();
        let file = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let file = self.names_lock().remove(path);
        file.map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn nonce(&self) -> io::Result<u64> {
        Ok(0x0123_4567_89ab_cdef)
    }
}

impl OpenFile for File {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut file = self.bytes();
        let at = at as usize;
        if file.len() < at + bytes.len() {
            file.resize(at + bytes.len(), 0);
        }
        file[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
