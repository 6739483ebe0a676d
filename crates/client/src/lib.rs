//! A daemon as the source: its API by HTTP or HTTPS.
#![forbid(unsafe_code)]

mod trust;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use sni_probe_model::api::{Facts, Snapshot};
use sni_probe_terminal::printable;
use ureq::http::{StatusCode, Uri, header};
use ureq::tls::{PemItem, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use self::trust::TrustingConnector;

/// From the request to the end of the answer; there are two or three requests.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer: 10,000 clients at 3 KB. Stops an endless answer.
const MAX_ANSWER_BYTES: u64 = 32 * 1024 * 1024;
/// Connections are kept for the next look, but not so long that the daemon closes them meanwhile.
const MAX_IDLE: Duration = Duration::from_secs(2);
/// Bytes of the password's file. Stops a file that is something else.
const MAX_PASSWORD_BYTES: usize = 1024;

/// The daemon to ask, and its credentials.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The daemon's URL.
    pub url: Option<String>,
    /// The name of the user, with [`Self::password_file`].
    pub user: Option<String>,
    /// The file with the user's password.
    pub password_file: Option<PathBuf>,
    /// The file with certificates of which one must have signed the daemon's, in PEM; Mozilla's list without one.
    pub ca: Option<PathBuf>,
}

/// A daemon that can be asked.
pub struct Daemon {
    agent: ureq::Agent,
    /// With scheme and without a slash at the end.
    base: String,
    /// The header `Authorization`.
    authorization: Option<String>,
}

impl Daemon {
    /// Reads the files that the options name; asks nothing yet.
    ///
    /// # Errors
    /// If the URL is none, or a file cannot be used.
    pub fn new(url: &str, config: &Config) -> anyhow::Result<Self> {
        let base = base(url)?;
        let authorization = match (&config.user, &config.password_file) {
            (Some(user), Some(file)) => Some(authorization(user, file)?),
            _ => None,
        };
        let agent_config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // Credentials are for this daemon and no other server.
            .max_redirects(0)
            // It is reached directly, or by `kubectl port-forward`.
            .proxy(None)
            .max_idle_connections(1)
            .max_idle_age(MAX_IDLE)
            .user_agent(concat!("sni-probe/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = match &config.ca {
            Some(file) => {
                let connector = TcpConnector::default().chain(TrustingConnector::new(certificates(file)?)?);
                ureq::Agent::with_parts(agent_config, connector, DefaultResolver::default())
            }
            None => agent_config.new_agent(),
        };
        Ok(Self { agent, base, authorization })
    }

    /// Its URL.
    pub fn name(&self) -> String {
        self.base.clone()
    }

    /// Asks it for all that `watch` shows, and for its last handshakes if they are wanted.
    ///
    /// # Errors
    /// In one line: what went wrong, what to do. Which daemon it is the caller knows.
    pub fn fetch(&self, with_handshakes: bool) -> anyhow::Result<Snapshot> {
        Ok(Snapshot {
            summary: self.get("/api/v1/summary")?,
            clients: self.get("/api/v1/clients")?,
            handshakes: with_handshakes.then(|| self.get("/api/v1/handshakes")).transpose()?,
        })
    }

    /// Asks the daemon what the refusals show; `None` of a daemon that does not know this.
    ///
    /// # Errors
    /// In one line: what went wrong, what to do.
    pub fn facts(&self) -> anyhow::Result<Option<Facts>> {
        const PATH: &str = "/api/v1/facts";
        let (status, body) = self.answer(PATH)?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.check(status, PATH, &body)?;
        parsed(PATH, &body).map(Some)
    }

    /// Asks for a page, and gives what it says with whatever status (`/readyz` speaks with 503 as well).
    ///
    /// # Errors
    /// If no whole answer came.
    pub fn answer(&self, path: &str) -> anyhow::Result<(StatusCode, Vec<u8>)> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.get(&url).header(header::ACCEPT, "*/*");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let mut answer = request.call().map_err(|error| explain(&error))?;
        // The body of a refusal is not waited for.
        if answer.status().is_redirection() || answer.status() == StatusCode::UNAUTHORIZED {
            return Ok((answer.status(), Vec::new()));
        }
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        let body = body.read_to_vec().map_err(|error| explain(&error))?;
        Ok((answer.status(), body))
    }

    /// Asks for a page that has to be there.
    fn page(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let (status, body) = self.answer(path)?;
        self.check(status, path, &body)?;
        Ok(body)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        parsed(path, &self.page(path)?)
    }

