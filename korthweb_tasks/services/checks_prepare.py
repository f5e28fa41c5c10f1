"""Makes what the tests' labs need, one line of progress each: a program of its own, so that it can run niced."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.lab import labs
from korthweb_tasks.provision import builder, prune, tools
from korthweb_tasks.run.console import Console, say
from korthweb_tasks.settings.load import load

CONSOLE = Console(stream=sys.stdout)
#: what the approaches call
CLIS = ("kubectl", "helm", "istioctl", "flux", "sops", "age-keygen")
#: Flux without pods (its controllers as processes beside a simulated control plane), and both Helms of the chart
SIMULATED = ("source-controller", "kustomize-controller", "helm-controller", "helm", "helm3")


def main(kind: str, keep: str = "") -> int:
    """Build what is missing for the tests of ``kind`` (simulated, lab); return the exit code.

    ``keep``: anything but nothing keeps the caches of the builds, for more of them to come.
    """
    simulated = kind == "simulated"
    try:
        components = [*labs.components(simulated=simulated), *(SIMULATED if simulated else ())]
        built = _build(components, keep=bool(keep) or not simulated)
        if not simulated:
            tools.install(CLIS, progress=_progress)
            if built and not load().settings.lab.keep_build_caches:
                prune.prune_build_caches()
        labs.prepare(CONSOLE.progress, simulated=simulated)
    except KorthwebError as error:
        say(f"error: {error.message}\n{error.details}")
        return error.exit_code
    return 0


def _build(components: Iterable[str], *, keep: bool) -> bool:
    """Build what is missing; return True if anything was."""
    missing = builder.missing(components)
    if forecast := builder.forecast(missing):
        say(forecast)
    builder.build_all(missing, progress=_progress, keep_caches=keep)
    return bool(missing)


def _progress(name: str, line: str) -> None:
    CONSOLE.progress(f"{name}: {line}")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
