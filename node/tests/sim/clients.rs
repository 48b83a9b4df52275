//! Model clients: they open, move, lose and forget sessions, hold ephemerals, and watch.
//!
//! Each checks what it is told (I11): answers never go back in time and come in the order of the
//! requests, a watch fires once per time it was set, and always before an answer that shows what
//! changed; only a session that was really closed is called expired. Time passes on the way neither
//! to nor from a client: it is the order that matters here.

use std::collections::{BTreeMap, VecDeque};

use chaos_node::jute::{Reader, Writer};
use chaos_node::protocol::zxid::ConnId;

use super::rng::Rng;
use super::witness::Witness;
use super::world::World;

/// All model clients.
#[derive(Debug)]
pub(crate) struct Clients {
    clients: Vec<Client>,
    /// Whose connection it is.
    by_conn: BTreeMap<ConnId, usize>,
    next_conn: u64,
    /// How often what happened.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct Client {
    chance: Rng,
    node: usize,
    conn: Option<ConnId>,
    /// 0 before the first, and when the last has ended.
    session: i64,
    password: Vec<u8>,
    connected: bool,
    xid: i32,
    seen: u64,
    waiting: VecDeque<(i32, Request)>,
    /// Watches of one znode, with its last change (`None`: it was not there).
    armed: BTreeMap<String, Option<i64>>,
}

/// What is asked and must be understood when it is answered.
#[derive(Debug, Clone)]
enum Request {
    Get(String),
    Exists(String),
    /// Of this znode, if it succeeds.
    Change(String),
    Close,
}

impl Clients {
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let client = |index: usize| Client {
            chance: Rng::stream(seed, 5000 + index as u64),
            node: 0,
            conn: None,
            session: 0,
            password: vec![0; 16],
            connected: false,
            xid: 0,
            seen: 0,
            waiting: VecDeque::new(),
            armed: BTreeMap::new(),
        };
        Self {
            clients: (0..count).map(client).collect(),
            by_conn: BTreeMap::new(),
            next_conn: 0,
            counts: BTreeMap::new(),
        }
    }

    /// A connection ended.
    pub(crate) fn lose(&mut self, conn: ConnId) {
        if let Some(client) = self.by_conn.remove(&conn) {
            self.clients[client].disconnect();
        }
    }

    /// All connections to a node ended.
    pub(crate) fn lose_all(&mut self, node: usize) {
        let here = |client: &Client| client.node == node;
        let conns = self.clients.iter().filter(|client| here(client));
        for conn in conns.filter_map(|client| client.conn).collect::<Vec<_>>() {
            self.lose(conn);
        }
    }

    /// Frames arrived for a client.
    pub(crate) fn receive(
        &mut self,
        conn: ConnId,
        frames: &[u8],
        witness: &Witness,
    ) -> Result<(), String> {
        let Some(&client) = self.by_conn.get(&conn) else {
            return Ok(());
        };
        let mut rest = frames;
        while !rest.is_empty() {
            let (length, behind) = rest.split_at(4);
            let length = length.iter().fold(0, |n, &byte| n << 8 | usize::from(byte));
            let (body, behind) = behind.split_at(length);
            rest = behind;
            let client = &mut self.clients[client];
            let told = client
                .understand(body, witness)
                .map_err(|text| format!("I11: client of session {:#x}: {text}", client.session))?;
            *self.counts.entry(told).or_insert(0) += 1;
        }
        Ok(())
    }
}

impl Client {
    fn disconnect(&mut self) {
        self.conn = None;
        self.connected = false;
        self.waiting.clear();
        self.armed.clear();
    }

