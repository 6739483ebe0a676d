//! The configuration of each gateway that refuses hellos. The gateway listens on `port`; its backend on the next port.

use serde_json::json;

use super::super::gateways::{JAVA_PREPARE, Setup};
use crate::SERVER_NAME;

pub(in super::super) fn program(file: &'static str, configuration: String, script: &str) -> Setup {
    Setup { files: vec![(file, configuration)], scripts: vec![script.to_owned()], ..Setup::default() }
}

/// The backend of gateways that forward connections, on the next port.
fn backend(port: u16) -> String {
    format!(
        "exec openssl s_server -accept {} -cert /mnt/gateway.crt -key /mnt/gateway.key -quiet -www",
        port + 1
    )
}

pub(in super::super) fn envoy(port: u16) -> Setup {
    let mut chain = crate::envoy::http_chain(&json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [{
                "certificate_chain": { "filename": "/mnt/gateway.crt" },
                "private_key": { "filename": "/mnt/gateway.key" },
            }],
        },
    }));
    chain["filter_chain_match"] = json!({ "server_names": [SERVER_NAME] });
    let inspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
    let listener = json!({
        "name": "gateway",
        "address": { "socket_address": { "address": "0.0.0.0", "port_value": port } },
        "listener_filters": [
            { "name": "envoy.filters.listener.tls_inspector", "typed_config": { "@type": inspector } },
        ],
        "filter_chains": [chain],
    });
    let configuration = json!({ "static_resources": { "listeners": [listener] } });
    program(
        "envoy.json",
        configuration.to_string(),
        "exec $ENVOY --config-path /mnt/envoy.json --concurrency 1 --disable-hot-restart --log-level warning",
    )
}

fn nginx(http: &str) -> Setup {
    program(
        "nginx.conf",
        format!(
            "daemon off;\nuser root;\npid /mnt/nginx.pid;\nerror_log /mnt/nginx.log info;\nevents {{}}\nhttp {{
  access_log off;\n  ssl_protocols TLSv1.2 TLSv1.3;\n  client_body_temp_path /mnt/nginx-temporary;\n{http}}}\n"
        ),
        "exec nginx -c /mnt/nginx.conf -e /mnt/nginx.log",
    )
}

pub(in super::super) fn nginx_rejecting(port: u16) -> Setup {
    nginx(&format!(
        "  server {{ listen {port} ssl default_server; ssl_reject_handshake on; }}
  server {{
    listen {port} ssl;\n    server_name {SERVER_NAME};\n    ssl_certificate /mnt/gateway.crt;
    ssl_certificate_key /mnt/gateway.key;\n    return 200 \"hello\\n\";\n  }}\n"
    ))
}

pub(in super::super) fn nginx_by_name(port: u16) -> Setup {
    let mut setup = nginx(&format!(
        "  server {{
    listen {port} ssl;\n    ssl_certificate /mnt/by-name/$ssl_server_name.crt;
    ssl_certificate_key /mnt/by-name/$ssl_server_name.key;\n    return 200 \"hello\\n\";\n  }}\n"
    ));
    setup.prepare = "mkdir -p /mnt/by-name && cd /mnt/by-name
        cp ../gateway.crt api-test.mydomain.com.crt && cp ../gateway.key api-test.mydomain.com.key";
    setup
}

pub(in super::super) fn nginx_stream(port: u16) -> Setup {
    let next = port + 1;
    let text = format!(
        "load_module modules/ngx_stream_module.so;\ndaemon off;\nuser root;\npid /mnt/nginx.pid;
error_log /mnt/nginx.log info;\nevents {{}}\nstream {{
  map $ssl_preread_server_name $backend {{ {SERVER_NAME} 127.0.0.1:{next}; }}
  server {{ listen {port}; ssl_preread on; proxy_pass $backend; }}\n}}\n"
    );
    let mut setup =
        program("nginx.conf", text, "exec nginx -p /usr/share/nginx -c /mnt/nginx.conf -e /mnt/nginx.log");
    setup.scripts.push(backend(port));
    setup
}

fn haproxy(text: &str) -> Setup {
    let defaults = "defaults\n  timeout client 15s\n  timeout connect 5s\n  timeout server 15s\n";
    program("haproxy.cfg", format!("{defaults}{text}"), "exec haproxy -db -f /mnt/haproxy.cfg")
}

pub(in super::super) fn haproxy_strict(port: u16) -> Setup {
    haproxy(&format!(
        "frontend gateway\n  mode http\n  bind :{port} ssl crt /mnt/gateway.pem strict-sni
  http-request return status 200 content-type text/plain string hello\n"
    ))
}

pub(in super::super) fn haproxy_tcp(port: u16) -> Setup {
    let mut setup = haproxy(&format!(
        "frontend gateway\n  mode tcp\n  bind :{port}\n  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  use_backend served if {{ req.ssl_sni -i {SERVER_NAME} }}\nbackend served\n  mode tcp\n  server one 127.0.0.1:{}\n",
        port + 1
    ));
    setup.scripts.push(backend(port));
    setup
}

pub(in super::super) fn haproxy_reject(port: u16) -> Setup {
    let mut setup = haproxy(&format!(
        "frontend gateway\n  mode tcp\n  bind :{port}\n  tcp-request inspect-delay 5s
  tcp-request content reject if {{ req.ssl_hello_type 1 }} !{{ req.ssl_sni -i {SERVER_NAME} }}
  tcp-request content accept if {{ req.ssl_hello_type 1 }}\n  default_backend served
backend served\n  mode tcp\n  server one 127.0.0.1:{}\n",
        port + 1
    ));
    setup.scripts.push(backend(port));
    setup
}

pub(in super::super) fn caddy(port: u16) -> Setup {
    program(
        "Caddyfile",
        format!(
            "{{\n  admin off\n  auto_https off\n}}\nhttps://{SERVER_NAME}:{port} {{
  tls /mnt/gateway.crt /mnt/gateway.key\n  respond hello\n}}\n"
        ),
        "exec caddy run --adapter caddyfile --config /mnt/Caddyfile",
    )
}

