//! Gateways that refuse, and how the lines are applied to their configurations.

use anyhow::{Context as _, Result};

use super::super::gateways::Setup;
use super::super::places::Release;
use super::super::refusals::list::{
    APACHE, CADDY, ENVOY, ERLANG, GO, HAPROXY, HITCH, JAVA, NGINX, NODE, RUSTLS, SNIPROXY, Software,
    TRAFFIC_SERVER,
};
use super::super::refusals::setups as refusing;
use super::edit::{replace, replaced, run_edited};
use super::setups;
use super::snippets::lines;
use crate::SERVER_NAME;

/// A gateway that refuses, and lines that heal it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub(super) software: Software,
    pub(super) release: Release,
    /// The configuration that refuses.
    pub(super) situation: &'static str,
    /// The file of the lines.
    pub(super) snippet: &'static str,
    pub(super) implementation: Implementation,
}

/// How a gateway runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Implementation {
    /// Processes.
    Programs {
        /// Returns the setup for a port; the next port is free for a backend.
        refusing: fn(u16) -> Setup,
        /// The lines, with placeholders.
        text: &'static str,
        /// Applies the lines to the setup for a port.
        apply: Apply,
    },
    /// rustls, in a thread of this process.
    Rustls,
}

type Apply = fn(&mut Setup, u16, &str) -> Result<()>;

/// A trial with the lines of a file.
macro_rules! trial {
    ($software:expr, $release:expr, $situation:literal, $snippet:literal, $refusing:expr, $apply:expr) => {
        Trial {
            software: $software,
            release: $release,
            situation: $situation,
            snippet: $snippet,
            implementation: Implementation::Programs {
                refusing: $refusing,
                text: lines!($snippet),
                apply: $apply,
            },
        }
    };
}

const TOMCAT_10: Software = (
    "Tomcat",
    "java -cp /usr/share/tomcat10/lib/catalina.jar org.apache.catalina.util.ServerInfo | sed -n 's,.*Tomcat/\\([0-9.]*\\).*,\\1,p' | head -n 1",
);
const TOMCAT_11: Software = (
    "Tomcat",
    "java -cp /usr/share/tomcat11/lib/catalina.jar org.apache.catalina.util.ServerInfo | sed -n 's,.*Tomcat/\\([0-9.]*\\).*,\\1,p' | head -n 1",
);
const JETTY_9: Software = ("Jetty", "dpkg-query -W -f '${Version}' jetty9 | cut -d- -f1");
const JETTY_12: Software = ("Jetty", "dpkg-query -W -f '${Version}' jetty12 | cut -d- -f1");

