//! The words between a stub's node, its clients and its peers: fixed frames, nothing optional.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Whether the node serves.
    Hello,
    /// The value of a key.
    Read,
    /// A new value for a key.
    Write,
    /// A new value for a key that holds `old`.
    Cas,
    /// What the node says of itself.
    Status,
    /// To serve nothing for a while.
    Vanish,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// Comes back with the answer.
    pub(super) tag: u32,
    pub(super) verb: Verb,
    pub(super) key: Vec<u8>,
    pub(super) old: i64,
    pub(super) new: i64,
}

/// How an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Done.
    Done,
    /// There is no such key.
    Absent,
    /// The key holds another value.
    Mismatch,
    /// The node serves nobody now.
    NotServing,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) tag: u32,
    pub(super) code: Code,
    pub(super) value: i64,
    pub(super) version: i64,
}

/// What nodes tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The sender is there; said first, and answered with the same.
    Here(u8),
    /// The sender leads this epoch.
    Lead(u64),
    /// Serve nothing between these two instants, absolute monotonic nanoseconds.
    Vanish(u64, u64),
}

const VERBS: [Verb; 6] = [
    Verb::Hello,
    Verb::Read,
    Verb::Write,
    Verb::Cas,
    Verb::Status,
    Verb::Vanish,
];

const CODES: [Code; 4] = [Code::Done, Code::Absent, Code::Mismatch, Code::NotServing];

impl Question {
    /// A question that needs no key.
    pub(super) const fn bare(verb: Verb) -> Self {
        Self {
            tag: 0,
            verb,
            key: Vec::new(),
            old: 0,
            new: 0,
        }
    }

    /// Appends it as bytes. Keys are short: what does not fit into 255 bytes is cut off.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let key = &self.key[..self.key.len().min(usize::from(u8::MAX))];
        out.extend([self.verb as u8, u8::try_from(key.len()).unwrap_or(u8::MAX)]);
        out.extend(self.tag.to_le_bytes());
        out.extend(self.old.to_le_bytes());
        out.extend(self.new.to_le_bytes());
        out.extend(key);
    }

    /// Takes the first one off `bytes`; `None` if it is not there whole.
    pub(super) fn take(bytes: &mut &[u8]) -> io::Result<Option<Self>> {
        let Some((head, rest)) = bytes.split_first_chunk::<QUESTION>() else {
            return Ok(None);
        };
        let verb = VERBS.get(usize::from(head[0]));
        let verb = *verb.ok_or_else(|| strange(head[0]))?;
        let Some((key, rest)) = rest.split_at_checked(usize::from(head[1])) else {
            return Ok(None);
        };
        *bytes = rest;
        Ok(Some(Self {
            tag: tag(&head[2..]),
            verb,
            key: key.to_vec(),
            old: number(&head[6..]).cast_signed(),
            new: number(&head[14..]).cast_signed(),
        }))
    }
}

impl Answer {
    pub(super) const fn of(code: Code) -> Self {
        Self {
            tag: 0,
            code,
            value: 0,
            version: 0,
        }
    }

    /// Appends it as bytes, as the answer to the question of this tag.
    pub(super) fn encode(self, tag: u32, out: &mut Vec<u8>) {
        out.push(self.code as u8);
        out.extend(tag.to_le_bytes());
        out.extend(self.value.to_le_bytes());
        out.extend(self.version.to_le_bytes());
    }

    /// Takes the first one off `bytes`; `None` if it is not there whole.
    pub(super) fn take(bytes: &mut &[u8]) -> io::Result<Option<Self>> {
        let Some((bytes_of_it, rest)) = bytes.split_first_chunk::<ANSWER>() else {
            return Ok(None);
        };
        let code = CODES.get(usize::from(bytes_of_it[0]));
        let code = *code.ok_or_else(|| strange(bytes_of_it[0]))?;
        *bytes = rest;
        Ok(Some(Self {
            tag: tag(&bytes_of_it[1..]),
            code,
            value: number(&bytes_of_it[5..]).cast_signed(),
            version: number(&bytes_of_it[13..]).cast_signed(),
        }))
    }
}

impl Word {
    pub(super) fn encode(self) -> [u8; WORD] {
        let (tag, first, second) = match self {
            Self::Here(node) => (0, u64::from(node), 0),
            Self::Lead(epoch) => (1, epoch, 0),
            Self::Vanish(from, until) => (2, from, until),
        };
        let mut bytes = [0; WORD];
        bytes[0] = tag;
        bytes[1..9].copy_from_slice(&first.to_le_bytes());
        bytes[9..].copy_from_slice(&second.to_le_bytes());
        bytes
    }

    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = [0; WORD];
        from.read_exact(&mut bytes).await?;
        let (first, second) = (number(&bytes[1..]), number(&bytes[9..]));
        match bytes[0] {
            0 => Ok(Self::Here(u8::try_from(first).unwrap_or(0))),
            1 => Ok(Self::Lead(first)),
            2 => Ok(Self::Vanish(first, second)),
            other => Err(strange(other)),
        }
    }
}

fn tag(bytes: &[u8]) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[..4]);
    u32::from_le_bytes(four)
}

fn number(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(eight)
}

fn strange(byte: u8) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("no frame begins with {byte}"),
    )
}

const QUESTION: usize = 22;
const ANSWER: usize = 21;
const WORD: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn every_frame_reads_back_as_it_was_written() {
        let mut bytes = Vec::new();
        let questions = VERBS.map(|verb| Question {
            tag: 7 + verb as u32,
            verb,
            key: b"k1".to_vec(),
            old: -1,
            new: i64::MAX,
        });
        for question in &questions {
            question.encode(&mut bytes);
        }
        let mut rest = &bytes[..];
        for question in &questions {
            assert_eq!(Question::take(&mut rest).unwrap().as_ref(), Some(question));
        }
        assert_eq!(Question::take(&mut rest).unwrap(), None);
        assert_eq!(Question::take(&mut &bytes[..23]).unwrap(), None);
        for code in CODES {
            let answer = Answer {
                tag: 9,
                code,
                value: i64::MIN,
                version: 7,
            };
            let mut bytes = Vec::new();
            answer.encode(9, &mut bytes);
            assert_eq!(Answer::take(&mut &bytes[..20]).unwrap(), None);
            assert_eq!(Answer::take(&mut &bytes[..]).unwrap(), Some(answer));
        }
        for word in [Word::Here(3), Word::Lead(u64::MAX), Word::Vanish(1, 2)] {
            assert_eq!(Word::read(&mut &word.encode()[..]).await.unwrap(), word);
        }
        assert!(Question::take(&mut &[9; 30][..]).is_err());
        assert!(Word::read(&mut &[9; 30][..]).await.is_err());
    }
}
