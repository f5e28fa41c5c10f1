"""A private apt: its own lists, cache and empty status, fed from the mirror that the host already uses.

Nothing here names a host: mirror and keyring come from the machine's own apt sources, and the
machine's own apt state is read, never written.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import BuildFailed, KorthwebError, LabImpossible, NoSpace, tail
from korthweb_tasks.run.runner import Runner

HOST = "host"  # the suite name in recipes that stands for the host's own release
FRESH_SECONDS = 24 * 3600  # lists younger than this are not fetched again
APT_SECONDS = 900
LOCK_SECONDS, LOCK_PAUSE = 60.0, 0.5

_URI_LINE = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) [0-9]+ SHA256:(?P<sha>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Source:
    """One `deb` source of the host: where, which suites and components, and the key that signs it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Deb:
    """One exact package file."""

    name: str
    version: str
    sha256: str


def parse_one_line(text: str) -> Iterator[Source]:
    """Yield the `deb` lines of a classic sources.list."""
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<rest>[^#]+)", line)
        if match is None:
            continue
        uri, suite, *components = match["rest"].split()
        options = dict(item.split("=", 1) for item in (match["options"] or "").split() if "=" in item)
        yield Source(uri, (suite,), tuple(components), options.get("signed-by", ""))


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the enabled `deb` stanzas of a deb822 .sources file; an inline key keeps its lines."""
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += "\n" + line
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
            yield Source(uri, tuple(suites), tuple(components), fields.get("signed-by", ""))


def host_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """Return every `deb` source of the host."""
    sources: list[Source] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.is_file() and path.suffix in (".list", ".sources"):
            parse = parse_deb822 if path.suffix == ".sources" else parse_one_line
            sources.extend(parse(path.read_text(errors="replace")))
    return sources


def host_codename(os_release: Path = Path("/etc/os-release")) -> str:
    """Return the codename of the host's release, "sid" where a Debian names none; "" if it is not Debian."""
    fields = dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line)
    codename = fields.get("VERSION_CODENAME", "").strip('"')
    return codename or ("sid" if fields.get("ID", "").strip('"') == "debian" else "")


def pick_mirror(sources: Sequence[Source], codename: str) -> Source:
    """Return the source of the host's own main archive. Raise LabImpossible when there is none."""
    for source in sources:
        if codename in source.suites and "main" in source.components and "://" in source.uri:
            return source
    raise LabImpossible(
        f"this machine's apt sources name no mirror with the suite {codename or 'of a Debian release'!r}",
        hint="the lab needs Debian (or an apt with a Debian mirror); "
        f"use an existing cluster: `{hints.task('context.list')}`",
    )


