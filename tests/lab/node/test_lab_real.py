"""The lab with real pods: what they can and can't reach, what outlives what, and what is left when it is gone."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.lab import cgroups, cluster, namespaces, node, process, store, teardown
from korthweb_tasks.lab.cluster import LabInfo
from korthweb_tasks.lab.layout import DEFAULT_SUBNET, Layout
from korthweb_tasks.lab.raising import Options
from korthweb_tasks.provision import builder
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.runner import Runner
from tests.own_state import state_in


def longer(*values: object) -> list[Any]:
    """Return values of a parameter that are for the long form."""
    return [pytest.param(value, marks=pytest.mark.long) for value in values]


ONLY_PAUSE = Options(images=(), volumes=3)
BUSYBOX = "/usr/bin/busybox"
SERVE = f"mkdir -p /tmp/www && cd /tmp/www && echo it works > index.html && exec {BUSYBOX} httpd -f -p 8080"


@pytest.fixture(scope="module", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep these labs apart from the user's."""
    with state_in(tmp_path_factory.mktemp("state")):
        yield


@pytest.fixture(scope="module")
def lab(own_state: None) -> Iterator[LabInfo]:
    """Give a running lab, and remove it."""
    try:
        yield up("kwt1")
    finally:
        cluster.down("kwt1", console=Console(quiet=True))


@pytest.fixture(scope="module")
def pods(lab: LabInfo) -> LabInfo:
    """Give a lab with a server and two clients."""
    apply(lab, [pod("server", SERVE, probe=True), pod("good"), pod("bad"), claim("data"), service("server")])
    kubectl(lab, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    return lab


def test_a_second_up_changes_nothing(lab: LabInfo) -> None:
    before = {name: one.pid for name, one in process.components(layout(lab).root).items()}
    again = up(lab.name)
    assert not again.changed
    assert {name: one.pid for name, one in process.components(layout(lab).root).items()} == before


def test_status_tells_of_every_component(lab: LabInfo) -> None:
    status = cluster.status(lab.name)
    assert status.state == "running"
    assert {one.name for one in status.components} >= {"etcd", "kubelet", "containerd", "coredns", "kube-router"}
    assert all(one.memory > 0 and one.age > 0 for one in status.components)
    assert status.memory > 100 << 20


def test_pods_have_names_logs_exec_and_volumes(pods: LabInfo) -> None:
    assert kubectl(pods, "exec", "good", "--", BUSYBOX, "wget", "-T5", "-qO-", "http://server/") == "it works\n"
    assert kubectl(pods, "exec", "good", "--", BUSYBOX, "nslookup", "host.korthweb.lab").count("198.18.")
    assert "started" in kubectl(pods, "logs", "server")
    assert kubectl(pods, "get", "pvc", "data", "--output=jsonpath={.status.phase}") == "Bound"
    volume = kubectl(pods, "get", "pvc", "data", "--output=jsonpath={.spec.volumeName}")
    kubectl(pods, "exec", "server", "--", BUSYBOX, "touch", "/data/kept")
    assert (layout(pods).volumes / volume / "kept").exists()


def test_a_name_that_is_not_there_is_answered_at_once(pods: LabInfo) -> None:
    began = time.monotonic()
    answer = run(pods, "exec", "good", "--", BUSYBOX, "wget", "-T5", "-qO-", "http://nowhere.example.org/")
    assert answer.returncode != 0
    assert time.monotonic() - began < 4


def test_a_load_balancer_has_an_address_that_the_host_reaches(pods: LabInfo) -> None:
    address = eventually(
        lambda: kubectl(pods, "get", "svc", "server", "-o=jsonpath={.status.loadBalancer.ingress[0].ip}")
    )
    connection = http.client.HTTPConnection(address, 80, timeout=5)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"it works\n"


def test_pods_reach_a_server_on_the_host_by_its_name(pods: LabInfo) -> None:
    place = layout(pods)
    program = [
        sys.executable,
        "-m",
        "http.server",
        "0",
        "--bind",
        place.host_address,
        "--directory",
        str(place.volumes),
    ]
    server = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        assert server.stdout
        port = server.stdout.readline().split("port ")[1].split()[0]
        url = f"http://host.korthweb.lab:{port}/"
        assert "lab-00" in kubectl(pods, "exec", "good", "--", BUSYBOX, "wget", "-T5", "-qO-", url)
    finally:
        server.kill()
        server.communicate()


def test_metrics_come_for_the_autoscaler(pods: LabInfo) -> None:
    path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"
    found = eventually(lambda: json.loads(kubectl(pods, "get", "--raw", path))["items"], seconds=60)
    assert found[0]["containers"][0]["usage"]["memory"]


def test_pods_reach_neither_etcd_nor_the_kubelet_without_credentials(pods: LabInfo) -> None:
    address = layout(pods).address
    for port in listening(pods, "etcd"):
        answer = run(pods, "exec", "good", "--", BUSYBOX, "nc", "-w", "2", address, str(port))
        assert answer.returncode != 0, f"etcd's port {port} is open for pods"
    anyone = ssl._create_unverified_context()  # the point is what the server thinks of us
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"https://{address}:10250/pods", context=anyone, timeout=5)
    assert refused.value.code == 401


