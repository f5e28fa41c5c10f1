"""Help as a person would write it (U35): every task, every flag, in the order of use."""

from __future__ import annotations

import inspect
import re
from functools import lru_cache
from typing import Any

import pytest

from korthweb_tasks.collections import GROUPS, ORDER, assemble
from korthweb_tasks.collections.task_help import text_of
from korthweb_tasks.main import program


@lru_cache
def tasks() -> dict[str, Any]:
    root: Any = assemble()
    return {name: root[name] for name in root.task_names}


FLAGS = [(name, parameter) for name, task in tasks().items() for parameter in task.words.parameters.values()]
#: what changes nothing that a person would be asked about
UNASKED = (
    "lab.up",
    "config.init",
    "tools.install",
    "manual.render",
    "helm.dependencies",
    "helm.package",
    "gitops.render",
)
#: what is not of one tenant, or takes its name as a word
OF_ALL = (
    "manual.install-istio", "manual.install-cert-manager", "manual.install-observability", "helm.dependencies",
    "helm.package", "gitops.logs", "gitops.explain", "gitops.reconcile", "gitops.suspend", "gitops.resume",
    "gitops.render", "gitops.diff", "gitops.add-tenant", "gitops.remove-tenant", "gitops.destroy",
)  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        program.run(["korthweb", *words])
    assert not end.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("name", tasks())
def test_U35_each_task_says_how_it_is_called_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """U35: positional words are positional, needed flags are named, and an example ends it."""
    task, text = tasks()[name], printed(capsys, "--help", name)
    usage = text.splitlines()[0]
    assert re.fullmatch(rf"Usage: (\./)?korthweb {re.escape(name)} .*\[flags\]", usage)
    for word in task.positional:
        assert f" {word.upper()} " in usage
        assert f"--{word} " not in text.partition("Flags:")[2].partition("Example:")[0]
    for word, parameter in task.words.parameters.items():
        if parameter.default is inspect.Parameter.empty and word not in task.positional:
            assert f" --{word} " in usage
    assert re.search(rf"\nExample: (\./)?korthweb {re.escape(name)}", text)
    assert task.text.splitlines()[0] in text


@pytest.mark.parametrize(("name", "parameter"), FLAGS, ids=[f"{name} --{p.name}" for name, p in FLAGS])
def test_U35_each_flag_has_a_text_and_says_its_default(name: str, parameter: inspect.Parameter) -> None:
    """U35: what happens without it is said, but for switches that are off."""
    text = tasks()[name].texts[parameter.name]
    assert text
    if parameter.default is inspect.Parameter.empty or parameter.default is False:
        return
    shown = {True: "yes"}.get(parameter.default, parameter.default)
    assert "default:" in text
    assert parameter.default in (None, "", 0) or f"default: {shown}" in text
    assert text in " ".join(text_of(tasks()[name]).split())


def test_U35_the_list_has_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    """U35: check first, destroy last, in every group; gitops listed explain before bootstrap."""
    listed = [line.split()[0] for line in printed(capsys, "--list").splitlines() if line.startswith("  ")]
    assert listed == ["demo", "test", *(f"{group}.{task}" for group in GROUPS for task in ORDER[group])]
    for approach in ("manual", "helm", "gitops"):
        words = list(ORDER[approach])
        assert (words[0], words[-1]) == ("check", "destroy")
        deployed = words.index("bootstrap" if approach == "gitops" else "deploy")
        assert deployed < words.index("status")


def test_U35_yes_and_tenant_stand_only_where_they_mean_something() -> None:
    """U35: a flag that does nothing is a promise that is not kept."""
    takes = {
        flag: {name for name, task in tasks().items() if flag in task.words.parameters} for flag in ("yes", "tenant")
    }
    assert not takes["yes"] & set(UNASKED)
    assert not takes["tenant"] & set(OF_ALL)
    others = takes["tenant"] - {"context.ci-account"}
    assert not {name for name in others if name.startswith(("lab.", "context.", "config.", "tools.", "cli."))}
    for name, task in tasks().items():
        if "tenant" in task.words.parameters:
            assert name in ("demo", "context.ci-account") or name.startswith(
                ("manual.", "helm.", "gitops.", "verify.", "rbac.")
            )
