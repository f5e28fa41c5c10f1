"""Artifacts with settings filled in: text for people, objects for kubectl. A setting that is missing is an error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from korthweb_tasks.core import quoting
from korthweb_tasks.core.quoting import plain, quoted

Values = Mapping[str, Any]
SUFFIX = ".j2"
KINDS = (".yaml", ".sh")


class RenderError(ValueError):
    """An artifact asks for a value that is not there, or does not give YAML: a fault of the artifact."""


@dataclass(frozen=True)
class Templates:
    """A folder of artifacts, read once. ``texts`` maps a path inside of the folder to its text."""

    texts: Mapping[str, str]
    filters: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, filters: Mapping[str, Callable[..., Any]] | None = None) -> Templates:
        """Read every YAML file, script and template below ``folder``."""
        files = sorted(path for path in folder.rglob("*") if path.name.removesuffix(SUFFIX).endswith(KINDS))
        texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}
        return cls(texts, filters or {})

    def text(self, name: str, values: Values) -> str:
        """Return the artifact ``name`` (without ``.j2``) with ``values`` filled in.

        Raises RenderError, which names the artifact.
        """
        if name in self.texts:
            return self.texts[name]

        try:
            return str(self._environment.get_template(name + SUFFIX).render(values))
        except (TemplateError, ValueError) as error:
            raise RenderError(f"{name}{SUFFIX}: {error}") from error

    def objects(self, name: str, values: Values) -> list[dict[str, Any]]:
        """Return the Kubernetes objects of an artifact, in its order."""
        return parse(self.text(name, values), name)

    @cached_property
    def _environment(self) -> Any:
        class Quoting(Extension):
            def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
                return quoting.with_quoting(stream, stream.name or "", Token)

        environment = Environment(
            extensions=[Quoting],
            loader=DictLoader(dict(self.texts)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters.update({"json": quoted, "sha": digest, "indent": quoting.block, **self.filters})
        for name, way in quoting.WAYS.items():
            environment.globals[name] = way
        return environment


def digest(value: Any, length: int = 12) -> str:
    """Return a short SHA-256 of data or text that is the same for the same content."""
    text = value if isinstance(value, str) else json.dumps(plain(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def parse(text: str, name: str = "text") -> list[dict[str, Any]]:
    """Return the non-empty YAML documents of ``text``; raises RenderError naming the artifact and the line."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return [document for document in yaml.load_all(text, Loader=loader) if document]
    except yaml.YAMLError as error:
        raise RenderError(f"{name} is no YAML: {error}") from error


def as_yaml(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return objects as YAML that reads well: keys in their order, long texts as blocks."""

    class Dumper(yaml.SafeDumper):
        pass

    def block(dumper: yaml.SafeDumper, text: str) -> Any:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, block)
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 120}
    return str(yaml.dump_all([plain(doc) for doc in documents], Dumper=Dumper, explicit_start=True, **options))
