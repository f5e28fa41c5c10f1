"""Reads settings: defaults < profile < korthweb.yaml < environment < flags, and where each value came from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.core.git_providers import TOKENS
from korthweb_tasks.core.words import nearest
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.files import check_trusted
from korthweb_tasks.settings import secrets as passwords
from korthweb_tasks.settings.choice import chosen_context, lab_of
from korthweb_tasks.settings.complaints import complaints
from korthweb_tasks.settings.layers import DEFAULT, Stack, empty
from korthweb_tasks.settings.model import PROFILES, Settings
from korthweb_tasks.settings.orthanc_options import wrong_options
from korthweb_tasks.settings.schema import dotted, kind_at
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.settings.snapshot import edited, once
from korthweb_tasks.settings.source import Document, decode, read_yaml

FILE = paths.SETTINGS
PREFIX = "KORTHWEB__"
#: variables of korthweb that are not settings; LONG and LAUNCHER are set by korthweb itself
OWN_VARIABLES = tuple(f"KORTHWEB_{name}" for name in ("CACHE", "STATE", "DEBUG", "TRUST", "PYTHON", "LAUNCHER", "LONG"))
#: variables that look as if they said what is acted on -> what does
INSTEAD = {
    "KORTHWEB_SETTINGS": "--settings FILE names the settings file",
    "KORTHWEB_CONTEXT": "KORTHWEB__CONTEXT, or --context",
    "KORTHWEB_TENANT": "--tenant",
    "KORTHWEB_KUBECONFIG": "KUBECONFIG, or clusters.NAME.kubeconfig in korthweb.yaml",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings as they hold, and how they came about.

    ``origins`` says of every value (``tenants.BHC.aet``) who set it: ``korthweb.yaml:12``, ``profile lab``,
    ``environment KORTHWEB__X``, ``flag --x`` or ``default``. ``warnings`` are for a person to read.
    """

    settings: Settings = field(repr=False)
    origins: Mapping[str, str]
    secrets: Secrets
    project: Path
    warnings: tuple[str, ...] = ()
    #: the same origins by path, also of sections
    stack: Stack = field(default_factory=Stack, repr=False)
    #: the settings file, None where there is none; an empty one counts as none
    file: Path | None = None

    def origin(self, place: str) -> str:
        """Return who set ``place`` or the nearest section above it."""
        while place:
            if place in self.origins:
                return self.origins[place]
            place = place.rpartition(".")[0]
        return DEFAULT


@dataclass(frozen=True, slots=True)
class _Source:
    """What there is to lay over the defaults, already read."""

    file: Document
    name: str
    variables: Mapping[str, str]
    variable_origins: Mapping[str, str]
    overrides: Mapping[str, Any]


def load(
    *,
    project: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    context: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Return the effective settings of ``project`` (default: the one of the working directory).

    ``overrides`` are flags by dotted path. ``context`` is the --context flag: with a lab's context the profile ``lab``
    is used, unless a profile is named. Raises SettingsError with the line (or variable, or flag) of each fault.
    """
    try:
        file = project / FILE if project else paths.settings_file()
        return _load(file, dict(os.environ if environ is None else environ), overrides, context)
    except SettingsError as error:
        error.hint = error.hint or _hint()
        raise


def _load(file: Path, environment: dict[str, str], overrides: Mapping[str, Any] | None, context: str | None) -> Loaded:
    folder = file.parent
    env = folder / ".env"
    values, lines, warnings = once(passwords.read_env, env)
    variables = values | environment
    origins = lines | {name: f"environment {name}" for name in environment}
    source = _Source(once(_read, file), file.name, variables, origins, overrides or {})
    stack = _stacked(source, _profile(source, folder, context))
    settings = _validated(stack)
    found = passwords.collect(variables, origins)
    warnings = [*warnings, *_stray(found, settings), *_not_read(variables, origins, settings)]
    warnings += [
        f"{path.name} was edited: this run goes on with what it has read" for path in (file, env) if edited(path)
    ]
    there = None if source.file.data is None else file
    return Loaded(settings, _all_origins(settings, stack), found, folder, tuple(warnings), stack, there)


def leaves(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Give (path, value) of everything in ``tree`` that holds nothing else; an empty section is a value too."""
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list | tuple) and tree:
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))
    else:
        yield path, tree


def profile_document(name: str) -> Document:
    """Return the data of a built-in profile."""
    text = resources.files("korthweb_tasks.settings").joinpath("profiles").joinpath(f"{name}.yaml").read_text("utf-8")
    return read_yaml(text, f"profile {name}")


