"""Where the lab's programs are: built from Go modules, or out of Debian packages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.errors import BuildFailed, Interrupted
from korthweb_tasks.lab.graph import Note, Work
from korthweb_tasks.provision import builder

#: what a control plane needs, and what a node needs beside it
SIMULATED = ("kubernetes", "kwok")
REAL = (*SIMULATED, "coredns", "kube-router", "metrics-server")
#: CLIs of the tasks that follow which come with no component above
CLIS = ("helm",)


class Programs:
    """Builds what is missing in the background; whoever needs a component waits for just that one."""

    def __init__(
        self,
        components: Sequence[str],
        tell: Callable[[str, str], None],
        *,
        keep_caches: bool,
        stop: threading.Event | None = None,
    ) -> None:
        """``tell`` is given a component and a line; the builds end when ``stop`` is set (here: ``stopped``)."""
        self.components = list(components)
        self.tell = tell
        self.keep_caches = keep_caches
        self.stopped = stop or threading.Event()
        #: component -> when its turn to compile came: what was before that is waiting
        self.begun: dict[str, float] = {}
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._build, name="builds", daemon=True)

    def start(self) -> None:
        """Begin building; returns at once."""
        self._thread.start()

    def works(self, missing: Iterable[str]) -> list[Work]:
        """Return a piece of work for each of these components; the wait for its turn is not part of it."""
        return [
            Work(f"build:{name}", f"build {name}", partial(self._built, name), begun=partial(self.begun.get, name))
            for name in missing
        ]

    def _built(self, component: str, _: Note) -> bool:
        self.folder(component)
        return True

    def folder(self, component: str) -> Path:
        """Return a component's folder once it is there; raises what its build raised."""
        while not builder.built(component):
            if self.stopped.is_set():
                raise Interrupted("interrupted")
            if self._fault:
                raise self._fault
            if not self._thread.is_alive():
                raise BuildFailed(f"{component} was not built", hint=hints.task("lab.up"))
            self._thread.join(0.2)
        return builder.folder(component)

    def finish(self, more: Sequence[str] = ()) -> None:
        """Wait for all components; then build those of ``more`` that are not among them."""
        for component in self.components:
            self.folder(component)
        self._build_all([component for component in more if component not in self.components])

    def _build_all(self, components: Sequence[str]) -> None:
        builder.build_all(
            components, progress=self._progress, keep_caches=self.keep_caches, stop=self.stopped, begun=self._begin
        )

    def _begin(self, name: str) -> None:
        self.begun[name] = time.monotonic()

    def _build(self) -> None:
        try:
            self._build_all(self.components)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for a component
            self._fault = error

    def _progress(self, name: str, line: str) -> None:
        if self.stopped.is_set():
            raise Interrupted("interrupted")
        self.tell(name, line)
