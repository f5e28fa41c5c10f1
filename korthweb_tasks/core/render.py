"""Artifacts with settings filled in: text for people, objects for kubectl. A setting that is missing is an error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

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
        from jinja2 import TemplateError

        try:
            return str(self._environment.get_template(name + SUFFIX).render(values))
        except TemplateError as error:
            raise RenderError(f"{name}{SUFFIX}: {error}") from error

    def objects(self, name: str, values: Values) -> list[dict[str, Any]]:
        """Return the Kubernetes objects of an artifact, in its order."""
        return parse(self.text(name, values), name)

    @cached_property
    def _environment(self) -> Any:
        from jinja2 import DictLoader, Environment, StrictUndefined

        environment = Environment(
            loader=DictLoader(dict(self.texts)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters.update({"json": quoted, "sha": digest, **self.filters})
        return environment


def quoted(value: Any) -> str:
    """Return ``value`` as JSON, which YAML takes anywhere a value may stand and which no content can break out of."""
    return json.dumps(plain(value), ensure_ascii=False, sort_keys=False)


def plain(value: Any) -> Any:
    """Return ``value`` as plain data: pydantic models, tuples and mappings become dicts and lists."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value


def digest(value: Any, length: int = 12) -> str:
    """Return a short SHA-256 of data or text that is the same for the same content."""
    text = value if isinstance(value, str) else json.dumps(plain(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def parse(text: str, name: str = "text") -> list[dict[str, Any]]:
    """Return the non-empty YAML documents of ``text``; raises RenderError naming the artifact and the line."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return [document for document in yaml.load_all(text, Loader=loader) if document]
    except yaml.YAMLError as error:
        raise RenderError(f"{name} is no YAML: {error}") from error


def as_yaml(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return objects as YAML that reads well: keys in their order, long texts as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def block(dumper: yaml.SafeDumper, text: str) -> Any:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, block)
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 120}
    return str(yaml.dump_all([plain(doc) for doc in documents], Dumper=Dumper, explicit_start=True, **options))
