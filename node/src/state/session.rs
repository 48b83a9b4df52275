//! The password of a session, which any node can check without having stored it.

use crate::siphash::siphash;

/// Bytes of a session's password on the wire.
pub const PASSWORD_LEN: usize = 16;

/// What the nodes of one cluster share and clients do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    key: (u64, u64),
}

impl Secret {
    /// Derives the key from a text that all nodes of the cluster are given.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            key: (
                siphash((1, 0), text.as_bytes()),
                siphash((2, 0), text.as_bytes()),
            ),
        }
    }

    /// The password of a session: a keyed hash of its id.
    #[must_use]
    pub fn password(&self, session: i64) -> [u8; PASSWORD_LEN] {
        let mut message = [0; 9];
        message[1..].copy_from_slice(&session.to_be_bytes());
        let high = siphash(self.key, &message);
        message[0] = 1;
        let low = siphash(self.key, &message);
        let mut password = [0; PASSWORD_LEN];
        password[..8].copy_from_slice(&high.to_be_bytes());
        password[8..].copy_from_slice(&low.to_be_bytes());
        password
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_with_one_secret_agree_and_others_do_not() {
        let password = Secret::new("a").password(7);
        assert_eq!(Secret::new("a").password(7), password);
        assert_ne!(Secret::new("b").password(7), password);
        assert_ne!(Secret::new("a").password(8), password);
        assert_ne!(password[..8], password[8..]);
    }
}
