//! From the frames of clients to the work that they make.

use super::{Moment, Sessions};
use crate::client::{ConnectRequest, Proof, Read, Reply, Request, Write, expired_response, parse};
use crate::protocol::zxid::ConnId;
use crate::server::session::Session;
use crate::server::sessions::Effect;
use crate::server::work::{Attach, Ready, When, Work, WriteKind};
use crate::state::{ErrorCode, State, Txn, TxnOp};

impl Sessions {
    /// A frame arrived on a connection of a node that serves.
    pub(in crate::server) fn frame(
        &mut self,
        conn: ConnId,
        body: &[u8],
        now: Moment,
        state: &State,
    ) {
        let Some(session) = self.connections.get_mut(&conn) else {
            return;
        };
        session.traffic.received += 1;
        let is_understood = match session.id {
            None => self.connect(conn, body, now, state),
            Some(id) => {
                self.activity.heard(id, now.monotonic_ns);
                self.request(conn, body, now)
            }
        };
        if is_understood {
            self.advance(conn, now, state);
        } else {
            self.finish(conn);
        }
    }

    /// Proposes the writes that nothing holds back any more.
    pub(super) fn propose_deferred(&mut self, conn: ConnId, now: Moment) {
        while let Some(session) = self.connections.get_mut(&conn)
            && let Some(op) = session.start_deferred(self.last_request + 1)
        {
            self.propose_for_client(conn, op, now);
        }
    }

    fn connect(&mut self, conn: ConnId, body: &[u8], now: Moment, state: &State) -> bool {
        let Ok(asked) = ConnectRequest::parse(body) else {
            return false;
        };
        // This client has seen more than this node: what it reads here would go back in time.
        if asked.last_zxid_seen > state.applied() {
            return false;
        }
        let is_new = asked.session == 0;
        let session = if is_new {
            self.next_number()
        } else {
            asked.session
        };
        let password = self.rules.secret.password(session);
        if !is_new && asked.password != password {
            let frames = expired_response(asked.has_read_only);
            self.effects.push(Effect::Send { conn, frames });
            return false;
        }
        let attach = Attach {
            session,
            password,
            has_read_only: asked.has_read_only,
        };
        let timeout_ms = self.rules.session_timeout(asked.timeout_ms);
        let (op, write) = if is_new {
            let write = WriteKind::Open { attach, timeout_ms };
            (TxnOp::OpenSession { timeout_ms }, write)
        } else {
            (TxnOp::MoveSession, WriteKind::Move { attach })
        };
        if let Some(entry) = self.connections.get_mut(&conn) {
            entry.id = Some(session);
        }
        self.activity.heard(session, now.monotonic_ns);
        let request = self.propose_for_client(conn, op, now);
        self.push(conn, Work::Write { request, write }, now);
        true
    }

    fn request(&mut self, conn: ConnId, body: &[u8], now: Moment) -> bool {
        let Ok((xid, request)) = parse(body) else {
            return false;
        };
        let work = match request {
            Request::Read(read) => {
                let when = self.when_to_read(conn, std::slice::from_ref(&read));
                Work::Read { xid, read, when }
            }
            Request::MultiRead(reads) => {
                let when = self.when_to_read(conn, &reads);
                Work::MultiRead { xid, reads, when }
            }
            Request::Sync { path } => {
                let when = self.ask(conn);
                Work::Sync { xid, path, when }
            }
            Request::Write(asked) => self.write(conn, xid, asked, now),
            Request::Watch(watch) => Work::Watch { xid, watch },
            Request::Authenticate(proof) => self.authenticate(conn, xid, &proof),
            Request::Reconfigure(asked) => {
                let ids = self.connections.get(&conn).map_or(&[][..], |it| &it.ids);
                let code = asked.refusal(ids);
                Work::Refuse { xid, code }
            }
            Request::Refused(code) => Work::Refuse { xid, code },
            Request::Unknown => Work::RefuseUnknown { xid },
        };
        self.push(conn, work, now);
        true
    }

    fn write(&mut self, conn: ConnId, xid: i32, asked: Write, now: Moment) -> Work {
        let Write { op, form } = asked;
        let write = if op == TxnOp::CloseSession {
            WriteKind::Close { xid }
        } else {
            WriteKind::Plain { xid, form }
        };
        if self.connections.get(&conn).is_some_and(Session::defers) {
            Work::Deferred { op, write }
        } else {
            let request = self.propose_for_client(conn, op, now);
            Work::Write { request, write }
        }
    }

    /// Whoever a client is from now on counts for everything that it asks from now on.
    fn authenticate(&mut self, conn: ConnId, xid: i32, proof: &Proof) -> Work {
        let ids = proof.identities(self.rules.super_digest.as_deref());
        let session = self.connections.get_mut(&conn);
        let is_proved = session
            .zip(ids)
            .is_some_and(|(session, ids)| session.authenticated(ids));
        let done = if is_proved {
            Ok(())
        } else {
            Err(ErrorCode::AuthFailed)
        };
        Work::Done(Ready {
            is_last: !is_proved,
            ..Ready::from(&Reply::empty(xid, 0, done))
        })
    }

    fn when_to_read(&mut self, conn: ConnId, reads: &[Read]) -> When {
        if self.rules.linear_reads && reads.iter().any(Read::looks_at_state) {
            self.ask(conn)
        } else {
            When::Now
        }
    }

    fn push(&mut self, conn: ConnId, work: Work, now: Moment) {
        if let Some(entry) = self.connections.get_mut(&conn) {
            entry.push(now.monotonic_ns, work);
        }
    }

    fn propose_for_client(&mut self, conn: ConnId, op: TxnOp, now: Moment) -> u64 {
        let client = self.connections.get(&conn);
        let request = self.propose(Txn {
            time_ms: now.wall_ms,
            session: client.and_then(|client| client.id).unwrap_or(0),
            connection: client.map_or(0, |client| client.link),
            ids: client.map_or_else(Vec::new, |client| client.ids.clone()),
            op,
        });
        self.waiting.insert(request, conn);
        request
    }

    fn ask(&mut self, conn: ConnId) -> When {
        self.last_request += 1;
        let request = self.last_request;
        self.waiting.insert(request, conn);
        self.effects.push(Effect::ReadIndex { request });
        When::Asked(request)
    }
}
