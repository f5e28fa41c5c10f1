"""The lab's own registry: Debian's docker-registry inside the lab, over TLS with the lab's CA.

It stands in for a hospital's mirror: charts (and images) come from it by the same settings. It listens at the
lab's end of the cable, so the host and the pods reach it, and nobody else does.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command, around_proxy
from korthweb_tasks.errors import BuildFailed
from korthweb_tasks.lab import pki
from korthweb_tasks.lab.api import write_private
from korthweb_tasks.lab.config import INSIDE
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.lab.pki import Identity
from korthweb_tasks.lab.site import Site

COMPONENT = "registry"
PORT = 5000
#: folder of the registry that holds charts
CHARTS = "charts"
SECONDS = 60
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def address(layout: Layout) -> str:
    """Return where the registry is, as image and chart names begin: ``198.18.0.2:5000``."""
    return f"{layout.address}:{PORT}"


def ca_file(layout: Layout) -> Path:
    """Return the CA that vouches for the registry (helm's ``--ca-file``)."""
    return layout.pki / "ca.crt"


def chart_source(layout: Layout, chart: str) -> str:
    """Return a chart's address: what ``charts.<chart>.source`` is in the settings."""
    return f"oci://{address(layout)}/{CHARTS}/{chart}"


def wanted(layout: Layout) -> bool:
    """Return True if this lab has a registry (it is started on request)."""
    return settings_file(layout).is_file()


def settings_file(layout: Layout) -> Path:
    """Return the registry's settings."""
    return layout.config / f"{COMPONENT}.yml"


def up(site: Site, tools: Path) -> bool:
    """Start the registry and wait until it answers; return True if it was started. Raises NotReady."""
    layout = site.layout
    pki.issue(layout.pki, layout.config / COMPONENT, Identity(COMPONENT, addresses=(layout.address,)))
    write_private(settings_file(layout), settings(layout))
    (layout.root / COMPONENT).mkdir(exist_ok=True)
    argv = (str(tools / "docker-registry"), "serve", f"{INSIDE}/config/{COMPONENT}.yml")
    started = site.start(COMPONENT, argv)
    site.until("the registry", lambda: answers(layout), seconds=SECONDS, needs=(COMPONENT,))
    return started


def settings(layout: Layout) -> str:
    """Return the settings of docker-registry (JSON, which is YAML)."""
    files = {name: f"{INSIDE}/config/{COMPONENT}.{end}" for name, end in (("certificate", "crt"), ("key", "key"))}
    data = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": f"{INSIDE}/{COMPONENT}"}, "delete": {"enabled": True}},
        "http": {"addr": address(layout), "tls": files},
    }
    return json.dumps(data, indent=1) + "\n"


def answers(layout: Layout) -> bool:
    """Return True if the registry is there."""
    try:
        return _get(layout, "/v2/")[0] == 200
    except OSError:
        return False


def push_chart(site: Site, helm: Path, archive: Path, version: str) -> bool:
    """Put a packaged chart into the registry unless the very same one is there; return True if it was put there."""
    layout = site.layout
    chart = archive.name.removesuffix(f"-{version}.tgz")
    if _holds(layout, chart, version, archive):
        return False
    home = layout.root / COMPONENT / ".helm"  # the user's registries and passwords are none of this command's business
    env = {"HELM_CONFIG_HOME": str(home), "HELM_CACHE_HOME": str(home), "HELM_DATA_HOME": str(home)}
    argv = (str(helm), "push", str(archive), f"oci://{address(layout)}/{CHARTS}", "--ca-file", str(ca_file(layout)))
    result = site.runner.check(Command(argv=argv, env={**env, **direct(layout)}, timeout=60, repeatable=True))
    if result.code != 0 or not _holds(layout, chart, version, archive):
        what = f"chart {chart} {version} can not be put into the registry of the lab '{layout.name}'"
        raise BuildFailed(what, hint=hints.task("lab.logs", COMPONENT, name=layout.name), details=result.stderr)
    return True


def direct(layout: Layout) -> Mapping[str, str]:
    """Return the environment in which programs go to the registry without any proxy of the user's."""
    return around_proxy(layout.address)


def _holds(layout: Layout, chart: str, version: str, archive: Path) -> bool:
    """Return True if the registry's chart has the archive as its content."""
    status, body = _get(layout, f"/v2/{CHARTS}/{chart}/manifests/{version.replace('+', '_')}")
    if status != 200:
        return False
    wanted_digest = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    return any(layer["digest"] == wanted_digest for layer in json.loads(body)["layers"])


def _get(layout: Layout, path: str) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(ca_file(layout)))
    connection = http.client.HTTPSConnection(layout.address, PORT, timeout=5, context=context)
    try:
        connection.request("GET", path, headers={"Accept": MANIFEST})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