pub(super) const ALL: &[Trial] = &{
    use Release::{Bookworm, Machine, Sid};
    [
        trial!(
            NGINX,
            Bookworm,
            "ssl_reject_handshake",
            "nginx-default-server.conf",
            refusing::nginx_rejecting,
            nginx_server
        ),
        trial!(
            NGINX,
            Sid,
            "ssl_reject_handshake",
            "nginx-default-server.conf",
            refusing::nginx_rejecting,
            nginx_server
        ),
        trial!(
            NGINX,
            Bookworm,
            "ssl_certificate $ssl_server_name",
            "nginx-name-variable-no-sni.conf",
            refusing::nginx_by_name,
            nginx_map
        ),
        trial!(
            NGINX,
            Sid,
            "ssl_certificate $ssl_server_name",
            "nginx-name-variable-no-sni.conf",
            refusing::nginx_by_name,
            nginx_map
        ),
        trial!(
            NGINX,
            Bookworm,
            "ssl_certificate $ssl_server_name",
            "nginx-name-variable-unknown-name.conf",
            refusing::nginx_by_name,
            nginx_map
        ),
        trial!(
            NGINX,
            Sid,
            "ssl_certificate $ssl_server_name",
            "nginx-name-variable-unknown-name.conf",
            refusing::nginx_by_name,
            nginx_map
        ),
        trial!(
            NGINX,
            Bookworm,
            "stream, ssl_preread",
            "nginx-stream-no-sni.conf",
            refusing::nginx_stream,
            nginx_stream
        ),
        trial!(
            NGINX,
            Sid,
            "stream, ssl_preread",
            "nginx-stream-no-sni.conf",
            refusing::nginx_stream,
            nginx_stream
        ),
        trial!(
            NGINX,
            Bookworm,
            "stream, ssl_preread",
            "nginx-stream-unknown-name.conf",
            refusing::nginx_stream,
            nginx_stream
        ),
        trial!(
            NGINX,
            Sid,
            "stream, ssl_preread",
            "nginx-stream-unknown-name.conf",
            refusing::nginx_stream,
            nginx_stream
        ),
        trial!(HAPROXY, Bookworm, "strict-sni", "haproxy-bind.cfg", refusing::haproxy_strict, haproxy_bind),
        trial!(HAPROXY, Sid, "strict-sni", "haproxy-bind.cfg", refusing::haproxy_strict, haproxy_bind),
        trial!(
            HAPROXY,
            Bookworm,
            "mode tcp, no backend",
            "haproxy-tcp-no-sni.cfg",
            refusing::haproxy_tcp,
            haproxy_tcp
        ),
        trial!(
            HAPROXY,
            Sid,
            "mode tcp, no backend",
            "haproxy-tcp-no-sni.cfg",
            refusing::haproxy_tcp,
            haproxy_tcp
        ),
        trial!(
            HAPROXY,
            Bookworm,
            "mode tcp, no backend",
            "haproxy-tcp-unknown-name.cfg",
            refusing::haproxy_tcp,
            haproxy_tcp
        ),
        trial!(
            HAPROXY,
            Sid,
            "mode tcp, no backend",
            "haproxy-tcp-unknown-name.cfg",
            refusing::haproxy_tcp,
            haproxy_tcp
        ),
        trial!(
            HAPROXY,
            Bookworm,
            "mode tcp, content reject",
            "haproxy-content-reject.cfg",
            refusing::haproxy_reject,
            haproxy_reject
        ),
        trial!(
            HAPROXY,
            Sid,
            "mode tcp, content reject",
            "haproxy-content-reject.cfg",
            refusing::haproxy_reject,
            haproxy_reject
        ),
        trial!(CADDY, Bookworm, "no certificate", "caddy-default-sni", refusing::caddy, caddy),
        trial!(CADDY, Sid, "no certificate", "caddy-default-sni", refusing::caddy, caddy),
        trial!(CADDY, Sid, "no certificate", "caddy-fallback-sni", refusing::caddy, caddy),
        trial!(APACHE, Bookworm, "SSLStrictSNIVHostCheck", "apache-policy.conf", refusing::apache, apache),
        trial!(APACHE, Sid, "SSLStrictSNIVHostCheck", "apache-policy.conf", refusing::apache, apache),
        trial!(
            APACHE,
            Bookworm,
            "hosts with other certificates",
            "apache-policy.conf",
            setups::apache_by_policy,
            apache
        ),
        trial!(
            APACHE,
            Sid,
            "hosts with other certificates",
            "apache-policy.conf",
            setups::apache_by_policy,
            apache
        ),
        trial!(TOMCAT_10, Bookworm, "strictSni", "tomcat-connector.xml", setups::tomcat10, tomcat),
        trial!(TOMCAT_11, Sid, "strictSni", "tomcat-connector.xml", setups::tomcat11, tomcat),
        trial!(
            JETTY_9,
            Bookworm,
            "sslContext.sniRequired",
            "jetty-ssl.ini",
            setups::jetty9_by_handshake,
            jetty
        ),
        trial!(JETTY_9, Bookworm, "ssl.sniRequired", "jetty-ssl.ini", setups::jetty9_by_http, jetty),
        trial!(JETTY_12, Sid, "sslContext.sniRequired", "jetty-ssl.ini", setups::jetty12_by_handshake, jetty),
        trial!(JETTY_12, Sid, "ssl.sniRequired", "jetty-ssl.ini", setups::jetty12_by_http, jetty),
        trial!(NODE, Bookworm, "SNICallback: null", "node-no-sni.js", refusing::node_null, node),
        trial!(NODE, Sid, "SNICallback: null", "node-no-sni.js", refusing::node_null, node),
        trial!(
            NODE,
            Bookworm,
            "SNICallback: error",
            "node-unknown-name.js",
            refusing::node_error,
            node_callback
        ),
        trial!(NODE, Sid, "SNICallback: error", "node-unknown-name.js", refusing::node_error, node_callback),
        trial!(ENVOY, Machine, "no filter chain matches", "envoy.yaml", refusing::envoy, envoy),
        trial!(GO, Bookworm, "GetCertificate: error", "go-no-sni.go", refusing::go_error, go),
        trial!(GO, Sid, "GetConfigForClient: error", "go-no-sni.go", refusing::go_configuration, go),
        trial!(GO, Bookworm, "GetCertificate: nil", "go-unknown-name.go", refusing::go_nil, go),
        trial!(
            GO,
            Bookworm,
            "GetConfigForClient: error",
            "go-unknown-name.go",
            refusing::go_configuration,
            go
        ),
        trial!(GO, Sid, "GetCertificate: error", "go-unknown-name.go", refusing::go_error, go),
        trial!(JAVA, Bookworm, "key manager", "java-key-manager.java", refusing::java_keys, java_keys),
        trial!(JAVA, Sid, "key manager", "java-key-manager.java", refusing::java_keys, java_keys),
        trial!(JAVA, Bookworm, "SNIMatcher", "java-matcher.java", refusing::java_matcher, java_matcher),
        trial!(JAVA, Sid, "SNIMatcher", "java-matcher.java", refusing::java_matcher, java_matcher),
        Trial {
            software: RUSTLS,
            release: Machine,
            situation: "ResolvesServerCertUsingSni",
            snippet: "rustls.rust",
            implementation: Implementation::Rustls,
        },
        trial!(ERLANG, Bookworm, "sni_hosts", "erlang.erl", refusing::erlang, erlang),
        trial!(ERLANG, Sid, "sni_hosts", "erlang.erl", refusing::erlang, erlang),
        trial!(
            TRAFFIC_SERVER,
            Bookworm,
            "no default certificate",
            "traffic-server.config",
            refusing::traffic_server,
            traffic_server
        ),
        trial!(SNIPROXY, Bookworm, "table", "sniproxy.conf", refusing::sniproxy, sniproxy),
        trial!(SNIPROXY, Sid, "table", "sniproxy.conf", refusing::sniproxy, sniproxy),
        trial!(HITCH, Bookworm, "sni-nomatch-abort", "hitch.conf", refusing::hitch, hitch),
        trial!(HITCH, Sid, "sni-nomatch-abort", "hitch.conf", refusing::hitch, hitch),
    ]
};

