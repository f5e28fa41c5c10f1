"""Makes the go.mod and go.sum of every component from modules/pins.yaml: ``python -m korthweb_tasks.provision.pins``.

For maintainers, after a version was changed there. It needs Go and the module proxy; builds only read the result.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.provision import gotool
from korthweb_tasks.provision.compiling import escaped
from korthweb_tasks.provision.patching import COPY
from korthweb_tasks.provision.recipes import HERE, Recipe, recipes

KUBERNETES = "k8s.io/kubernetes"
GO = "1.26.4"


@dataclass(frozen=True)
class Family:
    """Components that are resolved together. ``requires`` is per component, module → version."""

    name: str
    requires: Mapping[str, Mapping[str, str]]
    replaces: Mapping[str, str]
    staging: str = ""
    joined: Family | None = None


def main() -> int:
    """Write the pins of every family; print what changed."""
    listed = yaml.safe_load((HERE / "modules" / "pins.yaml").read_text(encoding="utf-8"))
    chosen = set(sys.argv[1:])
    families: dict[str, Family] = {}
    for name, entry in listed["families"].items():
        joined = families.get(entry.get("joins", ""))
        family = Family(name, entry["components"], entry.get("replaces") or {}, entry.get("staging", ""), joined)
        families[name] = family
        if not chosen or chosen & {name, *family.requires}:
            _write(family, list(listed.get("sums") or ()), chosen)
    return 0


def _write(family: Family, sums: list[str], chosen: set[str]) -> None:
    go = gotool.find(GO).path
    known = {name: recipe for name, recipe in recipes().items() if name in family.requires}
    with tempfile.TemporaryDirectory(prefix="korthweb-pins-") as folder:
        work = Path(folder)
        everything = {module: version for modules in family.requires.values() for module, version in modules.items()}
        replaces = _replaces(go, family, everything, work)
        lines = [*sums, *_own_sums(everything, replaces)]
        packages = _sources(known.values(), work / "all")
        _start(work / "all", family.name, everything, replaces, (), lines)
        _patch(go, work / "all", known.values(), everything)
        shared = _resolved(go, work / "all", packages, sums)
        if floor := _floor(go, family, shared):
            _start(work / "all", family.name, {**floor, **everything}, replaces, (), lines)
            _patch(go, work / "all", known.values(), everything)
            shared = _resolved(go, work / "all", packages, sums)
        for name, recipe in known.items():
            if not chosen or chosen & {name, family.name}:
                packages = _sources([recipe], work / name)
                needed = {**_used(go, work / "all", packages), **family.requires[name]}
                _start(
                    work / name,
                    name,
                    {m: shared.get(m, v) for m, v in needed.items()},
                    replaces,
                    recipe.packages,
                    lines,
                )
                _patch(go, work / name, [recipe], everything)
                _resolved(go, work / name, packages, sums)
                _trim(go, work / name, packages, lines)
                _vouch(go, work / name, recipe, everything)
                _install(work / name, recipe)


def _replaces(go: Path, family: Family, modules: Mapping[str, str], work: Path) -> dict[str, str]:
    """Return module → "module version" for all that is held back or swapped in ``family``."""
    own = {old: new if " " in new else f"{old} {new}" for old, new in family.replaces.items()}
    if family.joined:
        everything = {module: version for one in family.joined.requires.values() for module, version in one.items()}
        own = {**_replaces(go, family.joined, everything, work), **own}
    if not family.staging:
        return own
    folder = _folder(go, KUBERNETES, modules[KUBERNETES], work)
    replaced = _edited(go, folder / "go.mod")["Replace"]
    names = [one["Old"]["Path"] for one in replaced if one["New"]["Path"].startswith("./staging/")]
    return {**{name: f"{name} {family.staging}" for name in names}, **own}


def _floor(go: Path, family: Family, wanted: Collection[str]) -> dict[str, str]:
    """Return module → version of what the joined family is pinned to, of the modules ``wanted``."""
    pinned: dict[str, str] = {}
    for name in family.joined.requires if family.joined else ():
        for one in _edited(go, recipes()[name].folder / "go.mod")["Require"]:
            pinned[one["Path"]] = one["Version"]
    return {module: version for module, version in pinned.items() if module in wanted}


def _own_sums(modules: Mapping[str, str], replaces: Mapping[str, str]) -> list[str]:
    """Return the lines of the modules' own go.sum files: they know sums that the checksum database does not serve."""
    lines: set[str] = set()
    for module, version in modules.items():
        path, _, other = replaces.get(module, f"{module} {version}").partition(" ")
        file = Path(gotool.environment()["GOMODCACHE"]) / f"{escaped(path)}@{other}" / "go.sum"
        if file.is_file():
            lines.update(file.read_text(encoding="utf-8").splitlines())
    return sorted(lines)


def _sources(chosen: Collection[Recipe], work: Path) -> list[str]:
    """Put the mains of ours into ``work`` and return the tags and packages of ``chosen`` as seen from there."""
    packages: list[str] = []
    tags = [tag for recipe in chosen for tag in recipe.tags]
    for recipe in chosen:
        for package in recipe.packages:
            if package != ".":
                packages.append(package)
                continue
            folder = work / recipe.name
            folder.mkdir(parents=True, exist_ok=True)
            for source in recipe.folder.glob("*.go"):
                shutil.copyfile(source, folder / source.name)
            packages.append(f"./{recipe.name}")
        for source in recipe.folder.glob("generate/*.go"):
            (work / "generate").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, work / "generate" / source.name)
            packages.append("./generate")
    # A module that is patched is not complete before its files are generated.
    lenient = ["-e"] if any(recipe.patched for recipe in chosen) else []
    return [*lenient, f"-tags={','.join(tags)}", *packages]


