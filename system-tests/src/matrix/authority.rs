//! The certificates of the matrix: an authority that clients and gateways trust, one that they do not, and leaves of both.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::SERVER_NAME;
use crate::process::run_ok;

const TIMEOUT: Duration = Duration::from_secs(20);

/// The certificate of a listener or of a client: the stem of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// The gateway's, valid.
    Gateway,
    /// The gateway's, for another name.
    WrongName,
    /// The gateway's, expired years ago.
    Expired,
    /// The gateway's, by an authority that clients do not trust.
    Distrusted,
    /// The client's, valid.
    Client,
    /// The client's, by an authority that gateways do not trust.
    Stranger,
}

impl Leaf {
    const ALL: [Self; 6] =
        [Self::Gateway, Self::WrongName, Self::Expired, Self::Distrusted, Self::Client, Self::Stranger];

    /// Returns the name of its files without their extensions: `crt`, `key`, `pem` (both), `p12` (password `changeit`).
    pub const fn stem(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::WrongName => "wrong-name",
            Self::Expired => "expired",
            Self::Distrusted => "distrusted",
            Self::Client => "client",
            Self::Stranger => "stranger",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gateway | Self::Expired | Self::Distrusted => SERVER_NAME,
            Self::WrongName => "other.mydomain.com",
            Self::Client | Self::Stranger => "client.mydomain.com",
        }
    }

    const fn authority(self) -> &'static str {
        match self {
            Self::Distrusted | Self::Stranger => "other-ca",
            Self::Gateway | Self::WrongName | Self::Expired | Self::Client => "ca",
        }
    }
}

/// Makes all certificates, and `ca.crt`, in a directory.
///
/// # Errors
/// When openssl is missing or fails.
pub fn create(directory: &Path) -> Result<()> {
    for authority in ["ca", "other-ca"] {
        let file = |extension: &str| format!("{authority}.{extension}");
        let subject = format!("/CN=lab {authority}");
        let words = ["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt"];
        let more =
            ["ec_paramgen_curve:P-256", "-subj", &subject, "-keyout", &file("key"), "-out", &file("crt")];
        openssl(directory, &[&words[..], &more].concat())?;
        // `openssl ca` can make an expired certificate, which `openssl x509` of 3.0 cannot.
        let mut text =
            String::from("[ca]\ndefault_ca = lab\n[lab]\nnew_certs_dir = .\ndefault_md = sha256\n");
        writeln!(
            text,
            "database = {authority}.txt\nunique_subject = no\ncopy_extensions = copy\npolicy = any"
        )?;
        writeln!(text, "rand_serial = yes\n[any]\ncommonName = supplied")?;
        fs::write(directory.join(file("cnf")), text)?;
        fs::write(directory.join(file("txt")), "")?;
    }
    Leaf::ALL.into_iter().try_for_each(|leaf| create_leaf(directory, leaf))
}

fn create_leaf(directory: &Path, leaf: Leaf) -> Result<()> {
    let file = |extension: &str| format!("{}.{extension}", leaf.stem());
    let (key, request, certificate) = (file("key"), file("csr"), file("crt"));
    let subject = format!("/CN={}", leaf.name());
    let names = format!("subjectAltName=DNS:{}", leaf.name());
    let words = ["req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", &subject];
    let more = ["-addext", &names, "-addext", "extendedKeyUsage=serverAuth,clientAuth"];
    openssl(directory, &[&words[..], &more, &["-keyout", &key, "-out", &request]].concat())?;
    let authority = |extension: &str| format!("{}.{extension}", leaf.authority());
    let (configuration, issuer, issuer_key) = (authority("cnf"), authority("crt"), authority("key"));
    let words =
        ["ca", "-batch", "-notext", "-config", &configuration, "-cert", &issuer, "-keyfile", &issuer_key];
    let validity: &[&str] = if leaf == Leaf::Expired {
        &["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]
    } else {
        &["-days", "30"]
    };
    openssl(directory, &[&words[..], validity, &["-in", &request, "-out", &certificate]].concat())?;
    let both = fs::read_to_string(directory.join(&certificate))? + &fs::read_to_string(directory.join(&key))?;
    fs::write(directory.join(file("pem")), both)?;
    let store = file("p12");
    let words = ["pkcs12", "-export", "-in", &certificate, "-inkey", &key, "-name", "key"];
    openssl(directory, &[&words[..], &["-passout", "pass:changeit", "-out", &store]].concat())
}

fn openssl(directory: &Path, words: &[&str]) -> Result<()> {
    let mut command = Command::new("openssl");
    run_ok(command.args(words).current_dir(directory), TIMEOUT).context("making certificates")?;
    Ok(())
}
