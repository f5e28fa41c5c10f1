"""The components' settings, as data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.errors import BuildFailed
from korthweb_tasks.lab import config, control, objects, programs, raising
from korthweb_tasks.lab.api import location
from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.layout import Layout

REAL = Layout("lab", Path("/state/labs/lab"))
ANYWHERE = "0.0.0.0"  # noqa: S104
PLAYED = Layout("lab", Path("/state/labs/lab"), simulated=True)
PROGRAMS = {name: Path("/bin") / name for name in ("etcd", "kwok", "kube-scheduler", "kube-apiserver")}
PROGRAMS["kube-controller-manager"] = Path("/bin/kube-controller-manager")


def documents(layout: Layout) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(config.kwokctl(layout, PROGRAMS)))


def arguments(layout: Layout, component: str) -> dict[str, str]:
    patches = documents(layout)[0]["componentsPatches"]
    return {one["key"]: one["value"] for patch in patches if patch["name"] == component for one in patch["extraArgs"]}


def test_only_the_api_server_leaves_the_loopback() -> None:
    assert documents(REAL)[0]["options"]["bindAddress"] == "127.0.0.1"
    bound = [
        patch["name"]
        for patch in documents(REAL)[0]["componentsPatches"]
        for one in patch["extraArgs"]
        if ANYWHERE in one["value"]
    ]
    assert bound == ["kube-apiserver"]
    assert ANYWHERE not in config.kwokctl(PLAYED, PROGRAMS)


def test_kwok_plays_nodes_in_a_simulated_lab_only() -> None:
    assert [one["metadata"]["name"] for one in documents(REAL)[1:]] == ["service-address"]
    stages = {one["metadata"]["name"] for one in documents(PLAYED)[1:]}
    assert stages == {"service-address", "node-ready", "pod-starts", "pod-of-job-succeeds", "pod-ends"}
    assert arguments(REAL, "kwok-controller")["manage-all-nodes"] == "false"


def test_the_api_server_is_what_meshes_and_metrics_expect() -> None:
    found = arguments(REAL, "kube-apiserver")
    assert "istio-ca" in found["api-audiences"]
    assert found["requestheader-allowed-names"] == "korthweb-admin"
    assert found["advertise-address"] == REAL.address


def test_the_kubelet_trusts_nobody_and_removes_no_image() -> None:
    kubelet = json.loads(config.kubelet(REAL))
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert kubelet["imageGCHighThresholdPercent"] == 100
    assert kubelet["cgroupRoot"] == f"/{REAL.tag}"
    assert kubelet["address"] == REAL.address


def test_sockets_stay_under_the_length_that_the_kernel_allows() -> None:
    deep = Layout("x" * 30, Path("/home/somebody/with/a/long/name") / ("y" * 80))
    assert len(str(deep.socket)) < 108
    assert str(deep.root) not in config.containerd("pause", Path("/tools"))
    assert len(f"{config.INSIDE}/kubelet/device-plugins/kubelet.sock") < 60


def test_containerd_keeps_to_the_lab() -> None:
    text = config.containerd("korthweb.lab/pause:1", Path("/tools"))
    assert 'sandbox = "korthweb.lab/pause:1"' in text
    assert "disable_apparmor = true" in text
    places = [path for path in re.findall(r'"(/[^"]+)"', text) if not path.startswith("/tools")]
    assert all(place.startswith(("/run/lab/", "/run/containerd")) for place in places)


def test_each_zone_of_dns_has_a_block() -> None:
    text = config.corefile(REAL)
    assert text.count(f"bind {REAL.address}") == 3
    assert "198.18.0.1 host.korthweb.lab" in text


def test_objects_have_the_path_that_the_api_gives_them() -> None:
    found = [location(item) for item in objects.of_lab(REAL, "1Gi", 1, b"ca")]
    assert "/api/v1/namespaces/kube-system/services/kube-dns" in found
    assert "/apis/storage.k8s.io/v1/storageclasses/lab" in found
    assert "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-lab" in found
    assert "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io" in found
    assert "/api/v1/persistentvolumes/lab-00" in found


def test_nobody_but_the_admin_may_everything() -> None:
    for item in objects.rights():
        for rule in item.get("rules", ()):
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            assert set(rule["verbs"]) <= {"get", "list", "watch"}


def test_volumes_of_a_simulated_lab_are_bound_to_no_node() -> None:
    assert "nodeAffinity" in objects.volume(REAL, 0, "1Gi")["spec"]
    assert "nodeAffinity" not in objects.volume(PLAYED, 0, "1Gi")["spec"]


def test_components_inside_images_are_found_in_their_recipes(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("files: {usr/bin/x: {program: istio/pilot-agent}, y: {program: istio/share/z}}")
    (tmp_path / "two.yaml").write_text("layers: [{packages: [x]}]")
    assert ImageRecipes(tmp_path).components(["one", "two"]) == ["istio"]


def test_an_image_is_one_recipe_which_says_where_it_belongs(tmp_path: Path) -> None:
    recipes = ImageRecipes(tmp_path)
    for name, more in (("usual", ""), ("process", "imported: false"), ("asked", "addon: toys")):
        (tmp_path / f"{name}.yaml").write_text(f"name: korthweb.lab/{name}:1\n{more}\n")
    assert recipes.names() == ["asked", "process", "usual"]
    assert recipes.imported() == ["usual"]
    assert recipes.of_addon("toys") == ["asked"]
    assert recipes.full_name("usual") == "korthweb.lab/usual:1"
    with pytest.raises(BuildFailed, match="no image 'other'"):
        recipes.read("other")


@pytest.mark.parametrize(
    ("mode", "mirror", "made_here"),
    [("build", "m/x", True), ("auto", None, True), ("auto", "m/x", False), ("pull", None, False), ("pull", "m", False)],
)
def test_what_is_inside_of_images_is_compiled_only_where_they_are_made(
    mode: str, mirror: str | None, made_here: bool
) -> None:
    found = raising.needed(raising.Options(image_mode=mode, mirror=mirror), simulated=False)
    assert ({"istio", "cert-manager"} <= set(found)) is made_here
    assert ("istio" in found) is made_here
    assert set(programs.REAL) <= set(found)


@pytest.mark.parametrize("name", control.NAMES)
def test_the_api_server_has_its_names(name: str) -> None:
    assert name.startswith("kubernetes")
