"""What settings may not take away, in all approaches: options of Orthanc, plugins, amounts, risks, what check finds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.manual.manifests import orthanc_text
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.settings.check import findings
from korthweb_tasks.settings.guarded import all_plugins, guarded_table, plugin_key
from korthweb_tasks.settings.load import Loaded, load
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.orthanc import orthanc_json
from korthweb_tasks.settings.orthanc_options import option_table
from korthweb_tasks.settings.secrets import unfit
from korthweb_tasks.settings.soundness import faults
from tests.cases.guarded_cases import (
    ACCEPTED,
    AMOUNTS,
    BAD_OPTIONS,
    GOOD_OPTIONS,
    MOVING_IMAGES,
    PLUGINS,
    PLUGINS_REFUSED,
    UNDERMINING,
)

SITE = {"tenants": [{"name": "BHC", "domain": "bhc.example.org"}]}


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))


def loaded(folder: Path, given: dict[str, Any], **environ: str) -> Loaded:
    (folder / "korthweb.yaml").write_text(yaml.safe_dump({**SITE, **given}, sort_keys=False))
    return load(project=folder, environ=environ)


def complaints(folder: Path, given: dict[str, Any], **environ: str) -> str:
    """Return all that config.check refuses, whether the file itself is refused or what it says."""
    try:
        return "\n".join(findings(loaded(folder, given, **environ)).faults)
    except SettingsError as error:
        return f"{error.message}\n{error.details}"


def nested(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


@pytest.mark.parametrize("place", ["orthanc.config", "charts.orthanc.values.config"])
@pytest.mark.parametrize("case", UNDERMINING)
def test_F4_what_the_deployment_rests_on_is_not_taken_away(case: str, place: str, tmp_path: Path) -> None:
    """F4, S18: refused after merging with key, line and reason, wherever among the settings it is said."""
    config, key = UNDERMINING[case]
    told = complaints(tmp_path, nested(place, config))
    assert re.search(rf"^korthweb\.yaml:\d+: {re.escape(place)}\.{re.escape(key)}: can't be ", told, re.MULTILINE), told


@pytest.mark.parametrize("case", UNDERMINING)
def test_F4_a_variable_of_the_environment_does_not_take_it_away_either(case: str, tmp_path: Path) -> None:
    """F4: the environment is one more layer below the merging."""
    config, key = UNDERMINING[case]
    told = complaints(tmp_path, {}, KORTHWEB__ORTHANC__CONFIG=json.dumps(config))
    assert f"orthanc.config.{key}: can't be" in told


def test_F4_each_row_of_the_table_is_a_key_of_orthanc_and_has_a_case() -> None:
    """F4: a key that Orthanc does not know would guard nothing; a row without a case could rot."""
    table, options = guarded_table(), option_table()
    for row in table.keys:
        first, _, inner = row.key.partition(".")
        known = options.inside[first].kinds if inner else options.top.kinds
        assert (inner or first) in known, row.key
    assert {row.key for row in table.keys} <= {key for _, key in UNDERMINING.values()}


def test_F4_korthwebs_own_configuration_keeps_every_rule(tmp_path: Path) -> None:
    """F4: the defaults undermine nothing, and neither do harmless changes."""
    harmless = {"StableAge": 60, "DicomAlwaysAllowStore": False, "HttpServerEnabled": True, "LimitFindResults": 100}
    bounded = {"MaximumStorageSize": 5000, "MaximumStorageMode": "Reject"}
    assert complaints(tmp_path, {}) == ""
    assert complaints(tmp_path, {"orthanc": {"config": {**harmless, **bounded, "SitePlugin": {}}}}) == ""


@pytest.mark.parametrize("key", ACCEPTED)
def test_S18_a_risk_is_taken_by_its_name_only(key: str, tmp_path: Path) -> None:
    """S18: accept_risks lets the one thing through that it names."""
    config = next(config for config, one in UNDERMINING.values() if one == key)
    given = {"orthanc": {"config": config}}
    assert f"accept_risks: [{key}] accepts it" in complaints(tmp_path, given)
    other = next(name for name in ACCEPTED if name != key)
    assert complaints(tmp_path, {**given, "accept_risks": [other]}) != ""
    assert complaints(tmp_path, {**given, "accept_risks": [key]}) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PostgreSQL.EnableStorage", "can't be accepted: images would be files in the pod"),
        ("AuthenticationEnabled", "can't be accepted: everybody could read"),
        ("ExecuteLua", "there is no risk 'ExecuteLua' (did you mean 'ExecuteLuaEnabled'?)"),
        ("everything", "there is no risk 'everything'"),
    ],
)
def test_S18_what_loses_images_can_not_be_accepted_and_names_are_checked(name: str, words: str, tmp_path: Path) -> None:
    """S18, F4: `never` rows stay refused, and an unknown name is told with the nearest."""
    assert f"korthweb.yaml:4: accept_risks: {name} {words}" in complaints(tmp_path, {"accept_risks": [name]}) or (
        f"accept_risks: {words}" in complaints(tmp_path, {"accept_risks": [name]})
    )


@pytest.mark.parametrize(("listed", "names"), PLUGINS)
def test_F5_plugins_add_up_the_same_in_all_approaches(listed: list[str], names: list[str], tmp_path: Path) -> None:
    """F5: the usual ones and the listed ones, each once, whatever way they are written."""
    settings = loaded(tmp_path, {"orthanc": {"plugins": listed}}).settings
    made = [plugin_key(one) if ".so" in one else one for one in settings.orthanc.plugins]
    assert made == names
    assert json.loads(orthanc_text(settings, settings.tenants[0]))["Plugins"]


@pytest.mark.parametrize("place", ["orthanc.plugins", "charts.orthanc.values.plugins"])
@pytest.mark.parametrize(("listed", "words"), PLUGINS_REFUSED)
def test_F4_no_list_of_plugins_takes_the_place_of_postgresql(
    listed: list[str], words: str, place: str, tmp_path: Path
) -> None:
    """F4, F5: a list without the database's plugins, or with another storage, is refused."""
    told = complaints(tmp_path, nested(place, listed))
    assert place in told
    assert words in told


