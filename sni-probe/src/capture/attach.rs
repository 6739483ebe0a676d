//! Attaches the programs to an interface, and detaches just what was attached.
//!
//! TCX where the kernel has it: such links go with the process, whatever ends it. Else legacy filters
//! in a clsact qdisc: those stay after SIGKILL, so they have a fixed place and the programs' names, by
//! which the next start finds them.

use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::{fmt, io};

use aya::programs::links::LinkOrder;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};

use super::filters::{FILTER_HANDLES, is_ours};
use super::links::{Link, Netlink, Orientation, delete_clsact_if_empty, delete_filters};
use super::programs::{CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT, Programs};

/// Places of a legacy filter among others, the first that is free: not 1, where Cilium's stands and others
/// fight for it. All filters of one priority are of one kind and protocol, so somebody's may bar it.
const FILTER_PRIORITIES: RangeInclusive<u16> = 50..=65;

/// By which interface of the kernel programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// TCX links (Linux 6.6 and later), before all other programs.
    Tcx,
    /// Filters in a clsact qdisc.
    Clsact,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        })
    }
}

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// By this mode only; else TCX, and clsact where the kernel has no TCX.
    pub mode: Option<Mode>,
    /// Priority of legacy filters; else the first of a few that is free.
    pub priority: Option<u16>,
    /// Whether the interface receives both directions of connections, as a mirror port does.
    pub is_mirror_port: bool,
}

/// Why programs could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel is too old for what was asked.
    #[error("{0}: this kernel has no TCX (Linux 6.6 or later); use --attach clsact or --attach auto")]
    NoTcx(String),
    /// The link layer is not Ethernet, so the programs would not find the IP header.
    #[error(
        "{0} has no Ethernet header (link type {1}), which is not supported; name another with --interface"
    )]
    NotEthernet(String, String),
    /// Somebody's filter has the priority that was asked for.
    #[error(
        "priority {1} of {0} is taken by a filter of another kind, protocol or handle; choose another with --priority"
    )]
    PriorityTaken(String, u16),
    /// Another process of this program has its filters there, under the same names.
    #[error("another sni-probe watches {0} by way of clsact; stop it first, or use --attach tcx")]
    Taken(String),
    /// Anything else.
    #[error("cannot attach to {interface}: {reason}")]
    Other {
        /// The interface.
        interface: String,
        /// The kernel's words.
        reason: String,
    },
}

/// The programs on one interface. They stay until [`Attachment::detach`] or the end of the process.
#[derive(Debug)]
pub struct Attachment {
    /// Where.
    pub link: Link,
    /// How.
    pub mode: Mode,
    /// Which way round.
    pub orientation: Orientation,
    program_ids: Vec<u32>,
    /// How many programs are on its hooks.
    attached: usize,
    made_clsact: bool,
    /// Of clsact mode.
    claim: Option<UnixDatagram>,
    /// Keeps TCX links alive.
    links: Vec<SchedClassifierLink>,
}

/// Attaches both programs to `link`.
pub async fn attach(
    programs: &mut Programs,
    link: &Link,
    options: Options,
    orientation: Orientation,
) -> Result<Attachment, AttachError> {
    if !link.has_ethernet_header {
        return Err(AttachError::NotEthernet(link.name.clone(), link.layer.clone()));
    }
    match options.mode {
        Some(Mode::Clsact) => attach_clsact(programs, link, options, orientation).await,
        Some(Mode::Tcx) => attach_tcx(programs, link, options, orientation).await.map_err(|error| {
            if is_unsupported(&error) { AttachError::NoTcx(link.name.clone()) } else { other(link, &error) }
        }),
        None => match attach_tcx(programs, link, options, orientation).await {
            Err(error) if is_unsupported(&error) => attach_clsact(programs, link, options, orientation).await,
            result => result.map_err(|error| other(link, &error)),
        },
    }
}

impl Attachment {
    /// Whether the programs are still where they were attached: anybody may delete legacy filters (Cilium
    /// does), while a TCX link stays as long as its process and its interface.
    pub async fn is_in_place(&self, netlink: &Netlink) -> bool {
        match self.mode {
            Mode::Tcx => true,
            // If the kernel does not say, they are taken to be there: better than to attach again and again.
            Mode::Clsact => {
                let count = netlink.count_filters(self.link.index, is_ours).await;
                count.map_or(true, |count| count >= self.attached)
            }
        }
    }

    /// The kernel's numbers of the programs.
    pub(super) fn program_ids(&self) -> &[u32] {
        &self.program_ids
    }

    /// Detaches the programs; errors are of interest to nobody but the log, for the interface may be gone.
    pub async fn detach(self) -> Result<(), AttachError> {
        match self.mode {
            Mode::Tcx => drop(self.links),
            Mode::Clsact => {
                // Until the filters are gone.
                let _claim = self.claim;
                remove_filters(&self.link).await?;
                if self.made_clsact {
                    delete_clsact_if_empty(self.link.index).await.map_err(|error| AttachError::Other {
                        interface: self.link.name,
                        reason: error.to_string(),
                    })?;
                }
            }
        }
        Ok(())
    }
}

