"""What the chart refuses: the table of korthweb's settings, tried with the same cases. One rendering tells many."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.render import parse
from korthweb_tasks.provision import builder
from korthweb_tasks.provision.charts import staged
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.fields import tenant_namespace
from korthweb_tasks.settings.guarded import all_plugins, guarded_table
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.orthanc_options import chart_file
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

REPOSITORY = Path(__file__).parents[3]
HELMS = ("helm", "helm3")
Case = tuple[dict[str, Any], str]


@functools.cache
def chart() -> str:
    """Return the chart without its dependency."""
    return str(staged(REPOSITORY / "helm" / "orthanc", (), Runner().run, {}).folder)


def rendered(
    given: dict[str, Any], component: str = "helm", namespace: str = "radiology", *more: str
) -> subprocess.CompletedProcess[str]:
    place = ("--namespace", namespace, "--kube-version", "1.36.0", *more)
    argv = [str(builder.binary(component, "helm")), "template", "orthanc", chart(), *place]
    text = json.dumps(given)
    return subprocess.run(
        [*argv, "--values", "-"], input=text, text=True, capture_output=True, timeout=120, check=False
    )


def refused(given: dict[str, Any], component: str = "helm") -> str:
    """Return what the chart says against ``given``; nothing where it takes it."""
    done = rendered(given, component)
    return done.stderr if done.returncode else ""


def together(cases: Iterable[Case]) -> list[tuple[dict[str, Any], list[str]]]:
    """Return the cases in as few configurations as there can be: each key once in each of them."""
    made: list[tuple[dict[str, Any], list[str], set[str]]] = []
    for config, words in cases:
        keys = {
            f"{key}.{inner}" for key, value in config.items() for inner in (value if isinstance(value, dict) else "-")
        }
        for number, (known, told, used) in enumerate(made):
            plain = not any(
                isinstance(known.get(key), dict) != isinstance(config[key], dict) for key in config if key in known
            )
            if not keys & used and plain:
                made[number] = (deep_merge(known, config), [*told, words], used | keys)
                break
        else:
            made.append((config, [words], keys))
    return [(config, told) for config, told, _ in made]


@pytest.mark.parametrize("component", HELMS)
def test_F4_the_chart_refuses_what_the_settings_refuse(component: str) -> None:
    """F4, F14, S18: each key with the reason of the one table."""
    # the chart's own way to its database is encrypted, so that one case is no change there
    cases = [(config, key) for config, key in UNDERMINING.values() if key != "PostgreSQL.EnableSsl"]
    for config, keys in together(cases):
        told = refused({"config": config}, component)
        for key in keys:
            assert f"config.{key}: can't be" in told
            assert guarded_table().why(key) in told
            assert (f"acceptRisks: [{key}] accepts it" in told) == (key in ACCEPTED)


def test_S18_the_chart_takes_risks_by_their_names_only() -> None:
    """S18, F14: all that may be accepted at once, and each name is needed."""
    cases = [(config, key) for config, key in UNDERMINING.values() if key in ACCEPTED]
    for config, keys in together(cases):
        assert refused({"config": config, "acceptRisks": keys}) == ""
        told = refused({"config": config, "acceptRisks": keys[1:]})
        assert told.count("can't be") == 1
        assert f"config.{keys[0]}: can't be" in told


def test_S18_the_chart_knows_the_names_of_risks() -> None:
    """S18: what can't be accepted, and what there is not."""
    told = refused({"acceptRisks": ["PostgreSQL.Lock", "LuaScript", "everything"]})
    assert "PostgreSQL.Lock can't be accepted" in told
    assert "there is no risk 'LuaScript' (did you mean 'LuaScripts'?)" in told
    assert "there is no risk 'everything'" in told


