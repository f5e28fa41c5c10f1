"""Changes the tenants in the text of korthweb.yaml, and leaves every other line, comments too, as a person wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.core import hints
from korthweb_tasks.core.words import unknown
from korthweb_tasks.errors import SettingsError, UsageError
from korthweb_tasks.files import Tree, check_trusted
from korthweb_tasks.settings.model import DEFAULT_TENANTS
from korthweb_tasks.settings.snapshot import forget
from korthweb_tasks.settings.source import read_yaml

FILE = "korthweb.yaml"
#: a comment that stands for a key of the entry above it, as korthweb.example.yaml has them, or that is indented
_OWN_COMMENT = re.compile(r"^(#\s{2,}\S|\s+#)")


def with_tenant(text: str, entry: Mapping[str, Any], cluster: str = "") -> str:
    """Return ``text`` with one more tenant, and its name in the list of ``cluster`` where that cluster has one.

    Where there are no tenants yet, the two that hold by default are written out first, so that they stay.
    Raises UsageError for a name that is there, SettingsError for a text that can't be changed safely.
    """
    known = tenant_names(text)
    if any(name.lower() == entry["name"].lower() for name in known):
        raise UsageError(f"there is a tenant {entry['name']} already", hint=f"{FILE} says what it is like")
    before = _data(text)
    entries: list[Mapping[str, Any]] = [entry] if before.get("tenants") else [*DEFAULT_TENANTS, entry]
    made = text
    for one in entries:
        made = _appended(made, ("tenants",), dict(one))
    if cluster_names(text, cluster) is not None:
        made = _appended(made, ("clusters", cluster, "tenants"), entry["name"])
    return _checked(made, _with(before, entries, cluster, entry["name"]))


def without_tenant(text: str, name: str, cluster: str = "") -> str:
    """Return ``text`` without a tenant on ``cluster``; its settings stay where another cluster runs it.

    Raises UsageError where it is not there, or is the last one; SettingsError for a text that can't be changed safely.
    """
    data = _data(text)
    clusters = data.get("clusters") or {}
    names = tenant_names(text)
    there = next((one for one in names if one.lower() == name.lower()), None)
    if there is None:
        raise unknown(f"tenant in {FILE} called", name, names)
    elsewhere = [key for key in clusters if key != cluster and there in (cluster_names(text, key) or names)]
    listed = cluster_names(text, cluster)
    if [one for one in (names if listed is None else listed) if one != there] == []:
        raise UsageError(f"{there} is the last tenant", hint=f"`{hints.task('gitops.destroy')}` removes everything")
    made = text if data.get("tenants") else _defaults_written(text)
    if listed is not None and there in listed:
        made = _removed(made, ("clusters", cluster, "tenants"), lambda one: one == there)
    elif listed is None and elsewhere and cluster in clusters:
        for one in names:
            if one != there:
                made = _appended(made, ("clusters", cluster, "tenants"), one)
    if not elsewhere or cluster not in clusters:
        made = _removed(made, ("tenants",), lambda one: isinstance(one, Mapping) and one.get("name") == there)
    left = {**data, "tenants": [one for one in data.get("tenants") or DEFAULT_TENANTS if one["name"] != there]}
    if elsewhere and cluster in clusters:
        left["tenants"] = data.get("tenants") or [dict(one) for one in DEFAULT_TENANTS]
    return _checked(made, _listing(left, cluster, [one for one in (listed or names) if one != there], elsewhere))


def tenant_names(text: str) -> list[str]:
    """Return the names of the tenants that ``text`` has, or those that hold where it has none."""
    tenants = _data(text).get("tenants") or DEFAULT_TENANTS
    return [str(one["name"]) for one in tenants if isinstance(one, Mapping) and "name" in one]


def cluster_names(text: str, cluster: str) -> list[str] | None:
    """Return the tenants that a cluster's own list names, or None where it has no list."""
    about = (_data(text).get("clusters") or {}).get(cluster)
    listed = about.get("tenants") if isinstance(about, Mapping) else None
    return [str(one) for one in listed] if isinstance(listed, list) else None


def save(path: Path, text: str) -> None:
    """Write ``text`` whole or not at all; a file that is there keeps its mode."""
    check_trusted(path)
    whole = path.resolve()  # a korthweb.yaml that is a link of its owner's stays one
    mode = whole.stat().st_mode & 0o777 if whole.exists() else None
    Tree(whole.parent, private=False).write(whole.name, text, mode=mode)
    forget(path)


def _data(text: str) -> dict[str, Any]:
    return read_yaml(text, FILE).data or {}


def _with(data: dict[str, Any], entries: Iterable[Mapping[str, Any]], cluster: str, name: str) -> dict[str, Any]:
    """Return what the changed text has to mean."""
    wanted = {**data, "tenants": [*(data.get("tenants") or ()), *map(dict, entries)]}
    about = (data.get("clusters") or {}).get(cluster)
    if isinstance(about, Mapping) and isinstance(listed := about.get("tenants"), list):
        wanted["clusters"] = {**data["clusters"], cluster: {**about, "tenants": [*listed, name]}}
    return wanted


