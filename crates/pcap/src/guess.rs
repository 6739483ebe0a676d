//! What a file that is not a capture looks like, for the one line that says so.

use super::error::{OpenError, Packed, Problem};
use super::input::Input;
use super::magic;

/// Bytes that are looked at: a tar header, or a few lines of a log.
const HEAD_BYTES: usize = 512;

/// Of a text's first line, this many characters are shown.
const LINE_CHARACTERS: usize = 60;

const CONVERT: &str = "convert it with `editcap -F pcapng IN OUT`";

/// Beginnings of files, and what they are.
const MAGICS: &[(&[u8], &str)] = &[
    // Other captures. Wireshark reads them.
    (b"\xa1\xe2\xcb\x12", "a pcap of Navtel's kind: convert it with `editcap -F pcapng IN OUT`"),
    (b"\x12\xcb\xe2\xa1", "a pcap of Navtel's kind: convert it with `editcap -F pcapng IN OUT`"),
    (b"\x1c\x00\x01\xac", "an Ixia capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"\x1c\x00\x01\xab", "an Ixia capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"\xac\x01\x00\x1c", "an Ixia capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"\xab\x01\x00\x1c", "an Ixia capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"snoop\0\0\0", "a snoop capture (Solaris): convert it with `editcap -F pcapng IN OUT`"),
    (b"GMBU", "a Microsoft Network Monitor capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"RTSS", "a Microsoft Network Monitor capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"TRSNIFF data", "a Sniffer capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"XCP\0", "a NetXray capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"VL\0\0", "an old NetXray capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"ObserverPktBuffer", "an Observer capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"\x7fver", "an EtherPeek capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"\xaa\xaa\xaa\xaa\x20\0\0\0", "a 5View capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"\x01\x10\x4c\0\x01\x05", "a LANalyzer capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"TR\0d\0", "an HP-UX nettl trace: convert it with `editcap -F pcapng IN OUT`"),
    (b"\0\0\0\x01\0\0\0\0\0\x07\xd0\0", "an HP-UX nettl trace: convert it with `editcap -F pcapng IN OUT`"),
    (b"\x05VNF", "a Visual Networks capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"cpse", "a Capsa capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"\0\0\x02\0\x12\x05\0\x10", "a Tektronix K12 capture: convert it with `editcap -F pcapng IN OUT`"),
    (b"+---------+---------------+", "a capture as K12 text: convert it with `editcap -F pcapng IN OUT`"),
    (b"Session Transcript", "a Catapult DCT2000 trace: convert it with `editcap -F pcapng IN OUT`"),
    (b"EyeSDN", "an EyeSDN trace: convert it with `editcap -F pcapng IN OUT`"),
    (b"LOGG", "a Vector BLF file: convert it with `editcap -F pcapng IN OUT`"),
    (b"btsnoop\0", "a Bluetooth capture (btsnoop): there is no TLS gateway in it"),
    // A terminal turns each line feed into two bytes.
    (
        b"\x0d\x0a\x0d\x0d\x0d\x0a",
        "a pcapng that went through a terminal, which changed its bytes: capture again without a terminal \
         (`kubectl exec` or `ssh` without -t)",
    ),
    // Archives and packed files.
    (b"PK\x03\x04", "a zip archive: unpack it with unzip"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xfd7zXZ\0", "an xz file: unpack it with `xz -d`"),
    (b"BZh", "a bzip2 file: unpack it with `bzip2 -d`"),
    (b"\x04\x22\x4d\x18", "an lz4 file: unpack it with `lz4 -d`"),
    (b"LZIP", "an lzip file: unpack it with `lzip -d`"),
    (b"\x1f\x9d", "a compress(1) file: unpack it with `uncompress`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it with `7z x`"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it with unrar"),
    (b"!<arch>\n", "an ar archive or a Debian package"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    // What else is in the same directory.
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an old Microsoft Office document"),
    (b"\x7fELF", "an ELF program or core dump"),
    (b"MZ", "a Windows program"),
    (b"\xca\xfe\xba\xbe", "a Java class or macOS program"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"LPKSHHRH", "a systemd journal"),
    (b"\xfe\xed\xfe\xed", "a Java key store"),
    (b"\x16\x03", "TLS records without the packets that carried them: a capture is needed"),
    (b"\x30\x82", "a certificate or key in DER"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    // Text, from the rarest beginning on.
    (b"-----BEGIN ", "PEM (a certificate or key)"),
    (b"version https://git-lfs.", "a Git LFS pointer: fetch the file with `git lfs pull`"),
    (b"CLIENT_RANDOM ", "a TLS key log"),
    (b"1MOyo", "a pcap in base64: unpack it with `base64 -d`"),
    (b"TTyyo", "a pcap in base64: unpack it with `base64 -d`"),
    (b"Cg0NC", "a pcapng in base64: unpack it with `base64 -d`"),
    (b"H4sI", "a gzip file in base64: unpack it with `base64 -d`"),
    (b"<!DOCTYPE html", "HTML (the page of a login or an error?)"),
    (b"<!doctype html", "HTML (the page of a login or an error?)"),
    (b"<html", "HTML (the page of a login or an error?)"),
    (b"<HTML", "HTML (the page of a login or an error?)"),
    (b"<?xml", "XML"),
    (b"{", "JSON"),
    (b"[{", "JSON"),
    (b"#!", "a script"),
];

/// Always an error: the input has been found to be neither format.
pub(super) fn not_a_capture<T>(input: &mut Input, packed: Option<Packed>) -> Result<T, OpenError> {
    input.fill(HEAD_BYTES).map_err(|error| OpenError::new(Problem::Io(error), packed))?;
    let available = input.available();
    let head = &available[..available.len().min(HEAD_BYTES)];
    let looks_like = match packed {
        None if head.is_empty() => return Err(OpenError::Empty),
        None => looks_like(head),
        Some(packed) if head.is_empty() => format!("an empty file packed with {}", packed.name()),
        Some(packed) => format!("a {} file that holds {}", packed.name(), looks_like(head)),
    };
    Err(OpenError::NotACapture { looks_like })
}

/// A noun phrase.
pub(super) fn looks_like(head: &[u8]) -> String {
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return (*what).to_owned();
    }
    if let Some(packed) = magic::compression(head) {
        let name = packed.name();
        return format!("a {name} file: unpack it with `{name} -d`");
    }
    if head.get(257..262) == Some(b"ustar") {
        return "a tar archive: unpack it with `tar -x`".to_owned();
    }
    if head.iter().all(|byte| *byte == 0) {
        return "nothing but zeros: the disk was full, or the copy is not complete".to_owned();
    }
    if let Some(at) = capture_behind_text(head) {
        return format!(
            "a capture behind other output ({}): remove the first {at} bytes, or capture again with that \
             output sent elsewhere (2>/dev/null)",
            first_line(head)
        );
    }
    if is_text(head) {
        return text(head);
    }
    if is_erf(head) {
        return format!("an ERF capture (Endace): {CONVERT}");
    }
    if is_comm_view(head) {
        return format!("a CommView capture: {CONVERT}");
    }
    if is_net_scaler(head) {
        return format!("a NetScaler trace: {CONVERT}");
    }
    let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("none of the known formats (it begins with {})", start.join(" "))
}

fn text(head: &[u8]) -> String {
    let contains = |needle: &[u8]| head.windows(needle.len()).any(|window| window == needle);
    let line = first_line(head);
    if contains(b" HTTP/1.") || contains(b" HTTP/2") {
        format!("text (an access log?): {line}")
    } else if contains(b" IP ") || contains(b" IP6 ") {
        format!("the text that tcpdump prints: {line}; capture with `tcpdump -w FILE`")
    } else if head.starts_with(b"0000 ") || head.starts_with(b"000000 ") {
        format!("a hex dump: {line}; convert it with text2pcap")
    } else {
        format!("text: {line}")
    }
}

/// In quotes, cut, and fit for a terminal.
fn first_line(head: &[u8]) -> String {
    let line =
        head.split(|byte| matches!(byte, b'\n' | b'\r')).find(|line| !line.is_empty()).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let shown: String = line.chars().filter(|c| !c.is_control()).take(LINE_CHARACTERS).collect();
    let more = if line.chars().count() > LINE_CHARACTERS { "…" } else { "" };
    format!("\"{shown}{more}\"")
}

fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        // Cut within a character.
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    valid && head.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t' | 0x1b))
}

/// Where a capture begins after some text: tcpdump's "listening on ..." in the same stream.
fn capture_behind_text(head: &[u8]) -> Option<usize> {
    let at = (1..head.len()).find(|at| magic::is_capture(&head[*at..]))?;
    is_text(&head[..at]).then_some(at)
}

/// There is no magic; the header of the first record must make sense.
fn is_erf(head: &[u8]) -> bool {
    /// 2000 and 2040.
    const SECONDS: std::ops::Range<u32> = 946_684_800..2_208_988_800;
    /// Types of ERF records that were ever given out.
    const TYPES: std::ops::RangeInclusive<u8> = 1..=48;
    let Some(header) = head.first_chunk::<16>() else { return false };
    let seconds = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let record_length = u16::from_be_bytes([header[10], header[11]]);
    SECONDS.contains(&seconds) && TYPES.contains(&(header[8] & 0x7f)) && record_length >= 16
}

/// There is no magic; the lengths and the date of the first packet must make sense. The later format has a length of
/// 32 bits, the earlier one two of 16 and a version.
fn is_comm_view(head: &[u8]) -> bool {
    const YEARS: std::ops::Range<u16> = 1990..2100;
    let is_date = |at: usize| {
        let Some([low, high, month, day, hour, minute, second]) =
            head.get(at..).and_then(|date| date.first_chunk())
        else {
            return false;
        };
        YEARS.contains(&u16::from_le_bytes([*low, *high]))
            && (1..=12).contains(month)
            && (1..=31).contains(day)
            && *hour < 24
            && *minute < 60
            && *second < 60
    };
    is_date(4) || head.get(4) == Some(&0) && is_date(5)
}

/// The signature follows the header of the first record.
fn is_net_scaler(head: &[u8]) -> bool {
    const SIGNATURES: [&[u8]; 2] = [b"NetScaler Performance Data", b"NetScaler V"];
    let start = &head[..head.len().min(64)];
    SIGNATURES.iter().any(|signature| start.windows(signature.len()).any(|window| window == *signature))
}
