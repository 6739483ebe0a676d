//! Languages and their libraries.

use super::commands::JAVA_VERSION;
use super::{SID, Subject, subject};

const NODE_TLS: &str = r#"
node - <<'END'
const tls = require("tls");
{LINE}.on("error", () => {});
END"#;

const NODE_HTTPS: &str = r#"
node - <<'END'
const https = require("https");
{LINE}.on("error", () => {});
END"#;

const NODE_FETCH: &str = r"
node - <<'END'
(async () => { try { {LINE}; } catch {} })();
END";

const PYTHON_SSL: &str = r#"
python3 -I - <<'END'
import os, socket, ssl
context = ssl._create_unverified_context()
sock = socket.create_connection((os.environ["HOST"], int(os.environ["PORT"])), timeout=5)
{LINE}
END"#;

const PYTHON_URLLIB: &str = r"
python3 -I - <<'END'
import os, ssl, urllib.request
context = ssl._create_unverified_context()
{LINE}
END";

const PYTHON_REQUESTS: &str = r"
python3 -I - <<'END'
import os, requests
{LINE}
END";

const PYTHON_URLLIB3: &str = r#"
python3 -I - <<'END'
import os, urllib3
{LINE}.request("GET", "/", retries=False)
END"#;

const PYTHON_HTTPX: &str = r#"
python3 -I - <<'END'
import os, httpx
httpx.Client(verify=False).get("https://" + os.environ["AT"], {LINE})
END"#;

const PYTHON_AIOHTTP: &str = r#"
python3 -I - <<'END'
import aiohttp, asyncio, os
async def main():
    async with aiohttp.ClientSession() as session:
        await session.get("https://" + os.environ["AT"], ssl=False, {LINE})
asyncio.run(main())
END"#;

const PYCURL: &str = r#"
python3 -I - <<'END'
import os, pycurl
c = pycurl.Curl()
name = os.environ["HOST"]
{LINE}
if "RESOLVE" in """{LINE}""":
    name = os.environ["NAME"]
c.setopt(pycurl.URL, "https://" + name + ":" + os.environ["PORT"] + "/")
c.perform()
END"#;

const JAVA_SOCKET: &str = r#"
cat > $d/Main.java <<'END'
import java.util.List;
import javax.net.ssl.*;
class Main {
    public static void main(String[] words) throws Exception {
        int port = Integer.parseInt(System.getenv("PORT"));
        SSLSocket socket = (SSLSocket) SSLSocketFactory.getDefault().createSocket(System.getenv("HOST"), port);
        SSLParameters parameters = socket.getSSLParameters();
        {LINE};
        socket.setSSLParameters(parameters);
        socket.startHandshake();
    }
}
END
java -XX:TieredStopAtLevel=1 -Xmx256m $d/Main.java"#;

const JAVA_HTTPS: &str = r"
cat > $d/Main.java <<'END'
import java.net.*;
class Main {
    public static void main(String[] words) throws Exception {
        URLConnection connection = {LINE};
        connection.getInputStream();
    }
}
END
java -XX:TieredStopAtLevel=1 -Xmx256m $d/Main.java";

const JAVA_HTTP: &str = r"
cat > $d/Main.java <<'END'
import java.net.*;
import java.net.http.*;
class Main {
    public static void main(String[] words) throws Exception {
        HttpClient.newHttpClient().send({LINE}.build(), HttpResponse.BodyHandlers.ofString());
    }
}
END
java -XX:TieredStopAtLevel=1 -Xmx256m $d/Main.java";

const GO_TLS: &str = r#"
cat > $d/main.go <<'END'
package main

import (
	"crypto/tls"
	"os"
)

func main() {
	tls.Dial("tcp", os.Getenv("AT"), {LINE})
}
END
GOCACHE=/var/cache/go GO111MODULE=off GOTOOLCHAIN=local CGO_ENABLED=0 go run $d/main.go"#;

const GO_HTTP: &str = r#"
cat > $d/main.go <<'END'
package main

