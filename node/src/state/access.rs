//! Access lists: who may do what with a znode.

use std::sync::Arc;

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
        Self {
            permissions: permission::ALL,
            scheme: "world".to_owned(),
            id: "anyone".to_owned(),
        }
    }
}

/// The access list that lets everybody do everything.
pub(super) fn open_list() -> Arc<[Access]> {
    Arc::from([Access::open()])
}
