//! The values of `--interface`.

use glob::Pattern;

/// What `--interface` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// This one.
    Name(String),
    /// Whichever there are.
    Matching(Pattern),
}

impl Wanted {
    /// Parses a value of `--interface`.
    ///
    /// # Errors
    /// If it is empty, or a pattern that is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a name or a pattern is needed, such as eth0 or gke*".to_owned());
        }
        if !text.contains(['*', '?', '[']) {
            return Ok(Self::Name(text.to_owned()));
        }
        Pattern::new(text).map(Self::Matching).map_err(|error| format!("no pattern: {}", error.msg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        assert_eq!(Wanted::parse("eth0"), Ok(Wanted::Name("eth0".to_owned())));
        assert!(matches!(Wanted::parse("gke*"), Ok(Wanted::Matching(_))));
        assert!(matches!(Wanted::parse("eth[01]"), Ok(Wanted::Matching(_))));
        for wrong in ["", "eth[", "a***"] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong}");
        }
    }
}
