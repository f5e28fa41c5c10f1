"""S10, S21, S22: folders of strangers are not believed, links are not followed, secrets are not a `git add` away."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from invoke import Context

from korthweb_tasks import files, gitops, manual, paths
from korthweb_tasks.collections import config
from korthweb_tasks.collections.errors_out import exit_for
from korthweb_tasks.errors import KorthwebError, UntrustedFile
from korthweb_tasks.lab import pki, store
from korthweb_tasks.report.formats import write as write_report
from korthweb_tasks.report.model import Report
from korthweb_tasks.run import guard
from korthweb_tasks.run.journal import KEPT, Journal
from korthweb_tasks.services.gitops import sops as gitops_sops
from korthweb_tasks.settings import choice
from korthweb_tasks.settings.cluster import ClusterSettings
from korthweb_tasks.settings.edit import save
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.resolve import ChosenCluster, resolve

STRANGER = 12345
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")

YAML = "tenants: [{name: BHC, domain: bhc.example.org}]\n"


def as_strangers(path: Path) -> None:
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def as_writable(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o022)


def as_group_writable(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def as_everybodys(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


SPOILED = [
    as_everybodys,
    pytest.param(as_strangers, marks=root_only),
    as_writable,
    pytest.param(as_group_writable, marks=root_only),  # to a private group of one's own others do not belong
]


@pytest.fixture
def project() -> Path:
    """Return a project with settings, in a folder below which one works."""
    here = Path.cwd()
    (here / "korthweb.yaml").write_text(YAML)
    (here / "deep" / "deeper").mkdir(parents=True)
    for place in (here / "korthweb.yaml", here):
        place.chmod(place.stat().st_mode & ~0o022)
    return here


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("what", ["korthweb.yaml", ".", ".."])
def test_S10_settings_that_somebody_else_could_have_written_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], what: str
) -> None:
    """S10: a stranger's korthweb.yaml above the working directory, and one in a folder that a stranger may change."""
    monkeypatch.chdir(project / "deep" / "deeper")
    assert load().settings.tenants[0].name == "BHC"
    mode = (project / what).stat().st_mode
    spoil(project / what)
    try:
        with pytest.raises(UntrustedFile) as refused:
            load()
    finally:
        (project / what).chmod(mode)
    assert refused.value.exit_code == 2
    assert "korthweb.yaml" in refused.value.message
    assert files.TRUST in refused.value.hint


@root_only
@pytest.mark.parametrize("which", ["link", "target"])
def test_S10_links_are_looked_at_with_what_they_lead_to(project: Path, tmp_path: Path, which: str) -> None:
    """S10: of a link, both its owner and that of the file behind it count."""
    there = tmp_path / "elsewhere.yaml"
    there.write_text(YAML)
    there.chmod(0o644)
    (project / "korthweb.yaml").unlink()
    (project / "korthweb.yaml").symlink_to(there)
    assert load().settings.tenants[0].name == "BHC"
    as_strangers(there if which == "target" else project / "korthweb.yaml")
    with pytest.raises(UntrustedFile):
        load()


@pytest.mark.parametrize("spoil", SPOILED)
def test_S10_passwords_of_a_stranger_are_refused(project: Path, spoil: Callable[[Path], None]) -> None:
    """S10: .env sets whatever the environment does, so the same rule holds for it."""
    env = project / ".env"
    env.write_text("KORTHWEB__CONTEXT=hospital\n")
    env.chmod(0o600)
    assert load().settings.context == "hospital"
    spoil(env)
    with pytest.raises(UntrustedFile):
        load()


@pytest.mark.parametrize("spoil", SPOILED)
def test_S10_a_kubeconfig_that_the_settings_name_is_looked_at(project: Path, spoil: Callable[[Path], None]) -> None:
    """S10: an exec plugin in it runs as the caller."""
    config_file = project / "kube.conf"
    config_file.write_text(
        "{contexts: [{name: c, context: {cluster: c}}], clusters: [{name: c, cluster: {server: s}}]}"
    )
    config_file.chmod(0o600)
    (project / "korthweb.yaml").write_text(f"{YAML}clusters: {{h: {{context: c, kubeconfig: kube.conf}}}}\n")
    assert resolve(load()).server == "s"
    spoil(config_file)
    with pytest.raises(UntrustedFile):
        resolve(load())


