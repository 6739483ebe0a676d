//! The Helm chart and the plain manifests: what they render is valid, is what the documentation promises, and the daemon
//! runs with it. There is no cluster here: Kubernetes' own schemas judge, and the lab is the node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use system_tests::deploy::DeployTools;
use system_tests::manifests::{self, CHART, MANIFESTS, OVERLAY};
use system_tests::process::{Finished, Service, run, run_ok};
use system_tests::{GATEWAY_INTERFACE, probe};

use crate::site::{Site, TIMEOUT};

/// Kubernetes versions against whose schemas all objects are held.
const KUBERNETES: [&str; 5] = ["1.29", "1.30", "1.31", "1.32", "1.33"];
/// Bytes of all annotations of an object; `kubectl apply` puts the whole object into one.
const MAX_ANNOTATIONS: usize = 256 << 10;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn chart() -> PathBuf {
    root().join(CHART)
}

fn tools() -> DeployTools {
    DeployTools::from_environment().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The documents that are not empty.
fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// The sets of values in `values/`, by their names.
fn value_sets() -> Vec<(String, PathBuf)> {
    let files = fs::read_dir(chart().join("values")).unwrap();
    let mut sets: Vec<_> = files
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    sets.sort();
    assert_eq!(sets.len(), 4, "{sets:?}");
    sets
}

fn everything() -> Value {
    manifests::everything()
}

/// `helm VERB …` with these values on top of those of the file.
fn helm(verb: &[&str], chart: &Path, file: Option<&Path>, values: &Value) -> Finished {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("values.json");
    fs::write(&path, values.to_string()).unwrap();
    let mut command = Command::new(tools().helm);
    command.args(verb).arg(chart).args(["--namespace", "sni-probe"]);
    for file in file.into_iter().chain([&*path]) {
        command.arg("--values").arg(file);
    }
    run(&mut command, TIMEOUT * 3).unwrap()
}

fn rendered_text(file: Option<&Path>, values: &Value) -> String {
    let finished = helm(&["template", "sni-probe"], &chart(), file, values);
    assert!(finished.success(), "{}", finished.stderr);
    finished.stdout
}

/// The objects that the chart makes.
fn rendered(values: &Value) -> Vec<Value> {
    documents(&rendered_text(None, values))
}

#[track_caller]
fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut all = objects.iter().filter(|object| object["kind"] == kind);
    let object = all.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(all.next().is_none(), "several {kind}");
    object
}

#[track_caller]
fn only_in<'a>(objects: &'a [Value], kind: &str, namespace: &str) -> &'a Value {
    let mut all = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["namespace"] == namespace);
    let object = all.next().unwrap_or_else(|| panic!("no {kind} in {namespace}"));
    assert!(all.next().is_none(), "several {kind} in {namespace}");
    object
}

fn pod(objects: &[Value]) -> &Value {
    &only(objects, "DaemonSet")["spec"]["template"]["spec"]
}

fn container(objects: &[Value]) -> &Value {
    &pod(objects)["containers"][0]
}

fn texts(array: &Value) -> Vec<&str> {
    array.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Default, each set, and everything: file and values.
fn cases() -> Vec<(String, Option<PathBuf>, Value)> {
    let mut cases =
        vec![("default".to_owned(), None, json!({})), ("everything".to_owned(), None, everything())];
    cases.extend(value_sets().into_iter().map(|(name, path)| (name, Some(path), json!({}))));
    cases
}

/// Holds the documents of the file against the schemas of all versions.
#[track_caller]
fn assert_valid(text: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("objects.yaml");
    fs::write(&file, text).unwrap();
    let objects = documents(text);
    let is_known = |object: &&Value| {
        !object["apiVersion"].as_str().is_some_and(|version| version.starts_with("monitoring."))
    };
    let known = objects.iter().filter(is_known).count();
    assert!(known > 0);
    for version in KUBERNETES {
        let mut command = Command::new(tools().kubernetes_validate);
        command.args(["--strict", "-k", version]).arg(&file);
        let finished = run(&mut command, TIMEOUT * 6).unwrap();
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(finished.success(), "{version}: {said}");
        // It passes over what it does not know.
        assert_eq!(said.matches(" passed for resource ").count(), known, "{version}: {said}");
    }
    for object in objects.iter().filter(|object| !is_known(object)) {
        assert_known_fields(object);
    }
}

#[test]
fn lint_finds_nothing() {
    for (name, file, values) in cases() {
        let finished = helm(&["lint", "--strict"], &chart(), file.as_deref(), &values);
        assert!(finished.success(), "{name}: {}{}", finished.stdout, finished.stderr);
        assert!(!finished.stdout.contains("[WARNING]"), "{name}: {}", finished.stdout);
    }
}

#[test]
fn objects_are_valid() {
    for (name, file, values) in cases() {
        println!("{name}");
        assert_valid(&rendered_text(file.as_deref(), &values));
    }
}

/// The schemas of these kinds are not Kubernetes' own: what of their fields the chart may use, as their custom resource
/// definitions have it (prometheus-operator 0.82, prometheus-engine). `*` stands for every index and every name.
fn assert_known_fields(object: &Value) {
    const COMMON: [&str; 5] =
        ["apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.labels.*"];
    const SELECTOR: &str = "spec.selector.matchLabels.*";
    let known: &[&str] = match object["kind"].as_str().unwrap() {
        "PodMonitor" => &[
            SELECTOR,
            "spec.jobLabel",
            "spec.podMetricsEndpoints.*.port",
            "spec.podMetricsEndpoints.*.path",
            "spec.podMetricsEndpoints.*.scheme",
            "spec.podMetricsEndpoints.*.interval",
            "spec.podMetricsEndpoints.*.scrapeTimeout",
            "spec.podMetricsEndpoints.*.basicAuth.username.name",
            "spec.podMetricsEndpoints.*.basicAuth.username.key",
            "spec.podMetricsEndpoints.*.basicAuth.password.name",
            "spec.podMetricsEndpoints.*.basicAuth.password.key",
            "spec.podMetricsEndpoints.*.tlsConfig.ca.secret.name",
            "spec.podMetricsEndpoints.*.tlsConfig.ca.secret.key",
            "spec.podMetricsEndpoints.*.tlsConfig.serverName",
            "spec.podMetricsEndpoints.*.tlsConfig.insecureSkipVerify",
            "spec.podMetricsEndpoints.*.relabelings.*.sourceLabels.*",
            "spec.podMetricsEndpoints.*.relabelings.*.targetLabel",
        ],
        "PodMonitoring" => &[
            SELECTOR,
            "spec.endpoints.*.port",
            "spec.endpoints.*.path",
            "spec.endpoints.*.scheme",
            "spec.endpoints.*.interval",
            "spec.endpoints.*.timeout",
            "spec.endpoints.*.basicAuth.username",
            "spec.endpoints.*.basicAuth.password.secret.name",
            "spec.endpoints.*.basicAuth.password.secret.key",
            "spec.endpoints.*.tls.ca.secret.name",
            "spec.endpoints.*.tls.ca.secret.key",
            "spec.endpoints.*.tls.serverName",
            "spec.endpoints.*.tls.insecureSkipVerify",
            "spec.targetLabels.metadata.*",
        ],
        "PrometheusRule" => &[
            "spec.groups.*.name",
            "spec.groups.*.interval",
            "spec.groups.*.limit",
            "spec.groups.*.rules.*.record",
            "spec.groups.*.rules.*.alert",
            "spec.groups.*.rules.*.expr",
            "spec.groups.*.rules.*.for",
            "spec.groups.*.rules.*.keep_firing_for",
            "spec.groups.*.rules.*.labels.*",
            "spec.groups.*.rules.*.annotations.*",
        ],
        "Rules" | "ClusterRules" => &[
            "spec.groups.*.name",
            "spec.groups.*.interval",
            "spec.groups.*.rules.*.record",
            "spec.groups.*.rules.*.alert",
            "spec.groups.*.rules.*.expr",
            "spec.groups.*.rules.*.for",
            "spec.groups.*.rules.*.labels.*",
            "spec.groups.*.rules.*.annotations.*",
        ],
        other => panic!("{other}"),
    };
    let mut leaves = Vec::new();
    collect_leaves(object, &mut Vec::new(), &mut leaves);
    for leaf in leaves {
        let is_one = |known: &&str| {
            let names: Vec<&str> = known.split('.').collect();
            names.len() == leaf.len()
                && names.iter().zip(&leaf).all(|(known, name)| *known == "*" || known == name)
        };
        assert!(COMMON.iter().chain(known).any(is_one), "{}: {leaf:?}", object["kind"]);
    }
}

fn collect_leaves(value: &Value, path: &mut Vec<String>, leaves: &mut Vec<Vec<String>>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        Value::Null => panic!("{path:?} is null"),
        _ => return leaves.push(path.clone()),
    };
    for (name, child) in children {
        path.push(name);
        collect_leaves(child, path, leaves);
        path.pop();
    }
}

