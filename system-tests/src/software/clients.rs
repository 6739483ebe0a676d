//! The clients, and how each is made to connect.
//!
//! Scripts are for `sh`: the gateway is `$AT` (`$HOST` and `$PORT`), the lab's files are in `$FILES`. `$HOST` is an IP address, or
//! a name of `/etc/hosts`. What scripts exit with does not matter: what they sent does.

mod debian;
mod runtimes;
mod services;

pub use debian::DEBIAN;
pub use runtimes::{BORING_SSL, GO_TOOLCHAIN, JAVA_JDK, KUBERNETES, NODE_JS, PYPI, PYTHON};
pub use services::SERVICES;

/// All lists. Programs are named in this order: health checkers and proxies first.
pub const ALL: [&[ClientProgram]; 9] =
    [DEBIAN, SERVICES, PYTHON, NODE_JS, JAVA_JDK, GO_TOOLCHAIN, PYPI, BORING_SSL, KUBERNETES];

/// One client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Library {
    /// Its name.
    pub name: &'static str,
    /// Prints its version.
    pub version: &'static str,
    /// Numbers of its version that distinguish one generation from the next: 2 for OpenSSL's 3.0. None for browsers: a new
    /// version comes each month, and sends what the last one sent.
    pub numbers: usize,
    /// Programs that set no cipher suites: the library's own tools, and the ways to call a runtime. What they send is the
    /// library's default. They have the library's name in all its variants.
    pub plain: &'static [&'static str],
}

const OPENSSL: Library = Library {
    name: "OpenSSL",
    version: "openssl version | cut -d' ' -f2",
    numbers: 2,
    plain: &["openssl s_client"],
};
const OPENSSL_OF_PYTHON: Library = Library {
    name: "OpenSSL",
    version: "python3 -c 'import ssl; print(ssl.OPENSSL_VERSION.split()[1])'",
    numbers: 2,
    plain: &[],
};
const GNUTLS: Library = Library {
    name: "GnuTLS",
    version: "dpkg-query -W -f '${Version}\\n' 'libgnutls30*' | grep -m 1 .",
    numbers: 2,
    plain: &["gnutls-cli"],
};
const JAVA: Library = Library {
    name: "Java",
    version: "java -version 2>&1 | sed -n 's/.* version \"\\([^\"]*\\)\".*/\\1/p'",
    numbers: 1,
    plain: &["HttpsURLConnection", "HttpClient", "SSLSocket", "keytool"],
};
const NODE: Library = Library {
    name: "Node.js",
    version: "node -p process.versions.node",
    numbers: 1,
    plain: &["https", "fetch", "http2"],
};
const GO: Library = Library {
    name: "Go",
    version: "GOTOOLCHAIN=local GO111MODULE=off go build -o $FILES/fetch $FILES/fetch.go >&2 \
              && GOTOOLCHAIN=local go env GOVERSION | cut -c 3-",
    numbers: 2,
    plain: &["net/http", "crypto/tls"],
};
const GO_OF_PROMETHEUS: Library = Library {
    name: "Go",
    version: "prometheus --version 2>&1 | sed -n 's/.*go version: *go//p'",
    numbers: 2,
    plain: &[],
};
const GO_OF_BLACKBOX: Library = Library {
    name: "Go",
    version: "prometheus-blackbox-exporter --version 2>&1 | sed -n 's/.*go version: *go//p'",
    numbers: 2,
    plain: &[],
};
const OPENSSL_OF_PYCURL: Library = Library {
    name: "OpenSSL",
    version: "python3 -c 'import pycurl; print(pycurl.version)' | sed -n 's/.*OpenSSL.\\([^ ]*\\).*/\\1/p'",
    numbers: 2,
    plain: &[],
};
const RUSTLS_OF_UV: Library = Library {
    name: "rustls",
    version: "grep -aoE 'rustls-0\\.[0-9]+\\.[0-9]+' \"$(command -v uv)\" | head -n 1 | cut -d- -f2",
    numbers: 2,
    plain: &[],
};
const RUSTLS_OF_DENO: Library = Library {
    name: "rustls",
    version: "grep -aoE 'rustls-0\\.[0-9]+\\.[0-9]+' \"$(command -v deno)\" | head -n 1 | cut -d- -f2",
    numbers: 2,
    plain: &[],
};
const ENVOY: Library = Library {
    name: "Envoy",
    version: "\"${SNI_PROBE_ENVOY:-envoy}\" --version | sed -n 's|.*/\\([0-9.]*\\)/.*|\\1|p'",
    numbers: 2,
    plain: &["upstream"],
};
const CHROMIUM: Library = Library {
    name: "Chromium",
    version: "chromium --version | cut -d' ' -f2",
    numbers: 0,
    plain: &["headless"],
};

const CURL_VERSION: &str = "curl --version | sed -n '1s/curl \\([^ ]*\\).*/\\1/p'";
const PYTHON_VERSION: &str = "python3 -c 'import platform; print(platform.python_version())'";

const GNUTLS_OF_LDAP: Library = Library {
    version: "ldd \"$(command -v ldapsearch)\" | grep -q libgnutls && dpkg-query -W -f '${Version}\\n' 'libgnutls30*' | grep -m 1 .",
    ..GNUTLS
};
const OPENSSL_OF_LDAP: Library = Library {
    version: "ldd \"$(command -v ldapsearch)\" | grep -q libssl && openssl version | cut -d' ' -f2",
    ..OPENSSL
};
const GO_OF_KUBELET: Library = Library {
    version: "grep -aoE 'go1\\.[0-9]+(\\.[0-9]+)?' \"$(command -v kubelet-probe)\" | head -n 1 | cut -c 3-",
    ..GO
};
const GO_OF_SKOPEO: Library = Library {
    version: "grep -aoE 'go1\\.[0-9]+(\\.[0-9]+)?' \"$(command -v skopeo)\" | head -n 1 | cut -c 3-",
    ..GO
};
const MBEDTLS: Library = Library {
    name: "mbedTLS",
    version: "cc -o $FILES/mbedtls $FILES/mbedtls.c -lmbedtls -lmbedx509 -lmbedcrypto >&2 && $FILES/mbedtls",
    numbers: 2,
    plain: &["ssl_client"],
};
const WOLFSSL: Library = Library {
    name: "wolfSSL",
    version: "cc -o $FILES/wolfssl $FILES/wolfssl.c -lwolfssl >&2 && $FILES/wolfssl",
    numbers: 2,
    plain: &["client"],
};
const ERLANG: Library = Library {
    name: "Erlang/OTP",
    version: "erl -noshell -eval 'io:format(erlang:system_info(otp_release)), halt().'",
    numbers: 1,
    plain: &["ssl", "httpc"],
};
