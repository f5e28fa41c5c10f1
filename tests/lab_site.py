"""A real lab with one tenant that one approach deployed, and how its tests ask and strike it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.paths import lab_dir
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.endpoints import find_endpoint
from korthweb_tasks.verify.model import Endpoint
from korthweb_tasks.verify.pods import pod_of, stays

ROOT = Path(__file__).parents[1]
#: rungs that the usual settings leave out: nobody is let in without SNI, and no modality may ask or be sent to
LEFT_OUT = {"no-sni", "c-find", "c-get", "c-move", "commitment"}
DATABASES = {"manual": "postgres-0", "helm": "orthanc-postgres-0"}
Pod = dict[str, Any]


def holds(report: Mapping[str, Any]) -> bool:
    """Return True if each rung of a verification's report holds, but for those that the settings leave out."""
    seen = {(rung["name"] in LEFT_OUT, rung["status"]) for rung in report["rungs"]}
    return seen == {(False, "passed"), (True, "left out")}


@dataclass(frozen=True)
class Project:
    """A lab, and the project in whose folder ``inv`` is called."""

    project: Path
    lab: str

    @property
    def context(self) -> str:
        return f"korthweb-{self.lab}"

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(Cluster(self.context, str(lab_dir(self.lab) / "kubeconfig")))

    @property
    def runner(self) -> Runner:
        return Runner(programs={"kubectl": str(locate("kubectl").path)})

    def write(self, **settings: Any) -> None:
        """Write the project's settings: the context, and what is given."""
        text = yaml.safe_dump({"context": self.context, **settings})
        (self.project / "korthweb.yaml").write_text(f"# written by a test\n{text}")

    def begins(self, *words: str) -> subprocess.Popen[str]:
        """Begin a task; stdout and stderr are one."""
        pipe = subprocess.PIPE
        return subprocess.Popen(**self._typed(words), stdout=pipe, stderr=subprocess.STDOUT)

    def runs(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a task as a person would."""
        return subprocess.run(**self._typed(words), capture_output=True, timeout=900, check=False)

    def inv(self, *words: str, code: int = 0) -> str:
        """Run a task that ends with ``code``; return stdout, and stderr too where it fails."""
        done = self.runs(*words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        assert "Traceback" not in done.stderr
        return done.stdout + (done.stderr if code else "")

    def _typed(self, words: tuple[str, ...]) -> dict[str, Any]:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return {
            "args": (sys.executable, "-m", "korthweb_tasks.main", *words),
            "cwd": self.project,
            "env": env,
            "text": True,
        }


@dataclass(frozen=True)
class Site(Project):
    """A lab with one tenant that one approach deployed."""

    approach: str
    tenant: Tenant

    @property
    def endpoint(self) -> Endpoint:
        return find_endpoint(self.runner.run, self.kubectl, self.tenant, self.approach)

    @property
    def gateway(self) -> tuple[str, str]:
        """Return namespace and Deployment of the way in."""
        namespace, name = approach_of(self.approach).lookup.ingress
        return namespace.format(ns=self.tenant.namespace), name

    def settings(self, **more: Any) -> None:
        """Write the project's settings: approach, context, and what is given."""
        self.write(approach=self.approach, **more)

    def up(self) -> None:
        self.inv("lab.up", "--name", self.lab, *(("--with", "gitops") if self.approach == "gitops" else ()))

    def deploy(self) -> None:
        self.inv("gitops.bootstrap" if self.approach == "gitops" else f"{self.approach}.deploy", "--yes")

    def ask(self, *args: str, namespace: str = "") -> str:
        """Return what kubectl answers, by itself in the tenant's namespace."""
        return self.runner.run(self.kubectl.command(*args, namespace=namespace or self.tenant.namespace)).stdout

    def pods(self) -> list[Pod]:
        """Return the pods of Orthanc that are there to stay."""
        selector = approach_of(self.approach).lookup.selector
        return [pod for pod in self._pods(f"--selector={selector}") if stays(pod)]

    def ready_pods(self) -> list[Pod]:
        return [pod for pod in self.pods() if pod_of(pod).ready]

    @property
    def deployment(self) -> str:
        """Return the name of Orthanc's Deployment."""
        words = ("get", "deployments", f"--selector={approach_of(self.approach).lookup.selector}", "--output=json")
        return str(json.loads(self.ask(*words))["items"][0]["metadata"]["name"])

    @property
    def database(self) -> str:
        """Return the name of the pod with the database."""
        role = "cnpg.io/instanceRole"
        primary = [pod for pod in self._pods() if pod["metadata"].get("labels", {}).get(role) == "primary"]
        return str(primary[0]["metadata"]["name"]) if primary else DATABASES[self.approach]

    def in_database(self, *words: str) -> None:
        self.ask("exec", self.database, "--container=postgres", "--", *words)

    def sql(self, statement: str) -> None:
        self.in_database("psql", "--username=postgres", "--dbname=postgres", "--command", statement)

    def until_ready(self, count: int = 3, seconds: float = 240) -> None:
        """Wait until the database and all of Orthanc's pods, ``count`` at least, are Ready."""
        self.until(lambda: self._whole(count), seconds)

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not true():
            words = ("get", "pods,events,horizontalpodautoscalers", "--output=wide")
            assert time.monotonic() < end, self.ask(*words)[-6000:]
            time.sleep(0.3)

    def _whole(self, count: int) -> bool:
        every = [pod for pod in self._pods() if stays(pod)]
        return len(self.pods()) >= count and all(pod_of(pod).ready for pod in every)

    def _pods(self, *words: str) -> list[Pod]:
        return list(json.loads(self.ask("get", "pods", *words, "--output=json"))["items"])
