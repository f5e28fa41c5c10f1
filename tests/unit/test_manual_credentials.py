"""Passwords: chosen, found or generated, never replaced, never shown."""

from __future__ import annotations

import json
from dataclasses import replace
from string import ascii_letters, digits
from typing import Any

import pytest

from korthweb_tasks.approaches.shared.credentials import Credentials, generated, logins, secret
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets, secret_name, unfit
from korthweb_tasks.tools.kubectl import Kubectl

KUBECTL = Kubectl(Cluster("lab"))
TENANT = Settings(tenants=({"name": "BHC", "domain": "bhc.org", "users": ["admin", "reader"]},)).tenants[0]
WATCHER = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "observability", "labels": {"a": "b"}}}
COMPLETE = {
    "orthanc-users": {"ORTHANC_ADMIN_PASSWORD": "old-admin", "ORTHANC_READER_PASSWORD": "old-reader"},
    "orthanc-database": {"ORTHANC_POSTGRES_PASSWORD": "old-database"},
    "postgres-admin": {"POSTGRES_PASSWORD": "old-super"},
}


def keeper(chosen: dict[str, str] | None = None, watcher: dict[str, Any] | None = None) -> Credentials:
    given = Secrets({secret_name(TENANT, user): text for user, text in (chosen or {}).items()})
    numbers = iter(range(100))
    return Credentials(TENANT, given, KUBECTL, watcher, generate=lambda: f"new-{next(numbers)}")


def look(keeper: Credentials, *tables: dict[str, dict[str, str]]) -> list[bool]:
    """Answer the probes with Secrets as the cluster would."""
    found = []
    for probe, table in zip(keeper.probes(), tables, strict=True):
        objects = [secret(name, "bhc-orthweb", keys, "BHC") for name, keys in table.items()]
        text = json.dumps({"kind": "List", "items": objects}) if objects else ""
        found.append(probe.read(Result(probe.command, 0, text, "", 0.1)))
    return found


def test_what_is_complete_is_left_alone() -> None:
    assert look(keeper(), COMPLETE) == [True]


def test_nothing_there_means_everything_is_generated() -> None:
    maker = keeper()
    assert look(maker, {}) == [False]
    texts = [text for keys in maker.wanted().values() for text in keys.values()]
    assert sorted(texts) == ["new-0", "new-1", "new-2", "new-3"]


def test_what_is_missing_is_added_and_the_rest_stays() -> None:
    maker = keeper()
    known = {**COMPLETE, "orthanc-users": {"ORTHANC_ADMIN_PASSWORD": "old-admin"}}
    assert look(maker, known) == [False]
    wanted = maker.wanted()
    assert wanted["orthanc-users"] == {"ORTHANC_ADMIN_PASSWORD": "old-admin", "ORTHANC_READER_PASSWORD": "new-0"}
    assert wanted["postgres-admin"] == COMPLETE["postgres-admin"]


def test_a_chosen_password_wins_over_the_one_that_is_there() -> None:
    maker = keeper({"admin": "chosen-password", "postgres": "chosen-database"})
    assert look(maker, COMPLETE) == [False]
    assert maker.wanted()["orthanc-users"]["ORTHANC_ADMIN_PASSWORD"] == "chosen-password"
    assert maker.wanted()["orthanc-database"]["ORTHANC_POSTGRES_PASSWORD"] == "chosen-database"
    assert maker.wanted()["postgres-admin"]["POSTGRES_PASSWORD"] == "old-super"  # the volume was made with it


def test_a_chosen_password_that_is_there_already_changes_nothing() -> None:
    assert look(keeper({"admin": "old-admin"}), COMPLETE) == [True]


def test_prometheus_has_a_copy_of_the_first_users_password() -> None:
    maker = keeper(watcher=WATCHER)
    copy = {"orthanc-metrics-bhc-orthweb": {"username": "admin", "password": "old-admin"}}
    assert look(maker, COMPLETE, copy) == [True, True]
    assert look(maker, COMPLETE, {}) == [True, False]
    assert look(maker, {}, {}) == [False, False]
    *others, last = maker.objects(COMPLETE)
    assert "Namespace" not in {obj["kind"] for obj in others}  # made and recorded by a step's own action
    assert (last["metadata"]["namespace"], last["metadata"]["name"]) == ("observability", "orthanc-metrics-bhc-orthweb")


def test_the_command_masks_every_password_and_carries_them_by_stdin() -> None:
    maker = keeper()
    look(maker, COMPLETE)
    command = maker.command()
    texts = [text for keys in COMPLETE.values() for text in keys.values()]
    assert set(texts) <= set(command.masks)
    assert not [text for text in texts if text in " ".join(command.argv) or text in repr(command)]
    assert "old-admin" not in repr(maker)


def test_nothing_is_written_where_nobody_looked() -> None:
    with pytest.raises(RuntimeError, match="not looked at"):
        keeper().command()


def test_a_generated_password_is_strong_and_fits_everywhere() -> None:
    made = {generated() for _ in range(50)}
    assert len(made) == 50
    for text in made:
        assert len(text) >= 32
        assert not unfit(text)
        assert set(text) <= set(ascii_letters + digits + "-_")


def test_logins_tell_who_may_come_in() -> None:
    def run(command: Command) -> Result:
        assert "orthanc-users" in command.argv
        return Result(command, 0, json.dumps(secret("orthanc-users", "x", COMPLETE["orthanc-users"], "BHC")), "", 0.1)

    found = logins(run, KUBECTL, TENANT)
    assert [(entry["user"], entry["password"]) for entry in found] == [("admin", "old-admin"), ("reader", "old-reader")]
    assert found[0]["url"] == "https://web.bhc.org"


def test_logins_of_a_tenant_that_is_not_deployed_are_empty() -> None:
    found = logins(lambda command: Result(command, 0, "", "", 0.1), KUBECTL, TENANT)
    assert {entry["password"] for entry in found} == {""}


def test_keepers_do_not_share_what_they_found() -> None:
    first = keeper()
    look(first, COMPLETE)
    assert replace(first, found=None).found is None
    assert first.found == COMPLETE
