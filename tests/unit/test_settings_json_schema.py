"""The JSON Schema of korthweb.yaml: what an editor underlines is what config.check refuses, and the other way round."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from korthweb_tasks.errors import SettingsError
from korthweb_tasks.main import program
from korthweb_tasks.services import config
from korthweb_tasks.settings import example
from korthweb_tasks.settings.json_schema import FILE, modeline, schema_text, settings_schema
from korthweb_tasks.settings.load import load, profile_document
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.schema import kind_at

ROOT = Path(__file__).parents[2]
EDITOR = Draft7Validator(settings_schema())
TENANT = {"name": "BHC", "domain": "bhc.example.org"}

#: at every place of the settings each of these is tried
VALUES: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 1.5, 443, 5_000_000, [], {}, [None], ["x"], {"x": "y"}, {"x": None}),
    *("", " ", "X", "-", "a b", "ü", "lab", "1.2", "10", "0s", "90s", "500m", "10Gi", "1Ki", "_a", "a*", "a:1"),
    *("A.example.org", "10.0.0.1", "fe80::1", "198.18.0.0/20", "postgres", "kube-x", "http://x", "ftp://x/y"),
    *("ssh://git@host/p.git", "lib/image:1.2", "image:", "a@b <c>", "x" * 17, "x" * 300, "Aes128-sha"),
)
#: what is around a place, so that it is alone in being right or wrong
AROUND: dict[tuple[str | int, ...], Any] = {
    ("tenants", 0): TENANT,
    ("clusters", "a"): {"context": "x"},
    ("clusters", "a", "bastion"): {"host": "x"},
    ("tenants", 0, "modalities", "m"): {"aet": "M", "host": "m"},
}
#: the names in a table whose names are free
NAMES: dict[tuple[str | int, ...], str | int] = {
    ("clusters",): "a",
    ("tenants", 0, "modalities"): "m",
    ("istio", "pilot_env"): "A",
    ("tenants",): 0,
}

#: what one value says of another, and how much of something is enough: no schema can say it
ONLY_CHECK = re.compile(
    r"it is made of the name|is more than max|too small|are both|is used by the gateway|is outside the supported range"
    r"|are those of an Istio that is used|are for a Flux that is used|is not an amount of CPU|cores; did you mean"
    r"|must be more than 0, not 0"
)
#: tables whose values are all of one kind: two of each are enough
SAME = (("versions",), ("charts",), ("components",))


def places(path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield every place of the settings, as ("tenants", 0, "aet")."""
    kind = kind_at(path)
    assert kind
    if path:
        yield path
    names: tuple[str | int, ...] = kind.keys[:2] if path in SAME else kind.keys
    if kind.name in ("list", "table") and not names:
        usual: str | int = 0 if kind.name == "list" else "cpu"
        first: str | int = NAMES.get(path, usual)
        names = (first,)
    for name in names:
        if kind_at((*path, name)) and kind.name != "free":
            yield from places((*path, name))


