#!/usr/bin/env bash
# A client connects twice to a server of Node.js, with the same name, and resumes its session. The server logs
# `socket.servername`.
#
# Expected: the name both times, because it is in both ClientHellos (with TLS 1.2 in plain text in both).
# Node.js 24.21.0 (OpenSSL 3.5.8): the second time, with TLS 1.2, `servername` is `false`, which is its value for a client
# that sends no SNI. With TLS 1.3 it is the name.
# A log or a metric of such a server reports clients without SNI where there are none: only the packets show the name.
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

async function run(version) {
    let logged, hello, session;
    const server = tls.createServer({ key, cert, minVersion: version, maxVersion: version }, (socket) => {
        logged = socket.servername;
        socket.on('error', () => {});
        socket.end('answer');
    });
    const serverPort = await listen(server);
    // Keeps the ClientHello on its way to the server.
    const recorder = net.createServer((inward) => {
        const outward = net.connect(serverPort, '127.0.0.1');
        inward.once('data', (data) => (hello = data));
        inward.pipe(outward).pipe(inward);
    });
    const port = await listen(recorder);
    for (let time = 0; time < 2; time++) {
        const resumed = await new Promise((resolve, reject) => {
            const socket = tls.connect({ host: '127.0.0.1', port, servername: 'a.example', ca: cert, session }, () => {
                const answer = socket.isSessionReused();
                socket.on('close', () => resolve(answer));
            });
            socket.on('session', (ticket) => (session = ticket));
            socket.on('error', reject);
            socket.resume();
        });
        const sent = hello.includes('a.example');
        console.log(`${version}, resumed ${resumed}: name in the ClientHello ${sent}, servername ${logged}`);
    }
    recorder.close();
    server.close();
}

console.log(`Node.js ${process.versions.node}, OpenSSL ${process.versions.openssl}`);
run('TLSv1.2').then(() => run('TLSv1.3'));
JS
seen=$(timeout 30 "$folder"/node_modules/node-linux-*/bin/node "$folder/main.js")
echo "$seen"
# Seen:
expected='Node.js 24.21.0, OpenSSL 3.5.8
TLSv1.2, resumed false: name in the ClientHello true, servername a.example
TLSv1.2, resumed true: name in the ClientHello true, servername false
TLSv1.3, resumed false: name in the ClientHello true, servername a.example
TLSv1.3, resumed true: name in the ClientHello true, servername a.example'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
