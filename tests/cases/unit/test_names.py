"""S24, S27: names that fall together, and patterns that take more than they seem to."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from korthweb_tasks.settings import fields, quantities
from korthweb_tasks.settings.fleet import GitOpsSettings
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.secrets import secret_names
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.settings.versions import within

PACKAGE = Path(__file__).parents[3] / "korthweb_tasks"


def tenant(name: str, *users: str) -> dict[str, Any]:
    return {"name": name, "domain": f"{name.lower()}.example.org", "users": list(users)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tenant("A", "b-admin"), tenant("A-B", "admin")),
        (tenant("A", "b.admin"), tenant("A-B", "admin")),
        (tenant("A", "B_ADMIN"), tenant("a-b", "Admin")),
        (tenant("A", "b-postgres"), tenant("A-B", "admin")),
        (tenant("a-b-c", "d"), tenant("a", "b-c-d")),
    ],
)
def test_S24_two_tenants_never_share_one_password(one: dict[str, Any], other: dict[str, Any]) -> None:
    """S24: A with user b-admin and A-B with user admin have one variable; the database's is a user like others."""
    with pytest.raises(ValidationError, match="would share one password variable"):
        Settings.model_validate({"tenants": [one, other]})


def test_S24_two_users_of_a_tenant_never_share_one_password() -> None:
    """S24: b-c and b.c have one variable."""
    for users in (("b-c", "b.c"), ("b", "B"), ("b", "b")):
        with pytest.raises(ValidationError, match="would share one password variable"):
            Tenant.model_validate(tenant("A", *users))


def test_S24_tenants_with_like_names_are_fine() -> None:
    """S24: what does not fall together is accepted, and every password has a name of its own."""
    settings = Settings.model_validate({"tenants": [tenant("A", "admin", "b"), tenant("A-B", "admin", "x")]})
    names = secret_names(settings.tenants)
    assert len(set(names)) == len(names)


FIELDS: list[tuple[Callable[[str], Any], str]] = [
    (fields.dns_label, "bhc"),
    (fields.dns_name, "a.b"),
    (fields.sql_name, "orthanc"),
    (fields.domain_name, "bhc.example.org"),
    (fields.ae_title, "BHC"),
    (quantities.storage_size, "10Gi"),
    (quantities.memory_size, "512Mi"),
    (quantities.cores, "500m"),
    (fields.user_name, "admin"),
    (fields.plain_name, "hospital"),
    (fields.image_name, "docker.io/library/postgres:17"),
    (fields.host_port, "pacs.example.org:11112"),
    (fields.environment_name, "PILOT_X"),
    (lambda text: within(text, ">=1"), "1.2.3"),
    (lambda text: GitOpsSettings(url=text), "https://git.example.org/fleet.git"),
    (lambda text: GitOpsSettings(interval=text), "10m"),
    (lambda text: GitOpsSettings(branch=text), "main"),
    (lambda text: GitOpsSettings(author=text), "Fleet <fleet@example.org>"),
]


@pytest.mark.parametrize(("check", "text"), FIELDS)
@pytest.mark.parametrize("spoil", ["{}\n", "{}\u0663", "{}\u00b2", "{}\u00e9", "\n{}", "{}\x00", "{}\u2028"])
def test_S27_only_the_whole_text_counts(check: Callable[[str], Any], text: str, spoil: str) -> None:
    """S27: no final newline, no digits or letters of other scripts."""
    check(text)
    if "author" in str(check.__code__.co_names) and spoil != "{}\n":  # the name of a person may be in any script
        return
    with pytest.raises(ValueError):  # noqa: PT011  # pydantic's and ours
        check(spoil.format(text))


@pytest.mark.parametrize("port", ["\u0661\u0661", "1\n", "\u00b9", "1_0", "+1", " 1"])
def test_S27_a_port_is_made_of_digits(port: str) -> None:
    """S27: int() takes more than a port may be."""
    with pytest.raises(ValueError, match="is not written like"):
        fields.host_port(f"pacs.example.org:{port}")


def _patterns() -> Iterator[tuple[str, str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                whole, first = ast.unparse(node), node.args[0]
                literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
                if literal and ast.unparse(node.func.value) == "re":
                    yield f"{path}:{node.lineno}", ast.literal_eval(first), whole


def test_S27_no_pattern_of_the_sources_ends_in_a_dollar_or_takes_other_scripts() -> None:
    """S27: `$` matches before a final newline, and \\d and \\w take every script."""
    faults = []
    for place, pattern, call in _patterns():
        lines = "MULTILINE" in call or "(?m)" in pattern
        if re.search(r"(?<!\\)\$\)*\Z", pattern) and not lines:
            faults.append(f"{place}: {pattern} ends in $: use fullmatch")
        if re.search(r"\\[dw]", pattern) and "ASCII" not in call:
            faults.append(f"{place}: {pattern} has \\d or \\w: use [0-9]")
    assert not faults, "\n".join(faults)


def test_S27_digits_are_not_asked_of_str() -> None:
    """S27: str.isdigit() says yes to other scripts; the lab asks it of names that the kernel makes."""
    asked = [
        f"{path}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "lab" not in path.relative_to(PACKAGE).parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("isdigit", "isdecimal", "isnumeric", "isalnum", "isalpha")
    ]
    assert not asked