def _read(path: Path) -> Document:
    check_trusted(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            text = f"{path} is a link to {path.readlink()}, which does not exist"
            raise SettingsError(text, hint=hints.shell("ls", "-l", path)) from None
        if path.name != FILE:
            raise SettingsError(f"there is no settings file {path}", hint="--settings takes the path of one") from None
        if path.with_suffix(".yml").exists():
            raise SettingsError(
                "korthweb.yml is not read", hint=hints.shell("mv", path.with_suffix(".yml"), path)
            ) from None
        return Document(None)
    except OSError as error:
        raise SettingsError(
            f"{path.name} can't be read: {error.strerror}", hint=hints.shell("ls", "-l", path)
        ) from error
    return read_yaml(decode(raw, path.name), path.name)


def _stacked(source: _Source, profile: str | None) -> Stack:
    stack = Stack()
    if profile:
        stack.lay(profile_document(profile).data, lambda _: f"profile {profile}")
    lines = source.file.lines
    stack.lay(source.file.data, lambda path: f"{source.name}:{_line(lines, path)}", source.file.written)
    for name, text in sorted(source.variables.items()):
        if name.startswith(PREFIX):
            _put_variable(stack, name, text, source.variable_origins[name])
    for place, value in source.overrides.items():
        stack.put(tuple(place.split(".")), value, f"flag --{place}")
    if profile and "profile" not in stack.data:
        stack.data["profile"] = profile
        stack.origins["profile",] = "the chosen context is a lab's" if profile != PROFILES[0] else DEFAULT
    return stack


def _line(lines: Mapping[tuple[str | int, ...], int], path: tuple[str | int, ...]) -> int:
    return next((lines[path[:depth]] for depth in range(len(path), -1, -1) if path[:depth] in lines), 1)


def _put_variable(stack: Stack, name: str, text: str, origin: str) -> None:
    words = tuple(name.removeprefix(PREFIX).split("__"))
    path = stack.resolve(words, origin)
    if path is None:
        return
    if not text.strip():
        stack.faults.append(empty(origin, name))
        return
    kind = kind_at(path)
    # what is text stays as it is typed: KORTHWEB__VERSIONS__HELM=4.3 needs no quotes
    value = _text(text) if kind and kind.name == "text" else _yaml_value(text, origin)
    stack.put(words, value, origin)


def _text(text: str) -> str | None:
    """Return a text as it was typed; null takes away what korthweb.yaml says."""
    return None if text == "null" else text


def _yaml_value(text: str, origin: str) -> Any:
    try:
        return read_yaml(text, "").data
    except SettingsError as error:
        raise SettingsError(f"{origin}: {error.message.lstrip(':0123456789 ')}", hint=error.hint) from error


def _profile(source: _Source, folder: Path, context: str | None) -> str:
    """Return the profile that is named, or the lab's if the chosen context is a lab's, or the default."""
    raw = _stacked(source, None)
    named = raw.data.get("profile")
    if named is not None:
        if named not in PROFILES:
            known = nearest(str(named), PROFILES) or f" (there are: {', '.join(PROFILES)})"
            raise SettingsError(f"{raw.origin(('profile',))}: no profile {named!r}{known}")
        return str(named)
    clusters = raw.data.get("clusters")
    clusters = clusters if isinstance(clusters, dict) else {}
    only = next(iter(clusters)) if len(clusters) == 1 else None
    word = context or raw.data.get("context") or chosen_context(folder) or only
    cluster = clusters.get(word) if isinstance(word, str) else None
    name = cluster.get("context") if isinstance(cluster, dict) else word
    return "lab" if isinstance(name, str) and lab_of(name) else PROFILES[0]


def _validated(stack: Stack) -> Settings:
    faults = list(stack.faults)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(stack.data)
    except ValidationError as error:
        faults += complaints(error, stack)
    faults += _wrong_options(stack)
    if settings is None or faults:
        raise refusal(faults)
    return settings


#: where an orthanc.json is among the settings: that of all approaches, and what the chart lays over it
ORTHANC_JSON: tuple[tuple[str, ...], ...] = (("orthanc", "config"), ("charts", "orthanc", "values", "config"))


def _wrong_options(stack: Stack) -> list[str]:
    found: list[str] = []
    for place in ORTHANC_JSON:
        config: Any = stack.data
        for key in place:
            config = config.get(key) if isinstance(config, Mapping) else None
        if isinstance(config, Mapping):
            for wrong in wrong_options(config):
                path = (*place, *wrong.path)
                found.append(f"{stack.origin(path)}: {dotted(path)}: {wrong.text}")
    return found


def _hint() -> str:
    return f"`{hints.task('config.keys')}` lists every key, {paths.docs('settings.md')} explains them"


def refusal(faults: list[str]) -> SettingsError:
    """Return the error for one or more faults: the first is the message, the others its details."""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return SettingsError(f"{faults[0]}{more}", hint=_hint(), details="\n".join(faults[1:]))


def _all_origins(settings: Settings, stack: Stack) -> dict[str, str]:
    names: dict[tuple[str | int, ...], str] = {
        ("tenants", index): tenant.name for index, tenant in enumerate(settings.tenants)
    }
    tree = settings.model_dump(mode="json")
    return {dotted(path, names): stack.origins.get(path, DEFAULT) for path, _ in leaves(tree)}


def _not_read(variables: Mapping[str, str], origins: Mapping[str, str], settings: Settings) -> list[str]:
    """Return a warning for each KORTHWEB_ variable that means nothing; raises SettingsError for one of a target."""
    meant = {name: f"{PREFIX}{name.removeprefix('KORTHWEB_')}" for name in variables}
    known = [*OWN_VARIABLES, *passwords.secret_names(settings.tenants), passwords.GIT_PASSWORD]
    found = []
    for name in sorted(variables):
        if not name.startswith("KORTHWEB_") or name.startswith((PREFIX, passwords.PREFIX)) or name in OWN_VARIABLES:
            continue
        if name in INSTEAD:
            raise SettingsError(f"{origins[name]}: {name} is not read", hint=f"{INSTEAD[name]}; and `unset {name}`")
        likely = meant[name] if meant[name].removeprefix(PREFIX).lower() in Settings.model_fields else ""
        right = f" (did you mean {likely}?)" if likely else nearest(name, known)
        found.append(f"{origins[name]}: {name} is not read{right}")
    return found


def _stray(found: Secrets, settings: Settings) -> list[str]:
    known = [*passwords.secret_names(settings.tenants), passwords.GIT_PASSWORD, *TOKENS.values()]
    say: Callable[[str], str] = lambda name: (  # noqa: E731
        f"{found.origins[name]}: {name} belongs to no user of any tenant{nearest(name, known)}"
    )
    return [say(name) for name in found.values if name not in known]
