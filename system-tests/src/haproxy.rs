//! `HAProxy` as a strict gateway: alert `unrecognized_name` for every name but one.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use crate::netns::{Lab, listens};
use crate::process::Service;
use crate::{GATEWAY_PORTS, SERVER_NAME};

/// Starts `HAProxy` with `strict-sni`, and waits until it listens on the gateway's ports.
///
/// # Errors
/// When haproxy is missing (`cargo xtask setup` installs it) or refuses the configuration.
pub fn start(lab: &Lab) -> Result<Service> {
    let configuration = lab.path("haproxy.cfg");
    let certificate = lab.certificate(SERVER_NAME)?.combined;
    let binds = GATEWAY_PORTS
        .map(|port| format!("  bind :::{port} v4v6 ssl crt {} strict-sni\n", certificate.display()));
    let text = format!(
        "defaults
  mode http
  timeout client 15s
  timeout connect 5s
  timeout server 15s
frontend gateway
{}  http-request return status 200 content-type text/plain string hello
",
        binds.concat()
    );
    fs::write(&configuration, text)?;
    let mut command = lab.gateway.command("haproxy");
    // -db: in the foreground, one process, so that its pid is the child's.
    command.arg("-db").arg("-f").arg(&configuration);
    let mut service = Service::start("haproxy", &mut command, lab.directory())?;
    service.wait_for("haproxy to listen", Duration::from_secs(10), || {
        GATEWAY_PORTS.iter().all(|port| listens(&lab.gateway, *port))
    })?;
    Ok(service)
}
