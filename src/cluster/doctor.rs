//! Which mechanisms work on this machine, found out by trying each.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, getrlimit, pidfd_open};
use serde::Serialize;

use super::reaper::Reaper;
use crate::disk::{DISK_COMMAND, Disk, DiskError};
use crate::link::Links;
use crate::packet::{SWITCH_COMMAND, Switch, SwitchError};
use crate::parcel;
use crate::seed::Seed;

/// What was found out about one mechanism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The mechanism.
    pub mechanism: &'static str,
    /// Whether it works.
    pub available: bool,
    /// How well, or why not.
    pub detail: String,
    /// What it is for.
    pub enables: &'static str,
    /// Whether nothing at all can be run without it.
    pub essential: bool,
}

/// Tries every mechanism. `executable` is this program; `scratch` is a folder for what must be
/// written. Call it inside a tokio runtime.
pub async fn examine(executable: &Path, scratch: &Path) -> Vec<Finding> {
    let mut findings = vec![
        finding(
            "process handles (pidfd)",
            "kill, terminate, power_off, pause, stutter",
            own_handle(),
        )
        .essential(),
    ];
    let reaper = Reaper::start(executable, "doctor").await;
    let (started, first) = match &reaper {
        Ok(reaper) => (Ok("answers".to_owned()), Some(reaper.is_first())),
        Err(error) => (Err(error.to_string()), None),
    };
    findings.push(finding("reaper", "all runs", started).essential());
    findings.push(finding(
        "PID namespace",
        "the kernel kills whatever a run leaves",
        match first {
            Some(true) => Ok("the reaper is its first process".to_owned()),
            Some(false) => Err("refused: the reaper kills all descendants itself".to_owned()),
            None => Err("no reaper".to_owned()),
        },
    ));
    findings.push(
        finding(
            "link proxy",
            "cut, isolate, split, drop, delay, throttle, corrupt, duplicate, reorder, reset, half_open",
            proxy().await,
        )
        .essential(),
    );
    findings.push(finding(
        "network namespaces",
        "network: packet",
        match &reaper {
            Ok(reaper) => switch(reaper, scratch).await,
            Err(_) => Err("no reaper".to_owned()),
        },
    ));
    findings.push(finding(
        "FUSE in a mount namespace",
        "disk, power_off with lose_unsynced",
        match &reaper {
            Ok(reaper) => disk(reaper, scratch).await,
            Err(_) => Err("no reaper".to_owned()),
        },
    ));
    findings.push(finding("limits of descriptors", "fd_limit", limit()));
    findings.push(finding("timers", "trustworthy times", timers()));
    findings
}

impl Finding {
    const fn essential(mut self) -> Self {
        self.essential = true;
        self
    }
}

fn finding(
    mechanism: &'static str,
    enables: &'static str,
    found: Result<String, String>,
) -> Finding {
    let available = found.is_ok();
    let (Ok(detail) | Err(detail)) = found;
    Finding {
        mechanism,
        available,
        detail,
        enables,
        essential: false,
    }
}

fn own_handle() -> Result<String, String> {
    let pid = Pid::from_raw(std::process::id().cast_signed()).ok_or("no process id")?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|error| error.to_string())?;
    Ok("no signal can reach a stranger".to_owned())
}

async fn proxy() -> Result<String, String> {
    let links = Links::start(Seed(0)).map_err(|error| error.to_string())?;
    let test = links.self_test().await.map_err(|error| error.to_string())?;
    Ok(format!(
        "a round trip takes {}, {} directly",
        test.proxied, test.direct
    ))
}

async fn switch(reaper: &Reaper, scratch: &Path) -> Result<String, String> {
    let (ours, theirs) = parcel::pair().map_err(|error| error.to_string())?;
    let args = [SWITCH_COMMAND, "1", "0"].map(str::to_owned).to_vec();
    start(reaper, args, theirs, scratch).await?;
    let switch = match Switch::attach(ours).await {
        Ok(switch) => switch,
        Err(SwitchError::Unavailable(why)) => return Err(why),
        Err(error) => return Err(error.to_string()),
    };
    switch.counters().await.map_err(|error| error.to_string())?;
    Ok("packets are forwarded between namespaces".to_owned())
}

async fn disk(reaper: &Reaper, scratch: &Path) -> Result<String, String> {
    let folder = scratch.join("disk");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    let args = vec![DISK_COMMAND.to_owned(), folder.display().to_string()];
    start(reaper, args, theirs.into(), scratch).await?;
    match Disk::attach(ours).await {
        Ok(_) => Ok("mounted, for one process only".to_owned()),
        Err(DiskError::Unavailable(why)) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

async fn start(
    reaper: &Reaper,
    args: Vec<String>,
    stdin: OwnedFd,
    scratch: &Path,
) -> Result<(), String> {
    let log = scratch.join("log");
    let started = reaper.helper(args, &stdin, &log).await;
    started.map_err(|error: io::Error| error.to_string())
}

fn limit() -> Result<String, String> {
    let limit = getrlimit(Resource::Nofile);
    match limit.current {
        Some(now) if now >= ENOUGH => Ok(format!("{now} may be open")),
        Some(now) => Err(format!(
            "only {now} may be open: raise `ulimit -n` to {ENOUGH}"
        )),
        None => Ok("no limit".to_owned()),
    }
}

/// Proxies need two for each connection.
const ENOUGH: u64 = 1024;

/// How late the machine wakes us.
fn timers() -> Result<String, String> {
    let nap = Duration::from_millis(1);
    let limit = Timespec::try_from(nap).map_err(|error| error.to_string())?;
    let mut late: Vec<Duration> = (0..NAPS)
        .map(|_| {
            let start = Instant::now();
            // Nothing is waited for but the time.
            let _ = poll(&mut [], Some(&limit));
            start.elapsed().saturating_sub(nap)
        })
        .collect();
    late.sort_unstable();
    let (median, most) = (late[NAPS / 2], late[NAPS * 99 / 100]);
    let text = format!("late by {median:.0?} (p50), {most:.0?} (p99)");
    if most < LATE {
        Ok(text)
    } else {
        Err(format!("{text}: the machine is too busy to trust times"))
    }
}

const NAPS: usize = 100;
/// As late as a detection may be wrong.
const LATE: Duration = Duration::from_millis(5);
