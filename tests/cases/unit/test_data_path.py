"""F7 and F9: what lets the data path heal and connections end is the same in all three approaches, from one setting."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.helm.values import site_values
from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.render import rendered
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.core.render import parse
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.verify.dicom.association import no_delay
from tests.fleet_share import fleet, objects

REPOSITORY = Path(__file__).parents[3]
DRAIN = 240


def manual(settings: Settings | None = None) -> list[dict[str, Any]]:
    settings = settings or Settings()
    made = Manifests(settings, Secrets(), Artifacts.read(REPOSITORY / "manual"))
    files = rendered(made, settings.tenants[:1])
    return [obj for name, text in files.items() if name.endswith(".yaml") for obj in parse(text)]


def helm() -> list[dict[str, Any]]:
    """Return a golden render: a simulated test holds the chart to it."""
    return list(parse((REPOSITORY / "tests/golden/helm/default.yaml").read_text()))


def gitops() -> list[dict[str, Any]]:
    return [obj for obj in objects(fleet().files()) if obj["metadata"].get("namespace") == "bhc-orthweb"]


APPROACHES = {"manual": manual, "helm": helm, "gitops": gitops}
pods = pytest.mark.parametrize("approach", APPROACHES)


def orthanc(made: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the template of Orthanc's pods; an overlay's patch has no probes."""
    return next(pod for pod in templates(made) if any("readinessProbe" in one for one in named(pod, "orthanc")))


