"""The bootstrap as a plan: what is made beside Git, when Flux is left alone, and where secrets travel."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from korthweb_tasks.approaches.gitops.checks import images, quota
from korthweb_tasks.approaches.gitops.plan import PATCHED, UNHEALTHY, Bootstrap, repository
from korthweb_tasks.approaches.gitops.secrets import FleetCredentials, users_secret
from korthweb_tasks.approaches.shared.namespaces import RECORD, Record
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.plan import Step
from korthweb_tasks.settings.fleet import GitOpsSettings
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.quantities import amount
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.tools.kubectl import Kubectl

SETTINGS = Settings()
BHC, MHR = SETTINGS.tenants
URL = "https://git.hospital/x/fleet.git"
LOGIN = {"username": "bot", "password": "topsecret"}
HOLDS = {**LOGIN, "ca.crt": "PEM"}


def builder(**more: Any) -> Bootstrap:
    given = GitOpsSettings(url=URL, interval="1m")
    pointed = repository(given, "hospital-a", url=URL, login=LOGIN, ca_file="/ca.pem")
    names = {one.name: {"kind": "Namespace", "metadata": {"name": one.namespace}} for one in (BHC, MHR)}
    words: dict[str, Any] = {"repository": pointed, "login": HOLDS, "namespaces": names, **more}
    return Bootstrap(
        target=Cluster("ctx"), secrets=Secrets(), hub="ghcr.io/fluxcd", version="2.9.5", in_git=True, **words
    )


def listed(*objects: dict[str, Any], code: int = 0, stderr: str = "") -> Result:
    text = json.dumps({"kind": "List", "items": list(objects)}) if objects else ""
    return Result(Command(argv=("kubectl",)), code, text, stderr, 0.1)


def controllers(version: str = "v2.9.5", hub: str = "ghcr.io/fluxcd") -> Result:
    names = ("source-controller", "kustomize-controller", "helm-controller")
    return listed(
        *(
            {
                "kind": "Deployment",
                "metadata": {"name": name, "labels": {"app.kubernetes.io/version": version}},
                "spec": {"template": {"spec": {"containers": [{"image": f"{hub}/{name}:v1"}]}}},
            }
            for name in names
        )
    )


def pointed(url: str = URL, branch: str = "main", path: str = "./clusters/hospital-a", **more: Any) -> Result:
    source = {"url": url, "ref": {"branch": branch}, "interval": more.pop("interval", "1m0s")}
    return listed(
        {"kind": "GitRepository", "metadata": {"name": "flux-system"}, "spec": source},
        {"kind": "Kustomization", "metadata": {"name": "flux-system"}, "spec": {"path": path, **more}},
    )


def login(**more: str) -> Result:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in {**HOLDS, **more}.items()}
    return listed({"kind": "Secret", "metadata": {"name": "flux-system"}, "data": data})


def holds(step: Step, *answers: Result) -> bool:
    assert len(step.probes) == len(answers)
    return all(probe.read(answer) for probe, answer in zip(step.probes, answers, strict=True))


def test_flux_is_installed_while_passwords_are_made() -> None:
    plan = builder().plan((BHC, MHR))
    assert [step.name for step in plan.steps] == [
        "system",
        "namespace:bhc",
        "credentials:bhc",
        "namespace:mhr",
        "credentials:mhr",
        "flux",
    ]
    assert plan["flux"].needs == ("system",)
    assert plan["credentials:bhc"].needs == ("namespace:bhc",)
    names = [step.name for step in builder().configured((BHC,)).steps]
    assert names == ["system", "namespace:bhc", "credentials:bhc", "awake:bhc"]


def test_a_database_does_not_wake_before_its_sidecar_can_be_injected() -> None:
    plan = builder().plan((BHC, MHR), [MHR])
    assert plan["awake:mhr"].needs == ("mesh",)
    assert plan["mesh"].needs == ("flux",)
    assert "awake:bhc" not in [step.name for step in plan.steps]


@pytest.mark.parametrize(
    ("answers", "so"),
    [
        ((controllers(), pointed(), login()), True),
        ((controllers(), pointed(url=URL.removesuffix(".git")), login()), True),
        ((controllers("v2.8.0"), pointed(), login()), False),
        ((controllers(hub="mirror.hospital/fluxcd"), pointed(), login()), False),
        ((listed(), pointed(), login()), False),
        ((controllers(), pointed(url="https://elsewhere/fleet.git"), login()), False),
        ((controllers(), pointed(branch="next"), login()), False),
        ((controllers(), pointed(path="./clusters/hospital-b"), login()), False),
        ((controllers(), pointed(interval="10m0s"), login()), False),
        ((controllers(), pointed(suspend=True), login()), False),
        ((controllers(), listed(code=1, stderr="error: the server doesn't have a resource type"), login()), False),
        ((controllers(), pointed(), login(password="older")), False),
        ((controllers(), pointed(), login(**{"ca.crt": "another"})), False),
        ((controllers(), pointed(), listed()), False),
    ],
)
def test_flux_is_left_alone_only_where_it_follows_this_folder_with_this_login(
    answers: tuple[Result, ...], so: bool
) -> None:
    assert holds(builder().flux(), *answers) is so


def test_what_git_has_lost_is_written_again() -> None:
    assert replace(builder(), in_git=False).flux().probes == ()


def test_the_password_is_in_fluxs_environment_only() -> None:
    command = builder().flux().actions[-1]
    assert isinstance(command, Command)
    assert command.env["GIT_PASSWORD"] == "topsecret"
    assert "topsecret" not in " ".join(command.argv) + repr(command) + str(command)
    assert command.masks == ("topsecret",)
    assert "git.hospital" in command.env["NO_PROXY"]
    assert {"--context", "ctx", "--token-auth", "--ca-file", "/ca.pem"} <= set(command.argv)
    # what is not healthy yet is waited for by the tree, which knows why
    late = Result(command, 1, "", f"✗ bootstrap failed with 1 {UNHEALTHY}(s)", 300.0)
    assert late.answered
    assert not Result(command, 1, "", "✗ failed to clone repository", 3.0).answered
    assert "topsecret" not in repr(builder())


@pytest.mark.parametrize(
    ("provider", "url", "owner", "name", "hostname"),
    [
        ("github", "https://github.com/hospital/fleet.git", "hospital", "fleet", ""),
        ("github", "https://github.hospital/it/fleet", "it", "fleet", "github.hospital"),
        ("gitlab", "https://gitlab.com/hospital/it/fleet.git", "hospital/it", "fleet", ""),
        ("gitea", "ssh://git@gitea.hospital:2222/it/fleet.git", "it", "fleet", "gitea.hospital"),
    ],
)
def test_a_provider_is_given_owner_and_name(provider: str, url: str, owner: str, name: str, hostname: str) -> None:
    given = GitOpsSettings.model_validate({"url": url, "provider": provider, "author": "Jane Doe <jane@x.org>"})
    made = repository(given, "a", url=url, login={"password": "t" * 20}, ca_file="")
    assert (made.owner, made.name, made.hostname, made.path) == (owner, name, hostname, "clusters/a")
    assert (made.author, made.email) == ("Jane Doe", "jane@x.org")


def test_keys_and_authorities_are_there_before_flux_looks_for_them() -> None:
    system = builder(registry_ca="PEM", age_key="# public key: age1x\nAGE-SECRET-KEY-1ABC\n").system()
    command = system.actions[1]
    assert isinstance(command, Command)
    objects = {obj["metadata"]["name"]: obj for obj in json.loads(command.stdin or "")["items"]}
    assert set(objects) == {"flux-system", "registry-ca", "sops-age"}
    assert base64.b64decode(objects["registry-ca"]["data"]["ca.crt"]) == b"PEM"
    assert "age.agekey" in objects["sops-age"]["data"]
    assert command.masks == ("AGE-SECRET-KEY-1ABC",)
    record = Record("gitops", uid="1").text()
    labels = {"korthweb/component": "flux"}
    assert objects["flux-system"]["metadata"]["labels"] == labels
    meta = {"name": "flux-system", "uid": "1", "annotations": {RECORD: record}}
    there = listed({"kind": "Namespace", "metadata": {**meta, "labels": labels}})
    unmarked = listed({"kind": "Namespace", "metadata": meta})
    same = listed(*(objects[name] for name in ("registry-ca", "sops-age")))
    other = listed(objects["registry-ca"])
    assert holds(system, there, there, same)
    assert not holds(system, there, there, other)
    assert not holds(system, there, unmarked, same)
    assert not holds(system, listed(), listed(), same)


def keeper(**more: Any) -> FleetCredentials:
    return FleetCredentials(BHC, Secrets(), Kubectl(Cluster("ctx")), generate=lambda: "generated!", **more)


def held(name: str, **keys: str) -> dict[str, Any]:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in keys.items()}
    return {"kind": "Secret", "metadata": {"name": name}, "data": data}


def test_prometheus_gets_the_login_of_the_first_user() -> None:
    made = keeper()
    (probe,) = made.probes()
    assert not probe.read(listed())
    assert made.wanted() == {
        "orthanc-users": {"ORTHANC_ADMIN_PASSWORD": "generated!"},
        "orthanc-metrics": {"username": "admin", "password": "generated!"},
    }
    users = held("orthanc-users", ORTHANC_ADMIN_PASSWORD="known-long")
    assert not probe.read(listed(users))
    assert made.wanted()["orthanc-metrics"]["password"] == "known-long"
    assert not probe.read(listed(users, held("orthanc-metrics", username="admin", password="older")))
    assert probe.read(listed(users, held("orthanc-metrics", username="admin", password="known-long")))


def test_what_git_has_encrypted_is_not_made_beside_it() -> None:
    made = keeper(users_in_git={"ORTHANC_ADMIN_PASSWORD": "of git"})
    (probe,) = made.probes()
    assert not probe.read(listed())
    command = made.command()
    assert [obj["metadata"]["name"] for obj in json.loads(command.stdin or "")["items"]] == ["orthanc-metrics"]
    assert probe.read(listed(held("orthanc-metrics", username="admin", password="of git")))
    text = yaml.safe_load(users_secret(BHC, {"ORTHANC_ADMIN_PASSWORD": "of git"}))
    assert text["stringData"] == {"ORTHANC_ADMIN_PASSWORD": "of git"}
    assert "app.kubernetes.io/managed-by" not in text["metadata"]["labels"]
    assert text["metadata"]["annotations"] == {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    assert "data" not in text


def test_the_patches_of_fluxs_own_folder() -> None:
    made = yaml.safe_load(PATCHED)
    assert made["resources"] == ["gotk-components.yaml", "gotk-sync.yaml"]
    values = [one["value"] for patch in made["patches"] for one in yaml.safe_load(patch["patch"])]
    assert "--feature-gates=CancelHealthCheckOnNewRevision=true" in values


@pytest.mark.parametrize(
    ("answer", "so"),
    [
        (listed(), True),
        (listed(code=1, stderr="error: the server doesn't have a resource type"), True),
        (listed({"kind": "Cluster", "metadata": {"annotations": {"cnpg.io/hibernation": "off"}}}), True),
        (listed({"kind": "Cluster", "metadata": {}}), True),
        (
            listed(
                {
                    "kind": "Cluster",
                    "metadata": {"namespace": "bhc-orthweb", "annotations": {"cnpg.io/hibernation": "on"}},
                }
            ),
            False,
        ),
    ],
)
def test_a_database_that_sleeps_is_woken(answer: Result, so: bool) -> None:
    step = builder().awake(BHC)
    assert holds(step, answer) is so
    assert "cnpg.io/hibernation=off" in str(step.actions[0])


def test_pods_follow_a_password_chosen_anew() -> None:
    restart = builder().credentials(BHC).actions[-1]
    assert isinstance(restart, Command)
    assert "rollout restart deployment/orthanc" in str(restart)
    # before the first deployment there is nothing to start again
    assert Result(restart, 1, "", 'Error from server (NotFound): deployments.apps "orthanc" not found', 0.1).answered


def test_the_quota_holds_what_autoscalers_may_start() -> None:
    assert quota(SETTINGS, BHC)[0] == "ok"
    small = BHC.model_copy(update={"quota": {"pods": "10", "requests.memory": "4Gi"}})
    verdict, text = quota(SETTINGS, small)
    assert verdict == "broken"
    assert "pods: 18 of 10" in text
    assert "requests.memory: " in text
    assert (amount("250m"), amount("2Gi"), amount("3")) == (0.25, 2 * 2**30, 3.0)


def test_images_go_through_the_mirror() -> None:
    mirrored = Settings.model_validate({"images": {"registry": "mirror.hospital/ext"}})
    assert all(image.startswith("mirror.hospital/ext/") for image in images(mirrored))
    assert any(image.startswith("docker.io/istio/proxyv2:") for image in images(SETTINGS))
