"""Compares ``inv --list`` with the same program over one empty task, and names heavy libraries that got loaded.

Run it in a checkout: ``.venv/bin/python bench/list_speed.py [rounds]``. Prints ratios of one run; wanted: at most 1.5.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = ("fabric", "paramiko", "pynetdicom", "pydicom", "jinja2", "pydantic", "httpx", "cryptography", "rich", "yaml")
EMPTY = 'from invoke import task\n\n\n@task\ndef nothing(c):\n    """Do nothing."""\n'
WANTED = 1.5


def seconds(words: list[str], cwd: Path) -> float:
    began = time.perf_counter()
    subprocess.run(words, cwd=cwd, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def loaded(words: list[str], cwd: Path) -> set[str]:
    """Return the top-level modules that the program loads, by Python's own account."""
    account = subprocess.run(
        [words[0], "-X", "importtime", *words[1:]], cwd=cwd, capture_output=True, text=True, check=True
    ).stderr
    lines = (line.rpartition("|")[2].strip() for line in account.splitlines())
    return {line.split(".")[0] for line in lines if line}


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    inv = [sys.executable, "-m", "invoke", "--list"]
    console = [sys.executable, "-c", "from korthweb_tasks.main import program; program.run(['korthweb', '--list'])"]
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder)
        (empty / "tasks.py").write_text(EMPTY, encoding="utf-8")
        for words, place in ((inv, empty), (inv, ROOT), (console, ROOT)):  # bytecode is compiled before it counts
            seconds(words, place)
        took: dict[str, list[float]] = {"one empty task": [], "inv --list": [], "korthweb --list": []}
        for _ in range(rounds):
            took["one empty task"].append(seconds(inv, empty))
            took["inv --list"].append(seconds(inv, ROOT))
            took["korthweb --list"].append(seconds(console, ROOT))
        yaml_anyway = loaded(inv, empty) & set(HEAVY)
    base = statistics.median(took["one empty task"])
    for name, times in took.items():
        middle = statistics.median(times)
        print(f"{name:<16} {middle * 1000:7.1f} ms   {middle / base:5.2f} x   (best {min(times) * 1000:.1f} ms)")
    print(f"wanted           at most {WANTED} x, median of {rounds}, {os.cpu_count()} CPUs")
    print(f"heavy libraries loaded by inv --list: {' '.join(sorted(loaded(inv, ROOT) & set(HEAVY))) or 'none'}")
    print(f"heavy libraries loaded by Invoke itself: {' '.join(sorted(yaml_anyway)) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
