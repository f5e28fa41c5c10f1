"""What a tenant may make in its own namespace: admission policies, the same file for all three approaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from korthweb_tasks.core.plan import Probe, Step
from korthweb_tasks.core.render import parse
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.tools.kubectl import Kubectl, as_json, items

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Result
    from korthweb_tasks.settings.tenant import Tenant

FILE = "tenant-policies.yaml"
#: annotation of a tenant's namespace with the host names that it may call its own
HOSTS = "korthweb/hosts"


def tenant_policies() -> str:
    """Return the policies as a person applies them, with their comments."""
    return (artifacts_dir("helm") / FILE).read_text(encoding="utf-8")


def policy_objects() -> list[dict[str, Any]]:
    """Return the policies with their bindings."""
    return parse(tenant_policies(), FILE)


def own_hosts(tenant: Tenant) -> str:
    """Return a tenant's host names as its namespace names them."""
    return f"{tenant.web_host},{tenant.dicom_host}"


def policies_step(kubectl: Kubectl) -> Step:
    """Return the step that applies the admission policies for tenants, before there are any.

    They are compared by reading: who may try to change a policy may change it, for no policy guards policies.
    """
    objects = policy_objects()
    words = ("get", "--filename=-", "--output", "json", "--ignore-not-found")
    there = kubectl.command(*words, stdin=as_json(objects), repeatable=True)

    def same(result: Result) -> bool:
        found = {(obj["kind"], obj["metadata"]["name"]): obj for obj in items(result)}
        return all(within(obj, found.get((obj["kind"], obj["metadata"]["name"]))) for obj in objects)

    return Step(
        kind="policies",
        title="Admission policies for tenants",
        probes=(Probe(there, same),),
        actions=(kubectl.apply(objects),),
    )


def within(wanted: Any, found: Any) -> bool:
    """Return True if all that is wanted of an object is found in it, whatever the server has added.

    >>> within({"spec": {"a": [{"b": 1}]}}, {"spec": {"a": [{"b": 1, "c": 2}], "d": 3}})
    True
    """
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(within(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        same = isinstance(found, list) and len(wanted) == len(found)
        return same and all(map(within, wanted, found))
    return bool(wanted == found)
