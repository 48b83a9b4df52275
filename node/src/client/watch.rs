//! Requests about watches: to set, to remove and to find them, and to set all of them again after a
//! client has come to another connection.

use super::reply::{NO_ZXID, event};
use super::request::{ADD_WATCH, CHECK_WATCHES, REMOVE_WATCHES, Request, SET_WATCHES2};
use super::watches::{TooManyWatches, WatchKind, WatchTable, WatchTarget};
use crate::jute::{JuteError, Reader, Writer};
use crate::protocol::zxid::ConnId;
use crate::state::{ChangeKind, ErrorCode, State};

/// A request about the watches of its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchRequest {
    /// Adds one that stays.
    Add {
        /// Of which znode.
        path: String,
        /// Persistent or recursive.
        kind: WatchKind,
    },
    /// Removes some.
    Remove {
        /// Of which znode.
        path: String,
        /// Which.
        target: WatchTarget,
    },
    /// Asks if there are some.
    Check {
        /// Of which znode.
        path: String,
        /// Which.
        target: WatchTarget,
    },
    /// Sets all that a client had on its last connection.
    SetAll(Box<Missed>),
}

/// The watches that a client had, and what it has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missed {
    /// The last transaction that the client knows of.
    pub seen: u64,
    /// Paths whose data was watched.
    pub data: Vec<String>,
    /// Paths that did not exist and were watched.
    pub exist: Vec<String>,
    /// Paths whose children were watched.
    pub children: Vec<String>,
    /// Paths with a persistent watch.
    pub persistent: Vec<String>,
    /// Paths with a recursive watch.
    pub recursive: Vec<String>,
}

/// The answer to a request about watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchAnswer {
    /// Frames of events that go out before the answer.
    pub events: Vec<u8>,
    /// The body of the answer.
    pub body: Result<Vec<u8>, ErrorCode>,
}

impl WatchRequest {
    /// Does it, and says what to answer.
    pub fn answer(&self, conn: ConnId, state: &State, watches: &mut WatchTable) -> WatchAnswer {
        let mut events = Vec::new();
        let body = match self {
            Self::Add { path, kind } => watches.add(conn, path, *kind).map_or_else(refuse, |()| {
                let mut out = Writer::new();
                out.i32(0);
                Ok(out.into_bytes())
            }),
            Self::Remove { path, target } => found(watches.remove(conn, path, *target)),
            Self::Check { path, target } => found(watches.contains(conn, path, *target)),
            Self::SetAll(missed) => {
                let set = missed.set(conn, state, watches, &mut events);
                set.map_or_else(refuse, |()| Ok(Vec::new()))
            }
        };
        WatchAnswer { events, body }
    }
}

impl Missed {
    /// Tells at once of what changed since the client looked, and sets the other watches.
    fn set(
        &self,
        conn: ConnId,
        state: &State,
        watches: &mut WatchTable,
        events: &mut Vec<u8>,
    ) -> Result<(), TooManyWatches> {
        let mut tell = |kind, path: &str| events.extend_from_slice(&event(NO_ZXID, kind, path));
        for path in &self.data {
            match state.node(path) {
                None => tell(ChangeKind::Deleted, path),
                Some(node) if node.stat.mzxid > self.seen => tell(ChangeKind::DataChanged, path),
                Some(_) => watches.add(conn, path, WatchKind::Data)?,
            }
        }
        for path in &self.exist {
            match state.node(path) {
                Some(_) => tell(ChangeKind::Created, path),
                None => watches.add(conn, path, WatchKind::Data)?,
            }
        }
        for path in &self.children {
            match state.node(path) {
                None => tell(ChangeKind::Deleted, path),
                Some(node) if node.stat.pzxid > self.seen => {
                    tell(ChangeKind::ChildrenChanged, path);
                }
                Some(_) => watches.add(conn, path, WatchKind::Children)?,
            }
        }
        for path in &self.persistent {
            watches.add(conn, path, WatchKind::Persistent)?;
        }
        for path in &self.recursive {
            watches.add(conn, path, WatchKind::Recursive)?;
        }
        Ok(())
    }
}

/// Reads the body of such a request.
pub(super) fn parse_watch_request(
    operation: i32,
    input: &mut Reader<'_>,
) -> Result<Request, JuteError> {
    let request = match operation {
        ADD_WATCH => {
            let path = input.text()?.to_owned();
            match input.i32()? {
                0 => Some((path, WatchKind::Persistent)),
                1 => Some((path, WatchKind::Recursive)),
                _ => None,
            }
            .map(|(path, kind)| WatchRequest::Add { path, kind })
        }
        REMOVE_WATCHES => named(input)?.map(|(path, target)| WatchRequest::Remove { path, target }),
        CHECK_WATCHES => named(input)?.map(|(path, target)| WatchRequest::Check { path, target }),
        _ => Some(WatchRequest::SetAll(Box::new(missed(operation, input)?))),
    };
    Ok(request.map_or(Request::Refused(ErrorCode::BadArguments), Request::Watch))
}

