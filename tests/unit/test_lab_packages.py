"""The private apt, the store of packages, and the folder of host-side programs."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pytest

from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import BuildFailed, LabImpossible, NoSpace
from korthweb_tasks.lab import apt, packages
from korthweb_tasks.lab.apt import Apt, Deb, Source
from korthweb_tasks.lab.packages import Debs, Selection, add_program
from korthweb_tasks.run.new_folder import new_folder
from korthweb_tasks.run.runner import Runner
from tests.fakes import Answer, ScriptedRunner

MIRROR = "http://mirror.hospital/debian"

ONE_LINE = {
    "plain": ("deb http://m/debian trixie main", [Source("http://m/debian", ("trixie",), ("main",))]),
    "options": (
        "deb [arch=amd64 signed-by=/k.gpg] http://m/debian trixie main contrib",
        [Source("http://m/debian", ("trixie",), ("main", "contrib"), "/k.gpg")],
    ),
    "sources are skipped": ("deb-src http://m/debian trixie main", []),
    "comments are skipped": ("# deb http://m/debian trixie main", []),
    "a comment at the end": (
        "deb http://m/debian trixie main # ours",
        [Source("http://m/debian", ("trixie",), ("main",))],
    ),
    "nothing": ("", []),
}

DEB822 = {
    "plain": (
        "Types: deb\nURIs: http://m/debian\nSuites: trixie trixie-updates\nComponents: main\nSigned-By: /k.gpg\n",
        [Source("http://m/debian", ("trixie", "trixie-updates"), ("main",), "/k.gpg")],
    ),
    "two stanzas, one disabled": (
        "Types: deb\nURIs: http://a\nEnabled: no\n\nTypes: deb deb-src\n# x\nURIs: http://b\nSuites: s\n",
        [Source("http://b", ("s",), ())],
    ),
    "an inline key keeps its lines": (
        "Types: deb\nURIs: http://a\nSuites: s\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n",
        [Source("http://a", ("s",), ("main",), "\n -----BEGIN\n .\n abc")],
    ),
    "only sources": ("Types: deb-src\nURIs: http://a\nSuites: s\nComponents: main\n", []),
}


@pytest.mark.parametrize(("text", "expected"), ONE_LINE.values(), ids=ONE_LINE)
def test_one_line_sources(text: str, expected: list[Source]) -> None:
    assert list(apt.parse_one_line(text)) == expected


@pytest.mark.parametrize(("text", "expected"), DEB822.values(), ids=DEB822)
def test_deb822_sources(text: str, expected: list[Source]) -> None:
    assert list(apt.parse_deb822(text)) == expected


def test_the_hosts_sources_are_read_from_all_files(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://a s main\n")
    (tmp_path / "sources.list.d" / "b.list").write_text("deb http://b s main\n")
    (tmp_path / "sources.list.d" / "c.sources").write_text("Types: deb\nURIs: http://c\nSuites: s\nComponents: main\n")
    (tmp_path / "sources.list.d" / "d.list.bak").write_text("deb http://d s main\n")
    assert [source.uri for source in apt.host_sources(tmp_path)] == ["http://a", "http://b", "http://c"]


def test_the_mirror_is_the_one_of_the_hosts_release() -> None:
    other = Source("https://vendor/apt", ("cloud",), ("main",))
    security = Source(f"{MIRROR}-security", ("bookworm-security",), ("main",))
    main = Source(MIRROR, ("bookworm", "bookworm-updates"), ("main",))
    assert apt.pick_mirror([other, security, main], "bookworm") == main


def test_no_mirror_is_one_clear_line() -> None:
    with pytest.raises(LabImpossible, match="name no mirror with the suite 'bookworm'") as error:
        apt.pick_mirror([Source("https://vendor/apt", ("cloud",), ("main",))], "bookworm")
    assert "existing cluster" in error.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ID=debian\nVERSION_CODENAME=trixie\n", "trixie"), ('ID="debian"\n', "sid"), ("ID=fedora\n", "")],
)
def test_codename(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "os-release").write_text(text)
    assert apt.host_codename(tmp_path / "os-release") == expected


SUM = "a" * 64
URI_LINES = {
    "plain": (f"'http://m/p/bash_5.2_amd64.deb' bash_5.2_amd64.deb 10 SHA256:{SUM}", Deb("bash", "5.2", SUM)),
    "epoch": (f"'http://m/z.deb' zlib1g_1%3a1.3_amd64.deb 10 SHA256:{SUM}", Deb("zlib1g", "1:1.3", SUM)),
    "plus": (f"'http://m/z%2b.deb' gcc_12+b1_all.deb 10 SHA256:{SUM}", Deb("gcc", "12+b1", SUM)),
    "another sum": ("'http://m/x.deb' x_1_amd64.deb 10 MD5Sum:abc", None),
    "chatter": ("Reading package lists...", None),
}


@pytest.mark.parametrize(("line", "expected"), URI_LINES.values(), ids=URI_LINES)
def test_uri_lines(line: str, expected: Deb | None) -> None:
    assert apt.parse_uri_line(line) == expected


def test_private_conf_takes_how_to_fetch_and_no_hooks(tmp_path: Path) -> None:
    dump = "\n".join(
        [
            'APT::Update::Post-Invoke:: "rm -f /var/cache/apt/archives/*.deb";',
            'Acquire::http::Proxy "http://proxy.hospital:3128";',
            'Acquire::IndexTargets::deb::DEP-11::MetaKey "x";',
            'Dir::State "var/lib/apt";',
        ]
    )
    conf = apt.private_conf(tmp_path, dump)
    assert 'Acquire::http::Proxy "http://proxy.hospital:3128";' in conf
    assert "Post-Invoke" not in conf
    assert "DEP-11" not in conf
    assert f'Dir::State::status "{tmp_path}/status";' in conf
    assert 'Dir::Etc::parts "' + str(tmp_path) in conf


Script = dict[tuple[str, ...], Answer | list[Answer] | Callable[[Command], Answer]]


def scripted(script: Script) -> tuple[ScriptedRunner, Runner]:
    runner = ScriptedRunner(script)
    return runner, cast(Runner, runner)


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the apt folder of a Debian host."""
    folder = tmp_path / "etc-apt"
    folder.mkdir()
    (folder / "sources.list").write_text(f"deb {MIRROR} bookworm main\n")
    monkeypatch.setattr(apt, "host_codename", lambda: "bookworm")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return folder


