//! A client of the stub: one connection, one operation in flight.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::wire::{Answer, Question, Verb, Verdict};
use crate::dial::Dialer;
use crate::history::{Action, Value};
use crate::system::{Client, ConnectError, Reply};

/// One connection.
#[derive(Debug)]
pub(super) struct StubClient {
    stream: BufReader<TcpStream>,
}

impl StubClient {
    /// Connects without asking whether the node serves.
    pub(super) async fn dial(
        dialer: &Dialer,
        addr: SocketAddr,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        let connected = tokio::time::timeout(within, dialer.connect(addr)).await;
        let stream = connected.map_err(|_| ConnectError::Timeout(within))??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks and waits for the answer.
    pub(super) async fn ask(&mut self, question: &Question) -> std::io::Result<Answer> {
        self.stream.write_all(&question.encode()).await?;
        Answer::read(&mut self.stream).await
    }

    /// Asks, but not for longer than `within`.
    pub(super) async fn ask_within(
        &mut self,
        verb: Verb,
        within: Duration,
    ) -> Result<Answer, ConnectError> {
        let question = Question::bare(verb);
        let answer = tokio::time::timeout(within, self.ask(&question)).await;
        Ok(answer.map_err(|_| ConnectError::Timeout(within))??)
    }
}

fn question(key: &str, action: Action) -> Option<Question> {
    let (verb, old, new) = match action {
        Action::Read => (Verb::Read, 0, 0),
        Action::Write(value) => (Verb::Write, 0, value.0),
        Action::Cas { from, to } => (Verb::Cas, from.0, to.0),
        Action::Do(..) => return None,
    };
    Some(Question {
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
    match answer.verdict {
        Verdict::Done => Reply::ok(is_read.then_some(Value(answer.value)), version),
        Verdict::Absent if is_read => Reply::ok(Some(Value::NIL), None),
        Verdict::Absent => Reply::fail("no such key"),
        Verdict::Mismatch => Reply {
            seen: Some(Value(answer.value)),
            version,
            ..Reply::fail("value differs")
        },
        // Refused before it was looked at.
        Verdict::NotServing => Reply {
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
        match self.ask(&question).await {
            Ok(answer) => reply(&action, answer),
            Err(error) => Reply::lost(&action, error.to_string()),
        }
    }

    async fn create(&mut self, key: &str, value: Value) -> Reply {
        self.invoke(key, Action::Write(value)).await
    }

    async fn lost(&mut self) {
        if self.stream.buffer().is_empty() {
            drop(self.stream.get_ref().peek(&mut [0]).await);
        }
    }

    async fn ping(&mut self) -> Result<(), ConnectError> {
        match self.ask(&Question::bare(Verb::Hello)).await?.verdict {
            Verdict::NotServing => Err(ConnectError::NotServing),
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
        let held = |verdict| Answer {
            verdict,
            value: 5,
            version: 2,
        };
        let read = reply(&Action::Read, held(Verdict::Done));
        assert_eq!((read.outcome, read.seen), (Outcome::Ok, Some(Value(5))));
        let absent = reply(&Action::Read, held(Verdict::Absent));
        assert_eq!(absent.seen, Some(Value::NIL));
        let cas = Action::Cas {
            from: Value(1),
            to: Value(2),
        };
        let failed = reply(&cas, held(Verdict::Mismatch));
        assert_eq!(
            (failed.outcome, failed.seen),
            (Outcome::Fail, Some(Value(5)))
        );
        let refused = reply(&Action::Write(Value(1)), held(Verdict::NotServing));
        assert_eq!((refused.outcome, refused.broken), (Outcome::Fail, true));
    }
}
