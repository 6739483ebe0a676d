{{/*
What a schema cannot say: values that contradict each other. Each message names the values.
*/}}
{{- define "sni-probe.checks" -}}
{{- $v := .Values -}}
{{- $mode := include "sni-probe.capabilitiesMode" . -}}
{{- if and (eq $v.capture "af-packet") (ne $mode "af-packet") -}}
{{- fail (printf "capture: af-packet takes capabilities.mode: af-packet (NET_RAW), not %s" $mode) -}}
{{- end -}}
{{- range $v.capabilities.add -}}
  {{- if and (eq $v.capture "af-packet") (has . (list "BPF" "PERFMON")) -}}
  {{- fail (printf "capabilities.add: %s is for eBPF; capture: af-packet does without" .) -}}
  {{- end -}}
{{- end -}}
{{- if and (eq $v.capture "tc") (eq $mode "af-packet") -}}
{{- fail "capture: tc takes eBPF's capabilities; capabilities.mode: af-packet has none of them" -}}
{{- end -}}
{{- if and (ne $v.attach "auto") (eq $v.capture "af-packet") -}}
{{- fail (printf "attach: %s says how eBPF programs are attached; capture: af-packet has none" $v.attach) -}}
{{- end -}}
{{- if and $v.clientHashKey.existingSecret (ne $v.clientLabel "hash") -}}
{{- fail (printf "clientHashKey.existingSecret is for clientLabel: hash, not for %s" $v.clientLabel) -}}
{{- end -}}
{{- if and (eq $v.seccompProfile.type "Localhost") (not $v.seccompProfile.localhostProfile) -}}
{{- fail "seccompProfile.type: Localhost takes seccompProfile.localhostProfile" -}}
{{- end -}}
{{- if and $v.seccompProfile.localhostProfile (ne $v.seccompProfile.type "Localhost") -}}
{{- fail "seccompProfile.localhostProfile is for seccompProfile.type: Localhost" -}}
{{- end -}}
{{- if and $v.kube.enabled (not $v.serviceAccount.create) (not $v.serviceAccount.name) -}}
{{- fail "kube.enabled takes a service account of its own: set serviceAccount.create or serviceAccount.name" -}}
{{- end -}}
{{- if and (not $v.web.enabled) (or $v.web.openToAll $v.web.hosts) -}}
{{- fail "web.openToAll and web.hosts are for web.enabled" -}}
{{- end -}}
{{- if and (not $v.web.auth.existingSecret) $v.web.auth.probeAuthorization -}}
{{- fail "web.auth.probeAuthorization is for web.auth.existingSecret" -}}
{{- end -}}

{{- range $index, $network := $v.expectedNonSni -}}
  {{- if ne $network "gcp-lb" -}}
  {{- include "sni-probe.checkNetwork" (list (printf "expectedNonSni[%d]" $index) $network) -}}
  {{- end -}}
{{- end -}}
{{- range $index, $network := $v.networkPolicy.apiServer.cidrs -}}
  {{- include "sni-probe.checkNetwork" (list (printf "networkPolicy.apiServer.cidrs[%d]" $index) $network) -}}
{{- end -}}
{{- include "sni-probe.checkNetwork" (list "listen.address" $v.listen.address) -}}
{{- range $v.ports -}}
  {{- if eq (int .) (int $v.listen.port) -}}
  {{- fail (printf "listen.port: %d is one of ports as well, and the daemon would watch its own server" (int .)) -}}
  {{- end -}}
{{- end -}}

{{- include "sni-probe.checkDuration" (list "handshakeTimeout" $v.handshakeTimeout "1s" "10m") -}}
{{- include "sni-probe.checkDuration" (list "clientIdle" $v.clientIdle "1m" "30d") -}}

{{- include "sni-probe.checkVolume" (list "evidence" $v.evidence.enabled $v.evidence.bytes 1 $v.evidence.volume "evidence.volume") -}}
{{- include "sni-probe.checkVolume" (list "events.file" $v.events.file.enabled $v.events.file.bytes 5 $v.events.file.volume "events.file.volume") -}}