#[test]
fn it_may_do_what_is_promised_and_no_more() {
    for (name, file, values) in cases() {
        let objects = documents(&rendered_text(file.as_deref(), &values));
        let (pod, container) = (pod(&objects), container(&objects));
        let security = &container["securityContext"];
        assert_eq!(pod["hostNetwork"], true, "{name}");
        assert_eq!(pod["enableServiceLinks"], false, "{name}");
        // The schemas have no lists of words.
        assert_eq!(pod["dnsPolicy"], "Default", "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        for no in ["hostPID", "hostIPC", "shareProcessNamespace"] {
            assert!(pod.get(no).is_none(), "{name}: {no}");
        }
        assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(security["privileged"], false, "{name}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]), "{name}");
        // podman takes none beside the host's network, and the API server sets it.
        assert!(container["ports"][0].get("hostPort").is_none(), "{name}");
        assert_eq!(container["resources"]["limits"], json!({ "memory": "256Mi" }), "{name}");
        let strategy = &only(&objects, "DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"];
        assert_eq!(strategy["maxSurge"], 0, "{name}");
        // Of the token.
        let is_kube =
            file.as_deref().is_some_and(|file| file.ends_with("istio.yaml")) || name == "everything";
        assert_eq!(pod["automountServiceAccountToken"], is_kube, "{name}");
        assert_eq!(only(&objects, "ServiceAccount")["automountServiceAccountToken"], false, "{name}");
        let has_role = objects.iter().any(|object| object["kind"] == "ClusterRole");
        assert_eq!(has_role, is_kube, "{name}");
        if has_role {
            let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] }]);
            assert_eq!(cluster_roles(&objects, "ClusterRole")[0]["rules"], rules, "{name}");
        }
        let roles = objects.iter().filter(|object| object["kind"] == "Role").count();
        assert_eq!(roles, if name == "everything" { 2 } else { 0 }, "{name}");
    }
    let objects = rendered(&everything());
    let role = only_in(&objects, "Role", "apigee");
    let resources = ["apigeeroutes", "apigeerouteconfigs"];
    let permission =
        json!([{ "apiGroups": ["apigee.cloud.google.com"], "resources": resources, "verbs": ["list"] }]);
    assert_eq!(role["rules"], permission);
    // Of `routes --kube`, which only lists.
    for rule in cluster_roles(&objects, "ClusterRole")[1]["rules"].as_array().unwrap() {
        assert_eq!(rule["verbs"], json!(["list"]), "{rule}");
    }
    let mut values = everything();
    values["rbac"]["routes"]["gateways"] = json!(false);
    assert_eq!(cluster_roles(&rendered(&values), "ClusterRole").len(), 1);
    let pod_security =
        &only(&objects, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(pod_security, "privileged");
}

#[test]
fn capabilities_of_each_mode() {
    let cases = [
        (json!({}), &["BPF", "NET_ADMIN", "PERFMON"][..]),
        (json!({ "capabilities": { "mode": "modern" } }), &["BPF", "NET_ADMIN"]),
        (json!({ "capabilities": { "mode": "default" } }), &["BPF", "NET_ADMIN", "PERFMON"]),
        (json!({ "capabilities": { "mode": "legacy" } }), &["BPF", "NET_ADMIN", "PERFMON", "SYS_RESOURCE"]),
        (json!({ "capabilities": { "mode": "af-packet" } }), &["NET_RAW"]),
        (json!({ "capture": "af-packet" }), &["NET_RAW"]),
        (json!({ "capture": "tc", "capabilities": { "mode": "modern" } }), &["BPF", "NET_ADMIN"]),
        (
            json!({ "capabilities": { "mode": "modern", "add": ["NET_RAW", "BPF"] } }),
            &["BPF", "NET_ADMIN", "NET_RAW"],
        ),
    ];
    for (values, expected) in cases {
        let objects = rendered(&values);
        let added = &container(&objects)["securityContext"]["capabilities"]["add"];
        assert_eq!(texts(added), expected, "{values}");
    }
    let file = chart().join("values/gke-dataplane-v2.yaml");
    let objects = documents(&rendered_text(Some(&file), &json!({})));
    assert_eq!(texts(&container(&objects)["securityContext"]["capabilities"]["add"]), ["NET_RAW"]);
}

/// Each is refused with what the message says: the value's name at least.
#[track_caller]
fn assert_refused<const N: usize>(cases: [(Value, &str); N]) {
    for (values, message) in cases {
        let finished = helm(&["template", "sni-probe"], &chart(), None, &values);
        assert!(!finished.success(), "{values} is accepted");
        assert!(finished.stderr.contains(message), "{values}: no {message:?} in\n{}", finished.stderr);
    }
}

