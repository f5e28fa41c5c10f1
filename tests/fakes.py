"""Doubles that fail on what they were not told to expect."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from korthweb_tasks import services
from korthweb_tasks.approaches.shared.components import HELM_RELEASES, MARK, SOURCES, WEBHOOKS, WORKLOADS
from korthweb_tasks.approaches.shared.contents import USUAL_KINDS
from korthweb_tasks.approaches.shared.namespaces import RECORD, Record
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.run.runner import failure


@dataclass
class Answer:
    """What a scripted command gives: stdout, stderr, exit code."""

    stdout: str = ""
    stderr: str = ""
    code: int = 0


#: what an empty cluster answers to the question which components are there
NO_COMPONENTS: dict[tuple[str, ...], Answer] = {
    ("get", f"{WORKLOADS},{WEBHOOKS}"): Answer('{"items": []}'),
    ("get", "namespace", "--selector", MARK): Answer(),
    ("get", "namespace/cert-manager"): Answer(),
    ("get", "prometheuses.monitoring.coreos.com"): Answer(),
    ("get", "apiservices.apiregistration.k8s.io"): Answer(),
    ("get", HELM_RELEASES): Answer(stderr="error: the server doesn't have a resource type", code=1),
    ("get", SOURCES): Answer(stderr="error: the server doesn't have a resource type", code=1),
    ("get", "customresourcedefinitions"): Answer(),
    ("get", "--raw", "/apis"): Answer('{"groups": []}'),
    ("get", "nodes,services"): Answer('{"items": []}'),
    ("get", "ipaddresspools.metallb.io"): Answer(stderr="error: the server doesn't have a resource type", code=1),
    ("create", "--dry-run=server"): Answer("pod/korthweb-check"),
}


@dataclass
class ScriptedRunner:
    """Answers commands by the words in them; an unexpected command fails the test.

    ``script`` maps words that all have to be in the argv to an answer, or a list of answers used up one by one.
    """

    script: dict[tuple[str, ...], Answer | list[Answer] | Callable[[Command], Answer]]
    calls: list[Command] = field(default_factory=list)
    stopped: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)

    def check(self, command: Command) -> Result:
        """Return the scripted result."""
        self.calls.append(command)
        for words, answer in self.script.items():
            if set(words) <= set(command.argv):
                found = answer.pop(0) if isinstance(answer, list) else answer
                found = found(command) if callable(found) else found
                return Result(command, found.code, found.stdout, found.stderr, 0.01)
        raise AssertionError(f"unexpected command: {command}")

    def run(self, command: Command) -> Result:
        """Return the scripted result, or raise as the real runner does."""
        result = self.check(command)
        if not result.answered:
            raise failure(result)
        following = command.follow(result) if command.follow else None
        return self.run(following) if following else result

    @contextmanager
    def stream(self, command: Command) -> Iterator[Iterator[str]]:
        """Give the scripted stdout line by line."""
        yield iter(self.check(command).stdout.splitlines(keepends=True))

    def sleep(self, seconds: float) -> None:
        """Do not sleep."""

    def stop(self) -> None:
        """Remember."""
        self.stopped = True


@dataclass
class EmptyCluster(ScriptedRunner):
    """Answers what is in no script as a cluster does in which nothing is, and programs that say their version."""

    def check(self, command: Command) -> Result:
        """Return the scripted result, or nothing."""
        try:
            return super().check(command)
        except AssertionError:
            version = {"serverVersion": {"gitVersion": "v1.36.3"}, "git": "git version 2"}
            asked = {"version", "--version"} & set(command.argv)
            return Result(command, 0, json.dumps(version) if asked else "", "", 0.1)


@dataclass
class Namespaces:
    """The namespaces of a scripted cluster, as kubectl tells of them; each one that is made gets a UID of its own.

    ``inside`` are the lines of what is in them, as ``approaches.ownership.contents`` asks for.
    """

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    inside: dict[str, str] = field(default_factory=dict)

    def script(self, *names: str) -> dict[tuple[str, ...], Callable[[Command], Answer]]:
        """Return the entries of a script; ``names`` are the namespaces that may be asked for side by side."""
        return {
            ("get", ",".join(USUAL_KINDS)): self.contents,
            **{("get", f"namespace/{name}"): self.these for name in names},
            ("get", "namespace"): self.get,
            ("create", "--output=json"): self.create,
            ("patch", "namespace"): self.patch,
        }

    def record(self, name: str, tenant: str, domain: str, approach: str, **labels: str) -> None:
        """Add a namespace that korthweb made."""
        text = Record(approach, tenant, domain, uid=f"uid-{name}").text()
        meta = {"name": name, "uid": f"uid-{name}", "labels": labels, "annotations": {RECORD: text}}
        self.known[name] = {"kind": "Namespace", "metadata": meta}

    def these(self, command: Command) -> Answer:
        """Answer ``get namespace/a namespace/b``."""
        names = [word.partition("/")[2] for word in command.argv if word.startswith("namespace/")]
        return listed(*(self.known[name] for name in names if name in self.known))

    def get(self, command: Command) -> Answer:
        """Answer ``get namespace NAME``, or with a selector or nothing for all."""
        after = command.argv[command.argv.index("namespace") + 1]
        if after.startswith("-"):
            return listed(*self.known.values())
        return Answer(json.dumps(self.known[after]) if after in self.known else "")

    def create(self, command: Command) -> Answer:
        """Make a namespace."""
        (made,) = json.loads(command.stdin or "")["items"]
        name = made["metadata"]["name"]
        self.known[name] = {**made, "metadata": {**made["metadata"], "uid": f"uid-{name}"}}
        return listed(self.known[name])

    def patch(self, command: Command) -> Answer:
        """Write annotations; another UID is refused."""
        obj = self.known[command.argv[command.argv.index("namespace") + 1]]
        given = json.loads(next(word for word in command.argv if word.startswith("--patch=")).partition("=")[2])
        if given["metadata"]["uid"] != obj["metadata"]["uid"]:
            return Answer(stderr="metadata.uid: Invalid value: field is immutable", code=1)
        obj["metadata"].setdefault("annotations", {}).update(given["metadata"]["annotations"])
        return Answer()

    def contents(self, command: Command) -> Answer:
        """Tell what is in a namespace."""
        return Answer(self.inside.get(command.argv[command.argv.index("--namespace") + 1], ""))


def listed(*objects: dict[str, Any]) -> Answer:
    """Return objects as kubectl lists them."""
    return Answer(json.dumps({"kind": "List", "items": list(objects)}))


def put(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    """Put ``value`` in the place of ``package.module.name``, in each module that imports it from there, too."""
    for found in pkgutil.walk_packages(services.__path__, f"{services.__name__}."):
        importlib.import_module(found.name)
    module, _, attribute = name.rpartition(".")
    meant = getattr(importlib.import_module(module), attribute)
    for there in [one for known, one in sys.modules.items() if known.startswith("korthweb_tasks.")]:
        if vars(there).get(attribute) is meant:
            monkeypatch.setattr(there, attribute, value)