async fn attach_tcx(
    programs: &mut Programs,
    link: &Link,
    options: Options,
    orientation: Orientation,
) -> Result<Attachment, ProgramError> {
    // Of an earlier process in clsact mode that was killed: they would see every packet as well.
    if let Ok(_claim) = claim(link) {
        // Without a clsact qdisc the kernel has nothing to list.
        let _ = remove_filters(link).await;
    }
    let mut links = Vec::new();
    let program_ids = programs.ids()?;
    for (name, hook) in hooks(options, orientation) {
        let program = programs.program(name)?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program.attach_with_options(&link.name, hook, order)?;
        links.push(program.take_link(id)?);
    }
    Ok(Attachment {
        link: link.clone(),
        mode: Mode::Tcx,
        orientation,
        program_ids,
        attached: links.len(),
        made_clsact: false,
        claim: None,
        links,
    })
}

async fn attach_clsact(
    programs: &mut Programs,
    link: &Link,
    options: Options,
    orientation: Orientation,
) -> Result<Attachment, AttachError> {
    let claim = claim(link).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => AttachError::Taken(link.name.clone()),
        _ => other(link, &error),
    })?;
    let made_clsact = match qdisc_add_clsact(&link.name) {
        Ok(()) => true,
        Err(error) if errno(&error) == Some(rustix::io::Errno::EXIST) => false,
        Err(error) => return Err(other(link, &error)),
    };
    let attachment = Attachment {
        link: link.clone(),
        mode: Mode::Clsact,
        orientation,
        program_ids: programs.ids().map_err(|error| other(link, &error))?,
        attached: hooks(options, orientation).count(),
        made_clsact,
        claim: Some(claim),
        links: Vec::new(),
    };
    if let Err(error) = add_filters(programs, link, options, orientation).await {
        // That it failed is what counts, not that the interface may be gone by now.
        let _ = attachment.detach().await;
        return Err(error);
    }
    Ok(attachment)
}

async fn add_filters(
    programs: &mut Programs,
    link: &Link,
    options: Options,
    orientation: Orientation,
) -> Result<(), AttachError> {
    // Those of an earlier process that was killed.
    remove_filters(link).await?;
    let priorities = options.priority.map_or(FILTER_PRIORITIES, |priority| priority..=priority);
    let mut taken = Vec::new();
    for (name, hook) in hooks(options, orientation) {
        let handle = FILTER_HANDLES[usize::from(taken.contains(&hook))];
        taken.push(hook);
        let attached = programs
            .program(name)
            .and_then(|program| attach_filter(program, link, hook, handle, &priorities));
        attached.map_err(|error| match options.priority {
            Some(priority) if is_place_taken(&error) => {
                AttachError::PriorityTaken(link.name.clone(), priority)
            }
            _ => other(link, &error),
        })?;
    }
    Ok(())
}

fn attach_filter(
    program: &mut SchedClassifier,
    link: &Link,
    hook: TcAttachType,
    handle: TcHandle,
    priorities: &RangeInclusive<u16>,
) -> Result<(), ProgramError> {
    let mut attach = |priority| {
        let options = NlOptions { priority, handle, classid: None };
        program.attach_with_options(&link.name, hook, TcAttachOptions::Netlink(options))
    };
    let mut result = attach(*priorities.start());
    for priority in priorities.clone().skip(1) {
        match &result {
            Err(error) if is_place_taken(error) => result = attach(priority),
            _ => break,
        }
    }
    let id = result?;
    // Dropping such a link removes whatever has its priority and handle by then, be it another's (a neighbour
    // may have replaced ours). Filters are looked at before they are removed.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// Claims the place of this program's legacy filters on an interface, which have no other sign of whose
/// they are. An abstract Unix socket is bound to the network namespace, and goes with its process.
fn claim(link: &Link) -> io::Result<UnixDatagram> {
    let address = SocketAddr::from_abstract_name(format!("sni-probe/clsact/{}", link.index))?;
    UnixDatagram::bind_addr(&address)
}

/// The hook of each program. A mirror port receives what the gateway sends as well: there both programs look at what
/// comes in.
fn hooks(options: Options, orientation: Orientation) -> impl Iterator<Item = (&'static str, TcAttachType)> {
    let (ingress, egress) = match orientation {
        Orientation::Nic => (CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT),
        Orientation::Veth => (GATEWAY_TO_CLIENT, CLIENT_TO_GATEWAY),
    };
    let mirrored = options.is_mirror_port.then_some((egress, TcAttachType::Ingress));
    [(ingress, TcAttachType::Ingress), (egress, TcAttachType::Egress)].into_iter().chain(mirrored)
}

/// Removes the filters of ours from both hooks of `link`, if any.
async fn remove_filters(link: &Link) -> Result<(), AttachError> {
    delete_filters(link.index, is_ours)
        .await
        .map_err(|error| AttachError::Other { interface: link.name.clone(), reason: error.to_string() })
}

/// Whether another filter bars this priority: EINVAL for its kind or protocol, EEXIST for its handle.
fn is_place_taken(error: &ProgramError) -> bool {
    matches!(errno(error), Some(rustix::io::Errno::INVAL | rustix::io::Errno::EXIST))
}

/// Whether the kernel does not know TCX: it then says EINVAL to the attach type.
fn is_unsupported(error: &ProgramError) -> bool {
    match error {
        ProgramError::SyscallError(error) => {
            matches!(
                error.io_error.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                Some(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP)
            )
        }
        _ => false,
    }
}

fn errno(error: &(dyn std::error::Error + 'static)) -> Option<rustix::io::Errno> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(io_error) = error.downcast_ref::<io::Error>() {
            return io_error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
        }
        current = error.source();
    }
    None
}

fn other(link: &Link, error: &(dyn std::error::Error + 'static)) -> AttachError {
    let reason = errno(error).map_or_else(|| error.to_string(), |errno| io::Error::from(errno).to_string());
    AttachError::Other { interface: link.name.clone(), reason }
}
