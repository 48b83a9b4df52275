//! Errors as people see them: what went wrong, what caused it, what to do, and the exit code.

use std::error::Error;
use std::io::Write;

use crate::exit::Exit;

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    /// Begins in lower case: stands behind `error: `. May have several lines.
    pub(super) message: String,
    /// From the nearest to the deepest.
    pub(super) causes: Vec<String>,
    /// What to type or change.
    pub(super) help: Option<String>,
    /// How the command ends.
    pub(super) exit: Exit,
}

impl Failure {
    /// A failure without causes.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            help: None,
            exit,
        }
    }

    /// A failure told by an error and its sources.
    pub(super) fn of(exit: Exit, error: &dyn Error) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self {
            message: error.to_string(),
            causes,
            help: None,
            exit,
        }
    }

    /// Adds what to do.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Failure {
    /// What went wrong, what caused it, what to do; a line each.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.message.trim_end());
        for cause in &self.causes {
            text += &format!("caused by: {cause}\n");
        }
        if let Some(help) = &self.help {
            text += &format!("help: {help}\n");
        }
        text
    }
}

/// Prints a failure to stderr.
pub(super) fn print(failure: &Failure) {
    let text = format!("error: {}", failure.text());
    // Nobody is left to be told if stderr is closed.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

/// Writes a line of progress to stderr.
pub(super) fn note(text: &str) {
    // Nobody is left to be told if stderr is closed.
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

/// Writes a result to stdout. A closed pipe is not an error of ours.
pub(super) fn output(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    );
}
