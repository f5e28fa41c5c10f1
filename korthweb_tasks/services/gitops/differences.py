"""The settings against Git, and Git against the cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from korthweb_tasks.approaches.shared.layers import KUSTOMIZATIONS
from korthweb_tasks.core import hints
from korthweb_tasks.errors import CommandFailed, Differs
from korthweb_tasks.services.gitops.fleet import open_draft
from korthweb_tasks.services.gitops.flux import require_flux
from korthweb_tasks.services.shared import side_by_side
from korthweb_tasks.tools.flux import Flux
from korthweb_tasks.tools.kubectl import items

if TYPE_CHECKING:
    from korthweb_tasks.services.gitops.fleet import Draft
    from korthweb_tasks.services.session import Session

#: comparisons at once; each renders a folder and asks the server about all that is in it
JOBS = 4


def diff(session: Session) -> None:
    """Show both differences; raises Differs where there is one."""
    session.contact()
    with open_draft(session, change=False) as draft:
        require_flux(session.runner, session.kubectl, draft, session.ref.name)
        changes = draft.changes
        draft.checkout.refresh()  # Git as it is, for the second comparison
        drifted = in_cluster(session, draft)
    texts = [f"# settings against Git\n{changes.diff}"] if changes else []
    texts += [f"# Git against the cluster: {name}\n{text}" for name, text in drifted.items()]
    text = "\n\n".join(text.rstrip("\n") for text in texts) or "nothing differs"
    session.show(text, git=dict(changes.files), cluster=drifted)
    faults = [f"{len(changes.files)} files differ from Git"] if changes else []
    faults += [f"{len(drifted)} layers differ in the cluster ({', '.join(drifted)})"] if drifted else []
    if faults:
        deploy, reconcile = hints.task("gitops.deploy"), hints.task("gitops.reconcile", "all")
        hint = f"`{deploy}` brings the settings to Git" if changes else f"`{reconcile}` lets Flux put it back"
        raise Differs("; ".join(faults), hint=hint)


def in_cluster(session: Session, draft: Draft) -> dict[str, str]:
    """Return layer → text of what is not in the cluster as it is in Git, contents of Secrets masked."""
    home = session.settings.flux
    flux, folder = Flux(session.target, home), draft.checkout.folder / "clusters" / draft.fleet.cluster
    kustomizations = items(session.runner.run(session.kubectl.get(KUSTOMIZATIONS, namespace=home.namespace)))
    known, layers = {obj["metadata"]["name"] for obj in kustomizations}, draft.fleet.layers()
    missing = {layer.name: "not in the cluster" for layer in layers if layer.name not in known}
    paths = {layer.name: folder / layer.folder for layer in layers if layer.name in known}
    compared = {name: path for name, path in paths.items() if path.is_dir()}
    # a password of Git must not come out in clear
    commands = [replace(flux.diff(name, str(path)), masks=_masks(draft)) for name, path in compared.items()]
    results = side_by_side(session.runner, session.runner.check, commands, jobs=JOBS)
    drifts = {name: _drift(result) for name, result in zip(compared, results, strict=True)}
    return missing | {name: text for name, text in drifts.items() if text}


def _drift(result: Any) -> str:
    """Read ``flux diff``: code 1 means a difference, and a fault as well, which has nothing to show."""
    if result.code == 0:
        return ""
    text = "\n".join(line for line in result.stdout.splitlines() if line.strip())
    if not text:
        raise CommandFailed(f"{result.command} failed", code=result.code, stderr=result.stderr)
    return text


def _masks(draft: Draft) -> tuple[str, ...]:
    users = draft.encrypted.users.values() if draft.encrypted else ()
    return tuple(text for passwords in users for text in passwords.values())
