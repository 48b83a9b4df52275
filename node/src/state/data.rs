//! What a client stores in a znode.

use std::ops::Deref;
use std::sync::Arc;

use crate::jute::{JuteError, Reader, Writer};

/// Bytes, or none at all: that reads as empty, but clients can tell it apart. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Data(Option<Arc<[u8]>>);

impl Data {
    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Appends it as a buffer.
    pub fn write(&self, out: &mut Writer) {
        match &self.0 {
            Some(bytes) => out.buffer(bytes),
            None => out.i32(NONE),
        };
    }

    /// Reads a buffer.
    ///
    /// # Errors
    /// If the input ends or the length is below −1.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        let Some(length) = input.count()? else {
            return Ok(Self(None));
        };
        input.take(length).map(Self::from)
    }
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or(&[])
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        Self(Some(Arc::from(bytes)))
    }
}

impl<const N: usize> From<&[u8; N]> for Data {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Some(Arc::from(bytes)))
    }
}

/// The length that stands for no buffer.
const NONE: i32 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_and_empty_read_back_as_what_they_are() {
        for data in [Data::default(), Data::from(b""), Data::from(b"x")] {
            let mut out = Writer::new();
            data.write(&mut out);
            let bytes = out.into_bytes();
            assert_eq!(Data::read(&mut Reader::new(&bytes)), Ok(data));
        }
        assert_eq!(Data::default()[..], Data::from(b"")[..]);
        assert_ne!(Data::default(), Data::from(b""));
    }
}
