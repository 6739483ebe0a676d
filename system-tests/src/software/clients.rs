//! The clients, and how each is made to connect to an IP address without SNI.
//!
//! Scripts are for `sh`: the gateway is `$AT` (`$HOST` and `$PORT`), the lab's files are in `$FILES`. What they
//! exit with does not matter: what they sent does. Not among them are those that send the address itself as
//! SNI (wrk, hey): their fingerprint is that of all clients with SNI that use the same library.

/// One client.
#[derive(Debug, Clone, Copy)]
pub struct ClientProgram {
    /// What people call it.
    pub program: &'static str,
    /// Prints its version. Empty: that of the library is its own.
    pub version: &'static str,
    /// What speaks TLS for it.
    pub library: Library,
    /// Makes it connect.
    pub script: &'static str,
    /// The same for people: the options that matter.
    pub invoked: &'static str,
}

/// A TLS library, or the runtime that contains one.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// Its name.
    pub name: &'static str,
    /// Prints its version.
    pub version: &'static str,
    /// Numbers of its version that tell one generation from the next: 2 for OpenSSL's 3.0.
    pub numbers: usize,
}

const OPENSSL: Library = Library { name: "OpenSSL", version: "openssl version | cut -d' ' -f2", numbers: 2 };
const OPENSSL_OF_PYTHON: Library = Library {
    name: "OpenSSL",
    version: "python3 -c 'import ssl; print(ssl.OPENSSL_VERSION.split()[1])'",
    numbers: 2,
};
const GNUTLS: Library = Library {
    name: "GnuTLS",
    version: "dpkg-query -W -f '${Version}\\n' 'libgnutls30*' | grep -m 1 .",
    numbers: 2,
};
const JAVA: Library = Library {
    name: "Java",
    version: "java -version 2>&1 | sed -n 's/.* version \"\\([^\"]*\\)\".*/\\1/p'",
    numbers: 1,
};
const NODE: Library = Library { name: "Node.js", version: "node -p process.versions.node", numbers: 1 };
const GO: Library = Library {
    name: "Go",
    version: "GOTOOLCHAIN=local GO111MODULE=off go build -o $FILES/fetch $FILES/fetch.go >&2 \
              && GOTOOLCHAIN=local go env GOVERSION | cut -c 3-",
    numbers: 2,
};
const GO_OF_PROMETHEUS: Library = Library {
    name: "Go",
    version: "prometheus --version 2>&1 | sed -n 's/.*go version: *go//p'",
    numbers: 2,
};
const GO_OF_BLACKBOX: Library = Library {
    name: "Go",
    version: "prometheus-blackbox-exporter --version 2>&1 | sed -n 's/.*go version: *go//p'",
    numbers: 2,
};
const OPENSSL_OF_PYCURL: Library = Library {
    name: "OpenSSL",
    version: "python3 -c 'import pycurl; print(pycurl.version)' | sed -n 's/.*OpenSSL.\\([^ ]*\\).*/\\1/p'",
    numbers: 2,
};
const RUSTLS_OF_UV: Library = Library {
    name: "rustls",
    version: "grep -aoE 'rustls-0\\.[0-9]+\\.[0-9]+' \"$(command -v uv)\" | head -n 1 | cut -d- -f2",
    numbers: 2,
};
const RUSTLS_OF_DENO: Library = Library {
    name: "rustls",
    version: "grep -aoE 'rustls-0\\.[0-9]+\\.[0-9]+' \"$(command -v deno)\" | head -n 1 | cut -d- -f2",
    numbers: 2,
};
const ENVOY: Library = Library {
    name: "Envoy",
    version: "\"${SNI_PROBE_ENVOY:-envoy}\" --version | sed -n 's|.*/\\([0-9.]*\\)/.*|\\1|p'",
    numbers: 2,
};
const CHROMIUM: Library =
    Library { name: "Chromium", version: "chromium --version | cut -d' ' -f2", numbers: 1 };

const CURL_VERSION: &str = "curl --version | sed -n '1s/curl \\([^ ]*\\).*/\\1/p'";
const PYTHON_VERSION: &str = "python3 -c 'import platform; print(platform.python_version())'";

