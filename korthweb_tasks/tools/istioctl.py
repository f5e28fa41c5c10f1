"""istioctl: commands as data."""

from __future__ import annotations

from dataclasses import dataclass

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command


@dataclass(frozen=True, slots=True)
class Istioctl:
    """Builds istioctl commands for one target; every one names its context."""

    target: Cluster

    def install(self, operator: str, *, timeout: float | None = None) -> Command:
        """Build the command that installs an IstioOperator (its YAML text travels by stdin); ``timeout`` in seconds.

        istioctl applies server-side and can be run again over itself, so it counts as repeatable.
        """
        bound = ("--readiness-timeout", f"{int(timeout)}s") if timeout else ()
        return self._command("install", "--filename", "-", "--skip-confirmation", *bound, stdin=operator)

    def uninstall(self) -> Command:
        """Build the command that removes the control plane, gateways and definitions of Istio; its namespace stays."""
        return self._command("uninstall", "--purge", "--skip-confirmation")

    def version(self) -> Command:
        """Build the command that prints the client's own version as JSON."""
        return Command(argv=("istioctl", "version", "--remote=false", "--output", "json"))

    def _command(self, *args: str, stdin: str | None = None) -> Command:
        argv = ("istioctl", *args, *self.target.kubectl_args())
        return Command(argv=argv, target=self.target, stdin=stdin, repeatable=True)
