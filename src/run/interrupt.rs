//! SIGINT and SIGTERM: the first ends the steps, the second ends the run at once.

use std::io;
use std::rc::Rc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Listens for both signals.
pub(super) struct Interrupts {
    int: Signal,
    term: Signal,
    first: Rc<watch::Sender<Option<u8>>>,
}

/// Resolves when the first signal came.
#[derive(Clone)]
pub(super) struct First(watch::Receiver<Option<u8>>);

impl Interrupts {
    /// From now on the signals do not end the process by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            first: Rc::new(watch::Sender::new(None)),
        })
    }

    pub(super) fn first(&self) -> First {
        First(self.first.subscribe())
    }

    /// Passes the first signal on, and returns at the second.
    pub(super) async fn second(&mut self) {
        let number = self.next().await;
        self.first.send_replace(Some(number));
        self.next().await;
    }

    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.int.recv() => SIGINT,
            _ = self.term.recv() => SIGTERM,
        }
    }
}

impl First {
    /// Waits for the first signal: its number.
    pub(super) async fn came(&mut self) -> u8 {
        match self.0.wait_for(Option::is_some).await {
            Ok(number) => number.unwrap_or(SIGINT),
            // The sender lives as long as the run: without it nothing can interrupt any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// The first signal, if it has come.
    pub(super) fn seen(&self) -> Option<u8> {
        *self.0.borrow()
    }
}

const SIGINT: u8 = 2;
const SIGTERM: u8 = 15;
