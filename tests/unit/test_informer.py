"""The informer of objects: lists, watches, breaks, kinds that come later. A real child and real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from korthweb_tasks.core.command import Command
from korthweb_tasks.core.tree import Ref, Watched
from korthweb_tasks.errors import ClusterUnreachable, Interrupted
from korthweb_tasks.run import api_socket
from korthweb_tasks.run import informer as feeding
from korthweb_tasks.run.informer import Informer
from korthweb_tasks.run.runner import Runner

PROXY = Path(__file__).parents[1] / "flux_doubles" / "proxy.py"
KINDS = (Watched("Pod", "/api/v1/pods"), Watched("Layer", "/apis/x/v1/layers"))
ONE, TWO = Ref("Pod", "n", "one"), Ref("Pod", "n", "two")


class Server:
    """The folder that stands for an API server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def has(self, plural: str, *names: str, **more: str) -> None:
        objects = [{"metadata": {"name": name, "namespace": "n", "managedFields": ["x"]}, **more} for name in names]
        path = self.folder / f".{plural}"
        path.write_text(json.dumps(objects))
        path.rename(self.folder / f"{plural}.json")

    def proxy(self, path: str) -> Command:
        return Command(argv=(sys.executable, str(PROXY), str(self.folder), path))

    def patched(self) -> list[str]:
        return (self.folder / "patched").read_text().splitlines()


@pytest.fixture
def server(tmp_path: Path) -> Server:
    found = Server(tmp_path / "api")
    found.has("pods", "one")
    return found


@pytest.fixture
def informer(server: Server) -> Iterator[Informer]:
    with Informer(Runner(), server.proxy, KINDS).opened() as found:
        yield found


def until(informer: Informer, holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        informer.news(0.1)
        assert time.monotonic() < end, f"only {sorted(map(str, informer.objects))}"


def test_what_is_there_what_comes_and_what_goes(server: Server, informer: Informer) -> None:
    until(informer, lambda: ONE in informer.objects)
    assert informer.objects[ONE]["kind"] == "Pod"
    assert "managedFields" not in informer.objects[ONE]["metadata"]
    server.has("pods", "one", "two")
    until(informer, lambda: TWO in informer.objects)
    server.has("pods", "two")
    until(informer, lambda: ONE not in informer.objects)


def test_a_kind_that_comes_later_is_found(server: Server, informer: Informer) -> None:
    until(informer, informer.listed)
    assert not [ref for ref in informer.objects if ref.kind == "Layer"]
    server.has("layers", "top")
    until(informer, lambda: Ref("Layer", "n", "top") in informer.objects)


def test_a_server_that_goes_away_is_met_again_and_what_went_meanwhile_is_gone(
    server: Server, informer: Informer
) -> None:
    until(informer, lambda: ONE in informer.objects)
    (server.folder / "down").touch()
    until(informer, lambda: informer.silent)
    assert ONE in informer.objects  # unknown is not absent
    server.has("pods", "two")
    (server.folder / "down").unlink()
    until(informer, lambda: TWO in informer.objects and not informer.silent)


def test_a_proxy_that_dies_is_started_again(server: Server, informer: Informer) -> None:
    until(informer, lambda: ONE in informer.objects)
    (pid,) = (
        pid for pid in processes(informer.api.path) if Path(f"/proc/{pid}/exe").resolve() != Path("/bin/sh").resolve()
    )
    os.kill(pid, signal.SIGKILL)
    server.has("pods", "one", "two")
    until(informer, lambda: TWO in informer.objects)


def test_looking_once_ends_by_itself(server: Server) -> None:
    (server.folder / "layers.403").touch()
    informer = Informer(Runner(), server.proxy, KINDS)
    with informer.opened(watch=False):
        informer.news(0.0)
    assert list(informer.objects) == [ONE]
    assert informer.refused == {"Layer"}


def test_a_patch_goes_to_the_object(server: Server, informer: Informer) -> None:
    assert informer.patch(ONE, {"a": "b"}) == 200
    assert server.patched() == ['/api/v1/namespaces/n/pods/one?fieldManager=korthweb {"a": "b"}']


def test_a_stopped_runner_ends_it(server: Server, informer: Informer) -> None:
    threading.Timer(0.2, informer.runner.stop).start()
    with pytest.raises(Interrupted):
        until(informer, lambda: TWO in informer.objects)


def test_nothing_is_left_behind(server: Server) -> None:
    runner, before = Runner(), set(threading.enumerate())
    informer = Informer(runner, server.proxy, KINDS)
    with informer.opened():
        (child,) = runner._children
        mine = set(threading.enumerate()) - before
    assert len(mine) == len(KINDS) + 1
    for thread in mine:
        thread.join(5.0)
    assert not any(thread.is_alive() for thread in mine)
    assert child.poll() is not None
    assert not runner._children
    assert not Path(informer.api.path).parent.exists()


def processes(path: str) -> list[int]:
    """Return the processes that name a path."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if path in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return found


ENDS_BADLY = """
import os, sys
from pathlib import Path
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.tree import Watched
from korthweb_tasks.run.informer import Informer
from korthweb_tasks.run.runner import Runner

def proxy(path): return Command(argv=(sys.executable, sys.argv[1], sys.argv[2], path))

with Informer(Runner(), proxy, (Watched("Pod", "/api/v1/pods"),)).opened() as informer:
    print(informer.api.path, flush=True)
    if sys.argv[3] == "raise":
        raise SystemExit(1)
    if sys.argv[3] == "kill":
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["end", "raise", "kill"])
def test_the_proxy_ends_with_us_however_we_end(server: Server, how: str) -> None:
    argv = (sys.executable, "-c", ENDS_BADLY, str(PROXY), str(server.folder), how)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROXY.parents[2])}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, check=False)
    path = done.stdout.strip()
    assert path, done.stderr
    end = time.monotonic() + 10
    while (left := processes(path)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left


def test_a_proxy_that_does_not_start_is_no_empty_cluster(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_socket, "STARTS", 0.3)
    informer = Informer(Runner(), lambda path: Command(argv=("false", path)), KINDS)
    with pytest.raises(ClusterUnreachable), informer.opened():
        pass


def test_a_server_without_an_answer_is_no_empty_cluster(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "LOOK", 0.5)
    (server.folder / "down").touch()
    informer = Informer(Runner(), server.proxy, KINDS)
    with pytest.raises(ClusterUnreachable), informer.opened(watch=False):
        pass
