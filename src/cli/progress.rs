//! Progress on stderr: plain lines, and on a terminal one redrawn line for what goes on now. Where
//! there is no terminal a line tells every half minute of silence that the run still goes on.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::Progress;

/// Shows a run to whoever watches stderr.
pub(super) struct Shown {
    output: RefCell<Option<Output>>,
}

enum Output {
    Redrawn(ProgressBar),
    Plain(Pulse),
}

/// A thread that speaks up when nothing else did.
struct Pulse {
    news: Sender<News>,
    thread: JoinHandle<()>,
}

/// What the thread is told.
enum News {
    /// Something was printed.
    Line,
    /// What goes on now.
    Now(String),
}

/// How long nothing is said at most.
const SILENCE: Duration = Duration::from_secs(30);

impl Shown {
    pub(super) fn new() -> Self {
        let output = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(200));
            Output::Redrawn(bar)
        } else {
            Output::Plain(Pulse::start(SILENCE, print))
        };
        Self {
            output: RefCell::new(Some(output)),
        }
    }

    /// Takes the redrawn line away, and ends the thread.
    pub(super) fn finish(&self) {
        match self.output.borrow_mut().take() {
            Some(Output::Redrawn(bar)) => bar.finish_and_clear(),
            Some(Output::Plain(pulse)) => pulse.finish(),
            None => {}
        }
    }
}

impl Progress for Shown {
    fn line(&self, text: &str) {
        match &*self.output.borrow() {
            Some(Output::Redrawn(bar)) => bar.println(text),
            Some(Output::Plain(pulse)) => {
                print(text);
                pulse.tell(News::Line);
            }
            None => print(text),
        }
    }

    fn now(&self, text: &str) {
        match &*self.output.borrow() {
            Some(Output::Redrawn(bar)) => bar.set_message(text.to_owned()),
            Some(Output::Plain(pulse)) => pulse.tell(News::Now(text.to_owned())),
            None => {}
        }
    }
}

impl Pulse {
    fn start(silence: Duration, say: impl Fn(&str) + Send + 'static) -> Self {
        let (news, heard) = channel();
        Self {
            news,
            thread: std::thread::spawn(move || pulse(&heard, silence, &say)),
        }
    }

    /// A thread that is gone needs no news.
    fn tell(&self, news: News) {
        drop(self.news.send(news));
    }

    fn finish(self) {
        drop(self.news);
        drop(self.thread.join());
    }
}

/// Says what goes on whenever nothing was said for so long, until nobody can send any more.
fn pulse(heard: &Receiver<News>, silence: Duration, say: &impl Fn(&str)) {
    let began = Instant::now();
    let (mut last, mut now) = (began, String::new());
    loop {
        match heard.recv_timeout((last + silence).saturating_duration_since(Instant::now())) {
            Ok(News::Line) => last = Instant::now(),
            Ok(News::Now(text)) => now = text,
            Err(RecvTimeoutError::Timeout) => {
                last = Instant::now();
                let seconds = (last - began).as_secs();
                say(&format!("  … after {seconds} s still: {now}"));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Nobody is left to be told if stderr is closed.
fn print(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_broken_by_what_goes_on() {
        let (said, heard) = channel();
        let pulse = Pulse::start(Duration::from_millis(20), move |text| {
            drop(said.send(text.to_owned()));
        });
        pulse.tell(News::Now("T3  wait".to_owned()));
        let first = heard.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(first.ends_with("still: T3  wait"), "{first}");
        assert!(
            heard.recv_timeout(Duration::from_secs(20)).is_ok(),
            "and again"
        );
        pulse.finish();
        assert!(heard.iter().all(|line| line.starts_with("  … after ")));
    }

    #[test]
    fn nothing_is_said_where_lines_are_printed_anyway() {
        let (said, heard) = channel();
        let pulse = Pulse::start(Duration::from_secs(3600), move |text| {
            drop(said.send(text.to_owned()));
        });
        for _ in 0..10 {
            pulse.tell(News::Line);
        }
        pulse.finish();
        assert_eq!(heard.iter().count(), 0);
    }
}
