"""What the manual approach deploys: one row for each component. Plan, tasks, files and checks read it here. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from korthweb_tasks.approaches.shared.common import DATABASE_SECRET, USERS_SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component, which a step of its kind deploys.

    ``title`` is what a person reads after the tenant's name. ``task`` installs it without the rest, once what it
    ``needs`` is there; ``signs`` are the resources by which that is seen, ``{ns}`` is the tenant's namespace.
    A tenant's is the artifact ``tenant/KIND.yaml``, unless ``artifact`` is False; ``workload`` (kind, name) has to be
    ready. ``simulated``: a lab whose pods run no programs takes it.
    """

    kind: str
    task: str = ""
    title: str = ""
    needs: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    workload: tuple[str, str] | None = None
    artifact: bool = True
    simulated: bool = False


#: what tenants share
SHARED = (
    Component(kind="policies"),
    Component(kind="istio", task="install-istio", signs=("customresourcedefinition/gateways.networking.istio.io",)),
    Component(
        kind="cert-manager",
        task="install-cert-manager",
        signs=("customresourcedefinition/certificates.cert-manager.io",),
    ),
    Component(kind="observability", task="install-observability", needs=("istio",)),
)
#: what each tenant has, in the order in which a person reads it
TENANT = (
    Component(
        kind="namespace",
        task="configure",
        title="namespace and network policies",
        needs=("policies",),
        signs=("namespace/{ns}",),
        simulated=True,
    ),
    Component(
        kind="credentials",
        task="configure",
        title="passwords",
        needs=("namespace",),
        signs=(f"secret/{USERS_SECRET}", f"secret/{DATABASE_SECRET}"),
        artifact=False,
        simulated=True,
    ),
    Component(
        kind="config",
        task="configure",
        title="configuration and mesh policies",
        needs=("namespace", "istio"),
        signs=("configmap/orthanc-app",),
        simulated=True,
    ),
    Component(kind="certificates", task="issue-certificates", title="certificates", needs=("istio", "cert-manager")),
    Component(
        kind="postgres",
        task="install-postgres",
        title="PostgreSQL",
        needs=("credentials", "config"),  # its pod needs the mesh's sidecar
        workload=("statefulset", "postgres"),
        simulated=True,
    ),
    Component(
        kind="dbinit",
        task="install-postgres",
        title="database prepared",
        needs=("credentials", "config"),
        simulated=True,
    ),
    Component(kind="orthanc", task="install-orthanc", title="Orthanc", needs=("credentials", "config")),
    Component(kind="ingress", task="install-orthanc", title="gateway and routes", needs=("config",)),
)
COMPONENTS = {one.kind: one for one in (*SHARED, *TENANT)}
OF_TENANT = frozenset(one.kind for one in TENANT)


def installed_by(task: str) -> tuple[Component, ...]:
    """Return the components that a task installs.

    >>> [one.kind for one in installed_by("install-orthanc")]
    ['orthanc', 'ingress']
    """
    return tuple(one for one in COMPONENTS.values() if one.task == task)
