"""What the lab's tasks do, with the settings' options, add-ons, and the project's choice of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, TypeVar

from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration
from korthweb_tasks.errors import GuardRefused, NotReady, UsageError
from korthweb_tasks.lab import labs
from korthweb_tasks.provision import prune as caches
from korthweb_tasks.run.console import say
from korthweb_tasks.services.simulated import told
from korthweb_tasks.settings.choice import LAB_PREFIX
from korthweb_tasks.settings.resolve import choose_context, chosen_context, forget_context
from korthweb_tasks.settings.show import columns

if TYPE_CHECKING:
    from pathlib import Path

    from korthweb_tasks.lab.labs import InstalledAddon, LabInfo, LabStatus, Options
    from korthweb_tasks.services.session import Session
    from korthweb_tasks.settings.model import Settings

Place = TypeVar("Place")


class NotInLab(UsageError):
    """The lab has not been given what its settings take from there."""


def up(session: Session, name: str | None, *, simulated: bool, addon: str | None) -> None:
    """Bring a lab up with an add-on, and show how to use it; with --dry-run show what would be done."""
    name = name or session.settings.lab.name
    more = labs.addon(addon, simulated=simulated).components() if addon else []
    if session.dry_run:
        preview = labs.preview(name, simulated=simulated, options=options(session.settings, more))
        session.emit(preview, "\n".join(f"{key}: {value}" for key, value in preview.items()))
        return
    info = ensure_up(session, name, simulated=simulated, more=more)
    installed = install_addon(session, name, addon) if addon else None
    chosen = is_chosen(session, info.context)
    data = {**info.as_dict(), "chosen": chosen, **({"extra": installed.as_dict()} if installed else {})}
    lines = _up_lines(info, chosen)
    if installed:
        lines += _addon_lines(installed)
    elif simulated:
        lines.append(told(info.context))
    session.emit(data, "\n".join(lines))


def ensure_up(session: Session, name: str, *, simulated: bool = False, more: Sequence[str] = ()) -> LabInfo:
    """Bring a lab up, and build the components ``more`` along; it becomes the project's choice where there is none."""
    info = labs.up(
        name,
        simulated=simulated,
        console=session.console,
        options=options(session.settings, more),
        runner=session.runner,
    )
    project = session.loaded.project
    if chosen_context(project) is None and session.settings.context is None:
        choose_context(info.context, project)
    return info


def install_addon(session: Session, name: str, addon: str) -> InstalledAddon:
    """Install an add-on in a running lab, with the charts' versions of the settings."""
    versions = {name: chart.version for name, chart in session.settings.charts.items()}
    runner, keep = session.runner, session.settings.lab.keep_build_caches
    return labs.install(name, addon, session.console, versions=versions, runner=runner, keep_build_caches=keep)


def in_lab(
    session: Session, addon: str, what: str, look: Callable[[str], Place | None], *, key: str, bring: bool
) -> Place:
    """Return what ``look`` finds in the lab; where it is not there yet, ``bring`` installs the add-on that has it.

    Raises UsageError where ``key`` of the settings says lab and the cluster is none, NotInLab.
    """
    context = session.ref.context
    lab = context.removeprefix(LAB_PREFIX)
    if lab == context:
        text = f"{key} is lab, but {context} is no lab"
        raise UsageError(text, hint=f"{key} in korthweb.yaml: an address of one's own")
    found = look(lab)
    if found is None and bring:
        install_addon(session, lab, addon)
        found = look(lab)
    if found is None:
        raise NotInLab(f"the lab '{lab}' has no {what} yet", hint=hints.task("lab.up", name=lab, with_=addon))
    return found


def chart_in_lab(session: Session, name: str, addon: str, *, bring: bool) -> tuple[str, str]:
    """Return where the lab has a chart of the settings, and the file of its registry's authority; as ``in_lab``."""
    version = session.settings.charts[name].version

    def look(lab: str) -> tuple[str, Path] | None:
        return labs.chart_source(lab, name, version)

    key = f"charts.{name}.source"
    source, authority = in_lab(session, addon, f"chart {name} {version}", look, key=key, bring=bring)
    return source, str(authority)


def is_chosen(session: Session, context: str) -> bool:
    """Return True if tasks without --context speak to this one."""
    return (session.settings.context or chosen_context(session.loaded.project)) == context


def options(settings: Settings, more: Sequence[str] = ()) -> Options:
    """Return what the settings say about labs; ``more`` are components to build along."""
    lab = settings.lab
    return labs.Options(
        subnet=IPv4Network(str(lab.subnet)) if lab.subnet else labs.DEFAULT_SUBNET,
        volume_size=lab.volume_size,
        volumes=settings.storage_volumes,
        keep_build_caches=lab.keep_build_caches,
        image_mode=lab.images,
        mirror=settings.images.registry,
        more=tuple(more),
    )


