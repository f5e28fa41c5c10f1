"""A site for tests of the library: settings, a kubeconfig, and the four CLIs as scripts that note their words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from korthweb_tasks.services import session as sessions

SETTINGS = """\
context: hospital-a
tools: {source: path}
clusters:
  hospital-a: {context: admin}
  hospital-b: {context: other, production: true}
"""
#: answers what korthweb asks itself; words such as cat, code=N or flaky make it do so
SCRIPT = """\
#!/bin/sh
case "${0##*/} $*" in
  "kubectl version --client") echo "Client Version: v1.36.4"; exit;;
  "helm version --short") echo "v4.3.1"; exit;;
  "istioctl version --remote=false") echo "1.31.1"; exit;;
  "flux --version") echo "flux version 2.9.5"; exit;;
  *" get --raw /api/v1/namespaces/kube-system "*)
    echo '{"kind": "Namespace", "metadata": {"uid": "uid-1"}}'; exit;;
esac
{ printf '%s' "${0##*/}"; for word; do printf '\\t%s' "$word"; done; echo; } >>LOG
for word; do
  case $word in
    cat) cat;;
    flaky) [ -e LOG.again ] || { : >LOG.again; echo "dial tcp: connect: connection refused" >&2; exit 1; };;
    code=*) echo "it broke" >&2; exit "${word#code=}";;
    tty) tty;;
    stay) trap 'exit 42' INT; trap 'exit 43' TERM; echo waiting; while :; do sleep 0.05; done;;
    items) echo '{"items": [1]}';;
  esac
done
"""


@dataclass(frozen=True)
class Site:
    """The folder of a project, with the programs beside it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs to be at this site."""
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        return {"HOME": str(self.folder), "KUBECONFIG": str(self.folder / "kubeconfig"), "PATH": path}

    def settings(self, text: str = SETTINGS) -> None:
        """Write korthweb.yaml."""
        (self.folder / "korthweb.yaml").write_text(text)

    def servers(self, **servers: str) -> None:
        """Write a kubeconfig with one context per server."""
        names = list(servers)
        data = {
            "contexts": [{"name": name, "context": {"cluster": name, "user": "u"}} for name in names],
            "clusters": [{"name": name, "cluster": {"server": servers[name]}} for name in names],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(data))

    def calls(self) -> list[list[str]]:
        """Return what the programs were called with, korthweb's own questions left out."""
        log = self.folder / "calls"
        return [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []


def site_in(folder: Path) -> Site:
    """Make a site in a folder that is empty."""
    site = Site(folder)
    site.settings()
    site.servers(admin="https://10.0.0.1:6443", other="https://10.0.0.2:6443")
    (folder / "bin").mkdir()
    for name in ("kubectl", "helm", "istioctl", "flux"):
        program = folder / "bin" / name
        program.write_text(SCRIPT.replace("LOG", str(folder / "calls")))
        program.chmod(0o755)
    return site


def entered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Make a site in ``folder``, and have this process be at it, for one test."""
    made = site_in(folder)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sessions, "CONNECTIONS", {})
    return made
