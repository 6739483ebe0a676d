//! Gateways that refuse by HTTP, after the handshake, and Jetty.

use super::super::gateways::Setup;
use super::super::refusals::setups::program;
use crate::SERVER_NAME;

/// Apache httpd without `SSLStrictSNIVHostCheck`: two hosts with different certificates.
pub(super) fn apache_by_policy(port: u16) -> Setup {
    let mut setup = super::super::refusals::setups::apache(port);
    for (_, text) in &mut setup.files {
        *text = text.replace("SSLStrictSNIVHostCheck on\n", "");
        // The default host has another certificate.
        *text = text.replacen("/mnt/gateway.", "/mnt/wrong-name.", 2);
    }
    setup
}

fn tomcat(port: u16, script: &str) -> Setup {
    let configuration = |name: &str, stem: &str| {
        format!(
            "    <SSLHostConfig hostName=\"{name}\">
      <Certificate certificateFile=\"/mnt/{stem}.crt\" certificateKeyFile=\"/mnt/{stem}.key\"/>
    </SSLHostConfig>\n"
        )
    };
    let text = format!(
        "<Server port=\"-1\"><Service name=\"Catalina\">
  <Connector port=\"{port}\" SSLEnabled=\"true\" scheme=\"https\" secure=\"true\" defaultSSLHostConfigName=\"other.mydomain.com\">
{}{}  </Connector>
  <Engine name=\"Catalina\" defaultHost=\"localhost\"><Host name=\"localhost\" appBase=\"webapps\"/></Engine>
</Service></Server>\n",
        configuration("other.mydomain.com", "wrong-name"),
        configuration(SERVER_NAME, "gateway"),
    );
    let mut setup = program("server.xml", text, script);
    setup.prepare = "mkdir -p /mnt/tomcat/conf /mnt/tomcat/webapps/ROOT /mnt/tomcat/temp /mnt/tomcat/logs
        echo hello >/mnt/tomcat/webapps/ROOT/index.html; cp /mnt/server.xml /mnt/tomcat/conf/
        cp /usr/share/tomcat*/etc/web.xml /mnt/tomcat/conf/";
    setup
}

pub(super) fn tomcat10(port: u16) -> Setup {
    tomcat(
        port,
        "CATALINA_BASE=/mnt/tomcat CATALINA_HOME=/usr/share/tomcat10 exec /usr/share/tomcat10/bin/catalina.sh run",
    )
}

pub(super) fn tomcat11(port: u16) -> Setup {
    tomcat(
        port,
        "CATALINA_BASE=/mnt/tomcat CATALINA_HOME=/usr/share/tomcat11 exec /usr/share/tomcat11/bin/catalina.sh run",
    )
}

/// Jetty; `refuses` are the lines of the configuration that refuse.
fn jetty(port: u16, keystore: &str, refuses: &str, script: &str) -> Setup {
    let truststore = keystore.replace("keyStore", "trustStore");
    let text = format!(
        "--module=https\njetty.ssl.port={port}\n{keystore}=/mnt/gateway.p12\njetty.sslContext.keyStoreType=PKCS12
jetty.sslContext.keyStorePassword=changeit\njetty.sslContext.keyManagerPassword=changeit
{truststore}=/mnt/gateway.p12\njetty.sslContext.trustStoreType=PKCS12
jetty.sslContext.trustStorePassword=changeit\n{refuses}"
    );
    let mut setup = program("ssl.ini", text, script);
    setup.prepare = "mkdir -p /mnt/jetty/start.d /mnt/jetty/resources && cp /mnt/ssl.ini /mnt/jetty/start.d/";
    setup
}

const BY_HANDSHAKE: &str = "jetty.sslContext.sniRequired=true\n";
const BY_HTTP: &str = "jetty.ssl.sniRequired=true\n";
const JETTY_9: &str = "cd /mnt/jetty && exec java -Djetty.home=/usr/share/jetty9 -Djetty.base=/mnt/jetty -jar /usr/share/jetty9/start.jar";
const JETTY_12: &str = "cd /mnt/jetty && exec java -Djetty.home=/usr/share/jetty12 -Djetty.base=/mnt/jetty -jar /usr/share/jetty12/start.jar";
const KEYSTORE_9: &str = "jetty.sslContext.keyStoreAbsolutePath";
const KEYSTORE_12: &str = "jetty.sslContext.keyStorePath";

pub(super) fn jetty9_by_handshake(port: u16) -> Setup {
    jetty(port, KEYSTORE_9, BY_HANDSHAKE, JETTY_9)
}

pub(super) fn jetty9_by_http(port: u16) -> Setup {
    jetty(port, KEYSTORE_9, BY_HTTP, JETTY_9)
}

pub(super) fn jetty12_by_handshake(port: u16) -> Setup {
    jetty(port, KEYSTORE_12, BY_HANDSHAKE, JETTY_12)
}

pub(super) fn jetty12_by_http(port: u16) -> Setup {
    jetty(port, KEYSTORE_12, BY_HTTP, JETTY_12)
}
