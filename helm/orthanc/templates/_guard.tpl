{{/* What a deployment relies on: the tables are files/guarded.json and files/options.json. Each helper prints one fault a line. */}}

{{/* The value at a dotted key as JSON; nothing where there is none. */}}
{{- define "orthanc.at" -}}
{{- $found := .config -}}{{- $there := true -}}
{{- range splitList "." .key -}}
{{- if and $there (kindIs "map" $found) (hasKey $found .) -}}{{- $found = get $found . -}}{{- else -}}{{- $there = false -}}{{- end -}}
{{- end -}}
{{- if $there -}}{{- toJson $found -}}{{- end -}}
{{- end -}}

{{/* The known name that a word was meant to be: another case, or a letter or two beside each other. */}}
{{- define "orthanc.meant" -}}
{{- $word := .word -}}
{{- $ways := list (printf "%s.{0,2}" (regexQuoteMeta $word)) -}}
{{- range $i := until (len $word) -}}
{{- $before := regexQuoteMeta (substr 0 $i $word) -}}
{{- $ways = append $ways (printf "%s.{0,2}%s" $before (regexQuoteMeta (substr $i -1 $word))) -}}
{{- $ways = append $ways (printf "%s.?%s" $before (regexQuoteMeta (substr (int (add $i 1)) -1 $word))) -}}
{{- if lt (add $i 2) (len $word) -}}
{{- $ways = append $ways (printf "%s.{0,2}%s" $before (regexQuoteMeta (substr (int (add $i 2)) -1 $word))) -}}
{{- end -}}
{{- end -}}
{{- regexFind (printf "(?im)^(%s)$" (join "|" $ways)) (join "\n" .known) -}}
{{- end -}}

{{/* Options of Orthanc that are of the wrong kind, or that it would ignore because they are misspelt. */}}
{{- define "orthanc.wrongOptions" -}}
{{- $kinds := .kinds -}}{{- $path := .path -}}{{- $known := .more | default list -}}
{{- range $kind, $names := $kinds -}}
{{- if kindIs "map" $names -}}{{- $known = concat $known (keys $names) -}}{{- else -}}{{- $known = concat $known $names -}}{{- end -}}
{{- end -}}
{{- range $key, $value := .config -}}
{{- $place := printf "%s.%s" $path $key -}}
{{- if not (has $key $known) -}}
{{- with include "orthanc.meant" (dict "word" $key "known" $known) }}
{{ $place }}: Orthanc knows no such option and would ignore it (did you mean '{{ . }}'?)
{{- end -}}
{{- else -}}
{{- range $kind, $names := $kinds -}}
{{- if and (eq $kind "choice") (hasKey $names $key) -}}
{{- $choices := get $names $key -}}
{{- if not (has $value $choices) }}
{{ $place }}: must be one of {{ join ", " $choices }}, not {{ toJson $value }}
{{- end -}}
{{- else if and (ne $kind "choice") (has $key $names) -}}
{{- $number := and (or (kindIs "float64" $value) (kindIs "int64" $value) (kindIs "int" $value)) (regexMatch "^[0-9]+$" (toJson $value)) -}}
{{- $fits := dict "boolean" (kindIs "bool" $value) "number" $number "text" (kindIs "string" $value) "list" (kindIs "slice" $value) "section" (kindIs "map" $value) -}}
{{- $words := dict "boolean" "true or false" "number" "a whole number" "text" "text" "list" "a list" "section" "a section of settings" -}}
{{- if not (get $fits $kind) }}
{{ $place }}: must be {{ get $words $kind }}, not {{ toJson $value }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The same for a whole orthanc.json. */}}
{{- define "orthanc.wrongConfig" -}}
{{- $table := .Files.Get "files/options.json" | fromJson -}}
{{- $sections := concat (keys $table.inside) $table.plugins -}}
{{- $top := dict -}}
{{- range $key, $value := .Values.config -}}
{{- if not (has $key $sections) -}}{{- $_ := set $top $key $value -}}
{{- else if not (kindIs "map" $value) }}
config.{{ $key }}: must be a section of settings, not {{ toJson $value }}
{{- else if hasKey $table.inside $key -}}
{{- include "orthanc.wrongOptions" (dict "kinds" (get $table.inside $key) "config" $value "path" (printf "config.%s" $key)) -}}
{{- end -}}
{{- end -}}
{{- include "orthanc.wrongOptions" (dict "kinds" $table.options "config" $top "path" "config" "more" $sections) -}}
{{- end -}}

