"""The settings against Git, and Git against the cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.layers import KUSTOMIZATIONS
from korthweb_tasks.core import hints
from korthweb_tasks.errors import CommandFailed, Differs
from korthweb_tasks.services.gitops.fleet import work
from korthweb_tasks.services.gitops.flux import require_flux
from korthweb_tasks.services.shared import side_by_side
from korthweb_tasks.tools.flux import Flux
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.approaches.gitops.fleet import Layer
    from korthweb_tasks.services.gitops.fleet import Work
    from korthweb_tasks.services.session import Session

#: comparisons at once; each renders a folder and asks the server about all that is in it
JOBS = 4


def diff(session: Session) -> None:
    """Show both differences; raises Differs where there is one."""
    session.contact()
    with work(session, change=False) as made:
        require_flux(session, made)
        changes = made.changes
        made.checkout.refresh()  # Git as it is, for the second comparison
        drifted = in_cluster(session, made)
    texts = [f"# settings against Git\n{changes.diff}"] if changes else []
    texts += [f"# Git against the cluster: {name}\n{text}" for name, text in drifted.items()]
    text = "\n\n".join(text.rstrip("\n") for text in texts) or "nothing differs"
    session.show(text, git=dict(changes.files), cluster=drifted)
    told = [f"{len(changes.files)} files differ from Git"] if changes else []
    told += [f"{len(drifted)} layers differ in the cluster ({', '.join(drifted)})"] if drifted else []
    if told:
        deploy, reconcile = hints.task("gitops.deploy"), hints.task("gitops.reconcile", "all")
        hint = f"`{deploy}` brings the settings to Git" if changes else f"`{reconcile}` lets Flux put it back"
        raise Differs("; ".join(told), hint=hint)


def in_cluster(session: Session, made: Work) -> dict[str, str]:
    """Return layer → text of what is not in the cluster as it is in Git, contents of Secrets masked."""
    home = session.settings.flux
    flux, folder = Flux(session.target, home), made.checkout.folder
    found = items(session.runner.run(session.kubectl.get(KUSTOMIZATIONS, namespace=home.namespace)))
    known = {obj["metadata"]["name"] for obj in found}
    missing = {layer.name: "not in the cluster" for layer in made.fleet.layers() if layer.name not in known}
    paths = {layer.name: folder / _path(made, layer) for layer in made.fleet.layers() if layer.name in known}
    asked = {name: path for name, path in paths.items() if path.is_dir()}
    # a password of Git must not come out in clear
    commands = [replace(flux.diff(name, str(path)), masks=_masks(made)) for name, path in asked.items()]
    results = side_by_side(session, session.runner.check, commands, jobs=JOBS)
    drifts = {name: _drift(result) for name, result in zip(asked, results, strict=True)}
    return missing | {name: text for name, text in drifts.items() if text}


def _path(made: Work, layer: Layer) -> str:
    """Return the folder of a layer, as its Kustomization names it."""
    home = f"clusters/{made.fleet.cluster}"
    if layer.kind == "infrastructure":
        return f"{home}/infrastructure/{layer.name}"
    if layer.kind == "observability":
        return f"{home}/observability"
    return f"{home}/tenants/{layer.name.rpartition('-')[0]}/{layer.kind}"


def _drift(result: Any) -> str:
    """Read ``flux diff``: code 1 means a difference, and a fault as well, which has nothing to show."""
    if result.code == 0:
        return ""
    told = "\n".join(line for line in result.stdout.splitlines() if line.strip())
    if not told:
        raise CommandFailed(f"{result.command} failed", code=result.code, stderr=result.stderr)
    return told


def _masks(made: Work) -> tuple[str, ...]:
    users = made.sealed.users.values() if made.sealed else ()
    return tuple(text for passwords in users for text in passwords.values())
