//! Datagrams in pieces.

use super::*;

const SECOND: u64 = 1_000_000_000;

/// A segment of many bytes, no two places of which look alike.
fn long_segment(len: u16) -> Vec<u8> {
    [segment(), (0..len).flat_map(u16::to_be_bytes).collect()].concat()
}

/// An IPv4 datagram in fragments of at most `size` bytes of data.
fn fragmented4(datagram: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (header, data) = datagram.split_at(20);
    let last = data.len().div_ceil(size) - 1;
    let fragment = |(i, chunk): (usize, &[u8])| {
        let mut bytes = [header, chunk].concat();
        let more = if i == last { 0 } else { 0x2000 };
        let offset = u16::try_from(i * size / 8).unwrap() | more;
        let total = u16::try_from(bytes.len()).unwrap();
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[6..8].copy_from_slice(&offset.to_be_bytes());
        bytes
    };
    data.chunks(size).enumerate().map(fragment).collect()
}

/// An IPv6 datagram in fragments, with options in front of the fragment header.
fn fragmented6(protocol: u8, data: &[u8], size: usize) -> Vec<Vec<u8>> {
    let last = data.len().div_ceil(size) - 1;
    let fragment = |(i, chunk): (usize, &[u8])| {
        let more = u16::from(i != last);
        let [high, low] = (u16::try_from(i * size).unwrap() | more).to_be_bytes();
        let options = [44, 0, 1, 4, 0, 0, 0, 0];
        ipv6(0, &[&options, &[protocol, 0, high, low, 0xde, 0xad, 0xbe, 0xef], chunk].concat())
    };
    data.chunks(size).enumerate().map(fragment).collect()
}

/// Takes frames of raw IP, numbered from 1, at a time that stands still until told.
#[derive(Default)]
struct Feeder {
    unwrapper: Unwrapper,
    number: u64,
    time_ns: u64,
}

impl Feeder {
    fn feed<'a>(&'a mut self, bytes: &'a [u8]) -> Unwrapped<'a> {
        self.feed_cut(bytes, bytes.len())
    }

    fn feed_cut<'a>(&'a mut self, bytes: &'a [u8], wire_len: usize) -> Unwrapped<'a> {
        self.number += 1;
        let frame = FrameBytes { bytes, wire_len, number: self.number, time_ns: self.time_ns };
        self.unwrapper.unwrap(LinkType(101), &frame)
    }

    /// How many frames were skipped for this reason, when all are at their end and for no other.
    fn skipped(mut self, reason: SkipReason) -> u64 {
        self.unwrapper.finish();
        assert_eq!(self.unwrapper.fragments.held_bytes(), 0);
        for &other in SkipReason::ALL {
            assert!(other == reason || self.unwrapper.skipped(other) == 0, "{other}");
        }
        self.unwrapper.skipped(reason)
    }
}

/// The fragments make the datagram whole again, the last one given being the last missing.
fn assert_whole(fragments: &[Vec<u8>], datagram: &[u8]) {
    let mut feeder = Feeder::default();
    let (last, others) = fragments.split_last().unwrap();
    for fragment in others {
        assert_eq!(feeder.feed(fragment), Unwrapped::Fragment);
    }
    let frames: Vec<u64> = (1..=fragments.len() as u64).collect();
    let packet = IpPacket { bytes: datagram, wire_len: datagram.len() };
    assert_eq!(feeder.feed(last), Unwrapped::Reassembled { packet, frames: &frames });
    assert_eq!(feeder.skipped(SkipReason::FragmentsMissing), 0);
}

#[test]
fn whole_again() {
    let datagram = ipv4(TCP, &long_segment(500));
    assert_whole(&fragmented4(&datagram, 104), &datagram);

    let data = long_segment(500);
    let datagram = ipv6(0, &[&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &data].concat());
    assert_whole(&fragmented6(TCP, &data, 104), &datagram);
}

#[test]
fn the_header_is_the_first_fragments() {
    let mut first = ipv4(TCP, &[7; 24]);
    let last = fragmented4(&ipv4(TCP, &long_segment(8)), 24).remove(1);
    // No-operation options.
    first.splice(20..20, [1, 1, 1, 0]);
    first[0] = 0x46;
    let mut datagram = [&first, &last[20..]].concat();
    datagram[3] = u8::try_from(datagram.len()).unwrap();
    first[3] = u8::try_from(first.len()).unwrap();
    first[6] = 0x20;
    assert_whole(&[last, first], &datagram);
}

/// The most that a datagram can be.
#[test]
fn of_64_kib() {
    let data: Vec<u8> = (0..65_515_u32).map(|i| (i / 7).to_le_bytes()[0]).collect();
    let datagram = ipv4(TCP, &data);
    assert_whole(&fragmented4(&datagram, 1480), &datagram);
}

