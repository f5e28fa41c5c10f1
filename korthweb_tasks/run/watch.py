"""Waits for conditions by watching, and gives up at once where waiting is no use."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from korthweb_tasks.core import hints, kstatus
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.documents import Documents, items
from korthweb_tasks.core.image_pulls import PULL_GRACE
from korthweb_tasks.core.plan import Condition, Gone, Ready, Serving
from korthweb_tasks.core.webhooks import unreached
from korthweb_tasks.errors import Interrupted, NotReady, last_line, tail
from korthweb_tasks.run.runner import Runner, failure

#: seconds between two tries of a gate, where nothing can be watched, and after a watch that broke off
PAUSE = 0.4
#: seconds for which a pod must show a fault before it ends the waiting
FAULT_STAYS = 4.0
#: kinds whose pods are watched too, so that a pod which can never start ends the waiting
WORKLOADS = {"deployment", "statefulset", "daemonset", "job"}
Say = Callable[[str], None]


class Observe(Protocol):
    """Builds the commands that look; :class:`korthweb_tasks.tools.kubectl.Kubectl` does."""

    def watch(self, kind: str, name: str | None = None, *, namespace: str | None = None) -> Command:
        """Return the command that streams resources as JSON, first as they are and then at each change."""

    def get_these(self, resources: Iterable[tuple[str, str]], *, namespace: str | None = None) -> Command:
        """Return the command that prints those of the (kind, name) pairs that exist."""

    def gone(self, kind: str, name: str, *, namespace: str | None = None, seconds: int = 5) -> Command:
        """Return the command that succeeds when a resource is not there (any more), and fails after ``seconds``."""


@dataclass
class Waiter:
    """Waits for conditions to hold, on behalf of one step."""

    runner: Runner
    observe: Observe

    def wait(self, conditions: tuple[Condition, ...], seconds: float, say: Say) -> None:
        """Return when all ``conditions`` hold; ``say`` is told what is missing, each time that changes.

        Raises NotReady, naming the first one that can not come any more or did not come within ``seconds``.
        """
        missing = [*self._unready(conditions), *(c for c in conditions if not isinstance(c, Ready))]
        if not missing:
            return
        wait = _Wait(self.runner, self.observe, time.monotonic() + seconds, say)
        with ThreadPoolExecutor(len(missing)) as pool:
            faults = [fault for fault in pool.map(wait.guarded, missing) if fault]
        if faults:
            raise next((fault for fault in faults if not isinstance(fault, Interrupted)), faults[0])

    def _unready(self, conditions: tuple[Condition, ...]) -> Iterator[Ready]:
        """Return the resources that are not ready now, asking once for each namespace."""
        wanted = [condition for condition in conditions if isinstance(condition, Ready)]
        for namespace in dict.fromkeys(condition.namespace for condition in wanted):
            here = [condition for condition in wanted if condition.namespace == namespace]
            result = self.runner.check(self.observe.get_these([(c.kind, c.name) for c in here], namespace=namespace))
            seen = items(result) if result.code == 0 else []
            # the answer has its own names of kinds: crd is customresourcedefinition
            named = {condition.name: condition for condition in sorted(here, key=lambda one: one.pods)}
            found = [named[obj["metadata"]["name"]].status(obj).state == "current" for obj in seen]
            if len(found) < len(here) or not all(found):
                yield from here


@dataclass
class _Wait:
    """One waiting: conditions side by side under one deadline; the first fault ends the others."""

    runner: Runner
    observe: Observe
    deadline: float
    say: Say
    over: threading.Event = field(default_factory=threading.Event)

    def guarded(self, condition: Condition) -> Exception | None:
        """Wait for one condition; return what went wrong."""
        try:
            if isinstance(condition, Serving):
                self._serve(condition)
            elif isinstance(condition, Gone):
                self._go(condition)
            else:
                self._resource(condition)
        except Exception as error:  # noqa: BLE001 - raised again by Waiter.wait, after the others have ended
            self.over.set()
            return error
        return None

    def _go(self, condition: Gone) -> None:
        command = self.observe.gone(condition.kind, condition.name, namespace=condition.namespace)
        self.say(f"{condition}: is being deleted")
        while not self.runner.check(command).answered:
            words = ("get", condition.kind, condition.name, "--output=yaml")
            hint = f"`{hints.kubectl(*words, namespace=condition.namespace)}`: look at its finalizers"
            self._go_on(partial(NotReady, f"{condition} is still there", hint=hint))

    def _resource(self, condition: Ready) -> None:
        seen = _Seen(condition, self.say)
        while not self._watch(condition, seen):
            self._ask(condition, seen)
            self._go_on(seen.late)
            self.runner.sleep(PAUSE)

    def _ask(self, condition: Ready, seen: _Seen) -> None:
        """Take in why a watch broke off: a server that gives no answer is not one without the resource."""
        asked = self.observe.get_these([(condition.kind, condition.name)], namespace=condition.namespace)
        left = max(1.0, self.deadline - time.monotonic())
        result = self.runner.check(replace(asked, repeatable=False).with_timeout(left))
        if result.code != 0:
            seen.told(tail(result.stderr, 1) or f"kubectl ended with code {result.code}")

    def _watch(self, condition: Ready, seen: _Seen) -> bool:
        """Follow one watch; False when it broke off before the condition held."""
        with ExitStack() as stack:
            streams = {
                stack.enter_context(self.runner.stream(command)): Documents() for command in self._commands(condition)
            }
            while not any(stream.ended for stream in streams):
                self._go_on(seen.late)
                seen.refuse_faults()
                for stream in select.select(list(streams), (), (), 0.5)[0]:
                    for obj in streams[stream].feed(stream.read()):
                        if seen.settles(obj):
                            return True
        return False

    def _commands(self, condition: Ready) -> Iterator[Command]:
        yield self.observe.watch(condition.kind, condition.name, namespace=condition.namespace)
        if condition.kind.lower() in WORKLOADS:
            yield self.observe.watch("pods", namespace=condition.namespace)

    def _serve(self, gate: Serving) -> None:
        row = 0
        while row < gate.consecutive:
            left = max(1.0, self.deadline - time.monotonic())
            result = self.runner.check(gate.command.with_timeout(left))
            row = row + 1 if result.code in gate.command.ok else 0
            if row:
                continue
            if unreached(result.stderr):  # it was tried long enough
                raise failure(result)
            why = last_line(result.stderr)
            self.say(f"{gate}: {why}")
            look = hints.kubectl("get", "pods,endpointslices", "--all-namespaces")
            self._go_on(partial(NotReady, f"{gate} does not serve: {why}", hint=f"`{look}`: does what serves it run?"))
            self.runner.sleep(PAUSE)

    def _go_on(self, late: Callable[[], NotReady]) -> None:
        if self.over.is_set() or self.runner.stopped:
            raise Interrupted("interrupted")
        if time.monotonic() > self.deadline:
            raise late()


class _Seen:
    """What is known of one awaited resource and of its pods."""

    def __init__(self, condition: Ready, say: Say) -> None:
        self.condition, self.say = condition, say
        self.message = "it does not exist"
        self.labels: Mapping[str, str] = {}
        self.faults: dict[str, tuple[Mapping[str, str], kstatus.Fault, float]] = {}
        self.troubles: dict[str, None] = {}
        self.hint = hints.kubectl("describe", condition.kind, condition.name, namespace=condition.namespace)

    def settles(self, obj: Mapping[str, Any]) -> bool:
        """Take in a change; True if it may settle the condition. Raises NotReady if it never will hold."""
        if obj["kind"] == "Pod" and self.condition.kind.lower() in WORKLOADS:
            self._look_at_pod(obj)
            return False
        self.labels = obj.get("spec", {}).get("selector", {}).get("matchLabels", {}) if "spec" in obj else {}
        found = self.condition.status(obj)
        if found.state == "failed":
            hook = unreached(found.message)
            raise NotReady(str(hook) if hook else f"{self.condition} failed: {found.message}", hint=self.hint)
        self.told(found.message)
        return found.state == "current"

    def told(self, message: str) -> None:
        """Take in, and say once, what is missing."""
        if message and message != self.message:
            self.message = message
            self.say(f"{self.condition}: {message}")

    def late(self) -> NotReady:
        """Return the error for a deadline that has passed."""
        reason = next((fault.text for _, fault, _ in self.faults.values()), self.message)
        return NotReady(f"{self.condition} was not ready in time: {reason}", hint=self.hint)

    def refuse_faults(self) -> None:
        """Raise NotReady for a pod whose fault has stayed a while: pods of an older kind go away in that time."""
        for labels, fault, since in self.faults.values():
            mine = self.labels and all(labels.get(key) == value for key, value in self.labels.items())
            if mine and fault.passing:
                self._tell_of(fault)
            if mine and time.monotonic() - since > (PULL_GRACE if fault.passing else FAULT_STAYS):
                raise NotReady(f"{self.condition} can not get ready: {fault.text}", hint=self.hint)

    def _tell_of(self, fault: kstatus.Fault) -> None:
        """Say once what is tried again, and keep it for the end."""
        if fault.text not in self.troubles:
            self.troubles[fault.text] = None
            self.say(f"{self.condition}: {fault.text}")

    def _look_at_pod(self, pod: Mapping[str, Any]) -> None:
        meta = pod["metadata"]
        fault = None if meta.get("deletionTimestamp") else kstatus.fault_of(pod)
        if fault is None:
            self.faults.pop(meta["name"], None)
            return
        _, before, since = self.faults.get(meta["name"], ({}, fault, time.monotonic()))
        since = since if before.passing == fault.passing else time.monotonic()
        self.faults[meta["name"]] = (meta.get("labels", {}), fault, since)