def fake_mirror(debs: Mapping[str, bytes], corrupt: str = "") -> Script:
    """Script an apt that knows these packages (version 1) and serves their content."""

    def uris(command: Command) -> Answer:
        lines = [
            f"'{MIRROR}/{name}_1_amd64.deb' {name}_1_amd64.deb 1 SHA256:{hashlib.sha256(data).hexdigest()}"
            for name, data in debs.items()
        ]
        return Answer("\n".join(["Reading package lists...", *lines]))

    def download(command: Command) -> Answer:
        assert command.cwd is not None
        for word in command.argv:
            if word.endswith("=1"):
                name = word.removesuffix("=1")
                content = b"corrupt" if name == corrupt else debs[name]
                Path(command.cwd, f"{name}_1_amd64.deb").write_bytes(content)
        return Answer()

    return {
        ("apt-config", "dump"): Answer(),
        ("apt-get", "update"): Answer(),
        ("apt-get", "--print-uris"): uris,
        ("apt-get", "download"): download,
    }


def test_fetch_chooses_once_and_then_needs_nothing(tmp_path: Path, etc: Path) -> None:
    selection = Selection("trixie", ("bash",), exclude=("perl*",))
    runner, first = scripted(fake_mirror({"bash": b"B", "libc6": b"C", "perl-base": b"P"}))
    debs = Debs(tmp_path / "cache", first, etc).fetch(selection)
    assert [deb.name for deb in debs] == ["bash", "libc6"]
    store = Debs(tmp_path / "cache", scripted({})[1], etc)
    assert store.fetch(selection) == debs  # a runner without a script fails on any command
    assert store.path(debs[0]).read_bytes() == b"B"
    downloads = [command.argv for command in runner.calls if "download" in command.argv]
    assert [word for word in downloads[0] if "=1" in word] == ["bash=1", "libc6=1"]
    assert all(command.env["APT_CONFIG"].startswith(str(tmp_path)) for command in runner.calls if command.env)


def test_a_lost_package_file_is_fetched_again(tmp_path: Path, etc: Path) -> None:
    selection = Selection("trixie", ("bash",))
    store = Debs(tmp_path / "cache", scripted(fake_mirror({"bash": b"B", "libc6": b"C"}))[1], etc)
    lost = store.path(store.fetch(selection)[0])
    lost.unlink()
    store.fetch(selection)
    assert lost.read_bytes() == b"B"


