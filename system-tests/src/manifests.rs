//! What of `deploy/` is made from other files: `cargo xtask manifests` writes it, a test sees that it is up to date.
//!
//! ```text
//!  deploy/prometheus/sni-probe.rules.yaml ─┐
//!  deploy/grafana/sni-probe.json ──────────┴─▶ files/ of the chart ─┐
//!  values.yaml, values.schema.json ──────────▶ README.md of it      ├─▶ deploy/kubernetes/*.yaml
//!  templates/ ──────────────────────────────────────────────────────┘
//! ```
//!
//! Copies in the chart rather than links to the files: a checkout on Windows has no links, and some controllers that take a
//! chart from a repository follow none that leave it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::deploy::DeployTools;
use crate::process::run_ok;

/// The chart, from the root of the repository.
pub const CHART: &str = "deploy/helm/sni-probe";
/// The manifests for people without Helm.
pub const MANIFESTS: &str = "deploy/kubernetes";
/// An overlay on them, written by hand.
pub const OVERLAY: &str = "deploy/kubernetes-example";

const TIMEOUT: Duration = Duration::from_mins(1);
const RULES: &str = "deploy/prometheus/sni-probe.rules.yaml";
const DASHBOARD: &str = "deploy/grafana/sni-probe.json";
const TABLE_BEGIN: &str = "<!-- values: made by `cargo xtask manifests` -->\n";
const TABLE_END: &str = "<!-- end of values -->";
const HEADER: &str =
    "# Made from the Helm chart by `cargo xtask manifests`: change deploy/helm/sni-probe, not this file.\n";
const DAEMONSET_HEADER: &str = "# What to adapt first (the image, the node selector, the ports) goes into an overlay: ../kubernetes-example has one.\n";

/// Each manifest, and the template that it is made from. What lies in a directory is a component, which an overlay of
/// somebody's own can name: kustomize takes directories from outside of it, and no single files.
const RENDERED: [(&str, &str); 11] = [
    ("namespace.yaml", "namespace.yaml"),
    ("serviceaccount.yaml", "serviceaccount.yaml"),
    ("daemonset.yaml", "daemonset.yaml"),
    ("podmonitor/podmonitor.yaml", "podmonitor.yaml"),
    ("prometheusrule/prometheusrule.yaml", "prometheusrule.yaml"),
    ("podmonitoring/podmonitoring.yaml", "podmonitoring.yaml"),
    ("gmprules/gmprules.yaml", "gmprules.yaml"),
    ("dashboard/dashboard.yaml", "dashboard.yaml"),
    ("networkpolicy/networkpolicy.yaml", "networkpolicy.yaml"),
    ("rbac-routes/rbac-routes.yaml", "rbac-routes.yaml"),
    ("kube/rbac.yaml", "rbac.yaml"),
];

/// Values of the manifests: everything that a manifest is made of, and the node pool of Apigee hybrid.
pub fn values() -> Value {
    let on = || json!({ "enabled": true });
    json!({
        "namespace": { "create": true },
        "nodeSelector": { "cloud.google.com/gke-nodepool": "apigee-runtime" },
        "rbac": { "routes": on() },
        "podMonitor": on(),
        "podMonitoring": on(),
        "prometheusRule": on(),
        "gmpRules": on(),
        "dashboard": on(),
        "networkPolicy": on(),
    })
}

/// Values with which the chart makes all that it can.
const EVERYTHING: &str = r#"
image: {repository: "registry.example.com:5000/a/sni-probe", digest: DIGEST}
imagePullSecrets: [{name: registry}]
namespace: {create: true}
interfaces: [gw0]
orientation: nic
mirrorPort: true
decapsulate: [vxlan, ipip]
capture: tc
attach: tcx
keepPrivileges: true
handshakeTimeout: 20s
follow: hello
clientLabel: hash
clientHashKey: {existingSecret: sni-probe-hash}
topClients: 50
clientIdle: 2h
expectedNonSni: [gcp-lb, 192.0.2.0/24, "2001:db8::/32", 198.51.100.7]
kube: {enabled: true}
rbac:
  routes:
    enabled: true
    subjects: [{kind: Group, name: sre@example.com}, {kind: ServiceAccount, name: ci, namespace: ci}]
