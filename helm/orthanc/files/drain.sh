#!/bin/bash
# Before a pod ends: the ingress stops sending here first, then what is open is given time to finish: associations (4242,
# 1092 in the kernel's list) and HTTP (8042, 1F6A). 01 is an established connection. $1: seconds at the most.
open() { # not counting 127.0.0.1 (0100007F) and ::1: the pod's own probe, which waits long where the database has gone
  grep -hsE '^ *[0-9]+: [0-9A-F]+:(1092|1F6A) [0-9A-F]+:[0-9A-F]{4} 01 ' /proc/net/tcp /proc/net/tcp6 |
    grep -qvE ' ([0-9A-F]*0100007F|0{24}01000000):[0-9A-F]{4} 01 '
}
sleep 10
end=$((SECONDS + $1)) quiet=0
# Five seconds without any: a busy ingress may learn late that this pod is no place to send to. An association with one
# image in it is over within a fraction of a second, so they are looked for five times a second.
while [ "$SECONDS" -lt "$end" ] && [ "$quiet" -lt 25 ]; do
  quiet=$((quiet + 1))
  if open; then quiet=0; fi
  sleep 0.2
done
