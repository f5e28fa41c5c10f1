#!/bin/bash
# Starts Orthanc as the vendor's entry point does: one argument, a host id of the container's own, and a configuration
# that is put together from /etc/orthanc, /run/secrets and variables. Writes to /etc, /tmp and the folder of plugins.
set -e
if [ $# -ne 1 ]; then
  echo "one argument is needed: the path of the configuration" >&2
  exit 2
fi
if [ "${GENERATE_HOST_ID_IF_MISSING:-true}" = true ] && [ "$(cat /etc/hostid 2>/dev/null)" = not-generated ]; then
  printf '%x\n' "$(shuf -i 268435456-4294967295 -n 1)" > /etc/hostid
fi
cd /startup
python3 generateConfiguration.py
exec Orthanc "$1"
