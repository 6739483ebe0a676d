//! Frames from clients that do not exist: as many connections as a test wants, without a socket each.
//!
//! They leave by an `AF_PACKET` socket, cross the veth like any other frame and pass the TC hooks of
//! the gateway's interface. Nobody answers: the gateway's address in them is one that nobody has.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result, bail};
use etherparse::{PacketBuilder, TcpHeader};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};
use nix::unistd::Pid;

use crate::netns::{Lab, Namespace};
use crate::{CLIENT_INTERFACE, GATEWAY_INTERFACE};

/// The gateway as these clients know it: in the lab's subnet, and nobody's address.
pub const SILENT_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
/// Its port.
pub const SILENT_PORT: u16 = 443;

/// Address of the first client; those of the others follow it.
const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);
/// Ports that each address uses, from [`FIRST_PORT`] on.
const PORTS: u32 = 50_000;
const FIRST_PORT: u32 = 10_000;
/// The same for all clients, so that two flows whose slots the kernel cannot tell apart (one pair
/// in 2^40, and there are many pairs) are each seen all the same.
const INITIAL_SEQUENCE_NUMBER: u32 = 1_000;

/// Offsets of fields in a frame without VLAN tag and IP options.
mod offset {
    pub(super) const IP_CHECKSUM: usize = 24;
    pub(super) const SOURCE: usize = 26;
    pub(super) const DESTINATION: usize = 30;
    pub(super) const SOURCE_PORT: usize = 34;
    pub(super) const DESTINATION_PORT: usize = 36;
    pub(super) const TCP_CHECKSUM: usize = 50;
}

/// TCP flags of a segment, besides ACK, which all but a SYN have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// None.
    None,
    /// Opens the connection.
    Syn,
    /// Closes the sender's side.
    Fin,
    /// Ends the connection.
    Rst,
}

/// A segment, the same for each client but for its address and port.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// Its flag.
    pub flag: Flag,
    /// Where its payload starts in the sender's stream.
    pub offset: usize,
    /// Its payload.
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// A segment that opens a connection.
    pub const SYN: Self = Self { flag: Flag::Syn, offset: 0, payload: &[] };

    /// A segment with the first bytes of the stream.
    pub fn data(payload: &'a [u8]) -> Self {
        Self { flag: Flag::None, offset: 0, payload }
    }

    /// A segment that has only this flag, behind `offset` bytes.
    pub fn only(flag: Flag, offset: usize) -> Self {
        Self { flag, offset, payload: &[] }
    }
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Clients,
    Gateway,
}

/// One end of the lab's link, to send any frame from.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    sender: Sender,
    source: [u8; 6],
    destination: [u8; 6],
}

impl Wire {
    /// The clients' end.
    ///
    /// # Errors
    /// When this process may not open packet sockets.
    pub fn from_clients(lab: &Lab) -> Result<Self> {
        let ends = [(&lab.client, CLIENT_INTERFACE), (&lab.gateway, GATEWAY_INTERFACE)];
        Self::open(Sender::Clients, ends)
    }

    /// The gateway's end: what it sends leaves by the egress hook of the gateway's interface.
    ///
    /// # Errors
    /// As [`Wire::from_clients`].
    pub fn from_gateway(lab: &Lab) -> Result<Self> {
        let ends = [(&lab.gateway, GATEWAY_INTERFACE), (&lab.client, CLIENT_INTERFACE)];
        Self::open(Sender::Gateway, ends)
    }

    fn open(sender: Sender, [from, to]: [(&Namespace, &str); 2]) -> Result<Self> {
        let (namespace, interface) = from;
        let socket = namespace.run_in_thread(|| -> Result<OwnedFd> {
            // Without a protocol it receives nothing.
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
                .context("opening a packet socket")?;
            bind(socket.as_raw_fd(), &link_address(interface)?).context("binding a packet socket")?;
            Ok(socket)
        })??;
        let [source, destination] = [from, to].map(|(namespace, interface)| -> Result<[u8; 6]> {
            let address = namespace.run_in_thread(|| link_address(interface))??;
            address.addr().with_context(|| format!("{interface} has no MAC address"))
        });
        Ok(Self { socket, sender, source: source?, destination: destination? })
    }

