"""The paths of the CLIs, for a runner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from korthweb_tasks.provision.tools import locate

if TYPE_CHECKING:
    from korthweb_tasks.provision.tools import Source


class Programs(Mapping[str, str]):
    """Paths of the CLIs, looked for (and made) once, when one is first needed; several threads may ask."""

    NAMES = ("kubectl", "helm", "istioctl", "flux", "sops", "age-keygen")

    def __init__(
        self,
        source: Source,
        tell: Callable[[str], None],
        *,
        stop: threading.Event | None = None,
        keep_caches: bool = False,
    ) -> None:
        """Look for programs in ``source``; ``tell`` is given lines while one has to be fetched or built first.

        Such a download or build ends when ``stop`` is set; its caches go afterwards, unless ``keep_caches``.
        """
        self.source, self.tell = source, tell
        self.stop, self.keep_caches = stop, keep_caches
        self._found: dict[str, str] = {}
        self._locks = {name: threading.Lock() for name in self.NAMES}

    def __getitem__(self, name: str) -> str:
        """Return the path of a CLI; raises ToolMissing, Interrupted, and KeyError for a name that is none."""
        if name not in self.NAMES:
            raise KeyError(name)
        with self._locks[name]:
            if name not in self._found:
                located = locate(
                    name, source=self.source, progress=self.tell, stop=self.stop, keep_caches=self.keep_caches
                )
                self._found[name] = str(located.path)
            return self._found[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self.NAMES)

    def __len__(self) -> int:
        """Count the names."""
        return len(self.NAMES)
