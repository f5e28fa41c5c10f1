"""First contact with a cluster: each kind of trouble has its words, its code and its next command (U8, U9, F23).

The servers are sockets on the loopback, kubectl is the real one: what it says is what is read.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.provision.tools import locate
from korthweb_tasks.run import contact
from tests.contact_doubles.servers import (
    UID,
    Server,
    Talk,
    answering,
    hanging_up,
    kubernetes,
    plain_web,
    refusing,
    resetting,
    server_tls,
    serving,
    silent,
    speaking,
)
from tests.contact_doubles.site import Site, credential, pair, plugin, script
from tests.verify_doubles.pki import Authority

ROOT = Path(__file__).parents[3]
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
OTHER = Authority("Another CA")
FORBIDDEN = 'namespaces "kube-system" is forbidden: User "{}" cannot get resource "namespaces"'


class World(Site):
    """A site, and servers that stay up until the end of the test."""

    stack: ExitStack

    def serve(self, talk: Talk, pem: bytes | None = b"", clients: str = "") -> Server:
        """Start a server: with our certificate for localhost, with ``pem``, or (None) without TLS."""
        given = self.authority.leaf("localhost") if pem == b"" else pem
        return self.stack.enter_context(serving(talk, server_tls(self.folder, given, clients) if given else None))

    def to(self, server: Server, scheme: str = "https", host: str = "localhost", **more: Any) -> None:
        """Write the kubeconfig for a server."""
        self.kubeconfig(f"{scheme}://{host}:{server.port}", **more)

    def by(self, talk: Talk) -> None:
        """Write the kubeconfig for a cluster behind a proxy that behaves like this."""
        proxy = self.stack.enter_context(serving(talk))
        self.kubeconfig("https://api.invalid:6443", cluster={"proxy-url": f"http://me:pw@127.0.0.1:{proxy.port}"})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    kubectl = str(locate("kubectl").path)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # kubectl's cache
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        made = World(tmp_path, kubectl)
        made.stack = stack
        yield made


def user(**body: Any) -> Callable[[World], object]:
    return lambda world: world.to(world.serve(kubernetes), user=body)


def answer(talk: Talk, **more: Any) -> Callable[[World], object]:
    return lambda world: world.to(world.serve(talk), **more)


def certificate(*names: str, **more: float) -> Callable[[World], object]:
    return lambda world: world.to(world.serve(kubernetes, world.authority.leaf(*names, **more)))


def own(make: Callable[[World], bytes]) -> Callable[[World], object]:
    """Log in by a certificate, at a server that wants one of our authority."""

    def prepare(world: World) -> None:
        world.to(world.serve(kubernetes, clients=world.authority.pem), user=pair(make(world)))

    return prepare


def mixed(world: World) -> None:
    one, two = pair(world.authority.leaf("a")), pair(world.authority.leaf("b"))
    world.to(world.serve(kubernetes), user={**one, "client-key-data": two["client-key-data"]})


TROUBLE: dict[str, tuple[Callable[[World], object], int, str, str]] = {
    # login
    "401": (answer(refusing(401, "Unauthorized", "Unauthorized")), 4, "refuses the login (401", "auth whoami"),
    "401 of a login program": (
        answer(refusing(401, "Unauthorized", "Unauthorized"), user=script(credential())),
        4,
        "refuses the login that sh gives (401",
        "log out and in again with sh",
    ),
    "401 after the certificate's end": (
        lambda world: world.to(
            world.serve(refusing(401, "Unauthorized", "Unauthorized")),
            user=pair(world.authority.leaf("me", begins=-9, ends=-1)),
        ),
        4,
        "expired at 20",
        "log in again",
    ),
    "client certificate expired": (
        own(lambda world: world.authority.leaf("me", begins=-9, ends=-1)),
        4,
        "the login for",
        "log in again",
    ),
    "client certificate unknown": (own(lambda _: OTHER.leaf("me")), 4, "refuses the client certificate", "anew"),
    "client certificate missing": (
        lambda world: world.to(world.serve(kubernetes, clients=world.authority.pem)),
        4,
        "refuses the client certificate",
        "anew",
    ),
    "403": (answer(refusing(403, "Forbidden", FORBIDDEN.format("me"))), 4, "does not let this login get", "can-i"),
    "nobody": (
        answer(refusing(403, "Forbidden", FORBIDDEN.format("system:anonymous"))),
        4,
        "for nobody's (system:anonymous)",
        "auth whoami",
    ),
    "no login at all": (user(), 4, "there is no login", "anew"),
    # files of the kubeconfig
    "key of another certificate": (mixed, 4, "do not belong together", "anew"),
    "no CA file": (
        answer(kubernetes, cluster={"certificate-authority": "/nope/ca.crt"}),
        4,
        "names a file that can't be read: /nope/ca.crt",
        "mend the path",
    ),
    "no certificate file": (
        user(**{"client-certificate": "/nope/me.crt", "client-key": "/nope/me.key"}),
        4,
        "names a file that can't be read: /nope/me.crt",
        "mend the path",
    ),
    "no token file": (user(tokenFile="/nope/token"), 4, "can't be read: /nope/token", "mend the path"),
    "CA is no certificate": (
        answer(kubernetes, cluster={"certificate-authority-data": "Z2FyYmFnZQ=="}),
        4,
        "a certificate or key in the kubeconfig",
        "anew",
    ),
    "CA is no Base64": (
        answer(kubernetes, cluster={"certificate-authority-data": "***"}),
        4,
        "a certificate or key in the kubeconfig",
        "anew",
    ),
    # login programs
    "program not installed": (user(**plugin("no-such-login")), 3, "program no-such-login of context x is not", "PATH"),
    "program's path wrong": (user(**plugin("/nope/login")), 3, "program /nope/login of context x is not", "install"),
    "program can't be run": (user(**plugin("/etc/passwd")), 3, "/etc/passwd of context x can't be run", "command -v"),
    "program failed": (user(**script("exit 3")), 4, "the login program sh of context x failed", "log in first"),
    "program prints something": (
        user(**script("echo hello")),
        4,
        "something that is not a credential",
        "in a terminal",
    ),
    "program gives nothing": (
        user(**script(credential().replace("status", "other"))),
        4,
        "something that is not a credential",
        "in a terminal",
    ),
    "program of another version": (user(**script(credential("v1beta1"))), 3, "do not agree on an API", "update sh"),
    "kubeconfig of another version": (user(**script("", version="v1alpha1")), 3, "do not agree on an API", "update"),
    "program wants a terminal": (
        user(**script(credential(), mode="Always")),
        4,
        "there is no terminal",
        "log in first, in a terminal",
    ),
    "auth-provider": (user(**{"auth-provider": {"name": "gcp"}}), 3, "by an auth-provider", "gke-gcloud-auth-plugin"),
    # the server's certificate
    "unknown CA": (
        lambda world: world.to(world.serve(kubernetes, OTHER.leaf("localhost"))),
        4,
        "is not trusted",
        "anew",
    ),
    "another name": (certificate("api.example"), 4, "is for another name", "tls-server-name"),
    "an address": (
        lambda world: world.to(world.serve(kubernetes), host="127.0.0.1"),
        4,
        "is for another name",
        "tls-server-name",
    ),
    "server's certificate expired": (certificate("localhost", begins=-9, ends=-1), 4, "expired", "renews it"),
    "not yet valid": (certificate("localhost", begins=3, ends=9), 4, "is not yet valid", "clock of this machine"),
    # what answers there
    "a web page": (
        answer(answering("200 OK", "<!doctype html><title>Sign in - Hospital</title>", "text/html")),
        4,
        "is not a Kubernetes API: it answers with a web page, 'Sign in - Hospital'",
        "look at the server in the kubeconfig",
    ),
    "other JSON": (answer(answering("200 OK", '{"hello": 1}')), 4, "is not a Kubernetes API", "look at the server"),
    "nothing in the answer": (answer(answering("200 OK")), 4, "answers nothing", "look at the server"),
    "404": (answer(answering("404 Not Found", "<html>", "text/html")), 4, "is not a Kubernetes API", "look at the"),
    "redirects": (answer(answering("302 Found", Location="/login")), 4, "is not a Kubernetes API", "look at the"),
    "403 with a web page": (
        answer(answering("403 Forbidden", "<html>Blocked</html>", "text/html")),
        4,
        "forbids it, with a web page",
        "VPN",
    ),
    "http to https": (
        lambda world: world.to(world.serve(kubernetes), scheme="http"),
        4,
        "is spoken to without TLS",
        "https://",
    ),
    "http to Go's https": (
        lambda world: world.to(
            world.serve(answering("400 Bad Request", "Client sent an HTTP request to an HTTPS server."), None),
            scheme="http",
        ),
        4,
        "is spoken to without TLS",
        "https://",
    ),
    "https to http": (lambda world: world.to(world.serve(plain_web, None)), 4, "does not speak TLS", "port"),
    "SSH": (lambda world: world.to(world.serve(speaking(b"SSH-2.0-x\r\n"), None)), 4, "does not speak TLS", "port"),
    "429": (answer(refusing(429, "TooManyRequests", "too many requests")), 4, "is overloaded (429", "in a minute"),
    "503": (answer(refusing(503, "ServiceUnavailable", "x")), 4, "is not available", "in a minute"),
    "502 of a load balancer": (
        answer(answering("502 Bad Gateway", "<html>", "text/html")),
        4,
        "is not available",
        "load balancer",
    ),
    "504 of a load balancer": (answer(answering("504 Gateway Timeout")), 4, "is not available", "load balancer"),
    # proxies
    "proxy refuses the connection": (
        lambda world: world.kubeconfig("https://api.invalid:6443", cluster={"proxy-url": "http://me:pw@127.0.0.1:1"}),
        4,
        "the proxy http://127.0.0.1:1 (proxy-url of the kubeconfig) on the way",
        "api.invalid in NO_PROXY",
    ),
    "proxy's name": (
        lambda world: world.kubeconfig("https://api.invalid:6443", cluster={"proxy-url": "http://proxy.invalid:3128"}),
        4,
        "can't be reached",
        "api.invalid in NO_PROXY",
    ),
    "407": (lambda world: world.by(answering("407 Proxy Authentication Required")), 4, "wants a login (407)", "URL"),
    "proxy forbids": (lambda world: world.by(answering("403 Forbidden")), 4, "does not let us through", "api.invalid"),
    "proxy finds nobody": (lambda world: world.by(answering("502 Bad Gateway")), 4, "does not let us", "api.invalid"),
    "proxy's address": (
        lambda world: world.kubeconfig("https://api.invalid", cluster={"proxy-url": "ftp://x"}),
        4,
        "has no valid address",
        "http://proxy.example.com:3128",
    ),
    # network
    "name": (lambda world: world.kubeconfig("https://api.invalid:6443"), 4, "not known to DNS", "hosts api.invalid`"),
    "refused": (lambda world: world.kubeconfig("https://localhost:1"), 4, "refuses the connection", "context.list"),
    "reset": (lambda world: world.to(world.serve(resetting)), 4, "cuts the connection", "firewall"),
    "hangs up": (lambda world: world.to(world.serve(hanging_up)), 4, "cuts the connection", "firewall"),
    "silent": (lambda world: world.to(world.serve(silent, None)), 4, "does not answer: timed out", "VPN"),
    "silent behind TLS": (lambda world: world.to(world.serve(silent)), 4, "does not answer: timed out", "VPN"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_U8_each_kind_of_trouble_is_told_apart(name: str, world: World) -> None:
    """U8: words, exit code and what to do next; and no password."""
    prepare, code, says, hint = TROUBLE[name]
    prepare(world)
    began = time.monotonic()
    error = world.trouble()
    assert (error.exit_code, says in error.message) == (code, True), (error.message, error.details)
    assert hint in error.hint, error.hint
    assert "context x" in error.message
    assert "pw" not in error.message + error.hint + error.details
    assert time.monotonic() - began < 15


def test_U8_a_proxy_of_the_environment_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """U8: one that was set long ago and forgotten."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    world.kubeconfig("https://api.invalid:6443")
    assert "the proxy http://127.0.0.1:1 (HTTPS_PROXY) on the way" in world.trouble().message


