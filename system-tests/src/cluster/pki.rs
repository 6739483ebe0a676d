//! Keys, certificates and kubeconfigs of the cluster, made by the openssl command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{ControlPlane, NODE, NODE_ADDRESS, SERVER_NAME, TOOL_TIMEOUT};
use crate::process::run_ok;

/// Parties of the cluster: name, subject, names and addresses in the certificate.
const PARTIES: [(&str, &str, &str); 8] = [
    (
        "apiserver",
        "/CN=kube-apiserver",
        "DNS:kubernetes,DNS:kubernetes.default,IP:127.0.0.1,IP:NODE_ADDRESS,IP:10.96.0.1",
    ),
    ("admin", "/O=system:masters/CN=admin", ""),
    ("controller-manager", "/CN=system:kube-controller-manager", ""),
    ("scheduler", "/CN=system:kube-scheduler", ""),
    ("kubelet-client", "/O=system:masters/CN=apiserver", ""),
    ("kubelet", "/O=system:nodes/CN=system:node:NODE", "DNS:NODE,IP:NODE_ADDRESS"),
    ("gateway", "/CN=SERVER_NAME", "DNS:SERVER_NAME"),
    ("sni-probe", "/CN=sni-probe", "IP:NODE_ADDRESS"),
];

/// All of them, in one directory.
#[derive(Debug)]
pub(super) struct Pki {
    directory: PathBuf,
}

impl Pki {
    pub(super) fn create(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let pki = Self { directory: directory.to_owned() };
        pki.request(
            "ca",
            "/CN=ca",
            "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,digitalSignature\n",
        )?;
        for (name, subject, alternatives) in PARTIES {
            let fill = |text: &str| {
                let text = text.replace("NODE_ADDRESS", &NODE_ADDRESS.to_string());
                text.replace("SERVER_NAME", SERVER_NAME).replace("NODE", NODE)
            };
            let mut extensions = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n\
                extendedKeyUsage=serverAuth,clientAuth\n"
                .to_owned();
            if !alternatives.is_empty() {
                extensions += "subjectAltName=";
                extensions += &fill(alternatives);
            }
            pki.request(name, &fill(subject), &extensions)?;
        }
        // Signatures of ECDSA differ from time to time, so a token that is made anew differs from the old one.
        let key = pki.path("service-accounts.key");
        let curve = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"];
        run_ok(Command::new("openssl").args(curve).arg(&key), TOOL_TIMEOUT)?;
        let mut public = Command::new("openssl");
        public.args(["pkey", "-pubout", "-in"]).arg(&key).arg("-out").arg(pki.path("service-accounts.pub"));
        run_ok(&mut public, TOOL_TIMEOUT)?;
        for name in ["admin", "controller-manager", "scheduler", "kubelet"] {
            let (certificate, key) = pki.certificate(name);
            let user = json!({ "client-certificate": certificate, "client-key": key });
            pki.write_kubeconfig(name, &user)?;
        }
        Ok(pki)
    }

    /// Makes a key and a certificate for it; the authority's own is signed by itself.
    fn request(&self, name: &str, subject: &str, extensions: &str) -> Result<()> {
        let configuration = self.path(&format!("{name}.cnf"));
        fs::write(
            &configuration,
            format!(
                "[req]\ndistinguished_name=none\nx509_extensions=extensions\n[none]\n[extensions]\n{extensions}"
            ),
        )?;
        let (certificate, key) = self.certificate(name);
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-nodes", "-days", "9", "-subj", subject, "-config"])
            .arg(&configuration);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        if name != "ca" {
            let (authority, authority_key) = self.certificate("ca");
            openssl.arg("-CA").arg(authority).arg("-CAkey").arg(authority_key);
        }
        openssl.arg("-keyout").arg(key).arg("-out").arg(certificate);
        run_ok(&mut openssl, TOOL_TIMEOUT).with_context(|| format!("making the certificate of {name}"))?;
        Ok(())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A party's certificate and key.
    pub(super) fn certificate(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")))
    }

    pub(super) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.kubeconfig"))
    }

    pub(super) fn kubeconfig_with_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.write_kubeconfig(name, &json!({ "token": token }))
    }

    fn write_kubeconfig(&self, name: &str, user: &Value) -> Result<PathBuf> {
        let path = self.kubeconfig(name);
        let authority = self.certificate("ca").0;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "c",
                "cluster": { "server": ControlPlane::server(), "certificate-authority": authority },
            }],
            "users": [{ "name": "u", "user": user }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "x",
        });
        fs::write(&path, config.to_string()).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}
