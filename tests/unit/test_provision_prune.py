"""Pruning the cache: figures first, read-only folders too, and nothing that is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from korthweb_tasks.errors import LockHeld
from korthweb_tasks.provision import prune


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("KORTHWEB_CACHE", str(folder))
    for name, size in (("go/mod/a@v1/a.go", 10_000), ("go/build/00/x", 20_000), ("bin/kwok-0/kwok", 30_000)):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * size)
    for path in (folder / "go/mod/a@v1/a.go", folder / "go/mod/a@v1"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (folder / "estimates.json").write_text("{}")
    (folder / "letter-to-grandmother.txt").write_text("not ours")
    return folder


def test_a_survey_names_each_part_with_its_size(cache: Path) -> None:
    sizes = {part.name: part.size for part in prune.survey()}
    assert list(sizes) == ["go/mod", "go/build", "bin", "estimates.json"]
    assert sizes["bin"] >= 30_000


def test_a_dry_run_removes_nothing(cache: Path) -> None:
    before = sorted(cache.rglob("*"))
    assert prune.prune(dry_run=True) == prune.survey()
    assert sorted(cache.rglob("*")) == before


def test_pruning_all_leaves_only_what_is_not_ours(cache: Path) -> None:
    assert {part.name for part in prune.prune()} == {"go/mod", "go/build", "bin", "estimates.json"}
    assert [path.name for path in cache.iterdir()] == ["letter-to-grandmother.txt"]


def test_after_a_build_only_its_caches_go(cache: Path) -> None:
    assert prune.prune_build_caches() >= 30_000
    assert not (cache / "go/mod").exists()
    assert (cache / "bin/kwok-0/kwok").is_file()


def test_while_somebody_builds_nothing_is_pruned(cache: Path) -> None:
    before = prune.survey()
    with prune.build_caches_in_use(), prune.build_caches_in_use():
        assert prune.prune_build_caches() == 0
        with pytest.raises(LockHeld):
            prune.prune()
    assert prune.survey()[:3] == before[:3]


def test_named_parts_that_are_not_there_are_passed_over(cache: Path) -> None:
    assert [part.name for part in prune.prune(["images", "bin"])] == ["bin"]


def test_an_empty_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORTHWEB_CACHE", str(tmp_path / "nothing"))
    assert prune.prune() == []


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (15_000_000, "15 MB"),
        (3_200_000_000, "3.2 GB"),
        (25_000_000_000, "25 GB"),
    ],
)
def test_sizes_are_told_as_a_person_reads_them(size: int, shown: str) -> None:
    assert prune.human(size) == shown
