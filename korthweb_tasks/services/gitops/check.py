"""What gitops.check looks at: tools, settings, cluster, Git, charts, images. Nothing is changed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

from korthweb_tasks.approaches.gitops.checks import for_cluster, images, quota
from korthweb_tasks.approaches.gitops.components import PARTS
from korthweb_tasks.approaches.shared import addresses, pod_security
from korthweb_tasks.approaches.shared.checks import Finding, from_settings
from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import KorthwebError, last_line
from korthweb_tasks.lab import labs
from korthweb_tasks.services import beforehand
from korthweb_tasks.services.components import component_findings
from korthweb_tasks.services.gitops.fleet import sources
from korthweb_tasks.services.gitops.repository import EXTRA, checkout_of, full_path, remote, tenants_of
from korthweb_tasks.services.lab import NotInLab
from korthweb_tasks.services.shared import answers, settings_finding, side_by_side, tell_findings, tool
from korthweb_tasks.tools.helm import show

if TYPE_CHECKING:
    import httpx

    from korthweb_tasks.approaches.shared.checks import Check
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.model import Settings


def check(session: Session) -> None:
    """Print what was looked at; raises StepFailed where something is broken."""
    session.contact()
    tell_findings(session, findings(session))


def findings(session: Session) -> list[Finding]:
    """Return everything that was looked at; what can be asked at the same time is."""
    asked: list[Callable[[], list[Finding]]] = [
        lambda: _tools(session),
        lambda: _cluster(session),
        lambda: _git(session),
        lambda: _charts(session),
        lambda: _images(session),
    ]
    groups = [_settings(session), *side_by_side(session.runner, lambda ask: ask(), asked)]
    return [one for found in groups for one in found]


def _tools(session: Session) -> list[Finding]:
    more = ("sops", "age-keygen") if session.settings.gitops.secrets == "sops" else ()
    found = [tool(session, name) for name in ("kubectl", "flux", *more)]
    return [*found, _told("git", lambda: session.runner.run(Command(argv=("git", "--version"))).stdout.split()[2])]


def _settings(session: Session) -> list[Finding]:
    found = [settings_finding(session.loaded, "gitops")]
    try:
        tenants = tenants_of(session.ref, session.settings)
    except KorthwebError:
        return found
    rooms = [Finding(f"{tenant.name}: quota", *quota(session.settings, tenant)) for tenant in tenants]
    return [*found, *from_settings(session.settings, tenants), *rooms]


def _cluster(session: Session) -> list[Finding]:
    asked: list[Check] = for_cluster(session.settings, session.target)
    asked += pod_security.questions(session.settings, session.kubectl, session.tenants)
    asked += addresses.questions(session.kubectl, session.tenants, "ingress")
    found = answers(session, asked)
    return [*found, *beforehand.findings(session, "gitops"), *component_findings(session, "gitops")]


def _git(session: Session) -> list[Finding]:
    """Ask for the branches, then for a push that changes nothing."""
    title = "Fleet repository"
    try:
        checkout = checkout_of(session.runner, remote(session))
        with checkout.held():
            newest = checkout.refresh()
            checkout.may_push()
    except NotInLab as error:
        return [Finding(title, "note", f"{error.message}; gitops.bootstrap brings it")]
    except KorthwebError as error:
        return [Finding.of(title, error, "")]
    url, branch = checkout.remote.url, checkout.remote.branch
    text = f"commit {newest[:8]} of {branch}, may be pushed to" if newest else f"empty: {branch} will be made"
    return [Finding(title, "ok", f"{url}: {text}")]


def _charts(session: Session) -> list[Finding]:
    try:
        found = sources(session)
    except NotInLab as error:
        ways = f"`{hints.task('lab.up', name=session.ref.lab, with_=EXTRA)}`, or gitops.bootstrap brings it"
        return [Finding("Charts", "note", f"{error.message}; {ways}")]
    except KorthwebError as error:
        return [Finding("Charts", "broken", error.message)]
    names = {release.name: release.chart for part in PARTS for release in part.releases}
    told = []
    for name, at in found.charts.items():
        command = show(at.source, at.version, chart=names.get(name, name), ca_file=found.registry_ca_file)
        result = session.runner.check(command)
        good = result.code == 0
        text = f"{at.version} from {at.source}" if good else f"{at.source}: {last_line(result.stderr)}"
        told.append(Finding(f"Chart {name}", "ok" if good else "broken", text))
    return told


def _images(session: Session) -> list[Finding]:
    """Ask each registry for its image; a registry that this machine can't reach may be known to the nodes."""
    if session.ref.lab:
        return [Finding("Images", "ok", "the lab has its own")]
    wanted = images(session.settings)
    with _client(session.settings) as client:
        reasons = labs.missing_images(client, wanted)
    found = [Finding(f"Image {image}", "ok", "there") for image in wanted if image not in reasons]
    for image, reason in reasons.items():
        if reason == "not there":
            found.append(Finding(f"Image {image}", "broken", reason))
        else:
            found.append(Finding(f"Image {image}", "note", f"{reason}; the nodes must be able to pull it"))
    return found


def _client(settings: Settings) -> httpx.Client:
    """Return a connection to registries that trusts the site's own authority too."""
    trust = ssl.create_default_context()
    if authority := settings.gitops.registry_ca_file:
        trust.load_verify_locations(full_path(authority, "gitops.registry_ca_file"))
    return httpx.Client(verify=trust, timeout=httpx.Timeout(20.0, connect=5.0), follow_redirects=True)


def _told(title: str, ask: Callable[[], object]) -> Finding:
    try:
        return Finding.of(title, None, str(ask()))
    except KorthwebError as error:
        return Finding.of(title, error, "")