    /// Takes what it is told; says what that was.
    fn understand(&mut self, body: &[u8], witness: &Witness) -> Result<&'static str, String> {
        let mut input = Reader::new(body);
        if !self.connected {
            return self.greeted(&mut input, witness);
        }
        let broken = |error| format!("an answer is cut off: {error}");
        let xid = input.i32().map_err(broken)?;
        let zxid = input.u64().map_err(broken)?;
        let code = input.i32().map_err(broken)?;
        if xid == -1 {
            let _kind = input.i32().map_err(broken)?;
            let _state = input.i32().map_err(broken)?;
            let path = input.text().map_err(broken)?;
            return match self.armed.remove(path) {
                Some(_) => Ok("client event"),
                None => Err(format!(
                    "a watch of {path} fires that was not set, or twice"
                )),
            };
        }
        match self.waiting.pop_front() {
            Some((expected, request)) if expected == xid => {
                if zxid < self.seen {
                    return Err(format!("{zxid:#x} is answered after {:#x}", self.seen));
                }
                self.seen = zxid;
                self.answered(request, code, &mut input)?;
                Ok(if code == 0 {
                    "client done"
                } else {
                    "client refused"
                })
            }
            other => Err(format!("request {xid} is answered instead of {other:?}")),
        }
    }

    /// The answer to the connect request.
    fn greeted(
        &mut self,
        input: &mut Reader<'_>,
        witness: &Witness,
    ) -> Result<&'static str, String> {
        let broken = |error| format!("a greeting is cut off: {error}");
        input.i32().map_err(broken)?;
        let timeout = input.i32().map_err(broken)?;
        let session = input.i64().map_err(broken)?;
        if timeout > 0 {
            if self.session != 0 && self.session != session {
                return Err(format!("session {session:#x} is given instead"));
            }
            let told = if self.session == 0 {
                "client session opened"
            } else {
                "client session moved"
            };
            self.session = session;
            self.password = input.buffer().map_err(broken)?.to_vec();
            self.connected = true;
            return Ok(told);
        }
        let was_opened = witness.opened.contains(&self.session);
        if was_opened && !witness.closed.contains_key(&self.session) {
            return Err("it is called expired, but nothing closed it".to_owned());
        }
        self.session = 0;
        Ok("client session expired")
    }

    fn answered(
        &mut self,
        request: Request,
        code: i32,
        input: &mut Reader<'_>,
    ) -> Result<(), String> {
        let (path, found) = match request {
            Request::Close => {
                self.session = 0;
                return Ok(());
            }
            Request::Change(path) => {
                return match self.armed.get(&path) {
                    Some(_) if code == 0 => Err(format!("{path} is changed before its event")),
                    _ => Ok(()),
                };
            }
            Request::Get(path) => {
                let data = if code == 0 {
                    input.buffer().err()
                } else {
                    None
                };
                if let Some(error) = data {
                    return Err(format!("an answer is cut off: {error}"));
                }
                (path, code == 0)
            }
            Request::Exists(path) => {
                // It leaves a watch where nothing is, too.
                if code == NO_NODE {
                    self.check_unchanged(&path, None)?;
                    self.armed.insert(path, None);
                    return Ok(());
                }
                (path, code == 0)
            }
        };
        if !found {
            return if code == NO_NODE {
                self.check_unchanged(&path, None)
            } else {
                Ok(())
            };
        }
        let broken = |error| format!("an answer is cut off: {error}");
        input.i64().map_err(broken)?;
        let changed = Some(input.i64().map_err(broken)?);
        self.check_unchanged(&path, changed)?;
        self.armed.insert(path, changed);
        Ok(())
    }

    /// What an answer shows of a znode that is watched must not be news.
    fn check_unchanged(&self, path: &str, changed: Option<i64>) -> Result<(), String> {
        match self.armed.get(path) {
            Some(known) if *known != changed => Err(format!(
                "an answer shows {path} of {changed:x?}, but no event told of it after {known:x?}"
            )),
            _ => Ok(()),
        }
    }

    /// The next request.
    fn next(&mut self) -> Vec<u8> {
        self.xid += 1;
        let path = format!("/k{}", self.chance.below(8));
        let mut out = Writer::new();
        out.i32(self.xid);
        let request = match self.chance.below(20) {
            0..=4 => {
                out.i32(1).text(&path).buffer(b"e").count(1).i32(31);
                let ephemeral = i32::from(self.chance.chance(800_000));
                out.text("world").text("anyone").i32(ephemeral);
                Request::Change(path)
            }
            5..=6 => {
                out.i32(2).text(&path).i32(-1);
                Request::Change(path)
            }
            7..=9 => {
                out.i32(5).text(&path).buffer(b"v").i32(-1);
                Request::Change(path)
            }
            10..=14 => {
                out.i32(4).text(&path).bool(true);
                Request::Get(path)
            }
            15..=18 => {
                out.i32(3).text(&path).bool(true);
                Request::Exists(path)
            }
            _ => {
                out.i32(-11);
                Request::Close
            }
        };
        self.waiting.push_back((self.xid, request));
        out.into_bytes()
    }
}

impl World {
    /// A model client does something.
    pub(crate) fn client(&mut self, index: usize) -> Result<(), String> {
        let index = index % self.clients.clients.len();
        let client = &mut self.clients.clients[index];
        match client.conn {
            None => self.connect(index),
            Some(conn) if client.chance.chance(60_000) => {
                // It goes away without a word, and perhaps comes back elsewhere.
                let node = client.node;
                self.clients.lose(conn);
                if let Some(replica) = &mut self.nodes[node].replica {
                    replica.closed(conn);
                }
                Ok(())
            }
            Some(conn) if client.connected => {
                let node = client.node;
                if self.nodes[node].paused {
                    return Ok(());
                }
                let body = client.next();
                self.frame(node, conn, &body)
            }
            Some(_) => Ok(()),
        }
    }

    fn connect(&mut self, index: usize) -> Result<(), String> {
        let node = {
            let count = self.nodes.len();
            self.clients.clients[index].chance.index(count)
        };
        let now = self.clock_of(node);
        let state = &mut self.nodes[node];
        let Some(replica) = state.replica.as_mut().filter(|_| !state.paused) else {
            return Ok(());
        };
        if state.serving.is_none() {
            return Ok(());
        }
        self.clients.next_conn += 1;
        let conn = ConnId(self.clients.next_conn);
        replica.opened(conn, now);
        let client = &mut self.clients.clients[index];
        client.node = node;
        client.conn = Some(conn);
        self.clients.by_conn.insert(conn, index);
        let mut out = Writer::new();
        out.i32(0).u64(client.seen).i32(100).i64(client.session);
        out.buffer(&client.password).bool(false);
        self.frame(node, conn, &out.into_bytes())
    }

    fn frame(&mut self, node: usize, conn: ConnId, body: &[u8]) -> Result<(), String> {
        let now = self.clock_of(node);
        if let Some(replica) = &mut self.nodes[node].replica {
            replica.frame(conn, body, now);
        }
        self.gather(node)?;
        self.do_asked(node)
    }
}

const NO_NODE: i32 = -101;
