//! Requests that are answered from the state of this node.

use crate::jute::Writer;
use crate::state::{ErrorCode, State};

/// A read of one znode, or a ping, which reads nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What is asked.
    pub kind: ReadKind,
    /// Of which znode; empty for a ping.
    pub path: String,
}

/// What a read asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadKind {
    /// Nothing: the client shows that it lives.
    Ping,
    /// The stat.
    Exists,
    /// Data and stat.
    Data,
    /// The names of the children.
    Children,
    /// The names of the children, and the stat.
    ChildrenAndStat,
}

impl Read {
    /// A ping.
    #[must_use]
    pub const fn ping() -> Self {
        Self {
            kind: ReadKind::Ping,
            path: String::new(),
        }
    }

    /// The body of the answer.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`] if there is no such znode, also for what cannot be a path: that is what
    /// ZooKeeper says.
    pub fn answer(&self, state: &State) -> Result<Vec<u8>, ErrorCode> {
        if self.kind == ReadKind::Ping {
            return Ok(Vec::new());
        }
        let node = state.node(&self.path).ok_or(ErrorCode::NoNode)?;
        let mut out = Writer::new();
        match self.kind {
            ReadKind::Ping | ReadKind::Exists => {}
            ReadKind::Data => {
                out.buffer(&node.data);
            }
            ReadKind::Children | ReadKind::ChildrenAndStat => {
                let names: Vec<&str> = state.children(&self.path).collect();
                out.count(names.len());
                for name in names {
                    out.text(name);
                }
            }
        }
        if self.kind != ReadKind::Children {
            node.stat.write(&mut out);
        }
        Ok(out.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: ReadKind, path: &str) -> Result<Vec<u8>, ErrorCode> {
        let path = path.to_owned();
        Read { kind, path }.answer(&State::new())
    }

    #[test]
    fn each_read_has_its_shape() {
        assert_eq!(read(ReadKind::Ping, ""), Ok(Vec::new()));
        assert_eq!(read(ReadKind::Exists, "/zookeeper").unwrap().len(), 68);
        assert_eq!(read(ReadKind::Data, "/zookeeper").unwrap().len(), 4 + 68);
        let children = read(ReadKind::Children, "/zookeeper").unwrap();
        assert_eq!(children, b"\0\0\0\x02\0\0\0\x06config\0\0\0\x05quota");
        let both = read(ReadKind::ChildrenAndStat, "/zookeeper").unwrap();
        assert_eq!(both.len(), children.len() + 68);
    }

    #[test]
    fn a_missing_or_malformed_path_is_no_node() {
        assert_eq!(read(ReadKind::Data, "/none"), Err(ErrorCode::NoNode));
        assert_eq!(read(ReadKind::Exists, "nopath"), Err(ErrorCode::NoNode));
    }
}
