"""The control plane, by kwokctl's binary runtime: etcd, API server, controller manager, scheduler, kwok."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Result
from korthweb_tasks.errors import NotReady, StepFailed
from korthweb_tasks.lab import config, pki, process
from korthweb_tasks.lab.api import kubeconfig, write_private
from korthweb_tasks.lab.layout import API_PORT, DOMAIN
from korthweb_tasks.lab.site import Site

Note = Callable[[str], None]
SECONDS = 120
#: what the API server is called inside of the cluster
NAMES = tuple(f"kubernetes{rest}" for rest in ("", ".default", ".default.svc", f".default.svc.{DOMAIN}"))


def up(site: Site, programs: dict[str, Path], note: Note) -> bool:
    """Bring the control plane up, making or mending it as needed; return True if anything was started.

    ``programs``: kwokctl, kwok, etcd, kube-apiserver, kube-controller-manager, kube-scheduler.
    """
    if whole(site) and site.api.ready():
        publish(site)
        return False
    if not _created(site):
        note("creating")
        _forget(site)
        _create(site, programs)
    else:
        note("starting what is not running")
        try:
            _start(site, programs)
        except StepFailed:
            note("starting all of it again")
            _stop(site)
            _start(site, programs)
    publish(site)
    return True


def whole(site: Site) -> bool:
    """Return True if every part is running."""
    return set(process.CONTROL_PLANE) <= set(process.components(site.layout.root))


def publish(site: Site) -> None:
    """Write the kubeconfig for people and tasks; the user's own is never touched."""
    layout = site.layout
    server = f"https://{layout.address}:{site.lab.port or API_PORT}"
    admin = layout.pki / "admin"
    text = kubeconfig(
        layout.context, server, layout.pki / "ca.crt", admin.with_suffix(".crt"), admin.with_suffix(".key")
    )
    write_private(layout.kubeconfig, text)


def _create(site: Site, programs: dict[str, Path]) -> None:
    layout = site.layout
    path = layout.config / "kwokctl.yaml"
    port = 0 if layout.simulated else API_PORT
    write_private(path, config.kwokctl(layout, programs, port))
    pki.create(layout.pki, NAMES, sorted({layout.api_service, layout.address, "127.0.0.1"}))
    result = _kwokctl(site, programs, "--config", str(path), "create", "cluster")
    if not _created(site):
        raise _refused(site, result)
    _ready(site, result)


def _start(site: Site, programs: dict[str, Path]) -> None:
    _mend_pidfiles(site)
    _ready(site, _kwokctl(site, programs, "start", "cluster"))


def _ready(site: Site, result: Result) -> None:
    """Wait for the API server, whatever kwokctl said: it gives up earlier than a busy machine needs."""
    _learn_port(site)
    missing = set(process.CONTROL_PLANE) - set(process.components(site.layout.root))
    if missing and result.code != 0:
        raise _refused(site, result)
    site.until("the API server", site.api.ready, seconds=SECONDS, needs=("kube-apiserver", "etcd"))


def _kwokctl(site: Site, programs: dict[str, Path], *args: str) -> Result:
    layout = site.layout
    own = str(layout.root / "kwok" / "kubeconfig")
    last = ("--kubeconfig", own) if "create" in args else ()
    argv = (str(programs["kwokctl"]), *args, "--name", layout.name, *last)
    return site.run("kwokctl", argv, timeout=SECONDS, KWOK_WORKDIR=str(layout.root / "kwok"), KUBECONFIG=own)


def _created(site: Site) -> bool:
    """Return True if kwokctl finished writing its files: in its description the components are the last entry."""
    try:
        text = (site.layout.kwok / "kwok.yaml").read_text()
    except OSError:
        return False
    files = (site.layout.pki / "admin.crt", site.layout.kwok / "kubeconfig.yaml")
    listed = all(re.search(rf"^ +name: {name}$", text, re.MULTILINE) for name in process.CONTROL_PLANE)
    return listed and all(path.is_file() for path in files)


def _forget(site: Site) -> None:
    """Clear away a control plane whose creation was cut short."""
    _stop(site)
    shutil.rmtree(site.layout.kwok, ignore_errors=True)


def _stop(site: Site) -> None:
    mine = [one for one in process.of_lab(site.layout.root) if one.component in (*process.CONTROL_PLANE, "kwokctl")]
    if left := process.end(mine, site.layout.root, grace=5.0):
        raise NotReady(
            f"process {left[0].pid} ({left[0].component}) does not end",
            hint=hints.task("lab.down", name=site.layout.name),
        )


def _mend_pidfiles(site: Site) -> None:
    """Make kwokctl's notes true: it takes any process with a noted pid for its own, and starts what is not noted."""
    folder = site.layout.kwok / "pids"
    folder.mkdir(parents=True, exist_ok=True)
    running = process.components(site.layout.root)
    for name in process.CONTROL_PLANE:
        path = folder / f"{name}.pid"
        if name in running:
            path.write_text(str(running[name].pid))
        else:
            path.unlink(missing_ok=True)


def _learn_port(site: Site) -> None:
    """Note the port that kwokctl chose for a simulated lab."""
    text = (site.layout.kwok / "kubeconfig.yaml").read_text()
    found = re.search(r"server: *https://[^:\s]+:([0-9]+)", text)
    if found and int(found.group(1)) != site.lab.port:
        site.lab = replace(site.lab, port=int(found.group(1)))
        site.lab.save()


def _refused(site: Site, result: Result) -> NotReady:
    name = site.layout.name
    logs = [hints.task("lab.logs", component, name=name) for component in ("etcd", "kube-apiserver")]
    anew = f"`{hints.task('lab.down', name=name)}` and `{hints.task('lab.up', name=name)}` begin anew"
    return NotReady(
        f"the control plane of the lab '{name}' can not be started",
        hint=f"`{logs[0]}` and `{logs[1]}` tell more; {anew}",
        details=result.stderr[-2000:],
    )
