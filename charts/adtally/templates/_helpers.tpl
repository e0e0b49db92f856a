{{/* Names, labels and what all pods of this chart have in common. */}}

{{- define "adtally.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What the operator makes for the ClickCluster of this name is longer by some words. */}}
{{- define "adtally.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "adtally.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "adtally.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* A Deployment's selector never changes, so nothing of a version is among these. */}}
{{- define "adtally.selector" -}}
app.kubernetes.io/name: {{ include "adtally.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "adtally.labels" -}}
{{ include "adtally.selector" . }}
app.kubernetes.io/part-of: adtally
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "adtally.podLabels" -}}
{{ include "adtally.selector" . }}
app.kubernetes.io/part-of: adtally
{{- end -}}

{{- define "adtally.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "adtally.serviceAccountName" -}}
{{- .Values.operator.serviceAccount.name | default (ternary (printf "%s-operator" (include "adtally.fullname" .)) "default" .Values.operator.serviceAccount.create) -}}
{{- end -}}

{{/* Pod Security 'restricted'. `user`: number of the user that the image has for it. */}}
{{- define "adtally.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "adtally.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Where pods run, of values that have nodeSelector, tolerations, affinity. */}}
{{- define "adtally.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "adtally.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Of a bundled server, of its `persistence`. */}}
{{- define "adtally.claims" -}}
{{- if .enabled -}}
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClassName }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests: { storage: {{ .size }} }
{{- end -}}
{{- end -}}
