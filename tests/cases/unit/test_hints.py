"""Every command that is suggested can be pasted as it stands (U5): program, task, flags, cluster, quotes."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import invoke
import pytest
import yaml
from invoke.parser import Parser

from korthweb_tasks import errors, gitops, manual
from korthweb_tasks.approaches.base import every
from korthweb_tasks.approaches.manual.components import COMPONENTS
from korthweb_tasks.collections import assemble
from korthweb_tasks.collections.flags import task
from korthweb_tasks.core import hints
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.services.session import Session

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "korthweb_tasks"
OURS = re.compile(r"(?:\./korthweb|\binv|\bkorthweb) (?P<name>[a-z]+\.[a-z][a-z-]*)(?P<words>[^`#\n;|&\\]*)")
#: values that stand for what is only known when it runs
APPROACHES = ("manual", "helm", "gitops")
PROGRAMS = ("kubectl", "helm", "istioctl", "flux")
#: texts that are written into files: they name the program as it is installed, and no invocation
FILES = ("approaches/gitops/readme.py", "approaches/manual/render.py", "settings/example.py")


@lru_cache
def tasks() -> dict[str, Any]:
    root: Any = assemble()
    return {name: root[name] for name in root.task_names}


@lru_cache
def contexts() -> Any:
    return assemble().to_contexts()


def parsed(line: str) -> str:
    """Parse what would be pasted as the program does, and return the task; a wrong word raises."""
    program, *words = shlex.split(line)
    assert program in ("korthweb", "inv", "./korthweb"), line
    (found,) = Parser(contexts=contexts()).parse_argv(words)
    return str(found.name)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def calls(tree: ast.AST, function: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if _is_call(node, function):
            yield node  # type: ignore[misc]


def _is_call(node: ast.AST, function: str) -> bool:
    """Return whether this is hints.FUNCTION(...)."""
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == function and ast.unparse(called.value) == "hints"


def values(node: ast.expr) -> Iterator[str]:
    """Give what an expression may be: an approach, or x, where a name stands in it."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        start = node.values[0]
        unknown = PROGRAMS if isinstance(start, ast.Constant) and start.value == "cli." else APPROACHES
        parts = [[str(p.value)] if isinstance(p, ast.Constant) else list(unknown) for p in node.values]
        # GitOps takes one tenant away by gitops.remove-tenant
        yield from (word for words in itertools.product(*parts) if (word := "".join(words)) != "gitops.destroy")
    else:
        yield "x"


#: what variables hold: in approaches/manual/prerequisites.py what has to come first,
#: of an Approach (approaches/base.py) what removes a tenant and what else proves it
NAMED = {
    "first": {f"manual.{one.task}" for one in COMPONENTS.values() if one.signs},
    "remover": {one.remover for one in every() if one.remover},
    "name": {name for one in every() for name in one.proofs},
}


def names(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield from NAMED[node.id]
    elif ast.unparse(node) == "f'{self.name}.{self.first}'":
        yield from (f"{one.name}.{one.first}" for one in every())
    else:
        yield from values(node)


def suggested() -> Iterator[tuple[str, str]]:
    """Give place and command of every suggestion in the source, as it would be typed."""
    for path in modules():
        for call in calls(parse(path), "task"):
            words = [next(values(word)) for word in call.args[1:]]
            flags: dict[str, Any] = {str(k.arg): "1" if not _is_true(k.value) else True for k in call.keywords}
            for name in names(call.args[0]):
                yield f"{path.relative_to(PACKAGE)}:{call.lineno}", hints.task(name, *words, **flags)


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


FOUND = sorted(set(suggested()))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["korthweb"])


@pytest.mark.parametrize(("place", "line"), FOUND, ids=[f"{place} {line}" for place, line in FOUND])
def test_U5_every_suggested_task_and_flag_exists(place: str, line: str) -> None:
    """U5: as the program parses it."""
    assert len(FOUND) > 50
    assert parsed(line) in tasks(), place


