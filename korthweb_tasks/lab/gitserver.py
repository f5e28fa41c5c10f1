"""The lab's own Git server: Debian's lighttpd in front of git's own ``http-backend``, over TLS with the lab's CA.

It stands in for a hospital's Git server: it listens at the lab's end of the cable, so the host and the pods reach it
and nobody else does, and it asks for a name and a password. It is a component like the registry: started on request.
"""

from __future__ import annotations

import base64
import http.client
import secrets
import shutil
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from korthweb_tasks.lab import pki, process
from korthweb_tasks.lab.api import write_private
from korthweb_tasks.lab.config import INSIDE
from korthweb_tasks.lab.layout import Layout
from korthweb_tasks.lab.pki import Identity
from korthweb_tasks.lab.site import Site
from korthweb_tasks.run.new_folder import new_folder

COMPONENT = "git"
PORT = 3443
USER = "git"
REPOSITORY = "fleet.git"
BRANCH = "main"
SECONDS = 60
MODULES = ("openssl", "rewrite", "alias", "auth", "authn_file", "setenv", "cgi", "accesslog")


@dataclass(frozen=True, slots=True)
class GitAccess:
    """How to reach the repository: for ``gitops.url`` and its companions."""

    url: str
    username: str
    password: str = field(repr=False)
    ca_file: Path


def access(layout: Layout) -> GitAccess | None:
    """Return how to reach the repository; None where this lab has no Git server. Only looks."""
    try:
        password = _password_file(layout).read_text().strip()
    except OSError:
        return None
    return GitAccess(f"https://{address(layout)}/{REPOSITORY}", USER, password, layout.pki / "ca.crt")


def address(layout: Layout) -> str:
    """Return where the server is: ``198.18.0.2:3443``."""
    return f"{layout.address}:{PORT}"


def wanted(layout: Layout) -> bool:
    """Return True if this lab has a Git server (it is started on request)."""
    return settings_file(layout).is_file()


def settings_file(layout: Layout) -> Path:
    """Return the server's settings."""
    return layout.config / f"{COMPONENT}.conf"


def _password_file(layout: Layout) -> Path:
    return layout.config / f"{COMPONENT}.password"


def _home(layout: Layout) -> Path:
    return layout.root / COMPONENT


def up(site: Site, programs: Path) -> bool:
    """Start the server and wait until it answers; return True if it was started. Raises NotReady.

    ``programs`` is the folder with lighttpd and git. The repository is made at the first call and never again.
    """
    layout = site.layout
    pki.issue(layout.pki, layout.config / COMPONENT, Identity(COMPONENT, addresses=(layout.address,)))
    if access(layout) is None:
        write_private(_password_file(layout), secrets.token_urlsafe(24) + "\n")
    write_private(layout.config / f"{COMPONENT}.users", f"{USER}:{_password_file(layout).read_text()}")
    (_home(layout) / "uploads").mkdir(parents=True, exist_ok=True)
    make_repository(_home(layout) / REPOSITORY)
    write_private(settings_file(layout), settings(layout, programs))
    if COMPONENT not in process.components(layout.root):
        _clean_up(layout)
    argv = (
        str(programs / "lighttpd"),
        "-D",
        "-m",
        str(programs / "modules"),
        "-f",
        f"{INSIDE}/config/{COMPONENT}.conf",
    )
    started = site.start(COMPONENT, argv)
    site.until("the Git server", lambda: answers(layout), seconds=SECONDS, needs=(COMPONENT,))
    return started


def make_repository(folder: Path) -> None:
    """Make an empty bare repository (as gitrepository-layout(5) says), whole or not at all, unless it is there."""
    if folder.is_dir():
        return
    lines = ["[core]", "repositoryformatversion = 0", "filemode = true", "bare = true"]
    lines += ["[http]", "receivepack = true", "[receive]", "autogc = false", ""]
    with new_folder(folder) as draft:
        for part in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (draft / part).mkdir(parents=True)
        (draft / "config").write_text("\n".join(lines))
        (draft / "HEAD").write_text(f"ref: refs/heads/{BRANCH}\n")


def _clean_up(layout: Layout) -> None:
    """End what a killed server left at work, and remove what that can't any more: locks, and halves of a push."""
    left = [one for one in process.of_lab(layout.root) if one.component == COMPONENT]
    process.end(left, layout.root)
    repository = _home(layout) / REPOSITORY
    for rest in (*repository.rglob("*.lock"), *(_home(layout) / "uploads").iterdir()):
        rest.unlink(missing_ok=True)
    for half in (repository / "objects").glob("tmp_objdir-*"):
        shutil.rmtree(half, ignore_errors=True)


def settings(layout: Layout, programs: Path) -> str:
    """Return the settings of lighttpd."""
    home = f"{INSIDE}/{COMPONENT}"
    modules = ", ".join(f'"mod_{name}"' for name in MODULES)
    environment = {
        "GIT_PROJECT_ROOT": home,
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_EXEC_PATH": str(programs / "git-core"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "HOME": home,
        process.LAB_MARK: str(layout.root),
        process.COMPONENT_MARK: COMPONENT,
    }
    given = ",\n  ".join(f'"{name}" => "{value}"' for name, value in environment.items())
    # the protocol of Git begins with the name of the repository; everything else is not found
    return f"""server.modules = ({modules})
server.bind = "{layout.address}"
server.port = {PORT}
server.document-root = "{home}/uploads"
server.upload-dirs = ("{home}/uploads")
server.stream-response-body = 1
server.feature-flags = ("server.h2proto" => "disable")
accesslog.filename = "/dev/stderr"
ssl.engine = "enable"
ssl.pemfile = "{INSIDE}/config/{COMPONENT}.crt"
ssl.privkey = "{INSIDE}/config/{COMPONENT}.key"
auth.backend = "plain"
auth.backend.plain.userfile = "{INSIDE}/config/{COMPONENT}.users"
auth.require = ("" => ("method" => "basic", "realm" => "korthweb lab {layout.name}", "require" => "valid-user"))
url.rewrite-once = ("^/([a-z0-9-]+\\.git/.*)$" => "/backend/$1")
alias.url = ("/backend" => "{programs}/git-http-backend")
cgi.assign = ("git-http-backend" => "")
setenv.set-environment = (
  {given}
)
"""


def answers(layout: Layout) -> bool:
    """Return True if the repository is served to who knows the password."""
    way = access(layout)
    if way is None:
        return False
    word = base64.b64encode(f"{way.username}:{way.password}".encode()).decode()
    context = ssl.create_default_context(cafile=str(way.ca_file))
    connection = http.client.HTTPSConnection(layout.address, PORT, timeout=5, context=context)
    try:
        path = f"/{REPOSITORY}/info/refs?service=git-upload-pack"
        connection.request("GET", path, headers={"Authorization": f"Basic {word}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200
    except OSError:
        return False
    finally:
        connection.close()
