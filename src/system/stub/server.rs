//! A node of the stub as a process: answers clients after exactly as long as it was told.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use super::Spec;
use super::ensemble::Ensemble;
use super::store::Store;
use super::trace::Trace;
use super::wire::{Answer, Question, Verb, Verdict};
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

/// The process of a stub's node; its argument is its [`Spec`] as JSON.
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
    /// Answers one client until it leaves, or until the node stops serving.
    async fn client(self: Rc<Self>, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut serving = self.ensemble.serving();
        let mut bell = Bell::new(Rc::clone(&self.alarm));
        let mut admitted = false;
        loop {
            let question = tokio::select! {
                biased;
                question = Question::read(&mut stream) => question,
                () = ended(&mut serving), if admitted => return,
            };
            let Ok(question) = question else {
                return;
            };
            let came = Instant::now();
            if question.verb == Verb::Hello {
                admitted = true;
            }
            let answer = match question.verb {
                Verb::Status => self.ensemble.status(),
                Verb::Vanish => Ok(self.ensemble.vanish().await),
                _ if !*serving.borrow() => Ok(Answer::of(Verdict::NotServing)),
                Verb::Hello => Ok(Answer::of(Verdict::Done)),
                Verb::Read | Verb::Write | Verb::Cas => {
                    if let Some(delay) = self.delay() {
                        tokio::select! {
                            biased;
                            () = bell.until(came + delay) => {}
                            () = ended(&mut serving) => return,
                        }
                    }
                    self.store.apply(&question)
                }
            };
            let Ok(answer) = answer else {
                return;
            };
            if stream.write_all(&answer.encode()).await.is_err() {
                return;
            }
        }
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

/// Waits until the node serves nobody any more.
async fn ended(serving: &mut watch::Receiver<bool>) {
    // An error means that the node is ending.
    drop(serving.wait_for(|serving| !serving).await);
}