def test_F5_all_plugins_of_one_list_are_loaded_once() -> None:
    """F5: the list is stable under being read again, as config.show prints it."""
    once = all_plugins(["gdcm", "/opt/site/libOrthancGdcm.so"])
    assert all_plugins(once) == once
    assert once[-1] == "/opt/site/libOrthancGdcm.so"


@pytest.mark.parametrize("case", GOOD_OPTIONS)
def test_F12_the_options_of_the_pinned_orthanc_are_accepted(case: str, tmp_path: Path) -> None:
    """F12: as Orthanc 1.13.0 documents them."""
    assert complaints(tmp_path, {"orthanc": {"config": GOOD_OPTIONS[case]}}) == ""


@pytest.mark.parametrize("place", ["orthanc.config", "charts.orthanc.values.config"])
@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_F12_an_option_of_the_wrong_kind_or_name_is_told(case: str, place: str, tmp_path: Path) -> None:
    """F12, F4: Orthanc would not start, or would ignore a misspelt key without a word."""
    config, words = BAD_OPTIONS[case]
    told = complaints(tmp_path, nested(place, config))
    assert re.search(r"^korthweb\.yaml:\d+: ", told)
    assert f"{place}.{words}" in told


def test_F12_all_wrong_options_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    """F12, U19: one run of config.check is enough."""
    text = "orthanc:\n  config:\n    StableAge: ten\n    dicomAet: X\n    PostgreSQL:\n      Lock: 'no'\n"
    (tmp_path / "korthweb.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(project=tmp_path, environ={})
    lines = [caught.value.message, *caught.value.details.splitlines()]
    assert [line.partition(": ")[0] for line in lines] == [f"korthweb.yaml:{number}" for number in (3, 4, 6)]


def test_F14_checking_a_modalitys_address_behind_a_proxy_is_refused(tmp_path: Path) -> None:
    """F14: every association comes from the ingress; with a word it is let through: addresses may survive at a site."""
    given = {"orthanc": {"config": {"DicomCheckModalityHost": True}}}
    assert "never sees the address of a modality" in complaints(tmp_path, given)
    assert complaints(tmp_path, {**given, "accept_risks": ["DicomCheckModalityHost"]}) == ""


@pytest.mark.parametrize("image", MOVING_IMAGES)
@pytest.mark.parametrize(
    "place",
    [
        *(f"images.{name}" for name in ("orthanc", "postgres", "prometheus", "kiali", "grafana", "jaeger")),
        *("images.cloudnative_pg", "images.cnpg_postgres", "charts.orthanc.values.images.orthanc"),
    ],
)
def test_S18_an_image_that_moves_is_refused(place: str, image: str, tmp_path: Path) -> None:
    """S18: no tag, or one that moves; a digest is enough."""
    given = nested(place, image)
    assert f"{place}: can't be {image}" in complaints(tmp_path, given)
    assert complaints(tmp_path, {**given, "accept_risks": ["moving-image-tags"]}) == ""
    fixed = f"{image.partition('@')[0].removesuffix(':latest')}@sha256:{'0' * 64}"
    assert complaints(tmp_path, nested(place, fixed)) == ""


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"charts": {"traefik": {"source": "http://charts.example.org"}}}, "charts.traefik.source"),
        ({"charts": {"istiod": {"source": "http://charts.example.org"}}}, "charts.istiod.source"),
        ({"clusters": {"a": {"context": "a", "server": "http://10.0.0.1:8080"}}}, "clusters.a.server"),
    ],
)
def test_S18_what_is_fetched_in_clear_is_refused(given: dict[str, Any], place: str, tmp_path: Path) -> None:
    """S18: http:// for charts and API servers needs a word."""
    assert f"{place}: can't be http://" in complaints(tmp_path, given)
    assert complaints(tmp_path, {**given, "accept_risks": ["plain-http"]}) == ""


