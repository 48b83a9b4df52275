//! `file`: files of a node are changed behind its back: bits flip, the end is lost, chunks hold
//! what belongs elsewhere or stood there before, everything is gone. It is done once; nothing heals
//! it but the node itself.

use std::fmt;
use std::num::NonZeroU64;

use serde::Deserialize;

use super::units::{HELP_MARK, Share, Size};
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::cluster::{Chunks, ClusterView, Damage, Harm};
use crate::id::NodeId;
use crate::seed::Stream;

/// Harm files of these nodes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct File {
    /// Which nodes.
    pub node: Selector,
    /// Which files, relative to the node's folder; `*` stands for any part of one name.
    pub path: String,
    /// What becomes of them.
    pub change: Change,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// `bitflip`: each bit flips with this probability.
    Bitflip(f64),
    /// `truncate: -64`: so many bytes are cut off its end.
    CutOff(u64),
    /// `truncate: 64`: only so many are kept.
    KeepFirst(u64),
    /// `wipe: true`: the file is removed, a folder is emptied.
    Wipe,
    /// `copy_chunks`: chunks are overwritten with others of the same file.
    CopyChunks(Pieces),
    /// `snapshot`: chunks are saved for a later `restore`. Nothing changes.
    Snapshot(Pieces),
    /// `restore`: chunks are as they were saved.
    Restore(Pieces),
}

/// Chunks of a file: all of one length, of which one in so many is meant.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pieces {
    /// Their length.
    pub chunk: Size,
    /// Of how many one is meant; 1: all.
    #[serde(default = "one")]
    pub every: NonZeroU64,
    /// Which of them. By default another one on each node, so that where `every` is not less than
    /// the number of nodes each chunk is left whole on all nodes but one.
    pub offset: Option<u64>,
}

const fn one() -> NonZeroU64 {
    NonZeroU64::MIN
}

impl Pieces {
    fn of(self, node: NodeId) -> Chunks {
        let every = self.every.get();
        let offset = self
            .offset
            .unwrap_or_else(|| u64::from(node.0).saturating_sub(1));
        Chunks {
            size: self.chunk.0,
            every,
            offset: offset % every,
        }
    }
}

/// As it is written.
impl fmt::Display for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{chunk: {}, every: {}", self.chunk, self.every)?;
        if let Some(offset) = self.offset {
            write!(f, ", offset: {offset}")?;
        }
        f.write_str("}")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    node: Selector,
    path: String,
    bitflip: Option<Probability>,
    truncate: Option<i64>,
    wipe: Option<bool>,
    copy_chunks: Option<Pieces>,
    snapshot: Option<Pieces>,
    restore: Option<Pieces>,
}

impl Keys {
    fn changes(&self) -> Vec<Change> {
        let truncate = self.truncate.map(|bytes| {
            let many = bytes.unsigned_abs();
            if bytes < 0 {
                Change::CutOff(many)
            } else {
                Change::KeepFirst(many)
            }
        });
        let wipe = self.wipe.filter(|wipe| *wipe);
        let changes = [
            self.bitflip.as_ref().map(|share| Change::Bitflip(share.0)),
            truncate,
            wipe.map(|_| Change::Wipe),
            self.copy_chunks.map(Change::CopyChunks),
            self.snapshot.map(Change::Snapshot),
            self.restore.map(Change::Restore),
        ];
        changes.into_iter().flatten().collect()
    }
}

/// A probability: a percentage, or a number as small ones are written.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Probability(f64);

impl TryFrom<String> for Probability {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = match text.trim().parse::<f64>() {
            Ok(number) => number,
            Err(_) => Share::parse(&text).map_err(|error| error.to_string())?.0,
        };
        if number > 0.0 && number <= 1.0 {
            return Ok(Self(number));
        }
        Err(format!(
            "`{text}` is no probability of a flip{HELP_MARK}write a number above 0, for example `1e-4`"
        ))
    }
}

impl TryFrom<Keys> for File {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let inside = !keys.path.starts_with('/')
            && keys
                .path
                .split('/')
                .all(|part| !matches!(part, ".." | "." | ""));
        if !inside {
            return Err(format!(
                "`{}` is no path inside the node's folder{HELP_MARK}write it relative to that \
                 folder, for example `data/log*`",
                keys.path
            ));
        }
        let [change] = keys.changes()[..] else {
            return Err(format!(
                "it must say one thing that becomes of the file{HELP_MARK}write one of \
                 `bitflip: 1e-4`, `truncate: -64`, `wipe: true` and \
                 `copy_chunks: {{chunk: 4kB, every: 3}}` (or `snapshot`, `restore`)"
            ));
        };
        Ok(Self {
            node: keys.node,
            path: keys.path,
            change,
        })
    }
}

