"""F26, S25: whose database a release uses, and with whose password: installed on a real API server with real kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.applied import Kubectl
from tests.cases.simulated.test_settings_chart import HELMS, chart
from tests.simulated.test_helm_render import helm

#: an operator's database with the site's own password; no routes: what they need is another test's affair
OWN = {"postgresql": {"mode": "cnpg", "existingSecret": "brought"}, "ingress": {"enabled": False}}
PLACE = "operated"


@pytest.fixture(scope="module")
def release(with_kinds: Kubectl) -> Iterator[Kubectl]:
    yield with_kinds
    with_kinds("delete", "namespace", PLACE, "never-made", "--ignore-not-found", "--wait=false")


def install(at: Kubectl, component: str, given: dict[str, Any], namespace: str = PLACE, code: int = 0) -> str:
    words = ("upgrade", "orthanc", chart(), "--install", "--create-namespace", "--namespace", namespace)
    return helm(component, *words, *at.target.helm_args(), given=given, code=code)


def login(**data: str) -> list[dict[str, Any]]:
    meta = {"name": "brought", "namespace": PLACE}
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": meta}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}
    return [space, {**kind, "stringData": data}]


@pytest.mark.parametrize("component", HELMS)
@pytest.mark.parametrize(
    "given",
    [
        OWN,
        {"auth": {"existingSecret": "brought"}},
        {"certificates": {"source": "existingSecret", "existingSecret": "brought"}},
    ],
)
def test_S25_a_missing_secret_is_told_where_the_namespace_is_not_there_yet(
    release: Kubectl, component: str, given: dict[str, Any]
) -> None:
    """S25: with --create-namespace as without: nothing is made, and no pod waits for a Secret that never comes."""
    told = install(release, component, {"ingress": {"enabled": False}} | given, "never-made", code=1)
    assert "names the Secret brought, which is not in the namespace never-made" in told
    assert not release("get", "deployment", "--namespace=never-made", "--output=name")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"ORTHANC_POSTGRES_PASSWORD": "a-good-one-of-16"}, "has no key password"),
        ({"password": "a-good-one-of-16"}, "has no key username"),
        ({"username": "postgres", "password": "a-good-one-of-16"}, "is not postgresql.user"),
        ({"username": "orthanc", "password": "secret"}, "password is"),
    ],
)
def test_S25_a_password_that_the_operator_could_not_use_is_refused_by_the_chart(
    release: Kubectl, data: dict[str, str], why: str
) -> None:
    """S25: Orthanc would ask with one password, and the operator's database would know another."""
    release("delete", "secret", "brought", f"--namespace={PLACE}", "--ignore-not-found")
    release.apply(login(**data))
    told = install(release, "helm", OWN, code=1)
    assert "names the Secret brought" in told
    assert why in told
    assert not any(value in told for key, value in data.items() if "assword" in key.lower() and value != "secret")


@pytest.mark.parametrize("component", HELMS)
def test_F26_the_operators_database_and_orthanc_have_one_password(release: Kubectl, component: str) -> None:
    """F26: the site's own Secret, or the one that the operator makes; no other is made that nobody uses."""
    release("delete", "secret", "brought", f"--namespace={PLACE}", "--ignore-not-found")
    release.apply(login(username="orthanc", password="a-good-one-of-16"))
    for given, secret, told in (
        (OWN, "brought", {"name": "brought"}),
        (OWN | {"postgresql": {"mode": "cnpg"}}, "orthanc-postgres-app", None),
    ):
        install(release, component, given)
        both = ("deployment/orthanc", "cluster.postgresql.cnpg.io/orthanc-postgres")
        deployment, cluster = json.loads(release("get", *both, "--output=json", f"--namespace={PLACE}"))["items"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (entry,) = [one for one in container["env"] if one["name"] == "PGPASSWORD"]
        assert entry["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "password"}
        assert cluster["spec"]["bootstrap"]["initdb"].get("secret") == told
        assert cluster["spec"]["bootstrap"]["initdb"]["owner"] == "orthanc"
        assert "orthanc-database" not in release("get", "secret", "--output=name", f"--namespace={PLACE}")
        helm(component, "uninstall", "orthanc", "--namespace", PLACE, *release.target.helm_args())
        release("delete", "cluster.postgresql.cnpg.io", "orthanc-postgres", f"--namespace={PLACE}")


def test_F26_without_a_cluster_a_secret_that_is_named_is_taken_as_there() -> None:
    """F26: `helm template` as pipelines use it."""
    text = helm("helm", "template", "orthanc", chart(), "--namespace", PLACE, "--kube-version", "1.36.0", given=OWN)
    assert 'secret: {name: "brought"}' in text
