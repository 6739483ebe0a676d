//! Self-signed certificates, made by the openssl command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::run_ok;

/// The algorithm of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA over P-256.
    Ecdsa,
    /// RSA with 2,048 bits: takes longer to make, and clients that know no curves take it.
    Rsa,
}

/// A certificate and its key as files.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Both in one file, as `HAProxy` wants them.
    pub combined: PathBuf,
}

impl Certificate {
    /// Makes a certificate for `name` in `directory`, or gives the one that is there.
    ///
    /// # Errors
    /// When openssl is missing or fails.
    pub fn create(directory: &Path, name: &str, algorithm: Algorithm) -> Result<Self> {
        let file = |extension: &str| directory.join(format!("{}.{extension}", name.replace('*', "wildcard")));
        let made = Self { certificate: file("crt"), key: file("key"), combined: file("pem") };
        if made.combined.exists() {
            return Ok(made);
        }
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "30", "-subj", &format!("/CN={name}")]);
        match algorithm {
            Algorithm::Ecdsa => openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
            Algorithm::Rsa => openssl.args(["-newkey", "rsa:2048"]),
        };
        openssl.args(["-addext", &format!("subjectAltName=DNS:{name}")]);
        openssl.arg("-keyout").arg(&made.key).arg("-out").arg(&made.certificate);
        run_ok(&mut openssl, Duration::from_secs(20)).context("making a certificate")?;
        let combined = fs::read_to_string(&made.certificate)? + &fs::read_to_string(&made.key)?;
        fs::write(&made.combined, combined)?;
        Ok(made)
    }
}
