"""What is typed next works (U11), a cluster that is there comes first (U12), a misspelt word is told as one (U36)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks import paths
from korthweb_tasks.main import Korthweb, program
from korthweb_tasks.services import session as sessions
from tests.cases.unit.test_which_cluster import kubeconfig

Type = Callable[..., tuple[int, str, str]]
CHOICE = ".korthweb/context"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Return a way to type words; the cluster of x is never asked, since nothing listens there."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(Path("config").absolute(), server="https://127.0.0.1:1")))
    monkeypatch.setenv("PATH", "/nowhere")
    Path("korthweb.yaml").write_text("tenants: [{name: BHC, domain: bhc.example}]\ntools: {source: path}\n")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sessions, "CONNECTIONS", {})
        code: Any = 0
        try:
            Korthweb(name="korthweb", binary="korthweb", namespace=program.namespace).run(["korthweb", *words])
        except SystemExit as ended:
            code = ended.code
        out, err = capsys.readouterr()
        return int(code or 0), out, err

    return run


def written(name: str, text: str | bytes) -> Callable[[], object]:
    def write() -> None:
        path = Path(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


FAULTS: dict[str, Callable[[], object]] = {
    "a key": written("korthweb.yaml", "tenats: 3\n"),
    "a type": written("korthweb.yaml", "tenants: 3\n"),
    "a value": written("korthweb.yaml", "tenants: [{name: B, domain: b.example, storage: '10'}]\n"),
    "a profile": written("korthweb.yaml", "profile: labb\n"),
    "a variable": written(".env", "KORTHWEB__TENATS=3\n"),
    "nothing said": written("korthweb.yaml", "# nothing\n"),
    "a choice that is empty": written(CHOICE, ""),
    "a choice that is no text": written(CHOICE, b"\xff\xfe"),
    "a choice of nothing": written(CHOICE, "gone\n"),
    "a context": written("korthweb.yaml", "context: hospital\nclusters: {hospital: {context: y}}\n"),
    "a kubeconfig": written("korthweb.yaml", "clusters: {hospital: {context: x, kubeconfig: gone}}\n"),
    "no choice": lambda: None,
    "no file": lambda: Path("korthweb.yaml").unlink(),
    "a cluster that is nowhere": lambda: kubeconfig(Path("config"), cluster="other"),
}


def own(hint: str) -> list[list[str]]:
    """Return the commands of ours in a hint, with a name where one has to be given."""
    found = re.findall(r"`korthweb ([^`]+)`|^Next: korthweb (.+)$", hint, re.MULTILINE)
    return [shlex.split((one or other).replace("NAME", "x")) for one, other in found]


@pytest.mark.parametrize("name", FAULTS)
def test_U11_what_is_typed_next_does_not_fail_in_the_same_way(name: str, typed: Type) -> None:
    """U11: each of our own commands in the hint of a settings fault works in spite of the fault."""
    FAULTS[name]()
    words = ("--context", "x") if name in ("nothing said", "no file", "a cluster that is nowhere") else ()
    code, _, fault = typed("manual.status", *words)
    assert code == 2, fault
    commands = own(fault)
    assert commands, fault
    for command in commands:
        if command[0] != "lab.up":  # that makes one
            code, _, err = typed(*command)
            assert code == 0, (command, err)


def test_U11_the_keys_are_printed_whatever_the_file_says(typed: Type) -> None:
    """U11: each with its meaning and default."""
    Path("korthweb.yaml").write_text("tenats: [\n")
    code, out, _ = typed("config.keys", "--key", "timeouts.step")
    assert (code, len(out.splitlines())) == (0, 2)
    assert re.search(r"^timeouts\.step +one step of a plan.* 600$", out, re.MULTILINE)
    code, out, _ = typed("config.keys", "--output", "json")
    assert code == 0
    assert '"tenants.<tenant>.domain"' in out
    code, _, err = typed("config.keys", "--key", "timeots")
    assert (code, "did you mean 'timeouts'" in err) == (2, True)


def test_U11_a_page_that_a_hint_names_is_there(typed: Type) -> None:
    """U11: from a checkout and (tests/unit/test_package.py) from a wheel."""
    Path("korthweb.yaml").write_text("tenats: 3\n")
    _, _, err = typed("config.check")
    page = next(word for word in err.split() if word.endswith(".md"))
    assert page == str(paths.docs("settings.md"))
    assert Path(page).is_file()


@pytest.mark.parametrize("task", ["manual.status", "context.list"])
@pytest.mark.parametrize("given", ["nothing", "a file that is not there"])
def test_U12_who_has_a_cluster_is_not_sent_to_a_lab(
    task: str, given: str, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U12: KUBECONFIG, clusters: and --context come first, the lab last."""
    monkeypatch.delenv("KUBECONFIG")
    if given != "nothing":
        monkeypatch.setenv("KUBECONFIG", "/gone/config")
    _, out, err = typed(task)
    text = out + err
    places = [text.index(word) for word in ("set KUBECONFIG", "clusters: in korthweb.yaml", "--context NAME", "lab.up")]
    assert places == sorted(places)
    assert given == "nothing" or task == "context.list" or "/gone/config" in text


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "task": (("manual.deply",), "manual.deploy"),
    "group": (("manul.deploy",), "manual.deploy"),
    "group of a list": (("--list", "manul"), "manual"),
    "help": (("--help", "manual.deply"), "manual.deploy"),
    "flag": (("manual.status", "--contxt", "x"), "--context"),
    "context": (("manual.status", "--context", "y"), "known: x"),
    "lab": (("lab.logs", "kubelet", "--name", "nope"), "lab.up --name nope"),
    "tenant": (("manual.status", "--context", "x", "--tenant", "BCH"), "'BHC'"),
    "tenant to render": (("manual.render", "--context", "x", "--out", "o", "--tenant", "BCH"), "'BHC'"),
    "tenant to verify": (("verify.all", "--context", "x", "--tenant", "BCH"), "'BHC'"),
    "tenant of GitOps": (("gitops.status", "--context", "x", "--tenant", "BCH"), "'BHC'"),
    "tenant of Helm": (("helm.status", "--context", "x", "--tenant", "BCH"), "'BHC'"),
    "approach": (("verify.all", "--context", "x", "--approach", "gitop"), "'gitops'"),
    "output": (("manual.status", "--context", "x", "--output", "jason"), "'json'"),
    "output of settings": (("config.show", "--output", "yml"), "'yaml'"),
    "output of a check": (("verify.https", "--context", "x", "--output", "junt"), "'junit'"),
    "key": (("config.show", "--key", "tenant.BHC"), "'tenants.BHC'"),
    "tool": (("tools.install", "kubctl"), "'kubectl'"),
    "extra": (("lab.up", "--with", "gitop"), "'gitops'"),
    "controller": (("gitops.logs", "--context", "x", "--controller", "kustmize"), "'kustomize'"),
    "checks": (("test", "--only", "unt"), "'unit'"),
    "program's word": (("cli.kubectl", "get"), "cli.kubectl -- get"),
    "time": (("manual.status", "--context", "x", "--timeout", "soon"), "--timeout 90s"),
    "number": (("gitops.logs", "--context", "x", "--lines", "many"), "number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_U36_a_misspelt_word_is_code_2_with_the_nearest_right_one(name: str, typed: Type) -> None:
    """U36: whatever kind of word, before a cluster is asked."""
    words, right = WRONG[name]
    code, _, err = typed(*words)
    assert (code, right in err) == (2, True), err
