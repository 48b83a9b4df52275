//! The scene of a violation: all nodes stand still while what they have and are is written down.
//!
//! Whatever cannot be read is told in its place and never ends the run. Nodes are paused by effects
//! of the ledger, so they run again at the end however this goes.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::cluster::{Effect, ProcessState};
use crate::history::EventKind;
use crate::id::{FaultId, NodeId};

use super::online::Alarm;
use super::stage::Stage;

/// What is asked about one node.
struct Subject {
    node: NodeId,
    pid: u32,
    folder: PathBuf,
}

/// Pauses all nodes, writes the scene into `folder`, and lets them run again.
pub(super) async fn freeze(stage: &Stage, alarm: &Alarm, folder: PathBuf) {
    let Some(mut cluster) = stage.cluster().await else {
        return;
    };
    let running = cluster.states().into_iter();
    let running: Vec<NodeId> = running
        .filter(|(_, state)| *state == ProcessState::Running)
        .map(|(node, _)| node)
        .collect();
    let mut about = format!("roles      {}\n", stage.describe());
    for (fault, effects) in cluster.ledger().in_force() {
        let effects: Vec<String> = effects.iter().map(Effect::to_string).collect();
        // Writing to a text cannot fail.
        let _ = writeln!(about, "in force   {fault}: {}", effects.join(", "));
    }
    let effects = running.iter().copied().map(Effect::Paused).collect();
    let paused = cluster.begin(FREEZE, effects).await;
    let subjects: Vec<Subject> = (stage.folders.iter())
        .filter_map(|(node, folder)| {
            Some(Subject {
                node: *node,
                pid: cluster.pid(*node)?,
                folder: folder.clone(),
            })
        })
        .collect();
    drop(cluster);
    stage.record(EventKind::Phase {
        phase: "freeze".to_owned(),
    });
    if let Err(missed) = paused {
        stage.warn(&format!("not all nodes stand still: {}", missed.reason));
    }
    let (alarm, root) = (alarm.clone(), folder.clone());
    let written = tokio::task::spawn_blocking(move || write(&root, &alarm, &about, &subjects));
    match written
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
    {
        Ok(()) => stage.tell("frozen", &format!("the scene is in {}", folder.display())),
        Err(error) => stage.warn(&format!("the scene cannot be written: {error}")),
    }
    if let Some(mut cluster) = stage.cluster().await
        && let Err(error) = cluster.end(FREEZE).await
    {
        stage.warn(&error.to_string());
    }
    stage.record(EventKind::Phase {
        phase: "thaw".to_owned(),
    });
}

fn write(root: &Path, alarm: &Alarm, about: &str, subjects: &[Subject]) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let Alarm {
        key,
        sentence,
        proof,
        recent,
    } = alarm;
    let proof = proof.join("\n");
    fs::write(
        root.join("violation.txt"),
        format!("{key}: {sentence}\n\n{proof}\n"),
    )?;
    fs::write(root.join("operations.txt"), recent.join("\n") + "\n")?;
    fs::write(root.join("cluster.txt"), about)?;
    let mut room = ROOM;
    for subject in subjects {
        let own = root.join(subject.node.to_string());
        fs::create_dir_all(&own)?;
        for name in ["status", "stack", "wchan", "limits"] {
            fs::write(own.join(name), proc_file(subject.pid, name))?;
        }
        fs::write(own.join("fds.txt"), descriptors(subject.pid))?;
        fs::write(own.join("last-lines.txt"), last_lines(&subject.folder))?;
        let mut left_out = Vec::new();
        copy(&subject.folder, &own.join("data"), &mut room, &mut left_out)?;
        if !left_out.is_empty() {
            fs::write(own.join("left-out.txt"), left_out.join("\n") + "\n")?;
        }
    }
    Ok(())
}

/// A file of `/proc`, or why it cannot be read.
fn proc_file(pid: u32, name: &str) -> Vec<u8> {
    let path = format!("/proc/{pid}/{name}");
    fs::read(&path).unwrap_or_else(|error| format!("{path} cannot be read: {error}\n").into())
}

/// Open files and sockets, one a line.
fn descriptors(pid: u32) -> String {
    let folder = format!("/proc/{pid}/fd");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => return format!("{folder} cannot be read: {error}\n"),
    };
    let mut lines: Vec<(u32, String)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((number, format!("{number:>5}  {}\n", target.display())))
        })
        .collect();
    lines.sort_unstable();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// The end of what a node printed and traced.
fn last_lines(folder: &Path) -> String {
    let mut text = String::new();
    for name in ["trace.jsonl", "stdout", "stderr"] {
        let Ok(bytes) = fs::read(folder.join(name)) else {
            continue;
        };
        let all = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = all.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{name}, {} of {} lines",
            lines.len() - from,
            lines.len()
        );
        for line in &lines[from..] {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// Copies a folder as far as there is room; names what was left out or cut.
fn copy(from: &Path, to: &Path, room: &mut u64, left_out: &mut Vec<String>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&path, &target, room, left_out)?;
            continue;
        }
        if !kind.is_file() {
            left_out.push(format!("{}: no regular file", path.display()));
            continue;
        }
        let size = entry.metadata()?.len();
        let mut part = fs::File::open(&path)?.take(*room);
        let mut file = fs::File::create(&target)?;
        let copied = io::copy(&mut part, &mut file)?;
        file.flush()?;
        *room -= copied;
        if copied < size {
            left_out.push(format!("{}: {copied} of {size} bytes", path.display()));
        }
    }
    Ok(())
}

/// The freeze as a line of the ledger; no plan has as many faults.
const FREEZE: FaultId = FaultId(u32::MAX);

/// So much of the nodes' folders is copied, all together.
const ROOM: u64 = 256 << 20;

/// So many lines of each file are shown.
const LAST_LINES: usize = 200;