def test_F12_the_chart_takes_the_options_of_orthanc() -> None:
    """F12: and they reach orthanc.json as they are."""
    for config, _ in together((config, "") for config in GOOD_OPTIONS.values()):
        done = rendered({"config": config})
        assert done.returncode == 0, done.stderr
        maps = [one for one in parse(done.stdout) if one["kind"] == "ConfigMap" and "orthanc.json" in one["data"]]
        shown = json.loads(maps[0]["data"]["orthanc.json"])
        assert deep_merge(shown, config) == shown


def test_F12_the_chart_refuses_wrong_options() -> None:
    """F12: of the wrong kind, or misspelt."""
    for config, words in together(BAD_OPTIONS.values()):
        told = refused({"config": config})
        assert not [text for text in words if f"config.{text}" not in told], told


@pytest.mark.parametrize(("listed", "_names"), PLUGINS)
def test_F5_plugins_add_up_in_the_chart_as_in_the_settings(listed: list[str], _names: list[str]) -> None:
    """F5: the same files, in the same order, for start.sh."""
    done = rendered({"plugins": listed})
    assert done.returncode == 0, done.stderr
    (made,) = [one for one in parse(done.stdout) if one["kind"] == "Deployment"]
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["args"] == list(all_plugins(listed))


@pytest.mark.parametrize(("listed", "words"), PLUGINS_REFUSED)
def test_F4_no_list_of_plugins_in_the_chart_takes_the_place_of_postgresql(listed: list[str], words: str) -> None:
    """F4, F5: as in the settings."""
    assert words in refused({"plugins": listed})


def test_S18_the_chart_refuses_what_weakens_it() -> None:
    """S18: images that move, an open network, a database whose certificate nobody looks at."""
    for image in MOVING_IMAGES:
        images = {"orthanc": image, "postgres": image}
        for mode, risk in (("disable", "unencrypted-database"), ("require", "unverified-database")):
            outside = {"mode": "external", "existingSecret": "x", "external": {"host": "db.example", "sslMode": mode}}
            given = {"images": images, "postgresql": outside, "networkPolicy": {"enabled": False}}
            told = refused(given)
            assert f"images.orthanc: can't be {image}" in told
            assert f"images.postgres: can't be {image}" in told
            assert "acceptRisks: [open-network] accepts it" in told
            assert f"acceptRisks: [{risk}] accepts it" in told
            assert refused({**given, "acceptRisks": ["moving-image-tags", "open-network", risk]}) == ""
    fixed = f"registry.example/team/name@sha256:{'0' * 64}"
    assert refused({"images": {"orthanc": fixed, "postgres": fixed}}) == ""


def test_U20_the_chart_tells_the_nearest_right_amount() -> None:
    """U20, U19: as the settings do; a request above its limit too."""
    for number in range(max(map(len, AMOUNTS.values()))):
        bad = {what: cases[number] for what, cases in AMOUNTS.items() if number < len(cases)}
        asked = {what: value for what, (value, _) in bad.items() if what != "storage"}
        size = {"storage": {"size": bad["storage"][0]}} if "storage" in bad else {}
        told = refused({"resources": {"requests": asked}, "postgresql": size})
        assert not [words for _, words in bad.values() if words not in told], told
    above = {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}
    told = refused({"resources": above, "postgresql": {"resources": above}})
    assert told.count("the request memory 2Gi is more than its limit 1Gi") == 2


RESERVED = chart_file("reserved.json")


@pytest.mark.parametrize("name", ["default", "kube-system", "openshift-console"])
def test_S11_the_chart_refuses_the_namespaces_that_the_settings_refuse(name: str) -> None:
    """S11: of one table; `helm install` without --namespace goes into default."""
    done = rendered({}, "helm", name)
    assert done.returncode
    assert f"the namespace {name} is reserved for " in done.stderr
    with pytest.raises(ValueError, match="is reserved for"):
        tenant_namespace(name)


