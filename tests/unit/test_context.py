"""Which cluster is meant, and what is told where it can not be found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.errors import SettingsError
from korthweb_tasks.main import Korthweb, program
from korthweb_tasks.services import session as sessions
from korthweb_tasks.settings.choice import choose_context, chosen_context, forget_context, lab_of
from korthweb_tasks.settings.kubeconfig import authority, contexts_in
from korthweb_tasks.settings.load import Loaded, load
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.resolve import ChosenCluster, known_names, named, resolve
from tests.fakes import put


def kubeconfig(path: Path, **servers: str) -> Path:
    """Write a kubeconfig with one context per server; its current context is the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [name.replace("_", "-") for name in servers]
    data = {
        "current-context": names[0] if names else "",
        "contexts": [{"name": name, "context": {"cluster": f"{name}-c", "user": "u"}} for name in names],
        "clusters": [
            {"name": f"{name}-c", "cluster": {"server": server, "certificate-authority-data": "Q0E="}}
            for name, server in zip(names, servers.values(), strict=True)
        ],
        "users": [{"name": "u", "user": {"token": "geheim"}}],
    }
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home with two contexts in ~/.kube/config and one lab."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    kubeconfig(tmp_path / ".kube" / "config", admin="https://10.0.0.1:6443", viewer="https://10.0.0.2:6443")
    kubeconfig(tmp_path / "state" / "labs" / "demo" / "kubeconfig", korthweb_demo="https://198.18.0.2:6443")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def settings(home: Path, text: str = "") -> Loaded:
    (home / "project" / "korthweb.yaml").write_text(text)
    return load(environ={})


def place(cluster: ChosenCluster) -> tuple[str, str | None]:
    return cluster.context, cluster.kubeconfig


TWO = "clusters:\n  a: {context: admin}\n  v: {context: viewer, production: true}\n"


def test_the_flag_comes_first(home: Path) -> None:
    choose_context("viewer")
    found = resolve(settings(home, TWO + "context: v\n"), "a")
    assert (found.name, place(found), found.chosen_by) == ("a", ("admin", None), "--context")
    assert found.server == "https://10.0.0.1:6443"


def test_the_settings_come_before_the_choice(home: Path) -> None:
    choose_context("a")
    found = resolve(settings(home, TWO + "context: v\n"))
    assert (found.name, found.context, found.chosen_by) == ("v", "viewer", "korthweb.yaml:4")
    assert found.settings.production


def test_the_choice_comes_before_the_only_cluster(home: Path) -> None:
    choose_context("viewer")
    found = resolve(settings(home, "clusters: {a: {context: admin}}\n"))
    assert (found.name, found.chosen_by) == ("viewer", "context.use")


def test_the_only_cluster_is_taken(home: Path) -> None:
    found = resolve(settings(home, "clusters: {a: {context: admin}}\n"))
    assert (found.name, found.chosen_by) == ("a", "the only cluster of the settings")


