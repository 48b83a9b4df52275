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
    pub(super) verb: Verb,
    pub(super) key: Vec<u8>,
    pub(super) old: i64,
    pub(super) new: i64,
}

/// How an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
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
    pub(super) verdict: Verdict,
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

const VERDICTS: [Verdict; 4] = [
    Verdict::Done,
    Verdict::Absent,
    Verdict::Mismatch,
    Verdict::NotServing,
];

impl Question {
    /// A question that needs no key.
    pub(super) const fn bare(verb: Verb) -> Self {
        Self {
            verb,
            key: Vec::new(),
            old: 0,
            new: 0,
        }
    }

    /// As bytes. Keys are short: what does not fit into 255 bytes is cut off.
    pub(super) fn encode(&self) -> Vec<u8> {
        let key = &self.key[..self.key.len().min(usize::from(u8::MAX))];
        let mut bytes = Vec::with_capacity(QUESTION + key.len());
        bytes.extend([self.verb as u8, u8::try_from(key.len()).unwrap_or(u8::MAX)]);
        bytes.extend(self.old.to_le_bytes());
        bytes.extend(self.new.to_le_bytes());
        bytes.extend(key);
        bytes
    }

    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut head = [0; QUESTION];
        from.read_exact(&mut head).await?;
        let verb = *VERBS
            .get(usize::from(head[0]))
            .ok_or_else(|| strange(head[0]))?;
        let mut key = vec![0; usize::from(head[1])];
        if !key.is_empty() {
            from.read_exact(&mut key).await?;
        }
        let (old, new) = (number(&head[2..]), number(&head[10..]));
        Ok(Self {
            verb,
            key,
            old: old.cast_signed(),
            new: new.cast_signed(),
        })
    }
}

impl Answer {
    pub(super) const fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            value: 0,
            version: 0,
        }
    }

    pub(super) fn encode(self) -> [u8; ANSWER] {
        let mut bytes = [0; ANSWER];
        bytes[0] = self.verdict as u8;
        bytes[1..9].copy_from_slice(&self.value.to_le_bytes());
        bytes[9..].copy_from_slice(&self.version.to_le_bytes());
        bytes
    }

    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = [0; ANSWER];
        from.read_exact(&mut bytes).await?;
        let verdict = VERDICTS.get(usize::from(bytes[0]));
        Ok(Self {
            verdict: *verdict.ok_or_else(|| strange(bytes[0]))?,
            value: number(&bytes[1..]).cast_signed(),
            version: number(&bytes[9..]).cast_signed(),
        })
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

const QUESTION: usize = 18;
const ANSWER: usize = 17;
const WORD: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn every_frame_reads_back_as_it_was_written() {
        for verb in VERBS {
            let question = Question {
                verb,
                key: b"k1".to_vec(),
                old: -1,
                new: i64::MAX,
            };
            let bytes = question.encode();
            assert_eq!(Question::read(&mut &bytes[..]).await.unwrap(), question);
        }
        for verdict in VERDICTS {
            let answer = Answer {
                verdict,
                value: i64::MIN,
                version: 7,
            };
            assert_eq!(
                Answer::read(&mut &answer.encode()[..]).await.unwrap(),
                answer
            );
        }
        for word in [Word::Here(3), Word::Lead(u64::MAX), Word::Vanish(1, 2)] {
            assert_eq!(Word::read(&mut &word.encode()[..]).await.unwrap(), word);
        }
        assert!(Question::read(&mut &[9; 30][..]).await.is_err());
        assert!(Word::read(&mut &[9; 30][..]).await.is_err());
    }
}