@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("what", [".korthweb/context", ".korthweb"])
def test_S10_the_choice_of_a_cluster_is_not_taken_from_a_stranger(
    project: Path, spoil: Callable[[Path], None], what: str
) -> None:
    """S10: .korthweb/context and guards.json decide which cluster is changed."""
    choice.choose_context("hospital")
    assert choice.chosen_context() == "hospital"
    spoil(project / what)
    with pytest.raises(UntrustedFile):
        choice.chosen_context()


@root_only
def test_S10_a_folder_can_be_trusted_by_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S10: root in a container works in a checkout of somebody else's, if the person says so."""
    as_strangers(project / "korthweb.yaml")
    for value, fits in ((str(project), True), ("*", True), (str(project / "deep"), False), (f"/x:{project}", True)):
        monkeypatch.setenv(files.TRUST, value)
        if fits:
            assert load().settings.tenants
        else:
            with pytest.raises(UntrustedFile):
                load()


@root_only
def test_S10_with_sudo_the_one_who_called_it_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S10: as git does; another user than SUDO_UID stays a stranger, and without sudo nobody is added."""
    as_strangers(project / "korthweb.yaml")
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    assert load().settings.tenants
    for other in (str(STRANGER + 1), "", "x", f"{STRANGER}\n"):
        monkeypatch.setenv("SUDO_UID", other)
        with pytest.raises(UntrustedFile):
            load()


def test_S10_a_sticky_folder_above_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S10: in /tmp everybody may write, and nobody may rename what is another's."""
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    inside = tmp_path / "sticky" / "mine"
    inside.mkdir(mode=0o755)
    (inside / "korthweb.yaml").write_text(YAML)
    (inside / "korthweb.yaml").chmod(0o644)
    monkeypatch.chdir(inside)
    assert load().settings.tenants[0].name == "BHC"


def journal(folder: Path) -> None:
    Journal.begin(folder / ".korthweb" / "runs", "a run").write("report.json", "{}")


def report(folder: Path) -> None:
    write_report(Report(title="a run", context="a context", started="now"), folder / "out" / "report")


def chosen(folder: Path) -> None:
    choice.choose_context("hospital", folder)


def render(folder: Path) -> None:
    files.output(folder / "out").write("tenants/bhc/kustomization.yaml", "kind: Kustomization\n")


@pytest.mark.parametrize(
    ("write", "link"),
    [
        (journal, ".korthweb"),
        (journal, ".korthweb/runs"),
        (chosen, ".korthweb"),
        (report, "out"),
        (report, "out/report"),
        (render, "out"),
        (render, "out/tenants"),
        (render, "out/tenants/bhc"),
    ],
)
def test_S21_folders_that_are_links_are_refused(
    project: Path, tmp_path: Path, write: Callable[[Path], None], link: str
) -> None:
    """S21: a link that a repository brought along must not lead korthweb into another folder."""
    away = tmp_path / "away"
    away.mkdir()
    (project / link).parent.mkdir(parents=True, exist_ok=True)
    (project / link).symlink_to(away)
    with pytest.raises(UntrustedFile) as refused:
        write(project)
    assert "link" in refused.value.message
    assert not list(away.iterdir())


@pytest.mark.parametrize(
    ("write", "link"),
    [(chosen, ".korthweb/context"), (report, "out/report/report.html"), (render, "out/tenants/bhc/kustomization.yaml")],
)
def test_S21_a_file_that_is_a_link_is_replaced(
    project: Path, tmp_path: Path, write: Callable[[Path], None], link: str
) -> None:
    """S21: what the link leads to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (project / link).parent.mkdir(parents=True, exist_ok=True)
    (project / link).symlink_to(victim)
    write(project)
    assert victim.read_text() == "precious"
    assert not (project / link).is_symlink()


@root_only
@pytest.mark.parametrize(
    ("write", "place"), [(journal, ".korthweb"), (journal, ".korthweb/runs"), (chosen, ".korthweb"), (report, "out")]
)
def test_S21_folders_of_strangers_are_refused(project: Path, write: Callable[[Path], None], place: str) -> None:
    """S21: a stranger who made the folder could exchange what is in it."""
    (project / place).mkdir(parents=True)
    as_strangers(project / place)
    with pytest.raises(UntrustedFile):
        write(project)


def test_S21_only_runs_of_our_own_are_pruned(project: Path, tmp_path: Path) -> None:
    """S21: fifty runs are kept; folders with other names, files and links are not korthweb's to remove."""
    runs = project / ".korthweb" / "runs"
    journal(project)
    away = tmp_path / "20200101-000000-000000"
    away.mkdir()
    (away / "precious").write_text("x")
    (runs / "20200101-000000-000001").symlink_to(away)
    strange = [
        "20200101",
        "a-note",
        "20200101-000000-00000a",
        "20200101-000000-000002 (copy)",
        "٢0200101-000000-000000",
    ]
    for name in strange:
        (runs / name).mkdir()
    ours = [f"20200102-000000-{number:06}" for number in range(KEPT + 3)]
    for name in ours:
        (runs / name).mkdir()
    journal(project)
    left = {path.name for path in runs.iterdir()}
    assert {*strange, "20200101-000000-000001"} <= left
    assert (away / "precious").exists()
    assert len([name for name in left if name in ours]) == KEPT - 2


