"""Run korthweb many times, fast: one process that has everything imported, and a fork of it for each try.

Reads a line of JSON for each try ({"argv": [...], "cwd": "...", "env": {...}}) and answers with one
({"code": 2, "out": "...", "err": "...", "seconds": 0.1}); a try that hangs is ended after its limit, with code null.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from typing import Any

LIMIT = 20.0


def child(order: dict[str, Any], out: int, err: int) -> None:
    """Be korthweb, with these words, in this folder and environment."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    from korthweb_tasks.main import program

    sys.argv = ["korthweb", *order["argv"]]
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    program.run(["korthweb", *order["argv"]])


def ended(pid: int, limit: float) -> int | None:
    """Wait for the child; return its code, or None where it had to be ended."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if (found := os.waitpid(pid, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(found[1])
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def tried(order: dict[str, Any]) -> dict[str, Any]:
    """Run one try and say how it ended."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                child(order, out.fileno(), err.fileno())
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:  # noqa: BLE001  # a fault is an answer, too
                import traceback

                traceback.print_exc()
                code = 1
            finally:
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()
                os._exit(code)
        code_ = ended(pid, LIMIT)
        out.seek(0)
        err.seek(0)
        said = {"out": out.read().decode("utf-8", "replace"), "err": err.read().decode("utf-8", "replace")}
    return {"code": code_, **said, "seconds": time.monotonic() - began}


def main() -> None:
    """Answer tries until stdin ends."""
    import korthweb_tasks.main
    import korthweb_tasks.settings.load
    import korthweb_tasks.settings.model

    assert korthweb_tasks.main.program
    for line in sys.stdin:
        print(json.dumps(tried(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
