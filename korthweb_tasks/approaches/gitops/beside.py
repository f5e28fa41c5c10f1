"""korthweb's source and Kustomization beside somebody else's Flux, of which nothing is changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.gitops.secrets import shared
from korthweb_tasks.tools.flux import Flux

if TYPE_CHECKING:
    from korthweb_tasks.core.cluster import Cluster
    from korthweb_tasks.core.command import Command
    from korthweb_tasks.core.flux_home import FluxHome
    from korthweb_tasks.tools.flux import Repository
    from korthweb_tasks.tools.kubectl import Kubectl

#: how often the first Kustomization is applied again, as `flux bootstrap` has it
INTERVAL = "10m"


def following(home: FluxHome, repository: Repository, *, login: bool) -> list[dict[str, Any]]:
    """Return the source and the Kustomization by which the Flux that is there follows ``repository``, too."""
    own = {"secretRef": {"name": home.name}} if login else {}
    source = {"url": repository.url, "interval": repository.interval, "ref": {"branch": repository.branch}, **own}
    root = {
        "path": f"./{repository.path}",
        "interval": INTERVAL,
        "retryInterval": "30s",
        "prune": True,
        "suspend": False,
        "sourceRef": {"kind": "GitRepository", "name": home.name},
    }
    meta = {"name": home.name, "namespace": home.namespace, "labels": {"app.kubernetes.io/part-of": "orthweb"}}
    return [
        {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": meta, "spec": source},
        {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": meta, "spec": root},
    ]


def follow(
    target: Cluster, kubectl: Kubectl, home: FluxHome, repository: Repository, login: Mapping[str, str]
) -> tuple[Command, ...]:
    """Return the commands that let the Flux which is there follow ``repository``; ``login``: what its Secret holds."""
    objects = following(home, repository, login=bool(login))
    if repository.private_key:
        return (Flux(target, home).login(repository.url, repository.private_key), kubectl.apply(objects))
    held = [shared(home.name, home.namespace, login)] if login else []
    return (kubectl.apply([*held, *objects], masks=tuple(text for text in login.values() if text)),)
