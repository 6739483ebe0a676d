//! The combinations that one run has: all, newer releases, unusual options, or a sample.

use super::clients::{self, Client};
use super::combination::{Combination, product};
use super::gateways::{self, Gateway};
use super::places::Release;
use super::situation::{Situation, Version};

/// Returns the combinations of `cargo xtask gateways`: each client of a list with each gateway. A client that closes without a trace
/// is tried with one gateway only.
pub fn all() -> Vec<Combination> {
    use clients::{CURL_OPENSSL, GNUTLS, GO, JAVA, NODE, OPENSSL, RUSTLS};
    let clients = [OPENSSL, clients::of(Release::Sid, OPENSSL), GNUTLS, GO, RUSTLS, JAVA, NODE, CURL_OPENSSL];
    let combinations = product(&clients, &GATEWAYS).into_iter();
    combinations
        .filter(|combination| {
            !rejects_without_a_trace(combination) || combination.gateway.name == gateways::NGINX.name
        })
        .collect()
}

/// Whether the client completes the handshake, rejects the certificate and closes without data. The gateway has no part in that,
/// and on the wire it is the same as a health check.
fn rejects_without_a_trace(combination: &Combination) -> bool {
    let Combination { client, version, situation, .. } = combination;
    match situation {
        Situation::WrongName => {
            client.name == clients::CURL_OPENSSL.name
                || (client.name == clients::NODE.name && *version == Version::Tls12)
        }
        Situation::Distrusted | Situation::Expired => {
            client.name == clients::NODE.name && *version == Version::Tls12
        }
        _ => false,
    }
}

/// Returns newer releases of clients and gateways, and clients that are not in [`all`].
pub fn newer() -> Vec<Combination> {
    use clients::{CURL_OPENSSL, GNUTLS, GO, JAVA, JAVA_HTTP_CLIENT, NODE, OPENSSL, PYTHON_SSL, WGET_GNUTLS};
    let clients = [JAVA_HTTP_CLIENT, PYTHON_SSL, WGET_GNUTLS];
    let sid = |gateway: Gateway| gateways::of(Release::Sid, gateway);
    let gateways =
        GATEWAYS.map(|gateway| if gateway.release == Release::Machine { gateway } else { sid(gateway) });
    let newer = [CURL_OPENSSL, GNUTLS, GO, JAVA, NODE, OPENSSL, WGET_GNUTLS];
    let mut combinations = product(&clients, &GATEWAYS);
    combinations.extend(product(&newer.map(|client| clients::of(Release::Sid, client)), &gateways));
    combinations
}

/// Returns OpenSSL clients with options that change the lengths or the number of records.
pub fn unusual() -> Vec<Combination> {
    use Version::{Tls12, Tls13};
    const ANY: &[Gateway] = &[gateways::ENVOY, gateways::OPENSSL_ALL_CIPHERS];
    const OPENSSL: &[Gateway] = &[gateways::OPENSSL_ALL_CIPHERS];
    const PADDING: &[Gateway] = &[gateways::OPENSSL_PADDING];
    let cases: [(&str, &[Gateway], &[Version]); 11] = [
        ("", PADDING, &[Tls13]),
        ("-record_padding 64", ANY, &[Tls13]),
        ("-max_send_frag 512", ANY, &[Tls12, Tls13]),
        ("-no_middlebox", ANY, &[Tls13]),
        // A HelloRetryRequest of Envoy.
        ("-groups P-521:P-256", ANY, &[Tls13]),
        ("-ciphersuites TLS_AES_128_GCM_SHA256", ANY, &[Tls13]),
        ("-ciphersuites TLS_CHACHA20_POLY1305_SHA256", ANY, &[Tls13]),
        ("-ciphersuites TLS_AES_128_CCM_8_SHA256", OPENSSL, &[Tls13]),
        ("-cipher ECDHE-ECDSA-CHACHA20-POLY1305", ANY, &[Tls12]),
        ("-cipher ECDHE-ECDSA-AES128-SHA", OPENSSL, &[Tls12]),
        ("-cipher ECDHE-ECDSA-AES256-SHA384 -no_etm", OPENSSL, &[Tls12]),
    ];
    let combinations = cases.into_iter().flat_map(|(options, gateways, versions)| {
        let all = product(&[clients::openssl_with(options)], gateways);
        all.into_iter().filter(|combination| versions.contains(&combination.version))
    });
    combinations.collect()
}

/// The gateways of Debian 12, and Envoy.
const GATEWAYS: [Gateway; 7] = [
    gateways::ENVOY,
    gateways::NGINX,
    gateways::HAPROXY,
    gateways::CADDY,
    gateways::JAVA,
    gateways::NODE,
    gateways::OPENSSL,
];

/// Returns a sample of combinations of programs that setup installs on the machine. Each situation occurs, but not with each pair
/// of client and gateway.
pub fn sample() -> Vec<Combination> {
    let on_machine = |client: Client| clients::of(Release::Machine, client);
    let clients = [clients::OPENSSL, clients::CURL_OPENSSL, clients::RUSTLS].map(on_machine);
    let gateways = [gateways::ENVOY, gateways::NGINX, gateways::HAPROXY, gateways::OPENSSL];
    let gateways = gateways.map(|gateway| gateways::of(Release::Machine, gateway));
    let all = product(&clients, &gateways).into_iter();
    let number = |combination: &Combination| {
        let client = clients.iter().position(|client| client.name == combination.client.name);
        let gateway = gateways.iter().position(|gateway| gateway.name == combination.gateway.name);
        let situation = Situation::ALL.iter().position(|situation| *situation == combination.situation);
        let sum = client.unwrap_or(0) + gateway.unwrap_or(0) + situation.unwrap_or(0);
        sum + usize::from(combination.version == Version::Tls13)
    };
    // One in seven. The sum spreads them over clients, gateways and situations.
    all.filter(|combination| {
        number(combination) % 7 == 0
            || (combination.situation == Situation::EarlyData && combination.gateway.name == "HAProxy")
    })
    .collect()
}
