"""What a hostile web page makes the browser of a logged-in person send: tried at a real Orthanc."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.shared.common import Artifacts
from tests.fleet_share import REPOSITORY, fleet
from tests.fleet_share import objects as fleet_objects
from tests.own_passwords import Nobody
from tests.verify_doubles.orthanc import PASSWORD, USER, Orthanc

FILTER = Path(__file__).parents[3] / "helm" / "orthanc" / "files" / "request-filter.lua"
HOST = "web.bhc.orthweb.com"
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
#: what browsers of today and of yesterday send along from a page of somebody else
HOSTILE = {
    "another site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    "a neighbour of the same site": {"Sec-Fetch-Site": "same-site", "Origin": "https://web.mhr.orthweb.com"},
    "an old browser": {"Origin": "https://evil.example"},
    "an old browser's hidden frame": {"Origin": "null"},
    "an old browser's form": {"Referer": "https://evil.example/?web.bhc.orthweb.com"},
    "a name that begins alike": {"Origin": f"https://{HOST}.evil.example"},
}
#: ... from a page of this server, from a bookmark, and what is no browser
HARMLESS = {
    "a page of this server": {"Sec-Fetch-Site": "same-origin", "Origin": f"https://{HOST}"},
    "the address bar": {"Sec-Fetch-Site": "none"},
    "an old browser": {"Origin": f"https://{HOST.upper()}"},
    "an old browser's form": {"Referer": f"https://{HOST}/app/explorer.html"},
    "a script": {},
}
FORM = "multipart/form-data; boundary=b"
#: what a page can make a browser ask: method, path, type of the body
CHANGES = {
    "delete everything by a form": ("POST", "/tools/bulk-delete", "text/plain"),
    "store a file by a form": ("POST", "/instances", FORM),
    "store by DICOMweb": ("POST", "/dicom-web/studies", "multipart/related; type=application/dicom; boundary=b"),
    "delete by a picture": ("GET", "/patients/0?_method=delete", ""),
    "delete by a header": ("POST", "/patients/0", "text/plain"),
    "delete": ("DELETE", "/patients/0", ""),
    "change a peer": ("PUT", "/peers/x", "application/json"),
    "change the log level": ("PUT", "/tools/log-level", "text/plain"),
    "shut it down": ("POST", "/tools/reset", "text/plain"),
}


def server(folder: Path, scripts: list[str]) -> Orthanc:
    return Orthanc(folder, config={"LuaScripts": scripts, "ExecuteLuaEnabled": False})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    made = server(tmp_path_factory.mktemp("guarded"), [str(FILTER)])
    made.start()
    yield made
    made.stop()


def asked(orthanc: Orthanc, method: str, path: str, kind: str = "", **headers: str) -> int:
    """Ask as a browser does; return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", orthanc.http, timeout=10)
    body = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n--b--\r\n' if method != "GET" else b""
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    sent = {"Host": HOST, "Authorization": LOGIN, "Content-Type": kind or "text/plain", **given}
    try:
        connection.request(method, path, body, sent)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("page", HOSTILE)
@pytest.mark.parametrize("change", CHANGES)
def test_S6_what_another_page_makes_a_browser_change_is_refused(guarded: Orthanc, page: str, change: str) -> None:
    """S6: a form, a picture, a script on any other web page, with the browser's login."""
    method, path, kind = CHANGES[change]
    headers = dict(HOSTILE[page])
    if change == "delete by a header":
        headers["X-HTTP-Method-Override"] = "DELETE"
    assert asked(guarded, method, path, kind, **headers) == 403


@pytest.mark.parametrize("page", HARMLESS)
@pytest.mark.parametrize("change", [name for name in CHANGES if name not in ("shut it down", "change a peer")])
def test_S6_what_a_person_or_a_script_changes_is_served(guarded: Orthanc, page: str, change: str) -> None:
    """S6: the control: Orthanc itself answers, with whatever it has to say."""
    method, path, kind = CHANGES[change]
    assert asked(guarded, method, path, kind, **HARMLESS[page]) != 403


