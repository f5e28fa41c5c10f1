"""Which changes let somebody in, or out, who was not before: policies, ports, roles, hosts, TLS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from korthweb_tasks.changes.model import Consequence, Reason, listed
from korthweb_tasks.changes.objects import Object, places

DOOR, CUT = Consequence.DOOR, Consequence.CUT
#: weakest first: of a mesh's mTLS, of a gateway's TLS, of a version, of a client's certificate, of a namespace's pods
RANKS: tuple[tuple[str, ...], ...] = (
    ("DISABLE", "PERMISSIVE", "UNSET", "STRICT"),
    ("DISABLE", "PASSTHROUGH", "AUTO_PASSTHROUGH", "SIMPLE", "OPTIONAL_MUTUAL", "MUTUAL", "ISTIO_MUTUAL"),
    ("TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"),
    ("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"),
    ("NoClientCert", "RequestClientCert", "RequireAnyClientCert", "RequireAndVerifyClientCert"),
    ("privileged", "baseline", "restricted"),
)  # fmt: skip
#: where values of charts say which ports there are, and who reaches them
_PORTS = re.compile(r".*(\.ports\.[^.]+|port|expose(\.default)?|\.type)", re.IGNORECASE)
#: a peer and a port of a NetworkPolicy
Way = tuple[str, str]
OPEN_TYPES = frozenset({"LoadBalancer", "NodePort"})
#: switches that weaken when they are on
WEAK = frozenset({"privileged", "hostNetwork", "hostPID", "hostIPC", "allowPrivilegeEscalation"})
WEAK |= {"insecure", "insecureSkipVerify", "automountServiceAccountToken"}
#: and those that weaken when they are taken away
STRONG = frozenset({"runAsNonRoot", "readOnlyRootFilesystem", "sniStrict", "httpsRedirect"})


def pods(old: Object, new: Object) -> Iterator[Reason]:
    """Judge what pods may do on their node."""
    known = set(_leaves(old.get("spec")))
    for name, value in _leaves(new.get("spec")):
        weak = (name in WEAK and value is True) or name in ("hostPort", "hostPath", "add")
        if weak and (name, value) not in known:
            yield Reason(DOOR, f"{name}: {value}")
    if old and new:
        yield from tls(old, new)


def namespace(old: Object, new: Object) -> Iterator[Reason]:
    """Judge the labels that say what pods of a namespace may do."""
    if not old or not new:
        return
    before, after = ((obj["metadata"].get("labels") or {}) for obj in (old, new))
    key = "pod-security.kubernetes.io/enforce"
    if key in before and (key not in after or _weaker(before[key], after[key])):
        yield Reason(DOOR, f"{key}: {before[key]} → {after.get(key, 'none')}")


def account(old: Object, new: Object) -> Iterator[Reason]:
    """Judge a ServiceAccount: do its pods get a token of the API server?"""
    key = "automountServiceAccountToken"
    if old and new and old.get(key) is False and new.get(key) is not False:
        yield Reason(DOOR, f"{key} is on")


def service(old: Object, new: Object) -> Iterator[Reason]:
    """Judge a Service: who reaches it, and by which ports."""
    one, two = old.get("spec") or {}, new.get("spec") or {}
    ports, wanted = ({port["port"] for port in spec.get("ports") or ()} for spec in (one, two))
    if two.get("type") in OPEN_TYPES and one.get("type") not in OPEN_TYPES:
        yield Reason(DOOR, f"it is a {two['type']}, reached from outside")
    elif old and (more := sorted(wanted - ports)):
        yield Reason(DOOR, f"port {listed(map(str, more))} is added")
    if (limits := one.get("loadBalancerSourceRanges")) and new:
        given = two.get("loadBalancerSourceRanges")
        if not given or set(given) - set(limits):
            yield Reason(DOOR, f"loadBalancerSourceRanges {limits} → {given or 'everybody'}")
    if set(two.get("externalIPs") or ()) - set(one.get("externalIPs") or ()):
        yield Reason(DOOR, "externalIPs are added")
    if gone := sorted(ports - wanted):
        yield Reason(CUT, f"port {listed(map(str, gone))} is not there any more")
    if old and new and any(one.get(key) != two.get(key) for key in ("selector", "type", "loadBalancerIP")):
        yield Reason(CUT, "its address or its pods are others")


def network(old: Object, new: Object) -> Iterator[Reason]:
    """Judge a NetworkPolicy: policies add up, so a rule more is a way more, and a policy less is one, too."""
    one, two = old.get("spec") or {}, new.get("spec") or {}
    if old and not new:
        yield Reason(DOOR, "the policy is removed: what it alone refused is let in")
        return
    for direction in ("ingress", "egress"):
        before, after = _allowed(one.get(direction)), _allowed(two.get(direction))
        if any(not _covered(way, before) for way in after):
            yield Reason(DOOR, f"{direction} rule added")
        if any(not _covered(way, after) for way in before):
            yield Reason(CUT, f"{direction} rule taken away: who came by it is refused")
    if old and set(one.get("policyTypes") or ()) - set(two.get("policyTypes") or ()):
        yield Reason(DOOR, f"policyTypes {one.get('policyTypes')} → {two.get('policyTypes')}")
    if old and one.get("podSelector") != two.get("podSelector"):
        yield Reason(DOOR, "podSelector: other pods than before are behind it")


def authorization(old: Object, new: Object) -> Iterator[Reason]:
    """Judge an AuthorizationPolicy: a rule more of ALLOW, or one less of DENY."""
    one, two = old.get("spec") or {}, new.get("spec") or {}
    if old and not new:
        yield Reason(DOOR, "the policy is removed")
        return
    allows = two.get("action", "ALLOW") == "ALLOW"
    yield from _rules(one.get("rules"), two.get("rules"), "rule", allows=allows)
    if old and any(one.get(key) != two.get(key) for key in ("action", "selector", "targetRefs")):
        yield Reason(DOOR, "its action, or whom it protects, is another")


def tls(old: Object, new: Object) -> Iterator[Reason]:
    """Judge what is encrypted, from which version on, and whether a certificate is asked for."""
    if old and not new:
        yield Reason(DOOR, f"the {old.get('kind')} is removed: the defaults hold")
        return
    for path in places(old.get("spec"), new.get("spec"), ""):
        before, after = (_at(obj.get("spec"), path) for obj in (old, new))
        key = path.rpartition(".")[2]
        dropped = before is not None and after is None and any(str(before) in rank for rank in RANKS)
        if key in WEAK and after is True and before is not True:
            yield Reason(DOOR, f"{path}: {after}")
        elif key in STRONG and before is True and after is not True:
            yield Reason(DOOR, f"{path} is not asked for any more")
        elif dropped or _weaker(before, after):
            yield Reason(DOOR, f"{path}: {before} → {after or 'the default'}")
        elif "ipher" in path and old:
            yield Reason(DOOR, f"{path} differs: other ciphers are accepted")
        elif key in ("tls", "clientAuth", "mtls") and before and not after:
            yield Reason(DOOR, f"{path} is taken away")


def routes(old: Object, new: Object) -> Iterator[Reason]:
    """Judge what leads in: hosts, ports and matches; what is taken away cuts those who came by it."""
    before, after = _ways(old.get("spec")), _ways(new.get("spec"))
    if more := sorted(after - before):
        yield Reason(DOOR, f"a way more: {listed(more)}")
    if gone := sorted(before - after):
        yield Reason(CUT, f"a way less: {listed(gone)}")
    yield from (reason for reason in tls(old, new) if old and new)
    if old and new and not gone and (_carries(old) or _carries(new)) and old.get("spec") != new.get("spec"):
        yield Reason(CUT, f"the way of DICOM is made anew: {listed(places(old['spec'], new['spec'], 'spec'))}")


def rights(old: Object, new: Object) -> Iterator[Reason]:
    """Judge roles and who has them."""
    yield from _rules(old.get("rules"), new.get("rules"), "right", allows=True, cuts=False)
    yield from _rules(old.get("subjects"), new.get("subjects"), "holder", allows=True, cuts=False)
    if old and new and old.get("roleRef") != new.get("roleRef"):
        yield Reason(DOOR, "its role is another")


def admission(old: Object, new: Object) -> Iterator[Reason]:
    """Judge what the API server refuses: a policy that is new only closes."""
    if old and old.get("spec") != new.get("spec"):
        what = listed(places(old["spec"], new["spec"], "spec")) if new else "it is removed"
        yield Reason(DOOR, f"what is refused is another: {what}")


def issuer(old: Object, new: Object) -> Iterator[Reason]:
    """Judge who signs certificates."""
    if old and new and old.get("spec") != new.get("spec"):
        yield Reason(CUT, "another authority signs: a peer that trusts the old one refuses")


def source(old: Object, new: Object) -> Iterator[Reason]:
    """Judge where charts come from."""
    one, two = old.get("spec") or {}, new.get("spec") or {}
    if old and new and any(one.get(key) != two.get(key) for key in ("url", "insecure", "verify", "certSecretRef")):
        yield Reason(DOOR, f"charts come from {two.get('url')}, or are checked otherwise")


def entry(old: Object, new: Object) -> Iterator[Reason]:
    """Judge a way out of the mesh."""
    if new and old.get("spec") != new.get("spec"):
        yield Reason(DOOR, f"a way out: {listed(new['spec'].get('hosts') or ())}")


def chart(old: Object, new: Object) -> Iterator[Reason]:
    """Judge values of a chart that are about ports."""
    if old and new:
        known = {path for path in places(old["spec"], new["spec"], "spec") if _PORTS.fullmatch(path)}
        if known:
            yield Reason(DOOR, f"ports: {listed(sorted(known))}")


def _allowed(rules: Any) -> set[Way]:
    """Return whom a NetworkPolicy lets through by which port; "" stands for all."""
    found: set[Way] = set()
    for rule in rules or ():
        peers = [json.dumps(peer, sort_keys=True) for peer in rule.get("from") or rule.get("to") or ()]
        ports = [json.dumps(port, sort_keys=True) for port in rule.get("ports") or ()]
        found |= {(peer, port) for peer in peers or [""] for port in ports or [""]}
    return found


def _covered(way: Way, among: set[Way]) -> bool:
    return any(peer in ("", way[0]) and port in ("", way[1]) for peer, port in among)


def _rules(one: Any, two: Any, what: str, *, allows: bool, cuts: bool = True) -> Iterator[Reason]:
    before, after = ({json.dumps(rule, sort_keys=True) for rule in rules or ()} for rules in (one, two))
    more, fewer = len(after - before), len(before - after)
    if more if allows else fewer:
        yield Reason(DOOR, f"{more if allows else fewer} {what}s are new or gone" if not allows else f"{what} added")
    if cuts and (fewer if allows else more):
        yield Reason(CUT, f"{what} taken away: who came by it is refused")


def _weaker(before: Any, after: Any) -> bool:
    rank = next((rank for rank in RANKS if before in rank and after in rank), ())
    return bool(rank) and rank.index(after) < rank.index(before)


def _ways(tree: Any, path: str = "") -> set[str]:
    """Return hosts, ports, entry points and matches of a route."""
    found: set[str] = set()
    if isinstance(tree, list):
        return found.union(*(_ways(one, path) for one in tree))
    if not isinstance(tree, Mapping):
        return {f"{path} {tree}"} if path in ("host", "hosts", "entryPoints", "gateways") else found
    for key, value in tree.items():
        if key in ("match", "port") and value and not (path == "destination" or (key == "port" and "host" in tree)):
            number = value.get("number", value) if isinstance(value, Mapping) and key == "port" else value
            found.add(f"{key} {number if isinstance(number, (str, int)) else json.dumps(number, sort_keys=True)}")
        else:
            found |= _ways(value, key if key in ("host", "hosts", "entryPoints", "gateways", "destination") else "")
    return found


def _carries(obj: Object) -> bool:
    spec = obj.get("spec") or {}
    servers: Iterable[Any] = spec.get("servers") or ()
    tcp = any((server.get("port") or {}).get("protocol") in ("TCP", "TLS") for server in servers)
    return tcp or obj.get("kind") == "IngressRouteTCP" or bool(spec.get("tcp") or spec.get("tls"))


def _leaves(tree: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from ((name, str(value)),) if name in ("hostPath", "add") else _leaves(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from _leaves(value, key)
    else:
        yield key, tree


def _at(tree: Any, path: str) -> Any:
    for word in path.split("."):
        if isinstance(tree, list) and re.fullmatch("[0-9]+", word) and int(word) < len(tree):
            tree = tree[int(word)]
        else:
            tree = tree.get(word) if isinstance(tree, Mapping) else None
    return tree