fn go(port: u16, way: &str) -> Setup {
    Setup {
        prepare: "export GOCACHE=/var/cache/go GO111MODULE=off GOTOOLCHAIN=local CGO_ENABLED=0
            [ -x /mnt/refuse-$RELEASE ] || go build -o /mnt/refuse-$RELEASE /mnt/refuse.go",
        scripts: vec![format!("exec /mnt/refuse-$RELEASE /mnt {SERVER_NAME} {port} {way}")],
        ..Setup::default()
    }
}

pub(in super::super) fn go_nil(port: u16) -> Setup {
    go(port, "nil")
}

pub(in super::super) fn go_error(port: u16) -> Setup {
    go(port, "error")
}

pub(in super::super) fn go_configuration(port: u16) -> Setup {
    go(port, "configuration")
}

fn node(port: u16, way: &str) -> Setup {
    let script = format!("exec node /mnt/refuse.js /mnt {SERVER_NAME} {port} {way}");
    Setup { scripts: vec![script], ..Setup::default() }
}

pub(in super::super) fn node_error(port: u16) -> Setup {
    node(port, "error")
}

pub(in super::super) fn node_null(port: u16) -> Setup {
    node(port, "null")
}

pub(in super::super) fn erlang(port: u16) -> Setup {
    Setup {
        prepare: "mkdir -p /mnt/erlang-$RELEASE && cd /mnt/erlang-$RELEASE && erlc ../refuse.erl",
        scripts: vec![format!(
            "exec erl -noshell -pa /mnt/erlang-$RELEASE -run refuse main {SERVER_NAME} {port}"
        )],
        ..Setup::default()
    }
}

pub(in super::super) fn hitch(port: u16) -> Setup {
    let mut setup = program(
        "hitch.conf",
        format!(
            "frontend = \"[*]:{port}\"\nbackend = \"[127.0.0.1]:{}\"\npem-file = \"/mnt/gateway.pem\"
sni-nomatch-abort = on\nuser = \"nobody\"\nworkers = 1\n",
            port + 1
        ),
        "exec hitch --config=/mnt/hitch.conf",
    );
    // hitch forwards plain text.
    setup
        .scripts
        .push(format!("exec python3 -m http.server {} --bind 127.0.0.1 --directory /mnt/by-name", port + 1));
    setup.prepare = "mkdir -p /mnt/by-name";
    setup
}

pub(in super::super) fn s_server(port: u16) -> Setup {
    let script = format!(
        "exec openssl s_server -accept {port} -cert /mnt/gateway.crt -key /mnt/gateway.key -quiet -www \
         -servername {SERVER_NAME} -servername_fatal -cert2 /mnt/gateway.crt -key2 /mnt/gateway.key"
    );
    Setup { scripts: vec![script], ..Setup::default() }
}