def test_U5_no_suggestion_is_written_by_hand() -> None:
    """U5: one mechanism makes them, so that flags and cluster are never forgotten."""
    by_hand = []
    for path in modules():
        if path.relative_to(PACKAGE).as_posix() in FILES:
            continue
        tree = parse(path)
        skipped = set(_documentation(tree))
        for node in ast.walk(tree):
            text = _text(node)
            if id(node) not in skipped and (OURS.search(text) or re.match(r"`?(kubectl|helm|ls|rm|less|mv) ", text)):
                by_hand.append(f"{path.relative_to(PACKAGE)}: {text}")
    told = re.compile("kubectl (ended with code|port-forward to) ")  # what kubectl did, not what to type
    assert [line for line in by_hand if not told.search(line)] == []


def _text(node: ast.AST) -> str:
    """Return a string of the source, with x for what is put into it."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _documentation(tree: ast.AST) -> Iterator[int]:
    """Give the docstrings, the examples of tasks, help and descriptions."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and node.body:
            first = node.body[0]
            yield id(first.value) if isinstance(first, ast.Expr) else 0
        if isinstance(node, ast.keyword) and node.arg in ("example", "help", "description"):
            yield from map(id, ast.walk(node.value))


def test_U5_a_command_in_a_sentence_stands_between_backticks() -> None:
    """U5: where the command ends must be seen; a hint that is nothing else is the command."""
    bare = []
    for path in modules():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.JoinedStr):
                bare += [f"{path.relative_to(PACKAGE)}:{node.lineno}" for found in _bare(node) if found]
    assert bare == []


def _bare(node: ast.JoinedStr) -> Iterator[bool]:
    texts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
    for index, part in enumerate(node.values):
        if isinstance(part, ast.FormattedValue) and (_is_call(part.value, "task") or _is_call(part.value, "kubectl")):
            before = str(texts[index - 1] or "") if index else ""
            after = str(texts[index + 1] or "") if index + 1 < len(texts) else ""
            whole = before == "sudo " or after.startswith(" -- ")  # the command goes on, or begins before it
            yield not whole and not (before.endswith("`") and after.startswith("`"))


def test_U5_nothing_is_suggested_before_there_is_an_invocation() -> None:
    """U5: a constant of a module would know no flags."""
    early = []
    for path in modules():
        tree = parse(path)
        inside = {id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.Lambda)) for n in ast.walk(f)}
        early += [f"{path}:{call.lineno}" for call in calls(tree, "task") if id(call) not in inside]
        early += [f"{path}:{call.lineno}" for call in calls(tree, "kubectl") if id(call) not in inside]
    assert early == []


@pytest.mark.parametrize("name", sorted(tasks()))
def test_U5_the_example_of_each_task_can_be_typed(name: str) -> None:
    """U5: --help ends with it."""
    example = tasks()[name].__doc__.rpartition("Example: ")[2].partition("   (")[0]
    assert parsed(example) == name


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("[hmg]*/**/README.md"))]


@pytest.mark.parametrize("path", [*DOCUMENTS, *(PACKAGE / name for name in FILES)], ids=lambda path: path.name)
def test_U5_the_commands_of_the_documents_can_be_typed(path: Path) -> None:
    """U5: README, docs, and what is written into files for people."""
    wrong = []
    for found in OURS.finditer(path.read_text()):
        words = re.split(r"\s--\s|\s[a-z]+\.[a-z]", found["words"])[0]  # without what is passed on, or follows
        flags = {flag.removeprefix("no-") for flag in re.findall(r"(?<!\S)--([a-z][a-z-]*)", words)}
        known = tasks().get(found["name"])
        if known is None or flags - {flag.rstrip("_").replace("_", "-") for flag in known.words.parameters}:
            wrong.append(found[0])
    assert wrong == []


