"""S25: a password is a password, whatever is in it and wherever it was chosen. Asked of the real Orthanc."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from korthweb_tasks.approaches.gitops.secrets import FleetCredentials
from korthweb_tasks.approaches.helm.plan import HelmCredentials
from korthweb_tasks.approaches.shared.credentials import Credentials, refuse_weak, secret
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Result
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.services.gitops import sops as gitops_sops
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.tools.kubectl import Kubectl
from tests.verify_doubles.orthanc import free_port, root

START = Path(__file__).parents[3] / "helm" / "orthanc" / "files" / "start.sh"
#: what would switch authentication off, if it were put into the JSON as it is
INJECTION = 'x"}, "AuthenticationEnabled": false, "Nobody": {"a": "b'
CONFIG = """{"HttpPort": %d, "DicomPort": %d, "RemoteAccessAllowed": true, "AuthenticationEnabled": true,
 "StorageDirectory": "%s", "IndexDirectory": "%s", "MaximumStorageCacheSize": 0,
 "RegisteredUsers": {"admin": "${ORTHANC_ADMIN_PASSWORD}"}}"""


@contextmanager
def orthanc(folder: Path, password: str) -> Iterator[int]:
    """Start the real Orthanc by the script of the container; give its port."""
    port = free_port()
    (folder / "orthanc.json").write_text(CONFIG % (port, free_port(), folder / "db", folder / "db"))
    libraries = root() / "usr/lib/x86_64-linux-gnu"
    loader = next(libraries.glob("ld-linux*.so.*"))
    program = folder / "Orthanc"
    words = f"exec {loader} --library-path {libraries} {root() / 'usr/sbin/Orthanc'} {folder / 'orthanc.json'}"
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o755)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "DCMDICTPATH": str(root() / "usr/share/dcmtk/dicom.dic"),
        "ORTHANC_ADMIN_PASSWORD": password,
    }
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(["bash", str(START)], env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while status(port, None) == 0:
            assert child.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        child.kill()
        child.wait()


def status(port: int, password: str | None) -> int:
    """Return the HTTP status of /system, or 0 where nobody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/system")
    if password is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(f'admin:{password}'.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize(
    "password",
    [INJECTION, 'quote"', "back\\slash\\", "\\", '\\"', "with spaces & $HOME `id` 'x'", "Größe", "*", "a" * 200],
)
def test_S25_no_password_switches_authentication_off(tmp_path: Path, password: str) -> None:
    """S25: it is the password, letter by letter, and without it nobody gets in."""
    with orthanc(tmp_path, password) as port:
        assert status(port, None) == 401
        assert status(port, "x") == 401
        assert status(port, password) == 200


@pytest.mark.parametrize("password", ["", "line\nbreak", "at its end\n", "\x01", "tab\t"])
def test_S25_what_can_not_be_a_password_is_refused(password: str) -> None:
    """S25: an empty one, and those with control characters; the pod says which variable, never what is in it."""
    environment = {"PATH": "/usr/bin:/bin", "ORTHANC_ADMIN_PASSWORD": password}
    done = subprocess.run(["bash", str(START)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ORTHANC_ADMIN_PASSWORD" in done.stderr
    assert "Secret" in done.stderr
    assert "break" not in done.stderr.replace("line break", "")


WEAK = {
    "": "shorter than 8",
    "qwertz": "shorter than 8",
    "changeme": "everybody knows",
    "PassWord": "everybody knows",
    "line\nbreak": "control character",
}
BHC = Tenant(name="BHC", domain="bhc.example.org")


@pytest.mark.parametrize("password", [word for word in WEAK if word])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Credentials, "orthanc-users"),
        (Credentials, "orthanc-database"),
        (HelmCredentials, "orthanc-users"),
        (HelmCredentials, "orthanc-database"),
        (FleetCredentials, "orthanc-users"),
    ],
)
def test_S25_a_secret_that_is_there_with_a_weak_password_is_refused(
    kind: type[Credentials], name: str, password: str
) -> None:
    """S25: whoever put it there, by all approaches, before anything is started with it; it is never told."""
    key = "ORTHANC_POSTGRES_PASSWORD" if name == "orthanc-database" else "ORTHANC_ADMIN_PASSWORD"
    there = secret(name, "bhc-orthweb", {key: password}, "BHC")
    keeper = kind(BHC, Secrets({}), Kubectl(Cluster("x")))
    (probe, *_) = keeper.probes()
    result = Result(probe.command, 0, json.dumps({"items": [there]}), "", 0.1)
    with pytest.raises(SettingsError, match=WEAK[password]) as refused:
        probe.read(result)
    assert f"the Secret {name} in bhc-orthweb: {key}" in refused.value.message
    assert not password or password not in f"{refused.value.message} {refused.value.hint}"
    chosen = Secrets({f"KORTHWEB_SECRET_BHC_{'POSTGRES' if 'POSTGRES' in key else 'ADMIN'}_PASSWORD": "a-better-one"})
    assert not kind(BHC, chosen, Kubectl(Cluster("x"))).probes()[0].read(result)  # which replaces it


def test_S25_an_empty_password_that_is_there_is_made_anew() -> None:
    """S25: in a Secret of ours; in one that a person brings it is refused."""
    keeper = Credentials(BHC, Secrets({}), Kubectl(Cluster("x")))
    (probe, *_) = keeper.probes()
    there = secret("orthanc-users", "bhc-orthweb", {"ORTHANC_ADMIN_PASSWORD": ""}, "BHC")
    assert not probe.read(Result(probe.command, 0, json.dumps({"items": [there]}), "", 0.1))
    assert len(keeper.wanted()["orthanc-users"]["ORTHANC_ADMIN_PASSWORD"]) > 16
    with pytest.raises(SettingsError, match="shorter than 8"):
        refuse_weak("bhc-orthweb", {"brought": {"A": ""}}, {"brought": ["A"]})


@pytest.mark.parametrize("password", WEAK)
def test_S25_a_weak_password_in_git_is_refused(password: str) -> None:
    """S25: what somebody encrypted by hand; the file and the key are told."""
    held = {"ORTHANC_ADMIN_PASSWORD": password}
    with pytest.raises(SettingsError, match=rf"secrets/bhc\.yaml: ORTHANC_ADMIN_PASSWORD .*{WEAK[password]}"):
        gitops_sops.refuse_weak("secrets/bhc.yaml", held, {}, BHC)
    gitops_sops.refuse_weak("secrets/bhc.yaml", held, {"admin": "a-better-one"}, BHC)


@pytest.mark.parametrize("password", [word for word in WEAK if word])
def test_S25_a_weak_password_in_the_environment_is_refused(password: str) -> None:
    """S25: by the same table."""
    with pytest.raises(SettingsError, match=f"(environment|.env).*{WEAK[password]}"):
        load(environ={"KORTHWEB_SECRET_BHC_ADMIN_PASSWORD": password})
