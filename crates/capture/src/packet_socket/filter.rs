//! The filter of a packet socket, in classic BPF: which frames the datapath may want, and how much of each.
//!
//! It lets pass SYN, RST, FIN and data of gateway ports, and what the datapath counts as passed over (fragments of
//! TCP, too many headers). It may let pass too much, for the datapath looks again; never too little.
#![expect(clippy::cast_possible_truncation, reason = "instruction codes and a few thousand instructions")]

use libc::{
    BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JEQ, BPF_JMP,
    BPF_JSET, BPF_K, BPF_LD, BPF_LDX, BPF_LSH, BPF_MEM, BPF_MISC, BPF_RET, BPF_RSH, BPF_ST, BPF_STX, BPF_SUB,
    BPF_TAX, BPF_W, BPF_X, SKF_AD_OFF, SKF_AD_VLAN_TAG_PRESENT,
};
use sni_probe_datapath::event::{ANSWER_COPY, CLIENT_WINDOW, tcp_flags};
use sni_probe_datapath::tunnel::Tunnels;
use sni_probe_datapath::wire::ethertype;
use socket2::SockFilter;

/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;
/// More than all headers that the datapath follows take: Ethernet, tags, IP with options or extension headers, TCP.
const HEADERS: u32 = 512;
/// Bytes of a frame on its way to the gateway, and of one whose way is not known.
const CLIENT_BYTES: u32 = CLIENT_WINDOW + HEADERS;
/// Bytes of a frame on its way from the gateway.
const GATEWAY_BYTES: u32 = ANSWER_COPY + HEADERS;

/// Why there is no such filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The kernel's limit of instructions.
    #[error(
        "{0} ports are too many for a packet socket's filter (about 950 fit); name fewer with --port, or use --capture tc"
    )]
    TooManyPorts(usize),
}

/// A filter.
#[derive(Debug)]
pub struct Filter {
    instructions: Vec<SockFilter>,
}

impl Filter {
    /// The filter for gateways on `ports`, with what `tunnels` may carry.
    pub fn new(ports: &[u16], tunnels: Tunnels) -> Result<Self, FilterError> {
        let mut program = Program::default();
        write(&mut program, ports, tunnels);
        let instructions = program.finish();
        if instructions.len() > MAX_INSTRUCTIONS {
            return Err(FilterError::TooManyPorts(ports.len()));
        }
        Ok(Self { instructions })
    }

    /// Its instructions.
    pub fn instructions(&self) -> &[SockFilter] {
        &self.instructions
    }
}

/// Cells of the filter's memory.
mod cell {
    /// Length of what follows the IP header, in bytes.
    pub(super) const LENGTH: u32 = 0;
    /// Bytes of the frame to keep.
    pub(super) const KEEP: u32 = 1;
}

mod protocol {
    pub(super) const TCP: u32 = 6;
    pub(super) const UDP: u32 = 17;
    pub(super) const IP_IN_IP: [u32; 2] = [4, 41];
    /// Hop-by-hop options, routing, fragment, destination options.
    pub(super) const EXTENSION_HEADERS: [u32; 4] = [0, 43, 44, 60];
}

