"""The namespace: one thin module per group of tasks, assembled here."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from invoke import Collection, Task

from korthweb_tasks.settings.approaches import APPROACHES

#: Groups of tasks in the order of a first day.
GROUPS = ("lab", *APPROACHES, "verify", "ci", "cli", "context", "rbac", "config", "tools")
#: The tasks of each group in the order in which one uses them.
ORDER: dict[str, tuple[str, ...]] = {
    "lab": ("up", "status", "logs", "down", "prune"),
    "manual": (
        "check",
        "render",
        "diff",
        "deploy",
        "install-istio",
        "install-cert-manager",
        "install-observability",
        "configure",
        "issue-certificates",
        "install-postgres",
        "install-orthanc",
        "status",
        "credentials",
        "destroy",
    ),
    "helm": (
        "check",
        "dependencies",
        "lint",
        "template",
        "diff",
        "deploy",
        "status",
        "credentials",
        "test",
        "history",
        "rollback",
        "package",
        "destroy",
    ),
    "gitops": (
        "check",
        "render",
        "bootstrap",
        "status",
        "wait",
        "explain",
        "logs",
        "credentials",
        "diff",
        "deploy",
        "configure",
        "reconcile",
        "suspend",
        "resume",
        "add-tenant",
        "remove-tenant",
        "destroy",
    ),
    "verify": ("all", "https", "dicom", "certificates", "isolation"),
    "ci": ("diff", "comment", "plan", "apply"),
    "cli": ("kubectl", "helm", "istioctl", "flux"),
    "context": ("list", "use", "show", "ci-account"),
    "rbac": ("render",),
    "config": ("init", "keys", "schema", "check", "show"),
    "tools": ("list", "install"),
}
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
            root.add_collection(_ordered(Collection.from_module(import_module(f"{__name__}.{name}")), name), name)
    return root


def _ordered(group: Collection, name: str) -> Collection:
    """Put the tasks of a group into the order of use; one that is not in the table comes last."""
    order = ORDER[name]
    tasks: dict[str, Task] = dict(group.tasks)  # type: ignore[type-arg]
    group.tasks.clear()
    for known in sorted(tasks, key=lambda one: order.index(one) if one in order else len(order)):
        group.tasks[known] = tasks[known]
    return group


def _tasks(name: str) -> list[Task]:  # type: ignore[type-arg]
    """Return the tasks that a module made itself, in the order of their names."""
    if not _exists(name):
        return []
    module = import_module(f"{__name__}.{name}")
    own = (value for value in vars(module).values() if isinstance(value, Task))
    return sorted((task for task in own if task.__module__ == module.__name__), key=lambda task: task.name)


def _exists(name: str) -> bool:
    return find_spec(f"{__name__}.{name}") is not None
