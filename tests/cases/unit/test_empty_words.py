"""An empty word is an error that names it, and never means "the usual one" (U4): settings, variables, files."""

from __future__ import annotations

from pathlib import Path

import invoke
import pytest

from korthweb_tasks import errors, manual, paths
from korthweb_tasks.settings.choice import chosen_context
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.resolve import resolve
from korthweb_tasks.settings.secrets import read_env


@pytest.fixture(autouse=True)
def _two_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a kubeconfig with a current context that nobody names, and settings with one cluster."""
    monkeypatch.chdir(tmp_path)
    names = ("x", "production")
    entries = "".join(f"- {{name: {name}, context: {{cluster: c, user: u}}}}\n" for name in names)
    Path("config").write_text(
        f"current-context: production\ncontexts:\n{entries}"
        "clusters: [{name: c, cluster: {server: https://x:6443}}]\nusers: [{name: u, user: {token: t}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    Path("korthweb.yaml").write_text("clusters: {hospital: {context: x}}\n")


@pytest.mark.parametrize("text", ["", "  "])
@pytest.mark.parametrize(
    "name",
    [
        "KORTHWEB__CONTEXT",
        "KORTHWEB__PROFILE",
        "KORTHWEB__APPROACH",
        "KORTHWEB__CLUSTERS__HOSPITAL__CONTEXT",
        "KORTHWEB__CLUSTERS__HOSPITAL__KUBECONFIG",
        "KORTHWEB__TENANTS__BHC__NAMESPACE",
        "KORTHWEB__TENANTS__BHC__REPLICAS__MAX",
        "KORTHWEB__STORAGE_CLASS",
        "KORTHWEB__GITOPS__URL",
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD",
        "KORTHWEB_SECRET_GIT_PASSWORD",
    ],
)
def test_U4_an_empty_variable_is_refused(name: str, text: str) -> None:
    """U4: in the environment (a variable of CI that is not set) and in .env; every kind of key."""
    with pytest.raises(errors.SettingsError) as refused:
        load(environ={name: text})
    assert f"environment {name} is empty: give it a value, or unset {name}" in refused.value.message
    Path(".env").write_text(f"{name}='{text}'\n")
    Path(".env").chmod(0o600)
    assert read_env(Path(".env"))[0] == {name: text}
    with pytest.raises(errors.SettingsError, match=rf"\.env:1: {name} is empty: give it a value, or take it away"):
        load(environ={})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("context: ''", "korthweb.yaml:1: context is empty"),
        ("context: ' '", "korthweb.yaml:1: context is empty"),
        ("context:", "korthweb.yaml:1: context is empty"),
        ("profile: ''", "korthweb.yaml:1: "),
        ("approach: ''", "korthweb.yaml:1: "),
        ("clusters: {hospital: {context: ''}}", "korthweb.yaml:1: clusters.hospital.context is empty"),
        (
            "clusters: {hospital: {context: x, kubeconfig: ''}}",
            "korthweb.yaml:1: clusters.hospital.kubeconfig is empty",
        ),
        ("clusters: {hospital: {context: x, kubeconfig: }}", "korthweb.yaml:1: clusters.hospital.kubeconfig is empty"),
        ("tenants: [{name: A, domain: a.example, namespace: ''}]", "korthweb.yaml:1: tenants.A.namespace is empty"),
        ("tenants: [{name: '', domain: a.example}]", "korthweb.yaml:1: "),
        ("storage_class: ''", "korthweb.yaml:1: storage_class is empty"),
        ("gitops: {url: ''}", "korthweb.yaml:1: gitops.url is empty"),
        ("images: {registry: ''}", "korthweb.yaml:1: images.registry is empty"),
    ],
)
def test_U4_an_empty_key_is_refused(text: str, says: str) -> None:
    """U4: in korthweb.yaml; a context or kubeconfig that was left out too."""
    Path("korthweb.yaml").write_text(f"{text}\n")
    with pytest.raises(errors.SettingsError) as refused:
        load(environ={})
    assert says in refused.value.message
    assert "empty" in refused.value.message or "''" in refused.value.message


@pytest.mark.parametrize("name", ["KORTHWEB_STATE", "KORTHWEB_CACHE"])
def test_U4_an_empty_folder_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """U4: not the usual folder, in which other labs are."""
    monkeypatch.setenv(name, "")
    with pytest.raises(errors.UsageError, match=f"{name} is empty") as refused:
        _ = paths.state_dir() / paths.cache_dir()
    assert f"unset {name}" in refused.value.hint


@pytest.mark.parametrize("text", ["", "prod.yaml"])
@pytest.mark.parametrize("name", ["KORTHWEB_SETTINGS", "KORTHWEB_CONTEXT", "KORTHWEB_TENANT", "KORTHWEB_KUBECONFIG"])
def test_U4_a_variable_that_names_a_target_in_vain_is_refused(name: str, text: str) -> None:
    """U4: it would be ignored, and the usual target taken."""
    with pytest.raises(errors.SettingsError, match=f"environment {name}: {name} is not read") as refused:
        load(environ={name: text})
    assert f"unset {name}" in refused.value.hint


def test_U22_other_variables_that_mean_nothing_are_told() -> None:
    """U22: with the right name."""
    given = {"KORTHWEB_PROFILE": "lab", "KORTHWEB_BHC_ADMIN_PASSWORD": "secret-word", "KORTHWEB_DEBUG": "1"}
    secret = "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD"
    told = {
        name: f"environment {name}: {name} is not read (did you mean {right}?)"
        for name, right in (("KORTHWEB_BHC_ADMIN_PASSWORD", repr(secret)), ("KORTHWEB_PROFILE", "KORTHWEB__PROFILE"))
    }
    assert load(environ=given).warnings == tuple(told.values())


def test_U4_an_empty_choice_is_no_choice() -> None:
    """U4: .korthweb/context that lost its text; the only cluster of the settings does not take its place."""
    Path(".korthweb").mkdir(mode=0o700)
    Path(".korthweb/context").write_text("\n")
    Path(".korthweb/context").chmod(0o600)
    with pytest.raises(errors.SettingsError, match="is empty"):
        chosen_context()
    with pytest.raises(errors.SettingsError, match="is empty"):
        manual.check(invoke.Context())


def test_U4_a_library_call_with_an_empty_context_is_refused() -> None:
    """U4: as the flag is."""
    with pytest.raises(errors.SettingsError, match="--context: the name of the cluster is empty"):
        resolve(load(environ={}), "")
