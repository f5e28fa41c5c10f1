{{/* Names of objects begin with the release's name. */}}
{{- define "orthanc.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-orthanc" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "orthanc.postgres" -}}{{ include "orthanc.fullname" . }}-postgres{{- end -}}
{{- define "orthanc.usersSecret" -}}{{ .Values.auth.existingSecret | default (printf "%s-users" (include "orthanc.fullname" .)) }}{{- end -}}
{{- define "orthanc.tlsSecret" -}}
{{- if eq .Values.certificates.source "existingSecret" -}}{{ .Values.certificates.existingSecret }}
{{- else -}}{{ include "orthanc.fullname" . }}-tls{{- end -}}
{{- end -}}

{{/* Secret and key with the password of the database's owner. */}}
{{- define "orthanc.databaseSecret" -}}
{{- if .Values.postgresql.existingSecret -}}{{ .Values.postgresql.existingSecret }}
{{- else if eq .Values.postgresql.mode "cnpg" -}}{{ include "orthanc.postgres" . }}-app
{{- else -}}{{ include "orthanc.fullname" . }}-database{{- end -}}
{{- end -}}
{{- define "orthanc.databaseKey" -}}
{{- if eq .Values.postgresql.mode "cnpg" -}}password{{- else -}}ORTHANC_POSTGRES_PASSWORD{{- end -}}
{{- end -}}

{{/* Variable of the container that holds a user's password. */}}
{{- define "orthanc.variable" -}}ORTHANC_{{ regexReplaceAll "[^A-Z0-9]" (upper .) "_" }}_PASSWORD{{- end -}}

{{- define "orthanc.selector" -}}
app.kubernetes.io/name: orthanc
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "orthanc.labels" -}}
{{ include "orthanc.selector" . }}
app.kubernetes.io/part-of: orthweb
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end -}}

{{/* What every pod of the chart is held to; "user" is the id it runs as. */}}
{{- define "orthanc.podSecurity" -}}
runAsNonRoot: true
{{- if .root.Values.security.fixedUids }}
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}
{{- define "orthanc.containerSecurity" -}}{{ .Files.Get "files/security.yaml" | trim }}{{- end -}}

{{/* Ports, probes and drain of Orthanc: the same file that the other approaches have. */}}
{{- define "orthanc.container" -}}
{{ .Files.Get "files/container.yaml" | replace (quote "DRAIN_SECONDS") (.Values.drainSeconds | toString | quote) | trim }}
{{- end -}}

{{- define "orthanc.placement" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* Cipher suites of BCP 195, for TLS 1.2. */}}
{{- define "orthanc.modernSuites" -}}
- TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
- TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
- TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
- TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
- TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
- TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
{{- end -}}
{{- define "orthanc.dicomTls" -}}
minVersion: {{ .Values.ingress.dicomTls.minVersion | default .Values.ingress.minTlsVersion }}
cipherSuites:
{{- with .Values.ingress.dicomTls.cipherSuites }}
{{- range . }}
- {{ . }}
{{- end }}
{{- else }}
{{ include "orthanc.modernSuites" . }}
{{- end }}
{{- end -}}

{{/* A number that changes with a Secret that somebody else keeps, so that pods follow it; it tells nothing of its content. */}}
{{- define "orthanc.revisionOf" -}}
{{- $secret := lookup "v1" "Secret" .namespace .name -}}
{{- if and .foreign $secret -}}{{ $secret.metadata.resourceVersion }}{{- else -}}kept{{- end -}}
{{- end -}}
{{- define "orthanc.credentialsRevision" -}}
{{- $users := dict "namespace" .Release.Namespace "name" (include "orthanc.usersSecret" .) "foreign" .Values.auth.existingSecret -}}
{{ include "orthanc.revisionOf" $users }}/{{ include "orthanc.databaseRevision" . }}
{{- end -}}
{{- define "orthanc.databaseRevision" -}}
{{ include "orthanc.revisionOf" (dict "namespace" .Release.Namespace "name" (include "orthanc.databaseSecret" .) "foreign" .Values.postgresql.existingSecret) }}
{{- end -}}
