//! A thin ZooKeeper client: one connection, one session, one operation in flight, no retries.
//!
//! A register is the znode `/<key>` holding a decimal number. A linear read is one `getData` where
//! the server promises linear reads, else `sync` and `getData` on the same connection. A CAS is a
//! linear read, then a `setData` conditional on the version read; when that fails with a version
//! conflict, a further read tells the value that was in the way.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::wire::{FRAME_MAX, Fields, OpCode, PING_XID, Request, code};
use crate::dial::Dialer;
use crate::history::{Action, Value};
use crate::system::{Client, ConnectError, Reply};

/// One connection with its session.
#[derive(Debug)]
pub struct ZkClient {
    /// Buffered, so that an answer costs one read of the socket.
    stream: BufReader<TcpStream>,
    xid: i32,
    synced_reads: bool,
}

/// What a session asks of the server.
#[derive(Debug, Clone, Copy)]
pub struct SessionOptions {
    /// The session ends when the server has not heard of it for this long.
    pub timeout: Duration,
    /// Send `sync` before each read.
    pub synced_reads: bool,
}

/// The connection is lost; the text says how.
type Lost = String;

/// A reply: error code and body.
struct Answer {
    code: i32,
    body: Vec<u8>,
}

impl ZkClient {
    /// Connects and opens a new session, all within `within`.
    ///
    /// # Errors
    /// If nobody serves at `addr` in time.
    pub async fn connect(
        addr: SocketAddr,
        within: Duration,
        options: SessionOptions,
    ) -> Result<Self, ConnectError> {
        Self::connect_by(&Dialer::default(), addr, within, options).await
    }

    /// As [`ZkClient::connect`], dialled by `dialer`.
    ///
    /// # Errors
    /// If nobody serves at `addr` in time.
    pub async fn connect_by(
        dialer: &Dialer,
        addr: SocketAddr,
        within: Duration,
        options: SessionOptions,
    ) -> Result<Self, ConnectError> {
        tokio::time::timeout(within, Self::open(dialer, addr, options))
            .await
            .unwrap_or(Err(ConnectError::Timeout(within)))
    }

