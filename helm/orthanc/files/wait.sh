#!/bin/sh
# Before Orthanc starts, in the image of PostgreSQL. libpq takes host, role, password and TLS from PG... variables.
set -eu
# DCMTK makes UIDs from the first four bytes of /etc/hostid, which would be the same in every pod of one image
head -c 4 /dev/urandom > /run/host/id
# Orthanc gives up on a database that is late. This asks as Orthanc will: with its role, for its extension
query="SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'"
until [ "$(psql --no-psqlrc --tuples-only --no-align --command="$query")" = 1 ]; do sleep 1; done
