//! Transactions as bytes of the log.
//!
//! A multi holds no multi, so reading never nests deeper than two levels.

use super::access::{Access, Identity};
use super::data::Data;
use super::txn::{CreateMode, Txn, TxnOp};
use crate::jute::{JuteError, Reader, Writer};

impl Txn {
    /// As bytes for the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(self.op.tag()).i64(self.time_ms).i64(self.session);
        out.u64(self.connection).count(self.ids.len());
        for identity in &self.ids {
            out.text(&identity.scheme).text(&identity.id);
        }
        self.op.write(&mut out);
        out.into_bytes()
    }

    /// From the bytes of the log.
    ///
    /// # Errors
    /// If the bytes are not exactly one transaction.
    pub fn decode(bytes: &[u8]) -> Result<Self, JuteError> {
        let mut input = Reader::new(bytes);
        let tag = input.u8()?;
        let txn = Self {
            time_ms: input.i64()?,
            session: input.i64()?,
            connection: input.u64()?,
            ids: list(&mut input, read_identity)?,
            op: TxnOp::read(tag, &mut input)?,
        };
        input.end()?;
        Ok(txn)
    }
}

impl TxnOp {
    const fn tag(&self) -> u8 {
        match self {
            Self::OpenSession { .. } => OPEN_SESSION,
            Self::MoveSession => MOVE_SESSION,
            Self::CloseSession => CLOSE_SESSION,
            Self::Touch { .. } => TOUCH,
            Self::Create { .. } => CREATE,
            Self::Delete { .. } => DELETE,
            Self::SetData { .. } => SET_DATA,
            Self::SetAccess { .. } => SET_ACCESS,
            Self::Check { .. } => CHECK,
            Self::Multi { .. } => MULTI,
            Self::Reap { .. } => REAP,
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::OpenSession { timeout_ms } => {
                out.i32(*timeout_ms);
            }
            Self::MoveSession | Self::CloseSession => {}
            Self::Touch { sessions } => {
                out.count(sessions.len());
                for session in sessions {
                    out.i64(*session);
                }
            }
            Self::Create {
                path,
                data,
                access,
                mode,
                sequential,
            } => {
                out.text(path);
                data.write(out);
                write_access(access, out);
                mode.write(out);
                out.bool(*sequential);
            }
            Self::SetData {
                path,
                data,
                version,
            } => {
                out.text(path);
                data.write(out);
                out.i32(*version);
            }
            Self::SetAccess {
                path,
                access,
                version,
            } => {
                out.text(path);
                write_access(access, out);
                out.i32(*version);
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                out.text(path).i32(*version);
            }
            Self::Multi { ops } => {
                out.count(ops.len());
                for op in ops {
                    out.u8(op.tag());
                    op.write(out);
                }
            }
            Self::Reap { path } => {
                out.text(path);
            }
        }
    }

    fn read(tag: u8, input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(match tag {
            OPEN_SESSION => Self::OpenSession {
                timeout_ms: input.i32()?,
            },
            MOVE_SESSION => Self::MoveSession,
            CLOSE_SESSION => Self::CloseSession,
            TOUCH => Self::Touch {
                sessions: list(input, Reader::i64)?,
            },
            CREATE => Self::Create {
                path: input.text()?.to_owned(),
                data: Data::read(input)?,
                access: list(input, read_access)?,
                mode: CreateMode::read(input)?,
                sequential: input.bool()?,
            },
            DELETE => Self::Delete {
                path: input.text()?.to_owned(),
                version: input.i32()?,
            },
            SET_DATA => Self::SetData {
                path: input.text()?.to_owned(),
                data: Data::read(input)?,
                version: input.i32()?,
            },
            SET_ACCESS => Self::SetAccess {
                path: input.text()?.to_owned(),
                access: list(input, read_access)?,
                version: input.i32()?,
            },
            CHECK => Self::Check {
                path: input.text()?.to_owned(),
                version: input.i32()?,
            },
            MULTI => Self::Multi {
                ops: list(input, Self::read_inner)?,
            },
            REAP => Self::Reap {
                path: input.text()?.to_owned(),
            },
            other => return Err(JuteError::Tag(other)),
        })
    }

    /// An operation inside a multi.
    fn read_inner(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        match input.u8()? {
            MULTI => Err(JuteError::Tag(MULTI)),
            tag => Self::read(tag, input),
        }
    }
}

impl CreateMode {
    fn write(self, out: &mut Writer) {
        match self {
            Self::Persistent => out.u8(0),
            Self::Ephemeral => out.u8(1),
            Self::Container => out.u8(2),
            Self::Ttl { ttl_ms } => out.u8(3).i64(ttl_ms),
        };
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        match input.u8()? {
            0 => Ok(Self::Persistent),
            1 => Ok(Self::Ephemeral),
            2 => Ok(Self::Container),
            3 => Ok(Self::Ttl {
                ttl_ms: input.i64()?,
            }),
            other => Err(JuteError::Tag(other)),
        }
    }
}

/// Appends an access list.
pub(super) fn write_access(access: &[Access], out: &mut Writer) {
    out.count(access.len());
    for entry in access {
        out.i32(entry.permissions);
        out.text(&entry.scheme).text(&entry.id);
    }
}

