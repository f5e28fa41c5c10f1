"""F25: one rule for the names of images, and one setting for what opens their registry, in all three approaches."""

from __future__ import annotations

from typing import Any

import pytest

from korthweb_tasks.approaches.helm.values import site_values
from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.core.render import parse
from korthweb_tasks.settings.images import Images
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets
from tests.renders import APPROACHES, by_helm, made, pods
from tests.unit.test_manual_artifacts import ARTIFACTS

MIRROR = "harbor.example.com/dockerhub"
TENANTS: list[dict[str, Any]] = [{"name": "BHC", "domain": "bhc.orthweb.com"}]
#: names that people write for one official image of Docker Hub
WRITTEN = ("postgres:17.11", "library/postgres:17.11", "docker.io/postgres:17.11", "docker.io/library/postgres:17.11")


@pytest.mark.parametrize("approach", APPROACHES)
@pytest.mark.parametrize("image", WRITTEN)
def test_F25_official_images_are_in_the_folder_library_of_every_mirror(approach: str, image: str) -> None:
    """F25: however its name is written, nodes pull postgres from library/ of the mirror; nothing else moves."""
    objects = made(approach, {"tenants": TENANTS, "images": {"registry": MIRROR, "postgres": image}})
    found = {c["image"] for _, pod in pods(objects) for c in (*pod.get("initContainers", ()), *pod["containers"])}
    found -= {"auto"}  # Istio fills in its own
    assert found
    assert all(one.startswith(f"{MIRROR}/") for one in found)
    if approach != "gitops":  # there it is CloudNativePG's
        assert f"{MIRROR}/library/postgres:17.11" in found


def test_F25_traefik_is_an_official_image_too() -> None:
    """F25: Traefik's chart joins registry and repository; through a mirror both say the folder."""
    image = site_values(Settings.model_validate({"images": {"registry": MIRROR}}))["traefik"]["image"]
    assert f"{image['registry']}/{image['repository']}" == Images(registry=MIRROR).mirrored("docker.io/traefik")
    assert image["repository"] == "library/traefik"
    assert "image" not in site_values(Settings())["traefik"]


def test_F25_a_folder_of_images_is_no_image() -> None:
    """F25: docker.io/istio is where images are, and gets no library/."""
    assert Images(registry=MIRROR).hub("docker.io/istio") == f"{MIRROR}/istio"
    assert Images(registry=MIRROR).mirrored("docker.io/istio/pilot:1") == f"{MIRROR}/istio/pilot:1"
    assert Images().hub("docker.io/istio") == "docker.io/istio"


@pytest.mark.parametrize("approach", APPROACHES)
def test_F25_one_setting_opens_the_registry_for_every_pod(approach: str) -> None:
    """F25: images.pull_secrets are in every pod, and in none without the setting."""
    with_secrets = {"tenants": TENANTS, "images": {"pull_secrets": ["harbor", "second"]}}
    wanted = [{"name": "harbor"}, {"name": "second"}]
    found = dict(pods(made(approach, with_secrets)))
    assert found
    assert {name: pod.get("imagePullSecrets") for name, pod in found.items()} == dict.fromkeys(found, wanted)
    assert not [name for name, pod in pods(made(approach, {"tenants": TENANTS})) if pod.get("imagePullSecrets")]


def test_F25_the_database_of_an_operator_has_them() -> None:
    """F25: CloudNativePG makes its pods itself, from what its Cluster says."""
    wanted = [{"name": "harbor"}]
    given = {"images": {"pullSecrets": ["harbor"]}, "postgresql": {"mode": "cnpg"}}
    objects = [*by_helm(given), *made("gitops", {"tenants": TENANTS, "images": {"pull_secrets": ["harbor"]}})]
    clusters = [obj for obj in objects if obj["kind"] == "Cluster"]
    assert [obj["spec"]["imagePullSecrets"] for obj in clusters] == [wanted, wanted]


def test_F25_what_korthweb_installs_beside_orthanc_has_them() -> None:
    """F25: Istio, cert-manager, the operators, Prometheus, Kiali and Traefik, each as its chart calls it."""
    settings = Settings.model_validate({"tenants": TENANTS, "images": {"pull_secrets": ["harbor"]}})
    names, references = ["harbor"], [{"name": "harbor"}]
    manual = Manifests(settings, Secrets(), ARTIFACTS)
    (operator,) = parse(manual.operator)
    assert operator["spec"]["values"]["global"]["imagePullSecrets"] == names
    assert manual.cert_manager.values["global"]["imagePullSecrets"] == references
    assert site_values(settings)["traefik"]["deployment"]["imagePullSecrets"] == references
    objects = made("gitops", {"tenants": TENANTS, "images": {"pull_secrets": names}})
    values = {obj["metadata"]["name"]: obj["spec"].get("values") for obj in objects if obj["kind"] == "HelmRelease"}
    assert values["istiod"]["global"]["imagePullSecrets"] == names
    assert values["cert-manager"]["global"]["imagePullSecrets"] == references
    assert values["cloudnative-pg"]["imagePullSecrets"] == references
    assert values["kube-prometheus-stack"]["global"]["imagePullSecrets"] == references
    assert values["kiali"]["deployment"]["image_pull_secrets"] == names
