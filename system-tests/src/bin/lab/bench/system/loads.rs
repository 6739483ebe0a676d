//! Loads on the gateway's port, each for a time and with a number as its result.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::process::{Service, run_ok};
use system_tests::{GATEWAY_V4, Lab, SERVER_NAME};

const PORT: u16 = 443;
/// Connections at once.
const CONNECTIONS: usize = 8;
/// What one connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a load may take beyond its time.
const GRACE: Duration = Duration::from_secs(30);

/// Gigabits a second of one TCP connection to the gateway's port.
pub(super) fn throughput(lab: &Lab, time: Duration) -> Result<f64> {
    let mut server = lab.gateway.command("iperf3");
    server.args(["--server", "--one-off", "--port", &PORT.to_string(), "--forceflush"]);
    let mut server = Service::start("iperf3", &mut server, lab.directory())?;
    server
        .wait_for("iperf3 to listen", GRACE, || system_tests::netns::listens_by_table(&lab.gateway, PORT))?;
    let mut client = lab.client.command("iperf3");
    client.args(["--client", &GATEWAY_V4.to_string(), "--port", &PORT.to_string(), "--json"]);
    client.args(["--time", &time.as_secs().to_string()]);
    let text = run_ok(&mut client, time + GRACE)?;
    server.wait(GRACE)?;
    let json: Value = serde_json::from_str(&text).context("iperf3's answer")?;
    let bits = json["end"]["sum_received"]["bits_per_second"].as_f64().context("iperf3 received nothing")?;
    Ok(bits / 1e9)
}

/// Whole TLS connections a second, with SNI and one request each.
pub(super) fn handshakes(lab: &Lab, time: Duration) -> Result<f64> {
    let hosts = lab.path("hosts");
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n{GATEWAY_V4} {SERVER_NAME}\n"))?;
    let mut command: Command = lab.client.command("bash");
    // `ip netns exec` has given it a mount namespace of its own.
    command.args(["-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(hosts);
    command.args(["wrk", "--threads", "2", "--header", "Connection: close"]);
    command.args(["--connections", &CONNECTIONS.to_string(), "--duration", &format!("{}s", time.as_secs())]);
    command.arg(format!("https://{SERVER_NAME}/"));
    let text = run_ok(&mut command, time + GRACE)?;
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate: f64 = rate.context("wrk tells no rate")?.trim().parse()?;
    ensure!(rate > 0.0, "wrk has had no answer:\n{text}");
    // Of failed ones it counts the time and not the number.
    let failed = text.lines().find(|line| line.contains("Socket errors") || line.contains("Non-2xx"));
    ensure!(failed.is_none(), "not all requests were answered:\n{text}");
    Ok(rate)
}

/// Connections a second whose hello has no SNI, so that Envoy resets them.
pub(super) fn resets(lab: &Lab, time: Duration) -> Result<f64> {
    let begun = Instant::now();
    let counts = lab.client.run_in_thread(|| {
        // Threads are born in the namespace of the one that starts them.
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| thread::spawn(move || reset_for(time))).collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("no client panics"))
            .collect::<Result<Vec<u64>>>()
    })??;
    let count = u32::try_from(counts.into_iter().sum::<u64>())?;
    ensure!(count > 0, "the gateway has reset nobody");
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// One client after the other.
fn reset_for(time: Duration) -> Result<u64> {
    let hello = ClientHelloBuilder::new().padded_to(517).build();
    let end = Instant::now() + time;
    let mut count = 0;
    while Instant::now() < end {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(GATEWAY_V4, PORT), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&hello)?;
        match stream.read(&mut [0; 8]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error).context("waiting for the gateway's reset"),
            Ok(count) => bail!("{count} bytes instead of a reset"),
        }
        count += 1;
    }
    Ok(count)
}
