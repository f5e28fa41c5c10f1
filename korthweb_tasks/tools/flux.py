"""flux and the objects of its controllers: commands as data, and which kinds there are to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.flux_home import BY_BOOTSTRAP, FluxHome
from korthweb_tasks.core.git_providers import PROVIDERS
from korthweb_tasks.core.tree import Ref, Watched
from korthweb_tasks.tools.kubectl import Kubectl

#: who asks a controller to look again, by a new value (any text)
REQUESTED = "reconcile.fluxcd.io/requestedAt"
#: whose fields these are: kustomize-controller takes away what kubectl has set under its own name
MANAGER = "--field-manager=korthweb"
COMPONENTS = ("source-controller", "kustomize-controller", "helm-controller")
#: the word for a controller that a person types
CONTROLLERS = {"source": "source-controller", "kustomize": "kustomize-controller", "helm": "helm-controller"}

_SOURCE = "/apis/source.toolkit.fluxcd.io/v1"
#: what Flux brings
FLUX_KINDS = (
    Watched("GitRepository", f"{_SOURCE}/gitrepositories"),
    Watched("OCIRepository", f"{_SOURCE}/ocirepositories"),
    Watched("HelmRepository", f"{_SOURCE}/helmrepositories"),
    Watched("HelmChart", f"{_SOURCE}/helmcharts"),
    Watched("Kustomization", "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"),
    Watched("HelmRelease", "/apis/helm.toolkit.fluxcd.io/v2/helmreleases"),
)
#: what is below
WORKLOAD_KINDS = (
    Watched("Deployment", "/apis/apps/v1/deployments"),
    Watched("StatefulSet", "/apis/apps/v1/statefulsets"),
    Watched("DaemonSet", "/apis/apps/v1/daemonsets"),
    Watched("Job", "/apis/batch/v1/jobs"),
    Watched("Cluster", "/apis/postgresql.cnpg.io/v1/clusters"),
    Watched("Certificate", "/apis/cert-manager.io/v1/certificates"),
    Watched("CertificateRequest", "/apis/cert-manager.io/v1/certificaterequests"),
    Watched("Issuer", "/apis/cert-manager.io/v1/issuers"),
    Watched("Pod", "/api/v1/pods"),
    Watched("Event", "/api/v1/events", "type=Warning"),
)
KINDS = (*FLUX_KINDS, *WORKLOAD_KINDS)
#: kind -> the word for it on kubectl's command line, unmistakable where two groups have the same
TYPED = {
    "Kustomization": "kustomization.kustomize.toolkit.fluxcd.io",
    "Cluster": "cluster.postgresql.cnpg.io",
    "Issuer": "issuer.cert-manager.io",
}


def typed(ref: Ref) -> str:
    """Return ``kind/name`` as kubectl takes it."""
    return f"{TYPED.get(ref.kind, ref.kind.lower())}/{ref.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """The Git repository that Flux is to follow. ``secret`` is a password or token, for HTTPS and for the APIs.

    ``provider`` is a key of PROVIDERS.
    ``owner`` and ``name`` are for those, as is ``personal``; ``interval`` is a time such as ``1m``.
    """

    url: str
    branch: str
    path: str
    provider: str = "git"
    username: str = "git"
    secret: str = field(default="", repr=False)
    owner: str = ""
    name: str = ""
    hostname: str = ""
    personal: bool = False
    interval: str = "1m"
    private_key: str = ""
    ca_file: str = ""
    author: str = "korthweb"
    email: str = ""


#: what flux says when everything is installed, and not healthy in time: an answer, for one who looks on by himself
UNHEALTHY = ("health check failure",)


@dataclass(frozen=True, slots=True)
class Flux:
    """Builds commands for Flux in one target; every one names its context."""

    target: Cluster
    home: FluxHome = BY_BOOTSTRAP

    def bootstrap(
        self,
        repository: Repository,
        *,
        registry: str = "",
        components: Iterable[str] = COMPONENTS,
        manifests: str = "",
        timeout: float | None = None,
        network_policy: bool = True,
        pull_secret: str = "",
    ) -> Command:
        """Return ``flux bootstrap``, which commits Flux's manifests and installs them; ``timeout`` in seconds.

        ``registry`` is where the controllers' images come from, ``manifests`` a folder to be used instead of those
        inside of flux, ``pull_secret`` the Secret with which nodes log in there. The password travels by the
        environment. It can be run again, so it counts as repeatable; that not all is healthy in time is an answer.
        """
        args = ["bootstrap", repository.provider, "--branch", repository.branch, "--path", repository.path]
        args += ["--interval", repository.interval, "--components", ",".join(components)]
        args += [f"--network-policy={str(network_policy).lower()}"]
        args += _optional("--registry", registry) + _optional("--manifests", manifests)
        args += _optional("--image-pull-secret", pull_secret)
        args += _optional("--author-name", repository.author) + _optional("--author-email", repository.email)
        args += _optional("--ca-file", repository.ca_file) + _by_provider(repository)
        secret = repository.secret
        env = {PROVIDERS[repository.provider].variable: secret} if secret else {}
        masks = (secret,) if secret else ()
        return self._command(*args, timeout=timeout, env=env, masks=masks, repeatable=True, final=UNHEALTHY)

    def install(
        self,
        *,
        registry: str = "",
        components: Iterable[str] = COMPONENTS,
        manifests: str = "",
        timeout: float | None = None,
    ) -> Command:
        """Build the command that installs the controllers alone, without a repository."""
        args = ["install", "--components", ",".join(components)]
        args += _optional("--registry", registry) + _optional("--manifests", manifests)
        return self._command(*args, timeout=timeout, repeatable=True)

    def uninstall(self, *, timeout: float | None = None) -> Command:
        """Build the command that removes the controllers, their kinds and their namespace; what they applied stays."""
        return self._command("uninstall", "--silent", timeout=timeout, repeatable=True)

    def login(self, url: str, private_key: str) -> Command:
        """Build the command that makes our source's Secret for SSH; flux asks the server for its host key."""
        args = ["create", "secret", "git", self.home.name, "--namespace", self.home.namespace, "--url", url]
        return self._command(*args, "--private-key-file", private_key, repeatable=True)

    def diff(self, name: str, path: str, *, local_sources: Mapping[str, str] | None = None) -> Command:
        """Build the comparison of a folder with what Kustomization ``name`` has in the cluster; code 1: different."""
        args = ["diff", "kustomization", name, "--namespace", self.home.namespace]
        args += ["--path", path, "--progress-bar=false"]
        if local_sources:
            joined = ",".join(f"{source}={folder}" for source, folder in local_sources.items())
            args += ["--recursive", "--local-sources", joined]
        return self._command(*args, ok=(0, 1), repeatable=True)

    def build(self, name: str, path: str, *, kustomization_file: str = "", dry_run: bool = False) -> Command:
        """Build the rendering of a folder as Kustomization ``name`` would apply it; ``dry_run`` needs no cluster."""
        args = ["build", "kustomization", name, "--path", path]
        args += _optional("--kustomization-file", kustomization_file) + (["--dry-run"] if dry_run else [])
        return self._command(*args, repeatable=True)

    def check(self) -> Command:
        """Return flux's own look at cluster and controllers."""
        return self._command("check", repeatable=True)

    def logs(self, component: str, *, follow: bool = False, since: str = "", tail: int = -1) -> Command:
        """Return what a controller has said, as it wrote it: a JSON object in each line."""
        args = ["logs", f"deployment/{component}", "--namespace", self.home.controllers, "--container", "manager"]
        args += ["--follow"] if follow else []
        args += _optional("--since", since) + ([f"--tail={tail}"] if tail >= 0 else [])
        return replace(self._kubectl(*args), repeatable=not follow)

    def requested(self, ref: Ref, when: str) -> Command:
        """Return the annotation that makes the object's controller look again; ``when`` is any new text."""
        args = ("annotate", "--overwrite", typed(ref), f"{REQUESTED}={when}", "--namespace", ref.namespace, MANAGER)
        return self._kubectl(*args)

    def suspended(self, ref: Ref, suspend: bool) -> Command:
        """Return the patch that suspends an object, or lets its controller work on it again."""
        patch = json.dumps({"spec": {"suspend": suspend}})
        args = ("patch", typed(ref), "--namespace", ref.namespace, "--type=merge", "--patch", patch, MANAGER)
        return self._kubectl(*args)

    def proxy(self, socket: str) -> Command:
        """Build the command that opens the API server at a socket that only this user can open."""
        return replace(self._kubectl("proxy", "--unix-socket", socket), repeatable=False)

    def _kubectl(self, *args: str) -> Command:
        return Kubectl(self.target).command(*args, repeatable=True)

    def _command(
        self,
        *args: str,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        masks: tuple[str, ...] = (),
        ok: Iterable[int] = (0,),
        repeatable: bool = False,
        final: tuple[str, ...] = (),
    ) -> Command:
        bound = ("--timeout", f"{timeout:.0f}s") if timeout else ()
        return Command(
            argv=("flux", *args, *bound, *self.target.kubectl_args()),
            target=self.target,
            env=env or {},
            masks=masks,
            ok=frozenset(ok),
            timeout=timeout + 10 if timeout else None,
            repeatable=repeatable,
            final=final,
        )


def asking(when: str) -> dict[str, Any]:
    """Return the merge patch of :meth:`Flux.requested`."""
    return {"metadata": {"annotations": {REQUESTED: when}}}


def _optional(flag: str, value: str) -> list[str]:
    return [flag, value] if value else []


def _by_provider(repository: Repository) -> list[str]:
    if repository.provider == "git":
        args = ["--url", repository.url, "--silent"]
        if repository.private_key:
            return [*args, "--private-key-file", repository.private_key]
        return [*args, "--username", repository.username, *(["--token-auth"] if repository.secret else [])]
    args = ["--owner", repository.owner, "--repository", repository.name]
    args += _optional("--hostname", repository.hostname)
    args += ["--token-auth"] if repository.url.startswith("https://") else []  # else flux makes a deploy key
    return [*args, *(["--personal"] if repository.personal else [])]
