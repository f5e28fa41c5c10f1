"""How a cluster is reached: what a program's complaint about it leaves out, and a person wants to know. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Way:
    """The way to a cluster, by its kubeconfig and the environment; nothing in it is secret.

    ``plugin`` is the program that logs in (an exec plugin), ``proxy`` the proxy and who names it, ``ended`` the time
    at which the login in the kubeconfig expired.
    """

    context: str
    server: str = ""
    plugin: str = ""
    proxy: str = ""
    ended: str = ""

    @property
    def plain(self) -> bool:
        """Return True if the server is spoken to without TLS."""
        return self.server.startswith("http://")

    def __str__(self) -> str:
        """Return server and context for a sentence."""
        return f"{self.server} (context {self.context})" if self.server else f"the server of context {self.context}"