def test_a_file_with_another_sum_is_refused(tmp_path: Path, etc: Path) -> None:
    store = Debs(tmp_path / "cache", scripted(fake_mirror({"bash": b"B"}, corrupt="bash"))[1], etc)
    with pytest.raises(BuildFailed, match="the file of bash 1 does not have the sum"):
        store.fetch(Selection("trixie", ("bash",)))
    assert not list((tmp_path / "cache" / "debs").glob("*.json"))


FAILURES = {
    "key": ("W: GPG error: NO_PUBKEY 6ED0E7B82643E131", LabImpossible, "archive keys do not cover the suite trixie"),
    "network": ("E: Failed to fetch: Connection refused", BuildFailed, "apt-get update for the suite trixie failed"),
    "disk": ("E: Write error - write (28: No space left on device)", NoSpace, "the disk is full"),
}


@pytest.mark.parametrize(("stderr", "kind", "message"), FAILURES.values(), ids=FAILURES)
def test_a_failing_apt_is_explained(
    tmp_path: Path, etc: Path, stderr: str, kind: type[Exception], message: str
) -> None:
    script: Script = {("apt-config", "dump"): Answer(), ("apt-get", "update"): Answer(stderr=stderr, code=100)}
    with pytest.raises(kind, match=message):
        Debs(tmp_path / "cache", scripted(script)[1], etc).fetch(Selection("trixie", ("bash",)))


def test_the_lists_of_an_apt_that_was_orphaned_are_waited_for(
    tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt, "LOCK_PAUSE", 0.0)
    busy = Answer(stderr="E: Could not get lock /x/lists/lock. It is held by process 7 (apt-get)", code=100)
    script = {**fake_mirror({"bash": b"B"}), ("apt-get", "update"): [busy, busy, Answer()]}
    runner, given = scripted(script)
    Debs(tmp_path / "cache", given, etc).fetch(Selection("trixie", ("bash",)))
    assert sum("update" in command.argv for command in runner.calls) == 3


def test_what_a_killed_run_left_half_made_is_removed(tmp_path: Path, etc: Path) -> None:
    rest = tmp_path / "cache" / "debs" / "fetch-trixie-old"
    other = tmp_path / "cache" / "debs" / "fetch-sid-now"
    rest.mkdir(parents=True)
    other.mkdir()
    Debs(tmp_path / "cache", scripted(fake_mirror({"bash": b"B"}))[1], etc).fetch(Selection("trixie", ("bash",)))
    assert not rest.exists()
    assert other.exists()


