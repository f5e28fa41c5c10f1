"""What goes wrong between here and a cluster: login, certificates, proxies, network; in words to act on. Pure.

kubectl, helm, istioctl and flux say the same words: those of Kubernetes' Go client. One table, read by
:func:`explained`, whoever asks: the first contact, a step of a plan, or the list of clusters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from korthweb_tasks.core import hints
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.errors import ClusterUnreachable, KorthwebError, tail
from korthweb_tasks.tools.kubectl_fault_table import ALWAYS, FIRST, Fault


def explained(stderr: str, cluster: Cluster, *, attempts: int = 1, first: bool = False) -> KorthwebError | None:
    """Return the error that tells of trouble on the way to a cluster; None where ``stderr`` is about something else.

    ``first``: it answers the first question, which no cluster refuses for its own sake.
    """
    if not (found := _found(stderr, cluster, first)):
        return None
    fault, said = found
    words, tries = _words(cluster, said), f" ({attempts} attempts)" if attempts > 1 else ""
    return fault.error(fault.text.format(**words) + tries, hint=fault.hint.format(**words), details=tail(stderr, 6))


def name_of(stderr: str, cluster: Cluster) -> str:
    """Return the kind of trouble that the first question met, in two or three words; empty for none that is known."""
    found = _found(stderr, cluster, first=True)
    return found[0].name if found else ""


def _found(stderr: str, cluster: Cluster, first: bool) -> tuple[Fault, dict[str, str]] | None:
    for fault in (*ALWAYS, *(FIRST if first else ())):
        if fault.needs and not getattr(cluster, fault.needs):
            continue
        if match := re.search(fault.says, stderr, re.MULTILINE):
            return fault, {key: text for key, text in match.groupdict().items() if text}
    return None


_DENIED = re.compile(
    r'cannot (?P<verb>[a-z]+) resource "(?P<kind>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<place>[^"]+)")?'
)


def denied(stderr: str) -> str:
    """Return the right that was missing, as ``create leases.coordination.k8s.io in kube-system``; empty for none.

    >>> denied('x is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "bhc"')
    'list pods in bhc'
    """
    if (match := _DENIED.search(stderr)) is None:
        return ""
    group, place = match["group"], match["place"]
    return f"{match['verb']} {match['kind']}{f'.{group}' if group else ''}{f' in {place}' if place else ''}"


def foreign(stdout: str, cluster: Cluster) -> KorthwebError:
    """Return the error for an answer that no API server would give."""
    head = stdout.strip()[:200]
    page = re.search(r"(?is)<title[^>]*>\s*(.*?)\s*</title>", stdout)
    what = "a web page" if head.lower().startswith(("<!doctype", "<html")) else "something else"
    title = f", {page[1][:80]!r}" if page else ""
    return ClusterUnreachable(
        f"{cluster} is not a Kubernetes API: it answers with {what}{title}" if head else f"{cluster} answers nothing",
        hint=f"look at the server in the kubeconfig; {_version()} by hand shows what answers (a login page, a proxy?)",
        details="" if page else head,
    )


def uid_of(stdout: str) -> str | None:
    """Read the UID of a namespace; None if it is not a namespace."""
    try:
        found = json.loads(stdout)
        return str(found["metadata"]["uid"]) if found["kind"] == "Namespace" else None
    except (ValueError, KeyError, TypeError):
        return None


def _host(server: str) -> str:
    """Return the host of a server's address, which may be broken."""
    return server.rpartition("://")[2].partition("/")[0].rpartition(":")[0] or server


def _words(cluster: Cluster, said: Mapping[str, str]) -> dict[str, object]:
    plugin = cluster.plugin or said.get("plugin") or said.get("path") or "that the kubeconfig names"
    return {
        "way": cluster,
        "context": cluster.context,
        "host": _host(cluster.server) or "the server",
        "plugin": plugin,
        "path": said.get("path", ""),
        "proxy": cluster.proxy or "of the environment",
        "ended": cluster.ended,
        "whoami": f"`{hints.kubectl('auth', 'whoami')}`",
        "rights": f"`{hints.kubectl('auth', 'can-i', '--list')}`",
        "version": _version(),
        "clusters": f"`{hints.task('context.list')}`",
    }


def _version() -> str:
    return f"`{hints.kubectl('get', '--raw', '/version')}`"
