{{/* The daemon's settings. What is as the daemon has it by itself is left out. */}}
{{- define "sni-probe.environment" -}}
{{- $v := .Values -}}
- name: SNI_PROBE_LOG_FORMAT
  value: {{ $v.log.format }}
{{- if ne $v.log.level "info" }}
- name: SNI_PROBE_LOG_LEVEL
  value: {{ $v.log.level | quote }}
{{- end }}
# Ports of the gateway as packets carry them on the observed interface: the load balancer's (443) where
# it leaves the destination as it is, the pods' (8443) where it does not.
- name: SNI_PROBE_PORT
  value: {{ include "sni-probe.numbers" $v.ports | quote }}
# An IPv6-only node needs "[::]:9917".
- name: SNI_PROBE_LISTEN
  value: {{ include "sni-probe.listen" . | quote }}
{{- with $v.interfaces }}
- name: SNI_PROBE_INTERFACE
  value: {{ join "," . | quote }}
{{- end }}
{{- if ne $v.orientation "auto" }}
- name: SNI_PROBE_ORIENTATION
  value: {{ $v.orientation }}
{{- end }}
{{- if $v.mirrorPort }}
- name: SNI_PROBE_MIRROR_PORT
  value: "true"
{{- end }}
{{- with $v.decapsulate }}
- name: SNI_PROBE_DECAPSULATE
  value: {{ join "," . | quote }}
{{- end }}
{{- if ne $v.capture "auto" }}
- name: SNI_PROBE_CAPTURE
  value: {{ $v.capture }}
{{- end }}
{{- if ne $v.attach "auto" }}
- name: SNI_PROBE_ATTACH
  value: {{ $v.attach }}
{{- end }}
{{- if $v.keepPrivileges }}
- name: SNI_PROBE_KEEP_PRIVILEGES
  value: "true"
{{- end }}
{{- if ne $v.handshakeTimeout "30s" }}
- name: SNI_PROBE_HANDSHAKE_TIMEOUT
  value: {{ $v.handshakeTimeout | quote }}
{{- end }}
{{- if ne $v.follow "handshake" }}
- name: SNI_PROBE_FOLLOW
  value: {{ $v.follow }}
{{- end }}
{{- if ne $v.clientLabel "ip" }}
- name: SNI_PROBE_CLIENT_LABEL
  value: {{ $v.clientLabel }}
{{- end }}
{{- if eq $v.clientLabel "subnet" }}
- name: SNI_PROBE_CLIENT_SUBNET_V4
  value: {{ int $v.clientSubnet.v4 | quote }}
- name: SNI_PROBE_CLIENT_SUBNET_V6
  value: {{ int $v.clientSubnet.v6 | quote }}
{{- end }}
{{- if $v.clientHashKey.existingSecret }}
- name: SNI_PROBE_CLIENT_HASH_KEY_FILE
  value: {{ printf "/etc/sni-probe/hash-key/%s" $v.clientHashKey.key | quote }}
{{- end }}
{{- if ne (int $v.topClients) 100 }}
- name: SNI_PROBE_TOP_CLIENTS
  value: {{ int $v.topClients | quote }}
{{- end }}
{{- if ne $v.clientIdle "1h" }}
- name: SNI_PROBE_CLIENT_IDLE
  value: {{ $v.clientIdle | quote }}
{{- end }}
{{- with $v.expectedNonSni }}
# Who is known to send no SNI, and is no news.
- name: SNI_PROBE_EXPECTED_NON_SNI
  value: {{ join "," . | quote }}
{{- end }}
{{- if $v.kube.enabled }}
- name: SNI_PROBE_KUBE
  value: "true"
- name: SNI_PROBE_NODE
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end }}
{{- if $v.events.enabled }}
# Lines with addresses of clients.
- name: SNI_PROBE_EVENTS
  value: {{ $v.events.format }}
{{- end }}
{{- if $v.events.file.enabled }}
- name: SNI_PROBE_EVENTS_FILE
  value: /events/events.jsonl
