#!/usr/bin/env bash
# One client says hello to two gateways. Their names differ by one character: 40 and 41 bytes.
#
# Expected: one JA4 fingerprint for both, because JA4 leaves the server's name out: neither its length nor its bytes are in
# the number of extensions or in the hashes.
# OpenSSL 4.0.3 (in cryptography 50.0.2) with SSL_OP_ALL, as in curl and Python's ssl: the second hello is longer than 255
# bytes, so it is padded to 512 (RFC 7685). The padding is one more extension, in JA4's count and in its last hash. From a
# list of fingerprints without SNI, one cannot derive what the same client sends with a name: it depends on the name's length.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyOpenSSL==26.4.0 cryptography==50.0.2
cat > "$folder/main.py" <<'PYTHON'
import hashlib

from OpenSSL import SSL


def hello(name):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_options(SSL.OP_ALL)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_alpn_protos([b"h2", b"http/1.1"])
    client = SSL.Connection(context)
    client.set_connect_state()
    client.set_tlsext_host_name(name)
    try:
        client.do_handshake()
    except SSL.WantReadError:
        return client.bio_read(65536)[5:]


def numbers(data):
    return [int.from_bytes(data[at:at + 2], "big") for at in range(0, len(data), 2)]


def short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def ja4(message):
    """Of a TLS 1.2 hello that has a name, `h2` first in ALPN, and no GREASE."""
    at = 4 + 2 + 32
    at += 1 + message[at]
    length = int.from_bytes(message[at:at + 2], "big")
    ciphers = numbers(message[at + 2:at + 2 + length])
    at += 2 + length
    at += 1 + message[at] + 2
    extensions = {}
    while at < len(message):
        kind, length = numbers(message[at:at + 4])
        extensions[kind] = message[at + 4:at + 4 + length]
        at += 4 + length
    others = ",".join(f"{kind:04x}" for kind in sorted(extensions) if kind not in (0, 16))
    signatures = ",".join(f"{value:04x}" for value in numbers(extensions[13][2:]))
    suites = short_hash(",".join(f"{value:04x}" for value in sorted(ciphers)))
    first = f"t12d{len(ciphers):02}{len(extensions):02}h2"
    return f"{first}_{suites}_{short_hash(others + '_' + signatures)}, padding: {21 in extensions}"


print(SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode().rsplit(" ", 3)[0])
for length in 40, 41:
    message = hello(b"a" * (length - len(b".example")) + b".example")
    print(f"name of {length} bytes: hello of {len(message)} bytes, {ja4(message)}")
PYTHON
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/main.py")
echo "$seen"
# Seen:
expected='OpenSSL 4.0.3
name of 40 bytes: hello of 255 bytes, t12d2709h2_a2460661a67a_36cef8aed422, padding: False
name of 41 bytes: hello of 512 bytes, t12d2710h2_a2460661a67a_ac233c863dbd, padding: True'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