/// What a distribution has, those first that often stand before a gateway.
pub const DEBIAN: &[ClientProgram] = &[
    ClientProgram {
        program: "HAProxy",
        version: "haproxy -v | sed -n 's/.*version \\([^ ]*\\).*/\\1/p'",
        library: OPENSSL,
        script: r"
d=$(mktemp -d)
cat > $d/cfg <<END
defaults
 mode http
 timeout connect 2s
 timeout client 2s
 timeout server 2s
listen l
 bind 127.0.0.1:8081
 server s $AT check inter 400ms ssl verify none
END
timeout 2 haproxy -db -f $d/cfg & sleep 1; curl -s -m 1 http://127.0.0.1:8081/; wait; rm -r $d",
        invoked: "server IP check ssl verify none",
    },
    ClientProgram {
        program: "nginx",
        version: "nginx -v 2>&1 | cut -d/ -f2",
        library: OPENSSL,
        script: r"
d=$(mktemp -d)
cat > $d/cfg <<END
daemon off; user root; pid $d/pid; error_log stderr; events {}
http { access_log off; client_body_temp_path $d; proxy_temp_path $d; fastcgi_temp_path $d;
 scgi_temp_path $d; uwsgi_temp_path $d;
 server { listen 127.0.0.1:8080; location / { proxy_pass https://$AT; } } }
END
timeout 2 nginx -c $d/cfg & sleep 1
for n in 1 2; do curl -s -m 1 http://127.0.0.1:8080/; done; wait; rm -r $d",
        invoked: "proxy_pass https://IP (proxy_ssl_server_name off)",
    },
    ClientProgram {
        program: "Prometheus",
        version: "prometheus --version 2>&1 | sed -n 's/.*version \\([^ ]*\\).*/\\1/p'",
        library: GO_OF_PROMETHEUS,
        script: r#"
d=$(mktemp -d)
cat > $d/cfg <<END
global: { scrape_interval: 1s }
scrape_configs:
 - { job_name: j, scheme: https, tls_config: { insecure_skip_verify: true }, static_configs: [ { targets: [ "$AT" ] } ] }
END
timeout 8 prometheus --config.file=$d/cfg --storage.tsdb.path=$d --web.listen-address=127.0.0.1:9090; rm -r $d"#,
        invoked: "scrape of https://IP",
    },
    ClientProgram {
        program: "blackbox_exporter",
        version: "prometheus-blackbox-exporter --version 2>&1 | sed -n 's/.*version \\([^ ]*\\).*/\\1/p'",
        library: GO_OF_BLACKBOX,
        script: r#"
d=$(mktemp -d)
cat > $d/cfg <<END
modules: { h: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4, tls_config: { insecure_skip_verify: true } } } }
END
timeout 2 prometheus-blackbox-exporter --config.file=$d/cfg --web.listen-address=127.0.0.1:9115 & sleep 1
curl -s -m 1 "http://127.0.0.1:9115/probe?module=h&target=https://$AT/"; wait; rm -r $d"#,
        invoked: "prober http, target https://IP",
    },
    ClientProgram {
        program: "check_http",
        version: "/usr/lib/nagios/plugins/check_http --version | cut -d' ' -f2",
        library: OPENSSL,
        script: "/usr/lib/nagios/plugins/check_http -t 5 -S -I $HOST -p $PORT",
        invoked: "-S -I IP",
    },
    ClientProgram {
        program: "curl",
        version: CURL_VERSION,
        library: OPENSSL,
        script: "curl -sk -m 5 --noproxy '*' https://$AT/",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "curl",
        version: CURL_VERSION,
        library: OPENSSL,
        script: "curl -sk -m 5 --noproxy '*' --http1.1 https://$AT/",
        invoked: "--http1.1 https://IP",
    },
    ClientProgram {
        program: "curl",
        version: CURL_VERSION,
        library: OPENSSL,
        script: "curl -sk -m 5 --noproxy '*' --tls-max 1.2 https://$AT/",
        invoked: "--tls-max 1.2 https://IP",
    },
    ClientProgram {
        program: "wget",
        version: "wget --version | sed -n '1s/.*Wget \\([^ ]*\\).*/\\1/p'",
        library: GNUTLS,
        script: "wget -q --no-proxy --no-check-certificate -T 5 -t 1 -O /dev/null https://$AT/",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "git",
        version: "git --version | cut -d' ' -f3",
        library: GNUTLS,
        script: "GIT_SSL_NO_VERIFY=1 git ls-remote https://$AT/r",
        invoked: "ls-remote https://IP",
    },
    ClientProgram {
        program: "gnutls-cli",
        version: "",
        library: GNUTLS,
        script: "gnutls-cli --insecure --disable-sni -p $PORT $HOST",
        invoked: "--disable-sni",
    },
    ClientProgram {
        program: "openssl s_client",
        version: "",
        library: OPENSSL,
        script: "openssl s_client -connect $AT -noservername",
        invoked: "-noservername",
    },
    ClientProgram {
        program: "openssl s_client",
        version: "",
        library: OPENSSL,
        script: "openssl s_client -connect $AT -noservername -tls1_2",
        invoked: "-noservername -tls1_2",
    },
    ClientProgram {
        program: "Perl IO::Socket::SSL",
        version: "perl -MIO::Socket::SSL -e 'print IO::Socket::SSL->VERSION'",
        library: OPENSSL,
        script: "perl -MIO::Socket::SSL -e '
IO::Socket::SSL->new(PeerAddr => $ENV{HOST}, PeerPort => $ENV{PORT}, SSL_verify_mode => 0, Timeout => 5)'",
        invoked: "PeerAddr IP",
    },
    ClientProgram {
        program: "Ruby Net::HTTP",
        version: "ruby -e 'puts RUBY_VERSION'",
        library: OPENSSL,
        script: r#"ruby -rnet/http -ropenssl -e '
http = Net::HTTP.new(ENV["HOST"], ENV["PORT"].to_i)
http.use_ssl = true
http.verify_mode = OpenSSL::SSL::VERIFY_NONE
http.get("/")'"#,
        invoked: "get, IP",
    },
    ClientProgram {
        program: "PHP",
        version: "php -r 'echo PHP_VERSION;'",
        library: OPENSSL,
        script: r#"php -r '
$tls = ["verify_peer" => false, "verify_peer_name" => false, "SNI_enabled" => false];
file_get_contents("https://" . getenv("AT") . "/", false, stream_context_create(["ssl" => $tls]));'"#,
        invoked: "file_get_contents, SNI_enabled false",
    },
    ClientProgram {
        program: "ab",
        version: "ab -V | sed -n '1s/.*Version \\([^ ]*\\).*/\\1/p'",
        library: OPENSSL,
        script: "ab -n 1 -s 5 https://$AT/",
        invoked: "https://IP",
    },
    ClientProgram {
        program: "socat",
        version: "socat -V | sed -n 's/^socat version \\([^ ]*\\).*/\\1/p'",
        library: OPENSSL,
        script: "socat -u OPENSSL:$AT,verify=0,no-sni=1 - < /dev/null",
        invoked: "OPENSSL:IP,no-sni",
    },
];

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
