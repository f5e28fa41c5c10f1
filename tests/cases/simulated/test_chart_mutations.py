"""Each defence of the chart is taken out of a copy, one by one, and the case's own test turns red (S11, S24 to S28)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from korthweb_tasks.core.cluster import Cluster
from tests.cases.simulated import test_settings_chart as cases


@dataclass(frozen=True)
class Mutation:
    """``old`` in ``file`` of the chart becomes ``new``, and ``test`` must turn red."""

    file: str
    old: str
    new: str
    test: Callable[[], None]


GUARD, CHECKS, NAMES, CONFIG = (
    f"templates/{name}" for name in ("_guard.tpl", "checks.yaml", "_names.tpl", "_config.tpl")
)
SCHEMA, RESERVED = "values.schema.json", "files/reserved.json"


def _reserved(name: str) -> Callable[[], None]:
    return lambda: cases.test_S11_the_chart_refuses_the_namespaces_that_the_settings_refuse(name)


def _text(place: str, value: object) -> Callable[[], None]:
    return lambda: cases.test_S27_patterns_of_the_chart_take_no_final_newline_and_no_other_script(place, value)


def _word(mode: str = "bundled") -> Callable[[], None]:
    return lambda: cases.test_S28_a_word_stays_a_word_wherever_the_chart_puts_it(mode)


def _shared() -> None:
    cases.test_S24_two_users_of_the_chart_share_no_password("helm")


MUTATIONS = {
    "S11: no namespace is reserved": Mutation(GUARD, 'list "orthanc.wrongNamespace" ', "list ", _reserved("default")),
    "S11: no prefix is reserved": Mutation(GUARD, "if hasPrefix $prefix $place", "if false", _reserved("kube-system")),
    "S11: a name less": Mutation(RESERVED, '"default"', '"default-less"', _reserved("default")),
    "S24: users may share": Mutation(CHECKS, "if hasKey $holders $variable", "if false", _shared),
    "S24: the database's too": Mutation(
        CHECKS, '$holders := dict "ORTHANC_POSTGRES_PASSWORD" "the database"', "$holders := dict", _shared
    ),
    "S27: any host": Mutation(
        SCHEMA,
        r'"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"',
        '""',
        _text("hosts.dicom", "dicom.example.org`) || HostSNI(`*"),
    ),
    "S27: any AE title": Mutation(SCHEMA, r'"^[ -\\[\\]-~]*[!-\\[\\]-~][ -\\[\\]-~]*$"', '""', _text("aet", "A\n")),
    "S27: any user": Mutation(SCHEMA, '"^[A-Za-z0-9][A-Za-z0-9._@-]*$"', '""', _text("users", ["admin\n"])),
    "S28: a name without quotes": Mutation(CONFIG, ".Values.name | quote", ".Values.name", _word()),
    "S28: a user without quotes": Mutation(CONFIG, "{{ . | quote }}:", "{{ . }}:", _word()),
    "S28: a namespace without quotes": Mutation(
        "templates/config.yaml", ".Release.Namespace | quote", ".Release.Namespace", _word()
    ),
    "S28: a Secret without quotes": Mutation(
        "templates/_database.tpl", 'databaseSecret" . | quote', 'databaseSecret" .', _word()
    ),
    "S28: an owner without quotes": Mutation(
        "templates/postgres.yaml", "owner: {{ .Values.postgresql.user | quote", "owner: {{ .Values.postgresql.user",
        _word("operators"),
    ),
    "S28: a pull secret without quotes": Mutation(NAMES, "- name: {{ . | quote }}", "- name: {{ . }}", _word()),
    "S28: an issuer without quotes": Mutation(
        "templates/certificates.yaml", '"%s-ca" $name) | quote', '"%s-ca" $name)', _word("operators")
    ),
}  # fmt: skip
#: S25 needs a cluster to look into: kind of Secret -> what is taken out
WEAK = {
    "one that is brought": ("users", CHECKS, "else if $secret.passwords", "else if false"),
    "one that is found": ("users, found", CHECKS, "if get $data $key", "if false"),
    "a short one": ("database, found", GUARD, "if lt (len .password)", "if lt 0"),
    "a known one": ("users, found", GUARD, "else if has (lower .password) $table.known", "else if false"),
    "a line break": ("database, found", GUARD, 'else if regexMatch "[[:cntrl:]]" .password', "else if false"),
}


@pytest.fixture
def mutated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Give what lets the cases use a copy of the chart in which one text is another."""

    def mutate(file: str, old: str, new: str) -> None:
        copy = tmp_path / "chart"
        shutil.copytree(cases.chart(), copy)
        text = (copy / file).read_text(encoding="utf-8")
        assert old in text, "the defence is not where it was: this test has to follow it"
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
        monkeypatch.setattr(cases, "chart", lambda: str(copy))

    return mutate


@pytest.mark.parametrize("name", MUTATIONS)
def test_S18_a_defence_that_is_taken_out_of_the_chart_turns_its_case_red(
    name: str, mutated: Callable[[str, str, str], None]
) -> None:
    """S11, S18, S24, S27, S28: no defence is held by another one that nobody tests."""
    one = MUTATIONS[name]
    one.test()
    mutated(one.file, one.old, one.new)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        one.test()


@pytest.mark.parametrize("name", WEAK)
def test_S25_a_look_at_passwords_that_is_taken_out_of_the_chart_turns_its_case_red(
    name: str,
    mutated: Callable[[str, str, str], None],
    simulated: Cluster,
    simulated_programs: dict[str, str],
) -> None:
    """S25: each look, and each reason."""
    kind, file, old, new = WEAK[name]
    mutated(file, old, new)
    with pytest.raises(AssertionError):
        cases.test_S25_a_secret_with_a_weak_password_is_refused_by_the_chart(
            "helm", kind, simulated, simulated_programs
        )
