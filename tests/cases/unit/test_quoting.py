"""S28, S29: whatever a setting says, it stays what it is in every artifact, and nothing breaks out of its place."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from korthweb_tasks.approaches.gitops.fleet import ChartAt, Fleet
from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.render import rendered
from korthweb_tasks.approaches.shared.common import Artifacts
from korthweb_tasks.core.quoting import quoted, scalar
from korthweb_tasks.core.render import RenderError, Templates, parse
from korthweb_tasks.errors import KorthwebError
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets

REPOSITORY = Path(__file__).parents[3]
GITOPS = Artifacts.read(REPOSITORY / "gitops")
MANUAL = Artifacts.read(REPOSITORY / "manual", Path("/charts"))
#: text that YAML reads as something else, or that ends what it is in
CHANGES = ["on", "No", "y", "~", "null", "1e3", "0x10", "1_000", "12:30:45", "2026-01-02", ".5", "1.10", "=", "<<", ""]
BREAKS = [
    "a: b",
    "a #b",
    "a\nb: c",
    "{a: b}",
    "[a",
    "a]",
    "a, b",
    "- a",
    "&a b",
    "*a",
    "!!int 1",
    "%a",
    "@a",
    "`a",
    "|",
    ">",
]
QUOTES = [
    '"',
    "'",
    "\\",
    '", x: "y',
    "' x: 'y",
    "$(id)",
    "\t",
    " a ",
    "\x7f",
    "a\x85b: c",
    "a\u2028b: c",
    "\ufeffa",
    "ä",
]
HOSTILE = [*CHANGES, *BREAKS, *QUOTES]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "template",
    [
        "key: {{ v }}", "key: {{ v }} # {{ n }}", "- {{ v }}", "- - {{ v }}", "key: [{{ v }}]", "key: [a, {{ v }}, b]",
        "{key: {{ v }}}", "{key: {{ v }}, a: b}", "- {name: a, value: {{ v }}}", "{{ v }}: 1", "{a: {{ v }}}",
        "key: {{ v | json }}", "{a: b, {{ v | json }}: 1}",
        "{% for x in [v] %}\n- {{ x }}\n{% endfor %}",
        "[{% for x in [v, v] %}{{ x }}{{ ', ' if not loop.last }}{% endfor %}]",
        "a: |\n  {{ j | indent(2) }}\nb: c",
    ],
)  # fmt: skip
def test_S28_a_value_that_stands_alone_stays_what_it_is(template: str, text: str) -> None:
    """S28: forgetting to quote is impossible, in a block, a list, a table, and as a key."""
    values = {"v": text, "n": "note", "j": quoted({"x": text})}
    (found,) = parse(Templates({"a.yaml.j2": template}).text("a.yaml", values)) or [{}]
    (usual,) = parse(
        Templates({"a.yaml.j2": template}).text("a.yaml", values | {"v": "mark", "j": quoted({"x": "mark"})})
    )
    assert found == _replaced(usual, text)


@pytest.mark.parametrize("text", [*BREAKS, *QUOTES, "a b"])
@pytest.mark.parametrize(
    "template",
    ["a: x-{{ v }}", "a: {{ v }}-x", 'a: "{{ v }}"', "{a: x{{ v }}}", "a: |\n  echo {{ v }}", "a: {{ v }}{{ v }}"],
)
def test_S28_a_value_inside_of_other_text_is_refused_unless_it_is_plain(template: str, text: str) -> None:
    """S28: no quotes would hold there, so it is an error of the artifact and not a surprise."""
    templates = Templates({"a.yaml.j2": template})
    assert "mark" in templates.text("a.yaml", {"v": "mark"})
    with pytest.raises(RenderError, match="inside of other text"):
        templates.text("a.yaml", {"v": text})


@pytest.mark.parametrize("text", ["a\nb: c", "a\u2028b: c", "a\x85b: c", "\r"])
def test_S28_a_comment_is_not_ended(text: str) -> None:
    """S28: a line break in a comment would begin a key."""
    for template in ("# {{ v }}\na: b", "a: b # {{ v }}"):
        with pytest.raises(RenderError, match="comment"):
            Templates({"a.yaml.j2": template}).text("a.yaml", {"v": text})


def test_S28_words_of_a_shell_are_quoted() -> None:
    """S28: a script that is a template quotes as a shell does."""
    made = Templates({"a.sh.j2": "echo {{ v }}"}).text("a.sh", {"v": "a; rm -rf $HOME 'x'"})
    assert made == """echo 'a; rm -rf $HOME '"'"'x'"'"''"""


@pytest.mark.parametrize("value", [True, None, 3, 1.5, [1, "on"], {"a": "1e3"}])
def test_S28_numbers_and_lists_stay_what_they_are(value: Any) -> None:
    """S28: only text is quoted."""
    assert yaml.safe_load(f"a: {scalar(value)}")["a"] == value


def _replaced(tree: Any, text: str) -> Any:
    """Return ``tree`` with ``text`` where the mark was."""
    if isinstance(tree, dict):
        return {_replaced(key, text): _replaced(value, text) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_replaced(entry, text) for entry in tree]
    if isinstance(tree, str) and tree.startswith("{"):
        return str(quoted({"x": text})) + "\n" * tree.endswith("\n")
    return text if tree == "mark" else tree


def _leaves(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Give the path of every text in the settings."""
    if isinstance(tree, BaseModel):
        for name in type(tree).model_fields:
            yield from _leaves(getattr(tree, name), (*path, name))
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(tree, tuple):
        for index, value in enumerate(tree[:1]):
            yield from _leaves(value, (*path, index))
    elif isinstance(tree, str):
        yield path


