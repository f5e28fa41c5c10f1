"""What is shown of settings, the examples that document them, and passwords that stay hidden."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.errors import SettingsError
from korthweb_tasks.settings import example
from korthweb_tasks.settings.check import findings
from korthweb_tasks.settings.load import leaves, load
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets, collect, read_env
from korthweb_tasks.settings.show import clear_passwords, columns, masked_tree, rows, under

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("file", "made"), [("korthweb.example.yaml", example.yaml_example), (".env.example", example.env_example)]
)
def test_the_example_files_are_those_of_the_model(file: str, made: Any) -> None:
    assert (ROOT / file).read_text("utf-8") == made(), "python -m korthweb_tasks.settings.example"


def test_the_page_on_settings_has_every_key() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert page == example.with_reference(page), "python -m korthweb_tasks.settings.example"


def test_the_example_shows_every_default(tmp_path: Path) -> None:
    # with every setting in force: prose has one space after its #, settings none or several
    text = re.sub(r"(?m)^#(?! \S| ?$)", "", example.yaml_example())
    (tmp_path / "korthweb.yaml").write_text(text)
    found = load(project=tmp_path, environ={})
    assert found.settings.model_dump(exclude={"clusters"}) == Settings().model_dump(exclude={"clusters"})
    shown = {key for key, origin in found.origins.items() if origin != "default"}
    hidden = {key for key in found.origins if key not in shown and not key.startswith("clusters.")}
    assert hidden == set()
    assert {key for key in shown if key.startswith("clusters.")} == {
        *(f"clusters.hospital-a.{key}" for key in ("context", "kubeconfig", "production", "server", "uid")),
        *(f"clusters.hospital-a.bastion.{key}" for key in ("host", "user", "port", "identity")),
    }


def test_the_example_as_it_is_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "korthweb.yaml").write_text(example.yaml_example())
    found = load(project=tmp_path, environ={})
    assert found.settings == Settings()
    assert {key.split(".")[0] for key, origin in found.origins.items() if origin != "default"} == {"tenants"}


def test_the_env_example_can_be_used(tmp_path: Path) -> None:
    text = "".join(
        f"{line[1:].rstrip()}{PASSWORD if line.rstrip().endswith('PASSWORD=') else ''}\n"
        for line in example.env_example().splitlines(keepends=True)
        if re.match(r"#KORTHWEB_", line)
    )
    (tmp_path / ".env").write_text(text)
    (tmp_path / ".env").chmod(0o600)
    found = load(project=tmp_path, environ={})
    assert found.warnings == ()
    assert len(found.secrets.values) == 5
    assert found.settings.context == "hospital-a"


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (("RegisteredUsers", "admin"), "x", "********"),
        (("RegisteredUsers", "admin"), "${ORTHANC_ADMIN_PASSWORD}", "${ORTHANC_ADMIN_PASSWORD}"),
        (("PostgreSQL", "Password"), "x", "********"),
        (("AwsS3Storage", "SecretKey"), "x", "********"),
        (("a", "apiKey"), "x", "********"),
        (("a", "token"), "x", "********"),
        (("PostgreSQL", "ConnectionUri"), "postgresql://u:geheim@h/db", "postgresql://u:********@h/db"),
        (("PostgreSQL", "Password"), "", ""),
        (("PostgreSQL", "Password"), "${A:-geheim}", "********"),
        (("DicomAet",), "PACS", "PACS"),
        (("key",), "k", "k"),
    ],
)
def test_what_looks_secret_is_masked(path: tuple[str, ...], value: str, shown: str) -> None:
    tree: Any = value
    for key in reversed(path):
        tree = {key: tree}
    found: Any = masked_tree(tree)
    for key in path:
        found = found[key]
    assert found == shown


def test_the_password_of_a_peer_in_a_list_is_masked() -> None:
    peers = {"OrthancPeers": {"a": ["https://a", "me", "geheim"]}, "DicomModalities": {"b": ["B", "h", "104"]}}
    assert masked_tree(peers) == {
        "OrthancPeers": {"a": ["https://a", "me", "********"]},
        "DicomModalities": {"b": ["B", "h", "104"]},
    }
    assert clear_passwords(peers) == ["OrthancPeers.a.2"]


def test_rows_have_values_and_origins_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "korthweb.yaml").write_text(f"orthanc:\n  config:\n    RegisteredUsers: {{eve: '{PASSWORD}'}}\n")
    found = load(project=tmp_path, environ={"KORTHWEB_SECRET_BHC_ADMIN_PASSWORD": PASSWORD})
    listed = {row.key: (row.value, row.origin) for row in rows(found)}
    assert listed["tenants.MHR.aet"] == ("MHR", "default")
    assert listed["orthanc.config.RegisteredUsers.eve"] == ("********", "korthweb.yaml:3")
    variable = "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD"
    assert listed[variable] == ("********", f"environment {variable}")
    assert PASSWORD not in repr(found)
    assert PASSWORD not in json.dumps(listed)
    assert [row.key for row in under(rows(found), "tenants.bhc.replicas")] == [
        "tenants.BHC.replicas.min",
        "tenants.BHC.replicas.max",
    ]


def test_columns_are_aligned() -> None:
    assert columns([("A", "BB"), ("CCC", "D")]) == "A    BB\nCCC  D"
    assert columns([]) == ""


def test_leaves_keep_what_is_empty() -> None:
    assert dict(leaves({"a": {}, "b": [1, {"c": 2}]})) == {("a",): {}, ("b", 0): 1, ("b", 1, "c"): 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tenants: [{name: A, domain: a.b, replicas: {max: 40}}]\n",
            (
                "korthweb.yaml:1: tenants.A.replicas.max: tenant A may need 250 database connections "
                "(40 replicas × 6 + 10 reserved), "
                "but orthanc.max_connections is 200: replicas.max 31 would fit"
            ),
        ),
        (
            "orthanc: {connections: 50}\ntenants: [{name: A, domain: a.b, replicas: {min: 5}}]\n",
            (
                "tenants.A.replicas.max: tenant A may need 520 database connections (10 replicas × 51 + 10 reserved), "
                "but orthanc.max_connections is 200: lower orthanc.connections"
            ),
        ),
    ],
)
def test_a_budget_that_does_not_fit_is_a_fault(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "korthweb.yaml").write_text(text)
    assert findings(load(project=tmp_path, environ={})).faults == [message]


def test_findings_of_the_defaults(tmp_path: Path) -> None:
    found = findings(load(project=tmp_path, environ={}))
    assert (found.faults, found.warnings) == ([], [])
    assert found.notes[0] == "profile production (default), approach manual"
    assert found.notes[1].endswith("dicom.bhc.orthweb.com, 70 of 200 connections")


def test_a_password_in_clear_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "korthweb.yaml").write_text("orthanc:\n  config:\n    OrthancPeers:\n      eve: [u, n, geheimnis]\n")
    place = "orthanc.config.OrthancPeers.eve.2"
    assert findings(load(project=tmp_path, environ={})).warnings == [
        f"korthweb.yaml:4: {place} is a password in clear",
    ]


def test_secrets_are_found_by_tenant_and_user(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD='from the file'\nKORTHWEB_SECRET_BHC_POSTGRES_PASSWORD=\"database-1\"\n"
    )
    (tmp_path / ".env").chmod(0o600)
    found = load(project=tmp_path, environ={"KORTHWEB_SECRET_BHC_ADMIN_PASSWORD": PASSWORD})
    bhc, mhr = found.settings.tenants
    assert found.secrets.password(bhc, "admin") == PASSWORD
    assert found.secrets.database_password(bhc) == "database-1"
    assert found.secrets.password(mhr, "admin") is None
    assert set(found.secrets.masks) == {PASSWORD, "database-1"}
    assert found.warnings == ()


def test_a_stray_secret_and_an_open_file_are_warned_about(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(f"\n# x\nKORTHWEB_SECRET_BCH_ADMIN_PASSWORD={PASSWORD}\n")
    env.chmod(0o644)
    assert load(project=tmp_path, environ={}).warnings == (
        f".env holds secrets but others may read it (mode 0644): `chmod 600 {env}`",
        (
            ".env:3: KORTHWEB_SECRET_BCH_ADMIN_PASSWORD belongs to no user of any tenant "
            "(did you mean 'KORTHWEB_SECRET_BHC_ADMIN_PASSWORD'?)"
        ),
    )


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("k1ngs", "is shorter than 8 characters"),
        ('with"quote', "holds a character"),
        ("with\\backslash", "holds a character"),
        ("with${NAME}", "holds a character"),
        ("with\nline", "holds a control character"),
    ],
)
def test_a_password_that_can_not_work_is_refused_unseen(value: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        collect({"KORTHWEB_SECRET_A_ADMIN_PASSWORD": value}, {"KORTHWEB_SECRET_A_ADMIN_PASSWORD": ".env:2"})
    assert caught.value.message.startswith(f".env:2: KORTHWEB_SECRET_A_ADMIN_PASSWORD {fault}")
    assert value not in str(caught.value)


@pytest.mark.parametrize("line", ["=x", "what is this", "KORTHWEB_SECRET_A_ADMIN_PASSWORD", "A='never closed"])
def test_a_line_of_the_env_file_that_is_none_is_told_unseen(line: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"# first\nB=1\n\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        read_env(tmp_path / ".env")
    assert caught.value.message == ".env:4: this line is not NAME=value"


def test_an_env_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(SettingsError, match=r"^\.env can't be read: Is a directory$"):
        read_env(tmp_path / ".env")
    assert read_env(tmp_path / "none") == ({}, {}, [])


def test_secrets_never_show_their_values() -> None:
    secrets = Secrets({"A": PASSWORD}, {"A": ".env:1"})
    assert PASSWORD not in repr(secrets)
    assert "A" in repr(secrets)


def test_the_yaml_of_the_example_is_plain() -> None:
    assert yaml.safe_load(example.yaml_example()) == {
        "tenants": [{"name": "BHC", "domain": "bhc.orthweb.com"}, {"name": "MHR", "domain": "mhr.orthweb.com"}]
    }
