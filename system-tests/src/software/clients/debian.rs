//! What a distribution has: health checkers, proxies and tools.

use super::{CURL_VERSION, ClientProgram, GNUTLS, GO_OF_BLACKBOX, GO_OF_PROMETHEUS, OPENSSL};

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
