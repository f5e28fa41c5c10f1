"""Flux's real controllers and a real Git server, without pods: broken commits, a revert, a hand on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.core.tree import Cause, Ref
from korthweb_tasks.errors import NotReady
from korthweb_tasks.flux.cause import Causes
from korthweb_tasks.flux.objects import Objects
from korthweb_tasks.flux.tree import build
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.follow import Follow, Goal, Requests
from korthweb_tasks.run.informer import Informer
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.run.tree_view import TreeView
from korthweb_tasks.tools import flux as tool
from tests.flux_doubles import fleet
from tests.flux_doubles.control import Flux, flux
from tests.flux_doubles.fleet import deployment, kustomization, text
from tests.flux_doubles.git import Repository, served

#: how often kustomize-controller asks after dependencies here; 30 s by default, which is long for a test
REQUEUE = 8
OPTIONS = {
    "kustomize-controller": (
        f"--requeue-dependency={REQUEUE}s", "--feature-gates=CancelHealthCheckOnNewRevision=true", "--concurrent=20",
    ),
    "helm-controller": (f"--requeue-dependency={REQUEUE}s",),
}  # fmt: skip
MAIN = Ref("GitRepository", "flux-system", "flux-system")


@dataclass
class Site:
    """A simulated cluster with Flux in it, and the repository that it follows."""

    flux: Flux
    repository: Repository

    @property
    def runner(self) -> Runner:
        return self.flux.runner

    def informer(self) -> Informer:
        return Informer(self.runner, tool.Flux(self.flux.target).proxy, tool.KINDS)

    def follow(self, top: str, revision: str = "") -> Follow:
        informer = self.informer()
        goal = Goal(frozenset({Ref("Kustomization", "flux-system", top)}), revision)
        return Follow(informer, build, goal, TreeView(Console(quiet=True)), Requests(informer, tool.asking))

    def followed(self, top: str, revision: str = "", *, seconds: float = 120) -> tuple[StepRecord, ...]:
        follow = self.follow(top, revision)
        with follow.informer.opened():
            return follow.run(seconds)

    def cause(self, top: str, holds: Callable[[Cause], bool], seconds: float = 90) -> Cause | None:
        """Watch until the cause of what is not ready is as wanted; return it, or the last other one."""
        ref, end, informer = Ref("Kustomization", "flux-system", top), time.monotonic() + seconds, self.informer()
        with informer.opened():
            while True:
                informer.news(0.5)
                found = Causes(Objects(informer.objects.values())).why(ref) if informer.listed() else None
                if (found and holds(found)) or time.monotonic() > end:
                    return found

    @contextmanager
    def top(self, name: str) -> Iterator[None]:
        """Let Flux follow the folder ``name``/clusters while the block runs; everything goes with it."""
        kubectl = self.flux.kubectl
        self.runner.run(kubectl.apply([kustomization(name, f"./{name}/clusters", retryInterval="30s")]))
        try:
            yield
        finally:
            named = ("kustomizations", "--all", "--namespace", "flux-system")
            self.runner.run(kubectl.command("delete", *named, "--timeout=90s", timeout=100))

    def korthweb(self, *words: str, code: int = 0) -> str:
        """Run a task in a program of its own and return what it prints."""
        argv = (sys.executable, "-m", "korthweb_tasks.main", *words, "--context", self.flux.target.context)
        root = Path(__file__).parents[2]
        env = {**os.environ, "PYTHONPATH": str(root)}
        done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=root, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def site(
    simulated: Cluster, simulated_programs: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    work, runner = tmp_path_factory.mktemp("flux"), Runner(programs=simulated_programs)
    with served(work / "git") as repository, flux(simulated, runner, work, options=OPTIONS) as running:
        repository.commit({"README.md": "a fleet\n"})
        runner.run(running.kubectl.apply([fleet.source(repository.url)]))
        yield Site(running, repository)


def broken_chart(name: str) -> dict[str, Any]:
    return {
        "interval": "10m", "timeout": "10s", "targetNamespace": "broken", "install": {"remediation": {"retries": 0}},
        "chart": {"spec": {"chart": f"./broken/charts/{name}",
                           "sourceRef": {"kind": "GitRepository", "name": "flux-system"}}},
    }  # fmt: skip


def release(name: str, chart: str) -> dict[str, Any]:
    return fleet.flux("helm.toolkit.fluxcd.io/v2", "HelmRelease", name, broken_chart(chart))


THING = {"apiVersion": "nothing.example/v1", "kind": "Thing", "metadata": {"name": "x", "namespace": "broken"}}
WORDS = {**deployment("words", "broken"), "spec": {**deployment("words", "broken")["spec"], "replicas": "three"}}
QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": "quoted"},
         "spec": {"hard": {"pods": "0"}}}  # fmt: skip
#: layer -> its files, and (kind of the deepest cause, text in its message)
BROKEN: dict[str, tuple[dict[str, str], tuple[str, str]]] = {
    "yaml": ({"all.yaml": "kind: ConfigMap\nmetadata:\n  name: x\n data: [\n"},
             ("Kustomization", "broken/layers/yaml/all.yaml, line 3: not YAML")),
    "listed": ({"kustomization.yaml": "resources: [sub/all.yaml]\n", "sub/all.yaml": "a: [\n"},
               ("Kustomization", "broken/layers/listed/sub/all.yaml, line 1: not YAML")),
    "absent": ({"kustomization.yaml": "resources: [nowhere.yaml]\n"},
               ("Kustomization", "nowhere.yaml: there is no such file")),
    "unknown": ({"all.yaml": text(THING)}, ("Kustomization", 'no matches for kind "Thing"')),
    "words": ({"all.yaml": text(WORDS)}, ("Kustomization", ".spec.replicas: expected numeric")),
    "unhealthy": ({"all.yaml": text(deployment("stuck", "broken", node={"no": "node"}))},
                  ("Pod", "can not be scheduled")),
    "quota": ({"all.yaml": text(fleet.namespace("quoted"), QUOTA, deployment("many", "quoted"))},
              ("Deployment", "exceeded quota: none")),
    "chart": ({"all.yaml": text(release("chart", "nowhere"))}, ("HelmChart", "charts/nowhere: no such file")),
    "template": ({"all.yaml": text(release("template", "fails"))}, ("HelmRelease", "no such value")),
    "pods": ({"all.yaml": text(release("pods", "stuck"))}, ("Pod", "can not be scheduled")),
    "needs": ({"all.yaml": text(deployment("fine", "broken"))}, ("Kustomization", "does not exist")),
}  # fmt: skip
CHARTS = {
    "broken/charts/fails/Chart.yaml": "apiVersion: v2\nname: fails\nversion: 0.1.0\n",
    "broken/charts/fails/templates/all.yaml": '{{ fail "no such value" }}\n',
    "broken/charts/stuck/Chart.yaml": "apiVersion: v2\nname: stuck\nversion: 0.1.0\n",
    "broken/charts/stuck/templates/all.yaml": text(deployment("hstuck", "broken", node={"no": "node"})),
}


def broken_files() -> dict[str, str]:
    files = dict(CHARTS)
    for name, (own, _) in BROKEN.items():
        needs = ["nobody"] if name == "needs" else []
        layer = kustomization(f"broken-{name}", f"./broken/layers/{name}", *needs, timeout="30s")
        files[f"broken/clusters/{name}.yaml"] = text(layer)
        files |= {f"broken/layers/{name}/{file}": body for file, body in own.items()}
    return files


@pytest.fixture(scope="module")
def broken(site: Site) -> Iterator[Site]:
    """Give a site with a layer that works, and a commit on top of it that breaks in every way."""
    good = {
        "broken/clusters/good.yaml": text(kustomization("broken-good", "./broken/layers/good")),
        "broken/layers/good/all.yaml": text(fleet.namespace("broken"), deployment("web", "broken")),
    }
    first = site.repository.commit(good)
    with site.top("broken"):
        site.followed("broken", first)
        site.repository.commit(broken_files())
        site.runner.run(tool.Flux(site.flux.target).requested(MAIN, "2"))
        yield site


@pytest.mark.parametrize(("name", "wanted"), [(name, case[1]) for name, case in BROKEN.items()], ids=list(BROKEN))
def test_a_broken_commit_is_explained_by_its_deepest_cause(broken: Site, name: str, wanted: tuple[str, str]) -> None:
    kind, words = wanted
    found = broken.cause(f"broken-{name}", lambda cause: cause.ref.kind == kind and words in cause.message)
    assert found
    assert (found.ref.kind, words in found.message) == (kind, True), found


def test_what_is_fine_stays_so_beside_it(broken: Site) -> None:
    broken.followed("broken-good")


def test_explain_and_status_say_so(broken: Site) -> None:
    told = broken.korthweb("gitops.explain", "broken-unhealthy", code=7).splitlines()
    assert told[0].startswith("Pod broken/stuck-")
    assert told[1].strip() == "GitRepository flux-system/flux-system"
    assert re.fullmatch(r"next: kubectl .* describe pod stuck-\S+", told[-1].strip())
    everything = json.loads(broken.korthweb("gitops.explain", "all", "--output", "json", code=7))["data"]
    assert {one["object"].split()[0] for one in everything} >= {"Pod", "HelmChart", "Kustomization", "Deployment"}
    assert broken.korthweb("gitops.explain", "broken-good") == "broken-good is ready\n"
    (tree,) = json.loads(broken.korthweb("gitops.status", "--output", "json", code=7))["data"]
    assert tree["kind"] == "GitRepository"
    assert "FAILED" in broken.korthweb("gitops.status", code=7)


def test_following_a_commit_that_will_not_heal_ends_at_once(broken: Site) -> None:
    began = time.monotonic()
    with pytest.raises(NotReady, match=r"not YAML"):
        broken.followed("broken-yaml", seconds=300)
    assert time.monotonic() - began < 30


def test_a_revert_heals_everything(broken: Site) -> None:
    revision = broken.repository.revert()
    broken.followed("broken", revision, seconds=180)
    assert broken.korthweb("gitops.explain", "all") == "everything is ready\n"
    assert broken.korthweb("gitops.wait").startswith("2 steps: 2 unchanged")


def configured(value: str) -> dict[str, str]:
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}}
    return {
        "hand/clusters/all.yaml": text(kustomization("hand-one", "./hand/layers")),
        "hand/layers/all.yaml": text({**data, "data": {"value": value}}),
    }


def value(site: Site) -> str:
    command = site.flux.kubectl.get("configmap", "c", namespace="default")
    return str(json.loads(site.runner.run(command).stdout)["data"]["value"])


def test_suspend_holds_a_change_back_and_resume_lets_it_through(site: Site) -> None:
    revision = site.repository.commit(configured("1"))
    with site.top("hand"):
        site.followed("hand", revision)
        assert "suspended Kustomization flux-system/hand-one" in site.korthweb("gitops.suspend", "hand-one", "--yes")
        assert "is so already" in site.korthweb("gitops.suspend", "hand-one", "--yes")
        assert "suspended" in site.korthweb("gitops.status")
        site.repository.commit(configured("2"))
        site.korthweb("gitops.reconcile", "hand", "--yes")
        assert value(site) == "1"
        assert "would resume" in site.korthweb("gitops.resume", "hand-one", "--dry-run")
        site.korthweb("gitops.resume", "hand-one", "--yes")
        site.korthweb("gitops.reconcile", "hand-one", "--yes")
        assert value(site) == "2"
        site.repository.commit(configured("3"))
        site.korthweb("gitops.reconcile", "hand-one", "--yes")  # source first: no poll is waited for
        assert value(site) == "3"


def test_words_that_mean_nothing_are_refused(site: Site) -> None:
    site.korthweb("gitops.explain", "nobody", code=2)
    site.korthweb("gitops.suspend", "nobody", "--yes", code=2)
    site.korthweb("gitops.logs", "--controller", "nobody", code=2)
