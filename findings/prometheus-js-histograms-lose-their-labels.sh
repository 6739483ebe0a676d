#!/usr/bin/env bash
# A histogram of handshake times has a label for the gateway, with two values. Two parsers read its Prometheus text, which is
# valid.
#
# Expected: two histograms, each with its label, its sum and its count.
# parse-prometheus-text-format 1.1.1 (npm): one histogram without a label. Its buckets are those of the series that came
# last; the first series, the sums and the counts are gone, without an error. The labels of its counters are right.
# prometheus_client 0.26.0 (PyPI) keeps all eight samples. Its code for samples was ported to the npm package, says its README.
# A check of handshake times with the npm package sees those of one gateway only, and cannot tell of which.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --silent --no-audit --no-fund --prefix "$folder" parse-prometheus-text-format@1.1.1
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet prometheus_client==0.26.0
cat > "$folder/metrics" <<'TEXT'
# HELP handshakes_total TLS handshakes.
# TYPE handshakes_total counter
handshakes_total{gateway="one"} 2
handshakes_total{gateway="two"} 7
# HELP handshake_seconds Time of TLS handshakes.
# TYPE handshake_seconds histogram
handshake_seconds_bucket{gateway="one",le="0.1"} 1
handshake_seconds_bucket{gateway="one",le="+Inf"} 2
handshake_seconds_sum{gateway="one"} 3
handshake_seconds_count{gateway="one"} 2
handshake_seconds_bucket{gateway="two",le="0.1"} 5
handshake_seconds_bucket{gateway="two",le="+Inf"} 7
handshake_seconds_sum{gateway="two"} 9
handshake_seconds_count{gateway="two"} 7
TEXT
cat > "$folder/main.js" <<'JS'
const { readFileSync } = require('fs');
const parse = require('parse-prometheus-text-format');

for (const family of parse(readFileSync(process.argv[2], 'utf8'))) console.log(family.type, JSON.stringify(family.metrics));
JS
cat > "$folder/main.py" <<'PYTHON'
import sys

from prometheus_client.parser import text_string_to_metric_families

for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    gateways = [sample.labels.get("gateway") for sample in family.samples]
    print(family.type, {gateway: gateways.count(gateway) for gateway in gateways})
PYTHON
seen=$(
    echo npm
    node "$folder/main.js" "$folder/metrics"
    echo PyPI
    "$folder/venv/bin/python" "$folder/main.py" "$folder/metrics"
)
echo "$seen"
# Seen:
expected='npm
COUNTER [{"value":"2","labels":{"gateway":"one"}},{"value":"7","labels":{"gateway":"two"}}]
HISTOGRAM [{"buckets":{"0.1":"5","+Inf":"7"}}]
PyPI
counter {'"'one': 1, 'two': 1"'}
histogram {'"'one': 4, 'two': 4"'}'
[ "$seen" = "$expected" ] || { echo 'this has changed' >&2; exit 1; }
