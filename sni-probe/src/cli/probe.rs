//! What is seen, and how those in it are told apart: what `run` and `watch` have in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use sni_probe_capture::attach::Mode;
use sni_probe_capture::links;
use sni_probe_daemon::{InterfaceSelector, ProbeConfig};
use sni_probe_datapath::tunnel::Tunnels;

use super::{ClientOptions, FollowOptions, KubeOptions, parse_handshake_timeout};

/// The probe.
#[derive(Args, Clone, Debug)]
#[expect(clippy::doc_markdown, reason = "the text of --help")]
pub(crate) struct ProbeOptions {
    /// Interface to watch, or a pattern such as 'gke*'; may be repeated [default: those of the default routes]
    ///
    /// One that is named must exist. What matches a pattern is watched as it comes and goes. In the environment
    /// variable several are separated by commas.
    #[arg(
        short,
        long = "interface",
        env = "SNI_PROBE_INTERFACE",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = InterfaceSelector::parse
    )]
    pub(crate) interfaces: Vec<InterfaceSelector>,

    /// Network namespace in which the interfaces are, as a file: a pod's is /proc/PID/ns/net
    ///
    /// Metrics are served where the program was started. Takes CAP_SYS_ADMIN besides. The namespace lives as long
    /// as the program does.
    #[arg(long, env = "SNI_PROBE_NETNS", value_name = "PATH")]
    pub(crate) netns: Option<PathBuf>,

    /// TCP port on which the gateway expects TLS; may be repeated
    ///
    /// In the environment variable several are separated by commas.
    #[arg(
        short,
        long = "port",
        env = "SNI_PROBE_PORT",
        value_name = "PORT",
        value_delimiter = ',',
        default_values_t = [443, 8443],
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) ports: Vec<u16>,

    /// How to see packets
    #[arg(long, env = "SNI_PROBE_CAPTURE", value_enum, default_value_t)]
    pub(crate) capture: Capture,

    /// How to attach the programs (with packet sockets of no meaning)
    #[arg(long, env = "SNI_PROBE_ATTACH", value_enum, default_value_t)]
    pub(crate) attach: Attach,

    /// Priority of the filters in a clsact qdisc (1 to 65535; without clsact of no meaning)
    /// [default: the first of 50 to 65 that is free]
    ///
    /// Filters with a lower number come first. 1 is where Cilium's is.
    #[arg(
        long,
        env = "SNI_PROBE_PRIORITY",
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub(crate) priority: Option<u16>,

    /// On which side of the gateway the interfaces are
    #[arg(long, env = "SNI_PROBE_ORIENTATION", value_enum, default_value_t)]
    pub(crate) orientation: Orientation,

    /// Tunnels to look into, for nodes of an overlay network; may be repeated [default: none]
    ///
    /// What is inside is then seen as if it had come without the tunnel. In the environment variable several
    /// are separated by commas.
    #[arg(long, env = "SNI_PROBE_DECAPSULATE", value_name = "TUNNEL", value_enum, value_delimiter = ',')]
    pub(crate) decapsulate: Vec<Decapsulate>,

    /// The interfaces are mirror ports: they receive both directions of other hosts' connections
    ///
    /// Without it, frames for other MAC addresses do not count on an interface in promiscuous mode. They do where
    /// they arrive in the ordinary way: on and under ports of a bridge, on the node's end of a pod's veth, and where an
    /// interface has more MAC addresses (macvlan, VRRP).
    #[arg(long, env = "SNI_PROBE_MIRROR_PORT", value_parser = BoolishValueParser::new())]
    pub(crate) mirror_port: bool,

    /// Keep all capabilities, instead of dropping those that are not needed any more after attaching
    ///
    /// With named interfaces none is needed. One that is deleted and made anew can then not be watched again: the
    /// program ends with exit code 2, for its supervisor to start it anew. Patterns keep what attaching takes;
    /// filters in a clsact qdisc keep CAP_NET_ADMIN, to put them back when somebody removes them.
    #[arg(long, env = "SNI_PROBE_KEEP_PRIVILEGES", value_parser = BoolishValueParser::new())]
    pub(crate) keep_privileges: bool,

    /// Have the kernel count runs and time of the programs, for the metrics sni_probe_program_*
    ///
    /// It then does so for all eBPF programs of the machine, and each run of each takes longer. Takes CAP_SYS_ADMIN
    /// at the start. With packet sockets of no meaning.
    #[arg(long, env = "SNI_PROBE_KERNEL_STATS", value_parser = BoolishValueParser::new())]
    pub(crate) kernel_stats: bool,

    /// How long a hello may take to become whole, and then to get its outcome (1s to 10m)
    ///
    /// After this time its outcome is "timeout".
    #[arg(
        long,
        env = "SNI_PROBE_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = parse_handshake_timeout
    )]
    pub(crate) handshake_timeout: Duration,

    #[command(flatten)]
    pub(crate) follow: FollowOptions,

    #[command(flatten)]
    pub(crate) clients: ClientOptions,
    #[command(flatten)]
    pub(crate) kube: KubeOptions,
}

