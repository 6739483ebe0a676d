//! The network between clients and gateway: what it drops, and what the kernels on its ends are told.
//!
//! ```text
//! client ── output ──▶ │ watched │ ── input ──▶ gateway
//! client ◀── input ─── │interface│ ◀── output ── gateway
//! ```
//!
//! A packet that is dropped in one of the two output chains never reaches the watched interface: it sees the
//! retransmission only. One that is dropped in one of the two input chains was seen, and is seen again.
//!
//! A RST is never dropped, because no kernel sends it again; but see [`Port::Resetting`]. A SYN-ACK is not dropped in the
//! gateway's output chain: Linux forgets a connection that waits for the client's ACK when it cannot send the SYN-ACK
//! again (`reqsk_timer_handler`, seen with 6.18), and then the gateway knows nothing of a connection that the client holds
//! to be open.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::behaviour::Port;
use crate::GATEWAY_INTERFACE;
use crate::netns::{Lab, Namespace};
use crate::process::{Service, run_ok};

/// The table's name in both namespaces, which take it with them.
const TABLE: &str = "ledger";
/// How long nft may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Packets dropped at each of the four places, of a thousand.
const DROPPED_OF_1000: u32 = 4;

/// Settings of both kernels' TCP: clients send data in a SYN without a cookie and servers take it, on all sockets that
/// listen; neither stops that after losses; no connection inherits the metrics of an earlier one.
const SETTINGS: [(&str, &str); 3] = [
    ("net/ipv4/tcp_fastopen", "1543"),
    ("net/ipv4/tcp_fastopen_blackhole_timeout_sec", "0"),
    ("net/ipv4/tcp_no_metrics_save", "1"),
];

/// What the kernels counted of what this is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kernel {
    /// Packets that were dropped before the watched interface saw them.
    pub(super) dropped_before: u64,
    /// Packets that were dropped after that.
    pub(super) dropped_after: u64,
    /// Segments that were sent again, of both sides.
    pub(super) retransmitted: u64,
    /// Connections whose hello the gateway took from the SYN.
    pub(super) fast_open: u64,
    /// Challenge ACKs of the gateway.
    pub(super) challenges: u64,
}

/// Sets the kernels and loads the rules.
pub(super) fn prepare(lab: &Lab) -> Result<()> {
    for namespace in [&lab.client, &lab.gateway] {
        namespace.run_in_thread(|| -> Result<()> {
            for (name, value) in SETTINGS {
                // Those of the calling thread's namespace.
                let path = Path::new("/proc/sys").join(name);
                fs::write(&path, value).with_context(|| format!("writing {}", path.display()))?;
            }
            Ok(())
        })??;
    }
    load(&lab.client, &lab.path("client.nft"), &client_rules())?;
    load(&lab.gateway, &lab.path("gateway.nft"), &gateway_rules())
}

fn load(namespace: &Namespace, path: &Path, rules: &str) -> Result<()> {
    fs::write(path, rules)?;
    run_ok(namespace.command("nft").arg("-f").arg(path), TIMEOUT)?;
    Ok(())
}

fn client_rules() -> String {
    let hidden = format!("tcp sport {} tcp flags & rst == rst drop", Port::Resetting.number());
    rules(&[dropped_of("dport", "rst")], &[hidden, dropped_of("sport", "rst")])
}

fn gateway_rules() -> String {
    rules(&[dropped_of("sport", "(rst | syn)")], &[dropped_of("dport", "rst")])
}

/// A rule for packets without these flags whose source or destination port, as `port` says, is one of the gateway's.
fn dropped_of(port: &str, without: &str) -> String {
    let ports = Port::WITH_DROPS.map(|port| port.number().to_string()).join(", ");
    format!(
        "tcp {port} {{ {ports} }} tcp flags & {without} == 0 \
         numgen random mod 1000 < {DROPPED_OF_1000} counter drop"
    )
}

fn rules(output: &[String], input: &[String]) -> String {
    let chain = |hook: &str, rules: &[String]| {
        format!("chain {hook} {{\ntype filter hook {hook} priority 0\n{}\n}}\n", rules.join("\n"))
    };
    format!("table inet {TABLE} {{\n{}{}}}\n", chain("output", output), chain("input", input))
}

/// Writes the packets of the watched interface to a file, until it is dropped.
pub(super) fn capture(lab: &Lab, path: &Path) -> Result<Service> {
    let mut command = lab.gateway.command("tcpdump");
    command.args(["-i", GATEWAY_INTERFACE, "-s", "256", "-B", "65536", "-w"]).arg(path).arg("tcp");
    let mut service = Service::start("tcpdump", &mut command, lab.directory())?;
    let stderr = lab.path("tcpdump.err");
    service.wait_for("tcpdump", TIMEOUT, || {
        fs::read_to_string(&stderr).is_ok_and(|text| text.contains("listening on"))
    })?;
    Ok(service)
}

/// Reads what has been counted so far.
pub(super) fn count(lab: &Lab) -> Result<Kernel> {
    let [of_client, of_gateway] = [&lab.client, &lab.gateway];
    let dropped =
        |chain: &str| -> Result<u64> { Ok(dropped(of_client, chain)? + dropped(of_gateway, chain)?) };
    let both = [of_client, of_gateway];
    let retransmitted = both.map(|namespace| counter(namespace, "snmp", "Tcp", "RetransSegs"));
    Ok(Kernel {
        dropped_before: dropped("output")?,
        dropped_after: dropped("input")?,
        retransmitted: retransmitted.into_iter().sum::<Result<u64>>()?,
        fast_open: counter(of_gateway, "netstat", "TcpExt", "TCPFastOpenPassive")?,
        challenges: counter(of_gateway, "netstat", "TcpExt", "TCPChallengeACK")?,
    })
}

/// The packets that the counters of a chain have.
fn dropped(namespace: &Namespace, chain: &str) -> Result<u64> {
    let mut command: Command = namespace.command("nft");
    let text = run_ok(command.args(["list", "chain", "inet", TABLE, chain]), TIMEOUT)?;
    // "counter packets 7 bytes 420 drop"
    let counts =
        text.split("counter packets ").skip(1).map(|rest| rest.split(' ').next().unwrap_or_default());
    counts.map(|count| count.parse::<u64>().with_context(|| format!("no counter: {text}"))).sum()
}

/// A counter of `/proc/net/snmp` or `/proc/net/netstat`: a line of names, then one of values, of each group.
fn counter(namespace: &Namespace, table: &str, group: &str, name: &str) -> Result<u64> {
    let read = || fs::read_to_string(format!("/proc/thread-self/net/{table}"));
    let text = namespace.run_in_thread(read)??;
    value(&text, group, name).with_context(|| format!("no {group} {name} in {table}"))
}

fn value(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(':'));
    let names = lines.next()?.split_whitespace();
    let values = lines.next()?.split_whitespace();
    let (_, value) = names.zip(values).find(|(found, _)| *found == name)?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_group_and_name() {
        let text = "Tcp: A B\nTcp: 1 2\nTcpExt: A B C\nTcpExt: 3 4 5\n";
        assert_eq!(value(text, "Tcp", "B"), Some(2));
        assert_eq!(value(text, "TcpExt", "B"), Some(4));
        assert_eq!(value(text, "Tcp", "C"), None);
    }

    #[test]
    fn only_the_client_hides_resets() {
        assert!(
            client_rules().contains("tcp sport 9003 tcp flags & rst == rst drop\n"),
            "{}",
            client_rules()
        );
        assert!(!gateway_rules().contains("9003"), "{}", gateway_rules());
    }
}
