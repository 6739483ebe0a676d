//! The rules of `deploy/prometheus`: promtool finds no fault with them and runs their tests; each alert says how bad it is and
//! has a runbook, each is tested firing and silent, and all that they and the runbooks ask for is in docs/metrics.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sni_probe_core::vocabulary::{AlertDescription, Label as _};
use system_tests::process::{run, run_ok};

/// promtool's own tests hold 26 hours; they take seconds.
const DEADLINE: Duration = Duration::from_mins(5);

const RUNBOOKS: &str = "https://github.com/sni-probe/sni-probe/blob/main/docs/runbooks";
const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];
/// Labels that come with the target, or from the cluster.
const TARGET_LABELS: [&str; 6] = ["cluster", "namespace", "node", "instance", "pod", "job"];
/// What Prometheus itself writes.
const BUILT_IN: [&str; 1] = ["up"];

#[test]
fn promtool_finds_no_fault_with_the_rules() {
    let mut command = Command::new("promtool");
    command.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(rules_file());
    run_ok(&mut command, DEADLINE).unwrap();
}

#[test]
fn the_rules_do_what_their_tests_say() {
    let mut command = Command::new("promtool");
    command.args(["test", "rules"]).args(test_files());
    let finished = run(&mut command, DEADLINE).unwrap();
    assert!(finished.success(), "{}{}", finished.stdout, finished.stderr);
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    let overview = fs::read_to_string(root().join("docs/alerts.md")).unwrap();
    let mut runbooks = BTreeSet::new();
    for (name, rule) in alerts() {
        // More labels would be part of the alert's identity, and may change while it fires.
        let labels: Vec<_> = rule["labels"].as_object().unwrap().keys().collect();
        assert_eq!(labels, ["severity"], "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(SEVERITIES.contains(&severity), "{name}: {severity}");
        let duration = rule["for"].as_str();
        assert!(duration.is_some_and(|text| text.starts_with(|char: char| char.is_ascii_digit())), "{name}");

        let annotations = rule["annotations"].as_object().unwrap();
        let keys: BTreeSet<_> = annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(["description", "runbook_url", "summary"]), "{name}");
        assert!(annotations.values().all(|text| !text.as_str().unwrap().trim().is_empty()), "{name}");
        assert_eq!(annotations["runbook_url"], format!("{RUNBOOKS}/{name}.md"));
        let file = format!("{name}.md");
        let runbook = fs::read_to_string(runbooks_directory().join(&file))
            .unwrap_or_else(|error| panic!("docs/runbooks/{file}: {error}"));
        assert_eq!(runbook.lines().next(), Some(format!("# {name}").as_str()), "{file}");
        runbooks.insert(file);

        let row = format!("| [`{name}`](runbooks/{name}.md) | {severity} |");
        assert!(overview.contains(&row), "docs/alerts.md has no row {row}");
    }
    assert_eq!(runbooks.len(), 11, "{runbooks:?}");
    let files = fs::read_dir(runbooks_directory()).unwrap();
    let files: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, runbooks, "a runbook without an alert");

    for record in records() {
        assert!(overview.contains(&format!("| `{record}` |")), "docs/alerts.md has no row of {record}");
    }
}

#[test]
fn alertmanager_takes_the_documented_configuration() {
    let overview = fs::read_to_string(root().join("docs/alerts.md")).unwrap();
    let section = overview.split_once("\n## Alertmanager\n").unwrap().1;
    let configuration = section.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("alertmanager.yml");
    fs::write(&file, configuration).unwrap();
    let said = run_ok(Command::new("amtool").arg("check-config").arg(&file), DEADLINE).unwrap();
    assert!(said.contains("4 inhibit rules") && said.contains("3 receivers"), "{said}");
}

#[test]
fn every_alert_is_tested_firing_and_silent() {
    let mut firing = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for file in test_files() {
        let document = read_yaml(&file);
        for group in document["tests"].as_array().unwrap() {
            for test in group["alert_rule_test"].as_array().into_iter().flatten() {
                let name = test["alertname"].as_str().unwrap().to_owned();
                let fires = !test["exp_alerts"].as_array().unwrap().is_empty();
                if fires {
                    firing.insert(name)
                } else {
                    silent.insert(name)
                };
            }
        }
    }
    let names: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(firing, names, "alerts with a test in which they fire");
    assert_eq!(silent, names, "alerts with a test in which they do not");
}

