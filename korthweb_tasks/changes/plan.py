"""A deployment that was reviewed, as data with a hash; and what moved since. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from korthweb_tasks.core.render import digest
from korthweb_tasks.errors import UsageError

SCHEMA = "korthweb.plan/1"
#: what of a plan is compared entry by entry, and how an entry is called
PARTS = {"cluster": "cluster", "versions": "version", "settings": "setting", "objects": "object"}
#: verdict of a step that the cluster had already
UNCHANGED = "unchanged"
#: characters of a digest: all of a SHA-256
LENGTH = 64


def sealed(approach: str, parts: Mapping[str, Mapping[str, str]], steps: Mapping[str, str]) -> dict[str, Any]:
    """Return a plan: what is compared, what the probes saw of each step, and the hash of it all.

    >>> sealed("manual", {"cluster": {"uid": "u"}}, {})["schema"]
    'korthweb.plan/1'
    """
    plan: dict[str, Any] = {"schema": SCHEMA, "approach": approach, **parts, "steps": dict(steps)}
    return {**plan, "hash": digest(plan, LENGTH)}


def opened(text: str, name: str) -> dict[str, Any]:
    """Return the plan in a file's text; raises UsageError where it is none, or another one than its hash says."""
    try:
        plan = json.loads(text)
    except ValueError:
        plan = None
    if not isinstance(plan, dict) or plan.get("schema") != SCHEMA:
        raise UsageError(f"{name} is not a plan of ci.plan ({SCHEMA})", hint="ci.plan writes one")
    if digest({key: part for key, part in plan.items() if key != "hash"}, LENGTH) != plan.get("hash"):
        raise UsageError(f"{name} was edited: its hash is that of another plan", hint="ci.plan writes a new one")
    return plan


def moved(reviewed: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what is not as it was reviewed, one line each.

    A step that was to be done and is done already is fine: an apply that was cut off goes on. The other way round is
    not: somebody changed in the cluster what nobody meant to touch.
    """
    found = [] if reviewed.get("approach") == now["approach"] else [f"approach: {now['approach']}"]
    for part, word in PARTS.items():
        found += _moved(word, reviewed.get(part) or {}, now.get(part) or {})
    before, after = reviewed.get("steps") or {}, now.get("steps") or {}
    for step in {**before, **after}:
        if step not in before or step not in after:
            found.append(f"step {step} is {'new' if step in after else 'gone'}")
        elif before[step] == UNCHANGED != after[step]:
            found.append(f"step {step}: the cluster had it when it was reviewed, and has not now")
    return found


def _moved(word: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for key in {**before, **after}:
        if before.get(key) != after.get(key):
            state = "new" if key not in before else "gone" if key not in after else "another"
            yield f"{word} {key} is {state}"
