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
{{/* No password is in it: libpq takes that from PGPASSWORD. A server that is gone without a word is noticed in 30 s. */}}
{{- define "orthanc.databaseUri" -}}
postgresql://{{ .Values.postgresql.user }}@{{ include "orthanc.databaseHost" . }}:{{ include "orthanc.databasePort" . }}/{{ .Values.postgresql.database }}?sslmode={{ include "orthanc.sslMode" . }}{{ if include "orthanc.databaseAuthority" . }}&sslrootcert=/etc/korthweb/database/ca.crt{{ end }}&connect_timeout=5&keepalives_idle=15&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=30000
{{- end -}}

{{/* A size in MB; 0 for what is none, which orthanc.faults tells. */}}
{{- define "orthanc.megabytes" -}}
{{- $text := ternary (int64 .) . (kindIs "float64" .) | toString -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $bytes := get (dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624) $unit -}}
{{- ternary (div (mulf (trimSuffix $unit $text) ($bytes | default 0) | int64) 1048576) 0 (regexMatch "^[0-9.]+$" (trimSuffix $unit $text)) -}}
{{- end -}}

{{/* PostgreSQL's max_wal_size in MB: an eighth of the volume, and not more than 1 GB. */}}
{{- define "orthanc.logSize" -}}{{ min 1024 (div (include "orthanc.megabytes" .Values.postgresql.storage.size) 8) }}{{- end -}}
{{/* What the log leaves of the volume; under load it may reach twice its size. */}}
{{- define "orthanc.mostImages" -}}
{{- sub (include "orthanc.megabytes" .Values.postgresql.storage.size | int64) (mul 2 (include "orthanc.logSize" . | int64)) -}}
{{- end -}}
{{/* What images may take in MB: large objects are a third larger than their files, and the index needs room, too. */}}
{{- define "orthanc.imageSize" -}}
{{- if .Values.storageLimit -}}{{ include "orthanc.megabytes" .Values.storageLimit }}
{{- else if ne .Values.postgresql.mode "external" -}}{{ div (mul (include "orthanc.mostImages" . | int64) 7) 10 }}{{- end -}}
{{- end -}}

{{- define "orthanc.passwordEnv" -}}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "orthanc.databaseSecret" . | quote }}, key: {{ include "orthanc.databaseKey" . | quote }}}
{{- end -}}

{{/* Connections that all pods together may ask for. */}}
{{- define "orthanc.connections" -}}
{{- $own := .Values.config.PostgreSQL | default dict -}}
{{- $index := get $own "IndexConnectionsCount" | default .Values.connections -}}
{{- $storage := ternary 1 0 (ne (toString (get $own "EnableStorage")) "false") -}}
{{- $pods := ternary .Values.replicas.max .Values.replicas.min .Values.autoscaling.enabled -}}
{{- add (mul $pods (add $index $storage)) .Values.postgresql.reservedConnections -}}
{{- end -}}
