"""Imports go one way, and each heavy or effectful library has one room. Read from the source, late imports too."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "korthweb_tasks"

#: room -> rooms that it may import besides itself; "." are the modules at the top: errors, paths, files
MAY: dict[str, set[str]] = {
    "__init__": {"collections", "settings", "errors"},
    "errors": set(),
    "paths": {"errors"},
    "files": {"core", "errors"},
    "core": {"errors"},
    "tools": {"core", "errors"},
    "settings": {"core", "errors", "paths", "files"},
    "changes": {"settings", "core", "errors"},
    "approaches": {"changes", "flux", "settings", "tools", "core", "errors", "paths", "files"},
    "flux": {"tools", "core", "errors"},
    "report": {"core", "errors", "paths", "files"},
    "run": {"flux", "settings", "report", "tools", "core", "errors", "paths", "files"},
    "verify": {"approaches", "flux", "report", "run", "settings", "tools", "core", "errors", "paths", "files"},
    "provision": {"run", "settings", "tools", "core", "errors", "paths", "files"},
    "lab": {"provision", "run", "settings", "tools", "core", "errors", "paths", "files"},
    "services": {
        "approaches", "changes", "flux", "run", "verify", "lab", "report", "provision", "settings", "tools", "core",
        "errors", "paths", "files",
    },
    "collections": {
        "services", "approaches", "flux", "run", "verify", "lab", "report", "provision", "settings", "tools", "core",
        "errors", "paths", "files",
    },
    "main": {"collections", "run", "core", "errors"},
}  # fmt: skip

#: room -> the modules of it that other rooms import; the rest is its inside
DOORS: dict[str, set[str]] = {
    "lab": {"labs"},
    "provision": {"builder", "charts", "estimates", "prune", "recipes", "tools"},
}

#: library -> the only places that may import it
ONLY: dict[str, tuple[str, ...]] = {
    "invoke": ("collections", "services", "run", "main"),
    "fabric": ("run/bastion.py",),
    "paramiko": ("run/bastion.py",),
    "tenacity": ("run/retry.py",),
}

#: libraries that no module of a task may load before the task runs
LATE = frozenset({"fabric", "pynetdicom", "pydicom", "jinja2", "httpx", "cryptography", "rich", "pydantic", "yaml"})

#: rooms that neither start processes nor open connections nor read the clock
PURE = ("core", "tools", "flux", "changes", "approaches")
EFFECTS = frozenset({"subprocess", "socket", "http", "urllib", "httpx", "time", "threading", "asyncio", "ssl"})

# hosts of package registries, in pieces so that this file does not name them
REGISTRIES = tuple(
    ".".join(pieces)
    for pieces in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("ftp", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("registry", "npmjs", "org"),
        ("crates", "io"),
    )
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path, *, top_only: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything imported; ``top_only``: just what loading the module imports."""
    yield from _imports(ast.parse(path.read_text(encoding="utf-8")).body, path, top_only)


def _imports(body: list[ast.stmt], path: Path, top_only: bool) -> Iterator[tuple[int, str]]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and top_only:
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and top_only:
            yield from _imports(node.orelse, path, top_only)
        else:
            for name in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from _imports(getattr(node, name, []), path, top_only)


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    parts = ("korthweb_tasks", *path.relative_to(PACKAGE).parts[:-1])
    return ".".join(parts[: len(parts) - node.level + 1] + ((node.module,) if node.module else ()))


def test_every_room_has_its_rule() -> None:
    rooms = {room(path) for path in modules()}
    assert rooms <= set(MAY)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    for line, name in imports(path):
        if not name.startswith("korthweb_tasks."):
            continue
        there = name.split(".")[1]
        assert there == here or there in MAY[here], f"{path}:{line}: {here} may not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_inside_of_a_room_is_its_own(path: Path) -> None:
    assert list(forbidden(imports(path), path)) == []


def test_an_import_of_the_inside_is_found() -> None:
    inside = "def f():\n    from korthweb_tasks.lab.labs import up\n    from korthweb_tasks.lab import store, labs\n"
    path = PACKAGE / "services" / "toy.py"
    assert [name for _, name in forbidden(_imports(ast.parse(inside).body, path, False), path)] == [
        "korthweb_tasks.lab.store"
    ]


def forbidden(imported: Iterable[tuple[int, str]], path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imported:
        parts = name.split(".")
        if parts[0] != "korthweb_tasks" or len(parts) < 3 or parts[1] not in DOORS or room(path) == parts[1]:
            continue
        if parts[2] not in DOORS[parts[1]]:
            yield line, name


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    inside = path.relative_to(PACKAGE).as_posix()
    for line, name in imports(path):
        allowed = ONLY.get(name.split(".")[0])
        assert allowed is None or room(path) in allowed or inside in allowed, f"{path}:{line}: {name} does not belong"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure_rooms_have_no_effects(path: Path) -> None:
    if room(path) in PURE:
        for line, name in imports(path):
            pure = name.startswith("urllib.parse.")
            assert pure or name.split(".")[0] not in EFFECTS, f"{path}:{line}: {name} has effects"


def test_listing_tasks_loads_nothing_heavy() -> None:
    """Follow what ``main`` and the collections load at once, module by module."""
    todo = [PACKAGE / "main.py", *(PACKAGE / "collections").glob("*.py")]
    seen: dict[Path, str] = {path: path.name for path in todo}
    while todo:
        path = todo.pop()
        for line, name in imports(path, top_only=True):
            assert name.split(".")[0] not in LATE, f"{path}:{line}: {name} is loaded by {seen[path]}"
            for found in _files(name):
                if found not in seen:
                    seen[found] = f"{seen[path]} > {found.relative_to(PACKAGE)}"
                    todo.append(found)


def _files(name: str) -> list[Path]:
    """Return the module (or the package and the module in it) that the import of ``name`` loads."""
    base = ROOT / Path(*name.split("."))
    if not name.startswith("korthweb_tasks"):
        return []
    candidates = (base.with_suffix(".py"), base / "__init__.py", base.parent.with_suffix(".py"))
    return [path for path in candidates if path.is_file()]


def test_tasks_py_only_assembles() -> None:
    lines = (ROOT / "tasks.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 15
    assert not [name for _, name in imports(ROOT / "tasks.py") if not name.startswith("korthweb_tasks.collections")]


def test_no_file_names_a_package_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        text = path.read_bytes() if path.is_file() else b""
        named = [host for host in REGISTRIES if host.encode() in text]
        assert not named, f"{name} names {named}"
