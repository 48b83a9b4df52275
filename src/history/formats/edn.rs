//! Reading EDN, the notation of Jepsen's and Porcupine's files: one form at a time, with its line.
//!
//! *Form*: one value as written. A tagged literal is read as its content, but a pair tagged as a
//! tuple or map entry stays recognisable. Fractions and numbers beyond 64 bits are forms without a
//! value: who needs their value refuses them.

use std::borrow::Cow;

use super::super::codec::Problem;

/// A form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edn<'a> {
    Nil,
    Boolean(bool),
    Integer(i64),
    /// A fraction, or an integer beyond 64 bits, as written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// Without its colon.
    Keyword(&'a str),
    Symbol(&'a str),
    Character(char),
    /// A vector, list or set.
    Sequence(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// Two forms tagged as a tuple of a key and a value.
    Tuple(Box<(Self, Self)>),
}

/// A problem and the line where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) problem: Problem,
}

/// A position in a text.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

/// How deep forms may be nested: histories need five levels.
const DEPTH_MAX: usize = 64;

/// What a form can begin with.
const FORM: &str = "a map, vector, list, set, keyword, text, number or nil";

impl Edn<'_> {
    /// The form for error messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Nil => "nil".to_owned(),
            Self::Boolean(is) => is.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Number(text) | Self::Symbol(text) => format!("`{text}`"),
            Self::Text(text) => format!("{text:?}"),
            Self::Keyword(name) => format!("`:{name}`"),
            Self::Character(character) => format!("the character `{character}`"),
            Self::Sequence(_) => "a sequence".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::Tuple(_) => "a tuple".to_owned(),
        }
    }
}

impl<'a> Reader<'a> {
    /// At the start of `text`, which begins in `line` of its file.
    pub(super) const fn new(text: &'a str, line: usize) -> Self {
        Self { text, at: 0, line }
    }

    /// The line of the next form, after blanks and comments; `None` at the end.
    pub(super) fn next_line(&mut self) -> Option<usize> {
        self.peek().map(|_| self.line)
    }

