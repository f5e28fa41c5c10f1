"""A real one-node Kubernetes on this machine, or a simulated one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration

if TYPE_CHECKING:
    from korthweb_tasks.lab.cluster import LabInfo, LabStatus
    from korthweb_tasks.lab.extras import Brought
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
    from korthweb_tasks.lab import cluster, extras
    from korthweb_tasks.services.lab import brought, is_chosen, options, raised
    from korthweb_tasks.services.simulated import told

    name = name or session.settings.lab.name
    more = extras.known(with_, simulated=simulated).components() if with_ else []
    if session.dry_run:
        data = cluster.preview(name, simulated=simulated, options=options(session, more))
        session.emit(data, "\n".join(f"{key}: {value}" for key, value in data.items()))
        return
    info = raised(session, name, simulated=simulated, more=more)
    extra = brought(session, name, with_) if with_ else None
    chosen = is_chosen(session, info.context)
    data = {**info.as_dict(), "chosen": chosen, **({"extra": extra.as_dict()} if extra else {})}
    more_told = _extra_told(extra) if extra else f"\n{told(info.context)}" if simulated else ""
    session.emit(data, _told(info, chosen) + more_told)


@task(example="korthweb lab.status", cluster=False, changes=False, help=_NAME)
def status(session: Session, name: str | None = None) -> None:
    """Show what each lab runs: components, pids, memory, addresses, age; exit code 0 when all of it runs, else 7."""
    from korthweb_tasks.errors import NotReady
    from korthweb_tasks.lab import cluster, store

    wanted = [name] if name else sorted(store.names()) or [session.settings.lab.name]
    found = [cluster.status(one) for one in wanted]
    there = [one for one in found if one.state != "absent"]
    session.emit([one.as_dict() for one in found], "\n\n".join(map(_table, there)) if there else "no lab")
    for one in found:
        if one.state != "running":
            told = f"there is no lab '{one.name}'" if one.state == "absent" else f"lab '{one.name}' is {one.state}"
            raise NotReady(told, hint=hints.task("lab.up", name=one.name))


@task(example="korthweb lab.down --yes", cluster=False, destructive=True, help=_NAME)
def down(session: Session, name: str | None = None) -> None:
    """Remove a lab with all its data: processes, namespaces, volumes, files. Caches stay (lab.prune)."""
    from korthweb_tasks.lab import cluster
    from korthweb_tasks.settings.resolve import forget_context

    name = name or session.settings.lab.name
    before = cluster.status(name)
    if session.dry_run:
        session.emit(
            {"name": name, "would": "be removed", "state": before.state}, f"would be removed:\n{_table(before)}"
        )
        return
    if before.state != "absent":
        session.confirm(f"Remove the lab '{name}' with all its data?")
    there = cluster.down(name, console=session.console, runner=session.runner)
    forget_context(f"korthweb-{name}")
    session.emit({"name": name, "removed": there}, f"lab '{name}' is removed" if there else f"there is no lab '{name}'")


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
    from korthweb_tasks.lab import logs as reader
    from korthweb_tasks.run.console import say

    path = reader.find(name or session.settings.lab.name, component)
    if session.output == "json":
        session.emit({"component": component, "path": str(path), "lines": reader.last(path, lines)}, "")
        return
    for line in reader.last(path, lines):
        say(line)
    if follow:
        reader.follow(path)


@task(
    example="korthweb lab.prune --yes",
    cluster=False,
    destructive=True,
    help={"builds": "only what builds need: sources and compiled packages of Go"},
)
def prune(session: Session, builds: bool = False) -> None:
    """Remove the caches: binaries, images, packages. The next lab.up makes them again."""
    from korthweb_tasks.errors import GuardRefused
    from korthweb_tasks.lab import store
    from korthweb_tasks.provision import prune as caches

    parts = caches.BUILD_CACHES if builds else None
    found = caches.prune(parts, dry_run=True)
    data = [{"part": part.name, "what": part.title, "bytes": part.size} for part in found]
    text = (
        "\n".join(f"{caches.human(part.size):>9}  {part.title} ({part.path})" for part in found) or "nothing is cached"
    )
    if session.dry_run or not found:
        session.emit(data, text)
        return
    if not builds and (labs := store.names()):
        raise GuardRefused(f"lab {', '.join(labs)} runs from these caches", hint=hints.task("lab.down", name=labs[0]))
    session.console.line(text)
    session.confirm("Remove them?")
    caches.prune(parts)
    session.emit(data, f"{caches.human(sum(part.size for part in found))} removed")


def _told(info: LabInfo, chosen: bool) -> str:
    how = f"up after {duration(info.seconds)}" if info.changed else "up already, nothing was changed"
    use = hints.task("context.use", info.context)
    choice = "the project's choice" if chosen else f"`{use}` makes it the project's choice"
    return f"lab '{info.name}' is {how}; context {info.context}: {choice}\nfor plain kubectl: {info.export_line}"


def _extra_told(extra: Brought) -> str:
    lines = [f"chart of {chart}: {source}, {version}" for chart, (source, version) in extra.charts.items()]
    return "".join(f"\n{line}" for line in [*lines, *([f"Git repository: {extra.git}"] if extra.git else [])])


def _table(lab: LabStatus) -> str:
    from korthweb_tasks.lab.logs import age, size
    from korthweb_tasks.settings.show import columns

    if lab.state == "absent":
        return f"there is no lab '{lab.name}'"
    kind = "simulated, " if lab.simulated else ""
    used = f", {size(lab.memory)} in all" if lab.memory else ""
    head = f"lab '{lab.name}': {kind}{lab.state}, {age(lab.age)} old{used}, {lab.server}, context {lab.context}"
    rows: list[tuple[str, ...]] = [("COMPONENT", "STATE", "PID", "MEMORY", "AGE", "ADDRESS")]
    rows += [
        (c.name, c.state, str(c.pid or ""), size(c.memory) if c.pid else "", age(c.age) if c.pid else "", c.address)
        for c in lab.components
    ]
    return f"{head}\n{columns(rows)}"
