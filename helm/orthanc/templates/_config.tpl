{{/* The chart's own orthanc.json. Orthanc itself replaces ${NAME} from the environment of its container. */}}
{{- define "orthanc.defaults" -}}
Name: {{ .Values.name | quote }}
Plugins: {{ .Values.plugins | default (list "/run/orthanc/plugins") | toJson }}
StorageDirectory: /var/lib/orthanc/db
HttpPort: 8042
RemoteAccessAllowed: true
AuthenticationEnabled: true
RegisteredUsers:
{{- range .Values.users }}
  {{ . | quote }}: "${ {{- include "orthanc.variable" . -}} }"
{{- end }}
SslEnabled: false # TLS ends at the ingress
HttpsVerifyPeers: true
HttpsCACertificates: /etc/ssl/certs/ca-certificates.crt
MetricsEnabled: true
ExecuteLuaEnabled: false
RestApiWriteToFileSystemEnabled: false
DicomAet: {{ .Values.aet | quote }}
DicomPort: 4242
DicomCheckCalledAet: true
DicomTlsEnabled: false
# any modality that has come through TLS may store; to search or fetch it must be in DicomModalities
DicomAlwaysAllowEcho: true
DicomAlwaysAllowStore: true
DicomAlwaysAllowFind: false
DicomAlwaysAllowFindWorklist: false
DicomAlwaysAllowGet: false
DicomAlwaysAllowMove: false
LimitFindResults: 500
LimitFindInstances: 20000
# what several Orthancs on one database need
DatabaseServerIdentifier: "${POD_NAME}"
CheckRevisions: true
SaveJobs: false
ConcurrentJobs: 2
OverwriteInstances: false
StableAge: 15
PostgreSQL:
  EnableIndex: true
  EnableStorage: true
  ConnectionUri: {{ include "orthanc.databaseUri" . | quote }}
  EnableSsl: {{ ne (include "orthanc.sslMode" .) "disable" }}
  Lock: false
  IndexConnectionsCount: {{ .Values.connections }}
  TransactionMode: ReadCommitted
  MaximumConnectionRetries: 30
  ConnectionRetryInterval: 2
DicomWeb:
  Enable: true
  Root: /dicom-web/
  EnableWado: true
  WadoRoot: /wado
  Ssl: true # addresses in answers begin with https
OrthancExplorer2:
  Enable: true
  IsDefaultOrthancUI: true
{{- end -}}

{{- define "orthanc.json" -}}
{{- mergeOverwrite (include "orthanc.defaults" . | fromYaml) (deepCopy .Values.config) | toPrettyJson -}}
{{- end -}}