@pytest.mark.parametrize("page", HOSTILE)
def test_S6_reading_is_served_whoever_links_to_it(guarded: Orthanc, page: str) -> None:
    """S6: a link from another page opens a study."""
    assert asked(guarded, "GET", "/system", **HOSTILE[page]) == 200


def test_S6_without_the_filter_a_page_deletes_everything(tmp_path: Path) -> None:
    """S6: the attack is one: it works where the filter is taken out."""
    bare = server(tmp_path / "bare", [])
    bare.start()
    try:
        assert asked(bare, "POST", "/tools/bulk-delete", "text/plain", **HOSTILE["another site"]) != 403
        assert asked(bare, "GET", "/patients/0?_method=delete", "", **HOSTILE["another site"]) == 404
    finally:
        bare.stop()


def test_S6_the_filter_does_not_double_a_request(guarded: Orthanc, tmp_path: Path) -> None:
    """S6: what it adds to a request that changes nothing, as a ratio, both asked in turn: this machine may be busy."""
    bare = server(tmp_path / "bare", [])
    bare.start()
    try:
        pairs = [(_seconds(bare), _seconds(guarded)) for _ in range(10)]
    finally:
        bare.stop()
    alone, filtered = (min(side) for side in zip(*pairs, strict=True))
    assert filtered < 2 * alone, (alone, filtered)


def test_S6_every_approach_filters_and_tells_browsers(tmp_path: Path) -> None:
    """S6: manual and GitOps; the chart is rendered by the simulated tests."""
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.orthanc import REQUEST_FILTER, orthanc_json

    settings = Settings(orthanc={"config": {"LuaScripts": ["/mine.lua"]}})
    assert orthanc_json(settings, settings.tenants[0])["LuaScripts"] == ["/mine.lua", REQUEST_FILTER]
    made = fleet()
    manual = Manifests(made.settings, Nobody(), Artifacts.read(REPOSITORY / "manual"))
    tenant = made.tenants[0]
    by_hand = [*manual.of(tenant, "config"), *manual.of(tenant, "ingress")]
    for objects in (by_hand, fleet_objects(made.files(), "tenants/")):
        (config,) = [obj["data"] for obj in objects if obj["metadata"]["name"] == "orthanc-app"]
        assert config["request-filter.lua"].strip() == FILTER.read_text().strip()
        assert REQUEST_FILTER in json.loads(config["orthanc.json"])["LuaScripts"]
        (web,) = [obj for obj in objects if obj["metadata"]["name"] == "orthanc-web"]
        told = web["spec"]["http"][0]["headers"]["response"]
        assert {"strict-transport-security", "x-content-type-options", "x-frame-options"} <= set(told["set"])
        assert "frame-ancestors" in told["add"]["content-security-policy"]


def test_S6_a_filter_of_the_site_itself_holds_too(tmp_path: Path) -> None:
    """S6: a script of the site's own neither goes away nor takes the place of ours."""
    own = tmp_path / "own.lua"
    own.write_text("function IncomingHttpRequestFilter(method, uri) return uri ~= '/plugins' end")
    both = server(tmp_path / "both", [str(own), str(FILTER)])
    both.start()
    try:
        assert asked(both, "GET", "/plugins") == 403
        assert asked(both, "GET", "/system") == 200
        assert asked(both, "POST", "/tools/bulk-delete", **HOSTILE["another site"]) == 403
    finally:
        both.stop()


def _seconds(orthanc: Orthanc, count: int = 50) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", orthanc.http, timeout=10)
    began = time.monotonic()
    for _ in range(count):
        connection.request("POST", "/tools/lookup", "x", {"Authorization": LOGIN, "Content-Type": "text/plain"})
        connection.getresponse().read()
    connection.close()
    return (time.monotonic() - began) / count
