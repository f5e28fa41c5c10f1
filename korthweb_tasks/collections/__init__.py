"""The namespace: one thin module per group of tasks, assembled here."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from invoke import Collection, Task

#: Groups of tasks in the order of a first day; helm and gitops appear with their modules.
GROUPS = ("lab", "manual", "helm", "gitops", "verify", "context", "config", "tools")
#: Modules whose tasks stand at the root of the namespace: ``korthweb demo``, ``korthweb test``.
ROOT = ("demo", "checks")


def assemble() -> Collection:
    """Return the root collection of every module that is there; a broken module is loud."""
    root = Collection()
    for name in ROOT:
        for task in _tasks(name):
            root.add_task(task)
    for name in GROUPS:
        if _exists(name):
            root.add_collection(Collection.from_module(import_module(f"{__name__}.{name}")), name)
    return root


def _tasks(name: str) -> list[Task]:  # type: ignore[type-arg]
    """Return the tasks that a module made itself, in the order of their names."""
    if not _exists(name):
        return []
    module = import_module(f"{__name__}.{name}")
    own = (value for value in vars(module).values() if isinstance(value, Task))
    return sorted((task for task in own if task.__module__ == module.__name__), key=lambda task: task.name)


def _exists(name: str) -> bool:
    return find_spec(f"{__name__}.{name}") is not None