class Apt:
    """apt for one suite in one private folder; `env` and `conf` keep the host's state out of it."""

    def __init__(self, folder: Path, suite: str, mirror: Source, runner: Runner) -> None:
        self.folder, self.suite, self.mirror, self.runner = folder, suite, mirror, runner

    def stale(self) -> bool:
        """Return True if the package lists are missing or older than a day."""
        stamp = self.folder / "updated"
        return not stamp.is_file() or not 0 <= time.time() - stamp.stat().st_mtime < FRESH_SECONDS

    def update(self) -> None:
        """Fetch the package lists. Raise BuildFailed, NoSpace or LabImpossible."""
        self._configure()
        # apt-get update ends with 0 after a lost connection and old lists; Error-Mode=any makes it say so.
        self._apt("update", "-o", "APT::Update::Error-Mode=any")
        (self.folder / "updated").write_text("")

    def resolve(self, packages: Sequence[str], *, closure: bool) -> list[Deb]:
        """Return the exact packages for the names, with all they depend on when ``closure``."""
        verb = ("install", "-y", "--no-install-recommends") if closure else ("download",)
        lines = self._apt(*verb, "--print-uris", *packages).splitlines()
        debs = sorted({deb for line in lines if (deb := parse_uri_line(line)) is not None})
        if not debs:
            raise BuildFailed(f"apt named no package file for {' '.join(packages)} in {self.suite}")
        return debs

    def download(self, debs: Sequence[Deb], into: Path) -> None:
        """Fetch the package files into the folder, under apt's own names."""
        into.mkdir(parents=True, exist_ok=True)
        self._apt("download", *(f"{deb.name}={deb.version}" for deb in debs), cwd=str(into))

    def _apt(self, *arguments: str, cwd: str | None = None) -> str:
        argv = ("apt-get", "-q", *arguments)
        env = {"APT_CONFIG": str(self.folder / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
        command = Command(argv=argv, env=env, cwd=cwd, timeout=APT_SECONDS, repeatable=True)
        result = self.runner.check(command)  # not run(): its errors speak of clusters
        deadline = time.monotonic() + LOCK_SECONDS
        while "Could not get lock" in result.stderr and time.monotonic() < deadline:
            self.runner.sleep(LOCK_PAUSE)  # the apt-get of a korthweb that was killed is still at work
            result = self.runner.check(command)
        if result.code != 0:
            raise self._explained(arguments[0], result.stderr)
        return result.stdout

    def _explained(self, verb: str, stderr: str) -> KorthwebError:
        if "NO_PUBKEY" in stderr or "is not signed" in stderr:
            what = f"this machine's archive keys do not cover the suite {self.suite}"
            return LabImpossible(what, hint="apt-get install debian-archive-keyring", details=tail(stderr))
        if "No space left" in stderr:
            return NoSpace(f"the disk is full: apt-get {verb} in {self.folder}", details=tail(stderr))
        hint = "check the mirror in /etc/apt/sources.list* and the network, then run the same command again"
        return BuildFailed(f"apt-get {verb} for the suite {self.suite} failed", hint=hint, details=tail(stderr))

    def _configure(self) -> None:
        """Write apt.conf and the one source; of the host's configuration only how to fetch is taken over."""
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text("")
        stanza = {"Types": "deb", "URIs": self.mirror.uri, "Suites": self.suite, "Components": "main"}
        if self.mirror.signed_by:
            stanza["Signed-By"] = self.mirror.signed_by
        (self.folder / "suite.sources").write_text("".join(f"{key}: {value}\n" for key, value in stanza.items()))
        dump = self.runner.run(Command(argv=("apt-config", "dump"), timeout=60)).stdout
        (self.folder / "apt.conf").write_text(private_conf(self.folder, dump))


def private_conf(folder: Path, dump: str) -> str:
    """Return an apt.conf for the folder with the host's Acquire settings (proxies, certificates) in it.

    The host's own conf files are not read: hooks in them (``APT::Update::Post-Invoke``) act on the host.
    """
    own: Mapping[str, str] = {
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": f"{folder}/parts",
        "Dir::Etc::sourcelist": f"{folder}/suite.sources",
        "Dir::Etc::sourceparts": f"{folder}/parts",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": f"{folder}/parts",
        "Dir::State": f"{folder}",
        "Dir::State::lists": f"{folder}/lists",
        "Dir::State::status": f"{folder}/status",
        "Dir::Cache": f"{folder}/cache",
        "Dir::Log": f"{folder}/log",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        "Acquire::GzipIndexes": "true",
        "Acquire::ForceHash": "SHA256",
        "Acquire::Retries": "3",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
    }
    fetch = [line for line in dump.splitlines() if line.startswith(("Acquire::http", "Acquire::ftp", "Acquire::Check"))]
    return "".join(f"{line}\n" for line in [*fetch, *(f'{key} "{value}";' for key, value in own.items())])


def parse_uri_line(line: str) -> Deb | None:
    """Read one line of ``--print-uris``; None for any other line."""
    match = _URI_LINE.fullmatch(line.strip())
    if match is None or match["file"].count("_") != 2:
        return None
    name, version, _ = match["file"].split("_")
    return Deb(unquote(name), unquote(version), match["sha"])


def clear(folder: Path, pattern: str) -> None:
    """Remove what a korthweb that was killed left half made. Call it with the folder's lock held."""
    for path in folder.glob(pattern):
        shutil.rmtree(path, ignore_errors=True)
