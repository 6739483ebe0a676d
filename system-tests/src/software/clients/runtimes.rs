//! Languages and runtimes that have several versions side by side.

use super::{
    CHROMIUM, ClientProgram, ENVOY, GO, GO_OF_KUBELET, JAVA, NODE, OPENSSL_OF_PYCURL, OPENSSL_OF_PYTHON,
    PYTHON_VERSION, RUSTLS_OF_DENO, RUSTLS_OF_UV,
};

/// Python. Debian's takes the cipher suites of OpenSSL, that of its makers has some of its own.
pub const PYTHON: &[ClientProgram] = &[
    ClientProgram {
        program: "Python ssl",
        version: PYTHON_VERSION,
        library: OPENSSL_OF_PYTHON,
        script: r#"python3 -I -c '
import os, socket, ssl
context = ssl._create_unverified_context()
plain = socket.create_connection((os.environ["HOST"], int(os.environ["PORT"])), timeout=5)
context.wrap_socket(plain, server_hostname=os.environ["HOST"]).close()'"#,
        invoked: "SSLContext.wrap_socket",
    },
    ClientProgram {
        program: "Python urllib",
        version: PYTHON_VERSION,
        library: OPENSSL_OF_PYTHON,
        script: r#"python3 -I -c '
import os, ssl, urllib.request
urllib.request.urlopen("https://" + os.environ["AT"], timeout=5, context=ssl._create_unverified_context())'"#,
        invoked: "urlopen https://IP",
    },
    ClientProgram {
        program: "Python requests",
        version: "python3 -c 'import requests; print(requests.__version__)'",
        library: OPENSSL_OF_PYTHON,
        script: r#"python3 -I -c '
import os, requests
requests.get("https://" + os.environ["AT"], timeout=5, verify=False)'"#,
        invoked: "get https://IP",
    },
    ClientProgram {
        program: "Python aiohttp",
        version: "python3 -c 'import aiohttp; print(aiohttp.__version__)'",
        library: OPENSSL_OF_PYTHON,
        script: r#"python3 -I -c '
import aiohttp, asyncio, os
async def main():
    async with aiohttp.ClientSession() as session:
        await session.get("https://" + os.environ["AT"], ssl=False)
asyncio.run(main())'"#,
        invoked: "get https://IP",
    },
    ClientProgram {
        program: "Python httpx",
        version: "python3 -c 'import httpx; print(httpx.__version__)'",
        library: OPENSSL_OF_PYTHON,
        script: r#"python3 -I -c '
import httpx, os
httpx.get("https://" + os.environ["AT"], timeout=5, verify=False)'"#,
        invoked: "get https://IP",
    },
];

/// Node.js.
pub const NODE_JS: &[ClientProgram] = &[
    ClientProgram {
        program: "https",
        version: "",
        library: NODE,
        script: r#"node -e '
const options = { host: process.env.HOST, port: process.env.PORT, rejectUnauthorized: false, timeout: 5000 };
require("https").get(options, (response) => response.resume()).on("error", () => {});'"#,
        invoked: "https.get",
    },
    ClientProgram {
        program: "https",
        version: "",
        library: NODE,
        script: r#"node --tls-max-v1.2 -e '
const options = { host: process.env.HOST, port: process.env.PORT, rejectUnauthorized: false, timeout: 5000 };
require("https").get(options, (response) => response.resume()).on("error", () => {});'"#,
        invoked: "--tls-max-v1.2, https.get",
    },
    ClientProgram {
        program: "fetch",
        version: "",
        library: NODE,
        script: r#"NODE_TLS_REJECT_UNAUTHORIZED=0 node -e '
fetch("https://" + process.env.AT).then((response) => response.text()).catch(() => {});'"#,
        invoked: "fetch",
    },
    ClientProgram {
        program: "http2",
        version: "",
        library: NODE,
        script: r#"node -e '
const session = require("http2").connect("https://" + process.env.AT, { rejectUnauthorized: false });
session.on("error", () => {}).on("connect", () => session.destroy());'"#,
        invoked: "http2.connect",
    },
];

