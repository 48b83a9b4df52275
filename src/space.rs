//! Namespaces: a process leaves those of the harness, or enters those of another process.
//!
//! Root needs nothing else; everybody else gets a user namespace along with them, where the kernel
//! allows that. A namespace vanishes with the last process in it, so nothing needs to be cleaned
//! up.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

/// The argument that makes `chaos` enter namespaces and become another program.
pub const ENTER_COMMAND: &str = "__enter";

/// Kinds of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spaces(CloneFlags);

impl Spaces {
    /// What is mounted.
    pub const MOUNTS: Self = Self(CloneFlags::CLONE_NEWNS);
    /// Network interfaces and sockets.
    pub const NETWORK: Self = Self(CloneFlags::CLONE_NEWNET);
    /// Process numbers; concerns processes that are started afterwards.
    pub const PROCESSES: Self = Self(CloneFlags::CLONE_NEWPID);

    /// All of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }
}

/// Leaves these namespaces of the harness. Call it while the process has a single thread. True if
/// that took a user namespace, in which one's own user keeps its number.
///
/// # Errors
/// Which step the kernel refused, and why.
pub fn leave(spaces: Spaces) -> Result<bool, String> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let needs_user = match unshare(spaces.0) {
        Ok(()) => false,
        Err(nix::errno::Errno::EPERM) => {
            unshare(spaces.0 | CloneFlags::CLONE_NEWUSER)
                .map_err(|error| format!("make a user namespace: {error}"))?;
            let map = |file: &str, line: String| {
                std::fs::write(format!("/proc/self/{file}"), line)
                    .map_err(|error| format!("write /proc/self/{file}: {error}"))
            };
            map("setgroups", "deny".to_owned())?;
            map("uid_map", format!("{user} {user} 1"))?;
            map("gid_map", format!("{group} {group} 1"))?;
            true
        }
        Err(error) => return Err(format!("make a namespace: {error}")),
    };
    if spaces.0.contains(CloneFlags::CLONE_NEWNS) {
        // Otherwise what is mounted here appears outside too.
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
            .map_err(|error| format!("make mounts private: {error}"))?;
    }
    Ok(needs_user)
}

/// The number of this process as the harness sees it, which may not be what the process itself sees.
///
/// # Errors
/// If `/proc` is not there.
pub fn own_number() -> io::Result<u32> {
    let name = std::fs::read_link("/proc/self")?;
    let number = name.to_str().and_then(|name| name.parse().ok());
    number.ok_or_else(|| io::Error::other("/proc/self names no process"))
}

/// Where a process is to be started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Where {
    /// Namespaces as files that stand for them, in the order in which they are entered: a user
    /// namespace first.
    pub spaces: Vec<PathBuf>,
}

impl Where {
    /// Both, those of `inner` entered last.
    #[must_use]
    pub fn and(mut self, inner: Self) -> Self {
        self.spaces.extend(inner.spaces);
        self
    }

    /// The arguments with which `program`, which is this one, starts itself in the folder `dir`.
    #[must_use]
    pub fn wrap_if_any(&self, program: &Path, arguments: Vec<String>, dir: &Path) -> Vec<String> {
        if self.spaces.is_empty() {
            arguments
        } else {
            self.wrap(program, arguments, dir)
        }
    }

    /// What is to be started instead of `program` with `arguments` in the folder `dir`.
    #[must_use]
    pub fn wrap(&self, program: &Path, arguments: Vec<String>, dir: &Path) -> Vec<String> {
        let mut wrapped = vec![ENTER_COMMAND.to_owned(), dir.display().to_string()];
        wrapped.extend(self.spaces.iter().map(|path| path.display().to_string()));
        wrapped.push("--".to_owned());
        wrapped.push(program.display().to_string());
        wrapped.extend(arguments);
        wrapped
    }
}

/// Enters the namespaces that are named before `--`, then a folder, and becomes the program behind
/// it: `__enter FOLDER [NAMESPACE…] -- PROGRAM [ARGUMENT…]`. Its process id stays the same. Must be
/// called before any thread is started.
#[must_use]
pub fn enter_main(arguments: &[OsString]) -> ExitCode {
    let error = enter(arguments);
    // If even this cannot be written there is nobody left to tell.
    let _ = writeln!(io::stderr(), "chaos: cannot start a node: {error}");
    ExitCode::FAILURE
}

fn enter(arguments: &[OsString]) -> String {
    let split = arguments.iter().position(|word| word == OsStr::new("--"));
    let Some((before, program)) = split.map(|at| (&arguments[..at], &arguments[at + 1..])) else {
        return "there is no `--` before the program".to_owned();
    };
    let ([dir, spaces @ ..], [program, arguments @ ..]) = (before, program) else {
        return "it needs a folder and a program".to_owned();
    };
    for space in spaces {
        let entered = File::open(space)
            .and_then(|file| setns(file, CloneFlags::empty()).map_err(io::Error::from));
        if let Err(error) = entered {
            return format!("enter {}: {error}", space.to_string_lossy());
        }
    }
    // Entering a mount namespace leads to its root.
    if let Err(error) = std::env::set_current_dir(dir) {
        return format!("enter {}: {error}", dir.to_string_lossy());
    }
    let error = Command::new(program).args(arguments).exec();
    format!("start {}: {error}", program.to_string_lossy())
}
