"""S4: a cluster without Prometheus' kinds: kubectl names such a kind once, and none of the objects of it."""

from __future__ import annotations

import re

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.isolation.home import WALLS_BY_HAND, AtHome
from korthweb_tasks.verify.isolation.manifests import Home

HOMES = {name: Home(name, f"{name.lower()}-orthweb", f"web.{name}", f"dicom.{name}", None) for name in ("A", "B")}
MISSING = ("ServiceMonitor", "PodMonitor")
KINDS = ", ".join(
    f'unable to recognize no matches for kind "{kind}" in version "monitoring.coreos.com/v1"' for kind in MISSING
)


def api(command: Command, silent: str = "") -> Result:
    """Answer as kubectl does where admission policies refuse everything; of ``silent`` it says nothing."""
    names = [
        name for name in re.findall(r'"?name"?: "?(korthweb-try-[a-z]+-[0-9]+)', command.stdin or "") if name != silent
    ]
    refused = [f'Error from server: services "{name}" is forbidden: denied' for name in names if "monitors" not in name]
    if "delete" in command.argv:
        refused = [f'Error from server: "{wall}" is forbidden: denied' for wall in WALLS_BY_HAND]
    return Result(command, 1, "", "\n".join(["Warning: spec.externalIPs is deprecated", *refused, f"[{KINDS}]"]), 0.1)


def test_S4_a_kind_that_the_cluster_lacks_makes_nothing_else_unclear() -> None:
    """S4: every other attempt is refused, and counts as refused."""
    found = AtHome(HOMES, api, Kubectl(Cluster("x")), walls=WALLS_BY_HAND).attempts()
    assert {seen.kind for some in found.values() for seen in some} == {"refused"}


def test_S4_an_object_of_which_nothing_is_said_is_not_taken_for_refused() -> None:
    """S4: neither made nor refused proves nothing, and a warning is not what is told of it."""
    found = AtHome(
        HOMES, lambda c: api(c, "korthweb-try-routes-0"), Kubectl(Cluster("x")), walls=WALLS_BY_HAND
    ).attempts()
    unclear = [seen for some in found.values() for seen in some if seen.kind == "unclear"]
    assert unclear
    assert not any("Warning" in seen.text for seen in unclear)