impl ProbeOptions {
    /// What the flags ask for.
    ///
    /// # Errors
    /// If a file that they name cannot be used, or a flag has no effect.
    pub(crate) fn config(self) -> anyhow::Result<ProbeConfig> {
        Ok(ProbeConfig {
            interfaces: self.interfaces,
            netns: self.netns,
            ports: self.ports,
            capture: match self.capture {
                Capture::Auto => sni_probe_daemon::Capture::Auto,
                Capture::Tc => sni_probe_daemon::Capture::Tc,
                Capture::AfPacket => sni_probe_daemon::Capture::AfPacket,
            },
            attach: match self.attach {
                Attach::Auto => None,
                Attach::Tcx => Some(Mode::Tcx),
                Attach::Clsact => Some(Mode::Clsact),
            },
            priority: self.priority,
            orientation: match self.orientation {
                Orientation::Auto => None,
                Orientation::Nic => Some(links::Orientation::Nic),
                Orientation::Veth => Some(links::Orientation::Veth),
            },
            tunnels: Decapsulate::tunnels(&self.decapsulate),
            mirror_port: self.mirror_port,
            keep_privileges: self.keep_privileges,
            kernel_stats: self.kernel_stats,
            handshake_timeout: self.handshake_timeout,
            follow: self.follow.follow,
            clients: self.clients.config()?,
            node: self.kube.node(),
            kubernetes: self.kube.config(),
        })
    }
}

/// `--capture`: how packets are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Capture {
    /// TC where this machine and the process's capabilities allow it, else packet sockets
    #[default]
    Auto,
    /// eBPF programs at the hooks of traffic control
    Tc,
    /// Packet sockets, with `CAP_NET_RAW` alone: for where eBPF is not allowed
    AfPacket,
}

/// `--attach`: by which interface of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attach {
    /// TCX where the kernel has it, else clsact
    #[default]
    Auto,
    /// TCX links, before all other programs (Linux 6.6 and later)
    Tcx,
    /// Filters of a clsact qdisc
    Clsact,
}

/// `--orientation`: which hook sees the clients' packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Orientation {
    /// Veth for a veth or netkit with its peer in another network namespace and without a default route, unless a gateway
    /// runs in its own namespace; else nic
    #[default]
    Auto,
    /// Clients' packets come in by it: a node's NIC, or eth0 within the gateway's pod
    Nic,
    /// Clients' packets go out by it: the node's end of the gateway's veth
    Veth,
}

/// `--decapsulate`: packets inside of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decapsulate {
    /// VXLAN, to UDP port 4789 or 8472
    Vxlan,
    /// Geneve, to UDP port 6081
    Geneve,
    /// IPv4 or IPv6 directly in IPv4 or IPv6
    Ipip,
}

impl Decapsulate {
    /// All that were named.
    pub(crate) fn tunnels(named: &[Self]) -> Tunnels {
        named.iter().fold(Tunnels::NONE, |tunnels, named| {
            tunnels.and(match named {
                Self::Vxlan => Tunnels::VXLAN,
                Self::Geneve => Tunnels::GENEVE,
                Self::Ipip => Tunnels::IPIP,
            })
        })
    }
}
