"""The kinds of Kubernetes that korthweb speaks of: words of kubectl, plurals, groups, what has no namespace. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: group -> the words by which its kinds are called without it
_WORDS = {
    "": "pod service secret configmap serviceaccount namespace node event persistentvolumeclaim persistentvolume "
    "endpoints limitrange resourcequota",
    "apps": "deployment statefulset daemonset replicaset",
    "batch": "job cronjob",
    "autoscaling": "horizontalpodautoscaler",
    "policy": "poddisruptionbudget",
    "networking.k8s.io": "networkpolicy ingress ingressclass",
    "coordination.k8s.io": "lease",
    "storage.k8s.io": "storageclass",
    "rbac.authorization.k8s.io": "role rolebinding clusterrole clusterrolebinding",
    "apiextensions.k8s.io": "customresourcedefinition",
    "apiregistration.k8s.io": "apiservice",
    "admissionregistration.k8s.io": "validatingadmissionpolicy validatingadmissionpolicybinding "
    "validatingwebhookconfiguration mutatingwebhookconfiguration",
    "source.toolkit.fluxcd.io": "gitrepository helmrepository helmchart ocirepository",
    "helm.toolkit.fluxcd.io": "helmrelease",
    "cert-manager.io": "certificate issuer clusterissuer",
}
_GROUPS = {word: group for group, words in _WORDS.items() for word in words.split()}
_SHORT = {"crd": "customresourcedefinition"}
_WIDE = frozenset({
    "namespaces", "nodes", "persistentvolumes", "clusterroles", "clusterrolebindings", "customresourcedefinitions",
    "apiservices", "storageclasses", "ingressclasses", "validatingadmissionpolicies", "clusterissuers",
    "validatingadmissionpolicybindings", "validatingwebhookconfigurations", "mutatingwebhookconfigurations",
    "priorityclasses", "gatewayclasses",
})  # fmt: skip


def plural(kind: str) -> str:
    """Return a kind as it is called in the API's paths.

    >>> plural("NetworkPolicy"), plural("Gateway"), plural("Ingress"), plural("TLSOption")
    ('networkpolicies', 'gateways', 'ingresses', 'tlsoptions')
    """
    word = kind.lower()
    if word == "endpoints":
        return word
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.fullmatch(".*[^aeiou]y", word) else f"{word}s"


def resource(word: str) -> tuple[str, str]:
    """Return group and resource for a word of kubectl. Raises KeyError for one that is not in the table.

    >>> resource("pods"), resource("helmrelease.helm.toolkit.fluxcd.io")
    (('', 'pods'), ('helm.toolkit.fluxcd.io', 'helmreleases'))
    """
    kind, _, group = word.lower().partition(".")
    kind = _SHORT.get(kind, kind)
    if group:
        return group, kind if kind.endswith("s") else plural(kind)
    for single, known in _GROUPS.items():
        if kind in (single, plural(single)):
            return known, plural(single)
    raise KeyError(f"kubectl's word {word} is not in the table of kinds")


def of_object(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Return group and resource of an object."""
    group, _, version = str(obj["apiVersion"]).rpartition("/")
    return group if version else "", plural(str(obj["kind"]))


def wide(group: str, resource_: str) -> bool:
    """Return True for a resource that no namespace holds."""
    return resource_.partition("/")[0] in _WIDE and not group.endswith(".istio.io")