fn nginx_server(setup: &mut Setup, port: u16, lines: &str) -> Result<()> {
    let server = format!("server {{ listen {port} ssl default_server; ssl_reject_handshake on; }}");
    replace(setup, "nginx.conf", &server, lines)
}

fn nginx_map(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    replace(setup, "nginx.conf", "/$ssl_server_name.", "/$certificate_name.")?;
    replace(setup, "nginx.conf", "  server {\n", &format!("{lines}  server {{\n"))
}

fn nginx_stream(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    replace(setup, "nginx.conf", "$backend {", &format!("$backend {{\n{lines}"))
}

fn haproxy_bind(setup: &mut Setup, port: u16, lines: &str) -> Result<()> {
    setup.prepare = "mkdir -p /mnt/certificates && cp /mnt/gateway.pem /mnt/certificates/";
    replace(setup, "haproxy.cfg", &format!("bind :{port} ssl crt /mnt/gateway.pem strict-sni\n"), lines)
}

fn haproxy_tcp(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    replace(setup, "haproxy.cfg", "backend served\n", &format!("  {lines}backend served\n"))
}

fn haproxy_reject(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let rule = format!(
        "tcp-request content reject if {{ req.ssl_hello_type 1 }} !{{ req.ssl_sni -i {SERVER_NAME} }}\n"
    );
    replace(setup, "haproxy.cfg", &rule, lines)
}

fn caddy(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    replace(setup, "Caddyfile", "  admin off\n", &format!("  admin off\n{lines}"))
}

/// Apache takes the last of two directives, so those of the refusing configuration go.
fn apache(setup: &mut Setup, port: u16, lines: &str) -> Result<()> {
    replace(setup, "apache.conf", &format!("Listen {port}\n"), &format!("Listen {port}\n{lines}"))?;
    for (_, text) in &mut setup.files {
        *text = text.replace("SSLStrictSNIVHostCheck on\n", "");
    }
    Ok(())
}