def show_status(session: Session, name: str | None) -> None:
    """Show what one lab, or each, runs; raises NotReady where one does not run."""
    wanted = [name] if name else labs.names() or [session.settings.lab.name]
    statuses = [labs.status(lab) for lab in wanted]
    tables = [_table(status) for status in statuses if status.state != "absent"]
    session.emit([status.as_dict() for status in statuses], "\n\n".join(tables) or "no lab")
    for status in statuses:
        if status.state != "running":
            absent = status.state == "absent"
            message = f"there is no lab '{status.name}'" if absent else f"lab '{status.name}' is {status.state}"
            raise NotReady(message, hint=hints.task("lab.up", name=status.name))


def down(session: Session, name: str | None) -> None:
    """Remove a lab with all its data, after a question; with --dry-run show what would go."""
    name = name or session.settings.lab.name
    before = labs.status(name)
    if session.dry_run:
        data = {"name": name, "would": "be removed", "state": before.state}
        session.emit(data, f"would be removed:\n{_table(before)}")
        return
    if before.state != "absent":
        session.confirm(f"Remove the lab '{name}' with all its data?")
    removed = labs.down(name, console=session.console, runner=session.runner)
    forget_context(f"korthweb-{name}")
    text = f"lab '{name}' is removed" if removed else f"there is no lab '{name}'"
    session.emit({"name": name, "removed": removed}, text)


def show_log(session: Session, component: str, name: str | None, *, follow: bool, lines: int) -> None:
    """Show the last lines of a component's log, and with ``follow`` those that come; raises UsageError."""
    path = labs.log_file(name or session.settings.lab.name, component)
    if session.output == "json":
        session.emit({"component": component, "path": str(path), "lines": labs.last_lines(path, lines)}, "")
        return
    for line in labs.last_lines(path, lines):
        say(line)
    if follow:
        labs.follow_log(path)


def prune(session: Session, *, builds: bool) -> None:
    """Remove the caches, or only those of builds, after a question; raises GuardRefused while a lab uses them."""
    chosen = caches.BUILD_CACHES if builds else None
    parts = caches.prune(chosen, dry_run=True)
    data = [{"part": part.name, "what": part.title, "bytes": part.size} for part in parts]
    lines = [f"{caches.human(part.size):>9}  {part.title} ({part.path})" for part in parts]
    text = "\n".join(lines) or "nothing is cached"
    if session.dry_run or not parts:
        session.emit(data, text)
        return
    if not builds and (names := labs.names()):
        running = ", ".join(names)
        raise GuardRefused(f"lab {running} runs from these caches", hint=hints.task("lab.down", name=names[0]))
    session.console.line(text)
    session.confirm("Remove them?")
    caches.prune(chosen)
    session.emit(data, f"{caches.human(sum(part.size for part in parts))} removed")


def _up_lines(info: LabInfo, chosen: bool) -> list[str]:
    how = f"up after {duration(info.seconds)}" if info.changed else "up already, nothing was changed"
    use = hints.task("context.use", info.context)
    choice = "the project's choice" if chosen else f"`{use}` makes it the project's choice"
    return [
        f"lab '{info.name}' is {how}; context {info.context}: {choice}",
        f"for plain kubectl: {info.export_line}",
    ]


def _addon_lines(installed: InstalledAddon) -> list[str]:
    charts = [f"chart of {chart}: {source}, {version}" for chart, (source, version) in installed.charts.items()]
    return [*charts, *([f"Git repository: {installed.git}"] if installed.git else [])]


def _table(lab: LabStatus) -> str:
    if lab.state == "absent":
        return f"there is no lab '{lab.name}'"
    kind = "simulated, " if lab.simulated else ""
    used = f", {size(lab.memory)} in all" if lab.memory else ""
    head = f"lab '{lab.name}': {kind}{lab.state}, {age(lab.age)} old{used}, {lab.server}, context {lab.context}"
    rows: list[tuple[str, ...]] = [("COMPONENT", "STATE", "PID", "MEMORY", "AGE", "ADDRESS")]
    for component in lab.components:
        numbers = (str(component.pid), size(component.memory), age(component.age))
        shown = numbers if component.pid else ("", "", "")
        rows.append((component.name, component.state, *shown, component.address))
    return f"{head}\n{columns(rows)}"


def size(number: float) -> str:
    """Return bytes as a person reads them: ``430 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def age(seconds: float) -> str:
    """Return a time as a person reads it: ``45s``, ``12m``, ``3h05m``, ``2d``."""
    whole = int(max(0, seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"
