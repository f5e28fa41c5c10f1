{{/* How Orthanc reaches its database. */}}
{{- define "orthanc.databaseHost" -}}
{{- if eq .Values.postgresql.mode "external" -}}{{ .Values.postgresql.external.host }}
{{- else if eq .Values.postgresql.mode "cnpg" -}}{{ include "orthanc.postgres" . }}-rw
{{- else -}}{{ include "orthanc.postgres" . }}{{- end -}}
{{- end -}}
{{- define "orthanc.databasePort" -}}
{{- if eq .Values.postgresql.mode "external" -}}{{ .Values.postgresql.external.port }}{{- else -}}5432{{- end -}}
{{- end -}}
{{- define "orthanc.sslMode" -}}
{{- if eq .Values.postgresql.mode "external" -}}{{ .Values.postgresql.external.sslMode }}{{- else -}}verify-full{{- end -}}
{{- end -}}

{{/* Secret whose ca.crt signed the database's certificate; nothing: it is not looked at. */}}
{{- define "orthanc.databaseAuthority" -}}
{{- if eq .Values.postgresql.mode "external" -}}{{ .Values.postgresql.external.caSecret }}
{{- else if eq .Values.postgresql.mode "cnpg" -}}{{ include "orthanc.postgres" . }}-ca
{{- else -}}{{ include "orthanc.postgres" . }}-tls{{- end -}}
{{- end -}}
{{/* No password is in it: libpq takes that from PGPASSWORD. */}}
{{- define "orthanc.databaseUri" -}}
postgresql://{{ .Values.postgresql.user }}@{{ include "orthanc.databaseHost" . }}:{{ include "orthanc.databasePort" . }}/{{ .Values.postgresql.database }}?sslmode={{ include "orthanc.sslMode" . }}{{ if include "orthanc.databaseAuthority" . }}&sslrootcert=/etc/korthweb/database/ca.crt{{ end }}
{{- end -}}

{{- define "orthanc.passwordEnv" -}}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "orthanc.databaseSecret" . }}, key: {{ include "orthanc.databaseKey" . }}}
{{- end -}}

{{/* Connections that all pods together may ask for. */}}
{{- define "orthanc.connections" -}}
{{- $own := .Values.config.PostgreSQL | default dict -}}
{{- $index := get $own "IndexConnectionsCount" | default .Values.connections -}}
{{- $storage := ternary 1 0 (ne (toString (get $own "EnableStorage")) "false") -}}
{{- $pods := ternary .Values.replicas.max .Values.replicas.min .Values.autoscaling.enabled -}}
{{- add (mul $pods (add $index $storage)) .Values.postgresql.reservedConnections -}}
{{- end -}}
