"""What a child writes to stderr, kept and passed on as it comes; and which processes a child has started."""

from __future__ import annotations

import codecs
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path


class Listener(threading.Thread):
    """Reads a child's stderr to its end."""

    def __init__(self, descriptor: int, heard: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self.descriptor, self.heard = descriptor, heard
        self.parts: list[str] = []

    @classmethod
    def on(cls, child: subprocess.Popen[str], heard: Callable[[str], None]) -> Listener:
        """Take the stderr of ``child``, which communicate() then leaves alone."""
        assert child.stderr is not None
        listener = cls(os.dup(child.stderr.fileno()), heard)
        child.stderr.close()
        child.stderr = None
        listener.start()
        return listener

    def run(self) -> None:
        """Read until nobody writes any more."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            while data := os.read(self.descriptor, 1 << 16):
                text = decoder.decode(data)
                self.parts.append(text)
                self.heard(text)
        finally:
            os.close(self.descriptor)

    def text(self) -> str:
        """Return what was written; somebody whom the child left behind does not keep us waiting."""
        self.join(1.0)
        return "".join(self.parts)


def descendants(pid: int) -> Iterator[int]:
    """Go through the processes that a process has started, the youngest generation first; Linux knows them."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield from descendants(child)
                yield child
