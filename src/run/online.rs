//! The check while the run lasts: a thread that looks at operations behind the recorder, and a task
//! that tells what it found.
//!
//! *Alarm*: the first violation of a plan that acts on violations. The load never waits: if the
//! check cannot follow, it is given up, and the check at the end decides as always.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::background::give_way;
use crate::check::online::{Bounds, Online, Violation};
use crate::history::{EventKind, Operation, Recorded, Tap, Value, Values};
use crate::model::Call;
use crate::plan::OnViolation;

use super::stage::Stage;

/// The thread and what it finds.
pub(super) struct Watch {
    thread: JoinHandle<()>,
    found: mpsc::UnboundedReceiver<Found>,
}

/// What the thread has to tell.
enum Found {
    Violation(Alarm),
    /// It has seen everything; the keys that it gave up, with reasons.
    End(Vec<(String, String)>),
}

/// A violation, for people.
#[derive(Debug, Clone)]
pub(super) struct Alarm {
    pub(super) key: String,
    pub(super) sentence: String,
    /// The operations that prove it.
    pub(super) proof: Vec<String>,
    /// The last operations of the key.
    pub(super) recent: Vec<String>,
}

/// Starts the thread; what goes into the tap is checked.
pub(super) fn start() -> io::Result<(Tap, Watch)> {
    let (operations, received) = sync_channel(QUEUE);
    let (tell, found) = mpsc::unbounded_channel();
    let fell_behind = Arc::new(AtomicBool::new(false));
    let lost = Arc::clone(&fell_behind);
    let thread = std::thread::Builder::new()
        .name("online".to_owned())
        .spawn(move || {
            give_way();
            check(&received, &tell, &fell_behind);
        })?;
    let mut operations: Option<SyncSender<Recorded>> = Some(operations);
    let tap = move |recorded| {
        let Some(sender) = &operations else {
            return;
        };
        if let Err(TrySendError::Full(_)) = sender.try_send(recorded) {
            lost.store(true, Ordering::Relaxed);
            operations = None;
        }
    };
    Ok((Box::new(tap), Watch { thread, found }))
}

fn check(
    received: &Receiver<Recorded>,
    tell: &mpsc::UnboundedSender<Found>,
    fell_behind: &AtomicBool,
) {
    let mut online = Online::new(Value::NIL, Bounds::default());
    let mut recent: VecDeque<Recorded> = VecDeque::new();
    let report = |online: &mut Online, recent: &VecDeque<Recorded>| {
        while let Some(violation) = online.settle() {
            // Nobody listens any more only when the run is being given up.
            drop(tell.send(Found::Violation(alarm(&violation, recent))));
        }
    };
    while let Ok(recorded) = received.recv() {
        match &recorded {
            Recorded::Invoke(invocation) => online.invoke(invocation),
            Recorded::Complete(completion) => online.complete(completion),
        }
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(recorded);
        report(&mut online, &recent);
    }
    let mut given_up: Vec<(String, String)> = Vec::new();
    if fell_behind.load(Ordering::Relaxed) {
        let reason = format!("it was {QUEUE} events behind the load");
        given_up.push(("all keys".to_owned(), reason));
    } else {
        online.finish();
        report(&mut online, &recent);
    }
    let keys = online.given_up().iter();
    given_up.extend(keys.map(|(key, reason)| (format!("key {key}"), reason.clone())));
    drop(tell.send(Found::End(given_up)));
}

fn alarm(violation: &Violation, recent: &VecDeque<Recorded>) -> Alarm {
    let of_key = recent.iter().rev().filter_map(|recorded| match recorded {
        Recorded::Invoke(begin) if *begin.key == *violation.key => Some(format!(
            "{:>12.6} s  {:>9}  {} begins at {}",
            begin.time.as_secs_f64(),
            begin.process,
            begin.action.word(),
            begin.node,
        )),
        Recorded::Complete(end) if *end.key == *violation.key => {
            let call = Call {
                process: end.process,
                action: end.action,
                outcome: end.outcome,
                seen: end.seen,
            };
            let error = end.error.as_ref();
            Some(format!(
                "{:>12.6} s  {:>9}  {}{}",
                end.time.as_secs_f64(),
                end.process,
                call.describe(&Values::default()),
                error.map_or_else(String::new, |error| format!(": {error}")),
            ))
        }
        _ => None,
    });
    let mut last: Vec<String> = of_key.take(RECENT_SHOWN).collect();
    last.reverse();
    Alarm {
        key: violation.key.clone(),
        sentence: violation.sentence.clone(),
        proof: violation.operations.iter().map(told).collect(),
        recent: last,
    }
}

/// `process 3's read → 5 at n2, from 1.203 s to 1.204 s`.
fn told(operation: &Operation) -> String {
    let node = operation.node;
    format!(
        "process {}'s {}{}, from {:.6} s{}",
        operation.process,
        Call::from(operation).describe(&Values::default()),
        node.map_or_else(String::new, |node| format!(" at {node}")),
        operation.invoked.as_secs_f64(),
        match operation.completed {
            crate::clock::Nanos::MAX => " on".to_owned(),
            completed => format!(" to {:.6} s", completed.as_secs_f64()),
        },
    )
}

/// Records and shows what the check finds, until it has seen everything.
pub(super) async fn follow(stage: Rc<Stage>, mut watch: Watch, reaction: OnViolation) {
    while let Some(found) = watch.found.recv().await {
        match found {
            Found::Violation(alarm) => {
                stage.record(EventKind::Violation {
                    key: alarm.key.clone(),
                    operations: alarm.proof.clone(),
                    sentence: alarm.sentence.clone(),
                });
                stage.tell("violation", &format!("{}: {}", alarm.key, alarm.sentence));
                if reaction != OnViolation::Continue {
                    stage.alarm.send_if_modified(|first| {
                        let is_first = first.is_none();
                        first.get_or_insert(alarm);
                        is_first
                    });
                }
            }
            Found::End(given_up) => {
                if let Some((what, reason)) = given_up.first() {
                    let more = match given_up.len() - 1 {
                        0 => String::new(),
                        more => format!(" (and {more} more)"),
                    };
                    stage.warn(&format!(
                        "the check during the run gave up {what}: {reason}{more}; the check at the \
                         end looks at everything"
                    ));
                }
            }
        }
    }
    // It has told its end, so it is over.
    drop(watch.thread.join());
}

/// Waits for the first violation on which the plan acts.
pub(super) async fn alarmed(stage: &Stage) -> Alarm {
    let mut alarms = stage.alarm.subscribe();
    match alarms.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(alarm)) => alarm.clone(),
        // The stage holds the sender: without it nobody waits.
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

/// Events that may wait for the check: several seconds of the quickest load.
const QUEUE: usize = 1 << 18;

/// So many events are remembered for the scene, of all keys.
const RECENT: usize = 20_000;

/// So many of the violated key are shown.
const RECENT_SHOWN: usize = 400;