def test_etcd_listens_on_the_loopback_of_the_lab_only(lab: LabInfo) -> None:
    etcd = sockets(process.components(layout(lab).root)["etcd"].pid)
    assert etcd
    assert all(address == "0100007F" for address, _ in etcd)


def test_nothing_of_the_lab_listens_in_the_network_of_the_host(lab: LabInfo) -> None:
    host = Path("/proc/self/ns/net").readlink()
    for one in process.of_lab(layout(lab).root):
        assert Path(f"/proc/{one.pid}/ns/net").readlink() != host, one


def test_a_network_policy_is_enforced(pods: LabInfo) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "only-good"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "server"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "good"}}}]}],
        },
    }
    fetch = ("--", BUSYBOX, "wget", "-T2", "-qO-", "http://server/")
    assert run(pods, "exec", "bad", *fetch).returncode == 0
    apply(pods, [policy])
    eventually(lambda: run(pods, "exec", "bad", *fetch).returncode != 0)
    assert run(pods, "exec", "good", *fetch).returncode == 0
    kubectl(pods, "delete", "networkpolicy", "only-good")


def test_two_labs_at_once_do_not_meet(lab: LabInfo) -> None:
    try:
        other = up("kwt2")
        assert not layout(other).block.overlaps(layout(lab).block)
        apply(other, [pod("server", SERVE)])
        kubectl(other, "wait", "--for=condition=Ready", "pod/server", "--timeout=60s")
        assert cluster.status(lab.name).state == cluster.status(other.name).state == "running"
    finally:
        cluster.down("kwt2", console=Console(quiet=True))
    assert cluster.status(lab.name).state == "running"
    assert not up(lab.name).changed


@pytest.mark.parametrize(
    "killed",
    [
        ("kubelet", "kube-proxy", "kwok-controller"),
        ("containerd",),
        ("kube-apiserver", "etcd", "coredns"),
        *longer(("kubelet", "kube-proxy"), ("kube-apiserver",), ("etcd", "coredns"), ("kwok-controller",)),
    ],
)
def test_what_was_killed_is_started_again_and_pods_live_on(pods: LabInfo, killed: tuple[str, ...]) -> None:
    def started() -> str:
        return kubectl(pods, "get", "pod", "good", "-o=jsonpath={.status.containerStatuses[0].state.running.startedAt}")

    before = started()
    running = process.components(layout(pods).root)
    for name in killed:
        os.kill(running[name].pid, signal.SIGKILL)
    assert up(pods.name).changed
    assert cluster.status(pods.name).state == "running"
    assert started() == before
    assert kubectl(pods, "exec", "good", "--", BUSYBOX, "wget", "-T5", "-qO-", "http://server/") == "it works\n"