    async fn open(
        dialer: &Dialer,
        addr: SocketAddr,
        options: SessionOptions,
    ) -> Result<Self, ConnectError> {
        let stream = dialer.connect(addr).await?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream: BufReader::new(stream),
            xid: 0,
            synced_reads: options.synced_reads,
        };
        let timeout = i32::try_from(options.timeout.as_millis()).unwrap_or(i32::MAX);
        let hello = Request::bare()
            .int(0)
            .long(0)
            .int(timeout)
            .long(0)
            .buffer(&[0; 16]);
        client.stream.write_all(&hello.bool(false).finish()).await?;
        let Ok(frame) = client.read_frame().await else {
            return Err(ConnectError::NotServing);
        };
        let mut fields = Fields(&frame);
        let session = fields
            .int()
            .and_then(|_| fields.int())
            .and_then(|_| fields.long());
        match session {
            Some(0) => Err(ConnectError::NotServing),
            Some(_) => Ok(client),
            None => Err(ConnectError::Protocol("short connect response".to_owned())),
        }
    }

    async fn read_frame(&mut self) -> Result<Vec<u8>, Lost> {
        let mut head = [0; 4];
        self.stream
            .read_exact(&mut head)
            .await
            .map_err(|e| e.to_string())?;
        let len = u32::from_be_bytes(head) as usize;
        if len > FRAME_MAX {
            return Err(format!("a frame of {len} bytes"));
        }
        let mut body = vec![0; len];
        self.stream
            .read_exact(&mut body)
            .await
            .map_err(|e| e.to_string())?;
        Ok(body)
    }

    /// Sends one request and waits for its answer.
    async fn call(&mut self, xid: i32, request: Request) -> Result<Answer, Lost> {
        self.stream
            .write_all(&request.finish())
            .await
            .map_err(|e| e.to_string())?;
        loop {
            let frame = self.read_frame().await?;
            let mut fields = Fields(&frame);
            let header = (fields.int(), fields.long(), fields.int());
            let (Some(got), Some(_zxid), Some(code)) = header else {
                return Err("a short reply header".to_owned());
            };
            if got == xid {
                return Ok(Answer {
                    code,
                    body: fields.0.to_vec(),
                });
            }
            if got != PING_XID {
                return Err(format!("an answer to request {got} instead of {xid}"));
            }
        }
    }

    fn next_xid(&mut self) -> i32 {
        self.xid += 1;
        self.xid
    }

    /// Reads a register: its value and version, or `None` if there is no such node.
    async fn get(&mut self, key: &str) -> Result<Result<(Value, i32), i32>, Lost> {
        let path = path_of(key);
        if self.synced_reads {
            let xid = self.next_xid();
            let sync = Request::new(xid, OpCode::Sync).buffer(path.as_bytes());
            let answer = self.call(xid, sync).await?;
            if answer.code != code::OK {
                return Ok(Err(answer.code));
            }
        }
        let xid = self.next_xid();
        let request = Request::new(xid, OpCode::GetData)
            .buffer(path.as_bytes())
            .bool(false);
        let answer = self.call(xid, request).await?;
        if answer.code != code::OK {
            return Ok(Err(answer.code));
        }
        let mut fields = Fields(&answer.body);
        let value = fields.buffer().and_then(parse_value);
        match (value, fields.stat_version()) {
            (Some(value), Some(version)) => Ok(Ok((value, version))),
            _ => Err(format!("no number in {path}")),
        }
    }

    /// Writes a register if its version is `version` (−1 = any); the new version.
    async fn set(
        &mut self,
        key: &str,
        value: Value,
        version: i32,
    ) -> Result<Result<i32, i32>, Lost> {
        let xid = self.next_xid();
        let request = Request::new(xid, OpCode::SetData)
            .buffer(path_of(key).as_bytes())
            .buffer(value.0.to_string().as_bytes())
            .int(version);
        let answer = self.call(xid, request).await?;
        if answer.code != code::OK {
            return Ok(Err(answer.code));
        }
        let version = Fields(&answer.body).stat_version();
        version.map(Ok).ok_or_else(|| "a short stat".to_owned())
    }

    /// Replaces the data of the znode `/<key>`, for measuring: no register, no version.
    ///
    /// # Errors
    /// If the server refuses or the connection is lost.
    pub async fn put(&mut self, key: &str, data: &[u8]) -> Result<(), ConnectError> {
        let xid = self.next_xid();
        let request = Request::new(xid, OpCode::SetData)
            .buffer(path_of(key).as_bytes())
            .buffer(data)
            .int(-1);
        self.plain(xid, request).await
    }

    /// Makes the znode `/<key>` with this data, unless it is there already.
    ///
    /// # Errors
    /// If the server refuses or the connection is lost.
    pub async fn make(&mut self, key: &str, data: &[u8]) -> Result<(), ConnectError> {
        let xid = self.next_xid();
        let request = create_request(xid, key, data);
        self.plain(xid, request).await
    }

    async fn plain(&mut self, xid: i32, request: Request) -> Result<(), ConnectError> {
        match self.call(xid, request).await {
            Ok(answer) if matches!(answer.code, code::OK | code::NODE_EXISTS) => Ok(()),
            Ok(answer) => Err(ConnectError::Protocol(format!("error {}", answer.code))),
            Err(lost) => Err(ConnectError::Protocol(lost)),
        }
    }

    async fn read(&mut self, key: &str) -> Result<Reply, Lost> {
        Ok(match self.get(key).await? {
            Ok((value, version)) => Reply::ok(Some(value), Some(i64::from(version))),
            Err(code::NO_NODE) => Reply::ok(Some(Value::NIL), None),
            Err(other) => Reply::lost(&Action::Read, format!("error {other}")),
        })
    }

    async fn write(&mut self, key: &str, value: Value) -> Result<Reply, Lost> {
        Ok(match self.set(key, value, -1).await? {
            Ok(version) => Reply::ok(None, Some(i64::from(version))),
            Err(code::NO_NODE) => Reply::fail("no node"),
            Err(other) => Reply::lost(&Action::Write(value), format!("error {other}")),
        })
    }

    async fn cas(&mut self, key: &str, from: Value, to: Value) -> Result<Reply, Lost> {
        let version = match self.get(key).await {
            Ok(Ok((value, version))) if value == from => version,
            Ok(Ok((value, version))) => return Ok(mismatch(value, version)),
            Ok(Err(other)) => return Ok(Reply::fail(&format!("read failed: error {other}"))),
            // Nothing was written yet: the operation certainly did not happen.
            Err(lost) => {
                return Ok(Reply {
                    broken: true,
                    ..Reply::fail(&format!("read failed: {lost}"))
                });
            }
        };
        match self.set(key, to, version).await? {
            Ok(version) => Ok(Reply::ok(None, Some(i64::from(version)))),
            Err(code::BAD_VERSION) => Ok(match self.get(key).await {
                Ok(Ok((value, version))) => mismatch(value, version),
                Ok(Err(_)) => Reply::fail("version conflict"),
                Err(_) => Reply {
                    broken: true,
                    ..Reply::fail("version conflict")
                },
            }),
            Err(code::NO_NODE) => Ok(Reply::fail("no node")),
            Err(other) => Ok(Reply::lost(
                &Action::Cas { from, to },
                format!("error {other}"),
            )),
        }
    }
}

