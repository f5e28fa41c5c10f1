"""S31: children know what they need, secrets are out of sight in every form, what others wrote is not obeyed."""

from __future__ import annotations

import ast
import base64
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from invoke import Context

from korthweb_tasks import paths
from korthweb_tasks.collections.errors_out import render
from korthweb_tasks.core.command import Command
from korthweb_tasks.core.environment import for_build, for_program
from korthweb_tasks.core.plaintext import masked, printable
from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.errors import CommandFailed, StepFailed
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.journal import Journal
from korthweb_tasks.run.runner import Runner

SECRETS = {
    "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD": "a-password",
    "KORTHWEB_SECRET_GIT_PASSWORD": "a-password",
    "GITHUB_TOKEN": "ghp_x",
    "GITLAB_TOKEN": "glpat-x",
    "GITEA_TOKEN": "x",
    "CI_JOB_TOKEN": "x",
    "NPM_AUTH": "x",
    "DATABASE_URL": "postgres://u:p@h/d",
}
NEEDED = {
    "kubectl": ("PATH", "HOME", "KUBECONFIG", "AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET",
                "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"),
    "helm": ("PATH", "KUBECONFIG", "HELM_CACHE_HOME", "HELM_KUBETOKEN", "DOCKER_CONFIG", "AWS_PROFILE"),
    "flux": ("PATH", "KUBECONFIG", "AWS_PROFILE"),
    "istioctl": ("PATH", "KUBECONFIG", "AWS_PROFILE"),
    "git": ("PATH", "HOME", "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "https_proxy"),
    "sops": ("PATH", "HOME", "SOPS_AGE_KEY_FILE"),
}  # fmt: skip


@pytest.mark.parametrize("program", NEEDED)
def test_S31_a_child_gets_what_it_needs_and_no_secret(
    program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """S31: a real child prints its environment."""
    monkeypatch.setattr("os.environ", {**SECRETS, **dict.fromkeys(NEEDED[program], "needed"), "PATH": "/usr/bin:/bin"})
    runner = Runner(programs={program: "/usr/bin/env"}, patience=0)
    said = runner.run(Command(argv=(program,), env={"OF_THE_COMMAND": "yes"})).stdout
    names = {line.partition("=")[0] for line in said.splitlines()}
    assert set(NEEDED[program]) <= names
    assert not names & set(SECRETS)
    assert "OF_THE_COMMAND" in names


def test_S31_the_settings_can_let_more_through_but_no_password_of_ours() -> None:
    """S31: a login plugin with variables of its own; KORTHWEB_SECRET_* stays here whatever is said."""
    given = {**SECRETS, "PLUGIN_A": "1", "OTHER": "1"}
    assert for_program("kubectl", given, ("PLUGIN_*", "*")).keys() == given.keys() - {
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD", "KORTHWEB_SECRET_GIT_PASSWORD",
    }  # fmt: skip
    assert for_program("kubectl", given, ("PLUGIN_*",)) == {"PLUGIN_A": "1"}
    assert for_program("git", {"GIT_TOKEN": "x", "GIT_PASSWORD": "x", "GIT_DIR": "."}) == {"GIT_DIR": "."}


def test_S31_builds_and_the_lab_get_no_secrets_either() -> None:
    """S31: compilers run other people's code; what a package manager needs to download stays."""
    kept = for_build({**SECRETS, "GOPROXY": "x", "PIP_INDEX_URL": "x", "CC": "gcc", "UV_INDEX_X_PASSWORD": "x"})
    assert kept.keys() == {"GOPROXY", "PIP_INDEX_URL", "CC", "UV_INDEX_X_PASSWORD", "NPM_AUTH", "DATABASE_URL"}


SECRET = """it's "quoted" & \\back <ü> $1"""
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in the middle": lambda text: base64.b64encode(f"admin:{text}\n".encode()).decode(),
    "base64 one on": lambda text: base64.b64encode(f"x{text}yz".encode()).decode(),
    "base64 two on": lambda text: base64.b64encode(f"xx{text}y".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "URL": lambda text: quote(text, safe=""),
    "URL, lower case": lambda text: quote(text, safe="").replace("%2", "%2").lower(),
    "form": quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "shell": shlex.quote,
    "YAML": lambda text: text.replace("'", "''"),
    "folded YAML": lambda text: text.replace(" ", "\n    "),
    "Python": lambda text: repr(text)[1:-1],
    "hex": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("secret", [SECRET, "a-simple-password", "with some spaces", "1234567+/=?"])
@pytest.mark.parametrize("form", FORMS)
def test_S31_a_secret_is_masked_in_every_form(form: str, secret: str) -> None:
    """S31: encoded, it is as good as plain."""
    secret = secret.lower() if "lower" in form else secret
    written = FORMS[form](secret)
    seen = masked(f"before {written} after", [secret])
    assert written not in seen
    assert "********" in seen
    assert seen.startswith("before ")
    assert seen.endswith(" after")
    if "middle" in form:  # the name before it is none
        written = written.removeprefix("YWRtaW46")
    for number in range(len(written) - 8):  # nothing of it is left over that is worth anything
        assert written[number : number + 8] not in seen


def test_S31_what_is_no_secret_stays() -> None:
    """S31: masks do not eat what is around them."""
    text = "nothing secret here: YWxsIG9mIHRoaXMgaXMgcHVibGlj"
    assert masked(text, ["a-simple-password", "x"]) == text.replace("x", "********")


ESCAPES = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear": "\x1b[2J\x1b[1;1H",
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "DCS": '\x1bP$q"p\x1b\\',
    "APC": "\x1b_payload\x1b\\",
    "C1": "\x9b2Jx\x9d0;t\x9c",
    "unfinished": "\x1b]52;c;abc",
    "overwrite": "secret\rharmless",
    "backspace": "a\x08b\x7f",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069 \u200f",
    "hidden": "a\u200bb\ufeff",
    "bell": "\x07\x00\x0e",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_S31_terminals_are_not_told_anything_by_others(name: str) -> None:
    """S31: on the console, in its table, and in errors, by one function."""
    text = f"before {ESCAPES[name]} after"
    stream = io.StringIO()
    console = Console(stream=stream)
    console.line(text)
    console.note("pod", text)
    console.progress(text)
    error = render(StepFailed(text, details=text, hint=text))
    for seen in (printable(text), stream.getvalue(), error):
        assert not [mark for mark in seen if not (mark.isprintable() or mark in "\n\t")], repr(seen)
        assert "52;" not in seen
        assert "before " in seen
    if name != "unfinished":
        assert printable(text).endswith(" after")


def test_S31_umlauts_and_other_scripts_stay() -> None:
    """S31: only what is no text goes."""
    text = "Größe\t日本語 é 😀\nتم"
    assert printable(text) == text


def test_S31_errors_console_and_journal_know_the_masks(tmp_path: Path) -> None:
    """S31: a program that says a secret in Base64, which its own command did not know of."""
    said = base64.b64encode(b"admin:a-simple-password").decode()
    stream = io.StringIO()
    console = Console(stream=stream, masks=("a-simple-password",))
    journal = Journal.begin(tmp_path / ".korthweb" / "runs", "a run", ("a-simple-password",))
    runner = Runner(patience=0, masks=("a-simple-password",), record=journal.command, echo=console.line)
    with pytest.raises(CommandFailed) as failed:
        runner.run(Command(argv=("sh", "-c", f"echo {said} >&2; exit 3")))
    console.line(f"status: {said}")
    journal.note("step", detail=f"status: {said}")
    journal.write("report.json", json.dumps({"detail": said}))
    kept = "".join(path.read_text() for path in journal.folder.iterdir())
    for seen in (failed.value.stderr, failed.value.details, stream.getvalue(), kept):
        assert said not in seen
        assert "********" in seen


#: what prints by itself: the one function and its console, lists of our own tasks, a developer's script
PRINTS = {"run/console.py", "main.py", "provision/pins.py"}


def test_S31_nothing_is_printed_past_the_one_function() -> None:
    """S31: whoever writes to a terminal goes through `say` or the console, both of which clean the text."""
    package = Path(paths.__file__).parent
    found = set()
    for path in package.rglob("*.py"):
        calls = [ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        if {"print", "sys.stdout.write", "sys.stderr.write"}.intersection(calls):
            found.add(path.relative_to(package).as_posix())
    assert found == PRINTS


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("output", ["text", "json"])
def test_S31_what_a_server_said_is_told_without_what_a_terminal_obeys(
    name: str, output: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """S31: DICOM's and HTTP's answers in rungs, cells of the matrix, rows of a status, logs of a lab, questions."""
    from korthweb_tasks.lab import logs
    from korthweb_tasks.report.model import CellRecord, Report, RungRecord
    from korthweb_tasks.run.console import say
    from korthweb_tasks.services import isolation, proof, verify
    from korthweb_tasks.services.session import Session

    text = f"before {ESCAPES[name]} after"
    cell = CellRecord(
        name="x", group="g", title=text, a="A", b="B", status="broken", seen=text, control=text, hint=text
    )
    rung = RungRecord(tenant="A", name="x", title=text, status="broken", detail=text, hint=text)
    report = Report(title=text, context=text, started="", cells=(cell,), rungs=(rung,))
    session = Session.open(Context(), cluster=False, output=output)
    proof.publish_report(session.console, report, None, output, [verify.summary(report)])
    proof.publish_report(session.console, report, None, output, isolation.lines_of(report))
    session.emit({"state": text}, text)
    (tmp_path / "log").write_text(text)
    for line in logs.last_lines(tmp_path / "log", 3):
        say(line)
    said = capsys.readouterr().out
    assert "before " in said
    assert not [mark for mark in said if not (mark.isprintable() or mark in "\n\t")], repr(said)


@pytest.mark.parametrize("name", ESCAPES)
def test_S31_titles_of_tables_and_trees_are_clean(name: str) -> None:
    """S31: the name of a server stands in them; on a terminal they are drawn by rich, which obeys [markup] too."""
    text = f"before {ESCAPES[name]} [bold]after"
    stream = Terminal()
    console = Console(stream=stream)
    with console.table(f"[red]title[/red] {text}"):
        console.row("x", text)
        console.end(StepRecord("x", text, verdict="changed", detail=text))
    with console.live(lambda: console.clean(text)):
        pass
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())  # what rich itself draws with
    assert "52;" not in drawn
    assert "[red]title[/red]" in drawn
    assert "[bold]" in drawn or name == "unfinished"
    assert not [mark for mark in drawn if not (mark.isprintable() or mark in "\r\n\t")], repr(drawn)


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True
