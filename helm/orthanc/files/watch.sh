#!/bin/bash
# Runs beside Orthanc, which notices that a connection to the database is lost only when an image needs it. This counts
# them five times a second, out of the kernel's own list and without starting a program, and when there are fewer has
# Orthanc connect anew. Meanwhile the pod is not Ready.
set -u
here=${0%/*} state=${TMPDIR:-/tmp} config='' open=0 now=0
IFS= read -r -d '' config < "$here/orthanc.json"
[[ $config =~ \"ConnectionUri\"[^,]*:([0-9]+)/ ]]
printf -v mark ':%04X 01 ' "${BASH_REMATCH[1]-5432}" # the other end's port; 01: established
both='/proc/net/tcp /proc/net/tcp6' tables=$both
count() { # the kernel looks through all sockets of the node for a list: only those that have connections are read again
  local table file without found having=''
  now=0
  for file in $tables; do
    IFS= read -r -d '' table 2>/dev/null < $file
    without=${table//"$mark"/}
    found=$(((${#table} - ${#without}) / ${#mark}))
    [ "$found" -eq 0 ] || having+="$file "
    now=$((now + found))
  done
  tables=${having:-$both}
}
exec 9<> <(:) # nothing ever comes from here: reading it is waiting
while :; do
  read -r -t 0.2 -u 9
  count
  if [ "$now" -lt "$open" ] || [ -e "$state/lost" ]; then
    : > "$state/lost"
    echo "connections to the database: $now of $open are left, connecting anew"
    until bash "$here/ready.sh" lost; do read -r -t 0.5 -u 9; done
    tables=$both
    count
    rm -f "$state/lost"
    echo "connections to the database: $now"
  fi
  open=$now
done