#[test]
fn a_tunnel_packet_in_pieces() {
    let inner = ipv4(TCP, &long_segment(500));
    let outer = ipv4(UDP, &udp(4789, &vxlan(&ethernet(0x0800, &inner))));
    assert_whole(&fragmented4(&outer, 504), &inner);

    let outer = udp(4789, &vxlan(&ethernet(0x0800, &inner)));
    assert_whole(&fragmented6(UDP, &outer, 504), &inner);
}

#[test]
fn pieces_in_a_tunnel() {
    let inner = ipv4(TCP, &long_segment(500));
    let fragments: Vec<_> = fragmented4(&inner, 504).iter().map(|fragment| ipv4(4, fragment)).collect();
    assert_whole(&fragments, &inner);
}

/// Fragments in a tunnel whose packets are fragmented.
#[test]
fn pieces_in_pieces() {
    let inner = ipv4(TCP, &long_segment(500));
    let mut fragments = Vec::new();
    for (id, fragment) in (0_u8..).zip(fragmented4(&inner, 504)) {
        let mut outer = ipv4(4, &fragment);
        outer[4] = id;
        fragments.extend(fragmented4(&outer, 200));
    }
    assert_whole(&fragments, &inner);
}

#[test]
fn twice_the_same() {
    let datagram = ipv4(TCP, &long_segment(500));
    let fragments = fragmented4(&datagram, 504);
    let mut feeder = Feeder::default();
    assert_eq!(feeder.feed(&fragments[0]), Unwrapped::Fragment);
    assert_eq!(feeder.feed(&fragments[0]), Unwrapped::Fragment);
    assert_eq!(feeder.feed(&fragments[2]), Unwrapped::Fragment);
    assert_eq!(feeder.feed(&fragments[2]), Unwrapped::Fragment);
    let Unwrapped::Reassembled { packet, frames } = feeder.feed(&fragments[1]) else { panic!() };
    assert_eq!(packet.bytes, datagram);
    assert_eq!(frames, [1, 3, 5]);
}

#[test]
fn overlaps_give_the_datagram_up() {
    let fragments = fragmented4(&ipv4(TCP, &long_segment(500)), 504);
    let overlapped = SkipReason::FragmentsOverlap;

    // Other bytes at the same place.
    let mut other = fragments[1].clone();
    other[40] ^= 1;
    // More than one place.
    let mut longer = fragments[0].clone();
    longer.extend([0; 8]);
    let total = u16::try_from(longer.len()).unwrap();
    longer[2..4].copy_from_slice(&total.to_be_bytes());
    // A second end.
    let mut end = fragments[1].clone();
    end[6] &= !0x20;
    // Data behind the end.
    let mut behind = fragments[2].clone();
    behind[6..8].copy_from_slice(&300_u16.to_be_bytes());

    for (sequence, at) in [
        ([&fragments[0], &fragments[1], &other, &fragments[2]], 2),
        ([&fragments[1], &longer, &fragments[0], &fragments[2]], 1),
        ([&fragments[2], &end, &fragments[1], &fragments[0]], 1),
        ([&fragments[0], &fragments[2], &behind, &fragments[1]], 2),
    ] {
        let mut feeder = Feeder::default();
        for (i, fragment) in sequence.into_iter().enumerate() {
            let expected = if i < at { Unwrapped::Fragment } else { Unwrapped::Skipped(overlapped) };
            assert_eq!(feeder.feed(fragment), expected);
        }
        assert_eq!(feeder.skipped(overlapped), 4);
    }
}

#[test]
fn cut_by_the_snap_length() {
    let fragments = fragmented4(&ipv4(TCP, &long_segment(500)), 504);
    let mut feeder = Feeder::default();
    assert_eq!(feeder.feed(&fragments[0]), Unwrapped::Fragment);
    let cut = &fragments[1];
    assert_eq!(feeder.feed_cut(&cut[..96], cut.len()), Unwrapped::Skipped(SkipReason::Truncated));
    assert_eq!(feeder.feed(&fragments[2]), Unwrapped::Skipped(SkipReason::Truncated));
    assert_eq!(feeder.skipped(SkipReason::Truncated), 3);
}

