"""The formats of a report. A new one is a row here, and a module of its name with ``render(report) -> str``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from korthweb_tasks.files import output
from korthweb_tasks.report.model import Report


@dataclass(frozen=True, slots=True)
class Format:
    """``file`` is what --report writes; ``printed``: --output prints it, too."""

    file: str
    printed: bool = True


#: module of korthweb_tasks.report -> its format; the module is loaded when it is asked for: listing tasks needs none
FORMATS: Mapping[str, Format] = {
    "html": Format("report.html", printed=False),
    "json": Format("report.json"),
    "junit": Format("junit.xml"),
}
#: what --output takes besides text, and what is in a folder of --report, as a person reads it
PRINTED = tuple(name for name, form in FORMATS.items() if form.printed)
OUTPUTS = ("text", *PRINTED)
_FILES = [form.file for form in FORMATS.values()]
FILES = f"{', '.join(_FILES[:-1])} and {_FILES[-1]}"


def rendered(report: Report, name: str) -> str:
    """Return the report in one format."""
    return str(import_module(f"{__package__}.{name}").render(report))


def write(report: Report, folder: Path) -> dict[str, Path]:
    """Write the report in every format into ``folder`` and return the paths by their names."""
    texts = {form.file: rendered(report, name) for name, form in FORMATS.items()}
    tree = output(folder)
    for name, text in texts.items():
        tree.write(name, text)
    return {name: folder / name for name in texts}
