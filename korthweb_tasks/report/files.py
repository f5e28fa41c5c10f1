"""A report in a folder, in every form."""

from __future__ import annotations

import errno
from pathlib import Path

from korthweb_tasks.errors import NoSpace, UsageError
from korthweb_tasks.report import html, json, junit
from korthweb_tasks.report.model import Report


def write(report: Report, folder: Path) -> dict[str, Path]:
    """Write ``report.html``, ``report.json`` and ``junit.xml`` into ``folder``. Raises UsageError and NoSpace."""
    made = {"report.html": html.render(report), "report.json": json.render(report), "junit.xml": junit.render(report)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no space left for the report in {folder}", hint=f"df -h {folder}") from error
        raise UsageError(f"can not write the report to {folder}: {error.strerror}", hint="--report DIR") from error
    return {name: folder / name for name in made}
