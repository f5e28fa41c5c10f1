"""Which cluster is meant: --context, the settings' default, the project's choice, or the only one there is.

kubectl's current context is never taken: it belongs to another program, and may change under one's feet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from korthweb_tasks import paths
from korthweb_tasks.core import hints
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.words import nearest
from korthweb_tasks.errors import SettingsError
from korthweb_tasks.files import check_trusted
from korthweb_tasks.settings.choice import LAB_PREFIX, choose_context, chosen_context, forget_context, lab_of
from korthweb_tasks.settings.cluster import ClusterSettings
from korthweb_tasks.settings.kubeconfig import (
    KubeContext,
    complete,
    contexts_in,
    known_contexts,
    login_ended,
    search_files,
)
from korthweb_tasks.settings.load import Loaded
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets

__all__ = ["ChosenCluster", "choose_context", "chosen_context", "forget_context", "known_names", "lab_of", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenCluster(Cluster):
    """The cluster that is meant, as the kubeconfig and the settings have it.

    ``name`` is what the user calls it, ``chosen_by`` says how it came to be this one, ``fingerprint`` is of all that
    the kubeconfig says of it.
    """

    name: str
    settings: ClusterSettings
    chosen_by: str = "--context"
    fingerprint: str = field(default="", repr=False)

    @property
    def lab(self) -> str | None:
        """Return the name of the lab that this is, if it is one."""
        return lab_of(self.context)


def resolve(
    loaded: Loaded | Settings, context: str | None = None, *, environ: Mapping[str, str] | None = None
) -> ChosenCluster:
    """Return the cluster that is meant; with bare Settings, messages know no lines.

    The order: ``context`` (the flag), ``context`` of the settings, the choice of ``context.use``, the only cluster of
    the settings. Raises SettingsError where there is no choice, no such context, or a kubeconfig is missing or broken.
    """
    if isinstance(loaded, Settings):
        loaded = Loaded(loaded, {}, Secrets(), paths.project_dir())
    word, chosen_by = _word(loaded, context)
    if not word.strip():
        raise SettingsError(f"{chosen_by}: the name of the cluster is empty", hint=hints.task("context.list"))
    return named(loaded, word, chosen_by, environ=environ)


def unreached(loaded: Loaded, context: str | None = None) -> ChosenCluster:
    """Return the cluster that is meant by its name alone, for who never speaks to it; no kubeconfig needs to know it.

    Raises SettingsError where there is no choice.
    """
    try:
        return resolve(loaded, context)
    except SettingsError:
        word, chosen_by = _word(loaded, context)
        cluster = loaded.settings.clusters.get(word, ClusterSettings(context=word))
        return ChosenCluster(cluster.context, name=word, settings=cluster, chosen_by=chosen_by)


def named(
    loaded: Loaded, word: str, chosen_by: str = "--context", *, environ: Mapping[str, str] | None = None
) -> ChosenCluster:
    """Return the cluster called ``word``: a name of the settings, a context, or a lab's."""
    if cluster := loaded.settings.clusters.get(word):
        found = _configured(loaded, word, cluster, environ)
        own = cluster.kubeconfig is not None
        found = _verified(loaded, complete(found, alone=own, environ=environ))
        return _reference(word, found, cluster, chosen_by, own_file=own)
    contexts = known_contexts(environ)
    for name in (word, f"{LAB_PREFIX}{word}"):
        for found in contexts:
            if found.name == name and (found.name == word or not found.searched):
                found = _verified(loaded, complete(found, alone=False, environ=environ))
                return _reference(found.name, found, ClusterSettings(context=found.name), chosen_by)
    raise _unknown(loaded, word, chosen_by, contexts, environ)


def _verified(loaded: Loaded, context: KubeContext) -> KubeContext:
    """Return ``context``; raises SettingsError where its server's certificate is not looked at."""
    if context.unverified and "unverified-cluster" not in loaded.settings.accept_risks:
        raise SettingsError(
            f"context {context.name} says insecure-skip-tls-verify: whoever answers at {context.server} would be "
            "given passwords and rights",
            hint="put the cluster's certificate-authority into the kubeconfig, "
            "or accept_risks: [unverified-cluster] in korthweb.yaml",
        )
    return context


def server_now(ref: ChosenCluster) -> str:
    """Return the server that ``ref`` leads to by the kubeconfig as it is now; nothing where all of it is as it was.

    The kubeconfig is kubectl's file: each program that is started reads it anew.
    """
    if not ref.fingerprint:
        return ""
    found, file = _found_again(ref), ref.kubeconfig
    now = complete(found, alone=bool(file)) if found else None
    if now and now.fingerprint == ref.fingerprint:
        return ""
    return now.server if now else "none"


