// Fetches a page once or several times, each over a connection of its own:
// node get.js URL DIRECTORY CERTIFICATE|"" TIMES
const https = require('https');
const fs = require('fs');

const [url, directory, certificate, times] = process.argv.slice(2);
const options = { ca: fs.readFileSync(`${directory}/ca.crt`), keepAlive: false };
if (certificate) {
  options.cert = options.key = fs.readFileSync(`${directory}/${certificate}.pem`);
}
const agent = new https.Agent(options);
const fail = (error) => {
  console.error(error.code, error.message);
  process.exitCode = 1;
};
const fetch = (left) => {
  const request = https.get(url, { agent }, (response) => {
    response.on('data', (data) => process.stdout.write(data));
    response.on('error', fail);
    // Tickets of TLS 1.3 come with the response.
    response.on('end', () => left > 1 && setTimeout(fetch, 50, left - 1));
  });
  request.on('error', fail);
};
fetch(Number(times));