- name: SNI_PROBE_EVENTS_FILE_BYTES
  value: {{ $v.events.file.bytes | quote }}
{{- end }}
{{- if or $v.events.enabled $v.events.file.enabled }}
- name: SNI_PROBE_EVENTS_FILTER
  value: {{ join "," $v.events.filter | quote }}
- name: SNI_PROBE_EVENTS_RATE
  value: {{ int $v.events.rate | quote }}
{{- if $v.events.clientRandom }}
- name: SNI_PROBE_CLIENT_RANDOM
  value: "true"
{{- end }}
{{- end }}
{{- if $v.evidence.enabled }}
- name: SNI_PROBE_EVIDENCE
  value: /evidence
- name: SNI_PROBE_EVIDENCE_HANDSHAKES
  value: {{ int $v.evidence.handshakes | quote }}
- name: SNI_PROBE_EVIDENCE_BYTES
  value: {{ $v.evidence.bytes | quote }}
{{- end }}
{{- if or $v.web.openToAll (not $v.web.enabled) }}
- name: SNI_PROBE_WEB
  value: {{ ternary "on" "off" $v.web.enabled | quote }}
{{- end }}
{{- with $v.web.hosts }}
- name: SNI_PROBE_WEB_HOST
  value: {{ join "," . | quote }}
{{- end }}
{{- if $v.web.auth.existingSecret }}
- name: SNI_PROBE_AUTH_FILE
  value: {{ printf "/etc/sni-probe/auth/%s" $v.web.auth.key | quote }}
{{- end }}
{{- if $v.web.tls.existingSecret }}
- name: SNI_PROBE_TLS_CERT
  value: {{ printf "/etc/sni-probe/tls/%s" $v.web.tls.certKey | quote }}
- name: SNI_PROBE_TLS_KEY
  value: {{ printf "/etc/sni-probe/tls/%s" $v.web.tls.privateKeyKey | quote }}
{{- end }}
{{- end -}}

{{/* Numbers of YAML are floats to Helm. */}}
{{- define "sni-probe.numbers" -}}
{{- $numbers := list -}}
{{- range . }}{{ $numbers = append $numbers (int . | toString) }}{{ end -}}
{{- join "," $numbers -}}
{{- end -}}

{{- define "sni-probe.volumeMounts" -}}
{{- $v := .Values -}}
{{- if $v.evidence.enabled }}
- name: evidence
  mountPath: /evidence
{{- end }}
{{- if $v.events.file.enabled }}
- name: events
  mountPath: /events
{{- end }}
{{- if $v.clientHashKey.existingSecret }}
- name: hash-key
  mountPath: /etc/sni-probe/hash-key
  readOnly: true
{{- end }}
{{- if $v.web.auth.existingSecret }}
- name: auth
  mountPath: /etc/sni-probe/auth
  readOnly: true
{{- end }}
{{- if $v.web.tls.existingSecret }}
- name: tls
  mountPath: /etc/sni-probe/tls
  readOnly: true
{{- end }}
{{- with $v.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sni-probe.volumes" -}}
{{- $v := .Values -}}
{{- if $v.evidence.enabled }}
- name: evidence
  {{- include "sni-probe.dataVolume" $v.evidence.volume | nindent 2 }}
{{- end }}
{{- if $v.events.file.enabled }}
- name: events
  {{- include "sni-probe.dataVolume" $v.events.file.volume | nindent 2 }}
{{- end }}
{{- if $v.clientHashKey.existingSecret }}
- name: hash-key
  {{- include "sni-probe.secretVolume" $v.clientHashKey.existingSecret | nindent 2 }}
{{- end }}
{{- if $v.web.auth.existingSecret }}
- name: auth
  {{- include "sni-probe.secretVolume" $v.web.auth.existingSecret | nindent 2 }}
{{- end }}
{{- if $v.web.tls.existingSecret }}
- name: tls
  {{- include "sni-probe.secretVolume" $v.web.tls.existingSecret | nindent 2 }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* uid 0 without DAC_OVERRIDE reads what is its own. */}}
{{- define "sni-probe.secretVolume" -}}
secret:
  secretName: {{ . }}
  defaultMode: 0400
{{- end -}}
