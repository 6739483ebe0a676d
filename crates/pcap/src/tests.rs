use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use super::*;

/// What a test compares of a record.
type ReadPacket = (u64, u64, u32, u16, usize, Vec<u8>);

fn open(bytes: &[u8]) -> Result<Reader, OpenError> {
    Reader::from_stream(Cursor::new(bytes.to_vec()))
}

fn open_error(bytes: &[u8]) -> String {
    open(bytes).err().expect("an error").to_string()
}

fn read_all(bytes: &[u8]) -> (Vec<ReadPacket>, Option<ReadError>) {
    read_stream(Cursor::new(bytes.to_vec()))
}

fn read_stream(stream: impl Read + Send + 'static) -> (Vec<ReadPacket>, Option<ReadError>) {
    let mut reader = Reader::from_stream(stream).expect("a capture");
    let mut seen = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(r)) => {
                seen.push((r.number, r.time_ns, r.interface, r.link_type, r.wire_len, r.bytes.to_vec()));
            }
            Ok(None) => return (seen, None),
            Err(error) => {
                assert!(reader.next_record().expect("nothing after an error").is_none());
                return (seen, Some(error));
            }
        }
    }
}

/// Gives its bytes in pieces of `piece` bytes, as a pipe might.
struct Drip {
    bytes: Cursor<Vec<u8>>,
    piece: usize,
}

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.piece);
        self.bytes.read(&mut buffer[..length])
    }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

fn pcap(
    order: Order,
    magic: u32,
    minor: u16,
    network: u32,
    packets: &[(u32, u32, u32, u32, &[u8])],
) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(order.u32(magic));
    file.extend(order.u16(2));
    file.extend(order.u16(minor));
    for field in [0, 0, 65_535, network] {
        file.extend(order.u32(field));
    }
    for (seconds, ticks, first, second, bytes) in packets {
        for field in [*seconds, *ticks, *first, *second] {
            file.extend(order.u32(field));
        }
        if magic == 0xa1b2_cd34 {
            file.extend([0; 8]);
        }
        file.extend(*bytes);
    }
    file
}

fn small_pcap() -> Vec<u8> {
    pcap(
        Order::Little,
        0xa1b2_c3d4,
        4,
        1,
        &[(1, 2, 3, 60, b"abc"), (3, 4, 0, 0, b""), (5, 6, 5, 5, b"defgh")],
    )
}

