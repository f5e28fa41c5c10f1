"""The private checkout of the fleet repository, with a real git and bare repositories beside it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from korthweb_tasks.errors import LockHeld
from korthweb_tasks.run import checkout as module
from korthweb_tasks.run.checkout import Checkout
from korthweb_tasks.run.runner import Runner
from korthweb_tasks.tools.git import Author, Remote
from korthweb_tasks.tools.git_faults import BranchMissing, GitFailed, PushRefused

WHO = Author("korthweb", "korthweb@localhost")
FIRST = {"README.md": "hello\n", "clusters/a/one.yaml": "kind: ConfigMap\n"}


def git(*args: str, cwd: Path | None = None) -> str:
    return subprocess.run(
        ("git", "-c", "user.name=x", "-c", "user.email=x@x", *args), cwd=cwd, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    git("init", "--bare", "--quiet", "--initial-branch=main", str(tmp_path / "fleet.git"))
    return tmp_path / "fleet.git"


def checkout(bare: Path, tmp_path: Path, onto: str = "", branch: str = "main") -> Checkout:
    return Checkout(Runner(), Remote(f"file://{bare}", branch), tmp_path / "work" / "fleet", onto)


def render(files: Mapping[str, str], stale: Iterable[str] = ()) -> module.Render:
    return lambda existing: (files, [path for path in existing if path in set(stale)])


def pushed(made: Checkout, files: Mapping[str, str], message: str = "korthweb: a change") -> str:
    with made.held():
        made.refresh()
        made.put(render(files))
        return made.publish(render(files), message, WHO)


def others_push(bare: Path, tmp_path: Path, name: str, text: str) -> None:
    folder = tmp_path / "other"
    if not folder.exists():
        git("clone", "--quiet", f"file://{bare}", str(folder))
    git("pull", "--quiet", "origin", "main", cwd=folder)
    (folder / name).write_text(text)
    git("add", ".", cwd=folder)
    git("commit", "--quiet", "-m", "by hand", cwd=folder)
    git("push", "--quiet", "origin", "HEAD:main", cwd=folder)


def test_an_empty_repository_gets_its_first_commit_and_a_second_run_changes_nothing(bare: Path, tmp_path: Path) -> None:
    made = checkout(bare, tmp_path)
    assert made.refresh() == ""
    changes = made.put(render(FIRST))
    assert changes.files == dict.fromkeys(FIRST, "A")
    assert "2 files changed" in changes.stat
    assert "+kind: ConfigMap" in changes.diff
    commit = made.publish(render(FIRST), "korthweb: BHC on a\n\nfirst: é\n", WHO)
    assert git("rev-parse", "main", cwd=bare) == commit
    assert git("log", "-1", "--format=%an <%ae>|%cn|%s|%b", cwd=bare) == (
        "korthweb <korthweb@localhost>|korthweb|korthweb: BHC on a|first: é"
    )
    again = checkout(bare, tmp_path)
    assert again.refresh() == commit
    assert not again.put(render(FIRST))


def test_what_is_stale_goes_and_what_others_wrote_stays(bare: Path, tmp_path: Path) -> None:
    made = checkout(bare, tmp_path)
    pushed(made, FIRST)
    others_push(bare, tmp_path, "NOTES.md", "theirs\n")
    made.refresh()
    changes = made.put(render({"README.md": "new\n"}, ["clusters/a/one.yaml"]))
    assert changes.files == {"README.md": "M", "clusters/a/one.yaml": "D"}
    made.publish(render({"README.md": "new\n"}), "korthweb: less", WHO)
    assert git("ls-tree", "-r", "--name-only", "main", cwd=bare).split() == ["NOTES.md", "README.md"]


def test_a_push_that_others_outran_is_made_again_on_top(bare: Path, tmp_path: Path) -> None:
    made = checkout(bare, tmp_path)
    pushed(made, FIRST)
    made.refresh()
    new = {**FIRST, "README.md": "mine\n"}
    made.put(render(new))
    others_push(bare, tmp_path, "NOTES.md", "theirs\n")
    made.publish(render(new), "korthweb: mine", WHO)
    assert git("log", "--format=%s", "main", cwd=bare).splitlines() == [
        "korthweb: mine",
        "by hand",
        "korthweb: a change",
    ]
    assert git("show", "main:README.md", cwd=bare) == "mine"


def test_the_very_same_pushed_by_somebody_else_is_no_fault(bare: Path, tmp_path: Path) -> None:
    made = checkout(bare, tmp_path)
    pushed(made, FIRST)
    made.refresh()
    made.put(render({"README.md": "same\n"}))
    others_push(bare, tmp_path, "README.md", "same\n")
    made.publish(render({"README.md": "same\n"}), "korthweb: same", WHO)
    assert git("log", "-1", "--format=%s", "main", cwd=bare) == "by hand"


def test_a_hook_that_refuses_is_told_with_the_way_around(bare: Path, tmp_path: Path) -> None:
    made = checkout(bare, tmp_path)
    pushed(made, FIRST)
    hook = bare / "hooks" / "pre-receive"
    hook.write_text(
        '#!/bin/sh\nread old new ref\n[ "$ref" != refs/heads/main ] || { echo "main is protected"; exit 1; }\n'
    )
    hook.chmod(0o755)
    made.refresh()
    new = {"README.md": "new\n"}
    made.put(render(new))
    with pytest.raises(PushRefused) as raised:
        made.publish(render(new), "korthweb: new", WHO)
    assert "--pull-request-branch" in raised.value.hint
    assert "main is protected" in raised.value.details
    # the other branch takes it, again and again, and the next change goes on top of it
    beside = checkout(bare, tmp_path, onto="update")
    pushed(beside, new)
    pushed(checkout(bare, tmp_path, onto="update"), {"README.md": "newer\n"})
    assert git("log", "--format=%s", "update", cwd=bare).splitlines() == ["korthweb: a change"] * 3
    assert git("show", "main:README.md", cwd=bare) == "hello"


@pytest.mark.parametrize("wound", ["no git", "half objects", "index.lock", "dirty", "a file"])
def test_what_a_killed_run_left_is_healed(bare: Path, tmp_path: Path, wound: str) -> None:
    made = checkout(bare, tmp_path)
    commit = pushed(made, FIRST)
    inside = made.folder / ".git"
    if wound == "no git":
        (inside / "HEAD").unlink()
    elif wound == "half objects":
        for path in (inside / "objects").rglob("*"):
            if path.is_file():
                path.chmod(0o600)
                path.write_bytes(b"")
    elif wound == "index.lock":
        (inside / "index.lock").write_text("")
    elif wound == "dirty":
        (made.folder / "README.md").write_text("half")
        (made.folder / "left.tmp").write_text("over")
        git("add", ".", cwd=made.folder)
    else:
        (inside / "index").write_bytes(b"garbage")
    again = checkout(bare, tmp_path)
    assert again.refresh() == commit
    assert not again.put(render(FIRST))
    assert sorted(again.paths()) == sorted(FIRST)


def test_a_commit_never_pushed_to_an_empty_repository_is_forgotten(bare: Path, tmp_path: Path) -> None:
    made = checkout(bare, tmp_path)
    made.refresh()
    made.put(render({"old.yaml": "x\n"}))
    made.runner.run(made.git.commit("never pushed", WHO))
    again = checkout(bare, tmp_path)
    assert again.refresh() == ""
    assert again.put(render(FIRST)).files == dict.fromkeys(FIRST, "A")


def test_a_branch_that_is_not_there_is_not_made_silently(bare: Path, tmp_path: Path) -> None:
    pushed(checkout(bare, tmp_path), FIRST)
    with pytest.raises(BranchMissing, match="has no branch production; it has main"):
        checkout(bare, tmp_path, branch="production").refresh()


def test_no_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="there is no repository") as raised:
        checkout(tmp_path / "nothing.git", tmp_path).refresh()
    assert "gitops.url" in raised.value.hint


def test_a_persons_own_configuration_changes_nothing(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "commit-msg", "pre-push"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "ignore").write_text("*.yaml\n")
    Path(os.environ["HOME"], ".gitconfig").write_text(
        f"[user]\nname = Me\nemail = me@home\n[commit]\ngpgSign = true\n[core]\nhooksPath = {hooks}\n"
        f"excludesFile = {tmp_path}/ignore\nautocrlf = true\n[diff]\nnoprefix = true\nexternal = false\n"
        "[color]\nui = always\n"
    )
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere.index"))
    made = checkout(bare, tmp_path)
    made.refresh()
    changes = made.put(render(FIRST))
    assert changes.files == dict.fromkeys(FIRST, "A")
    assert "diff --git a/README.md b/README.md" in changes.diff
    assert "\x1b" not in changes.diff + changes.stat
    made.publish(render(FIRST), "korthweb: x", WHO)
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git("log", "-1", "--format=%an|%cn", cwd=bare) == "korthweb|korthweb"
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_in_the_repository_leads_nowhere(bare: Path, tmp_path: Path) -> None:
    made = checkout(bare, tmp_path)
    pushed(made, FIRST)
    folder = tmp_path / "evil"
    git("clone", "--quiet", f"file://{bare}", str(folder))
    (tmp_path / "victim").write_text("untouched")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to(tmp_path / "victim")
    git("commit", "--quiet", "-am", "a link", cwd=folder)
    git("push", "--quiet", "origin", "HEAD:main", cwd=folder)
    made.refresh()
    made.put(render({"README.md": "written\n"}))
    assert (tmp_path / "victim").read_text() == "untouched"


def test_two_at_once_take_turns(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 1.0)
    order = []
    with checkout(bare, tmp_path).held():
        with pytest.raises(LockHeld), checkout(bare, tmp_path).held():
            order.append("never")
        monkeypatch.setattr(module, "LOCK_SECONDS", 20.0)
        thread = threading.Thread(target=lambda: pushed(checkout(bare, tmp_path), FIRST))
        thread.start()
    thread.join(30)
    assert order == []
    assert git("show", "main:README.md", cwd=bare) == "hello"


def test_may_push(bare: Path, tmp_path: Path) -> None:
    pushed(checkout(bare, tmp_path), FIRST)
    made = checkout(bare, tmp_path)
    commit = made.refresh()
    made.may_push()
    assert git("rev-parse", "main", cwd=bare) == commit
