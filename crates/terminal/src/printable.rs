//! Text from outside, fit for a terminal.

use std::fmt::Write as _;

/// Characters of a name that are shown; names are at most 255 long, invalid ones any length.
const MAX_NAME: usize = 64;

/// `text` fit for a terminal: printable ASCII as it is, all else as `\xNN`, and not too long.
pub fn printable(text: &str) -> String {
    printable_within(MAX_NAME, text)
}

/// [`printable`] text of at most `length` characters, and what the last escape and `...` take.
pub fn printable_within(length: usize, text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(length));
    for byte in text.bytes() {
        if shown.len() >= length {
            shown.push_str("...");
            break;
        }
        match byte {
            b' '..=b'~' => shown.push(char::from(byte)),
            _ => {
                // Writing to a `String` cannot fail.
                let _ = write!(shown, "\\x{byte:02x}");
            }
        }
    }
    shown
}

/// Whether a character has no shape of its own, or changes how others are shown: control characters, and those of
/// Unicode's category Cf (direction marks, zero-width characters, tags).
pub fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii() {
        assert_eq!(printable("a\u{1b}[2J\n\u{202e}~"), "a\\x1b[2J\\x0a\\xe2\\x80\\xae~");
        assert_eq!(printable_within(3, "abcd"), "abc...");
        assert_eq!(printable_within(4, "abcd"), "abcd");
    }

    #[test]
    fn characters_without_a_shape() {
        assert!(['\n', '\u{1b}', '\u{9b}', '\u{200b}', '\u{202e}'].into_iter().all(is_invisible));
        assert!(!['a', ' ', 'ä'].into_iter().any(is_invisible));
    }
}
