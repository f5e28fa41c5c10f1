"""Modules that upstream only builds after generating files: a copy of the module, completed by a generator of ours."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

from korthweb_tasks.errors import BuildFailed, tail
from korthweb_tasks.provision import calling, compiling, gotool
from korthweb_tasks.provision.recipes import BUILD_FLAGS, Recipe

#: the copy, seen from the work folder
COPY = "patched"
#: seconds that the download of the sources may take
FETCH_SECONDS = 1800


def patch(wanted: Recipe, go: gotool.Go, work: Path, stop: threading.Event) -> None:
    """Where ``wanted`` is built from a patched module, put the copy into ``work``, complete it, and build from it."""
    if not wanted.patched:
        return
    folders = fetched(wanted, go, work, stop)
    shutil.copytree(folders[wanted.patched], work / COPY, copy_function=shutil.copyfile)
    for path in (work / COPY, *(work / COPY).rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    inputs = [f"{name}={folders[module.partition('@')[0]]}" for name, module in wanted.inputs]
    argv = [str(go.path), "run", *BUILD_FLAGS, "./generate", COPY, *inputs]
    compiling.run(argv, wanted.name, work, "build", lambda _: None, stop)
    compiling.edit(go, work, f"-replace={wanted.patched}=./{COPY}", stop)


def fetched(wanted: Recipe, go: gotool.Go, work: Path, stop: threading.Event) -> dict[str, Path]:
    """Return module → folder of the patched module and its inputs, downloaded and checked against go.sum."""
    listed = json.loads(compiling.edit(go, work, "-json", stop))
    version = next(one["Version"] for one in listed["Require"] if one["Path"] == wanted.patched)
    modules = [f"{wanted.patched}@{version}", *(module for _, module in wanted.inputs)]
    argv = [str(go.path), "mod", "download", "-json", *modules]
    done = calling.captured(argv, seconds=FETCH_SECONDS, cwd=work, env=gotool.environment(), stop=stop)
    if done.returncode:
        raise BuildFailed(
            f"downloading what {wanted.name} is made from failed", details=tail(done.stderr + done.stdout)
        )
    known = set((work / "go.sum").read_text(encoding="utf-8").splitlines())
    folders = {}
    for one in _objects(done.stdout):
        if f"{one['Path']} {one['Version']} {one['Sum']}" not in known:
            raise BuildFailed(f"{one['Path']} {one['Version']} is not what modules/{wanted.name}/go.sum says")
        folders[one["Path"]] = Path(one["Dir"])
    return folders


def _objects(text: str) -> list[dict[str, str]]:
    """Return the JSON objects that ``go mod download`` prints one after the other."""
    decoder = json.JSONDecoder()
    objects: list[dict[str, str]] = []
    while text := text.lstrip():
        item, end = decoder.raw_decode(text)
        objects.append(item)
        text = text[end:]
    return objects
