"""F26, S25: the Secrets of a release by Helm: which are made, and which a person brings."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from korthweb_tasks.approaches.helm.approach import APPROACH
from korthweb_tasks.approaches.helm.plan import Builder, ChartAt
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.services.beforehand import refuse_brought
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.tools.kubectl import Kubectl
from tests.fakes import Answer, ScriptedRunner


@pytest.mark.parametrize(
    ("postgresql", "made"),
    [
        ({"mode": "cnpg"}, False),
        ({"mode": "cnpg", "existingSecret": "theirs"}, False),
        ({"mode": "external", "existingSecret": "theirs", "external": {"host": "db"}}, False),
        ({"mode": "external", "external": {"host": "db"}}, True),
        ({}, True),
    ],
)
def test_F26_no_secret_is_made_that_no_release_uses(postgresql: dict[str, Any], made: bool) -> None:
    """F26: the password of a database that is somebody else's is not generated; helm.deploy made one that lay about."""
    settings = Settings.model_validate({"charts": {"orthanc": {"values": {"postgresql": postgresql}}}})
    tenant = settings.tenants[0]
    keeper = Builder(settings, Cluster("x"), Secrets({}), ChartAt("", "")).keeper(tenant)
    (probe,) = keeper.probes()
    assert ("secret/orthanc-database" in probe.command.argv) is made
    assert probe.read(_secrets("orthanc-users", ORTHANC_ADMIN_PASSWORD="long-enough")) is not made
    assert set(keeper.wanted()) == {"orthanc-users", *(["orthanc-database"] if made else [])}


def _secrets(name: str, **data: str) -> Result:
    found = [{"kind": "Secret", "metadata": {"name": name}, "data": {k: _encoded(v) for k, v in data.items()}}]
    return Result(Command(argv=("kubectl",)), 0, json.dumps({"items": found}), "", 0.1)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"password": "long-enough", "username": "radio"}, ""),  # a name is no password, though it is short
        ({"ORTHANC_POSTGRES_PASSWORD": "long-enough"}, "has no key password"),
        ({"password": "secret"}, "shorter than 8"),
        (None, "which is not in bhc-orthweb: that namespace is not there yet"),
    ],
)
def test_S25_the_secret_that_a_person_brings_is_looked_at_before_the_first_change(
    data: dict[str, str] | None, why: str
) -> None:
    """S25: its key, and what is in it; where the namespace is missing too, the way there is told."""
    database = {"mode": "cnpg", "existingSecret": "theirs"}
    settings = Settings.model_validate({"charts": {"orthanc": {"values": {"postgresql": database}}}})
    tenant = settings.tenants[0]
    answer = Answer(_secrets("theirs", **data).stdout) if data else Answer()
    runner = ScriptedRunner({("get", "secret", "theirs"): answer, ("get", "namespace", tenant.namespace): Answer()})
    session = cast("Any", SimpleNamespace(runner=runner, kubectl=Kubectl(Cluster("x"))))
    if not why:
        refuse_brought(session, tenant, APPROACH.brings(settings, tenant))
        return
    with pytest.raises(SettingsError, match=why) as refused:
        refuse_brought(session, tenant, APPROACH.brings(settings, tenant))
    assert "theirs" in refused.value.message
    assert data or "create namespace" in (refused.value.hint or "")
