#!/bin/sh
# Makes Orthanc's role, database and extension where they are missing, and sets the role's password. It runs beside
# PostgreSQL at each start, speaks to it over the socket that only this pod has, and then waits to be ended.
set -eu
trap 'exit 0' TERM INT
# over TCP: while the cluster of databases is being made, it answers on its socket only
until pg_isready --quiet --host=127.0.0.1; do sleep 1; done
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname=postgres --set=owner="$OWNER" --set=database="$DATABASE" <<'SQL'
\getenv password ORTHANC_POSTGRES_PASSWORD
SELECT format('CREATE ROLE %I', :'owner')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', :'owner', :'password') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'database') \gexec
SQL
# searching by a part of a name needs trigrams
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname="$DATABASE" --command='CREATE EXTENSION IF NOT EXISTS pg_trgm'
echo "database $DATABASE is ready"
touch /tmp/ready
while :; do
  sleep 3600 &
  wait $!
done
