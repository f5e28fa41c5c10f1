"""The same cause ends every task with the same exit code: the table of docs/errors.md, walked through (U17)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from korthweb_tasks import errors
from korthweb_tasks.run import guard
from korthweb_tasks.services.connection import CONNECTIONS
from tests.cases.unit.test_failures import run, tasks, typed
from tests.cases.unit.test_which_cluster import kubeconfig

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
ROW = re.compile(r"^\| (?P<what>[^|]+?) \| [^|]+ \| (?P<code>\d+) \|$", re.MULTILINE)
CODES = {row["what"]: int(row["code"]) for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
SETTINGS = """
context: x
clusters: {x: {context: x}}
tenants: [{name: BHC, domain: bhc.orthweb.com}, {name: MHR, domain: mhr.orthweb.com}]
gitops: {url: https://git.example.org/fleet.git}
"""
#: what a task needs to be typed with, beside its words
MORE = {"verify.isolation": ["--approach", "gitops"], "helm.rollback": ["--tenant", "BHC"]}
CLI = [name for name in tasks() if name.startswith("cli.")]
#: they read no settings, or only where there is something to do
WITHOUT = ("test", "config.init", "config.keys", "config.schema", "lab.prune")
#: without a question to a cluster: it makes files, or the lab itself
ASKING = [name for name, task in tasks().items() if task.cluster and name != "manual.render"]
#: they ask the fleet repository first, which is not there either
GIT = ("gitops.bootstrap", "gitops.deploy", "gitops.configure", "gitops.add-tenant")


def having(*flags: str) -> list[str]:
    return [name for name, task in tasks().items() if set(flags) & set(task.words.parameters)]


def where(what: str) -> list[str]:
    """Return the tasks that a row of the table is about."""
    by_flag = {"`--output`": "output", "`--timeout`": "timeout", "`--tenant`": "tenant"}
    if flag := next((flag for start, flag in by_flag.items() if what.startswith(start)), ""):
        return [name for name in having(flag) if name != "demo" or flag != "tenant"]
    if what.startswith("`--out`"):
        return having("out", "report")
    if what.startswith("`korthweb.yaml`"):
        return [name for name in tasks() if name not in WITHOUT]
    if what in ("`--settings` names no file", 'a flag that is not there, or an empty one (`--context ""`)'):
        return list(tasks())
    if "nothing is deployed" in what or "the lab" in what:
        return []  # test_codes.py has these
    return [name for name in ASKING if name not in GIT]


WORDS = {
    "`--settings` names no file": [["--settings", "nope.yaml"]],
    'a flag that is not there, or an empty one (`--context ""`)': [["--no-such-flag"], ["--settings", ""]],
    "`--output` is another form": [["--output", "xml"]],
    "`--timeout` is not a time": [["--timeout", "soon"]],
    "`--out` or `--report` can't be a folder": [["--out", "file"], ["--report", "file"]],
    "`korthweb.yaml` is wrong": [["--settings", "broken.yaml"]],
    "`--tenant` names nobody": [["--tenant", "nope"]],
    "`--context` names no cluster": [["--context", "nope"]],
}
#: what the first question to a cluster ends with
ENDS: dict[str, BaseException] = {
    "kubectl is missing, or the kubeconfig's login program": errors.ToolMissing("no kubectl"),
    "the API server gives no answer": errors.ClusterUnreachable("no answer"),
    "it is another cluster than the one recorded": errors.GuardRefused("another one"),
    "Ctrl-C": KeyboardInterrupt(),
}
WALK = [(what, name) for what in CODES for name in where(what)]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KORTHWEB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KORTHWEB_SECRET_GIT_PASSWORD", "a-token-of-the-fleet")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config")))
    Path("korthweb.yaml").write_text(SETTINGS)
    Path("broken.yaml").write_text("tenants: [{name: BHC}\n")
    Path("file").write_text("a file")
    CONNECTIONS.clear()
    yield
    CONNECTIONS.clear()


def words_of(name: str, more: list[str]) -> list[str]:
    """Return what is typed; cli.* takes what stands after the dashes from the command line itself."""
    words = typed(name, *more, *(MORE.get(name, []) if "--tenant" not in more else MORE.get(name, [])[:0]))
    if name == "verify.isolation" and "--approach" not in words:
        words += MORE[name]
    return [*words, *(["--", "get", "pods"] if name in CLI else [])]


@pytest.mark.parametrize(("what", "name"), WALK, ids=[f"{name}: {what}" for what, name in WALK])
def test_U17_the_same_cause_is_the_same_code(
    what: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """U17: in every task of the tree."""
    if what in ENDS:
        monkeypatch.setattr(guard, "check", _raising(ENDS[what]))
    for more in WORDS.get(what, [[]]):
        flag = more[0].lstrip("-") if more else ""
        if flag in ("out", "report") and flag not in tasks()[name].words.parameters:
            continue
        typed_words = [word for word in words_of(name, more) if not (flag == "out" and word == "--out=x")]
        monkeypatch.setattr("sys.argv", typed_words)
        assert run(*typed_words) == CODES[what], capsys.readouterr().err
    err = capsys.readouterr().err
    assert "fault of korthweb" not in err
    assert "error: " in err or CODES[what] == 130


def _raising(error: BaseException) -> object:
    def check(*_: object, **__: object) -> None:
        raise error

    return check


def test_U17_each_row_of_the_table_is_walked() -> None:
    """U17: a row that nobody walks would be a promise."""
    elsewhere = {"nothing is deployed", "the lab is not there"}  # tests/cases/unit/test_codes.py
    assert set(CODES) == {*WORDS, *ENDS, *elsewhere}
    assert len(WALK) > 400


def test_U17_the_codes_of_the_page_are_those_of_the_errors() -> None:
    """U17: the table of docs/errors.md and the tree in errors.py."""
    page = PAGE.read_text(encoding="utf-8")
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.KorthwebError)
    ]
    assert told == {0, *(kind.exit_code for kind in kinds)}
    drawn = dict(re.findall(r"(\w+) +(\d+)   ", errors.__doc__ or ""))
    assert {name: int(code) for name, code in drawn.items()} == {kind.__name__: kind.exit_code for kind in kinds}
    assert set(CODES.values()) <= told
