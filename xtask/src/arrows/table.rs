//! The layers of each crate. A crate without layers is checked for circles only.

/// The layers between the children of one module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers {
    /// The package, by its name.
    pub(super) package: &'static str,
    pub(super) root: Root,
    /// The module whose children these are; empty for the crate's root.
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

/// The table. A new crate, or a module with many children, gets an entry of its own.
pub(super) const CRATES: &[Layers] = &[
    Layers {
        package: "sni-probe-datapath",
        root: Root::Lib,
        module: "",
        order: &[
            "userspace",
            "datapath",
            "segment",
            "answer tunnel wire flow_table",
            "counters event ports seq",
        ],
    },
    Layers {
        package: "sni-probe-core",
        root: Root::Lib,
        module: "",
        order: &[
            "replay",
            "tracker",
            "opening prelude server_reply",
            "client_hello sslv2 record proxy_header",
            "frame clients software",
            "observation server_name parsed ja3 ja4",
            "last_hour top distinct",
            "assembler flow reader digits lists vocabulary",
        ],
    },
    Layers {
        package: "sni-probe-core",
        root: Root::Lib,
        module: "frame",
        order: &[
            "walk fragments",
            "link fragment",
            "capture_header network shim tunnel",
            "recognize",
            "ether_type",
            "step",
            "unread",
            "link_type",
        ],
    },
    Layers {
        package: "sni-probe-core",
        root: Root::Lib,
        module: "tracker",
        order: &[
            "state",
            "collecting",
            "first_bytes",
            "awaiting",
            "context ending flow_table packed_hello",
            "connection",
            "clock config",
        ],
    },
    Layers {
        package: "sni-probe",
        root: Root::Lib,
        module: "",
        order: &["capture capture_file", "privileges"],
    },
    Layers {
        package: "sni-probe",
        root: Root::Bin,
        module: "",
        order: &[
            "collect diagnose",
            "watch",
            "run",
            "http logs replay",
            "api evidence routes",
            "check metrics",
            "kubernetes",
            "cli",
            "output",
            "logging readiness",
        ],
    },
];