def test_the_current_context_of_kubectl_is_never_taken(home: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve(settings(home))
    assert caught.value.message == "no cluster is chosen"
    assert caught.value.hint == "`korthweb context.use NAME`, or --context NAME"
    assert caught.value.details == "known: admin, viewer, korthweb-demo"


def test_a_context_and_a_lab_can_be_named(home: Path) -> None:
    found = settings(home)
    file = str(home / "state" / "labs" / "demo" / "kubeconfig")
    assert place(resolve(found, "viewer")) == ("viewer", None)
    for word in ("korthweb-demo", "demo"):
        lab = resolve(found, word)
        assert (lab.name, place(lab), lab.lab) == ("korthweb-demo", ("korthweb-demo", file), "demo")


def test_bare_settings_will_do(home: Path) -> None:
    assert resolve(Settings(), "admin").name == "admin"


def test_a_cluster_of_the_settings_can_be_a_lab(home: Path) -> None:
    found = resolve(settings(home, "clusters: {a: {context: korthweb-demo}}\n"))
    assert place(found) == ("korthweb-demo", str(home / "state" / "labs" / "demo" / "kubeconfig"))
    assert found.lab == "demo"


def test_an_own_kubeconfig_is_relative_to_the_project(home: Path) -> None:
    own = kubeconfig(home / "project" / "keys" / "k.yaml", far="https://far:6443")
    found = resolve(settings(home, "clusters: {a: {context: far, kubeconfig: keys/k.yaml}}\n"))
    assert (place(found), found.server) == (("far", str(own)), "https://far:6443")


def test_several_files_are_searched_as_kubectl_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = kubeconfig(home / "one", admin="https://one:1", x="https://x:1")
    two = kubeconfig(home / "two", admin="https://two:2", y="https://y:2")
    monkeypatch.setenv("KUBECONFIG", f"{one}:{home / 'none'}:{two}")
    found = settings(home)
    assert known_names(found) == ["admin", "x", "y", "korthweb-demo"]
    # kubectl itself merges the files: a user may be in another one than its context
    assert (place(resolve(found, "y")), resolve(found, "admin").server) == (("y", None), "https://one:1")


def test_a_lab_whose_file_is_exported_is_found_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(home / "state" / "labs" / "demo" / "kubeconfig"))
    found = settings(home)
    assert known_names(found) == ["korthweb-demo"]
    assert place(resolve(found, "korthweb-demo")) == ("korthweb-demo", None)


Break = Callable[[Path], object]
Type = Callable[..., tuple[int, str, str]]
KUBE = ".kube/config"


def remove(name: str) -> Break:
    return lambda home: (home / name).unlink()


def write(name: str, text: str) -> Break:
    return lambda home: (home / name).write_text(text)


def both(*breaks: Break) -> Break:
    return lambda home: [one(home) for one in breaks]


