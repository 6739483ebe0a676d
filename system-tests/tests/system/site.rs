//! A lab with a gateway that resets, for tests of the daemon rather than of what it sees; and what is
//! attached to an interface's traffic control hooks, as the kernel says it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType, loaded_programs};
use serde_json::Value;
use sni_probe_capture::attach::Mode;
use system_tests::metrics::Metrics;
use system_tests::probe::Probe;
use system_tests::process::run_ok;
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, Lab, Namespace, wait_until};

pub(crate) const HOOKS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];
/// Both modes, with the word for `--attach`.
pub(crate) const MODES: [(Mode, &str); 2] = [(Mode::Tcx, "tcx"), (Mode::Clsact, "clsact")];

pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// The gateway's port in these tests.
pub(crate) const PORT: u16 = 443;

/// A lab with a gateway that resets whoever says something.
pub(crate) struct Site {
    _gateway: ResettingGateway,
    pub(crate) lab: Lab,
}

impl Site {
    pub(crate) fn new() -> Self {
        let lab = Lab::new().unwrap();
        Self { _gateway: ResettingGateway::start(&lab.gateway, PORT).unwrap(), lab }
    }

    /// Starts the daemon on the gateway's interface as on a NIC, and waits until it is ready.
    pub(crate) fn probe(&self, options: &[&str]) -> Probe<'_> {
        Probe::start(&self.lab, options).unwrap()
    }

    /// A client without SNI, over IPv4.
    pub(crate) fn hello(&self) {
        self.hello_to(GATEWAY_V4);
    }

    pub(crate) fn hello_to(&self, address: IpAddr) {
        send_hello(&self.lab.client, SocketAddr::new(address, PORT)).unwrap();
    }
}

/// Waits until the daemon has counted so many handshakes without SNI, each reset by the gateway, and
/// none besides.
#[track_caller]
pub(crate) fn assert_counted(probe: &Probe<'_>, count: u64) {
    let labels = [("sni", "absent"), ("outcome", "reset_by_gateway")];
    let resets = |metrics: &Metrics| metrics.count("sni_probe_handshakes_total", &labels);
    let metrics = probe.wait_for_metrics(TIMEOUT, |metrics| resets(metrics) >= count).unwrap();
    assert_eq!(metrics.count("sni_probe_handshakes_total", &[]), count);
    assert_eq!(metrics.count("sni_probe_client_hellos_total", &[]), count);
}

/// Waits until the daemon has logged this.
#[track_caller]
pub(crate) fn wait_for_log(probe: &mut Probe<'_>, text: &str) {
    let found = wait_until(text, TIMEOUT, || Ok(probe.service().stderr().contains(text).then_some(())));
    found.unwrap_or_else(|error| panic!("{error:#}; it says:\n{}", probe.service().stderr()));
}

/// One program on a hook.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attached {
    pub(crate) mode: Mode,
    /// Its name, at most 15 characters of it: the kernel keeps no more of a program's name.
    pub(crate) name: String,
    /// Packets that it was given while the kernel kept statistics. Not of classic BPF.
    pub(crate) runs: u64,
}

/// The programs on one hook, in the order in which packets meet them: TCX, then legacy filters.
pub(crate) fn programs(namespace: &Namespace, interface: &str, hook: TcAttachType) -> Vec<Attached> {
    let query = namespace.run_in_thread(|| SchedClassifier::query_tcx(interface, hook)).unwrap();
    let tcx = query.unwrap().1.into_iter().map(|info| Attached {
        mode: Mode::Tcx,
        name: info.name_as_str().unwrap().to_owned(),
        runs: info.run_count(),
    });
    let mut all: Vec<Attached> = tcx.collect();
    let filters = filters(namespace, interface, hook);
    if filters.is_empty() {
        return all;
    }
    let infos: HashMap<u32, ProgramInfo> =
        loaded_programs().flatten().map(|info| (info.id(), info)).collect();
    all.extend(filters.into_iter().map(|filter| Attached {
        mode: Mode::Clsact,
        name: filter.name.chars().take(15).collect(),
        runs: filter.program.and_then(|id| infos.get(&id)).map_or(0, ProgramInfo::run_count),
    }));
    all
}

/// Mode and name of each program on the gateway's interface, ingress first.
pub(crate) fn names(namespace: &Namespace) -> [Vec<(Mode, String)>; 2] {
    HOOKS.map(|hook| {
        let programs = programs(namespace, GATEWAY_INTERFACE, hook);
        programs.into_iter().map(|program| (program.mode, program.name)).collect()
    })
}

/// What [`names`] gives where sni-probe runs as on a NIC and nobody else has anything.
pub(crate) fn ours(mode: Mode) -> [Vec<(Mode, String)>; 2] {
    ["client_to_gatew", "gateway_to_clie"].map(|name| vec![(mode, name.to_owned())])
}

/// Somebody's filter on the gateway's interface, at this place (`prio 10 protocol all`, say). It is
/// classic BPF that matches nothing; [`programs`] calls it "bpf".
pub(crate) fn add_foreign_filter(namespace: &Namespace, hook: TcAttachType, verb: &str, place: &str) {
    let mut command = namespace.command("tc");
    command.args(["filter", verb, "dev", GATEWAY_INTERFACE, side(hook)]).args(place.split_whitespace());
    command.args(["bpf", "bytecode", "1,6 0 0 0,"]);
    run_ok(&mut command, TIMEOUT).unwrap();
}

fn side(hook: TcAttachType) -> &'static str {
    if hook == TcAttachType::Ingress { "ingress" } else { "egress" }
}

/// Whether the interface has a clsact qdisc.
pub(crate) fn has_clsact(namespace: &Namespace, interface: &str) -> bool {
    tc(namespace, &format!("qdisc show dev {interface}")).contains("\"clsact\"")
}

/// Nothing at all is on the interface's hooks: no program, no filter, no qdisc.
#[track_caller]
pub(crate) fn assert_bare(namespace: &Namespace, interface: &str) {
    for hook in HOOKS {
        assert_eq!(programs(namespace, interface, hook), []);
    }
    assert!(!has_clsact(namespace, interface), "a clsact qdisc is left on {interface}");
}

/// `tc` within the namespace, with JSON as its output.
pub(crate) fn tc(namespace: &Namespace, words: &str) -> String {
    let mut command = namespace.command("tc");
    command.arg("-json").args(words.split_whitespace());
    run_ok(&mut command, TIMEOUT).unwrap()
}

struct Filter {
    name: String,
    program: Option<u32>,
}

fn filters(namespace: &Namespace, interface: &str, hook: TcAttachType) -> Vec<Filter> {
    if !has_clsact(namespace, interface) {
        return Vec::new();
    }
    let text = tc(namespace, &format!("filter show dev {interface} {}", side(hook)));
    let json: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let filters = json.iter().filter_map(|filter| filter.get("options").map(|options| (filter, options)));
    let filters = filters.map(|(filter, options)| Filter {
        name: options["bpf_name"].as_str().or_else(|| filter["kind"].as_str()).unwrap().to_owned(),
        program: options["prog"]["id"].as_u64().map(|id| u32::try_from(id).unwrap()),
    });
    filters.collect()
}
