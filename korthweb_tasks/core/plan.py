"""Plans as data: steps, what they need, and what makes them done. Nothing here does anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from korthweb_tasks.core import kstatus
from korthweb_tasks.core.command import Command, Result


@dataclass(frozen=True, slots=True)
class Probe:
    """A command and a pure reading of its result: True means that nothing has to be done.

    ``read`` is only given results that are an answer: an accepted exit code, or one of the command's ``final`` texts.
    ``diff``: what the command prints is what would change.
    """

    command: Command
    read: Callable[[Result], bool]
    diff: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A resource exists and is ready by the rules of :mod:`korthweb_tasks.core.kstatus`.

    ``pods``: how many a workload has to ask for at least; an autoscaler raises it some seconds after the first.
    """

    kind: str
    name: str
    namespace: str | None = None
    pods: int = 0

    def status(self, obj: kstatus.Object) -> kstatus.Status:
        """Return the status of the resource as this condition sees it."""
        if (asked := obj.get("spec", {}).get("replicas", self.pods)) < self.pods:
            return kstatus.Status("progress", f"asks for {asked} of {self.pods} pods yet")
        return kstatus.status(obj)

    def __str__(self) -> str:
        """Return ``kind/name in namespace``."""
        place = f" in {self.namespace}" if self.namespace else ""
        return f"{self.kind}/{self.name}{place}"


@dataclass(frozen=True, slots=True)
class Gone:
    """A resource does not exist (any more)."""

    kind: str
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        """Return ``kind/name in namespace``."""
        return str(Ready(self.kind, self.name, self.namespace))


@dataclass(frozen=True, slots=True)
class Serving:
    """A harmless command (a server-side dry run, a query) succeeds ``consecutive`` times in a row."""

    title: str
    command: Command
    consecutive: int = 2

    def __str__(self) -> str:
        """Return the title."""
        return self.title


Condition = Ready | Gone | Serving
#: A command, or a function that makes it when it is needed (generated passwords, files just written).
Action = Command | Callable[[], Command]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a plan.

    ``kind`` says what; where a plan has several of a kind, ``tenant`` says whose it is, or ``resource`` which one.
    ``title`` is what a person reads. ``needs`` names the steps
    that come before. ``probes`` all true means the actions are left out; without probes they
    always run. Waits are awaited in both cases. ``on_failure`` commands are run when the actions or
    waits fail, and their output becomes part of the error's details. ``timeout`` (seconds)
    bounds the whole step.
    """

    kind: str
    title: str
    tenant: str = ""
    resource: str = ""
    needs: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    actions: tuple[Action, ...] = ()
    waits: tuple[Condition, ...] = ()
    on_failure: tuple[Command, ...] = ()
    timeout: float | None = None
    hint: str = ""

    @property
    def name(self) -> str:
        """Return the name of the step, unique in its plan."""
        return step_name(self.kind, self.tenant or self.resource)


def step_name(kind: str, which: str = "") -> str:
    """Return the name of the step of this kind for a tenant, or another of what there are several of.

    >>> step_name("istio"), step_name("orthanc", "BHC")
    ('istio', 'orthanc:bhc')
    """
    return f"{kind}:{which.lower()}" if which else kind


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in a directed graph without cycles.

    Raises ``ValueError`` for a name used twice, a need that is not a step, and a cycle:
    those are faults of the program, not of its user.
    """

    title: str
    steps: tuple[Step, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse a graph that can't be walked."""
        names = [step.name for step in self.steps]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"steps named twice: {sorted(twice)}")
        for step in self.steps:
            if unknown := set(step.needs) - set(names):
                raise ValueError(f"step {step.name} needs unknown steps: {sorted(unknown)}")
        try:
            self.sorter().prepare()
        except CycleError as error:
            raise ValueError(f"steps in a circle: {' -> '.join(error.args[1])}") from error

    def __getitem__(self, name: str) -> Step:
        """Return the step called ``name``."""
        return next(step for step in self.steps if step.name == name)

    def sorter(self) -> TopologicalSorter[str]:
        """Return a fresh sorter over the steps' names."""
        return TopologicalSorter({step.name: step.needs for step in self.steps})

    def only(self, title: str, names: Iterable[str]) -> Plan:
        """Return the plan of just these steps; a need outside of them is taken as met, but order through it is kept."""
        wanted = set(names)
        kept = (step for step in self.steps if step.name in wanted)
        return Plan(title, tuple(replace(step, needs=self._nearest(step, wanted)) for step in kept))

    def _nearest(self, step: Step, wanted: set[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for need in step.needs:
            found.update(dict.fromkeys((need,) if need in wanted else self._nearest(self[need], wanted)))
        return tuple(found)
