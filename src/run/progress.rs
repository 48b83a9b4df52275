//! Where a run tells how it goes on, while it goes on.

/// Receives lines for people.
pub trait Progress {
    /// One or more finished lines.
    fn line(&self, text: &str);

    /// What is going on just now; replaces the one before where the output can do that.
    fn now(&self, text: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn line(&self, _text: &str) {}

    fn now(&self, _text: &str) {}
}
