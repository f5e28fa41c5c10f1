"""A message names what was written, not what korthweb made of it (U26): one fault, at its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from korthweb_tasks.errors import SettingsError
from korthweb_tasks.settings.load import load

LONG = "a" * 60


def faults(tenants: str) -> list[str]:
    Path("korthweb.yaml").write_text(f"tenants:\n{tenants}")
    with pytest.raises(SettingsError) as wrong:
        load()
    first = wrong.value.message
    return [first, *wrong.value.details.splitlines()]


@pytest.mark.parametrize("name", ["b@d", "a b", "a_b", "-x", "Ümlaut", "x/y", "Ä"])
def test_U26_a_bad_name_is_one_fault(name: str) -> None:
    """U26: its namespace and AE title were told as two more."""
    (fault,) = faults(f"  - name: '{name}'\n    domain: x.org\n")
    assert fault.startswith(f"korthweb.yaml:2: tenants.{name}.name: {name!r} is not a DNS label")
    assert "orthweb'" not in fault


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("ABCDEFGHIJKLMNOPQ", "", "has 17 characters; DICOM allows 16 (it is made of the name"),
        (LONG, "aet: A", "at most 63 characters, no - at the ends) (it is made of the name"),
        ("kube-system", "", "is reserved for Kubernetes itself; a tenant needs a namespace of its own (it is made of"),
    ],
)  # fmt: skip
def test_U26_what_a_name_makes_is_told_at_the_name(name: str, more: str, says: str) -> None:
    """U26: nobody looks for a key that was not written."""
    (fault,) = faults(f"  - domain: x.org\n    name: {name}\n    {more}\n")
    assert fault.startswith(f"korthweb.yaml:3: tenants.{name}.name: ")
    assert says in fault
    assert "or set " in fault


@pytest.mark.parametrize(("key", "value"), [("aet", "A" * 17), ("namespace", "kube-public"), ("namespace", "b@d")])
def test_U26_what_was_written_is_told_where_it_was_written(key: str, value: str) -> None:
    """U26: a name that makes a bad one is no fault where another is set."""
    (fault,) = faults(f"  - domain: x.org\n    name: BHC\n    {key}: {value}\n")
    assert fault.startswith(f"korthweb.yaml:4: tenants.BHC.{key}: ")
    assert "made of the name" not in fault


def test_U26_a_long_name_with_an_aet_of_its_own_is_fine() -> None:
    """U26: what is not derived is not judged."""
    Path("korthweb.yaml").write_text("tenants: [{name: ABCDEFGHIJKLMNOPQ, aet: SHORT, domain: x.org}]\n")
    (tenant,) = load().settings.tenants
    assert (tenant.aet, tenant.namespace) == ("SHORT", "abcdefghijklmnopq-orthweb")


def test_U26_two_of_the_same_are_shown_as_written() -> None:
    """U26: not in small letters."""
    (fault,) = faults("  - {name: BHC, domain: x.org}\n  - {name: MHR, domain: y.org, aet: BHC}\n")
    assert "have the same aet 'BHC'" in fault
