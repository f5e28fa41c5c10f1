"""The one decorator of korthweb's tasks: the flags that mean the same everywhere, help, and clear errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import invoke

from korthweb_tasks.collections.errors_out import as_typed, ends_clearly

_OUTPUT = {"output": "text or json"}
_CLUSTER = {
    "context": "a cluster of korthweb.yaml, a kubeconfig context, or korthweb-<lab>",
    "tenant": "only this tenant (its name, BHC)",
    "timeout": "seconds for each step",
}
_CHANGING = {
    "dry_run": "show what would be done, change nothing",
    "yes": "do not ask",
}
_DEFAULTS: dict[str, Any] = {
    "context": None,
    "tenant": None,
    "dry_run": False,
    "yes": False,
    "timeout": None,
    "output": "text",
}


def task(
    *,
    example: str,
    cluster: bool = True,
    changes: bool = True,
    destructive: bool = False,
    help: Mapping[str, str] | None = None,  # noqa: A002 - Invoke's own name
    positional: tuple[str, ...] = (),
    name: str | None = None,
) -> Callable[[Callable[..., Any]], invoke.Task[Any, Any]]:
    """Make ``body(session, **own)`` an Invoke task with the common flags.

    ``cluster=False``: a task without a cluster, so without --context, --tenant and --timeout.
    ``changes=False``: a task that only looks, so without --dry-run and --yes. ``example`` ends its help.
    """
    common = {
        **(_CLUSTER if cluster else {}),
        **(_CHANGING if changes or destructive else {}),
        **_OUTPUT,
    }

    def decorate(body: Callable[..., Any]) -> invoke.Task[Any, Any]:
        own = list(inspect.signature(body).parameters.values())[1:]
        flags = [flag for flag in common if flag not in {parameter.name for parameter in own}]

        def run(c: invoke.Context, **words: Any) -> Any:
            with ends_clearly():
                from korthweb_tasks.collections.session import Session

                shared = {flag: words.pop(flag) for flag in flags}
                return Session.open(c, cluster=cluster, **shared).run(body, words)

        kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter("c", kinds),
                *own,
                *(inspect.Parameter(flag, kinds, default=_DEFAULTS[flag]) for flag in flags),
            ]
        )
        run.__name__, run.__module__ = body.__name__, body.__module__
        run.__doc__ = f"{inspect.cleandoc(body.__doc__ or '')}\n\nExample: {as_typed(example)}"
        texts = {**{flag: common[flag] for flag in flags}, **(help or {})}
        made: invoke.Task[Any, Any] = invoke.task(
            help=texts, auto_shortflags=False, positional=positional or None, name=name
        )(run)
        return made

    return decorate
