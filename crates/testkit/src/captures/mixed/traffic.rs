//! Who says what next.

use super::frames::{Frames, Path, Tcp, flags};
use super::payloads::{Hello, Library, MSS, Patch, Payload};
use super::random::Random;
use super::{Mix, Truth};
use crate::captures::Side;

/// TLS connections that begin within the time from a connection's packet to its next: as many are open
/// at once, for each packet is of any of them. The capture lasts equally long whatever its size, so a
/// smaller one has fewer; else connections would take minutes, and time out.
const HELLOS_PER_OPEN: u64 = 250;
const MAX_OPEN: u64 = 4_096;
const OPEN_HTTP: usize = 64;
const ESTABLISHED: usize = 512;

/// Clients are in 10.0.0.0/8, and have as many addresses. Ports count up.
const CLIENTS: u64 = 20_000;
const FIRST_CLIENT: u32 = 0x0a01_0000;
const FIRST_PORT: u64 = 32_768;
/// Those of connections that were there before are in another network.
const FIRST_ESTABLISHED: u32 = 0x0a80_0000;
const FIRST_HTTP: u32 = 0x0ac0_0000;
const FIRST_RESOLVER: u32 = 0x0ae0_0000;

/// Segments of a record of 16 KiB.
const SEGMENTS_PER_RECORD: usize = 11;

/// All that goes on.
#[derive(Debug)]
pub(super) struct Traffic {
    mix: Mix,
    random: Random,
    library: Library,
    /// Connections that begin, and have not had their answer.
    open: Vec<Connection>,
    http: Vec<Connection>,
    /// The number of the next one.
    next_http: u64,
    established: Vec<Established>,
    pub(super) truth: Truth,
}

/// A connection and its next step.
#[derive(Debug, Clone, Copy)]
struct Connection {
    path: Path,
    client_isn: u32,
    gateway_isn: u32,
    step: usize,
    /// The number of the connection.
    number: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Tls { without_sni: bool, is_post_quantum: bool, hello: usize },
    Http { segments: usize },
}

/// A connection that was there before the capture began.
#[derive(Debug)]
struct Established {
    path: Path,
    client_seq: u32,
    gateway_seq: u32,
    /// Of the record that the gateway sends.
    segment: usize,
}

impl Traffic {
    pub(super) fn new(mix: Mix) -> Self {
        let mut random = Random::new();
        let library = Library::new(&mut random);
        let established = (0..ESTABLISHED).map(|index| Established::new(index, &mut random)).collect();
        let mut traffic = Self {
            mix,
            random,
            library,
            open: Vec::new(),
            http: Vec::new(),
            next_http: 0,
            established,
            truth: Truth::default(),
        };
        let open = (mix.hellos / HELLOS_PER_OPEN).clamp(1, MAX_OPEN);
        traffic.open = (0..open).map_while(|_| traffic.next_tls()).collect();
        traffic.http = (0..OPEN_HTTP).map(|_| traffic.next_http()).collect();
        traffic
    }

    /// Adds the next frame. Returns whether there was one.
    pub(super) fn step(&mut self, frames: &mut Frames) -> bool {
        // The file grows as fast as hellos come: where they leave room, the rest fills it.
        let begun = self.truth.hellos - self.open.len() as u64;
        let is_behind = |written: u64| {
            u128::from(written) * u128::from(self.mix.hellos.max(1))
                < u128::from(self.mix.bytes) * u128::from(begun)
        };
        if self.open.is_empty() {
            if frames.written >= self.mix.bytes {
                return false;
            }
            self.fill(frames);
        } else if is_behind(frames.written) {
            self.fill(frames);
        } else {
            self.step_tls(frames);
        }
        true
    }

    fn step_tls(&mut self, frames: &mut Frames) {
        let index = self.random.below(self.open.len());
        let connection = &mut self.open[index];
        let is_over = connection.tls(&self.library, frames);
        if is_over {
            match self.next_tls() {
                Some(next) => self.open[index] = next,
                None => {
                    self.open.swap_remove(index);
                }
            }
        }
    }