fn tomcat(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    replace(setup, "server.xml", "defaultSSLHostConfigName=\"other.mydomain.com\"", lines)
}

fn jetty(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let (_, text) = setup.files.first_mut().context("the setup has no ssl.ini")?;
    let others = text.lines().filter(|line| !line.contains("sniRequired"));
    *text = others.flat_map(|line| [line, "\n"]).collect::<String>() + lines;
    Ok(())
}

const NODE_SOURCE: &str = include_str!("../programs/refuse.js");

fn node(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let options = format!("createServer({{\n{lines}SNICallback }}");
    let names = ("refuse.js", "fixed/refuse.js");
    run_edited(setup, ("fixed/refuse.js", NODE_SOURCE), names, ("createServer({ SNICallback }", &options))
}

/// The lines have their own `SNICallback`.
fn node_callback(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let options = format!("createServer({{\n{lines}}}");
    let names = ("refuse.js", "fixed/refuse.js");
    run_edited(setup, ("fixed/refuse.js", NODE_SOURCE), names, ("createServer({ SNICallback }", &options))
}

/// Adds the chain, with the filters of the one that has the name. The file is JSON, which is YAML.
fn envoy(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let (_, text) = setup.files.first_mut().context("the setup has no envoy.json")?;
    let mut configuration: serde_json::Value = serde_json::from_str(text)?;
    let chains = &mut configuration["static_resources"]["listeners"][0]["filter_chains"];
    let filters = chains[0]["filters"].to_string();
    let added: serde_json::Value = serde_saphyr::from_str(&lines.replace("FILTERS", &filters))?;
    let added = added["filter_chains"].as_array().context("filter_chains")?.clone();
    chains.as_array_mut().context("filter_chains")?.extend(added);
    *text = configuration.to_string();
    Ok(())
}

fn go(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let source = include_str!("../programs/refuse.go");
    setup.prepare = "export GOCACHE=/var/cache/go GO111MODULE=off GOTOOLCHAIN=local CGO_ENABLED=0
        go build -o /mnt/fixed-$RELEASE /mnt/fixed/refuse.go";
    let part = "\thandler := ";
    let names = ("/mnt/refuse-$RELEASE", "/mnt/fixed-$RELEASE");
    run_edited(setup, ("fixed/refuse.go", source), names, (part, &format!("{lines}{part}")))
}

fn java(setup: &mut Setup, part: &str, lines: &str) -> Result<()> {
    let source = include_str!("../programs/Serve.java");
    setup.prepare = "javac -d /mnt/fixed/$RELEASE /mnt/fixed/Serve.java";
    let names = ("/mnt/java-serve-$RELEASE", "/mnt/fixed/$RELEASE");
    run_edited(setup, ("fixed/Serve.java", source), names, (part, lines))
}

fn java_keys(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    // The end of chooseServerAlias.
    let end = "            }\n            return null;\n";
    java(setup, end, &format!("            }}\n{lines}"))
}

fn java_matcher(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let call =
        r#"parameters.setSNIMatchers(List.of(SNIHostName.createSNIMatcher(NAME.replace(".", "\\."))));"#;
    java(setup, call, lines)
}

fn erlang(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let source = include_str!("../programs/refuse.erl");
    setup.prepare =
        "mkdir -p /mnt/fixed/erlang-$RELEASE && cd /mnt/fixed/erlang-$RELEASE && erlc ../refuse.erl";
    let names = ("/mnt/erlang-$RELEASE", "/mnt/fixed/erlang-$RELEASE");
    let options = format!("[\n{lines}{{sni_hosts,");
    run_edited(setup, ("fixed/refuse.erl", source), names, ("[{sni_hosts,", &options))
}

fn traffic_server(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let line = "ssl_cert_name=gateway.crt ssl_key_name=gateway.key\n";
    replace(setup, "ssl_multicert.config", line, &format!("{lines}{line}"))
}

fn sniproxy(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    replace(setup, "sniproxy.conf", "  proto tls\n", &format!("  proto tls\n{lines}"))
}

fn hitch(setup: &mut Setup, _: u16, lines: &str) -> Result<()> {
    let (_, text) = setup.files.first_mut().context("the setup has no hitch.conf")?;
    *text = replaced(text, "sni-nomatch-abort = on\n", lines)?;
    Ok(())
}
