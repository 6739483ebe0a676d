use std::collections::HashSet;

use etherparse::{NetHeaders, PacketHeaders, TransportHeader};
use pcap_parser::LegacyPcapBlock;
use pcap_parser::traits::PcapReaderIterator as _;

use super::*;

const SMALL: Mix = Mix { bytes: 3_000_000, hellos: 1_000, without_sni: 8 };

fn written(mix: &Mix) -> (Vec<u8>, Truth) {
    let mut bytes = Vec::new();
    let truth = write(mix, &mut bytes, |_| {}).unwrap();
    (bytes, truth)
}

fn for_each_frame(bytes: &[u8], mut handle: impl FnMut(&LegacyPcapBlock<'_>)) {
    let mut reader = pcap_parser::LegacyPcapReader::new(1 << 22, bytes).unwrap();
    while let Ok((consumed, block)) = reader.next() {
        if let pcap_parser::PcapBlockOwned::Legacy(block) = block {
            handle(&block);
        }
        reader.consume_noshift(consumed);
    }
}

#[test]
fn it_is_what_it_says() {
    let (bytes, truth) = written(&SMALL);
    let [mut packets, mut hellos, mut resets, mut tagged, mut v6, mut udp] = [0_u64; 6];
    let (mut names, mut last) = (HashSet::new(), (0, 0));
    for_each_frame(&bytes, |block| {
        packets += 1;
        assert!(last <= (block.ts_sec, block.ts_usec));
        last = (block.ts_sec, block.ts_usec);
        let headers = PacketHeaders::from_ethernet_slice(block.data).unwrap();
        tagged += u64::from(headers.vlan().is_some());
        let payload = headers.payload.slice();
        let net = headers.net.as_ref().unwrap();
        if let NetHeaders::Ipv4(ip, _) = net {
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        }
        let tcp = match headers.transport.as_ref().unwrap() {
            TransportHeader::Tcp(tcp) => tcp,
            TransportHeader::Udp(_) => {
                udp += 1;
                return;
            }
            other => panic!("{other:?}"),
        };
        let checksum = match net {
            NetHeaders::Ipv4(ip, _) => tcp.calc_checksum_ipv4(ip, payload),
            NetHeaders::Ipv6(ip, _) => {
                v6 += 1;
                tcp.calc_checksum_ipv6(ip, payload)
            }
            NetHeaders::Arp(_) => unreachable!(),
        };
        assert_eq!(tcp.checksum, checksum.unwrap());
        resets += u64::from(tcp.rst);
        hellos += u64::from(payload.starts_with(&[22, 3, 1]));
        if let Some(at) = payload.windows(5).position(|window| window == b"host-") {
            names.insert(payload[at..at + 13].to_vec());
        }
    });
    assert_eq!(bytes.len() as u64, truth.bytes);
    assert!(truth.bytes.abs_diff(SMALL.bytes) < 3_000, "{truth:?}");
    assert_eq!(packets, truth.packets);
    assert_eq!([hellos, resets], [SMALL.hellos, SMALL.without_sni]);
    assert_eq!([truth.hellos, truth.without_sni], [SMALL.hellos, SMALL.without_sni]);
    assert_eq!(names.len() as u64, SMALL.hellos - SMALL.without_sni);
    assert!(tagged > packets / 40 && v6 > packets / 20 && udp > 10, "{tagged} {v6} {udp} of {packets}");
    assert!(truth.http > 5 && truth.in_two_segments > SMALL.hellos / 4, "{truth:?}");
}

#[test]
fn it_is_the_same_each_time() {
    assert_eq!(written(&SMALL), written(&SMALL));
}

#[test]
fn without_hellos_it_is_the_rest() {
    let (bytes, truth) = written(&Mix { bytes: 50_000, hellos: 0, without_sni: 0 });
    assert!(truth.packets > 10);
    assert_eq!(bytes.len() as u64, truth.bytes);
}
