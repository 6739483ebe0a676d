//! The layers of each crate. A crate without layers is checked for circles only.

/// The layers between the children of one module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers {
    /// The package, by its name.
    pub(super) package: &'static str,
    pub(super) root: Root,
    /// The module that has these children; empty for the crate's root.
    pub(super) module: &'static str,
    /// From the highest to the lowest: modules with blanks between them. All children are in one.
    pub(super) order: &'static [&'static str],
}

/// The root of a crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// The root of a library, `lib.rs`.
    Lib,
    /// The root of a program, `main.rs`.
    Bin,
}

impl Layers {
    /// All modules that have a layer.
    pub(super) fn modules(&self) -> impl Iterator<Item = &'static str> {
        self.order.iter().flat_map(|layer| layer.split_whitespace())
    }

    /// How high a module is; `None` if it has no layer.
    pub(super) fn height(&self, module: &str) -> Option<usize> {
        self.order.iter().rev().position(|layer| layer.split_whitespace().any(|name| name == module))
    }
}

/// Packages that others must not depend on, directly or by way of others of the workspace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forbidden {
    /// Packages that this rule concerns, or all but these.
    packages: Packages,
    pub(super) dependencies: &'static [&'static str],
    /// Whether tests must not depend on them either.
    pub(super) in_tests: bool,
}

#[derive(Clone, Copy, Debug)]
enum Packages {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

impl Forbidden {
    /// Whether the rule concerns a package.
    pub(super) fn concerns(&self, package: &str) -> bool {
        match self.packages {
            Packages::Only(packages) => packages.contains(&package),
            Packages::AllBut(packages) => !packages.contains(&package),
        }
    }
}

/// Dependencies that would tear down a wall.
pub(super) const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        packages: Packages::AllBut(&["system-tests"]),
        dependencies: &["system-tests"],
        in_tests: true,
    },
    Forbidden {
        packages: Packages::Only(&[
            "sni-probe-core",
            "sni-probe-model",
            "sni-probe-pcap",
            "sni-probe-playbook",
        ]),
        dependencies: &["aya", "rtnetlink", "axum", "sni-probe-capture", "sni-probe-daemon"],
        in_tests: false,
    },
    Forbidden {
        packages: Packages::Only(&["sni-probe-datapath", "sni-probe-terminal"]),
        dependencies: &["sni-probe-core", "tokio"],
        in_tests: false,
    },
];

/// The table. A new crate, or a module with many children, gets an entry of its own.
pub(super) const CRATES: &[Layers] = &[
    library(
        "sni-probe-datapath",
        "",
        &["userspace", "datapath", "segment", "answer tunnel wire flow_table", "counters event ports seq"],
    ),
    library(
        "sni-probe-core",
        "",
        &[
            "tracker",
            "opening prelude server_reply completion",
            "record_walk server_hello",
            "client_hello sslv2 record proxy_header",
            "clients",
            "software",
            "observation server_name parsed ja3 ja4",
            "last_hour top distinct tally holding",
            "assembler flow reader digits lists vocabulary",
        ],
    ),
    library(
        "sni-probe-core",
        "tracker",
        &[
            "flow",
            "state",
            "collecting",
            "first_bytes",
            "awaiting",
            "answered",
            "context ending flow_table packed_hello",
            "connection",
            "clock config",
        ],
    ),
    library("sni-probe-model", "", &["api", "facts", "word", "rest"]),
    library(
        "sni-probe-model",
        "facts",
        &[
            "recent",
            "derive",
            "properties separation text",
            "view",
            "gateway predicate",
            "report profile sender shape",
        ],
    ),
    library(
        "sni-probe-pcap",
        "",
        &[
            "engine",
            "frame writer pcap pcapng guess",
            "input",
            "compression",
            "magic",
            "error",
            "byte_order clock",
        ],
    ),
    library(
        "sni-probe-pcap",
        "frame",
        &[
            "walk fragments",
            "link fragment",
            "capture_header network shim tunnel",
            "recognize",
            "ether_type",
            "step",
            "unread",
            "link_type",
        ],
    ),
    library(
        "sni-probe-capture",
        "",
        &[
            "preceding",
            "attach",
            "filters packet_socket",
            "programs links",
            "errno netns preflight privileges seed sockets",
        ],
    ),
    library("sni-probe-terminal", "", &["report progress table", "colour printable units"]),
    library("sni-probe-telemetry", "", &["metrics", "events"]),
    library("sni-probe-daemon", "", &["run", "board evidence http", "verdict readiness", "config"]),
    library("sni-probe-playbook", "", &["collect diagnose", "logs replay routes check", "certificate"]),
    Layers { package: "sni-probe", root: Root::Bin, module: "", order: &["watch", "cli", "logging"] },
];

const fn library(package: &'static str, module: &'static str, order: &'static [&'static str]) -> Layers {
    Layers { package, root: Root::Lib, module, order }
}
