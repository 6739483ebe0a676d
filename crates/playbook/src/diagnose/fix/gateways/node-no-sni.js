cert: require('fs').readFileSync('CERTIFICATE_FILE'),
key: require('fs').readFileSync('KEY_FILE'),
