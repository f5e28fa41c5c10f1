"""The fleet as the settings want it: where its charts are, its files, and the checkout they are laid over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.gitops.components import shared_parts
from korthweb_tasks.approaches.gitops.fleet import ChartAt, Fleet, encrypted_path, stale
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.run.checkout import Checkout
from korthweb_tasks.services.gitops.repository import (
    EXTRA,
    LAB,
    checkout_of,
    folder_of,
    full_path,
    remote,
    tenants_of,
)
from korthweb_tasks.services.gitops.sops import Sops
from korthweb_tasks.services.lab import chart_in_lab
from korthweb_tasks.services.shared import refuse
from korthweb_tasks.settings.soundness import flux_charts

if TYPE_CHECKING:
    from korthweb_tasks.run.checkout import Changes, Render
    from korthweb_tasks.services.gitops.sops import Encrypted
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.tenant import Tenant


@dataclass(frozen=True)
class Sources:
    """Where the charts are, and the PEM text of the authority that vouches for their registry."""

    charts: Mapping[str, ChartAt]
    registry_ca: str = ""
    registry_ca_file: str = ""


@dataclass
class Draft:
    """The files that the settings want, laid over the newest commit of a checkout that is held.

    ``in_git``: Flux's own files are in the repository, or somebody else installs Flux.
    """

    fleet: Fleet
    sources: Sources
    checkout: Checkout
    encrypted: Encrypted | None
    render: Render
    changes: Changes
    in_git: bool

    @property
    def revision(self) -> str:
        """Return the commit that was fetched, or pushed."""
        return self.checkout.base

    def layers(self, tenants: Iterable[Tenant] | None = None) -> list[str]:
        """Return the Kustomizations of these tenants; without any, all that there have to be."""
        layers = self.fleet.layers()
        if tenants is None:
            return [self.fleet.settings.flux.name, *(layer.name for layer in layers)]
        names = {tenant.name for tenant in tenants}
        return [layer.name for layer in layers if layer.tenant in names]

    def newly_encrypted(self) -> list[Tenant]:
        """Return the tenants whose passwords in Git are others than before."""
        fleet, marks = self.fleet, self.changes.files
        return [tenant for tenant in fleet.tenants if marks.get(encrypted_path(fleet.cluster, tenant)) == "M"]


def sources(session: Session, *, bring: bool = False) -> Sources:
    """Return where Flux takes the charts from; those of a lab are brought where that may be."""
    refuse(session.loaded, flux_charts)
    settings = session.settings
    authority = full_path(settings.gitops.registry_ca_file, "gitops.registry_ca_file")
    charts = {}
    for name in (release.name for part in shared_parts(settings) for release in part.releases):
        source, version = settings.charts[name].source, settings.charts[name].version
        if source == LAB:
            source, authority = chart_in_lab(session, name, EXTRA, bring=bring)
        charts[name] = ChartAt(source, version)
    return Sources(charts, Path(authority).read_text(encoding="utf-8") if authority else "", authority)


def fleet(session: Session, where: Sources, sops: Mapping[str, str] | None = None) -> Fleet:
    """Return the files that the settings want for this cluster."""
    return Fleet(
        session.settings,
        folder_of(session.ref, session.settings),
        tenants_of(session.ref, session.settings),
        Artifacts.read(artifacts_dir("gitops")),
        where.charts,
        registry_ca=bool(where.registry_ca),
        sops=sops or {},
    )


@contextmanager
def open_draft(session: Session, *, onto: str = "", bring: bool = False, change: bool = True) -> Iterator[Draft]:
    """Hold the checkout at the newest commit with the files of the settings laid over it, while the block runs.

    ``onto``: the branch to push to, instead of the one that Flux follows. With ``change`` a key for encrypted
    passwords is made where one is missing. Raises GitFailed, SettingsError, NotInLab.
    """
    charts, settings = sources(session, bring=bring), session.settings
    checkout = checkout_of(session.runner, remote(session, bring=bring), onto)
    with checkout.held():
        checkout.refresh()
        plain = fleet(session, charts)
        encrypted = None
        if settings.gitops.secrets == "sops":
            sops = Sops(session.runner, session.kubectl, session.console, settings, session.secrets, plain.cluster)
            encrypted = sops.encrypted(checkout, plain.tenants, make=change and not session.dry_run)
        wanted = replace(plain, sops=encrypted.files) if encrypted else plain
        render = rendering(wanted)
        flux = {f"{wanted.bootstrapped}/{name}.yaml" for name in ("gotk-components", "gotk-sync")}
        in_git = settings.flux.beside or flux <= set(checkout.paths())
        yield Draft(wanted, charts, checkout, encrypted, render, checkout.put(render), in_git)


def rendering(fleet: Fleet) -> Render:
    """Return what a fleet does to a tree of files: its texts, and what is stale beside them."""
    files = fleet.files()

    def render(existing: Iterable[str]) -> tuple[Mapping[str, str], Iterable[str]]:
        return files, stale(existing, files, fleet.cluster)

    return render