def test_a_volume_whose_claim_is_gone_is_made_ready_for_another(lab: LabInfo) -> None:
    apply(lab, [claim("spare"), pod("spare", volume="spare")])
    kubectl(lab, "wait", "--for=condition=Ready", "pod/spare", "--timeout=60s")
    name = kubectl(lab, "get", "pvc", "spare", "-o=jsonpath={.spec.volumeName}")
    kubectl(lab, "exec", "spare", "--", BUSYBOX, "touch", "/data/old")
    kubectl(lab, "delete", "pod/spare", "pvc/spare", "--grace-period=1")
    phase = f"-o=jsonpath={{.items[?(@.metadata.name=='{name}')].status.phase}}"
    eventually(lambda: kubectl(lab, "get", "pv", phase) == "Released")
    up(lab.name)
    eventually(lambda: kubectl(lab, "get", "pv", phase) == "Available")
    assert not list((layout(lab).volumes / name).iterdir())


@pytest.mark.parametrize("seconds", [0.9, 2.6, *longer(0.4, 1.6, 4.2)])
def test_up_goes_on_where_a_killed_one_stopped(seconds: float) -> None:
    try:
        killed_up("kwt3", seconds)
        info = up("kwt3")
        apply(info, [pod("server", SERVE)])
        kubectl(info, "wait", "--for=condition=Ready", "pod/server", "--timeout=60s")
    finally:
        cluster.down("kwt3", console=Console(quiet=True))


@pytest.mark.parametrize("seconds", [1.3, *longer(0.5, 3.1)])
def test_down_removes_a_half_made_lab(seconds: float) -> None:
    undisturbed(lambda: half_made(seconds))


def half_made(seconds: float) -> None:
    before = host()
    killed_up("kwt4", seconds)
    cluster.down("kwt4", console=Console(quiet=True))
    assert host() == before
    assert not cluster.down("kwt4", console=Console(quiet=True))


def test_down_leaves_the_host_as_it_was() -> None:
    undisturbed(up_and_down)


def up_and_down() -> None:
    before = host()
    info = up("kwt5")
    apply(info, [claim("data"), pod("server", SERVE), service("server")])
    kubectl(info, "wait", "--for=condition=Ready", "pod/server", "--timeout=60s")
    place = layout(info)
    cluster.down("kwt5", console=Console(quiet=True))
    assert host() == before
    assert not place.root.exists()
    assert not list(process.of_lab(place.root))
    assert not cgroups.remaining(place.tag)


def up(name: str) -> LabInfo:
    return cluster.up(name, options=ONLY_PAUSE, console=Console(quiet=True))


def layout(info: LabInfo) -> Layout:
    found = store.load(info.name)
    assert found
    return found.layout


