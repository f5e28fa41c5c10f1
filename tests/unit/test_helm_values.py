"""The Helm approach without a cluster: values, steps, what is refused, and the chart's own papers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.chart_readme import described, updated
from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.approaches.helm.plan import Builder, ChartAt
from korthweb_tasks.approaches.helm.values import brought_secrets, own_traefik, refusal, site_values, values
from korthweb_tasks.approaches.shared.namespaces import RECORD, Record
from korthweb_tasks.approaches.shared.ownership import Fate
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.plan import Ready
from korthweb_tasks.settings.guarded import all_plugins
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets, secret_name
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.settings.versions import PINS

CHART = Path(__file__).parents[2] / "helm" / "orthanc"
LAB = yaml.safe_load((CHART.parents[1] / "korthweb_tasks/settings/profiles/lab.yaml").read_text())
BHC = Tenant(name="BHC", domain="bhc.orthweb.com")
TARGET = Cluster("hospital-a", "/k")


def builder(settings: Settings | None = None, secrets: Secrets | None = None) -> Builder:
    return Builder(settings or Settings(), TARGET, secrets or Secrets(), ChartAt("/chart", "0.1.0+abc"))


def test_a_tenant_becomes_values() -> None:
    found = values(Settings(), BHC)
    assert found["hosts"] == {"web": "web.bhc.orthweb.com", "dicom": "dicom.bhc.orthweb.com"}
    assert (found["name"], found["aet"], found["users"]) == ("BHC", "BHC", ["admin"])
    assert found["replicas"] == {"min": 3, "max": 10}
    assert found["auth"] == {"existingSecret": "orthanc-users"}
    assert found["postgresql"]["existingSecret"] == "orthanc-database"
    assert found["postgresql"]["storage"] == {"className": "", "size": "10Gi"}
    assert json.loads(json.dumps(found)) == found  # as `helm get values` gives them back
    assert found["plugins"][0].endswith("/libOrthancPostgreSQLIndex.so")


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ({"images": {"registry": "mirror/ext"}}, "images.orthanc", "mirror/ext/orthancteam/orthanc:26.8.1"),
        ({"images": {"registry": "mirror/ext"}}, "traefik.image.registry", "mirror/ext"),
        ({"charts": {"traefik": {"values": {"enabled": False}}}}, "traefik.enabled", False),
        ({"charts": {"orthanc": {"values": {"drainSeconds": 60}}}}, "drainSeconds", 60),
        ({"charts": {"orthanc": {"values": {"replicas": {"max": 4}}}}}, "replicas", {"min": 3, "max": 4}),
        ({"orthanc": {"plugins": ["/opt/plugins"]}}, "plugins", [*all_plugins(()), "/opt/plugins"]),
        ({"orthanc": {"config": {"StableAge": 60}}}, "config.StableAge", 60),
        (LAB, "images.orthanc", "korthweb.lab/orthanc:1.12.7"),
        (LAB, "postgresql.storage.className", "lab"),
    ],
)  # fmt: skip
def test_settings_reach_the_chart(given: dict[str, Any], path: str, expected: Any) -> None:
    found: Any = values(Settings(**given), BHC)
    for key in path.split("."):
        found = found[key]
    assert found == expected


def test_a_sites_defaults_name_no_tenant() -> None:
    assert set(site_values(Settings())) == {
        "images", "plugins", "connections", "autoscaling", "resources", "drainSeconds", "postgresql", "security",
        "traefik",
    }  # fmt: skip
    assert "existingSecret" not in site_values(Settings())["postgresql"]


def test_a_plan_has_three_steps_for_each_tenant() -> None:
    plan = builder().plan(Settings().tenants)
    assert [step.name for step in plan.steps] == [
        "policies", "namespace:bhc", "credentials:bhc", "release:bhc",
        "namespace:mhr", "credentials:mhr", "release:mhr",
    ]  # fmt: skip
    release = plan["release:bhc"]
    assert release.needs == ("credentials:bhc",)
    words = [" ".join(action.argv) for action in release.actions if isinstance(action, Command)]
    assert "owner=helm,name=orthanc,status in (pending-install," in words[0]
    assert words[1].startswith("helm upgrade orthanc /chart --install")
    assert "--current-replicas=1 --replicas=3" in words[2]
    assert Ready("service", "orthanc-traefik", "bhc-orthweb") in release.waits
    assert Ready("deployment", "orthanc", "bhc-orthweb", pods=BHC.replicas.min) in release.waits


def test_without_an_own_traefik_nobody_waits_for_it() -> None:
    settings = Settings(charts={"traefik": {"values": {"enabled": False}}})
    assert not own_traefik(settings)
    names = {wait.name for wait in builder(settings).waits(BHC)}
    assert names == {"orthanc", "orthanc-postgres"}


def test_an_external_database_is_not_waited_for_but_a_certificate_is() -> None:
    chosen = {"postgresql": {"mode": "external"}, "certificates": {"source": "certManager"}}
    settings = Settings(charts={"orthanc": {"values": chosen}})
    assert [wait.name for wait in builder(settings).waits(BHC)] == [
        "orthanc", "orthanc-traefik", "orthanc-traefik", "orthanc-tls",
    ]  # fmt: skip


def test_a_chosen_password_is_no_value_but_changes_the_pods() -> None:
    chosen = Secrets({secret_name(BHC, "admin"): "correct-horse"})
    before, after = builder().release(BHC).values, builder(secrets=chosen).release(BHC).values
    assert "correct-horse" not in json.dumps(after)
    assert before["podAnnotations"] == {}
    assert set(after["podAnnotations"]) == {"korthweb/passwords"}


def test_removal_keeps_the_volume_unless_told() -> None:
    kept = builder().removal([BHC], volumes=False)
    assert [step.name for step in kept.steps] == ["release:bhc", "secrets:bhc"]
    text = Record("helm", "BHC", uid="1").text()
    home = {"metadata": {"name": "bhc-orthweb", "uid": "1", "annotations": {RECORD: text}}}
    everything = builder().removal([BHC], volumes=True, fates={"bhc-orthweb": Fate(home)})
    assert [step.name for step in everything.steps] == ["release:bhc", "secrets:bhc", "namespace:bhc"]
    for step in (*kept.steps, *everything.steps):
        for action in step.actions:
            assert isinstance(action, Command)
            assert "persistentvolumeclaim" not in " ".join(action.argv)


def test_only_secrets_that_a_person_brings_are_looked_for() -> None:
    assert brought_secrets(values(Settings(), BHC)) == {}
    chosen = {"certificates": {"source": "existingSecret", "existingSecret": "brought"}}
    settings = Settings(charts={"orthanc": {"values": chosen}})
    assert brought_secrets(values(settings, BHC)) == {"certificates.existingSecret": "brought"}


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (
            "Error: values don't meet ...:\northanc:\n- at '': additional properties 'replica' not allowed\n\n",
            "additional properties 'replica' not allowed",
        ),
        ("Error: execution error at (orthanc/templates/checks.yaml:9:4): min 5 is more", "min 5 is more"),
        ("Error: something else", "something else"),
    ],
)
def test_a_charts_refusal_is_told_in_its_own_words(stderr: str, expected: str) -> None:
    assert refusal(stderr) == expected


def test_the_verification_looks_where_the_approach_puts_things() -> None:
    lookup = approach_of("helm").lookup
    assert lookup.ingress == ("{ns}", "orthanc-traefik")
    assert lookup.password.secret == "orthanc-users"
    assert [key.secret for key in lookup.cas] == ["orthanc-tls", "orthanc-ca"]


def test_the_readme_says_what_the_values_are() -> None:
    text = (CHART / "values.yaml").read_text("utf-8")
    readme = (CHART / "README.md").read_text("utf-8")
    assert updated(readme, text) == readme, "python bench/chart_readme.py --write"


def leaves(value: Any, path: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    else:
        yield path


def test_every_value_is_described_and_every_one_of_ours_is_in_the_schema() -> None:
    text = (CHART / "values.yaml").read_text("utf-8")
    told = {tuple(path.split(".")) for path, _ in described(text)}
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    for path in leaves(yaml.safe_load(text)):
        assert any(path[: len(known)] == known for known in told), path
        if path[0] != "traefik":
            assert inside(schema, schema, path), path


def inside(schema: dict[str, Any], part: dict[str, Any], path: tuple[str, ...]) -> bool:
    if "$ref" in part:
        part = schema["definitions"][part["$ref"].rpartition("/")[2]]
    if not path:
        return True
    if path[0] in part.get("properties", {}):
        return inside(schema, part["properties"][path[0]], path[1:])
    return bool(part.get("additionalProperties", part.get("type") == "object" and "properties" not in part))


def test_the_schema_is_strict_everywhere_but_where_values_are_free() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    loose = [
        name
        for name, part in schema["properties"].items()
        if part.get("type") == "object" and part.get("additionalProperties") is not False
    ]
    # of Helm, of Orthanc, of Kubernetes, of the dependency
    assert loose == ["global", "config", "podAnnotations", "nodeSelector", "traefik"]


def test_pins_agree() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    settings = Settings()
    assert about["version"] == settings.versions["orthanc-chart"]
    assert about["appVersion"] == settings.versions["orthanc"]
    lowest = PINS["kubernetes"].accepted.partition(",")[0]
    assert about["kubeVersion"] == f"{lowest}.0-0"
    (traefik,) = about["dependencies"]
    chart = settings.charts["traefik"]
    assert f"{traefik['repository']}/{traefik['name']}" == chart.source
    assert traefik["version"] == chart.version
    chosen = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))["images"]
    assert (chosen["orthanc"], chosen["postgres"]) == (settings.images.orthanc, settings.images.postgres)
