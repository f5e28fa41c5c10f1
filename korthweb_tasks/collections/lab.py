"""A real one-node Kubernetes on this machine, or a simulated one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session

_NAME = {"name": "which lab, where there are several (default: lab.name of the settings)"}


@task(
    example="korthweb lab.up",
    cluster=False,
    without=("yes",),
    help={
        **_NAME,
        "simulated": "a control plane with pretended nodes: no root, no pods that do anything, seconds",
        "with": "traefik (helm.deploy brings it by itself) or gitops, with what it needs (default: nothing more)",
    },
)
def up(session: Session, name: str | None = None, simulated: bool = False, with_: str | None = None) -> None:
    """Bring up a Kubernetes on this machine; what is running already is left as it is."""
    from korthweb_tasks.services import lab

    lab.up(session, name, simulated=simulated, addon=with_)


@task(example="korthweb lab.status", cluster=False, changes=False, help=_NAME)
def status(session: Session, name: str | None = None) -> None:
    """Show what each lab runs: components, pids, memory, addresses, age; exit code 0 when all of it runs, else 7."""
    from korthweb_tasks.services import lab

    lab.show_status(session, name)


@task(example="korthweb lab.down --yes", cluster=False, destructive=True, help=_NAME)
def down(session: Session, name: str | None = None) -> None:
    """Remove a lab with all its data: processes, namespaces, volumes, files. Caches stay (lab.prune)."""
    from korthweb_tasks.services import lab

    lab.down(session, name)


@task(
    example="korthweb lab.logs kubelet --follow",
    cluster=False,
    changes=False,
    positional=("component",),
    help={
        **_NAME,
        "component": "etcd, kube-apiserver, kubelet, containerd, coredns, ... (lab.status lists them)",
        "follow": "go on as lines come, until Ctrl-C",
        "lines": "how many of the last lines",
    },
)
def logs(session: Session, component: str, name: str | None = None, follow: bool = False, lines: int = 200) -> None:
    """Show the log of one component of a lab."""
    from korthweb_tasks.services import lab

    lab.show_log(session, component, name, follow=follow, lines=lines)


@task(
    example="korthweb lab.prune --yes",
    cluster=False,
    destructive=True,
    help={"builds": "only what builds need: sources and compiled packages of Go"},
)
def prune(session: Session, builds: bool = False) -> None:
    """Remove the caches: binaries, images, packages. The next lab.up makes them again."""
    from korthweb_tasks.services import lab

    lab.prune(session, builds=builds)
