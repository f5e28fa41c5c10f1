"""A lab as a whole: up, status, down."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict, dataclass

from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.errors import LabImpossible, NotReady
from korthweb_tasks.lab import cgroups, gitserver, mirror, namespaces, objects, preflight, process, store, teardown
from korthweb_tasks.lab.layout import API_PORT, Layout, blocks
from korthweb_tasks.lab.raising import Options, Raising, needed
from korthweb_tasks.lab.site import Site
from korthweb_tasks.lab.store import Lab
from korthweb_tasks.paths import lab_dir
from korthweb_tasks.provision import builder
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner

NODE_COMPONENTS = ("containerd", "kubelet", "kube-proxy", "kube-router", "coredns", "metrics-server")
#: the modules of components that run only where something asked for them
ON_REQUEST = (mirror, gitserver)


@dataclass(frozen=True, slots=True)
class LabInfo:
    """A lab that is up, how it got there, and what to type for plain kubectl."""

    name: str
    context: str
    kubeconfig: str
    export_line: str
    seconds: float
    records: tuple[StepRecord, ...] = ()

    @property
    def changed(self) -> bool:
        """Return True if anything had to be started or made."""
        return any(record.verdict == "changed" for record in self.records)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {**asdict(self), "changed": self.changed}


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """One component: ``state`` is running or stopped; ``memory`` in bytes, ``age`` in seconds."""

    name: str
    state: str
    pid: int | None = None
    memory: int = 0
    age: float = 0.0
    address: str = ""


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A lab. ``state``: running, degraded (something is not running), stopped or absent; ``memory``: pods included."""

    name: str
    state: str
    simulated: bool = False
    context: str = ""
    kubeconfig: str = ""
    server: str = ""
    age: float = 0.0
    memory: int = 0
    components: tuple[ComponentStatus, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


def up(
    name: str,
    *,
    simulated: bool = False,
    console: Console | None = None,
    options: Options | None = None,
    runner: Runner | None = None,
) -> LabInfo:
    """Bring a lab up, starting only what is not running.

    Raises LabImpossible, NoSpace, BuildFailed, NotReady, LockHeld and Interrupted.
    """
    console, options, runner = console or Console(), options or Options(), runner or Runner()
    began = time.monotonic()
    preflight.check(simulated, begun=store.load(name) is not None)
    with store.locked(name):
        lab = store.load(name) or _begin(name, simulated, options, runner)
        if lab.layout.simulated != simulated:
            kind = "a simulated" if lab.layout.simulated else "a real"
            raise LabImpossible(f"there is {kind} lab '{name}' already", hint=hints.task("lab.down", name=name))
        site = Site(lab, runner)
        with console.table(f"Lab '{name}' on this machine"):
            records = Raising(site, console, options).run()
    took = time.monotonic() - began
    console.line(f"Lab '{name}' is up ({duration(took)})")
    layout = lab.layout
    export = f"export KUBECONFIG={shlex.quote(str(layout.kubeconfig))}"
    return LabInfo(name, layout.context, str(layout.kubeconfig), export, took, records)


def preview(name: str, *, simulated: bool = False, options: Options | None = None) -> dict[str, object]:
    """Return what ``up`` would do, changing nothing. Raises LabImpossible and NoSpace as ``up`` would."""
    preflight.check(simulated, begun=store.load(name) is not None)
    before = status(name)
    missing = builder.missing(needed(options or Options(), simulated))
    stopped = [component.name for component in before.components if component.state != "running"]
    return {
        "lab": name,
        "state": before.state,
        "binaries to build": ", ".join(missing) or "none",
        "components to start": "all" if before.state == "absent" else ", ".join(stopped) or "none",
        "folder": str(lab_dir(name)),
    }


def down(name: str, *, console: Console | None = None, runner: Runner | None = None) -> bool:
    """Remove a lab and everything of it; return True if there was one.

    Raises NotReady where something is left, with a list of it.
    """
    console, runner = console or Console(), runner or Runner()
    root = lab_dir(store.checked(name))
    with store.locked(name, wait=5):
        lab = store.load(name)
        if lab is None and not root.exists():
            return False
        layout = lab.layout if lab else Layout(name, root, index=-1, simulated=True)
        left = teardown.remove(layout, runner, lambda text: console.line(f"lab {name}: {text}"))
    if left:
        raise NotReady(
            f"{len(left)} things are left of the lab '{name}'",
            hint=hints.task("lab.down", name=name),
            details="\n".join(left),
        )
    return True


def status(name: str) -> LabStatus:
    """Return how a lab is; never raises because it is not well."""
    lab = store.load(name)
    if lab is None:
        return LabStatus(name, "absent")
    layout = lab.layout
    running = process.components(layout.root)
    wanted = list(process.CONTROL_PLANE) + ([] if layout.simulated else list(NODE_COMPONENTS))
    wanted += [module.COMPONENT for module in ON_REQUEST if module.wanted(layout)]
    components = tuple(
        _component(layout.address, lab.port or API_PORT, component, running.get(component)) for component in wanted
    )
    alive = sum(component.state == "running" for component in components)
    state = "running" if alive == len(components) else "degraded" if alive else "stopped"
    server = f"https://{layout.address}:{lab.port or API_PORT}"
    age = time.time() - lab.created
    memory = sum(component.memory for component in components) if layout.simulated else cgroups.memory(layout.tag)
    return LabStatus(
        name, state, layout.simulated, layout.context, str(layout.kubeconfig), server, age, memory, components
    )


def _component(address: str, port: int, name: str, running: process.Process | None) -> ComponentStatus:
    if running is None:
        return ComponentStatus(name, "stopped")
    ports = {"kube-apiserver": port, "coredns": 53, "kubelet": 10250, "metrics-server": objects.METRICS_PORT}
    ports |= {module.COMPONENT: module.PORT for module in ON_REQUEST}
    where = f"{address}:{ports[name]}" if name in ports else ""
    return ComponentStatus(name, "running", running.pid, running.memory, time.time() - running.started, where)


def _begin(name: str, simulated: bool, options: Options, runner: Runner) -> Lab:
    """Choose free addresses and write the lab down; one korthweb of a user at a time."""
    if simulated:
        return store.create(name, 0, subnet=options.subnet, simulated=True)
    with store.locked("_addresses", wait=10):
        used = store.used_indices() | namespaces.taken(runner, options.subnet)
        free = next((index for index in range(blocks(options.subnet)) if index not in used), None)
        if free is None:
            raise LabImpossible(
                f"no addresses are free in {options.subnet} for another lab",
                hint=f"`{hints.task('lab.status')}` shows which there are; or another lab.subnet in korthweb.yaml",
            )
        return store.create(name, free, subnet=options.subnet)
