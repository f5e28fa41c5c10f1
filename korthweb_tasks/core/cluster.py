"""The cluster that a command speaks to, always named and never the current context; and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cluster:
    """One kubeconfig context. ``kubeconfig`` None means kubectl's own search order.

    The others are for messages about the way to it, and nothing in them is secret: ``server`` is its URL, ``plugin``
    the program that logs in (an exec plugin), ``proxy`` the proxy and who names it, ``ended`` the time at which the
    login in the kubeconfig expired.

    >>> Cluster("hospital-a").helm_args()
    ('--kube-context', 'hospital-a')
    """

    context: str
    kubeconfig: str | None = None
    server: str = ""
    plugin: str = ""
    proxy: str = ""
    ended: str = ""

    def kubectl_args(self) -> tuple[str, ...]:
        """Return the flags that kubectl, istioctl and flux take."""
        return (*self._file(), "--context", self.context)

    def helm_args(self) -> tuple[str, ...]:
        """Return the flags that helm takes."""
        return (*self._file(), "--kube-context", self.context)

    @property
    def plain(self) -> bool:
        """Return True if the server is spoken to without TLS."""
        return self.server.startswith("http://")

    def _file(self) -> tuple[str, ...]:
        return ("--kubeconfig", self.kubeconfig) if self.kubeconfig else ()

    def __str__(self) -> str:
        """Return server and context for a sentence."""
        return f"{self.server} (context {self.context})" if self.server else f"the server of context {self.context}"
