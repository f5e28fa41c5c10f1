"""The recipes as data: complete, consistent, and keyed by everything that changes what comes out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from korthweb_tasks.errors import BuildFailed
from korthweb_tasks.provision import recipes

ALL = sorted(recipes.recipes())


@pytest.mark.parametrize("name", ALL)
def test_a_recipe_has_pins_and_says_what_comes_out(name: str) -> None:
    one = recipes.recipe(name)
    assert {"go.mod", "go.sum"} <= {path.name for path in one.sources}
    assert one.binaries
    assert len(one.packages) in (1, len(one.binaries))
    assert ("." in one.packages) == any(path.parent == one.folder and path.suffix == ".go" for path in one.sources)
    assert f"module korthweb.lab/build/{one.folder.name}\n" in (one.folder / "go.mod").read_text()


@pytest.mark.parametrize("name", ALL)
def test_extras_come_from_modules_that_the_pins_name(name: str) -> None:
    one = recipes.recipe(name)
    pinned = (one.folder / "go.mod").read_text()
    for extra in one.extras:
        assert re.search(rf"^\t{re.escape(extra.module)} v", pinned, re.M), extra


def test_components_of_one_family_agree_on_the_versions_they_share() -> None:
    shared: dict[str, set[str]] = {}
    for name in ("kubernetes", "kwok", "istio", "helm", "metrics-server", "kube-router", "coredns"):
        text = (recipes.recipe(name).folder / "go.mod").read_text()
        for module, version in re.findall(r"^\t(\S+) (v\S+)(?: // indirect)?$", text, re.M):
            shared.setdefault(module, set()).add(version)
    differing = {module for module, versions in shared.items() if len(versions) > 1}
    assert not differing - {"k8s.io/metrics"}, "a package of these is compiled more than once"


def test_every_component_is_built_with_the_same_flags_but_for_tags_and_link_time_variables() -> None:
    for name in ALL:
        arguments = recipes.recipe(name).arguments
        assert arguments[: len(recipes.BUILD_FLAGS)] == recipes.BUILD_FLAGS
        assert not any("CGO" in argument for argument in arguments)


def test_the_version_enters_the_link_time_variables() -> None:
    linked = next(argument for argument in recipes.recipe("istio").arguments if argument.startswith("-ldflags="))
    assert "-X istio.io/istio/pkg/version.buildVersion=1.31.1" in linked
    assert "{version}" not in linked


def test_the_key_changes_with_pins_recipe_and_toolchain_and_with_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module a\n")
    one = recipes.Recipe("a", "1", ("a/b",), ("b",), folder=tmp_path)
    key = one.key("1.26.8")
    assert re.fullmatch(r"[0-9a-f]{12}", key)
    assert one.key("1.26.8") == key == replace(one, disk=9.0).key("1.26.8")
    assert len({key, one.key("1.26.9"), replace(one, tags=("x",)).key("1.26.8")}) == 3
    (tmp_path / "go.sum").write_text("x\n")
    assert one.key("1.26.8") != key


def test_a_patched_module_has_a_generator_and_sums_for_what_it_is_made_from() -> None:
    for one in recipes.recipes().values():
        assert bool(one.patched) == (one.folder / "generate" / "main.go").is_file()
        assert one.patched or not one.inputs
        sums = (one.folder / "go.sum").read_text()
        assert all(f"{module.replace('@', ' ')} h1:" in sums for _, module in one.inputs)


def test_a_module_that_is_cut_down_is_pinned_itself_and_what_goes_is_not() -> None:
    one = recipes.recipe("traefik")
    sums, pinned = (one.folder / "go.sum").read_text(), (one.folder / "go.mod").read_text()
    assert f"{one.patched} {one.version} h1:" in sums
    assert f"\t{one.patched} {one.version}\n" in pinned
    assert "./patched" not in pinned
    assert not re.search(r"aws-sdk|azure-sdk|digitalocean|tencentcloud", pinned)


def test_an_unknown_component_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BuildFailed) as raised:
        recipes.recipe("kubernets")
    assert "kubernetes" in raised.value.hint
