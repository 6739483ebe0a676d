//! Numbers as text. The two fingerprints of each hello are made of some 150 numbers, too many for
//! `core::fmt`, which stood first in the profile of a replay.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `value` in decimal.
pub(crate) fn push_decimal(text: &mut String, value: u32) {
    text.push_str(itoa::Buffer::new().format(value));
}

/// Appends `value` in lower-case hexadecimal with four digits, or more if it needs them.
pub(crate) fn push_hex(text: &mut String, value: u32) {
    let digits = (8 - value.leading_zeros() / 4).max(4);
    for digit in (0..digits).rev() {
        let nibble = value >> (4 * digit) & 0x0f;
        text.push(char::from(HEX[nibble as usize]));
    }
}

/// Appends `bytes` in lower-case hexadecimal.
pub(crate) fn push_hex_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push(digit_of(byte >> 4));
        text.push(digit_of(*byte));
    }
}

fn digit_of(value: u8) -> char {
    char::from(HEX[usize::from(value & 0x0f)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut String)) -> String {
        let mut text = String::new();
        push(&mut text);
        text
    }

    #[test]
    fn like_core_fmt() {
        for value in [0, 1, 9, 10, 0xff, 0x100, 0xfff, 0x1301, 0xffff, 0x1_0000, 0x7_00c0, u32::MAX] {
            assert_eq!(text(|text| push_decimal(text, value)), format!("{value}"));
            assert_eq!(text(|text| push_hex(text, value)), format!("{value:04x}"));
            let bytes = value.to_be_bytes();
            assert_eq!(text(|text| push_hex_bytes(text, &bytes)), format!("{value:08x}"));
        }
    }
}
