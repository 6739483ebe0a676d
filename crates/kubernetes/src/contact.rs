//! Whether the API server answers, told once when it stops and once when it is back.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use kube::core::Status;
use kube::runtime::watcher;
use sni_probe_terminal::is_invisible;

/// Bytes of a reason, which may be what the API server said.
const MAX_REASON_BYTES: usize = 300;

/// Why the API server gave no answer that is one, in one line, with what to do about it if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Nothing came in all that time.
    pub(super) fn no_answer(time: Duration) -> Self {
        Self(format!("no answer within {} s", time.as_secs()))
    }

    /// The last so many watches ended within this time after they began.
    pub(super) fn short_watches(count: u32, within: Duration) -> Self {
        Self(format!(
            "the last {count} watches ended within {} s each; look for a proxy before the API server that ends them",
            within.as_secs()
        ))
    }

    fn status(status: &Status) -> Self {
        let Status { code, reason, message, .. } = status;
        let mut text = one_line(&format!("{code} {reason}: {message}"));
        match code {
            401 => text.push_str(
                "; the API server does not take the credentials: see that the service account, or the kubeconfig's \
                 user, exists and that its token has not expired",
            ),
            403 => text.push_str(
                "; allow to list and watch pods of all namespaces, by the ClusterRole in docs/kubernetes.md",
            ),
            _ => {}
        }
        Self(text)
    }
}

impl From<&kube::Error> for Failure {
    fn from(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::status(status),
            // Whose own words are only that it is one.
            kube::Error::Service(error) => Self(chain(&**error)),
            other => Self(chain(other)),
        }
    }
}

impl From<&watcher::Error> for Failure {
    fn from(error: &watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => Self::from(error),
            watcher::Error::WatchError(status) => Self::status(status),
            watcher::Error::NoResourceVersion => Self(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error and its causes, as one line. Many errors say their cause's words themselves.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            // Writing to a `String` cannot fail.
            let _ = write!(text, ": {cause_text}");
        }
        next = cause.source();
    }
    one_line(&text)
}

/// What is said on more lines or at length, on one.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|word| !word.is_empty()) {
        if line.len() + word.len() > MAX_REASON_BYTES {
            line.push_str(" …");
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Between two losses that are told. A server that answers one question and not the next would fill the log.
const QUIET: Duration = Duration::from_mins(10);

/// The log of one thing that is asked of the API server.
#[derive(Debug)]
pub(super) struct Contact {
    what: &'static str,
    loss: Option<Loss>,
    last_told: Option<Instant>,
}

#[derive(Debug)]
struct Loss {
    since: Instant,
    is_told: bool,
}

impl Contact {
    /// `what` is what one gets by it. It counts as there.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, loss: None, last_told: None }
    }

    /// It failed. Whether it did not before.
    pub(super) fn lost(&mut self, failure: &Failure, now: Instant) -> bool {
        let is_new = self.loss.is_none();
        let loss = self.loss.get_or_insert(Loss { since: now, is_told: false });
        let is_quiet = self.last_told.is_none_or(|last| now.duration_since(last) >= QUIET);
        if !loss.is_told && is_quiet {
            loss.is_told = true;
            self.last_told = Some(now);
            tracing::warn!("no {} from the Kubernetes API server, trying on: {failure}", self.what);
        } else {
            tracing::debug!("no {} from the Kubernetes API server: {failure}", self.what);
        }
        is_new
    }

    /// It succeeded.
    pub(super) fn regained(&mut self, now: Instant) {
        if let Some(Loss { since, is_told: true }) = self.loss.take() {
            let after_seconds = now.duration_since(since).as_secs();
            tracing::info!(after_seconds, "{} from the Kubernetes API server again", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_once_and_not_again_at_once() {
        let mut contact = Contact::new("names of pods");
        let failure = Failure::no_answer(Duration::from_secs(10));
        let start = Instant::now();
        let mut told = Vec::new();
        for minute in 0..60_u64 {
            let now = start + Duration::from_mins(minute);
            contact.lost(&failure, now);
            if contact.last_told == Some(now) {
                told.push(minute);
            }
            // Answers now and then, and at last no more.
            if minute < 12 && minute % 3 == 2 {
                contact.regained(now);
            }
        }
        assert_eq!(told, [0, 10, 20]);
    }

    #[test]
    fn a_loss_begins_with_the_first_failure() {
        let mut contact = Contact::new("names of pods");
        let failure = Failure::no_answer(Duration::from_secs(10));
        let now = Instant::now();
        assert_eq!([(); 3].map(|()| contact.lost(&failure, now)), [true, false, false]);
        contact.regained(now);
        assert_eq!([(); 2].map(|()| contact.lost(&failure, now)), [true, false]);
    }

    #[test]
    fn what_to_do_is_said_in_one_line() {
        for (code, expected) in
            [(401, "credentials"), (403, "ClusterRole"), (500, "nothing\\u{1b}[31m works")]
        {
            let status = Status::failure("nothing\n\x1b[31m works", "Reason").with_code(code);
            let text = Failure::from(&kube::Error::Api(status.boxed())).to_string();
            assert!(text.starts_with(&format!("{code} Reason: nothing")), "{text}");
            assert!(!text.contains(char::is_control), "{text}");
            assert!(code == 500 || text.contains(expected), "{text}");
        }
    }

    #[test]
    fn nothing_invisible_is_in_a_reason() {
        for character in
            ['\0', '\x07', '\r', '\x1b', '\x7f', '\u{85}', '\u{9b}', '\u{202e}', '\u{200b}', '\u{feff}']
        {
            let said = format!("begin{character}end");
            let status = Status::failure(&said, "Reason").with_code(500);
            let text = Failure::from(&kube::Error::Api(status.boxed())).to_string();
            assert!(!text.contains(is_invisible), "{text:?}");
            let text = chain(&std::io::Error::other(said));
            assert_eq!(text, "begin end");
        }
    }

    #[test]
    fn a_reason_has_a_bound() {
        for long in ["x".repeat(1 << 20), "x ".repeat(1 << 20)] {
            let status = Status::failure(&long, "Reason").with_code(500);
            let text = Failure::from(&kube::Error::Api(status.boxed())).to_string();
            assert!(text.len() <= MAX_REASON_BYTES + 8 && text.ends_with('…'), "{} bytes", text.len());
        }
    }
}
