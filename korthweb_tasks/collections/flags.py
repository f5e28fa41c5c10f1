"""The one decorator of korthweb's tasks: the flags that mean the same everywhere, help, and clear errors."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import invoke

from korthweb_tasks.collections.errors_out import stays_typed
from korthweb_tasks.collections.file_errors import refuse_paths
from korthweb_tasks.core import hints
from korthweb_tasks.core.words import refuse_empty
from korthweb_tasks.run.answer import Answer, answering

if TYPE_CHECKING:
    InvokeTask = invoke.Task
else:

    class InvokeTask(invoke.Task):
        """Invoke's Task, which takes the two parameters that its published types have."""

        __class_getitem__ = classmethod(lambda cls, _: cls)


R_co = TypeVar("R_co", covariant=True)

_SETTINGS = {"settings": "this settings file (default: the nearest korthweb.yaml, here or above)"}
_OUTPUT = {"output": "text or json"}
_CLUSTER = {
    "context": "a cluster of korthweb.yaml, a kubeconfig context, or korthweb-<lab> (default: what context.use chose)",
    "tenant": "only this tenant, by its name (default: all of them)",
    "timeout": "for each step: seconds, or 90s, 10m, 1h (default: timeouts.step of the settings, 10m)",
}
_MANY = {"contexts": "several clusters, with commas: side by side, one table, the worst exit code (default: one)"}
_CHANGING = {
    "dry_run": "show what would be done, change nothing",
    "yes": "do not ask",
}
_DEFAULTS: dict[str, Any] = {
    "context": None,
    "contexts": None,
    "tenant": None,
    "dry_run": False,
    "yes": False,
    "timeout": None,
    "output": "text",
    "settings": None,
}
#: the name of the program in an example, which is shown under the one it was started by
_EXAMPLE = re.compile(r"^(inv|korthweb)(?= )")
_KIND = inspect.Parameter.POSITIONAL_OR_KEYWORD


