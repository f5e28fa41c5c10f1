"""helm and istioctl: which words they are given, and how their answers are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.tools.helm import Helm, Release, pending_selector
from korthweb_tasks.tools.istioctl import Istioctl

HELM = Helm(Cluster("hospital-a", "/k"))
PLACE = ("--namespace", "cm", "--kubeconfig", "/k", "--kube-context", "hospital-a")


def release(source: str = "oci://registry/charts/cm", **values: Any) -> Release:
    return Release(name="cm", namespace="cm", chart="cm", source=source, version="v1.2.3", values=values)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("oci://registry/charts/cm", ("oci://registry/charts/cm", "--version", "v1.2.3")),
        ("https://charts.example", ("cm", "--repo", "https://charts.example", "--version", "v1.2.3")),
        ("/cache/charts/cm-v1.2.3", ("/cache/charts/cm-v1.2.3",)),
    ],
)
def test_a_chart_comes_from_where_the_settings_say(source: str, words: tuple[str, ...]) -> None:
    command = HELM.upgrade(release(source))
    assert command.argv[: 3 + len(words)] == ("helm", "upgrade", "cm", *words)
    assert command.argv[-6:] == PLACE


def test_values_travel_by_stdin() -> None:
    command = HELM.upgrade(release(password="secret-value"))
    assert json.loads(command.stdin or "") == {"password": "secret-value"}
    assert "secret-value" not in repr(command)
    assert "--atomic" not in command.argv


def said(command: Command, data: Any, code: int = 0) -> Result:
    return Result(command, code, json.dumps(data), "", 0.1)


@pytest.mark.parametrize(
    ("rows", "so"),
    [
        ([{"status": "deployed", "chart": "cm-v1.2.3"}], True),
        ([{"status": "deployed", "chart": "cm-v1.2.2"}], False),
        ([{"status": "failed", "chart": "cm-v1.2.3"}], False),
        ([{"status": "pending-upgrade", "chart": "cm-v1.2.3"}], False),
        ([], False),
        (None, False),
    ],
)
def test_a_release_is_so_when_its_version_is_deployed(rows: Any, so: bool) -> None:
    probe, _ = HELM.deployed(release())
    assert probe.read(said(probe.command, rows)) is so


def test_a_release_is_so_when_its_values_are_the_same() -> None:
    _, probe = HELM.deployed(release(a={"b": 1}))
    assert probe.read(said(probe.command, {"a": {"b": 1}}))
    assert not probe.read(said(probe.command, {"a": {"b": 2}}))
    assert not probe.read(said(probe.command, None, code=1))
    _, bare = HELM.deployed(release())
    assert bare.read(said(bare.command, None))


def test_unfinished_revisions_are_told_by_their_labels() -> None:
    assert pending_selector("cm").startswith("owner=helm,name=cm,status in (pending-install,pending-upgrade")


def test_istioctl_reads_its_operator_from_stdin() -> None:
    command = Istioctl(Cluster("lab", "/k")).install("kind: IstioOperator", timeout=90)
    assert command.stdin == "kind: IstioOperator"
    words = ("istioctl", "install", "--filename", "-", "--skip-confirmation", "--readiness-timeout", "90s")
    assert command.argv == (*words, "--kubeconfig", "/k", "--context", "lab")


def test_istioctl_takes_all_of_istio_away() -> None:
    command = Istioctl(Cluster("lab")).uninstall()
    assert command.argv == ("istioctl", "uninstall", "--purge", "--skip-confirmation", "--context", "lab")
