"""Which cluster is meant: --context, the settings' default, the project's choice, or the only one there is.

kubectl's current context is never taken: it belongs to another program, and may change under one's feet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from korthweb_tasks import paths
from korthweb_tasks.core.target import Target
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.settings.choice import LAB_PREFIX, choose_context, chosen_context, forget_context, lab_of
from korthweb_tasks.settings.kubeconfig import KubeContext, contexts_in, known_contexts, search_files
from korthweb_tasks.settings.load import Loaded
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.parts import ClusterSettings
from korthweb_tasks.settings.schema import nearest
from korthweb_tasks.settings.secrets import Secrets

__all__ = ["ClusterRef", "choose_context", "chosen_context", "forget_context", "known_names", "lab_of", "resolve"]


@dataclass(frozen=True, slots=True)
class ClusterRef:
    """The cluster that commands speak to.

    ``name`` is what the user calls it, ``target`` names its context to every command, ``chosen_by`` says how it came
    to be this one, ``server`` is the URL that the kubeconfig has for it.
    """

    name: str
    target: Target
    settings: ClusterSettings
    chosen_by: str
    server: str

    @property
    def lab(self) -> str | None:
        """Return the name of the lab that this is, if it is one."""
        return lab_of(self.target.context)


def resolve(
    loaded: Loaded | Settings, context: str | None = None, *, environ: Mapping[str, str] | None = None
) -> ClusterRef:
    """Return the cluster that is meant; with bare Settings, messages know no lines.

    The order: ``context`` (the flag), ``context`` of the settings, the choice of ``context.use``, the only cluster of
    the settings. Raises SettingsError where there is no choice, no such context, or a kubeconfig is missing or broken.
    """
    if isinstance(loaded, Settings):
        loaded = Loaded(loaded, {}, Secrets(), paths.project_dir())
    word, chosen_by = _word(loaded, context)
    return named(loaded, word, chosen_by, environ=environ)


def named(
    loaded: Loaded, word: str, chosen_by: str = "--context", *, environ: Mapping[str, str] | None = None
) -> ClusterRef:
    """Return the cluster called ``word``: a name of the settings, a context, or a lab's."""
    if cluster := loaded.settings.clusters.get(word):
        found = _configured(loaded, word, cluster, environ)
        return _reference(word, found, cluster, chosen_by, own_file=cluster.kubeconfig is not None)
    contexts = known_contexts(environ)
    for name in (word, f"{LAB_PREFIX}{word}"):
        for found in contexts:
            if found.name == name and (found.name == word or not found.searched):
                return _reference(found.name, found, ClusterSettings(context=found.name), chosen_by)
    raise _unknown(loaded, word, chosen_by, contexts, environ)


def known_names(loaded: Loaded, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return every name that --context takes: clusters of the settings, then contexts no cluster stands for."""
    clusters = loaded.settings.clusters
    covered = {cluster.context for cluster in clusters.values()}
    contexts = [context.name for context in known_contexts(environ) if context.name not in covered]
    return [*clusters, *(name for name in contexts if name not in clusters)]


def _word(loaded: Loaded, context: str | None) -> tuple[str, str]:
    if context:
        return context, "--context"
    if default := loaded.settings.context:
        return default, loaded.origin("context")
    if choice := chosen_context(loaded.project):
        return choice, "context.use"
    clusters = loaded.settings.clusters
    if len(clusters) == 1:
        return next(iter(clusters)), "the only cluster of the settings"
    known = known_names(loaded)
    raise SettingsError(
        "no cluster is chosen" if known else "no cluster is chosen, and none is known",
        hint="inv context.use NAME, or --context NAME" if known else "inv lab.up makes one on this machine",
        details=_listed(known),
    )


def _configured(loaded: Loaded, name: str, cluster: ClusterSettings, environ: Mapping[str, str] | None) -> KubeContext:
    place = loaded.origin(f"clusters.{name}.context")
    if cluster.kubeconfig:
        path = loaded.project / Path(cluster.kubeconfig).expanduser()
        try:
            contexts = contexts_in(path)
        except SettingsError as error:
            where = loaded.origin(f"clusters.{name}.kubeconfig")
            raise SettingsError(f"{where}: cluster {name}: {error.message}", hint=error.hint) from error
        where = f"in {path}"
    else:
        contexts, where = known_contexts(environ), "known"
    for found in contexts:
        if found.name == cluster.context:
            return found
    names = [context.name for context in contexts]
    raise SettingsError(
        f"{place}: cluster {name}: no context {cluster.context!r} is {where}{nearest(cluster.context, names)}",
        hint=_missing_files(environ) or "inv context.list shows what there is",
        details=_listed(names),
    )


def _reference(
    name: str, found: KubeContext, cluster: ClusterSettings, chosen_by: str, *, own_file: bool = False
) -> ClusterRef:
    # a context of kubectl's own search may have its user in another of those files: let kubectl search
    file = None if found.searched and not own_file else str(found.file)
    return ClusterRef(name, Target(found.name, file), cluster, chosen_by, found.server)


def _unknown(
    loaded: Loaded, word: str, chosen_by: str, contexts: list[KubeContext], environ: Mapping[str, str] | None
) -> SettingsError:
    known = known_names(loaded, environ)
    lab = word.removeprefix(LAB_PREFIX)
    if word.startswith(LAB_PREFIX) and lab:
        again = "" if lab == "lab" else f" --name {lab}"
        hint = f"inv lab.up{again}, or inv context.use another"
    else:
        hint = _missing_files(environ) if not contexts else "inv context.list shows what there is"
    by = "" if chosen_by == "--context" else f" (chosen by {chosen_by})"
    return SettingsError(f"no cluster or context {word!r}{by}{nearest(word, known)}", hint=hint, details=_listed(known))


def _missing_files(environ: Mapping[str, str] | None) -> str:
    files = search_files(environ)
    if any(path.exists() for path in files):
        return ""
    return f"there is no kubeconfig at {', '.join(map(str, files))}: set KUBECONFIG, or inv lab.up"


def _listed(names: list[str]) -> str:
    return f"known: {', '.join(names)}" if names else ""
