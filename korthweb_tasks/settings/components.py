"""What korthweb needs in a cluster beside Orthanc: installed by korthweb, or somebody else's that is used."""

from __future__ import annotations

from typing import Literal

#: install: korthweb brings it, and refuses where somebody else's is there; use: somebody else's, of which nothing is
#: changed or removed
Choice = Literal["install", "use"]
Component = Literal["istio", "cert-manager", "traefik", "flux", "cloudnative-pg", "prometheus"]
COMPONENTS: tuple[Component, ...] = ("istio", "cert-manager", "traefik", "flux", "cloudnative-pg", "prometheus")


def all_installed() -> dict[Component, Choice]:
    """Return what holds where nothing is said: korthweb brings everything itself.

    >>> all_installed()["istio"]
    'install'
    """
    return dict.fromkeys(COMPONENTS, "install")
