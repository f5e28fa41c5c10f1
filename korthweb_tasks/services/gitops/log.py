"""The logs of Flux's controllers: the last lines in the order of time, or as they come."""

from __future__ import annotations

import json
import select
from contextlib import ExitStack
from typing import TYPE_CHECKING

from korthweb_tasks.core.words import unknown
from korthweb_tasks.errors import Interrupted
from korthweb_tasks.flux.log import read
from korthweb_tasks.run.console import say
from korthweb_tasks.tools.flux import CONTROLLERS, Flux

if TYPE_CHECKING:
    from collections.abc import Iterable

    from korthweb_tasks.flux.log import Line
    from korthweb_tasks.run.runner import Runner
    from korthweb_tasks.services.session import Session


def show(session: Session, controller: str, *, follow: bool, lines: int) -> None:
    """Print what one controller, or all of them, said; raises UsageError for a controller that is none."""
    if controller and controller not in CONTROLLERS:
        raise unknown("controller", controller, CONTROLLERS, "--controller takes")
    session.contact()
    flux = Flux(session.target, session.settings.flux)
    chosen = [CONTROLLERS[controller]] if controller else list(CONTROLLERS.values())
    if follow:
        print_stream(session.runner, flux, chosen, lines, as_json=session.output == "json")
    else:
        found = recent(session.runner, flux, chosen, lines)
        session.emit([line.as_data() for line in found], "\n".join(map(str, found)))


def recent(runner: Runner, flux: Flux, components: Iterable[str], lines: int) -> list[Line]:
    """Return the last ``lines`` of each controller, sorted by time."""
    texts = [runner.run(flux.logs(component, tail=lines)).stdout for component in components]
    entries = [read(line) for text in texts for line in text.splitlines() if line.strip()]
    return sorted(entries, key=lambda line: line.time)


def print_stream(runner: Runner, flux: Flux, components: Iterable[str], lines: int, *, as_json: bool) -> None:
    """Print what the controllers say as they say it, until Ctrl-C or until the last of them has ended."""
    with ExitStack() as stack:
        wanted = [flux.logs(component, follow=True, tail=lines) for component in components]
        rests = {stack.enter_context(runner.stream(command)): b"" for command in wanted}
        try:
            while rests:
                for stream in select.select(list(rests), (), (), 0.5)[0]:
                    *whole, rest = (rests[stream] + stream.read()).split(b"\n")
                    _print(whole, as_json=as_json)
                    rests[stream] = rest
                rests = {stream: rest for stream, rest in rests.items() if not stream.ended}
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None


def _print(lines: list[bytes], *, as_json: bool) -> None:
    for raw in lines:
        if raw.strip():
            line = read(raw.decode(errors="replace"))
            say(json.dumps(line.as_data()) if as_json else str(line))
