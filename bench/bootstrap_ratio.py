"""`gitops.bootstrap` against plain `flux bootstrap`: the same fleet repository, each in a fresh lab of its own.

``python bench/bootstrap_ratio.py``: as root, where the lab can run; about ten minutes. Both clocks begin at the
command and end when the last layer is ready. Plain flux is given the rendered repository, the passwords and the CA
beforehand, so that only its own work is measured; korthweb's time has all of that in it. Wanted: at most 0.60.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTROLLERS = "source-controller,kustomize-controller,helm-controller"


def korthweb(project: Path, *words: str) -> str:
    """Run a task in ``project`` and return its stdout."""
    argv = (sys.executable, "-m", "korthweb_tasks.main", *words)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        argv, cwd=project, env=env, check=True, stdout=subprocess.PIPE, text=True, timeout=1800
    ).stdout


def ours(project: Path, lab: str) -> float:
    """Return the seconds of gitops.bootstrap."""
    began = time.monotonic()
    korthweb(project, "gitops.bootstrap", "--context", f"korthweb-{lab}", "--yes")
    return time.monotonic() - began


def plain(project: Path, lab: str) -> float:
    """Return the seconds of flux bootstrap and of waiting for all layers, on the repository rendered before."""
    from korthweb_tasks.core.command import around_proxy
    from korthweb_tasks.lab import addons
    from korthweb_tasks.paths import lab_dir
    from korthweb_tasks.provision.tools import locate
    from tests.gitops_parts.clone import Clone, environment

    context = f"korthweb-{lab}"
    access = addons.git_access(lab)
    assert access is not None
    kube = ("--kubeconfig", str(lab_dir(lab) / "kubeconfig"), "--context", context)
    kubectl = (str(locate("kubectl").path), *kube)
    korthweb(project, "gitops.configure", "--context", context, "--yes")  # what is not in Git: passwords, the CA
    tree = project / "tree"
    korthweb(project, "gitops.render", "--context", context, "--out", str(tree))
    clone = Clone(access, tree)
    for step in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "rendered"]):
        clone.git(*step)
    clone.git("push", "-q", access.url, "main")
    where = (
        f"--url={access.url}",
        f"--path=clusters/{cluster_in(tree)}",
        "--branch=main",
        f"--ca-file={access.ca_file}",
    )
    login = ("--token-auth", f"--username={access.username}", "--silent")
    lab_has = (f"--components={CONTROLLERS}", "--registry=korthweb.lab")
    flux = (str(locate("flux").path), *kube, "bootstrap", "git", *where, *login, *lab_has)
    env = {**environment(access), "GIT_PASSWORD": access.password, **around_proxy("*")}
    began = time.monotonic()
    subprocess.run(flux, check=True, env=env, timeout=1200)
    wait = ("wait", "kustomization", "--all", "--namespace=flux-system", "--for=condition=Ready", "--timeout=20m")
    subprocess.run((*kubectl, *wait), check=True, timeout=1300, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def cluster_in(tree: Path) -> str:
    """Return the name of the one cluster's folder."""
    (only,) = (path.name for path in (tree / "clusters").iterdir() if path.is_dir())
    return only


def main() -> None:
    seconds = {}
    for name, measure in (("ours", ours), ("plain", plain)):
        with tempfile.TemporaryDirectory() as folder:
            project, lab = Path(folder), f"ratio-{name}"
            korthweb(project, "lab.up", "--name", lab, "--with", "gitops")
            try:
                seconds[name] = measure(project, lab)
            finally:
                korthweb(project, "lab.down", "--name", lab, "--yes")
        print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)
    ratio = seconds["ours"] / seconds["plain"]
    print(json.dumps({**seconds, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