def test_S11_every_reserved_name_is_in_the_table_of_both() -> None:
    """S11: names and prefixes; a name that only looks alike is a tenant's."""
    for name in (*RESERVED["names"], *(f"{prefix}x" for prefix in RESERVED["prefixes"])):
        with pytest.raises(ValueError, match="is reserved for"):
            tenant_namespace(name)
    assert rendered({}, "helm", "radiology-default").returncode == 0
    assert tenant_namespace("radiology-default")


@pytest.mark.parametrize("component", HELMS)
def test_S24_two_users_of_the_chart_share_no_password(component: str) -> None:
    """S24: a-b and a_b, a user and the database: one variable, so one password."""
    assert "would share one password, ORTHANC_A_B_PASSWORD" in refused({"users": ["a-b", "a_b"]}, component)
    assert "would share one password, ORTHANC_POSTGRES_PASSWORD" in refused({"users": ["postgres"]}, component)
    assert refused({"users": ["a-b", "a-c"]}, component) == ""


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("hosts.web", "web.example.org\n"),
        ("hosts.web", "wéb.example.org"),
        ("aet", "ORTHANC\n"),
        ("users", ["admin\n"]),
        ("postgresql.storage.size", "5Gi\n"),
        ("hosts.dicom", "dicom.example.org`) || HostSNI(`*"),
    ],
)
def test_S27_patterns_of_the_chart_take_no_final_newline_and_no_other_script(place: str, value: Any) -> None:
    """S27: `$` of a pattern takes a line break at the end; the schema's do not."""
    given: Any = value
    for key in reversed(place.split(".")):
        given = {key: given}
    assert refused(given)


ODD = ("no", "1e3", "0x10", "null", "a: b", "x # y", "'", '"', "{{ 1 }}", "- a", "*x", "!!int 1", "a\nb", "%", "~")


def test_S28_text_stays_text_in_what_the_chart_makes() -> None:
    """S28: a value that YAML would read as something else, wherever a person may give free text."""
    given = {f"Free{number}": text for number, text in enumerate(ODD)}
    made = rendered({"config": {"Name": "no", "Housekeeper": given}})
    assert made.returncode == 0, made.stderr
    maps = [obj["data"] for obj in parse(made.stdout) if obj["kind"] == "ConfigMap"]
    (text,) = (data["orthanc.json"] for data in maps if "orthanc.json" in data)
    config = json.loads(text)
    assert (config["Name"], config["Housekeeper"]) == ("no", given)


#: place of a free text in the values -> a word that stands nowhere else, and one that YAML takes for something else
WORDS = {
    "name": ("wordname", "1e3"),
    "aet": ("WORDAET", "NO"),
    "users.0": ("worduser", "no"),
    "fullnameOverride": ("wordfull", "off"),
    "postgresql.user": ("worddbuser", "null"),
    "postgresql.database": ("worddb", "true"),
    "postgresql.existingSecret": ("worddbsecret", "123"),
    "postgresql.storage.className": ("wordclass", "1e3"),
    "auth.existingSecret": ("wordlogins", "0x1f"),
    "images.pullSecrets.0": ("wordpull", "null"),
    "ingress.webEntryPoint": ("wordweb", "on"),
    "ingress.dicomEntryPoint": ("worddicom", "y"),
    "hosts.web": ("wordweb.example", "1.5"),
    "certificates.certManager.issuer": ("wordissuer", "no"),
}
MODES: dict[str, dict[str, Any]] = {
    "bundled": {},
    "operators": {"postgresql": {"mode": "cnpg"}, "certificates": {"source": "certManager"}},
    "external": {
        "postgresql": {"mode": "external", "external": {"host": "db.example", "caSecret": "ca"}},
        "certificates": {"source": "existingSecret", "existingSecret": "tls"},
    },
}


