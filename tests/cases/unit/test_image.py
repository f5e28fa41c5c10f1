"""What runs inside of the vendors' images: scripts, probes and hooks of all three approaches, and of the tasks.

The lists are data: korthweb_tasks/lab/recipes/commands.yaml.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.approaches.manual.manifests import Manifests
from korthweb_tasks.approaches.manual.render import rendered
from korthweb_tasks.approaches.shared.common import SCRIPTS, Artifacts
from korthweb_tasks.core.render import parse
from korthweb_tasks.lab.commands import vendors
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets
from korthweb_tasks.verify.isolation import probes, questions
from tests.fleet_share import fleet, objects
from tests.shell_words import commands

REPOSITORY = Path(__file__).parents[3]
#: part of an image's name -> its list; a base of the fleet calls CloudNativePG's image just "postgres"
LISTS = {"orthanc": "orthanc", "library/postgres:": "postgres", "postgres": "postgresql"}
SHELLS = ("sh", "bash", "dash")
#: a script that starts another one
CALLED = re.compile(r"\b(sh|bash|python3)\s+(\S*/)?([a-z-]+\.(?:sh|py))\b")


def manual() -> list[dict[str, Any]]:
    made = Manifests(Settings(), Secrets(), Artifacts.read(REPOSITORY / "manual"))
    files = rendered(made, made.settings.tenants[:1])
    return [obj for name, text in files.items() if name.endswith(".yaml") and "/" not in name for obj in parse(text)]


def helm() -> list[dict[str, Any]]:
    """Return the golden renders: a simulated test holds the chart to them."""
    return [
        obj for file in sorted((REPOSITORY / "tests/golden/helm").glob("*.yaml")) for obj in parse(file.read_text())
    ]


def gitops() -> list[dict[str, Any]]:
    return objects(fleet().files())


APPROACHES = {"manual": manual, "helm": helm, "gitops": gitops}


@dataclass(frozen=True)
class Call:
    """One command line in one container."""

    where: str
    image: str
    argv: tuple[str, ...]


def calls(found: list[dict[str, Any]]) -> Iterator[Call]:
    """Yield whatever the containers of these objects run: command, probes and hooks."""
    for obj in found:
        spec = obj.get("spec", {}).get("template", obj).get("spec", {})
        for container in [*spec.get("initContainers", ()), *spec.get("containers", ())]:
            if "image" not in container:  # a patch of an overlay
                continue
            where = f"{obj['kind']}/{obj['metadata']['name']} {container['name']}"
            lifecycle = container.get("lifecycle", {})
            handlers = [container.get(f"{kind}Probe", {}) for kind in ("startup", "liveness", "readiness")]
            handlers += [lifecycle.get(moment, {}) for moment in ("postStart", "preStop")]
            lines = [handler["exec"]["command"] for handler in handlers if "exec" in handler]
            if "command" in container:
                lines.append([*container["command"], *container.get("args", ())])
            elif container.get("args") and not container["args"][0].startswith("-"):
                lines.append(container["args"])
            yield from (Call(where, container["image"], tuple(map(str, line))) for line in lines)


def files(found: list[dict[str, Any]]) -> dict[str, str]:
    """Return the scripts in the ConfigMaps, by name."""
    maps = [obj.get("data", {}) for obj in found if obj["kind"] == "ConfigMap"]
    return {name: text for data in maps for name, text in data.items() if name.endswith((".sh", ".py", ".lua"))}


def called(argv: tuple[str, ...], scripts: Mapping[str, str]) -> set[str]:
    """Return all commands that a command line leads to."""
    shell, rest = argv[0].rpartition("/")[2], argv[1:]
    if shell == "python3":
        return {shell, *python_calls(scripts[rest[-1].rpartition("/")[2]])}
    if shell not in SHELLS:
        return {shell}
    text = rest[1] if rest[0] == "-c" else scripts[rest[0].rpartition("/")[2]]
    bashism = shell != "bash" and any(only in text for only in ("/dev/tcp/", "${!", "[[ "))
    own = {shell, *commands(text, shell), *(["word of bash alone"] if bashism else [])}
    others = [
        (found[1], found[3]) for found in CALLED.finditer(text) if found[3] in scripts and scripts[found[3]] != text
    ]
    return own.union(*(called(other, scripts) for other in others))


def reached(argv: tuple[str, ...], scripts: Mapping[str, str]) -> set[str]:
    """Return the scripts that a command line leads to: its own, and those that it starts."""
    name = argv[1].rpartition("/")[2]
    return {name, *(found[3] for found in CALLED.finditer(scripts.get(name, "")))}


def python_calls(text: str) -> set[str]:
    """Return "module NAME" for what a script imports and python3 alone does not have, or starts programs with."""
    tree = ast.walk(ast.parse(text))
    names = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    known = set(sys.stdlib_module_names) - {"subprocess", "pty", "venv", "ensurepip", "distutils"}
    return {f"module {name}" for name in names if name.partition(".")[0] not in known}


def list_of(image: str) -> str:
    return next((name for part, name in LISTS.items() if part in image), "")


def lacking(found: list[dict[str, Any]]) -> list[str]:
    """Return what is called and not in the list of its image."""
    scripts, faults = files(found), []
    for call in calls(found):
        name = list_of(call.image)
        if not name:
            faults += [f"{call.where}: there is no list for {call.image}"] if call.argv[0] in SHELLS else []
            continue
        more = called(call.argv, scripts) - vendors()[name]
        faults += [f"{call.where}: {call.image} has no {one}" for one in sorted(more)]
    return faults


@pytest.mark.parametrize("approach", APPROACHES)
def test_F1_scripts_and_probes_call_only_what_their_image_has(approach: str) -> None:
    """F1: every command of every script, probe and hook is in the list of the image that it runs in."""
    found = APPROACHES[approach]()
    assert len(list(calls(found))) >= 4
    assert not lacking(found)


@pytest.mark.parametrize("approach", APPROACHES)
@pytest.mark.parametrize(
    "probe",
    [
        ["curl", "-f", "http://127.0.0.1:8042/system"],
        ["sh", "-c", "x=$(wget -qO- http://127.0.0.1:8042/system) && [ -n \"$x\" ]"],
        ["sh", "-c", "if ! nc -z 127.0.0.1 4242; then exit 1; fi"],
        ["bash", "-c", "trap 'psql -c x' EXIT; case $1 in a | b) openssl ;; *) exec timeout 3 perl -e 1 ;; esac"],
        ["sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/8042"],
    ],
    ids=["curl", "wget", "nc", "nested", "a bashism in sh"],
)  # fmt: skip
def test_F1_a_probe_with_another_command_is_refused(approach: str, probe: list[str]) -> None:
    """F1: the test above can fail, for a command anywhere in a probe of Orthanc."""
    found = APPROACHES[approach]()
    workloads = [obj["spec"]["template"]["spec"] for obj in found if obj["kind"] == "Deployment"]
    container = next(c for pod in workloads for c in pod["containers"] if c["name"] == "orthanc" and "image" in c)
    container["livenessProbe"] = {"exec": {"command": probe}}
    assert lacking(found)


@pytest.mark.parametrize("approach", APPROACHES)
def test_F1_all_approaches_run_the_same_scripts(approach: str) -> None:
    """F1: what runs in the pods of Orthanc is written once, in the chart's folder."""
    found = APPROACHES[approach]()
    there = files(found)
    for name in SCRIPTS:
        agreed = (REPOSITORY / "helm/orthanc/files" / name).read_text(encoding="utf-8")
        assert there[name].strip() == agreed.strip(), name
    ours = [call.argv for call in calls(found) if list_of(call.image) and call.argv[0] in SHELLS]
    run = {name for argv in ours for name in reached(argv, there)}
    # Orthanc itself reads the filter
    assert set(SCRIPTS) - {"request-filter.lua"} <= run


