"""helm (3.22 and 4): commands as data, and pure readings of what it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result, around_proxy
from korthweb_tasks.core.plan import Probe

#: states of a revision whose holder died while it worked
PENDING = ("pending-install", "pending-upgrade", "pending-rollback", "uninstalling")


#: what stderr says of a release that is not there: an answer, for one who asks. Any other failure is "unknown"
ABSENT = ("release: not found",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a release shall be. ``source`` is ``oci://...``, ``https://...`` of a repository, or a path."""

    name: str
    namespace: str
    chart: str
    source: str
    version: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        """Return True if the chart is a folder or an archive on this machine."""
        return "://" not in self.source


@dataclass(frozen=True, slots=True)
class Helm:
    """Builds helm commands for one target; only flags that 3.22 and 4 share."""

    target: Cluster

    def upgrade(self, release: Release) -> Command:
        """Build the command that installs or upgrades ``release``; values travel by stdin, and nothing is waited for.

        The namespace is there: a plan makes and records it first, and who may not make namespaces can upgrade.
        No ``--atomic``: taking away a first installation that failed would take its evidence along.
        """
        if release.local:
            chart: tuple[str, ...] = (release.source,)
        elif release.source.startswith("oci://"):
            chart = (release.source, "--version", release.version, *_plain(release.source))
        else:
            chart = (release.chart, "--repo", release.source, "--version", release.version)
        args = ("upgrade", release.name, *chart, "--install", "--history-max", "5")
        return self._command(*args, "--values", "-", namespace=release.namespace, stdin=json.dumps(release.values))

    def uninstall(self, name: str, *, namespace: str) -> Command:
        """Build the command that removes a release; it is fine if there is none."""
        return self._command("uninstall", name, "--ignore-not-found", "--wait", namespace=namespace)

    def list(self, name: str, *, namespace: str) -> Command:
        """Build the command that prints the newest revision of a release, in whatever state, as a JSON list."""
        states = ("--deployed", "--failed", "--pending", "--uninstalling", "--superseded")
        args = ("list", "--filter", f"^{name}$", *states, "--output", "json")
        return self._command(*args, namespace=namespace)

    def values(self, name: str, *, namespace: str) -> Command:
        """Build the command that prints the values given to a release as JSON; code 1 where there is none."""
        return self._command("get", "values", name, "--output", "json", namespace=namespace, final=ABSENT)

    def deployed(self, release: Release) -> tuple[Probe, Probe]:
        """Return what asks whether ``release`` is deployed in the wanted version and with the wanted values."""

        def as_wanted(result: Result) -> bool:
            return [(row["status"], row["chart"]) for row in rows(result)] == [
                ("deployed", f"{release.chart}-{release.version}")
            ]

        def same_values(result: Result) -> bool:
            return result.code == 0 and (json.loads(result.stdout) or {}) == dict(release.values)

        place = {"namespace": release.namespace}
        return (
            Probe(self.list(release.name, **place), as_wanted),
            Probe(self.values(release.name, **place), same_values),
        )

    def rendered(self, release: Release) -> Command:
        """Return a dry run of :meth:`upgrade` on the server, which prints the release as JSON with its manifest."""
        real = self.upgrade(release)
        args = ("--dry-run=server", "--output", "json")
        return replace(real, argv=(*real.argv, *args))

    def manifest(self, name: str, *, namespace: str) -> Command:
        """Build the command that prints what a release consists of; code 1 where there is none."""
        return self._command("get", "manifest", name, namespace=namespace, final=ABSENT)

    def history(self, name: str, *, namespace: str) -> Command:
        """Build the command that prints the revisions of a release as a JSON list; code 1 where there is none."""
        return self._command("history", name, "--output", "json", namespace=namespace, final=ABSENT)

    def rollback(self, name: str, revision: int, *, namespace: str) -> Command:
        """Build the command that goes back to ``revision`` (0: the one before); nothing is waited for."""
        command = self._command("rollback", name, str(revision), "--history-max", "5", namespace=namespace)
        return replace(command, repeatable=False)

    def test(self, name: str, *, namespace: str, timeout: float) -> Command:
        """Build the command that runs the release's own tests, with their logs; ``timeout`` in seconds."""
        args = ("test", name, "--logs", "--timeout", f"{timeout:.0f}s")
        return replace(self._command(*args, namespace=namespace), repeatable=False, timeout=timeout + 10)

    def _command(self, *args: str, namespace: str, stdin: str | None = None, final: tuple[str, ...] = ()) -> Command:
        argv = ("helm", *args, "--namespace", namespace, *self.target.helm_args())
        return Command(argv=argv, target=self.target, stdin=stdin, repeatable=True, final=final)


def chart_command(verb: str, *args: str, values: Mapping[str, Any] | None = None, cwd: str | None = None) -> Command:
    """Return a helm command that needs no cluster (lint, template, package); ``values`` travel by stdin."""
    given = ("--values", "-") if values is not None else ()
    stdin = json.dumps(values) if values is not None else None
    return Command(argv=("helm", verb, *args, *given), stdin=stdin, cwd=cwd)


def pull(source: str, version: str, folder: str, *, chart: str = "", ca_file: str = "") -> Command:
    """Build the command that downloads a chart's archive into ``folder``.

    ``source`` is ``oci://...`` or a repository's URL; ``ca_file`` has the authority of a registry that the system
    does not trust by itself.
    """
    which = (source,) if source.startswith("oci://") else (chart, "--repo", source)
    args = ("pull", *which, "--version", version, "--destination", folder)
    return _registry(args, source, ca_file)


def show(source: str, version: str, *, chart: str = "", ca_file: str = "") -> Command:
    """Build the command that shows a chart's own description; the names mean what they do in :func:`pull`."""
    which = (source,) if source.startswith("oci://") else (chart, "--repo", source)
    return _registry(("show", "chart", *which, "--version", version), source, ca_file)


def push(archive: str, registry: str, *, ca_file: str = "") -> Command:
    """Build the command that uploads a chart's archive to ``oci://host/path``."""
    return _registry(("push", archive, registry), registry, ca_file)


def _registry(args: tuple[str, ...], source: str, ca_file: str) -> Command:
    """Build a command for a registry; a private one is asked directly, not through a proxy."""
    trusted = ("--ca-file", ca_file) if ca_file else _plain(source)
    env = around_proxy(host_of(source)) if trusted else {}
    return Command(argv=("helm", *args, *trusted), env=env, repeatable=True)


def host_of(source: str) -> str:
    """Return the host of a URL, without its port."""
    place = source.partition("://")[2].partition("/")[0]
    return place.rpartition(":")[0] or place


def _plain(source: str) -> tuple[str, ...]:
    """Return the flag for a registry on this machine, which needs no TLS."""
    near = host_of(source) in ("localhost", "127.0.0.1")
    return ("--plain-http",) if near and source.startswith("oci://") else ()


def chart_name(chart: str) -> str:
    """Return the name of a chart without its version.

    >>> chart_name("orthanc-0.1.0-rc.1+abc")
    'orthanc'
    """
    return re.split(r"-v?[0-9]+[.][0-9]", chart, maxsplit=1)[0]


def rows(result: Result) -> list[dict[str, Any]]:
    """Read ``helm list --output json``."""
    return list(json.loads(result.stdout or "[]") or [])


def pending_selector(name: str) -> str:
    """Return the selector of the Secrets in which helm keeps revisions of ``name`` that were never finished.

    Deleting them is the way out of "another operation is in progress", once its holder is known to be dead.
    """
    return f"owner=helm,name={name},status in ({','.join(PENDING)})"
