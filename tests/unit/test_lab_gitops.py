"""What the GitOps approach gets from a lab: images, charts and versions agree, and the Git server is nobody else's."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import invoke
import pytest
import yaml

from korthweb_tasks.collections import lab as tasks
from korthweb_tasks.errors import BuildFailed, LabImpossible, UsageError
from korthweb_tasks.lab import addons, charts, cluster, gitserver, image_parts, process, store
from korthweb_tasks.lab.addon_install import AddonInstall
from korthweb_tasks.lab.addon_install import addons as known
from korthweb_tasks.lab.charts import version_of
from korthweb_tasks.lab.graph import Work
from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.lab.packages import RECIPES
from korthweb_tasks.lab.raising import Options, chosen_images, needed
from korthweb_tasks.provision import builder, tools
from korthweb_tasks.provision.recipes import recipe
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.charts import CHARTS
from korthweb_tasks.settings.versions import PINS

GITOPS = known()["gitops"]
LAYOUT = Layout("g1", Path("/state/labs/g1"), index=3)
PROFILE = yaml.safe_load((Path(addons.__file__).parents[1] / "settings" / "profiles" / "lab.yaml").read_text())


def image(name: str) -> str:
    return str(yaml.safe_load((RECIPES / "images" / f"{name}.yaml").read_text())["name"])


@pytest.mark.parametrize("name", [name for name in GITOPS.images if name != "postgresql"])
def test_an_image_is_named_by_the_version_of_what_is_in_it(name: str) -> None:
    (component,) = ImageRecipes().components([name])
    assert image(name) == f"korthweb.lab/{name}:{recipe(component).version}"


def test_the_profile_of_the_lab_names_the_images_and_the_charts_that_it_brings() -> None:
    assert PROFILE["images"]["cloudnative_pg"] == image("cloudnative-pg")
    assert PROFILE["images"]["cnpg_postgres"] == image("postgresql")
    assert {name for name in GITOPS.charts if PROFILE["charts"][name]["source"] != "lab"} == set()
    assert set(GITOPS.charts) <= CHARTS.keys() & charts.FILL.keys()


def test_charts_have_the_versions_that_the_profile_asks_for() -> None:
    wanted = {**{name: pin.version for name, pin in PINS.items()}, **PROFILE["versions"]}
    for chart in GITOPS.charts:
        assert version_of(chart, {}) == CHARTS[chart].tag(wanted)


def test_a_chart_out_of_a_module_has_its_version_and_a_chart_of_the_labs_own_the_wanted_one() -> None:
    wanted = {"istiod": "1.30.0", "cloudnative-pg": "0.26.9"}
    assert version_of("istiod", wanted) == recipe("istio").version
    assert version_of("cloudnative-pg", wanted) == "0.26.9"


def test_the_labs_chart_of_the_stack_names_the_labs_images() -> None:
    values = yaml.safe_load((RECIPES / "charts" / "kube-prometheus-stack" / "values.yaml").read_text())
    operator, spec = values["prometheusOperator"], values["prometheus"]["prometheusSpec"]
    version = recipe(charts.component_of("kube-prometheus-stack")).version
    for one in (operator["image"], operator["prometheusConfigReloader"]["image"]):
        assert f"{one['registry']}/{one['repository']}:{one['tag'] or version}" == image(one["repository"])
    assert "{registry}/{repository}:{tag}".format(**spec["image"]) == image("prometheus")


def test_what_is_brought_on_request_is_no_part_of_a_lab_but_may_be_built_along() -> None:
    assert not set(GITOPS.images) & set(chosen_images(Options()))
    assert not {"source-controller", "flux"} & set(needed(Options(), simulated=False))
    assert needed(Options(more=("flux",)), simulated=False)[-1] == "flux"


def test_everything_of_the_approach_is_built_in_the_order_of_the_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "present", lambda tool: Path("/bin/helm") if tool.name == "helm" else None)
    controllers = ["source-controller", "kustomize-controller", "helm-controller", "cloudnative-pg"]
    assert GITOPS.components() == ["cert-manager", "istio", "flux", *controllers, "prometheus-operator", "sops"]


def works(monkeypatch: pytest.MonkeyPatch, missing: list[str]) -> dict[str, Work]:
    monkeypatch.setattr(tools, "present", lambda _: Path("/bin/x"))
    monkeypatch.setattr(builder, "missing", lambda names: [name for name in names if name in missing])
    site: Any = SimpleNamespace(runner=Runner())
    versions = {chart: version_of(chart, {}) for chart in GITOPS.charts}
    return {work.name: work for work in AddonInstall(site, Console(), GITOPS, versions).works()}


def test_with_everything_built_images_charts_and_servers_go_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    found = works(monkeypatch, [])
    assert {name: work.needs for name, work in found.items()} == {
        "tools": (),
        "registry": ("tools",),
        "git": ("tools",),
        "images:": ("tools",),
        "charts:": ("registry",),
    }


def test_an_image_and_a_chart_wait_for_their_own_program_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = works(monkeypatch, ["cloudnative-pg", "istio"])
    assert found["images:"].needs == ("tools",)
    assert found["images:cloudnative-pg"].needs == ("tools", "build:cloudnative-pg")
    assert found["charts:cloudnative-pg"].needs == ("registry", "build:cloudnative-pg")
    assert found["charts:istio"].needs == ("registry", "build:istio")
    assert found["charts:"].needs == ("registry",)


def test_istiods_chart_gets_the_hub_and_tag_of_a_release_and_the_name_of_the_settings(tmp_path: Path) -> None:
    built, made = tmp_path / "built", tmp_path / "istiod"
    source = built / "share" / "charts" / "istiod"
    source.mkdir(parents=True)
    (source / "Chart.yaml").write_text("name: istiod\nversion: 1.0.0\n")
    (source / "values.yaml").write_text(
        '  hub: ""\n  tag: ""\n  global:\n    hub: some.host/testing\n    tag: latest\n'
    )
    charts._istio(built, made, "1.31.1")
    assert "    hub: docker.io/istio\n    tag: 1.31.1\n" in (made / "values.yaml").read_text()
    (source / "values.yaml").write_text("global: {}\n")
    with pytest.raises(BuildFailed, match=r"no line like 'hub: docker\.io/istio'"):
        charts._istio(built, made, "1.31.1")


def test_cloudnative_pgs_manifest_is_parted_and_nothing_of_it_is_lost_but_the_namespace(tmp_path: Path) -> None:
    objects = [
        ("Namespace", "a"),
        ("CustomResourceDefinition", "b"),
        ("Deployment", "c"),
        ("CustomResourceDefinition", "d"),
    ]
    release = "---\n".join(f"kind: {kind}\nmetadata:\n  name: {name}\n" for kind, name in objects)
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "release.yaml").write_text(f"---\n{release}")
    charts._cloudnative_pg(tmp_path, tmp_path / "made", "")
    names = {
        part: [one["metadata"]["name"] for one in yaml.safe_load_all((tmp_path / "made" / part).read_text())]
        for part in ("crds/crds.yaml", "files/release.yaml")
    }
    assert names == {"crds/crds.yaml": ["b", "d"], "files/release.yaml": ["c"]}


def test_a_recipe_names_this_machines_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert image_parts.for_machine("operator/manager_{arch}") == "operator/manager_arm64"


def test_an_unknown_extra_and_a_simulated_lab_are_refused_before_anything_is_done() -> None:
    with pytest.raises(UsageError, match="no extra 'gitop'") as raised:
        addons.addon("gitop")
    assert "gitops" in raised.value.hint
    with pytest.raises(LabImpossible, match="simulated"):
        addons.addon("gitops", simulated=True)
    assert addons.git_access("g1") is None


def test_a_simulated_lab_is_not_begun_when_more_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "up", lambda *_, **__: pytest.fail("the lab was begun"))
    with pytest.raises(LabImpossible, match="a simulated lab can't be given gitops") as raised:
        tasks.up(invoke.Context(), name="x", simulated=True, with_="gitops", dry_run=False, output="text")
    assert raised.value.exit_code == LabImpossible("").exit_code


# ------------------------------------------------------------------------------------------------------- the Git server


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return a lab whose Git server was made ready, and not started."""
    made = Layout("g1", tmp_path, index=3)
    made.config.mkdir()
    (made.config / "git.password").write_text("s3cret\n")
    gitserver.make_repository(tmp_path / "git" / "fleet.git")
    (tmp_path / "git" / "uploads").mkdir()
    return made


