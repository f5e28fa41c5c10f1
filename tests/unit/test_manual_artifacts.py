"""What the manual approach applies: golden files for two settings, schemas of three Kubernetes minors, and its rules.

``GOLDEN_FILES=update pytest tests/unit/test_manual_artifacts.py`` writes the golden files anew.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.render import rendered
from korthweb_tasks.approaches.shared.common import Artifacts, fingerprint
from korthweb_tasks.core.render import RenderError, Templates, parse
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets, secret_name

REPOSITORY = Path(__file__).parents[2]
GOLDEN = REPOSITORY / "tests" / "golden" / "manual"
LAB = yaml.safe_load((REPOSITORY / "korthweb_tasks/settings/profiles/lab.yaml").read_text())
SETTINGS: dict[str, dict[str, Any]] = {"production": {}, "lab": LAB}
MINORS = ("1.35", "1.36", "1.37")
ARTIFACTS = Artifacts.read(REPOSITORY / "manual", Path("/charts"))


def manifests(given: dict[str, Any] | None = None, secrets: Secrets | None = None) -> Manifests:
    return Manifests(Settings(**(given or {})), secrets or Secrets(), ARTIFACTS)


def everything(made: Manifests) -> list[dict[str, Any]]:
    files = rendered(made, made.settings.tenants)
    return [obj for name, text in files.items() if name.endswith(".yaml") and "/" not in name for obj in parse(text)]


def the(made: Manifests, kind: str, name: str) -> dict[str, Any]:
    (found,) = [
        obj
        for obj in everything(made)
        if (obj["kind"], obj["metadata"]["name"]) == (kind, name)
        and obj["metadata"].get("namespace", "bhc-orthweb") in ("bhc-orthweb", "istio-system", "observability")
    ]
    return found


@pytest.mark.parametrize("profile", SETTINGS)
def test_files_are_those_that_were_agreed_on(profile: str) -> None:
    made = manifests(SETTINGS[profile])
    files, folder = rendered(made, made.settings.tenants[:1]), GOLDEN / profile
    if os.environ.get("GOLDEN_FILES") == "update":
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    agreed = {p.relative_to(folder).as_posix(): p.read_text("utf-8") for p in folder.rglob("*") if p.is_file()}
    assert sorted(files) == sorted(agreed)
    for name, text in files.items():
        assert text == agreed[name], f"{profile}/{name} has changed; GOLDEN_FILES=update takes it over"


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("profile", SETTINGS)
def test_kubernetes_takes_every_object(profile: str, minor: str) -> None:
    import kubernetes_validate

    checked = 0
    for obj in everything(manifests(SETTINGS[profile])):
        if ".istio.io/" in obj["apiVersion"] or "cert-manager.io/" in obj["apiVersion"]:
            continue
        kubernetes_validate.validate(obj, minor, strict=True)
        checked += 1
    assert checked > 30


@pytest.mark.parametrize("profile", SETTINGS)
def test_no_password_and_no_foreign_image_is_in_any_file(profile: str) -> None:
    made = manifests(SETTINGS[profile])
    assert not [obj for obj in everything(made) if obj["kind"] == "Secret"]
    for obj in everything(made):
        for container in _containers(obj):
            assert not [e for e in container.get("env", ()) if "PASSWORD" in e["name"] and "value" in e]
            if profile == "lab":
                assert container["image"].startswith("korthweb.lab/")


def test_a_mirror_is_in_every_image() -> None:
    made = manifests({"images": {"registry": "mirror.hospital/ext"}})
    images = {container["image"] for obj in everything(made) for container in _containers(obj)}
    assert images
    assert all(image.startswith("mirror.hospital/ext/") for image in images)
    (operator,) = parse(made.operator)
    assert operator["spec"]["hub"] == "mirror.hospital/ext/istio"
    values = made.cert_manager.values
    assert values["image"]["repository"] == "mirror.hospital/ext/jetstack/cert-manager-controller"


@pytest.mark.parametrize("profile", SETTINGS)
def test_every_container_of_a_tenant_has_no_more_rights_than_it_needs(profile: str) -> None:
    for obj in everything(manifests(SETTINGS[profile])):
        template = obj.get("spec", {}).get("template")
        if template is None:
            continue
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in _containers(obj):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_the_autoscaler_and_nobody_else_says_how_many_pods_there_are() -> None:
    made = manifests({"tenants": [{"name": "BHC", "domain": "bhc.org", "replicas": {"min": 2, "max": 4}}]})
    assert "replicas" not in the(made, "Deployment", "orthanc")["spec"]
    scaler = the(made, "HorizontalPodAutoscaler", "orthanc")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 4)
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 600
    target = scaler["metrics"][0]["containerResource"]["target"]
    assert target == {"type": "Utilization", "averageUtilization": 85}


def test_orthanc_is_alive_while_it_listens_and_ready_while_its_database_answers() -> None:
    (container,) = the(manifests(), "Deployment", "orthanc")["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["tcpSocket"] == {"port": 8042}
    assert container["readinessProbe"]["exec"]["command"] == ["bash", "/etc/korthweb/ready.sh"]
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (env["PROBE_USER"], env["PROBE_VARIABLE"]) == ("admin", "ORTHANC_ADMIN_PASSWORD")
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600


def test_a_tenant_is_told_by_the_server_name_alone() -> None:
    gateway = the(manifests(), "Gateway", "orthanc")["spec"]
    assert [(server["port"]["number"], server["hosts"]) for server in gateway["servers"]] == [
        (443, ["./web.bhc.orthweb.com"]),
        (11112, ["./dicom.bhc.orthweb.com"]),
    ]
    for server in gateway["servers"]:
        suites = server["tls"].pop("cipherSuites", None)
        assert (suites is not None) == (server["port"]["number"] == 11112)  # BCP 195, said for modalities
        assert server["tls"] == {
            "mode": "SIMPLE",
            "credentialName": "bhc-orthweb-tls",
            "minProtocolVersion": "TLSV1_2",
        }
    certificate = the(manifests(), "Certificate", "bhc-orthweb-tls")
    assert certificate["metadata"]["namespace"] == "istio-system"
    assert certificate["spec"]["dnsNames"] == ["web.bhc.orthweb.com", "dicom.bhc.orthweb.com"]


def test_a_long_domain_has_no_common_name() -> None:
    domain = f"{'a' * 60}.orthweb.com"
    made = manifests({"tenants": [{"name": "BHC", "domain": domain}]})
    assert "commonName" not in the(made, "Certificate", "bhc-orthweb-tls")["spec"]


def test_only_orthanc_and_dbinit_reach_the_database() -> None:
    made = manifests()
    policy = [o for o in everything(made) if o["kind"] == "AuthorizationPolicy" and o["metadata"]["name"] == "postgres"]
    principals = policy[0]["spec"]["rules"][0]["from"][0]["source"]["principals"]
    assert principals == [f"cluster.local/ns/bhc-orthweb/sa/{name}" for name in ("orthanc", "dbinit")]
    denied = the(made, "AuthorizationPolicy", "default-deny")
    assert denied["spec"] == {}


def test_plugins_are_gathered_wherever_they_are() -> None:
    made = manifests({"orthanc": {"plugins": ["/opt/plugins", "libOrthancGdcm.so"]}})
    assert json.loads(made.orthanc_json(made.settings.tenants[0]))["Plugins"] == ["/run/orthanc/plugins"]
    (container,) = the(made, "Deployment", "orthanc")["spec"]["template"]["spec"]["containers"]
    assert container["args"][4:] == ["/opt/plugins", "/usr/share/orthanc/plugins-available/libOrthancGdcm.so"]


def test_pods_follow_the_configuration_and_the_passwords_that_were_chosen() -> None:
    tenant = Settings().tenants[0]
    plain = manifests().names(tenant)
    other = manifests({"orthanc": {"config": {"StableAge": 99}}}).names(tenant)
    chosen = Secrets({secret_name(tenant, "admin"): "a-long-password"})
    with_password = manifests(secrets=chosen).names(tenant)
    assert plain.config_digest != other.config_digest
    assert plain.credentials_digest == "generated" != with_password.credentials_digest
    assert plain.dbinit_revision == with_password.dbinit_revision
    database = Secrets({secret_name(tenant, "postgres"): "a-long-password"})
    assert manifests(secrets=database).names(tenant).dbinit_revision != plain.dbinit_revision


def test_a_fingerprint_differs_between_tenants_with_the_same_password() -> None:
    first, second = Settings().tenants
    assert fingerprint(first, {"admin": "same"}) != fingerprint(second, {"admin": "same"})


def test_values_of_a_person_win_in_istio_and_charts() -> None:
    made = manifests(
        {
            "istio": {"values": {"global": {"proxy": {"logLevel": "info"}}, "telemetry": {"enabled": False}}},
            "charts": {"cert-manager": {"values": {"replicaCount": 2}}},
        }
    )
    (operator,) = parse(made.operator)
    assert operator["spec"]["values"]["global"]["proxy"]["logLevel"] == "info"
    assert operator["spec"]["values"]["global"]["imagePullPolicy"] == "IfNotPresent"
    assert operator["spec"]["values"]["telemetry"] == {"enabled": False}
    assert made.cert_manager.values["replicaCount"] == 2
    assert made.cert_manager.values["crds"]["enabled"] is True


def test_istio_leaves_no_way_out_and_opens_two_ports() -> None:
    (operator,) = parse(manifests().operator)
    assert operator["spec"]["meshConfig"]["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}
    (gateway,) = operator["spec"]["components"]["ingressGateways"]
    ports = [(port["port"], port["targetPort"]) for port in gateway["k8s"]["service"]["ports"]]
    assert ports == [(15021, 15021), (443, 8443), (11112, 11112)]


def test_jaeger_is_fed_by_the_mesh_and_by_nobody_else() -> None:
    made = manifests()
    (operator,) = parse(made.operator)
    (provider,) = operator["spec"]["meshConfig"]["extensionProviders"]
    traces = [o for o in everything(made) if o["kind"] == "Telemetry" and o["metadata"]["name"] == "traces"]
    assert traces[0]["spec"]["tracing"][0]["providers"] == [{"name": provider["name"]}]
    host, _, rest = provider["opentelemetry"]["service"].partition(".")
    assert rest == "observability.svc.cluster.local"
    assert the(made, "Service", host)["spec"]["ports"][0]["port"] == provider["opentelemetry"]["port"]
    (rule,) = the(made, "NetworkPolicy", "jaeger-spans")["spec"]["ingress"]
    places = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]]
    assert places == ["istio-system", "bhc-orthweb", "mhr-orthweb"]
    assert rule["ports"] == [{"protocol": "TCP", "port": provider["opentelemetry"]["port"]}]


def test_no_path_of_a_trace_is_long_enough_to_name_a_patient() -> None:
    (operator,) = parse(manifests().operator)
    (provider,) = operator["spec"]["meshConfig"]["extensionProviders"]
    assert 0 < provider["opentelemetry"]["maxTagLength"] <= len("/dicom-web/")  # 0 would be Istio's 256


def test_without_jaeger_the_mesh_makes_no_traces() -> None:
    made = manifests({"observability": {"jaeger": False}})
    assert "extensionProviders" not in made.operator
    assert not [obj for obj in everything(made) if obj["kind"] == "Telemetry"]
    assert yaml.safe_load(the(made, "ConfigMap", "kiali")["data"]["config.yaml"])["external_services"]["tracing"] == {
        "enabled": False
    }


def test_grafana_has_no_account_and_fetches_nothing() -> None:
    made = manifests()
    ini = ConfigParser(interpolation=None)
    ini.read_string(the(made, "ConfigMap", "grafana")["data"]["grafana.ini"])
    assert ini.getboolean("security", "disable_initial_admin_creation")
    assert ini.getboolean("auth", "disable_login_form")
    assert not ini.getboolean("auth.basic", "enabled")
    assert ini["auth.anonymous"]["org_role"] == "Viewer"
    assert ini.getboolean("plugins", "preinstall_disabled")
    assert not ini.getboolean("analytics", "reporting_enabled")


def test_the_dashboard_asks_the_datasource_that_is_there() -> None:
    files = the(manifests(), "ConfigMap", "grafana")["data"]
    (source,) = yaml.safe_load(files["datasources.yaml"])["datasources"]
    service = the(manifests(), "Service", "prometheus")
    assert source["url"] == f"http://prometheus.observability:{service['spec']['ports'][0]['port']}"
    dashboard = json.loads(files["orthanc.json"])
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert "{{tenant}}" in files["orthanc.json"]  # Grafana's own braces come through
    folder = yaml.safe_load(files["providers.yaml"])["providers"][0]["options"]["path"]
    (container,) = _containers(the(manifests(), "Deployment", "grafana"))
    assert folder in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_a_lab_chart_without_its_folder_is_a_fault_of_the_program() -> None:
    bare = Manifests(Settings(**LAB), Secrets(), Artifacts(ARTIFACTS.templates))
    with pytest.raises(ValueError, match="no folder of charts"):
        _ = bare.cert_manager


def test_a_setting_that_is_missing_is_an_error_that_names_the_artifact() -> None:
    templates = Templates({"a.yaml.j2": "x: {{ no.such }}", "b.yaml.j2": "x: [", "c.yaml": "x: 1"})
    with pytest.raises(RenderError, match=r"a\.yaml\.j2.*no"):
        templates.text("a.yaml", {})
    with pytest.raises(RenderError, match=r"b\.yaml is no YAML"):
        templates.objects("b.yaml", {})
    assert templates.objects("c.yaml", {}) == [{"x": 1}]


def test_what_a_setting_holds_can_not_break_out_of_its_place() -> None:
    templates = Templates({"a.yaml.j2": "x: {{ text | json }}"})
    wild = 'a"b\n: {{ c }} ü'
    assert templates.objects("a.yaml", {"text": wild}) == [{"x": wild}]


def test_the_script_for_credentials_is_a_good_shell_script(tmp_path: Path) -> None:
    """It makes what is missing, leaves what is there, and no password is in its arguments or its output."""
    made = manifests()
    script = tmp_path / "credentials.sh"
    script.write_text(rendered(made, made.settings.tenants[:1])["credentials-bhc.sh"])
    fake = tmp_path / "kubectl"
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        'case "$*" in *"get secret postgres-admin"*) exit 0;; *"get secret"*) exit 1;; esac\n'
        'for arg; do case "$arg" in --from-file=*) wc -c < "${arg##*=}" >> ' + f"{tmp_path}/sizes;; esac; done\n"
    )
    fake.chmod(stat.S_IRWXU)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(
        ["sh", str(script), "--context", "lab"], check=True, env={**os.environ, "PATH": path}, capture_output=True
    )
    calls = (tmp_path / "calls").read_text().splitlines()
    created = [line for line in calls if "create" in line and "dry-run" not in line]
    assert [line.split("generic ")[1].split()[0] for line in created] == ["orthanc-users", "orthanc-database"]
    assert all(line.startswith("--context lab --namespace bhc-orthweb") for line in created)
    assert "ORTHANC_ADMIN_PASSWORD" in created[0]
    assert (tmp_path / "sizes").read_text().split()[:2] == ["32", "32"]
    (copied,) = [line for line in calls if "orthanc-metrics-bhc-orthweb" in line]
    assert "--namespace observability" in copied


def _containers(obj: dict[str, Any]) -> list[dict[str, Any]]:
    pod = obj.get("spec", {}).get("template", {}).get("spec", {}) if "spec" in obj else {}
    return [*pod.get("initContainers", ()), *pod.get("containers", ())]
