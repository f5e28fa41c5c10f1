"""One korthweb at a time changes a cluster: a Lease with a heartbeat.

A holder that died on this machine is replaced at once; one that died elsewhere when its lease has run out
without a heartbeat. Source: coordination.k8s.io/v1 Lease, as client-go's leader election uses it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import KorthwebError, LockHeld
from korthweb_tasks.run.runner import Runner, failure

NAME, NAMESPACE = "korthweb", "kube-system"
#: seconds after which a lease without a heartbeat is free, and between two heartbeats
DURATION, HEARTBEAT = 45, 15


class Leases(Protocol):
    """Builds the commands; :class:`korthweb_tasks.tools.kubectl.Kubectl` does."""

    def get(self, kind: str, name: str | None = None, *, namespace: str | None = None) -> Command:
        """Return the command that prints a resource, or nothing."""

    def command(self, *args: str, stdin: str | None = None, namespace: str | None = None) -> Command:
        """Return a command against the cluster."""


@dataclass
class Lock:
    """The lock on one cluster. Where a heartbeat finds that somebody else has it, what runs is stopped."""

    runner: Runner
    leases: Leases
    say: Callable[[str], None]
    holder: str = ""
    _over: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)

    def acquire(self) -> None:
        """Take the lock; raises LockHeld while another living korthweb has it."""
        if self._thread:
            return
        self.holder = identity()
        while not self._take():
            self.runner.sleep(0.2)
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lock back, if it is ours."""
        if not self._thread:
            return
        self._over.set()
        self._thread.join()
        self._thread = None
        free = self._own_runner()
        lease = _read(free.check(self.leases.get("lease", NAME, namespace=NAMESPACE)))
        if lease and lease["spec"].get("holderIdentity") == self.holder:
            free.check(self.leases.command("delete", "lease", NAME, "--ignore-not-found", namespace=NAMESPACE))

    def _take(self) -> bool:
        lease = self._lease()
        if lease is None:
            return self._write("create", {})
        holder = lease["spec"].get("holderIdentity", "")
        if holder and alive(holder) is not False:
            self._outlive(lease)
        if holder:
            self.say(f"the lock's holder {holder} has ended without giving it back; taking it over")
        return self._write("replace", lease["metadata"])

    def _outlive(self, lease: dict[str, Any]) -> None:
        """Wait until a lease has run out; raises LockHeld at its next heartbeat, or at once for a living holder."""
        holder, beat = lease["spec"]["holderIdentity"], lease["spec"].get("renewTime")
        if alive(holder):
            raise _held(holder)
        self.say(f"{holder} has the lock; waiting up to {DURATION} s for a sign of life")
        deadline = time.monotonic() + lease["spec"].get("leaseDurationSeconds", DURATION)
        while time.monotonic() < deadline:
            self.runner.sleep(2.0)
            now = self._lease()
            if now is None:
                return
            if now["spec"].get("renewTime") != beat:
                raise _held(holder)

    def _lease(self) -> dict[str, Any] | None:
        return _read(self.runner.run(self.leases.get("lease", NAME, namespace=NAMESPACE)))

    def _write(self, verb: str, meta: dict[str, Any]) -> bool:
        """Create or replace the lease; False when somebody was faster."""
        keep = {"resourceVersion": meta["resourceVersion"]} if meta else {}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NAME, "namespace": NAMESPACE, **keep},
            "spec": {"holderIdentity": self.holder, "leaseDurationSeconds": DURATION, "renewTime": _now()},
        }
        result = self.runner.check(self.leases.command(verb, "--filename=-", stdin=json.dumps(lease)))
        if result.code == 0:
            return True
        if "AlreadyExists" in result.stderr or "Conflict" in result.stderr or "NotFound" in result.stderr:
            return False
        raise failure(result)

    def _beat(self) -> None:
        quiet = self._own_runner()
        while not self._over.wait(HEARTBEAT):
            if not self._kept(quiet):
                self.say("somebody else has taken the lock (was this machine asleep?): stopping")
                self.runner.stop()
                return

    def _kept(self, quiet: Runner) -> bool:
        try:
            return self._renewed(quiet)
        except KorthwebError as error:  # the next beat may pass; the lease outlives three
            self.say(f"the lock's heartbeat failed: {error.message}")
            return True

    def _renewed(self, quiet: Runner) -> bool:
        """Renew the lease, if it is ours still; False when it is known to be another's."""
        holder = "/spec/holderIdentity"
        body = json.dumps(
            [
                {"op": "test", "path": holder, "value": self.holder},
                {"op": "replace", "path": "/spec/renewTime", "value": _now()},
            ]
        )
        patch = ("patch", "lease", NAME, "--type=json", "--patch", body)
        if quiet.check(self.leases.command(*patch, namespace=NAMESPACE)).code == 0:
            return True
        result = quiet.check(self.leases.get("lease", NAME, namespace=NAMESPACE))
        lease = _read(result)
        return result.code != 0 or (lease is not None and lease["spec"].get("holderIdentity") == self.holder)

    def _own_runner(self) -> Runner:
        """Return a runner that works after an interrupt too, and never for long."""
        return Runner(
            programs=self.runner.programs,
            patience=0,
            default_timeout=HEARTBEAT,
            masks=self.runner.masks,
            passes=self.runner.passes,
        )


def identity() -> str:
    """Return who we are: ``host/pid/start``, which tells a recycled pid from a living holder."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def alive(holder: str) -> bool | None:
    """Return True if a holder lives; None when it is not on this machine, so nobody knows."""
    parts = holder.split("/")
    if len(parts) != 3 or parts[0] != socket.gethostname() or not re.fullmatch(r"[0-9]+", parts[1]):
        return None
    started = _started(int(parts[1]))
    return bool(started) and started == parts[2]


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return ""
        return "0"


def _held(holder: str) -> LockHeld:
    return LockHeld(f"another korthweb ({holder}) is changing this cluster", hint="wait for it to end, then try again")


def _read(result: Result) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(result.stdout) if result.code == 0 and result.stdout.strip() else None
    return found


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
