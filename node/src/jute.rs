//! Jute, the byte format of ZooKeeper's client protocol, as a bounded reader and a writer.
//!
//! Numbers are big endian; a buffer or text is an `i32` length and its bytes, where −1 stands for
//! "none"; a vector is an `i32` count and its items. Transactions and snapshots use it as well, so
//! that there is one codec to trust.
//!
//! Invariant: a [`Reader`] never reads past its input and never allocates more than the input holds,
//! whatever lengths the bytes claim.

/// Why bytes are not the record they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JuteError {
    /// The input ends inside a value.
    #[error("a value of {wanted} bytes where {left} are left")]
    Truncated {
        /// How many bytes the value needs.
        wanted: usize,
        /// How many there are.
        left: usize,
    },
    /// A length or a count below −1, or "none" where a value is needed.
    #[error("the length {0}")]
    Length(i32),
    /// A truth value other than 0 and 1.
    #[error("the byte {0} as a truth value")]
    Bool(u8),
    /// A text that is not UTF-8.
    #[error("a text that is not UTF-8")]
    Text,
    /// Bytes after the end of the record.
    #[error("{0} bytes after the end")]
    Trailing(usize),
    /// A tag that names nothing.
    #[error("the unknown tag {0}")]
    Tag(u8),
}

/// Reads values from the front of a byte slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`JuteError::Truncated`] if fewer are left; so for all that follow.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], JuteError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(JuteError::Truncated {
                wanted: count,
                left: self.rest.len(),
            }),
        }
    }

    /// One byte.
    ///
    /// # Errors
    /// If the input ends.
    pub fn u8(&mut self) -> Result<u8, JuteError> {
        Ok(self.array::<1>()?[0])
    }

    /// A truth value.
    ///
    /// # Errors
    /// If the input ends or the byte is neither 0 nor 1.
    pub fn bool(&mut self) -> Result<bool, JuteError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(JuteError::Bool(other)),
        }
    }

    /// A 32-bit number.
    ///
    /// # Errors
    /// If the input ends.
    pub fn i32(&mut self) -> Result<i32, JuteError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A 64-bit number.
    ///
    /// # Errors
    /// If the input ends.
    pub fn i64(&mut self) -> Result<i64, JuteError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A 64-bit number without sign.
    ///
    /// # Errors
    /// If the input ends.
    pub fn u64(&mut self) -> Result<u64, JuteError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A length of at least −1, as "none" or a count.
    ///
    /// # Errors
    /// If the input ends or the length is below −1.
    pub fn count(&mut self) -> Result<Option<usize>, JuteError> {
        match self.i32()? {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| JuteError::Length(length)),
        }
    }

    /// A buffer; "none" reads as empty, as ZooKeeper's server treats it.
    ///
    /// # Errors
    /// If the input ends or the length is below −1.
    pub fn buffer(&mut self) -> Result<&'a [u8], JuteError> {
        match self.count()? {
            None => Ok(&[]),
            Some(length) => self.take(length),
        }
    }

    /// A text; "none" reads as empty.
    ///
    /// # Errors
    /// If the input ends, the length is below −1, or the bytes are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, JuteError> {
        std::str::from_utf8(self.buffer()?).map_err(|_| JuteError::Text)
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Demands that everything was read.
    ///
    /// # Errors
    /// [`JuteError::Trailing`] otherwise.
    pub const fn end(&self) -> Result<(), JuteError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(JuteError::Trailing(left)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], JuteError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

/// Appends values to a byte vector.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Starts empty, with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// Appends a truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// Appends a 32-bit number.
    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a 64-bit number.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a 64-bit number without sign.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends the count of a vector or buffer; lengths here are far below 2³¹.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.i32(i32::try_from(count).expect("frames and stored values are bounded far below 2^31"))
    }

    /// Appends a buffer.
    pub fn buffer(&mut self, value: &[u8]) -> &mut Self {
        self.count(value.len()).raw(value)
    }

    /// Appends a text.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.buffer(value.as_bytes())
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(value);
        self
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written, after its own length: a frame ready to send.
    #[must_use]
    pub fn into_frame(self) -> Vec<u8> {
        let mut framed = Self::with_capacity(self.bytes.len() + 4);
        framed.buffer(&self.bytes);
        framed.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_that_claims_more_than_there_is_reads_as_truncated() {
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 1]);
        assert_eq!(
            reader.buffer(),
            Err(JuteError::Truncated {
                wanted: 0x7fff_ffff,
                left: 1
            })
        );
    }

    #[test]
    fn minus_one_is_none_and_anything_lower_is_wrong() {
        assert_eq!(Reader::new(&[0xff; 4]).buffer(), Ok(&[][..]));
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xfe]).buffer(),
            Err(JuteError::Length(-2))
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(a: i32, b: i64, c: bool, d: Vec<u8>, e: String) {
            let mut writer = Writer::new();
            writer.i32(a).i64(b).bool(c).buffer(&d).text(&e);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.i32(), Ok(a));
            prop_assert_eq!(reader.i64(), Ok(b));
            prop_assert_eq!(reader.bool(), Ok(c));
            prop_assert_eq!(reader.buffer(), Ok(&d[..]));
            prop_assert_eq!(reader.text(), Ok(e.as_str()));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.text().is_ok() && !reader.is_empty() {}
        }
    }
}
