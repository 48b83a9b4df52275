//! Requests that are answered from the state of this node.

use super::stat::write_stat;
use super::watches::WatchKind;
use crate::jute::{JuteError, Reader, Writer};
use crate::state::{Access, ErrorCode, Identity, Stat, State, Znode, permission};

/// A read of one znode, or a ping, which reads nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What is asked.
    pub kind: ReadKind,
    /// Of which znode; empty where none is named.
    pub path: String,
    /// Whether the client wants to hear of the next change.
    pub has_watch: bool,
}

/// What a read asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadKind {
    /// Nothing: the client shows that it lives.
    Ping,
    /// The stat.
    Exists,
    /// Data and stat.
    Data,
    /// The names of the children.
    Children,
    /// The names of the children, and the stat.
    ChildrenAndStat,
    /// The access list and the stat.
    Access,
    /// How many znodes are below this one, at any depth.
    AllChildrenNumber,
    /// The ephemeral znodes of this session that begin with the path.
    Ephemerals,
    /// Who this session is.
    WhoAmI,
}

/// What a client may look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The state as of the last transaction applied.
    pub state: &'a State,
    /// The session that asks.
    pub session: i64,
    /// As whom it asks.
    pub ids: &'a [Identity],
    /// The members of the cluster, as they stand in [`CONFIGURATION`].
    pub members: &'a str,
}

/// The znode whose data is the configuration of the cluster.
pub const CONFIGURATION: &str = "/zookeeper/config";

impl Read {
    /// A ping.
    #[must_use]
    pub const fn ping() -> Self {
        Self {
            kind: ReadKind::Ping,
            path: String::new(),
            has_watch: false,
        }
    }

    /// Reads the body of a request that can leave a watch.
    pub(super) fn parse(input: &mut Reader<'_>, kind: ReadKind) -> Result<Self, JuteError> {
        let path = input.text()?.to_owned();
        let has_watch = input.bool()?;
        Ok(Self {
            kind,
            path,
            has_watch,
        })
    }

    /// Whether the answer depends on what is committed.
    #[must_use]
    pub const fn looks_at_state(&self) -> bool {
        !matches!(self.kind, ReadKind::Ping | ReadKind::WhoAmI)
    }

    /// The body of the answer.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`] if there is no such znode, also for what cannot be a path: that is what
    /// ZooKeeper says. [`ErrorCode::NoAuth`] if the session may not look at it.
    pub fn answer(&self, view: View<'_>) -> Result<Vec<u8>, ErrorCode> {
        let mut out = Writer::new();
        match self.kind {
            ReadKind::Ping => {}
            ReadKind::Exists => {
                let node = view.state.node(&self.path).ok_or(ErrorCode::NoNode)?;
                write_stat(&view.stat(&self.path, node), &mut out);
            }
            ReadKind::Data => self.data(view, &mut out)?,
            ReadKind::Children | ReadKind::ChildrenAndStat => self.children(view, &mut out)?,
            ReadKind::Access => self.access(view, &mut out)?,
            ReadKind::AllChildrenNumber => {
                view.check_read(&self.path)?;
                let below = view.state.all_children_number(&self.path);
                out.count(below.ok_or(ErrorCode::NoNode)?);
            }
            ReadKind::Ephemerals => self.ephemerals(view, &mut out),
            ReadKind::WhoAmI => who_am_i(view.ids, &mut out),
        }
        Ok(out.into_bytes())
    }

    /// The watch that it leaves when it is answered so.
    #[must_use]
    pub fn watch(&self, answer: Result<(), ErrorCode>) -> Option<WatchKind> {
        let is_left = match answer {
            Ok(()) => true,
            Err(code) => self.kind == ReadKind::Exists && code == ErrorCode::NoNode,
        };
        match self.kind {
            _ if !(self.has_watch && is_left) => None,
            ReadKind::Exists | ReadKind::Data => Some(WatchKind::Data),
            ReadKind::Children | ReadKind::ChildrenAndStat => Some(WatchKind::Children),
            ReadKind::Ping
            | ReadKind::Access
            | ReadKind::AllChildrenNumber
            | ReadKind::Ephemerals
            | ReadKind::WhoAmI => None,
        }
    }

    fn data(&self, view: View<'_>, out: &mut Writer) -> Result<(), ErrorCode> {
        view.check_read(&self.path)?;
        let node = view.state.node(&self.path).ok_or(ErrorCode::NoNode)?;
        if self.path == CONFIGURATION {
            out.text(view.members);
        } else {
            node.data.write(out);
        }
        write_stat(&view.stat(&self.path, node), out);
        Ok(())
    }

    fn children(&self, view: View<'_>, out: &mut Writer) -> Result<(), ErrorCode> {
        view.check_read(&self.path)?;
        let node = view.state.node(&self.path).ok_or(ErrorCode::NoNode)?;
        let names: Vec<&str> = view.state.children(&self.path).collect();
        out.count(names.len());
        for name in names {
            out.text(name);
        }
        if self.kind == ReadKind::ChildrenAndStat {
            write_stat(&node.stat, out);
        }
        Ok(())
    }

