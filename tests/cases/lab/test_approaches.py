"""Each approach on a real lab: the profile ``production`` as it is, and what becomes of images when parts of it end.

One lab an approach. It has the profile ``production`` first: images and charts alone are the lab's. What follows has it
smaller, so that two cores take a fourth pod during a rollout. The lab's images have the vendors' paths and no command
more (recipes/commands.yaml).
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pydicom.data
import pytest
import yaml

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.lab import cluster
from korthweb_tasks.lab.commands import vendors
from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run.console import Console
from korthweb_tasks.settings.dicom import TlsSettings
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.tenant import Replicas, Tenant
from korthweb_tasks.verify.model import Endpoint
from tests import own_tasks
from tests.helm_parts.modality import association, stored
from tests.lab_site import ROOT, Site
from tests.own_state import state_in
from tests.verify_doubles.orthanc import free_port

LAB = yaml.safe_load((ROOT / "korthweb_tasks/settings/profiles/lab.yaml").read_text(encoding="utf-8"))
BHC = Tenant(name="BHC", domain="bhc.orthweb.com", replicas=Replicas(min=3, max=4))
TENANT = BHC.model_dump(mode="json", include={"name", "domain"})
SUPPLY: dict[str, Any] = {key: LAB[key] for key in ("images", "versions", "charts", "gitops")}
#: upstream's Envoy lacks what Istio adds to its own, and three parts can't be built from packages
SUPPLY |= {
    "istio": {key: LAB["istio"][key] for key in ("telemetry", "pilot_env")},
    "observability": LAB["observability"],
}
#: three sidecars and three databases ask for 1.8 cores; together with three Orthancs two cores are too few
FEW_CORES: dict[str, Any] = {"gitops": {"postgres": {"instances": 1}}}
#: what the lab's own profile asks for, on the volumes that are there; CloudNativePG has a second database to go over to
SMALL: dict[str, Any] = {key: value for key, value in LAB.items() if key != "storage_class"}
SMALL["postgres"] = {**LAB["postgres"], "instances": 2}
#: one in the short form: what runs in the pods is the same in all three
ONE = ("manual", *(pytest.param(name, marks=pytest.mark.long) for name in ("helm", "gitops")))
#: one of each gateway, Envoy and Traefik; GitOps has Envoy, too
at_both_gateways = pytest.mark.parametrize(
    "site", ["manual", "helm", pytest.param("gitops", marks=pytest.mark.long)], indirect=True
)
#: of the manual approach alone; the others have no such test, and so none to skip
by_hand = pytest.mark.parametrize("site", ["manual"], indirect=True)
in_one = pytest.mark.parametrize("site", ONE, indirect=True)
in_all_at_length = pytest.mark.parametrize(
    "site", [pytest.param(name, marks=pytest.mark.long) for name in ("manual", "helm", "gitops")], indirect=True
)
#: of the smaller one: a modality with old suites, and a viewer of another origin
VIEWER = "https://viewer.hospital.example"
OPEN: dict[str, Any] = {"dicom": {"tls": {"ciphers": ["modern", "AES128-SHA"]}}, "cors": [VIEWER]}
GOOD = "0x0000"
#: seconds until every pod was probed
PROBED = 6
TERMINATED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'orthanc'"
#: a backend that is killed makes PostgreSQL end all others, and start anew
CRASH = (  # the youngest may just have ended by itself
    "for turn in 1 2 3 4 5; do kill -9 $(cat /proc/[0-9]*/stat"
    " | sed -n 's/^\\([0-9]*\\) (postgres) .*/\\1/p' | sort -n | tail -1) && exit 0; done; exit 1"
)


@pytest.fixture(scope="module", params=["manual", "helm", "gitops"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give each approach on a lab of its own, with the profile ``production``."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    with state_in(tmp_path_factory.mktemp("state")):
        made = Site(tmp_path_factory.mktemp("project"), f"v{os.getpid()}{request.param[0]}", request.param, BHC)
        few = FEW_CORES.get(made.approach, {}) if (os.cpu_count() or 1) < 4 else {}
        made.settings(profile="production", tenants=[TENANT], **{**SUPPLY, **few})
        try:
            made.up()
            own_tasks.bring(made) if made.approach == "manual" else made.deploy()
            yield made
        finally:
            cluster.down(made.lab, console=Console(quiet=True))


@pytest.fixture(scope="module")
def small(site: Site) -> Site:
    """Give the same lab with room for a pod more."""
    replicas = BHC.replicas.model_dump(mode="json", include={"min", "max"})
    before = shakes(site.endpoint)
    if site.approach in FEW_CORES and (os.cpu_count() or 1) < 4:  # or there is no room for a second istiod
        site.ask("patch", "horizontalpodautoscaler", "orthanc", "--patch", '{"spec": {"minReplicas": 1}}')
        site.ask("scale", "deployment", "orthanc", "--replicas=2")
    site.settings(profile="production", tenants=[{**TENANT, **OPEN, "replicas": replicas}], **SMALL)
    site.deploy()
    site.until_ready()
    assert not before, "old suites were taken before anybody asked for them"
    return site


def shakes(endpoint: Endpoint, *, web: bool = False) -> bool:
    """Return True if the way in takes a client that knows TLS 1.2 with AES128-SHA, and nothing newer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    port, name = (endpoint.https_port, endpoint.web_host) if web else (endpoint.dicom_port, endpoint.dicom_host)
    with socket.create_connection((endpoint.address, port), timeout=10) as link:
        try:
            with context.wrap_socket(link, server_hostname=name) as made:
                return (made.cipher() or ("",))[0] == "AES128-SHA"
        except (ssl.SSLError, ConnectionResetError):
            return False


