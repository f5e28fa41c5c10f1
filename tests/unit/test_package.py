"""What people install: sdist and wheel are whole and hold nothing else, and the wheel works without the checkout."""

from __future__ import annotations

import ast
import email
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.package import Built, Installed, build, install

#: what a wheel has below korthweb_tasks/artifacts/
ARTIFACTS = ("manual", "helm", "gitops", "docs")
#: what is no business of who installs it
REFUSED = re.compile(
    r"^(korthweb_tasks/(artifacts/)?)?tests/|(^|/)(bench|\.ci|\.git|\.venv|\.korthweb|dist|build)/|__pycache__|_cache/|\.pyc$|\.env$|\.log$"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built: Built) -> set[str]:
    return set(zipfile.ZipFile(built.wheel).namelist())


@pytest.fixture(scope="module")
def sdist(built: Built) -> set[str]:
    with tarfile.open(built.sdist) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


@pytest.fixture(scope="module")
def metadata(built: Built) -> email.message.Message:
    with zipfile.ZipFile(built.wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(built.wheel, tmp_path_factory.mktemp("clean"))


def committed(repository: Path, *folders: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *folders], cwd=repository, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.splitlines() if (repository / name).is_file()]


def test_the_wheel_has_every_artifact_and_every_data_file(wheel: set[str], repository: Path) -> None:
    for name in committed(repository, "korthweb_tasks", *ARTIFACTS):
        assert (f"korthweb_tasks/artifacts/{name}" if name.split("/")[0] in ARTIFACTS else name) in wheel


def test_the_wheel_was_built_out_of_the_sdist_and_lacks_nothing(wheel: set[str], sdist: set[str]) -> None:
    for name in sdist:
        top = name.split("/")[0]
        if top in (*ARTIFACTS, "korthweb_tasks"):
            assert (f"korthweb_tasks/artifacts/{name}" if top in ARTIFACTS else name) in wheel


def test_types_licence_and_schema_are_in_both(wheel: set[str], sdist: set[str]) -> None:
    for inside in (wheel, sdist):
        ends = ("korthweb_tasks/py.typed", "LICENSE", "docs/korthweb.schema.json", "helm/orthanc/Chart.yaml")
        for end in ends:
            assert [name for name in inside if name.endswith(end)], end


def test_neither_has_tests_caches_or_anything_of_a_machine(wheel: set[str], sdist: set[str]) -> None:
    assert not [name for name in wheel | sdist if REFUSED.search(name)]


def test_an_index_would_take_them(built: Built) -> None:
    words = [sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_said_in_one_place(
    metadata: email.message.Message, installed: Installed, repository: Path
) -> None:
    version = metadata["Version"]
    assert f'version = "{version}"' in (repository / "pyproject.toml").read_text("utf-8")
    assert installed.run("--version") == f"korthweb {version}\n"
    heading = re.search(r"^## (\S+)", (repository / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert heading
    assert heading[1] == version
    assert not [path for path in repository.glob("korthweb_tasks/**/*.py") if "__version__" in path.read_text("utf-8")]


def test_whatever_is_imported_is_a_declared_dependency(metadata: email.message.Message, repository: Path) -> None:
    declared = {canonicalize_name(Requirement(line).name) for line in metadata.get_all("Requires-Dist", ())}
    extra = {
        canonicalize_name(Requirement(line).name) for line in metadata.get_all("Requires-Dist", ()) if "extra" in line
    }
    known, wanted = packages_distributions(), set()
    for path in repository.glob("korthweb_tasks/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            wanted |= {name.partition(".")[0] for name in names}
    foreign = wanted - set(sys.stdlib_module_names) - {"korthweb_tasks", "__future__"}
    missing = {name for name in foreign if not {canonicalize_name(one) for one in known[name]} & (declared - extra)}
    assert not missing


def test_it_lists_its_tasks_and_finds_its_own_artifacts(installed: Installed) -> None:
    listed = installed.run("--list")
    assert "  config.schema " in listed
    assert "  manual.deploy " in listed
    installed.run("test", code=2)  # says that it is a checkout's


def test_an_empty_folder_becomes_a_project_that_renders(installed: Installed) -> None:
    installed.run("config.init")
    assert {path.name for path in installed.folder.iterdir()} == {
        *("korthweb.yaml", "korthweb.schema.json", ".env.example", ".gitignore")
    }
    assert installed.run("config.check").endswith("settings: fine\n")
    assert "26 files in out" in installed.run("manual.render", "out")
    settings = installed.folder / "korthweb.yaml"
    fleet = 'gitops: {url: "https://git.example.org/pacs/fleet.git"}\nclusters: {hospital-a: {context: admin}}\n'
    settings.write_text(settings.read_text("utf-8") + fleet)
    installed.run("config.check")
    installed.run("gitops.render", "--context", "hospital-a", "--out", "fleet")
    assert (installed.folder / "fleet" / "clusters" / "hospital-a").is_dir()


def test_what_an_error_names_is_there(installed: Installed) -> None:
    (installed.folder / "wrong.yaml").write_text("tennants: []\n")
    done = subprocess.run(
        [installed.bin / "korthweb", "config.check", "--settings", "wrong.yaml"],
        cwd=installed.folder,
        env={"PATH": f"{installed.bin}:/usr/bin:/bin", "HOME": str(installed.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    page = re.search(r"(\S+settings\.md)", done.stderr)
    assert page, done.stderr
    assert Path(page[1]).is_file()
    assert installed.bin.parent in Path(page[1]).parents
