//! Real TLS clients, run in the client's namespace, each with a timeout.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

use crate::netns::{Lab, Namespace, bracketed};
use crate::process::{Finished, run};

/// How long a client may take. Longer than the gateway's patience in any test that waits for it.
const TIMEOUT: Duration = Duration::from_secs(25);

/// What a client sends as SNI, and to which address.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The gateway's address and port.
    pub address: SocketAddr,
    /// The name to ask for; none: the client connects to the bare IP address.
    pub server_name: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Port 443 of `address`.
    pub fn https(address: IpAddr, server_name: Option<&'a str>) -> Self {
        Self { address: SocketAddr::new(address, 443), server_name }
    }
}

/// One request by curl that trusts any certificate.
///
/// # Errors
/// When curl is missing or hangs; what the gateway did is in the result's exit code.
pub fn curl(lab: &Lab, target: Target<'_>, options: &[&str]) -> Result<Finished> {
    let mut command = lab.client.command("curl");
    let port = target.address.port();
    // Not even a proxy of the user's environment may come between.
    command.args(["--silent", "--show-error", "--insecure", "--noproxy", "*", "--max-time", "20"]);
    command.args(options);
    if let Some(name) = target.server_name {
        let address = bracketed(target.address.ip());
        command.args(["--resolve", &format!("{name}:{port}:{address}")]);
        command.arg(format!("https://{name}:{port}/"));
    } else {
        command.arg(format!("https://{}/", target.address));
    }
    run(&mut command, TIMEOUT)
}

/// One handshake by `openssl s_client`, with the server name or `-noservername`.
///
/// # Errors
/// When openssl is missing or hangs; what the gateway did is in the result.
pub fn openssl(lab: &Lab, target: Target<'_>, options: &[&str]) -> Result<Finished> {
    openssl_in(&lab.client, target, options)
}

/// [`openssl`] in this namespace.
///
/// # Errors
/// As [`openssl`].
pub fn openssl_in(namespace: &Namespace, target: Target<'_>, options: &[&str]) -> Result<Finished> {
    let mut command = namespace.command("openssl");
    command.args(["s_client", "-connect", &target.address.to_string()]);
    match target.server_name {
        Some(name) => command.args(["-servername", name]),
        None => command.arg("-noservername"),
    };
    command.args(options);
    run(&mut command, TIMEOUT)
}

/// A handshake by `openssl s_client` that offers TLS 1.0 and nothing later.
///
/// # Errors
/// As [`openssl`].
pub fn openssl_tls10(lab: &Lab, target: Target<'_>) -> Result<Finished> {
    let mut command = lab.client.command("openssl");
    // Debian's openssl.cnf and the default security level both forbid TLS 1.0.
    command.env("OPENSSL_CONF", "/dev/null");
    command.args(["s_client", "-connect", &target.address.to_string()]);
    match target.server_name {
        Some(name) => command.args(["-servername", name]),
        None => command.arg("-noservername"),
    };
    command.args(["-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"]);
    run(&mut command, TIMEOUT)
}

/// One request by Python's `ssl` module, which sends no SNI for an IP address.
///
/// # Errors
/// When python3 is missing or hangs; what the gateway did is in the result.
pub fn python(lab: &Lab, target: Target<'_>) -> Result<Finished> {
    const PROGRAM: &str = "
import socket, ssl, sys
host, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with socket.create_connection((host, port), timeout=20) as plain:
    with context.wrap_socket(plain, server_hostname=name) as tls:
        tls.sendall(b'GET / HTTP/1.1\\r\\nHost: ' + name.encode() + b'\\r\\nConnection: close\\r\\n\\r\\n')
        while tls.recv(4096):
            pass
";
    let host = target.address.ip().to_string();
    let port = target.address.port().to_string();
    let mut command = lab.client.command("python3");
    command.args(["-I", "-c", PROGRAM, &host, &port, target.server_name.unwrap_or(&host)]);
    run(&mut command, TIMEOUT)
}
