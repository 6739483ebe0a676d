//! The cluster, which the tests share, and installations of sni-probe in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::cluster::{
    Clients, Cluster, ControlPlane, DEADLINE, GATEWAY_NAME, GATEWAY_NAMESPACE, Gateway, NAMESPACE,
    NODE_ADDRESS, is_ready,
};
use system_tests::dist::Artifacts;
use system_tests::manifests::{CHART, copy_directory};
use system_tests::metrics::Metrics;
use system_tests::netns::http_get;
use system_tests::wait_until;

/// The port of `/metrics`.
pub(crate) const PORT: u16 = 9917;
/// The release, and the DaemonSet.
pub(crate) const RELEASE: &str = "sni-probe";

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// etcd and an API server, of the node if there is one.
pub(crate) fn control_plane() -> &'static ControlPlane {
    static CONTROL_PLANE: OnceLock<ControlPlane> = OnceLock::new();
    // Without an image there is to be no node.
    if Artifacts::from_environment().is_ok() {
        cluster()
    } else {
        CONTROL_PLANE.get_or_init(|| ControlPlane::start().unwrap())
    }
}

/// The node with the image of sni-probe.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::start(ControlPlane::start().unwrap()).unwrap();
        cluster.import(&Artifacts::from_environment().unwrap().image()).unwrap();
        cluster
    })
}

/// The gateway's pod.
pub(crate) fn gateway() -> Gateway {
    Gateway::deploy(cluster()).unwrap()
}

/// A copy of the chart for Kubernetes 1.20, which is older than the chart allows, and knows no `maxSurge` in a
/// `DaemonSet`.
pub(crate) fn chart() -> PathBuf {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    let copy = COPY.get_or_init(|| {
        let copy = cluster().path("chart");
        copy_directory(&root().join(CHART), &copy).unwrap();
        let change = |name: &str, is_kept: fn(&str) -> bool| {
            let path = copy.join(name);
            let text = fs::read_to_string(&path).unwrap();
            let kept: Vec<&str> = text.lines().filter(|line| is_kept(line)).collect();
            assert_eq!(kept.len() + 1, text.lines().count(), "{name}");
            fs::write(path, kept.join("\n") + "\n").unwrap();
        };
        change("Chart.yaml", |line| !line.starts_with("kubeVersion:"));
        change("templates/daemonset.yaml", |line| !line.contains("maxSurge:"));
        copy
    });
    copy.clone()
}

/// A release of the chart, uninstalled at the end.
pub(crate) struct Release;

impl Release {
    /// Installs the chart with these values and waits until the pod is ready.
    pub(crate) fn install(values: &Value) -> Self {
        let release = Self;
        release.upgrade(values);
        release
    }

    /// `helm upgrade --install`, and waits until the pod is ready.
    #[expect(clippy::unused_self, reason = "a release is there to be changed, and goes with this")]
    pub(crate) fn upgrade(&self, values: &Value) {
        let values = cluster().write("values.json", &values.to_string()).unwrap();
        let chart = chart();
        let words = ["upgrade", "--install", RELEASE, chart.to_str().unwrap(), "--values", &values];
        make_namespace();
        cluster().helm(&[&words[..], &["--namespace", NAMESPACE]].concat()).unwrap();
        wait_for_daemon_set();
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        cluster().try_helm(&["uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found"]).ok();
        wait_for_no_pod();
    }
}

/// The namespace of sni-probe, which `helm install` does not make.
pub(crate) fn make_namespace() {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    // As the manifests are applied, which would warn of another way.
    let file = cluster().write("namespace.json", &namespace.to_string()).unwrap();
    cluster().kubectl(&["apply", "-f", &file]).unwrap();
}

