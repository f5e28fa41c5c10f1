"""kubectl, helm, istioctl and flux with any words: the context is ours, and what the words do is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from korthweb_tasks.core import hints
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import UsageError

#: what words do to a cluster; ``nothing``: they are about files, or about the program itself
Effect = Literal["nothing", "reads", "changes"]
#: a value of a flag: True is the flag alone, None leaves it out, of a list each item is a flag
Value = str | int | float | bool | None | Sequence[str | int | float]

#: flags before a verb that take a value, and say nothing about what is done
_BEFORE = frozenset({"-n", "--namespace", "--request-timeout", "--as", "--as-group", "--as-uid"})
_HELP = frozenset({"-h", "--help"})


@dataclass(frozen=True, slots=True)
class Cli:
    """One program: which verbs do nothing to a cluster or only read, and which flags would name another cluster.

    A verb is one word or two. What is in neither list counts as a change.
    """

    name: str
    reads: frozenset[str]
    local: frozenset[str]
    reserved: tuple[str, ...]

    def command(
        self,
        target: Cluster,
        words: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float | None = None,
        ok: Iterable[int] = (0,),
        masks: tuple[str, ...] = (),
    ) -> Command:
        """Return the program with ``words``, for ``target``; one that only reads is repeatable.

        Raises UsageError for words that name a cluster themselves: the last of two flags would count.
        """
        self._refuse_other_cluster(words)
        where = target.helm_args() if self.name == "helm" else target.kubectl_args()
        return Command(
            argv=(self.name, *where, *words),  # before the words: the last of them may want a value
            target=target,
            stdin=stdin,
            timeout=timeout,
            ok=frozenset(ok),
            masks=masks,
            repeatable=self.effect(words) != "changes",
        )

    def effect(self, words: Sequence[str]) -> Effect:
        """Return what ``words`` do to the cluster.

        >>> [KUBECTL.effect(words.split()) for words in ("-n x get pods", "rollout status d/x", "delete pod x")]
        ['reads', 'reads', 'changes']
        """
        if _HELP & set(_own(words)):
            return "nothing"
        verbs = _verbs(words)
        if verbs is None:
            return "changes"
        wanted = {*verbs[:1], " ".join(verbs)}
        if not verbs or wanted & self.local:
            return "nothing"
        return "reads" if wanted & self.reads else "changes"

    def _refuse_other_cluster(self, words: Sequence[str]) -> None:
        """Raise UsageError for a flag that names a cluster."""
        for word in _own(words):
            flag = word.partition("=")[0] if word.startswith("--") else word[:2]
            if flag in self.reserved:
                raise UsageError(
                    f"{flag} in the words of {self.name} would name another cluster than --context does",
                    hint=f"{hints.task(f'cli.{self.name}', context='NAME')} -- ...",
                )


def with_flags(words: Sequence[str], flags: Mapping[str, Value]) -> tuple[str, ...]:
    """Return ``words`` with keyword arguments as flags, before a ``--`` where there is one.

    >>> with_flags(["exec", "x", "--", "ls"], {"namespace": "y", "quiet": True, "container": None})
    ('exec', 'x', '--namespace=y', '--quiet', '--', 'ls')
    """
    own = _own(words)
    made = (flag for name, value in flags.items() for flag in _flags(name, value))
    return (*own, *made, *words[len(own) :])


def _flags(name: str, value: Value) -> Iterable[str]:
    word = name.strip("_").replace("_", "-")
    flag = f"--{word}" if len(word) > 1 else f"-{word}"
    if value is None:
        return ()
    if value is True:
        return (flag,)
    if isinstance(value, bool):
        return (f"{flag}=false",)
    values = (value,) if isinstance(value, str | int | float) else value
    return (f"{flag}={one}" for one in values)


def _own(words: Sequence[str]) -> Sequence[str]:
    """Return the words that are the program's own: what follows ``--`` is for another one."""
    return words[: words.index("--")] if "--" in words else words


def _verbs(words: Sequence[str]) -> list[str] | None:
    """Return the first two words that are not flags; None where a flag may have taken one of them as its value."""
    verbs: list[str] = []
    left = iter(_own(words))
    for word in left:
        if not word.startswith("-"):
            verbs.append(word)
        elif word in _BEFORE:
            next(left, "")
        elif "=" not in word:
            return verbs or None
        if len(verbs) == 2:
            break
    return verbs


def _verbs_of(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _pairs(firsts: str, seconds: str) -> frozenset[str]:
    return frozenset(f"{first} {second}" for first in firsts.split() for second in seconds.split())


_HELPERS = frozenset({"help", "completion", "options"})
_KUBECONFIG = ("--context", "--kubeconfig")

KUBECTL = Cli(
    "kubectl",
    _verbs_of("get describe logs top explain api-resources api-versions version cluster-info diff wait events")
    | _pairs("auth", "can-i whoami")
    | _pairs("rollout", "status history")
    | {"apply view-last-applied"},
    _HELPERS | {"kustomize", "plugin list"} | _pairs("config", "view get-contexts get-clusters current-context"),
    (*_KUBECONFIG, "--cluster", "--server", "-s"),
)
HELM = Cli(
    "helm",
    _verbs_of("list ls status get history hist diff"),
    _HELPERS
    | _verbs_of("lint template package create pull fetch show inspect search dependency dep repo verify")
    | {"version", "env", "plugin list"},
    ("--kube-context", "--kubeconfig", "--kube-apiserver"),
)
ISTIOCTL = Cli(
    "istioctl",
    _verbs_of("analyze version proxy-status ps remote-clusters ztunnel-config verify-install")
    | _pairs("proxy-config pc", "all bootstrap cluster clusters endpoint endpoints listener listeners")
    | _pairs("proxy-config pc", "route routes secret secrets ecds")
    | _pairs("experimental x", "describe precheck")
    | {"tag list"},
    _HELPERS | {"validate", "manifest generate", "manifest translate"},
    (*_KUBECONFIG, "-c"),
)
FLUX = Cli(
    "flux",
    _verbs_of("get logs events tree trace check stats version diff build export debug"),
    _HELPERS | _pairs("list pull", "artifact artifacts"),
    (*_KUBECONFIG, "--cluster", "--server"),
)
CLIS = {cli.name: cli for cli in (KUBECTL, HELM, ISTIOCTL, FLUX)}
