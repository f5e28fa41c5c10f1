#!/bin/sh
# Before a pod ends: the ingress stops sending here first, then open DICOM associations are given time to finish.
sleep 10
left="$1"
# 1092 is port 4242; 01 is an established connection
while [ "$left" -gt 0 ] && grep -qsE '^ *[0-9]+: [0-9A-F]+:1092 [0-9A-F]+:[0-9A-F]{4} 01 ' /proc/net/tcp /proc/net/tcp6; do
  sleep 1
  left=$((left - 1))
done
