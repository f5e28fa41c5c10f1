"""Paths that can't be used are told as the person's mistake, before anything is done (U18)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from korthweb_tasks import paths
from korthweb_tasks.collections.errors_out import described
from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.files import Tree, check_output, located
from korthweb_tasks.settings.load import load
from tests.cases.unit.test_failures import run, tasks, typed

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KORTHWEB_CACHE", str(tmp_path / "cache"))
    Path("file").write_text("a file")
    Path("folder").mkdir()


def takes(*flags: str) -> list[tuple[str, str]]:
    return [(name, flag) for name, task in tasks().items() for flag in flags if flag in task.words.parameters]


def refused(err: str, code: int, wanted: int = 2) -> None:
    """Check that ``err`` is one clear error and what to do."""
    assert code == wanted
    assert "Traceback" not in err
    assert "fault of korthweb" not in err
    lines = [line for line in err.splitlines() if not line.startswith("not run:")]
    assert lines[0].startswith("error: ")
    assert "[Errno" not in err
    assert lines[-1].startswith("Next: ") or wanted == 12


@pytest.mark.parametrize(("name", "flag"), takes("out", "report"))
@pytest.mark.parametrize("path", ["file", "file/deeper", "/dev/full", "/proc/nope"])
def test_U18_a_folder_for_output_that_can_not_be_one(
    name: str, flag: str, path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """U18: a file, what lies below one, a device, a file system that takes nothing: of every task with such a flag."""
    monkeypatch.setattr("os.access", lambda place, mode: Path(place) != Path("/proc"))  # as for anybody but root
    words = [word for word in typed(name) if not word.startswith(f"--{flag}=")]
    code = run(*words, f"--{flag}={path}")
    err = capsys.readouterr().err
    refused(err, code)
    assert f"{Path(path).absolute()} can't be used" in err
    assert Path("file").read_text() == "a file"


@pytest.mark.parametrize(
    ("name", "flag", "path"),
    [
        (name, flag, path)
        for flag, wrong in {"settings": "folder", "ca": "folder", "study": "file"}.items()
        for name, flag in takes(flag)
        for path in ("nope", wrong)
    ],
)
def test_U18_a_path_to_be_read_that_is_something_else(
    name: str, flag: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """U18: missing, a folder for a file, a file for a folder: of every task with such a flag."""
    code = run(*typed(name, f"--{flag}={path}"))
    refused(capsys.readouterr().err, code)


def _fails(number: int) -> Callable[..., int]:
    def write(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return write


class _Full:
    """A file that takes nothing more."""

    def __init__(self, file: IO[Any]) -> None:
        self.file = file

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    write = staticmethod(_fails(errno.ENOSPC))


def test_U18_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """U18: what was there stays, nothing lies beside it, and the code is 12."""
    tree = Tree(tmp_path / "out")
    tree.write("report.json", "old")
    fdopen = os.fdopen
    monkeypatch.setattr("korthweb_tasks.files.os.fdopen", lambda *a, **k: _Full(fdopen(*a, **k)))
    with pytest.raises(OSError, match="No space") as full:
        tree.write("report.json", "new" * 1000)
    told = described(full.value)
    assert (told.exit_code, told.message) == (12, f"no space left on the device at {tmp_path}/out/report.json")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]
    assert (tmp_path / "out" / "report.json").read_text() == "old"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EACCES, 2), (errno.EROFS, 2), (errno.EISDIR, 2), (errno.ENOTDIR, 2), (errno.EEXIST, 2),
        (errno.ENOENT, 2),
        (errno.ELOOP, 2), (errno.ENAMETOOLONG, 2), (errno.EMFILE, 2), (errno.ENOSPC, 12), (errno.EDQUOT, 12),
        (errno.EFBIG, 12), (errno.EPIPE, 141),
    ],
)  # fmt: skip
def test_U18_each_refusal_of_the_system_has_its_words(number: int, code: int) -> None:
    """U18: one place turns them into an error of ours."""
    told = described(OSError(number, os.strerror(number), "/x/y"))
    assert told.exit_code == code
    assert "fault" not in told.message


def test_U18_a_missing_file_of_the_program_stays_a_fault() -> None:
    """U18: nobody is told to mend what is ours."""
    assert (
        "fault of korthweb" in described(FileNotFoundError(2, "No such file", str(ROOT / "korthweb_tasks/x"))).message
    )


def journal_is_a_file() -> None:
    Path(".korthweb").write_text("a file")


def runs_is_a_file() -> None:
    Path(".korthweb").mkdir()
    Path(".korthweb/runs").write_text("a file")


@pytest.mark.parametrize("spoil", [journal_is_a_file, runs_is_a_file])
def test_U18_a_journal_that_can_not_be_kept(spoil: Callable[[], None]) -> None:
    """U18: a file where the project's own folder should be."""
    from korthweb_tasks.run.journal import Journal

    spoil()
    with pytest.raises((OSError, KorthwebError)) as failed:
        Journal.begin(paths.work_dir() / "runs", "title")
    assert described(failed.value).exit_code == 2


