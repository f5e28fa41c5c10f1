"""A simulated lab can't be deployed to, and says so (U14)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import invoke
import pytest
import yaml

from korthweb_tasks import paths
from korthweb_tasks.collections import demo, gitops, helm, lab, manual, verify
from korthweb_tasks.errors import LabImpossible
from korthweb_tasks.lab import store
from korthweb_tasks.services import beforehand, simulated
from korthweb_tasks.services.gitops import deploy as gitops_parts
from tests.fakes import put
from tests.unit.test_helm_tasks import scripted

CHANGING: dict[str, Any] = {
    "manual.deploy": manual.deploy,
    "manual.install-istio": manual.install_istio,
    "manual.install-cert-manager": manual.install_cert_manager,
    "manual.issue-certificates": manual.issue_certificates,
    "manual.install-orthanc": manual.install_orthanc,
    "helm.deploy": helm.deploy,
    "gitops.bootstrap": gitops.bootstrap,
    "demo": demo.demo,
    "verify.all": verify.everything,
    "verify.isolation": verify.isolation,
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> invoke.Context:
    """Give a simulated lab, as far as a task looks before it changes anything."""
    store.create("quick", 0, simulated=True).save()
    names = {"cluster": "c", "user": "u"}
    body = {
        "contexts": [{"name": "korthweb-quick", "context": names}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (paths.lab_dir("quick") / "kubeconfig").write_text(yaml.safe_dump(body))
    Path("korthweb.yaml").write_text(
        "gitops: {url: 'https://git.example/fleet.git'}\n"
        "tenants: [{name: BHC, domain: bhc.example}, {name: MHR, domain: mhr.example}]\n"
    )
    monkeypatch.setattr(beforehand, "refuse", lambda *_, **__: None)
    monkeypatch.setattr(gitops_parts, "refuse_beforehand", lambda *_: None)
    scripted(monkeypatch, {})  # nothing may be asked or changed
    return invoke.Context(invoke.Config())


@pytest.mark.parametrize("name", CHANGING)
def test_U14_what_needs_programs_in_pods_is_refused_at_once(name: str, quick: invoke.Context) -> None:
    """U14: with the reason, and a lab that can."""
    words = {"approach": "gitops"} if name == "verify.isolation" else {}
    with pytest.raises(LabImpossible, match="the lab 'quick' is simulated: its pods run no programs") as refused:
        CHANGING[name](quick, context="korthweb-quick", yes=True, **words)
    assert "korthweb lab.up --name quick-real" in refused.value.hint
    assert refused.value.exit_code == 10


def test_U14_a_simulated_lab_says_so_when_it_comes_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U14: what can't be done, and what can; a real one says nothing of the kind."""
    from korthweb_tasks.lab.cluster import LabInfo

    for kind in (True, False):
        info = LabInfo("quick", "korthweb-quick", "/kubeconfig", "export", 3.0)
        put(monkeypatch, "korthweb_tasks.services.lab.ensure_up", lambda *_, info=info, **__: info)
        lab.up(invoke.Context(invoke.Config()), name="quick", simulated=kind)
        out = capsys.readouterr().out
        assert ("nothing can be deployed to it" in out) == kind
        assert ("manual.deploy --context korthweb-quick --dry-run" in out) == kind


def test_U14_another_cluster_is_no_simulated_lab(quick: invoke.Context) -> None:
    """U14: a real lab, a hospital's cluster, and a preview go on."""
    from korthweb_tasks.services.session import Session

    store.create("real", 0).save()
    (paths.lab_dir("real") / "kubeconfig").write_bytes(
        (paths.lab_dir("quick") / "kubeconfig").read_bytes().replace(b"korthweb-quick", b"korthweb-real")
    )
    simulated.refuse(Session.open(quick, context="korthweb-real"), "manual")
    simulated.refuse(Session.open(quick, context="korthweb-quick", dry_run=True), "manual")
