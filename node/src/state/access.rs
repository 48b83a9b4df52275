//! Access lists: who may do what with a znode.
//!
//! A list gives permissions to identities; whoever the list names nowhere may do nothing. The scheme
//! `world` names everybody, and whoever has the scheme `super` may do everything. A client may also
//! give the scheme `auth`: it stands for whatever the client has authenticated as.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::ErrorCode;

/// Whom a session has proved to be, or where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// How it was proved: `digest`, `ip` or `super`.
    pub scheme: String,
    /// Who: `user:hash` for a digest, an address for `ip`, empty for `super`.
    pub id: String,
}

/// One entry of an access list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// What is allowed: a sum of the [`permission`] bits.
    pub permissions: i32,
    /// How the identity is proved: `world`, `auth`, `digest` or `ip`.
    pub scheme: String,
    /// To whom.
    pub id: String,
}

/// The bits of [`Access::permissions`].
pub mod permission {
    /// Read the data and list the children.
    pub const READ: i32 = 1;
    /// Set the data.
    pub const WRITE: i32 = 2;
    /// Create children.
    pub const CREATE: i32 = 4;
    /// Delete children.
    pub const DELETE: i32 = 8;
    /// Set the access list.
    pub const ADMIN: i32 = 16;
    /// Everything.
    pub const ALL: i32 = READ | WRITE | CREATE | DELETE | ADMIN;
}

impl Access {
    /// Everybody may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self::to_everybody(permission::ALL)
    }

    /// Everybody may do this.
    pub(super) fn to_everybody(permissions: i32) -> Self {
        Self {
            permissions,
            scheme: WORLD.to_owned(),
            id: ANYONE.to_owned(),
        }
    }

    fn is_everybody(&self) -> bool {
        self.scheme == WORLD && self.id == ANYONE
    }

    fn names(&self, identity: &Identity) -> bool {
        self.scheme == identity.scheme
            && match self.scheme.as_str() {
                IP => Network::parse(&self.id).is_some_and(|network| network.holds(&identity.id)),
                _ => self.id == identity.id,
            }
    }

    /// Whether a client may put this entry into a list.
    fn is_valid(&self) -> bool {
        match self.scheme.as_str() {
            // A user and a hash; as in ZooKeeper, colons at the end do not count.
            DIGEST => self.id.trim_end_matches(':').split(':').count() == 2,
            IP => Network::parse(&self.id).is_some(),
            _ => false,
        }
    }
}

/// Whether this list allows somebody with these identities to do this.
pub(super) fn allows(list: &[Access], permission: i32, ids: &[Identity]) -> bool {
    let is_allowed = |entry: &Access| {
        entry.permissions & permission != 0
            && (entry.is_everybody() || ids.iter().any(|identity| entry.names(identity)))
    };
    ids.iter().any(|identity| identity.scheme == SUPER) || list.iter().any(is_allowed)
}

/// The list that is stored when a client with these identities gives this one.
pub(super) fn resolve(given: &[Access], ids: &[Identity]) -> Result<Vec<Access>, ErrorCode> {
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for entry in given.iter().filter(|entry| seen.insert(*entry)) {
        if entry.scheme == AUTH {
            let before = list.len();
            let authenticated = ids.iter().filter(|identity| identity.scheme == DIGEST);
            list.extend(authenticated.map(|identity| Access {
                permissions: entry.permissions,
                scheme: identity.scheme.clone(),
                id: identity.id.clone(),
            }));
            if list.len() == before {
                return Err(ErrorCode::InvalidAcl);
            }
        } else if entry.is_everybody() || entry.is_valid() {
            list.push(entry.clone());
        } else {
            return Err(ErrorCode::InvalidAcl);
        }
    }
    if list.is_empty() {
        return Err(ErrorCode::InvalidAcl);
    }
    Ok(list)
}

/// Addresses that begin with the same bits.
struct Network {
    address: Vec<u8>,
    bits: usize,
}

impl Network {
    /// Reads `address` or `address/bits`.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (octets(address)?, Some(bits.parse().ok()?)),
            None => (octets(text)?, None),
        };
        let all = address.len() * 8;
        let bits = bits.unwrap_or(all);
        (bits <= all).then_some(Self { address, bits })
    }

    fn holds(&self, address: &str) -> bool {
        let Some(address) = octets(address) else {
            return false;
        };
        let (whole, rest) = (self.bits / 8, self.bits % 8);
        let is_equal_in_last_byte = || {
            let mask = !(0xff_u8 >> rest);
            self.address[whole] & mask == address[whole] & mask
        };
        self.address.len() == address.len()
            && self.address[..whole] == address[..whole]
            && (rest == 0 || is_equal_in_last_byte())
    }
}

fn octets(address: &str) -> Option<Vec<u8>> {
    match address.parse().ok()? {
        IpAddr::V4(address) => Some(address.octets().to_vec()),
        IpAddr::V6(address) => Some(address.octets().to_vec()),
    }
}

/// One copy of each list in use, however many znodes have it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists {
    lists: BTreeSet<Arc<[Access]>>,
    /// With more lists than this, those that no znode has any more are dropped.
    purge_above: usize,
}