def test_F1_production_comes_up_on_the_vendors_image(site: Site) -> None:
    """F1: three pods are Ready with the default requests, probes and plugins, and serve DICOM."""
    # Flux begins with one, of which the autoscaler makes three
    site.until(lambda: len(site.ready_pods()) >= Settings().tenants[0].replicas.min, 240)
    wanted = Settings().orthanc.resources["requests"]
    for pod in site.ready_pods():
        (orthanc,) = [one for one in pod["spec"]["containers"] if one["name"] == "orthanc"]
        (status,) = [one for one in pod["status"]["containerStatuses"] if one["name"] == "orthanc"]
        assert orthanc["resources"]["requests"] == wanted
        assert status["restartCount"] == 0
    site.inv("verify.dicom", "--approach", site.approach)
    if site.approach == "helm":
        assert "C-ECHO: BHC" in site.inv("helm.test", "--yes")


def test_F1_the_pods_have_no_command_that_the_vendors_image_lacks(site: Site) -> None:
    """F1: what is on the PATH of Orthanc's container is in the list; each pod has a host id of its own."""
    pods = [pod["metadata"]["name"] for pod in site.ready_pods()]
    commands = 'IFS=:; for folder in $PATH; do [ ! -d "$folder" ] || ls "$folder"; done'
    there = set(inside(site, pods[0], commands).split())
    assert "Orthanc" in there
    assert not there - vendors()["orthanc"]
    hosts = {inside(site, pod, "od -An -tx1 /etc/hostid").strip() for pod in pods}
    assert len(hosts) == len(pods)
    assert all(len(host.split()) == 4 for host in hosts)


@by_hand
def test_by_hand_a_users_own_tasks_deployed_it(site: Site) -> None:
    """Issue 9, done when 3: `inv` in a folder of its own; the programs by `cli.*`; a row says what was not run."""
    words = ("get", "configmap", "ours", "--namespace", "default", "--output", "jsonpath={.data.a} {.data.b}")
    assert own_tasks.inv(site, "cli.kubectl", "--", *words) == "1 2"
    watched = own_tasks.inv(site, "cli.kubectl", "--", "get", "namespace", "observability", "--output=yaml")
    assert '"adopted":false' in watched
    assert "1.31" in own_tasks.inv(site, "cli.istioctl", "--", "version")
    assert "cert-manager" in own_tasks.inv(site, "cli.helm", "--", "list", "--all-namespaces")
    told = own_tasks.inv(site, "miss", "verify.dicom", code=7)
    assert told.startswith("not run: verify.dicom\nerror: ")
    assert "NotFound" in told