def test_no_apt_is_one_clear_line(tmp_path: Path, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(LabImpossible, match="no apt-get and dpkg-deb"):
        Debs(tmp_path / "cache", scripted({})[1], etc).fetch(Selection("trixie", ("bash",)))


def test_the_private_source_carries_the_hosts_mirror_and_key(tmp_path: Path) -> None:
    private = Apt(tmp_path, "trixie", Source(MIRROR, ("bookworm",), ("main",), "/k.gpg"), scripted(fake_mirror({}))[1])
    assert private.stale()
    private.update()
    assert not private.stale()
    stanza = (tmp_path / "suite.sources").read_text()
    assert stanza == f"Types: deb\nURIs: {MIRROR}\nSuites: trixie\nComponents: main\nSigned-By: /k.gpg\n"


@pytest.mark.parametrize(
    ("name", "kept"), [("perl", True), ("perl-base", False), ("bash", True), ("gcc-14-base", False)]
)
def test_what_is_asked_for_is_never_excluded(name: str, kept: bool) -> None:
    assert Selection("trixie", ("perl",), exclude=("perl*", "gcc-*-base")).keeps(name) is kept


def test_the_key_does_not_depend_on_the_order() -> None:
    one, two = Selection("t", ("a", "b")), Selection("t", ("b", "a"))
    assert one.key("t") == two.key("t")
    assert one.key("t") != one.key("u")
    assert one.key("t") != Selection("t", ("a", "b"), closure=False).key("t")


def make_deb(folder: Path, name: str, files: Mapping[str, str]) -> Path:
    """Build a small real package."""
    root = folder / f"{name}-root"
    (root / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: x\n"
    (root / "DEBIAN" / "control").write_text(control)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    subprocess.run(["dpkg-deb", "-b", root, folder / f"{name}.deb"], check=True, capture_output=True)
    return folder / f"{name}.deb"


def known(cache: Path, selection: Selection, debs: list[Path]) -> None:
    """Put packages into the store as if they had been fetched."""
    store = Debs(cache, scripted({})[1])
    entries = []
    for path in debs:
        deb = Deb(path.stem, "1", packages.sha256_of(path))
        store.path(deb).parent.mkdir(parents=True, exist_ok=True)
        store.path(deb).write_bytes(path.read_bytes())
        entries.append({"name": deb.name, "version": deb.version, "sha256": deb.sha256})
    manifest = cache / "debs" / f"{selection.key(selection.suite)}.json"
    manifest.write_text(json.dumps({"debs": entries}))


def test_unpack_merges_the_old_and_the_new_layout(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    selection = Selection("trixie", ("old", "new"))
    old = make_deb(tmp_path, "old", {"lib/x/one.so": "1", "sbin/tool": "t"})
    new = make_deb(tmp_path, "new", {"usr/lib/x/two.so": "2"})
    known(cache, selection, [old, new])
    root = Debs(cache, scripted({})[1]).unpack({"all": selection})
    assert sorted(path.name for path in (root / "all" / "usr" / "lib" / "x").iterdir()) == ["one.so", "two.so"]
    assert (root / "all" / "lib").is_symlink()
    assert (root / "all" / "usr" / "sbin" / "tool").read_text() == "t"
    assert Debs(cache, scripted({})[1]).unpack({"all": selection}) == root


def test_a_broken_package_leaves_no_half_root(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    selection = Selection("trixie", ("broken",))
    (tmp_path / "broken.deb").write_bytes(b"no package")
    known(cache, selection, [tmp_path / "broken.deb"])
    with pytest.raises(BuildFailed, match="can not be unpacked"):
        Debs(cache, scripted({})[1]).unpack({"all": selection})
    assert [path.name for path in (cache / "node").iterdir()] == [".lock"]


def test_a_new_folder_is_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(FileNotFoundError), new_folder(target) as folder:
        (folder / "half").rename(folder / "gone" / "half")
    assert list(tmp_path.iterdir()) == []
    with new_folder(target) as folder:
        (folder / "whole").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (target / "whole").exists()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give an unpacked root with a loader that prints how it is called."""
    lib = tmp_path / "root" / "stable" / "usr" / "lib" / "x86_64-linux-gnu"
    lib.mkdir(parents=True)
    (lib / "ld-linux-x86-64.so.2").write_text('#!/bin/sh\necho "$PLUGINS" "$@"\n')
    (lib / "ld-linux-x86-64.so.2").chmod(0o755)
    (tmp_path / "root" / "stable" / "usr" / "bin").mkdir()
    (tmp_path / "root" / "stable" / "usr" / "bin" / "multi").write_text("")
    return tmp_path / "root"


def test_a_program_that_runs_here_is_linked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "runs_natively", lambda path: True)
    add_program("tool", {"from": "stable", "path": "usr/bin/multi"}, root, root / "bin")
    assert (root / "bin" / "tool").readlink() == root / "stable" / "usr" / "bin" / "multi"


def test_another_is_started_with_its_own_loader_and_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "runs_natively", lambda path: False)
    program = {"from": "stable", "path": "usr/bin/multi", "env": {"PLUGINS": "{lib}/plugins"}}
    add_program("tool", program, root, root / "bin")
    said = subprocess.run([root / "bin" / "tool", "a b", "c"], capture_output=True, text=True, check=True).stdout
    lib = root / "stable" / "usr" / "lib" / "x86_64-linux-gnu"
    multi = root / "stable" / "usr" / "bin" / "multi"
    assert said == f"{lib}/plugins --library-path {lib} --argv0 tool {multi} a b c\n"


def test_one_that_must_run_natively_and_can_not_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "runs_natively", lambda path: False)
    with pytest.raises(LabImpossible, match="runc can not run on this machine"):
        add_program("runc", {"from": "stable", "path": "usr/bin/multi", "native": True}, root, root / "bin")


def test_a_program_that_the_package_lacks_is_an_error(root: Path) -> None:
    with pytest.raises(BuildFailed, match="no usr/bin/gone for tool"):
        add_program("tool", {"from": "stable", "path": "usr/bin/gone"}, root, root / "bin")


def test_natively_is_decided_by_the_hosts_own_linker() -> None:
    assert packages.runs_natively(Path("/bin/sh").resolve())
