"""``--contexts``: a task on several clusters, each a process of its own that speaks to a stand-in kubectl."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.errors import WORST_FIRST, KorthwebError, UsageError, of_code
from korthweb_tasks.services.many import names, typed

ROOT = Path(__file__).parents[2]
#: answers by the context that it is told, as kubectl does: one is there, one is not, one keeps silent
KUBECTL = """#!/bin/sh
case "$*" in
*"version --client"*) echo "Client Version: v1.36.3" ;;
*--context=silent* | *"--context silent"*) echo $$ >>"$PIDS" && exec sleep 60 ;;
*--context=far* | *"--context far"*) echo 'The connection to the server far:6443 was refused - did you specify' \
    'the right host or port?' >&2 && exit 1 ;;
*kube-system*) echo '{"kind": "Namespace", "metadata": {"name": "kube-system", "uid": "uid-1"}}' ;;
*) echo '{"kind": "List", "apiVersion": "v1", "items": []}' ;;
esac
"""
CONTEXTS = ("near", "far", "other", "silent")


@pytest.fixture(autouse=True)
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{kubectl.parent}{os.pathsep}{os.environ['PATH']}")
    body = {
        "contexts": [{"name": name, "context": {"cluster": name, "user": "u"}} for name in CONTEXTS],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443"}} for name in CONTEXTS],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    Path("config").write_text(yaml.safe_dump(body))
    settings = {
        "tools": {"source": "path", "environment": ["PIDS"]},
        "timeouts": {"contact": 30},
        "clusters": {"other": {"context": "other", "uid": "uid-2"}},
        "tenants": [{"name": "BHC", "domain": "bhc.example.org"}],
    }
    Path("korthweb.yaml").write_text(yaml.safe_dump(settings))


def begin(*words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "korthweb_tasks.main", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*words: str) -> tuple[int, str, str]:
    child = begin(*words)
    out, err = child.communicate(timeout=100)
    return child.returncode, out, err


def documents(*words: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(*words, "--output", "json")
    data: dict[str, Any] = json.loads(out)
    return code, data


def test_one_document_has_a_key_for_each_cluster_and_the_worst_code_is_the_end() -> None:
    code, data = documents("manual.status", "--contexts", "near,other,far", "--timeout", "2")
    assert {name: one["code"] for name, one in data["contexts"].items()} == {"near": 7, "other": 5, "far": 4}
    assert code == data["code"] == 4
    assert data["task"] == "manual.status"
    assert data["contexts"]["near"]["context"] == "near"
    assert "other" in data["contexts"]["other"]["message"]  # its own guard, of its own record


def test_one_table_has_a_row_for_each_cluster() -> None:
    code, out, err = run("manual.status", "--contexts", "near,other")
    rows = [line.split()[:2] for line in out.splitlines()]
    assert rows == [["CONTEXT", "VERDICT"], ["near", "not"], ["other", "refused"]]
    assert code == 5
    assert "error: 2 of 2 clusters: other refused, near not ready" in err


def test_ctrl_c_ends_all_of_them(tmp_path: Path) -> None:
    settings = Path("korthweb.yaml")
    settings.write_text(settings.read_text().replace("contact: 30", "contact: 300"))  # longer than the test waits
    child = begin("manual.status", "--contexts", "silent,silent ,near")
    pids = tmp_path / "pids"
    deadline = time.monotonic() + 60
    while not pids.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    for pid in map(int, pids.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    "words",
    [
        ["manual.status", "--contexts", "near,"],
        ["manual.status", "--contexts", ""],
        ["manual.status", "--contexts", "near,other", "--context", "near"],
        ["verify.https", "--contexts", "near,other", "--address", "10.0.0.1"],
        ["verify.https", "--contexts", "near,other", "--output", "junit"],
    ],
)
def test_words_that_do_not_fit_are_refused(words: list[str]) -> None:
    code, _, err = run(*words)
    assert (code, "error:" in err) == (2, True)


def test_names_are_taken_once() -> None:
    assert names("b, a,b") == ["b", "a"]
    with pytest.raises(UsageError):
        names("a,,b")


def test_words_are_typed_again_as_flags() -> None:
    words = {"tenant": "B C", "restart": False, "yes": True, "https_port": "8443", "study": None}
    assert typed(words) == ["--tenant=B C", "--no-restart", "--yes", "--https-port=8443"]


def test_each_exit_code_has_its_place_and_its_error() -> None:
    kinds = {kind.exit_code for kind in KorthwebError.__subclasses__()} - {141}
    assert kinds | {1} == set(WORST_FIRST)
    assert [of_code(code).exit_code for code in WORST_FIRST] == list(WORST_FIRST)
