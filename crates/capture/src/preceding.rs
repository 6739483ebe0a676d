//! What runs before this program's on the same hook, and may end the chain there: packets that it takes are not seen.
//!
//! Asked of the kernel, which lists TCX programs in their order, and legacy filters with their priorities. Whether a
//! program ends the chain is not written on it. Of Cilium's that is known, which end it with `TC_ACT_OK`; and of a
//! filter that matches all packets and whose action is an end.

use std::fmt;

use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_core::Nla as _;
use rtnetlink::packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirrorOption, TcActionOption, TcFilterMatchAllOption, TcMessage,
    TcMirrorActionType, TcOption,
};

use super::attach::{Attachment, Mode};
use super::filters::{is_ours, name, options, priority};
use super::links::{Link, Netlink, Xdp};

/// A program or filter that packets meet before ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrecedingProgram {
    /// On which hook.
    pub hook: TcAttachType,
    /// Its name, or the kind of a filter that has none; of an XDP program its number.
    pub name: String,
    /// How it is attached.
    pub layer: Layer,
    /// Whether it is known to let no packet through to those after it.
    pub ends_chain: bool,
}

/// How a program or filter is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// As an XDP program, which sees a packet before it becomes an skb: in the driver, in the generic code of the kernel,
    /// or on the hardware.
    Xdp(&'static str),
    /// As a TCX program.
    Tcx,
    /// As a legacy filter of this priority.
    Filter(u16),
}

impl PrecedingProgram {
    /// Whether it sees what the interface receives, rather than what it sends.
    pub fn is_on_ingress(&self) -> bool {
        self.hook == TcAttachType::Ingress
    }
}

impl fmt::Display for PrecedingProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = if self.is_on_ingress() { "ingress" } else { "egress" };
        write!(f, "{} on {hook}", self.name)?;
        match self.layer {
            Layer::Xdp(place) => write!(f, " ({place})"),
            Layer::Tcx => write!(f, " (tcx)"),
            Layer::Filter(priority) => write!(f, " (filter, priority {priority})"),
        }
    }
}

/// What packets meet before our programs, in their order. Packet sockets have no `attachment`: only XDP programs are
/// before them. The kernel lists TCX programs for those who have `CAP_SYS_ADMIN` only: for others they stay what they
/// were when they were last `known`.
pub async fn programs(
    netlink: &Netlink,
    link: &Link,
    attachment: Option<&Attachment>,
    known: &[PrecedingProgram],
) -> Vec<PrecedingProgram> {
    let mut preceding: Vec<PrecedingProgram> = link.xdp.iter().map(xdp).collect();
    let Some(attachment) = attachment else { return preceding };
    for hook in [TcAttachType::Ingress, TcAttachType::Egress] {
        if let Some(programs) = tcx_before(attachment, hook) {
            preceding.extend(programs);
        } else {
            let is_it = |known: &&PrecedingProgram| known.hook == hook && known.layer == Layer::Tcx;
            preceding.extend(known.iter().filter(is_it).cloned());
        }
        if attachment.mode == Mode::Clsact {
            if let Some(filters) = filters_before(netlink, attachment.link.index, hook).await {
                preceding.extend(filters);
            } else {
                let is_it =
                    |known: &&PrecedingProgram| known.hook == hook && matches!(known.layer, Layer::Filter(_));
                preceding.extend(known.iter().filter(is_it).cloned());
            }
        }
    }
    preceding
}

/// An XDP program may drop or redirect what it likes, and the kernel does not say what it does.
fn xdp(xdp: &Xdp) -> PrecedingProgram {
    let name = match xdp.program_id {
        0 => "an XDP program".to_owned(),
        number => format!("XDP program {number}"),
    };
    PrecedingProgram { hook: TcAttachType::Ingress, name, layer: Layer::Xdp(xdp.place), ends_chain: false }
}

/// `None` if the kernel does not say.
fn tcx_before(attachment: &Attachment, hook: TcAttachType) -> Option<Vec<PrecedingProgram>> {
    let (_, programs) = SchedClassifier::query_tcx(&attachment.link.name, hook).ok()?;
    let ids = attachment.program_ids();
    let is_before = |program: &&ProgramInfo| attachment.mode != Mode::Tcx || !ids.contains(&program.id());
    let preceding = |program: &ProgramInfo| {
        let name = program.name_as_str().unwrap_or("a program without a name").to_owned();
        PrecedingProgram { hook, ends_chain: is_ciliums(&name), name, layer: Layer::Tcx }
    };
    Some(programs.iter().take_while(is_before).map(preceding).collect())
}

