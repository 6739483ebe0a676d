#!/usr/bin/env bash
# Scapy writes a packet of 2023-11-14 into a pcapng file. The crate pcap-file reads the file.
#
# Expected: the time that was written. The file has no option if_tsresol, so its times are in microseconds, as the format's
# specification says.
# pcap-file 2.0.0 (the newest stable version): the `timestamp` of an EnhancedPacketBlock is a `Duration`, but the number in the
# file is always taken for nanoseconds. The result is 1,700,000 s, in January 1970. Only a file with if_tsresol 9, as the second
# one, is read rightly. The option is listed among the interface's options, but not applied.
# For such a reader, a handshake of 250 ms takes 250 us, and a time limit of seconds is never reached.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scapy==2.8.0
cat > "$folder/main.py" <<'PYTHON'
import struct
import sys

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, rdpcap

packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="192.0.2.1", dst="192.0.2.2") / TCP()
micro, nano = sys.argv[1:]
packet.time = 1700000000.25
writer = PcapNgWriter(micro)
writer.write(packet)
writer.close()
# The same file with an interface in units of nanoseconds.
data = open(micro, "rb").read()
section = struct.unpack_from("<I", data, 4)[0]
interface = struct.pack("<IIHHIHHB3xHHI", 1, 32, 1, 0, 262144, 9, 1, 9, 0, 0, 32)
content = bytes(packet)
length = 32 + len(content) + -len(content) % 4
high, low = divmod(1700000000250000000, 1 << 32)
block = struct.pack("<7I", 6, length, 0, high, low, len(content), len(content))
block += content + bytes(-len(content) % 4) + struct.pack("<I", length)
open(nano, "wb").write(data[:section] + interface + block)
print("scapy:", *(rdpcap(name)[0].time for name in (micro, nano)))
PYTHON
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
pcap-file = "=2.0.0"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use std::fs::File;

use pcap_file::pcapng::{Block, PcapNgReader};

fn main() {
    for name in std::env::args().skip(1) {
        let mut reader = PcapNgReader::new(File::open(name).unwrap()).unwrap();
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(interface) => print!("pcap-file: options {:?}, ", interface.options),
                Block::EnhancedPacket(packet) => println!("time {:?}", packet.timestamp),
                _ => {}
            }
        }
    }
}
RUST
seen=$(
    "$folder/venv/bin/python" "$folder/main.py" "$folder/micro.pcapng" "$folder/nano.pcapng"
    cargo run --quiet --manifest-path "$folder/Cargo.toml" -- "$folder/micro.pcapng" "$folder/nano.pcapng"
)
echo "$seen"
# Seen:
expected='scapy: 1700000000.25 1700000000.25
pcap-file: options [], time 1700000.00025s
pcap-file: options [IfTsResol(9)], time 1700000000.25s'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
