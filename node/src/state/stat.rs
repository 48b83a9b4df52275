//! What is known of a znode beside its data.

use crate::jute::{JuteError, Reader, Writer};

/// The record that clients get with a znode. 68 bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created it.
    pub czxid: u64,
    /// The transaction that last set its data.
    pub mzxid: u64,
    /// When it was created, in milliseconds since 1970.
    pub ctime: i64,
    /// When its data was last set, in milliseconds since 1970.
    pub mtime: i64,
    /// How often its data was set.
    pub version: i32,
    /// How often a child was created or deleted.
    pub cversion: i32,
    /// How often its access list was set.
    pub aversion: i32,
    /// The session that owns it; 0 for a persistent znode.
    pub ephemeral_owner: i64,
    /// Bytes of its data.
    pub data_length: i32,
    /// How many children it has.
    pub num_children: i32,
    /// The transaction that last created or deleted a child (or the znode itself).
    pub pzxid: u64,
}

impl Stat {
    /// Appends it in the order of the wire.
    pub fn write(&self, out: &mut Writer) {
        out.u64(self.czxid).u64(self.mzxid);
        out.i64(self.ctime).i64(self.mtime);
        out.i32(self.version).i32(self.cversion).i32(self.aversion);
        out.i64(self.ephemeral_owner);
        out.i32(self.data_length).i32(self.num_children);
        out.u64(self.pzxid);
    }

    /// Reads it back.
    ///
    /// # Errors
    /// If the input ends.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(Self {
            czxid: input.u64()?,
            mzxid: input.u64()?,
            ctime: input.i64()?,
            mtime: input.i64()?,
            version: input.i32()?,
            cversion: input.i32()?,
            aversion: input.i32()?,
            ephemeral_owner: input.i64()?,
            data_length: input.i32()?,
            num_children: input.i32()?,
            pzxid: input.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_takes_68_bytes_and_reads_back() {
        let stat = Stat {
            czxid: 1,
            mzxid: 2,
            ctime: 3,
            mtime: 4,
            version: 5,
            cversion: 6,
            aversion: 7,
            ephemeral_owner: 8,
            data_length: 9,
            num_children: 10,
            pzxid: 11,
        };
        let mut writer = Writer::new();
        stat.write(&mut writer);
        let bytes = writer.into_bytes();
        assert_eq!(bytes.len(), 68);
        assert_eq!(Stat::read(&mut Reader::new(&bytes)), Ok(stat));
    }
}
