"""Makes what the tests' labs need, one line of progress each: a program of its own, so that it can run niced."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from korthweb_tasks.run.console import Console, say

CONSOLE = Console(stream=sys.stdout)
#: what the approaches call
CLIS = ("kubectl", "helm", "istioctl", "flux", "sops", "age-keygen")
#: Flux without pods: its controllers as processes beside a simulated control plane
FLUX = ("source-controller", "kustomize-controller", "helm-controller")
#: both Helms that the chart is rendered by
HELMS = ("helm", "helm3")


def main(kind: str, keep: str = "") -> int:
    """Build what is missing for the tests of ``kind`` (simulated, lab); return the exit code.

    ``keep``: anything but nothing keeps the caches of the builds, for more of them to come.
    """
    from korthweb_tasks.errors import KorthwebError

    try:
        if kind == "simulated":
            _simulated(bool(keep))
        else:
            _lab()
    except KorthwebError as error:
        say(f"error: {error.message}\n{error.details}")
        return error.exit_code
    return 0


def _simulated(keep: bool) -> None:
    from korthweb_tasks.lab import packages, programs

    _build((*programs.SIMULATED, *FLUX, *HELMS), keep=keep)
    packages.host_tools(CONSOLE.progress)


def _lab() -> None:
    from korthweb_tasks.lab import images, packages, programs
    from korthweb_tasks.provision import prune, tools
    from korthweb_tasks.settings.load import load

    names = list(images.image_names())
    built = _build((*programs.REAL, *programs.of_images(names, packages.RECIPES / "images")), keep=True)
    tools.install(CLIS, progress=lambda name, line: CONSOLE.progress(f"{name}: {line}"))
    if built and not load().settings.lab.keep_build_caches:
        prune.prune_build_caches()
    packages.host_tools(CONSOLE.progress)
    images.image_archives(CONSOLE.progress)


def _build(components: Iterable[str], *, keep: bool) -> bool:
    """Build what is missing; say whether anything was."""
    from korthweb_tasks.provision import builder

    missing = builder.missing(list(dict.fromkeys(components)))
    if told := builder.forecast(missing):
        say(told)
    builder.build_all(missing, progress=lambda name, line: CONSOLE.progress(f"{name}: {line}"), keep_caches=keep)
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
