#!/usr/bin/env bash
# podman and CRI-O give a container the seccomp profile of containers-common. May a container with CAP_BPF call bpf(2)?
#
# In version 0.50.1 (Debian 12) no: bpf and perf_event_open are in the rule for CAP_SYS_ADMIN, and another rule answers
# EPERM to every container without CAP_SYS_ADMIN. CAP_BPF and CAP_PERFMON, which Linux 5.8 took out of CAP_SYS_ADMIN so that
# such programs need less, do not occur in the profile at all. The answer is the kernel's own for a missing capability, so a
# program cannot tell the profile from it: capget(2) shows CAP_BPF, and bpf(2) says EPERM. The profile of
# containers-common 0.62.2 (Debian 13) has a rule for CAP_BPF.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download golang-github-containers-common=0.50.1+ds1-4
dpkg-deb -x golang-github-containers-common_*.deb .
cat > rules.py <<'PY'
import json

profile = json.load(open("usr/share/containers/seccomp.json"))
for rule in profile["syscalls"]:
    if "bpf" in rule["names"]:
        condition = {key: value for key in ("includes", "excludes") for value in [rule.get(key, {}).get("caps")] if value}
        print("bpf:", rule["action"], condition, rule.get("errno"))
for capability in "CAP_SYS_ADMIN", "CAP_BPF", "CAP_PERFMON":
    print(capability, "occurs" if capability in json.dumps(profile) else "does not occur")
PY
python3 rules.py | tee output
cat > expected <<'TEXT'
bpf: SCMP_ACT_ALLOW {'includes': ['CAP_SYS_ADMIN']} None
bpf: SCMP_ACT_ERRNO {'excludes': ['CAP_SYS_ADMIN']} EPERM
CAP_SYS_ADMIN occurs
CAP_BPF does not occur
CAP_PERFMON does not occur
TEXT
diff expected output
