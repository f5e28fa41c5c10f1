"""HTTPS: the client that connects to an address under a name, and who is let in."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import httpx

from korthweb_tasks.verify.check_context import CheckContext
from korthweb_tasks.verify.model import Broken, Finding
from korthweb_tasks.verify.tls import certificates
from korthweb_tasks.verify.tls import connection as tls

T = TypeVar("T")
#: sends a request, and again where the connection was closed before it
Connected = Callable[[Callable[[], httpx.Response]], httpx.Response]
#: pages that tell something about patients or about the server
GUARDED = ("/system", "/studies", "/dicom-web/studies", "/tools/metrics-prometheus", "/app/explorer.html")
#: what a gateway answers for a name that it has no route for
NO_ROUTE = (404, 421)
#: answers of an ingress whose backends are just coming back
PASSING = (502, 503, 504)
PAUSE = 0.3
AUTH_HINT = 'orthanc.json: "AuthenticationEnabled": true and RegisteredUsers; do the pods run that configuration?'


class ToAddress(httpx.HTTPTransport):
    """Connects to one address whatever the URL's host is; that host is SNI, Host and the name verified."""

    def __init__(self, address: str, context: ssl.SSLContext, connected: Connected = lambda send: send()) -> None:
        super().__init__(verify=context)
        self._address, self._connected = address, connected

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a copy, so that cookies and redirects belong to the name and not to the address."""
        sent = httpx.Request(
            request.method,
            request.url.copy_with(host=self._address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        send = super().handle_request
        return self._connected(lambda: send(sent))


@contextmanager
def client(check: CheckContext, password: str | None = None) -> Iterator[httpx.Client]:
    """Give a client that trusts the tenant's CA only; without ``password`` it sends none."""
    auth = (check.endpoint.username, password) if password is not None else None
    with _client(check, check.tls_context, check.endpoint.web_host, auth, check.connected) as session:
        yield session


@contextmanager
def logged_in(check: CheckContext) -> Iterator[httpx.Client]:
    """Give a client that sends the tenant's credentials."""
    with client(check, check.endpoint.password.get_secret_value()) as session:
        yield session


def _client(
    check: CheckContext,
    context: ssl.SSLContext,
    host: str,
    auth: tuple[str, str] | None,
    connected: Connected = lambda send: send(),
) -> httpx.Client:
    port = check.endpoint.https_port
    return httpx.Client(
        transport=ToAddress(check.endpoint.address, context, connected),
        base_url=f"https://{host}" if port == 443 else f"https://{host}:{port}",
        # without the port, which is another one behind a NodePort or port-forward
        headers={"Host": host},
        auth=auth,
        timeout=check.options.timeout,
        trust_env=False,  # a proxy of this machine must not stand between the verification and the ingress
    )


def must(response: httpx.Response, *codes: int) -> httpx.Response:
    """Return ``response`` if its status is one of ``codes`` (200 by default). Raises Broken."""
    if response.status_code not in (codes or (200,)):
        said = " ".join(response.text[:120].split())
        request = response.request
        raise Broken(f"{request.method} {request.url.path} was answered with {response.status_code}: {said}")
    return response


def patiently(
    check: CheckContext,
    session: httpx.Client,
    method: str,
    path: str,
    *,
    accept: str = "*/*",
    params: Mapping[str, str] | None = None,
    json: object = None,
) -> httpx.Response:
    """Ask again while the ingress has no backend and may be so; then the last answer or error stands.

    Only for requests that may be repeated.
    """
    while True:
        try:
            response = session.request(method, path, params=params, json=json, headers={"Accept": accept})
            if response.status_code not in PASSING or time.monotonic() > check.calm_by:
                return response
        except httpx.TransportError:
            if time.monotonic() > check.calm_by:
                raise
        time.sleep(PAUSE)


def persistently(check: CheckContext, ask: Callable[[], T]) -> T:
    """Ask again while a connection ends and may do so; then the last error stands. For what may be repeated."""
    while True:
        try:
            return ask()
        except httpx.TransportError:
            if time.monotonic() > check.calm_by:
                raise
        time.sleep(PAUSE)


def no_password(check: CheckContext) -> Finding:
    """Ask for guarded pages without a password: each must answer 401."""
    with client(check) as web:
        for path in GUARDED:
            response = patiently(check, web, "GET", path)
            if response.status_code != 401:
                raise Broken(f"{path} answers {response.status_code} without a password, not 401", AUTH_HINT)
    return Finding(f"401 for {', '.join(GUARDED)}")


def login(check: CheckContext) -> Finding:
    """Log in and read what Orthanc says of itself."""
    with logged_in(check) as web:
        response = web.get("/system")
        if response.status_code == 401:
            who = check.endpoint.username
            raise Broken(f"the password of {who} is refused", "was the Secret changed after the pods had started?")
        system = must(response).json()
        if must(web.get("/plugins/dicom-web"), 200, 404).status_code == 404:
            raise Broken("Orthanc runs without its DICOMweb plugin", "orthanc.json: Plugins, DicomWeb.Enable")
    return Finding(f"{check.endpoint.username} at Orthanc {system.get('Version', '?')} ({system.get('Name', '?')})")


def wrong_password_refused(check: CheckContext) -> Finding:
    """Log in with a password that nobody has: 401."""
    with client(check, secrets.token_urlsafe(18)) as web:
        response = web.get("/system")
    if response.status_code != 401:
        raise Broken(f"a wrong password is answered with {response.status_code}, not 401", AUTH_HINT)
    return Finding("401; the right password was taken in this run")


def wrong_name_refused(check: CheckContext) -> Finding:
    """Ask under another name, with and without looking at the certificate: no way must lead to Orthanc."""
    wrong_name, how = certificates.wrong_name(check, check.https)
    check.listening(check.https)
    with _client(check, tls.looking(), wrong_name, None) as web:
        routed = _reaches(web, None)
    check.listening(check.https)
    with client(check) as web:
        routed = routed or _reaches(web, wrong_name)
    if routed:
        hint = "the Gateway and its routes should name the tenant's host only"
        raise Broken(f"the name {wrong_name} is {routed}", hint)
    return Finding(f"{wrong_name}: {how}; no route for it, neither by SNI nor by Host")


def _reaches(web: httpx.Client, host: str | None) -> str:
    """Return how the request was served, or nothing where it was turned away before Orthanc."""
    try:
        response = web.get("/system", headers={"Host": host} if host else {})
    except httpx.TransportError:
        return ""
    return "" if response.status_code in NO_ROUTE else f"answered with {response.status_code}"