@at_both_gateways
def test_F11_old_suites_are_taken_where_a_tenant_asks_for_them(small: Site) -> None:
    """F11: refused before (see the fixture); then taken for DICOM, and neither by the web nor for another tenant."""
    small.until(lambda: shakes(small.endpoint), 30)
    assert not shakes(small.endpoint, web=True)
    with association(small.endpoint) as link:
        assert stored(link, 1) == [GOOD]
    if small.approach != "manual":
        return  # there each tenant has a gateway of its own
    gateway, dicom = (
        yaml.safe_load(small.ask("get", f"{kind}.networking.istio.io", name, "--output=yaml"))
        for kind, name in (("gateway", "orthanc"), ("virtualservice", "orthanc-dicom"))
    )
    (server,) = (one for one in gateway["spec"]["servers"] if one["port"]["number"] == 11112)
    plain = TlsSettings()
    tls = {**server["tls"], "minProtocolVersion": plain.istio_minimum, "cipherSuites": list(plain.suites)}
    other = replace(small.endpoint, dicom_host="dicom.mhr.orthweb.com")
    meta = {"name": "neighbour", "namespace": "istio-system"}
    servers = [{**server, "hosts": [other.dicom_host], "tls": tls}]
    neighbour = {**gateway, "metadata": meta, "spec": {**gateway["spec"], "servers": servers}}
    hosts = {"hosts": [other.dicom_host], "gateways": ["neighbour"]}
    route = {**dicom, "metadata": meta, "spec": {**dicom["spec"], **hosts}}
    small.runner.run(small.kubectl.apply([neighbour, route]))
    try:
        small.until(lambda: modern(other), 30)
        assert not shakes(other)
        assert shakes(small.endpoint)
    finally:
        kinds = "gateway.networking.istio.io,virtualservice.networking.istio.io"
        small.ask("delete", kinds, "neighbour", namespace="istio-system")


