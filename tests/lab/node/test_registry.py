"""Images go to a real registry (Debian's docker-registry, on the loopback) and come back the same."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from korthweb_tasks.errors import BuildFailed
from korthweb_tasks.lab import oci
from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.images import Images, image_archives, pulled_archives, push_images, remote_name
from korthweb_tasks.lab.packages import Debs, host_tools
from korthweb_tasks.lab.registry import Registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Serve an empty registry; give the name of a folder in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = tmp_path / "registry.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}}
    settings.write_text(yaml.safe_dump({"version": "0.1", "storage": storage, "http": {"addr": address}}))
    log = (tmp_path / "registry.log").open("w")
    child = subprocess.Popen([host_tools() / "docker-registry", "serve", settings], stdout=log, stderr=log)
    try:
        with Registry() as client:
            deadline = time.monotonic() + 20
            while "not there" not in client.missing([f"{address}/none:1"]).values():
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"{address}/lab"
    finally:
        child.terminate()
        child.wait(10)
        log.close()


def test_an_image_comes_back_as_it_was_pushed(registry: str, tmp_path: Path) -> None:
    built = image_archives(names=["pause"])
    sent = push_images(built, registry)
    assert sent == [f"{registry}/pause:1"]

    images = Images(cache=tmp_path / "cache")
    pulled = pulled_archives(images, {"pause": sent[0]}, must=True)
    assert pulled is not None

    files, descriptor, manifest = oci.read_image(pulled["pause"])
    _, built_descriptor, built_manifest = oci.read_image(built["pause"])
    assert manifest == built_manifest
    assert descriptor["digest"] == built_descriptor["digest"]
    assert descriptor["annotations"]["io.containerd.image.name"] == "korthweb.lab/pause:1"
    assert {oci.blob_path(layer) for layer in manifest["layers"]} <= set(files)


def test_a_second_push_and_a_second_pull_move_nothing(registry: str, tmp_path: Path) -> None:
    built = image_archives(names=["pause"])
    push_images(built, registry)
    push_images(built, registry)
    images = Images(cache=tmp_path / "cache")
    first = pulled_archives(images, {"pause": f"{registry}/pause:1"}, must=True)
    said: list[str] = []
    images.progress = said.append
    assert pulled_archives(images, {"pause": f"{registry}/pause:1"}, must=True) == first
    assert said == []


def test_auto_builds_what_the_mirror_lacks(registry: str) -> None:
    said: list[str] = []
    archives = image_archives(said.append, ["pause"], mode="auto", mirror=registry)
    assert archives == image_archives(names=["pause"])
    assert said[0] == f"building: {registry}/pause:1 can not be pulled (not there)"


def test_pull_says_which_image_the_mirror_lacks(registry: str) -> None:
    with pytest.raises(BuildFailed, match=r"1 of 1 images can not be pulled; .*/pause:1: not there"):
        image_archives(names=["pause"], mode="pull", mirror=registry)


def test_pull_without_a_mirror_takes_the_upstream_image(registry: str, tmp_path: Path) -> None:
    push_images(image_archives(names=["pause"]), registry)
    recipes = tmp_path / "recipes" / "images"
    recipes.mkdir(parents=True)
    (recipes.parent / "sets.yaml").write_text("{}")
    recipe = {"name": "korthweb.lab/pause:1", "upstream": f"{registry}/pause:1", "layers": []}
    (recipes / "pause.yaml").write_text(yaml.safe_dump(recipe))
    images = Images(cache=tmp_path / "cache", recipes=ImageRecipes(recipes))
    pulled = pulled_archives(images, {"pause": remote_name(images.recipes.read("pause"), None)}, must=True)
    assert pulled is not None
    _, descriptor, _ = oci.read_image(pulled["pause"])
    assert descriptor["annotations"]["io.containerd.image.name"] == "korthweb.lab/pause:1"


def test_a_damaged_layer_is_refused(registry: str, tmp_path: Path) -> None:
    push_images(image_archives(names=["pause"]), registry)
    for data in (tmp_path / "registry").rglob("data"):
        if data.stat().st_size > 100_000:
            content = bytearray(data.read_bytes())
            content[1000] ^= 1
            data.write_bytes(content)
    images = Images(cache=tmp_path / "cache", debs=Debs())
    with pytest.raises(BuildFailed, match="where the image says"):
        pulled_archives(images, {"pause": f"{registry}/pause:1"}, must=True)
    assert not list((tmp_path / "cache").rglob("*.tar"))
