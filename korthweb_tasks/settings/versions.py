"""The one table of pins: which version of each component is used, and which are accepted."""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMBER = re.compile(r"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:\.[0-9]+)*(?:[-+~][A-Za-z0-9.+~-]*)?")
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*(\S+)")
Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Pin:
    """One component: the version that is used by default and the range (``>=1.2,<2``) that is accepted."""

    version: str
    accepted: str
    title: str

    def accepts(self, version: str) -> bool:
        """Return True if ``version`` is inside the accepted range."""
        return within(version, self.accepted)


PINS: dict[str, Pin] = {
    "kubernetes": Pin("1.36.3", ">=1.35,<1.38", "Kubernetes API server and node"),
    "kubectl": Pin("1.36.4", ">=1.34,<1.39", "CLI: kubectl"),
    "helm": Pin("4.3.1", ">=3.22,<5", "CLI: Helm; 3.22 gets security fixes until February 2027"),
    "istio": Pin("1.31.1", ">=1.30,<1.33", "istiod, gateways and the CLI istioctl"),
    "flux": Pin("2.9.5", ">=2.8,<3", "CLI: flux, and its controllers"),
    "sops": Pin("3.13.2", ">=3.9,<4", "CLI: sops, where passwords are in Git, encrypted"),
    "age": Pin("1.3.1", ">=1.1,<2", "CLI: age-keygen, which makes the key for that"),
    "cert-manager": Pin("1.21.2", ">=1.11.4,<2", "cert-manager"),
    "postgres": Pin("17.11", ">=15,<18", "PostgreSQL; 18 moved the mount point of its image"),
    "orthanc": Pin("26.8.1", ">=1.12.7", "tag of the Orthanc image; 26.8.1 holds Orthanc 1.13.0"),
    "orthanc-chart": Pin("0.1.0", ">=0.1,<1", "chart of Orthanc (Helm approach)"),
    "traefik": Pin("41.3.0", ">=41,<42", "chart of Traefik (Helm approach)"),
    "cnpg": Pin("1.28.0", ">=1.27,<2", "CloudNativePG operator"),
    "cnpg-chart": Pin("0.27.0", ">=0.26,<1", "chart of CloudNativePG"),
    "kube-prometheus-stack": Pin("88.5.3", ">=88,<89", "chart of Prometheus, Grafana and their operator"),
    "prometheus": Pin("3.13.0", ">=2.53,<4", "Prometheus of the lite observability"),
    "kiali": Pin("2.29.0", ">=2.20,<3", "Kiali"),
    "grafana": Pin("12.4.10", ">=11.6,<14", "Grafana of the lite observability"),
    "jaeger": Pin("2.19.0", ">=2.5,<3", "Jaeger"),
    "envoy": Pin("1.40.0", ">=1.35,<2", "Envoy inside the lab's own proxy image"),
    "kwok": Pin("0.8.0", ">=0.7,<1", "kwokctl: the lab's control plane, simulated nodes"),
    "coredns": Pin("1.15.0", ">=1.11,<2", "DNS of the lab"),
    "metrics-server": Pin("0.9.0", ">=0.7,<1", "metrics for the autoscaler in the lab"),
}

#: CLI → the component whose version it carries
TOOL_COMPONENTS: dict[str, str] = {
    "kubectl": "kubectl",
    "helm": "helm",
    "istioctl": "istio",
    "flux": "flux",
    "sops": "sops",
    "age-keygen": "age",
}


def parse(version: str) -> Version:
    """Return (major, minor, patch) of ``1.2``, ``v1.2.3`` or ``1.2.3-rc1``; raise ``ValueError`` for anything else."""
    match = NUMBER.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is not a version like 1.2.3")
    major, minor, patch = (int(part or 0) for part in match.groups())
    return major, minor, patch


def within(version: str, accepted: str) -> bool:
    """Return True if ``version`` meets every clause of ``accepted`` (``>=3.22,<5``); an empty range accepts all.

    Pre-releases count as the version they lead to. Raises ``ValueError`` for what is not a version or a range.
    """
    number = parse(version)
    return all(_meets(number, clause.strip()) for clause in accepted.split(",") if clause.strip())


def tool_pin(tool: str) -> Pin:
    """Return the pin of a CLI (``istioctl`` follows ``istio``)."""
    return PINS[TOOL_COMPONENTS[tool]]


def _meets(number: Version, clause: str) -> bool:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise ValueError(f"{clause!r} is not a range like >=1.2")
    sign, bound = match.group(1), parse(match.group(2))
    return {
        ">=": number >= bound,
        "<=": number <= bound,
        "==": number == bound,
        "!=": number != bound,
        ">": number > bound,
        "<": number < bound,
    }[sign]
