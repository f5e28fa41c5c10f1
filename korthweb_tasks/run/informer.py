"""What the API server tells of many kinds at once: one `kubectl proxy`, one list and one watch for each kind.

A kubectl for each kind would cost 50 MB and a tenth of a second of processor time each; here a kind costs a thread.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.tree import Ref, Watched
from korthweb_tasks.errors import ClusterUnreachable
from korthweb_tasks.run.api_socket import Api, Lost
from korthweb_tasks.run.runner import Runner

__all__ = ["Change", "Informer", "Lost"]

#: seconds until a kind that is not served yet, or a server that gave no answer, is asked again
PAUSE = 0.5
#: seconds after which the server ends a watch by itself; we take a silence of a little longer for a dead connection
WATCH = 240
#: seconds in which news are gathered: objects change in flocks, and each look at all of them costs
SETTLE = 0.08
#: seconds in which a single look at all kinds has to be done
LOOK = 60.0
#: parts of an object that nobody here looks at, and that are large
HEAVY = ("managedFields",)


@dataclass(frozen=True, slots=True)
class Change:
    """News of one kind: an object that came, changed or (``obj`` None) went."""

    ref: Ref
    obj: Mapping[str, Any] | None


@dataclass
class Informer:
    """Objects of the wanted kinds as they are now; ``changes`` tells of each change.

    ``proxy`` makes the command that listens at a socket. Kinds that the server does not know (yet) are asked for
    again and again; a kind that may not be listed is left out and named in ``refused``.
    """

    runner: Runner
    proxy: Callable[[str], Command]
    kinds: Iterable[Watched]
    objects: dict[Ref, Mapping[str, Any]] = field(default_factory=dict, init=False)
    changes: queue.Queue[Change | None] = field(default_factory=queue.Queue, init=False)
    refused: set[str] = field(default_factory=set, init=False)
    silent: bool = field(default=False, init=False)
    api: Api = field(init=False)
    _listed: dict[str, threading.Event] = field(default_factory=dict, init=False)
    _known: dict[str, set[Ref]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Make the way to the server, which is not open yet."""
        self.api = Api(self.runner, self.proxy)
        self._over = self.api.over

    @contextmanager
    def opened(self, *, watch: bool = True) -> Iterator[Informer]:
        """Follow all kinds while the block runs; without ``watch`` look at each once, and be done before the block.

        Raises ClusterUnreachable where the way to the server can not be opened, or a look gets no answer.
        """
        with self.api.opened():
            for kind in self.kinds:
                self._listed[kind.kind] = threading.Event()
                work = self._follow if watch else self._look
                threading.Thread(target=work, args=(kind,), daemon=True).start()
            end = time.monotonic() + LOOK
            while not watch and not self.listed():
                self.news(0.1)
                if time.monotonic() > end:
                    raise ClusterUnreachable("the API server gives no answer", hint=hints.task("context.list"))
            yield self

    def listed(self, *kinds: str) -> bool:
        """Return True if all kinds (or those named) have been looked at once."""
        return all(event.is_set() for kind, event in self._listed.items() if not kinds or kind in kinds)

    def news(self, seconds: float) -> list[Change]:
        """Take the changes in that have come, waiting for the first at most ``seconds``; ``objects`` follows them.

        What comes a moment after the first is taken along. Raises Interrupted when the runner was stopped.
        """
        found: list[Change] = []
        with suppress(queue.Empty):
            change = self.changes.get(timeout=seconds)
            if seconds:
                self._over.wait(SETTLE)
            while True:
                if change:
                    found.append(change)
                change = self.changes.get_nowait()
        for change in found:
            if change.obj is None:
                self.objects.pop(change.ref, None)
            else:
                self.objects[change.ref] = change.obj
        self.api.going()
        return found

    def patch(self, ref: Ref, body: Mapping[str, Any], seconds: float = 10.0, part: str = "") -> int:
        """Merge ``body`` into an object, or a ``part`` of it (``/status``), and return the HTTP status; raises Lost."""
        kind = next(kind for kind in self.kinds if kind.kind == ref.kind)
        path = f"{kind.object_path(ref)}{part}?fieldManager=korthweb"
        headers = {"Content-Type": "application/merge-patch+json"}
        with self.api.asked("PATCH", path, seconds, json.dumps(body), headers) as answer:
            answer.read()
            return answer.status

    def _look(self, kind: Watched) -> None:
        """List a kind once; a server without an answer is asked again."""
        while not self._over.is_set():
            with suppress(Lost):
                self._list(kind)
                break
            self._over.wait(PAUSE)

    def _follow(self, kind: Watched) -> None:
        version = ""
        while not self._over.is_set():
            try:
                version = version or self._list(kind)
                if version:
                    version = self._watch(kind, version)
                    continue
            except Lost:
                self.silent = True
                self.changes.put(None)
            self._over.wait(PAUSE)

    def _list(self, kind: Watched) -> str:
        """Take in all objects of a kind and return where to watch from; empty where there is no such kind."""
        with self.api.asked("GET", f"{kind.path}{_query(kind)}", 60.0) as answer:
            text = answer.read()
            if answer.status >= 500 or answer.status == 429:
                raise Lost(f"HTTP status {answer.status}")
            data = json.loads(text) if answer.status == 200 else {}
        self.silent = False
        if answer.status == 403:
            self.refused.add(kind.kind)
        items = {_ref(kind, item): _light(kind, item) for item in data.get("items") or ()}
        for gone in self._known.get(kind.kind, set()) - set(items):
            self.changes.put(Change(gone, None))
        self._known[kind.kind] = set(items)
        for ref, item in items.items():
            self.changes.put(Change(ref, item))
        self._listed[kind.kind].set()
        self.changes.put(None)
        return str(data.get("metadata", {}).get("resourceVersion", ""))

    def _watch(self, kind: Watched, version: str) -> str:
        """Follow a kind until the watch ends; return where to go on from, empty to begin with a list again."""
        more = f"watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH}&resourceVersion={version}"
        with self.api.asked("GET", f"{kind.path}{_query(kind, more)}", WATCH + 60.0) as answer:
            if answer.status >= 500:
                raise Lost(f"HTTP status {answer.status}")
            if answer.status != 200:
                return ""
            self.silent = False
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return ""
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._tell(kind, event)
        return version

    def _tell(self, kind: Watched, event: Mapping[str, Any]) -> None:
        ref, gone = _ref(kind, event["object"]), event["type"] == "DELETED"
        (self._known[kind.kind].discard if gone else self._known[kind.kind].add)(ref)
        self.changes.put(Change(ref, None if gone else _light(kind, event["object"])))


def _query(kind: Watched, more: str = "") -> str:
    parts = [f"fieldSelector={quote(kind.fields)}" if kind.fields else "", more]
    joined = "&".join(part for part in parts if part)
    return f"?{joined}" if joined else ""


def _ref(kind: Watched, obj: Mapping[str, Any]) -> Ref:
    return Ref(kind.kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


def _light(kind: Watched, obj: dict[str, Any]) -> Mapping[str, Any]:
    """Return the object with its kind, which lists leave out, and without what is heavy."""
    meta = {key: value for key, value in obj["metadata"].items() if key not in HEAVY}
    return {**obj, "kind": kind.kind, "metadata": meta}
