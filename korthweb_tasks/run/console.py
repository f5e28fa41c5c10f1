"""What a person sees while it happens: a live table on a terminal, plain lines elsewhere. Always stderr."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from korthweb_tasks.core.durations import duration
from korthweb_tasks.core.plaintext import masked, printable
from korthweb_tasks.core.record import StepRecord, Verdict
from korthweb_tasks.errors import Interrupted

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.table import Table

#: the name that what is printed has in errors
STDOUT = "standard output"
#: verdict -> (mark, colour, word)
LOOKS: dict[Verdict, tuple[str, str, str]] = {
    "planned": ("·", "dim", "to do"),
    "unchanged": ("=", "cyan", "unchanged"),
    "changed": ("✓", "green", "done"),
    "failed": ("✗", "red", "failed"),
    "skipped": ("-", "yellow", "not begun"),
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
    noted: float = 0.0


#: seconds between two signs of life where no person looks, and between two looks whether one is due
BEAT, PULSE = 60.0, 5.0
#: rows that a sign of life tells of
TOLD = 3
_NUMBER = re.compile(r"[0-9]+")


@dataclass
class Console:
    """Tells a person what goes on. Thread-safe.

    A terminal has a live table. Elsewhere there is a line where a row has ended, and once a minute one with what is
    being worked on.
    """

    stream: IO[str] = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    masks: tuple[str, ...] = field(default=(), repr=False)
    clock: Callable[[], float] = time.monotonic
    _rows: dict[str, Row] = field(default_factory=dict, init=False)
    _live: Any = field(default=None, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    _signed: float = field(default=0.0, init=False, repr=False)
    _heart: threading.Thread | None = field(default=None, init=False, repr=False)
    #: what was told of progress, without its numbers -> when
    _progress: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    @property
    def terminal(self) -> bool:
        """Return True if a person is looking."""
        return self.stream.isatty() and not self.quiet

    def line(self, text: str, style: str = "") -> None:
        """Print one line, above the live table where there is one."""
        if self.quiet:
            return
        text = self.clean(text)
        if live := self._live:
            # without our lock: rich takes its own here, and holds it when it asks _render for the table
            live.console.print(text, style=style or None, markup=False, highlight=False)
            return
        with self._lock:
            if self.terminal and style:
                _rich(self.stream).print(text, style=style, markup=False, highlight=False)
            else:
                print(text, file=self.stream, flush=True)

    def clean(self, text: str) -> str:
        """Return ``text`` as a person may see it: without secrets, and without anything that a terminal obeys."""
        return printable(masked(text, self.masks))

    @contextmanager
    def table(self, title: str) -> Iterator[None]:
        """Show the rows in a live table while the block runs; plain lines where no person looks."""
        title = self.clean(title)
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
            self._rows[name] = Row(self.clean(title))

    def begin(self, name: str, title: str) -> None:
        """Mark a row as being worked on."""
        with self._lock:
            row = self._rows.setdefault(name, Row(self.clean(title)))
            if not self._working():
                self._signed = self.clock()
            row.began = row.noted = self.clock()
            self._keep_alive()

    def note(self, name: str, text: str) -> None:
        """Say what a row is doing or waiting for."""
        with self._lock:
            row = self._rows.setdefault(name, Row(name))
            if text != row.note:
                row.note, row.noted = self.clean(text), self.clock()
            self._sign()

    def drop(self, name: str) -> None:
        """Take a row away: how it ended is told elsewhere."""
        with self._lock:
            self._rows.pop(name, None)

    def end(self, record: StepRecord) -> None:
        """Show how a row ended."""
        with self._lock:
            row = self._rows.setdefault(record.name, Row(self.clean(record.title)))
            row.verdict, row.seconds, row.note = record.verdict, record.seconds, self.clean(record.detail)
            row.began = None
            if not self._live:
                mark, _, word = LOOKS[record.verdict]
                detail = f"  {record.detail}" if record.detail else ""
                self.line(f"  {mark} {row.title}: {word} ({duration(record.seconds)}){detail}")

    @contextmanager
    def task(self, title: str) -> Iterator[Task]:
        """Show one row for a longer piece of work outside of a plan (a build, an image)."""
        began = self.clock()
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
            record = StepRecord(title, title, verdict=verdict, end=self.clock() - began)
            self.end(record if verdict != "changed" else replace(record, detail=task.result))

    def progress(self, text: str) -> None:
        """Print one line of progress, the callback that long work takes: what differs in numbers once a minute."""
        kind, now = _NUMBER.sub("", text), self.clock()
        with self._lock:
            told = kind in self._progress and now - self._progress[kind] < BEAT
            if not told:
                self._progress[kind] = now
        if not told:
            self.line(f"  {text}")

    def _working(self) -> list[Row]:
        """Return the rows that are worked on, what moved last first."""
        return sorted((row for row in self._rows.values() if row.began is not None), key=lambda row: -row.noted)

    def _sign(self) -> bool:
        """Print a sign of life where one is due; return whether anything is worked on."""
        with self._lock:
            rows, now = self._working(), self.clock()
            if rows and not self._live and now - self._signed >= BEAT:
                self._signed = now
                self.line(f"  … {_at_work(rows, now)}")
            return bool(rows)

    def _keep_alive(self) -> None:
        """Look now and then whether a sign of life is due: much work tells nothing meanwhile."""
        if self._live or self.quiet or (self._heart and self._heart.is_alive()):
            return

        def beat() -> None:
            time.sleep(PULSE)
            while self._sign():
                time.sleep(PULSE)

        self._heart = threading.Thread(target=beat, name="signs of life", daemon=True)
        self._heart.start()

    def _render(self, title: str) -> Table:
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            table = Table(
                title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
            )
            for column, options in (("", {"width": 2}), ("", {"no_wrap": True}), ("", {"justify": "right"}), ("", {})):
                table.add_column(column, **options)
            for row in self._rows.values():
                mark, colour, _ = LOOKS[row.verdict]
                if row.began is not None:
                    spin = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(time.monotonic() * 4) % 10]
                    mark, colour = spin, "bold blue"
                seconds = self.clock() - row.began if row.began is not None else row.seconds
                took = duration(seconds) if seconds else ""
                table.add_row(
                    Text(mark, style=colour), Text(row.title, style=colour), took, Text(row.note[:160], style="dim")
                )
            return table


@dataclass
class Task:
    """A running piece of work; ``result`` is shown at its end."""

    update: Callable[[str], None]
    result: str = ""


def _at_work(rows: Sequence[Row], now: float) -> str:
    """Return what is being worked on as one line."""
    told = [f"{row.title}: {row.note}" if row.note else f"{row.title} ({_since(row, now)})" for row in rows[:TOLD]]
    more = [f"{len(rows) - TOLD} more"] if len(rows) > TOLD else []
    return "; ".join([*told, *more])


def _since(row: Row, now: float) -> str:
    return duration(round(now - (now if row.began is None else row.began)))


def say(text: str, *, end: str = "\n", to: IO[str] | None = None) -> None:
    """Print on stdout (or ``to``) as it may reach a terminal: what clusters, servers, files and pods wrote is in it."""
    try:
        print(printable(text), end=end, file=to or sys.stdout, flush=True)
    except OSError as error:
        error.filename = error.filename or STDOUT
        raise


def _rich(stream: IO[str]) -> RichConsole:
    from rich.console import Console as RichConsole

    return RichConsole(file=stream, highlight=False)
