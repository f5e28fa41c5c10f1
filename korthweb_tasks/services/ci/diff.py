"""What a pull request changes: the settings of its base and of its head rendered, compared, and judged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from korthweb_tasks import paths
from korthweb_tasks.changes import html, markdown
from korthweb_tasks.changes.compare import compared
from korthweb_tasks.changes.model import Change, Comparison
from korthweb_tasks.core import hints
from korthweb_tasks.core.command import masked
from korthweb_tasks.core.words import known_output, unknown
from korthweb_tasks.errors import Differs, SettingsError, UsageError
from korthweb_tasks.files import output
from korthweb_tasks.run.answer import as_json
from korthweb_tasks.services.ci.render import objects
from korthweb_tasks.services.shared import sound_settings
from korthweb_tasks.settings.approaches import APPROACHES
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.secrets import read_env
from korthweb_tasks.settings.show import rows
from korthweb_tasks.tools import git_history

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.load import Loaded

#: variables in which forges name the base of a pull request, the most exact first; Gitea has GitHub's
BASES = ("CI_MERGE_REQUEST_DIFF_BASE_SHA", "GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
OUTPUTS = ("markdown", "html", "json")


def diff(session: Session, base: str, approach: str, form: str, out: str) -> None:
    """Print what changes between ``base`` and the working tree; raises Differs where something does."""
    known_output(form, OUTPUTS)
    found = comparison(session, base, approach)
    if out:
        tree = output(Path(out))
        for name, text in files(found).items():
            tree.write(name, text)
    text = html.render(found) if form == "html" else markdown.render(found, markdown.ROOM)
    session.emit(found.as_data(), text.rstrip("\n"))
    if found.changes:
        hint = "read what it changes above; `|| [ $? = 9 ]` lets a pipeline go on"
        raise Differs(found.headline.rstrip("."), hint=hint)


def files(found: Comparison) -> dict[str, str]:
    """Return a comparison in every format, whole, by the name of its file."""
    return {
        "changes.md": markdown.render(found),
        "changes.html": html.render(found),
        "changes.json": as_json(found.as_data()) + "\n",
    }


def comparison(session: Session, base: str, approach: str) -> Comparison:
    """Return what the working tree changes against where it parted from ``base``, Secrets masked.

    Raises UsageError for a base that is not in the repository, SettingsError where the head's settings are wrong.
    """
    chosen = _approaches(session, approach)
    for one in chosen:
        sound_settings(session.loaded, one)
    commit, notes = fork(session, base)
    with tempfile.TemporaryDirectory() as folder:
        before, note = _loaded(session, commit, Path(folder))
        notes = (*notes, *note)
        found = tuple(change for one in chosen for change in _changes(session, before, one))
    settings = _settings(before, session.loaded) if before else ()
    return Comparison(commit[:12], chosen, found, tuple(settings), notes)


def fork(session: Session, base: str) -> tuple[str, tuple[str, ...]]:
    """Return the commit at which the working tree parted from ``base``, and what a reader must know of it."""
    name = base or next((os.environ[one] for one in BASES if os.environ.get(one)), "")
    if not name:
        raise UsageError("it is not known what to compare with", hint=hints.task("ci.diff", base="main"))
    commit = _commit(session, name)
    result = session.runner.run(git_history.fork_of(commit, "HEAD"))
    if result.code == 0:
        return result.stdout.strip(), ()
    return commit, (f"the history here does not reach the fork: compared with {name} itself, newer changes of it too",)


def _commit(session: Session, name: str) -> str:
    for word in (name, f"origin/{name}"):
        result = session.runner.run(git_history.commit_of(word))
        if result.code == 0:
            return result.stdout.strip()
    hint = hints.shell("git", "fetch", "origin", name)
    raise UsageError(f"there is no commit {name} in this repository (a shallow clone has few)", hint=hint)


def _approaches(session: Session, word: str) -> tuple[str, ...]:
    if word == "all":
        return tuple(APPROACHES)
    name = word or session.settings.approach
    if name not in APPROACHES:
        raise unknown("approach", name, [*APPROACHES, "all"], "--approach takes")
    return (name,)


def _loaded(session: Session, commit: str, folder: Path) -> tuple[Loaded | None, tuple[str, ...]]:
    """Return the settings of a commit: None where there are none yet, or none that can be read."""
    result = session.runner.run(git_history.text_at(commit, os.path.relpath(paths.settings_file())))
    if result.code != 0:
        return None, ("the base has no settings: everything is new",)
    (folder / paths.SETTINGS).write_text(result.stdout, encoding="utf-8")
    variables, _, _ = read_env(paths.project_dir() / ".env")
    try:
        found = load(project=folder, context=session.context_flag, environ=variables | dict(os.environ))
    except SettingsError as error:
        return None, (f"the settings of the base are wrong, so everything is new: {error.message}",)
    return found, ()


def _changes(session: Session, before: Loaded | None, approach: str) -> Iterator[Change]:
    old = objects(session, before, approach) if before else []
    for change in compared(approach, old, objects(session, session.loaded, approach)):
        masks = (*session.secrets.masks, *(before.secrets.masks if before else ()))
        reasons = tuple(replace(reason, text=masked(reason.text, masks)) for reason in change.reasons)
        yield replace(change, text=masked(change.text, masks), reasons=reasons)


def _settings(before: Loaded, after: Loaded) -> Iterator[tuple[str, str, str]]:
    one, two = _values(before), _values(after)
    for key in {**one, **two}:
        if one.get(key) != two.get(key):
            yield key, one.get(key, ""), two.get(key, "")


def _values(loaded: Loaded) -> Mapping[str, str]:
    return {row.key: str(row.value) for row in rows(loaded)}
