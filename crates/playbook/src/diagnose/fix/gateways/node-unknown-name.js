cert: require('fs').readFileSync('CERTIFICATE_FILE'),
key: require('fs').readFileSync('KEY_FILE'),
SNICallback: (name, callback) => {
  FORMER_CALLBACK(name, (error, context) => callback(null, error ? null : context));
},