@root_only
def test_S21_a_strangers_folder_with_the_name_of_a_run_is_not_pruned(project: Path) -> None:
    """S21: it is the oldest, and has the pattern's name; only its owner tells it from ours. Nor is a file."""
    runs = project / ".korthweb" / "runs"
    journal(project)
    strange, note = runs / "20200101-000000-000001", runs / "20200101-000000-000002"
    strange.mkdir()
    (strange / "theirs").write_text("x")
    as_strangers(strange)
    note.write_text("x")
    ours = [f"20200102-000000-{number:06}" for number in range(KEPT)]
    for name in ours:
        (runs / name).mkdir()
    journal(project)
    assert (strange / "theirs").exists()
    assert note.exists()
    kept = [path.name for path in runs.iterdir() if path.name in ours]
    assert len(kept) == KEPT - 2, "what is not ours takes no place of a run's"


def test_S21_a_labs_folder_is_the_callers_whatever_it_was(project: Path) -> None:
    """S21: keys are in it; made before by hand, or under a umask of 0, it is closed."""
    folder = paths.lab_dir("open")
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    store.create("open", 3)
    assert folder.stat().st_mode & 0o777 == 0o700
    before = os.umask(0)
    try:
        store.create("wide", 4)
    finally:
        os.umask(before)
    assert paths.lab_dir("wide").stat().st_mode & 0o777 == 0o700


def test_S21_a_traceback_is_not_written_through_a_link(project: Path, tmp_path: Path) -> None:
    """S21: the folder of faults is a sibling; the error is told all the same."""
    (tmp_path / "away").mkdir()
    (project / ".korthweb").symlink_to(tmp_path / "away")
    assert "fault of korthweb" in str(exit_for(ValueError("unforeseen")).message)
    assert not list((tmp_path / "away").iterdir())


def test_S21_settings_are_saved_whole_and_beside_no_link(project: Path, tmp_path: Path) -> None:
    """S21: the name of the temporary file can't be foreseen, so no link can lie there."""
    (tmp_path / "victim").write_text("precious")
    (project / ".korthweb.yaml.part").symlink_to(tmp_path / "victim")
    save(project / "korthweb.yaml", "tenants: []\n")
    assert (project / "korthweb.yaml").read_text() == "tenants: []\n"
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("write", [journal, chosen])
def test_S22_git_add_takes_nothing_of_ours(project: Path, write: Callable[[Path], None]) -> None:
    """S22: with a real git, `git add -A` in a fresh project takes korthweb.yaml and nothing from .korthweb."""
    subprocess.run(["git", "init", "-q"], check=True)
    write(project)
    subprocess.run(["git", "add", "-A"], check=True)
    staged = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    assert staged == ["korthweb.yaml"]


@pytest.mark.parametrize("before", [None, "*.pyc", "*.pyc\n", "/.env\n", ".env\n.korthweb/\n"])
def test_S22_config_init_keeps_passwords_out_of_git(before: str | None) -> None:
    """S22: .env is ignored from the beginning; what .gitignore said before stays."""
    subprocess.run(["git", "init", "-q"], check=True)
    if before is not None:
        Path(".gitignore").write_text(before)
    config.init(Context(), dry_run=False, output="text")
    Path(".env").write_text("KORTHWEB_SECRET_BHC_ADMIN_PASSWORD=not-for-git\n")
    subprocess.run(["git", "add", "-A"], check=True)
    staged = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    assert ".env" not in staged
    assert "korthweb.yaml" in staged
    text = Path(".gitignore").read_text()
    assert text.startswith((before or "").rstrip("\n"))
    assert text.count(".env") == 1