#[test]
fn wrong_values_are_refused() {
    assert_refused([
        (json!({ "capure": "tc" }), "additional properties 'capure' not allowed"),
        (json!({ "image": { "name": "x" } }), "/image': additional properties 'name' not allowed"),
        (json!({ "image": { "digest": "latest" } }), "/image/digest"),
        (json!({ "image": { "pullPolicy": "always" } }), "/image/pullPolicy': value must be one of"),
        // A tag there would come before the tag.
        (json!({ "image": { "repository": "registry.example.com:5000/sni-probe:1" } }), "/image/repository'"),
        (json!({ "image": { "repository": "sni-probe:0.1.0" } }), "/image/repository'"),
        (json!({ "listen": { "port": 443 } }), "/listen/port': minimum"),
        (json!({ "log": { "level": false } }), "/log/level': got boolean"),
        (json!({ "extraVolumes": [{ "emptyDir": {} }] }), "/extraVolumes/0': missing property 'name'"),
        (json!({ "ports": [0] }), "/ports/0': minimum"),
        (json!({ "ports": [70_000] }), "/ports/0': maximum"),
        (json!({ "ports": "443" }), "/ports': got string, want array"),
        (json!({ "ports": [] }), "/ports': minItems"),
        (json!({ "ports": [443, 443] }), "/ports': items at 0 and 1 are equal"),
        (json!({ "interfaces": ["eth0,eth1"] }), "/interfaces/0'"),
        (json!({ "capture": "ebpf" }), "/capture': value must be one of 'auto', 'tc', 'af-packet'"),
        (json!({ "attach": "xdp" }), "/attach'"),
        (json!({ "decapsulate": ["gre"] }), "/decapsulate/0'"),
        (json!({ "handshakeTimeout": 30 }), "/handshakeTimeout': got number, want string"),
        (json!({ "clientLabel": "mac" }), "/clientLabel'"),
        (json!({ "clientSubnet": { "v4": 33 } }), "/clientSubnet/v4'"),
        (json!({ "topClients": 20_000 }), "/topClients'"),
        (json!({ "expectedNonSni": ["aws-lb"] }), "/expectedNonSni/0'"),
        (json!({ "kube": { "enabled": "yes" } }), "/kube/enabled': got string, want boolean"),
        (json!({ "events": { "filter": ["faild"] } }), "/events/filter/0'"),
        (json!({ "events": { "format": "off" } }), "/events/format'"),
        (json!({ "evidence": { "bytes": "16MB" } }), "/evidence/bytes'"),
        (json!({ "evidence": { "handshakes": 0 } }), "/evidence/handshakes'"),
        (json!({ "evidence": { "volume": { "sizeLimit": "1.5Gi" } } }), "/evidence/volume/sizeLimit'"),
        (json!({ "listen": { "address": "localhost" } }), "/listen/address'"),
        (json!({ "web": "off" }), "/web': got string, want object"),
        (json!({ "web": { "hosts": ["http://a.example"] } }), "/web/hosts/0'"),
        (json!({ "capabilities": { "add": ["CAP_BPF"] } }), "/capabilities/add/0'"),
        (json!({ "updateStrategy": { "maxUnavailable": 0 } }), "/updateStrategy/maxUnavailable'"),
        (json!({ "podLabels": { "app.kubernetes.io/name": "x" } }), "/podLabels/app.kubernetes.io~1name'"),
        (json!({ "extraEnv": [{ "value": "x" }] }), "/extraEnv/0': missing property 'name'"),
        (json!({ "podMonitor": { "interval": "30" } }), "/podMonitor/interval'"),
        (json!({ "rules": { "runbookUrl": "https://example.com/" } }), "/rules/runbookUrl'"),
        (json!({ "gmpRules": { "kind": "GlobalRules" } }), "/gmpRules/kind'"),
        (
            json!({ "networkPolicy": { "apiServer": { "cidrs": ["10.0.0.1"] } } }),
            "/networkPolicy/apiServer/cidrs/0'",
        ),
    ]);
}

/// What a schema cannot say.
#[test]
fn contradictions_are_refused() {
    let tls = json!({ "existingSecret": "t" });
    let auth = json!({ "existingSecret": "u" });
    assert_refused([
        (json!({ "expectedNonSni": ["gcp-lb", "300.1.1.0/24"] }), "expectedNonSni[1]: 300.1.1.0/24 is no"),
        (json!({ "expectedNonSni": ["10.0.0.0/33"] }), "expectedNonSni[0]: 10.0.0.0/33 is no"),
        (json!({ "expectedNonSni": ["2001:db8::1::2"] }), "expectedNonSni[0]: 2001:db8::1::2 is no"),
        (json!({ "listen": { "address": "10.0.0" } }), "listen.address: 10.0.0 is no"),
        (
            json!({ "capture": "af-packet", "capabilities": { "mode": "default" } }),
            "capture: af-packet takes capabilities.mode",
        ),
        (json!({ "capture": "tc", "capabilities": { "mode": "af-packet" } }), "capture: tc takes"),
        (
            json!({ "capture": "af-packet", "capabilities": { "add": ["BPF"] } }),
            "capabilities.add: BPF is for eBPF",
        ),
        (json!({ "capture": "af-packet", "attach": "tcx" }), "attach: tcx"),
        (
            json!({ "clientHashKey": { "existingSecret": "k" } }),
            "clientHashKey.existingSecret is for clientLabel: hash",
        ),
        (json!({ "seccompProfile": { "type": "Localhost" } }), "seccompProfile.localhostProfile"),
        (
            json!({ "kube": { "enabled": true }, "serviceAccount": { "create": false } }),
            "serviceAccount.create or",
        ),
        (json!({ "web": { "enabled": false, "openToAll": true } }), "web.openToAll and web.hosts are for"),
        (
            json!({ "web": { "enabled": false, "hosts": ["a.example"] } }),
            "web.openToAll and web.hosts are for",
        ),
        (
            json!({ "web": { "auth": { "probeAuthorization": manifests::AUTHORIZATION } } }),
            "web.auth.probeAuthorization is for",
        ),
        (json!({ "evidence": { "enabled": true, "bytes": "1KiB" } }), "evidence.bytes: 1KiB is not within"),
        (
            json!({ "evidence": { "enabled": true, "bytes": "128MiB" } }),
            "evidence.volume.sizeLimit: 64Mi is not more than",
        ),
        (
            json!({ "events": { "file": { "enabled": true, "bytes": "128MiB" } } }),
            "events.file.volume.sizeLimit: 512Mi",
        ),
        (
            json!({ "podMonitor": { "enabled": true }, "web": { "auth": auth } }),
            "set podMonitor.basicAuth.existingSecret",
        ),
        (
            json!({ "podMonitoring": { "enabled": true }, "web": { "tls": tls } }),
            "podMonitoring.tls.caSecret",
        ),
        (
            json!({ "podMonitor": { "enabled": true, "basicAuth": auth } }),
            "podMonitor.basicAuth.existingSecret: nobody",
        ),
        (
            json!({ "podMonitor": { "enabled": true, "tls": { "insecureSkipVerify": true } } }),
            "podMonitor.tls: the daemon",
        ),
        (
            json!({ "podMonitor": { "enabled": true }, "listen": { "address": "127.0.0.1" } }),
            "podMonitor.enabled: nobody",
        ),
        (
            json!({ "podMonitoring": { "enabled": true, "basicAuth": auth }, "web": { "auth": auth } }),
            "podMonitoring.basicAuth.username",
        ),
        (json!({ "extraEnv": [{ "name": "SNI_PROBE_PORT" }] }), "extraEnv[0]: SNI_PROBE_PORT is set"),
        (
            json!({ "extraEnv": [{ "name": "A" }, { "name": "SNI_PROBE_WEB" }], "web": { "enabled": false } }),
            "extraEnv[1]: SNI_PROBE_WEB is set",
        ),
        (
            json!({ "prometheusRule": { "enabled": true }, "rules": { "disabled": ["SniProbeDwn"] } }),
            "rules.disabled: there is no alert SniProbeDwn; there are SniProbe",
        ),
    ]);
}