@pytest.mark.parametrize(
    ("value", "risk"),
    [
        ({"networkPolicy": {"enabled": False}}, "open-network"),
        ({"postgresql": {"external": {"sslMode": "disable"}}}, "unencrypted-database"),
        ({"postgresql": {"external": {"sslMode": "require"}}}, "unverified-database"),
    ],
)
def test_S18_weakening_values_of_the_chart_need_a_word(value: dict[str, Any], risk: str, tmp_path: Path) -> None:
    """S18: what the chart alone can be told."""
    given = {"charts": {"orthanc": {"values": value}}}
    assert f"accept_risks: [{risk}] accepts it" in complaints(tmp_path, given)
    assert complaints(tmp_path, {**given, "accept_risks": [risk]}) == ""


def test_S18_the_lab_needs_no_word(tmp_path: Path) -> None:
    """S18: what the lab makes itself is as sound as the rest."""
    (tmp_path / "korthweb.yaml").write_text("profile: lab\n")
    for approach in ("manual", "helm", "gitops"):
        assert faults(load(project=tmp_path, environ={}), approach) == []


def _places() -> Iterator[tuple[str, str]]:
    yield "tenants", "storage"
    yield "lab.volume_size", "storage"
    for section in ("orthanc.resources", "postgres.resources", "istio.pilot_resources", "istio.gateway_resources"):
        yield f"{section}.requests.memory", "memory"
        yield f"{section}.limits.memory", "memory"
        yield f"{section}.requests.cpu", "cpu"


@pytest.mark.parametrize(("place", "what"), list(_places()))
def test_U20_a_bad_amount_is_told_with_the_nearest_right_one(place: str, what: str, tmp_path: Path) -> None:
    """U20: a unit, a least size, the nearest right value first; a number needs no quotes."""
    for value, words in AMOUNTS[what]:
        one = {"tenants": [{**SITE["tenants"][0], "storage": value}]} if place == "tenants" else nested(place, value)
        told = complaints(tmp_path, one)
        assert words in told, (value, told)
        assert "quotes" not in told


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"requests.memory": "64"}, "did you mean 64Gi?"),
        ({"requests.storage": "500m"}, "did you mean 1Gi?"),
        ({"pods": "60Gi"}, "is not a number of pieces"),
        ({"request.cpu": "4"}, "did you mean 'requests.cpu'?"),
        ({"limits.cpu": "4Gi"}, "is not an amount of CPU"),
    ],
)
def test_U20_a_quota_is_checked_by_what_it_limits(value: dict[str, Any], words: str, tmp_path: Path) -> None:
    """U20: pieces, cores and bytes are not the same; unknown limits are told."""
    assert words in complaints(tmp_path, {"tenants": [{**SITE["tenants"][0], "quota": value}]})
    good = {"pods": 60, "requests.cpu": 16, "requests.memory": "64Gi", "count/deployments.apps": "5"}
    assert complaints(tmp_path, {"tenants": [{**SITE["tenants"][0], "quota": good}]}) == ""


@pytest.mark.parametrize("section", ["orthanc", "postgres", "istio.pilot", "istio.gateway", "istio.proxy"])
def test_U19_a_request_above_its_limit_is_found(section: str, tmp_path: Path) -> None:
    """U19: Kubernetes would refuse the pods, long after the check."""
    place = f"{section}_resources" if "." in section else f"{section}.resources"
    bad = {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}
    assert "the request memory 2Gi is more than its limit 1Gi" in complaints(tmp_path, nested(place, bad))