/// Reads one entry of an access list.
pub(super) fn read_access(input: &mut Reader<'_>) -> Result<Access, JuteError> {
    Ok(Access {
        permissions: input.i32()?,
        scheme: input.text()?.to_owned(),
        id: input.text()?.to_owned(),
    })
}

fn read_identity(input: &mut Reader<'_>) -> Result<Identity, JuteError> {
    Ok(Identity {
        scheme: input.text()?.to_owned(),
        id: input.text()?.to_owned(),
    })
}

/// Reads a vector; "none" reads as empty. Every item takes at least a byte, so a count that the input
/// cannot hold ends at the end of the input.
pub(super) fn list<'a, T>(
    input: &mut Reader<'a>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, JuteError>,
) -> Result<Vec<T>, JuteError> {
    (0..input.count()?.unwrap_or(0))
        .map(|_| item(input))
        .collect()
}

// Numbers from 16 on, so that the transactions of a log without connections and identities, which
// counted from 1, are refused rather than misread.
const OPEN_SESSION: u8 = 16;
const MOVE_SESSION: u8 = 17;
const CLOSE_SESSION: u8 = 18;
const TOUCH: u8 = 19;
const CREATE: u8 = 20;
const DELETE: u8 = 21;
const SET_DATA: u8 = 22;
const SET_ACCESS: u8 = 23;
const CHECK: u8 = 24;
const MULTI: u8 = 25;
const REAP: u8 = 26;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn access() -> impl Strategy<Value = Vec<Access>> {
        let entry = (0..32_i32, "[a-z]{0,6}", "[a-z:]{0,6}");
        let entry = entry.prop_map(|(permissions, scheme, id)| Access {
            permissions,
            scheme,
            id,
        });
        proptest::collection::vec(entry, 0..3)
    }

    fn mode() -> impl Strategy<Value = CreateMode> {
        prop_oneof![
            Just(CreateMode::Persistent),
            Just(CreateMode::Ephemeral),
            Just(CreateMode::Container),
            any::<i64>().prop_map(|ttl_ms| CreateMode::Ttl { ttl_ms }),
        ]
    }

    fn plain_ops() -> impl Strategy<Value = TxnOp> {
        let path = "(/[a-z]{1,3}){1,3}";
        let bytes = proptest::collection::vec(any::<u8>(), 0..20);
        let data = proptest::option::of(bytes)
            .prop_map(|bytes| bytes.map_or_else(Data::default, Data::from));
        prop_oneof![
            any::<i32>().prop_map(|timeout_ms| TxnOp::OpenSession { timeout_ms }),
            Just(TxnOp::MoveSession),
            Just(TxnOp::CloseSession),
            any::<Vec<i64>>().prop_map(|sessions| TxnOp::Touch { sessions }),
            (path, data.clone(), access(), mode(), any::<bool>()).prop_map(
                |(path, data, access, mode, sequential)| TxnOp::Create {
                    path,
                    data,
                    access,
                    mode,
                    sequential
                }
            ),
            (path, any::<i32>()).prop_map(|(path, version)| TxnOp::Delete { path, version }),
            (path, any::<i32>()).prop_map(|(path, version)| TxnOp::Check { path, version }),
            path.prop_map(|path| TxnOp::Reap { path }),
            (path, access(), any::<i32>()).prop_map(|(path, access, version)| TxnOp::SetAccess {
                path,
                access,
                version
            }),
            (path, data, any::<i32>()).prop_map(|(path, data, version)| TxnOp::SetData {
                path,
                data,
                version
            }),
        ]
    }

    fn txns() -> impl Strategy<Value = Txn> {
        let multi = proptest::collection::vec(plain_ops(), 0..4);
        let op = prop_oneof![
            4 => plain_ops(),
            1 => multi.prop_map(|ops| TxnOp::Multi { ops })
        ];
        let identity = ("[a-z]{0,6}", "[a-z:]{0,6}");
        let identity = identity.prop_map(|(scheme, id)| Identity { scheme, id });
        let ids = proptest::collection::vec(identity, 0..3);
        (any::<(i64, i64, u64)>(), ids, op).prop_map(|((time_ms, session, connection), ids, op)| {
            Txn {
                time_ms,
                session,
                connection,
                ids,
                op,
            }
        })
    }

    #[test]
    fn a_multi_within_a_multi_is_refused() {
        let inner = TxnOp::Multi { ops: Vec::new() };
        let txn = Txn {
            time_ms: 1,
            session: 1,
            connection: 1,
            ids: Vec::new(),
            op: TxnOp::Multi { ops: vec![inner] },
        };
        assert_eq!(Txn::decode(&txn.encode()), Err(JuteError::Tag(MULTI)));
    }

    proptest! {
        #[test]
        fn a_transaction_reads_back(txn in txns()) {
            let bytes = txn.encode();
            prop_assert_eq!(Txn::decode(&bytes), Ok(txn));
            for cut in 0..bytes.len() {
                prop_assert!(Txn::decode(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn no_bytes_make_decoding_panic(tag in 0..40_u8, bytes: Vec<u8>) {
            let _ = Txn::decode(&bytes);
            let _ = Txn::decode(&[&[tag], &bytes[..]].concat());
        }
    }
}