def modern(endpoint: Endpoint) -> bool:
    """Return True if the way in for DICOM takes a client of today under this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((endpoint.address, endpoint.dicom_port), timeout=10) as link:
        try:
            return bool(context.wrap_socket(link, server_hostname=endpoint.dicom_host).cipher())
        except (ssl.SSLError, ConnectionResetError):
            return False


@at_both_gateways
def test_F19_a_viewer_of_another_origin_may_read_and_no_other(small: Site) -> None:
    """F19: the preflight needs no password; the origin is named in answers, 401 among them; others are not."""
    ask = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    allowed, path = "access-control-allow-origin", "/dicom-web/studies"
    with browser(small.endpoint) as client:
        for origin, named in ((VIEWER, VIEWER), ("https://evil.example", None)):
            preflight = client.options(path, headers={**ask, "Origin": origin}, auth=httpx.Auth())
            unknown = client.get(path, headers={"Origin": origin}, auth=httpx.Auth())
            known = client.get(path, headers={"Origin": origin})
            assert (unknown.status_code, known.status_code) == (401, 200)
            assert [answer.headers.get(allowed) for answer in (preflight, unknown, known)] == [named] * 3
            if named:
                assert preflight.status_code == 200
                assert preflight.headers["access-control-allow-credentials"] == "true"
                assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
                assert "DELETE" not in preflight.headers["access-control-allow-methods"]


@at_both_gateways
def test_F18_who_keeps_cookies_finds_its_job(small: Site) -> None:
    """F18: a job belongs to one pod of three; ten questions with the cookie find it each time."""
    with association(small.endpoint) as link:
        assert stored(link, 1) == [GOOD]
    with browser(small.endpoint) as client:
        (study, *_) = client.get("/studies").json()
        job = client.post(f"/studies/{study}/archive", json={"Asynchronous": True}).json()["ID"]
        assert [client.get(f"/jobs/{job}").status_code for _ in range(10)] == [200] * 10


def inside(site: Site, pod: str, script: str) -> str:
    return site.ask("exec", pod, "--container=orthanc", "--", "sh", "-c", script)


def terminated(site: Site) -> None:
    site.sql(TERMINATED)


def some_cut(site: Site) -> None:
    """Cut connections as an idle time-out on the way does: some, and those that are not in use."""
    site.sql(f"{TERMINATED} AND state = 'idle' AND pid % 2 = 0")


def killed(site: Site) -> None:
    """Have the server start anew. It may be back before a probe sees the pods without it."""
    site.in_database("bash", "-c", CRASH)
    time.sleep(PROBED)


def deleted(site: Site) -> None:
    """Delete the pod: its StatefulSet makes it anew, and CloudNativePG fails over to the other. It may be as quick."""
    site.ask("delete", "pod", site.database)
    time.sleep(PROBED)


OUTAGES = {"backends terminated": terminated, "some cut": some_cut, "server killed": killed, "pod deleted": deleted}


def nine_stored(site: Site) -> None:
    """Store three images over each of nine associations, one after the other; each must be taken."""
    seen: list[str] = []
    for turn in range(9):
        with association(site.endpoint) as link:
            began = time.monotonic()
            seen += [f"{answer} ({turn}, after {time.monotonic() - began:.1f} s)" for answer in stored(link, 3)]
    refused = [one for one in seen if not one.startswith(GOOD)]
    assert not refused, f"{refused}\n{site.ask('get', 'pods,events', '--output=wide')[-9000:]}"


def heal(site: Site, outage: str, rounds: int) -> None:
    site.until_ready()
    nine_stored(site)
    for _ in range(rounds):
        OUTAGES[outage](site)
        time.sleep(1)
        site.until_ready()
        nine_stored(site)


@in_one
@pytest.mark.parametrize("outage", OUTAGES)
def test_F7_no_image_is_refused_after_the_database_was_away(small: Site, outage: str) -> None:
    """F7: each connection of each pod was lost; the first images after it are stored all the same."""
    heal(small, outage, 1)


@in_all_at_length
@pytest.mark.parametrize("outage", OUTAGES)
def test_F7_twenty_times(small: Site, outage: str) -> None:
    """F7: the same, twenty rounds of each kind."""
    heal(small, outage, 20)


@in_all_at_length
def test_F7_an_idle_time_out_cuts_nothing(small: Site) -> None:
    """F7: the probes use each connection more often than any idle time-out of the field would allow."""
    nine_stored(small)
    small.sql("ALTER ROLE orthanc SET idle_session_timeout = '10s'")
    try:
        small.sql(TERMINATED)
        time.sleep(30)
        small.until_ready()
        nine_stored(small)
    finally:
        small.sql("ALTER ROLE orthanc RESET idle_session_timeout")
        small.sql(TERMINATED)
        time.sleep(1)
        small.until_ready()


@in_all_at_length
def test_F7_an_empty_archive_takes_the_first_image_too(small: Site) -> None:
    """F7: where nothing is stored, nothing can be read to use the connection of the images."""
    with browser(small.endpoint) as client:
        for patient in client.get("/patients").json():
            client.delete(f"/patients/{patient}").raise_for_status()
    small.sql(TERMINATED)
    time.sleep(7)
    small.until_ready()
    nine_stored(small)


@in_all_at_length
def test_F7_pods_are_not_ready_while_the_database_is_away(small: Site) -> None:
    """F7: nobody is sent to an Orthanc that can't store."""
    with away(small):
        small.until(lambda: not small.ready_pods(), 60)
    time.sleep(2)
    small.until_ready()
    nine_stored(small)


@contextmanager
def away(site: Site) -> Iterator[None]:
    """Have no database while the block runs."""
    name = site.database.rpartition("-")[0]
    if site.approach == "gitops":
        words = ("annotate", "--overwrite", "cluster.postgresql.cnpg.io", name)
        begin, end = ((*words, f"cnpg.io/hibernation={value}") for value in ("on", "off"))
    else:
        words = ("scale", "statefulset", name, "--replicas")
        begin, end = ((*words, count) for count in ("0", "1"))
    site.ask(*begin)
    try:
        yield
    finally:
        site.ask(*end)


@contextmanager
def browser(endpoint: Endpoint) -> Iterator[httpx.Client]:
    """Give a client that goes through the ingress by the tenant's name."""

    def named(request: httpx.Request) -> None:
        request.headers["Host"] = endpoint.web_host
        request.extensions["sni_hostname"] = endpoint.web_host

    with httpx.Client(
        base_url=f"https://{endpoint.address}",
        verify=ssl.create_default_context(cadata=endpoint.ca_pem),
        auth=(endpoint.username, endpoint.password.get_secret_value()),
        event_hooks={"request": [named]},
        timeout=60,
        trust_env=False,
    ) as client:
        yield client


