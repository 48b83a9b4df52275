//! A small client: frames in, frames out, no retries.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection with an open session.
pub(crate) struct Client {
    stream: TcpStream,
    xid: i32,
    /// The body of the connect response.
    pub(crate) greeting: Vec<u8>,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) xid: i32,
    pub(crate) zxid: i64,
    pub(crate) error: i32,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Opens a new session with a timeout of 6 s.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::attach(address, 0, 0, &[0; 16])
    }

    /// Opens or continues a session.
    pub(crate) fn attach(
        address: SocketAddr,
        last_zxid: i64,
        session: i64,
        password: &[u8],
    ) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend_from_slice(&0_i32.to_be_bytes());
        body.extend_from_slice(&last_zxid.to_be_bytes());
        body.extend_from_slice(&6_000_i32.to_be_bytes());
        body.extend_from_slice(&session.to_be_bytes());
        body.extend_from_slice(&buffer(password));
        body.push(0);
        let mut client = Self::open(address)?;
        client.send(&body)?;
        client.greeting = client.receive()?;
        Ok(client)
    }

    /// Opens a connection and says nothing.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            xid: 0,
            greeting: Vec::new(),
        })
    }

    /// The session and its password.
    pub(crate) fn identity(&self) -> (i64, Vec<u8>) {
        (
            number(&self.greeting[8..16]),
            self.greeting[20..36].to_vec(),
        )
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn request(&mut self, operation: i32, body: &[u8]) -> io::Result<()> {
        self.xid += 1;
        let mut frame = self.xid.to_be_bytes().to_vec();
        frame.extend_from_slice(&operation.to_be_bytes());
        frame.extend_from_slice(body);
        self.send(&frame)
    }

    /// Waits for the next answer.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let frame = self.receive()?;
        Ok(Answer {
            xid: i32::try_from(number(&frame[..4])).expect("4 bytes"),
            zxid: number(&frame[4..12]),
            error: i32::try_from(number(&frame[12..16])).expect("4 bytes"),
            body: frame[16..].to_vec(),
        })
    }

    pub(crate) fn call(&mut self, operation: i32, body: &[u8]) -> io::Result<Answer> {
        self.request(operation, body)?;
        self.answer()
    }

    pub(crate) fn create(&mut self, path: &str, data: &[u8]) -> io::Result<Answer> {
        self.call(1, &create_body(path, data, 0))
    }

    pub(crate) fn delete(&mut self, path: &str) -> io::Result<Answer> {
        let mut body = buffer(path.as_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        self.call(2, &body)
    }

    pub(crate) fn set(&mut self, path: &str, data: &[u8], version: i32) -> io::Result<Answer> {
        self.call(5, &set_body(path, data, version))
    }

    /// The data at this path as of a moment after the call began, wherever the client is connected.
    pub(crate) fn synced_data(&mut self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let synced = self.call(9, &buffer(path.as_bytes()))?;
        assert_eq!(synced.error, 0, "a sync does not fail");
        let mut body = buffer(path.as_bytes());
        body.push(0);
        let answer = self.call(4, &body)?;
        Ok((answer.error == 0).then(|| {
            let length = usize::try_from(number(&answer.body[..4])).expect("a length");
            answer.body[4..4 + length].to_vec()
        }))
    }

    /// Sends a frame as it is.
    pub(crate) fn send(&mut self, body: &[u8]) -> io::Result<()> {
        self.stream.write_all(&buffer(body))
    }

    /// Waits for a frame.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("64 bits")];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    /// Whether the connection ends without another byte.
    pub(crate) fn is_ended(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// What a four-letter word is answered.
pub(crate) fn word(address: SocketAddr, word: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(word.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub(crate) fn buffer(bytes: &[u8]) -> Vec<u8> {
    let length = i32::try_from(bytes.len()).expect("small");
    let mut buffer = length.to_be_bytes().to_vec();
    buffer.extend_from_slice(bytes);
    buffer
}

pub(crate) fn create_body(path: &str, data: &[u8], flags: i32) -> Vec<u8> {
    let mut body = buffer(path.as_bytes());
    body.extend_from_slice(&buffer(data));
    body.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 31]);
    body.extend_from_slice(&buffer(b"world"));
    body.extend_from_slice(&buffer(b"anyone"));
    body.extend_from_slice(&flags.to_be_bytes());
    body
}

pub(crate) fn set_body(path: &str, data: &[u8], version: i32) -> Vec<u8> {
    let mut body = buffer(path.as_bytes());
    body.extend_from_slice(&buffer(data));
    body.extend_from_slice(&version.to_be_bytes());
    body
}

/// A big-endian number of 4 or 8 bytes.
pub(crate) fn number(bytes: &[u8]) -> i64 {
    match bytes.len() {
        4 => i64::from(i32::from_be_bytes(bytes.try_into().expect("4 bytes"))),
        _ => i64::from_be_bytes(bytes.try_into().expect("8 bytes")),
    }
}

/// Long enough for a busy machine; a test never waits so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(10);
