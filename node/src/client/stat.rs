//! Stats as clients see them.

use crate::jute::Writer;
use crate::state::Stat;

/// Appends a stat. Clients are told the owner of an ephemeral znode; what stands in that place for a
/// container or a TTL znode is the servers' own business, and ZooKeeper shows 0 for it.
pub(super) fn write_stat(stat: &Stat, out: &mut Writer) {
    let shown = Stat {
        ephemeral_owner: stat.ephemeral_owner.max(0),
        ..*stat
    };
    shown.write(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_of_an_ephemeral_znode_is_shown() {
        let owner_shown = |ephemeral_owner| {
            let mut out = Writer::new();
            let stat = Stat {
                ephemeral_owner,
                ..Stat::default()
            };
            write_stat(&stat, &mut out);
            i64::from_be_bytes(out.into_bytes()[44..52].try_into().unwrap())
        };
        assert_eq!(owner_shown(0x0100_0000_0000_0007), 0x0100_0000_0000_0007);
        assert_eq!(owner_shown(i64::MIN), 0, "a container");
        assert_eq!(owner_shown(-1 << 56 | 1_000), 0, "a TTL of a second");
    }
}