    fn fill(&mut self, frames: &mut Frames) {
        match self.random.below(100) {
            0..=87 => {
                let index = self.random.below(ESTABLISHED);
                self.established[index].step(&self.library, &mut self.random, frames);
            }
            88..=95 => {
                let index = self.random.below(OPEN_HTTP);
                self.truth.http += u64::from(self.http[index].step == 0);
                if self.http[index].http(&self.library, frames) {
                    self.http[index] = self.next_http();
                }
            }
            kind => {
                let client = FIRST_RESOLVER + self.random.u32() % 256;
                let random = self.random.next().to_be_bytes();
                let id = u16::from_be_bytes([random[0], random[1]]);
                let client_port = 0x8000 | u16::from_be_bytes([random[2], random[3]]);
                let path = Path { is_v6: false, has_vlan_tag: false, client, client_port, gateway_port: 53 };
                frames.udp(&path, Side::Client, id, &self.library.dns_query);
                if kind != 99 {
                    frames.udp(&path, Side::Gateway, id, &self.library.dns_response);
                }
            }
        }
    }

    /// The next TLS connection, if one is left.
    fn next_tls(&mut self) -> Option<Connection> {
        let number = self.truth.hellos;
        if number == self.mix.hellos {
            return None;
        }
        // Evenly spread.
        let due =
            |count: u64| u128::from(count) * u128::from(self.mix.without_sni) / u128::from(self.mix.hellos);
        let without_sni = due(number + 1) > due(number);
        let is_post_quantum = self.random.below(3) == 0;
        let kinds = if is_post_quantum { &self.library.post_quantum } else { &self.library.classic };
        let hello = self.random.below(kinds[usize::from(without_sni)].len());
        self.truth.hellos += 1;
        self.truth.without_sni += u64::from(without_sni);
        self.truth.in_two_segments += u64::from(is_post_quantum);
        let client = FIRST_CLIENT + u32::try_from(number % CLIENTS).expect("few clients");
        let gateway_port = if number % 8 == 7 { 8443 } else { 443 };
        let kind = Kind::Tls { without_sni, is_post_quantum, hello };
        Some(self.connection(client, number / CLIENTS, gateway_port, number, kind))
    }

    fn next_http(&mut self) -> Connection {
        let number = self.next_http;
        self.next_http += 1;
        let client = FIRST_HTTP + u32::try_from(number % CLIENTS).expect("few clients");
        let kind = Kind::Http { segments: self.random.below(12) };
        self.connection(client, number / CLIENTS, 80, number, kind)
    }

    fn connection(
        &mut self,
        client: u32,
        use_of_client: u64,
        gateway_port: u16,
        number: u64,
        kind: Kind,
    ) -> Connection {
        // After 32,768 connections of a client its ports come again.
        let port = FIRST_PORT + use_of_client % FIRST_PORT;
        let path = Path {
            is_v6: self.random.below(8) == 0,
            has_vlan_tag: self.random.below(16) == 0,
            client,
            client_port: u16::try_from(port).expect("a port"),
            gateway_port,
        };
        let [client_isn, gateway_isn] = [self.random.u32(), self.random.u32()];
        Connection { path, client_isn, gateway_isn, step: 0, number, kind }
    }
}

impl Connection {
    /// Adds the next frame. Returns whether it was the last one.
    fn tls(&mut self, library: &Library, frames: &mut Frames) -> bool {
        let Kind::Tls { without_sni, is_post_quantum, hello } = self.kind else { return true };
        let kinds = if is_post_quantum { &library.post_quantum } else { &library.classic };
        let Hello { segments } = &kinds[usize::from(without_sni)][hello];
        let step = self.step;
        self.step += 1;
        if self.opens(step, library, frames) {
            return false;
        }
        let at = step - 3;
        if let Some(payload) = segments.get(at) {
            self.send(frames, Side::Client, flags::PSH_ACK, [at * MSS, 0], payload);
            return false;
        }
        let hello_len = segments.iter().map(|segment| segment.bytes.len()).sum();
        if without_sni {
            self.send(frames, Side::Gateway, flags::RST_ACK, [hello_len, 0], &library.empty);
            return true;
        }
        if at == segments.len() {
            self.send(frames, Side::Gateway, flags::PSH_ACK, [hello_len, 0], &library.server_hello);
            return false;
        }
        let answer_len = library.server_hello.bytes.len();
        self.send(frames, Side::Client, flags::ACK, [hello_len, answer_len], &library.empty);
        true
    }

