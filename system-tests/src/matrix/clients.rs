//! The clients of the matrix: how each is called, and how its output is read.

use super::places::Release;
use super::rustls_client;
use super::situation::Situation;

/// How a client runs.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    /// A script of `sh`. The gateway is `$HOST` and `$PORT`, its name `$NAME`; `$CERTIFICATE` is the stem of the client
    /// certificate's files, or empty; `$TIMES` says how many connections follow each other, and `$SITUATION` is the
    /// combination's.
    Script(&'static str),
    /// rustls, in a thread of this process.
    Rustls,
}

/// A client.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its name.
    pub name: &'static str,
    /// Where it is installed.
    pub release: Release,
    /// A script that prints its version.
    pub version: &'static str,
    /// A script that makes it ready, once.
    pub prepare: &'static str,
    /// How it runs.
    pub call: Call,
    /// More options, as `$OPTIONS` of the script. They are part of the name.
    pub options: &'static str,
    /// Texts of an answer. They prove that the client was served, with any exit code.
    pub served: &'static [&'static str],
    /// Texts of an error that rejects the gateway's certificate.
    pub rejects: &'static [&'static str],
    /// Whether it can resume a session in the next connection.
    pub resumes: bool,
    /// Whether it can send early data.
    pub sends_early_data: bool,
}

/// A client's own report of its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It got an answer by HTTP.
    Served,
    /// It rejected the gateway's certificate.
    RejectedCertificate(String),
    /// It failed for another reason than the gateway's certificate.
    Failed(String),
}

impl Client {
    /// Whether it can be in a situation.
    pub fn can(&self, situation: Situation) -> bool {
        match situation {
            Situation::Resumption => self.resumes,
            Situation::EarlyData => self.sends_early_data,
            _ => true,
        }
    }

    /// Reads exit code and output.
    pub fn report(&self, code: i32, output: &str) -> Report {
        if code == 0 || self.served.iter().any(|text| output.contains(text)) {
            return Report::Served;
        }
        let line = |texts: &[&str]| {
            let mut lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.find(|line| texts.iter().any(|text| line.contains(text))).map(str::to_owned)
        };
        if let Some(line) = line(self.rejects) {
            return Report::RejectedCertificate(line);
        }
        let said = line(&["alert", "error", "Error", "xception"]);
        let last =
            || output.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").trim().to_owned();
        Report::Failed(format!("exit code {code}: {}", said.unwrap_or_else(last)))
    }
}

