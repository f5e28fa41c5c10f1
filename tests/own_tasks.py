"""A tasks.py of a user's own, which plain ``inv`` runs on a lab: Istio, a task of theirs, Orthanc, the proof."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.lab_site import ROOT, Site

TASKS = """
from invoke import Collection, call, task
from korthweb_tasks import cli, cluster, manual, verify

@task
def note(c):
    kubectl = cluster(c, yes=True).kubectl
    kubectl("wait", "deployment/istiod", namespace="istio-system", for_="condition=Available", timeout="60s")
    kubectl("create", "configmap", "ours", namespace="default", from_literal=["a=1", "b=2"])
    print(kubectl("get", "configmap", "ours", namespace="default", output="json").json()["data"])

@task(pre=[call(manual.install_istio, yes=True), note], post=[verify.dicom])
def bring(c):
    report = manual.deploy(c, tenant="BHC", yes=True)
    print(report.outcome, {step.name: step.verdict for step in report.steps}["istio"])

@task
def miss(c):
    cluster(c).kubectl("get", "configmap", "nobodys", namespace="default")

ns = Collection(bring, miss, note)
for group in (cli, manual, verify):
    ns.add_collection(group)
"""


def inv(site: Site, *words: str, code: int = 0) -> str:
    """Run plain ``inv`` in the site's project; return its stdout, or its stderr where it is to fail."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = (sys.executable, "-m", "invoke", *words)
    done = subprocess.run(argv, cwd=site.project, env=env, text=True, capture_output=True, timeout=900)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stderr if code else done.stdout


def bring(site: Site) -> None:
    """Deploy the site by hand with a user's own tasks, from nothing to the proof."""
    (site.project / "tasks.py").write_text(TASKS)
    (site.project / "invoke.yaml").write_text("tasks: {executor_class: korthweb_tasks.Executor}\n")
    said = inv(site, "bring")
    assert said.index("{'a': '1', 'b': '2'}") < said.index("passed unchanged") < said.index("C-STORE of real images")
