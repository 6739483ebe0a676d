//! What is attached to an interface's traffic control hooks, as the kernel says it.

use std::collections::HashMap;
use std::time::Duration;

use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType, loaded_programs};
use serde_json::Value;
use sni_probe::capture::attach::Mode;
use system_tests::process::run_ok;
use system_tests::{GATEWAY_INTERFACE, Namespace};

pub(crate) const HOOKS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];
/// Both modes, with the word for `--attach`.
pub(crate) const MODES: [(Mode, &str); 2] = [(Mode::Tcx, "tcx"), (Mode::Clsact, "clsact")];

const TIMEOUT: Duration = Duration::from_secs(10);

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
    let side = if hook == TcAttachType::Ingress { "ingress" } else { "egress" };
    let text = tc(namespace, &format!("filter show dev {interface} {side}"));
    let json: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let filters = json.iter().filter_map(|filter| filter.get("options").map(|options| (filter, options)));
    let filters = filters.map(|(filter, options)| Filter {
        name: options["bpf_name"].as_str().or_else(|| filter["kind"].as_str()).unwrap().to_owned(),
        program: options["prog"]["id"].as_u64().map(|id| u32::try_from(id).unwrap()),
    });
    filters.collect()
}
