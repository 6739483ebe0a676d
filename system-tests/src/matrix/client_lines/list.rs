//! The clients that are run, and how each is made to connect.

mod commands;
mod languages;
mod proxies;

use super::super::places::Release;
use super::recorder::Opening;

/// A client with the line that it is tried with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    /// The name of the line in the table.
    pub(super) id: &'static str,
    /// The program, as its version is given.
    pub(super) program: &'static str,
    pub(super) version: Version,
    pub(super) releases: &'static [Release],
    /// A script of `sh`, with `{LINE}` in the place of the line. The gateway is `$AT` (`$HOST` and `$PORT`), its name `$NAME`.
    pub(super) script: &'static str,
    /// What stands in the place of the line without it.
    pub(super) without: &'static str,
    pub(super) opening: Opening,
}

/// How the version of a program is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Version {
    /// By the Debian package.
    Package(&'static str),
    /// By a script that prints it.
    Script(&'static str),
}

const MACHINE: &[Release] = &[Release::Machine];
const BOTH: &[Release] = &[Release::Bookworm, Release::Sid];
const SID: &[Release] = &[Release::Sid];

/// Returns an entry of a program that both releases have.
const fn subject(
    id: &'static str,
    program: &'static str,
    package: &'static str,
    script: &'static str,
    without: &'static str,
) -> Subject {
    Subject {
        id,
        program,
        version: Version::Package(package),
        releases: BOTH,
        script,
        without,
        opening: Opening::None,
    }
}

impl Subject {
    const fn on(self, releases: &'static [Release]) -> Self {
        Self { releases, ..self }
    }

    const fn version(self, script: &'static str) -> Self {
        Self { version: Version::Script(script), ..self }
    }

    const fn opening(self, opening: Opening) -> Self {
        Self { opening, ..self }
    }
}

/// Returns all clients.
pub(super) fn all() -> impl Iterator<Item = &'static Subject> {
    proxies::ALL.iter().chain(commands::ALL).chain(languages::ALL)
}