const S_CLIENT: &str = r#"
request() { printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$NAME"; }
client() {
    openssl s_client -connect "$HOST:$PORT" -servername "$NAME" -CAfile /mnt/ca.crt -verify_return_error \
        -verify_hostname "$NAME" ${CERTIFICATE:+-cert /mnt/$CERTIFICATE.crt -key /mnt/$CERTIFICATE.key} -ign_eof $OPTIONS "$@"
}
if [ "$TIMES" = 1 ]; then request | client; exit; fi
request | client -sess_out /mnt/session >/mnt/first 2>&1 || exit
if [ "$SITUATION" != early-data ]; then request | client -sess_in /mnt/session; exit; fi
request >/mnt/early
# The answer ends the connection.
sleep 1 | client -sess_in /mnt/session -early_data /mnt/early
"#;

const CURL: &str = r#"
url=https://$NAME:$PORT/
# Over HTTP/2 both requests would share a connection.
[ "$TIMES" = 1 ] || set -- --http1.1 "$url"
curl --silent --show-error --noproxy '*' --max-time 10 --header 'Connection: close' --cacert /mnt/ca.crt \
    ${CERTIFICATE:+--cert /mnt/$CERTIFICATE.crt --key /mnt/$CERTIFICATE.key} "$@" "$url"
"#;

const GNUTLS_CLI: &str = r#"
[ "$TIMES" = 1 ] || set -- --resume
{ printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$NAME"; sleep 0.5; } | gnutls-cli --x509cafile /mnt/ca.crt "$@" \
    ${CERTIFICATE:+--x509certfile /mnt/$CERTIFICATE.crt --x509keyfile /mnt/$CERTIFICATE.key} --port "$PORT" "$NAME"
"#;

const WGET: &str = r#"
wget --no-verbose --output-document - --no-hsts --tries 1 --timeout 10 --no-proxy --ca-certificate /mnt/ca.crt \
    ${CERTIFICATE:+--certificate /mnt/$CERTIFICATE.crt --private-key /mnt/$CERTIFICATE.key} "https://$NAME:$PORT/"
"#;

const PYTHON: &str = r#"
python3 -I - "$NAME" "$PORT" "$CERTIFICATE" <<'END'
import socket, ssl, sys
name, port, certificate = sys.argv[1:]
context = ssl.create_default_context(cafile="/mnt/ca.crt")
if certificate:
    context.load_cert_chain("/mnt/" + certificate + ".pem")
with socket.create_connection((name, int(port)), timeout=10) as plain:
    with context.wrap_socket(plain, server_hostname=name) as tls:
        tls.sendall(b"GET / HTTP/1.0\r\nHost: " + name.encode() + b"\r\n\r\n")
        # An end without close_notify is no exception by default.
        if not tls.recv(4096):
            sys.exit("Error: no answer")
        while tls.recv(4096):
            pass
END
"#;

const OPENSSL_REJECTS: &[&str] = &["verify error:", "Verification error:"];

/// `openssl s_client` of OpenSSL 3.0.
pub const OPENSSL: Client = Client {
    name: "OpenSSL s_client",
    release: Release::Bookworm,
    version: "openssl version | cut -d' ' -f2",
    prepare: "",
    call: Call::Script(S_CLIENT),
    options: "",
    served: &[],
    rejects: OPENSSL_REJECTS,
    resumes: true,
    sends_early_data: true,
};

/// curl with OpenSSL.
pub const CURL_OPENSSL: Client = Client {
    name: "curl",
    version: "curl --version | head -n 1 | cut -d' ' -f2",
    call: Call::Script(CURL),
    rejects: &["curl: (60)"],
    resumes: true,
    sends_early_data: false,
    ..OPENSSL
};

/// gnutls-cli.
pub const GNUTLS: Client = Client {
    name: "gnutls-cli",
    version: "gnutls-cli --version | head -n 1 | cut -d' ' -f2",
    call: Call::Script(GNUTLS_CLI),
    // JSSE ends with the warning user_canceled, which gnutls-cli takes for an error.
    served: &["HTTP/1."],
    rejects: &["Error in the certificate", "PKI verification of server certificate failed"],
    resumes: true,
    sends_early_data: false,
    ..OPENSSL
};

/// wget with `GnuTLS`.
pub const WGET_GNUTLS: Client = Client {
    name: "wget",
    version: "wget --version | head -n 1 | cut -d' ' -f3",
    call: Call::Script(WGET),
    // An error of HTTP comes after the handshake.
    served: &["ERROR 400"],
    rejects: &["certificate of", "owner does not match", "certificate is not", "certificate has expired"],
    resumes: false,
    ..GNUTLS
};

/// Python's `ssl`.
pub const PYTHON_SSL: Client = Client {
    name: "Python ssl",
    version: "python3 -c 'import platform; print(platform.python_version())'",
    call: Call::Script(PYTHON),
    rejects: &["CERTIFICATE_VERIFY_FAILED"],
    resumes: false,
    sends_early_data: false,
    ..OPENSSL
};

/// Go's `net/http`.
pub const GO: Client = Client {
    name: "Go",
    version: "go env GOVERSION | cut -c 3-",
    prepare: "export GOCACHE=/var/cache/go GO111MODULE=off GOTOOLCHAIN=local CGO_ENABLED=0
              [ -x /mnt/get-$RELEASE ] || go build -o /mnt/get-$RELEASE /mnt/get.go",
    call: Call::Script(
        "/mnt/get-$RELEASE https://$NAME:$PORT/ /mnt/ca.crt \"${CERTIFICATE:+/mnt/$CERTIFICATE.pem}\" $TIMES",
    ),
    rejects: &["x509: "],
    resumes: true,
    sends_early_data: false,
    ..OPENSSL
};

/// Java's `HttpsURLConnection`.
pub const JAVA: Client = Client {
    name: "Java HttpsURLConnection",
    version: "java -version 2>&1 | sed -n 's/.* version \"\\([^\"]*\\)\".*/\\1/p'",
    prepare: "[ -e /mnt/java-$RELEASE ] || javac -d /mnt/java-$RELEASE /mnt/Get.java",
    call: Call::Script(
        "java -XX:TieredStopAtLevel=1 -Xshare:auto -cp /mnt/java-$RELEASE \
         Get url https://$NAME:$PORT/ /mnt \"$CERTIFICATE\" $TIMES",
    ),
    rejects: &[
        "ValidatorException",
        "CertPathValidatorException",
        "CertificateException",
        "CertificateExpired",
    ],
    resumes: true,
    sends_early_data: false,
    ..OPENSSL
};

/// Java's `HttpClient`.
pub const JAVA_HTTP_CLIENT: Client = Client {
    name: "Java HttpClient",
    call: Call::Script(
        "java -XX:TieredStopAtLevel=1 -Xshare:auto -cp /mnt/java-$RELEASE \
         Get client https://$NAME:$PORT/ /mnt \"$CERTIFICATE\" $TIMES",
    ),
    resumes: false,
    ..JAVA
};

/// Node.js' `https`.
pub const NODE: Client = Client {
    name: "Node.js",
    version: "node -p process.versions.node",
    prepare: "",
    call: Call::Script("node /mnt/get.js https://$NAME:$PORT/ /mnt \"$CERTIFICATE\" $TIMES"),
    rejects: &[
        "CERT_HAS_EXPIRED",
        "ERR_TLS_CERT_ALTNAME_INVALID",
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "UNABLE_TO_GET_ISSUER_CERT",
    ],
    resumes: true,
    sends_early_data: false,
    ..OPENSSL
};

/// rustls, linked to the lab.
pub const RUSTLS: Client = Client {
    name: "rustls",
    release: Release::Machine,
    version: "",
    call: Call::Rustls,
    rejects: &[rustls_client::REJECTS],
    resumes: true,
    sends_early_data: false,
    ..OPENSSL
};

/// `openssl s_client` with these options.
pub const fn openssl_with(options: &'static str) -> Client {
    Client { options, ..OPENSSL }
}

/// A client of another place.
pub const fn of(release: Release, client: Client) -> Client {
    Client { release, ..client }
}
