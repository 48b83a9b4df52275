//! A client of the stub: one operation in flight, on a connection of its own or on one that all
//! clients share.
//!
//! With connections of their own the kernel is most of the cost of an operation. Sharing one takes
//! it out, to see what the load itself can do.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::wire::{Answer, Code, Question, Verb};
use crate::dial::Dialer;
use crate::history::{Action, Value};
use crate::system::{Client, ConnectError, Reply};

/// One client.
#[derive(Debug)]
pub(super) struct StubClient(Line);

/// How it reaches its node.
#[derive(Debug)]
enum Line {
    Own { stream: TcpStream, bytes: Vec<u8> },
    Shared(Trunk),
}

/// A connection that many clients share. It ends with the last of them.
pub(super) type Trunk = mpsc::UnboundedSender<Asked>;

/// A question and who waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    question: Question,
    answer: oneshot::Sender<Answer>,
}

impl StubClient {
    /// Connects without asking whether the node serves.
    pub(super) async fn dial(
        dialer: &Dialer,
        addr: SocketAddr,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        let stream = connected(dialer, addr, within).await?;
        Ok(Self(Line::Own {
            stream,
            bytes: Vec::new(),
        }))
    }

    /// A client on a connection that others use as well.
    pub(super) const fn on(trunk: Trunk) -> Self {
        Self(Line::Shared(trunk))
    }

    /// Asks and waits for the answer.
    pub(super) async fn ask(&mut self, question: Question) -> io::Result<Answer> {
        match &mut self.0 {
            Line::Own { stream, bytes } => {
                bytes.clear();
                question.encode(bytes);
                stream.write_all(bytes).await?;
                bytes.clear();
                loop {
                    if let Some(answer) = Answer::take(&mut &bytes[..])? {
                        return Ok(answer);
                    }
                    if stream.read_buf(bytes).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
            Line::Shared(trunk) => {
                let gone = || io::Error::from(io::ErrorKind::ConnectionReset);
                let (answer, answered) = oneshot::channel();
                let asked = Asked { question, answer };
                trunk.send(asked).map_err(|_| gone())?;
                answered.await.map_err(|_| gone())
            }
        }
    }

    /// Asks, but not for longer than `within`.
    pub(super) async fn ask_within(
        &mut self,
        verb: Verb,
        within: Duration,
    ) -> Result<Answer, ConnectError> {
        let answer = tokio::time::timeout(within, self.ask(Question::bare(verb))).await;
        Ok(answer.map_err(|_| ConnectError::Timeout(within))??)
    }
}

async fn connected(
    dialer: &Dialer,
    addr: SocketAddr,
    within: Duration,
) -> Result<TcpStream, ConnectError> {
    let connected = tokio::time::timeout(within, dialer.connect(addr)).await;
    let stream = connected.map_err(|_| ConnectError::Timeout(within))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Opens a connection for many clients.
pub(super) async fn trunk(
    dialer: &Dialer,
    addr: SocketAddr,
    within: Duration,
) -> Result<Trunk, ConnectError> {
    let stream = connected(dialer, addr, within).await?;
    let (trunk, questions) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // Those who wait learn of the end by their own channels.
        drop(carry(stream, questions).await);
    });
    Ok(trunk)
}

/// Carries questions and answers until the connection ends or nobody is left: all that come at
/// once go in one packet.
async fn carry(
    mut stream: TcpStream,
    mut questions: mpsc::UnboundedReceiver<Asked>,
) -> io::Result<()> {
    let mut waiting = BTreeMap::new();
    let (mut batch, mut out, mut incoming) = (Vec::new(), Vec::new(), Vec::new());
    let mut tag = 0_u32;
    loop {
        tokio::select! {
            biased;
            came = questions.recv_many(&mut batch, BATCH) => if came == 0 {
                return Ok(());
            },
            read = stream.read_buf(&mut incoming) => if read? == 0 {
                return Ok(());
            },
        }
        for Asked { question, answer } in batch.drain(..) {
            tag = tag.wrapping_add(1);
            Question { tag, ..question }.encode(&mut out);
            waiting.insert(tag, answer);
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
            out.clear();
        }
        let mut rest = &incoming[..];
        while let Some(answer) = Answer::take(&mut rest)? {
            if let Some(who) = waiting.remove(&answer.tag) {
                // Who has given up does not want it.
                let _ = who.send(answer);
            }
        }
        let read = incoming.len() - rest.len();
        incoming.drain(..read);
    }
}

/// So many questions go in one packet at most.
const BATCH: usize = 1_024;

fn question(key: &str, action: Action) -> Option<Question> {
    let (verb, old, new) = match action {
        Action::Read => (Verb::Read, 0, 0),
        Action::Write(value) => (Verb::Write, 0, value.0),
        Action::Cas { from, to } => (Verb::Cas, from.0, to.0),
        Action::Do(..) => return None,
    };
    Some(Question {
        tag: 0,
        verb,
        key: key.as_bytes().to_vec(),
        old,
        new,
    })
}

/// What an answer means for the operation.
fn reply(action: &Action, answer: Answer) -> Reply {
    let version = Some(answer.version);
    let is_read = !action.is_update();
    match answer.code {
        Code::Done => Reply::ok(is_read.then_some(Value(answer.value)), version),
        Code::Absent if is_read => Reply::ok(Some(Value::NIL), None),
        Code::Absent => Reply::fail("no such key"),
        Code::Mismatch => Reply {
            seen: Some(Value(answer.value)),
            version,
            ..Reply::fail("value differs")
        },
        // Refused before it was looked at.
        Code::NotServing => Reply {
            broken: true,
            ..Reply::fail("not serving")
        },
    }
}

#[async_trait]
impl Client for StubClient {
    async fn invoke(&mut self, key: &str, action: Action) -> Reply {
        let Some(question) = question(key, action) else {
            return Reply::fail("the stub has registers only");
        };
        match self.ask(question).await {
            Ok(answer) => reply(&action, answer),
            Err(error) => Reply::lost(&action, error.to_string()),
        }
    }

    async fn create(&mut self, key: &str, value: Value) -> Reply {
        self.invoke(key, Action::Write(value)).await
    }

    async fn lost(&mut self) {
        match &self.0 {
            Line::Own { stream, .. } => drop(stream.peek(&mut [0]).await),
            Line::Shared(trunk) => trunk.closed().await,
        }
    }

    async fn ping(&mut self) -> Result<(), ConnectError> {
        match self.ask(Question::bare(Verb::Hello)).await?.code {
            Code::NotServing => Err(ConnectError::NotServing),
            _ => Ok(()),
        }
    }

    async fn close(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;

    #[test]
    fn an_answer_says_what_became_of_the_operation() {
        let held = |code| Answer {
            tag: 0,
            code,
            value: 5,
            version: 2,
        };
        let read = reply(&Action::Read, held(Code::Done));
        assert_eq!((read.outcome, read.seen), (Outcome::Ok, Some(Value(5))));
        let absent = reply(&Action::Read, held(Code::Absent));
        assert_eq!(absent.seen, Some(Value::NIL));
        let cas = Action::Cas {
            from: Value(1),
            to: Value(2),
        };
        let failed = reply(&cas, held(Code::Mismatch));
        assert_eq!(
            (failed.outcome, failed.seen),
            (Outcome::Fail, Some(Value(5)))
        );
        let refused = reply(&Action::Write(Value(1)), held(Code::NotServing));
        assert_eq!((refused.outcome, refused.broken), (Outcome::Fail, true));
    }
}