{{/* Keys of orthanc.json that take away what the deployment rests on, after merging. */}}
{{- define "orthanc.undermined" -}}
{{- $accepted := .Values.acceptRisks -}}
{{- $own := include "orthanc.defaults" . | fromYaml -}}
{{- $config := mergeOverwrite (deepCopy $own) (deepCopy .Values.config) -}}
{{- range (.Files.Get "files/guarded.json" | fromJson).keys -}}
{{- $value := include "orthanc.at" (dict "config" $config "key" .key) -}}
{{- $kept := eq $value (include "orthanc.at" (dict "config" $own "key" .key)) -}}
{{- range .may -}}{{- if eq $value (toJson .) -}}{{- $kept = true -}}{{- end -}}{{- end -}}
{{- if and (hasKey . "min") (regexMatch "^[0-9]+$" $value) -}}{{- if ge (int64 $value) (int64 .min) -}}{{- $kept = true -}}{{- end -}}{{- end -}}
{{- if hasKey . "not" -}}{{- if not (has $value (splitList "\n" (include "orthanc.jsonLines" .not))) -}}{{- $kept = true -}}{{- end -}}{{- end -}}
{{- range $key, $wanted := .unless -}}
{{- if eq (toJson $wanted) (include "orthanc.at" (dict "config" $config "key" $key)) -}}{{- $kept = true -}}{{- end -}}
{{- end -}}
{{- if and .accept (has .key $accepted) -}}{{- $kept = true -}}{{- end -}}
{{- if not $kept }}
config.{{ .key }}: {{ if $value }}can't be {{ $value }}{{ else }}is missing{{ end }}: {{ .why }}{{ with .instead }}; say it by {{ .chart }}{{ end }}{{ if .accept }}; acceptRisks: [{{ .key }}] accepts it{{ end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "orthanc.jsonLines" -}}{{- range . }}{{ toJson . }}{{ "\n" }}{{ end -}}{{- end -}}

{{/* Names in acceptRisks that are none, or that can't be accepted. */}}
{{- define "orthanc.wrongRisks" -}}
{{- $table := .Files.Get "files/guarded.json" | fromJson -}}
{{- $names := list -}}{{- $never := dict -}}
{{- range $table.risks -}}{{- $names = append $names .name -}}{{- end -}}
{{- range $table.keys -}}{{- if .accept -}}{{- $names = append $names .key -}}{{- else -}}{{- $_ := set $never .key .why -}}{{- end -}}{{- end -}}
{{- range .Values.acceptRisks -}}
{{- if hasKey $never . }}
acceptRisks: {{ . }} can't be accepted: {{ get $never . }}
{{- else if not (has . $names) }}
acceptRisks: there is no risk '{{ . }}'{{ with include "orthanc.meant" (dict "word" . "known" $names) }} (did you mean '{{ . }}'?){{ end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values of the chart itself that are a risk. */}}
{{- define "orthanc.risks" -}}
{{- $table := .Files.Get "files/guarded.json" | fromJson -}}
{{- $why := dict -}}{{- range $table.risks -}}{{- $_ := set $why .name .why -}}{{- end -}}
{{- $found := list -}}
{{- $images := dict "images.orthanc" .Values.images.orthanc "images.postgres" .Values.images.postgres "postgresql.cnpg.image" .Values.postgresql.cnpg.image -}}
{{- range $place, $image := $images -}}
{{- $tag := regexFind ":[^/]*$" (first (splitList "@" $image)) | trimPrefix ":" -}}
{{- if and $image (not (contains "@" $image)) (or (not $tag) (has $tag $table.movingTags)) -}}
{{- $found = append $found (list $place $image "moving-image-tags") -}}
{{- end -}}
{{- end -}}
{{- if not .Values.networkPolicy.enabled -}}{{- $found = append $found (list "networkPolicy.enabled" "false" "open-network") -}}{{- end -}}
{{- $mode := include "orthanc.sslMode" . -}}
{{- if eq $mode "disable" -}}{{- $found = append $found (list "postgresql.external.sslMode" $mode "unencrypted-database") -}}{{- end -}}
{{- if eq $mode "require" -}}{{- $found = append $found (list "postgresql.external.sslMode" $mode "unverified-database") -}}{{- end -}}
{{- $accepted := .Values.acceptRisks -}}
{{- range $found -}}
{{- if not (has (index . 2) $accepted) }}
{{ index . 0 }}: can't be {{ index . 1 }}: {{ get $why (index . 2) }}; acceptRisks: [{{ index . 2 }}] accepts it
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What is the same for all ways to write one plugin: its name without folder, lib, Orthanc and .so. */}}
{{- define "orthanc.pluginKey" -}}
{{- base . | regexFind "^[^.]*" | trimPrefix "lib" | trimPrefix "Orthanc" | lower | replace "-" "" | replace "_" "" -}}
{{- end -}}

