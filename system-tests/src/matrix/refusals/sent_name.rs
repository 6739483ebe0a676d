//! The server name that a hello has.

use crate::{SERVER_NAME, UNKNOWN_NAME};

/// The server name of a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum SentName {
    None,
    Unknown,
    Right,
}

impl SentName {
    pub(in super::super) const ALL: [Self; 3] = [Self::None, Self::Unknown, Self::Right];

    pub(in super::super) const fn server_name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Unknown => Some(UNKNOWN_NAME),
            Self::Right => Some(SERVER_NAME),
        }
    }

    /// Returns its name in reports.
    pub(in super::super) const fn word(self) -> &'static str {
        match self {
            Self::None => "no SNI",
            Self::Unknown => "unknown name",
            Self::Right => "right name",
        }
    }
}
