"""The way to each pod, through a kubectl that is a small script: real processes, real pipes."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.documents import Documents
from korthweb_tasks.errors import CommandFailed, NotReady
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.check_context import Pod
from korthweb_tasks.verify.model import Endpoint
from korthweb_tasks.verify.pods import KubectlAccess

#: answers by the words of its command line: FOLDER/<verb>, and for a watch one file after another
SCRIPT = """#!{python}
import pathlib, sys, time
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "calls").open("a") as calls:
    print(*words, file=calls)
verb = next(w for w in words if w in ("get", "delete", "port-forward"))
name = "watch" if "--watch" in words else verb
rounds = sorted(folder.glob(name + ".*"))
if not rounds:
    sys.exit("error: nothing scripted for " + name)
text = rounds[0].read_text()
if len(rounds) > 1:
    rounds[0].unlink()
sys.stdout.write(text)
sys.stdout.flush()
if name == "port-forward" or (name == "watch" and len(rounds) == 1):
    time.sleep(30)
"""

ENDPOINT = Endpoint(
    tenant="BHC",
    address="198.18.0.9",
    web_host="web.bhc.test",
    dicom_host="dicom.bhc.test",
    aet="BHC",
    ca_pem="",
    username="admin",
    password=SecretStr("word"),
)


def pod(name: str, uid: str = "", *, ready: bool = True, **more: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": "Running", "conditions": conditions, **more.pop("status", {})}
    return {"kind": "Pod", "metadata": {"name": name, "uid": uid or f"uid-{name}", **more}, "status": status}


def event(kind: str, obj: dict[str, Any], *, indent: int | None = None) -> str:
    return json.dumps({"type": kind, "object": obj}, indent=indent) + "\n"


class Fake:
    """A folder with the script and what it answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "kubectl"
        self.program.write_text(SCRIPT.format(python=sys.executable, folder=str(folder)))
        self.program.chmod(0o755)
        runner = Runner(programs={"kubectl": str(self.program)}, patience=0)
        kubectl = Kubectl(Cluster("korthweb-test"))
        self.access = KubectlAccess(runner, kubectl, "bhc-orthweb", "app=orthanc", ENDPOINT)

    def says(self, name: str, *texts: str) -> None:
        for number, text in enumerate(texts):
            (self.folder / f"{name}.{number}").write_text(text)

    @property
    def calls(self) -> str:
        return (self.folder / "calls").read_text()


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
def web() -> Iterator[http.server.HTTPServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen = f"{self.path} {self.headers['Accept']} {self.headers['Authorization']}".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/x-seen")
            self.end_headers()
            self.wfile.write(seen)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_pods_are_those_that_stay(fake: Fake) -> None:
    items = [
        pod("a"),
        pod("b", ready=False),
        pod("going", deletionTimestamp="2026-11-22T16:00:00Z"),
        pod("done", status={"phase": "Succeeded"}),
    ]
    fake.says("get", json.dumps({"items": items}))
    assert fake.access.pods() == [Pod("a", "uid-a", ready=True), Pod("b", "uid-b", ready=False)]
    assert "--context korthweb-test --namespace bhc-orthweb get pods --selector app=orthanc" in fake.calls


def test_a_cluster_that_does_not_answer_is_not_empty(fake: Fake) -> None:
    with pytest.raises(CommandFailed):
        fake.access.pods()


def test_reach_speaks_to_that_pod_through_a_forward(fake: Fake, web: http.server.HTTPServer) -> None:
    fake.says("port-forward", f"Forwarding from 127.0.0.1:{web.server_port} -> 8042\n")
    with fake.access.reach(Pod("a", "uid-a", ready=True)) as get:
        status, kind, body = get("/studies?x=1", "text/x")
    assert (status, kind) == (200, "text/x-seen")
    assert body == b"/studies?x=1 text/x Basic YWRtaW46d29yZA=="
    assert "port-forward pod/a :8042 --address 127.0.0.1" in fake.calls
    assert "word" not in fake.calls


def test_a_forward_that_does_not_start_says_so(fake: Fake) -> None:
    unmet = pytest.raises(NotReady, match="port-forward to a does not start")
    with unmet, fake.access.reach(Pod("a", "uid-a", ready=True)):
        pass


def test_delete_names_each_pod(fake: Fake) -> None:
    fake.says("delete", "")
    fake.access.delete([Pod("a", "1", ready=True), Pod("b", "2", ready=True)])
    assert "delete pods a b --ignore-not-found --wait=false" in fake.calls


def test_wait_counts_only_new_pods_that_are_ready(fake: Fake) -> None:
    fake.says(
        "watch",
        event("ADDED", pod("old"))
        + event("ADDED", pod("x", ready=False))
        + event("ADDED", pod("y"))
        + event("DELETED", pod("y"))
        + event("MODIFIED", pod("x"))
        + event("ADDED", pod("z")),
    )
    found = fake.access.wait(2, frozenset({"uid-old"}), 10)
    assert [one.name for one in found] == ["x", "z"]
    assert "--watch --output-watch-events --output json" in fake.calls


def test_wait_begins_a_new_watch_where_one_breaks_off(fake: Fake) -> None:
    fake.says("watch", event("ADDED", pod("x", ready=False)), event("MODIFIED", pod("x")))
    assert [one.name for one in fake.access.wait(1, frozenset(), 10)] == ["x"]


def test_wait_ends_at_its_deadline(fake: Fake) -> None:
    fake.says("watch", event("ADDED", pod("x", ready=False)))
    with pytest.raises(NotReady, match="0 of 1 new pods are ready"):
        fake.access.wait(1, frozenset(), 0.1)


def test_wait_ends_at_once_where_a_pod_can_not_start(fake: Fake) -> None:
    waiting = {"name": "orthanc", "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "no such image"}}}
    fake.says("watch", event("ADDED", pod("x", ready=False, status={"containerStatuses": [waiting]})))
    with pytest.raises(NotReady, match="ErrImageNeverPull no such image"):
        fake.access.wait(1, frozenset(), 60)


@pytest.mark.parametrize("size", [1, 3, 7, 64, 4096])
def test_documents_come_out_whole_however_they_are_cut(size: int) -> None:
    objects = [pod("a"), pod("b-ü"), {"metadata": {"annotations": {"x": "}\n{"}}}]
    data = (event("ADDED", objects[0]) + event("ADDED", objects[1], indent=4) + event("MODIFIED", objects[2])).encode()
    documents = Documents()
    found = [d for at in range(0, len(data), size) for d in documents.feed(data[at : at + size])]
    assert [one["object"] for one in found] == objects