{{/* The plugins that start.sh gathers, one a line: the usual ones and those of the values, each once. */}}
{{- define "orthanc.plugins" -}}
{{- $table := (.Files.Get "files/guarded.json" | fromJson).plugins -}}
{{- $given := list -}}
{{- range .Values.plugins -}}{{- $given = append $given (include "orthanc.pluginKey" .) -}}{{- end -}}
{{- $whole := true -}}
{{- range $table.required -}}{{- if not (has (include "orthanc.pluginKey" .) $given) -}}{{- $whole = false -}}{{- end -}}{{- end -}}
{{- $files := dict -}}{{- $order := list -}}
{{- if not $whole -}}
{{- range $table.usual -}}
{{- $key := include "orthanc.pluginKey" . -}}
{{- $order = append $order $key -}}{{- $_ := set $files $key (printf "/usr/share/orthanc/plugins-available/lib%s.so" .) -}}
{{- end -}}
{{- end -}}
{{- $names := dict -}}
{{- range concat $table.usual $table.others -}}{{- $_ := set $names (include "orthanc.pluginKey" .) . -}}{{- end -}}
{{- range .Values.plugins -}}
{{- $folder := and (contains "/" .) (not (contains ".so" (base .))) -}}
{{- $key := ternary . (include "orthanc.pluginKey" .) $folder -}}
{{- $name := get $names $key | default (. | trimSuffix ".so" | trimPrefix "lib") -}}
{{- if not (has $key $order) -}}{{- $order = append $order $key -}}{{- end -}}
{{- $_ := set $files $key (ternary . (printf "/usr/share/orthanc/plugins-available/lib%s.so" $name) (contains "/" .)) -}}
{{- end -}}
{{- range $order }}{{ get $files . }}{{ "\n" }}{{ end -}}
{{- end -}}

{{/* Plugins that would take the place of PostgreSQL, or a list without what is required. */}}
{{- define "orthanc.wrongPlugins" -}}
{{- $table := (.Files.Get "files/guarded.json" | fromJson).plugins -}}
{{- $refused := list -}}{{- range $table.refused -}}{{- $refused = append $refused (include "orthanc.pluginKey" .) -}}{{- end -}}
{{- $given := list -}}
{{- range .Values.plugins -}}
{{- $key := include "orthanc.pluginKey" . -}}
{{- if has $key $refused }}
plugins: plugin '{{ . }}' can't be used: {{ $table.why }}
{{- end -}}
{{- if not (and (contains "/" .) (not (contains ".so" (base .)))) -}}{{- $given = append $given $key -}}{{- end -}}
{{- end -}}
{{- $missing := list -}}
{{- range $table.required -}}{{- if not (has (include "orthanc.pluginKey" .) $given) -}}{{- $missing = append $missing . -}}{{- end -}}{{- end -}}
{{- $some := false -}}
{{- range $table.usual -}}{{- if has (include "orthanc.pluginKey" .) $given -}}{{- $some = true -}}{{- end -}}{{- end -}}
{{- if and $some $missing }}
plugins: the list leaves out {{ join " and " $missing }}, without which images are lost or can't be read; list only what is to be added to the usual ones, or all of them
{{- end -}}
{{- end -}}

{{/* A size as a number of bytes, CPU as cores; -1 for what is neither. */}}
{{- define "orthanc.amount" -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $number := trimSuffix $unit $text -}}
{{- if and (regexMatch "^[0-9]+([.][0-9]+)?$" $number) (hasKey $units $unit) -}}{{- mulf (float64 $number) (float64 (get $units $unit)) -}}{{- else -}}-1{{- end -}}
{{- end -}}