def test_U8_a_cluster_that_answers_is_met(world: World) -> None:
    """U8: by one request, whatever the way of logging in."""
    for login in ({"token": "t"}, script(credential()), pair(world.authority.leaf("me"))):
        server = world.serve(kubernetes)
        world.to(server, user=login)
        assert world.contact().uid == UID
        assert len(server.met) == 1


def test_U9_silence_is_explained_and_has_an_end(world: World) -> None:
    """U9: a server that takes the connection and says nothing."""
    server = world.serve(silent, None)
    world.to(server)
    began = time.monotonic()
    world.trouble(seconds=3)
    assert 2.5 < time.monotonic() - began < 6
    assert world.said.getvalue() == f"waiting for https://localhost:{server.port} (context x)\n"


def test_U9_a_quick_answer_is_not_commented_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """U9: nothing is said where nobody waits."""
    monkeypatch.setattr(contact, "SILENCE", 0.7)
    world.to(world.serve(kubernetes))
    world.contact()
    time.sleep(0.8)
    assert world.said.getvalue() == ""


def test_F23_what_a_login_program_says_is_shown_as_it_comes(world: World) -> None:
    """F23: its words stand there while it waits; kubectl's own do not. Without a terminal it ends."""
    text = "printf 'To sign in, open https://login.example and enter ABCD: ' >&2; exec sleep 30"
    world.to(world.serve(kubernetes), user=script(text))
    error = world.trouble(seconds=3)
    assert error.message == "the login program sh of context x timed out after 3 s"
    assert error.hint.startswith("log in first, in a terminal: `kubectl auth whoami`")
    assert "ABCD" in error.details
    shown = world.said.getvalue()
    assert shown.startswith("To sign in, open https://login.example and enter ABCD: ")
    assert "by way of the login program sh" in shown