def expired(ref: ChosenCluster) -> str:
    """Return when the login that the kubeconfig holds for ``ref`` expired; empty where nobody can tell."""
    found = _found_again(ref)
    return login_ended(found, alone=bool(ref.kubeconfig)) if found else ""


def _found_again(ref: ChosenCluster) -> KubeContext | None:
    file = ref.kubeconfig
    contexts = contexts_in(Path(file)) if file else known_contexts()
    return next((one for one in contexts if one.name == ref.context), None)


def require_settings(loaded: Loaded, ref: ChosenCluster) -> None:
    """Raise SettingsError where no settings file was found for a cluster that is not a lab of this machine.

    Without one the built-in tenants would hold, which are examples: they belong on no cluster of a hospital.
    """
    if loaded.file is not None or ref.lab is not None:
        return
    here = paths.settings_file()
    if here.exists():
        raise SettingsError(f"{here} says nothing", hint=f"`{hints.task('config.keys')}` lists what it may say")
    folders = (here.parent, *here.parent.parents)
    names = [str(folder / name) for folder in folders for name in _alike(folder)]
    raise SettingsError(
        f"no {paths.SETTINGS} here or above, and {ref.name} is not a lab",
        hint=hints.shell("mv", names[0], here)
        if names
        else f"`{hints.task('config.init')}` writes one; --settings FILE names another file",
        details=f"looked in {here.parent} and above" + (f"; there is {', '.join(names)}" if names else ""),
    )


def _alike(folder: Path) -> list[str]:
    """Return the names in ``folder`` that are nearly that of the settings file."""
    try:
        names = [path.name for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []
    return get_close_matches(paths.SETTINGS, names, n=3, cutoff=0.8)


def known_names(loaded: Loaded, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return every name that --context takes: clusters of the settings, then contexts no cluster stands for."""
    clusters = loaded.settings.clusters
    covered = {cluster.context for cluster in clusters.values()}
    contexts = [context.name for context in known_contexts(environ) if context.name not in covered]
    return [*clusters, *(name for name in contexts if name not in clusters)]


def _word(loaded: Loaded, context: str | None) -> tuple[str, str]:
    if context is not None:
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
        hint=f"`{hints.task('context.use', 'NAME')}`, or --context NAME"
        if known
        else _missing_files(None) or none_known(),
        details=_listed(known),
    )


def _configured(loaded: Loaded, name: str, cluster: ClusterSettings, environ: Mapping[str, str] | None) -> KubeContext:
    place = loaded.origin(f"clusters.{name}.context")
    if cluster.kubeconfig:
        path = loaded.project / Path(cluster.kubeconfig).expanduser()
        check_trusted(path)  # a kubeconfig may name programs that are run
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
        hint=_missing_files(environ) or f"`{hints.task('context.list')}` shows what there is",
        details=_listed(names),
    )


def _reference(
    name: str, found: KubeContext, cluster: ClusterSettings, chosen_by: str, *, own_file: bool = False
) -> ChosenCluster:
    # a context of kubectl's own search may have its user in another of those files: let kubectl search
    file = None if found.searched and not own_file else str(found.file)
    way = {"server": found.server, "plugin": found.plugin, "proxy": found.proxy, "fingerprint": found.fingerprint}
    return ChosenCluster(found.name, file, name=name, settings=cluster, chosen_by=chosen_by, **way)


def _unknown(
    loaded: Loaded, word: str, chosen_by: str, contexts: list[KubeContext], environ: Mapping[str, str] | None
) -> SettingsError:
    known = known_names(loaded, environ)
    lab = word.removeprefix(LAB_PREFIX)
    if word.startswith(LAB_PREFIX) and lab:
        again = hints.task("lab.up", name="" if lab == "lab" else lab)
        hint = f"`{again}`, or `{hints.task('context.list')}` shows others"
    else:
        hint = _missing_files(environ) if not contexts else f"`{hints.task('context.list')}` shows what there is"
    by = "" if chosen_by == "--context" else f" (chosen by {chosen_by})"
    return SettingsError(f"no cluster or context {word!r}{by}{nearest(word, known)}", hint=hint, details=_listed(known))


def _missing_files(environ: Mapping[str, str] | None) -> str:
    files = search_files(environ)
    if any(path.exists() for path in files):
        return ""
    return f"there is no kubeconfig at {', '.join(map(str, files))}; {none_known()}"


def none_known() -> str:
    """Return what to type where no cluster is known: one that is there comes first."""
    return (
        f"for a cluster that is there set KUBECONFIG to its file, or write it under clusters: in {paths.SETTINGS} "
        f"(`{hints.task('config.init')}` writes that), then --context NAME; "
        f"`{hints.task('lab.up')}` makes a cluster on this machine"
    )


def _listed(names: list[str]) -> str:
    return f"known: {', '.join(names)}" if names else ""
