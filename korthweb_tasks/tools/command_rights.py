"""Which rights a command needs: what kubectl and helm ask of the API server for the words that they are given. Pure.

A word that is not in the tables is a KeyError: nobody is given rights by a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from korthweb_tasks.core.plan import Condition, Gone, Serving
from korthweb_tasks.core.rights import RBAC, Right
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.tools.resources import of_object, resource, wide

if TYPE_CHECKING:
    from korthweb_tasks.core.command import Command

Rights = Iterator[Right]
#: what every login may ask: Kubernetes grants it to system:authenticated
_FREE = frozenset({"api-resources", "version", "auth"})
#: flags of kubectl that take the next word
_VALUED = frozenset(
    ("--kubeconfig", "--context", "--namespace", "--selector", "--output", "--field-selector", "--patch", "--address")
)
#: word of kubectl -> what it asks of an object that is named, and of its kind
_NAMED: Mapping[str, tuple[str, ...]] = {
    "get": ("get",),
    "scale": ("get",),
    "patch": ("get", "patch"),
    "annotate": ("get", "patch"),
    "rollout": ("get", "patch"),
    "delete": ("delete",),
    "wait": ("get", "list", "watch"),
    "apply": ("get", "patch", "create"),
    "diff": ("get", "patch", "create"),
    "replace": ("get", "update"),
}
#: what each word asks of kinds when objects are picked by labels, or all are meant
_PICKED: Mapping[str, tuple[str, ...]] = {
    "get": ("list",),
    "delete": ("list", "delete"),
    "wait": ("list", "watch"),
}
#: word -> what it asks of a pod beside ``get``
_OF_POD = {"exec": "pods/exec", "port-forward": "pods/portforward"}


def command_rights(command: Command) -> frozenset[Right]:
    """Return what a command needs; a program that asks no cluster needs nothing. Raises KeyError for unknown words."""
    if command.target is None:
        return frozenset()
    return frozenset({"kubectl": _kubectl, "helm": _helm, "istioctl": _nothing}[command.argv[0]](command))


def condition_rights(kubectl: Kubectl, condition: Condition) -> frozenset[Right]:
    """Return what waiting for a condition needs, as run/watch.py waits."""
    if isinstance(condition, Serving):
        return command_rights(condition.command)
    kind, name, place = condition.kind, condition.name, condition.namespace
    if isinstance(condition, Gone):
        return command_rights(kubectl.gone(kind, name, namespace=place))
    asked = [kubectl.get_these([(kind, name)], namespace=place), kubectl.watch(kind, name, namespace=place)]
    asked += [kubectl.watch("pods", namespace=place)] if kind.lower() in _WORKLOADS else []
    return frozenset(right for command in asked for right in command_rights(command))


_WORKLOADS = ("deployment", "statefulset", "daemonset", "job")


def object_rights(verbs: Iterable[str], objects: Iterable[Mapping[str, Any]], *, tried: bool = False) -> Rights:
    """Yield these verbs on each object; who writes a role must have what it grants, or Kubernetes refuses it."""
    asked, every = tuple(verbs), tuple(objects)
    own = {(obj["kind"], obj["metadata"]["name"]) for obj in every}
    for obj in every:
        group, kind = of_object(obj)
        place = "" if wide(group, kind) else str(obj["metadata"].get("namespace", ""))
        name = "" if kind == "jobs" else obj["metadata"]["name"]  # a job's name follows its contents
        for verb in asked:
            yield Right(verb, group, kind, place, name, tried and verb != "get")
        if group == RBAC and "create" in asked:
            yield from _handed_out(obj, place, own)


def _handed_out(obj: Mapping[str, Any], place: str, own: Collection[tuple[str, str]]) -> Rights:
    """Yield what a role grants, so that no ``escalate`` is needed; ``bind`` for the one role that others made."""
    for rule in obj.get("rules") or ():
        for group, kind in product(rule.get("apiGroups", ()), rule.get("resources", ())):
            for verb, name in product(rule["verbs"], rule.get("resourceNames") or ("",)):
                yield Right(verb, group, kind, place, name)
    role = obj.get("roleRef")
    if role and (role["kind"], role["name"]) not in own:
        yield Right("bind", RBAC, f"{role['kind'].lower()}s", place, role["name"])


def _kubectl(command: Command) -> Rights:
    words, flags = _parsed(command.argv[1:])
    verb, rest = words[0], words[1:]
    tried = verb == "diff" or flags.get("--dry-run") == "server"
    if verb in _FREE:
        return
    if "--raw" in flags:
        yield from _raw(verb, flags["--raw"] or rest[0])
    elif "--filename" in flags:
        yield from _of_objects(verb, command, tried, flags)
    elif verb in _OF_POD:
        yield from _to_pod(verb, flags)
    elif verb == "logs":
        place = flags.get("--namespace", "")
        yield Right("list", "", "pods", place)
        yield Right("get", "", "pods/log", place)
    elif verb == "scale":
        for one in _kinds(verb, rest, flags):
            yield one
            yield from (replace(one, verb=v, resource=f"{one.resource}/scale") for v in ("get", "update", "patch"))
    else:
        rest = rest[1:] if verb == "rollout" else rest
        yield from (replace(one, tried=tried) for one in _kinds(verb, rest, flags))


def _parsed(argv: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words without flags, and the flags with their values."""
    words: list[str] = []
    flags: dict[str, str] = {}
    rest = iter(argv)
    for word in rest:
        if word == "--":
            break
        if not word.startswith("-"):
            words.append(word)
            continue
        name, joined, value = word.partition("=")
        flags[name] = value if joined else next(rest) if name in _VALUED else ""
    return words, flags


