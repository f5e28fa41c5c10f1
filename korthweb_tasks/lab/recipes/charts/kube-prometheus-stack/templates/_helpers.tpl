{{- define "stack.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 26 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 26 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 26 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "stack.account" -}}
{{- default (printf "%s-prometheus" (include "stack.fullname" .)) .Values.prometheus.serviceAccount.name -}}
{{- end -}}

{{- define "stack.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ default .Chart.Name .Values.nameOverride }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
release: {{ .Release.Name | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* An image's full name. Call with (list image defaultTag). */ -}}
{{- define "stack.image" -}}
{{- $image := index . 0 -}}
{{- printf "%s:%v" (list $image.registry $image.repository | compact | join "/") ($image.tag | default (index . 1)) -}}
{{- end -}}

{{- /* Which objects Prometheus takes: those that are named, all, or those of this release. Call with (list $ kind). */ -}}
{{- define "stack.selector" -}}
{{- $root := index . 0 -}}
{{- $spec := $root.Values.prometheus.prometheusSpec -}}
{{- $key := printf "%sSelector" (index . 1) -}}
{{- if index $spec $key -}}
{{- toYaml (index $spec $key) -}}
{{- else if index $spec (printf "%sNilUsesHelmValues" $key) -}}
matchLabels: {release: {{ $root.Release.Name | quote }}}
{{- else -}}
{}
{{- end -}}
{{- end -}}