def templates(made: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from (pod_of(obj) for obj in made if obj.get("kind") == "Deployment")


def pod_of(obj: dict[str, Any]) -> dict[str, Any]:
    return dict(obj["spec"]["template"]["spec"])


def named(pod: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [one for one in pod.get("containers", ()) if one["name"] == name]


def config(made: list[dict[str, Any]]) -> dict[str, Any]:
    found = next(obj["data"] for obj in made if "orthanc.json" in obj.get("data", ()))
    return dict(json.loads(found["orthanc.json"]))


@pods
def test_F9_a_pod_waits_for_what_is_open_and_is_given_the_time(approach: str) -> None:
    """F9: the drain waits, and the kubelet kills later than the drain ends."""
    pod = orthanc(APPROACHES[approach]())
    (container,) = named(pod, "orthanc")
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["bash", "/etc/korthweb/drain.sh", str(DRAIN)]
    assert pod["terminationGracePeriodSeconds"] == DRAIN + 60


def test_F9_one_setting_is_the_grace_of_orthanc_and_of_the_way_in() -> None:
    """F9: with another number, pods and gateways follow."""
    settings = Settings.model_validate({"orthanc": {"drain_seconds": 30}})
    made = manual(settings)
    assert orthanc(made)["terminationGracePeriodSeconds"] == 90
    (mesh,) = (obj for obj in made if obj.get("kind") == "IstioOperator")
    (gateway,) = mesh["spec"]["components"]["ingressGateways"]
    assert gateway["k8s"]["overlays"][0]["patches"][0]["value"] == 90
    values = site_values(settings)
    assert values["drainSeconds"] == 30
    assert values["traefik"]["deployment"]["terminationGracePeriodSeconds"] == 90
    for entry in ("websecure", "dicom"):
        assert values["traefik"]["ports"][entry]["transport"]["lifeCycle"]["graceTimeOut"] == 30


def line(port: str, remote: str, state: str = "01") -> str:
    """Return a line of the kernel's list of sockets."""
    return f"   0: 0A0812C6:{port} {remote}:A1B2 {state} 00000000:00000000 00:00000000 00000000  1000  0 1 1 0 20 -1\n"


DICOM, HTTP, FAR, MAPPED = "1092", "1F6A", "050812C6", "0000000000000000FFFF0000"
#: what is open -> the kernel's list, and whether a pod waits for it
DRAINED = {
    "nothing": ("", False),
    "an association": (line(DICOM, FAR), True),
    "an image by HTTP": (line(HTTP, FAR), True),
    "the mesh's sidecar": (line(HTTP, "0600007F"), True),
    "over IPv6": (line(HTTP, MAPPED + FAR), True),
    "one that has ended": (line(HTTP, FAR, "06"), False),
    "another port": (line("0050", FAR), False),
    "the pod's own probe": (line(HTTP, "0100007F"), False),
    "its probe, mapped": (line(HTTP, MAPPED + "0100007F"), False),
    "its probe over IPv6": (line(HTTP, "00000000000000000000000001000000"), False),
    "a probe beside an association": (line(HTTP, "0100007F") + line(DICOM, FAR), True),
}


@pytest.mark.parametrize("what", DRAINED)
def test_F9_a_pod_waits_for_connections_of_others_alone(what: str, tmp_path: Path) -> None:
    """F9: its own probe, which asks a database that has gone, held each pod back for all of drain_seconds."""
    listed, waits = DRAINED[what]
    (tmp_path / "tcp").write_text("  sl  local_address rem_address   st\n" + listed)
    script = (REPOSITORY / "helm/orthanc/files/drain.sh").read_text().replace("/proc/net/", f"{tmp_path}/")
    first, *others = slept(tmp_path, script)
    assert (first, set(others)) == ("10", {"0.2"})
    assert len(others) > 150 if waits else len(others) == 25


def test_F9_a_pod_waits_while_short_associations_come_and_go(tmp_path: Path) -> None:
    """F9: a busy ingress goes on sending here; of an association of half a second one look in a second sees little."""
    script = (REPOSITORY / "helm/orthanc/files/drain.sh").read_text().replace("/proc/net/", f"{tmp_path}/")
    #: each 2.2 s one of 0.4 s, ten times over
    comes = f"[ $((n % 11)) -lt 2 ] && [ $n -lt 110 ] && cp {tmp_path}/one {tmp_path}/tcp"
    (tmp_path / "one").write_text(line(DICOM, FAR))
    (tmp_path / "tcp").write_text("")
    assert len(slept(tmp_path, script, f"{comes} || : > {tmp_path}/tcp")) > 110


def slept(folder: Path, script: str, after: str = ":") -> list[str]:
    """Run the drain for 40 s by a clock of its own; return how long each sleep was. ``after`` runs after each."""
    clock = f"sleep() {{ echo $1 >> {folder}/slept; n=$((${{n:-0}} + 1)); ((n % 5)) || ((SECONDS += 1)); {after}; }}\n"
    subprocess.run(["bash", "-c", clock + script, "drain.sh", "40"], check=True, timeout=60)
    return (folder / "slept").read_text().split()


@pods
def test_F9_a_gateway_that_ends_is_still_sent_to(approach: str) -> None:
    """F9: for 20 s, while load balancers and busy nodes learn of it; 5 s were too few on a busy one."""
    made = APPROACHES[approach]()
    if approach == "helm":
        values = yaml.safe_load((REPOSITORY / "helm/orthanc/values.yaml").read_text())["traefik"]["ports"]
        seconds = [
            port["transport"]["lifeCycle"]["requestAcceptGraceTimeout"] for port in values.values() if "port" in port
        ]
        assert seconds == [20, 20]
        return
    texts = [str(obj) for obj in made]
    ends = [text for text in texts if "EXIT_ON_ZERO_ACTIVE_CONNECTIONS" in text]
    assert ends
    assert all(re.search("MINIMUM_DRAIN_DURATION(: |', 'value': ')20s", text) for text in ends)


@pods
def test_F9_idle_http_connections_end_at_the_gateway_first(approach: str) -> None:
    """F9: a gateway that sends into a connection that Orthanc is closing answers 502 or 503."""
    made = APPROACHES[approach]()
    assert config(made)["KeepAliveTimeout"] == 10
    idle = [
        rule["connectionPool"]["http"]["idleTimeout"]
        for obj in made
        if obj.get("kind") == "DestinationRule"
        for rule in obj["spec"]["trafficPolicy"].get("portLevelSettings", ())
    ]
    idle += [
        obj["spec"]["forwardingTimeouts"]["idleConnTimeout"] for obj in made if obj.get("kind") == "ServersTransport"
    ]
    assert idle == ["2s"]


@pods
def test_F7_connections_are_watched_and_no_longer_trusted(approach: str) -> None:
    """F7: the watcher is in the container, started by start.sh, and one refusal of the probe is enough."""
    made = APPROACHES[approach]()
    (container,) = named(orthanc(made), "orthanc")
    assert container["readinessProbe"]["failureThreshold"] == 1
    scripts = next(obj["data"] for obj in made if "orthanc.json" in obj.get("data", ()))
    assert "watch.sh" in scripts["start.sh"]
    assert "ready.sh" in scripts["watch.sh"]


@pods
def test_F7_orthanc_does_not_wait_for_acknowledgements(approach: str) -> None:
    """F7: TCP_NODELAY is what DCMTK inside of Orthanc reads (field.md, "Speed of one modality")."""
    (container,) = named(orthanc(APPROACHES[approach]()), "orthanc")
    assert {"name": "TCP_NODELAY", "value": "1"} in container["env"]


@pods
def test_F7_images_are_compressed_by_lz4(approach: str) -> None:
    """F7: the database tries to compress every image, which by its own default takes as long as all the rest."""
    made = APPROACHES[approach]()
    servers = [one for obj in made if obj.get("kind") == "StatefulSet" for one in named(pod_of(obj), "postgres")]
    given = [word for server in servers for word in server["args"]]
    # an overlay's patch has none
    clusters = [obj["spec"].get("postgresql", {}).get("parameters", {}) for obj in made if obj.get("kind") == "Cluster"]
    given += [f"{name}={value}" for cluster in clusters for name, value in cluster.items()]
    assert "default_toast_compression=lz4" in given


def test_F7_verify_does_not_wait_for_itself() -> None:
    """F7: pynetdicom's socket has TCP_NODELAY once it is open."""
    with socket.socket() as open_socket:
        wrapper = SimpleNamespace(socket=open_socket)
        event: Any = SimpleNamespace(assoc=SimpleNamespace(dul=SimpleNamespace(socket=wrapper)))
        no_delay(event)
        assert open_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