/// What would be taken here and refused later: by the daemon, by the API server, by Prometheus.
#[test]
fn what_would_fail_later_is_refused() {
    assert_refused([
        (json!({ "handshakeTimeout": "1ms" }), "handshakeTimeout: 1ms is not within 1s to 10m"),
        (json!({ "handshakeTimeout": "9m61s" }), "handshakeTimeout: 9m61s is not within"),
        (json!({ "handshakeTimeout": "11min" }), "handshakeTimeout: 11min is not within"),
        (json!({ "clientIdle": "59s999ms" }), "clientIdle: 59s999ms is not within 1m to 30d"),
        (json!({ "clientIdle": "31d" }), "clientIdle: 31d is not within"),
        (json!({ "listen": { "port": 8443 } }), "listen.port: 8443 is one of ports"),
        (
            json!({ "podMonitor": { "enabled": true, "interval": "30s", "scrapeTimeout": "1m" } }),
            "podMonitor.scrapeTimeout: 1m is more than podMonitor.interval (30s)",
        ),
        (
            json!({ "podMonitoring": { "enabled": true, "scrapeTimeout": "30s1ms" } }),
            "podMonitoring.scrapeTimeout: 30s1ms",
        ),
        (
            json!({ "evidence": { "enabled": true }, "extraVolumes": [{ "name": "evidence", "emptyDir": {} }] }),
            "extraVolumes: evidence is there already",
        ),
        (
            json!({
                "evidence": { "enabled": true }, "extraVolumes": [{ "name": "a", "emptyDir": {} }],
                "extraVolumeMounts": [{ "name": "a", "mountPath": "/evidence/" }],
            }),
            "extraVolumeMounts: something is mounted at /evidence already",
        ),
        (
            json!({ "rules": { "alertLabels": { "severity": "page" } } }),
            "rules.alertLabels: severity would be",
        ),
        // Also where they are not on yet.
        (
            json!({ "rules": { "disabled": ["SniProbeDwn"] } }),
            "rules.disabled: there is no alert SniProbeDwn",
        ),
    ]);
}

/// The bounds are the daemon's own: what the chart lets pass, it takes.
#[test]
fn durations_at_the_bounds_are_the_daemons() {
    let flags = [("handshakeTimeout", "--handshake-timeout"), ("clientIdle", "--client-idle")];
    let cases = [
        (0, ["1s", "1000ms", "10m", "10min", "9m60s"], ["999ms", "10m1s", "1h"]),
        (1, ["1m", "60s", "1min", "30d", "720h"], ["59s", "30d1s", "721h"]),
    ];
    for (at, good, bad) in cases {
        let (value, flag) = flags[at];
        let chart_takes = |duration: &str| {
            let finished = helm(&["template", "sni-probe"], &chart(), None, &json!({ value: duration }));
            finished.success()
        };
        let daemon_takes = |duration: &str| {
            // Another value is wrong, so that it never starts; flags are read before.
            let mut command = Command::new(probe::binary().unwrap());
            command.args(["run", flag, duration, "--top-clients", "none"]);
            let said = run(&mut command, TIMEOUT).unwrap().stderr;
            assert!(said.contains("invalid value"), "{said}");
            !said.contains(flag)
        };
        for duration in good {
            assert!(chart_takes(duration) && daemon_takes(duration), "{value}: {duration} is refused");
        }
        for duration in bad {
            assert!(!chart_takes(duration) && !daemon_takes(duration), "{value}: {duration} is accepted");
        }
    }
}

#[test]
fn repositories_may_have_a_port() {
    for repository in
        ["sni-probe", "a/b_c/sni-probe", "registry.example.com:5000/a/sni-probe", "localhost:5000/sni-probe"]
    {
        let objects = rendered(&json!({ "image": { "repository": repository } }));
        assert_eq!(container(&objects)["image"], format!("{repository}:0.1.0"));
    }
}

/// Helm merges the maps of all files of values, so a file after a set can but add labels, unless null takes one away.
#[test]
fn null_takes_a_label_away() {
    for set in ["gke-apigee", "gke-dataplane-v2"] {
        let file = chart().join(format!("values/{set}.yaml"));
        let values = json!({ "nodeSelector": { "cloud.google.com/gke-nodepool": null, "pool": "ingress" } });
        let objects = documents(&rendered_text(Some(&file), &values));
        let expected = json!({ "kubernetes.io/os": "linux", "pool": "ingress" });
        assert_eq!(pod(&objects)["nodeSelector"], expected, "{set}");
    }
    // Not only of the nodes.
    let file = chart().join("values/istio.yaml");
    let release = json!({ "labels": { "release": null } });
    let values =
        json!({ "podMonitor": release, "prometheusRule": release, "podLabels": { "a": null, "b": "c" } });
    let text = rendered_text(Some(&file), &values);
    assert_valid(&text);
    let objects = documents(&text);
    for kind in ["PodMonitor", "PrometheusRule"] {
        assert!(only(&objects, kind)["metadata"]["labels"].get("release").is_none(), "{kind}");
    }
    let labels = &only(&objects, "DaemonSet")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["b"], "c");
}

/// Where null stands for "none" it is taken, and elsewhere refused by the value's name rather than by a template's line.
#[test]
fn null_is_none_or_refused_by_name() {
    let schema: Value = serde_json::from_str(&read(chart().join("values.schema.json"))).unwrap();
    let mut paths = Vec::new();
    collect_values(&schema, &mut Vec::new(), &mut paths);
    let is_nullable =
        |schema: &Value| schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
    let of = |path: &[String]| path.iter().rev().fold(Value::Null, |inner, name| json!({ name: inner }));
    let mut none = everything();
    let mut nullable = 0;
    for (path, schema) in paths {
        if is_nullable(&schema) {
            *path.iter().fold(&mut none, |inside, name| &mut inside[name.as_str()]) = Value::Null;
            nullable += 1;
        }
        let values = of(&path);
        let finished = helm(&["install", "--dry-run=client", "sni-probe"], &chart(), None, &values);
        assert_eq!(finished.success(), is_nullable(&schema), "{values}: {}", finished.stderr);
        let name = path.last().unwrap();
        let is_named =
            finished.stderr.contains(&format!("'{name}'")) || finished.stderr.contains(&format!("/{name}'"));
        assert!(finished.success() || is_named, "{values}: {}", finished.stderr);
    }
    assert!(nullable > 20, "{nullable}");
    // All of them at once, with what uses them.
    let finished = helm(&["install", "--dry-run=client", "sni-probe"], &chart(), None, &none);
    assert!(finished.success(), "{none}: {}", finished.stderr);
    assert_valid(&rendered_text(None, &none));
    for empty in ["nodeSelector", "tolerations", "affinity"] {
        assert!(pod(&rendered(&none)).get(empty).is_none(), "{empty}");
    }
}

/// Each value, and each object of values, with its schema.
fn collect_values(schema: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        path.push(name.clone());
        found.push((path.clone(), schema.clone()));
        collect_values(schema, path, found);
        path.pop();
    }
}

/// Names of a container's variables, and their values where they have any of their own.
fn environment(container: &Value) -> Vec<(&str, Option<&str>)> {
    let variables = container["env"].as_array().unwrap().iter();
    variables.map(|variable| (variable["name"].as_str().unwrap(), variable["value"].as_str())).collect()
}