def _with(tree: Any, path: tuple[str | int, ...], text: str) -> Any:
    """Return the settings with ``text`` at ``path``, past every check: the artifacts must hold by themselves."""
    if not path:
        return text
    head, rest = path[0], path[1:]
    if isinstance(tree, BaseModel):
        return tree.model_copy(update={str(head): _with(getattr(tree, str(head)), rest, text)})
    if isinstance(tree, dict):
        return {**tree, head: _with(tree[head], rest, text)}
    return tuple(_with(value, rest, text) if index == head else value for index, value in enumerate(tree))


BASE = Settings.model_validate(
    {
        "tenants": [
            {
                "name": "BHC",
                "domain": "bhc.example.org",
                "egress": ["pacs.example.org:11112"],
                "dicom": {"tls": {"ciphers": ["AES128-SHA"]}},
            }
        ],
        "storage_class": "fast",
        "istio": {"pilot_env": {"PILOT_X": "y"}},
        "gitops": {"url": "https://git.example.org/fleet.git", "registry_secret": "pull"},
    }
)
#: what is in an image's name decides which keys it becomes, and a namespace of somebody else's is a patch more, so the
#: shape says nothing there; both namespaces are DNS labels
OTHER_SHAPES = (("istio", "namespace"), ("postgres", "operator_namespace"))
LEAVES = [path for path in _leaves(BASE) if path[0] != "images" and path not in OTHER_SHAPES]


def _manual(settings: Settings) -> dict[str, str]:
    made = Manifests(settings, Secrets(), MANUAL)
    return rendered(made, made.settings.tenants)


def _shape(tree: Any) -> Any:
    """Return what a document is made of: its keys and the kinds of its values."""
    if isinstance(tree, dict):
        return {key: _shape(value) for key, value in tree.items()}
    return [_shape(value) for value in tree] if isinstance(tree, list) else type(tree).__name__


def _gitops(settings: Settings) -> dict[str, str]:
    charts = {name: ChartAt(chart.source, chart.version) for name, chart in settings.charts.items()}
    return Fleet(settings, "hospital", settings.tenants, GITOPS, charts).files()


@cache
def _usual(approach: str) -> tuple[list[str], list[Any]]:
    files = RENDERS[approach](BASE)
    return sorted(files), _shapes(files)


def _shapes(files: dict[str, str]) -> list[Any]:
    return [_shape(doc) for name, text in sorted(files.items()) if name.endswith(".yaml") for doc in parse(text, name)]


RENDERS = {"manual": _manual, "gitops": _gitops}


@pytest.mark.parametrize("approach", RENDERS)
@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_S28_no_setting_changes_the_shape_of_an_artifact(path: tuple[str | int, ...], approach: str) -> None:
    """S28: each text of the settings in turn; it is in its place as what it is, or the artifact is refused."""
    names, shapes = _usual(approach)
    for text in ("1e3", 'a", b: "c\n- d: e'):
        try:
            files = RENDERS[approach](_with(BASE, path, text))
        except (ValueError, LookupError, KorthwebError):  # refused, which is as good
            continue
        if sorted(files) == names:
            assert _shapes(files) == shapes


def test_S29_a_key_of_the_pilots_environment_injects_nothing() -> None:
    """S29: such a key is refused; past the check, it stays a name."""
    name = "X: y, value: z}\n        - {name: EVIL"
    with pytest.raises(ValidationError):
        Settings.model_validate({"istio": {"pilot_env": {name: "1"}}})
    for key in (name, "on", "1e3"):
        istio = BASE.istio.model_copy(update={"pilot_env": {key: "1e3"}})
        made = Manifests(BASE.model_copy(update={"istio": istio}), Secrets(), MANUAL)
        (operator,) = parse(made.operator)
        env = operator["spec"]["components"]["pilot"]["k8s"]["env"]
        assert {"name": key, "value": "1e3"} in env
        assert not [one for one in env if one["name"] == "EVIL"]
