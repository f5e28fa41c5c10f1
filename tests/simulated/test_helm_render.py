"""What the chart makes of its values, by Helm 4 and 3.22: golden renders, schemas of three minors, what it refuses.

``GOLDEN_FILES=update pytest tests/simulated/test_helm_render.py`` writes the golden files anew.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.helm.diff import changes, masked_text
from korthweb_tasks.approaches.helm.values import site_values, values
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.render import as_yaml, parse
from korthweb_tasks.provision import builder
from korthweb_tasks.provision.charts import staged
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.orthanc import orthanc_json
from korthweb_tasks.settings.tenant import Tenant
from tests.applied import Kubectl

REPOSITORY = Path(__file__).parents[2]
GOLDEN = REPOSITORY / "tests" / "golden" / "helm"
LAB = yaml.safe_load((REPOSITORY / "korthweb_tasks/settings/profiles/lab.yaml").read_text())
BHC = Tenant(name="BHC", domain="bhc.orthweb.com")
MINORS = ("1.35", "1.36", "1.37")
HELMS = ("helm", "helm3")
#: of a test's values: what makes a database that is not ours
EXTERNAL = {"host": "db.hospital.example", "caSecret": "db-ca"}
#: case -> values; a golden file has what differs from the case "default"
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "external": {
        "postgresql": {"mode": "external", "existingSecret": "db-password", "external": EXTERNAL},
        "certificates": {"source": "existingSecret", "existingSecret": "brought"},
        "traefik": {"enabled": False},
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    },
    "operators": {
        "postgresql": {"mode": "cnpg", "cnpg": {"instances": 3}},
        "certificates": {"source": "certManager"},
        "autoscaling": {"enabled": False},
    },
    "no-sni": {
        "ingress": {"withoutSni": {"enabled": True}},
        "plugins": ["/plugins"],
        "config": {"DicomModalities": {"ct": ["CT", "10.0.0.1", 104]}, "PostgreSQL": {"IndexConnectionsCount": 8}},
        "users": ["admin", "dr.who"],
        "auth": {"existingSecret": "logins"},
    },
}
#: what is made at each rendering without a cluster
RANDOM = re.compile(r"(korthweb/renew-after: ).*")


@pytest.fixture(scope="session")
def chart() -> Path:
    """Return the chart without its dependency, which these tests do not need."""
    return staged(REPOSITORY / "helm" / "orthanc", (), Runner().run, {}).folder


def helm(component: str, *words: str, given: Any = None, code: int = 0) -> str:
    argv = (str(builder.binary(component, "helm")), *words, *(("--values", "-") if given is not None else ()))
    text = json.dumps(given) if given is not None else None
    done = subprocess.run(argv, input=text, text=True, capture_output=True, timeout=120)
    assert (done.returncode != 0) == bool(code), done.stdout + done.stderr
    return done.stderr if code else done.stdout


def render(chart: Path, given: Any, component: str = "helm") -> str:
    return rendered(chart, json.dumps(given), component)


@functools.cache
def rendered(chart: Path, given: str, component: str) -> str:
    place = ("orthanc", str(chart), "--namespace", "bhc-orthweb", "--kube-version", "1.36.0")
    return RANDOM.sub(r"\1made", masked_text(helm(component, "template", *place, given=json.loads(given))))


def the(text: str, kind: str, name: str) -> dict[str, Any]:
    (found,) = [obj for obj in parse(text) if (obj["kind"], obj["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("component", HELMS)
@pytest.mark.parametrize("case", CASES)
def test_renders_are_those_that_were_agreed_on(chart: Path, case: str, component: str) -> None:
    text = render(chart, CASES[case], component)
    if case != "default":
        differing = {change.name for change in changes("", render(chart, {}), text)}
        kept = [obj for obj in parse(text) if f"{obj['kind'].lower()}/{obj['metadata']['name']}" in differing]
        text = as_yaml(sorted(kept, key=lambda obj: (obj["kind"], obj["metadata"]["name"])))
    else:
        text = as_yaml(sorted(parse(text), key=lambda obj: (obj["kind"], obj["metadata"]["name"])))
    # the digest of the chart's content is no part of what was agreed on
    text = re.sub(r"orthanc-([0-9.]+)_[0-9a-f]+", r"orthanc-\1", text)
    if os.environ.get("GOLDEN_FILES") == "update":
        GOLDEN.mkdir(parents=True, exist_ok=True)
        (GOLDEN / f"{case}.yaml").write_text(text, encoding="utf-8")
    assert text == (GOLDEN / f"{case}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("component", HELMS)
@pytest.mark.parametrize("case", CASES)
def test_lint_has_nothing_to_say(chart: Path, case: str, component: str) -> None:
    words = ("lint", "--strict", "--quiet", str(chart), "--namespace", "bhc-orthweb", "--kube-version", "1.36.0")
    helm(component, *words, given=CASES[case])


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("case", CASES)
def test_objects_are_valid_for_three_minors(chart: Path, case: str, minor: str) -> None:
    import kubernetes_validate

    for obj in parse(render(chart, CASES[case])):
        if "." not in obj["apiVersion"] or obj["apiVersion"].endswith(".k8s.io/v1"):
            kubernetes_validate.validate(obj, minor, strict=True)


@pytest.mark.parametrize("profile", ["production", "lab"])
def test_settings_make_values_that_the_chart_takes(chart: Path, profile: str) -> None:
    settings = Settings(**(LAB if profile == "lab" else {}))
    render(chart, values(settings, BHC))
    render(chart, site_values(settings))


def test_orthanc_json_is_that_of_the_other_approaches_but_for_the_database(chart: Path) -> None:
    settings = Settings()
    shown = json.loads(the(render(chart, values(settings, BHC)), "ConfigMap", "orthanc-app")["data"]["orthanc.json"])
    wanted = orthanc_json(settings, BHC)
    for part in (shown, wanted):
        for key in ("Plugins", "StorageDirectory"):
            part.pop(key, None)
        for key in ("Host", "Port", "Database", "Username", "Password", "ConnectionUri", "EnableSsl"):
            part["PostgreSQL"].pop(key, None)
    assert shown == wanted


def test_no_password_is_in_the_configuration(chart: Path) -> None:
    text = the(render(chart, {}), "ConfigMap", "orthanc-app")["data"]["orthanc.json"]
    uri = json.loads(text)["PostgreSQL"]["ConnectionUri"]
    assert uri.startswith("postgresql://orthanc@orthanc-postgres:5432/orthanc?sslmode=verify-full&sslrootcert=")
    assert json.loads(text)["RegisteredUsers"] == {"admin": "${ORTHANC_ADMIN_PASSWORD}"}


def test_an_authority_signs_both_host_names(chart: Path) -> None:
    from cryptography import x509

    place = ("orthanc", str(chart), "--namespace", "bhc-orthweb", "--kube-version", "1.36.0")
    text = helm("helm", "template", *place, given={})
    data = the(text, "Secret", "orthanc-tls")["data"]
    leaf, authority = (x509.load_pem_x509_certificate(base64.b64decode(data[key])) for key in ("tls.crt", "ca.crt"))
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["web.orthanc.example.org", "dicom.orthanc.example.org"]


#: values -> the words of the one error
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a wrong key": ({"replica": {"min": 3}}, "replica"),
    "a wrong key below": ({"ingress": {"webEntrypoint": "x"}}, "webEntrypoint"),
    "a wrong type": ({"replicas": {"min": "three"}}, "got string, want integer"),
    "a host that is none": ({"hosts": {"web": "web_1"}}, "/hosts/web"),
    "one host for both": ({"hosts": {"web": "a.example", "dicom": "a.example"}}, "hosts.web and hosts.dicom are both"),
    "more replicas than connections": (
        {"replicas": {"max": 40}},
        "Orthanc may need 250 database connections, but postgresql.maxConnections is 200",
    ),
    "a long AE title": ({"aet": "A" * 17}, "/aet"),
    "min above max": ({"replicas": {"min": 5, "max": 4}}, "replicas.min 5 is more than replicas.max 4"),
    "no host of the database": (
        {"postgresql": {"mode": "external", "existingSecret": "x"}},
        "postgresql.external.host is needed",
    ),
    "no authority of the database": (
        {"postgresql": {"mode": "external", "existingSecret": "x", "external": {"host": "db.example"}}},
        "postgresql.external.caSecret is needed for sslMode verify-full",
    ),
    "no Secret of certificates": (
        {"certificates": {"source": "existingSecret"}},
        "certificates.existingSecret is needed",
    ),
    "no own Traefik": (
        {"traefik": {"enabled": False}, "ingress": {"withoutSni": {"enabled": True}}},
        "ingress.withoutSni needs traefik.enabled or ingress.ownsTraefik",
    ),
    "OverwriteInstances": ({"config": {"OverwriteInstances": "Sometimes"}}, "OverwriteInstances"),
}


@pytest.mark.parametrize("component", HELMS)
@pytest.mark.parametrize("case", REFUSED)
def test_bad_values_are_refused(chart: Path, case: str, component: str) -> None:
    given, words = REFUSED[case]
    place = ("orthanc", str(chart), "--namespace", "bhc-orthweb", "--kube-version", "1.36.0")
    text = helm(component, "template", *place, given=given, code=1)
    assert words.lower() in text.lower()


@pytest.mark.parametrize("component", HELMS)
def test_a_missing_secret_is_told_before_anything_changes(
    chart: Path, component: str, simulated: Cluster, simulated_programs: dict[str, str]
) -> None:
    place = ("--namespace", "empty", *simulated.helm_args())
    Kubectl(simulated, simulated_programs["kubectl"]).apply(
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "empty"}}]
    )
    words = ("install", "orthanc", str(chart), *place)
    # the kinds of Traefik are not in this cluster
    given = {"auth": {"existingSecret": "logins"}, "ingress": {"enabled": False}}
    text = helm(component, *words, given=given, code=1)
    assert "auth.existingSecret names the Secret logins, which is not in the namespace empty" in text
    assert helm(component, "list", "--deployed", "--failed", "--pending", "--output", "json", *place).strip() == "[]"


def test_passwords_and_authority_outlive_upgrades_and_both_helms(chart: Path, simulated: Cluster) -> None:
    place = ("--namespace", "kept", *simulated.helm_args())
    seen: list[dict[str, Any]] = []
    for component in ("helm", "helm3", "helm"):
        given = {"ingress": {"enabled": False}, "config": {"StableAge": 10 + len(seen)}}
        words = ("upgrade", "orthanc", str(chart), "--install", "--create-namespace")
        helm(component, *words, *place, given=given)
        text = helm(component, "get", "manifest", "orthanc", *place)
        seen.append({obj["metadata"]["name"]: obj["data"] for obj in parse(text) if obj["kind"] == "Secret"})
    assert set(seen[0]) == {"orthanc-users", "orthanc-database", "orthanc-ca", "orthanc-tls", "orthanc-postgres-tls"}
    assert seen[0] == seen[1] == seen[2]
    helm("helm", "uninstall", "orthanc", *place)
    helm("helm", "upgrade", "orthanc", str(chart), "--install", *place, given={"ingress": {"enabled": False}})
    text = helm("helm", "get", "manifest", "orthanc", *place)
    assert {obj["metadata"]["name"]: obj["data"] for obj in parse(text) if obj["kind"] == "Secret"} == seen[0]
    # another name: another certificate, by the same authority
    given = {"ingress": {"enabled": False}, "hosts": {"web": "web.other.example"}}
    helm("helm", "upgrade", "orthanc", str(chart), *place, given=given)
    text = helm("helm", "get", "manifest", "orthanc", *place)
    tls, authority = the(text, "Secret", "orthanc-tls")["data"], the(text, "Secret", "orthanc-ca")["data"]
    assert tls["tls.crt"] != seen[0]["orthanc-tls"]["tls.crt"]
    assert authority == seen[0]["orthanc-ca"]
    assert tls["ca.crt"] == authority["tls.crt"]