# (settings, --context, what is broken, message, hint); HOME stands for the home
LAB = "state/labs/demo/kubeconfig"
LOST: dict[str, tuple[str, str | None, Break, str, str]] = {
    "misspelt": (
        "",
        "admn",
        lambda _: None,
        "no cluster or context 'admn' (did you mean 'admin'?)",
        "`korthweb context.list` shows what there is",
    ),
    "misspelt cluster": (
        TWO.replace("v:", "hospital-b:"),
        "hospital_b",
        lambda _: None,
        "no cluster or context 'hospital_b' (did you mean 'hospital-b'?)",
        "`korthweb context.list` shows what there is",
    ),
    "chosen and gone": (
        "",
        None,
        lambda _: choose_context("gone"),
        "no cluster or context 'gone' (chosen by context.use)",
        "`korthweb context.list` shows what there is",
    ),
    "lab is down": (
        "",
        None,
        both(remove(LAB), lambda _: choose_context("korthweb-demo")),
        "no cluster or context 'korthweb-demo' (chosen by context.use)",
        "`korthweb lab.up --name demo`, or `korthweb context.list` shows others",
    ),
    "default is gone": (
        "\ncontext: gone\n",
        None,
        lambda _: None,
        "no cluster or context 'gone' (chosen by korthweb.yaml:2)",
        "`korthweb context.list` shows what there is",
    ),
    "no kubeconfig": (
        "",
        "admin",
        both(remove(KUBE), remove(LAB)),
        "no cluster or context 'admin'",
        "there is no kubeconfig at HOME/.kube/config; for a cluster that is there set KUBECONFIG",
    ),
    "nothing at all": (
        "",
        None,
        both(remove(KUBE), remove(LAB)),
        "no cluster is chosen, and none is known",
        "there is no kubeconfig at HOME/.kube/config; for a cluster that is there set KUBECONFIG",
    ),
    "cluster without kubeconfig": (
        "clusters:\n  a:\n    context: admin\n",
        None,
        both(remove(KUBE), remove(LAB)),
        "korthweb.yaml:3: cluster a: no context 'admin' is known",
        "there is no kubeconfig at HOME/.kube/config; for a cluster that is there set KUBECONFIG",
    ),
    "cluster's context is misspelt": (
        "clusters:\n  a:\n    context: Admin1\n",
        None,
        lambda _: None,
        "korthweb.yaml:3: cluster a: no context 'Admin1' is known (did you mean 'admin'?)",
        "`korthweb context.list` shows what there is",
    ),
    "own file is gone": (
        "clusters:\n  a:\n    context: x\n    kubeconfig: /nowhere/k\n",
        None,
        lambda _: None,
        "korthweb.yaml:4: cluster a: kubeconfig /nowhere/k does not exist",
        "`korthweb context.list` shows what there is",
    ),
    "context is not in its own file": (
        f"clusters:\n  a:\n    context: x\n    kubeconfig: ../{KUBE}\n",
        None,
        lambda _: None,
        f"korthweb.yaml:3: cluster a: no context 'x' is in HOME/project/../{KUBE}",
        "`korthweb context.list` shows what there is",
    ),
    "not YAML": ("", "admin", write(KUBE, "a: [\n"), f"HOME/{KUBE}:2: not YAML: ", "each line is"),
    "a word": (
        "",
        "admin",
        write(KUBE, "hello\n"),
        f"HOME/{KUBE} is not a kubeconfig: it is not a section of `key: value` lines",
        f"kubectl config view --kubeconfig HOME/{KUBE}",
    ),
    "no list": (
        "",
        "admin",
        write(KUBE, "contexts: {a: b}\n"),
        f"HOME/{KUBE} is not a kubeconfig: its 'contexts' are not a list of names",
        f"kubectl config view --kubeconfig HOME/{KUBE}",
    ),
    "a context that is a word": (
        "",
        "admin",
        write(KUBE, "contexts: [{name: a, context: b}]\n"),
        f"HOME/{KUBE} is not a kubeconfig: context 'a' is empty",
        f"kubectl config view --kubeconfig HOME/{KUBE}",
    ),
    "a folder": (
        "",
        "admin",
        both(remove(KUBE), lambda home: (home / KUBE).mkdir()),
        f"kubeconfig HOME/{KUBE} can't be read: Is a directory",
        f"ls -l HOME/{KUBE}",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_a_cluster_that_can_not_be_found_is_one_clear_error(name: str, home: Path) -> None:
    text, flag, broken, message, hint = LOST[name]
    found = settings(home, text)
    broken(home)
    with pytest.raises(SettingsError) as caught:
        resolve(found, flag)
    assert caught.value.message.startswith(message.replace("HOME", str(home)))
    assert caught.value.hint.startswith(hint.replace("HOME", str(home)))
    assert "geheim" not in f"{caught.value} {caught.value.details}"


def test_an_empty_kubeconfig_has_no_contexts(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("")
    assert contexts_in(tmp_path / "k") == []


def test_the_choice_is_private_and_kept_whole(home: Path) -> None:
    assert chosen_context() is None
    choose_context("a")
    file = home / "project" / ".korthweb" / "context"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("a\n", 0o600)
    forget_context("b")
    assert chosen_context() == "a"
    forget_context("a")
    assert chosen_context() is None
    assert [path.name for path in file.parent.iterdir()] == [".gitignore"]


@pytest.mark.parametrize("name", ["korthweb-", "korthweb-..", "korthweb-a/b", "demo", "korthweb-none"])
def test_what_is_no_lab(name: str, home: Path) -> None:
    assert lab_of(name) is None


def test_a_ca_has_a_fingerprint(home: Path, tmp_path: Path) -> None:
    inline = authority(home / KUBE, "admin")
    (tmp_path / "ca.crt").write_bytes(b"CA")
    text = (home / KUBE).read_text().replace("certificate-authority-data: Q0E=", "certificate-authority: ca.crt")
    (tmp_path / "k").write_text(text)
    assert authority(tmp_path / "k", "admin") == inline != ""
    assert authority(tmp_path / "k", "nobody") == ""


def test_a_reference_says_what_it_is(home: Path) -> None:
    found = named(settings(home), "admin")
    assert isinstance(found, ChosenCluster)
    assert found.lab is None


KUBECTL = """\
#!/bin/sh
case "$*" in
  *"--context admin"*"--raw /version"*) echo '{"gitVersion": "v1.36.3"}';;
  *"--context korthweb-demo"*"--raw /version"*) echo '{"gitVersion": "v1.20.0"}';;
  *"--context admin"*kube-system*) echo '{"kind": "Namespace", "metadata": {"uid": "uid-1"}}';;
  *) echo "Unable to connect to the server: dial tcp 10.0.0.2:6443: connect: connection refused" >&2; exit 1;;
esac
"""


@pytest.fixture
def cli(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Return a way to type a task; kubectl is a script that knows two clusters."""
    script = home / "kubectl"
    script.write_text(KUBECTL)
    script.chmod(0o755)
    put(monkeypatch, "korthweb_tasks.services.programs.Programs", lambda *_, **__: {"kubectl": str(script)})
    monkeypatch.setattr(sessions, "CONNECTIONS", {})

    def typed(*words: str) -> tuple[int, str, str]:
        code: Any = 0
        fresh = Korthweb(name="korthweb", binary="korthweb", namespace=program.namespace)
        try:
            fresh.run(["korthweb", *words])
        except SystemExit as error:
            code = error.code
        out, err = capsys.readouterr()
        return int(code or 0), out, err

    return typed


def test_listing_asks_everybody_once(home: Path, cli: Type) -> None:
    settings(home, TWO + "  b: {context: admin, bastion: {host: jump}}\ncontext: v\n")
    code, out, _ = cli("context.list", "--output", "json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert set(rows) == {"a", "v", "b", "korthweb-demo"}
    assert (rows["a"]["answers"], rows["a"]["version"], rows["a"]["current"]) == ("yes", "v1.36.3", False)
    assert rows["v"]["answers"] == "no: connection refused"
    assert rows["v"]["current"]
    assert rows["b"]["answers"] == "? not asked, it is behind jump"
    assert rows["korthweb-demo"]["version"] == "v1.20.0 (supported: >=1.35,<1.38)"


def test_listing_as_text_marks_the_current_one(home: Path, cli: Type) -> None:
    cli("context.use", "admin")
    code, out, _ = cli("context.list")
    assert code == 0
    assert re.search(r"^\*  admin +admin +kubectl's own search +yes +v1\.36\.3$", out, re.MULTILINE)
    assert len(out.splitlines()) == 4


def test_using_writes_nothing_but_the_choice(home: Path, cli: Type) -> None:
    before = (home / KUBE).read_text()
    code, out, _ = cli("context.use", "viewer")
    assert (code, out) == (0, "chosen: viewer (context viewer, https://10.0.0.2:6443)\n")
    assert chosen_context() == "viewer"
    assert (home / KUBE).read_text() == before
    assert not (home / "project" / ".korthweb" / "guards.json").exists()


def test_accepting_records_the_cluster_as_it_is(home: Path, cli: Type) -> None:
    code, out, _ = cli("context.use", "admin", "--accept")
    assert (code, out.splitlines()[1]) == (0, "recorded: kube-system UID uid-1")
    record = home / "project" / ".korthweb" / "guards.json"
    assert json.loads(record.read_text()) == {"admin": {"server": "https://10.0.0.1:6443", "uid": "uid-1"}}
    code, out, _ = cli("context.show", "--output", "json")
    shown = json.loads(out)
    assert (shown["recorded UID"], shown["chosen by"], shown["cluster"]) == ("uid-1", "context.use", "admin")


def test_a_dry_run_chooses_and_records_nothing(home: Path, cli: Type) -> None:
    code, out, _ = cli("--dry", "context.use", "admin", "--accept")
    assert (code, [line.partition(":")[0] for line in out.splitlines()]) == (0, ["would choose", "would record"])
    assert chosen_context() is None
    cli("--dry", "config.init")
    assert list((home / "project").iterdir()) == []


def test_a_wrong_name_is_one_error_and_no_choice(home: Path, cli: Type) -> None:
    code, out, err = cli("context.use", "vewer")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "error: no cluster or context 'vewer' (did you mean 'viewer'?)",
        "    known: admin, viewer, korthweb-demo",
        "Next: `korthweb context.list` shows what there is",
    ]
    assert chosen_context() is None


def test_a_choice_that_loses_against_the_settings_is_told(home: Path, cli: Type) -> None:
    settings(home, TWO + "context: v\n")
    _, _, err = cli("context.use", "a")
    assert err == "warning: korthweb.yaml:4: context v comes before this choice\n"


def test_config_show_has_values_origins_and_masks(home: Path, cli: Type) -> None:
    settings(home, "orthanc:\n  config: {RegisteredUsers: {eve: geheimnis}}\n")
    code, out, _ = cli("config.show", "--changed")
    assert (code, out.splitlines()) == (
        0,
        [
            "SETTING                             VALUE     FROM",
            "orthanc.config.RegisteredUsers.eve  ********  korthweb.yaml:2",
        ],
    )
    _, out, _ = cli("config.show", "--output", "json")
    data = json.loads(out)
    assert data["origins"]["orthanc.config.RegisteredUsers.eve"] == "korthweb.yaml:2"
    assert "geheimnis" not in out
    _, out, _ = cli("config.show", "--output", "yaml", "--key", "tenants.BHC.replicas")
    assert yaml.safe_load(out) == {"tenants.BHC.replicas.min": 3, "tenants.BHC.replicas.max": 10}
    _, out, _ = cli("config.show", "--output", "yaml")
    assert yaml.safe_load(out)["tenants"][0]["aet"] == "BHC"


def test_config_show_follows_the_cluster(home: Path, cli: Type) -> None:
    _, out, _ = cli("config.show", "--context", "korthweb-demo", "--key", "profile")
    assert out.splitlines()[1] == "profile  lab    the chosen context is a lab's"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("config.show", "--key", "tenant"), "error: there is no setting 'tenant' (did you mean 'tenants'?)"),
        (("config.show", "--output", "xml"), "error: there is no output format 'xml'"),
    ],
)
def test_config_show_refuses_what_it_does_not_know(words: tuple[str, ...], message: str, home: Path, cli: Type) -> None:
    code, _, err = cli(*words)
    assert (code, err.splitlines()[0]) == (2, message)


def test_config_check_says_fine_or_ends_with_two(home: Path, cli: Type) -> None:
    code, out, _ = cli("config.check")
    assert (code, out.splitlines()[-1]) == (0, "settings: fine")
    settings(home, "orthanc: {config: {OrthancPeers: {eve: [u, n, geheimnis]}}}\n")
    code, out, err = cli("config.check")
    assert (code, err) == (0, "")
    assert "warning: korthweb.yaml:1: orthanc.config.OrthancPeers.eve.2 is a password in clear" in out
    settings(home, "orthanc: {connections: 50}\n")
    code, out, err = cli("config.check")
    assert (code, out) == (2, "")
    assert err.startswith("error: tenants.BHC.replicas.max: tenant BHC may need 520 database connections")


def test_config_init_writes_once(home: Path, cli: Type) -> None:
    code, _, _ = cli("config.init")
    assert code == 0
    assert "\n# korthweb.yaml: everything" in (home / "project" / "korthweb.yaml").read_text()
    assert (home / "project" / ".env.example").exists()
    code, _, err = cli("config.init")
    assert code == 2
    assert "is there already" in err
