"""The wheel: korthweb works outside of a checkout, with the artifacts it ships."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

APPROACHES = ("manual", "helm", "gitops", "docs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the hatchling that is installed: no network."""
    out = tmp_path_factory.mktemp("wheel")
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=root, check=True)
    (built,) = out.glob("korthweb-*.whl")
    return built


def test_it_ships_every_artifact_and_every_data_file(wheel: Path, repository: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files", "korthweb_tasks", *APPROACHES], cwd=repository, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        top = name.split("/")[0]
        if (repository / name).is_file():
            assert (f"korthweb_tasks/artifacts/{name}" if top in APPROACHES else name) in inside
    assert not [name for name in inside if name.startswith("tests/") or "__pycache__" in name]


def test_it_runs_outside_of_a_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(code: str) -> str:
        words = [sys.executable, "-c", code]
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    listed = run("from korthweb_tasks.main import program; program.run(['korthweb', '--list'])")
    assert "  tools.list" in listed
    where = run("from korthweb_tasks import paths; print(paths.artifacts_dir('manual'))").strip()
    assert where == str(site / "korthweb_tasks" / "artifacts" / "manual")
    assert Path(where).is_dir()