def killed_up(name: str, seconds: float) -> None:
    """Start lab.up as a program, and kill it after some time."""
    code = (
        "from korthweb_tasks.lab import cluster; from korthweb_tasks.lab.raising import Options; "
        f"cluster.up({name!r}, options=Options(images=(), volumes=3))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    child.kill()
    child.wait()


def run(info: LabInfo, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    program = builder.folder("kubernetes") / "kubectl"
    argv = [str(program), "--kubeconfig", info.kubeconfig, "--context", info.context, *args]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def kubectl(info: LabInfo, *args: str, stdin: str | None = None) -> str:
    result = run(info, *args, stdin=stdin)
    assert result.returncode == 0, result.stderr
    return result.stdout


def apply(info: LabInfo, items: list[dict[str, Any]]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    eventually(lambda: run(info, "apply", "--filename=-", stdin=text).returncode == 0)


def eventually(found: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.3)
    return value


def pod(name: str, script: str = "exec sleep 86400", *, probe: bool = False, volume: str = "") -> dict[str, Any]:
    image = "korthweb.lab/pause:1"
    claimed = volume or ("data" if name == "server" and probe else "")
    container: dict[str, Any] = {
        "name": "main",
        "image": image,
        "command": [BUSYBOX, "sh", "-c", f"echo started; alias sleep='{BUSYBOX} sleep'; {_plain(script)}"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if claimed:
        container["volumeMounts"].append({"name": "data", "mountPath": "/data"})
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": claimed}})
    if probe:
        container["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def _plain(script: str) -> str:
    """Write out busybox's applets, whose names the image does not have."""
    return script.replace("mkdir", f"{BUSYBOX} mkdir").replace("exec sleep", f"exec {BUSYBOX} sleep")


def claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def service(name: str) -> dict[str, Any]:
    spec = {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def sockets(pid: int) -> list[tuple[str, int]]:
    """Return address (as the kernel writes it) and port of each TCP socket on which a process listens."""
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                address, port = fields[1].split(":")
                found.append((address, int(port, 16)))
    return found


def listening(info: LabInfo, component: str) -> list[int]:
    return [port for _, port in sockets(process.components(layout(info).root)[component].pid)]


def undisturbed(check: Callable[[], None], tries: int = 5) -> None:
    """Check what happens to the host; once more where the lab of another test run came or went meanwhile."""
    for left in reversed(range(tries)):
        before = strangers()
        try:
            return check()
        except AssertionError:
            if not left or strangers() == before:
                raise
    return None


def strangers() -> set[str]:
    """Return what is on the host of labs that are not of this file."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    folders = ["/run/netns", *map(str, cgroups.everywhere())]
    found = [str(path) for folder in folders if Path(folder).is_dir() for path in Path(folder).glob("korthweb-*")]
    found += [mount for mount in mounts if "/labs/" in mount]
    return {text for text in found if "korthweb-kwt" not in text and "/labs/kwt" not in text}


def host() -> dict[str, Any]:
    """Return what a lab could change on its host."""

    def names(folder: str) -> set[str]:
        return {path.name for path in Path(folder).iterdir()} if Path(folder).is_dir() else set()

    routes = subprocess.run(["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True)
    return {
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "namespaces": names("/run/netns"),
        "interfaces": names("/sys/class/net"),
        "routes": routes.stdout,
        "cgroups": {str(mount): names(str(mount)) for mount in cgroups.everywhere()},
        "folders": {path: names(path) for path in ("/run", "/var/lib", "/var/lib/cni", "/var/log", "/opt", "/etc")},
        "sysctls": {
            name: Path("/proc/sys", name).read_text()
            for name in ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
        },
        "labs": names(f"{os.environ['KORTHWEB_STATE']}/labs"),
    }


def test_a_lab_comes_back_after_the_machine_was_switched_off(pods: LabInfo) -> None:
    place = layout(pods)
    teardown.end_processes(place)
    namespaces.remove_mounts(place, Runner())
    namespaces.remove_network(place, Runner())
    assert cluster.status(pods.name).state == "stopped"
    up(pods.name)
    eventually(lambda: served(pods), seconds=90)


@pytest.mark.parametrize("lost", ["netns", "mountns", "interface"])
def test_a_lab_whose_namespaces_somebody_removed_is_made_whole(pods: LabInfo, lost: str) -> None:
    up(pods.name)  # whatever the test before it left
    place = layout(pods)
    commands = {
        "netns": ["ip", "netns", "delete", place.tag],
        "mountns": ["umount", "--lazy", str(place.mountns)],
        "interface": ["ip", "link", "delete", place.host_interface],
    }
    subprocess.run(commands[lost], check=True)
    up(pods.name)
    assert cluster.status(pods.name).state == "running"
    eventually(lambda: served(pods), seconds=90)


def test_a_network_that_goes_by_itself_meanwhile_is_no_failure(tmp_path: Path) -> None:
    """The kernel takes a cable away some time after the last process at its other end: 2 of 40 tries met it."""
    place = Layout("kwrace", tmp_path, 37, DEFAULT_SUBNET)
    for number in range(40):
        namespaces.prepare_network(place, Runner())
        with subprocess.Popen(["nsenter", f"--net={place.netns}", "sleep", "60"]) as last:
            subprocess.run(["ip", "netns", "delete", place.tag], check=True)
            last.kill()
        time.sleep(number / 40 * 0.06)
        namespaces.remove_network(place, Runner())
        eventually(lambda: not (Path("/sys/class/net") / place.host_interface).exists(), seconds=10)


def served(info: LabInfo) -> bool:
    """Say whether one pod gets an answer from another, over a Service's name."""
    return run(info, "exec", "good", "--", BUSYBOX, "wget", "-T5", "-qO-", "http://server/").stdout == "it works\n"


def test_the_nodes_own_resolver_is_asked_over_the_service(lab: LabInfo) -> None:
    assert node.dns_ready(layout(lab))