    /// The same of HTTP: the gateway closes when it has said all.
    fn http(&mut self, library: &Library, frames: &mut Frames) -> bool {
        let Kind::Http { segments } = self.kind else { return true };
        let step = self.step;
        self.step += 1;
        if self.opens(step, library, frames) {
            return false;
        }
        let request_len = library.http_request.bytes.len();
        let head_len = library.http_response.bytes.len();
        let body_len = library.http_body.bytes.len();
        let sent = head_len + (step - 3).saturating_sub(2) * body_len;
        match step - 3 {
            0 => self.send(frames, Side::Client, flags::PSH_ACK, [0, 0], &library.http_request),
            1 => self.send(frames, Side::Gateway, flags::PSH_ACK, [request_len, 0], &library.http_response),
            at if at - 2 < segments => {
                self.send(frames, Side::Gateway, flags::ACK, [request_len, sent], &library.http_body);
            }
            at if at - 2 == segments => {
                self.send(frames, Side::Gateway, flags::FIN_ACK, [request_len, sent], &library.empty);
            }
            _ => {
                let all = head_len + segments * body_len + 1;
                self.send(frames, Side::Client, flags::FIN_ACK, [request_len, all], &library.empty);
                return true;
            }
        }
        false
    }

    /// SYN, SYN and ACK, ACK. Returns whether this step is one of these.
    fn opens(&self, step: usize, library: &Library, frames: &mut Frames) -> bool {
        let (client, gateway) = (self.client_isn, self.gateway_isn);
        let (sender, flags, seq, ack) = match step {
            0 => (Side::Client, flags::SYN, client, 0),
            1 => (Side::Gateway, flags::SYN_ACK, gateway, client.wrapping_add(1)),
            2 => (Side::Client, flags::ACK, client.wrapping_add(1), gateway.wrapping_add(1)),
            _ => return false,
        };
        frames.tcp(
            &self.path,
            &Tcp { sender, seq, ack, flags, payload: &library.empty, patch: Patch::default() },
        );
        true
    }

    /// A segment after so many bytes of the client and of the gateway.
    fn send(&self, frames: &mut Frames, sender: Side, flags: u8, before: [usize; 2], payload: &Payload) {
        let [client, gateway] = before.map(|bytes| 1 + u32::try_from(bytes).expect("a short stream"));
        let client = self.client_isn.wrapping_add(client);
        let gateway = self.gateway_isn.wrapping_add(gateway);
        let (seq, ack) = if sender == Side::Client { (client, gateway) } else { (gateway, client) };
        // Differs from connection to connection, and needs no state.
        let random = (self.number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let patch = Patch { number: self.number, random };
        frames.tcp(&self.path, &Tcp { sender, seq, ack, flags, payload, patch });
    }
}

impl Established {
    fn new(index: usize, random: &mut Random) -> Self {
        let path = Path {
            is_v6: index % 8 == 7,
            has_vlan_tag: index % 16 == 3,
            client: FIRST_ESTABLISHED + u32::try_from(index).expect("few connections"),
            client_port: 50_000,
            gateway_port: if index % 8 == 5 { 8443 } else { 443 },
        };
        Self { path, client_seq: random.u32(), gateway_seq: random.u32(), segment: random.below(11) }
    }

    /// A full segment to the client, or its ACK, or a small record of the client.
    fn step(&mut self, library: &Library, random: &mut Random, frames: &mut Frames) {
        let any = |payloads: &'_ [Payload], random: &mut Random| random.below(payloads.len());
        let (sender, payload) = match random.below(8) {
            0..=4 => {
                self.segment = (self.segment + 1) % SEGMENTS_PER_RECORD;
                let all = if self.segment == 0 { &library.record_starts } else { &library.record_rests };
                (Side::Gateway, &all[any(all, random)])
            }
            5 | 6 => (Side::Client, &library.empty),
            _ => (Side::Client, &library.uploads[any(&library.uploads, random)]),
        };
        let (seq, ack) = match sender {
            Side::Client => (&mut self.client_seq, self.gateway_seq),
            Side::Gateway => (&mut self.gateway_seq, self.client_seq),
        };
        let flags = if payload.bytes.is_empty() { flags::ACK } else { flags::PSH_ACK };
        let tcp = Tcp { sender, seq: *seq, ack, flags, payload, patch: Patch::default() };
        frames.tcp(&self.path, &tcp);
        *seq = seq.wrapping_add(u32::try_from(payload.bytes.len()).expect("a segment is short"));
    }
}
