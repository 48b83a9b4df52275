//! A client that tells answers from events.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chaos_node::jute::{Reader, Writer};

use crate::requests::{Request, Shape};

/// A connection with an open session.
pub(crate) struct Connection {
    stream: TcpStream,
    xid: i32,
    session: i64,
    password: Vec<u8>,
}

/// An answer, and the events that came before it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) zxid: u64,
    pub(crate) error: i32,
    pub(crate) body: Vec<u8>,
    /// The kind and the path of each.
    pub(crate) events: Vec<(i32, String)>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::attach(address, 0, &[0; 16])
    }

    /// The same session on another connection.
    pub(crate) fn moved(&self, address: SocketAddr) -> Self {
        let moved = Self::attach(address, self.session, &self.password);
        assert_eq!(moved.session, self.session, "the session goes on");
        Self {
            xid: self.xid,
            ..moved
        }
    }

    /// Makes a request and waits for its answer.
    pub(crate) fn call(&mut self, request: &Request) -> Told {
        let xid = match request.shape {
            Shape::Ping => -2,
            Shape::Authenticate => -4,
            Shape::SetWatches => -8,
            _ => {
                self.xid += 1;
                self.xid
            }
        };
        let mut out = Writer::new();
        out.i32(xid).i32(request.operation).raw(&request.body);
        self.send(out);
        let mut told = Told::default();
        loop {
            let frame = self.receive();
            let mut input = Reader::new(&frame);
            let from = input.i32().expect("a header");
            let zxid = input.u64().expect("a header");
            let error = input.i32().expect("a header");
            if from != -1 {
                assert_eq!(from, xid, "answers come in order");
                let body = frame[16..].to_vec();
                return Told {
                    zxid,
                    error,
                    body,
                    ..told
                };
            }
            let kind = input.i32().expect("an event");
            assert_eq!(input.i32(), Ok(3), "the client is connected");
            let path = input.text().expect("an event").to_owned();
            told.events.push((kind, path));
        }
    }

    fn attach(address: SocketAddr, session: i64, password: &[u8]) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("an open socket");
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).expect("an open socket");
        let mut connection = Self {
            stream,
            xid: 0,
            session,
            password: Vec::new(),
        };
        let mut out = Writer::new();
        out.i32(0).u64(0).i32(30_000).i64(session).buffer(password);
        out.bool(false);
        connection.send(out);
        let greeting = connection.receive();
        let mut input = Reader::new(&greeting[8..]);
        connection.session = input.i64().expect("a greeting");
        connection.password = input.buffer().expect("a greeting").to_vec();
        connection
    }

    fn send(&mut self, out: Writer) {
        let sent = self.stream.write_all(&out.into_frame());
        sent.expect("the server reads");
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        let read = self.stream.read_exact(&mut length);
        read.expect("the server answers");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        let read = self.stream.read_exact(&mut frame);
        read.expect("the server answers");
        frame
    }
}
