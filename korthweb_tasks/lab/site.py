"""One lab while korthweb works on it: its layout, its programs, and how things are run inside it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.durations import limit
from korthweb_tasks.errors import Interrupted, NotReady, tail
from korthweb_tasks.lab import cgroups, namespaces, process
from korthweb_tasks.lab.api import Api
from korthweb_tasks.lab.layout import API_PORT, Layout
from korthweb_tasks.lab.store import Lab
from korthweb_tasks.run.runner import Runner

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: how often a component that ended by itself while it was waited for is started again
REVIVALS = 3
#: seconds for which a component must be missing to count as ended: between fork and exec it carries no mark yet
SURELY_DEAD = 1.0


@dataclass
class Site:
    """A lab, how to run commands, and (once they are known) the folders with programs."""

    lab: Lab
    runner: Runner
    paths: list[Path] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """Return where everything is."""
        return self.lab.layout

    @property
    def api(self) -> Api:
        """Return the way to the lab's API server."""
        return Api(self.layout.address, self.lab.port or API_PORT, self.layout.pki)

    def env(self) -> dict[str, str]:
        """Return the environment that components get beside their marks."""
        return {"PATH": ":".join([*map(str, self.paths), SYSTEM_PATH])}

    def daemons(self) -> list[Path]:
        """Return the cgroups that components join."""
        layout = self.layout
        return [] if layout.simulated else [mount / layout.tag / "daemons" for mount in cgroups.mounted()]

    def start(self, component: str, argv: Sequence[str]) -> bool:
        """Start a component unless it is running; return True if it was started."""
        if component in process.components(self.layout.root):
            return False
        process.spawn(
            component,
            namespaces.inside(self.layout, argv),
            root=self.layout.root,
            log=self.log(component),
            env=self.env(),
            cgroups=self.daemons(),
        )
        return True

    def log(self, component: str) -> Path:
        """Return where a component writes its log."""
        if component in process.CONTROL_PLANE:
            return self.layout.kwok / "logs" / f"{component}.log"
        return self.layout.logs / f"{component}.log"

    def run(self, component: str, argv: Sequence[str], *, timeout: float, **extra: str) -> Result:
        """Run a command inside the lab and wait for it; what it leaves running belongs to the lab.

        The result may be of a failure. ``extra`` is laid over its environment.
        """
        marked = process.environment(component, self.layout.root, {**self.env(), **extra}, self.daemons())
        pairs = [f"{key}={value}" for key, value in marked.items()]
        call = ("env", "-i", *pairs, "sh", "-c", process.JOIN, "sh", *namespaces.inside(self.layout, argv))
        return self.runner.check(Command(argv=call, timeout=timeout))

    def until(
        self,
        what: str,
        ready: Callable[[], bool],
        *,
        seconds: float,
        needs: Sequence[str] = (),
        again: Callable[[], object] | None = None,
    ) -> None:
        """Wait until ``ready``; NotReady when it does not come, or at once when a component in ``needs`` has ended.

        ``again`` starts what ended once more, a few times: some components give up on an API server that is slow.
        """
        deadline = time.monotonic() + seconds
        pause = 0.05
        lives = REVIVALS if again else 0
        missed = 0.0
        while not ready():
            alive = process.components(self.layout.root)
            dead = [name for name in needs if name not in alive]
            missed = (missed or time.monotonic()) if dead else 0.0
            if missed and time.monotonic() - missed > SURELY_DEAD:
                if not lives or again is None:
                    raise self.fault(f"{dead[0]} of the lab '{self.layout.name}' ended by itself", dead[0])
                lives, missed = lives - 1, 0.0
                again()
            if time.monotonic() > deadline:
                component = needs[0] if needs else ""
                raise self.fault(f"{what} of the lab '{self.layout.name}' did not come in {limit(seconds)}", component)
            if self.runner.stopped:
                raise Interrupted("interrupted")
            self.runner.sleep(pause)
            pause = min(0.3, pause * 1.3)

    def fault(self, message: str, component: str) -> NotReady:
        """Return the error with the last lines of a component's log."""
        log = self.log(component)
        details = tail(last_lines(log)) if component else ""
        name = self.layout.name
        more = hints.task("lab.logs", component, name=name) if component else hints.task("lab.status", name=name)
        return NotReady(message, hint=more, details=details)


def last_lines(path: Path, size: int = 16_384) -> str:
    """Return the end of a file, nothing where there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - size))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