#[test]
fn variables_are_the_daemons() {
    let help = run_ok(Command::new(probe::binary().unwrap()).args(["run", "--help"]), TIMEOUT).unwrap();
    let objects = rendered(&everything());
    let web = json!({ "openToAll": true, "hosts": ["probe.example.com", "probe"] });
    let others = rendered(&json!({ "clientLabel": "subnet", "expectedNonSni": ["gcp-lb"], "web": web }));
    let variables = environment(container(&others));
    assert!(variables.contains(&("SNI_PROBE_WEB", Some("on"))), "{variables:?}");
    assert!(variables.contains(&("SNI_PROBE_WEB_HOST", Some("probe.example.com,probe"))), "{variables:?}");
    assert!(environment(container(&objects)).contains(&("SNI_PROBE_WEB", Some("off"))));
    let mut ours = BTreeSet::new();
    for container in [container(&objects), container(&others)] {
        let names: Vec<&str> = environment(container).into_iter().map(|(name, _)| name).collect();
        let different: BTreeSet<_> = names.iter().copied().collect();
        assert_eq!(different.len(), names.len(), "one twice: {names:?}");
        ours.extend(different);
    }
    assert!(ours.remove("TZ"));
    for name in &ours {
        assert!(help.contains(&format!("[env: {name}=")), "{name} is no variable of `sni-probe run`");
    }
    // All that it has, but for those that make sense in no DaemonSet, or for an eBPF developer only: extraEnv has these.
    let left = ["SNI_PROBE_NETNS", "SNI_PROBE_PRIORITY", "SNI_PROBE_KERNEL_STATS", "SNI_PROBE_KUBECONFIG"];
    let theirs = help.split("[env: ").skip(1).map(|text| text.split('=').next().unwrap());
    for name in theirs.filter(|name| !left.contains(name)) {
        assert!(ours.contains(name), "no value sets {name}");
    }
}

/// A place for each volume of the pod, with what its Secret has.
fn volumes(site: &Site, objects: &[Value]) -> BTreeMap<String, PathBuf> {
    let certificate = site.lab.certificate("chart").unwrap();
    let pod = pod(objects);
    let mut places = BTreeMap::new();
    for mount in container(objects)["volumeMounts"].as_array().into_iter().flatten() {
        let name = mount["name"].as_str().unwrap();
        let directory = site.lab.path(&format!("volume-{name}"));
        fs::create_dir_all(&directory).unwrap();
        let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name);
        if volume.unwrap().get("secret").is_some() {
            assert_eq!(mount["readOnly"], true);
            match name {
                "auth" => fs::write(directory.join("users"), manifests::USERS).unwrap(),
                "hash-key" => fs::write(directory.join("key"), "0123456789abcdef").unwrap(),
                "tls" => {
                    fs::copy(&certificate.certificate, directory.join("tls.crt")).unwrap();
                    fs::copy(&certificate.key, directory.join("tls.key")).unwrap();
                }
                other => panic!("{other}"),
            }
        }
        places.insert(mount["mountPath"].as_str().unwrap().to_owned(), directory);
    }
    places
}

/// Starts the daemon as the container would be, on the lab's interface, with the container's capabilities and no others,
/// and asks what the kubelet asks.
fn start_and_ask(site: &Site, name: &str, objects: &[Value]) {
    let container = container(objects);
    let places = volumes(site, objects);
    let kubeconfig = site.lab.path("kubeconfig");
    // Of an API server that is away, which is no reason to end.
    let away = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{ "name": "a", "cluster": { "server": "http://127.0.0.1:1" } }],
        "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
        "users": [{ "name": "a", "user": {} }],
    });
    fs::write(&kubeconfig, away.to_string()).unwrap();

    let added = texts(&container["securityContext"]["capabilities"]["add"]);
    let set = added
        .iter()
        .fold("-all".to_owned(), |set, capability| format!("{set},+{}", capability.to_lowercase()));
    let mut command = site.lab.gateway.command("setpriv");
    command.args([&format!("--bounding-set={set}"), "--inh-caps=-all", "--no-new-privs"]);
    command.arg(probe::binary().unwrap()).args(texts(&container["args"]));
    // The runner's, to run tests with either way of capturing.
    command.env_remove("SNI_PROBE_CAPTURE").env("KUBECONFIG", &kubeconfig);
    for (variable, value) in environment(container) {
        let value = value.unwrap_or("node-1");
        if value.starts_with('/') {
            let (mount, place) = places
                .iter()
                .find(|(mount, _)| Path::new(value).starts_with(mount))
                .unwrap_or_else(|| panic!("{name}: {variable}: {value} lies in no volume"));
            let inside = Path::new(value).strip_prefix(mount).unwrap();
            command.env(variable, if inside == Path::new("") { place.clone() } else { place.join(inside) });
        } else {
            command.env(variable, value);
        }
    }
    let mut service = Service::start("chart", &mut command, site.lab.directory()).unwrap();
    let port = &container["ports"][0]["containerPort"];
    for kind in ["livenessProbe", "readinessProbe"] {
        let get = &container[kind]["httpGet"];
        assert_eq!(get["port"], container["ports"][0]["name"], "{name}");
        let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        let url = format!("{scheme}://127.0.0.1:{port}{}", get["path"].as_str().unwrap());
        let ask = || {
            let mut curl = site.lab.gateway.command("curl");
            curl.args(["-s", "-k", "-o", "/dev/null", "-w", "%{http_code}", &url]);
            for header in get["httpHeaders"].as_array().into_iter().flatten() {
                let text = |field: &str| header[field].as_str().unwrap();
                curl.args(["-H", &format!("{}: {}", text("name"), text("value"))]);
            }
            run(&mut curl, TIMEOUT).is_ok_and(|finished| finished.stdout == "200")
        };
        service.wait_for(&format!("{name}: 200 of {url}"), TIMEOUT * 2, ask).unwrap();
    }
    assert_eq!(service.stop().unwrap(), 0, "{name}");
}

#[test]
fn the_daemon_runs_with_it() {
    let site = Site::new();
    // The interface is the lab's; the rest is as rendered.
    let here = json!({ "interfaces": [GATEWAY_INTERFACE], "orientation": "nic" });
    for (name, file) in value_sets() {
        start_and_ask(&site, &name, &documents(&rendered_text(Some(&file), &here)));
    }
    start_and_ask(&site, "everything", &rendered(&everything()));
    let mut values = everything();
    // Without a header, and at one address.
    values["web"]["auth"]["probeAuthorization"] = json!("");
    values["listen"] = json!({ "address": "127.0.0.1", "port": 9919 });
    values["podMonitor"] = json!({});
    values["podMonitoring"] = json!({});
    let objects = rendered(&values);
    let get = &container(&objects)["readinessProbe"]["httpGet"];
    assert_eq!(
        (&get["path"], &get["host"], &get["scheme"]),
        (&json!("/healthz"), &json!("127.0.0.1"), &json!("HTTPS"))
    );
    start_and_ask(&site, "everything, no header", &objects);
    for values in
        [json!({}), json!({ "capabilities": { "mode": "modern" } }), json!({ "capture": "af-packet" })]
    {
        let mut values = values;
        values["interfaces"] = here["interfaces"].clone();
        values["orientation"] = here["orientation"].clone();
        start_and_ask(&site, &values.to_string(), &rendered(&values));
    }
}