    /// Sends `segment` once for each of `clients`, as fast as the kernel takes it.
    ///
    /// # Errors
    /// When the kernel refuses a frame; one for which it has no room at the moment is sent again.
    pub fn send(&self, segment: &Segment<'_>, clients: Range<u32>) -> Result<()> {
        let mut frame = self.frame(segment)?;
        for client in clients {
            frame.set_client(client);
            self.send_frame(&frame.bytes)?;
        }
        Ok(())
    }

    /// The frame that [`Wire::send`] would send for `client`: for a test that changes it first.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn bytes(&self, segment: &Segment<'_>, client: u32) -> Result<Vec<u8>> {
        let mut frame = self.frame(segment)?;
        frame.set_client(client);
        Ok(frame.bytes)
    }

    /// Writes what [`Wire::send`] would send to a capture file, for a program that sends it faster.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, segment: &Segment<'_>, clients: Range<u32>, path: &Path) -> Result<()> {
        let mut frame = self.frame(segment)?;
        let mut file = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
        let length = u32::try_from(frame.bytes.len())?.to_ne_bytes();
        // Magic number, version 2.4, no time zone, no accuracy, the longest frame, Ethernet.
        file.write_all(&0xa1b2_c3d4_u32.to_ne_bytes())?;
        for version in [2_u16, 4] {
            file.write_all(&version.to_ne_bytes())?;
        }
        for word in [0_u32, 0, 65_535, 1] {
            file.write_all(&word.to_ne_bytes())?;
        }
        for client in clients {
            frame.set_client(client);
            // Its time, which nobody reads.
            file.write_all(&[0; 8])?;
            file.write_all(&length)?;
            file.write_all(&length)?;
            file.write_all(&frame.bytes)?;
        }
        file.flush()?;
        Ok(())
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn send_frame(&self, bytes: &[u8]) -> Result<()> {
        loop {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::empty()) {
                Ok(count) if count == bytes.len() => return Ok(()),
                Ok(count) => bail!("{count} of {} bytes sent", bytes.len()),
                Err(Errno::ENOBUFS | Errno::EINTR) => thread::yield_now(),
                Err(error) => return Err(error).context("sending a frame"),
            }
        }
    }

    fn frame(&self, segment: &Segment<'_>) -> Result<Frame> {
        let (client, gateway) = (FIRST_CLIENT.octets(), SILENT_GATEWAY.octets());
        let client_port = u16::try_from(FIRST_PORT)?;
        let is_from_client = self.sender == Sender::Clients;
        let (source, destination) = if is_from_client { (client, gateway) } else { (gateway, client) };
        let (source_port, destination_port) =
            if is_from_client { (client_port, SILENT_PORT) } else { (SILENT_PORT, client_port) };
        let is_syn = segment.flag == Flag::Syn;
        let seq = INITIAL_SEQUENCE_NUMBER + u32::from(!is_syn) + u32::try_from(segment.offset)?;
        let mut tcp = TcpHeader::new(source_port, destination_port, seq, 64_000);
        tcp.syn = is_syn;
        tcp.fin = segment.flag == Flag::Fin;
        tcp.rst = segment.flag == Flag::Rst;
        tcp.ack = !is_syn;
        tcp.acknowledgment_number = if is_syn { 0 } else { INITIAL_SEQUENCE_NUMBER + 1 };
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2(self.source, self.destination)
            .ipv4(source, destination, 64)
            .tcp_header(tcp)
            .write(&mut bytes, segment.payload)
            .context("building a frame")?;
        let (address_at, port_at) = if is_from_client {
            (offset::SOURCE, offset::SOURCE_PORT)
        } else {
            (offset::DESTINATION, offset::DESTINATION_PORT)
        };
        Ok(Frame { bytes, address_at, port_at })
    }
}