import (
	"crypto/tls"
	"net/http"
	"os"
)

var _ = tls.Config{}

func main() {
	client := http.Client{Transport: {LINE}}
	client.Get("https://" + os.Getenv("AT"))
}
END
GOCACHE=/var/cache/go GO111MODULE=off GOTOOLCHAIN=local CGO_ENABLED=0 go run $d/main.go"#;

const RUBY_SOCKET: &str = r#"
ruby - <<'END'
require "socket"
require "openssl"
socket = OpenSSL::SSL::SSLSocket.new(TCPSocket.new(ENV["HOST"], ENV["PORT"]))
{LINE}
socket.connect
END"#;

const RUBY_HTTP: &str = r#"
ruby - <<'END'
require "net/http"
{LINE}
http.use_ssl = true
http.verify_mode = OpenSSL::SSL::VERIFY_NONE
http.max_retries = 0
http.get("/")
END"#;

const PERL_LWP: &str = r#"
perl - <<'END'
use LWP::UserAgent;
LWP::UserAgent->new(timeout => 5, {LINE})->get("https://$ENV{AT}/");
END"#;

const PERL_SSL: &str = r"
perl - <<'END'
use IO::Socket::SSL;
IO::Socket::SSL->new(PeerAddr => $ENV{HOST}, PeerPort => $ENV{PORT}, SSL_verify_mode => 0, Timeout => 5, {LINE});
END";

const PERL_SSLEAY: &str = r"
perl - <<'END'
use IO::Socket::INET;
use Net::SSLeay;
my $socket = IO::Socket::INET->new(PeerAddr => $ENV{HOST}, PeerPort => $ENV{PORT}, Timeout => 5);
my $context = Net::SSLeay::CTX_new();
my $ssl = Net::SSLeay::new($context);
Net::SSLeay::set_fd($ssl, fileno($socket));
{LINE};
Net::SSLeay::connect($ssl);
END";

const PERL_TINY: &str = r#"
perl - <<'END'
use HTTP::Tiny;
HTTP::Tiny->new(timeout => 5, verify_SSL => 0, {LINE})->get("https://$ENV{AT}/");
END"#;

const PHP: &str = r#"
php <<'END'
<?php
$tls = ["verify_peer" => false, "verify_peer_name" => false, {LINE}];
file_get_contents("https://" . getenv("AT") . "/", false, stream_context_create(["ssl" => $tls]));
END"#;

const ERLANG: &str = r#"
erl -noshell -eval '
ssl:start(),
ssl:connect(os:getenv("HOST"), list_to_integer(os:getenv("PORT")), [{verify, verify_none}, {LINE}], 5000),
halt().'"#;

const TCLTLS: &str = r"
tclsh <<'END'
package require tls
set socket [tls::socket {LINE} -require 0 $env(HOST) $env(PORT)]
catch {tls::handshake $socket}
END";

const LUASEC: &str = r#"
lua5.4 - <<'END'
local conn = require("socket").tcp()
conn:connect(os.getenv("HOST"), os.getenv("PORT"))
conn = require("ssl").wrap(conn, {mode = "client", protocol = "any", verify = "none"})
{LINE}
conn:dohandshake()
END"#;

const GUILE: &str = r#"
cat > $d/main.scm <<'END'
(use-modules (gnutls))
(define sock (socket PF_INET SOCK_STREAM 0))
(connect sock AF_INET (inet-pton AF_INET (getenv "HOST")) (string->number (getenv "PORT")))
(define session (make-session connection-end/client))
(set-session-default-priority! session)
(set-session-credentials! session (make-certificate-credentials))
(set-session-transport-fd! session (fileno sock))
{LINE}
(handshake session)
END
guile --no-auto-compile $d/main.scm"#;

const PYTHON_VERSION: &str = "python3 -c 'import platform; print(platform.python_version())'";
const NODE_VERSION: &str = "node -p process.versions.node";
const GO_VERSION: &str = "GOTOOLCHAIN=local go env GOVERSION | cut -c 3-";
const RUBY_VERSION: &str = "ruby -e 'puts RUBY_VERSION'";

