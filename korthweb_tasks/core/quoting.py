"""Values in templates quote themselves: whoever writes ``{{ value }}`` can't forget it. Pure.

Where a value stands alone (``key: {{ value }}``, ``[{{ value }}]``) it becomes a scalar of YAML that is read back as
what it is: text stays text (``on``, ``1e3``, ``null``), and no content breaks out. Where it is a part of something
(``orthanc-{{ value }}``, a comment, a line of a script) only letters, digits and ``. _ / -`` are let in; anything
else is an error, since no quotes would hold there. Text that the template itself says (``{{ "," if more }}``) is left.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

#: text that YAML 1.1 and 1.2 read as text without quotes
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?(m|s|h|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)")
_NOT_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
#: what can stand inside of other text
_INERT = re.compile(r"[A-Za-z0-9_./-]*")
#: characters that JSON leaves as they are and YAML takes for the end of a line, or does not allow
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
#: what comes before and after a value that stands alone
_BEFORE = re.compile(r"(?:.*(?:[:\[{,]|- ) *|\s*(?:- )*)")
_AFTER = re.compile(r"\s*(?:[,\]}:\n]|$| #)")
SCALAR, PART, COMMENT, SHELL = "_scalar", "_part", "_comment", "_shell"


class Quoted(str):
    """Text that is YAML already, such as what the filter ``json`` gives."""

    __slots__ = ()


def quoted(value: Any) -> Quoted:
    """Return ``value`` as JSON, which YAML takes anywhere a value may stand and which no content can break out of."""
    text = json.dumps(plain(value), ensure_ascii=False, sort_keys=False)
    return Quoted(_UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def plain(value: Any) -> Any:
    """Return ``value`` as plain data: pydantic models, tuples and mappings become dicts and lists."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value


def scalar(value: Any) -> str:
    """Return a value that stands alone: with quotes wherever YAML would read something else than this text.

    >>> scalar("bhc.example.org"), scalar("on"), scalar(3)
    ('bhc.example.org', '"on"', '3')
    """
    if isinstance(value, Quoted) or not isinstance(value, str):
        return value if isinstance(value, Quoted) else quoted(value)
    word = _WORD.fullmatch(value) and value.lower() not in _NOT_TEXT
    return value if word or _AMOUNT.fullmatch(value) else quoted(value)


def part(value: Any) -> str:
    """Return a value that is a part of other text; raises ValueError for one that could change what is around it."""
    text = str(value)
    if isinstance(value, Quoted) or not _INERT.fullmatch(text):
        raise ValueError(f"{text!r} stands inside of other text, where only letters, digits and . _ / - may be")
    return text


def comment(value: Any) -> str:
    """Return a value in a comment; raises ValueError for one that would end it."""
    text = str(value)
    if not text.isprintable():
        raise ValueError(f"{text!r} would end the comment that it is in")
    return text


def shell(value: Any) -> str:
    """Return a value as one word of a shell."""
    return shlex.quote(str(value))


#: name inside of templates -> function
WAYS: Mapping[str, Callable[[Any], str]] = {SCALAR: scalar, PART: part, COMMENT: comment, SHELL: shell}


def block(text: Any, width: int) -> Quoted:
    """Return lines for a block (``key: |``) indented by ``width``; raises ValueError for other ends of lines."""
    if found := re.search("[\r\x85\u2028\u2029]", str(text)):
        raise ValueError(f"{found[0]!r} would end a line of a block")
    first, *rest = str(text).split("\n")
    return Quoted("\n".join([first, *(" " * width + line if line else "" for line in rest)]))


def with_quoting(tokens: Iterable[Any], name: str, make: Any) -> Iterator[Any]:
    """Give a template's tokens with a call around each expression: the one that fits where the expression stands."""
    listed = list(tokens)
    line, literal = "", None
    for index, token in enumerate(listed):
        if token.type == "data":
            head, newline, rest = token.value.rpartition("\n")
            line = rest if newline else line + head + rest
        if token.type == "variable_end":
            line += "x" if literal is None else literal
            if literal is None:
                yield make(token.lineno, "rparen", ")")
        yield token
        if token.type == "variable_begin" and (literal := _literal(listed, index)) is None:
            yield make(token.lineno, "name", _way(name, line, _following(listed, index)))
            yield make(token.lineno, "lparen", "(")


def _literal(tokens: list[Any], index: int) -> str | None:
    """Return the text of an expression that gives a text of the template, or nothing: ``"," if more``."""
    end = _end(tokens, index)
    first, *rest = tokens[index + 1 : end]
    words = [one.value for one in rest if one.type == "name"]
    own = first.type == "string" and (not rest or (words[:1] == ["if"] and "else" not in words))
    return str(first.value)[1:-1] if own else None


def _following(tokens: list[Any], index: int) -> str | None:
    """Return the text after the expression that begins at ``index``, or None where another expression follows."""
    for place in range(_end(tokens, index) + 1, len(tokens)):
        if tokens[place].type == "data":
            return str(tokens[place].value)
        if tokens[place].type == "variable_begin":
            return _literal(tokens, place)
    return "\n"


def _end(tokens: list[Any], index: int) -> int:
    return next(place for place in range(index, len(tokens)) if tokens[place].type == "variable_end")


def _way(name: str, before: str, after: str | None) -> str:
    """Return the function for an expression that stands between these texts."""
    if name.removesuffix(".j2").endswith(".sh"):
        return SHELL
    if before.lstrip().startswith("#") or " #" in before:
        return COMMENT
    alone = after is not None and _AFTER.match(after) and before.count('"') % 2 == 0 and _BEFORE.fullmatch(before)
    return SCALAR if alone else PART