/// Keeps this thread, and whatever it starts from now on, on one CPU. What it sends is then handed
/// from interface to interface there, in its order; a thread that moves to another CPU may overtake
/// its own packets.
///
/// # Errors
/// When the kernel refuses.
pub fn stay_on_one_cpu() -> Result<()> {
    stay_on_cpu(0)
}

/// Like [`stay_on_one_cpu`], on the one with this position among those on which the thread may run,
/// or on the last.
///
/// # Errors
/// When the kernel refuses.
pub fn stay_on_cpu(position: usize) -> Result<()> {
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread).context("asking for this thread's CPUs")?;
    let allowed = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let chosen = allowed.take(position + 1).last().context("this thread may run on no CPU")?;
    let mut one = CpuSet::new();
    one.set(chosen)?;
    sched_setaffinity(this_thread, &one).context("choosing a CPU")
}

fn link_address(interface: &str) -> Result<LinkAddr> {
    let mut all = getifaddrs().context("asking for interfaces")?;
    let found = all.find_map(|entry| {
        let address = entry.address?;
        (entry.interface_name == interface).then(|| address.as_link_addr().copied()).flatten()
    });
    found.with_context(|| format!("no interface {interface}"))
}

/// A frame whose client can be changed.
#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    address_at: usize,
    port_at: usize,
}

impl Frame {
    fn set_client(&mut self, client: u32) {
        let address = FIRST_CLIENT.to_bits() + client / PORTS;
        let port = u16::try_from(FIRST_PORT + client % PORTS).expect("all ports fit");
        let [a, b, c, d] = address.to_be_bytes();
        for (at, value) in
            [(self.address_at, u16::from_be_bytes([a, b])), (self.address_at + 2, u16::from_be_bytes([c, d]))]
        {
            let old = self.replace(at, value);
            // The TCP checksum covers the addresses too (RFC 9293, section 3.1).
            self.update(offset::IP_CHECKSUM, old, value);
            self.update(offset::TCP_CHECKSUM, old, value);
        }
        let old = self.replace(self.port_at, port);
        self.update(offset::TCP_CHECKSUM, old, port);
    }

    /// Puts `value` at `at` and gives what was there.
    fn replace(&mut self, at: usize, value: u16) -> u16 {
        let old = self.get(at);
        self.bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
        old
    }

    fn get(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// Corrects a checksum for a word that has changed (RFC 1624, equation 3).
    fn update(&mut self, checksum_at: usize, old: u16, new: u16) {
        let mut sum = u32::from(!self.get(checksum_at)) + u32::from(!old) + u32::from(new);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        let checksum = u16::try_from(sum).map_or(0, |sum| !sum);
        self.replace(checksum_at, checksum);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use etherparse::PacketHeaders;

    use super::*;

    fn wire(sender: Sender) -> Wire {
        let socket = File::open("/dev/null").unwrap().into();
        Wire { socket, sender, source: [2; 6], destination: [4; 6] }
    }

    #[test]
    fn each_client_is_another_and_all_checksums_are_right() {
        for sender in [Sender::Clients, Sender::Gateway] {
            let mut frame = wire(sender).frame(&Segment::data(b"an odd number of bytes!")).unwrap();
            let mut seen = HashSet::new();
            for client in [0, 1, 77, 49_999, 50_000, 50_001, 399_999, 12_345_678] {
                frame.set_client(client);
                let headers = PacketHeaders::from_ethernet_slice(&frame.bytes).unwrap();
                let ip = headers.net.as_ref().and_then(|net| net.ipv4_ref()).unwrap().0.clone();
                let tcp = headers.transport.clone().and_then(etherparse::TransportHeader::tcp).unwrap();
                assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, headers.payload.slice()).unwrap());
                let is_new = seen.insert((ip.source, ip.destination, tcp.source_port, tcp.destination_port));
                assert!(is_new, "{client}");
            }
        }
    }
}
