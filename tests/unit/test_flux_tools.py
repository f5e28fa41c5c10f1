"""flux as commands: every one names its context, and no password is in one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.tree import Ref, Watched
from korthweb_tasks.tools.flux import KINDS, Flux, Repository, asking, typed

FLUX = Flux(Cluster("site", "/k"))
HTTPS = Repository(url="https://git.example/fleet.git", branch="main", path="clusters/a", secret="hush", username="me")
SSH = replace(HTTPS, url="ssh://git@git.example/fleet.git", secret="", private_key="/keys/flux")
HUB = replace(HTTPS, provider="github", owner="us", name="fleet", personal=True, hostname="hub.example")
CONTEXT = ("--kubeconfig", "/k", "--context", "site")

BOOTSTRAPS = [
    (HTTPS, ("git", "--url", "--username", "--token-auth", "--silent"), ("--private-key-file",), "GIT_PASSWORD"),
    (SSH, ("git", "--private-key-file", "/keys/flux"), ("--token-auth", "--username"), ""),
    (HUB, ("github", "--owner", "us", "--repository", "fleet", "--personal", "hub.example", "--token-auth"), ("--url",),
     "GITHUB_TOKEN"),
    (replace(HUB, provider="gitlab", personal=False), ("gitlab", "--owner"), ("--personal",), "GITLAB_TOKEN"),
    (replace(HUB, provider="gitea", url="ssh://git@x/us/fleet"), ("gitea",), ("--token-auth",), "GITEA_TOKEN"),
]  # fmt: skip


@pytest.mark.parametrize(("repository", "has", "has_not", "variable"), BOOTSTRAPS)
def test_bootstrap(repository: Repository, has: tuple[str, ...], has_not: tuple[str, ...], variable: str) -> None:
    command = FLUX.bootstrap(repository, registry="r.example/flux", timeout=60)
    assert command.argv[:2] == ("flux", "bootstrap")
    assert command.argv[-4:] == CONTEXT
    assert set(has) <= set(command.argv)
    assert not set(has_not) & set(command.argv)
    assert dict(command.env) == ({variable: "hush"} if variable else {})
    assert "hush" not in " ".join(command.argv) + str(command)
    assert "hush" not in repr(repository)
    assert command.masks == (("hush",) if variable else ())


COMMANDS = [
    FLUX.install(registry="r"), FLUX.uninstall(), FLUX.check(), FLUX.build("x", "./x", dry_run=True),
    FLUX.diff("x", "./x", local_sources={"GitRepository/flux-system/flux-system": "."}),
    FLUX.logs("helm-controller", follow=True, tail=5), FLUX.requested(Ref("HelmRelease", "n", "x"), "now"),
    FLUX.suspended(Ref("Kustomization", "n", "x"), True), FLUX.proxy("/s"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.argv[:8]))
def test_every_command_names_its_context(command: object) -> None:
    argv = " ".join(command.argv)  # type: ignore[attr-defined]
    assert " ".join(CONTEXT) in argv


def test_a_difference_is_an_answer() -> None:
    assert FLUX.diff("x", "./x").ok == {0, 1}


def test_requests_and_patches_are_under_a_name_that_flux_leaves_alone() -> None:
    for command in (FLUX.requested(Ref("Kustomization", "n", "x"), "now"), FLUX.suspended(Ref("a", "n", "x"), False)):
        assert "--field-manager=korthweb" in command.argv
    assert asking("now") == {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}}


def test_a_kind_of_two_groups_is_named_by_its_group() -> None:
    assert typed(Ref("Cluster", "n", "x")) == "cluster.postgresql.cnpg.io/x"
    assert typed(Ref("Pod", "n", "x")) == "pod/x"


def test_paths_of_objects() -> None:
    assert Watched("Pod", "/api/v1/pods").object_path(Ref("Pod", "n", "x")) == "/api/v1/namespaces/n/pods/x"
    assert Watched("X", "/apis/g/v1/xs").object_path(Ref("X", "", "x")) == "/apis/g/v1/xs/x"
    assert len({kind.kind for kind in KINDS}) == len(KINDS)
