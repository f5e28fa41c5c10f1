"""Where each CLI comes from: the PATH, the cache, a release download, or a build from Go modules."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.core.words import unknown
from korthweb_tasks.errors import ToolMissing
from korthweb_tasks.provision import building, download, known_versions, prune
from korthweb_tasks.settings import versions

Source = Literal["auto", "path", "download", "build"]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Tool:
    """One CLI. ``release`` and ``checksums`` are addresses with {base}, {version}, {os} and {arch} in them.

    ``member`` is its path in the release's archive ("" where the release is the program itself); ``components``
    are the recipes that make it, the smallest first.
    """

    name: str
    ask: tuple[str, ...]
    says: str
    version: str
    accepted: str
    base: str = ""
    release: str = ""
    checksums: str = ""
    member: str = ""
    components: tuple[str, ...] = ()

    def parse_version(self, text: str) -> str | None:
        """Return the version in the answer ``text`` of the tool, like "1.36.3"; None if there is none."""
        match = re.search(self.says, text)
        return match[1] if match else None

    def accepts(self, version: str) -> bool:
        """Return True if ``version`` is in the supported range."""
        return versions.within(version, self.accepted)

    def address(self, template: str, base: str | None = None) -> str:
        """Return the address of a release file; ``base`` replaces the official host (a mirror, a test)."""
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        system = platform.system().lower()
        return template.format(base=base or self.base, version=self.version, os=system, arch=machine)


@dataclass(frozen=True)
class Located:
    """A CLI that can be used: where it is, its version, and where it came from."""

    name: str
    path: Path
    version: str
    origin: str


@dataclass(frozen=True)
class Status:
    """One line of ``tools.list``. ``located`` is None where the tool is missing, and ``note`` says more."""

    tool: Tool
    located: Located | None
    note: str = ""


def _pinned(name: str, ask: str, says: str, **rest: object) -> Tool:
    pin = versions.tool_pin(name)
    return Tool(name, tuple(ask.split()), says, version=pin.version, accepted=pin.accepted, **rest)  # type: ignore[arg-type]


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _pinned(
            "kubectl", "version --client", r"Client Version: v(\d+\.\d+\.\d+)",
            base="https://dl.k8s.io", release="{base}/release/v{version}/bin/{os}/{arch}/kubectl",
            checksums="{base}/release/v{version}/bin/{os}/{arch}/kubectl.sha256",
            components=("kubectl", "kubernetes"),
        ),
        _pinned(
            "helm", "version --short", r"v(\d+\.\d+\.\d+)",
            base="https://get.helm.sh", release="{base}/helm-v{version}-{os}-{arch}.tar.gz",
            checksums="{base}/helm-v{version}-{os}-{arch}.tar.gz.sha256sum",
            member="{os}-{arch}/helm", components=("helm",),
        ),
        _pinned(
            "istioctl", "version --remote=false", r"(\d+\.\d+\.\d+)", base="https://github.com/istio/istio",
            release="{base}/releases/download/{version}/istioctl-{version}-{os}-{arch}.tar.gz",
            checksums="{base}/releases/download/{version}/istioctl-{version}-{os}-{arch}.tar.gz.sha256",
            member="istioctl", components=("istio",),
        ),
        _pinned(
            "flux", "--version", r"flux version (\d+\.\d+\.\d+)", base="https://github.com/fluxcd/flux2",
            release="{base}/releases/download/v{version}/flux_{version}_{os}_{arch}.tar.gz",
            checksums="{base}/releases/download/v{version}/flux_{version}_checksums.txt",
            member="flux", components=("flux",),
        ),
        _pinned(
            "sops", "--version --disable-version-check", r"sops (\d+\.\d+\.\d+)", base="https://github.com/getsops/sops",
            release="{base}/releases/download/v{version}/sops-v{version}.{os}.{arch}",
            checksums="{base}/releases/download/v{version}/sops-v{version}.checksums.txt",
            components=("sops",),
        ),
        # its releases have no checksums file: from the PATH, or built
        _pinned("age-keygen", "--version", r"v?(\d+\.\d+\.\d+)", components=("sops",)),
        Tool("git", ("--version",), r"git version (\d+\.\d+(?:\.\d+)?)", version="2", accepted=">=2.20,<3"),
    )
}  # fmt: skip


def locate(
    name: str,
    *,
    source: Source = "auto",
    base: str | None = None,
    path: str | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    keep_caches: bool = False,
) -> Located:
    """Return a usable ``name``; with "auto": PATH → what was fetched before → release download → built.

    ``base`` replaces the official release host, ``path`` the PATH that is searched. After a build its caches
    (gigabytes) are removed, unless ``keep_caches``. Raises ToolMissing with what was tried, WrongChecksum,
    BuildFailed, NoSpace, and Interrupted once ``stop`` is set.
    """
    tool = tool_of(name)
    located = present(tool, source=source, path=path)
    if located:
        return located
    tried = [_on_path_note(tool, path)] if source in ("auto", "path") else []
    if source in ("auto", "download") and tool.release:
        try:
            return _downloaded(tool, base, progress, stop)
        except download.WrongChecksum:
            raise
        except ToolMissing as error:
            tried.append(error.message)
    if source in ("auto", "build") and tool.components:
        try:
            return _build(tool, progress, stop, keep_caches)
        except ToolMissing as error:
            tried.append(error.message)
    hint = (
        f"install {name} {tool.accepted}, or `{hints.task('tools.install', name)}`"
        if source == "path"
        else f"install {name} {tool.accepted}"
    )
    raise ToolMissing(f"{name} ({tool.accepted}) is needed: {'; '.join(tried) or 'no source for it'}", hint=hint)


def present(tool: Tool, *, source: Source = "auto", path: str | None = None) -> Located | None:
    """Return ``tool`` where it can be had without a download or a build, else None."""
    if source in ("auto", "path"):
        for program in _on_path(tool.name, path):
            version = known_versions.version_of(tool, program)
            if version and tool.accepts(version):
                return Located(tool.name, program, version, "PATH")
    if source in ("auto", "download") and (cached := _cached(tool)).is_file():
        return Located(tool.name, cached, tool.version, "release")
    if source in ("auto", "build"):
        for component in tool.components:
            program = building.folder(component) / tool.name
            if program.is_file():
                return _built(tool, program)
    return None


def listing(*, source: Source = "auto", path: str | None = None) -> list[Status]:
    """Return, for each CLI, which one would be used; nothing is downloaded or built."""
    statuses = []
    for tool in TOOLS.values():
        located = present(tool, source=source, path=path)
        statuses.append(Status(tool, located, "" if located else _on_path_note(tool, path)))
    return statuses


def install(
    names: Iterable[str],
    *,
    source: Source = "auto",
    progress: Callable[[str, str], None] | None = None,
    keep_caches: bool = True,
    stop: threading.Event | None = None,
) -> list[Located]:
    """Bring each of ``names`` and return where they are; without ``keep_caches`` a build's caches are removed.

    Raises ToolMissing, BuildFailed and NoSpace.
    """
    wanted = list(names)
    absent = {name for name in wanted if not present(tool_of(name), source=source)}
    installed = [
        locate(name, source=source, progress=_named(name, progress), stop=stop, keep_caches=True) for name in wanted
    ]
    if not keep_caches and any(located.name in absent and located.origin == "built" for located in installed):
        prune.prune_build_caches()
    return installed


def tool_of(name: str) -> Tool:
    """Return the tool called ``name``. Raises UsageError for one that korthweb does not know."""
    if name not in TOOLS:
        raise unknown("tool", name, TOOLS)
    return TOOLS[name]


def _named(name: str, progress: Callable[[str, str], None] | None) -> Progress | None:
    return (lambda line: progress(name, line)) if progress else None


def _on_path(name: str, path: str | None) -> Iterable[Path]:
    """Yield every ``name`` on the PATH, not only the first: an old one must not hide a new one."""
    for folder in (path if path is not None else os.environ.get("PATH", "")).split(os.pathsep):
        if folder and (program := shutil.which(name, path=folder)):
            yield Path(program)


def _on_path_note(tool: Tool, path: str | None) -> str:
    versions = [
        f"{known_versions.version_of(tool, program) or 'of unknown version'} in {program.parent}"
        for program in _on_path(tool.name, path)
    ]
    return f"on the PATH: {', '.join(versions)}" if versions else "not on the PATH"


def _cached(tool: Tool) -> Path:
    return paths.cache_dir() / "downloads" / f"{tool.name}-{tool.version}" / tool.name


def _built(tool: Tool, program: Path) -> Located:
    return Located(tool.name, program, known_versions.version_of(tool, program) or tool.version, "built")


def _build(tool: Tool, progress: Progress | None, stop: threading.Event | None, keep_caches: bool) -> Located:
    program = building.binary(tool.components[0], tool.name, progress=progress, stop=stop)
    if not keep_caches:
        prune.prune_build_caches()
    return _built(tool, program)


def _downloaded(tool: Tool, base: str | None, progress: Progress | None, stop: threading.Event | None) -> Located:
    target = _cached(tool)
    url = tool.address(tool.release, base)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=target.parent) as work:
        file = download.verified(
            url, tool.address(tool.checksums, base), Path(work) / url.rsplit("/", 1)[-1], progress=progress, stop=stop
        )
        program = _unpacked(file, tool.address(tool.member), Path(work)) if tool.member else file
        program.chmod(0o755)
        answered = known_versions.asked(tool, program)
        if answered is None or not tool.accepts(answered):
            raise ToolMissing(f"{url} holds {tool.name} {answered or 'of unknown version'}, not {tool.accepted}")
        program.replace(target)
    return Located(tool.name, target, answered, "release")


def _unpacked(archive: Path, member: str, folder: Path) -> Path:
    target = folder / "program"
    try:
        with tarfile.open(archive) as tar:
            source = tar.extractfile(member)
            if source is None:
                raise KeyError(member)
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
    except (KeyError, tarfile.TarError) as error:
        raise ToolMissing(f"{archive.name} has no file '{member}'") from error
    return target
