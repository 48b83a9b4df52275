//! Storage in memory, for tests that do not need a disk. It passes the same conformance suite.

use std::sync::{Arc, Mutex, PoisonError};

use super::error::StorageError;
use super::{Recovered, SaveTask, Storage, StorageOp};
use crate::protocol::blob::Blob;
use crate::protocol::io::DiskOp;
use crate::protocol::zxid::Zxid;

/// Clones share one state, as two openings of one directory would.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    state: Arc<Mutex<Recovered>>,
}

impl Storage for MemoryStorage {
    fn recover(&mut self) -> Result<Recovered, StorageError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.clone())
    }

    fn perform(&mut self, ops: &[StorageOp]) -> Result<(), StorageError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        ops.iter().try_for_each(|op| change(&mut state, op))
    }

    fn begin_save(&mut self, zxid: Zxid, bytes: &Blob) -> Result<SaveTask, StorageError> {
        let mut storage = self.clone();
        let bytes = bytes.clone();
        let op = StorageOp::SaveSnapshot { zxid, bytes };
        Ok(Box::new(move || storage.perform(&[op])))
    }

    fn saved(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}

fn change(state: &mut Recovered, op: &StorageOp) -> Result<(), StorageError> {
    match op {
        StorageOp::Protocol(DiskOp::Append(entries)) => {
            for entry in entries {
                let last = state.last();
                if !entry.zxid.follows(last) {
                    let next = entry.zxid;
                    return Err(StorageError::AppendGap { last, next });
                }
                state.entries.push(entry.clone());
            }
        }
        StorageOp::Protocol(DiskOp::Truncate { after }) => {
            let (base, last, after) = (state.base, state.last(), *after);
            if after > last || after < base {
                return Err(StorageError::TruncateOutside { base, last, after });
            }
            state.entries.retain(|entry| entry.zxid <= after);
        }
        StorageOp::Protocol(DiskOp::SetMeta {
            accepted_epoch,
            current_epoch,
        }) => {
            state.accepted_epoch = *accepted_epoch;
            state.current_epoch = *current_epoch;
        }
        StorageOp::Protocol(DiskOp::InstallSnapshot {
            zxid,
            bytes,
            entries,
        }) => {
            state.snapshot = Some((*zxid, bytes.clone()));
            state.base = *zxid;
            state.entries.clone_from(entries);
        }
        StorageOp::SaveSnapshot { zxid, bytes } => {
            let newest = state
                .snapshot
                .as_ref()
                .map_or(Zxid::ZERO, |(zxid, _)| *zxid);
            if newest < *zxid {
                state.snapshot = Some((*zxid, bytes.clone()));
                state.entries.retain(|entry| entry.zxid > *zxid);
                state.base = *zxid;
            }
        }
    }
    Ok(())
}
