"""A namespace and the record that korthweb made it. Pure.

Ours is what korthweb created. At creation it writes an annotation on the namespace that holds the namespace's own UID:
copied to another namespace, kept in Git, or left over from one that was deleted and made anew, it means nothing.
The record stands for what is installed in the namespace too: Istio's is istio-system's, Flux's that of Flux's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.plan import Probe, Step
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.tools.kubectl import FIELD_MANAGER, Kubectl, Object, items

if TYPE_CHECKING:
    from korthweb_tasks.settings.tenant import Tenant

#: annotation of a namespace: who made it, for which tenant, and the UID that it got
RECORD = "korthweb/record"
#: created: by korthweb · claimed: made by korthweb, which was stopped before it knew the UID · adopted: of others,
#: with their leave · foreign: of others
Standing = Literal["absent", "created", "claimed", "adopted", "foreign"]
#: what stderr says of the creation of a namespace that somebody has made since the look for it
EXISTS = "(AlreadyExists)"


@dataclass(frozen=True, slots=True)
class Record:
    """What is written on a namespace. ``tenant`` is empty for one that tenants share.

    ``kept``: the tenant was removed, and the namespace is kept with its volumes.
    """

    approach: str
    tenant: str = ""
    domain: str = ""
    adopted: bool = False
    kept: bool = False
    uid: str = ""

    @classmethod
    def of(cls, namespace: Object) -> Record | None:
        """Read the record of a namespace; None where there is none that was written for this very namespace."""
        text = (namespace["metadata"].get("annotations") or {}).get(RECORD, "")
        try:
            found = cls(**json.loads(text))
        except (ValueError, TypeError):
            return None
        return found if found.uid in ("", namespace["metadata"].get("uid")) else None

    def text(self) -> str:
        """Return the annotation's value."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)


def standing(namespace: Object | None) -> Standing:
    """Return whose a namespace is.

    >>> standing({"metadata": {"uid": "1", "annotations": {RECORD: '{"approach":"helm","uid":"2"}'}}})
    'foreign'
    """
    if namespace is None:
        return "absent"
    record = Record.of(namespace)
    if record is None:
        return "foreign"
    if not record.uid:
        return "claimed"
    return "adopted" if record.adopted else "created"


def record_for(tenant: Tenant, approach: str) -> Record:
    """Return what is to be recorded of a tenant's namespace."""
    return Record(approach, tenant.name, tenant.domain)


@dataclass(frozen=True)
class Home:
    """Makes a namespace and records that korthweb made it.

    ``wanted`` is the Namespace object. A namespace that exists already is recorded as adopted, where ``adopt`` says
    that it may be used: it is never deleted then.
    """

    kubectl: Kubectl
    wanted: Object
    record: Record
    adopt: bool = False

    @property
    def name(self) -> str:
        """Return the namespace's name."""
        return str(self.wanted["metadata"]["name"])

    def probe(self) -> Probe:
        """Return what asks whether the namespace is there and recorded."""
        return Probe(self.kubectl.get("namespace", self.name), self._is_recorded)

    @property
    def command(self) -> Command:
        """Return a look at the namespace; its creation follows where there is none, and the record."""
        return replace(self.kubectl.get("namespace", self.name), follow=self._following)

    def _following(self, result: Result) -> Command | None:
        if EXISTS in result.stderr:
            return self.command  # another step made it since the look
        found = items(result)
        if not found:
            made = self.kubectl.create([self._claim()])
            return replace(made, argv=(*made.argv, "--output=json"), final=(EXISTS,), follow=self._following)
        (namespace,) = found
        if standing(namespace) == "foreign" and not self.adopt:
            raise GuardRefused(f"somebody else made the namespace {self.name} meanwhile", hint="the same command again")
        return None if self._is_recorded(result) else recorded(self.kubectl, namespace, self._as_of(namespace))

    def _claim(self) -> dict[str, Any]:
        """Return the namespace with a record that has no UID yet."""
        meta = dict(self.wanted["metadata"])
        annotations = {**(meta.get("annotations") or {}), RECORD: self.record.text()}
        return {**self.wanted, "metadata": {**meta, "annotations": annotations}}

    def _is_recorded(self, result: Result) -> bool:
        found = items(result)
        return bool(found) and Record.of(found[0]) == self._as_of(found[0])

    def _as_of(self, namespace: Object) -> Record:
        """Return the record that this namespace shall have."""
        adopted = standing(namespace) in ("foreign", "adopted")
        return replace(self.record, uid=namespace["metadata"]["uid"], adopted=adopted)


#: the level of Pod Security that a namespace carries, whatever the cluster's default is
POD_SECURITY = "pod-security.kubernetes.io/enforce"
_SHARED = {"app.kubernetes.io/managed-by": "korthweb", POD_SECURITY: "baseline"}


def plain_namespace(name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a Namespace object; without labels, one for what tenants share."""
    meta = {"name": name, "labels": dict(labels or _SHARED)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def at_home(step: Step, home: Home) -> Step:
    """Return a step that makes and records its namespace before anything else."""
    return replace(step, probes=(home.probe(), *step.probes), actions=(home.command, *step.actions))


def recorded(kubectl: Kubectl, namespace: Object, record: Record) -> Command:
    """Return the writing of a record; the server refuses it where the namespace has another UID by now."""
    meta = namespace["metadata"]
    patch = {"metadata": {"uid": meta["uid"], "annotations": {RECORD: record.text()}}}
    words = ("--type=merge", f"--field-manager={FIELD_MANAGER}", f"--patch={json.dumps(patch)}")
    return kubectl.command("patch", "namespace", meta["name"], *words, repeatable=True)


def is_kept(kubectl: Kubectl, name: str) -> Probe:
    """Return what asks whether nothing is deployed in a namespace, by its record."""

    def nothing(result: Result) -> bool:
        records = [Record.of(namespace) for namespace in items(result)]
        return all(record is None or record.kept for record in records)

    return Probe(kubectl.get("namespace", name), nothing)


def kept(kubectl: Kubectl, namespace: Object) -> Command | None:
    """Return the record that a tenant was removed from a namespace which stays, or None where nothing was recorded.

    One that others made loses the labels that korthweb set, too.
    """
    record = Record.of(namespace)
    if record is None:
        return None
    command = recorded(kubectl, namespace, replace(record, kept=True))
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace["metadata"]["name"]}}
    return replace(command, follow=lambda _: kubectl.apply([bare])) if record.adopted else command


def delete_namespace(kubectl: Kubectl, namespace: Object, *, timeout: float) -> Command:
    """Return the deletion of this very namespace: one of the same name that was made since has another UID."""
    meta = namespace["metadata"]
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta["uid"]}}
    words = ("delete", "--raw", f"/api/v1/namespaces/{meta['name']}", "--filename=-")
    return kubectl.command(*words, stdin=json.dumps(options), timeout=timeout, final=("(NotFound)",))
