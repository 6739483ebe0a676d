//! nginx as a strict gateway: alert `unrecognized_name` for every name but one.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use crate::netns::{Lab, listens};
use crate::process::Service;
use crate::{GATEWAY_PORTS, SERVER_NAME};

/// Starts nginx with `ssl_reject_handshake on` for hellos without SNI or with an unknown name, and
/// waits until it listens on the gateway's ports.
///
/// # Errors
/// When nginx is missing (`cargo xtask setup` installs it) or refuses the configuration.
pub fn start(lab: &Lab) -> Result<Service> {
    let configuration = lab.path("nginx.conf");
    let certificate = lab.certificate(SERVER_NAME)?;
    let listen = |options: &str| -> String {
        let lines = GATEWAY_PORTS
            .map(|port| format!("listen {port} ssl {options}; listen [::]:{port} ssl {options};"));
        lines.join("\n    ")
    };
    let text = format!(
        "daemon off;
user root;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory};
  server {{
    {default}
    ssl_reject_handshake on;
  }}
  server {{
    {named}
    server_name {SERVER_NAME};
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    return 200 \"hello\\n\";
  }}
}}
",
        directory = lab.directory().display(),
        default = listen("default_server"),
        named = listen(""),
        certificate = certificate.certificate.display(),
        key = certificate.key.display(),
    );
    fs::write(&configuration, text)?;
    let mut command = lab.gateway.command("nginx");
    command.arg("-c").arg(&configuration).arg("-e").arg(lab.path("nginx-error.log"));
    let mut service = Service::start("nginx", &mut command, lab.directory())?;
    service.wait_for("nginx to listen", Duration::from_secs(10), || {
        GATEWAY_PORTS.iter().all(|port| listens(&lab.gateway, *port))
    })?;
    Ok(service)
}