{{/* What is wrong with one amount: "place", "value", "what" (cpu or a size), "least" bytes, "usual" unit. */}}
{{- define "orthanc.wrongAmount" -}}
{{- $text := toString .value -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $number := trimSuffix $unit $text | trim -}}
{{- $amount := float64 (include "orthanc.amount" .value) -}}
{{- if eq .what "cpu" -}}
{{- if or (le $amount 0.0) (not (has $unit (list "" "m"))) }}
{{ .place }}: '{{ $text }}' is not an amount of CPU like 500m or 2
{{- else if gt $amount 256.0 }}
{{ .place }}: '{{ $text }}' is {{ $amount }} cores; did you mean {{ $number }}m?
{{- end -}}
{{- else if or (eq $unit "") (eq $unit "m") (lt $amount 0.0) -}}
{{- $letter := $unit | trunc 1 | upper -}}
{{- $decimal := ternary "k" $letter (eq $letter "K") -}}
{{- $near := ternary (printf "%s%si" $number $letter) (printf "%s%s" $number .usual) (has $letter (list "K" "M" "G" "T" "P" "E")) -}}
{{- if regexMatch "^[KMGTPEkmgtpe][Bb]$" $unit -}}{{- $near = printf "%s%s or %s" $number $decimal $near -}}{{- end -}}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?$" $number) -}}{{- $near = .atLeast -}}
{{- else if lt (float64 (include "orthanc.amount" (last (splitList " " $near)))) (float64 .least) -}}{{- $near = .atLeast -}}{{- end }}
{{ .place }}: '{{ $text }}' {{ ternary "has no unit, so Kubernetes takes it as bytes" "is not a size" (eq $unit "") }}; did you mean {{ $near }}?
{{- else if lt $amount (float64 .least) }}
{{ .place }}: '{{ $text }}' is too small: at least {{ .atLeast }}
{{- end -}}
{{- end -}}

{{/* Amounts of all containers and of the volume, and requests above limits. */}}
{{- define "orthanc.wrongAmounts" -}}
{{- include "orthanc.wrongAmount" (dict "place" "postgresql.storage.size" "value" .Values.postgresql.storage.size "what" "storage" "least" 1073741824 "atLeast" "1Gi" "usual" "Gi") -}}
{{- range $place, $resources := dict "resources" .Values.resources "postgresql.resources" .Values.postgresql.resources -}}
{{- range $list, $amounts := $resources -}}
{{- range $what, $value := $amounts -}}
{{- $few := regexMatch "^([0-9]|1[0-5])([.][0-9]+)?$" (toString $value) -}}
{{- if has $what (list "cpu" "memory" "ephemeral-storage") -}}
{{- include "orthanc.wrongAmount" (dict "place" (printf "%s.%s.%s" $place $list $what) "value" $value "what" $what "least" 4194304 "atLeast" "4Mi" "usual" (ternary "Gi" "Mi" $few)) -}}
{{- end -}}
{{- $limit := get ($resources.limits | default dict) $what -}}
{{- if and (eq $list "requests") $limit -}}
{{- if gt (float64 (include "orthanc.amount" $value)) (float64 (include "orthanc.amount" $limit)) }}
{{ $place }}.requests.{{ $what }}: the request {{ $what }} {{ $value }} is more than its limit {{ $limit }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A namespace that is somebody else's. */}}
{{- define "orthanc.wrongNamespace" -}}
{{- $reserved := .Files.Get "files/reserved.json" | fromJson -}}
{{- $place := .Release.Namespace -}}
{{- $owner := get $reserved.names $place -}}
{{- range $prefix, $name := $reserved.prefixes -}}{{- if hasPrefix $prefix $place -}}{{- $owner = $name -}}{{- end -}}{{- end -}}
{{- if $owner }}
the namespace {{ $place }} is reserved for {{ $owner }}; Orthanc needs a namespace of its own: --namespace NAME --create-namespace
{{- end -}}
{{- end -}}

{{/* Why a password can't be used; nothing where it can: "password", "root". It is never told. */}}
{{- define "orthanc.unfit" -}}
{{- $table := (.root.Files.Get "files/guarded.json" | fromJson).passwords -}}
{{- if lt (len .password) (int $table.shortest) -}}is shorter than {{ $table.shortest }} characters
{{- else if has (lower .password) $table.known -}}is one that everybody knows
{{- else if regexMatch "[[:cntrl:]]" .password -}}holds a control character
{{- end -}}
{{- end -}}

{{/* All of it. */}}
{{- define "orthanc.faults" -}}
{{- range list "orthanc.wrongNamespace" "orthanc.wrongRisks" "orthanc.wrongConfig" "orthanc.undermined" "orthanc.wrongPlugins" "orthanc.risks" "orthanc.wrongAmounts" -}}
{{- include . $ -}}
{{- end -}}
{{- end -}}
