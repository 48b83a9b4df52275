//! How a client tells who it is.
//!
//! The scheme `digest` takes `user:password` and makes of it `user:hash`, where the hash is the
//! SHA-1 of the whole text in base 64; nothing is looked up, so any password makes an identity. Who
//! gives the password of the *super user* passes every access list. The scheme `ip` is the address
//! that the client comes from, which every session has anyway.

use super::sha1::sha1;
use crate::jute::{JuteError, Reader};
use crate::state::Identity;

/// What a client says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How it wants to prove it.
    pub scheme: String,
    /// The proof: `user:password`.
    pub secret: Vec<u8>,
}

impl Proof {
    /// Reads the body of a request to authenticate.
    pub(super) fn parse(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        let _kind = input.i32()?;
        let scheme = input.text()?.to_owned();
        let secret = input.buffer()?.to_vec();
        Ok(Self { scheme, secret })
    }

    /// Who the client is now, beside whom it was before. `super_digest` is the identity of the super
    /// user, `user:hash`, if there is one. `None` if this proves nothing.
    #[must_use]
    pub fn identities(&self, super_digest: Option<&str>) -> Option<Vec<Identity>> {
        match self.scheme.as_str() {
            "digest" => {
                let id = digest_id(&String::from_utf8_lossy(&self.secret));
                let is_super = super_digest == Some(id.as_str());
                let user = Identity {
                    scheme: "digest".to_owned(),
                    id,
                };
                let superuser = is_super.then(|| Identity {
                    scheme: "super".to_owned(),
                    id: String::new(),
                });
                Some(superuser.into_iter().chain([user]).collect())
            }
            "ip" => Some(Vec::new()),
            _ => None,
        }
    }
}

/// `user:hash` of `user:password`.
fn digest_id(text: &str) -> String {
    let user = text.split(':').next().unwrap_or(text);
    format!("{user}:{}", base64(&sha1(text.as_bytes())))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let symbol = usize::try_from(bits >> (18 - 6 * place) & 0x3f).unwrap_or(0);
            let is_padding = usize::try_from(place).is_ok_and(|place| place > chunk.len());
            text.push(if is_padding {
                '='
            } else {
                char::from(ALPHABET[symbol])
            });
        }
    }
    text
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Request, hex, parse};

    fn proof(scheme: &str, secret: &str) -> Proof {
        Proof {
            scheme: scheme.to_owned(),
            secret: secret.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_captured_request_is_understood() {
        let frame = hex("fffffffc 00000064 00000000 00000006 646967657374 00000003 753a70");
        let request = Request::Authenticate(proof("digest", "u:p"));
        assert_eq!(parse(&frame).unwrap(), (-4, request));
    }

    #[test]
    fn base64_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn the_super_user_is_known_by_the_usual_digest() {
        // The identity that ZooKeeper's own tools compute for super:test.
        let digest = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
        let ids = proof("digest", "super:test").identities(Some(digest));
        let schemes: Vec<String> = ids.unwrap().into_iter().map(|id| id.scheme).collect();
        assert_eq!(schemes, ["super", "digest"]);
        let ids = proof("digest", "super:other")
            .identities(Some(digest))
            .unwrap();
        assert_eq!(ids.len(), 1);
        assert_eq!(
            proof("digest", "super:test")
                .identities(None)
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn unknown_schemes_prove_nothing() {
        for scheme in ["nosuch", "world", "super", "auth", "sasl", "x509"] {
            assert_eq!(proof(scheme, "x").identities(None), None, "{scheme}");
        }
        assert_eq!(proof("ip", "").identities(None), Some(Vec::new()));
    }
}