pub(super) const ALL: &[Subject] = &[
    subject("node-tls", "Node.js", "", NODE_TLS, "tls.connect(process.env.PORT, process.env.HOST)")
        .version(NODE_VERSION),
    subject(
        "node-https",
        "Node.js",
        "",
        NODE_HTTPS,
        "https.get({ host: process.env.HOST, port: process.env.PORT })",
    )
    .version(NODE_VERSION),
    subject("node-fetch", "Node.js", "", NODE_FETCH, "await fetch(`https://${process.env.AT}/`)")
        .version(NODE_VERSION),
    subject("python-ssl", "Python", "", PYTHON_SSL, "context.wrap_socket(sock)").version(PYTHON_VERSION),
    subject(
        "python-urllib",
        "Python",
        "",
        PYTHON_URLLIB,
        r#"urllib.request.urlopen("https://" + os.environ["AT"], context=context)"#,
    )
    .version(PYTHON_VERSION),
    subject(
        "python-requests",
        "requests",
        "python3-requests",
        PYTHON_REQUESTS,
        r#"requests.get("https://" + os.environ["AT"], verify=False)"#,
    ),
    subject(
        "python-urllib3",
        "urllib3",
        "python3-urllib3",
        PYTHON_URLLIB3,
        r#"urllib3.HTTPSConnectionPool(os.environ["HOST"], int(os.environ["PORT"]))"#,
    ),
    subject("python-httpx", "httpx", "python3-httpx", PYTHON_HTTPX, "").on(SID),
    subject("python-aiohttp", "aiohttp", "python3-aiohttp", PYTHON_AIOHTTP, "").on(SID),
    subject("pycurl", "pycurl", "python3-pycurl", PYCURL, ""),
    subject("java-socket", "Java", "", JAVA_SOCKET, "").version(JAVA_VERSION),
    subject(
        "java-https",
        "Java",
        "",
        JAVA_HTTPS,
        r#"new URL("https://" + System.getenv("AT") + "/").openConnection()"#,
    )
    .version(JAVA_VERSION),
    subject(
        "java-http",
        "Java",
        "",
        JAVA_HTTP,
        r#"HttpRequest.newBuilder(URI.create("https://" + System.getenv("AT") + "/"))"#,
    )
    .version(JAVA_VERSION),
    subject("go-tls", "Go", "", GO_TLS, "&tls.Config{}").version(GO_VERSION),
    subject("go-http", "Go", "", GO_HTTP, "&http.Transport{}").version(GO_VERSION),
    subject("ruby-socket", "Ruby", "", RUBY_SOCKET, "").version(RUBY_VERSION),
    subject("ruby-http", "Ruby", "", RUBY_HTTP, r#"http = Net::HTTP.new(ENV["HOST"], ENV["PORT"].to_i)"#)
        .version(RUBY_VERSION),
    subject("perl-lwp", "LWP", "libwww-perl", PERL_LWP, ""),
    subject("perl-ssl", "IO::Socket::SSL", "libio-socket-ssl-perl", PERL_SSL, ""),
    subject("perl-ssleay", "Net::SSLeay", "libnet-ssleay-perl", PERL_SSLEAY, ""),
    subject("perl-tiny", "HTTP::Tiny", "", PERL_TINY, "")
        .version("perl -MHTTP::Tiny -e 'print HTTP::Tiny->VERSION'"),
    subject("php", "PHP", "", PHP, "").version("php -r 'echo PHP_VERSION;'"),
    subject("erlang", "Erlang/OTP", "", ERLANG, "{active, false}")
        .version("erl -noshell -eval 'io:format(\"~s~n\", [erlang:system_info(otp_release)]), halt().'"),
    subject("tcltls", "tcltls", "tcl-tls", TCLTLS, ""),
    subject("luasec", "LuaSec", "lua-sec", LUASEC, ""),
    subject("guile", "guile-gnutls", "guile-gnutls", GUILE, ""),
];