/// `None` if the kernel does not say.
async fn filters_before(netlink: &Netlink, index: u32, hook: TcAttachType) -> Option<Vec<PrecedingProgram>> {
    let index = i32::try_from(index).ok()?;
    let filters = netlink.handle().traffic_filter(index).get();
    let filters = if hook == TcAttachType::Ingress { filters.ingress() } else { filters.egress() };
    let mut filters: Vec<TcMessage> = filters.execute().try_collect().await.ok()?;
    filters.sort_by_key(priority);
    let is_before = |filter: &&TcMessage| !is_ours(filter);
    // A filter is listed more than once: its kind and priority come first, without a handle.
    let filters = filters.iter().filter(|filter| u32::from(filter.header.handle) != 0).take_while(is_before);
    let preceding = |filter: &TcMessage| {
        let name = name(filter);
        let ends_chain = is_ciliums(&name) || ends_all(filter);
        PrecedingProgram { hook, name, layer: Layer::Filter(priority(filter)), ends_chain }
    };
    Some(filters.map(preceding).collect())
}

/// `cil_from_netdev-eth0` and others since Cilium 1.12; before, the object's name was the filter's.
fn is_ciliums(name: &str) -> bool {
    name.starts_with("cil_")
        || ["bpf_lxc", "bpf_netdev", "bpf_host", "bpf_overlay"].iter().any(|old| name.starts_with(old))
}

/// Whether it matches every packet, and an action of it is the end.
fn ends_all(filter: &TcMessage) -> bool {
    options(filter).any(|option| match option {
        TcOption::MatchAll(TcFilterMatchAllOption::Action(actions)) => actions.iter().any(ends),
        _ => false,
    })
}

fn ends(action: &TcAction) -> bool {
    let is_generic = action.attributes.iter().any(|attribute| match attribute {
        TcActionAttribute::Kind(kind) => kind == "gact",
        _ => false,
    });
    let options = action.attributes.iter().filter_map(|attribute| match attribute {
        TcActionAttribute::Options(options) => Some(options),
        _ => None,
    });
    options.flatten().any(|option| match option {
        TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror)) => {
            matches!(mirror.eaction, TcMirrorActionType::EgressRedir | TcMirrorActionType::IngressRedir)
        }
        TcActionOption::Other(attribute) if is_generic && attribute.kind() == TCA_GACT_PARMS => {
            let mut parameters = vec![0; attribute.value_len()];
            attribute.emit_value(&mut parameters);
            // Index, capabilities, verdict (struct tc_gact).
            let verdict = parameters.get(8..).and_then(|rest| rest.first_chunk());
            verdict.is_some_and(|verdict| TERMINAL_VERDICTS.contains(&i32::from_ne_bytes(*verdict)))
        }
        _ => false,
    })
}

/// Parameters of a generic action (`linux/tc_act/tc_gact.h`).
const TCA_GACT_PARMS: u16 = 2;
/// Verdicts that are an end (`linux/pkt_cls.h`): ok, shot, stolen, queued, redirect, trap. The others go on, begin
/// again, or go to another chain.
const TERMINAL_VERDICTS: [i32; 6] = [0, 2, 4, 5, 7, 8];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciliums_programs_are_known_by_name() {
        for name in
            ["cil_from_netdev-eth0", "cil_to_netdev", "bpf_lxc.o:[from-container]", "bpf_netdev_eth0.o"]
        {
            assert!(is_ciliums(name), "{name}");
        }
        for name in ["client_to_gateway", "calico_tc", "council"] {
            assert!(!is_ciliums(name), "{name}");
        }
    }

    #[test]
    fn a_preceding_program_in_words() {
        let program = PrecedingProgram {
            hook: TcAttachType::Ingress,
            name: "cil_from_netdev".to_owned(),
            layer: Layer::Filter(1),
            ends_chain: true,
        };
        assert_eq!(program.to_string(), "cil_from_netdev on ingress (filter, priority 1)");
        let program = PrecedingProgram { layer: Layer::Tcx, hook: TcAttachType::Egress, ..program };
        assert_eq!(program.to_string(), "cil_from_netdev on egress (tcx)");
        let program = xdp(&Xdp { program_id: 12, place: "generic" });
        assert_eq!(program.to_string(), "XDP program 12 on ingress (generic)");
    }
}
