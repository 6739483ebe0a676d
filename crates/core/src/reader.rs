//! A cursor over bytes whose lengths are written in front of them. Reads past the end are `None`.

/// The bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector of at most 2^8-1 bytes behind its length.
    pub(crate) fn vec8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// The bytes up to the next zero, which is taken too.
    pub(crate) fn terminated(&mut self) -> Option<&'a [u8]> {
        let len = self.0.iter().position(|&byte| byte == 0)?;
        let text = self.take(len)?;
        self.u8()?;
        Some(text)
    }

    /// The content of a BER value behind its length (X.690, section 8.1.3).
    pub(crate) fn ber(&mut self) -> Option<&'a [u8]> {
        let len = match self.u8()? {
            short @ 0..=0x7f => usize::from(short),
            long @ 0x81..=0x84 => {
                let bytes = self.take(usize::from(long & 0x7f))?;
                bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte))
            }
            _ => return None,
        };
        self.take(len)
    }

    /// A vector of at most 2^16-1 bytes behind its length.
    pub(crate) fn vec16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}

/// The big-endian 16-bit values in `bytes`; an odd last byte is left out.
pub(crate) fn u16_values(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}
