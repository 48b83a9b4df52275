//! The process that serves one disk.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use fuser::{BackgroundSession, Config, MountOption, Session};
use rustix::fs::{Mode, OFlags};

use super::calls::Disk;
use super::files::Mounted;
use super::names::Names;
use super::state::{Inodes, State, Unsynced};
use super::wire::{Command, Report};
use crate::space::{self, Spaces};

/// Serves the folder that is named behind the command, until its socket, which is standard input,
/// is closed. Must be called before any thread is started.
#[must_use]
pub fn disk_main(arguments: &[OsString]) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written there is nobody left to tell.
            let _ = writeln!(io::stderr(), "chaos: the disk failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[OsString]) -> io::Result<()> {
    let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let socket = UnixStream::from(socket);
    let folder = arguments.first().map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("no folder is named"))?;
    let out = Arc::new(Mutex::new(socket.try_clone()?));
    let report = {
        let out = Arc::clone(&out);
        move |report: &Report| {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            // Who is not there any more need not know.
            let _ = tell(&mut out, report);
        }
    };
    let (disk, session, user) = match mount(&folder, Box::new(report.clone())) {
        Ok(mounted) => mounted,
        Err(why) => {
            report(&Report::Unavailable(why));
            return Ok(());
        }
    };
    report(&Report::Ready {
        pid: space::own_number()?,
        user,
    });
    for line in BufReader::new(socket).lines() {
        report(&obey(&disk, serde_json::from_str(&line?)?));
    }
    // The calls that wait would keep their callers for ever.
    disk.release();
    drop(session);
    Ok(())
}

fn tell(out: &mut UnixStream, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    out.write_all(&line)
}

fn obey(disk: &Disk, command: Command) -> Report {
    match command {
        Command::Set(rules) => {
            disk.set(rules);
            Report::Done
        }
        Command::Met => Report::Met(disk.state().rules.met()),
        Command::Release => {
            disk.release();
            Report::Done
        }
        Command::Reopen { lose } => match disk.reopen(lose) {
            Ok(lost) => Report::Lost(lost),
            Err(error) => Report::Failed(error.to_string()),
        },
    }
}

type Up = (Arc<Disk>, BackgroundSession, bool);

/// Mounts the disk over its folder, where only this process and those that enter its namespace see
/// it. The error says which step failed.
fn mount(folder: &Path, report: Box<dyn Fn(&Report) + Send + Sync>) -> Result<Up, String> {
    let step = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("{what}: {error}")
    };
    let folder = folder.canonicalize().map_err(step("find the folder"))?;
    let mut attic = folder.clone().into_os_string().into_vec();
    attic.extend_from_slice(b".attic");
    let attic = PathBuf::from(OsString::from_vec(attic));
    if attic.exists() {
        std::fs::remove_dir_all(&attic).map_err(step("clear the attic"))?;
    }
    std::fs::create_dir(&attic).map_err(step("make the attic"))?;
    let root = open_folder(&folder).map_err(step("open the folder"))?;
    let attic = open_folder(&attic).map_err(step("open the attic"))?;
    // Before the namespace, so that the error names what is missing.
    drop(
        File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map_err(step("open /dev/fuse"))?,
    );
    let user = space::leave(Spaces::MOUNTS)?;
    let state = State {
        inodes: Inodes::new(root).map_err(step("look at the folder"))?,
        files: std::collections::BTreeMap::new(),
        listings: std::collections::BTreeMap::new(),
        next_handle: 0,
        unsynced: Unsynced::new(Names::new(attic)),
        rules: super::rules::Rules::default(),
        dark: false,
        waiting: Vec::new(),
        refusing: false,
    };
    let root = folder.to_string_lossy().into_owned();
    let disk = Arc::new(Disk::new(state, root, report));
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("chaos".to_owned()),
        MountOption::Subtype("chaos".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoAtime,
    ];
    config.n_threads = Some(THREADS);
    let session = Session::new(Mounted(Arc::clone(&disk)), &folder, &config)
        .and_then(Session::spawn)
        .map_err(step("mount a FUSE file system"))?;
    Ok((disk, session, user))
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// An fsync occupies one while it lasts.
const THREADS: usize = 4;
