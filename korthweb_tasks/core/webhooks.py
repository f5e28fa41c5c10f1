"""A webhook that the API server can't reach: one cause of many failures, which waiting does not heal. Pure.

"Connection refused" and "no endpoints" are what a webhook says while it starts. Where its packets are dropped, mostly
by the firewall between a private cluster's control plane and its nodes, each object waits until the call times out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: seconds for which a webhook may give no answer: its pods may be moving
GRACE = 40.0
_CALL = re.compile(
    r"failed calling webhook \"(?P<name>[^\"]+)\""
    r"(?:.*?Post \"https://(?P<service>[^./\"]+)\.(?P<namespace>[^./\"]+)\.svc(?::(?P<port>[0-9]+))?[^\"]*\")?"
    r".*?(?P<why>context deadline exceeded|i/o timeout|Client\.Timeout|no route to host|network is unreachable)"
)


@dataclass(frozen=True, slots=True)
class Unreached:
    """A webhook that gave no answer: its name, the Service behind it (none for one far away), and why."""

    name: str
    service: str
    namespace: str
    port: str
    why: str

    def __str__(self) -> str:
        """Return what is wrong, for a sentence of its own."""
        place = f" (Service {self.namespace}/{self.service}, port {self.port or 443})" if self.service else ""
        return f"the API server can't reach the webhook {self.name}{place}: timed out"


def unreached(text: str) -> Unreached | None:
    """Return the webhook that an API server says it can't reach; None where ``text`` tells of none.

    >>> said = 'failed calling webhook "a.b.io": failed to call webhook: Post "https://a.b.svc:443/x": i/o timeout'
    >>> str(unreached(said))
    "the API server can't reach the webhook a.b.io (Service b/a, port 443): timed out"
    """
    if found := _CALL.search(text):
        return Unreached(*(found[part] or "" for part in ("name", "service", "namespace", "port", "why")))
    return None
