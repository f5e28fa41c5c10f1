#!/bin/sh
# "Can it serve?": a question that only the database can answer. The password goes by stdin, not by argv.
printf 'user = "%s:%s"\n' "$PROBE_USER" "$(printenv "$PROBE_VARIABLE")" |
  curl --config - --silent --fail --max-time 4 --output /dev/null "http://127.0.0.1:8042/changes?limit=1"
