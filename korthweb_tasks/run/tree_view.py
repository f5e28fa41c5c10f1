"""The tree as a person sees it grow: live on a terminal, one line for each change elsewhere. Always stderr."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from korthweb_tasks.core.durations import duration
from korthweb_tasks.core.tree import Ref, State, Tree, lines_of
from korthweb_tasks.run.console import BEAT

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
#: seconds for which a fault, and what is only slow, have to stay before they are worth a line
DWELL, SLOW = 2.0, 10.0


@dataclass
class TreeView:
    """Shows a tree on a console."""

    console: Console
    _tree: Tree = field(default_factory=Tree, init=False)
    _title: str = field(default="", init=False)
    _seconds: float = field(default=0.0, init=False)
    _ready: set[str] = field(default_factory=set, init=False)
    _told: set[tuple[Ref, str]] = field(default_factory=set, init=False)
    _since: dict[tuple[Ref, str], float] = field(default_factory=dict, init=False)
    _signed: float = field(default=0.0, init=False)

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
        """Tell which steps got ready, and each deepest cause once, when it has stayed a moment."""
        for step in tree.steps:
            ready = step.state == "ready" and step.ref not in tree.causes
            if ready and step.name not in self._ready:
                self.console.line(f"  ✓ {step.title}: ready ({duration(seconds)})")
            if ready:
                self._ready.add(step.name)
            elif not ((cause := tree.causes.get(step.ref)) and cause.busy):  # to be looked at again is no news
                self._ready.discard(step.name)
        if tree.steps and seconds - self._signed >= BEAT:
            self._signed = seconds
            self.console.line(f"  … {len(self._ready)} of {len(tree.steps)} ready ({duration(round(seconds))})")
        causes = {(cause.ref, cause.message): cause for cause in tree.causes.values() if not cause.busy}
        self._since = {what: self._since.get(what, seconds) for what in causes}
        for what, cause in causes.items():
            stays = DWELL if cause.state == "failed" else SLOW
            if what not in self._told and seconds - self._since[what] >= stays:
                self._told.add(what)
                self.console.line(f"  {MARKS[cause.state][0]} {cause.ref}: {cause.message}")

    def _render(self) -> Text:
        from rich.text import Text

        size = shutil.get_terminal_size()
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{self.console.clean(self._title)}  {duration(round(self._seconds))}\n", style="bold")
        lines = list(lines_of(self._tree))
        room = max(size.lines - 3, 5)
        if len(lines) > room:  # what is not ready matters more than what is
            lines = [line for line in lines if line[1] != "ready"][:room] or lines[:room]
        for indent, state, words, why in lines:
            mark, colour = MARKS[state]
            text.append(f"{'  ' * indent}{mark} {self.console.clean(words)}", style=colour)
            text.append(f"  {self.console.clean(why)}\n" if why else "\n", style="dim")
        return text
