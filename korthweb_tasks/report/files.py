"""A report in a folder, in every form."""

from __future__ import annotations

from pathlib import Path

from korthweb_tasks.files import output
from korthweb_tasks.report import html, json, junit
from korthweb_tasks.report.model import Report


def write(report: Report, folder: Path) -> dict[str, Path]:
    """Write ``report.html``, ``report.json`` and ``junit.xml`` into ``folder``."""
    made = {"report.html": html.render(report), "report.json": json.render(report), "junit.xml": junit.render(report)}
    tree = output(folder)
    for name, text in made.items():
        tree.write(name, text)
    return {name: folder / name for name in made}
