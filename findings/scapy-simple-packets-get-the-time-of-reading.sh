#!/usr/bin/env bash
# A pcapng file has a packet in a Simple Packet Block, which has no time, and one of 2023-11-14 in an Enhanced Packet Block.
# Scapy reads the file and writes it as pcap.
#
# Expected: no time, or 0, for the first packet. python-pcapng 2.1.1 gives it no `timestamp`.
# Scapy 2.8.0: `time` of the first packet is the time of reading, another one at each reading. `wrpcap` writes it like a time of
# capture. Nothing marks it.
# The copy is valid, but its first packet is years later than its second one. An observer that sorts by time, or measures
# handshakes, works with invented times.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scapy==2.8.0 python-pcapng==2.1.1
cat > "$folder/main.py" <<'PYTHON'
import struct
import sys
import time

from pcapng import FileScanner
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap, wrpcap

packet = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="192.0.2.1", dst="192.0.2.2") / TCP())


def block(kind, content):
    content += bytes(-len(content) % 4)
    length = struct.pack("<I", len(content) + 12)
    return struct.pack("<I", kind) + length + content + length


name, copy = sys.argv[1:]
with open(name, "wb") as file:
    file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
    file.write(block(1, struct.pack("<HHI", 1, 0, 262144)))
    file.write(block(3, struct.pack("<I", len(packet)) + packet))
    high, low = divmod(1700000000250000, 1 << 32)
    file.write(block(6, struct.pack("<5I", 0, high, low, len(packet), len(packet)) + packet))

with open(name, "rb") as file:
    found = [each for each in FileScanner(file) if hasattr(each, "packet_data")]
print("python-pcapng:", *(f"{type(each).__name__} {getattr(each, 'timestamp', None)}" for each in found))


def read(name):
    """Returns the times of the packets, and whether the first one is that of the reading."""
    before = time.time()
    times = [float(packet.time) for packet in rdpcap(name)]
    return times, before <= times[0] <= time.time()


first, is_now = read(name)
time.sleep(0.1)
again, is_now_again = read(name)
print("scapy: time of reading", is_now, is_now_again, "another one", first[0] != again[0], "second packet", first[1])
wrpcap(copy, rdpcap(name))
times = [float(packet.time) for packet in rdpcap(copy)]
print("scapy's copy: time of writing", abs(times[0] - time.time()) < 60, "second packet", times[1])
PYTHON
seen=$("$folder/venv/bin/python" "$folder/main.py" "$folder/file.pcapng" "$folder/copy.pcap")
echo "$seen"
# Seen:
expected='python-pcapng: SimplePacket None EnhancedPacket 1700000000.25
scapy: time of reading True True another one True second packet 1700000000.25
scapy'"'"'s copy: time of writing True second packet 1700000000.25'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
