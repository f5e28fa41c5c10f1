#!/bin/bash
# Starts PostgreSQL; makes the database cluster first when there is none.
#
# Variables: POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB (each also as ..._FILE), POSTGRES_INITDB_ARGS,
# POSTGRES_HOST_AUTH_METHOD, PGDATA. Files *.sh, *.sql and *.sql.gz of /docker-entrypoint-initdb.d run once.
#
# The cluster is made in a folder beside its place and moved there when it is whole, so that a pod which is
# killed half way starts over instead of serving half a database.
set -euo pipefail

say() { echo "postgres-entrypoint: $*" >&2; }

# setting NAME DEFAULT: sets NAME from its value, from the file that NAME_FILE names, or to DEFAULT.
setting() {
    local file_name="$1_FILE"
    local file="${!file_name:-}"
    if [ -n "${!1:-}" ] && [ -n "$file" ]; then
        say "$1 and $file_name are both set"
        exit 1
    fi
    if [ -n "$file" ]; then
        printf -v "$1" %s "$(cat "$file")"
    else
        printf -v "$1" %s "${!1:-$2}"
    fi
    unset "$file_name"
}

run_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh)
                say "running $file"
                if [ -x "$file" ]; then "$file"; else . "$file"; fi
                ;;
            *.sql) say "running $file"; query -f "$file" ;;
            *.sql.gz) say "running $file"; gunzip -c "$file" | query ;;
        esac
    done
}

query() { psql -v ON_ERROR_STOP=1 --no-psqlrc --no-password -q --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"; }

make_cluster() {
    local staging="$1" method="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" quoted
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$method" != trust ]; then
        say "POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE) is needed to make the database"
        exit 1
    fi
    rm -rf "$staging"
    mkdir -m 0700 "$staging"
    # A file and not an argument: arguments can be seen by every process of the pod.
    (umask 077 && printf '%s\n' "${POSTGRES_PASSWORD:-unused}" > "$staging.password")
    # shellcheck disable=SC2086 - the variable holds several words
    initdb --pgdata "$staging" --username "$POSTGRES_USER" --pwfile "$staging.password" \
        --auth-local trust --auth-host "$method" ${POSTGRES_INITDB_ARGS:-}
    rm -f "$staging.password"
    echo "host all all all $method" >> "$staging/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$staging/postgresql.conf"

    pg_ctl --pgdata "$staging" -o "-c listen_addresses='' -c fsync=off" -w start
    if [ "$POSTGRES_DB" != postgres ]; then
        quoted="${POSTGRES_DB//\"/\"\"}"
        POSTGRES_DB=postgres query -c "CREATE DATABASE \"$quoted\""
    fi
    PGDATA="$staging" run_files
    pg_ctl --pgdata "$staging" -m fast -w stop
    rm -f "$staging/postmaster.opts"
    sync -f "$staging"
    touch "$staging/.whole"
}

# PG_VERSION goes last: only with it is the folder a cluster.
move_cluster() {
    local staging="$1" entry
    shopt -s dotglob nullglob
    for entry in "$staging"/*; do
        case "${entry##*/}" in
            PG_VERSION | .whole) ;;
            *) mv -f -T "$entry" "$PGDATA/${entry##*/}" ;;
        esac
    done
    shopt -u dotglob nullglob
    mv -f "$staging/PG_VERSION" "$PGDATA/PG_VERSION"
    rm -rf "$staging"
}

if [ "${1:0:1}" = - ]; then
    set -- postgres "$@"
fi
case " $* " in
    " postgres"*" --version "* | " postgres"*" -V "* | " postgres"*" --help "*) exec "$@" ;;
    " postgres "*) ;;
    *) exec "$@" ;;
esac

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /run/postgresql
    find "$PGDATA" /run/postgresql ! -user postgres -exec chown postgres:postgres {} +
    exec chroot --userspec=postgres:postgres --skip-chdir / "$0" "$@"
fi

setting POSTGRES_USER postgres
setting POSTGRES_PASSWORD ""
setting POSTGRES_DB "$POSTGRES_USER"
export POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB

mkdir -p "$PGDATA"
chmod 0700 "$PGDATA" 2> /dev/null || true # the group of a volume may need to stay
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    staging="$PGDATA/.making"
    if [ ! -e "$staging/.whole" ]; then
        say "making the database cluster in $PGDATA"
        make_cluster "$staging"
    fi
    move_cluster "$staging"
    say "the database cluster is ready"
fi
unset POSTGRES_PASSWORD
exec "$@"
