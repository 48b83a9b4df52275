//! Transactions: what a node proposes to the replicated log on behalf of a client.

use crate::jute::{JuteError, Reader, Writer};

/// One entry of the replicated log, as the state machine reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txn {
    /// When it was proposed, in milliseconds since 1970 by the proposer's clock.
    pub time_ms: i64,
    /// On behalf of which session; 0 for one that no client asked for.
    pub session: i64,
    /// What to do.
    pub op: TxnOp,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnOp {
    /// Opens the transaction's session.
    OpenSession {
        /// After how many silent milliseconds it expires.
        timeout_ms: i32,
    },
    /// Closes the transaction's session.
    CloseSession,
    /// Tells that the clients of these sessions are alive.
    Touch {
        /// Which sessions.
        sessions: Vec<i64>,
    },
    /// Creates a persistent znode.
    Create {
        /// Where.
        path: String,
        /// With which data.
        data: Vec<u8>,
    },
    /// Deletes a znode without children.
    Delete {
        /// Which.
        path: String,
        /// The version that it must have; −1 for any.
        version: i32,
    },
    /// Replaces the data of a znode.
    SetData {
        /// Which.
        path: String,
        /// By what.
        data: Vec<u8>,
        /// The version that it must have; −1 for any.
        version: i32,
    },
}

impl Txn {
    /// As bytes for the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(self.op.tag()).i64(self.time_ms).i64(self.session);
        match &self.op {
            TxnOp::OpenSession { timeout_ms } => {
                out.i32(*timeout_ms);
            }
            TxnOp::CloseSession => {}
            TxnOp::Touch { sessions } => {
                out.count(sessions.len());
                for session in sessions {
                    out.i64(*session);
                }
            }
            TxnOp::Create { path, data } => {
                out.text(path).buffer(data);
            }
            TxnOp::Delete { path, version } => {
                out.text(path).i32(*version);
            }
            TxnOp::SetData {
                path,
                data,
                version,
            } => {
                out.text(path).buffer(data).i32(*version);
            }
        }
        out.into_bytes()
    }

    /// From the bytes of the log.
    ///
    /// # Errors
    /// If the bytes are not exactly one transaction.
    pub fn decode(bytes: &[u8]) -> Result<Self, JuteError> {
        let mut input = Reader::new(bytes);
        let tag = input.u8()?;
        let time_ms = input.i64()?;
        let session = input.i64()?;
        let op = match tag {
            1 => TxnOp::OpenSession {
                timeout_ms: input.i32()?,
            },
            2 => TxnOp::CloseSession,
            3 => {
                let count = input.count()?.unwrap_or(0);
                let sessions: Result<_, _> = (0..count).map(|_| input.i64()).collect();
                TxnOp::Touch {
                    sessions: sessions?,
                }
            }
            4 => TxnOp::Create {
                path: input.text()?.to_owned(),
                data: input.buffer()?.to_vec(),
            },
            5 => TxnOp::Delete {
                path: input.text()?.to_owned(),
                version: input.i32()?,
            },
            6 => TxnOp::SetData {
                path: input.text()?.to_owned(),
                data: input.buffer()?.to_vec(),
                version: input.i32()?,
            },
            other => return Err(JuteError::Tag(other)),
        };
        input.end()?;
        Ok(Self {
            time_ms,
            session,
            op,
        })
    }
}

impl TxnOp {
    const fn tag(&self) -> u8 {
        match self {
            Self::OpenSession { .. } => 1,
            Self::CloseSession => 2,
            Self::Touch { .. } => 3,
            Self::Create { .. } => 4,
            Self::Delete { .. } => 5,
            Self::SetData { .. } => 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ops() -> impl Strategy<Value = TxnOp> {
        let path = "(/[a-z]{1,3}){1,3}";
        let data = proptest::collection::vec(any::<u8>(), 0..20);
        prop_oneof![
            any::<i32>().prop_map(|timeout_ms| TxnOp::OpenSession { timeout_ms }),
            Just(TxnOp::CloseSession),
            any::<Vec<i64>>().prop_map(|sessions| TxnOp::Touch { sessions }),
            (path, data.clone()).prop_map(|(path, data)| TxnOp::Create { path, data }),
            (path, any::<i32>()).prop_map(|(path, version)| TxnOp::Delete { path, version }),
            (path, data, any::<i32>()).prop_map(|(path, data, version)| TxnOp::SetData {
                path,
                data,
                version
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_transaction_reads_back(time_ms: i64, session: i64, op in ops()) {
            let txn = Txn { time_ms, session, op };
            let bytes = txn.encode();
            prop_assert_eq!(Txn::decode(&bytes), Ok(txn));
            for cut in 0..bytes.len() {
                prop_assert!(Txn::decode(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
            let _ = Txn::decode(&bytes);
        }
    }
}
