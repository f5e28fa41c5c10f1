"""What Kubernetes' client says of the way to a cluster, whichever program says it; and what is not about that (U8)."""

from __future__ import annotations

import re
import string
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.errors import ClusterUnreachable, KorthwebError, ToolMissing
from korthweb_tasks.run import guard
from korthweb_tasks.settings import login
from korthweb_tasks.tools.kubectl_fault_table import ALWAYS, FIRST, Fault
from korthweb_tasks.tools.kubectl_faults import explained, name_of
from tests.fakes import Answer, ScriptedRunner
from tests.unit.test_guard import ASK, cluster
from tests.verify_doubles.pki import Authority

UNTRUSTED = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
HELM = "Error: Kubernetes cluster unreachable: "
KUBECTL = "Unable to connect to the server: "
#: helm's, flux's and istioctl's words for the same
SAID = {
    f'{HELM}Get "https://x:6443/version": {UNTRUSTED}': "certificate not trusted",
    f'{HELM}Get "https://x/version": dial tcp: lookup x: no such host': "name not found",
    f"{HELM}the server has asked for the client to provide credentials": "login refused",
    f'{HELM}Get "https://x": getting credentials: exec: executable aws not found': "login program not installed",
    f'✗ failed to get API groups: Get "https://x:6443/api?timeout=32s": {UNTRUSTED}': "certificate not trusted",
    'Error: Get "https://x:6443/api?timeout=32s": dial tcp 10.0.0.1:6443: i/o timeout': "timed out",
    f"{KUBECTL}dial tcp 10.0.0.1:6443: i/o timeout": "timed out",
    f"{KUBECTL}net/http: TLS handshake timeout": "timed out",
    f"{KUBECTL}dial tcp 10.0.0.1:6443: connect: network is unreachable": "no route",
    f"{KUBECTL}dial tcp 10.0.0.1:6443: connect: no route to host": "no route",
}
#: of a webhook, a registry, an object: the cluster itself was reached
OTHERS = (
    f'Error from server (InternalError): Internal error occurred: failed calling webhook "x": Post "y": {UNTRUSTED}',
    f'Error: failed to do request: Head "https://registry.example/v2/": {UNTRUSTED}',
    f'Error: INSTALLATION FAILED: failed to download: Get "https://charts.example/index.yaml": {UNTRUSTED}',
    'Error from server (NotFound): deployments.apps "orthanc" not found',
    'Error from server (Forbidden): secrets is forbidden: User "me" cannot list resource "secrets"',
    "Error from server (BadRequest): illegal base64 data at input byte 4",
    "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
    "Error: UPGRADE FAILED: context deadline exceeded",
    'error: the path "x.yaml" does not exist',
)


@pytest.mark.parametrize("said", SAID)
def test_U8_each_program_says_it_in_its_own_frame(said: str) -> None:
    """U8: a step of a plan that meets the same trouble says the same."""
    way = Cluster("admin", "https://x:6443")
    assert name_of(said, way) == SAID[said]
    error = explained(said, way, attempts=3)
    assert isinstance(error, ToolMissing if "program" in SAID[said] else ClusterUnreachable)
    assert error.message.endswith(" (3 attempts)")


@pytest.mark.parametrize("said", OTHERS)
def test_U8_what_is_about_something_else_is_left_alone(said: str) -> None:
    """U8: an unknown authority of a webhook's is no reason to blame the kubeconfig."""
    assert explained(said, Cluster("admin", "https://x:6443")) is None


@pytest.mark.parametrize("fault", [*ALWAYS, *FIRST], ids=lambda fault: fault.name)
def test_U8_each_row_can_be_told(fault: Fault) -> None:
    """U8: a pattern that compiles, templates that are filled, and a next step."""
    re.compile(fault.says, re.MULTILINE)
    known = {"way", "context", "host", "plugin", "path", "proxy", "ended", "whoami", "rights", "version", "clusters"}
    for text in (fault.text, fault.hint):
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name} <= known
    assert fault.hint
    assert fault.error.exit_code in (3, 4)
    assert not fault.needs or hasattr(Cluster("x"), fault.needs)


def test_U8_an_answer_that_is_no_namespace_is_no_cluster() -> None:
    """U8: whatever answers with 200."""
    for text in ("<html><head><title>\n Login </title>", "{}", "[]", '{"kind": "Status"}', "", "\x00"):
        with pytest.raises(ClusterUnreachable):
            guard.check(cluster(), ScriptedRunner({ASK: Answer(text)}).run)
    with pytest.raises(KorthwebError, match="a web page, 'Login'"):
        guard.check(cluster(), ScriptedRunner({ASK: Answer("<html><title>\n Login </title>")}).run)


@pytest.mark.parametrize(
    ("server", "environ", "expected"),
    [
        ("https://a.example:6443", {"HTTPS_PROXY": "http://p:1"}, "http://p:1 (HTTPS_PROXY)"),
        ("https://a.example:6443", {"https_proxy": "p:1"}, "p:1 (https_proxy)"),
        ("http://a.example:8080", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("http://a.example:8080", {"HTTP_PROXY": "http://u:p@p:1"}, "http://p:1 (HTTP_PROXY)"),
        ("https://localhost:6443", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b.example, .example"}, ""),
        ("https://a.example", {"HTTPS_PROXY": "http://p:1", "no_proxy": "ple,le"}, "http://p:1 (HTTPS_PROXY)"),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.1.2.4"}, "http://p:1 (HTTPS_PROXY)"),
        ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
    ],
)
def test_U8_the_proxy_is_the_one_that_kubectl_takes(server: str, environ: dict[str, str], expected: str) -> None:
    """U8: by Go's rules, without its password."""
    assert login.proxy(server, {}, environ) == expected
    assert (
        login.proxy(server, {"proxy-url": "socks5://u:p@q:1"}, environ) == "socks5://q:1 (proxy-url of the kubeconfig)"
    )


def test_U8_when_a_login_expired_is_read_from_the_kubeconfig(tmp_path: Path) -> None:
    """U8: of a certificate, in the file or beside it, and of a token that says so; an unreadable one says nothing."""
    jwt = "h." + urlsafe_b64encode(b'{"exp": 1700000000}').decode().rstrip("=") + ".s"
    (tmp_path / "token").write_text(jwt)
    (tmp_path / "old.pem").write_bytes(Authority().leaf("me", begins=-9, ends=-1))
    (tmp_path / "new.pem").write_bytes(Authority().leaf("me"))
    over: list[dict[str, Any]] = [{"token": jwt}, {"tokenFile": "token"}, {"client-certificate": "old.pem"}]
    assert all(login.ended(user, tmp_path).endswith(" UTC") for user in over)
    assert login.ended({"token": jwt}, tmp_path) == "2023-11-14 22:13 UTC"
    sound = [{}, {"token": "opaque"}, {"token": "a.b.c"}, {"tokenFile": "gone"}, {"client-certificate": "new.pem"}]
    assert [login.ended(user, tmp_path) for user in sound] == [""] * 5
    assert login.ended({"client-certificate-data": "###"}, tmp_path) == ""