/// X is where the header is that is being looked at.
fn write(program: &mut Program, ports: &[u16], tunnels: Tunnels) {
    use Label::{Drop, Ipv4, Ipv6, KeepAll, Network, Tcp};
    /// Where the IP header would be if the frame had one tag.
    const SECOND_TAG: u32 = 18;
    for (network, is_last) in [(14, false), (18, false), (22, true)] {
        program.load_x(network);
        program.load_half_at(network - 2);
        for tag in ethertype::VLAN_TAGS {
            // More tags than are followed: the datapath counts those.
            program.jump_if_equal(tag.into(), if is_last { KeepAll } else { Label::Tagged(network) });
        }
        program.jump(Network);
        if !is_last {
            program.place(Label::Tagged(network));
        }
        if network == SECOND_TAG {
            // The same: it is the third if the kernel keeps one apart.
            program.load_vlan_tag_present();
            program.jump_if_any_bit(1, KeepAll);
        }
    }
    program.place(Network);
    program.jump_if_equal(ethertype::IPV4.into(), Ipv4);
    program.jump_if_equal(ethertype::IPV6.into(), Ipv6);
    program.jump(Drop);

    program.place(Ipv4);
    program.load_byte(9);
    not_tcp(program, tunnels, &[]);
    // Fragments.
    program.load_half(6);
    program.jump_if_any_bit(0x3fff, KeepAll);
    // No length: a packet of more than 64 KiB, which is data.
    program.load_half(2);
    program.jump_if_equal(0, KeepAll);
    program.store(cell::LENGTH);
    // The length of the header, in units of 4 bytes.
    program.load_byte(0);
    program.and(0xf);
    program.shift_left(2);
    program.add_x_and_take_from(cell::LENGTH);
    program.jump(Tcp);

    program.place(Ipv6);
    program.load_byte(6);
    not_tcp(program, tunnels, &protocol::EXTENSION_HEADERS);
    program.load_half(4);
    program.jump_if_equal(0, KeepAll);
    program.store(cell::LENGTH);
    program.advance_x(40);
    program.jump(Tcp);

    program.place(Tcp);
    for (offset, keep) in [(2, CLIENT_BYTES), (0, GATEWAY_BYTES)] {
        program.load_half(offset);
        let label = Label::Port(offset);
        for &port in ports {
            program.jump_if_equal(port.into(), label);
        }
        program.jump(Label::OtherPort(offset));
        program.place(label);
        program.load(keep);
        program.store(cell::KEEP);
        program.jump(Label::Segment);
        program.place(Label::OtherPort(offset));
    }
    program.jump(Drop);

    program.place(Label::Segment);
    program.load_byte(13);
    program.jump_if_any_bit(u32::from(tcp_flags::SYN | tcp_flags::RST | tcp_flags::FIN), Label::Keep);
    // Payload: more than the header, whose length stands in the upper half of the byte, in units of 4 bytes.
    program.load_byte(12);
    program.shift_right(4);
    program.shift_left(2);
    program.subtract_from(cell::LENGTH);
    program.jump_if_equal(0, Drop);
    program.place(Label::Keep);
    program.load_cell(cell::KEEP);
    program.keep();

    program.place(KeepAll);
    program.load(CLIENT_BYTES);
    program.keep();
    program.place(Drop);
    program.load(0);
    program.keep();
}

/// Goes on with TCP only; keeps what may be TCP behind more headers.
fn not_tcp(program: &mut Program, tunnels: Tunnels, more: &[u32]) {
    let label = Label::NotTcp(more.len());
    for &protocol in more {
        program.jump_if_equal(protocol, Label::KeepAll);
    }
    if tunnels.has(Tunnels::IPIP) {
        for protocol in protocol::IP_IN_IP {
            program.jump_if_equal(protocol, Label::KeepAll);
        }
    }
    if tunnels.has(Tunnels::VXLAN) || tunnels.has(Tunnels::GENEVE) {
        // Those of other ports, name resolution for one, are few on a node of an overlay.
        program.jump_if_equal(protocol::UDP, Label::KeepAll);
    }
    program.jump_if_equal(protocol::TCP, label);
    program.jump(Label::Drop);
    program.place(label);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Tagged(u32),
    Network,
    Ipv4,
    Ipv6,
    NotTcp(usize),
    Tcp,
    Port(u32),
    OtherPort(u32),
    Segment,
    Keep,
    KeepAll,
    Drop,
}

/// Instructions whose jumps are resolved at the end. A conditional jump reaches 255 instructions at most, so each is
/// one over the unconditional jump behind it, which reaches all.
#[derive(Debug, Default)]
struct Program {
    code: Vec<SockFilter>,
    jumps: Vec<(usize, Label)>,
    places: Vec<(Label, usize)>,
}

