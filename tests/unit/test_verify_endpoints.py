"""Where a tenant answers, read from a scripted cluster; and the table against the names that the approach uses."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.errors import ClusterUnreachable, UsageError, VerifyFailed
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.endpoints import address_of, find_endpoint
from tests.fakes import Answer, ScriptedRunner

BHC = Tenant(name="BHC", domain="bhc.orthweb.com")
KUBECTL = Kubectl(Cluster("korthweb-test"))


def service(*ingress: dict[str, str]) -> str:
    return json.dumps({"kind": "Service", "status": {"loadBalancer": {"ingress": list(ingress)}}})


def cluster(*, ip: str = "198.18.64.2", ca: str = "THE CA", password: str = "s3same") -> ScriptedRunner:
    def secret(command: Command) -> Answer:
        texts = {"bhc-orthweb-ca": ca, "orthanc-users": password}
        name = command.argv[command.argv.index("secret") + 1]
        return Answer(base64.b64encode(texts.get(name, "").encode()).decode())

    return ScriptedRunner({("service",): Answer(service({"ip": ip} if ip else {})), ("secret",): secret})


def test_everything_is_found() -> None:
    runner = cluster()
    endpoint = find_endpoint(runner.run, KUBECTL, BHC, "manual")
    assert endpoint.address == "198.18.64.2"
    assert (endpoint.web_host, endpoint.dicom_host) == ("web.bhc.orthweb.com", "dicom.bhc.orthweb.com")
    assert (endpoint.https_port, endpoint.dicom_port, endpoint.aet) == (443, 11112, "BHC")
    assert endpoint.ca_pem == "THE CA"
    assert endpoint.username == "admin"
    assert endpoint.password.get_secret_value() == "s3same"
    assert "s3same" not in repr(endpoint)
    assert "THE CA" not in repr(endpoint)


def test_only_what_is_needed_of_a_secret_is_read() -> None:
    runner = cluster()
    find_endpoint(runner.run, KUBECTL, BHC, "manual")
    read = [command.argv for command in runner.calls if "secret" in command.argv]
    assert read
    for argv in read:
        assert any(word.startswith("--output=jsonpath={.data.") for word in argv)
        assert not any("tls\\.key" in word for word in argv)


def test_no_address_yet_is_left_to_its_rung() -> None:
    assert find_endpoint(cluster(ip="").run, KUBECTL, BHC, "manual").address == ""


@pytest.mark.parametrize("missing", ["ca", "password"])
def test_a_tenant_that_is_not_deployed_is_said_so(missing: str) -> None:
    with pytest.raises(VerifyFailed, match="BHC is not deployed") as caught:
        find_endpoint(cluster(**{missing: ""}).run, KUBECTL, BHC, "manual")
    assert "manual.deploy --tenant BHC" in caught.value.hint


def test_unknown_is_not_absent() -> None:
    refused = Answer(stderr="dial tcp 127.0.0.1:1: connect: connection refused", code=1)
    with pytest.raises(ClusterUnreachable):
        find_endpoint(ScriptedRunner({("get",): refused}).run, KUBECTL, BHC, "manual")


def test_an_approach_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no approach 'x'"):
        approach_of("x")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ([{"ip": "1.2.3.4"}], "1.2.3.4"),
        ([{"hostname": "lb.example.org"}], "lb.example.org"),
        ([{"ip": "1.2.3.4", "hostname": "lb.example.org"}, {"ip": "5.6.7.8"}], "1.2.3.4"),
        ([], ""),
    ],
)
def test_address_of_a_load_balancer(given: list[dict[str, str]], address: str) -> None:
    assert address_of(json.loads(service(*given))) == address


def test_address_of_a_service_without_status() -> None:
    plain: dict[str, Any] = {"kind": "Service"}
    assert address_of(plain) == ""


def test_the_table_has_the_names_of_the_approach() -> None:
    from korthweb_tasks.approaches.shared import common

    manual = approach_of("manual").lookup
    assert manual.ingress == (common.ISTIO, common.GATEWAY)
    cas = [key.named(BHC, "admin") for key in manual.cas]
    assert [(key.namespace, key.secret) for key in cas] == [
        (place, secret(BHC))
        for place in (common.ISTIO, BHC.namespace)
        for secret in (common.ca_secret, common.tls_secret)
    ]
    used = common.gateway_of(Settings.model_validate({"components": {"istio": "use"}}), BHC)
    assert manual.own == ("{ns}", used.account)
    assert used.namespace == BHC.namespace
    password = manual.password.named(BHC, "admin")
    assert (password.namespace, password.secret) == (BHC.namespace, common.USERS_SECRET)


def test_gitops_keeps_everything_in_the_tenants_own_namespace() -> None:
    gitops = approach_of("gitops").lookup
    assert gitops.ingress == ("{ns}", "ingress")
    keys = [key.named(BHC, "admin") for key in (*gitops.cas, gitops.password)]
    assert [(key.namespace, key.secret, key.key) for key in keys] == [
        ("bhc-orthweb", "orthanc-ca", "tls.crt"),
        ("bhc-orthweb", "orthanc-tls", "ca.crt"),
        ("bhc-orthweb", "orthanc-users", "ORTHANC_ADMIN_PASSWORD"),
    ]
    assert gitops.selector == "app=orthanc"
