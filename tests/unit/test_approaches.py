"""What every approach owes to the rest of korthweb; and a fourth one, which is a folder, its tasks and a name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from korthweb_tasks.approaches.base import Approach, every, removal
from korthweb_tasks.collections import assemble
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.paths import artifacts_dir
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import Secrets

ROOT = Path(__file__).parents[2]
SETTINGS = Settings()
approaches = pytest.mark.parametrize("approach", every(), ids=lambda one: one.name)


@approaches
def test_its_tasks_are_there(approach: Approach) -> None:
    tasks = assemble().task_names
    usual = ("check", approach.first, "deploy", "diff", "status", "credentials", "destroy")
    assert {f"{approach.name}.{task}" for task in usual} <= set(tasks)
    suggested = [removal(approach.name, "BHC"), approach.preview, *approach.proofs]
    assert {text.removeprefix("korthweb ").split()[0] for text in suggested} <= set(tasks)


@approaches
def test_its_artifacts_are_shipped_with_a_readme_and_a_page_of_the_docs(approach: Approach) -> None:
    assert (artifacts_dir(approach.name) / "README.md").is_file()
    assert (ROOT / "docs" / f"{approach.name}.md").is_file()
    assert f"({approach.name}.md)" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")


@approaches
def test_where_its_tenants_answer_is_among_what_it_makes(approach: Approach) -> None:
    lookup = approach.lookup
    place, service = lookup.own or lookup.ingress
    beside = {"orthanc-traefik", "ingress"}  # of Traefik's own chart; of a gateway beside somebody else's mesh
    assert place == "{ns}"
    assert f"service/{service}" in approach.makes or service in beside
    assert lookup.password.secret == "orthanc-users"
    assert {"secret/orthanc-users", "deployment/orthanc", "service/orthanc"} <= approach.makes


@approaches
def test_its_answers_for_the_settings_fit_each_other(approach: Approach) -> None:
    tenant = SETTINGS.tenants[0]
    names = approach.components(SETTINGS)
    assert len(set(names)) == len(names)
    assert tenant.namespace not in approach.namespaces(SETTINGS)
    keeper = approach.keeper(SETTINGS, Cluster("x"), Secrets({}), tenant)
    assert keeper.probes()
    assert not approach.brings(SETTINGS, tenant)  # nothing, unless the settings name it
    assert approach.wanted(SETTINGS, (tenant.namespace,)).namespaces == (tenant.namespace,)


FOURTH = """
from korthweb_tasks.approaches.base import Approach, Key, Lookup
from korthweb_tasks.approaches.manual.approach import APPROACH as MANUAL

APPROACH = Approach(
    name="toy",
    lookup=Lookup(ingress=("{ns}", "toy"), cas=(Key("{ns}", "toy-ca", "tls.crt"),), password=MANUAL.lookup.password),
    makes=frozenset({"deployment/orthanc"}),
    components=lambda _: ("cert-manager",),
    namespaces=lambda _: ("toys",),
    wanted=MANUAL.wanted,
    keeper=MANUAL.keeper,
    first="play",
    remover="toy.put-away",
)
"""
TASKS = '''
from korthweb_tasks.collections.flags import task

@task(example="inv toy.play")
def play(session):
    """Play."""
'''
#: run in a process of its own, since the names are read when korthweb is loaded: this is "its name in the table"
TRIAL = """
import sys
from korthweb_tasks.settings import approaches
approaches.APPROACHES += ("toy",)
import korthweb_tasks.approaches, korthweb_tasks.collections
korthweb_tasks.approaches.__path__.append(sys.argv[1] + "/approaches")
korthweb_tasks.collections.__path__.append(sys.argv[1] + "/collections")
from korthweb_tasks.collections import ORDER, assemble
ORDER["toy"] = ()

from korthweb_tasks.approaches.base import approach_of, removal
from korthweb_tasks.approaches.shared.ownership import Place, refusal
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.errors import VerifyFailed
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.tools.kubectl import Kubectl
from korthweb_tasks.verify.endpoints import find_endpoint
from tests.fakes import Answer, ScriptedRunner

settings = Settings(approach="toy")
tenant = settings.tenants[0]
assert "toy.play" in assemble().task_names
assert removal("toy", "BHC").endswith("toy.put-away BHC")
assert approach_of("toy").preview.endswith("toy.play --dry-run")
place = Place({"metadata": {"name": tenant.namespace, "uid": "1"}}, ())
assert "did not make the namespace" in refusal(tenant, "toy", place).message
try:
    find_endpoint(ScriptedRunner({("get",): Answer()}).run, Kubectl(Cluster("x")), tenant, "toy")
except VerifyFailed as error:
    assert "secret/toy-ca" in error.message, error.message
    print("all of it")
"""


def test_a_fourth_approach_is_a_folder_its_tasks_and_a_name(tmp_path: Path) -> None:
    for name, text in {"approaches/toy/approach.py": FOURTH, "collections/toy.py": TASKS}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "approaches/toy/__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", TRIAL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "all of it\n", done.stderr[-2000:]