def _raw(verb: str, path: str) -> Rights:
    found = re.fullmatch(r"/api/v1/namespaces/([^/]+)", path)
    if found:
        yield Right(verb, "", "namespaces", name=found[1])
    elif path not in ("/apis", "/version"):
        raise KeyError(f"the path {path} is not in the table")


def _of_objects(verb: str, command: Command, tried: bool, flags: Mapping[str, str]) -> Rights:
    data = json.loads(command.stdin or "{}")
    objects = data["items"] if data.get("kind") == "List" else [data]
    if verb == "create":  # a POST names no object
        for right in object_rights(("create",), objects, tried=tried):
            yield replace(right, name="")
        return
    yield from object_rights(_NAMED[verb], objects, tried=tried)
    if verb == "delete" and flags.get("--wait") != "false":
        yield from object_rights(("get", "list", "watch"), objects)


def _to_pod(verb: str, flags: Mapping[str, str]) -> Rights:
    place = flags["--namespace"]
    yield Right("get", "", "pods", place)
    # a WebSocket begins with a GET, SPDY with a POST; which of them it is kubectl and the server agree upon
    yield from (Right(asked, "", _OF_POD[verb], place) for asked in ("create", "get"))


def _kinds(verb: str, rest: list[str], flags: Mapping[str, str]) -> Rights:
    everywhere, place = "--all-namespaces" in flags, flags.get("--namespace", "")
    rest = [word for word in rest if "=" not in word]  # annotations
    named = [tuple(word.split("/", 1)) for word in rest if "/" in word]
    if not named and rest:
        names = rest[1:]
        named = [(kind, name) for kind in rest[0].split(",") for name in names or ("",)]
    picked = flags.get("--field-selector", "").removeprefix("metadata.name=") if "--watch" in flags else ""
    for kind, name in named:
        group, called = resource(kind)
        scope = "" if everywhere or wide(group, called) else place
        for asked in _asked(verb, name, flags):
            yield Right(asked, group, called, scope, name or picked)


def _asked(verb: str, name: str, flags: Mapping[str, str]) -> tuple[str, ...]:
    verbs = _NAMED[verb] if name else _PICKED[verb]
    if "--watch" in flags:
        return ("list", "watch")
    waits = verb == "delete" and flags.get("--wait") != "false"
    return (*verbs, "get", "list", "watch") if waits else verbs


def _helm(command: Command) -> Rights:
    """Yield what helm asks for its own records, Secrets of the namespace; what its charts consist of is not known."""
    words, place = command.argv[1:], command.argv[command.argv.index("--namespace") + 1]
    verbs = {"list": ("list",), "get": ("list", "get"), "history": ("list", "get")}
    changes = ("list", "get", "create", "update", "delete")
    dry = any(word.startswith("--dry-run") for word in words)
    asked = ("list", "get") if dry else verbs.get(words[0], changes)
    for verb in asked:
        yield Right(verb, "", "secrets", place)


def _nothing(_: Command) -> Rights:
    """Yield nothing: what istioctl installs is known by what it renders."""
    return iter(())
