"""korthweb as a library: the groups of tasks for a tasks.py of one's own, and what they are made of.

::

    from invoke import Collection, call, task
    from korthweb_tasks import errors, manual, verify

    @task(pre=[call(manual.install_istio, context="hospital-a")], post=[verify.dicom])
    def bring(c):
        report = manual.deploy(c, context="hospital-a", tenant="BHC", yes=True)

    namespace = Collection(bring)
    namespace.add_collection(manual)

Everything here is loaded when it is first asked for.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from korthweb_tasks import errors as errors
    from korthweb_tasks.collections import assemble as namespace
    from korthweb_tasks.collections import ci as ci
    from korthweb_tasks.collections import cli as cli
    from korthweb_tasks.collections import config as config
    from korthweb_tasks.collections import context as context
    from korthweb_tasks.collections import gitops as gitops
    from korthweb_tasks.collections import helm as helm
    from korthweb_tasks.collections import lab as lab
    from korthweb_tasks.collections import manual as manual
    from korthweb_tasks.collections import tools as tools
    from korthweb_tasks.collections import verify as verify
    from korthweb_tasks.collections.clusters import cluster as cluster
    from korthweb_tasks.collections.rows import Executor as Executor
    from korthweb_tasks.settings.load import load as load

_GROUPS = ("manual", "helm", "gitops", "verify", "lab", "ci", "cli", "context", "config", "tools")
#: what is no group: its name -> the module that has it, and its name there
_LATE = {
    "Executor": ("korthweb_tasks.collections.rows", "Executor"),
    "cluster": ("korthweb_tasks.collections.clusters", "cluster"),
    "load": ("korthweb_tasks.settings.load", "load"),
    "namespace": ("korthweb_tasks.collections", "assemble"),
}
__all__ = [
    "Executor",
    "ci",
    "cli",
    "cluster",
    "config",
    "context",
    "errors",
    "gitops",
    "helm",
    "lab",
    "load",
    "manual",
    "namespace",
    "tools",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("korthweb_tasks.errors")
    if name in _LATE:
        module, there = _LATE[name]
        return getattr(import_module(module), there)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _group(name: str) -> property:
    def get(_: ModuleType) -> ModuleType:
        return import_module(f"korthweb_tasks.collections.{name}")

    def ignore(_: ModuleType, module: ModuleType) -> None:
        """Let the import of a room of this name (korthweb_tasks.lab) not take the place of the tasks."""

    return property(get, ignore)


class _Library(ModuleType):
    """This package: a group of tasks stays what its name means, though a room inside has the same one."""


for _name in _GROUPS:
    setattr(_Library, _name, _group(_name))
sys.modules[__name__].__class__ = _Library