pub(in super::super) fn gnutls_serv(port: u16) -> Setup {
    let script = format!(
        "exec gnutls-serv --port {port} --http --quiet --x509certfile /mnt/gateway.crt --x509keyfile /mnt/gateway.key \
         --sni-hostname {SERVER_NAME} --sni-hostname-fatal"
    );
    Setup { scripts: vec![script], ..Setup::default() }
}

fn java(port: u16, selection: &str) -> Setup {
    let script = format!(
        "exec java -XX:TieredStopAtLevel=1 -Xmx128m -cp /mnt/java-serve-$RELEASE Serve /mnt \
         {port}:gateway:TLSv1.2+TLSv1.3:none:{selection}"
    );
    Setup { prepare: JAVA_PREPARE, scripts: vec![script], ..Setup::default() }
}

pub(in super::super) fn java_matcher(port: u16) -> Setup {
    java(port, "matcher")
}

pub(in super::super) fn java_keys(port: u16) -> Setup {
    java(port, "keys")
}

pub(in super::super) fn apache(port: u16) -> Setup {
    let host = |name: &str| {
        format!(
            "<VirtualHost *:{port}>\n  ServerName {name}\n  SSLEngine on\n  SSLCertificateFile /mnt/gateway.crt
  SSLCertificateKeyFile /mnt/gateway.key\n</VirtualHost>\n"
        )
    };
    let modules = ["mpm_event", "authz_core", "ssl", "socache_shmcb"];
    let lines = modules
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let load = lines.collect::<Vec<_>>().concat();
    program(
        "apache.conf",
        format!(
            "{load}ServerRoot /mnt\nServerName localhost\nPidFile /mnt/apache.pid\nErrorLog /mnt/apache.log
Listen {port}\nDocumentRoot /mnt/by-name\nSSLStrictSNIVHostCheck on\nDefaultRuntimeDir /mnt\nUser nobody\nGroup nogroup
{}{}",
            host("default.mydomain.com"),
            host(SERVER_NAME)
        ),
        "mkdir -p /mnt/by-name; exec apache2 -f /mnt/apache.conf -DFOREGROUND",
    )
}

pub(in super::super) fn traffic_server(port: u16) -> Setup {
    let records = format!(
        "CONFIG proxy.config.http.server_ports STRING {port}:ssl\nCONFIG proxy.config.ssl.server.cert.path STRING /mnt
CONFIG proxy.config.ssl.server.private_key.path STRING /mnt\nCONFIG proxy.config.admin.user_id STRING trafficserver
CONFIG proxy.config.ssl.cert.load_elevated INT 1
CONFIG proxy.config.url_remap.remap_required INT 1\nCONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1\n"
    );
    Setup {
        files: vec![
            ("records.config", records),
            ("ssl_multicert.config", "ssl_cert_name=gateway.crt ssl_key_name=gateway.key\n".to_owned()),
        ],
        // The mounts are those of this process only.
        scripts: vec![
            "mkdir -p /run/trafficserver; mount --bind /mnt/records.config /etc/trafficserver/records.config
            mount --bind /mnt/ssl_multicert.config /etc/trafficserver/ssl_multicert.config; exec traffic_server"
                .to_owned(),
        ],
        ..Setup::default()
    }
}

pub(in super::super) fn sniproxy(port: u16) -> Setup {
    let mut setup = program(
        "sniproxy.conf",
        format!(
            "user root\npidfile /mnt/sniproxy.pid\nlistener 0.0.0.0 {port} {{\n  proto tls\n}}
table {{\n  {SERVER_NAME} 127.0.0.1:{}\n}}\n",
            port + 1
        ),
        "exec sniproxy -f -c /mnt/sniproxy.conf",
    );
    setup.scripts.push(backend(port));
    setup
}

pub(in super::super) fn stunnel(port: u16) -> Setup {
    let next = port + 1;
    let mut setup = program(
        "stunnel.conf",
        format!(
            "foreground = yes\npid =\n[gateway]\naccept = {port}\nconnect = 127.0.0.1:{next}\ncert = /mnt/gateway.pem
[named]\nsni = gateway:{SERVER_NAME}\nconnect = 127.0.0.1:{next}\ncert = /mnt/gateway.pem\n"
        ),
        "exec stunnel /mnt/stunnel.conf",
    );
    setup.prepare = "mkdir -p /mnt/by-name";
    setup
        .scripts
        .push(format!("exec python3 -m http.server {next} --bind 127.0.0.1 --directory /mnt/by-name"));
    setup
}
