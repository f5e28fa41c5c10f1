"""README and docs are true in form: every korthweb command in them parses, and every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.exceptions import ParseError
from invoke.parser import Parser

from korthweb_tasks.collections import assemble
from korthweb_tasks.main import program

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "ci" / "README.md",
    ROOT / "examples" / "hospital" / "README.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "library.md"),  # its commands are run
    *sorted(path for name in ("manual", "helm", "gitops") for path in (ROOT / name).rglob("*.md")),
]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4,}((?:\./korthweb|korthweb|inv) .*)$", re.MULTILINE)
INLINE = re.compile(r"`((?:\./korthweb|korthweb|inv) [^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
#: what stands for a person's own word in a command of the docs
PLACE = re.compile(r"\[.*?\]|<[^>]*>|…|\.\.\.$")


def commands(text: str) -> Iterator[str]:
    """Yield the commands of korthweb in a page: of shell blocks, of indented ones, and between backticks."""
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *INDENTED.findall(text), *(one.replace("\\|", "|") for one in INLINE.findall(text))]:
        command = line.partition("  #")[0].partition(" && ")[0].partition(" || ")[0].strip()
        if re.match(r"(\./korthweb|korthweb|inv) [a-z-]", command) and command.split()[1:] != ["a", "b", "c"]:
            yield command


def refused(command: str) -> str:
    """Return why the command does not parse, or nothing."""
    words = shlex.split(PLACE.sub("", command).replace("\\|", "|").partition(" > ")[0].partition(" | ")[0])[1:]
    own = words[: words.index("--")] if "--" in words else words
    contexts = assemble().to_contexts()
    try:
        core = Parser(initial=program.initial_context, ignore_unknown=True).parse_argv(own)
        tasks = Parser(contexts=contexts).parse_argv(core.unparsed)
    except ParseError as error:
        return str(error)
    given = [task.name for task in tasks]
    return "" if given or core[0].args["help"].value or len(words) != len(core.unparsed) else "no task"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_parses(page: Path) -> None:
    faults = {command: why for command in commands(page.read_text("utf-8")) if (why := refused(command))}
    assert not faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(link)
    assert not lost


@pytest.mark.parametrize(
    "command", ["inv manual.deplo", "korthweb manual.deploy --tennant BHC", "./korthweb context.use", "korthweb nope"]
)
def test_a_command_that_is_wrong_is_seen(command: str) -> None:
    assert refused(command)
