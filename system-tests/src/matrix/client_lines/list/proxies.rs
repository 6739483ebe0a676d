//! Proxies and health checkers.

use super::{MACHINE, Subject, subject};

const HAPROXY: &str = r"
cat > $d/cfg <<END
defaults
 mode http
 timeout connect 2s
 timeout client 2s
 timeout server 2s
listen l
 bind 127.0.0.1:8081
 retries 0
 server s $AT ssl verify none {LINE}
END
serve haproxy -db -f $d/cfg; get http://127.0.0.1:8081/; stop";

const HAPROXY_CHECK: &str = r"
cat > $d/cfg <<END
defaults
 mode http
 timeout connect 2s
 timeout client 2s
 timeout server 2s
listen l
 bind 127.0.0.1:8081
 server s $AT check inter 300ms ssl verify none {LINE}
END
serve haproxy -db -f $d/cfg; sleep 3; stop";

const NGINX: &str = r"
cat > $d/cfg <<END
daemon off; user root; pid $d/pid; error_log stderr; events {}
http { access_log off; client_body_temp_path $d; proxy_temp_path $d; fastcgi_temp_path $d;
 scgi_temp_path $d; uwsgi_temp_path $d;
 server { listen 127.0.0.1:8080; location / { {LINE} proxy_pass https://$AT; } } }
END
serve nginx -c $d/cfg; get http://127.0.0.1:8080/; stop";

const NGINX_STREAM: &str = r"
cat > $d/cfg <<END
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; user root; pid $d/pid; error_log stderr; events {}
stream { server { listen 127.0.0.1:8080; proxy_ssl on; {LINE} proxy_pass $AT; } }
END
serve nginx -c $d/cfg; get http://127.0.0.1:8080/; stop";

macro_rules! envoy {
    () => {
        r#"
type=type.googleapis.com/envoy.extensions
cat > $d/envoy.yaml <<END
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: 8082 } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": $type.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: x
          route_config: { virtual_hosts: [ { name: a, domains: ["*"], routes: [ { match: { prefix: "/" }, route: { cluster: c } } ] } ] }
          http_filters: [ { name: router, typed_config: { "@type": $type.filters.http.router.v3.Router } } ]
  clusters:
  - name: c
    connect_timeout: 2s
    load_assignment:
      cluster_name: c
      endpoints: [ { lb_endpoints: [ { endpoint: { address: { socket_address: { address: $HOST, port_value: $PORT } } } } ] } ]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": $type.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http_protocol_options: {} }
        upstream_http_protocol_options: { $UPSTREAM }
    transport_socket:
      name: tls
      typed_config: { "@type": $type.transport_sockets.tls.v3.UpstreamTlsContext, $TLS }
END
serve $ENVOY --config-path $d/envoy.yaml --concurrency 1 --disable-hot-restart --log-level error
get -H "Host: $NAME" http://127.0.0.1:8082/; stop; cat $d/log"#
    };
}

/// `$TLS` and `$UPSTREAM` are pieces of the configuration.
const ENVOY_TLS: &str = concat!("TLS='{LINE}'\nUPSTREAM=\n", envoy!());
const ENVOY_UPSTREAM: &str = concat!("TLS=\nUPSTREAM='{LINE}'\n", envoy!());

const ENVOY_VERSION: &str = "$ENVOY --version | grep -oE '/[0-9]+\\.[0-9]+\\.[0-9]+' | cut -c 2-";

const APACHE: &str = r"
modules=/usr/lib/apache2/modules
cat > $d/cfg <<END
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule ssl_module $modules/mod_ssl.so
LoadModule socache_shmcb_module $modules/mod_socache_shmcb.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_http_module $modules/mod_proxy_http.so
ServerRoot $d
ServerName localhost
PidFile $d/pid
ErrorLog $d/errors
DefaultRuntimeDir $d
User nobody
Group nogroup
Listen 127.0.0.1:8083
SSLProxyEngine on
SSLProxyVerify none
SSLProxyCheckPeerName off
SSLProxyCheckPeerCN off
{LINE}
END
serve apache2 -f $d/cfg -DFOREGROUND; get http://127.0.0.1:8083/; stop";

// squid needs shared memory as a user of its own; the mount is this process's.
const SQUID: &str = r"
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
cat > $d/cfg <<END
http_port 127.0.0.1:8084 accel defaultsite=a.example
cache_peer $HOST parent $PORT 0 no-query no-digest originserver tls tls-flags=DONT_VERIFY_PEER {LINE}
never_direct allow all
http_access allow all
cache deny all
access_log none
cache_log $d/cache.log
pid_filename $d/pid
coredump_dir $d
END
chmod 777 $d
serve squid -N -f $d/cfg; get http://127.0.0.1:8084/; stop; cat $d/log $d/cache.log";

const STUNNEL: &str = r"
printf '%s\n' 'foreground = yes' 'pid =' '[a]' 'client = yes' 'accept = 127.0.0.1:8085' \
    'retry = no' connect=$AT '{LINE}' > $d/cfg
serve stunnel $d/cfg; get http://127.0.0.1:8085/; stop";

const UNBOUND: &str = r#"
cat > $d/cfg <<END
server:
 interface: 127.0.0.1@8086
 do-daemonize: no
 username: ""
 chroot: ""
 directory: "$d"
 pidfile: "$d/pid"
 use-syslog: no
 do-not-query-localhost: no
 module-config: "iterator"
forward-zone:
 name: "."
 forward-tls-upstream: yes
 {LINE}
END
serve unbound -c $d/cfg
n=0
until kdig @127.0.0.1 -p 8086 +timeout=3 +retry=0 a.example | grep -q status || [ $((n += 1)) -ge 40 ]; do sleep 0.1; done
stop"#;

const DNSDIST: &str = r"
cat > $d/cfg <<END
setLocal('127.0.0.1:8087')
newServer({address='$AT', tls='openssl', validateCertificates=false, {LINE}})
END
serve dnsdist -C $d/cfg --supervised; sleep 4; stop; cat $d/log";

const SYSLOG_NG: &str = r"
cat > $d/cfg <<END
@version: $(syslog-ng --version | sed -n 's/^Config version: //p')
source s { internal(); };
destination d { {LINE}; };
log { source(s); destination(d); };
END
serve syslog-ng -F -f $d/cfg --persist-file $d/persist --control $d/control --pidfile $d/pid --no-caps
sleep 4; stop; cat $d/log";

const CHRONY: &str = r"
cat > $d/cfg <<END
{LINE} iburst
pidfile $d/pid
bindcmdaddress /
cmdport 0
END
serve chronyd -d -x -u root -f $d/cfg; sleep 5; stop; cat $d/log";

const PROMETHEUS: &str = r#"
cat > $d/cfg <<END
global: { scrape_interval: 1s }
scrape_configs:
 - job_name: j
   scheme: https
   static_configs: [ { targets: [ "$AT" ] } ]
   {LINE}
END
serve prometheus --config.file=$d/cfg --storage.tsdb.path=$d/data --web.listen-address=127.0.0.1:8088; sleep 8; stop"#;

const BLACKBOX: &str = r#"
cat > $d/cfg <<END
modules: { h: { prober: http, timeout: 2s, http: { preferred_ip_protocol: ip4, {LINE} } } }
END
serve prometheus-blackbox-exporter --config.file=$d/cfg --web.listen-address=127.0.0.1:8089
get "http://127.0.0.1:8089/probe?module=h&target=https://$AT/"; stop"#;

const MONIT: &str = r"
cat > $d/cfg <<END
set daemon 1
set pidfile $d/pid
set statefile $d/state
set idfile $d/id
set logfile $d/monit.log
check host x {LINE}
 if failed port $PORT protocol https then alert
END
chmod 600 $d/cfg
serve monit -I -c $d/cfg; sleep 4; stop; cat $d/log";

pub(super) const ALL: &[Subject] = &[
    subject("haproxy-server", "HAProxy", "haproxy", HAPROXY, ""),
    subject("haproxy-check", "HAProxy", "haproxy", HAPROXY_CHECK, ""),
    subject("nginx-proxy", "nginx", "nginx", NGINX, ""),
    subject("nginx-stream", "nginx", "libnginx-mod-stream", NGINX_STREAM, ""),
    Subject {
        script: ENVOY_TLS,
        ..subject("envoy-sni", "Envoy", "", "", "").on(MACHINE).version(ENVOY_VERSION)
    },
    Subject {
        script: ENVOY_UPSTREAM,
        ..subject("envoy-auto-sni", "Envoy", "", "", "").on(MACHINE).version(ENVOY_VERSION)
    },
    subject("apache-proxy", "Apache httpd", "apache2-bin", APACHE, r#"ProxyPass "/" "https://$AT/""#),
    subject("squid", "squid", "squid-openssl", SQUID, ""),
    subject("stunnel", "stunnel", "stunnel4", STUNNEL, ""),
    subject("unbound", "unbound", "unbound", UNBOUND, "forward-addr: $HOST@$PORT"),
    subject("dnsdist", "dnsdist", "dnsdist", DNSDIST, ""),
    subject(
        "syslog-ng",
        "syslog-ng",
        "syslog-ng-core",
        SYSLOG_NG,
        r#"network("$NAME" port($PORT) transport("tls") tls(peer-verify(no)))"#,
    ),
    subject("chrony", "chrony", "chrony", CHRONY, "server $HOST nts ntsport $PORT"),
    subject("prometheus", "Prometheus", "prometheus", PROMETHEUS, ""),
    subject("blackbox", "blackbox_exporter", "prometheus-blackbox-exporter", BLACKBOX, ""),
    subject(
        "check-http",
        "check_http",
        "monitoring-plugins-basic",
        "/usr/lib/nagios/plugins/check_http -t 5 -S -I $HOST -p $PORT {LINE}",
        "",
    ),
    subject(
        "check-tcp",
        "check_tcp",
        "monitoring-plugins-basic",
        "/usr/lib/nagios/plugins/check_tcp -t 5 -S -H $HOST -p $PORT {LINE}",
        "",
    ),
    subject("monit", "Monit", "monit", MONIT, "with address $HOST"),
];