#[test]
fn rules_and_their_documents_ask_only_for_what_there_is() {
    let reference = Reference::read();
    for rule in all_rules() {
        reference.check(rule["expr"].as_str().unwrap());
        for text in rule["annotations"].as_object().into_iter().flat_map(|annotations| annotations.values()) {
            for query in queries_of_template(text.as_str().unwrap()) {
                reference.check(&query);
            }
        }
    }

    let documented = documented_queries();
    assert!(documented.len() > 10, "{documented:#?}");
    let rules: Vec<_> = documented
        .iter()
        .enumerate()
        .map(|(index, query)| json!({ "record": format!("documented:{index}"), "expr": query }))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("documented.yaml");
    // JSON is YAML.
    let text = json!({ "groups": [{ "name": "documented", "rules": rules }] });
    fs::write(&file, text.to_string()).unwrap();
    run_ok(Command::new("promtool").args(["check", "rules"]).arg(&file), DEADLINE).unwrap();
    for query in documented {
        reference.check(&query);
    }
}

#[test]
fn a_query_for_what_there_is_not_is_found() {
    let reference = Reference::read();
    for (query, fault) in [
        ("rate(sni_probe_handshake_total[5m])", "no metric sni_probe_handshake_total"),
        ("sum by (gate) (up)", "no label gate"),
        (r#"sni_probe_attached{outcome="alert"}"#, "sni_probe_attached has no label outcome"),
        (r#"sni_probe_handshakes_total{outcome=~"alert|reset"}"#, "outcome is never reset"),
        (r#"sni_probe_alerts_total{description="unknown_name"}"#, "description is never unknown_name"),
        ("a:sni_probe_handshakes:rate5m", "no metric a:sni_probe_handshakes:rate5m"),
    ] {
        assert_eq!(reference.fault(query).as_deref(), Some(fault), "{query}");
    }
    let fine = r#"max by (instance, hook) (rate(sni_probe_handshakes_total{sni!~"absent|empty"}[5m] offset 1h)) > bool 3"#;
    assert_eq!(reference.fault(fine), None);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rules_file() -> PathBuf {
    root().join("deploy/prometheus/sni-probe.rules.yaml")
}

fn runbooks_directory() -> PathBuf {
    root().join("docs/runbooks")
}

fn test_files() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("deploy/prometheus/tests")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert!(files.len() > 3, "{files:?}");
    files
}

fn read_yaml(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn all_rules() -> Vec<Value> {
    let document = read_yaml(&rules_file());
    let groups = document["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).cloned().collect()
}

fn alerts() -> Vec<(String, Value)> {
    let rules = all_rules().into_iter();
    rules.filter_map(|rule| Some((rule["alert"].as_str()?.to_owned(), rule))).collect()
}

fn records() -> Vec<String> {
    all_rules().iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect()
}

/// The queries that a template makes: `printf "sni_probe_…{client=%q}" … | query`.
fn queries_of_template(template: &str) -> Vec<String> {
    let queries = template.split("printf \"").skip(1).map(|rest| {
        let end = rest.match_indices('"').find(|(at, _)| !rest[..*at].ends_with('\\')).unwrap().0;
        rest[..end].replace("\\\"", "\"").replace("%q", "\"\"")
    });
    queries.filter(|text| text.contains("sni_probe_")).collect()
}

/// The blocks of `PromQL` in the runbooks and in docs/alerts.md.
fn documented_queries() -> Vec<String> {
    let files = fs::read_dir(runbooks_directory()).unwrap().map(|file| file.unwrap().path());
    let mut queries = Vec::new();
    for file in files.chain([root().join("docs/alerts.md")]) {
        let text = fs::read_to_string(&file).unwrap();
        let blocks = text.split("```promql\n").skip(1);
        queries.extend(blocks.map(|rest| rest.split_once("```").unwrap().0.to_owned()));
    }
    queries
}

/// What docs/metrics.md says that there is, and what the rules add.
struct Reference {
    /// Labels of each metric, with the values that they may have; none where those are free.
    metrics: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    records: BTreeSet<String>,
}

impl Reference {
    fn read() -> Self {
        let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
        let mut metrics: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("### `").and_then(|rest| rest.strip_suffix('`')) {
                metrics.insert(name.to_owned(), BTreeMap::new());
                current = Some(name.to_owned());
            } else if line.starts_with("Histogram.") {
                let base = current.clone().unwrap();
                let bucket = format!("{base}_bucket");
                metrics.insert(bucket.clone(), BTreeMap::from([("le".to_owned(), BTreeSet::new())]));
                current = Some(bucket);
            } else if let Some(row) = line.strip_prefix("| `") {
                let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
                let (name, value) = (cells.next().unwrap().to_owned(), cells.next().unwrap());
                if name.starts_with("process_") {
                    metrics.insert(name, BTreeMap::new());
                } else if let Some(current) = &current {
                    let labels = metrics.get_mut(current).unwrap();
                    let values = labels.entry(name).or_default();
                    if !value.is_empty() {
                        values.insert(value.to_owned());
                    }
                }
            }
        }
        assert!(metrics.len() > 40, "{:?}", metrics.keys());
        let descriptions = AlertDescription::ALL.iter().map(|description| description.as_str().to_owned());
        let descriptions: BTreeSet<_> = descriptions.collect();
        for known in metrics.values_mut().filter_map(|labels| labels.get_mut("description")) {
            known.clone_from(&descriptions);
        }
        for metric in BUILT_IN {
            metrics.insert(metric.to_owned(), BTreeMap::new());
        }
        Self { metrics, records: records().into_iter().collect() }
    }

    #[track_caller]
    fn check(&self, query: &str) {
        assert_eq!(self.fault(query), None, "{query}");
    }

    /// What a query asks for that there is not.
    fn fault(&self, query: &str) -> Option<String> {
        let tokens = tokens(query);
        let mut at = 0;
        while at < tokens.len() {
            let next = tokens.get(at + 1);
            match &tokens[at] {
                Token::Word(word)
                    if LISTS_FOLLOW.contains(&word.as_str()) && next == Some(&Token::Symbol('(')) =>
                {
                    at += 2;
                    while let Some(Token::Word(label)) = tokens.get(at) {
                        if !self.is_label(label) {
                            return Some(format!("no label {label}"));
                        }
                        at += if tokens.get(at + 1) == Some(&Token::Symbol(',')) { 2 } else { 1 };
                    }
                }
                Token::Word(word) if is_metric(word, next) => {
                    let known = self.metrics.get(word);
                    if known.is_none() && !self.records.contains(word) {
                        return Some(format!("no metric {word}"));
                    }
                    if next == Some(&Token::Symbol('{')) {
                        let end =
                            at + tokens[at..].iter().position(|token| *token == Token::Symbol('}')).unwrap();
                        let fault = self.fault_of_matchers(word, &tokens[at + 2..end]);
                        if fault.is_some() {
                            return fault;
                        }
                        at = end;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        None
    }

    /// Of `label="value", …`, as tokens.
    fn fault_of_matchers(&self, metric: &str, tokens: &[Token]) -> Option<String> {
        for matcher in tokens.split(|token| *token == Token::Symbol(',')) {
            let [Token::Word(label), operator @ .., Token::Text(value)] = matcher else {
                panic!("not a matcher: {matcher:?}");
            };
            if TARGET_LABELS.contains(&label.as_str()) {
                continue;
            }
            let mut values = BTreeSet::new();
            if let Some(labels) = self.metrics.get(metric) {
                let Some(known) = labels.get(label) else {
                    return Some(format!("{metric} has no label {label}"));
                };
                values.extend(known);
            } else if self.is_label(label) {
                values.extend(self.metrics.values().filter_map(|labels| labels.get(label)).flatten());
            } else {
                return Some(format!("no label {label}"));
            }
            let is_pattern = operator.contains(&Token::Symbol('~'));
            let wanted = value.split(|char| is_pattern && char == '|').map(str::to_owned);
            let unknown = wanted.filter(|wanted| !values.is_empty() && !values.contains(wanted));
            if let Some(value) = unknown.into_iter().next() {
                return Some(format!("{label} is never {value}"));
            }
        }
        None
    }

    fn is_label(&self, name: &str) -> bool {
        TARGET_LABELS.contains(&name) || self.metrics.values().any(|labels| labels.contains_key(name))
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    /// A name, a keyword, a number, a duration.
    Word(String),
    /// What is between quotes.
    Text(String),
    Symbol(char),
}

/// Words after which a list of labels comes.
const LISTS_FOLLOW: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const KEYWORDS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// Whether the word is a metric's name, and not a keyword, a function, an aggregation, a number or a duration.
fn is_metric(word: &str, next: Option<&Token>) -> bool {
    let is_called = match next {
        Some(Token::Symbol('(')) => true,
        Some(Token::Word(word)) => word == "by" || word == "without",
        _ => false,
    };
    !is_called && !KEYWORDS.contains(&word) && !word.starts_with(|first: char| first.is_ascii_digit())
}

/// A part of `PromQL` that is enough for what is asked here: no comments, no escapes but those of quotes.
fn tokens(query: &str) -> Vec<Token> {
    let is_word = |char: char| char.is_ascii_alphanumeric() || "_:.".contains(char);
    let mut tokens = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let end = rest[1..].find('"').unwrap() + 1;
            tokens.push(Token::Text(rest[1..end].to_owned()));
            end + 1
        } else if is_word(first) {
            let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            end
        } else {
            tokens.push(Token::Symbol(first));
            first.len_utf8()
        };
        rest = rest[length..].trim_start();
    }
    tokens
}
