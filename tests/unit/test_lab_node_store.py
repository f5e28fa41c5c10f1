"""What is kept about labs, the lock, the order of work, certificates, and what a person is told."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.errors import (
    BuildFailed,
    ClusterUnreachable,
    Interrupted,
    LabImpossible,
    LockHeld,
    NoSpace,
    SettingsError,
    UsageError,
)
from korthweb_tasks.lab import api, cluster, graph, logs, pki, preflight, store, teardown
from korthweb_tasks.lab.graph import Work
from korthweb_tasks.paths import lab_dir, state_dir
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.services import lab as lab_service

QUIET = Console(quiet=True)


def test_a_lab_is_read_as_it_was_written() -> None:
    made = store.create("one", 3, subnet=IPv4Network("10.0.0.0/16"))
    assert store.load("one") == made
    assert store.names() == ["one"]
    assert store.used_indices() == {3}
    assert oct(lab_dir("one").stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"index": 1}'])
def test_a_description_cut_short_is_no_lab(text: str) -> None:
    store.create("one", 0)
    (lab_dir("one") / "lab.json").write_text(text)
    assert store.load("one") is None


@pytest.mark.parametrize("name", ["", "Lab", "a_b", "-a", "a-", "../x", "a" * 31, "a/b"])
def test_a_name_that_can_not_be_one_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        store.load(name)


def test_one_korthweb_at_a_time() -> None:
    with store.locked("one"), pytest.raises(LockHeld), store.locked("one"):
        pass
    with store.locked("one"):
        pass
    assert not state_dir().exists()


def test_a_lock_ends_with_its_holder() -> None:
    held = multiprocessing.get_context("fork").Event()
    child = multiprocessing.get_context("fork").Process(target=_hold, args=(held,))
    child.start()
    assert held.wait(10)
    with pytest.raises(LockHeld), store.locked("one"):
        pass
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    with store.locked("one"):
        pass


def _hold(held: Any) -> None:
    with store.locked("one"):
        held.set()
        time.sleep(60)


def test_work_goes_side_by_side_and_in_order() -> None:
    together = threading.Barrier(2, timeout=5)
    done: list[str] = []

    def meet(name: str) -> Callable[[graph.Note], bool]:
        def action(_: graph.Note) -> bool:
            together.wait()
            done.append(name)
            return False

        return action

    works = [
        Work("last", "last", lambda _: done.append("last") or True, ("a", "b")),  # type: ignore[func-returns-value]
        Work("a", "a", meet("a")),
        Work("b", "b", meet("b")),
    ]
    records = {record.name: record.verdict for record in graph.run(works, QUIET, lambda: None)}
    assert done[2] == "last"
    assert records == {"a": "unchanged", "b": "unchanged", "last": "changed"}


def test_a_failure_stops_what_runs_and_starts_nothing_more() -> None:
    stopped = threading.Event()
    started: list[str] = []

    def fail(_: graph.Note) -> bool:
        raise BuildFailed("broken")

    def wait(_: graph.Note) -> bool:
        assert stopped.wait(10)
        raise Interrupted("interrupted")

    works = [
        Work("a", "a", fail),
        Work("b", "b", wait),
        Work("c", "c", lambda _: bool(started.append("c")), ("a",)),  # type: ignore[func-returns-value]
    ]
    with pytest.raises(BuildFailed, match="broken"):
        graph.run(works, QUIET, stopped.set)
    assert started == []


def test_certificates_say_who_somebody_is_and_are_made_once(tmp_path: Path) -> None:
    from cryptography import x509

    folder = tmp_path / "pki"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pki.create(folder, ["kubernetes.default.svc"], ["198.18.4.1"])
        pki.issue(folder, tmp_path / "node", pki.Identity("system:node:x", "system:nodes"))
    first = (tmp_path / "node.crt").read_bytes()
    subject = x509.load_pem_x509_certificate(first).subject.rfc4514_string()
    assert set(subject.split(",")) == {"CN=system:node:x", "O=system:nodes"}
    assert (tmp_path / "node.key").stat().st_mode & 0o777 == 0o600
    pki.issue(folder, tmp_path / "node", pki.Identity("system:node:x", "system:nodes"))
    assert (tmp_path / "node.crt").read_bytes() == first
    shutil.rmtree(folder)
    pki.create(folder, [], [])
    pki.issue(folder, tmp_path / "node", pki.Identity("system:node:x", "system:nodes"))
    assert (tmp_path / "node.crt").read_bytes() != first


def test_a_kubeconfig_holds_all_it_needs(tmp_path: Path) -> None:
    pki.create(tmp_path, [], [])
    crt, key = tmp_path / "admin.crt", tmp_path / "admin.key"
    data = json.loads(api.kubeconfig("korthweb-x", "https://198.18.0.2:6443", tmp_path / "ca.crt", crt, key))
    assert data["current-context"] == "korthweb-x"
    assert "client-key-data" in data["users"][0]["user"]
    path = tmp_path / "deep" / "kubeconfig"
    api.write_private(path, "text")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_silent_api_server_is_unreachable_not_empty(tmp_path: Path) -> None:
    pki.create(tmp_path, [], [])
    with pytest.raises(ClusterUnreachable):
        api.Api("127.0.0.1", 1, tmp_path).get("/api/v1/nodes")
    assert not api.Api("127.0.0.1", 1, tmp_path).ready()
    assert not api.Api("127.0.0.1", 1, tmp_path / "nowhere").ready()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.setattr(platform, "system", lambda: "Darwin"), "needs Linux"),
        (lambda m: m.setattr(os, "geteuid", lambda: 1000), "needs root"),
        (lambda m: m.setattr(shutil, "which", lambda name: None if name == "apt-get" else f"/bin/{name}"), "apt-get"),
        (lambda m: m.setattr(shutil, "which", lambda name: None if name == "ip" else f"/bin/{name}"), "ip"),
        (lambda m: m.setenv("KORTHWEB_STATE", "/run/user/0/korthweb"), "KORTHWEB_STATE"),
    ],
)
def test_a_machine_that_can_not_is_told_so_in_one_line(
    change: Callable[[pytest.MonkeyPatch], None], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    change(monkeypatch)
    with pytest.raises(LabImpossible) as refused:
        preflight.check(simulated=False)
    assert words in refused.value.message
    assert "\n" not in refused.value.message
    assert "existing cluster" in refused.value.hint


def test_a_simulated_lab_needs_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    preflight.check(simulated=True)


def test_a_full_disk_is_said_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "impossible", lambda simulated: "")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**10, 10**10, 10**9))
    preflight.check(simulated=False, begun=True)
    with pytest.raises(NoSpace, match=r"needs 6\.0 GB in .*, where 1\.0 GB are free"):
        preflight.check(simulated=False)


def test_there_is_nothing_to_say_of_a_lab_that_is_not_there() -> None:
    assert cluster.status("none").state == "absent"
    assert cluster.down("none", console=QUIET) is False
    with pytest.raises(UsageError, match="no lab 'none'"):
        logs.log_file("none", "etcd")


def test_a_stopped_lab_is_said_to_be_stopped() -> None:
    store.create("one", 0, simulated=True)
    status = cluster.status("one")
    assert status.state == "stopped"
    assert [one.state for one in status.components] == ["stopped"] * 5


def test_a_lab_that_was_only_begun_is_removed() -> None:
    lab_dir("one").mkdir(parents=True)
    (lab_dir("one") / "kwok").mkdir()
    assert cluster.down("one", console=QUIET)
    assert not state_dir().exists()


def test_only_root_removes_a_real_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = store.create("one", 0)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabImpossible, match="only root"):
        teardown.remove(lab.layout, Runner(), lambda _: None)


def test_what_takes_its_time_to_go_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = store.create("one", 0, simulated=True)
    pauses: list[float] = []
    left = [["process 7 (kubelet)"], ["process 7 (kubelet)"], []]
    monkeypatch.setattr(teardown, "leftovers", lambda *_: iter(left.pop(0)))
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert teardown.remove(lab.layout, Runner(), lambda _: None) == []
    assert len(pauses) == 2


def test_logs_are_found_by_name_and_by_nickname() -> None:
    lab = store.create("one", 0)
    (lab.layout.kwok / "logs").mkdir(parents=True)
    (lab.layout.kwok / "logs" / "kube-apiserver.log").write_text("a\nb\nc\n")
    assert logs.last_lines(logs.log_file("one", "apiserver"), 2) == ["b", "c"]
    with pytest.raises(UsageError) as refused:
        logs.log_file("one", "kubelet")
    assert "kube-apiserver" in refused.value.hint


@pytest.mark.parametrize(("seconds", "text"), [(3, "3s"), (75, "1m15s"), (7384, "2h03m"), (200000, "2d"), (-1, "0s")])
def test_ages_are_written_for_people(seconds: float, text: str) -> None:
    assert lab_service.age(seconds) == text


@pytest.mark.parametrize(("number", "text"), [(12, "12 B"), (450 << 20, "450 MiB"), (3 << 29, "1.5 GiB")])
def test_sizes_are_written_for_people(number: int, text: str) -> None:
    assert lab_service.size(number) == text
