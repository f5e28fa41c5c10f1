"""What a person sees while it happens: a live table on a terminal, plain lines elsewhere. Always stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from korthweb_tasks.core.record import StepRecord, Verdict
from korthweb_tasks.errors import Interrupted

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.table import Table

#: verdict -> (mark, colour, word)
LOOKS: dict[Verdict, tuple[str, str, str]] = {
    "planned": ("·", "dim", "to do"),
    "same": ("=", "cyan", "already so"),
    "changed": ("✓", "green", "done"),
    "failed": ("✗", "red", "failed"),
    "skipped": ("-", "yellow", "left out"),
    "interrupted": ("!", "yellow", "interrupted"),
}


@dataclass
class Row:
    """One line of the live table."""

    title: str
    verdict: Verdict = "planned"
    began: float | None = None
    seconds: float = 0.0
    note: str = ""


@dataclass
class Console:
    """Tells a person what goes on. Thread-safe."""

    stream: IO[str] = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    _rows: dict[str, Row] = field(default_factory=dict, init=False)
    _live: Any = field(default=None, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    @property
    def terminal(self) -> bool:
        """Say whether a person is looking."""
        return self.stream.isatty() and not self.quiet

    def line(self, text: str, style: str = "") -> None:
        """Print one line, above the live table where there is one."""
        if self.quiet:
            return
        if live := self._live:
            # without our lock: rich takes its own here, and holds it when it asks _render for the table
            live.console.print(text, style=style or None, markup=False, highlight=False)
            return
        with self._lock:
            if self.terminal and style:
                _rich(self.stream).print(text, style=style, markup=False, highlight=False)
            else:
                print(text, file=self.stream, flush=True)

    @contextmanager
    def table(self, title: str) -> Iterator[None]:
        """Show the rows in a live table while the block runs; plain lines where no person looks."""
        if not self.terminal:
            self._rows = {}
            self.line(title)
            yield
            return
        from rich.live import Live

        self.line("")
        with self._lock:
            self._rows = {}
            self._live = Live(
                console=_rich(self.stream), get_renderable=lambda: self._render(title), refresh_per_second=4
            )
        try:
            with self._live:
                yield
        finally:
            self._live = None

    @contextmanager
    def live(self, render: Callable[[], Any]) -> Iterator[None]:
        """Show what ``render`` returns, anew four times a second, while the block runs; lines go above it."""
        from rich.live import Live

        self.line("")
        self._live = Live(console=_rich(self.stream), get_renderable=render, refresh_per_second=4)
        try:
            with self._live:
                yield
        finally:
            self._live = None

    def row(self, name: str, title: str) -> None:
        """Announce a row."""
        with self._lock:
            self._rows[name] = Row(title)

    def begin(self, name: str, title: str) -> None:
        """Mark a row as being worked on."""
        with self._lock:
            row = self._rows.setdefault(name, Row(title))
            row.began = time.monotonic()

    def note(self, name: str, text: str) -> None:
        """Say what a row is doing or waiting for."""
        with self._lock:
            row = self._rows.setdefault(name, Row(name))
            if text == row.note:
                return
            row.note = text
            if not self._live:
                self.line(f"  … {row.title}: {text}")

    def end(self, record: StepRecord) -> None:
        """Show how a row ended."""
        with self._lock:
            row = self._rows.setdefault(record.name, Row(record.title))
            row.verdict, row.seconds, row.note = record.verdict, record.seconds, record.detail
            row.began = None
            if not self._live:
                mark, _, word = LOOKS[record.verdict]
                detail = f"  {record.detail}" if record.detail else ""
                self.line(f"  {mark} {row.title}: {word} ({record.seconds:.1f} s){detail}")

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        """Show one row for a longer piece of work outside of a plan (a build, an image)."""
        began = time.monotonic()
        self.begin(title, title)
        verdict: Verdict = "failed"
        task = Task(lambda text: self.note(title, text))
        try:
            yield task
            verdict = "changed"
        except (KeyboardInterrupt, Interrupted):
            verdict = "interrupted"
            raise
        finally:
            record = StepRecord(title, title, verdict=verdict, end=time.monotonic() - began)
            self.end(record if verdict != "changed" else replace(record, detail=task.result))

    def progress(self, text: str) -> None:
        """Print one line of progress: the callback that long work takes."""
        self.line(f"  {text}")

    def _render(self, title: str) -> Table:
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            table = Table(
                title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
            )
            for column, options in (("", {"width": 2}), ("", {"no_wrap": True}), ("", {"justify": "right"}), ("", {})):
                table.add_column(column, **options)
            for row in self._rows.values():
                mark, colour, _ = LOOKS[row.verdict]
                if row.began is not None:
                    spin = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(time.monotonic() * 4) % 10]
                    mark, colour = spin, "bold blue"
                seconds = time.monotonic() - row.began if row.began is not None else row.seconds
                took = f"{seconds:.1f} s" if seconds else ""
                table.add_row(
                    Text(mark, style=colour), Text(row.title, style=colour), took, Text(row.note[:160], style="dim")
                )
            return table


@dataclass
class Task:
    """A running piece of work; ``result`` is shown at its end."""

    update: Callable[[str], None]
    result: str = ""


def _rich(stream: IO[str]) -> RichConsole:
    from rich.console import Console as RichConsole

    return RichConsole(file=stream, highlight=False)
