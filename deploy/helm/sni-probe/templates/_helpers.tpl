{{/* The name of all objects of a release. */}}
{{- define "sni-probe.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sni-probe.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* The name of what lies in no namespace, or in somebody else's: releases of one name in two namespaces must not meet there. */}}
{{- define "sni-probe.clusterName" -}}
{{- printf "%s.%s" (include "sni-probe.fullname" .) (include "sni-probe.namespace" .) -}}
{{- end -}}

{{/* A map as YAML, without what is null: Helm merges the maps of several files of values, and null takes a key away again. */}}
{{- define "sni-probe.map" -}}
{{- $map := dict -}}
{{- range $name, $value := . -}}
  {{- if not (kindIs "invalid" $value) }}{{ $_ := set $map $name $value }}{{ end -}}
{{- end -}}
{{- if $map }}{{ toYaml $map }}{{ end -}}
{{- end -}}

{{/* app.kubernetes.io/name is the scrape job's name, which the rules know: it does not change. */}}
{{- define "sni-probe.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sni-probe.labels" -}}
{{ include "sni-probe.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with include "sni-probe.map" .Values.commonLabels }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "sni-probe.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "sni-probe.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "sni-probe.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The mode of the capabilities, where none is named: what the capture takes. */}}
{{- define "sni-probe.capabilitiesMode" -}}
{{- .Values.capabilities.mode | default (ternary "af-packet" "default" (eq .Values.capture "af-packet")) -}}
{{- end -}}

{{- define "sni-probe.capabilities" -}}
{{- $modes := dict
  "modern" (list "BPF" "NET_ADMIN")
  "default" (list "BPF" "NET_ADMIN" "PERFMON")
  "legacy" (list "BPF" "NET_ADMIN" "PERFMON" "SYS_RESOURCE")
  "af-packet" (list "NET_RAW") -}}
{{- concat (get $modes (include "sni-probe.capabilitiesMode" .)) (.Values.capabilities.add | default list) | uniq | join ", " -}}
{{- end -}}

{{- define "sni-probe.listen" -}}
{{- with .Values.listen -}}
{{- if contains ":" .address }}[{{ .address }}]{{ else }}{{ .address }}{{ end }}:{{ int .port }}
{{- end -}}
{{- end -}}

{{/* Where the kubelet asks: the pod's address, which is the node's, unless the daemon listens on another one alone. */}}
{{- define "sni-probe.probeTarget" -}}
port: metrics
{{- if not (has .Values.listen.address (list "0.0.0.0" "::")) }}
host: {{ .Values.listen.address | quote }}
{{- end }}
{{- if .Values.web.tls.existingSecret }}
scheme: HTTPS
{{- end }}
{{- end -}}

{{/* What each endpoint of both kinds of monitors has. */}}
{{- define "sni-probe.endpoint" -}}
- port: metrics
  path: /metrics
  {{- if .Values.web.tls.existingSecret }}
  scheme: https
  {{- end }}
  interval: {{ .monitor.interval }}
{{- end -}}

{{/* TLS of a monitor: the same fields in both kinds. */}}
{{- define "sni-probe.scrapeTls" -}}
{{- with .tls -}}
{{- if .caSecret -}}
ca:
  secret:
    name: {{ .caSecret }}
    key: {{ .caKey }}
{{ end -}}
{{- if .serverName -}}
serverName: {{ .serverName }}
{{ end -}}
{{- if .insecureSkipVerify -}}
insecureSkipVerify: true
{{ end -}}
{{- end -}}
{{- end -}}

{{/* A volume that holds files of the daemon. */}}
{{- define "sni-probe.dataVolume" -}}
{{- if .hostPath -}}
hostPath:
  path: {{ .hostPath }}
  type: DirectoryOrCreate
{{- else -}}
emptyDir:
  sizeLimit: {{ .sizeLimit }}
{{- end -}}
{{- end -}}

{{/* A size of the daemon (16MiB) or of Kubernetes (16Mi), in bytes. */}}
{{- define "sni-probe.bytes" -}}
{{- $units := dict "K" 1024 "M" 1048576 "G" 1073741824 "T" 1099511627776 -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $unit := regexFind "[KMGT]" . -}}
{{- if $unit }}{{ mul $number (get $units $unit) }}{{ else }}{{ $number }}{{ end -}}
{{- end -}}

{{/* A duration of the daemon or of Prometheus, in milliseconds. */}}
{{- define "sni-probe.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "min" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|min|m|h|d)" . -1 -}}
  {{- $sum = add $sum (mul (regexFind "^[0-9]+" . | atoi) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* The names of all alerts, also of those that are disabled. */}}
{{- define "sni-probe.alerts" -}}
{{- range (.Files.Get "files/sni-probe.rules.yaml" | fromYaml).groups -}}
  {{- range .rules }}{{ with .alert }}{{ . }} {{ end }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The groups of the rules, as the values want them; `interval` (for groups without one) also drops what Google does not know. */}}
{{- define "sni-probe.ruleGroups" -}}
{{- $file := .Files.Get "files/sni-probe.rules.yaml" | fromYaml -}}
{{- if not $file.groups }}{{ fail (printf "files/sni-probe.rules.yaml: no rules: %v" $file) }}{{ end -}}
{{- $values := .Values.rules -}}
{{- $alertLabels := include "sni-probe.map" $values.alertLabels | fromYaml -}}
{{- $groups := list -}}
{{- range $group := $file.groups -}}
  {{- $kept := list -}}
  {{- range $rule := $group.rules -}}
    {{- if $rule.alert -}}
      {{- if $alertLabels -}}
        {{- $_ := set $rule "labels" (mergeOverwrite (default dict $rule.labels) $alertLabels) -}}
      {{- end -}}
      {{- if $values.runbookUrl -}}
        {{- $url := printf "%s/%s.md" $values.runbookUrl $rule.alert -}}
        {{- $_ := set $rule "annotations" (mergeOverwrite (default dict $rule.annotations) (dict "runbook_url" $url)) -}}
      {{- end -}}
    {{- end -}}
    {{- if not (and $rule.alert (has $rule.alert $values.disabled)) -}}
      {{- $kept = append $kept (omit $rule $.omitRule) -}}
    {{- end -}}
  {{- end -}}
  {{- if $kept -}}
    {{- if $.interval }}{{ $group = merge (pick $group "name" "interval") (dict "interval" $.interval) }}{{ end -}}
    {{- $groups = append $groups (mergeOverwrite (omit $group "rules") (dict "rules" $kept)) -}}
  {{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}

{{/* Subjects of rbac.routes, as a list. */}}
{{- define "sni-probe.routesSubjects" -}}
{{- range .Values.rbac.routes.subjects }}
- kind: {{ .kind }}
  name: {{ .name | quote }}
  {{- if eq .kind "ServiceAccount" }}
  namespace: {{ .namespace | default (include "sni-probe.namespace" $) }}
  {{- else }}
  apiGroup: rbac.authorization.k8s.io
  {{- end }}
{{- end }}
{{- end }}
