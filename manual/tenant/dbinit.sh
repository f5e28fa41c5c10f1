#!/bin/sh
# Makes Orthanc's role, database and extensions where they are missing, and sets the role's password.
# It can run any number of times. PGHOST, PGUSER and PGPASSWORD are those of the superuser.
set -eu
until pg_isready --quiet; do sleep 1; done
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
