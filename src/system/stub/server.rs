//! A node of the stub as a process: answers clients after exactly as long as it was told.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use super::Spec;
use super::ensemble::Ensemble;
use super::store::Store;
use super::trace::Trace;
use super::wire::{Answer, Code, Question, Verb};
use crate::alarm::{Alarm, Bell, Timer};

/// The process of one node.
#[derive(Debug)]
struct Server {
    spec: Spec,
    store: Rc<Store>,
    ensemble: Rc<Ensemble>,
    alarm: Rc<Alarm>,
    /// Answers given, to know which is a slow one.
    answers: Cell<u64>,
}

/// The process of a stub's node; its argument is all that it is told, as JSON.
#[must_use]
pub fn stub_main(arguments: &[OsString]) -> ExitCode {
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written there is nobody left to tell.
            let _ = writeln!(io::stderr(), "chaos: the stub failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[OsString]) -> io::Result<()> {
    let text = arguments.first().and_then(|text| text.to_str());
    let spec: Spec = serde_json::from_str(text.unwrap_or_default())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, run(spec))
}

async fn run(spec: Spec) -> io::Result<()> {
    let store = Rc::new(Store::open(&spec.store, !spec.peers.is_empty())?);
    let alarm = Alarm::new(Timer::new()?);
    spawn_local(Rc::clone(&alarm).ring());
    let trace = Trace::open(&spec.trace, spec.id)?;
    let clients = TcpListener::bind(spec.client).await?;
    let peers = TcpListener::bind(spec.listen).await?;
    let ensemble = Ensemble::new(spec.clone(), Rc::clone(&store), trace, Rc::clone(&alarm))?;
    let server = Rc::new(Server {
        spec,
        store,
        ensemble: Rc::clone(&ensemble),
        alarm,
        answers: Cell::new(0),
    });
    spawn_local(ensemble.run(peers));
    loop {
        let (stream, _) = clients.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(Rc::clone(&server).client(stream));
    }
}

impl Server {
    /// Answers one client, or many on one connection, until it is closed or the node stops
    /// serving.
    async fn client(self: Rc<Self>, mut stream: TcpStream) {
        let mut serving = self.ensemble.serving();
        let mut bell = Bell::new(Rc::clone(&self.alarm));
        let mut talk = Talk::default();
        loop {
            if talk.answer_due(&self).is_err() {
                return;
            }
            if !talk.out.is_empty() {
                if stream.write_all(&talk.out).await.is_err() {
                    return;
                }
                talk.out.clear();
            }
            let due = talk.waiting.keys().next().map(|(due, _)| *due);
            tokio::select! {
                biased;
                () = ended(&mut serving), if talk.admitted => return,
                () = bell.until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                read = stream.read_buf(&mut talk.incoming) => {
                    if !matches!(read, Ok(1..)) || talk.take_in(&self).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// What is answered without any delay; `None` for registers.
    async fn at_once(&self, question: &Question) -> io::Result<Option<Answer>> {
        Ok(Some(match question.verb {
            Verb::Status => self.ensemble.status()?,
            Verb::Vanish => self.ensemble.vanish().await,
            _ if !self.ensemble.is_serving() => Answer::of(Code::NotServing),
            Verb::Hello => Answer::of(Code::Done),
            Verb::Read | Verb::Write | Verb::Cas => return Ok(None),
        }))
    }

    /// How long the next answer takes.
    fn delay(&self) -> Option<Duration> {
        let answers = self.answers.get() + 1;
        self.answers.set(answers);
        let is_slow = self.spec.slow_every > 0 && answers.is_multiple_of(self.spec.slow_every);
        let delay = if is_slow {
            self.spec.slow
        } else {
            self.spec.answer
        };
        (delay.0 > 0).then(|| delay.into())
    }
}

/// What goes on on one connection.
#[derive(Debug, Default)]
struct Talk {
    /// The client has asked to be served.
    admitted: bool,
    incoming: Vec<u8>,
    out: Vec<u8>,
    /// Questions by the time at which they are answered.
    waiting: BTreeMap<(Instant, u64), Question>,
    /// Questions so far.
    asked: u64,
}

impl Talk {
    /// Reads all questions that have come whole.
    async fn take_in(&mut self, server: &Server) -> io::Result<()> {
        let came = Instant::now();
        let incoming = std::mem::take(&mut self.incoming);
        let mut rest = &incoming[..];
        while let Some(question) = Question::take(&mut rest)? {
            self.admitted |= question.verb == Verb::Hello;
            if let Some(answer) = server.at_once(&question).await? {
                answer.encode(question.tag, &mut self.out);
                continue;
            }
            match server.delay() {
                None => {
                    let answer = server.store.apply(&question)?;
                    answer.encode(question.tag, &mut self.out);
                }
                Some(delay) => {
                    self.asked += 1;
                    self.waiting.insert((came + delay, self.asked), question);
                }
            }
        }
        let read = incoming.len() - rest.len();
        self.incoming = incoming;
        self.incoming.drain(..read);
        Ok(())
    }

    /// Answers what is due.
    fn answer_due(&mut self, server: &Server) -> io::Result<()> {
        let now = Instant::now();
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= now
        {
            let question = first.remove();
            let answer = server.store.apply(&question)?;
            answer.encode(question.tag, &mut self.out);
        }
        Ok(())
    }
}

/// Waits until the node serves nobody any more.
async fn ended(serving: &mut watch::Receiver<bool>) {
    // An error means that the node is ending.
    drop(serving.wait_for(|serving| !serving).await);
}
