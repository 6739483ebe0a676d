//! Text in UTF-16, as PowerShell's `>` writes it.

use std::io::{self, Read};

/// Bytes that tell the encoding.
pub(super) const MARK_BYTES: usize = 4;

/// Longest UTF-8 of what two bytes of UTF-16 end, with what was left open before them.
pub(super) const MAX_UNIT_BYTES: usize = 8;

const REPLACEMENT: char = '\u{fffd}';

/// Decodes UTF-16.
#[derive(Debug)]
pub(super) struct Utf16 {
    is_big_endian: bool,
    /// The first byte of a unit.
    odd: Option<u8>,
    /// The first half of a pair.
    high: Option<u16>,
    is_at_end: bool,
}

impl Utf16 {
    /// Looks at a file's first bytes: a decoder and the length of the byte order mark, if they are UTF-16.
    pub(super) fn detect(first: &[u8]) -> Option<(Self, usize)> {
        let (is_big_endian, mark) = match *first {
            [0xff, 0xfe, ..] => (false, 2),
            [0xfe, 0xff, ..] => (true, 2),
            // Without a mark: each line of a log begins with ASCII.
            [a, 0, b, 0, ..] if a.is_ascii_graphic() && (b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
                (false, 0)
            }
            [0, a, 0, b, ..] if a.is_ascii_graphic() && (b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
                (true, 0)
            }
            _ => return None,
        };
        Some((Self { is_big_endian, odd: None, high: None, is_at_end: false }, mark))
    }

    /// Reads text into `buffer`, which has at least [`MAX_UNIT_BYTES`]; 0 at the end.
    pub(super) fn read(&mut self, stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
        // Each two bytes become three at most.
        let mut raw = vec![0; ((buffer.len() - MAX_UNIT_BYTES / 2) / 3 * 2).clamp(2, 64 * 1024)];
        let mut text = Vec::with_capacity(buffer.len());
        while text.is_empty() && !self.is_at_end {
            let count = stream.read(&mut raw)?;
            if count == 0 {
                self.is_at_end = true;
                if self.odd.take().is_some() | self.high.take().is_some() {
                    push(&mut text, REPLACEMENT);
                }
            }
            self.decode(&raw[..count], &mut text);
        }
        buffer[..text.len()].copy_from_slice(&text);
        Ok(text.len())
    }

    pub(super) fn decode(&mut self, raw: &[u8], text: &mut Vec<u8>) {
        for &byte in raw {
            let Some(first) = self.odd.take() else {
                self.odd = Some(byte);
                continue;
            };
            let pair = [first, byte];
            let unit = if self.is_big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
            let units = self.high.take().into_iter().chain([unit]);
            for decoded in char::decode_utf16(units) {
                match decoded {
                    Ok(one) => push(text, one),
                    Err(error) if error.unpaired_surrogate() == unit && (0xd800..0xdc00).contains(&unit) => {
                        self.high = Some(unit);
                    }
                    Err(_) => push(text, REPLACEMENT),
                }
            }
        }
    }
}

fn push(text: &mut Vec<u8>, one: char) {
    text.extend_from_slice(one.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read as _};

    use proptest::prelude::*;

    use super::*;

    /// Decodes a file that is read in pieces of `piece` bytes.
    fn decoded(file: &[u8], piece: usize, buffer: usize) -> Option<Vec<u8>> {
        let (mut decoder, mark) = Utf16::detect(file)?;
        let mut stream = BufReader::with_capacity(piece, &file[mark..]).take(u64::MAX);
        let (mut text, mut buffer) = (Vec::new(), vec![0; buffer]);
        loop {
            match decoder.read(&mut stream, &mut buffer).unwrap() {
                0 => return Some(text),
                count => text.extend_from_slice(&buffer[..count]),
            }
        }
    }

    proptest! {
        #[test]
        fn text_comes_back(text in ".{0,60}", is_big_endian: bool, piece in 1_usize..20, buffer in MAX_UNIT_BYTES..40) {
            let bytes = |unit: u16| if is_big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() };
            let file: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(bytes).collect();
            prop_assert_eq!(decoded(&file, piece, buffer), Some(text.into_bytes()));
        }

        #[test]
        fn what_is_no_utf16_is_replaced(rest in prop::collection::vec(any::<u8>(), 0..60), buffer in MAX_UNIT_BYTES..40) {
            let file = [&[0xff, 0xfe][..], &rest].concat();
            let text = decoded(&file, 7, buffer).unwrap();
            prop_assert!(std::str::from_utf8(&text).is_ok());
        }
    }
}
