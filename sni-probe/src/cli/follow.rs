//! How far handshakes are followed: a flag of `run`, `watch` and `replay`.

use clap::Args;
use sni_probe_core::vocabulary::Follow;

use super::values::label_parser;

/// The flag.
#[derive(Args, Clone, Copy, Debug)]
#[expect(clippy::doc_markdown, reason = "the text of --help")]
pub(crate) struct FollowOptions {
    /// How far to follow a handshake: hello or handshake
    ///
    /// "hello" stops at the gateway's first answer, as version 0.1.0 did: an answered handshake then has the outcome
    /// "server_hello". "handshake" goes on to the end of the handshake.
    #[arg(
        long,
        env = "SNI_PROBE_FOLLOW",
        value_name = "WHAT",
        default_value_t = Follow::Handshake,
        value_parser = label_parser::<Follow>()
    )]
    pub(crate) follow: Follow,
}