def test_F1_what_the_tasks_run_in_pods_is_in_the_image_too() -> None:
    """F1: the probe pods of verify.isolation run Orthanc's image; nothing else of korthweb enters a pod."""
    made = probes.KubectlProbes(None, None, "docker.io/orthancteam/orthanc:26.8.1", "Always")  # type: ignore[arg-type]
    assert not lacking(list(made.objects("bhc-orthweb")))
    ask = questions.script([questions.http("a", "b"), questions.postgres("c", "d")])
    assert set(commands(ask, "bash")) <= vendors()["orthanc"]
    entering = {
        path.relative_to(REPOSITORY / "korthweb_tasks").as_posix()
        for path in (REPOSITORY / "korthweb_tasks").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Tuple, ast.List, ast.Call))
        for first in [next(iter(node.args if isinstance(node, ast.Call) else node.elts), None)]
        if isinstance(first, ast.Constant) and first.value == "exec"
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("Row", "user.get"))
    }
    assert entering == {"verify/isolation/probes.py"}


@pytest.mark.parametrize("name", ["orthanc", "postgres", "postgresql"])
def test_F1_no_list_has_what_the_vendors_took_out(name: str) -> None:
    """F1: the outsider is poor: no curl, wget, nc, openssl, perl; psql in PostgreSQL's own images alone."""
    gone = {"curl", "wget", "nc", "ncat", "openssl", "perl", "jq", "ps", "ip", "ss", "netstat"}
    assert not vendors()[name] & gone
    assert ("psql" in vendors()[name]) is (name != "orthanc")


def test_F1_what_a_script_starts_is_read_too() -> None:
    """F1: a command that hides in a second script, a test of bash, a substitution or a trap is seen."""
    scripts = {"a.sh": "bash /etc/korthweb/b.sh & exec Orthanc", "b.sh": 'x=1; [[ $x =~ (1) && $(jq .) ]] || "$(nc z)"'}
    assert called(("sh", "/etc/korthweb/a.sh"), scripts) == {"sh", "bash", "Orthanc", "jq", "nc"}
