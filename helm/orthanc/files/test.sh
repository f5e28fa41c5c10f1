#!/bin/sh
# From inside of the cluster, through the ingress: 401 without a password, an answer with it, TLS for the DICOM name,
# and a C-ECHO that Orthanc sends to its own Service.
set -eu
user() { printf 'user = "%s:%s"\n' "$TEST_USER" "$(printenv "$TEST_VARIABLE")"; }
if [ -n "$ENTRY" ]; then
  base="https://$WEB_HOST"
  set -- --connect-to "$WEB_HOST:443:$ENTRY:443" --connect-to "$DICOM_HOST:11112:$ENTRY:11112"
  if [ -s /etc/korthweb/tls/ca.crt ]; then set -- "$@" --cacert /etc/korthweb/tls/ca.crt; fi
else
  base="http://$ORTHANC:8042"
fi
set -- --silent --show-error --max-time 20 "$@"
say() { echo "$1: $2"; }
fail() { say "$1" "FAILED: $2"; exit 1; }

# routes need a moment until the ingress has read them
tries=30
until code=$(curl "$@" --output /dev/null --write-out '%{http_code}' "$base/system") && [ "$code" != 404 ]; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || fail "HTTPS" "no answer from $base (${code:-nothing})"
  sleep 1
done
[ "$code" = 401 ] || fail "without a password" "HTTP $code instead of 401"
say "without a password" "401"
user | curl "$@" --config - --fail --output /tmp/system.json "$base/system" || fail "login" "$base/system"
say "with the password" "$(tr -d ' \n\t' < /tmp/system.json | grep -o '"Version":"[^"]*"')"
if [ -n "$ENTRY" ]; then
  # the handshake is what counts: a DICOM server has no answer to HTTP
  seconds=$(curl "$@" --output /dev/null --write-out '%{time_appconnect}' "https://$DICOM_HOST:11112/" 2> /tmp/tls) || true
  case "$seconds" in 0 | 0.000000 | '') fail "TLS for $DICOM_HOST" "$(cat /tmp/tls)" ;; esac
  say "TLS for $DICOM_HOST" "handshake in ${seconds} s"
fi
body=$(printf '{"AET": "%s", "Host": "%s", "Port": 4242, "Timeout": 10}' "$AET" "$ORTHANC")
user | curl "$@" --config - --fail --output /dev/null --data "$body" "$base/tools/dicom-echo" || fail "C-ECHO" "$ORTHANC:4242"
say "C-ECHO" "$AET at $ORTHANC:4242 answers"
