"""What the API server tells of many kinds at once: one `kubectl proxy`, one list and one watch for each kind.

A kubectl for each kind would cost 50 MB and a tenth of a second of processor time each; here a kind costs a thread.
"""

from __future__ import annotations

import http.client
import json
import queue
import select
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from korthweb_tasks.core.command import Command
from korthweb_tasks.core.tree import Ref, Watched
from korthweb_tasks.errors import ClusterUnreachable, Interrupted
from korthweb_tasks.run.runner import Runner

#: seconds until a kind that is not served yet, or a server that gave no answer, is asked again
PAUSE = 0.5
#: seconds after which the server ends a watch by itself; we take a silence of a little longer for a dead connection
WATCH = 240
#: seconds until the proxy has to listen, and in which it has to end
STARTS, ENDS = 15.0, 10.0
#: seconds in which news are gathered: objects change in flocks, and each look at all of them costs
SETTLE = 0.08
#: runs a program until it ends, or until nobody holds our end of stdin: we may be killed without a last word
HELD = 'exec 3<&0; "$@" 3<&- & p=$!; (read _ <&3; kill $p) & w=$!; wait $p; kill $w'
#: parts of an object that nobody here looks at, and that are large
HEAVY = ("managedFields",)


@dataclass(frozen=True, slots=True)
class Change:
    """News of one kind: an object that came, changed or (``obj`` None) went."""

    ref: Ref
    obj: Mapping[str, Any] | None


class _Unix(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Lost(Exception):
    """The server gave no answer, or the connection ended."""


@dataclass
class Feed:
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
    _listed: dict[str, threading.Event] = field(default_factory=dict, init=False)
    _known: dict[str, set[Ref]] = field(default_factory=dict, init=False)
    _over: threading.Event = field(default_factory=threading.Event, init=False)
    _socket: str = field(default="", init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _open: set[_Unix] = field(default_factory=set, init=False)

    @contextmanager
    def opened(self, *, watch: bool = True) -> Iterator[Feed]:
        """Follow all kinds while the block runs; without ``watch`` look at each once, and be done before the block.

        Raises ClusterUnreachable where the way to the server can not be opened.
        """
        with ExitStack() as stack:
            folder = tempfile.mkdtemp(prefix="korthweb-")  # only this user may enter it
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self._socket = str(Path(folder) / "api")
            serving = self._spawn(self._serve)
            stack.callback(serving.join, ENDS)
            stack.callback(self._close)
            self._reach()
            for kind in self.kinds:
                self._listed[kind.kind] = threading.Event()
            threads = [self._spawn(self._follow if watch else self._look, kind) for kind in self.kinds]
            if not watch:
                while any(thread.is_alive() for thread in threads):
                    threads[0].join(0.1)
                    threads.append(threads.pop(0))
                    self._going()
            yield self

    def listed(self, *kinds: str) -> bool:
        """Say whether all kinds (or those named) have been looked at once."""
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
        self._going()
        return found

    def patch(self, ref: Ref, body: Mapping[str, Any], seconds: float = 10.0, part: str = "") -> int:
        """Merge ``body`` into an object, or a ``part`` of it (``/status``), and return the HTTP status; raises Lost."""
        kind = next(kind for kind in self.kinds if kind.kind == ref.kind)
        path = f"{kind.object_path(ref)}{part}?fieldManager=korthweb"
        headers = {"Content-Type": "application/merge-patch+json"}
        with self._asked("PATCH", path, seconds, json.dumps(body), headers) as answer:
            answer.read()
            return answer.status

    def _going(self) -> None:
        if self.runner.stopped:
            raise Interrupted("interrupted")

    def _spawn(self, work: Callable[..., None], *args: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=args, daemon=True)
        thread.start()
        return thread

    def _close(self) -> None:
        self._over.set()
        with self._lock:
            for connection in self._open:
                if connection.sock:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        """Keep the proxy running until the end."""
        while not self._over.is_set():
            with suppress(Interrupted, OSError):
                Path(self._socket).unlink(missing_ok=True)
                with self.runner.stream(self._held()) as stream:
                    while not stream.ended and not self._over.is_set():
                        if select.select([stream], (), (), 0.1)[0]:
                            stream.read()
            self._over.wait(PAUSE)

    def _held(self) -> Command:
        """Return the proxy in the hand of a shell that ends it when we are gone."""
        command = self.proxy(self._socket)
        program = self.runner.programs.get(command.argv[0], command.argv[0])
        return replace(command, argv=("sh", "-c", HELD, "sh", program, *command.argv[1:]), stdin="")

    def _reach(self) -> None:
        """Wait until the proxy listens."""
        end = time.monotonic() + STARTS
        while time.monotonic() < end:
            self._going()
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(self._socket)
                return
            time.sleep(0.02)
        raise ClusterUnreachable(f"`{self.proxy(self._socket)}` does not start", hint="inv context.list")

    @contextmanager
    def _asked(
        self, method: str, path: str, seconds: float, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Unix(self._socket, seconds)
        with self._lock:
            self._open.add(connection)
        try:
            connection.request(method, path, body, dict(headers or {}))
            yield connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Lost(str(error)) from error
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

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
        with self._asked("GET", f"{kind.path}{_query(kind)}", 60.0) as answer:
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
        with self._asked("GET", f"{kind.path}{_query(kind, more)}", WATCH + 60.0) as answer:
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