{{- range $name := list "podMonitor" "podMonitoring" -}}
  {{- $monitor := get $v $name -}}
  {{- if $monitor.enabled -}}
    {{- if or (hasPrefix "127." $v.listen.address) (eq $v.listen.address "::1") -}}
    {{- fail (printf "%s.enabled: nobody can scrape listen.address: %s from outside of the node" $name $v.listen.address) -}}
    {{- end -}}
    {{- if and $v.web.auth.existingSecret (not $monitor.basicAuth.existingSecret) -}}
    {{- fail (printf "web.auth.existingSecret guards /metrics as well: set %s.basicAuth.existingSecret" $name) -}}
    {{- end -}}
    {{- if and $monitor.basicAuth.existingSecret (not $v.web.auth.existingSecret) -}}
    {{- fail (printf "%s.basicAuth.existingSecret: nobody asks for a password without web.auth.existingSecret" $name) -}}
    {{- end -}}
    {{- if gt (include "sni-probe.milliseconds" $monitor.scrapeTimeout | int64) (include "sni-probe.milliseconds" $monitor.interval | int64) -}}
    {{- fail (printf "%s.scrapeTimeout: %s is more than %s.interval (%s)" $name $monitor.scrapeTimeout $name $monitor.interval) -}}
    {{- end -}}
    {{- $isTlsSet := or $monitor.tls.caSecret $monitor.tls.serverName $monitor.tls.insecureSkipVerify -}}
    {{- if and $v.web.tls.existingSecret (not $monitor.tls.caSecret) (not $monitor.tls.insecureSkipVerify) -}}
    {{- fail (printf "web.tls.existingSecret: say how to know the daemon's certificate: %s.tls.caSecret, or %s.tls.insecureSkipVerify" $name $name) -}}
    {{- end -}}
    {{- if and $isTlsSet (not $v.web.tls.existingSecret) -}}
    {{- fail (printf "%s.tls: the daemon speaks plain HTTP without web.tls.existingSecret" $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and $v.podMonitoring.enabled $v.podMonitoring.basicAuth.existingSecret (not $v.podMonitoring.basicAuth.username) -}}
{{- fail "podMonitoring.basicAuth.existingSecret takes podMonitoring.basicAuth.username: Google's kind has it in the clear" -}}
{{- end -}}

{{- if hasKey ($v.rules.alertLabels | default dict) "severity" -}}
{{- fail "rules.alertLabels: severity would be the same for all alerts; with it critical ones are told from the rest. Take another label" -}}
{{- end -}}
{{- $alerts := include "sni-probe.alerts" . | trim | splitList " " -}}
{{- range $v.rules.disabled -}}
  {{- if not (has . $alerts) }}{{ fail (printf "rules.disabled: there is no alert %s; there are %s" . (join ", " $alerts)) }}{{ end -}}
{{- end -}}

{{- $names := list -}}
{{- range include "sni-probe.volumes" . | fromYamlArray -}}
  {{- if has .name $names }}{{ fail (printf "extraVolumes: %s is there already (the pod has %s)" .name (join ", " $names)) }}{{ end -}}
  {{- $names = append $names .name -}}
{{- end -}}
{{- $paths := list -}}
{{- range include "sni-probe.volumeMounts" . | fromYamlArray -}}
  {{- $path := clean .mountPath -}}
  {{- if has $path $paths }}{{ fail (printf "extraVolumeMounts: something is mounted at %s already (the pod has %s)" $path (join ", " $paths)) }}{{ end -}}
  {{- $paths = append $paths $path -}}
{{- end -}}

{{- $set := regexFindAll "name: [A-Z][A-Z0-9_]+" (include "sni-probe.environment" .) -1 -}}
{{- range $index, $variable := $v.extraEnv -}}
  {{- if has (printf "name: %s" $variable.name) $set -}}
  {{- fail (printf "extraEnv[%d]: %s is set by the chart; use its value" $index $variable.name) -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* A volume that is smaller than what the daemon writes gets the pod evicted. */}}
{{- define "sni-probe.checkVolume" -}}
{{- $name := index . 0 -}}
{{- $enabled := index . 1 -}}
{{- $bytes := include "sni-probe.bytes" (index . 2) | int64 -}}
{{- $volume := index . 4 -}}
{{- if $enabled -}}
  {{- if or (lt $bytes 65536) (gt $bytes 1099511627776) -}}
  {{- fail (printf "%s.bytes: %s is not within 64KiB to 1TiB" $name (index . 2)) -}}
  {{- end -}}
  {{- if not $volume.hostPath -}}
    {{- $needed := mul $bytes (index . 3) -}}
    {{- if le (include "sni-probe.bytes" $volume.sizeLimit | int64) $needed -}}
    {{- fail (printf "%s.sizeLimit: %s is not more than %d times %s.bytes (%s): the kubelet would evict the pod" (index . 5) $volume.sizeLimit (index . 3) $name (index . 2)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- define "sni-probe.checkDuration" -}}
{{- $time := include "sni-probe.milliseconds" (index . 1) | int64 -}}
{{- if or (lt $time (include "sni-probe.milliseconds" (index . 2) | int64)) (gt $time (include "sni-probe.milliseconds" (index . 3) | int64)) -}}
{{- fail (printf "%s: %s is not within %s to %s" (index . 0) (index . 1) (index . 2) (index . 3)) -}}
{{- end -}}
{{- end -}}

{{/* An address, or a network: the numbers that the schema's pattern does not look at. */}}
{{- define "sni-probe.checkNetwork" -}}
{{- $text := index . 1 -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $v4 := printf "^(%s[.]){3}%s(/(3[0-2]|[12]?[0-9]))?$" $byte $byte -}}
{{- $v6 := "^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|(([0-9a-fA-F]{1,4}:){0,6}[0-9a-fA-F]{1,4})?::(([0-9a-fA-F]{1,4}:){0,6}[0-9a-fA-F]{1,4})?)(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$" -}}
{{- if not (or (regexMatch $v4 $text) (regexMatch $v6 $text)) -}}
{{- fail (printf "%s: %s is no address or network" (index . 0) $text) -}}
{{- end -}}
{{- end -}}