/// Java, from 11 on.
pub const JAVA_JDK: &[ClientProgram] = &[
    ClientProgram {
        program: "HttpsURLConnection",
        version: "",
        library: JAVA,
        script: "java $FILES/Fetch.java url $HOST $PORT",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "HttpsURLConnection",
        version: "",
        library: JAVA,
        script: "java -Djdk.tls.client.protocols=TLSv1.2 $FILES/Fetch.java url $HOST $PORT",
        invoked: "-Djdk.tls.client.protocols=TLSv1.2",
    },
    ClientProgram {
        program: "HttpClient",
        version: "",
        library: JAVA,
        script: "java $FILES/Fetch.java client $HOST $PORT",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "HttpClient",
        version: "",
        library: JAVA,
        script: "java -Djdk.tls.client.protocols=TLSv1.2 $FILES/Fetch.java client $HOST $PORT",
        invoked: "-Djdk.tls.client.protocols=TLSv1.2",
    },
    ClientProgram {
        program: "SSLSocket",
        version: "",
        library: JAVA,
        script: "java $FILES/Fetch.java socket $HOST $PORT",
        invoked: "startHandshake",
    },
    ClientProgram {
        program: "keytool",
        version: "",
        library: JAVA,
        script: "keytool -printcert -sslserver $AT",
        invoked: "-printcert -sslserver IP",
    },
];

/// Programs in Go, built by the release that is there.
pub const GO_TOOLCHAIN: &[ClientProgram] = &[
    ClientProgram {
        program: "net/http",
        version: "",
        library: GO,
        script: "$FILES/fetch http $AT",
        invoked: "Client.Get https://IP",
    },
    ClientProgram {
        program: "crypto/tls",
        version: "",
        library: GO,
        script: "$FILES/fetch dial $AT",
        invoked: "Dial",
    },
];

/// What comes from `PyPI`, Python apart.
pub const PYPI: &[ClientProgram] = &[
    ClientProgram {
        program: "pycurl",
        version: "python3 -c 'import pycurl; print(pycurl.version)' | sed 's/^PycURL.\\([^ ]*\\).*/\\1/'",
        library: OPENSSL_OF_PYCURL,
        script: r#"python3 -I -c '
import os, pycurl
curl = pycurl.Curl()
curl.setopt(pycurl.URL, "https://" + os.environ["AT"])
curl.setopt(pycurl.SSL_VERIFYPEER, 0)
curl.setopt(pycurl.SSL_VERIFYHOST, 0)
curl.setopt(pycurl.TIMEOUT, 5)
curl.perform()'"#,
        invoked: "https://IP",
    },
    ClientProgram {
        program: "uv",
        version: "uv --version | cut -d' ' -f2",
        library: RUSTLS_OF_UV,
        script: "echo x | UV_HTTP_RETRIES=0 uv pip compile --no-cache --allow-insecure-host $AT \
                 --default-index https://$AT/ -",
        invoked: "--default-index https://IP",
    },
    ClientProgram {
        program: "Deno",
        version: "deno --version | sed -n '1s/deno \\([^ ]*\\).*/\\1/p'",
        library: RUSTLS_OF_DENO,
        script: r#"deno eval --unsafely-ignore-certificate-errors '
await fetch("https://" + Deno.env.get("AT")).then((response) => response.text())'"#,
        invoked: "fetch https://IP",
    },
];

/// Envoy, as the client of another gateway, and Chromium.
pub const BORING_SSL: &[ClientProgram] = &[
    ClientProgram {
        program: "upstream",
        version: "",
        library: ENVOY,
        script: r#"
cat > $FILES/upstream.yaml <<END
static_resources:
  clusters:
  - name: c
    load_assignment: { cluster_name: c, endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: $HOST, port_value: $PORT } } } } ] } ] }
    health_checks: [ { timeout: 1s, interval: 0.5s, unhealthy_threshold: 1, healthy_threshold: 1, no_traffic_interval: 0.5s, http_health_check: { path: / } } ]
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext }
END
timeout 3 "${SNI_PROBE_ENVOY:-envoy}" -c $FILES/upstream.yaml --disable-hot-restart --concurrency 1"#,
        invoked: "UpstreamTlsContext without sni, HTTP health check",
    },
    ClientProgram {
        program: "headless",
        version: "",
        library: CHROMIUM,
        script: "timeout 6 chromium --headless --no-sandbox --disable-gpu --ignore-certificate-errors \
                 --no-proxy-server --user-data-dir=$FILES/chromium --dump-dom https://$AT/",
        invoked: "https://IP",
    },
];

/// The kubelet's HTTPS probe: its own package for it, built from Debian 12's source package `kubernetes`.
pub const KUBERNETES: &[ClientProgram] = &[ClientProgram {
    program: "kubelet",
    version: "cat /opt/kubernetes/VERSION",
    library: GO_OF_KUBELET,
    script: "kubelet-probe https://$AT/",
    invoked: "HTTPS probe of IP",
}];