def test_the_server_wants_a_password_for_everything_and_speaks_tls_only() -> None:
    text = gitserver.settings(LAYOUT, Path("/bin/git-tools"))
    assert f'server.bind = "{LAYOUT.address}"\nserver.port = 3443\n' in text
    assert 'ssl.engine = "enable"' in text
    assert 'auth.require = ("" =>' in text
    assert '"require" => "valid-user"' in text
    assert "/run/lab/git" in text


def test_its_children_are_found_again_as_the_labs() -> None:
    text = gitserver.settings(LAYOUT, Path("/bin/git-tools"))
    assert f'"{process.LAB_MARK}" => "{LAYOUT.root}"' in text
    assert f'"{process.COMPONENT_MARK}" => "git"' in text


def test_how_to_reach_it_is_told_without_the_password(layout: Layout) -> None:
    found = gitserver.access(layout)
    assert found is not None
    assert (found.url, found.username, found.password) == (f"https://{layout.address}:3443/fleet.git", "git", "s3cret")
    assert "s3cret" not in repr(found)
    assert gitserver.access(LAYOUT) is None


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_the_repository_is_one_for_git_and_is_made_once(layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "git" / "fleet.git"

    def git(*words: str) -> str:
        call = ("git", "--git-dir", str(folder), *words)
        return subprocess.run(call, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    assert git("rev-parse", "--is-bare-repository") == "true"
    assert git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert git("config", "http.receivepack") == "true"
    (folder / "description").write_text("kept")
    gitserver.make_repository(folder)
    assert (folder / "description").read_text() == "kept"


def test_what_a_killed_server_left_does_not_stand_in_the_way(layout: Layout, tmp_path: Path) -> None:
    repository = tmp_path / "git" / "fleet.git"
    left = [repository / "refs/heads/main.lock", repository / "HEAD.lock", tmp_path / "git" / "uploads" / "body"]
    half = repository / "objects" / "tmp_objdir-incoming-x"
    half.mkdir()
    for path in (*left, half / "pack"):
        path.write_text("")
    (repository / "refs/heads/main").write_text("0" * 40)
    gitserver._clean_up(layout)
    assert [path for path in (*left, half) if path.exists()] == []
    assert (repository / "refs/heads/main").exists()


def test_it_is_a_component_of_the_lab_from_then_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path))
    lab = store.create("g1", 3)
    assert "git" not in {one.name for one in cluster.status("g1").components}
    lab.layout.config.mkdir()
    gitserver.settings_file(lab.layout).write_text("")
    assert {one.name: one.state for one in cluster.status("g1").components}["git"] == "stopped"


def test_each_image_is_of_an_add_on_that_there_is() -> None:
    named = {recipe.get("addon") for recipe in map(ImageRecipes().read, ImageRecipes().names())}
    assert named - {None} == known().keys()
