{{/* The ClickCluster's spec, and what else in the chart depends on it. */}}

{{/*
What is generated, as a dict of the Secret's name and its key; empty where a value names a Secret of
yours, or where nothing needs it.
*/}}
{{- define "adtally.generated" -}}
{{- $full := include "adtally.fullname" . -}}
{{- $given := .Values.clickCluster -}}
{{- $generated := dict -}}
{{- if .Values.createClickCluster -}}
{{- if not (dig "tokenKeys" "name" "" $given) -}}
{{- $_ := set $generated "tokenKeys" (dict "name" (printf "%s-token-keys" $full) "key" (dig "tokenKeys" "key" "tokens.json" $given)) -}}
{{- end -}}
{{- if not (dig "adminKey" "name" "" $given) -}}
{{- $_ := set $generated "adminKey" (dict "name" (printf "%s-admin-key" $full) "key" (dig "adminKey" "key" "admin-key" $given)) -}}
{{- end -}}
{{- end -}}
{{- if .Values.bundled.enabled -}}
{{- $_ := set $generated "clickhouse" (dict "name" (printf "%s-clickhouse" $full) "key" "password") -}}
{{- end -}}
{{- toYaml $generated -}}
{{- end -}}

{{/* What the values leave out. */}}
{{- define "adtally.clickClusterDefaults" -}}
{{- $full := include "adtally.fullname" . -}}
{{- $given := .Values.clickCluster -}}
{{- $generated := include "adtally.generated" . | fromYaml -}}
image: {{ include "adtally.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with include "adtally.pullSecrets" . | trim }}
{{ . }}
{{- end }}
{{- with $generated.tokenKeys }}
tokenKeys: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $generated.adminKey }}
adminKey: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "adtally.publicUrl" . }}
gateways:
  publicUrl: {{ . }}
{{- end }}
{{- if .Values.bundled.enabled }}
{{- if not (dig "redpanda" "brokers" nil $given) }}
redpanda:
  brokers: ["{{ $full }}-redpanda:9092"]
  replication: 1
  minInsync: 1
{{- end }}
{{- if not (dig "clickhouse" "url" nil $given) }}
clickhouse:
  url: http://{{ $full }}-clickhouse:8123
  user: adtally
  passwordSecret: {{- toYaml $generated.clickhouse | nindent 4 }}
{{- end }}
{{- if not (dig "redis" "url" nil $given) }}
redis:
  url: redis://{{ $full }}-redis:6379
{{- end }}
{{- end }}
{{- end -}}

{{- define "adtally.publicUrl" -}}
{{- if and .Values.ingress.enabled .Values.ingress.host -}}
{{- printf "%s://%s" (ternary "https" "http" (ne .Values.ingress.tlsSecretName "")) .Values.ingress.host -}}
{{- else if and .Values.httpRoute.enabled .Values.httpRoute.hostnames -}}
{{- printf "https://%s" (first .Values.httpRoute.hostnames) -}}
{{- end -}}
{{- end -}}

{{- define "adtally.clickClusterSpec" -}}
{{- $spec := mustMergeOverwrite (include "adtally.clickClusterDefaults" . | fromYaml) (deepCopy .Values.clickCluster) -}}
{{- $missing := list -}}
{{- range $field, $what := dict "redpanda" "brokers" "clickhouse" "url" "redis" "url" -}}
{{- if not (dig $field $what nil $spec) -}}
{{- $missing = append $missing (printf "clickCluster.%s.%s" $field $what) -}}
{{- end -}}
{{- end -}}
{{- with $missing -}}
{{- fail (printf "%s: not set. Say where your servers are, or set bundled.enabled=true for a trial with servers of this chart's own" (join ", " .)) -}}
{{- end -}}
{{- toYaml $spec -}}
{{- end -}}

{{/* Ports at which servers of ClickClusters are, as a JSON list under `ports`. */}}
{{- define "adtally.serverPorts" -}}
{{- $ports := .Values.networkPolicy.serverPorts -}}
{{- if .Values.createClickCluster -}}
{{- $spec := include "adtally.clickClusterSpec" . | fromYaml -}}
{{- range dig "redpanda" "brokers" list $spec -}}
{{- $ports = append $ports (regexFind "[0-9]+$" . | int) -}}
{{- end -}}
{{- range compact (list (dig "clickhouse" "url" "" $spec) (dig "redis" "url" "" $spec)) -}}
{{- $parsed := urlParse . -}}
{{- $usual := get (dict "http" "80" "https" "443" "redis" "6379" "rediss" "6379") $parsed.scheme -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" $parsed.host) | default $usual | int) -}}
{{- end -}}
{{- end -}}
{{- dict "ports" ($ports | uniq) | toJson -}}
{{- end -}}
