//! `--auth-file`: who may see the pages, by basic authentication (RFC 7617).
//!
//! The file is that of Apache's `htpasswd -B`: a line for each user, `name:hash`, the hash by bcrypt. Checking one takes
//! a tenth of a second of processor time by intent. That is done beside the daemon's thread, one at a time, and only for
//! peers that have not sent too many wrong ones; the last right password of each user is known again by a keyed
//! digest, so a scrape every few seconds costs nothing. A file that has changed is read again.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use axum::http::HeaderValue;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::failures::Failures;
use super::renewed::{self, Renewed};

/// bcrypt's cost, in powers of two: at 14 a check takes about a second, at 17, htpasswd's highest, eight.
const MAX_COST: u32 = 14;
/// Passwords that wait for being checked. More are refused at once.
const MAX_WAITING: usize = 8;
/// How long one waits; then it is refused as well.
const MAX_WAIT: Duration = Duration::from_secs(3);
/// The beginnings of bcrypt's hashes: Apache's, and those of other programs. `$2x$` marks those of a broken one.
const PREFIXES: [&str; 3] = ["$2y$", "$2b$", "$2a$"];

/// The users, and what has been learned of them.
#[derive(Debug)]
pub(super) struct Auth {
    users: Renewed<Users>,
    /// Of the digests of passwords that were right.
    key: [u8; 32],
    /// Chooses the hash against which the password of an unknown user is checked.
    decoys: RandomState,
    failures: Mutex<Failures>,
    waiting: Arc<Semaphore>,
    checking: Arc<Semaphore>,
}

type Users = BTreeMap<String, User>;

#[derive(Debug)]
struct User {
    hash: String,
    /// Keyed digest of the last password that was right.
    known: Mutex<Option<[u8; 32]>>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authentication {
    /// Its user is who he says.
    Allowed,
    /// It names nobody, or not his password.
    Denied,
    /// Too many wrong passwords were sent to say.
    TooMany,
}

impl Auth {
    /// Reads the file.
    ///
    /// # Errors
    /// Names the file and the line.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let file = path.to_owned();
        let users = Renewed::load("users", vec![path.to_owned()], move || {
            let shown = file.display();
            let text = renewed::read(&file)
                .and_then(|text| String::from_utf8(text).context("it is no text in UTF-8"));
            let text = text.with_context(|| format!("cannot read --auth-file {shown}"))?;
            parse(&text).with_context(|| format!("--auth-file {shown}"))
        })?;
        let mut key = [0; 32];
        getrandom(&mut key, GetRandomFlags::empty()).context("cannot get random bytes from the kernel")?;
        Ok(Self {
            users,
            key,
            decoys: RandomState::new(),
            failures: Mutex::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            checking: Arc::new(Semaphore::new(1)),
        })
    }

    /// Whether a request with this `Authorization` header may pass.
    pub(super) async fn check(&self, authorization: Option<&HeaderValue>, peer: IpAddr) -> Authentication {
        let Some((name, password)) = authorization.and_then(credentials) else {
            return Authentication::Denied;
        };
        let digest = self.digest(&name, &password);
        let users = self.users.get(Instant::now()).await;
        let user = users.get(&name);
        // Digests need no comparison in constant time: without the key nobody can choose one.
        if user.is_some_and(|user| *lock(&user.known) == Some(digest)) {
            return Authentication::Allowed;
        }
        if !lock(&self.failures).may_try(peer, Instant::now()) {
            return Authentication::TooMany;
        }
        let Ok(waiting) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Authentication::TooMany;
        };
        let turn = Arc::clone(&self.checking).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(MAX_WAIT, turn).await else { return Authentication::TooMany };
        let hash =
            user.or_else(|| self.decoy(&users, &name)).map(|user| user.hash.clone()).unwrap_or_default();
        let check = tokio::task::spawn_blocking(move || {
            // Whoever asked may have gone: the places are taken until the work is done.
            let _places = (waiting, turn);
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        let is_right = check.await.unwrap_or(false);
        match user {
            Some(user) if is_right => {
                *lock(&user.known) = Some(digest);
                lock(&self.failures).was_right(peer);
                Authentication::Allowed
            }
            _ => {
                tracing::debug!(%peer, "wrong user or password");
                Authentication::Denied
            }
        }
    }

    /// Any user, but always the same for one name: an answer takes as long as for somebody who is there.
    fn decoy<'users>(&self, users: &'users Users, name: &str) -> Option<&'users User> {
        let index = self.decoys.hash_one(name).checked_rem(users.len() as u64)?;
        users.values().nth(usize::try_from(index).ok()?)
    }

    /// Keyed digest of a name and its password. The colon ends the name, for a name has none.
    fn digest(&self, name: &str, password: &[u8]) -> [u8; 32] {
        let digest = Sha256::new().chain_update(self.key).chain_update(name).chain_update(":");
        digest.chain_update(password).chain_update(self.key).finalize().into()
    }
}

fn parse(text: &str) -> anyhow::Result<Users> {
    let mut users = BTreeMap::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, hash) = parse_line(line).with_context(|| format!("line {number}"))?;
        let user = User { hash: hash.to_owned(), known: Mutex::new(None) };
        if users.insert(name.to_owned(), user).is_some() {
            bail!("line {number}: the user {name:?} is there twice; remove one of the lines");
        }
    }
    ensure!(!users.is_empty(), "there is no user in it; add one with: htpasswd -B FILE NAME");
    Ok(users)
}

/// Name and hash of a user. The error does not show the hash: it goes to logs.
fn parse_line(line: &str) -> anyhow::Result<(&str, &str)> {
    const ADVICE: &str = "make such lines with: htpasswd -B FILE NAME";
    let Some((name, hash)) = line.split_once(':') else {
        bail!("expected a name, a colon and a bcrypt hash; {ADVICE}")
    };
    ensure!(!name.is_empty(), "there is no name before the colon; {ADVICE}");
    ensure!(
        PREFIXES.iter().any(|prefix| hash.starts_with(prefix)),
        "the password of {name:?} is not hashed by bcrypt ($2y$…); {ADVICE}"
    );
    let Ok(parts) = hash.parse::<HashParts>() else { bail!("the hash of {name:?} is damaged; {ADVICE}") };
    let cost = parts.get_cost();
    ensure!(
        (4..=MAX_COST).contains(&cost),
        "the hash of {name:?} has the cost {cost}, and 4 to {MAX_COST} can be checked; \
         make it anew with: htpasswd -B -C 10 FILE NAME"
    );
    Ok((name, hash))
}

/// The user's name and password.
fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = str::from_utf8(&decoded[..colon]).ok()?;
    Some((name.to_owned(), decoded[colon + 1..].to_vec()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What they guard is replaced whole, never half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