/// Waits until all pods are those of the last change, and ready.
pub(crate) fn wait_for_daemon_set() {
    let words = ["-n", NAMESPACE, "rollout", "status", "daemonset/sni-probe"];
    if let Err(error) = cluster().kubectl_waiting(&words) {
        let said = |words: &[&str]| cluster().kubectl(words).unwrap_or_default();
        let pods = said(&["-n", NAMESPACE, "describe", "pods"]);
        let log = said(&["-n", NAMESPACE, "logs", "daemonset/sni-probe"]);
        panic!("{error:#}\n{pods}\n{log}");
    }
}

/// Waits until no pod of sni-probe is left. Does not fail: it is called while a test fails.
pub(crate) fn wait_for_no_pod() {
    let is_gone = || Ok(cluster().pods(NAMESPACE)?.is_empty().then_some(()));
    if let Err(error) = wait_until("the end of sni-probe's pods", DEADLINE, is_gone) {
        eprintln!("{error:#}");
    }
}

/// The one pod of sni-probe that is ready.
pub(crate) fn pod() -> String {
    wait_until("sni-probe's pod", DEADLINE, || {
        let pods = cluster().pods(NAMESPACE)?;
        let ready = pods.iter().find(|pod| is_ready(pod));
        Ok(ready.and_then(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned))
    })
    .unwrap()
}

/// The log of sni-probe, or why there is none.
pub(crate) fn log() -> String {
    let log = cluster().kubectl(&["-n", NAMESPACE, "logs", "daemonset/sni-probe"]);
    log.unwrap_or_else(|error| format!("{error:#}"))
}

/// Scrapes the node's daemon.
pub(crate) fn scrape() -> anyhow::Result<Metrics> {
    let (status, body) = http_get((NODE_ADDRESS, PORT).into(), "/metrics")?;
    anyhow::ensure!(status == 200, "/metrics: {status}");
    Metrics::parse(&body)
}

/// Polls `/metrics` until `condition` holds. An endpoint that does not answer is waited for as well.
#[track_caller]
pub(crate) fn wait_for_metrics(
    what: &str,
    deadline: Duration,
    condition: impl Fn(&Metrics) -> bool,
) -> Metrics {
    let mut last = Metrics::default();
    let result = wait_until(what, deadline, || {
        let Ok(metrics) = scrape() else { return Ok(None) };
        last = metrics;
        Ok(condition(&last).then(|| last.clone()))
    });
    result.unwrap_or_else(|error| panic!("{error:#}\n{:#?}\n{}", last.nonzero(), log()))
}

/// The daemon's count of such clients, with names of pods or without.
pub(crate) fn counted(metrics: &Metrics) -> Clients {
    let count = |outcome, sni| {
        let labels = [("outcome", outcome), ("sni", sni)];
        metrics.count("sni_probe_handshakes_total", &labels)
    };
    let answered = system_tests::ANSWERED_OUTCOMES.map(|outcome| count(outcome, "present"));
    Clients {
        served: answered.iter().sum(),
        without: count("reset_by_gateway", "absent"),
        unknown: count("reset_by_gateway", "present"),
    }
}

/// The same of the gateway's Deployment only.
pub(crate) fn counted_by_name(metrics: &Metrics) -> u64 {
    let labels = [("gateway", GATEWAY_NAME), ("gateway_namespace", GATEWAY_NAMESPACE)];
    metrics.count("sni_probe_handshakes_total", &labels)
}

/// Sends clients to the gateway, and waits until the daemon has counted all since `before`, and none besides.
#[track_caller]
pub(crate) fn assert_counts(gateway: &Gateway, before: Clients, clients: Clients) -> Metrics {
    gateway.visit(cluster(), clients).unwrap();
    let all = Clients {
        served: before.served + clients.served,
        without: before.without + clients.without,
        unknown: before.unknown + clients.unknown,
    };
    let metrics = wait_for_metrics("the clients", DEADLINE, |metrics| counted(metrics) == all);
    let total = metrics.count("sni_probe_handshakes_total", &[]);
    assert_eq!(total, all.served + all.without + all.unknown, "{:#?}", metrics.nonzero());
    metrics
}
