#!/usr/bin/env bash
# With TLS 1.3, one side refuses the certificate of the other: first the client, then a server that gets no certificate.
#
# Expected: both alerts are encrypted, because both sides have handshake keys since the ServerHello. An observer sees a
# record of type 23 and 19 bytes, and no reason.
# OpenSSL 4.0.3 (in cryptography 50.0.2): only the server's alert is encrypted. The client has decrypted the certificate,
# but sends its alert in plain text: a record of type 21 and 2 bytes with the level (2) and the reason (48, unknown_ca).
# An observer that finds alerts of TLS 1.3 by the length of encrypted records misses this one. An observer that expects no
# plain text after the ServerHello loses the reason, which is there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyOpenSSL==26.4.0 cryptography==50.0.2
cat > "$folder/main.py" <<'PYTHON'
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

key = ec.generate_private_key(ec.SECP256R1())
subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
start = datetime.datetime(2026, 1, 1)
certificate = (
    x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
    .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=3650)).sign(key, hashes.SHA256())
)


def last_record(data):
    record = b""
    while data:
        length = 5 + int.from_bytes(data[3:5], "big")
        record, data = data[:length], data[length:]
    return record


def handshake(client_trusts, server_asks):
    server = SSL.Context(SSL.TLS_SERVER_METHOD)
    server.use_certificate(certificate)
    server.use_privatekey(key)
    if server_asks:
        server.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client.set_min_proto_version(SSL.TLS1_3_VERSION)
    if not client_trusts:
        client.set_verify(SSL.VERIFY_PEER)
    sides = {"client": SSL.Connection(client), "server": SSL.Connection(server)}
    sides["client"].set_connect_state()
    sides["server"].set_accept_state()
    for name, peer in ("client", "server"), ("server", "client"), ("client", "server"), ("server", "client"):
        failed = False
        try:
            sides[name].do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            failed = True
        data = sides[name].bio_read(65536)
        if failed:
            record = last_record(data)
            plain = f", content {record[5:].hex(' ')}" if record[0] == 21 else ""
            return f"the {name} refuses: record type {record[0]}, length {len(record) - 5}{plain}"
        sides[peer].bio_write(data)


print(SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode().rsplit(" ", 3)[0])
print(handshake(client_trusts=False, server_asks=False))
print(handshake(client_trusts=True, server_asks=True))
PYTHON
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/main.py")
echo "$seen"
# Seen:
expected='OpenSSL 4.0.3
the client refuses: record type 21, length 2, content 02 30
the server refuses: record type 23, length 19'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
