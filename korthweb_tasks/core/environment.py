"""What a child may know of our environment. Pure.

A child gets what is on the list, not everything: passwords for tenants, tokens for Git servers and whatever else a
pipeline has in its environment are none of kubectl's business, and a process's environment is read easily.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

#: for every program: where it finds things, how it speaks to its user, and how it reaches the network
COMMON = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "TMPDIR", "TMP", "TEMP", "TZ", "LANG", "LANGUAGE", "LC_*",
    "TERM", "COLORTERM", "NO_COLOR", "XDG_*", "LD_LIBRARY_PATH", "LOCPATH", "NIX_*", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER",
    "KRB5*", "EDITOR", "VISUAL", "PAGER", "KORTHWEB_CACHE", "KORTHWEB_STATE",
)  # fmt: skip
#: for what speaks to a cluster: kubeconfigs, and the programs that log in to a cloud (client-go credential plugins)
CLUSTER = (
    "KUBECONFIG", "KUBE_*", "KUBECTL_*", "KUBECACHEDIR", "KUBERNETES_*", "KUBELOGIN_*", "AWS_*", "AZURE_*", "AAD_*",
    "ARM_*", "MSI_*", "IDENTITY_*", "GOOGLE_*", "CLOUDSDK_*", "GCE_*", "USE_GKE_*", "OCI_*", "OS_*",
    "DIGITALOCEAN_*", "DOCTL_*", "IBMCLOUD_*", "ALIBABA_CLOUD_*", "LINODE_*", "SCW_*", "EXOSCALE_*",
    "TELEPORT_*", "TSH_*", "VAULT_ADDR",
    "VAULT_CACERT", "VAULT_NAMESPACE", "OIDC_*", "PYTHONHOME", "SSH_AUTH_SOCK", "GNUPGHOME", "GPG_TTY",
)  # fmt: skip
_REGISTRY = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE")
_GIT = ("GIT_*", "SSH_AUTH_SOCK", "SSH_AGENT_PID", "SSH_ASKPASS", "GNUPGHOME", "GPG_TTY")
#: program -> names beside the common ones; what is not here is a program of builds and of the lab
PROGRAMS: dict[str, tuple[str, ...]] = {
    "kubectl": CLUSTER,
    "istioctl": (*CLUSTER, "ISTIOCTL_*", "ISTIOCONFIG"),
    "helm": (*CLUSTER, *_REGISTRY, "HELM_*"),
    "flux": (*CLUSTER, *_REGISTRY, "FLUX_*"),
    "git": _GIT,
    "sops": ("SOPS_*",),
    "age-keygen": (),
    "sh": CLUSTER,
}
#: never, whatever a list or a setting says
NEVER = ("KORTHWEB_SECRET_*",)
TOKENS = ("*TOKEN*", "*PASSW*", "*SECRET*")
#: variables that hold a secret by their name, and those of package managers, which need theirs to download anything
_SECRET = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|PRIVATE_KEY|ACCESS_KEY|API_?KEY", re.IGNORECASE)
_BUILDERS = ("PIP_*", "UV_*", "GO*", "NPM_*", "npm_*", "NETRC", "CARGO_*")


def for_program(name: str, environ: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """Return the part of ``environ`` that the program ``name`` gets; ``more`` are names and patterns of the settings.

    >>> for_program("git", {"PATH": "/bin", "GITHUB_TOKEN": "x"})
    {'PATH': '/bin'}
    """
    program = name.rpartition("/")[2]
    if program not in PROGRAMS:
        return for_build(environ)
    allowed = (*COMMON, *PROGRAMS[program], *more)
    never = (*NEVER, *(TOKENS if program == "git" else ()))
    passed = {key: value for key, value in environ.items() if _among(key, allowed) and not _among(key, never)}
    if "KUBECONFIG" in passed:  # a ~ that no shell has replaced, as in a .env: we read that file, so they do, too
        home = environ.get("HOME", "~")
        parts = passed["KUBECONFIG"].split(os.pathsep)
        passed["KUBECONFIG"] = os.pathsep.join(home + part[1:] if part.startswith("~/") else part for part in parts)
    return passed


def for_build(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a build or a process of the lab gets: everything but secrets that are not a package manager's."""
    return {
        key: value
        for key, value in environ.items()
        if not _among(key, NEVER) and (_among(key, _BUILDERS) or not _SECRET.search(key))
    }


def _among(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
