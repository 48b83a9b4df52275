//! Progress on stderr: plain lines, and on a terminal one redrawn line for what goes on now.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::Progress;

/// Shows a run to whoever watches stderr.
pub(super) struct Shown {
    bar: RefCell<Option<ProgressBar>>,
}

impl Shown {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self {
            bar: RefCell::new(bar),
        }
    }

    /// Takes the redrawn line away.
    pub(super) fn finish(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Shown {
    fn line(&self, text: &str) {
        match &*self.bar.borrow() {
            Some(bar) => bar.println(text),
            // Nobody is left to be told if stderr is closed.
            None => drop(writeln!(std::io::stderr().lock(), "{text}")),
        }
    }

    fn now(&self, text: &str) {
        if let Some(bar) = &*self.bar.borrow() {
            bar.set_message(text.to_owned());
        }
    }
}
