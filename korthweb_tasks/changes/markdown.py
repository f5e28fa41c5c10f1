"""A comparison as Markdown that a forge shows: the headline first, then each object, as much as there is room for."""

from __future__ import annotations

import re

from korthweb_tasks.changes.model import Change, Comparison

#: characters that a comment of GitHub may have; those of GitLab and Gitea may have more
ROOM = 65_536
_LEFT = 200


def render(comparison: Comparison, room: int | None = None) -> str:
    """Return the comparison; with ``room`` in at most so many characters, and what was left out is counted."""
    parts = [_head(comparison)]
    left, size = 0, len(parts[0])
    for consequence, changes in comparison.grouped.items():
        heading = f"\n### {consequence.value}\n"
        for change in changes:
            text = heading + _of(change)
            if room is not None and size + len(text) > room - _LEFT:
                text = heading + _of(change, diff=False)
            if room is not None and size + len(text) > room - _LEFT:
                left += 1
                continue
            parts.append(text)
            size, heading = size + len(text), ""
    if left:
        parts.append(f"\n{left} more are left out here: `ci.diff --out FOLDER` writes all of them.\n")
    text = "".join(parts)
    return text if room is None else text[:room]


def _head(comparison: Comparison) -> str:
    lines = ["## What this changes", "", comparison.headline, ""]
    lines += [f"> {note}" for note in comparison.notes] + [""] * bool(comparison.notes)
    lines.append(f"Compared with `{comparison.base}`: {', '.join(comparison.approaches)}.")
    if comparison.settings:
        lines += ["", "| setting | before | after |", "|---|---|---|"]
        lines += [f"| {_cell(key)} | {_cell(old)} | {_cell(new)} |" for key, old, new in comparison.settings[:50]]
        if (more := len(comparison.settings) - 50) > 0:
            lines.append(f"| {more} more | | |")
    return "\n".join(lines) + "\n"


def _of(change: Change, *, diff: bool = True) -> str:
    # a reason tells of the objects, which are as their author wants them: no markup of theirs is ours
    reasons = "".join(f"- {one.consequence.value}: {_code(one.text)}\n" for one in change.reasons)
    head = f"\n**{change.verb}** {_code(change.place)} ({change.approach})\n\n{reasons}"
    if not diff:
        return f"{head}- its difference is too long to be shown here\n"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", change.text)), default=0))
    return f"{head}\n<details><summary>difference</summary>\n\n{fence}diff\n{change.text}\n{fence}\n\n</details>\n"


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39)).replace(chr(10), ' ')}`"


def _cell(text: str) -> str:
    short = text if len(text) <= 120 else f"{text[:119]}…"
    return _code(short).replace("|", "\\|")