def test_F23_a_login_program_that_fails_has_its_words_in_the_error(world: World) -> None:
    """F23: shown once as they come, and kept for who reads only the error."""
    world.to(world.serve(kubernetes), user=script("echo no session, run tsh login >&2; exit 1"))
    error = world.trouble()
    assert world.said.getvalue() == "no session, run tsh login\n"
    assert error.details.startswith("no session, run tsh login")


def typed(world: World, *words: str, stdin: int) -> subprocess.Popen[str]:
    """Start korthweb as a person does, with this as its terminal."""
    (world.folder / "korthweb.yaml").write_text("tools: {source: path}\ntimeouts: {contact: 2}\n")
    path = f"{Path(world.kubectl).parent}:/usr/bin:/bin"
    environment = {"HOME": str(world.folder), "PATH": path, "PYTHONPATH": str(ROOT), "KUBECONFIG": "kubeconfig"}
    argv = (sys.executable, "-m", "korthweb_tasks.main", *words)
    return subprocess.Popen(
        argv,
        cwd=world.folder,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


ASKS = 'printf "Password for the portal: " >&2; read -r word; [ "$word" = open ] && ' + credential()


def test_F23_at_a_terminal_a_login_program_can_ask(world: World) -> None:
    """F23: the question is seen although its line has no end, the answer reaches it, and the task goes on."""
    world.to(world.serve(kubernetes), user=script(ASKS))
    ours, theirs = pty.openpty()
    child = typed(world, "context.use", "x", "--accept", stdin=theirs)
    assert child.stdout is not None
    seen = ""
    while not seen.endswith("portal: ") and (more := child.stdout.read(1)):
        seen += more
    time.sleep(2.5)  # longer than what a pipeline has for its first answer
    os.write(ours, b"open\n")
    rest, _ = child.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert child.returncode == 0, seen + rest
    assert f"recorded: kube-system UID {UID}" in rest


def test_F23_without_one_it_ends_and_says_what_to_type(world: World) -> None:
    """F23: the program finds no terminal to ask at; kubectl's command names the context."""
    world.to(world.serve(kubernetes), user=script(f"sleep 1; {ASKS}"))
    child = typed(world, "context.use", "x", "--accept", stdin=subprocess.DEVNULL)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 4, out
    assert "Password for the portal: " in out
    assert "error: the login program sh of context x failed" in out
    assert out.splitlines()[-1].startswith("Next: log in first: `kubectl --context x auth whoami` in a terminal")