serviceAccount: {annotations: {example.com/a: b}}
events: {enabled: true, filter: [missing, reset_by_gateway], rate: 10, clientRandom: true, file: {enabled: true}}
evidence: {enabled: true, handshakes: 7, bytes: 1MiB, volume: {hostPath: /var/lib/sni-probe}}
listen: {address: "::", port: 9918}
web:
  enabled: false
  auth: {existingSecret: sni-probe-users, probeAuthorization: AUTHORIZATION}
  tls: {existingSecret: sni-probe-tls}
log: {format: text, level: "warn,sni_probe=debug"}
capabilities: {add: [NET_RAW]}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: [a, b]}]}]
priorityClassName: system-node-critical
updateStrategy: {maxUnavailable: 10%}
commonLabels: {team: edge}
podLabels: {a: b}
podAnnotations: {c: d}
extraArgs: [--client-subnet-v4, "20"]
extraEnv: [{name: TZ, value: UTC}]
extraVolumes: [{name: x, emptyDir: {}}]
extraVolumeMounts: [{name: x, mountPath: /x}]
podMonitor:
  enabled: true
  labels: {release: prometheus}
  scrapeTimeout: 10s
  basicAuth: {existingSecret: sni-probe-scrape}
  tls: {caSecret: sni-probe-ca, serverName: sni-probe.example.com}
podMonitoring:
  enabled: true
  scrapeTimeout: 10s
  basicAuth: {existingSecret: sni-probe-scrape, username: scraper}
  tls: {caSecret: sni-probe-ca, serverName: sni-probe.example.com}
rules: {disabled: [SniProbeDown], alertLabels: {team: edge}, runbookUrl: "https://example.com/r"}
prometheusRule: {enabled: true, labels: {release: prometheus}}
gmpRules: {enabled: true, kind: ClusterRules}
dashboard: {enabled: true, annotations: {grafana_folder: TLS}, namespace: monitoring}
networkPolicy:
  enabled: true
  from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  apiServer: {cidrs: [10.0.0.1/32]}
"#;

/// "correct horse" of the user `scraper`, as a header of HTTP.
pub const AUTHORIZATION: &str = "Basic c2NyYXBlcjpjb3JyZWN0IGhvcnNl";
/// The same as `htpasswd -B` makes it.
pub const USERS: &str = "scraper:$2y$04$wysqXixDlBz2.3JHZ6O/kOy8zo2exo3aLQ2VKb3LkOPofRB6gD6va\n";

/// Values with which the chart makes all that it can.
///
/// # Panics
/// Never: the text is YAML.
pub fn everything() -> Value {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let text = EVERYTHING.replace("DIGEST", &digest).replace("AUTHORIZATION", AUTHORIZATION);
    serde_saphyr::from_str(&text).expect("YAML")
}

