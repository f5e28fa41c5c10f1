"""Tasks that compose: as pre and post, by call(), as functions, twice, in a row; and an empty word is no word (U4)."""

from __future__ import annotations

import itertools
from pathlib import Path

import invoke
import pytest

from korthweb_tasks import errors
from korthweb_tasks.collections import assemble, helm, manual
from korthweb_tasks.collections.flags import Task, task
from korthweb_tasks.main import Korthweb
from korthweb_tasks.services.session import Session

KINDS = (errors.StepFailed, errors.CommandFailed, errors.SettingsError, errors.VerifyFailed, errors.Differs)


@task(example="inv x.echo", cluster=False, changes=False, help={"word": "what"})
def echo(session: Session, word: str = "usual", number: int = 1) -> list[str]:
    """Return what it was given."""
    print("echo", word, number)
    return [word] * number


@task(example="inv x.fail", cluster=False, changes=False)
def fail(session: Session, kind: str = "StepFailed") -> None:
    """Raise an error."""
    raise getattr(errors, kind)("it broke", hint="inv lab.status", details="the last line")


def every_task() -> dict[str, Task[object]]:
    root = assemble()
    return {name: root[name] for name in root.task_names}  # type: ignore[index]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(collection: invoke.Collection, *words: str, program: type[invoke.Program] = invoke.Program) -> int:
    made = program(namespace=collection, name="korthweb", binary="korthweb")
    try:
        made.run(["inv", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_every_pair_of_tasks_is_unequal() -> None:
    tasks = every_task()
    same = [(a, b) for (a, one), (b, other) in itertools.combinations(tasks.items(), 2) if one == other]
    assert len(tasks) > 50
    assert not same
    assert all(one == one and isinstance(one, Task) for one in tasks.values())
    assert len({hash(one) for one in tasks.values()}) == len(tasks)


@pytest.mark.parametrize("program", [invoke.Program, Korthweb])
def test_tasks_of_one_shape_are_all_run(program: type[invoke.Program], capsys: pytest.CaptureFixture[str]) -> None:
    @task(example="inv x.one", cluster=False, changes=False)
    def one(session: Session) -> None:
        print("one")

    @task(example="inv x.two", cluster=False, changes=False)
    def two(session: Session) -> None:
        print("two")

    assert run(invoke.Collection(one, two), "one", "two", program=program) == 0
    assert capsys.readouterr().out.split() == ["one", "two"]


def test_the_same_task_with_other_words_runs_twice_and_with_the_same_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(invoke.Collection(echo), "echo", "--word", "a", "echo", "--word", "b", "echo", "--word", "a") == 0
    assert capsys.readouterr().out.splitlines() == ["echo a 1", "echo b 1"]


def test_pre_and_post_and_call(capsys: pytest.CaptureFixture[str]) -> None:
    @invoke.task(pre=[echo, invoke.call(echo, word="before", number=2)], post=[invoke.call(echo, "after")])
    def mine(c: invoke.Context) -> None:
        print("mine")

    assert run(invoke.Collection(mine, echo), "mine") == 0
    assert capsys.readouterr().out.splitlines() == ["echo usual 1", "echo before 2", "mine", "echo after 1"]


def test_a_task_is_a_function_that_returns_what_its_body_does() -> None:
    assert echo(invoke.Context(), number=2) == ["usual", "usual"]
    assert echo(invoke.Context(), "a") == ["a"]
    assert echo.called
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrd'"):
        echo(invoke.Context(), wrd="a")
    with pytest.raises(TypeError, match="Context first"):
        echo("a")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_typed_for_the_task_that_called(
    kind: type[errors.KorthwebError], capsys: pytest.CaptureFixture[str]
) -> None:
    caught: list[errors.KorthwebError] = []

    @invoke.task
    def mine(c: invoke.Context) -> None:
        try:
            fail(c, kind=kind.__name__)
        except kind as error:
            caught.append(error)

    assert run(invoke.Collection(mine), "mine") == 0
    (error,) = caught
    assert (error.message, error.hint, error.details) == ("it broke", "inv lab.status", "the last line")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("program", [invoke.Program, Korthweb])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_that_nobody_catches_is_one_error_line_and_its_code(
    kind: type[errors.KorthwebError], program: type[invoke.Program], capsys: pytest.CaptureFixture[str]
) -> None:
    @invoke.task
    def mine(c: invoke.Context) -> None:
        fail(c, kind=kind.__name__)

    for words in (["mine"], ["fail", "--kind", kind.__name__]):
        assert run(invoke.Collection(mine, fail), *words, program=program) == kind.exit_code
        said = capsys.readouterr().err.splitlines()
        assert said[:2] == ["error: it broke", "    the last line"]
        assert len(said) == 3


VALUES = [
    (name, argument.attr_name or argument.name)
    for name, one in every_task().items()
    for argument in one.get_arguments(ignore_unknown_help=True)
    if argument.takes_value and argument.kind is str
]


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize(("name", "flag"), VALUES, ids=["-".join(value) for value in VALUES])
def test_U4_an_empty_word_is_refused(name: str, flag: str, empty: str) -> None:
    """U4: of every flag of every task that takes a value: `--context "$CTX"` never means the usual cluster."""
    one = every_task()[name]
    words = {p.name: "x" for p in one.words.parameters.values() if p.default is p.empty}
    attribute = next(
        p for p in one.words.parameters if p.rstrip("_").replace("_", "-") == flag.rstrip("_").replace("_", "-")
    )
    with pytest.raises(errors.UsageError, match="is empty") as refused:
        one(invoke.Context(), **{**words, attribute: empty})
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("program", [invoke.Program, Korthweb])
@pytest.mark.parametrize("words", [["--context", ""], ["--tenant="], ["--output="], ["--settings", ""]])
def test_U4_an_empty_word_that_is_typed_is_refused(
    words: list[str], program: type[invoke.Program], capsys: pytest.CaptureFixture[str]
) -> None:
    """U4: as typed, by either program, for a task of each approach."""
    for collection in (manual, helm):
        root = invoke.Collection()
        root.add_collection(collection)
        name = collection.__name__.rpartition(".")[2]
        assert run(root, f"{name}.check", *words, program=program) == 2
        assert f"error: {words[0].rstrip('=')} is empty" in capsys.readouterr().err
