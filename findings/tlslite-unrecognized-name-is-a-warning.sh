#!/usr/bin/env bash
# A server of tlslite-ng gets the name that it expects (the deprecated parameter `sni` of `handshakeServer`). A client of
# OpenSSL sends another name.
#
# Expected: the server refuses the handshake, as with the alert unrecognized_name of nginx, HAProxy or Go.
# tlslite-ng 0.8.2: it sends unrecognized_name at the level "warning" (01 70 instead of 02 70) before its ServerHello, and
# serves the client. OpenSSL 4.0.3 (in cryptography 50.0.2) ignores the alert, also if the ServerHello then chooses TLS 1.3.
# RFC 6066, section 3, advises against this warning: what a client does with it is not predictable.
# An observer that takes every alert before a ServerHello for a refusal counts completed handshakes as refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tlslite-ng==0.8.2 ecdsa==0.19.2 pyOpenSSL==26.4.0 cryptography==50.0.2
cat > "$folder/main.py" <<'PYTHON'
import datetime
import socket
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey

key = ec.generate_private_key(ec.SECP256R1())
subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "served.example")])
start = datetime.datetime(2026, 1, 1)
certificate = (
    x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
    .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=3650)).sign(key, hashes.SHA256())
)
encoding = serialization.Encoding.PEM
chain = X509CertChain()
chain.parsePemList(certificate.public_bytes(encoding).decode())
private = parsePEMKey(
    key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(), private=True
)


class Recorder:
    """A socket that keeps what was sent."""

    def __init__(self, inner):
        self.inner, self.sent = inner, b""

    def send(self, data):
        count = self.inner.send(data)
        self.sent += data[:count]
        return count

    def sendall(self, data):
        self.sent += data
        self.inner.sendall(data)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def serve(recorder, highest):
    settings = HandshakeSettings()
    settings.maxVersion = highest
    server = TLSConnection(recorder)
    server.handshakeServer(certChain=chain, privateKey=private, sni="served.example", settings=settings)
    recorder.request = bytes(server.read(max=4))


for highest in (3, 3), (3, 4):
    ours, theirs = socket.socketpair()
    theirs.settimeout(20)
    recorder = Recorder(theirs)
    thread = threading.Thread(target=serve, args=(recorder, highest), daemon=True)
    thread.start()
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), ours)
    client.set_connect_state()
    client.set_tlsext_host_name(b"other.example")
    client.do_handshake()
    client.sendall(b"ping")
    thread.join(20)
    first, second = recorder.sent[:7], recorder.sent[7:13]
    version = client.get_protocol_version_name()
    print(f"{version}: {first.hex(' ')}, then {second.hex(' ')}; the server read {recorder.request}")
    ours.close()
    theirs.close()
PYTHON
seen=$(timeout 60 "$folder/venv/bin/python" "$folder/main.py" | sed -E 's/then 16 03 03 .. .. 02/then a ServerHello/')
echo "$seen"
# Seen:
expected="TLSv1.2: 15 03 03 00 02 01 70, then a ServerHello; the server read b'ping'
TLSv1.3: 15 03 03 00 02 01 70, then a ServerHello; the server read b'ping'"
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
