#!/bin/sh
# Generates the passwords of BHC as Secrets. What is there already stays as it is.
# kubectl's own flags go along: ./credentials-bhc.sh --context hospital-a
set -eu
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
kubectl_args="$*"

secret() {
    name=$1
    shift
    # shellcheck disable=SC2086 - the flags are several words
    if kubectl $kubectl_args --namespace bhc-orthweb get secret "$name" >/dev/null 2>&1; then return; fi
    for key in "$@"; do
        # letters, digits, - and _ only: every file format carries them
        head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' > "$folder/$key"
        set -- "$@" "--from-file=$key=$folder/$key"
        shift
    done
    # shellcheck disable=SC2086
    kubectl $kubectl_args --namespace bhc-orthweb create secret generic "$name" "$@"
}

# Prometheus asks Orthanc with a copy of a password, in its own namespace
metrics() {
    # shellcheck disable=SC2086
    kubectl $kubectl_args --namespace bhc-orthweb get secret orthanc-users \
        --output "jsonpath={.data.$3}" | base64 -d > "$folder/password"
    # shellcheck disable=SC2086
    kubectl $kubectl_args --namespace observability create secret generic "$1" "--from-literal=username=$2" \
        "--from-file=password=$folder/password" --dry-run=client --output yaml |
        kubectl $kubectl_args apply --server-side --force-conflicts --filename -
}

secret orthanc-users ORTHANC_ADMIN_PASSWORD
secret orthanc-database ORTHANC_POSTGRES_PASSWORD
secret postgres-admin POSTGRES_PASSWORD
metrics orthanc-metrics-bhc-orthweb admin ORTHANC_ADMIN_PASSWORD
