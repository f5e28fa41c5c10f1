"""Compares ``Runner.run`` with ``subprocess.run`` on /bin/true: what korthweb adds to each command it runs.

``.venv/bin/python bench/runner_cost.py [times]``. Prints the ratio of one run; wanted: at most 15 ms more per command.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from korthweb_tasks.core.command import Command
from korthweb_tasks.run.runner import Runner

WANTED_MS = 15.0


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main() -> int:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    command, runner = Command(argv=("/bin/true",)), Runner()
    repeatable = Command(argv=("/bin/true",), repeatable=True)
    ways: dict[str, Callable[[], object]] = {
        "subprocess.run": lambda: subprocess.run(
            ["/bin/true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        ),
        "Runner.run": lambda: runner.run(command),
        "  repeatable": lambda: runner.run(repeatable),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for work in ways.values():
        work()  # late imports do not count
    for _ in range(times):
        for name, work in ways.items():
            took[name].append(milliseconds(work))
    base = statistics.fmean(took["subprocess.run"])
    for name, values in took.items():
        mean = statistics.fmean(values)
        print(f"{name:<16} {mean:6.2f} ms   {mean / base:5.2f} x   {mean - base:+6.2f} ms each")
    print(f"wanted           at most {WANTED_MS:+.2f} ms each; mean of {times}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
