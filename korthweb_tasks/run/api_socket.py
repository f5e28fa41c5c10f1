"""The API server at a socket that only this user can open: `kubectl proxy`, kept running, and ended with us."""

from __future__ import annotations

import http.client
import select
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import ClusterUnreachable, Interrupted
from korthweb_tasks.run.runner import Runner

#: seconds until a proxy that has ended is started again
PAUSE = 0.5
#: seconds until the proxy has to listen, and in which it has to end
STARTS, ENDS = 15.0, 10.0
#: runs a program until it ends, or until nobody holds our end of stdin: we may be killed without a last word
HELD = 'exec 3<&0; "$@" 3<&- & p=$!; (read _ <&3; kill $p) & w=$!; wait $p; kill $w'


class Lost(Exception):
    """The server gave no answer, or the connection ended."""


class _Unix(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


@dataclass
class Api:
    """The way to the API server. ``proxy`` makes the command that listens at a socket; ``over`` ends all work on it."""

    runner: Runner
    proxy: Callable[[str], Command]
    over: threading.Event = field(default_factory=threading.Event)
    path: str = field(default="", init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _open: set[_Unix] = field(default_factory=set, init=False)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the proxy running while the block runs; raises ClusterUnreachable where it does not start."""
        with ExitStack() as stack:
            folder = tempfile.mkdtemp(prefix="korthweb-")  # only this user may enter it
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self.path = str(Path(folder) / "api")
            command = self._held()
            serving = threading.Thread(target=self._serve, args=(command,), daemon=True)
            serving.start()
            stack.callback(serving.join, ENDS)
            stack.callback(self._close)
            self._reach()
            yield

    @contextmanager
    def asked(
        self, method: str, path: str, seconds: float, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Give the answer to a request; a silence of ``seconds`` ends it. Raises Lost."""
        connection = _Unix(self.path, seconds)
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

    def going(self) -> None:
        """Raise Interrupted when the runner was stopped."""
        if self.runner.stopped:
            raise Interrupted("interrupted")

    def _close(self) -> None:
        self.over.set()
        with self._lock:
            for connection in self._open:
                if connection.sock:
                    with suppress(OSError):
                        connection.sock.shutdown(socket.SHUT_RDWR)

    def _serve(self, command: Command) -> None:
        """Keep the proxy running until the end."""
        while not self.over.is_set():
            with suppress(Interrupted, OSError):
                Path(self.path).unlink(missing_ok=True)
                with self.runner.stream(command) as stream:
                    while not stream.ended and not self.over.is_set():
                        if select.select([stream], (), (), 0.1)[0]:
                            stream.read()
            self.over.wait(PAUSE)

    def _held(self) -> Command:
        """Return the proxy in the hand of a shell that ends it when we are gone; raises ToolMissing."""
        command = self.proxy(self.path)
        program = self.runner.programs.get(command.argv[0], command.argv[0])
        return replace(command, argv=("sh", "-c", HELD, "sh", program, *command.argv[1:]), stdin="")

    def _reach(self) -> None:
        """Wait until the proxy listens."""
        end = time.monotonic() + STARTS
        while time.monotonic() < end:
            self.going()
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(self.path)
                return
            time.sleep(0.02)
        raise ClusterUnreachable(f"`{self.proxy(self.path)}` does not start", hint=hints.task("context.list"))
