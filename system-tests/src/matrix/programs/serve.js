// Serves a page over TLS on several ports: node serve.js DIRECTORY PORT:CERTIFICATE:PROTOCOL:need|none...
const fs = require('fs');
const https = require('https');

const [directory, ...listeners] = process.argv.slice(2);
const ca = fs.readFileSync(`${directory}/ca.crt`);
for (const listener of listeners) {
  const [port, certificate, protocol, auth] = listener.split(':');
  const pem = fs.readFileSync(`${directory}/${certificate}.pem`);
  const asks = auth === 'need';
  const versions = { minVersion: protocol, maxVersion: protocol };
  const options = { cert: pem, key: pem, ca, requestCert: asks, rejectUnauthorized: asks, ...versions };
  const server = https.createServer(options, (request, response) => response.end('hello\n'));
  server.on('tlsClientError', (error) => console.error(error.code, error.message));
  server.listen(port);
}
