//! Attaches the programs to an interface, and detaches just what was attached.
//!
//! TCX where the kernel has it: such links go with the process, whatever ends it. Else legacy filters
//! in a clsact qdisc: those stay after SIGKILL, so they have a fixed place and the programs' names, by
//! which the next start finds them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::{fmt, io};

use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};

use super::errno::errno;
use super::filters::{FILTER_HANDLES, FILTER_PRIORITIES, is_ours};
use super::links::{Link, Netlink, Orientation, delete_clsact_if_empty, delete_filters};
use super::programs::{CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT, Programs};

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
    /// Another interface took the name while the programs were attached by it.
    #[error("cannot attach to {0}: another interface has taken its name; it is tried again")]
    Renamed(String),
    /// The interface was deleted, or has another name by now.
    #[error("cannot attach to {0}: the interface was deleted or renamed meanwhile")]
    Gone(String),
    /// The kernel lacks a part of traffic control.
    #[error(
        "cannot attach to {interface}: this kernel has no {part}; load its module (`sudo modprobe {module}`), or use \
         packet sockets (--capture af-packet)"
    )]
    NoTrafficControl {
        /// The interface.
        interface: String,
        /// The part.
        part: &'static str,
        /// The module that has the part.
        module: &'static str,
    },
    /// There are too many open files.
    #[error(
        "cannot attach to {0}: too many open files; raise the limit (`ulimit -n`, systemd: LimitNOFILE=), or end what \
         holds files open"
    )]
    TooManyFiles(String),
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

/// Attaches both programs to `link`. Borrows them only while nothing is waited for.
pub async fn attach(
    programs: &RefCell<Programs>,
    link: &Link,
    options: Options,
    orientation: Orientation,
) -> Result<Attachment, AttachError> {
    if !link.has_ethernet_header {
        return Err(AttachError::NotEthernet(link.name.clone(), link.layer.clone()));
    }
    // It finds an interface by its name. Opened first: afterwards there may be no descriptor left.
    let socket = UnixDatagram::unbound().map_err(|error| other(link, &error))?;
    let attachment = match options.mode {
        Some(Mode::Clsact) => attach_clsact(programs, link, options, orientation).await,
        Some(Mode::Tcx) => attach_tcx(programs, link, options, orientation).await.map_err(|error| {
            if is_unsupported(&error) { AttachError::NoTcx(link.name.clone()) } else { other(link, &error) }
        }),
        None => match attach_tcx(programs, link, options, orientation).await {
            Err(error) if is_unsupported(&error) => attach_clsact(programs, link, options, orientation).await,
            result => result.map_err(|error| other(link, &error)),
        },
    }?;
    // The kernel is given a name (aya), which may be another interface's by now.
    let index = rustix::net::netdevice::name_to_index(&socket, &link.name).ok();
    if index != Some(link.index) {
        drop(socket);
        // The programs are on one of the two.
        let other = Link { index: index.unwrap_or(link.index), ..link.clone() };
        let _ = remove_filters(&other).await;
        let _ = attachment.detach().await;
        return Err(match index {
            Some(_) => AttachError::Renamed(link.name.clone()),
            None => AttachError::Gone(link.name.clone()),
        });
    }
    Ok(attachment)
}

/// The interfaces of this process's TCX links, by the number of the link; 0 where a link was detached by force
/// (`bpftool link detach`). `None` if the kernel does not say.
///
/// Each takes the kernel's lock of all interfaces for a moment (`tcx_link_fdinfo`).
pub fn tcx_links() -> Option<HashMap<u32, u32>> {
    let mut links = HashMap::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo").ok()? {
        // One that was closed meanwhile is none of ours.
        let Ok(text) = std::fs::read_to_string(entry.ok()?.path()) else { continue };
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if value("link_type:") == Some("tcx")
            && let (Some(link), Some(index)) = (value("link_id:"), value("ifindex:"))
            && let (Ok(link), Ok(index)) = (link.parse(), index.parse())
        {
            links.insert(link, index);
        }
    }
    Some(links)
}

