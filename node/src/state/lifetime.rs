//! How long a znode lives, as its stat tells it: the field `ephemeral_owner` names the session of an
//! ephemeral znode, and values that no session has stand for containers and TTLs.

use super::error::ErrorCode;
use super::txn::CreateMode;

/// How long a znode lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// Until it is deleted.
    Persistent,
    /// As long as this session.
    Ephemeral(i64),
    /// Until it has lost its last child.
    Container,
    /// Until it has had no children and no new data for so many milliseconds.
    Ttl(i64),
}

impl Lifetime {
    /// What an `ephemeral_owner` says.
    pub(super) const fn of(owner: i64) -> Self {
        match owner {
            0 => Self::Persistent,
            CONTAINER => Self::Container,
            _ if owner & TTL == TTL => Self::Ttl(owner & MAX_TTL_MS),
            session => Self::Ephemeral(session),
        }
    }
}

impl CreateMode {
    /// The `ephemeral_owner` of a znode that this session creates.
    pub(super) fn owner(self, session: i64) -> Result<i64, ErrorCode> {
        match self {
            Self::Persistent => Ok(0),
            Self::Ephemeral => Ok(session),
            Self::Container => Ok(CONTAINER),
            Self::Ttl { ttl_ms } if (1..=MAX_TTL_MS).contains(&ttl_ms) => Ok(TTL | ttl_ms),
            Self::Ttl { .. } => Err(ErrorCode::BadArguments),
        }
    }
}

/// The owner of containers.
const CONTAINER: i64 = i64::MIN;
/// The top byte of the owner of TTL znodes.
const TTL: i64 = 0xff << 56;
/// The longest TTL, in milliseconds: about 34 years.
const MAX_TTL_MS: i64 = (1 << 40) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_tells_the_mode() {
        let owner = |mode: CreateMode| mode.owner(7).map(Lifetime::of);
        assert_eq!(owner(CreateMode::Persistent), Ok(Lifetime::Persistent));
        assert_eq!(owner(CreateMode::Ephemeral), Ok(Lifetime::Ephemeral(7)));
        assert_eq!(owner(CreateMode::Container), Ok(Lifetime::Container));
        for ttl_ms in [1, 1_000, (1 << 40) - 1] {
            assert_eq!(owner(CreateMode::Ttl { ttl_ms }), Ok(Lifetime::Ttl(ttl_ms)));
        }
        for ttl_ms in [i64::MIN, -1, 0, 1 << 40, i64::MAX] {
            let refused = Err(ErrorCode::BadArguments);
            assert_eq!(owner(CreateMode::Ttl { ttl_ms }), refused);
        }
    }

    #[test]
    fn owners_have_the_values_that_clients_know() {
        assert_eq!(CreateMode::Container.owner(7), Ok(i64::MIN));
        let ttl = CreateMode::Ttl { ttl_ms: 0x1234 };
        let owner = i64::from_be_bytes([0xff, 0, 0, 0, 0, 0, 0x12, 0x34]);
        assert_eq!(ttl.owner(7), Ok(owner));
    }
}