def _filled(which: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for place, words in WORDS.items():
        value: Any = words[which]
        for key in reversed(place.split(".")):
            value = [value] if key == "0" else {key: value}
        made = deep_merge(made, value)
    return made


def _opened(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects with orthanc.json as what it says; users are keys there."""
    for obj in objects:
        if text := (obj.get("data") or {}).get("orthanc.json"):
            config = json.loads(text)
            config["RegisteredUsers"] = [list(one) for one in config["RegisteredUsers"].items()]
            obj["data"] = {**obj["data"], "orthanc.json": config}
    return objects


def _texts(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Give the path and the value of every scalar."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, value in pairs:
        yield from _texts(value, (*path, key))
    if not isinstance(found, (dict, list)):
        yield path, found


@pytest.mark.parametrize("mode", MODES)
def test_S28_a_word_stays_a_word_wherever_the_chart_puts_it(mode: str) -> None:
    """S28: each place that a plain word comes to has the odd one, as text; a Secret called 123 is one."""
    plain, odd = (
        rendered(deep_merge(MODES[mode], _filled(which)), "helm", namespace)
        for which, namespace in enumerate(("wordspace", "no"))
    )
    assert (plain.returncode, odd.returncode) == (0, 0), plain.stderr + odd.stderr
    there = dict(_texts(_opened(parse(odd.stdout))))
    swaps = {**dict(WORDS.values()), "wordspace": "no"}
    for path, text in _texts(_opened(parse(plain.stdout))):
        if not isinstance(text, str) or "word" not in text.lower() or path not in there or len(text) > 400:
            continue  # a key of the ConfigMap, a certificate
        expected = text
        for word in sorted(swaps, key=len, reverse=True):
            expected = expected.replace(word, swaps[word]).replace(word.upper(), swaps[word].upper())
        assert there[path] == expected or path[-1] == "korthweb/config", path


WEAK = {
    "": "is shorter than 8 characters",
    "qwertz": "is shorter than 8 characters",
    "Change-Me": "everybody knows",
    "line\nbreak": "a control character",
}
BROUGHT: dict[str, tuple[dict[str, Any], str]] = {
    "users": ({"auth": {"existingSecret": "brought"}}, "ORTHANC_ADMIN_PASSWORD"),
    "database": ({"postgresql": {"existingSecret": "brought"}}, "ORTHANC_POSTGRES_PASSWORD"),
    "users, found": ({}, "ORTHANC_ADMIN_PASSWORD"),
    "database, found": ({}, "ORTHANC_POSTGRES_PASSWORD"),
}


@pytest.mark.parametrize("component", HELMS)
@pytest.mark.parametrize("kind", BROUGHT)
def test_S25_a_secret_with_a_weak_password_is_refused_by_the_chart(
    component: str, kind: str, simulated: Cluster, simulated_programs: dict[str, str]
) -> None:
    """S25: one that a person brings, or that was there; the password itself is never told."""
    kubectl = functools.partial(_kubectl, simulated, simulated_programs["kubectl"])
    place = f"s25-{component}-{kind.replace(', ', '-')}"
    kubectl({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}})
    given, key = BROUGHT[kind]
    own = "orthanc-users" if kind.startswith("users") else "orthanc-database"
    meta = {"name": own if kind.endswith("found") else "brought", "namespace": place}
    server = ("--dry-run=server", *simulated.helm_args())
    for password, why in {**WEAK, "a-good-one-of-16": ""}.items():
        if not password and kind.endswith("found"):
            continue  # an empty one is made anew
        kubectl({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {key: password}})
        done = rendered(given, component, place, *server)
        # Helm 4 goes on to the kinds of Traefik, which this cluster lacks
        assert (why in done.stderr) if why else key not in done.stderr, done.stderr
        assert not why or meta["name"] in done.stderr
        assert not password or password not in done.stderr


def _kubectl(target: Cluster, program: str, obj: dict[str, Any]) -> None:
    argv = [program, *target.kubectl_args(), "apply", "--server-side", "--filename", "-"]
    subprocess.run(argv, input=json.dumps(obj), text=True, check=True, capture_output=True)