def test_U5_what_was_typed_goes_along_quoted() -> None:
    """U5: context, tenant, approach and settings, where the task takes them; what is said expressly comes first."""
    given = {"context": "hospital a", "tenant": "BHC", "approach": "helm", "settings": "my dir/x.yaml", "timeout": "3"}
    with hints.invocation(given, lambda name: tasks()[name].words.parameters):
        here, file = "--context 'hospital a'", "--settings 'my dir/x.yaml'"
        lines = {
            hints.task("verify.all"): f"verify.all {here} --tenant BHC --approach helm {file}",
            hints.task("verify.all", tenant="MHR"): f"verify.all {here} --tenant MHR --approach helm {file}",
            hints.task("gitops.wait", only="a b"): f"gitops.wait {here} --tenant BHC {file} --only 'a b'",
            hints.task("lab.logs", "it's"): f"lab.logs 'it'\"'\"'s' {file}",
        }
    for line, wanted in lines.items():
        assert line == f"korthweb {wanted}"
        parsed(line)
    assert hints.task("verify.all") == "korthweb verify.all"


def test_U5_kubectl_names_kubeconfig_context_and_namespace() -> None:
    """U5: a suggested look never goes to kubectl's current context."""
    with hints.invocation({}, lambda _: ()):
        hints.on(Cluster("hospital a", "/home/me/my config"))
        assert shlex.split(hints.kubectl("describe", "pod", "orthanc", namespace="bhc")) == [
            "kubectl", "--kubeconfig", "/home/me/my config", "--context", "hospital a",
            "--namespace", "bhc", "describe", "pod", "orthanc",
        ]  # fmt: skip
        hints.on(Cluster("x"), behind=True)
        assert hints.kubectl("get", "pods", namespace="bhc") == "korthweb cli.kubectl -- --namespace bhc get pods"
    assert hints.kubectl("get", "pods") == "kubectl get pods"


@task(example="inv x.fails", changes=False)
def fails(session: Session, approach: str = "") -> None:
    """Fail as a step does that waits for a Deployment."""
    assert session.ref
    hint = f"`{hints.task('verify.all')}`; `{hints.kubectl('get', 'pods', namespace='bhc')}`"
    raise errors.NotReady("it broke", hint=hint)


def test_U5_a_task_hands_its_words_to_what_it_suggests(tmp_path: Path) -> None:
    """U5: through a real invocation, and only for as long as it lasts."""
    body = {
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://x:6443"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (tmp_path / "kube config").write_text(yaml.safe_dump(body))
    Path("my settings.yaml").write_text("clusters: {hospital: {context: x, kubeconfig: kube config}}\n")
    words = {"context": "hospital", "tenant": "BHC", "settings": "my settings.yaml", "approach": "helm"}
    with pytest.raises(errors.NotReady) as failed:
        fails(invoke.Context(), **words)
    ours, theirs = re.findall("`([^`]*)`", failed.value.hint)
    assert ours == "korthweb verify.all --context hospital --tenant BHC --approach helm --settings 'my settings.yaml'"
    assert theirs == f"kubectl --kubeconfig '{tmp_path}/kube config' --context x --namespace bhc get pods"
    assert hints.task("verify.all") == "korthweb verify.all"


@pytest.mark.parametrize(("one", "shows"), [(manual.check, "context.list"), (gitops.status, "context.list")])
def test_U5_an_unknown_context_leads_to_the_list_with_the_same_settings(
    one: Any, shows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U5: of the same settings file, in a folder whose name has a space."""
    folder = tmp_path / "of radiology"
    folder.mkdir()
    (folder / "korthweb.yaml").write_text("clusters: {hospital: {context: x}}\n")
    (tmp_path / "config").write_text("contexts: [{name: x, context: {cluster: c, user: u}}]\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(errors.SettingsError) as refused:
        one(invoke.Context(), context="hospitl", settings="of radiology/korthweb.yaml")
    (line,) = re.findall("`([^`]*)`", refused.value.hint)
    assert line == f"korthweb {shows} --settings 'of radiology/korthweb.yaml'"
    assert parsed(line) == shows
