{{- define "traefik.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "traefik.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "traefik.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "traefik.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "traefik.selector" -}}
app.kubernetes.io/name: {{ include "traefik.name" . }}
app.kubernetes.io/instance: {{ printf "%s-%s" .Release.Name .Release.Namespace | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "traefik.labels" -}}
{{ include "traefik.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "traefik.account" -}}
{{- default (include "traefik.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- /* The namespaces that a provider watches, comma-separated; nothing: all. Call with (list $ provider). */ -}}
{{- define "traefik.watched" -}}
{{- $root := index . 0 -}}
{{- $named := (index . 1).namespaces -}}
{{- if $named -}}
{{- join "," $named -}}
{{- else if $root.Values.rbac.namespaced -}}
{{- $root.Release.Namespace -}}
{{- end -}}
{{- end -}}

{{- /* Flags for the leaves of a map, whatever they are (0 and false too). Call with (list prefix map). */ -}}
{{- define "traefik.flags" -}}
{{- $prefix := index . 0 -}}
{{- range $key, $value := index . 1 }}
{{- if kindIs "map" $value }}
{{- include "traefik.flags" (list (printf "%s.%s" $prefix $key) $value) }}
{{- else if kindIs "slice" $value }}
- {{ printf "--%s.%s=%s" $prefix $key (join "," $value) | quote }}
{{- else if not (kindIs "invalid" $value) }}
- {{ printf "--%s.%s=%v" $prefix $key $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "traefik.entrypoint" -}}
{{- $name := index . 0 -}}
{{- $port := index . 1 -}}
- {{ printf "--entryPoints.%s.address=:%v/%s" $name $port.port (lower (default "TCP" $port.protocol)) | quote }}
{{- include "traefik.flags" (list (printf "entryPoints.%s" $name) (pick $port "transport" "proxyProtocol" "forwardedHeaders" "asDefault")) }}
{{- with $port.http }}
{{- if dig "tls" "enabled" false . }}
- "--entryPoints.{{ $name }}.http.tls=true"
{{- end }}
{{- include "traefik.flags" (list (printf "entryPoints.%s.http" $name) (dict "tls" (omit (default dict .tls) "enabled"))) }}
{{- include "traefik.flags" (list (printf "entryPoints.%s.http" $name) (omit . "tls")) }}
{{- end }}
{{- end -}}

{{- define "traefik.provider" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $provider := index . 2 -}}
{{- if $provider.enabled }}
- "--providers.{{ $name }}"
{{- range $key := list "allowCrossNamespace" "allowExternalNameServices" "allowEmptyServices" "nativeLBByDefault" }}
{{- if hasKey $provider $key }}
- {{ printf "--providers.%s.%s=%v" $name $key (index $provider $key) | quote }}
{{- end }}
{{- end }}
{{- range $key := list "ingressClass" "labelSelector" }}
{{- with index $provider $key }}
- {{ printf "--providers.%s.%s=%s" $name $key . | quote }}
{{- end }}
{{- end }}
{{- with include "traefik.watched" (list $root $provider) }}
- "--providers.{{ $name }}.namespaces={{ . }}"
{{- end }}
{{- if $root.Values.rbac.namespaced }}
- "--providers.{{ $name }}.disableClusterScopeResources=true"
{{- end }}
{{- end }}
{{- end -}}
