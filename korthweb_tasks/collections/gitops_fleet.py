"""What the settings of a session mean for GitOps: repository, charts, files, and the checkout they are written to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks.core import hints
from korthweb_tasks.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from korthweb_tasks.approaches.fleet import ChartAt, Fleet
    from korthweb_tasks.collections.gitops_sops import Sealed
    from korthweb_tasks.collections.session import Session
    from korthweb_tasks.run.checkout import Changes, Checkout, Render
    from korthweb_tasks.settings.parts import Tenant
    from korthweb_tasks.tools.git import Remote

LAB, EXTRA = "lab", "gitops"
_FOLDER = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
INFRASTRUCTURE = ("cert-manager", "istio-base", "istiod", "cloudnative-pg")


class NotInLab(UsageError):
    """The lab has not been given what its settings take from there."""


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


def folder_of(session: Session) -> str:
    """Return the name of the cluster's folder below clusters/; raises SettingsError for one that is no folder's."""
    name = session.settings.gitops.cluster or session.ref.name
    if not _FOLDER.fullmatch(name):
        raise SettingsError(f"{name!r} can't be the name of a folder", hint="gitops.cluster in korthweb.yaml: a name")
    return name


def tenants_of(session: Session) -> tuple[Tenant, ...]:
    """Return the tenants that run on the cluster; raises SettingsError for a name that is none."""
    wanted, everybody = session.ref.settings.tenants, session.settings.tenants
    if wanted is None:
        return everybody
    names = {tenant.name.lower(): tenant for tenant in everybody}
    if unknown := [name for name in wanted if name.lower() not in names]:
        text = f"clusters.{session.ref.name}.tenants: there is no tenant {unknown[0]}"
        raise SettingsError(text, hint=f"there are: {', '.join(tenant.name for tenant in everybody)}")
    return tuple(names[name.lower()] for name in wanted)


def chosen(session: Session) -> tuple[Tenant, ...]:
    """Return those of the cluster's tenants that the task is about: --tenant's, else all."""
    here = tenants_of(session)
    picked = [tenant for tenant in session.tenants if tenant in here]
    if not picked and session.tenant_flag:
        raise UsageError(f"{session.tenant_flag} does not run on {session.ref.name}", hint="clusters.*.tenants")
    return tuple(picked)


def remote(session: Session, *, bring: bool = False) -> Remote:
    """Return the fleet repository and how it is reached; a lab's own Git server is brought where that may be.

    Raises SettingsError for what is missing, NotInLab.
    """
    from korthweb_tasks.collections.shared import refuse
    from korthweb_tasks.settings.soundness import reachable
    from korthweb_tasks.tools.git import Remote

    given = session.settings.gitops
    refuse(session, reachable)
    if given.url == LAB:
        from korthweb_tasks.lab import extras

        lab = _lab(session, "gitops.url")
        if (access := extras.git_access(lab)) is None:
            _bring(session, lab, bring, "Git server")
            access = extras.git_access(lab)
        if access is None:
            raise NotInLab(f"the lab '{lab}' has no Git server", hint=hints.task("lab.up", name=lab, with_=EXTRA))
        return Remote(access.url, given.branch, access.username, access.password, str(access.ca_file))
    url = given.url or ""
    password = session.secrets.git_password(given.provider) if url.startswith("https://") else None
    return Remote(
        url,
        given.branch,
        given.username,
        password,
        ca_file=full_path(given.ca_file, "gitops.ca_file"),
        private_key=full_path(given.private_key, "gitops.private_key"),
    )


def sources(session: Session, *, bring: bool = False) -> Sources:
    """Return where Flux takes the charts from; those of a lab are brought where that may be."""
    from korthweb_tasks.approaches.fleet import ChartAt
    from korthweb_tasks.collections.shared import refuse
    from korthweb_tasks.settings.soundness import flux_charts

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
    from korthweb_tasks.approaches.common import Artifacts
    from korthweb_tasks.approaches.fleet import Fleet
    from korthweb_tasks.paths import artifacts_dir

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
    from korthweb_tasks.collections.gitops_sops import sealed

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


def checkout_of(session: Session, where: Remote, onto: str = "") -> Checkout:
    """Return korthweb's own checkout of the repository."""
    from korthweb_tasks import paths
    from korthweb_tasks.run.checkout import Checkout

    return Checkout(session.runner, where, paths.work_dir() / "fleet", onto)


def rendering(made: Fleet) -> Render:
    """Return what a fleet does to a tree of files: its texts, and what is stale beside them."""
    from korthweb_tasks.approaches.fleet import stale

    files = made.files()

    def render(existing: Iterable[str]) -> tuple[Mapping[str, str], Iterable[str]]:
        return files, stale(existing, files, made.cluster)

    return render


def _of_lab(session: Session, name: str, bring: bool) -> tuple[str, str]:
    from korthweb_tasks.lab import extras

    lab, version = _lab(session, f"charts.{name}.source"), session.settings.charts[name].version
    if (there := extras.chart_source(lab, name, version)) is None:
        _bring(session, lab, bring, f"chart {name} {version}")
        there = extras.chart_source(lab, name, version)
    if there is None:
        text = f"the lab '{lab}' has no chart {name} {version}"
        raise NotInLab(text, hint=hints.task("lab.up", name=lab, with_=EXTRA))
    return there[0], str(there[1])


def _bring(session: Session, lab: str, bring: bool, what: str) -> None:
    if not bring:
        raise NotInLab(f"the lab '{lab}' has no {what} yet", hint=hints.task("lab.up", name=lab, with_=EXTRA))
    from korthweb_tasks.collections.lab import brought

    brought(session, lab, EXTRA)


def _lab(session: Session, key: str) -> str:
    if lab := session.ref.lab:
        return lab
    context = session.ref.target.context
    raise UsageError(f"{key} is lab, but {context} is no lab", hint=f"{key} in korthweb.yaml: an address of one's own")


def full_path(given: str | None, key: str) -> str:
    """Return the full path of a file of the settings; raises SettingsError where it is not there."""
    if not given:
        return ""
    from korthweb_tasks import paths
    from korthweb_tasks.files import check_trusted

    path = paths.project_dir() / Path(given).expanduser()
    check_trusted(path)
    path = path.resolve()
    if not path.is_file():
        raise SettingsError(f"{key}: there is no file {path}", hint=f"{key} in korthweb.yaml")
    return str(path)
