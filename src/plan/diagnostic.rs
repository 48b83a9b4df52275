//! Mistakes in a plan, each with its place, as a person reads them.
//!
//! *Diagnostic*: one error or warning: what is wrong, where, and what to write instead. All
//! diagnostics of a plan are shown together, in the order of the text.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// More than this many are counted, not shown: whoever has so many starts with the first.
const SHOWN: usize = 20;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The plan cannot be run.
    Error,
    /// The plan can be run, but probably does not do what is meant.
    Warning,
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// A few words at the underline; may be empty.
    pub label: String,
    /// A second place with its few words.
    pub also: Option<(Range<usize>, String)>,
    /// What to write instead.
    pub help: Option<String>,
}

/// All diagnostics of one plan, with the text that they point into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// The plan's file as given.
    path: String,
    /// The plan; empty if it was too large to be looked at.
    text: String,
    list: Vec<Diagnostic>,
}

impl Diagnostic {
    pub(super) fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span,
            label: String::new(),
            also: None,
            help: None,
        }
    }

    pub(super) fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Diagnostics {
    /// Sorts by place; the same mistake at the same place is kept once.
    pub(super) fn new(path: &str, text: &str, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.severity));
        list.dedup();
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            list,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, in the order of the text.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// The line and column of a diagnostic, both from 1.
    #[must_use]
    pub fn place(&self, diagnostic: &Diagnostic) -> (usize, usize) {
        place(&self.text, diagnostic.span.start)
    }

    /// The text for a terminal or a log: each with its excerpt, no newline at the end.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let shown = self.list.iter().take(SHOWN);
        let mut parts: Vec<String> = shown
            .map(|diagnostic| renderer.render(&[self.group(diagnostic)]))
            .collect();
        if let Some(more) = self.list.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            parts.push(format!("… and {more} more"));
        }
        parts.join("\n\n")
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(diagnostic.message.as_str());
        let mut group = if self.text.trim().is_empty() {
            title.element(Origin::path(self.path.as_str()))
        } else {
            let mut primary = AnnotationKind::Primary.span(self.clip(&diagnostic.span));
            if !diagnostic.label.is_empty() {
                primary = primary.label(diagnostic.label.as_str());
            }
            let mut snippet = Snippet::source(self.text.as_str())
                .path(self.path.as_str())
                .annotation(primary);
            if let Some((span, label)) = &diagnostic.also {
                let also = AnnotationKind::Context.span(self.clip(span));
                snippet = snippet.annotation(also.label(label.as_str()));
            }
            title.element(snippet)
        };
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }

    /// Keeps a span inside the text and on one line, at least one character wide where possible.
    fn clip(&self, span: &Range<usize>) -> Range<usize> {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let line = self.text[start..].lines().next().unwrap_or_default();
        let mut end = span.end.clamp(start, start + line.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        if end == start {
            end += line.chars().next().map_or(0, char::len_utf8);
        }
        start..end
    }
}

/// As [`Diagnostics::render`] without colour.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// Line and column of a byte, both from 1.
pub(super) fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The nearest of `names`, if one is near enough to be meant.
pub(super) fn nearest<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong = wrong.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(wrong.len()).div_ceil(3))
        .min()
        .map(|(_, name)| name)
}

/// `did you mean `x`?`, or all names.
pub(super) fn did_you_mean(wrong: &str, names: &[&str], what: &str) -> String {
    nearest(wrong, names.iter().copied()).map_or_else(
        || format!("{what}: {}", names.join(", ")),
        |name| format!("did you mean `{name}`?"),
    )
}
