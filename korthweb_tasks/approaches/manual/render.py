"""The manual approach as files for a person: manifests in the order of their application, and how to apply them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.manual.components import TENANT
from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.shared.common import (
    ADMIN_PASSWORD,
    ADMIN_SECRET,
    DATABASE_SECRET,
    OBSERVABILITY,
    USERS_SECRET,
    metrics_secret,
)
from korthweb_tasks.approaches.shared.policies import FILE as POLICIES
from korthweb_tasks.approaches.shared.policies import tenant_policies
from korthweb_tasks.core.render import as_yaml
from korthweb_tasks.settings.orthanc import DATABASE_PASSWORD, password_variables

if TYPE_CHECKING:
    from korthweb_tasks.settings.tenant import Tenant


def rendered(manifests: Manifests, tenants: Iterable[Tenant]) -> dict[str, str]:
    """Return path → text. ``kubectl apply --filename FOLDER`` takes the numbered manifests and nothing else."""
    chosen = tuple(tenants)
    uses = manifests.settings.uses
    # the credentials come between the namespace and these
    kinds = [one.kind for one in TENANT if one.artifact and one.kind != "namespace"] + ["gateway"] * uses("istio")
    files = {f"011-{POLICIES}": tenant_policies()}
    if not uses("istio"):
        files |= {"tools/istio-operator.yaml": manifests.operator, "010-mesh.yaml": manifests.text("istio/mesh.yaml")}
    if not uses("cert-manager"):
        files["tools/cert-manager-values.yaml"] = as_yaml([manifests.cert_manager.values])
    for number, tenant in enumerate(chosen):
        first = 20 + number * 10
        name = tenant.name.lower()
        files[f"{first:03}-{name}-namespace.yaml"] = manifests.text("tenant/namespace.yaml", tenant)
        files[f"credentials-{name}.sh"] = credentials_script(
            tenant, metrics=manifests.settings.observability.prometheus
        )
        for offset, kind in enumerate(kinds, 1):
            files[f"{first + offset:03}-{name}-{kind}.yaml"] = manifests.text(f"tenant/{kind}.yaml", tenant)
    last = 20 + len(chosen) * 10
    watching = manifests.watching
    for offset, kind in enumerate(("namespace", *watching) if watching else ()):
        files[f"{last + offset:03}-observability-{kind}.yaml"] = manifests.text(f"observability/{kind}.yaml")
    files["README.md"] = guide(manifests, chosen)
    return files


def credentials_script(tenant: Tenant, *, metrics: bool) -> str:
    """Return a script that generates the Secrets which are missing; it holds no password itself."""
    keys = {
        USERS_SECRET: tuple(password_variables(tenant).values()),
        DATABASE_SECRET: (DATABASE_PASSWORD,),
        ADMIN_SECRET: (ADMIN_PASSWORD,),
    }
    lines = [f"secret {name} {' '.join(variables)}" for name, variables in keys.items()]
    user = tenant.users[0]
    copy = f"metrics {metrics_secret(tenant)} {user} {password_variables(tenant)[user]}" if metrics else ""
    return (
        f"""#!/bin/sh
# Generates the passwords of {tenant.name} as Secrets. What is there already stays as it is.
# kubectl's own flags go along: ./credentials-{tenant.name.lower()}.sh --context hospital-a
set -eu
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
kubectl_args="$*"

secret() {{
    name=$1
    shift
    # shellcheck disable=SC2086 - the flags are several words
    if kubectl $kubectl_args --namespace {tenant.namespace} get secret "$name" >/dev/null 2>&1; then return; fi
    for key in "$@"; do
        # letters, digits, - and _ only: every file format carries them
        head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\\n' > "$folder/$key"
        set -- "$@" "--from-file=$key=$folder/$key"
        shift
    done
    # shellcheck disable=SC2086
    kubectl $kubectl_args --namespace {tenant.namespace} create secret generic "$name" "$@"
}}

# Prometheus asks Orthanc with a copy of a password, in its own namespace
metrics() {{
    # shellcheck disable=SC2086
    kubectl $kubectl_args --namespace {tenant.namespace} get secret orthanc-users \\
        --output "jsonpath={{.data.$3}}" | base64 -d > "$folder/password"
    # shellcheck disable=SC2086
    kubectl $kubectl_args --namespace {OBSERVABILITY} create secret generic "$1" "--from-literal=username=$2" \\
        "--from-file=password=$folder/password" --dry-run=client --output yaml |
        kubectl $kubectl_args apply --server-side --force-conflicts --filename -
}}

{chr(10).join(lines)}
{copy}
""".rstrip("\n")
        + "\n"
    )


def guide(manifests: Manifests, tenants: tuple[Tenant, ...]) -> str:
    """Return what to type, in order."""
    release = manifests.cert_manager
    chart = release.source if release.local or release.source.startswith("oci://") else release.chart
    repository = "" if chart == release.source else f" --repo {release.source}"
    waits = "\n".join(
        f"kubectl --namespace {tenant.namespace} rollout status deployment/orthanc --timeout=15m" for tenant in tenants
    )
    uses = manifests.settings.uses
    tools = "" if uses("istio") else "istioctl install --filename tools/istio-operator.yaml --skip-confirmation\n"
    if not uses("cert-manager"):
        tools += (
            f"helm upgrade --install cert-manager {chart}{repository} --version {release.version} \\\n"
            "  --namespace cert-manager --create-namespace --values tools/cert-manager-values.yaml --wait\n"
        )
    tools += "\n" if tools else ""
    watched = bool(manifests.observability())
    last = f"{20 + len(tenants) * 10:03}-observability-namespace.yaml"
    scripts = f"kubectl apply --server-side --filename {last}\n" if watched else ""
    scripts += "\n".join(
        f"kubectl apply --server-side --filename {20 + number * 10:03}-{tenant.name.lower()}-namespace.yaml\n"
        f"sh credentials-{tenant.name.lower()}.sh"
        for number, tenant in enumerate(tenants)
    )
    return f"""# Orthanc by hand

These files were written by `korthweb manual.render`. In this order, each command with `--context` of your cluster:

```sh
{tools}# passwords are generated in the cluster; no file has them
{scripts}

# the webhooks of Istio and cert-manager may refuse for some seconds, until they serve
until kubectl apply --server-side --filename .; do sleep 3; done
{waits}
```

`kubectl apply --filename .` takes the numbered files in their order. `korthweb manual.diff` says later what differs.
"""
