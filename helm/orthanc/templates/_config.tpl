{{/* The chart's own orthanc.json. Orthanc itself replaces ${NAME} from the environment of its container. */}}
{{- define "orthanc.defaults" -}}
Name: {{ .Values.name | quote }}
Plugins: [/run/orthanc/plugins] # where start.sh gathers them
StorageDirectory: /var/lib/orthanc/db
HttpPort: 8042
# longer than the ingress keeps an idle connection (2 s), which otherwise sends into one that is being closed
KeepAliveTimeout: 10
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
# Recycle, which is Orthanc's default, deletes the oldest patients instead of refusing
MaximumStorageMode: Reject
{{- with include "orthanc.imageSize" . }}
MaximumStorageSize: {{ . }}
{{- end }}
PostgreSQL:
  EnableIndex: true
  EnableStorage: true
  ConnectionUri: {{ include "orthanc.databaseUri" . | quote }}
  EnableSsl: {{ ne (include "orthanc.sslMode" .) "disable" }}
  Lock: false
  IndexConnectionsCount: {{ .Values.connections }}
  TransactionMode: ReadCommitted
  # of a connection, a second apart, and of a transaction that another pod's ran into, 0.1 s longer each time
  MaximumConnectionRetries: 20
  ConnectionRetryInterval: 1
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
{{- $found := mergeOverwrite (include "orthanc.defaults" . | fromYaml) (deepCopy .Values.config) -}}
{{- /* last, so that no script of a site's own takes its place; it asks theirs */ -}}
{{- $_ := set $found "LuaScripts" (append (ternary $found.LuaScripts list (kindIs "slice" $found.LuaScripts)) "/etc/korthweb/request-filter.lua") -}}
{{- toPrettyJson $found -}}
{{- end -}}