/// All files that are made, by their paths from the root.
///
/// # Errors
/// When a source is missing or is none, or Helm refuses the chart.
pub fn make(root: &Path, tools: &DeployTools) -> Result<BTreeMap<PathBuf, String>> {
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"));
    let chart = Path::new(CHART);
    let mut made = BTreeMap::new();
    made.insert(chart.join("files/sni-probe.rules.yaml"), read(RULES)?);
    made.insert(chart.join("files/sni-probe.json"), minify(&read(DASHBOARD)?));

    let schema = serde_json::from_str(&read(&format!("{CHART}/values.schema.json"))?)
        .context("values.schema.json is no JSON")?;
    let values =
        serde_saphyr::from_str(&read(&format!("{CHART}/values.yaml"))?).context("values.yaml is no YAML")?;
    let readme = read(&format!("{CHART}/README.md"))?;
    made.insert(chart.join("README.md"), with_table(&readme, &table(&schema, &values)?)?);

    // Of the files as they are to be, which are not necessarily those that lie there.
    let scratch = tempfile::tempdir().context("making a directory")?;
    let copy = scratch.path().join("sni-probe");
    copy_directory(&root.join(CHART), &copy)?;
    for (path, text) in &made {
        let path = copy.join(path.strip_prefix(CHART)?);
        fs::create_dir_all(path.parent().context("a file in no directory")?)?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let values_file = scratch.path().join("values.json");
    for (manifest, template) in RENDERED {
        fs::write(&values_file, values_of(manifest).to_string())?;
        let mut command = Command::new(&tools.helm);
        command.args(["template", "sni-probe"]).arg(&copy).args(["--namespace", "sni-probe", "--values"]);
        command.arg(&values_file).args(["--show-only", &format!("templates/{template}")]);
        let text = run_ok(&mut command, TIMEOUT).with_context(|| format!("rendering {template}"))?;
        made.insert(Path::new(MANIFESTS).join(manifest), as_manifest(manifest, &text));
    }
    Ok(made)
}

fn values_of(manifest: &str) -> Value {
    let mut values = values();
    // The rest is without names from Kubernetes: a component adds them.
    if manifest.starts_with("kube/") {
        values["kube"] = json!({ "enabled": true });
    }
    values
}

/// What Helm printed, without what is Helm's own.
fn as_manifest(name: &str, text: &str) -> String {
    let is_ours = |line: &&str| {
        !line.starts_with("# Source: ")
            && line.trim() != "app.kubernetes.io/managed-by: Helm"
            && !line.trim_start().starts_with("helm.sh/chart: ")
    };
    // No template has an empty line; Helm puts them between documents.
    let is_text = |line: &&str| !line.is_empty();
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(is_ours).filter(is_text).collect();
    let header = if name == "daemonset.yaml" { DAEMONSET_HEADER } else { "" };
    format!("{HEADER}{header}{}\n", lines.join("\n").trim_start_matches("---\n"))
}

/// JSON without the blanks between its tokens.
fn minify(json: &str) -> String {
    let (mut is_string, mut is_escaped) = (false, false);
    let keep = |character: &char| {
        if is_string {
            is_string = is_escaped || *character != '"';
            is_escaped = !is_escaped && *character == '\\';
            true
        } else {
            is_string = *character == '"';
            !character.is_ascii_whitespace()
        }
    };
    let mut minified: String = json.chars().filter(keep).collect();
    minified.push('\n');
    minified
}

/// A row for each value: the schema says what there is and what it is for, the values how it is by default.
fn table(schema: &Value, values: &Value) -> Result<String> {
    let mut rows = String::from("| value | default | what it is |\n|---|---|---|\n");
    add_rows(&mut rows, "", schema, values)?;
    Ok(rows)
}

fn add_rows(rows: &mut String, prefix: &str, schema: &Value, values: &Value) -> Result<()> {
    let properties = schema["properties"].as_object().context("an object without properties")?;
    let known = values.as_object().with_context(|| format!("values.yaml: {prefix} is no object"))?;
    // By name: serde_json does not keep the order of the file.
    for (name, schema) in properties {
        let path = format!("{prefix}{name}");
        if path == "global" {
            continue;
        }
        let value = known.get(name).with_context(|| format!("values.yaml: no {path}"))?;
        if schema["properties"].is_object() {
            add_rows(rows, &format!("{path}."), schema, value)?;
        } else {
            let what = schema["description"].as_str();
            let what = what.with_context(|| format!("values.schema.json: {path} has no description"))?;
            ensure!(!what.contains('|'), "values.schema.json: {path}: a | in the description");
            // Writing to a `String` cannot fail.
            let _ = writeln!(rows, "| `{path}` | `{value}` | {what} |");
        }
    }
    for name in known.keys() {
        ensure!(properties.contains_key(name), "values.schema.json: no {prefix}{name}");
    }
    Ok(())
}

fn with_table(readme: &str, table: &str) -> Result<String> {
    let (before, rest) =
        readme.split_once(TABLE_BEGIN).context("README.md: no begin of the table of values")?;
    let (_, after) = rest.split_once(TABLE_END).context("README.md: no end of the table of values")?;
    Ok(format!("{before}{TABLE_BEGIN}\n{table}\n{TABLE_END}{after}"))
}

/// Copies a directory with what is in it.
///
/// # Errors
/// When something cannot be read or written.
pub fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::minify;

    #[test]
    fn blanks_in_strings_stay() {
        let json = "{ \"a b\\\" c\" : [1,\n\t\"\\\\\" , \" \"] }\n";
        assert_eq!(minify(json), "{\"a b\\\" c\":[1,\"\\\\\",\" \"]}\n");
    }
}
