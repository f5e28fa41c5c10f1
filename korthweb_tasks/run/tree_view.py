"""The tree as a person sees it grow: live on a terminal, one line for each change elsewhere. Always stderr."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from korthweb_tasks.core.tree import Cause, Ref, State, Tree, lines_of

if TYPE_CHECKING:
    from rich.text import Text

    from korthweb_tasks.run.console import Console

#: state -> (mark, colour)
MARKS: dict[State, tuple[str, str]] = {
    "ready": ("✓", "green"),
    "waiting": ("…", "blue"),
    "failed": ("✗", "red"),
    "suspended": ("-", "yellow"),
    "blocked": ("·", "dim"),
}
#: seconds for which something has to stay before it is worth a line of its own
DWELL = 2.0


@dataclass
class TreeView:
    """Shows a tree on a console."""

    console: Console
    _tree: Tree = field(default_factory=Tree, init=False)
    _title: str = field(default="", init=False)
    _seconds: float = field(default=0.0, init=False)
    _ready: set[str] = field(default_factory=set, init=False)
    _told: dict[Ref, tuple[Ref, str]] = field(default_factory=dict, init=False)
    _since: dict[tuple[Ref, Ref, str], float] = field(default_factory=dict, init=False)

    @contextmanager
    def opened(self, title: str) -> Iterator[None]:
        """Show the tree while the block runs."""
        self._title = title
        if not self.console.terminal:
            self.console.line(title)
            yield
            return
        with self.console.live(self._render):
            yield

    def show(self, tree: Tree, seconds: float) -> None:
        """Take in how it is now; ``seconds`` since the beginning."""
        self._tree, self._seconds = tree, seconds
        if not self.console.terminal:
            self._lines(tree, seconds)

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.line(f"  {text}")

    def _lines(self, tree: Tree, seconds: float) -> None:
        for step in tree.steps:
            cause = tree.causes.get(step.ref)
            if step.state == "ready" and not cause:
                if step.name not in self._ready:
                    self._ready.add(step.name)
                    self.console.line(f"  ✓ {step.title}: ready ({seconds:.1f} s)")
                self._told.pop(step.ref, None)
                continue
            self._ready.discard(step.name)
            if cause and step.state != "blocked":
                self._line(step.ref, cause, seconds)

    def _line(self, ref: Ref, cause: Cause, seconds: float) -> None:
        """Say why something is not ready, once that has stayed a moment."""
        now = (cause.ref, cause.message)
        since = self._since.setdefault((ref, *now), seconds)
        if self._told.get(ref) != now and seconds - since >= DWELL:
            self._told[ref] = now
            deeper = f"{cause.ref}: " if cause.ref != ref else ""
            self.console.line(f"  {MARKS[cause.state][0]} {ref.kind} {ref.name}: {deeper}{cause.message}")

    def _render(self) -> Text:
        from rich.text import Text

        size = shutil.get_terminal_size()
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{self._title}  {self._seconds:.0f} s\n", style="bold")
        lines = list(lines_of(self._tree))
        room = max(size.lines - 3, 5)
        if len(lines) > room:  # what is not ready matters more than what is
            lines = [line for line in lines if line[1] != "ready"][:room] or lines[:room]
        for indent, state, words, why in lines:
            mark, colour = MARKS[state]
            text.append(f"{'  ' * indent}{mark} {words}", style=colour)
            text.append(f"  {why}\n" if why else "\n", style="dim")
        return text
