//! What each write does to the tree, and when it is refused: in ZooKeeper's order of checks.

use std::sync::Arc;

use super::access::{Access, Identity, allows, permission, resolve};
use super::data::Data;
use super::error::ErrorCode;
use super::lifetime::Lifetime;
use super::outcome::{Change, ChangeKind, Outcome};
use super::path;
use super::stat::Stat;
use super::tree::{Tree, Znode, is_reserved};
use super::txn::{CreateMode, TxnOp};

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) zxid: u64,
    pub(super) time_ms: i64,
    pub(super) session: i64,
    pub(super) ids: &'a [Identity],
}

/// What is to be created.
struct NewZnode<'a> {
    path: &'a str,
    data: &'a Data,
    access: &'a [Access],
    mode: CreateMode,
    sequential: bool,
}

impl Tree {
    /// Does one write, or nothing.
    pub(super) fn write(
        &mut self,
        asked: Asked<'_>,
        op: &TxnOp,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, ErrorCode> {
        match op {
            TxnOp::Create {
                path,
                data,
                access,
                mode,
                sequential,
            } => {
                let new = NewZnode {
                    path,
                    data,
                    access,
                    mode: *mode,
                    sequential: *sequential,
                };
                self.create(asked, &new, changes)
            }
            TxnOp::Delete { path, version } => self.delete(asked, path, *version, changes),
            TxnOp::SetData {
                path,
                data,
                version,
            } => self.replace_data(asked, (path, data), *version, changes),
            TxnOp::SetAccess {
                path,
                access,
                version,
            } => self.replace_access(asked, (path, access), *version),
            TxnOp::Check { path, version } => {
                let node = self.find(asked, path, permission::READ)?;
                check_version(node.stat.version, *version)?;
                Ok(Outcome::Checked)
            }
            TxnOp::OpenSession { .. }
            | TxnOp::MoveSession
            | TxnOp::CloseSession
            | TxnOp::Touch { .. }
            | TxnOp::Multi { .. }
            | TxnOp::Reap { .. } => Err(ErrorCode::Unimplemented),
        }
    }

    /// Does all of these, or nothing.
    pub(super) fn write_all(
        &mut self,
        asked: Asked<'_>,
        ops: &[TxnOp],
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let told = changes.len();
        let mut outcomes = Vec::with_capacity(ops.len());
        self.begin();
        for op in ops {
            let done = match op {
                TxnOp::SetAccess { .. } => Err(ErrorCode::Unimplemented),
                _ => self.write(asked, op, changes),
            };
            match done {
                Ok(outcome) => outcomes.push(outcome),
                Err(code) => {
                    self.undo();
                    changes.truncate(told);
                    let mut codes = vec![0; outcomes.len()];
                    codes.push(code.code());
                    codes.resize(ops.len(), ErrorCode::RuntimeInconsistency.code());
                    return Outcome::MultiRefused(codes);
                }
            }
        }
        self.keep();
        Outcome::Multi(outcomes)
    }

    /// Deletes the ephemeral znodes of a session.
    pub(super) fn end_session(&mut self, zxid: u64, session: i64, changes: &mut Vec<Change>) {
        let from = (session, String::new());
        let owned = self.ephemerals().range(from..);
        let owned = owned.take_while(|(owner, _)| *owner == session);
        let paths: Vec<String> = owned.map(|(_, path)| path.clone()).collect();
        for path in paths {
            self.take_out(zxid, &path, changes);
        }
    }

    /// Deletes a container or TTL znode that is due for it.
    pub(super) fn reap(
        &mut self,
        zxid: u64,
        time_ms: i64,
        path: &str,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let due = self.get(path).and_then(Znode::due_after_ms);
        if due.is_some_and(|due| time_ms > due) {
            self.take_out(zxid, path, changes);
        }
        Outcome::Reaped
    }

    fn create(
        &mut self,
        asked: Asked<'_>,
        new: &NewZnode<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, ErrorCode> {
        let owner = new.mode.owner(asked.session)?;
        let above = path::above(new.path).ok_or(ErrorCode::BadArguments)?;
        let access = resolve(new.access, asked.ids)?;
        let parent = self.get(above).ok_or(ErrorCode::NoNode)?;
        if !allows(&parent.access, permission::CREATE, asked.ids) {
            return Err(ErrorCode::NoAuth);
        }
        let mut path = new.path.to_owned();
        if new.sequential {
            path.push_str(&format!("{:010}", parent.children_created));
        }
        if !path::is_valid_path(&path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.get(&path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if let Lifetime::Ephemeral(_) = Lifetime::of(parent.stat.ephemeral_owner) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let stat = Stat {
            czxid: asked.zxid,
            mzxid: asked.zxid,
            pzxid: asked.zxid,
            ctime: asked.time_ms,
            mtime: asked.time_ms,
            ephemeral_owner: owner,
            ..Stat::default()
        };
        let node = Znode::new(new.data.clone(), stat, self.lists.share(access));
        let stat = node.stat;
        changes.push(ChangeKind::Created.of(&path, &node.access));
        self.insert(&path, node);
        self.count_child(asked.zxid, above, 1, changes);
        Ok(Outcome::Created { path, stat })
    }

    fn delete(
        &mut self,
        asked: Asked<'_>,
        path: &str,
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, ErrorCode> {
        let above = path::above(path).ok_or(ErrorCode::BadArguments)?;
        if is_reserved(path) {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.get(above).ok_or(ErrorCode::NoNode)?;
        if !allows(&parent.access, permission::DELETE, asked.ids) {
            return Err(ErrorCode::NoAuth);
        }
        let node = self.get(path).ok_or(ErrorCode::NoNode)?;
        check_version(node.stat.version, version)?;
        if node.stat.num_children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.take_out(asked.zxid, path, changes);
        Ok(Outcome::Deleted)
    }

    fn replace_data(
        &mut self,
        asked: Asked<'_>,
        (path, data): (&str, &Data),
        version: i32,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, ErrorCode> {
        let node = self.find(asked, path, permission::WRITE)?;
        check_version(node.stat.version, version)?;
        let stat = self.change(path, |node| {
            node.set_data(data.clone());
            node.stat.mzxid = asked.zxid;
            node.stat.mtime = asked.time_ms;
            node.stat.version = node.stat.version.wrapping_add(1);
            changes.push(ChangeKind::DataChanged.of(path, &node.access));
        });
        Ok(Outcome::DataSet(stat))
    }

    fn replace_access(
        &mut self,
        asked: Asked<'_>,
        (path, access): (&str, &[Access]),
        version: i32,
    ) -> Result<Outcome, ErrorCode> {
        if !path::is_valid_path(path) {
            return Err(ErrorCode::BadArguments);
        }
        let access = resolve(access, asked.ids)?;
        let node = self.find(asked, path, permission::ADMIN)?;
        check_version(node.stat.aversion, version)?;
        let access = self.lists.share(access);
        let stat = self.change(path, |node| {
            node.access = Arc::clone(&access);
            node.stat.aversion = node.stat.aversion.wrapping_add(1);
        });
        Ok(Outcome::AccessSet(stat))
    }

    /// The znode at this path, if whoever asks may do this with it.
    fn find(&self, asked: Asked<'_>, path: &str, permission: i32) -> Result<&Znode, ErrorCode> {
        if !path::is_valid_path(path) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.get(path).ok_or(ErrorCode::NoNode)?;
        if allows(&node.access, permission, asked.ids) {
            Ok(node)
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    /// Removes a znode without children that is there.
    fn take_out(&mut self, zxid: u64, path: &str, changes: &mut Vec<Change>) {
        if let Some(node) = self.get(path) {
            changes.push(ChangeKind::Deleted.of(path, &node.access));
        }
        self.remove(path);
        if let Some(above) = path::above(path) {
            self.count_child(zxid, above, -1, changes);
        }
    }

    /// Counts a child that was created (1) or deleted (−1) in its parent, which is there.
    fn count_child(&mut self, zxid: u64, above: &str, change: i32, changes: &mut Vec<Change>) {
        self.change(above, |parent| {
            parent.count_child(zxid, change);
            changes.push(ChangeKind::ChildrenChanged.of(above, &parent.access));
        });
    }
}

const fn check_version(found: i32, wanted: i32) -> Result<(), ErrorCode> {
    if wanted == -1 || wanted == found {
        Ok(())
    } else {
        Err(ErrorCode::BadVersion)
    }
}
