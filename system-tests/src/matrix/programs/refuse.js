// Serves TLS for one name by an SNICallback, which refuses others by an error or by no context:
// node refuse.js DIRECTORY NAME PORT error|null
const fs = require('fs');
const https = require('https');
const tls = require('tls');

const [directory, name, port, way] = process.argv.slice(2);
const pem = fs.readFileSync(`${directory}/gateway.pem`);
const context = tls.createSecureContext({ cert: pem, key: pem });
const SNICallback = (asked, callback) => {
  if (asked === name) {
    callback(null, context);
  } else {
    callback(way === 'error' ? new Error('unknown name') : null, null);
  }
};
const server = https.createServer({ SNICallback }, (request, response) => response.end('hello\n'));
server.on('tlsClientError', (error) => console.error(error.code, error.message));
server.listen(port);