impl Lists {
    /// The shared copy of this list.
    pub(super) fn share(&mut self, list: Vec<Access>) -> Arc<[Access]> {
        if let Some(shared) = self.lists.get(&list[..]) {
            return Arc::clone(shared);
        }
        if self.lists.len() >= self.purge_above {
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            self.purge_above = (2 * self.lists.len()).max(LEAST_PURGE);
        }
        let shared: Arc<[Access]> = list.into();
        self.lists.insert(Arc::clone(&shared));
        shared
    }
}

const WORLD: &str = "world";
const ANYONE: &str = "anyone";
const AUTH: &str = "auth";
const DIGEST: &str = "digest";
const IP: &str = "ip";
const SUPER: &str = "super";
/// Fewer lists than this are not worth a look.
const LEAST_PURGE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(permissions: i32, scheme: &str, id: &str) -> Access {
        Access {
            permissions,
            scheme: scheme.to_owned(),
            id: id.to_owned(),
        }
    }

    fn identity(scheme: &str, id: &str) -> Identity {
        Identity {
            scheme: scheme.to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn a_list_allows_what_it_says_to_whom_it_names() {
        let list = [entry(1, "world", "anyone"), entry(2 | 4, "digest", "a:x")];
        let a = [identity("ip", "10.0.0.1"), identity("digest", "a:x")];
        let b = [identity("ip", "10.0.0.1"), identity("digest", "b:x")];
        assert!(allows(&list, permission::READ, &[]));
        assert!(allows(&list, permission::WRITE, &a));
        assert!(allows(&list, permission::CREATE, &a));
        assert!(!allows(&list, permission::ADMIN, &a));
        assert!(!allows(&list, permission::WRITE, &b));
        assert!(allows(&list, permission::ADMIN, &[identity("super", "")]));
        // An identity of another scheme is another identity.
        assert!(!allows(&list, permission::WRITE, &[identity("ip", "a:x")]));
        let world = [entry(31, "world", "someone")];
        assert!(!allows(&world, permission::READ, &[]));
    }

    #[test]
    fn addresses_match_by_their_first_bits() {
        for (network, inside, outside) in [
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("10.1.2.3/32", "10.1.2.3", "10.1.2.2"),
            ("10.1.0.0/16", "10.1.255.9", "10.2.0.0"),
            ("10.1.2.128/25", "10.1.2.200", "10.1.2.127"),
            ("10.0.0.0/0", "192.168.0.1", "::1"),
            ("fe80::/10", "febf::1", "fec0::1"),
        ] {
            let list = [entry(1, "ip", network)];
            let from = |address| allows(&list, 1, &[identity("ip", address)]);
            assert!(from(inside), "{inside} in {network}");
            assert!(!from(outside), "{outside} not in {network}");
            assert!(!from("nowhere"));
        }
    }

    #[test]
    fn lists_that_name_nobody_properly_are_refused() {
        for (scheme, id) in [
            ("world", "someone"),
            ("world", ""),
            ("auth", ""),
            ("digest", "nobody"),
            ("digest", "a:b:c"),
            ("digest", "a:"),
            ("ip", "10.0.0"),
            ("ip", "10.0.0.1/33"),
            ("ip", "10.0.0.1/"),
            ("ip", "10.0.0.1/-1"),
            ("super", ""),
            ("sasl", "me"),
            ("", ""),
        ] {
            let list = [Access::open(), entry(31, scheme, id)];
            let ids = [identity("ip", "10.0.0.1"), identity("super", "")];
            let refused = Err(ErrorCode::InvalidAcl);
            assert_eq!(resolve(&list, &ids), refused, "{scheme}:{id}");
        }
        assert_eq!(resolve(&[], &[]), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn a_list_is_stored_without_repetitions_in_its_order() {
        let list = [
            entry(1, "digest", "a:x"),
            entry(31, "world", "anyone"),
            entry(1, "digest", "a:x"),
            entry(2, "ip", "10.0.0.0/8"),
        ];
        let stored = [&list[..2], &list[3..]].concat();
        assert_eq!(resolve(&list, &[]), Ok(stored));
    }

    #[test]
    fn auth_stands_for_everything_that_was_proved() {
        let ids = [
            identity("ip", "10.0.0.1"),
            identity("digest", "a:x"),
            identity("digest", "b:y"),
        ];
        let stored = vec![entry(7, "digest", "a:x"), entry(7, "digest", "b:y")];
        assert_eq!(resolve(&[entry(7, "auth", "any")], &ids), Ok(stored));
    }

    #[test]
    fn lists_are_shared_and_forgotten_when_no_znode_has_them() {
        let mut lists = Lists::default();
        let kept = lists.share(vec![Access::open()]);
        for number in 0..10 * LEAST_PURGE {
            lists.share(vec![entry(31, "digest", &format!("a:{number}"))]);
        }
        assert!(lists.lists.len() <= LEAST_PURGE);
        assert!(Arc::ptr_eq(&kept, &lists.share(vec![Access::open()])));
    }
}
