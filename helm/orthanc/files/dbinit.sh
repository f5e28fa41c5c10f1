#!/bin/sh
# Makes Orthanc's role, database and extension where they are missing, and sets the role's password. It can run any
# number of times. PGHOST, PGUSER and PGPASSWORD are those of the superuser.
# As a job it ends. Beside PostgreSQL, SERVES_AT is set: it runs at each start of the pod, and then waits to be ended.
set -eu
trap 'exit 0' TERM INT
# beside PostgreSQL over TCP: while the cluster of databases is being made, it answers on its socket only
until pg_isready --quiet --host="${SERVES_AT:-$PGHOST}"; do sleep 1; done
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname=postgres --set=owner="$OWNER" --set=database="$DATABASE" <<'SQL'
-- The password is in statements here: none of them goes into the server's log (statements, slow ones, failed ones,
-- a crash), into its statistics, or with a failure into this job's log.
SET log_min_messages = panic;
SET log_min_error_statement = panic;
SET log_statement = none;
SET log_min_duration_statement = -1;
SET track_activities = off;
SET pg_stat_statements.track = none;
SET pgaudit.log = none;
\set VERBOSITY terse
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
[ -n "${SERVES_AT:-}" ] || exit 0
touch /tmp/ready
while :; do
  sleep 3600 &
  wait $!
done
