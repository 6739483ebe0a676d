#!/usr/bin/env bash
# blackbox_exporter describes a server's certificate by the labels of `probe_ssl_last_chain_info`. The crate prometheus-parse
# reads such a line. The values have commas and equals signs, as names in certificates do. The text format allows them.
#
# Expected: the labels as they are, or an error.
# prometheus-parse 0.2.5: it splits the labels at every comma and equals sign, also inside quotation marks.
# - `subjectalternative` is cut to the first of its names.
# - `subject` has no comma, but is missing as well: an equals sign is enough.
# - `issuer` is missing. The part after its comma is a label of its own (`O`), which the exporter never sent.
# - A sample with a closing brace in a value is missing as a whole.
# There is no error. A program that compares the names in certificates with the names that clients send knows only the first
# name of each certificate.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
prometheus-parse = "=0.2.5"
TOML
cat > "$folder/src/main.rs" <<'RUST'
use prometheus_parse::Scrape;

const TEXT: &str = r#"# TYPE probe_ssl_last_chain_info gauge
probe_ssl_last_chain_info{issuer="CN=CA one,O=Example",subject="CN=a.example",subjectalternative="a.example,b.example"} 1
# TYPE handshakes_total counter
handshakes_total{client="plain"} 2
handshakes_total{client="agent {one}"} 3
"#;

fn main() {
    let scrape = Scrape::parse(TEXT.lines().map(|line| Ok(line.to_owned()))).unwrap();
    for sample in scrape.samples {
        println!("{}: {}", sample.metric, sample.labels);
    }
}
RUST
seen=$(cargo run --quiet --manifest-path "$folder/Cargo.toml")
echo "$seen"
# Seen:
expected='probe_ssl_last_chain_info: O="Example",subjectalternative="a.example"
handshakes_total: client="plain"'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