def around(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return settings that say ``value`` at ``path`` and else only what must be said there."""
    data = value
    for depth in range(len(path) - 1, -1, -1):
        data = [data] if path[depth] == 0 else {**AROUND.get(path[:depth], {}), path[depth]: data}
    return dict(data)


def checked(folder: Path, data: Any) -> str:
    """Return what config.check has against ``data``, or nothing."""
    (folder / "korthweb.yaml").write_text(json.dumps(data))
    try:
        load(project=folder, environ={})
    except SettingsError as error:
        return error.message
    return ""


def test_the_file_is_that_of_the_model() -> None:
    assert (ROOT / "docs" / FILE).read_text("utf-8") == schema_text(), "python -m korthweb_tasks.settings.example"


def test_it_is_a_schema_whose_patterns_every_editor_reads() -> None:
    Draft7Validator.check_schema(settings_schema())
    # JavaScript, in which editors are written, has no names of groups and no anchors of Python, old ones no look-behind
    assert not re.search(r"\(\?(P|<[=!]|[aiLmsux])|\\\\[AZ]", schema_text())


def test_every_key_is_in_it_with_its_meaning() -> None:
    text = schema_text()
    for row in example.keys():  # noqa: SIM118 - a list of rows, not a dict
        assert f'"description": {json.dumps(row[2], ensure_ascii=False)}' in text, row[0]


@pytest.mark.parametrize("part", sorted(Settings.model_fields))
def test_an_editor_and_config_check_agree_at_every_place(part: str, tmp_path: Path) -> None:
    wrong = []
    for place in places((part,)):
        for value in VALUES:
            data = around(place, value)
            why, ok = checked(tmp_path, data), EDITOR.is_valid(data)
            if ok == bool(why) and not (ok and ONLY_CHECK.search(why)):
                wrong.append((place, value, why))
    assert not wrong


@pytest.mark.parametrize("profile", ["production", "lab"])
def test_what_korthweb_writes_itself_is_right(profile: str) -> None:
    text = re.sub(r"(?m)^#(?! \S| ?$)", "", example.yaml_example())  # every key in force
    for data in (yaml.safe_load(text), yaml.safe_load(example.yaml_example()), profile_document(profile).data or {}):
        assert not [error.message for error in EDITOR.iter_errors(data)]


#: settings as people write them; <B> is a tenant
RIGHT = {
    "two hospitals": "tenants: [{name: BHC, domain: bhc.example.org}, {<B>, aet: MHR_1}]",
    "headings": "clusters:\ntenants:\northanc:\nimages:\nversions:\ncharts:\n",
    "derived": "tenants: [{<B>, namespace: null, aet: null}]",
    "amounts": "orthanc: {resources: {requests: {cpu: 2, memory: 4Gi, example.com/gpu: 1}}}",
    "quota": "tenants: [{<B>, quota: {pods: 60, requests.storage: 1Ti, count/jobs.batch: 5}}]",
    "orthanc.json": "orthanc: {config: {LimitFindResults: 100, MyPlugin: {Deep: [1]}, PostgreSQL: {EnableSsl: true}}}",
    "times": "timeouts: {step: 90s, run: 1h, contact: 15, command: 1.5m}",
    "chart": "charts: {kiali: {values: {a: {b: null}}}, orthanc: {source: oci://a.example/charts/orthanc}}",
    "modality": "tenants: [{<B>, modalities: {CT: {aet: CT, host: ct, config: {AllowGet: true}}}}]",
}
WRONG = {
    "misspelt": "tennants: []",
    "misspelt inside": "orthanc: {conections: 5}",
    "one part": "tenants: [{name: BHC, domain: localhost}]",
    "no domain": "tenants: [{name: BHC}]",
    "no unit": "tenants: [{<B>, storage: 10}]",
    "a number as text": "storage_volumes: '24'",
    "true as a number": "storage_volumes: true",
    "a number as true": "security: {fixed_uids: 1}",
    "a version as a number": "versions: {istio: 1.31}",
    "an unknown component": "versions: {istoi: '1.31.1'}",
    "an unknown chart": "charts: {istoid: {version: '1'}}",
    "orthanc.json": "orthanc: {config: {DicomPort: '4242'}}",
    "orthanc.json, deeper": "orthanc: {config: {PostgreSQL: {IndexConnectionsCount: many}}}",
    "a choice": "orthanc: {config: {OverwriteInstances: Sometimes}}",
    "a risk that is none": "accept_risks: [everything]",
    "a component": "components: {istio: keep}",
    "reserved": "tenants: [{<B>, namespace: kube-pacs}]",
    "an option of no modality": "tenants: [{<B>, modalities: {C: {aet: C, host: c, config: {X: 1}}}}]",
    "bytes": "orthanc: {resources: {limits: {memory: 512}}}",
    "no resource": "orthanc: {resources: {limits: {memroy: 2Gi}}}",
}


def samples(table: dict[str, str]) -> list[Any]:
    return [
        pytest.param(text.replace("<B>", "name: B, domain: b.example.org"), id=name) for name, text in table.items()
    ]


@pytest.mark.parametrize("text", samples(RIGHT))
def test_right_settings_are_right_for_both(text: str, tmp_path: Path) -> None:
    assert not [error.message for error in EDITOR.iter_errors(yaml.safe_load(text))]
    assert not checked(tmp_path, yaml.safe_load(text))


@pytest.mark.parametrize("text", samples(WRONG))
def test_wrong_settings_are_wrong_for_both(text: str, tmp_path: Path) -> None:
    assert not EDITOR.is_valid(yaml.safe_load(text))
    assert checked(tmp_path, yaml.safe_load(text))


def test_config_init_writes_it_beside_korthweb_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config.begun(dry_run=False)
    first = (tmp_path / "korthweb.yaml").read_text("utf-8").splitlines()[0]
    assert first == modeline()
    assert (tmp_path / first.partition("$schema=")[2]).read_text("utf-8") == schema_text()
    assert config.checked(None)[0]["warnings"] == []


def test_config_check_tells_of_the_schema_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config.begun(dry_run=False)
    (tmp_path / FILE).write_text("{}")
    (warning,) = config.checked(None)[0]["warnings"]
    assert "korthweb.schema.json is another version's" in warning
    assert "config.schema > korthweb.schema.json" in warning


def test_config_schema_prints_the_file(capfd: pytest.CaptureFixture[str]) -> None:
    program.run(["korthweb", "config.schema"], exit=False)
    assert capfd.readouterr().out == schema_text()
    program.run(["korthweb", "config.schema", "--output", "json"], exit=False)
    assert json.loads(capfd.readouterr().out) == settings_schema()