impl Fault for File {
    fn fits(&self, _nodes: u8) -> Result<(), Misfit> {
        Ok(())
    }

    fn selectors(&self) -> Vec<&Selector> {
        vec![&self.node]
    }

    fn effects(
        &self,
        view: &ClusterView,
        stream: &mut Stream,
        bindings: &Bindings,
    ) -> Result<Chosen, Unresolved> {
        let nodes = self.node.resolve(view, stream, bindings)?;
        let leader = view.leader();
        let mut harm = |node| match self.change {
            Change::Bitflip(share) => Harm::Bitflip {
                share,
                seed: stream.bits(),
            },
            Change::CutOff(bytes) => Harm::CutOff { bytes },
            Change::KeepFirst(bytes) => Harm::KeepFirst { bytes },
            Change::Wipe => Harm::Wipe,
            Change::CopyChunks(pieces) => Harm::CopyChunks {
                chunks: pieces.of(node),
                seed: stream.bits(),
            },
            Change::Snapshot(pieces) => Harm::SnapshotChunks {
                chunks: pieces.of(node),
            },
            Change::Restore(pieces) => Harm::RestoreChunks {
                chunks: pieces.of(node),
            },
        };
        let damage: Vec<Damage> = nodes
            .iter()
            .map(|node| Damage::File {
                node: *node,
                path: self.path.clone(),
                harm: harm(*node),
            })
            .collect();
        let what = match self.change {
            Change::Bitflip(share) => format!("flip bits ({share:e}) of"),
            Change::CutOff(bytes) => format!("cut {bytes} bytes off"),
            Change::KeepFirst(bytes) => format!("keep {bytes} bytes of"),
            Change::Wipe => "wipe".to_owned(),
            Change::CopyChunks(_) => "mix up chunks in".to_owned(),
            Change::Snapshot(_) => "save chunks of".to_owned(),
            Change::Restore(_) => "put back old chunks of".to_owned(),
        };
        Ok(Chosen {
            effects: Vec::new(),
            damage,
            trigger: None,
            label: format!("{what} {} of {}", self.path, name_nodes(&nodes, leader)),
            on_leader: leader.is_some_and(|leader| nodes.contains(&leader)),
            nodes,
        })
    }

    fn parameters(&self) -> String {
        let change = match self.change {
            Change::Bitflip(share) => format!("bitflip: {share:e}"),
            Change::CutOff(bytes) => format!("truncate: -{bytes}"),
            Change::KeepFirst(bytes) => format!("truncate: {bytes}"),
            Change::Wipe => "wipe: true".to_owned(),
            Change::CopyChunks(pieces) => format!("copy_chunks: {pieces}"),
            Change::Snapshot(pieces) => format!("snapshot: {pieces}"),
            Change::Restore(pieces) => format!("restore: {pieces}"),
        };
        format!("{{node: {}, path: {}, {change}}}", self.node, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choose::tests::{steady, stream};
    use super::*;

    fn chunks(text: &str) -> Vec<Chunks> {
        let file: File = serde_yaml::from_str(text).unwrap();
        let chosen = file.effects(&steady(3), &mut stream(), &Bindings::default());
        let damage = chosen.unwrap().damage.into_iter();
        damage
            .map(|damage| match damage {
                Damage::File {
                    harm: Harm::CopyChunks { chunks, .. } | Harm::RestoreChunks { chunks },
                    ..
                } => chunks,
                other => panic!("{other}"),
            })
            .collect()
    }

    #[test]
    fn each_node_has_other_chunks_unless_the_offset_is_given() {
        let offsets = |text| -> Vec<_> {
            let chunks = chunks(text).into_iter();
            chunks.map(|c| (c.size, c.every, c.offset)).collect()
        };
        assert_eq!(
            offsets("{node: all, path: data/log, copy_chunks: {chunk: 4kB, every: 3}}"),
            [(4_000, 3, 0), (4_000, 3, 1), (4_000, 3, 2)]
        );
        assert_eq!(
            offsets("{node: all, path: data/log, restore: {chunk: 1B, every: 2, offset: 5}}"),
            [(1, 2, 1); 3]
        );
        assert_eq!(
            offsets("{node: n3, path: data/log, copy_chunks: {chunk: 1B}}"),
            [(1, 1, 0)]
        );
    }
}
