"""Labs as tasks bring them up: with the settings' options, their extras, and the project's choice."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from korthweb_tasks.lab import cluster, extras
from korthweb_tasks.lab.layout import DEFAULT_SUBNET
from korthweb_tasks.lab.raising import Options
from korthweb_tasks.settings.resolve import choose_context, chosen_context

if TYPE_CHECKING:
    from korthweb_tasks.lab.cluster import LabInfo
    from korthweb_tasks.lab.extras import Brought
    from korthweb_tasks.services.session import Session


def raised(session: Session, name: str, *, simulated: bool = False, more: Sequence[str] = ()) -> LabInfo:
    """Bring a lab up, and build the components ``more`` along; it becomes the project's choice where there is none."""
    info = cluster.up(
        name, simulated=simulated, console=session.console, options=options(session, more), runner=session.runner
    )
    project = session.loaded.project
    if chosen_context(project) is None and session.settings.context is None:
        choose_context(info.context, project)
    return info


def brought(session: Session, name: str, extra: str) -> Brought:
    """Give a running lab an extra, with the charts' versions of the settings."""
    versions = {chart: one.version for chart, one in session.settings.charts.items()}
    runner, keep = session.runner, session.settings.lab.keep_build_caches
    return extras.bring(name, extra, session.console, versions=versions, runner=runner, keep_build_caches=keep)


def is_chosen(session: Session, context: str) -> bool:
    """Say whether tasks without --context speak to this one."""
    return (session.settings.context or chosen_context(session.loaded.project)) == context


def options(session: Session, more: Sequence[str] = ()) -> Options:
    """Return what the settings say about labs; ``more`` are components to build along."""
    lab = session.settings.lab
    return Options(
        subnet=IPv4Network(str(lab.subnet)) if lab.subnet else DEFAULT_SUBNET,
        volume_size=lab.volume_size,
        volumes=session.settings.storage_volumes,
        keep_build_caches=lab.keep_build_caches,
        image_mode=lab.images,
        mirror=session.settings.images.registry,
        more=tuple(more),
    )