class Task(InvokeTask[Any, R_co]):
    """An Invoke task whose body works with a session, and whose common flags are added to the body's own words.

    It composes as any task of Invoke does: as ``pre`` and ``post``, by ``call()``, in a collection of one's own, and
    as a function that takes a context and returns what the body returns (a Report, or data)::

        @task(pre=[manual.check, call(manual.install_istio, context="hospital-a")])
        def bring(c):
            report = manual.deploy(c, tenant="BHC", yes=True)

    What the body raises stays typed (korthweb_tasks.errors). Two tasks are equal only if they are the same body under
    the same name: Invoke leaves out a task that equals one which is in the row already.
    """

    def __init__(
        self,
        body: Callable[..., R_co],
        *,
        cluster: bool = True,
        common: Mapping[str, str],
        example: str,
        help: Mapping[str, str] | None = None,  # noqa: A002 - Invoke's own name
        positional: Iterable[str] | None = None,
        **words: Any,
    ) -> None:
        own = list(inspect.signature(body).parameters.values())[1:]
        names = {parameter.name for parameter in own}
        self.cluster = cluster
        self.flags = tuple(flag for flag in common if flag not in names)
        added = [inspect.Parameter(flag, _KIND, default=_DEFAULTS[flag]) for flag in self.flags]
        self.words = inspect.Signature([*own, *added])
        given = {**{flag: common[flag] for flag in self.flags}, **(help or {})}
        texts = {name: _with_default(text, self.words.parameters.get(_spelt(name))) for name, text in given.items()}
        self.texts = {_spelt(name): text for name, text in texts.items()}  # Invoke takes its own away
        super().__init__(body, help=texts, auto_shortflags=False, positional=positional, **words)
        self.__signature__ = self.words.replace(parameters=[inspect.Parameter("c", _KIND), *own, *added])
        self.example = _EXAMPLE.sub(hints.program(), example)
        self.text = inspect.cleandoc(body.__doc__ or "")
        self.usage = " ".join([*self.example.split()[:2], *(name.upper() for name in self.positional), "[flags]"])
        usage = f"\n\nUsage: {self.usage}" if self.positional else ""  # which Invoke shows as flags
        self.__doc__ = f"{self.text}{usage}\n\nExample: {self.example}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and (self.body, self.name) == (other.body, other.name)

    def __hash__(self) -> int:
        return hash((self.body, self.name))

    def argspec(self, body: object) -> inspect.Signature:  # noqa: ARG002 - Invoke asks for the body's
        """Return the words that Invoke's parser takes; one that is not typed is None, which tells it from empty."""
        empty = (p.replace(default=None) if p.default == "" else p for p in self.words.parameters.values())
        return self.words.replace(parameters=list(empty))

    def __call__(self, *args: Any, **kwargs: Any) -> R_co:
        """Run the body with a session that is opened for ``args[0]``, an Invoke context, and return what it returns."""
        if not args or not isinstance(args[0], invoke.Context):
            given = type(args[0]).__name__ if args else "nothing"
            raise TypeError(f"{self.name}() takes an invoke.Context first, not {given}")
        bound = self.words.bind(*args[1:], **kwargs)
        with stays_typed(), answering(self._answer(bound.arguments)) as answer, stays_typed(answer.fail):
            from korthweb_tasks.services.session import Session

            words = self._meant(bound.arguments)
            refuse_paths(words)
            many = words.pop("contexts", None)
            if many:
                several: R_co = self._on_each(args[0], many, words)
                return several
            shared = {flag: words.pop(flag) for flag in self.flags if flag != "contexts"}
            result: R_co = Session.open(args[0], cluster=self.cluster, **shared).run(self.body, words, _flags_of)
        self.times_called += 1
        return result

    def _on_each(self, c: invoke.Context, contexts: str, words: Mapping[str, Any]) -> Any:
        """Run the task on each of several clusters, and return their documents by the clusters' names."""
        from korthweb_tasks.services import many
        from korthweb_tasks.services.session import Session

        session = Session.open(c, cluster=False, output=words["output"], settings=words["settings"])
        default = {name: parameter.default for name, parameter in self.words.parameters.items()}
        given = {name: value for name, value in words.items() if value != default[name]}
        return session.run(many.run, {"task": self.typed(), "contexts": contexts, "words": given})

    def _answer(self, given: Mapping[str, Any]) -> Answer:
        """Return what will be printed, in the form that the words ask for; of several clusters each has its report."""
        report = None if given.get("contexts") else given.get("report")
        return Answer(self.typed, str(given.get("output", "text")), Path(report) if report else None)

    def typed(self) -> str:
        """Return the name that a person types: ``manual.deploy``."""
        from korthweb_tasks.collections import assemble

        root: Any = assemble()
        return str(next((name for name in root.task_names if root[name] == self), self.name))

    def _meant(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every word with its value, or its default; raises UsageError for an empty one."""
        meant = {}
        for name, parameter in self.words.parameters.items():
            value = given.get(name, parameter.default)
            if name in given:
                refuse_empty(name if name in self.positional else f"--{name.rstrip('_').replace('_', '-')}", value)
            meant[name] = parameter.default if value is None and parameter.default == "" else value
        return meant


def _spelt(flag: str) -> str:
    """Return the parameter that a flag of a help text is: ``with`` is ``with_``."""
    name = flag.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def _with_default(text: str, parameter: inspect.Parameter | None) -> str:
    """Return a flag's help with its default, where it has one that the text does not say."""
    default = parameter.default if parameter else None
    if "default:" in text or default in (None, False, "", 0, inspect.Parameter.empty):
        return text
    return f"{text} (default: {'yes' if default is True else default})"


def task(
    *,
    example: str,
    cluster: bool = True,
    offline: bool = False,
    changes: bool = True,
    destructive: bool = False,
    many: bool = False,
    help: Mapping[str, str] | None = None,  # noqa: A002 - Invoke's own name
    positional: tuple[str, ...] = (),
    name: str | None = None,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Callable[[Callable[..., R_co]], Task[R_co]]:
    """Make ``body(session, **own)`` an Invoke task with the common flags.

    ``cluster=False``: a task without a cluster, so without --context, --tenant and --timeout. ``offline``: it has
    these flags, for the settings that they choose, and works where there is no cluster.
    ``changes=False``: a task that only looks, so without --dry-run and --yes. ``only`` names the common flags that
    mean something, where it is not all of them, ``without`` those that mean nothing. ``many``: it may be run on several
    clusters at once, by --contexts. ``example`` ends its help.
    """
    common = {
        **(_CLUSTER if cluster else {}),
        **(_MANY if many else {}),
        **(_CHANGING if changes or destructive else {}),
        **_OUTPUT,
        **_SETTINGS,
    }
    common = {flag: text for flag, text in common.items() if (only is None or flag in only) and flag not in without}

    def decorate(body: Callable[..., R_co]) -> Task[R_co]:
        return Task(
            body,
            cluster=cluster and not offline,
            common=common,
            example=example,
            help=help,
            positional=positional or None,
            name=name,
        )

    return decorate


@lru_cache(maxsize=64)
def _flags_of(name: str) -> frozenset[str]:
    """Return the flags of one of our tasks, without the words that it takes by their place."""
    from korthweb_tasks.collections import assemble

    task: Any = assemble()[name]  # type: ignore[index]
    return frozenset(task.words.parameters) - {name.replace("-", "_") for name in task.positional}