impl Program {
    fn push(&mut self, code: u32, value: u32) {
        self.code.push(SockFilter::new(code as u16, 0, 0, value));
    }

    fn place(&mut self, label: Label) {
        self.places.push((label, self.code.len()));
    }

    fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(BPF_JMP | BPF_JA, 0);
    }

    fn jump_if(&mut self, test: u32, value: u32, to: Label) {
        self.code.push(SockFilter::new((BPF_JMP | test | BPF_K) as u16, 0, 1, value));
        self.jump(to);
    }

    fn jump_if_equal(&mut self, value: u32, to: Label) {
        self.jump_if(BPF_JEQ, value, to);
    }

    fn jump_if_any_bit(&mut self, bits: u32, to: Label) {
        self.jump_if(BPF_JSET, bits, to);
    }

    fn load(&mut self, value: u32) {
        self.push(BPF_LD | BPF_IMM, value);
    }

    fn load_x(&mut self, value: u32) {
        self.push(BPF_LDX | BPF_IMM, value);
    }

    fn load_cell(&mut self, cell: u32) {
        self.push(BPF_LD | BPF_MEM, cell);
    }

    fn load_half_at(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_H | BPF_ABS, offset);
    }

    /// 1 if the kernel keeps a VLAN tag of the frame apart, else 0.
    fn load_vlan_tag_present(&mut self) {
        let field = SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT;
        self.push(BPF_LD | BPF_W | BPF_ABS, field.cast_unsigned());
    }

    /// Behind X.
    fn load_half(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_H | BPF_IND, offset);
    }

    /// Behind X.
    fn load_byte(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_B | BPF_IND, offset);
    }

    fn store(&mut self, cell: u32) {
        self.push(BPF_ST, cell);
    }

    fn and(&mut self, bits: u32) {
        self.push(BPF_ALU | BPF_AND | BPF_K, bits);
    }

    fn shift_left(&mut self, bits: u32) {
        self.push(BPF_ALU | BPF_LSH | BPF_K, bits);
    }

    fn shift_right(&mut self, bits: u32) {
        self.push(BPF_ALU | BPF_RSH | BPF_K, bits);
    }

    /// X += `bytes`.
    fn advance_x(&mut self, bytes: u32) {
        self.push(BPF_LD | BPF_IMM, bytes);
        self.push(BPF_ALU | BPF_ADD | BPF_X, 0);
        self.push(BPF_MISC | BPF_TAX, 0);
    }

    /// A = cell − A. X is lost.
    fn subtract_from(&mut self, cell: u32) {
        self.push(BPF_MISC | BPF_TAX, 0);
        self.load_cell(cell);
        self.push(BPF_ALU | BPF_SUB | BPF_X, 0);
    }

    /// cell −= A; X += A.
    fn add_x_and_take_from(&mut self, cell: u32) {
        const A: u32 = 2;
        const X: u32 = 3;
        self.store(A);
        self.push(BPF_STX, X);
        self.subtract_from(cell);
        self.store(cell);
        self.push(BPF_LDX | BPF_MEM, X);
        self.load_cell(A);
        self.push(BPF_ALU | BPF_ADD | BPF_X, 0);
        self.push(BPF_MISC | BPF_TAX, 0);
    }

    /// Ends with as many bytes of the frame as A says.
    fn keep(&mut self) {
        self.push(BPF_RET | BPF_A, 0);
    }

    fn finish(mut self) -> Vec<SockFilter> {
        for (from, label) in self.jumps {
            let place = self.places.iter().find(|(placed, _)| *placed == label);
            // Every label is placed, behind its jumps: the tests see each of them.
            let to = place.map_or(from + 1, |(_, to)| *to);
            self.code[from] = SockFilter::new((BPF_JMP | BPF_JA) as u16, 0, 0, (to - from - 1) as u32);
        }
        self.code
    }
}

#[cfg(test)]
mod tests;