#[async_trait]
impl Client for ZkClient {
    async fn invoke(&mut self, key: &str, action: Action) -> Reply {
        let done = match action {
            Action::Read => self.read(key).await,
            Action::Write(value) => self.write(key, value).await,
            Action::Cas { from, to } => self.cas(key, from, to).await,
            Action::Do(verb, _) => Ok(Reply::fail(&format!("registers cannot {}", verb.word()))),
        };
        done.unwrap_or_else(|lost| Reply::lost(&action, lost))
    }

    async fn create(&mut self, key: &str, value: Value) -> Reply {
        let action = Action::Write(value);
        let xid = self.next_xid();
        let request = create_request(xid, key, value.0.to_string().as_bytes());
        match self.call(xid, request).await {
            Ok(Answer { code: code::OK, .. }) => Reply::ok(None, Some(0)),
            Ok(Answer {
                code: code::NODE_EXISTS,
                ..
            }) => self.invoke(key, action).await,
            Ok(Answer { code, .. }) => Reply::lost(&action, format!("error {code}")),
            Err(lost) => Reply::lost(&action, lost),
        }
    }

    async fn lost(&mut self) {
        // Nothing is in flight, so the end of the stream is all that can come; anything else
        // would be an answer to nobody, after which no reply can be trusted either.
        if self.stream.buffer().is_empty() {
            drop(self.stream.get_ref().peek(&mut [0]).await);
        }
    }

    async fn ping(&mut self) -> Result<(), ConnectError> {
        let request = Request::new(PING_XID, OpCode::Ping);
        self.call(PING_XID, request)
            .await
            .map(|_| ())
            .map_err(ConnectError::Protocol)
    }

    async fn close(&mut self) {
        let xid = self.next_xid();
        // The session ends by its timeout if this does not arrive.
        drop(self.call(xid, Request::new(xid, OpCode::Close)).await);
    }
}

fn mismatch(seen: Value, version: i32) -> Reply {
    Reply {
        seen: Some(seen),
        version: Some(i64::from(version)),
        ..Reply::fail("value differs")
    }
}

/// Creates a persistent znode that everybody may do everything with.
fn create_request(xid: i32, key: &str, data: &[u8]) -> Request {
    Request::new(xid, OpCode::Create)
        .buffer(path_of(key).as_bytes())
        .buffer(data)
        .int(1)
        .int(31)
        .buffer(b"world")
        .buffer(b"anyone")
        .int(0)
}

fn path_of(key: &str) -> String {
    format!("/{key}")
}

fn parse_value(bytes: &[u8]) -> Option<Value> {
    std::str::from_utf8(bytes).ok()?.parse().ok().map(Value)
}
