"""An account for pipelines: made in the cluster with the least rights, and a kubeconfig whose token soon ends."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.core.plan import Plan, Step
from korthweb_tasks.core.render import as_yaml
from korthweb_tasks.core.rights import Subject
from korthweb_tasks.errors import UsageError
from korthweb_tasks.files import read_private, write_private
from korthweb_tasks.services import rights
from korthweb_tasks.settings import login
from korthweb_tasks.settings.fields import seconds
from korthweb_tasks.tools.kubectl import Kubectl, as_json, items

if TYPE_CHECKING:
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session

Objects = list[dict[str, Any]]


def account(session: Session, role: str, approach: str | None, *, duration: str, out: str) -> Report:
    """Make the account, its rights and its kubeconfig; a second run changes nothing, as long as the token is good."""
    subject = Subject(rights.account_name(session, role), rights.ACCOUNTS)
    session.contact()
    report = session.execute(_made(session, role, approach, subject))
    if not session.dry_run:
        file = Path(out or f"{subject.name}.kubeconfig")
        told = _login(session, subject, file, seconds(duration))
        session.console.line(f"{told}; KUBECONFIG={file} and --context {_context(session, subject)} use it")
    return report


def remove(session: Session, role: str, approach: str | None) -> Report:
    """Take the account and its rights away, and with them every token of it; namespaces stay."""
    subject = Subject(rights.account_name(session, role), rights.ACCOUNTS)
    session.contact()
    objects = [*rights.granted(session, role, approach, subject), rights.account_objects(subject)[1]]
    words = ("delete", "--filename=-", "--ignore-not-found", "--wait=true")
    gone = session.kubectl.command(*words, stdin=as_json(objects), repeatable=True)
    step = Step(kind="account", title=f"Remove {subject.name} and its rights", actions=(gone,))
    return session.execute(Plan(f"Remove the account {subject.name}", (step,)), destructive=True)


def by_forge(session: Session, role: str, approach: str | None, *, issuer: str, audience: str, claims: str) -> Objects:
    """Print what lets a forge's own tokens in: the API server's AuthenticationConfiguration, and the roles.

    ``claims`` are ``name=value``, with commas between. Raises UsageError where nothing tells one pipeline from another.
    """
    wanted = dict(part.strip().partition("=")[::2] for part in claims.split(",") if part.strip())
    if not audience or not wanted or not all(wanted.values()):
        raise UsageError(
            "without an audience and a claim every pipeline of the forge would be let in",
            hint="--audience korthweb --claim repository=hospital/imaging,ref=refs/heads/main",
        )
    subject = Subject(f"korthweb-ci:{rights.account_name(session, role)}")
    objects = [authentication(issuer, audience, wanted, subject), *rights.granted(session, role, approach, subject)]
    session.emit(objects, as_yaml(objects).rstrip("\n"))
    return objects


def authentication(issuer: str, audience: str, claims: Mapping[str, str], subject: Subject) -> dict[str, Any]:
    """Return the file for the API server's --authentication-config: tokens with just these claims are ``subject``."""
    rules = [{"claim": name, "requiredValue": value} for name, value in sorted(claims.items())]
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [
            {
                "issuer": {"url": issuer, "audiences": [audience]},
                "claimValidationRules": rules,
                "claimMappings": {"username": {"expression": f"'{subject.name}'"}},
            }
        ],
    }


def _made(session: Session, role: str, approach: str | None, subject: Subject) -> Plan:
    """Return the plan: the tenants' namespaces as the approach makes them, the account, and its rights."""
    kubectl = session.kubectl
    name = approach_of(approach or session.settings.approach).name
    spaces: tuple[Step, ...] = ()
    if role != "platform":
        whole = rights.deployment(session, name)
        spaces = whole.only("", [step.name for step in whole.steps if step.kind in ("policies", "namespace")]).steps
    accounts = rights.account_objects(subject)
    granted = _placed(session, rights.granted(session, role, approach, subject))
    ready = (*(step.name for step in spaces), "account")
    return Plan(
        f"Make the account {subject.name}",
        (
            *spaces,
            Step(
                kind="account",
                title=f"ServiceAccount {subject.name}",
                probes=(kubectl.applied(accounts),),
                actions=(kubectl.apply(accounts),),
            ),
            Step(
                kind="rights",
                title="Its rights",
                needs=ready,
                probes=(kubectl.applied(granted),),
                actions=(kubectl.apply(granted),),
            ),
        ),
    )


def _placed(session: Session, objects: Objects) -> Objects:
    """Return the objects without those of namespaces that are not there, and say so; tenants' own will be."""
    own = {tenant.namespace for tenant in session.tenants}
    wanted = {obj["metadata"].get("namespace", "") for obj in objects} - own - {""}
    there = session.runner.run(session.kubectl.get_these([("namespace", name) for name in sorted(wanted)]))
    missing = wanted - {obj["metadata"]["name"] for obj in items(there)} if wanted else set()
    if missing:
        names = ", ".join(sorted(missing))
        session.console.line(f"not there yet: {names}; run it again when the platform has made it")
    return [obj for obj in objects if obj["metadata"].get("namespace") not in missing]


def _login(session: Session, subject: Subject, file: Path, duration: float) -> str:
    """Write the kubeconfig with a new token, unless the one in it is good for half of ``duration`` (seconds)."""
    if (left := _left(file)) > duration / 2:
        return f"{file} is unchanged: its token ends in {left / 60:.0f} min"
    kubectl = Kubectl(session.ref)
    view = ("config", "view", "--raw", "--flatten", "--minify", "--output", "json")
    cluster = json.loads(session.runner.run(kubectl.command(*view)).stdout)["clusters"][0]["cluster"]
    words = ("create", "token", subject.name, f"--duration={duration:.0f}s")
    asked = session.kubectl.command(*words, namespace=subject.namespace)
    token = session.runner.run(asked).stdout.strip()
    name = _context(session, subject)
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    write_private(file, yaml.safe_dump(data, sort_keys=False))
    return f"{file} (mode 0600) has a token that ends in {duration / 60:.0f} min"


def _context(session: Session, subject: Subject) -> str:
    """Return the name of the context: a lab's own begin with korthweb-."""
    return f"{subject.name.removeprefix('korthweb-')}@{session.ref.name}"


def _left(file: Path) -> float:
    """Return for how many seconds the token in a kubeconfig of ours is good yet; 0 where there is none."""
    try:
        user = yaml.safe_load(read_private(file))["users"][0]["user"]
        end = login.token_end(user, file.parent)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return 0.0
    return end.timestamp() - time.time() if end else 0.0