#[test]
fn lengths_that_cannot_be() {
    let fragment = fragmented4(&ipv4(TCP, &long_segment(500)), 504).remove(0);
    let mut feeder = Feeder::default();
    // Not in units of 8 bytes, nothing in it, behind 64 KiB, longer than the frame.
    let mut uneven = fragment.clone();
    uneven[3] -= 1;
    let mut empty = fragment.clone();
    empty[2..4].copy_from_slice(&20_u16.to_be_bytes());
    let mut behind = fragment.clone();
    behind[6..8].copy_from_slice(&0x3fff_u16.to_be_bytes());
    for malformed in [&uneven, &empty, &behind, &fragment[..400].to_vec()] {
        assert_eq!(feeder.feed(malformed), Unwrapped::Skipped(SkipReason::Malformed));
    }
    assert_eq!(feeder.skipped(SkipReason::Malformed), 4);

    // Each for itself is possible, but not with the header in front.
    let data: Vec<u8> = vec![0; 65_512];
    let mut fragments = fragmented6(TCP, &data, 1448);
    let mut feeder = Feeder::default();
    let mut last = fragments.pop().unwrap();
    for fragment in &fragments {
        assert_eq!(feeder.feed(fragment), Unwrapped::Fragment);
    }
    last.extend([0; 16]);
    let payload = u16::try_from(last.len() - 40).unwrap();
    last[4..6].copy_from_slice(&payload.to_be_bytes());
    assert_eq!(feeder.feed(&last), Unwrapped::Skipped(SkipReason::Malformed));
    feeder.unwrapper.finish();
}

#[test]
fn fragments_wait_for_30_seconds() {
    let datagram = ipv4(TCP, &long_segment(500));
    let fragments = fragmented4(&datagram, 504);
    for (wait, is_in_time) in [(MAX_AGE.as_secs(), true), (MAX_AGE.as_secs() + 1, false)] {
        let mut feeder = Feeder { time_ns: 5 * SECOND, ..Feeder::default() };
        feeder.feed(&fragments[0]);
        feeder.feed(&fragments[1]);
        feeder.time_ns += wait * SECOND;
        assert_eq!(matches!(feeder.feed(&fragments[2]), Unwrapped::Reassembled { .. }), is_in_time);
        assert_eq!(feeder.skipped(SkipReason::FragmentsMissing), if is_in_time { 0 } else { 3 });
    }
}

#[test]
fn the_oldest_of_too_many_datagrams_goes() {
    let fragments = fragmented4(&ipv4(TCP, &long_segment(500)), 504);
    let mut feeder = Feeder::default();
    let begin = |feeder: &mut Feeder, id: usize| {
        let mut first = fragments[0].clone();
        first[4..6].copy_from_slice(&u16::try_from(id).unwrap().to_be_bytes());
        assert_eq!(feeder.feed(&first), Unwrapped::Fragment);
    };
    for id in 0..MAX_DATAGRAMS {
        begin(&mut feeder, id);
    }
    assert_eq!(feeder.unwrapper.skipped(SkipReason::FragmentsOverflow), 0);
    begin(&mut feeder, MAX_DATAGRAMS);
    assert_eq!(feeder.unwrapper.skipped(SkipReason::FragmentsOverflow), 1);
    // The second one is there still, the first is not.
    let datagram = |id: u8, i: usize| {
        let mut fragment = fragments[i].clone();
        fragment[4..6].copy_from_slice(&[0, id]);
        fragment
    };
    assert_eq!(feeder.feed(&datagram(1, 1)), Unwrapped::Fragment);
    assert!(matches!(feeder.feed(&datagram(1, 2)), Unwrapped::Reassembled { .. }));
    assert_eq!(feeder.feed(&datagram(0, 1)), Unwrapped::Fragment);
    assert_eq!(feeder.feed(&datagram(0, 2)), Unwrapped::Fragment);
}

#[test]
fn too_many_bytes() {
    let datagram = ipv4(TCP, &vec![0; 65_000]);
    let mut feeder = Feeder::default();
    for id in 0..80_u8 {
        let mut fragment = fragmented4(&datagram, 64_000).remove(0);
        fragment[4] = id;
        assert_eq!(feeder.feed(&fragment), Unwrapped::Fragment);
        assert!(feeder.unwrapper.fragments.held_bytes() <= MAX_HELD_BYTES);
    }
    let fit = (MAX_HELD_BYTES / 64_100) as u64;
    assert_eq!(feeder.unwrapper.skipped(SkipReason::FragmentsOverflow), 80 - fit);
    feeder.unwrapper.finish();
    assert_eq!(feeder.unwrapper.skipped(SkipReason::FragmentsMissing), fit);
}

#[test]
fn too_many_fragments() {
    let reason = SkipReason::FragmentsOverflow;
    let whole = ipv4(TCP, &vec![7; 8 * MAX_FRAGMENTS]);
    assert_whole(&fragmented4(&whole, 8), &whole);

    let fragments = fragmented4(&ipv4(TCP, &vec![7; 8 * MAX_FRAGMENTS + 1]), 8);
    let mut feeder = Feeder::default();
    let (last, others) = fragments.split_last().unwrap();
    for fragment in others {
        assert_eq!(feeder.feed(fragment), Unwrapped::Fragment);
    }
    assert_eq!(feeder.feed(last), Unwrapped::Skipped(reason));
    assert_eq!(feeder.skipped(reason), fragments.len() as u64);
}

