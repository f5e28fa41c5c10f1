"""What a change looks like, how a chart is made ready, and the words that helm is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from korthweb_tasks.approaches.helm.diff import changes, masked_text
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import UsageError
from korthweb_tasks.provision.charts import Dependency, staged
from korthweb_tasks.tools.helm import Helm, Release, host_of, pull, push

CHART = Path(__file__).parents[2] / "helm" / "orthanc"


def manifest(*, age: int = 15, password: str = "b2xk", more: str = "") -> str:
    return f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: orthanc-app}}
data: {{age: "{age}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: orthanc-users}}
data: {{ORTHANC_ADMIN_PASSWORD: {password}}}
{more}"""


def test_the_same_is_no_change_whatever_its_order() -> None:
    first, _, second = manifest().partition("---")
    assert changes("BHC", manifest(), f"{second}\n---\n{first}") == []


def test_a_change_is_a_diff_of_one_object() -> None:
    (found,) = changes("BHC", manifest(), manifest(age=20))
    assert found.name == "configmap/orthanc-app"
    assert "-  age: '15'" in found.text
    assert "+  age: '20'" in found.text


def test_a_changed_password_is_told_but_not_shown() -> None:
    (found,) = changes("BHC", manifest(), manifest(password="bmV3"))
    assert found.name == "secret/orthanc-users"
    assert "ORTHANC_ADMIN_PASSWORD" in found.text
    assert "b2xk" not in found.text
    assert "bmV3" not in found.text
    (gone,) = changes("BHC", manifest(), manifest().partition("---")[0])
    assert "b2xk" not in gone.text


def test_a_shown_manifest_has_no_password() -> None:
    assert "b2xk" not in masked_text(manifest())
    assert "ORTHANC_ADMIN_PASSWORD: '********'" in masked_text(manifest())


class Puller:
    """Answers `helm pull` by making the archive."""

    def __init__(self) -> None:
        self.calls: list[Command] = []

    def __call__(self, command: Command) -> Result:
        self.calls.append(command)
        folder = Path(command.argv[command.argv.index("--destination") + 1])
        (folder / "traefik-41.3.0.tgz").write_bytes(b"chart")
        return Result(command, 0, "", "", 0.1)


MIRROR = Dependency("traefik", "oci://mirror.hospital/charts/traefik", "41.3.0", "/etc/ca.crt")


def test_a_chart_is_made_ready_once_with_its_dependency() -> None:
    run = Puller()
    made = staged(CHART, (MIRROR,), run, {})
    about = yaml.safe_load((made.folder / "Chart.yaml").read_text())
    (entry,) = about["dependencies"]
    assert (entry["repository"], entry["condition"]) == ("oci://mirror.hospital/charts", "traefik.enabled")
    assert (made.folder / "charts" / "traefik-41.3.0.tgz").is_file()
    assert about["version"] == made.version
    assert staged(CHART, (MIRROR,), run, {}) == made
    assert len(run.calls) == 1
    assert run.calls[0].argv[-2:] == ("--ca-file", "/etc/ca.crt")


def test_another_dependency_or_default_is_another_version() -> None:
    run = Puller()
    versions = {
        staged(CHART, (MIRROR,), run, {}).version,
        staged(CHART, (), run, {}).version,
        staged(CHART, (), run, {"aet": "X"}).version,
    }
    assert len(versions) == 3
    assert all(version.startswith("0.1.0+") for version in versions)


def test_a_sites_defaults_are_laid_over() -> None:
    made = staged(CHART, (), Puller(), {"images": {"orthanc": "korthweb.lab/orthanc:1.12.7"}})
    values = yaml.safe_load((made.folder / "values.yaml").read_text())
    assert values["images"]["orthanc"] == "korthweb.lab/orthanc:1.12.7"
    assert values["images"]["postgres"].startswith("docker.io/")


def test_a_dependency_may_be_a_folder(tmp_path: Path) -> None:
    chart = tmp_path / "traefik"
    chart.mkdir()
    (chart / "Chart.yaml").write_text("name: traefik\nversion: 41.3.0\n")
    made = staged(CHART, (Dependency("traefik", str(chart), "41.3.0"),), Puller(), {})
    assert (made.folder / "charts" / "traefik" / "Chart.yaml").is_file()


def test_a_path_that_is_no_chart_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"charts\.traefik\.source: .* is not a chart"):
        staged(CHART, (Dependency("traefik", str(tmp_path / "nothing"), "41.3.0"),), Puller(), {})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("oci://ghcr.io/traefik/helm/traefik", ("oci://ghcr.io/traefik/helm/traefik",)),
        ("https://charts.example", ("traefik", "--repo", "https://charts.example")),
    ],
)
def test_a_chart_is_pulled_from_either_kind_of_place(source: str, words: tuple[str, ...]) -> None:
    command = pull(source, "41.3.0", "/to", chart="traefik")
    assert command.argv == ("helm", "pull", *words, "--version", "41.3.0", "--destination", "/to")
    assert command.repeatable
    assert not command.env


def test_a_registry_on_this_machine_needs_no_tls_and_no_proxy() -> None:
    command = push("/a.tgz", "oci://localhost:5000/charts")
    assert "--plain-http" in command.argv
    assert command.env["NO_PROXY"] == "localhost"
    assert host_of("oci://198.18.1.2:5000/charts") == "198.18.1.2"


def test_helm_is_given_what_both_lines_know() -> None:
    helm = Helm(Cluster("hospital-a", "/k"))
    release = Release(name="o", namespace="n", chart="orthanc", source="/c", version="1", values={"a": 1})
    rendered = helm.rendered(release)
    assert rendered.argv[-3:] == ("--dry-run=server", "--output", "json")
    assert rendered.stdin == '{"a": 1}'
    assert not helm.rollback("o", 3, namespace="n").repeatable
    assert helm.rollback("o", 3, namespace="n").argv[:4] == ("helm", "rollback", "o", "3")
    assert helm.test("o", namespace="n", timeout=60).timeout == 70