fn block(order: Order, block_type: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = order.u32(u32::try_from(padded + 12).expect("a short block"));
    let mut block = [order.u32(block_type), length].concat();
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

fn section(order: Order) -> Vec<u8> {
    let version = [order.u16(1), order.u16(0)].concat();
    block(order, 0x0a0d_0d0a, &[&order.u32(0x1a2b_3c4d)[..], &version, &[0xff; 8]].concat())
}

fn idb(order: Order, link_type: u16, snap_len: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = [&order.u16(link_type)[..], &[0, 0], &order.u32(snap_len)].concat();
    for (code, value) in options {
        body.extend(order.u16(*code));
        body.extend(order.u16(u16::try_from(value.len()).expect("a short option")));
        body.extend(*value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    block(order, 1, &body)
}

fn epb(order: Order, interface: u32, ticks: u64, wire_len: u32, bytes: &[u8]) -> Vec<u8> {
    let [high, low] = [(ticks >> 32) as u32, (ticks & 0xffff_ffff) as u32];
    let captured = u32::try_from(bytes.len()).expect("a short packet");
    let fields = [interface, high, low, captured, wire_len].map(|field| order.u32(field));
    let mut body = [fields.as_flattened(), bytes].concat();
    body.resize(body.len().next_multiple_of(4), 0);
    // A comment and flags, as Wireshark writes them.
    body.extend([&order.u16(2)[..], &order.u16(4), &[0; 4], &[0; 4]].concat());
    block(order, 6, &body)
}

fn small_pcapng() -> Vec<u8> {
    use Order::{Big, Little};
    [
        section(Little),
        idb(Little, 1, 0, &[(2, b"eth0"), (9, &[9])]),
        block(Little, 5, &[0; 12]),
        epb(Little, 0, 1_700_000_000_123_456_789, 60, b"abcde"),
        block(Little, 3, &[&Little.u32(3)[..], b"xyz"].concat()),
        section(Big),
        idb(Big, 101, 2, &[]),
        idb(Big, 113, 0, &[(2, b"eth1\0"), (14, &(-1_i64).to_be_bytes())]),
        block(Big, 0xbad, b"what is that"),
        epb(Big, 1, 1_700_000_000_000_001, 9, b"ninebytes"),
        block(Big, 3, &[&Big.u32(5)[..], b"xy"].concat()),
        block(
            Big,
            2,
            &[&[0, 0, 0, 7][..], &Big.u32(0), &Big.u32(5), &Big.u32(2), &Big.u32(3), b"pb"].concat(),
        ),
    ]
    .concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory does not fail")
}

#[test]
fn pcap_of_all_kinds() {
    for order in [Order::Little, Order::Big] {
        for (magic, minor, factor) in
            [(0xa1b2_c3d4, 4, 1_000), (0xa1b2_3c4d, 4, 1), (0xa1b2_cd34, 4, 1_000), (0xa1b2_c3d4, 3, 1_000)]
        {
            // The upper bits: frames end in a check sequence of four bytes.
            let file =
                pcap(order, magic, minor, 0x2400_0071, &[(7, 8, 3, 60, b"abc"), (u32::MAX, 999, 1, 1, b"d")]);
            let (seen, error) = read_all(&file);
            assert!(error.is_none());
            let late = u64::from(u32::MAX) * 1_000_000_000 + 999 * factor;
            let expected = [
                (1, 7_000_000_000 + 8 * factor, 0, 113, 60, b"abc".to_vec()),
                (2, late, 0, 113, 1, b"d".to_vec()),
            ];
            assert_eq!(seen, expected);
        }
    }
}

/// Variants of pcap with longer packet headers and the usual magic: Red Hat 6.1, Nokia, SuSE 6.3.
#[test]
fn pcap_with_longer_packet_headers() {
    for order in [Order::Little, Order::Big] {
        for (magic, extra) in [(0xa1b2_c3d4, 8), (0xa1b2_c3d4, 4), (0xa1b2_cd34, 12), (0xa1b2_cd34, 8)] {
            for count in [2_u32, 20] {
                let mut file = pcap(order, magic, 4, 1, &[]);
                for number in 0..count {
                    let fields = [1_700_000_000 + number, 999_999, 60 + number, 1_500];
                    file.extend(fields.map(|field| order.u32(field)).as_flattened());
                    file.extend(vec![0; extra]);
                    file.extend(vec![0x45; 60 + number as usize]);
                }
                for piece in [1_000, usize::MAX] {
                    let (seen, error) = read_stream(Drip { bytes: Cursor::new(file.clone()), piece });
                    assert!(error.is_none(), "{magic:x} {extra} {count} {piece}: {error:?}");
                    assert_eq!(seen.len(), count as usize);
                    assert!(seen.iter().all(|(.., bytes)| bytes.iter().all(|byte| *byte == 0x45)));
                }
            }
        }
    }
}

#[test]
fn lengths_of_old_versions_are_the_other_way_round() {
    let (seen, error) = read_all(&pcap(Order::Big, 0xa1b2_c3d4, 2, 1, &[(0, 0, 60, 2, b"ab")]));
    assert!(error.is_none());
    assert_eq!(seen, [(1, 0, 0, 1, 60, b"ab".to_vec())]);
}

#[test]
fn pcapng_with_two_sections() {
    let (seen, error) = read_all(&small_pcapng());
    assert!(error.is_none());
    let first = 1_700_000_000_123_456_789;
    let second = 1_699_999_999_000_001_000;
    let expected = [
        (1, first, 0, 1, 60, b"abcde".to_vec()),
        (2, first, 0, 1, 3, b"xyz".to_vec()),
        (3, second, 2, 113, 9, b"ninebytes".to_vec()),
        (4, second, 1, 101, 5, b"xy".to_vec()),
        (5, 5_000, 1, 101, 3, b"pb".to_vec()),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn interfaces_have_names() {
    let mut reader = open(&small_pcapng()).expect("a capture");
    while reader.next_record().expect("a whole file").is_some() {}
    let names =
        [0, 1, 2].map(|index| reader.interface(index).and_then(|interface| interface.name.as_deref()));
    assert_eq!(names, [Some("eth0"), None, Some("eth1")]);
    assert_eq!(reader.interface(1).map(|interface| interface.snap_len), Some(2));
    assert!(reader.interface(3).is_none());
}

#[test]
fn clocks() {
    let cases = [
        (6, 0, 1_500_000, 1_500_000_000),
        (0, 0, 3, 3_000_000_000),
        (9, 5, 7, 5_000_000_007),
        (12, 0, 7_999, 7),
        (127, 0, u64::MAX, 0),
        (0x8a, 0, 1536, 1_500_000_000),
        (0x80, 0, u64::MAX, u64::MAX),
        (0xff, 0, u64::MAX, 0),
        (3, 0, u64::MAX, u64::MAX),
        (6, i64::MIN, u64::MAX, 0),
        (6, i64::MAX, 0, u64::MAX),
    ];
    for (resolution, offset, ticks, expected) in cases {
        assert_eq!(
            Clock::new(resolution, offset).nanoseconds(ticks),
            expected,
            "{resolution} {offset} {ticks}"
        );
    }
}

#[test]
fn packed_files() {
    for file in [small_pcap(), small_pcapng()] {
        let (plain, _) = read_all(&file);
        let (head, tail) = file.split_at(50);
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        for packed in [
            gzip(&file),
            [gzip(head), gzip(b""), gzip(tail)].concat(),
            zstd(&file),
            [skippable.clone(), zstd(head), skippable, zstd(tail)].concat(),
        ] {
            for piece in [1, 7, usize::MAX] {
                let (seen, error) = read_stream(Drip { bytes: Cursor::new(packed.clone()), piece });
                assert!(error.is_none(), "{error:?}");
                assert_eq!(seen, plain);
            }
            // Cut anywhere: a prefix of the packets, and the message does not blame the capture.
            for cut in 0..packed.len() {
                let Ok(mut reader) = open(&packed[..cut]) else { continue };
                let error = loop {
                    match reader.next_record() {
                        Ok(Some(record)) => {
                            let index = usize::try_from(record.number).expect("few") - 1;
                            assert_eq!(record.bytes, plain[index].5);
                        }
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                };
                // Between members or frames a cut cannot be seen by the decoder.
                if let Some(error) = error {
                    let expected = matches!(
                        error,
                        ReadError::PackedEndsEarly { .. } | ReadError::EndsInsidePacket { .. }
                    );
                    assert!(expected, "{error}");
                }
            }
        }
    }
}

#[test]
fn packed_files_that_end_early_say_so() {
    // Longer than a block of zstd, so that something comes out before the cut.
    let long = vec![7; 100_000];
    let file = pcap(Order::Little, 0xa1b2_c3d4, 4, 1, &[(0, 0, 100_000, 100_000, &long[..]); 3]);
    for (packed, name) in [(gzip(&file), "gzip"), (zstd(&file), "zstd")] {
        let (seen, error) = read_all(&packed[..packed.len() - 1]);
        assert!(!seen.is_empty());
        let message = error.expect("an error").to_string();
        assert!(message.starts_with(&format!("the {name} data end early")), "{message}");
    }
    let message = open_error(&gzip(&file)[..12]);
    assert!(message.starts_with("cannot be unpacked: the gzip data are damaged or end early"), "{message}");
    let garbage = [gzip(&small_pcap()), b"what is that".to_vec()].concat();
    let (seen, error) = read_all(&garbage);
    assert_eq!(seen.len(), 3);
    assert!(matches!(error, Some(ReadError::PackedDamaged { .. })));
}

#[test]
fn every_cut_leaves_the_packets_before_it() {
    for file in [small_pcap(), small_pcapng()] {
        let (whole, _) = read_all(&file);
        for cut in 0..file.len() {
            match open(&file[..cut]) {
                Ok(_) => {
                    let (seen, error) = read_all(&file[..cut]);
                    assert_eq!(seen, whole[..seen.len()]);
                    let at_an_end = error.is_none();
                    assert!(
                        at_an_end || matches!(error, Some(ReadError::EndsInsidePacket { .. })),
                        "{error:?}"
                    );
                }
                Err(OpenError::Empty) => assert_eq!(cut, 0),
                Err(OpenError::EndsInsideHeader) => assert!((4..28).contains(&cut)),
                Err(error) => assert!(cut < 4, "{error}"),
            }
        }
    }
}

#[test]
fn a_cut_names_packet_and_offset() {
    let file = small_pcap();
    let (_, error) = read_all(&file[..file.len() - 1]);
    let message = error.expect("an error").to_string();
    assert_eq!(
        message,
        "ends inside packet 3, at byte 59: the capture was cut off; everything before it counts"
    );
}

#[test]
fn no_input_panics() {
    for file in [small_pcap(), small_pcapng()] {
        for bit in 0..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            exhaust(&flipped);
        }
        // Garbage from any place on.
        let mut state = 1_u32;
        for at in 4..file.len() {
            let mut garbage = file[..at].to_vec();
            garbage.resize_with(at + 300, || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            });
            exhaust(&garbage);
        }
        for byte in [0, 0xff] {
            let mut file = file.clone();
            file.resize(file.len() + 100, byte);
            exhaust(&file);
        }
    }
}

fn exhaust(bytes: &[u8]) {
    let Ok(mut reader) = open(bytes) else { return };
    loop {
        reader.is_drained();
        match reader.next_record() {
            Ok(Some(record)) => assert!(record.wire_len >= record.bytes.len()),
            Ok(None) => return,
            Err(error) => {
                assert!(!error.to_string().contains('\n'));
                return;
            }
        }
    }
}

#[test]
fn pieces_of_any_size() {
    for file in [small_pcap(), small_pcapng()] {
        let (whole, _) = read_all(&file);
        for piece in 1..file.len() {
            let (seen, error) = read_stream(Drip { bytes: Cursor::new(file.clone()), piece });
            assert!(error.is_none());
            assert_eq!(seen, whole);
        }
    }
}

/// A stream that notes what was asked of it.
struct Watched {
    drip: Drip,
    reads: Arc<Mutex<usize>>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        *self.reads.lock().expect("no panic") += 1;
        self.drip.read(buffer)
    }
}

#[test]
fn only_a_drained_reader_reads() {
    for file in [small_pcap(), small_pcapng()] {
        for piece in 1..=file.len() {
            let reads = Arc::new(Mutex::new(0));
            let drip = Drip { bytes: Cursor::new(file.clone()), piece };
            let mut reader =
                Reader::from_stream(Watched { drip, reads: Arc::clone(&reads) }).expect("a capture");
            loop {
                let drained = reader.is_drained();
                let before = *reads.lock().expect("no panic");
                let ended = reader.next_record().expect("a whole file").is_none();
                assert!(drained || *reads.lock().expect("no panic") == before);
                if ended {
                    break;
                }
            }
        }
    }
}

#[test]
fn packets_longer_than_the_buffer() {
    let long = vec![7; 1_000_000];
    let file = pcap(
        Order::Little,
        0xa1b2_c3d4,
        4,
        1,
        &[(0, 0, 1_000_000, 1_000_000, &long), (0, 0, 1, 1, b"a"), (0, 0, 1_000_000, 1_000_000, &long)],
    );
    let (seen, error) = read_all(&file);
    assert!(error.is_none());
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[2].5, long);
}

#[test]
fn damage_says_what_and_where() {
    let le = Order::Little;
    let start = [section(le), idb(le, 1, 0, &[])].concat();
    let offset = start.len();
    let mut two_lengths = epb(le, 0, 0, 1, b"a");
    let last = two_lengths.len() - 4;
    two_lengths[last] ^= 4;
    let fields = [0, 0, 0, 9, 9].map(|field| le.u32(field));
    let cases = [
        (epb(le, 3, 0, 1, b"a"), "interface 3, and the section describes 1"),
        (block(le, 6, fields.as_flattened()), "a packet of 9 bytes in a block that has room for 0"),
        (block(le, 6, &[0; 16]), "a packet block that is too short"),
        (two_lengths, "two different lengths"),
        ([le.u32(6), le.u32(0x0100_0004), le.u32(0)].concat(), "a block of 16777220 bytes"),
        ([le.u32(6), le.u32(33), le.u32(0)].concat(), "a block of 33 bytes"),
        (vec![0; 12], "a block of 0 bytes"),
    ];
    for (damage, what) in cases {
        let (seen, error) = read_all(&[&start[..], &epb(le, 0, 0, 1, b"a"), &damage].concat());
        assert_eq!(seen.len(), 1);
        let message = error.expect("an error").to_string();
        assert!(message.contains(what), "{message}");
        let at = offset + epb(le, 0, 0, 1, b"a").len();
        assert!(message.starts_with(&format!("damaged at byte {at}, packet 2: ")), "{message}");
    }
    let (_, error) = read_all(&pcap(le, 0xa1b2_c3d4, 4, 1, &[(0, 0, 0x0100_0001, 0, b"")]));
    assert!(error.expect("an error").to_string().contains("a packet of 16777217 bytes"));
}

#[test]
fn interfaces_are_bounded() {
    let le = Order::Little;
    let file = [section(le), idb(le, 1, 0, &[]).repeat(MAX_INTERFACES + 1)].concat();
    let (_, error) = read_all(&file);
    assert!(error.expect("an error").to_string().contains("more than 65536 interfaces"));
}

#[test]
fn what_is_not_a_capture_is_named() {
    let mut tar = vec![b'x'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let behind = [b"tcpdump: listening on eth0\n".to_vec(), small_pcap()].concat();
    let long_line = "ä".repeat(400);
    let log = b"10.0.0.1 - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 5\nmore";
    let cases: [(&[u8], &str); 20] = [
        (b"", "empty"),
        (b"\xd4", "none of the known formats (it begins with d4)"),
        (log, "text (an access log?): \"10.0.0.1 - -"),
        (b"hello\x07\n", "none of the known formats"),
        (b"hello\nworld", "text: \"hello\""),
        (long_line.as_bytes(), "text: \"ää"),
        (b"{\"a\": 1}", "JSON"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"PK\x03\x04", "unzip"),
        (b"\x7fELF\x02", "ELF"),
        (b"\xfd7zXZ\0\0", "xz -d"),
        (b"snoop\0\0\0\0", "editcap"),
        (b"-----BEGIN CERTIFICATE-----", "PEM"),
        (&tar, "a tar archive"),
        (&[0; 40], "nothing but zeros"),
        (&behind, "remove the first 27 bytes"),
        (&gzip(b"{}"), "a gzip file that holds JSON"),
        (&zstd(&gzip(&small_pcap())), "a zstd file that holds a gzip file"),
        (&gzip(b""), "an empty file packed with gzip"),
        (b"12:00:00.000000 IP 10.0.0.1.443 > 10.0.0.2.5: Flags [S]", "tcpdump -w"),
    ];
    for (bytes, expected) in cases {
        let message = open_error(bytes);
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains('\n') && message.len() < 250, "{message}");
    }
    let directory = Reader::open(Path::new("/")).err().expect("an error");
    assert!(directory.to_string().starts_with("a directory"));
}

#[test]
fn headers_that_make_no_sense() {
    let mut version = small_pcap();
    version[4] = 9;
    assert!(open_error(&version).contains("pcap version 9.4"));
    let mut order = small_pcapng();
    order[8] = 0;
    assert!(open_error(&order).contains("unknown byte order"));
}

#[test]
fn what_is_written_can_be_read() {
    let mut writer = Writer::new(Vec::new(), Some("of the file")).expect("memory does not fail");
    let ethernet = Interface::new(1, 262_144, Some("eth0".to_owned()));
    let raw = Interface::new(101, 0, None);
    assert_eq!(writer.add_interface(&ethernet).expect("memory does not fail"), 0);
    let packet = PacketToWrite {
        interface: 0,
        time_ns: 1_700_000_000_123_456_789,
        wire_len: 60,
        bytes: b"abc",
        comment: Some("of the packet"),
    };
    writer.write_packet(&packet).expect("memory does not fail");
    assert_eq!(writer.add_interface(&raw).expect("memory does not fail"), 1);
    let packet =
        PacketToWrite { interface: 1, time_ns: u64::MAX, wire_len: 4, bytes: b"abcd", comment: None };
    writer.write_packet(&packet).expect("memory does not fail");
    assert!(writer.write_packet(&PacketToWrite { interface: 2, ..packet }).is_err());
    let file = writer.finish().expect("memory does not fail");
    for comment in ["of the file", "of the packet"] {
        assert!(file.windows(comment.len()).any(|bytes| bytes == comment.as_bytes()), "{comment}");
    }
    let (seen, error) = read_all(&file);
    assert!(error.is_none());
    let expected = [
        (1, 1_700_000_000_123_456_789, 0, 1, 60, b"abc".to_vec()),
        (2, u64::MAX, 1, 101, 4, b"abcd".to_vec()),
    ];
    assert_eq!(seen, expected);
    let mut reader = open(&file).expect("a capture");
    while reader.next_record().expect("a whole file").is_some() {}
    assert_eq!((reader.interface(0), reader.interface(1)), (Some(&ethernet), Some(&raw)));
}

#[test]
fn position_is_that_of_the_packed_file() {
    let packed = gzip(&small_pcapng());
    let mut reader = open(&packed).expect("a capture");
    while reader.next_record().expect("a whole file").is_some() {}
    assert_eq!(reader.position(), packed.len() as u64);
    assert_eq!(reader.length(), None);
}