impl Attachment {
    /// Whether the programs are still where they were attached: anybody may delete legacy filters (Cilium does), and
    /// detach TCX links by force. `tcx_links` are those of this process, if the kernel has said.
    pub async fn is_in_place(&self, netlink: &Netlink, tcx_links: Option<&HashMap<u32, u32>>) -> bool {
        match self.mode {
            Mode::Tcx => {
                let Some(links) = tcx_links else { return true };
                let numbers = self.links.iter().filter_map(|link| {
                    let link: &FdLink = link.try_into().ok()?;
                    Some(link.info().ok()?.id())
                });
                // One that the kernel does not list is taken to be there.
                numbers.into_iter().all(|number| links.get(&number).is_none_or(|&index| index != 0))
            }
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
    programs: &RefCell<Programs>,
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
    let mut programs = programs.borrow_mut();
    let program_ids = programs.ids()?;
    for (name, hook) in hooks(options, orientation) {
        let program = programs.program(name)?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        // Asked while the links are still open: dropping one makes room again.
        let id = program
            .attach_with_options(&link.name, hook, order)
            .map_err(|error| out_of_files(&error).map_or(error, ProgramError::IOError))?;
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
    programs: &RefCell<Programs>,
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
        Err(error) => return Err(no_part(link, &error, "clsact qdisc", "sch_ingress")),
    };
    let attachment = Attachment {
        link: link.clone(),
        mode: Mode::Clsact,
        orientation,
        program_ids: programs.borrow_mut().ids().map_err(|error| other(link, &error))?,
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
    programs: &RefCell<Programs>,
    link: &Link,
    options: Options,
    orientation: Orientation,
) -> Result<(), AttachError> {
    // Those of an earlier process that was killed.
    remove_filters(link).await?;
    let priorities = options.priority.map_or(FILTER_PRIORITIES, |priority| priority..=priority);
    let mut taken = Vec::new();
    let mut programs = programs.borrow_mut();
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
            _ => no_part(link, &error, "BPF classifier", "cls_bpf"),
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

/// The error of a process with too many open files, where that is the cause of an ENOENT. To find an interface by its name
/// takes a socket; without one glibc's `if_nametoindex` says ENOENT, which looks like a name that is unknown.
fn out_of_files(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    if errno(error) != Some(rustix::io::Errno::NOENT) {
        return None;
    }
    let error = UnixDatagram::unbound().err()?;
    let is_limit = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .contains(&rustix::io::Errno::from_io_error(&error)?);
    is_limit.then_some(error)
}

/// A refusal to make `part` of traffic control. The kernel says ENOENT if it has neither the part nor its module.
fn no_part(
    link: &Link,
    error: &(dyn std::error::Error + 'static),
    part: &'static str,
    module: &'static str,
) -> AttachError {
    if let Some(error) = out_of_files(error) {
        return other(link, &error);
    }
    match errno(error) {
        Some(rustix::io::Errno::NOENT) => {
            AttachError::NoTrafficControl { interface: link.name.clone(), part, module }
        }
        _ => other(link, error),
    }
}

fn other(link: &Link, error: &(dyn std::error::Error + 'static)) -> AttachError {
    let errno = errno(error);
    if matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) {
        return AttachError::TooManyFiles(link.name.clone());
    }
    if errno == Some(rustix::io::Errno::NODEV) {
        return AttachError::Gone(link.name.clone());
    }
    let reason = errno.map_or_else(|| error.to_string(), |errno| io::Error::from(errno).to_string());
    AttachError::Other { interface: link.name.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link { index: 2, name: "eth0".to_owned(), ..Link::default() }
    }

    #[test]
    fn a_kernel_without_a_part_of_traffic_control_says_which() {
        let error = io::Error::from(rustix::io::Errno::NOENT);
        let text = no_part(&link(), &error, "clsact qdisc", "sch_ingress").to_string();
        assert!(
            text.contains("eth0: this kernel has no clsact qdisc") && text.contains("modprobe sch_ingress"),
            "{text}"
        );
        assert!(!text.contains("No such file"), "{text}");
        let error = io::Error::from(rustix::io::Errno::NODEV);
        let text = no_part(&link(), &error, "clsact qdisc", "sch_ingress").to_string();
        assert_eq!(text, "cannot attach to eth0: the interface was deleted or renamed meanwhile");
    }

    #[test]
    fn open_files_run_out_with_words_that_help() {
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            let text = other(&link(), &io::Error::from(errno)).to_string();
            assert!(text.contains("too many open files; raise the limit"), "{text}");
        }
    }
}
