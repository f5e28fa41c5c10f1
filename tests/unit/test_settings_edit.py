"""korthweb.yaml changed by add-tenant and remove-tenant: nothing else of it moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from korthweb_tasks.errors import KorthwebError, UsageError
from korthweb_tasks.settings.edit import save, tenant_names, with_tenant, without_tenant

NEW: dict[str, Any] = {"name": "NEW", "domain": "new.example.org"}
BLOCK = """\
# our site
approach: gitops   # as agreed
tenants:  # who we serve
  # the first one
  - name: BHC
    domain: bhc.example.org  # keep
    # asked for by radiology
    replicas: {min: 2, max: 4}

  # the second one
  - name: MHR
    domain: mhr.example.org

orthanc:
  connections: 6  # tuned
"""
EXAMPLE = """\
tenants:  # healthcare facilities
- name: BHC  # short name
  domain: bhc.orthweb.com
#  namespace: bhc-orthweb
#  replicas:
#    min: 3
- name: MHR
  domain: mhr.orthweb.com
#  namespace: mhr-orthweb

#orthanc:
"""
FLOW = "tenants: [{name: BHC, domain: bhc.example.org}, {name: MHR, domain: mhr.example.org}]  # both\nprofile: lab\n"
CLUSTERS = """\
clusters:
  a:
    context: ctx-a
    tenants: [BHC, MHR]  # here
  b:
    context: ctx-b
    tenants:
    - BHC
  c:
    context: ctx-c  # all of them
tenants:
- {name: BHC, domain: bhc.example.org}
- {name: MHR, domain: mhr.example.org}
"""


@pytest.mark.parametrize("text", [BLOCK, EXAMPLE, FLOW, CLUSTERS], ids=["block", "example", "flow", "clusters"])
def test_a_tenant_added_and_removed_leaves_the_file_as_it_was(text: str) -> None:
    added = with_tenant(text, NEW)
    assert tenant_names(added) == ["BHC", "MHR", "NEW"]
    assert yaml.safe_load(added)["tenants"][:2] == yaml.safe_load(text)["tenants"]
    kept = [line for line in text.splitlines() if not line.startswith("tenants: [")]
    assert [line for line in added.splitlines() if line in kept] == kept
    assert without_tenant(added, "new") == text


def test_where_the_new_one_is_written() -> None:
    added = with_tenant(BLOCK, {**NEW, "replicas": {"min": 1}})
    assert (
        "    domain: mhr.example.org\n  - name: NEW\n    domain: new.example.org\n    replicas:\n      min: 1\n\no"
        in added
    )
    assert with_tenant(EXAMPLE, NEW).endswith(
        "#  namespace: mhr-orthweb\n- name: NEW\n  domain: new.example.org\n\n#orthanc:\n"
    )
    assert with_tenant(FLOW, NEW).splitlines()[0].endswith(", {name: NEW, domain: new.example.org}]  # both")


@pytest.mark.parametrize("text", ["", "profile: lab\n", "profile: lab", "tenants:\nprofile: lab\n", "# nothing\n"])
def test_the_tenants_that_held_by_default_stay(text: str) -> None:
    added = with_tenant(text, NEW)
    assert tenant_names(added) == ["BHC", "MHR", "NEW"]
    assert yaml.safe_load(added).get("profile") == (yaml.safe_load(text) or {}).get("profile")


def test_what_belongs_to_an_entry_goes_with_it_and_no_more() -> None:
    gone = without_tenant(BLOCK, "BHC")
    assert "radiology" not in gone
    assert "# the second one" in gone
    assert "# our site" in gone
    assert "6  # tuned" in gone
    lines = EXAMPLE.splitlines(keepends=True)
    assert without_tenant(EXAMPLE, "BHC") == "".join([lines[0], *lines[6:]])
    assert without_tenant(FLOW, "BHC").startswith("tenants: [{name: MHR")
    assert without_tenant(FLOW, "MHR").startswith("tenants: [{name: BHC, domain: bhc.example.org}]  # both")


def test_a_default_tenant_can_be_removed() -> None:
    assert yaml.safe_load(without_tenant("profile: lab\n", "MHR")) == {
        "profile": "lab",
        "tenants": [{"name": "BHC", "domain": "bhc.orthweb.com"}],
    }


def test_a_cluster_with_a_list_of_its_own() -> None:
    added = yaml.safe_load(with_tenant(CLUSTERS, NEW, "a"))
    assert added["clusters"]["a"]["tenants"] == ["BHC", "MHR", "NEW"]
    assert added["clusters"]["b"]["tenants"] == ["BHC"]
    assert "tenants" not in added["clusters"]["c"]
    assert yaml.safe_load(with_tenant(CLUSTERS, NEW, "b"))["clusters"]["b"]["tenants"] == ["BHC", "NEW"]
    # others run it still: it only leaves this cluster
    gone = yaml.safe_load(without_tenant(CLUSTERS, "MHR", "a"))
    assert gone["clusters"]["a"]["tenants"] == ["BHC"]
    assert len(gone["tenants"]) == 2
    listed = yaml.safe_load(without_tenant(CLUSTERS, "MHR", "c"))
    assert listed["clusters"]["c"] == {"context": "ctx-c", "tenants": ["BHC"]}
    assert len(listed["tenants"]) == 2


def test_what_can_not_be() -> None:
    with pytest.raises(UsageError, match="already"):
        with_tenant(BLOCK, {"name": "bhc", "domain": "x.org"})
    with pytest.raises(UsageError, match=r"no tenant in korthweb\.yaml called 'XYZ'"):
        without_tenant(BLOCK, "XYZ")
    with pytest.raises(UsageError, match="last tenant"):
        without_tenant("tenants:\n- name: BHC\n  domain: b.org\n", "BHC")
    with pytest.raises(UsageError, match="last tenant"):
        without_tenant(CLUSTERS, "BHC", "b")
    with pytest.raises(KorthwebError):
        with_tenant("tenants: [\n", NEW)


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "korthweb.yaml"
    path.write_text(BLOCK)
    path.chmod(0o600)
    save(path, "profile: lab\n")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("profile: lab\n", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["korthweb.yaml"]
