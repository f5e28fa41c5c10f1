"""What was shown before a question is what is done after it: an edit while it is open, or between two tasks, waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import invoke
import pytest

import korthweb_tasks
from korthweb_tasks import Executor, context, errors
from korthweb_tasks.collections.flags import task
from korthweb_tasks.main import Korthweb
from korthweb_tasks.services.session import Session
from korthweb_tasks.settings import edit
from tests.own_site import SETTINGS, Site, entered

SECRET = "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD"


@task(example="inv x.ask", changes=True)
def ask(session: Session) -> None:
    """Show what would be done, ask, and show what is done."""
    shown = seen(session)
    session.confirm("Go on?")
    assert seen(session) == shown
    print(json.dumps(shown))


@task(example="inv x.save")
def save(session: Session) -> None:
    """Write the settings, as gitops.add-tenant does."""
    assert session.loaded.file
    edit.save(session.loaded.file, session.loaded.file.read_text().replace("hospital-a\n", "hospital-b\n"))


@invoke.task
def theirs(c: invoke.Context) -> None:
    """Call ours."""
    ask(c, yes=True)


def seen(session: Session) -> dict[str, Any]:
    return {
        "tenants": [tenant.name for tenant in session.settings.tenants],
        "cluster": session.ref.name,
        "passwords": dict(session.secrets.values),
        "server": session.ref.server,
    }


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = entered(tmp_path, monkeypatch)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    password(made, "the-first-one")
    return made


def password(site: Site, text: str) -> None:
    (site.folder / ".env").write_text(f"{SECRET}={text}\n")
    (site.folder / ".env").chmod(0o600)


def everything(site: Site) -> None:
    """Edit the settings, the passwords and the choice of a cluster."""
    site.settings(
        SETTINGS.replace("context: hospital-a", "context: hospital-b") + "tenants: [{name: XYZ, domain: x.org}]\n"
    )
    password(site, "the-second-one")
    Path(".korthweb").mkdir(mode=0o700, exist_ok=True)
    Path(".korthweb/context").write_text("hospital-b\n")


def meanwhile(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None], answer: str) -> None:
    """Answer the next question after somebody has done something."""

    def readline() -> str:
        do()
        return f"{answer}\n"

    monkeypatch.setattr("sys.stdin.readline", readline, raising=False)


def run(*words: str, program: type[invoke.Program] = Korthweb) -> int:
    root = invoke.Collection(ask, save, theirs)
    root.add_collection(context)
    try:
        program(namespace=root, name="korthweb", binary="korthweb", executor_class=Executor).run(["inv", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("program", [invoke.Program, Korthweb])
@pytest.mark.parametrize("chosen", [True, False])
def test_an_edit_while_a_question_is_open_changes_nothing_in_the_whole_row(
    program: type[invoke.Program], chosen: bool, site: Site, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if chosen:
        site.settings(SETTINGS.replace("context: hospital-a\n", ""))
        assert run("context.use", "hospital-a", program=program) == 0
    capsys.readouterr()
    meanwhile(monkeypatch, lambda: everything(site), "y")
    assert run("ask", "ask", "--yes", "theirs", program=program) == 0
    out, err = capsys.readouterr()
    told = [json.loads(line) for line in out.splitlines()]
    assert told[0]["cluster"] == "hospital-a"
    assert told[0]["passwords"] == {SECRET: "the-first-one"}
    assert told == [told[0]] * 3
    for name in ("korthweb.yaml", ".env"):
        assert err.count(f"warning: {name} was edited: this run goes on with what it has read") == 1
    run("ask", "--yes", program=program)
    assert '"XYZ"' in capsys.readouterr().out


def test_what_korthweb_itself_writes_is_read(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ask", "--yes", "save", "--yes", "ask", "--yes", "--timeout", "5") == 0
    told = [json.loads(line)["cluster"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["hospital-a", "hospital-b"]
    site.settings(SETTINGS.replace("context: hospital-a\n", ""))
    assert run("context.use", "hospital-a", "ask", "--yes", "context.use", "hospital-b", "theirs") == 0
    told = [json.loads(line)["cluster"] for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert told == ["hospital-a", "hospital-b"]


def test_a_file_that_was_not_there_is_read_when_it_is(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    c = invoke.Context()
    site.folder.joinpath(".env").unlink()
    ask(c, yes=True)
    password(site, "a-new-one")
    ask(c, yes=True)
    told = [json.loads(line)["passwords"] for line in capsys.readouterr().out.splitlines()]
    assert told == [{}, {SECRET: "a-new-one"}]


def test_another_invocation_reads_anew(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("the-first-one", "the-second-one"):
        password(site, text)
        ask(invoke.Context(), yes=True)
    told = [json.loads(line)["passwords"][SECRET] for line in capsys.readouterr().out.splitlines()]
    assert told == ["the-first-one", "the-second-one"]


@pytest.mark.parametrize("name", ["kubectl", "helm", "istioctl", "flux"])
def test_a_change_goes_where_the_question_said(name: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    program = getattr(korthweb_tasks.cluster(invoke.Context(), context="hospital-b"), name)
    moved = SETTINGS.replace("context: other", "context: admin")
    meanwhile(monkeypatch, lambda: site.settings(moved), "hospital-b")
    program("install")
    assert site.calls()[0][2] == "other"


@pytest.mark.parametrize("servers", [{"other": "https://10.9.9.9:6443"}, {}], ids=["moved", "gone"])
def test_a_kubeconfig_that_is_edited_while_a_question_is_open_ends_it(
    servers: dict[str, str], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kubectl reads its file itself, at each call: what was shown can't be kept, so nothing is done."""
    kubectl = korthweb_tasks.cluster(invoke.Context(), context="hospital-b").kubectl
    meanwhile(monkeypatch, lambda: site.servers(admin="https://10.0.0.1:6443", **servers), "hospital-b")
    with pytest.raises(errors.GuardRefused, match="the kubeconfig was edited meanwhile: hospital-b") as refused:
        kubectl("delete", "pod", "x")
    assert refused.value.details == f"server: shown https://10.0.0.2:6443, now {servers.get('other', 'none')}"
    assert site.calls() == []
    meanwhile(monkeypatch, lambda: site.servers(admin="https://10.8.8.8:6443"), "y")
    site.servers(admin="https://10.0.0.1:6443")
    with pytest.raises(errors.GuardRefused, match="the kubeconfig was edited meanwhile: hospital-a"):
        ask(invoke.Context(), context="hospital-a")
