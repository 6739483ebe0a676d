//! The kubelet's probes where the daemon speaks HTTPS and asks for passwords.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::cluster::{NAMESPACE, NODE_ADDRESS, is_ready};
use system_tests::manifests::{AUTHORIZATION, USERS};
use system_tests::process::run_ok;

use crate::site::{PORT, Release, cluster, make_namespace};

const TIMEOUT: Duration = Duration::from_secs(30);

/// The status that HTTPS answers with, with more arguments of curl.
fn status(path: &str, more: &[&str]) -> String {
    let (certificate, _) = cluster().certificate("ca");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--output", "/dev/null"]);
    curl.args(["--write-out", "%{http_code}"]).arg("--cacert").arg(certificate).args(more);
    run_ok(curl.arg(format!("https://{NODE_ADDRESS}:{PORT}{path}")), TIMEOUT).unwrap()
}

fn assert_answers(values: &Value) {
    make_namespace();
    let (certificate, key) = cluster().certificate("sni-probe");
    let words = ["-n", NAMESPACE, "create", "secret"];
    let users = cluster().write("users", USERS).unwrap();
    let make = |more: &[&str]| cluster().kubectl(&[&words[..], more].concat()).unwrap();
    cluster().kubectl(&["-n", NAMESPACE, "delete", "secret", "users", "tls", "--ignore-not-found"]).unwrap();
    make(&["generic", "users", "--from-file", &format!("users={users}")]);
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    make(&["tls", "tls", "--cert", certificate, "--key", key]);

    // Ready, or this fails.
    let _release = Release::install(values);
    assert_eq!(status("/api/v1/summary", &[]), "401");
    let header = format!("Authorization: {AUTHORIZATION}");
    assert_eq!(status("/api/v1/summary", &["--header", &header]), "200");
    assert_eq!(status("/metrics", &["--header", &header]), "200");
    // It stays so: no probe has killed it.
    let pods = cluster().pods(NAMESPACE).unwrap();
    assert!(pods.len() == 1 && is_ready(&pods[0]), "{pods:#?}");
    assert_eq!(pods[0]["status"]["containerStatuses"][0]["restartCount"], 0);
}

#[test]
fn https_with_the_probes_password() {
    assert_answers(&json!({ "web": {
        "auth": { "existingSecret": "users", "probeAuthorization": AUTHORIZATION },
        "tls": { "existingSecret": "tls" },
    } }));
}

#[test]
fn https_with_passwords_that_the_probes_do_not_know() {
    assert_answers(&json!({ "web": {
        "auth": { "existingSecret": "users" },
        "tls": { "existingSecret": "tls" },
    } }));
}
