"""Try bad input, and judge how it ended."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bad_input.tries import Try
from tests.own_site import site_in

ROOT = Path(__file__).parents[2]
#: advice that can be tried: it changes nothing and needs no cluster
HARMLESS = ("config.check", "config.show", "config.keys", "context.list", "tools.list", "--list", "--help")


class Zygote:
    """A process that runs one try after the other."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.bad_input.zygote"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)

    def runs(self, argv: list[str], folder: Path, env: dict[str, str]) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"argv": argv, "cwd": str(folder), "env": env}) + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


def laid(folder: Path, what: Try) -> dict[str, str]:
    """Put the project of a try into the folder, and return its environment."""
    site = site_in(folder)
    for name, content in what.files.items():
        path = folder / name
        for taken in (path, path.parent):
            if taken.is_file():
                taken.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name, mode in what.modes.items():
        (folder / name).chmod(mode)
    state = {"KORTHWEB_STATE": str(folder / "state"), "KORTHWEB_CACHE": str(folder / "cache")}
    return {**site.environment, **state, "LANG": "C.UTF-8", **what.env}


def wrong(what: Try, seen: dict[str, Any]) -> str:
    """Return what is wrong with how a try ended, or nothing."""
    said = seen["err"]
    if seen["code"] is None:
        return f"still running after {seen['seconds']:.0f} s"
    if "Traceback" in said or "a fault of korthweb" in said:
        return "a traceback, or a fault of korthweb"
    if seen["code"] != what.code:
        return f"code {seen['code']} instead of {what.code}"
    if what.code == 0:
        return "" if what.says in seen["out"] + said else f"does not say {what.says!r}"
    if len(re.findall(r"^error: ", said, re.MULTILINE)) != 1:
        return "not one error"
    if what.says.lower() not in said.lower():
        return f"does not say {what.says!r}"
    return "" if "\nNext: " in said else "no advice"


def advice(said: str) -> list[str]:
    """Return the words of the command that is advised, where it can be tried."""
    found = re.search(r"^Next: .*?`?(korthweb [^`\n]+?)(`|$)", said, re.MULTILINE)
    words = shlex.split(found[1]) if found else []
    return words[1:] if len(words) > 1 and words[1] in HARMLESS else []


def faults(tries: Sequence[Try], zygote: Zygote, folder: Path, kubectl: Path | None = None) -> str:
    """Return what is wrong with how these tries ended; with ``kubectl`` in the place of the scripted one."""
    found = []
    for number, what in enumerate(tries):
        place = folder / str(number)
        place.mkdir()
        env = laid(place, what)
        if kubectl:
            env["KORTHWEB__TIMEOUTS__CONTACT"] = "1s"
            (place / "bin/kubectl").unlink()
            (place / "bin/kubectl").symlink_to(kubectl)
        seen = zygote.runs(list(what.argv), place, env)
        fault = wrong(what, seen)
        if not fault and (words := advice(seen["err"])):
            again = zygote.runs(words, place, env)
            fault = f"the advice fails as well: {words}: {again['err']}" if again["code"] not in (0, 7) else ""
        if fault:
            found.append(f"{what.name}: {fault}\n    {' '.join(what.argv)}\n{seen['err'] or seen['out']}")
        shutil.rmtree(place, ignore_errors=True)
    return "\n".join(found)