    /// # Errors
    /// If the status is not that of an answer; with the first line of its body, in which a daemon says why.
    pub fn check(&self, status: StatusCode, path: &str, body: &[u8]) -> anyhow::Result<()> {
        let error = match status {
            StatusCode::OK => return Ok(()),
            StatusCode::UNAUTHORIZED if self.authorization.is_some() => anyhow!(
                "the daemon does not take this user and password; see its --auth-file, and --user and \
                 --password-file here"
            ),
            StatusCode::UNAUTHORIZED => {
                anyhow!("the daemon asks for a user and a password; see --user and --password-file")
            }
            StatusCode::NOT_FOUND => {
                anyhow!("{path}: not found; is this an sni-probe, without --web off?")
            }
            status if status.is_redirection() => {
                anyhow!(
                    "{path}: the answer sends elsewhere ({status}); give the daemon's own address to --url"
                )
            }
            status => anyhow!("{path}: the answer is {status}"),
        };
        let reason = String::from_utf8_lossy(body).lines().next().map(printable).unwrap_or_default();
        if reason.is_empty() { Err(error) } else { bail!("{error:#} ({reason})") }
    }
}

fn parsed<T: DeserializeOwned>(path: &str, body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        anyhow!("{path}: the answer is not understood: {error}; is this an sni-probe of the same version?")
    })
}

/// What to say when no answer came.
fn explain(error: &ureq::Error) -> anyhow::Error {
    const RUNNING: &str = "is the daemon running?";
    let (said, hint) = match error {
        ureq::Error::Rustls(error) => (error.to_string(), tls_hint(error)),
        ureq::Error::Io(error) => {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => (error.to_string(), tls_hint(error)),
                // Without the number of the system's error.
                None if error.raw_os_error().is_some() => (error.kind().to_string(), RUNNING),
                None => (error.to_string(), RUNNING),
            }
        }
        ureq::Error::ConnectionFailed => (error.to_string(), RUNNING),
        ureq::Error::Timeout(_) => {
            (error.to_string(), "is the daemon busy, or the port closed by a firewall?")
        }
        ureq::Error::HostNotFound => (error.to_string(), "is the name in --url right?"),
        ureq::Error::BodyExceedsLimit(_) => (error.to_string(), "is this an sni-probe?"),
        _ => (error.to_string(), "is the URL right?"),
    };
    anyhow!("{said}; {hint}")
}

fn tls_hint(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError, Error, InvalidMessage};
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "use a name in --url that is in the daemon's certificate (subjectAltName)",
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "see the daemon's --tls-cert"
        }
        Error::InvalidCertificate(_) => "give the daemon's certificate, or that of its CA, with --ca",
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "does the daemon speak http, not https?",
        _ => "see the daemon's --tls-cert",
    }
}

/// The URL with a scheme and without a slash at the end.
fn base(url: &str) -> anyhow::Result<String> {
    const EXPECTED: &str = "expected one such as http://localhost:9917";
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = whole.parse().map_err(|error| anyhow!("--url {url}: {error}; {EXPECTED}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        bail!("--url {url}: neither http nor https; {EXPECTED}");
    }
    // Not told with the URL: a password may be in it.
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        bail!(
            "--url: a user does not belong into the URL, where others see it; see --user and --password-file"
        );
    }
    if uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
        bail!("--url {url}: no address of a daemon; {EXPECTED}");
    }
    // A port that is none is no port to the parser.
    let port = uri.authority().and_then(|authority| authority.as_str().rsplit_once(':'));
    if port.is_some_and(|(_, port)| !port.ends_with(']') && port.parse::<u16>().is_err()) {
        bail!("--url {url}: the port is not one of 1 to 65535; {EXPECTED}");
    }
    Ok(whole.trim_end_matches('/').to_owned())
}

fn authorization(user: &str, file: &Path) -> anyhow::Result<String> {
    let name = file.display();
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the password from {name}; see --password-file"))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > MAX_PASSWORD_BYTES || password.contains('\n') {
        bail!("--password-file {name}: expected one line, the password of --user");
    }
    if user.contains(':') {
        bail!("--user {user}: a colon cannot be in a user's name");
    }
    Ok(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let name = file.display();
    let pem = fs::read(file).with_context(|| format!("cannot read certificates from {name}; see --ca"))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        let item = item.with_context(|| format!("--ca {name}: expected certificates in PEM"))?;
        // A private key beside the certificate is none of our business.
        if let PemItem::Certificate(certificate) = item {
            certificates.push(certificate.der().to_vec().into());
        }
    }
    if certificates.is_empty() {
        bail!("--ca {name}: no certificate in it; expected some in PEM");
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests;
