#!/bin/bash
# "Can it serve?": every connection to the database is asked something, those of the index and that of the images.
# A connection that was lost fails when it is used next, and the image that uses it is refused, so it is used here first.
# Every image of Orthanc has bash and base64, and they are cheap: 7 ms of CPU, where python3 takes 300. What they are
# asked with is in no argument that other processes could read: printf and read are parts of bash itself.
#   ready.sh       for the probe: fails while watch.sh says that connections are lost
#   ready.sh lost  for watch.sh: makes Orthanc connect anew
set -u
mode=${1-}
config='' state=${TMPDIR:-/tmp}
IFS= read -r -d '' config < "${0%/*}/orthanc.json"
number() { [[ $config =~ \"$1\"[^0-9a-zA-Z]*([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo "$2"; }
http=$(number HttpPort 8042) connections=$(number IndexConnectionsCount 1)
login=$(printf '%s:%s' "$PROBE_USER" "${!PROBE_VARIABLE}" | base64 --wrap=0)

# ask METHOD PATH: puts the answer into $body; returns 1 if it is not 200, 2 without an answer in 4 seconds
ask() {
  local line
  status=''
  exec 3<>"/dev/tcp/127.0.0.1/$http" || return 2
  printf '%s %s HTTP/1.0\r\nAuthorization: Basic %s\r\nContent-Length: 0\r\n\r\n' "$1" "$2" "$login" >&3
  read -r -t 4 -u 3 line status line || { echo "$1 $2: no answer"; return 2; }
  while IFS= read -r -t 4 -u 3 line && [ "${line%$'\r'}" ]; do :; done
  IFS= read -r -t 4 -d '' -u 3 body
  exec 3<&-
  [ "$status" = 200 ] || { echo "$1 $2: HTTP $status"; return 1; }
}

# the connections of the index serve in turn; when they are lost, each fails once
index() {
  local turn code=0
  for ((turn = 0; turn < connections; turn++)); do
    ask GET '/changes?limit=1' || { code=$?; [ "$mode$code" = lost1 ] || return $code; }
  done
  return $code
}

# One image is read: of all routes this is the one that Orthanc answers from where images are, not from its memory.
# One of 16 MB or more would take too long for a question that comes every 5 seconds, and a damaged one is no reason
# to take the pod away: 503 alone says that the database is not there.
storage() {
  local image images
  ask GET '/instances?limit=4&since=0' || return
  images=${body//[^0-9a-f-]/ } empty=yes
  for image in $images; do
    empty=''
    ask GET "/instances/$image/attachments/dicom/size" && [ "$body" -lt 16000000 ] || continue
    ask POST "/instances/$image/attachments/dicom/verify-md5" && return
    case $status in '') return 2 ;; 503) return 1 ;; esac
  done
}

check() { index && storage; }

if [ "$mode" = lost ]; then
  # the first time closes what is dead, the second connects
  check || check || exit
  # where nothing is nothing can be read: an empty Orthanc starts anew, in the same process, and is asked again
  if [ "$empty" ] && [ ! -e "$state/anew" ]; then
    ask POST /tools/reset || exit
    : > "$state/anew"
    while ask GET /system; do sleep 0.2; done
    exit 1
  fi
  rm -f "$state/anew"
  exit 0
fi

[ ! -e "$state/lost" ] || { echo "connections to the database are lost"; exit 1; }
check
case $? in
  0) : > "$state/served"; exit 0 ;;
  1) : > "$state/lost" ;;
  # busy is not away: a pod that has served may be late twice
  2) [ -e "$state/served" ] && printf . >> "$state/served" && [ "$(wc -c < "$state/served")" -lt 3 ] && exit 0 ;;
esac
rm -f "$state/served"
exit 1