def asked(endpoint: Endpoint, over: threading.Event, seen: Counter[str]) -> None:
    """Ask at paces around every idle time-out on the way, over connections that are used again, until ``over``."""
    with browser(endpoint) as client:
        while not over.is_set():
            for pace in (0.1, 0.95, 1.0, 1.05, 1.95, 2.0, 2.05):
                try:
                    answer = client.post("/tools/find", json={"Level": "Study", "Query": {}})
                    seen[str(answer.status_code)] += 1
                except httpx.HTTPError as error:
                    seen[type(error).__name__] += 1
                over.wait(pace)


@contextmanager
def asking(endpoint: Endpoint) -> Iterator[Counter[str]]:
    """Have two clients ask while the block runs; give how often each status, or error, came."""
    over, seen = threading.Event(), Counter[str]()
    threads = [threading.Thread(target=asked, args=(endpoint, over, seen)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def forwarded(site: Site) -> Iterator[tuple[str, ...]]:
    """Have kubectl port-forward to the way in, begun anew whenever it ends; give the words that verify takes."""
    namespace, service = approach_of(site.approach).lookup.ingress
    ports = [str(free_port()), str(free_port())]
    to = (f"service/{service}", f"{ports[0]}:443", f"{ports[1]}:11112")
    place = namespace.format(ns=site.tenant.namespace)
    argv = [str(locate("kubectl").path), *site.kubectl.command("port-forward", *to, namespace=place).argv[1:]]
    over = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def again() -> None:
        while not over.is_set():
            running.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            running[-1].wait()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        site.until(lambda: listens(ports), 30)
        yield ("--address", "127.0.0.1", "--https-port", ports[0], "--dicom-port", ports[1])
    finally:
        over.set()
        running[-1].terminate()
        thread.join()


def listens(ports: list[str]) -> bool:
    try:
        for port in ports:
            socket.create_connection(("127.0.0.1", int(port)), 5).close()
    except OSError:
        return False
    return True


@in_one
def test_F21_an_archives_folder_through_a_port_forward(small: Site, tmp_path: Path) -> None:
    """F21, F15: no load balancer's address is asked; names travel as ever; what has no pixels is sent."""
    files = Path(pydicom.data.__file__).parent / "test_files"
    for name in ("rtplan.dcm", "waveform_ecg.dcm", "SC_rgb_jpeg_dcmtk.dcm", "README.txt", "MR_truncated.dcm"):
        shutil.copy(files / name, tmp_path)
    with forwarded(small) as words:
        told = small.inv("verify.dicom", "--approach", small.approach, "--study", str(tmp_path), *words)
    assert "3 of 5 files sent; 2 left out (1 cut off, 1 not a DICOM file)" in told
    assert "MR_truncated.dcm: left out: cut off: 62 bytes of (7FE0,0010) are missing" in told
    assert "3 images identical" in told
    assert "nothing listens" not in told


@in_one
def test_F9_an_association_outlives_the_pods_and_the_gateway(small: Site) -> None:
    """F9: 60 images, one every 0.7 s, in one association, while Orthanc and the gateway are replaced: all stored."""
    place, gateway = small.gateway
    small.until_ready()
    with asking(small.endpoint) as seen, association(small.endpoint) as link:
        answers = stored(link, 3, 0.7)
        small.ask("rollout", "restart", "deployment", small.deployment)
        answers += stored(link, 7, 0.7)
        small.ask("rollout", "restart", "deployment", gateway, namespace=place)
        answers += stored(link, 50, 0.7)
    assert Counter(answers) == {GOOD: 60}
    assert set(seen) == {"200"}, seen
    small.until_ready()


@in_all_at_length
def test_F9_associations_outlive_a_scale_down(small: Site) -> None:
    """F9: associations with every pod, of which one is left: all images are stored."""
    small.until_ready()
    with asking(small.endpoint) as seen, ExitStack() as stack:
        links = [stack.enter_context(association(small.endpoint)) for _ in range(6)]
        answers = [answer for link in links for answer in stored(link, 1)]
        small.ask("scale", "deployment", small.deployment, "--replicas=1")
        answers += [answer for _ in range(40) for link in links for answer in stored(link, 1, 0.1)]
    assert Counter(answers) == {GOOD: 246}
    assert set(seen) == {"200"}, seen
    small.until_ready()
