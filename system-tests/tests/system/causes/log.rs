//! Causes that only the gateway's log names.

use super::*;

/// Waits until the access log has so many entries, of which those with a reason have it.
fn wait_for_log(envoy: &Envoy<'_>, entries: usize) {
    wait_until("the access log", TIMEOUT, || Ok((envoy.access_log()?.len() >= entries).then_some(())))
        .unwrap();
}

/// Adds the reason of the transport socket to the listeners' access log.
fn log_reasons(bootstrap: &mut Value) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        let format = &mut listener["access_log"][0]["typed_config"]["log_format"]["json_format"];
        format["downstream_transport_failure_reason"] = json!("%DOWNSTREAM_TRANSPORT_FAILURE_REASON%");
        format["upstream_transport_failure_reason"] = json!("%UPSTREAM_TRANSPORT_FAILURE_REASON%");
    }
}

/// The certificate comes by SDS from a file that is not there, as Istio's does from a secret that is missing.
#[test]
fn no_certificate() {
    let lab = Lab::new().unwrap();
    let certificate = lab.certificate(SERVER_NAME).unwrap();
    let file = lab.path("sds.json");
    let change = |bootstrap: &mut Value| {
        log_reasons(bootstrap);
        bootstrap["node"] = json!({ "id": "gateway", "cluster": "gateway" });
        change_chain(bootstrap, |chain| {
            let tls = &mut chain["transport_socket"]["typed_config"]["common_tls_context"];
            tls.as_object_mut().unwrap().remove("tls_certificates");
            tls["tls_certificate_sds_secret_configs"] = json!([{
                "name": "certificate",
                "sds_config": {
                    "path_config_source": { "path": file },
                    "initial_fetch_timeout": "0.2s",
                },
            }]);
        });
    };
    let empty = json!({ "resources": [] });
    fs::write(&file, empty.to_string()).unwrap();
    {
        let envoy = Envoy::start_changed(&lab, &EnvoyOptions::default(), change).unwrap();
        let probe = Probe::start(&lab, &[]).unwrap();
        curl(&lab, named(), &[], false);
        wait_for_log(&envoy, ENOUGH);
        let log = envoy.access_log_path().to_str().unwrap();
        expect("no_certificate", &seen(&lab, &probe, ENOUGH, &["--logs", log]));
    }
    let secret = json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "certificate",
        "tls_certificate": {
            "certificate_chain": { "filename": certificate.certificate },
            "private_key": { "filename": certificate.key },
        },
    }] });
    fs::write(&file, secret.to_string()).unwrap();
    let envoy = Envoy::start_changed(&lab, &EnvoyOptions::default(), change).unwrap();
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    wait_for_log(&envoy, ENOUGH);
    let log = envoy.access_log_path().to_str().unwrap();
    expect_healed(&seen(&lab, &probe, ENOUGH, &["--logs", log]));
}

/// TLS passthrough to a backend that is down.
#[test]
fn upstream_unreachable() {
    let lab = Lab::new().unwrap();
    let change = |bootstrap: &mut Value| {
        log_reasons(bootstrap);
        bootstrap["static_resources"]["clusters"] = json!([{
            "name": "backend",
            "connect_timeout": "1s",
            "load_assignment": { "cluster_name": "backend", "endpoints": [{ "lb_endpoints": [{
                "endpoint": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 9443 } } },
            }] }] },
        }]);
        change_chain(bootstrap, |chain| {
            chain.as_object_mut().unwrap().remove("transport_socket");
            chain["filters"] = json!([{
                "name": "envoy.filters.network.tcp_proxy",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "backend",
                    "cluster": "backend",
                },
            }]);
        });
    };
    {
        let envoy = Envoy::start_changed(&lab, &EnvoyOptions::default(), change).unwrap();
        let probe = Probe::start(&lab, &[]).unwrap();
        curl(&lab, named(), &[], false);
        wait_for_log(&envoy, ENOUGH);
        let log = envoy.access_log_path().to_str().unwrap();
        expect("upstream_unreachable", &seen(&lab, &probe, ENOUGH, &["--logs", log]));
    }
    let certificate = lab.certificate(SERVER_NAME).unwrap();
    let [cert, key] = [&certificate.certificate, &certificate.key].map(|path| path.to_str().unwrap());
    let arguments = ["s_server", "-accept", "127.0.0.1:9443", "-cert", cert, "-key", key, "-www", "-quiet"];
    let mut command = lab.gateway.command("openssl");
    let mut backend = Service::start("backend", command.args(arguments), lab.directory()).unwrap();
    backend.wait_for("the backend", TIMEOUT, || listens(&lab.gateway, 9443)).unwrap();
    let _envoy = Envoy::start_changed(&lab, &EnvoyOptions::default(), change).unwrap();
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}