#[test]
fn monitors_find_the_pods() {
    for (name, file, values) in cases() {
        let objects = documents(&rendered_text(file.as_deref(), &values));
        let labels = &only(&objects, "DaemonSet")["spec"]["template"]["metadata"]["labels"];
        let selector = &only(&objects, "DaemonSet")["spec"]["selector"]["matchLabels"];
        assert_eq!(labels["app.kubernetes.io/name"], "sni-probe", "{name}");
        for object in &objects {
            let (selected, endpoints) = match object["kind"].as_str().unwrap() {
                "PodMonitor" => (&object["spec"]["selector"], &object["spec"]["podMetricsEndpoints"]),
                "PodMonitoring" => (&object["spec"]["selector"], &object["spec"]["endpoints"]),
                "NetworkPolicy" => (&object["spec"]["podSelector"], &Value::Null),
                _ => continue,
            };
            assert_eq!(&selected["matchLabels"], selector, "{name}");
            for label in selector.as_object().unwrap() {
                assert_eq!(&labels[label.0], label.1, "{name}");
            }
            if let Some([endpoint]) = endpoints.as_array().map(Vec::as_slice) {
                assert_eq!(endpoint["port"], container(&objects)["ports"][0]["name"], "{name}");
                let is_tls = container(&objects)["readinessProbe"]["httpGet"]["scheme"] == "HTTPS";
                assert_eq!(endpoint["scheme"] == "https", is_tls, "{name}");
                assert_eq!(endpoint["interval"], "30s", "{name}");
            }
        }
    }
    // The job is `sni-probe` whatever the release is called.
    let mut values = everything();
    values["fullnameOverride"] = json!("edge");
    let objects = rendered(&values);
    assert_eq!(only(&objects, "DaemonSet")["metadata"]["name"], "edge");
    assert_eq!(only(&objects, "PodMonitoring")["metadata"]["name"], "sni-probe");
    let monitor = only(&objects, "PodMonitor");
    assert_eq!(monitor["spec"]["jobLabel"], "app.kubernetes.io/name");
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    for (at, label) in ["instance", "node"].into_iter().enumerate() {
        let node = json!({ "sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": label });
        assert_eq!(endpoint["relabelings"][at], node);
    }
    assert_eq!(endpoint["basicAuth"]["username"], json!({ "name": "sni-probe-scrape", "key": "username" }));
    assert_eq!(endpoint["tlsConfig"]["ca"]["secret"], json!({ "name": "sni-probe-ca", "key": "ca.crt" }));
}

#[test]
fn googles_collector_may_read_the_secrets_and_no_others() {
    let objects = rendered(&everything());
    let role = only_in(&objects, "Role", "sni-probe");
    let permission = json!([{
        "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"],
        "resourceNames": ["sni-probe-scrape", "sni-probe-ca"],
    }]);
    assert_eq!(role["rules"], permission);
    let binding = only_in(&objects, "RoleBinding", "sni-probe");
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let subject =
        |namespace: &str| json!([{ "kind": "ServiceAccount", "name": "collector", "namespace": namespace }]);
    assert_eq!(binding["subjects"], subject("gmp-system"));

    let mut values = everything();
    values["rbac"] = json!({});
    values["podMonitoring"]["collector"] = json!({ "namespace": "gke-gmp-system" });
    // One Secret for both.
    values["podMonitoring"]["tls"]["caSecret"] = json!("sni-probe-scrape");
    let objects = rendered(&values);
    assert_eq!(only(&objects, "RoleBinding")["subjects"], subject("gke-gmp-system"));
    assert_eq!(only(&objects, "Role")["rules"][0]["resourceNames"], json!(["sni-probe-scrape"]));
    let count = |values: &Value| rendered(values).iter().filter(|object| object["kind"] == "Role").count();
    values["rbac"] = json!({ "create": false });
    assert_eq!(count(&values), 0);
    values["rbac"] = json!({});
    // The Prometheus Operator takes none.
    values["podMonitoring"] = json!({});
    assert_eq!(count(&values), 0);
}

/// Releases of the same name: what they have outside of their namespaces must not be the same.
/// `ClusterRoles` or their bindings: those of the daemon first, then those of `routes --kube`.
fn cluster_roles<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let mut roles: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
    roles.sort_by_key(|role| role["metadata"]["name"].as_str().unwrap().ends_with("-routes"));
    roles
}

