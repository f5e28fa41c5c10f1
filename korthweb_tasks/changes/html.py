"""A comparison as one page that needs nothing else: no script, no font and no picture from elsewhere."""

from __future__ import annotations

from pathlib import Path

import jinja2

from korthweb_tasks.changes.model import Comparison

TEMPLATE = Path(__file__).with_name("page.html.j2")


def render(comparison: Comparison) -> str:
    """Return the page. Everything that comes from outside is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(comparison=comparison)
