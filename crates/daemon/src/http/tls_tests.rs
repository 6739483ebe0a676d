use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::http::renewed::LOOK_INTERVAL;

// Certificates of a.example and b.example for a hundred years, and their keys; made for these tests.
const A: (&str, &str) = (include_str!("testdata/a.crt"), include_str!("testdata/a.key"));
const B: (&str, &str) = (include_str!("testdata/b.crt"), include_str!("testdata/b.key"));

struct Directory(tempfile::TempDir);

impl Directory {
    fn new((certificate, key): (&str, &str)) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        fs::write(directory.certificate(), certificate).unwrap();
        fs::write(directory.key(), key).unwrap();
        directory
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("tls.crt")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("tls.key")
    }

    fn load(&self) -> anyhow::Result<Tls> {
        Tls::load(&self.certificate(), &self.key())
    }
}

#[test]
fn a_certificate_and_its_key() {
    let tls = Directory::new(A).load().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(tls.0.get(Instant::now())).alpn_protocols, [b"http/1.1"]);
    // Certificate and key in one file, and a chain.
    let all = format!("{}{}{}", A.1, A.0, B.0);
    Directory::new((&all, &all)).load().unwrap();
}

#[test]
fn what_is_no_good_is_told_with_the_file() {
    let damaged = A.0.replacen("MII", "AAA", 1);
    let cut = &A.0[..A.0.len() / 2];
    let encrypted = A.1.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cases = [
        (("", A.1), "tls.crt: there is no certificate in PEM in it"),
        ((A.1, A.1), "tls.crt: there is no certificate in PEM in it"),
        ((cut, A.1), "tls.crt: it is no good PEM"),
        ((&damaged, A.1), "tls.crt with --tls-key"),
        ((A.0, ""), "tls.key: there is no private key without a passphrase in PEM in it"),
        ((A.0, A.0), "tls.key: there is no private key"),
        ((A.0, &encrypted), "tls.key: there is no private key without a passphrase"),
        ((A.0, B.1), "is not the key of the certificate"),
    ];
    for (files, expected) in cases {
        let error = format!("{:#}", Directory::new(files).load().unwrap_err());
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let missing = Directory::new(A);
    fs::remove_file(missing.key()).unwrap();
    let error = format!("{:#}", missing.load().unwrap_err());
    assert!(error.contains("--tls-key") && error.contains("No such file"), "{error}");
}

#[test]
fn a_renewed_certificate_is_taken_and_a_bad_one_is_not() {
    let directory = Directory::new(A);
    let tls = directory.load().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut now = Instant::now();
    let first = runtime.block_on(tls.0.get(now));
    let mut after = |interval: Duration| {
        now += interval;
        runtime.block_on(tls.0.get(now))
    };

    // Half of a change: the certificate first.
    fs::write(directory.certificate(), B.0).unwrap();
    assert!(Arc::ptr_eq(&first, &after(LOOK_INTERVAL / 2)), "it was looked at too early");
    assert!(Arc::ptr_eq(&first, &after(LOOK_INTERVAL)), "a certificate without its key was taken");
    fs::write(directory.key(), B.1).unwrap();
    let second = after(LOOK_INTERVAL);
    assert!(!Arc::ptr_eq(&first, &second), "the renewed certificate was not taken");

    fs::remove_file(directory.certificate()).unwrap();
    assert!(Arc::ptr_eq(&second, &after(LOOK_INTERVAL)));
    fs::write(directory.certificate(), B.0).unwrap();
    assert!(!Arc::ptr_eq(&second, &after(LOOK_INTERVAL)));
}