#[test]
fn two_namespaces_have_a_release_each() {
    let names = |namespace: &str| -> BTreeSet<String> {
        let mut values = everything();
        values["namespaceOverride"] = json!(namespace);
        // One dashboard is enough: a second has the same uid.
        values["dashboard"] = json!({});
        let name = |object: &Value| {
            let metadata = &object["metadata"];
            format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"])
        };
        let objects = rendered(&values);
        let bindings = cluster_roles(&objects, "ClusterRoleBinding");
        let roles = cluster_roles(&objects, "ClusterRole");
        assert_eq!((bindings.len(), roles.len()), (2, 2));
        for (binding, role) in bindings.iter().zip(roles) {
            assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        }
        let routes = only_in(&objects, "RoleBinding", "apigee");
        assert_eq!(routes["roleRef"]["name"], only_in(&objects, "Role", "apigee")["metadata"]["name"]);
        objects.iter().map(name).collect()
    };
    let (one, other) = (names("one"), names("other"));
    assert_eq!(one.intersection(&other).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn rules_are_those_of_the_file() {
    let file = yaml(&read("deploy/prometheus/sni-probe.rules.yaml"));
    let groups = file["groups"].as_array().unwrap();
    assert!(groups.len() >= 2);
    let on = json!({ "prometheusRule": { "enabled": true }, "gmpRules": { "enabled": true } });
    let objects = rendered(&on);
    assert_eq!(only(&objects, "PrometheusRule")["spec"]["groups"], file["groups"]);
    let google = only(&objects, "Rules");
    let mut expected = file["groups"].clone();
    for group in expected.as_array_mut().unwrap() {
        let group = group.as_object_mut().unwrap();
        group.retain(|name, _| ["name", "interval", "rules"].contains(&name.as_str()));
        group.entry("interval").or_insert(json!("30s"));
        for rule in group["rules"].as_array_mut().unwrap() {
            rule.as_object_mut().unwrap().remove("keep_firing_for");
        }
    }
    assert_eq!(google["spec"]["groups"], expected);

    let alerts = |groups: &Value| -> Vec<Value> {
        let rules = groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
        rules.filter(|rule| rule.get("alert").is_some()).cloned().collect()
    };
    let all = alerts(&file["groups"]);
    let objects = rendered(&everything());
    for kind in ["PrometheusRule", "ClusterRules"] {
        let kept = alerts(&only(&objects, kind)["spec"]["groups"]);
        assert_eq!(kept.len(), all.len() - 1, "{kind}");
        for alert in kept {
            let name = alert["alert"].as_str().unwrap();
            assert_ne!(name, "SniProbeDown");
            assert_eq!(alert["labels"]["team"], "edge", "{name}");
            // An alert may be there once for each severity.
            let severity = &alert["labels"]["severity"];
            let is_it = |old: &&Value| old["alert"] == name && old["labels"]["severity"] == *severity;
            let old = all.iter().find(is_it).unwrap_or_else(|| panic!("{name} {severity}"));
            assert_eq!(alert["annotations"]["runbook_url"], format!("https://example.com/r/{name}.md"));
            assert_eq!(alert["annotations"]["summary"], old["annotations"]["summary"], "{name}");
        }
    }
    assert!(only(&objects, "ClusterRules")["metadata"].get("namespace").is_none());
}

/// With rules that have all that Prometheus knows, which those of the repository need not.
#[test]
fn google_gets_only_what_it_knows() {
    let scratch = tempfile::tempdir().unwrap();
    let copy = scratch.path().join("sni-probe");
    manifests::copy_directory(&chart(), &copy).unwrap();
    let rules = json!({ "groups": [
        { "name": "a", "limit": 3, "interval": "15s", "rules": [{ "record": "a:b:c", "expr": "d" }] },
        { "name": "b", "rules": [{ "alert": "E", "expr": "f", "for": "1m", "keep_firing_for": "2m" }] },
        { "name": "c", "rules": [{ "alert": "G", "expr": "h" }] },
    ] });
    fs::write(copy.join("files/sni-probe.rules.yaml"), rules.to_string()).unwrap();
    let values = json!({
        "prometheusRule": { "enabled": true }, "gmpRules": { "enabled": true, "interval": "45s" }, "rules": { "disabled": ["G"] },
    });
    let finished = helm(&["template", "sni-probe"], &copy, None, &values);
    assert!(finished.success(), "{}", finished.stderr);
    let objects = documents(&finished.stdout);
    let mut expected = rules["groups"].clone();
    // A group without rules is none.
    expected.as_array_mut().unwrap().pop();
    assert_eq!(only(&objects, "PrometheusRule")["spec"]["groups"], expected);
    expected[0].as_object_mut().unwrap().remove("limit");
    expected[1]["interval"] = json!("45s");
    expected[1]["rules"][0].as_object_mut().unwrap().remove("keep_firing_for");
    assert_eq!(only(&objects, "Rules")["spec"]["groups"], expected);
}

#[test]
fn all_objects_are_in_the_namespace() {
    let mut values = everything();
    values["namespaceOverride"] = json!("edge");
    for object in rendered(&values) {
        let expected = match object["kind"].as_str().unwrap() {
            "Namespace" | "ClusterRole" | "ClusterRoleBinding" | "ClusterRules" => Value::Null,
            "Role" | "RoleBinding" if object["metadata"]["name"] == "sni-probe.edge-routes" => {
                json!("apigee")
            }
            "ConfigMap" => json!("monitoring"),
            _ => json!("edge"),
        };
        assert_eq!(object["metadata"]["namespace"], expected, "{}", object["kind"]);
        assert_eq!(object["metadata"]["labels"]["team"], "edge", "{}", object["kind"]);
        let is_of_routes = object["metadata"]["name"] == "sni-probe.edge-routes";
        if object["kind"] == "ClusterRoleBinding" && !is_of_routes {
            assert_eq!(object["subjects"][0]["namespace"], "edge");
        }
    }
}

#[test]
fn the_dashboard_is_whole_and_fits() {
    let objects = rendered(&json!({ "dashboard": { "enabled": true } }));
    let object = only(&objects, "ConfigMap");
    assert_eq!(object["metadata"]["labels"]["grafana_dashboard"], "1");
    let text = object["data"]["sni-probe.json"].as_str().unwrap();
    let dashboard: Value = serde_json::from_str(text).unwrap();
    let source: Value = serde_json::from_str(&read("deploy/grafana/sni-probe.json")).unwrap();
    assert_eq!(dashboard, source);
    let bytes = object.to_string().len();
    assert!(bytes < MAX_ANNOTATIONS, "kubectl apply refuses {bytes} bytes");
}

#[test]
fn a_network_policy_lets_out_what_is_needed() {
    let policy = |values: Value| only(&rendered(&values), "NetworkPolicy")["spec"].clone();
    let closed = policy(json!({ "networkPolicy": { "enabled": true } }));
    assert_eq!(closed["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(closed["egress"].is_null(), "nothing is let out");
    assert_eq!(closed["ingress"], json!([{ "ports": [{ "protocol": "TCP", "port": 9917 }] }]));
    let open = policy(everything());
    assert_eq!(open["ingress"][0]["ports"][0]["port"], 9918);
    assert!(open["ingress"][0]["from"][0]["namespaceSelector"].is_object());
    assert_eq!(open["egress"][0]["to"], json!([{ "ipBlock": { "cidr": "10.0.0.1/32" } }]));
}

#[test]
fn notes_say_what_is_missing() {
    let notes = |values: Value| {
        let finished = helm(&["install", "--dry-run=client", "sni-probe"], &chart(), None, &values);
        assert!(finished.success(), "{}", finished.stderr);
        finished.stdout.split_once("NOTES:").unwrap().1.to_owned()
    };
    let bare = notes(json!({}));
    assert!(bare.contains("WARNING: nothing selects nodes"), "{bare}");
    assert!(bare.contains("NOTE: nothing scrapes it"), "{bare}");
    assert!(bare.contains("kubectl -n sni-probe rollout status daemonset/sni-probe"), "{bare}");
    assert!(bare.contains("\n  http://localhost:9917/\n"), "{bare}");
    let full = notes(everything());
    assert!(!full.contains("WARNING"), "{full}");
    assert!(full.contains("\n  https://localhost:9918/metrics\n"), "{full}");
    let chosen = notes(
        json!({ "nodeSelector": { "pool": "gateways" }, "web": { "auth": { "existingSecret": "u" } } }),
    );
    assert!(!chosen.contains("nothing selects nodes"), "{chosen}");
    assert!(chosen.contains("WARNING: web.auth without web.tls"), "{chosen}");
    assert!(chosen.contains("It asks for a user and a password, one of those in the Secret u."), "{chosen}");
    assert!(!bare.contains("asks for a user") && bare.contains("answer the node itself only"), "{bare}");
    assert!(!chosen.contains("answer the node itself only"), "{chosen}");
    let open = notes(json!({ "web": { "openToAll": true } }));
    assert!(open.contains("WARNING: web.openToAll without web.auth"), "{open}");
    assert!(!open.contains("answer the node itself only"), "{open}");
    // Nothing answers at localhost there.
    let elsewhere = notes(json!({ "listen": { "address": "192.0.2.1" } }));
    assert!(elsewhere.contains("\n  http://192.0.2.1:9917/\n"), "{elsewhere}");
    assert!(!elsewhere.contains("port-forward POD") && !elsewhere.contains("localhost"), "{elsewhere}");
    let local = notes(json!({ "listen": { "address": "127.0.0.1" } }));
    assert!(local.contains("port-forward POD 9917\n  http://localhost:9917/\n"), "{local}");
    // Rules count on more frequent scrapes than these.
    let slow = |monitor: &str, interval: &str, rules: &str| {
        notes(json!({ monitor: { "enabled": true, "interval": interval }, rules: { "enabled": true } }))
    };
    for (monitor, rules) in [("podMonitor", "prometheusRule"), ("podMonitoring", "gmpRules")] {
        let note = format!("NOTE: {monitor}.interval: 1m1s. The rules want");
        let text = slow(monitor, "1m1s", rules);
        assert!(text.contains(&note), "{text}");
        for text in [slow(monitor, "1m", rules), slow(monitor, "2m", "dashboard")] {
            assert!(!text.contains("The rules want"), "{text}");
        }
    }
}

#[test]
fn made_files_are_up_to_date() {
    let made = manifests::make(root(), &tools()).unwrap();
    for (path, text) in &made {
        assert!(read(path) == *text, "{}: run `cargo xtask manifests`", path.display());
    }
    // And no others, but for what is written by hand.
    for path in files(&root().join(MANIFESTS)) {
        let is_known =
            path.ends_with("kustomization.yaml") || made.contains_key(&Path::new(MANIFESTS).join(&path));
        assert!(is_known, "{} is made of nothing", path.display());
    }
}

/// The files below a directory, by their paths from there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = PathBuf::from(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|path| name.join(path)));
        } else {
            found.push(name);
        }
    }
    found
}

/// The components, by their directories.
fn components() -> BTreeSet<String> {
    let all = files(&root().join(MANIFESTS)).into_iter();
    let parents = all.filter_map(|path| Some(path.parent()?.to_str().unwrap().to_owned()));
    parents.filter(|parent| !parent.is_empty()).collect()
}

fn kustomize(directory: &Path) -> String {
    run_ok(Command::new(tools().kubectl).arg("kustomize").arg(directory), TIMEOUT * 3).unwrap()
}

/// As somebody would who takes all that `kustomization.yaml` offers.
fn uncommented(text: &str) -> String {
    let uncomment = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        let bare = line.trim_start().strip_prefix("# ");
        let is_setting = |bare: &&str| {
            let bare = bare.trim_start();
            bare.starts_with("- ") || bare.ends_with(':') && !bare.contains(' ') || bare.starts_with("new")
        };
        match bare.filter(is_setting) {
            Some(bare) => format!("{}{bare}\n", &line[..indent]),
            None => format!("{line}\n"),
        }
    };
    text.lines().map(uncomment).collect()
}

