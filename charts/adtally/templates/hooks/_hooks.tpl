{{/*
Jobs before an install, before an uninstall and after it, each with a service account that exists, and has its
rights, only meanwhile.
*/}}

{{/* `on`: the events, `weight`: their order. */}}
{{- define "adtally.hook" -}}
helm.sh/hook: {{ .on }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* The service account `name` and the Role of `rules`, for the hook `on`. */}}
{{- define "adtally.hookAccount" -}}
{{- $of := dict "root" .root "component" "hook" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  labels: {{- include "adtally.labels" $of | nindent 4 }}
  annotations: {{- include "adtally.hook" (dict "on" .on "weight" -10) | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  labels: {{- include "adtally.labels" $of | nindent 4 }}
  annotations: {{- include "adtally.hook" (dict "on" .on "weight" -10) | nindent 4 }}
rules: {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  labels: {{- include "adtally.labels" $of | nindent 4 }}
  annotations: {{- include "adtally.hook" (dict "on" .on "weight" -9) | nindent 4 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }} }
subjects:
  - { kind: ServiceAccount, name: {{ .name }}, namespace: {{ .root.Release.Namespace }} }
{{- end -}}

{{/* The Job `name` of cmd/chart-hooks with `args`, for the hook `on`, given up after `seconds`. */}}
{{- define "adtally.hookJob" -}}
{{- $of := dict "root" .root "component" "hook" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  labels: {{- include "adtally.labels" $of | nindent 4 }}
  annotations: {{- include "adtally.hook" (dict "on" .on "weight" 0) | nindent 4 }}
spec:
  backoffLimit: 4
  activeDeadlineSeconds: {{ .seconds | int }}
  template:
    metadata:
      labels: {{- include "adtally.podLabels" $of | nindent 8 }}
    spec:
      serviceAccountName: {{ .name }}
      automountServiceAccountToken: true
      restartPolicy: Never
      enableServiceLinks: false
      {{- with include "adtally.pullSecrets" .root | trim }}{{ nindent 6 . }}{{ end }}
      securityContext: {{- include "adtally.podSecurity" (dict "user" 10001) | nindent 8 }}
      {{- with include "adtally.placement" .root.Values.operator | trim }}{{ nindent 6 . }}{{ end }}
      containers:
        - name: hook
          image: {{ include "adtally.image" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: {{- toYaml (prepend .args "cmd/chart-hooks/main.ts") | nindent 12 }}
          resources: {{- toYaml .root.Values.hooks.resources | nindent 12 }}
          securityContext: {{- include "adtally.containerSecurity" . | nindent 12 }}
{{- end -}}