    /// The next form; `None` at the end of the text.
    pub(super) fn form(&mut self) -> Result<Option<Edn<'a>>, Fault> {
        self.next(0)
    }

    /// Takes `byte` if it comes next after blanks and comments.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// What is left of the text, for error messages.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Goes to the first line behind `line` that begins with a map, plain or tagged.
    pub(super) fn resume_after(&mut self, start: &Self, line: usize) {
        (self.at, self.line) = (start.at, start.line);
        loop {
            let Some(length) = self.rest().find('\n') else {
                self.at = self.text.len();
                return;
            };
            self.at += length + 1;
            self.line += 1;
            let begin = self.rest().trim_start_matches([' ', '\t', '[', '(']);
            if self.line > line && begin.starts_with(['{', '#']) {
                return;
            }
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn fault(&self, problem: Problem) -> Fault {
        Fault {
            line: self.line,
            problem,
        }
    }

    fn unexpected(&self, found: impl Into<String>, expected: &'static str) -> Fault {
        let found = found.into();
        self.fault(Problem::Unexpected { found, expected })
    }

    /// The next byte that is no blank and in no comment.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.bytes();
        loop {
            match bytes.get(self.at)? {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | b',' | b'\x0c' => {}
                b';' => {
                    let rest = &bytes[self.at..];
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                    continue;
                }
                byte => return Some(*byte),
            }
            self.at += 1;
        }
    }

    fn next(&mut self, depth: usize) -> Result<Option<Edn<'a>>, Fault> {
        while let Some(byte) = self.peek() {
            if depth > DEPTH_MAX {
                return Err(self.unexpected("too many levels", "at most 64 levels of forms"));
            }
            if self.rest().starts_with("#_") {
                self.at += 2;
                self.required(depth)?;
                continue;
            }
            return self.begun(byte, depth).map(Some);
        }
        Ok(None)
    }

    fn required(&mut self, depth: usize) -> Result<Edn<'a>, Fault> {
        let form = self.next(depth + 1)?;
        form.ok_or_else(|| self.unexpected("the end of the file", FORM))
    }

    /// The form that begins with `byte`.
    fn begun(&mut self, byte: u8, depth: usize) -> Result<Edn<'a>, Fault> {
        match byte {
            b'[' => self.sequence(["[", "]"], depth).map(Edn::Sequence),
            b'(' => self.sequence(["(", ")"], depth).map(Edn::Sequence),
            b'{' => self.map(depth),
            b'#' => self.dispatch(depth),
            b'"' => self.quoted().map(Edn::Text),
            b'\\' => self.character(),
            b']' | b')' | b'}' => Err(self.unexpected(format!("`{}`", char::from(byte)), FORM)),
            _ => {
                let token = self.token();
                if token.is_empty() {
                    // A blank that EDN does not know.
                    let found = self.rest().chars().next().unwrap_or(' ');
                    return Err(self.unexpected(format!("{found:?}"), FORM));
                }
                self.atom(token)
            }
        }
    }

    /// What begins with `#`: a set, a symbolic number or a tagged literal.
    fn dispatch(&mut self, depth: usize) -> Result<Edn<'a>, Fault> {
        self.at += 1;
        if self.rest().starts_with('{') {
            return self.sequence(["#{", "}"], depth).map(Edn::Sequence);
        }
        if self.rest().starts_with('#') {
            self.at += 1;
            return Ok(Edn::Number(self.token()));
        }
        let tag = self.token();
        if tag.is_empty() {
            return Err(self.unexpected("`#` alone", "a tag such as `#inst` or a set `#{…}`"));
        }
        let is_tuple = tag.ends_with("Tuple") || tag.ends_with("MapEntry");
        Ok(match self.required(depth)? {
            Edn::Sequence(mut pair) if is_tuple && pair.len() == 2 => {
                let second = pair.swap_remove(1);
                Edn::Tuple(Box::new((pair.swap_remove(0), second)))
            }
            content => content,
        })
    }

    fn sequence(
        &mut self,
        [opened, expected]: [&'static str; 2],
        depth: usize,
    ) -> Result<Vec<Edn<'a>>, Fault> {
        let since = self.line;
        self.at += 1;
        let mut forms = Vec::new();
        let unclosed = Problem::Unclosed {
            opened,
            since,
            expected,
        };
        loop {
            match self.peek() {
                None => return Err(self.fault(unclosed)),
                Some(byte) if expected.as_bytes() == [byte] => {
                    self.at += 1;
                    return Ok(forms);
                }
                Some(b']' | b')' | b'}') => return Err(self.fault(unclosed)),
                Some(_) if self.rest().starts_with("#_") => {
                    self.at += 2;
                    self.required(depth)?;
                }
                Some(_) => forms.push(self.required(depth)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Edn<'a>, Fault> {
        let since = self.line;
        let unclosed = Problem::Unclosed {
            opened: "{",
            since,
            expected: "}",
        };
        self.at += 1;
        let mut pairs = Vec::new();
        loop {
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Edn::Map(pairs));
                }
                // A map in the place of a key, on a line of its own, is the next operation.
                Some(b'{') if self.line > since && self.begins_line() => break,
                None | Some(b']' | b')') => break,
                Some(_) if self.rest().starts_with("#_") => {
                    self.at += 2;
                    self.required(depth)?;
                }
                Some(_) => {
                    let key = self.required(depth)?;
                    if self.peek() == Some(b'}') {
                        return Err(self.unexpected(
                            format!("the key {} without a value", key.describe()),
                            "pairs of keys and values in a map",
                        ));
                    }
                    pairs.push((key, self.required(depth)?));
                }
            }
        }
        Err(Fault {
            line: since,
            problem: unclosed,
        })
    }

    fn begins_line(&self) -> bool {
        let before = self.text[..self.at].trim_end_matches([' ', '\t']);
        before.ends_with('\n')
    }

    /// Up to the next blank or delimiter.
    fn token(&mut self) -> &'a str {
        let rest = self.rest();
        let is_end = |c: char| c.is_whitespace() || ",;\"()[]{}".contains(c);
        let token = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        self.at += token.len();
        token
    }

    fn atom(&self, token: &'a str) -> Result<Edn<'a>, Fault> {
        if let Some(name) = token.strip_prefix(':') {
            if name.is_empty() {
                return Err(self.unexpected("`:` alone", "a keyword such as `:read`"));
            }
            return Ok(Edn::Keyword(name));
        }
        let digits = token.trim_start_matches(['+', '-']);
        if digits.starts_with(|c: char| c.is_ascii_digit()) && token.len() - digits.len() <= 1 {
            return self.number(token, digits);
        }
        Ok(match token {
            "nil" => Edn::Nil,
            "true" => Edn::Boolean(true),
            "false" => Edn::Boolean(false),
            symbol => Edn::Symbol(symbol),
        })
    }

    fn number(&self, token: &'a str, digits: &str) -> Result<Edn<'a>, Fault> {
        let whole = digits.strip_suffix('N').unwrap_or(digits);
        if whole.bytes().all(|byte| byte.is_ascii_digit()) {
            let signed = token.strip_suffix('N').unwrap_or(token);
            let number = signed.parse().map(Edn::Integer);
            return Ok(number.unwrap_or(Edn::Number(token)));
        }
        let is_part = |c: char| c.is_ascii_digit() || ".eE+-/M".contains(c);
        if digits.chars().all(is_part) {
            return Ok(Edn::Number(token));
        }
        Err(self.unexpected(format!("`{token}`"), "a number or a name"))
    }

    fn character(&mut self) -> Result<Edn<'a>, Fault> {
        const EXPECTED: &str = "a character such as `\\a` or `\\newline`";
        self.at += 1;
        let Some(first) = self.rest().chars().next() else {
            return Err(self.unexpected("the end of the file", EXPECTED));
        };
        let start = self.at;
        self.at += first.len_utf8();
        self.token();
        let name = &self.text[start..self.at];
        let hex = name.strip_prefix('u').filter(|hex| hex.len() == 4);
        let character = match name {
            "newline" => Some('\n'),
            "return" => Some('\r'),
            "space" => Some(' '),
            "tab" => Some('\t'),
            _ if name.len() == first.len_utf8() => Some(first),
            _ => hex
                .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                .and_then(char::from_u32),
        };
        let character = character.map(Edn::Character);
        character.ok_or_else(|| self.unexpected(format!("`\\{name}`"), EXPECTED))
    }

    /// A text in quotes, borrowed if it has no escapes.
    fn quoted(&mut self) -> Result<Cow<'a, str>, Fault> {
        let since = self.line;
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let Some(length) = rest.find(['"', '\\']) else {
                let (opened, expected) = ("\"", "\"");
                let problem = Problem::Unclosed {
                    opened,
                    since,
                    expected,
                };
                return Err(Fault {
                    line: since,
                    problem,
                });
            };
            self.line += rest[..length].matches('\n').count();
            if text.is_empty() {
                text = Cow::Borrowed(&rest[..length]);
            } else {
                text.to_mut().push_str(&rest[..length]);
            }
            self.at += length + 1;
            if rest[length..].starts_with('"') {
                return Ok(text);
            }
            let escaped = self.escaped()?;
            text.to_mut().push(escaped);
        }
    }

    /// The character behind a backslash in a text.
    fn escaped(&mut self) -> Result<char, Fault> {
        let rest = self.rest();
        let letter = rest.chars().next().unwrap_or(' ');
        let hex = rest.get(1..5).unwrap_or_default();
        let (character, length) = match letter {
            't' => (Some('\t'), 1),
            'r' => (Some('\r'), 1),
            'n' => (Some('\n'), 1),
            'b' => (Some('\x08'), 1),
            'f' => (Some('\x0c'), 1),
            '"' | '\\' => (Some(letter), 1),
            'u' => {
                let code = u32::from_str_radix(hex, 16).ok();
                (code.and_then(char::from_u32), 5)
            }
            _ => (None, 0),
        };
        self.at += length;
        character.ok_or_else(|| {
            self.unexpected(
                format!("`\\{letter}` in a text"),
                "one of \\t \\r \\n \\b \\f \\\\ \\\" \\u0000",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Edn<'_> {
        Reader::new(text, 1).form().unwrap().unwrap()
    }

    fn failure(text: &str) -> String {
        let fault = Reader::new(text, 1).form().unwrap_err();
        format!("{}: {}", fault.line, fault.problem)
    }

    #[test]
    fn every_kind_of_form_is_read() {
        let text = r#"
            ; a comment
            [nil true false, 5 -7 +3 5N 1.5 2e3 1/2 ##NaN 99999999999999999999 "a\n\"\u00e9" :k :a/b
             sym - \a \newline (1 2) #{3} {:a 1, "b" [2]} #_ {:gone 1} #inst "2020" #_ last]"#;
        let Edn::Sequence(forms) = form(text) else {
            panic!("a vector");
        };
        insta::assert_debug_snapshot!(forms);
    }

    #[test]
    fn a_tagged_literal_is_its_content_and_a_tuple_stays_one() {
        let pair = Edn::Tuple(Box::new((Edn::Integer(1), Edn::Nil)));
        assert_eq!(form("#jepsen.independent.Tuple[1 nil]"), pair);
        assert_eq!(form("#clojure.lang.MapEntry [1 nil]"), pair);
        assert_eq!(
            form("#jepsen.history.Op{:a 1}"),
            Edn::Map(vec![(Edn::Keyword("a"), Edn::Integer(1))])
        );
    }

    #[test]
    fn a_malformed_form_is_told_with_its_line() {
        let texts = [
            "\n{:a 1",
            "{:a 1\n {:b 2}\n",
            "{:a}",
            "[1\n2)",
            "]",
            "\"abc",
            "\"a\\qb\"",
            "\n:",
            "12ab",
            "#",
            "#_",
            "\\abc",
        ];
        let errors: Vec<String> = texts.iter().map(|text| failure(text)).collect();
        insta::assert_snapshot!(errors.join("\n"));
        assert!(failure(&"[".repeat(5000)).contains("64 levels"));
    }

    #[test]
    fn reading_goes_on_at_the_next_line_that_begins_a_map() {
        let text = "{:a\n:b 1\n{:c 2}";
        let mut reader = Reader::new(text, 1);
        let start = reader.clone();
        assert!(reader.form().is_err());
        reader.resume_after(&start, 1);
        assert_eq!(reader.next_line(), Some(3));
        assert!(reader.form().unwrap().is_some());
        assert_eq!(reader.form(), Ok(None));
    }
}