/// A path and which of its watches are meant; `None` if the number stands for nothing.
fn named(input: &mut Reader<'_>) -> Result<Option<(String, WatchTarget)>, JuteError> {
    let path = input.text()?.to_owned();
    let target = match input.i32()? {
        1 => WatchTarget::Only(WatchKind::Children),
        2 => WatchTarget::Only(WatchKind::Data),
        3 => WatchTarget::Any,
        4 => WatchTarget::Only(WatchKind::Persistent),
        5 => WatchTarget::Only(WatchKind::Recursive),
        _ => return Ok(None),
    };
    Ok(Some((path, target)))
}

fn missed(operation: i32, input: &mut Reader<'_>) -> Result<Missed, JuteError> {
    let mut missed = Missed {
        seen: input.u64()?,
        data: texts(input)?,
        exist: texts(input)?,
        children: texts(input)?,
        ..Missed::default()
    };
    if operation == SET_WATCHES2 {
        missed.persistent = texts(input)?;
        missed.recursive = texts(input)?;
    }
    Ok(missed)
}

fn texts(input: &mut Reader<'_>) -> Result<Vec<String>, JuteError> {
    let count = input.count()?.unwrap_or(0);
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(input.text()?.to_owned());
    }
    Ok(texts)
}

const fn refuse<T>(_: TooManyWatches) -> Result<T, ErrorCode> {
    Err(ErrorCode::Throttled)
}

const fn found(is_found: bool) -> Result<Vec<u8>, ErrorCode> {
    if is_found {
        Ok(Vec::new())
    } else {
        Err(ErrorCode::NoWatcher)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::{hex, parse};
    use crate::state::{Access, Change};

    const A: ConnId = ConnId(1);

    fn asked(frame: &str) -> WatchRequest {
        match parse(&hex(frame)).unwrap().1 {
            Request::Watch(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn answer(request: &WatchRequest, watches: &mut WatchTable) -> WatchAnswer {
        request.answer(A, &State::new(), watches)
    }

    #[test]
    fn captured_requests_are_understood() {
        let missed = Missed {
            data: vec!["/g".to_owned()],
            ..Missed::default()
        };
        assert_eq!(
            asked("fffffff8 00000065 0000000000000000 00000001 00000002 2f67 00000000 00000000"),
            WatchRequest::SetAll(Box::new(missed))
        );
        let path = "/g".to_owned();
        assert_eq!(
            asked("00000012 0000006a 00000002 2f67 00000000"),
            WatchRequest::Add {
                path: path.clone(),
                kind: WatchKind::Persistent
            }
        );
        assert_eq!(
            asked("00000013 00000012 00000002 2f67 00000003"),
            WatchRequest::Remove {
                path,
                target: WatchTarget::Any
            }
        );
        let nonsense = parse(&hex("00000013 00000012 00000002 2f67 00000009")).unwrap();
        let refused = Request::Refused(ErrorCode::BadArguments);
        assert_eq!(nonsense, (19, refused));
    }

    #[test]
    fn a_watch_is_found_until_it_is_removed() {
        let mut watches = WatchTable::default();
        let path = "/a".to_owned();
        let target = WatchTarget::Any;
        let kind = WatchKind::Recursive;
        let add = WatchRequest::Add {
            path: path.clone(),
            kind,
        };
        let check = WatchRequest::Check {
            path: path.clone(),
            target,
        };
        let remove = WatchRequest::Remove { path, target };
        let missing = Err(ErrorCode::NoWatcher);
        assert_eq!(answer(&check, &mut watches).body, missing);
        assert_eq!(answer(&add, &mut watches).body, Ok(vec![0; 4]));
        assert_eq!(answer(&check, &mut watches).body, Ok(Vec::new()));
        assert_eq!(answer(&remove, &mut watches).body, Ok(Vec::new()));
        assert_eq!(answer(&remove, &mut watches).body, missing);
    }

    #[test]
    fn what_was_missed_is_told_and_the_rest_is_watched() {
        let paths = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
        let missed = Missed {
            seen: 0,
            data: paths(&["/gone", "/zookeeper"]),
            exist: paths(&["/zookeeper/quota", "/none"]),
            children: paths(&["/gone2", "/"]),
            persistent: paths(&["/p"]),
            recursive: paths(&["/r"]),
        };
        let mut watches = WatchTable::default();
        let answered = answer(&WatchRequest::SetAll(Box::new(missed)), &mut watches);
        assert_eq!(answered.body, Ok(Vec::new()));
        let expected = [
            event(NO_ZXID, ChangeKind::Deleted, "/gone"),
            event(NO_ZXID, ChangeKind::Created, "/zookeeper/quota"),
            event(NO_ZXID, ChangeKind::Deleted, "/gone2"),
        ];
        assert_eq!(answered.events, expected.concat());
        assert_eq!(watches.total(), 5);
        for (kind, path) in [
            (ChangeKind::DataChanged, "/zookeeper"),
            (ChangeKind::Created, "/none"),
            (ChangeKind::ChildrenChanged, "/"),
            (ChangeKind::ChildrenChanged, "/p"),
            (ChangeKind::Created, "/r/x"),
        ] {
            let path = path.to_owned();
            let access = Arc::from([Access::open()]);
            let change = Change { kind, path, access };
            assert!(watches.fire(&change).contains(&A));
        }
    }
}
