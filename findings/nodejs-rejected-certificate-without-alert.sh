#!/usr/bin/env bash
# A client of Node.js does not trust the certificate of a server of Node.js.
#
# Expected: an alert of the client (OpenSSL, on which Node.js is built, sends one if it verifies), and `tlsClientError` at the
# server.
# Node.js 24.21.0: the client sends no alert.
# - TLS 1.2: it completes the handshake and then closes. The server emits `secureConnection`, as for a client that accepts the
#   certificate.
# - TLS 1.3: it sends no record after its ClientHello, only a FIN. The server emits `tlsClientError` with ECONNRESET, though
#   there was no reset.
# So neither the packets nor the server's log show the rejection. With TLS 1.2, only the close_notify is missing, which a client
# without data may omit for other reasons.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" "node-linux-$(node -p process.arch)@24.21.0"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=a.example \
    -addext subjectAltName=DNS:a.example -keyout "$folder/key.pem" -out "$folder/cert.pem" 2> "$folder/log" \
    || { cat "$folder/log" >&2; exit 1; }
cat > "$folder/main.js" <<'JS'
const { readFileSync } = require('fs');
const net = require('net');
const tls = require('tls');

const [key, cert] = ['key.pem', 'cert.pem'].map((name) => readFileSync(`${__dirname}/${name}`));
const listen = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));

function recordTypes(data) {
    const types = [];
    for (let at = 0; at + 5 <= data.length; at += 5 + data.readUInt16BE(at + 3)) types.push(data[at]);
    return types.join(' ');
}

async function run(version, ca) {
    const sent = [];
    let end, event;
    const server = tls.createServer({ key, cert, minVersion: version, maxVersion: version }, (socket) => {
        event = 'secureConnection';
        socket.on('error', () => {});
        socket.resume();
    });
    server.on('tlsClientError', (error) => (event = `tlsClientError ${error.code}`));
    const serverPort = await listen(server);
    // Records what the client sends, and whether it ends by FIN or by reset.
    let ended;
    const over = new Promise((resolve) => (ended = resolve));
    const recorder = net.createServer({ allowHalfOpen: true }, (inward) => {
        const outward = net.connect({ host: '127.0.0.1', port: serverPort, allowHalfOpen: true });
        inward.on('data', (data) => (sent.push(data), outward.write(data)));
        inward.on('end', () => ((end = 'FIN'), outward.end()));
        inward.on('error', () => ((end = 'reset'), outward.destroy()));
        outward.on('data', (data) => inward.write(data));
        outward.on('end', () => inward.end());
        outward.on('error', () => {});
        outward.on('close', ended);
    });
    const port = await listen(recorder);
    const result = await new Promise((resolve) => {
        const socket = tls.connect({ host: '127.0.0.1', port, servername: 'a.example', ca }, () => socket.end());
        socket.on('error', (error) => resolve(error.code));
        socket.on('close', () => resolve('accepts'));
        socket.resume();
    });
    await over;
    await new Promise((resolve) => setTimeout(resolve, 200));
    console.log(`${version}, client ${result}: record types ${recordTypes(Buffer.concat(sent))}, ${end}; server ${event}`);
    recorder.close();
    server.close();
}

(async () => {
    console.log(`Node.js ${process.versions.node}`);
    for (const version of ['TLSv1.2', 'TLSv1.3']) for (const ca of [cert, undefined]) await run(version, ca);
})();
JS
seen=$(timeout 30 "$folder"/node_modules/node-linux-*/bin/node "$folder/main.js")
echo "$seen"
# Seen (the last record of the first and of the third client is their close_notify):
expected='Node.js 24.21.0
TLSv1.2, client accepts: record types 22 22 20 22 21, FIN; server secureConnection
TLSv1.2, client DEPTH_ZERO_SELF_SIGNED_CERT: record types 22 22 20 22, FIN; server secureConnection
TLSv1.3, client accepts: record types 22 20 23 23, FIN; server secureConnection
TLSv1.3, client DEPTH_ZERO_SELF_SIGNED_CERT: record types 22, FIN; server tlsClientError ECONNRESET'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