def test_S22_the_age_key_is_not_kept_in_the_project() -> None:
    """S22: the key that opens every password in Git lies in the user's own state folder."""
    from korthweb_tasks.services.gitops.sops import key_file

    one, other = (
        key_file("https://git.example.org/a.git", "hospital"),
        key_file("https://git.example.org/b.git", "hospital"),
    )
    assert one.is_relative_to(paths.state_dir())
    assert one != other
    assert not one.is_relative_to(paths.project_dir())


def test_S10_it_ends_with_a_hint_and_a_code(project: Path) -> None:
    """S10: found while walking up, it is refused loudly, not skipped."""
    as_writable(project / "korthweb.yaml")
    with pytest.raises(KorthwebError) as ended:
        config.check(Context(), output="text", context=None)
    assert ended.value.exit_code == 2
    assert "Next: `chmod go-w" in str(ended.value)


@root_only
def test_S10_a_folder_of_somebody_else_without_settings_is_no_matter(project: Path) -> None:
    """S10: root in a checkout that another user owns, where there is nothing to read: the defaults hold."""
    (project / "korthweb.yaml").unlink()
    as_strangers(project)
    assert load().settings.tenants
    journal(project)


def manifests(folder: Path) -> None:
    manual.render(Context(), out=str(folder / "out"))


def fleet(folder: Path) -> None:
    with (folder / "korthweb.yaml").open("a") as file:
        file.write("gitops: {url: ssh://git@git.example.org/fleet.git}\nclusters: {hospital: {context: x}}\n")
    gitops.render(Context(), out=str(folder / "out"))


def fault(folder: Path) -> None:
    assert folder == paths.project_dir()
    exit_for(ValueError("a fault"))


def identity(folder: Path) -> None:
    ref = ChosenCluster("x", name="hospital", settings=ClusterSettings(context="x"), server="https://x:6443")
    assert folder == paths.project_dir()
    guard.record(ref, guard.Identity("https://x:6443", "1"))


def lab(folder: Path) -> None:
    assert folder.is_dir()
    with store.locked("one"):
        made = store.create("one", 0, simulated=True)
    pki.create(made.layout.root / "pki", ["x"], ["127.0.0.1"])


def key(folder: Path) -> None:
    assert folder.is_dir()
    file = gitops_sops.key_file("https://git.example.org/a.git", "hospital")
    files.own_folder(file.parent).write(file.name, "AGE-SECRET-KEY-1")


WRITERS = [journal, report, chosen, render, manifests, fleet, fault, identity, lab, key]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_S22_what_is_written_is_for_the_caller_alone(
    project: Path, tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S22: credentials scripts, rendered manifests, reports, journals, keys, kubeconfigs: 0600 and 0700, any umask.

    A folder that a person made beforehand keeps its mode; what is put into it is for the caller alone all the same.
    """
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    (project / "out").mkdir()
    everything: Callable[[], set[Path]] = lambda: {*project.rglob("*"), *tmp_path.rglob("*")}  # noqa: E731
    before, old = everything(), os.umask(0)
    try:
        write(project)
    finally:
        os.umask(old)
    made = everything() - before
    assert made
    open_ = [str(path) for path in made if not path.is_symlink() and path.stat().st_mode & 0o077]
    # what lies in a folder that only the caller may enter is closed by it
    closed = {path for path in made if path.is_dir() and not path.stat().st_mode & 0o077}
    assert [name for name in open_ if not any(folder in Path(name).parents for folder in closed)] == []
    assert all(os.access(path, os.X_OK) for path in made if path.suffix == ".sh")


@pytest.mark.parametrize("write", [lab, key], ids=lambda write: write.__name__)
def test_S22_git_in_the_home_folder_takes_no_state(
    project: Path, tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S22: people keep their home in Git; the state folder has admin kubeconfigs and age keys."""
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))
    write(project)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "-A", "state"], check=False, capture_output=True)
    staged = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    assert staged == []