#[test]
fn kustomize_takes_the_manifests() {
    let base = kustomize(&root().join(MANIFESTS));
    assert_valid(&base);
    let kinds: BTreeSet<_> =
        documents(&base).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, BTreeSet::from(["Namespace", "ServiceAccount", "DaemonSet"].map(str::to_owned)));

    let scratch = tempfile::tempdir().unwrap();
    let copy = scratch.path().join("kubernetes");
    manifests::copy_directory(&root().join(MANIFESTS), &copy).unwrap();
    let file = copy.join("kustomization.yaml");
    let by_default = fs::read_to_string(&file).unwrap();
    let everything = uncommented(&by_default);
    let named: BTreeSet<String> =
        texts(&yaml(&everything)["components"]).into_iter().map(str::to_owned).collect();
    assert_eq!(named, components());
    fs::write(&file, everything).unwrap();
    let text = kustomize(&copy);
    assert_valid(&text);
    let mut all = documents(&text);
    assert_eq!(all.len(), 13, "{text}");
    let image = &mut pod_mut(&mut all)["containers"][0]["image"];
    assert_eq!(image, "registry.example.com/sni-probe:0.1.0");
    *image = json!("sni-probe:0.1.0");

    // The components change what the chart's values change, and nothing else.
    let mut values = manifests::values();
    values["kube"] = json!({ "enabled": true });
    values["capture"] = json!("af-packet");
    assert_eq!(comparable(all), comparable(rendered(&values)));
}

/// Objects by kind and name, without what is Helm's own.
fn comparable(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let name = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    let without_helm = |mut object: Value| {
        let labels = object["metadata"]["labels"].as_object_mut().unwrap();
        labels.retain(|name, _| name != "helm.sh/chart" && name != "app.kubernetes.io/managed-by");
        if object["kind"] == "DaemonSet" {
            // Their order is of no meaning.
            let variables = &mut object["spec"]["template"]["spec"]["containers"][0]["env"];
            variables.as_array_mut().unwrap().sort_by_key(|variable| variable["name"].to_string());
        }
        (name(&object), object)
    };
    objects.into_iter().map(without_helm).collect()
}

/// From a directory that the manifests do not lie in: kustomize takes no single files from outside of it.
#[test]
fn an_overlay_takes_each_component() {
    let scratch = tempfile::tempdir().unwrap();
    manifests::copy_directory(&root().join(MANIFESTS), &scratch.path().join("kubernetes")).unwrap();
    let overlay = scratch.path().join("mine");
    fs::create_dir(&overlay).unwrap();
    let base = comparable(documents(&kustomize(&root().join(MANIFESTS))));
    for component in components() {
        let file =
            json!({ "resources": ["../kubernetes"], "components": [format!("../kubernetes/{component}")] });
        fs::write(overlay.join("kustomization.yaml"), file.to_string()).unwrap();
        let text = kustomize(&overlay);
        assert_valid(&text);
        let with_it = comparable(documents(&text));
        assert_ne!(with_it, base, "{component} changes nothing");
        let daemon_set = "\"DaemonSet\" \"sni-probe\"";
        let is_change = ["kube", "af-packet"].contains(&&*component);
        assert_eq!(with_it[daemon_set] != base[daemon_set], is_change, "{component}");
        let container = &with_it[daemon_set]["spec"]["template"]["spec"]["containers"][0];
        let added = texts(&container["securityContext"]["capabilities"]["add"]);
        let expected =
            if component == "af-packet" { &["NET_RAW"][..] } else { &["BPF", "NET_ADMIN", "PERFMON"] };
        assert_eq!(added, expected, "{component}");
    }
}

#[test]
fn the_example_of_an_overlay_adapts_what_is_first_adapted() {
    let text = kustomize(&root().join(OVERLAY));
    assert_valid(&text);
    let objects = documents(&text);
    assert_eq!(container(&objects)["image"], "registry.example.com/sni-probe:0.1.0");
    let nodes = json!({ "kubernetes.io/os": "linux", "node-role.example.com/ingress": "true" });
    assert_eq!(pod(&objects)["nodeSelector"], nodes);
    let variables = environment(container(&objects));
    assert!(variables.contains(&("SNI_PROBE_PORT", Some("443"))), "{variables:?}");
    // And not a second time, nor without the others.
    assert_eq!(
        variables.len(),
        environment(container(&documents(&kustomize(&root().join(MANIFESTS))))).len()
    );
    for kind in ["PodMonitor", "PrometheusRule"] {
        let labels = &only(&objects, kind)["metadata"]["labels"];
        assert_eq!(labels["release"], "kube-prometheus-stack", "{kind}");
    }
}

fn pod_mut(objects: &mut [Value]) -> &mut Value {
    let daemon_set = objects.iter_mut().find(|object| object["kind"] == "DaemonSet").unwrap();
    &mut daemon_set["spec"]["template"]["spec"]
}

/// The paths of all values, and that the schema lets nobody name another.
fn leaves(prefix: &str, schema: &Value, values: &Value, found: &mut BTreeSet<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        found.insert(prefix.to_owned());
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{prefix}: the schema lets unknown keys pass");
    for (name, value) in values.as_object().unwrap() {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let schema = properties.get(name).unwrap_or_else(|| panic!("no {path} in the schema"));
        leaves(&path, schema, value, found);
    }
}

#[test]
fn the_table_has_each_value() {
    let schema: Value = serde_json::from_str(&read(chart().join("values.schema.json"))).unwrap();
    let values = yaml(&read(chart().join("values.yaml")));
    let mut expected = BTreeSet::new();
    leaves("", &schema, &values, &mut expected);
    let readme = read(chart().join("README.md"));
    let table = readme.split_once("\n| value | default |").unwrap().1;
    let rows: Vec<String> = table
        .lines()
        .filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(rows.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(rows.len(), expected.len(), "one twice");
    assert!(rows.len() > 80, "{rows:?}");
}

#[test]
fn a_package_has_it_all() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(tools().helm);
    command.arg("package").arg(chart()).arg("--destination").arg(scratch.path());
    let finished = run(&mut command, TIMEOUT * 3).unwrap();
    assert!(finished.success(), "{}", finished.stderr);
    let package = scratch.path().join("sni-probe-0.1.0.tgz");
    let from_package = helm(&["template", "sni-probe"], &package, None, &everything());
    assert!(from_package.success(), "{}", from_package.stderr);
    assert_eq!(from_package.stdout, rendered_text(None, &everything()));
    let list = run_ok(Command::new("tar").arg("tzf").arg(&package), TIMEOUT).unwrap();
    for file in ["README.md", "values.schema.json", "files/sni-probe.json", "values/istio.yaml"] {
        assert!(list.lines().any(|line| line == format!("sni-probe/{file}")), "{file}: {list}");
    }
}