#: settings that a task refused and config.check called fine: settings -> place and words
NEEDS_NO_CLUSTER: dict[str, tuple[dict[str, Any], str, str]] = {
    "Git in clear": ({"gitops": {"url": "http://git.example.org/fleet.git"}}, "gitops.url", "in clear"),
    "a tenant that is none": (
        {"clusters": {"a": {"context": "a", "tenants": ["BCH"]}}},
        "clusters.a.tenants",
        "there is no tenant 'BCH' (did you mean 'BHC'?)",
    ),
    "no kubeconfig": (
        {"clusters": {"a": {"context": "a", "kubeconfig": "gone"}}},
        "clusters.a.kubeconfig",
        "there is no file",
    ),
    "no key of the bastion": (
        {"clusters": {"a": {"context": "a", "bastion": {"host": "h", "identity": "gone"}}}},
        "clusters.a.bastion.identity",
        "there is no file",
    ),
    **{
        f"no {name}": ({"gitops": {name: "gone.pem"}}, f"gitops.{name}", "there is no file")
        for name in ("private_key", "ca_file", "registry_ca_file")
    },
    "connections": ({"orthanc": {"connections": 50}}, "tenants.BHC.replicas.max", "database connections"),
    "no chart": ({"charts": {"orthanc": {"source": "./gone"}}}, "charts.orthanc.source", "there is no chart at ./gone"),
    "a value that the chart has not": (
        {"charts": {"orthanc": {"values": {"drainSecond": 3}}}},
        "charts.orthanc.values.drainSecond",
        "did you mean 'drainSeconds'?",
    ),
}
#: the same, for the GitOps approach alone
NEEDS_NO_CLUSTER_GITOPS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no repository": ({}, "gitops.url", "it is not said where"),
    "no password": ({"gitops": {"url": "https://git.example.org/f.git"}}, "gitops.url", "no password or token"),
    "no deploy key": ({"gitops": {"url": "ssh://git@git.example.org/f.git"}}, "gitops.private_key", "SSH key"),
    "a small quota": (
        {"tenants": [{**SITE["tenants"][0], "quota": {"pods": "5"}}]},
        "tenants.BHC.quota",
        "pods: 18 of 5",
    ),
    "a chart in a folder": ({"charts": {"istiod": {"source": "."}}}, "charts.istiod.source", "Flux reads charts from"),
}


@pytest.mark.parametrize("approach", ["manual", "helm", "gitops"])
@pytest.mark.parametrize("case", NEEDS_NO_CLUSTER)
def test_U19_config_check_finds_what_needs_no_cluster(case: str, approach: str, tmp_path: Path) -> None:
    """U19: the list is the one that the tasks of each approach ask for beforehand."""
    given, place, words = NEEDS_NO_CLUSTER[case]
    told = complaints(tmp_path, {"approach": approach, **given})
    assert any(place in line and words in line for line in told.splitlines()), told


@pytest.mark.parametrize("case", NEEDS_NO_CLUSTER_GITOPS)
def test_U19_config_check_finds_what_gitops_needs(case: str, tmp_path: Path) -> None:
    """U19: what only Flux needs is asked for that approach."""
    given, place, words = NEEDS_NO_CLUSTER_GITOPS[case]
    told = complaints(tmp_path, {"approach": "gitops", **given})
    assert any(place in line and words in line for line in told.splitlines()), told
    assert place not in complaints(tmp_path, {"approach": "manual", **given})


def test_U19_everything_is_told_at_once(tmp_path: Path) -> None:
    """U19: faults of several kinds, each with its line."""
    given = {
        "orthanc": {"config": {"SaveJobs": True}, "connections": 50},
        "images": {"orthanc": "docker.io/orthancteam/orthanc"},
        "gitops": {"private_key": "gone"},
    }
    told = complaints(tmp_path, given).splitlines()
    assert len(told) == 4
    assert sum(line.startswith("korthweb.yaml:") for line in told) == 3


def test_F6_no_password_is_in_a_connection_string() -> None:
    """F6: Orthanc's plugin puts its option Password into libpq's key=value text as it is, where a space ends it."""
    settings = Settings()
    for tenant in settings.tenants:
        assert "Password" not in orthanc_json(settings, tenant)["PostgreSQL"]


@pytest.mark.parametrize("file", ["manual/tenant/orthanc.yaml.j2", "gitops/tenants/application/orthanc.yaml.j2"])
def test_F6_libpq_is_given_the_password_by_its_own_variable(file: str) -> None:
    """F6: as the chart does; what a variable holds needs no quoting."""
    text = (Path(__file__).parents[3] / file).read_text()
    orthanc = text.partition("- name: orthanc\n")[2]
    assert "- name: PGPASSWORD\n" in orthanc
    assert "ORTHANC_POSTGRES_PASSWORD\n" not in orthanc


@pytest.mark.parametrize("password", ["correct horse battery", "it's mine now", "dollar$ and {brace}", "host=evil x"])
def test_F6_a_password_with_spaces_or_quotes_is_taken(password: str) -> None:
    """F6: and what the text of orthanc.json can't carry is refused for every user, everywhere."""
    assert unfit(password) == ""
    for mark in ('"', "\\", "${X}"):
        assert "orthanc.json can't carry" in unfit(password + mark)