def test_U18_the_choice_of_a_cluster_that_is_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """U18: a folder where a file is expected."""
    Path(".korthweb/context").mkdir(parents=True)
    code = run("korthweb", "context.show")
    refused(capsys.readouterr().err, code)


@pytest.mark.parametrize(
    ("variable", "words"), [("KORTHWEB_STATE", ("lab.down", "--yes")), ("KORTHWEB_CACHE", ("tools.install", "sops"))]
)
def test_U18_a_folder_of_korthwebs_own_that_is_a_file(
    variable: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """U18: the state and the cache."""
    monkeypatch.setenv(variable, str(Path("file").absolute()))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    ended = korthweb(*words)
    assert ended.returncode == 2
    assert "fault of korthweb" not in ended.stderr
    assert f"{Path('file').absolute()}" in ended.stderr
    assert "Next: " in ended.stderr


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("2024-01-01", "a date (as text: '2024-01-01')"),
        ("2024-01-01 10:00:00", "a date"),
        ("!!binary aGVsbG8=", "binary data"),
        (".nan", "nan"),
        ("-.inf", "-inf"),
        ("[1, {A: 2024-01-01}]", "a date"),
        ("{A: [2024-01-01]}", "a date"),
    ],
)
def test_U18_what_json_does_not_have_is_refused_with_its_line(value: str, says: str) -> None:
    """U18: a date in orthanc.config was a fault of the program when orthanc.json was written."""
    Path("korthweb.yaml").write_text(f"orthanc:\n  config:\n    LabName: {value}\n")
    with pytest.raises(KorthwebError, match=r"korthweb\.yaml:3: orthanc\.config\.LabName") as wrong:
        load()
    assert says in wrong.value.message
    assert wrong.value.exit_code == 2


def korthweb(*words: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    env: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "korthweb_tasks.main", *words]
    return subprocess.run(argv, env=env, text=True, stderr=subprocess.PIPE, check=False, **streams)


@pytest.mark.parametrize("words", [("--list",), ("config.show",), ("config.show", "--output", "json")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_U18_standard_output_that_takes_no_more(
    words: tuple[str, ...], unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U18: a full disk is 12, a reader that has gone is 141 without a word, a closed stream is nobody's matter."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        ended = korthweb(*words, stdout=full)
    assert (ended.returncode, ended.stderr) == (
        12, "error: standard output can't be written: no space left on the device\n"
    )  # fmt: skip
    read, write = os.pipe()
    os.close(read)
    ended = korthweb(*words, stdout=write)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")
    shell = f"exec {sys.executable} -m korthweb_tasks.main {' '.join(words)} >&-"
    ended = subprocess.run(
        ["sh", "-c", shell], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stderr=subprocess.PIPE, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_U18_a_read_only_folder_is_seen_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """U18: before a lab is made whose report could not be written."""
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError) as denied:
        check_output(tmp_path / "new" / "out")
    told = described(denied.value)
    assert (told.exit_code, told.message) == (
        2, f"{tmp_path}/new/out can't be used: permission denied at {tmp_path}"
    )  # fmt: skip
    assert located(tmp_path / "x")[1] == "x"
