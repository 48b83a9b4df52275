//! The whole state as bytes, at the boundary of one transaction.
//!
//! Znodes are written in the order of their paths, so a parent always comes before its children and
//! equal states give equal bytes.

use std::collections::BTreeMap;

use super::path;
use super::stat::Stat;
use super::tree::{State, Znode};
use crate::jute::{JuteError, Reader, Writer};

/// Why bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It was written by another version of this program, or is something else.
    #[error("a snapshot of format {0}, not {FORMAT}")]
    Format(u64),
    /// It holds a malformed value.
    #[error("a malformed snapshot: {0}")]
    Malformed(#[from] JuteError),
    /// A znode has no parent, a bad path, or stands out of order.
    #[error("a snapshot with the misplaced path {0:?}")]
    Misplaced(String),
}

impl State {
    /// The whole state as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(FORMAT).u64(self.applied());
        out.count(self.sessions().len());
        for (session, timeout_ms) in self.sessions() {
            out.i64(session).i32(timeout_ms);
        }
        out.count(self.nodes().len());
        for (path, node) in self.nodes() {
            out.text(path).buffer(&node.data);
            node.stat.write(&mut out);
        }
        out.into_bytes()
    }

    /// The state that these bytes hold.
    ///
    /// # Errors
    /// If the bytes are not exactly one snapshot of a whole tree.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut input = Reader::new(bytes);
        let format = input.u64()?;
        if format != FORMAT {
            return Err(SnapshotError::Format(format));
        }
        let applied = input.u64()?;
        let mut sessions = BTreeMap::new();
        for _ in 0..input.count()?.unwrap_or(0) {
            sessions.insert(input.i64()?, input.i32()?);
        }
        let mut nodes: BTreeMap<String, Znode> = BTreeMap::new();
        for _ in 0..input.count()?.unwrap_or(0) {
            let path = input.text()?.to_owned();
            let is_placed = match path::parent(&path) {
                _ if !path::is_valid_path(&path) => false,
                Some(parent) => nodes.contains_key(parent),
                None => path == "/",
            };
            if !is_placed
                || nodes
                    .last_key_value()
                    .is_some_and(|(last, _)| *last >= path)
            {
                return Err(SnapshotError::Misplaced(path));
            }
            nodes.insert(path, read_node(&mut input)?);
        }
        if !nodes.contains_key("/") {
            return Err(SnapshotError::Misplaced("/".to_owned()));
        }
        input.end()?;
        Ok(Self::from_parts(applied, nodes, sessions))
    }
}

/// A znode without its children, which are counted again when the tree is built.
fn read_node(input: &mut Reader<'_>) -> Result<Znode, JuteError> {
    let data = input.buffer()?.into();
    let stat = Stat {
        num_children: 0,
        ..Stat::read(input)?
    };
    Ok(Znode {
        data,
        stat,
        ..Znode::default()
    })
}

/// Marks the format, and says "chaos" to whoever looks at the file.
const FORMAT: u64 = 0x6368_616f_735f_7331;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Access, CreateMode, Txn, TxnOp};

    fn sample() -> State {
        let mut state = State::new();
        let ops = [
            TxnOp::OpenSession { timeout_ms: 9 },
            TxnOp::Create {
                path: "/a".to_owned(),
                data: b"1".to_vec(),
                access: vec![Access::open()],
                mode: CreateMode::Persistent,
                sequential: false,
            },
            TxnOp::Create {
                path: "/a/b".to_owned(),
                data: Vec::new(),
                access: vec![Access::open()],
                mode: CreateMode::Persistent,
                sequential: false,
            },
        ];
        for (zxid, op) in (1..).zip(ops) {
            let txn = Txn {
                time_ms: 5,
                session: 3,
                connection: 0,
                ids: Vec::new(),
                op,
            };
            state.apply(zxid, &txn, &mut Vec::new());
        }
        state
    }

    #[test]
    fn a_snapshot_restores_the_same_state() {
        let state = sample();
        let restored = State::decode(&state.encode()).unwrap();
        assert_eq!(restored, state);
        assert_eq!(restored.digest(), state.digest());
        assert_eq!(restored.node("/a").unwrap().stat.num_children, 1);
    }

    #[test]
    fn a_cut_or_lengthened_snapshot_is_refused() {
        let mut bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(State::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        bytes.push(0);
        assert!(State::decode(&bytes).is_err());
    }

    #[test]
    fn a_node_without_its_parent_is_refused() {
        let mut out = Writer::new();
        out.u64(FORMAT).u64(1).count(0).count(1);
        out.text("/a/b").buffer(b"");
        Stat::default().write(&mut out);
        assert_eq!(
            State::decode(&out.into_bytes()),
            Err(SnapshotError::Misplaced("/a/b".to_owned()))
        );
    }
}
