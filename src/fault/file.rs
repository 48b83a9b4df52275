//! `file`: files of a node are changed behind its back: bits flip, the end is lost, everything is
//! gone. It is done once; nothing heals it but the node itself.

use serde::Deserialize;

use super::units::{HELP_MARK, Share};
use super::{Bindings, Chosen, Fault, Misfit, Selector, Unresolved, name_nodes};
use crate::cluster::{ClusterView, Damage, Harm};
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    node: Selector,
    path: String,
    bitflip: Option<Probability>,
    truncate: Option<i64>,
    wipe: Option<bool>,
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
        let wipe = keys.wipe.filter(|wipe| *wipe);
        let change = match (keys.bitflip, keys.truncate, wipe) {
            (Some(share), None, None) => Change::Bitflip(share.0),
            (None, Some(bytes), None) if bytes < 0 => Change::CutOff(bytes.unsigned_abs()),
            (None, Some(bytes), None) => Change::KeepFirst(bytes.unsigned_abs()),
            (None, None, Some(_)) => Change::Wipe,
            _ => {
                return Err(format!(
                    "it must say one thing that becomes of the file{HELP_MARK}write one of \
                     `bitflip: 1e-4`, `truncate: -64` and `wipe: true`"
                ));
            }
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
        let mut harm = || match self.change {
            Change::Bitflip(share) => Harm::Bitflip {
                share,
                seed: stream.bits(),
            },
            Change::CutOff(bytes) => Harm::CutOff { bytes },
            Change::KeepFirst(bytes) => Harm::KeepFirst { bytes },
            Change::Wipe => Harm::Wipe,
        };
        let damage: Vec<Damage> = nodes
            .iter()
            .map(|node| Damage::File {
                node: *node,
                path: self.path.clone(),
                harm: harm(),
            })
            .collect();
        let what = match self.change {
            Change::Bitflip(share) => format!("flip bits ({share:e}) of"),
            Change::CutOff(bytes) => format!("cut {bytes} bytes off"),
            Change::KeepFirst(bytes) => format!("keep {bytes} bytes of"),
            Change::Wipe => "wipe".to_owned(),
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
        };
        format!("{{node: {}, path: {}, {change}}}", self.node, self.path)
    }
}
