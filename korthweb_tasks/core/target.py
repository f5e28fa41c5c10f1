"""The cluster that a command speaks to: always named, never the current context."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One kubeconfig context. ``kubeconfig`` None means kubectl's own search order."""

    context: str
    kubeconfig: str | None = None

    def kubectl_args(self) -> tuple[str, ...]:
        """Return the flags that kubectl, istioctl and flux take."""
        return (*self._file(), "--context", self.context)

    def helm_args(self) -> tuple[str, ...]:
        """Return the flags that helm takes."""
        return (*self._file(), "--kube-context", self.context)

    def _file(self) -> tuple[str, ...]:
        return ("--kubeconfig", self.kubeconfig) if self.kubeconfig else ()