    /// Who may neither read nor administer a znode does not learn who may; only who administers it
    /// sees the hashes of passwords.
    fn access(&self, view: View<'_>, out: &mut Writer) -> Result<(), ErrorCode> {
        let node = view.state.node(&self.path).ok_or(ErrorCode::NoNode)?;
        let is_admin = view.may(&self.path, permission::ADMIN);
        if !is_admin {
            view.check_read(&self.path)?;
        }
        out.count(node.access.len());
        for Access {
            permissions,
            scheme,
            id,
        } in node.access.iter()
        {
            out.i32(*permissions).text(scheme);
            match id.split_once(':') {
                Some((user, _)) if scheme == "digest" && !is_admin => {
                    out.text(&format!("{user}:x"));
                }
                Some(_) | None => {
                    out.text(id);
                }
            }
        }
        write_stat(&node.stat, out);
        Ok(())
    }

    fn ephemerals(&self, view: View<'_>, out: &mut Writer) {
        let wants_all = self.path.is_empty() || self.path == "/";
        let found: Vec<&str> = view
            .state
            .ephemerals(view.session)
            .filter(|path| wants_all || path.starts_with(&self.path))
            .collect();
        out.count(found.len());
        for path in found {
            out.text(path);
        }
    }
}

impl View<'_> {
    fn stat(&self, path: &str, node: &Znode) -> Stat {
        let mut stat = node.stat;
        if path == CONFIGURATION {
            stat.data_length = i32::try_from(self.members.len()).unwrap_or(i32::MAX);
        }
        stat
    }

    fn check_read(&self, path: &str) -> Result<(), ErrorCode> {
        self.state.check_access(path, permission::READ, self.ids)
    }

    fn may(&self, path: &str, permission: i32) -> bool {
        self.state.check_access(path, permission, self.ids).is_ok()
    }
}

/// Each scheme with the name of the user; the hash of a password is not told.
fn who_am_i(ids: &[Identity], out: &mut Writer) {
    out.count(ids.len());
    for Identity { scheme, id } in ids {
        let user = match scheme.as_str() {
            "digest" => id.split(':').next().unwrap_or(id),
            _ => id,
        };
        out.text(scheme).text(user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: &str = "server.1=a:1:2:participant\nversion=0";

    fn read(kind: ReadKind, path: &str) -> Result<Vec<u8>, ErrorCode> {
        let read = Read {
            kind,
            path: path.to_owned(),
            has_watch: true,
        };
        read.answer(View {
            state: &State::new(),
            session: 1,
            ids: &[Identity {
                scheme: "digest".to_owned(),
                id: "u:hash".to_owned(),
            }],
            members: MEMBERS,
        })
    }

    #[test]
    fn each_read_has_its_shape() {
        assert_eq!(read(ReadKind::Ping, ""), Ok(Vec::new()));
        assert_eq!(read(ReadKind::Exists, "/zookeeper").unwrap().len(), 68);
        assert_eq!(read(ReadKind::Data, "/zookeeper").unwrap().len(), 4 + 68);
        let children = read(ReadKind::Children, "/zookeeper").unwrap();
        assert_eq!(children, b"\0\0\0\x02\0\0\0\x06config\0\0\0\x05quota");
        let both = read(ReadKind::ChildrenAndStat, "/zookeeper").unwrap();
        assert_eq!(both.len(), children.len() + 68);
        let access = read(ReadKind::Access, "/zookeeper").unwrap();
        assert_eq!(access.len(), 4 + 4 + 4 + 5 + 4 + 6 + 68);
        let below = read(ReadKind::AllChildrenNumber, "/").unwrap();
        assert_eq!(below, [0, 0, 0, 3]);
        assert_eq!(read(ReadKind::Ephemerals, "/").unwrap(), [0; 4]);
    }

    #[test]
    fn the_configuration_is_read_like_data() {
        let data = read(ReadKind::Data, CONFIGURATION).unwrap();
        assert_eq!(&data[4..4 + MEMBERS.len()], MEMBERS.as_bytes());
        let length = i32::try_from(MEMBERS.len()).unwrap().to_be_bytes();
        let stat = &data[4 + MEMBERS.len()..];
        assert_eq!(stat[52..56], length);
        assert_eq!(stat, read(ReadKind::Exists, CONFIGURATION).unwrap());
    }

    #[test]
    fn a_session_learns_its_users_but_no_hash() {
        let body = read(ReadKind::WhoAmI, "").unwrap();
        assert_eq!(body, b"\0\0\0\x01\0\0\0\x06digest\0\0\0\x01u");
    }

    #[test]
    fn a_missing_or_malformed_path_is_no_node() {
        assert_eq!(read(ReadKind::Data, "/none"), Err(ErrorCode::NoNode));
        assert_eq!(read(ReadKind::Exists, "nopath"), Err(ErrorCode::NoNode));
    }

    #[test]
    fn only_exists_leaves_a_watch_where_nothing_is() {
        let watch = |kind, answer| {
            let read = Read {
                kind,
                path: "/a".to_owned(),
                has_watch: true,
            };
            read.watch(answer)
        };
        let missing = Err(ErrorCode::NoNode);
        assert_eq!(watch(ReadKind::Exists, missing), Some(WatchKind::Data));
        assert_eq!(watch(ReadKind::Exists, Ok(())), Some(WatchKind::Data));
        assert_eq!(watch(ReadKind::Data, missing), None);
        assert_eq!(watch(ReadKind::Children, Ok(())), Some(WatchKind::Children));
        assert_eq!(watch(ReadKind::Access, Ok(())), None);
        assert_eq!(watch(ReadKind::Data, Err(ErrorCode::NoAuth)), None);
        let silent = Read {
            has_watch: false,
            kind: ReadKind::Data,
            path: "/a".to_owned(),
        };
        assert_eq!(silent.watch(Ok(())), None);
    }
}
