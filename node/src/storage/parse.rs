//! Reading single files of a data directory, wherever they come from: for tools, and for the tests
//! that feed the readers with damaged files. Each reader takes any bytes, and memory in proportion.

use super::error::Damage;
use super::{meta, segment, snapshot};
use crate::protocol::blob::Blob;
use crate::protocol::message::Entry;
use crate::protocol::zxid::Zxid;

/// The two epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// The last epoch promised.
    pub accepted: u32,
    /// The last epoch whose history was synchronised.
    pub current: u32,
}

/// The file of epochs.
///
/// # Errors
/// If it holds what no crash can have left there.
pub fn read_epochs(file: &[u8]) -> Result<Epochs, Damage> {
    let slot = meta::newest(file)?;
    Ok(Epochs {
        accepted: slot.epochs.accepted,
        current: slot.epochs.current,
    })
}

/// The batches of a segment of the log: what each begins behind, and its entries.
///
/// # Errors
/// If it holds what no crash can have left there.
pub fn read_segment(file: &[u8]) -> Result<Vec<(Zxid, Vec<Entry>)>, Damage> {
    let contents = segment::Contents::parse(file)?;
    let batches = contents.batches.into_iter();
    Ok(batches.map(|batch| (batch.base, batch.entries)).collect())
}

/// A snapshot: the last transaction in it, and its bytes.
///
/// # Errors
/// If it is not whole.
pub fn read_snapshot(file: &[u8]) -> Result<(Zxid, Blob), Damage> {
    let (_, id, bytes) = snapshot::parse(file)?;
    Ok((id.zxid, bytes))
}
