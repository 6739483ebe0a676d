use std::collections::HashSet;
use std::io::Write as _;
use std::process::Command;

use etherparse::{Ipv6FragmentHeader, NetHeaders, PacketHeaders, TransportHeader};
use tempfile::NamedTempFile;

use super::*;

/// Reads each frame that is no fragment anew, and compares its checksums.
#[test]
fn checksums_are_right() {
    let mut checked = 0;
    for scenario in all() {
        for packet in scenario.capture.packets() {
            let headers = PacketHeaders::from_ip_slice(&packet.bytes).unwrap();
            if let Some((ip, _)) = headers.net.as_ref().and_then(NetHeaders::ipv4_ref) {
                assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "{}", scenario.name);
            }
            let Some(TransportHeader::Tcp(tcp)) = &headers.transport else { continue };
            let payload = headers.payload.slice();
            let expected = match headers.net.as_ref().unwrap() {
                NetHeaders::Ipv4(ip, _) => tcp.calc_checksum_ipv4(ip, payload),
                NetHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(ip, payload),
                NetHeaders::Arp(_) => unreachable!(),
            };
            assert_eq!(tcp.checksum, expected.unwrap(), "{}", scenario.name);
            checked += 1;
        }
    }
    assert!(checked > 400, "{checked} segments");
}

/// Put together, fragments are the segment that was cut.
#[test]
fn fragments_make_the_segment() {
    for mut connection in [Connection::v4(), Connection::v6()] {
        let payload: Vec<u8> = (0..250).collect();
        let mut whole = connection.clone();
        whole.client(&payload);
        connection.client_in_fragments(&payload, 104, FragmentOrder::Reversed);
        let header = if whole.client_address().is_ipv4() { 20 } else { 40 };
        let skip = header + if header == 40 { Ipv6FragmentHeader::LEN } else { 0 };
        let fragments: Vec<_> = connection.packets().iter().rev().map(|packet| &packet.bytes).collect();
        assert_eq!(fragments.len(), 3);
        let joined: Vec<u8> = fragments.iter().flat_map(|bytes| bytes[skip..].to_vec()).collect();
        assert_eq!(joined, whole.packets()[0].bytes[header..]);
    }
}

#[test]
fn names_differ_and_time_goes_on() {
    let mut names = HashSet::new();
    for scenario in all() {
        let packets = scenario.capture.packets();
        assert!(packets.windows(2).all(|pair| pair[0].time_ns <= pair[1].time_ns), "{}", scenario.name);
        assert!(names.insert(scenario.name.clone()), "{}", scenario.name);
    }
}

/// Every format, as the library reads it and as its header says.
#[test]
fn formats_are_read_again() {
    let capture = outcomes::timeout().capture;
    for container in [Container::Pcap, Container::Pcapng] {
        for byte_order in [ByteOrder::Little, ByteOrder::Big] {
            for nanoseconds in [false, true] {
                let format = Format { container, byte_order, nanoseconds, ..Format::PCAP };
                let bytes = capture.to_bytes(format).unwrap();
                let mut reader = pcap_parser::create_reader(1 << 16, &bytes[..]).unwrap();
                let mut frames = Vec::new();
                while let Ok((consumed, block)) = reader.next() {
                    match block {
                        pcap_parser::PcapBlockOwned::Legacy(block) => frames.push(block.data.to_vec()),
                        pcap_parser::PcapBlockOwned::NG(pcap_parser::Block::EnhancedPacket(block)) => {
                            frames.push(block.data[..block.caplen as usize].to_vec());
                        }
                        _ => {}
                    }
                    reader.consume_noshift(consumed);
                }
                let expected: Vec<_> = capture.frames(LinkType::Ethernet).map(|frame| frame.bytes).collect();
                assert_eq!(frames, expected, "{format:?}");
            }
        }
    }
}

/// What tshark finds: hellos, and the names in them. `None` where it knows less than sni-probe must.
fn known_to_tshark(scenario: &Scenario) -> Option<Vec<&'static str>> {
    let mut names: Vec<_> = scenario.expected.iter().map(|one| one.server_name.unwrap_or_default()).collect();
    match scenario.name.as_str() {
        // Not whole, or not in the capture; or no TLS record.
        "half_a_hello" | "hello_cut_by_the_snap_length" | "sslv2_hello" => return None,
        "hello_of_16_kib_and_one_byte" => names = vec![scenarios::NAME],
        // Both hellos of one handshake.
        "hello_retry" => names.push(scenarios::NAME),
        _ => {}
    }
    Some(names)
}

fn tshark(bytes: &[u8]) -> Vec<String> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "tls.handshake.type==1"]);
    command.args(["-T", "fields", "-e", "tls.handshake.extensions_server_name", "-r"]).arg(file.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn is_tshark_here() -> bool {
    let is_here = Command::new("tshark").arg("--version").output().is_ok();
    if !is_here {
        println!("skipped: tshark is not installed");
    }
    is_here
}

#[test]
fn tshark_finds_the_same_hellos() {
    if !is_tshark_here() {
        return;
    }
    for scenario in all() {
        let Some(expected) = known_to_tshark(&scenario) else { continue };
        let found = tshark(&scenario.capture.to_bytes(Format::PCAPNG).unwrap());
        assert_eq!(found, expected, "{}", scenario.name);
    }
}

#[test]
fn tshark_reads_every_format() {
    if !is_tshark_here() {
        return;
    }
    let capture = segments::post_quantum_in_two_segments().capture;
    let links =
        [LinkType::Ethernet, LinkType::Vlan, LinkType::RawIp, LinkType::LinuxCooked, LinkType::LinuxCooked2];
    let formats = links.into_iter().flat_map(|link_type| {
        let plain = Format { link_type, ..Format::PCAP };
        let swapped = Format { byte_order: ByteOrder::Big, nanoseconds: true, ..plain };
        [plain, Format { container: Container::Pcapng, ..swapped }]
    });
    for format in formats {
        let found = tshark(&capture.to_bytes(format).unwrap());
        assert_eq!(found, [scenarios::NAME], "{format:?}");
    }
}