def _start(
    work: Path,
    name: str,
    modules: Mapping[str, str],
    replaces: Mapping[str, str],
    tools: Iterable[str],
    sums: list[str],
) -> None:
    work.mkdir(parents=True, exist_ok=True)
    named = [tool for tool in tools if tool != "."]
    text = [f"module korthweb.lab/build/{name}", "", f"go {GO}", ""]
    for word, lines in (
        ("tool", sorted(named)),
        ("require", [f"{module} {version}" for module, version in sorted(modules.items())]),
        (
            "replace",
            [f"{old} => {new}" for old, new in sorted(replaces.items()) if old in modules or name not in modules],
        ),
    ):
        if lines:
            text += [f"{word} (", *(f"\t{line}" for line in lines), ")", ""]
    (work / "go.mod").write_text("\n".join(text), encoding="utf-8")
    (work / "go.sum").write_text("".join(f"{line}\n" for line in sums), encoding="utf-8")


def _patch(go: Path, work: Path, chosen: Iterable[Recipe], modules: Mapping[str, str]) -> None:
    """Resolve a module that is only cut down (it needs no inputs) as it is built: nothing is pinned for what goes."""
    for recipe in chosen:
        if recipe.patched and not recipe.inputs:
            folder = _folder(go, recipe.patched, modules[recipe.patched], work)
            shutil.copytree(folder, work / COPY, copy_function=shutil.copyfile, dirs_exist_ok=True)
            for path in (work / COPY, *(work / COPY).rglob("*")):
                if path.is_dir():
                    path.chmod(0o755)
            _go(go, work, ["run", str(recipe.folder / "generate" / "main.go"), COPY], {"GOFLAGS": "-mod=mod"})
            _go(go, work, ["mod", "edit", f"-replace={recipe.patched}=./{COPY}"], {})


def _resolved(go: Path, work: Path, packages: list[str], sums: list[str]) -> dict[str, str]:
    """Let Go complete go.mod and go.sum in ``work`` and return module → version of what ``packages`` need."""
    exempt = ",".join(line.split()[0] for line in sums)
    _go(go, work, ["list", "-mod=mod", "-deps", *packages], {"GONOSUMDB": exempt})
    return _used(go, work, packages)


def _used(go: Path, work: Path, packages: list[str]) -> dict[str, str]:
    """Return module → selected version (before replacing) of all that ``packages`` import."""
    shape = "{{with .Module}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}"
    listed = _go(go, work, ["list", "-mod=mod", "-deps", "-f", shape, *packages], {})
    return dict(line.split() for line in set(listed.split("\n")) if line)


def _trim(go: Path, work: Path, packages: list[str], known: list[str]) -> None:
    """Leave in go.sum only the lines that the build asks for; what they say was checked when they came."""
    full = set((work / "go.sum").read_text(encoding="utf-8").splitlines())
    (work / "go.sum").write_text("", encoding="utf-8")
    _go(
        go,
        work,
        ["list", "-mod=mod", "-deps", *packages],
        {"GONOSUMDB": "*", "GONOSUMCHECK": "1", "GOFLAGS": "-modcacherw"},
    )
    strange = set((work / "go.sum").read_text(encoding="utf-8").splitlines()) - full - set(known)
    if strange:
        raise SystemExit(f"sums that nobody vouches for: {sorted(strange)}")


def _vouch(go: Path, work: Path, recipe: Recipe, modules: Mapping[str, str]) -> None:
    """Add the sums of the modules that ``recipe`` only takes files from, or builds from a copy."""
    cut = recipe.patched if not recipe.inputs else ""
    if cut:
        _go(go, work, ["mod", "edit", f"-dropreplace={cut}"], {})
    for module in (*(module for _, module in recipe.inputs), *([f"{cut}@{modules[cut]}"] if cut else ())):
        read = json.loads(_go(go, work, ["mod", "download", "-json", module], {}))
        with (work / "go.sum").open("a", encoding="utf-8") as file:
            file.write(f"{read['Path']} {read['Version']} {read['Sum']}\n")
            if cut:
                file.write(f"{read['Path']} {read['Version']}/go.mod {read['GoModSum']}\n")


def _install(work: Path, recipe: Recipe) -> None:
    recipe.folder.mkdir(parents=True, exist_ok=True)
    for name in ("go.mod", "go.sum"):
        before = (recipe.folder / name).read_text(encoding="utf-8") if (recipe.folder / name).is_file() else ""
        after = (work / name).read_text(encoding="utf-8")
        if before != after:
            (recipe.folder / name).write_text(after, encoding="utf-8")
            print(f"{recipe.name}: {name} changed, {len(after.splitlines())} lines")


def _folder(go: Path, module: str, version: str, work: Path) -> Path:
    _go(go, work, ["mod", "download", f"{module}@{version}"], {})
    return Path(gotool.environment()["GOMODCACHE"]) / f"{escaped(module)}@{version}"


def _edited(go: Path, file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(_go(go, file.parent, ["mod", "edit", "-json", str(file)], {}))
    return read


def _go(go: Path, work: Path, argv: list[str], extra: Mapping[str, str]) -> str:
    env = {**gotool.environment(), **{name: value for name, value in extra.items() if value}}
    done = subprocess.run([str(go), *argv], cwd=work, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"go {' '.join(argv[:3])} in {work}: {done.stderr[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
