"""What the settings of a session mean for GitOps: repository, charts, files, and the checkout they are written to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.approaches.gitops.fleet import ChartAt, Fleet, stale
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.core import hints
from korthweb_tasks.lab import labs
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.run.checkout import Checkout
from korthweb_tasks.services.gitops.repository import (
    EXTRA,
    LAB,
    NotInLab,
    bring_to,
    checkout_of,
    folder_of,
    full_path,
    lab_of,
    remote,
    tenants_of,
)
from korthweb_tasks.services.gitops.sops import sealed
from korthweb_tasks.services.shared import refuse
from korthweb_tasks.settings.soundness import flux_charts

if TYPE_CHECKING:
    from korthweb_tasks.run.checkout import Changes, Render
    from korthweb_tasks.services.gitops.sops import Sealed
    from korthweb_tasks.services.session import Session

INFRASTRUCTURE = ("cert-manager", "istio-base", "istiod", "cloudnative-pg")


@dataclass(frozen=True)
class Sources:
    """Where the charts are, and the PEM text of the authority that vouches for their registry."""

    charts: Mapping[str, ChartAt]
    registry_ca: str = ""
    registry_ca_file: str = ""


@dataclass
class Work:
    """What is worked on while the checkout is held: the files that the settings want, over the newest commit."""

    fleet: Fleet
    sources: Sources
    checkout: Checkout
    sealed: Sealed | None
    render: Render
    changes: Changes
    in_git: bool

    @property
    def revision(self) -> str:
        """Return the commit that was fetched, or pushed."""
        return self.checkout.base


def sources(session: Session, *, bring: bool = False) -> Sources:
    """Return where Flux takes the charts from; those of a lab are brought where that may be."""
    refuse(session, flux_charts)
    settings = session.settings
    own = full_path(settings.gitops.registry_ca_file, "gitops.registry_ca_file")
    authority, found = own, {}
    for name in wanted(session):
        chart = settings.charts[name]
        if chart.source == LAB:
            source, authority = _of_lab(session, name, bring)
            found[name] = ChartAt(source, chart.version)
        else:
            found[name] = ChartAt(chart.source, chart.version)
    return Sources(found, Path(authority).read_text(encoding="utf-8") if authority else "", authority)


def wanted(session: Session) -> list[str]:
    """Return the names of the charts that these settings need."""
    watched, uses = session.settings.observability, session.settings.uses
    more = {"kube-prometheus-stack": watched.prometheus and not uses("prometheus"), "kiali": watched.kiali}
    owners = {"istio-base": "istio", "istiod": "istio"}
    shared = [name for name in INFRASTRUCTURE if not uses(owners.get(name, name))]
    return [*shared, *(name for name, is_wanted in more.items() if is_wanted)]


def fleet(session: Session, found: Sources, sops: Mapping[str, str] | None = None) -> Fleet:
    """Return the files that the settings want for this cluster."""
    return Fleet(
        session.settings,
        folder_of(session),
        tenants_of(session),
        Artifacts.read(artifacts_dir("gitops")),
        found.charts,
        registry_ca=bool(found.registry_ca),
        sops=sops or {},
    )


@contextmanager
def work(session: Session, *, onto: str = "", bring: bool = False, change: bool = True) -> Iterator[Work]:
    """Hold the checkout at the newest commit with the files of the settings laid over it, while the block runs.

    ``onto``: the branch to push to, instead of the one that Flux follows. With ``change`` a key for encrypted
    passwords is made where one is missing. Raises GitFailed, SettingsError, NotInLab.
    """
    found, where = sources(session, bring=bring), remote(session, bring=bring)
    checkout = checkout_of(session, where, onto)
    with checkout.held():
        checkout.refresh()
        seal = sealed(session, checkout, tenants_of(session), make=change)
        made = fleet(session, found, seal.files if seal else None)
        render = rendering(made)
        there = set(checkout.paths())
        flux = {f"{made.bootstrapped}/{name}.yaml" for name in ("gotk-components", "gotk-sync")}
        in_git = session.settings.flux.beside or flux <= there
        yield Work(made, found, checkout, seal, render, checkout.put(render), in_git)


def rendering(made: Fleet) -> Render:
    """Return what a fleet does to a tree of files: its texts, and what is stale beside them."""
    files = made.files()

    def render(existing: Iterable[str]) -> tuple[Mapping[str, str], Iterable[str]]:
        return files, stale(existing, files, made.cluster)

    return render


def _of_lab(session: Session, name: str, bring: bool) -> tuple[str, str]:

    lab, version = lab_of(session, f"charts.{name}.source"), session.settings.charts[name].version
    if (there := labs.chart_source(lab, name, version)) is None:
        bring_to(session, lab, bring, f"chart {name} {version}")
        there = labs.chart_source(lab, name, version)
    if there is None:
        text = f"the lab '{lab}' has no chart {name} {version}"
        raise NotInLab(text, hint=hints.task("lab.up", name=lab, with_=EXTRA))
    return there[0], str(there[1])