def _listing(data: dict[str, Any], cluster: str, names: list[str], elsewhere: list[str]) -> dict[str, Any]:
    """Return ``data`` with the list of a cluster that has one, or needs one because others run the tenant still."""
    about = (data.get("clusters") or {}).get(cluster)
    if isinstance(about, Mapping) and (about.get("tenants") or elsewhere):
        return {**data, "clusters": {**data["clusters"], cluster: {**about, "tenants": names}}}
    return data


def _checked(text: str, wanted: dict[str, Any]) -> str:
    """Return ``text`` if it still is YAML, and means what is ``wanted``; raises SettingsError."""
    if _data(text) != wanted:
        raise SettingsError(f"{FILE} is written in a way that can't be changed safely", hint="change tenants: by hand")
    return text


def _defaults_written(text: str) -> str:
    for one in DEFAULT_TENANTS:
        text = _appended(text, ("tenants",), dict(one))
    return text


def _find(text: str, path: Sequence[str]) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the node at ``path``, or None and the key (or mapping) that is nearest to its place."""
    node, near = yaml.compose(text, Loader=yaml.SafeLoader), None
    for key in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((k, v) for k, v in pairs if k.value == key), None)
        if found is None:
            return None, node
        near, node = found
    return node, near


def _appended(text: str, path: Sequence[str], item: Any) -> str:
    node, near = _find(text, path)
    if not isinstance(node, yaml.SequenceNode):
        return _begun(text, path, item, near, exists=node is not None)
    if node.flow_style:
        at = node.end_mark.index - 1
        while text[at - 1] in " \n\t":
            at -= 1
        comma = ", " if node.value and text[at - 1] != "," else ""
        return text[:at] + comma + _flow(item) + text[at:]
    lines = _lines(text)
    column = node.start_mark.column
    at = _end(lines, node.value[-1]) if node.value else node.end_mark.line
    return _inserted(lines, at, _block(item, column))


def _begun(text: str, path: Sequence[str], item: Any, near: yaml.Node | None, *, exists: bool) -> str:
    """Return ``text`` with the first item of a list that is not there, or is empty (``tenants:``)."""
    lines = _lines(text)
    if exists and near is not None:  # the key with nothing after it
        return _inserted(lines, near.end_mark.line + 1, _block(item, near.start_mark.column))
    if len(path) == 1:
        gap = [""] if lines and lines[-1].strip() else []
        return _inserted(lines, len(lines), [*gap, f"{path[0]}:", *_block(item, 0)])
    if not isinstance(near, yaml.MappingNode) or near.flow_style:
        raise SettingsError(f"{FILE}: {'.'.join(path)} can't be added safely", hint=f"add {'.'.join(path)} by hand")
    column = near.start_mark.column
    head = " " * column + f"{path[-1]}:"
    return _inserted(lines, _end(lines, near), [head, *_block(item, column)])


def _removed(text: str, path: Sequence[str], is_it: Callable[[Any], bool]) -> str:
    node, _ = _find(text, path)
    values: Any = _data(text)
    for key in path:
        values = values.get(key) or {}
    index = next((n for n, value in enumerate(values) if is_it(value)), None)
    if index is None or not isinstance(node, yaml.SequenceNode):
        raise SettingsError(f"{FILE}: {'.'.join(path)} can't be changed safely", hint="change it by hand")
    items = node.value
    if node.flow_style:
        last = index == len(items) - 1
        begin = items[index - 1].end_mark.index if last and index else items[index].start_mark.index
        end = items[index].end_mark.index if last else items[index + 1].start_mark.index
        return text[:begin] + text[end:]
    lines = _lines(text)
    begin = items[index].start_mark.line
    return "".join(lines[:begin] + lines[_end(lines, items[index]) :])


def _end(lines: list[str], node: yaml.Node) -> int:
    """Return the index of the line after ``node`` and the comments that belong to it."""
    at = _last(node) + 1
    while at < len(lines) and _OWN_COMMENT.match(lines[at]):
        at += 1
    return at


def _last(node: yaml.Node) -> int:
    """Return the last line that holds something of ``node``: its own end mark is behind blank lines and comments."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        tail = node.value[-1]
        return max(_last(part) for part in tail) if isinstance(tail, tuple) else _last(tail)
    line: int = node.end_mark.line
    block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return line - 1 if block or (node.end_mark.column == 0 and line > node.start_mark.line) else line


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _inserted(lines: list[str], at: int, new: Iterable[str]) -> str:
    before = list(lines[:at])
    if before and not before[-1].endswith("\n"):
        before[-1] += "\n"
    return "".join([*before, *(f"{line}\n" for line in new), *lines[at:]])


def _block(item: Any, column: int) -> list[str]:
    """Return an item of a list as lines of YAML whose dash is in ``column``."""
    dumped = yaml.safe_dump([item], sort_keys=False, default_flow_style=None if isinstance(item, str) else False)
    return (
        [" " * column + line for line in str(dumped).rstrip("\n").split("\n")]
        if not isinstance(item, str)
        else [" " * column + f"- {_flow(item)}"]
    )


def _flow(item: Any) -> str:
    text = str(yaml.safe_dump(item, sort_keys=False, default_flow_style=True, width=1000))
    return text.rstrip("\n").removesuffix("...").rstrip("\n")