/// Of what cannot carry TCP nothing is kept, and nothing counted.
#[test]
fn none_of_our_business() {
    let ping = fragmented4(&ipv4(1, &[0; 900]), 504);
    let dns = fragmented4(&ipv4(UDP, &udp(50_001, &[0; 900])), 200);
    let ping6 = fragmented6(58, &[0; 900], 504);
    let mut feeder = Feeder::default();
    for fragment in ping.iter().chain(&dns).chain(&ping6) {
        assert_eq!(feeder.feed(fragment), Unwrapped::Other);
        assert_eq!(feeder.unwrapper.fragments.held_bytes(), 0);
    }
    // Those that came before the ports were kept until then.
    assert_eq!(feeder.feed(&dns[1]), Unwrapped::Fragment);
    for i in [0, 2, 3] {
        assert_eq!(feeder.feed(&dns[i]), Unwrapped::Other);
    }
    // Its identification comes round in something else.
    let inner = tcp4();
    let vxlan = fragmented4(&ipv4(UDP, &udp(4789, &vxlan(&ethernet(0x0800, &inner)))), 48);
    assert_eq!(feeder.feed(&dns[0]), Unwrapped::Other);
    let (last, others) = vxlan.split_last().unwrap();
    for fragment in others {
        assert_eq!(feeder.feed(fragment), Unwrapped::Fragment);
    }
    assert!(matches!(feeder.feed(last), Unwrapped::Reassembled { .. }));
    assert_eq!(feeder.skipped(SkipReason::FragmentsMissing), 0);
}

/// A whole datagram that has no TCP in it after all.
#[test]
fn a_tunnel_without_tcp() {
    let outer = ipv4(4, &ipv4(1, &[0; 900]));
    let mut feeder = Feeder::default();
    let fragments = fragmented4(&outer, 504);
    assert_eq!(feeder.feed(&fragments[0]), Unwrapped::Fragment);
    assert_eq!(feeder.feed(&fragments[1]), Unwrapped::Other);
    // One that cannot be read counts with all its frames.
    let fragments = fragmented4(&ipv4(4, &[0; 900]), 504);
    assert_eq!(feeder.feed(&fragments[0]), Unwrapped::Fragment);
    assert_eq!(feeder.feed(&fragments[1]), Unwrapped::Skipped(SkipReason::Malformed));
    assert_eq!(feeder.skipped(SkipReason::Malformed), 2);
}

proptest! {
    #[test]
    fn in_any_order(
        is_v6 in any::<bool>(),
        units in 3..20_usize,
        keys in prop::collection::vec(any::<u32>(), 64),
    ) {
        let data = long_segment(200);
        let (datagram, fragments) = if is_v6 {
            let datagram = ipv6(0, &[&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &data].concat());
            (datagram, fragmented6(TCP, &data, units * 8))
        } else {
            let datagram = ipv4(TCP, &data);
            let fragments = fragmented4(&datagram, units * 8);
            (datagram, fragments)
        };
        let mut order: Vec<_> = keys.into_iter().zip(fragments).collect();
        order.sort_by_key(|&(key, _)| key);
        let fragments: Vec<_> = order.into_iter().map(|(_, fragment)| fragment).collect();
        assert_whole(&fragments, &datagram);
    }

    /// Each frame is counted once, or comes out in a packet, or is none of our business.
    #[test]
    fn none_is_lost_in_silence(
        parts in prop::collection::vec((0..3_u8, 0..6_u16, any::<bool>(), 1..4_usize, 0..20_u64), 1..60),
    ) {
        let mut feeder = Feeder::default();
        let mut ended = 0;
        for &(id, offset, more, units, wait) in &parts {
            // Of single fragments, so that nothing comes twice: that would count for nothing.
            let [high, low] = (offset | if more { 0x2000 } else { 0 }).to_be_bytes();
            let mut fragment = ipv4(TCP, &vec![u8::try_from(feeder.number).unwrap(); units * 8]);
            fragment[5] = id;
            fragment[6..8].copy_from_slice(&[high, low]);
            feeder.time_ns += wait * SECOND;
            match feeder.feed(&fragment) {
                Unwrapped::Ip(_) => ended += 1,
                Unwrapped::Reassembled { frames, .. } => ended += frames.len() as u64,
                _ => {}
            }
        }
        feeder.unwrapper.finish();
        prop_assert_eq!(feeder.unwrapper.fragments.held_bytes(), 0);
        let skipped: u64 = SkipReason::ALL.iter().map(|&reason| feeder.unwrapper.skipped(reason)).sum();
        prop_assert_eq!(ended + skipped, feeder.number);
    }
}
