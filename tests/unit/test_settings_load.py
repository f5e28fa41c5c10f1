"""Layers, origins, and what each bad input is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.errors import SettingsError
from korthweb_tasks.settings.load import Loaded, load


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path / "state"))


def loaded(
    folder: Path, text: str | bytes | None = None, environ: Mapping[str, str] | None = None, **words: Any
) -> Loaded:
    if text is not None:
        (folder / "korthweb.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(project=folder, environ=environ or {}, **words)


LABEL = "is not a DNS label (a-z, 0-9 and -, at most 63 characters, no - at the ends)"
IMAGE = "is not an image name like docker.io/library/postgres:17 (no https://, no / at the end)"
USER = "must begin with a letter and hold only letters, digits, '.', '_' and '-'"
TENANT = "tenants:\n- name: BHC\n  domain: bhc.example.org\n"

# text of korthweb.yaml -> the exact message
BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "misspelt key": ("\n\ntennants: []\n", "korthweb.yaml:3: unknown key 'tennants' (did you mean 'tenants'?)"),
    "misspelt inside": (
        "orthanc:\n  conections: 3\n",
        "korthweb.yaml:2: unknown key 'conections' in orthanc (did you mean 'connections'?)",
    ),
    "misspelt in a tenant": (
        TENANT + "  aetitle: X\n",
        "korthweb.yaml:4: unknown key 'aetitle' in tenants.BHC (did you mean 'aet'?)",
    ),
    "misspelt far inside": (
        TENANT + "  replicas:\n    maximum: 3\n",
        "korthweb.yaml:5: unknown key 'maximum' in tenants.BHC.replicas (did you mean 'max'?)",
    ),
    "key in another case": ("Approach: helm\n", "korthweb.yaml:1: unknown key 'Approach' (did you mean 'approach'?)"),
    "unlike anything": ("quux: 1\n", "korthweb.yaml:1: unknown key 'quux'"),
    "unknown chart": (
        "charts:\n  cert-manger:\n    version: v1\n",
        "korthweb.yaml:2: unknown key 'cert-manger' in charts (did you mean 'cert-manager'?)",
    ),
    "unknown component": (
        "versions: {istoi: 1.31.1}\n",
        "korthweb.yaml:1: unknown key 'istoi' in versions (did you mean 'istio'?)",
    ),
    "unknown resource": (
        "orthanc:\n  resources:\n    limit: {memory: 1Gi}\n",
        "korthweb.yaml:3: unknown key 'limit' in orthanc.resources (did you mean 'limits'?)",
    ),
    "bastion": (
        "clusters:\n  a:\n    context: a\n    bastion: {host: b, key: c}\n",
        "korthweb.yaml:4: unknown key 'key' in clusters.a.bastion",
    ),
    "twice": (
        "approach: helm\nlab: {}\napproach: helm\n",
        "korthweb.yaml:3: key 'approach' is here twice (first in line 1)",
    ),
    "twice inside": (TENANT + "  domain: x.org\n", "korthweb.yaml:4: key 'domain' is here twice (first in line 3)"),
    "a list": ("- a\n- b\n", "korthweb.yaml:1: must be a section of `key: value` lines, not a list"),
    "a word": ("hello\n", "korthweb.yaml:1: must be a section of `key: value` lines, not 'hello'"),
    "a key that is a list": ("[a, b]: 1\n", "korthweb.yaml:1: a key must be a word"),
    "tab": ("lab:\n\tname: x\n", "korthweb.yaml:2: not YAML: this line is indented with a tab"),
    "not closed": ("lab: {name: x\n", "korthweb.yaml:2: not YAML: did not find expected ',' or '}'"),
    "two documents": ("lab: {}\n---\nlab: {}\n", "korthweb.yaml:2: not YAML: but found another document"),
    "unsafe tag": (
        "lab: !!python/x y\n",
        "korthweb.yaml:1: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/x'",
    ),
    "not UTF-8": (b"# ok\nlab:\n  name: \xff\xfe\n", "korthweb.yaml:3: this is not UTF-8 text"),
    "anchor in itself": ("lab: &a\n  name: *a\n", "korthweb.yaml:1: nested too deeply (an anchor inside itself?)"),
    "approach": (
        "approach: helmm\n",
        "korthweb.yaml:1: approach must be manual, helm or gitops, not 'helmm' (did you mean 'helm'?)",
    ),
    "approach as section": (
        "approach: {a: b}\n",
        "korthweb.yaml:1: approach must be manual, helm or gitops, not a section",
    ),
    "approach empty": ("approach:\n", "korthweb.yaml:1: approach must be manual, helm or gitops, not empty"),
    "profile": ("\nprofile: labs\n", "korthweb.yaml:2: no profile 'labs' (did you mean 'lab'?)"),
    "profile unlike": ("profile: 7\n", "korthweb.yaml:1: no profile 7 (there are: production, lab)"),
    "number wanted": (
        TENANT + "  replicas: {min: many}\n",
        "korthweb.yaml:4: tenants.BHC.replicas.min must be a whole number, not 'many'",
    ),
    "half a replica": (
        TENANT + "  replicas: {min: 2.5}\n",
        "korthweb.yaml:4: tenants.BHC.replicas.min must be a whole number, not 2.5",
    ),
    "none": (TENANT + "  replicas: {min: 0}\n", "korthweb.yaml:4: tenants.BHC.replicas.min must be at least 1, not 0"),
    "too many": (
        TENANT + "  replicas: {max: 900}\n",
        "korthweb.yaml:4: tenants.BHC.replicas.max must be at most 100, not 900",
    ),
    "min over max": (
        TENANT + "  replicas:\n    min: 5\n    max: 2\n",
        "korthweb.yaml:4: tenants.BHC.replicas: min 5 is more than max 2",
    ),
    "true or false": (
        "clusters: {a: {context: x, production: maybe}}\n",
        "korthweb.yaml:1: clusters.a.production must be true or false, not 'maybe'",
    ),
    "cluster without context": (
        "clusters:\n  a:\n    production: true\n",
        "korthweb.yaml:2: clusters.a needs 'context'",
    ),
    "cluster is a word": (
        "clusters:\n  a: b\n",
        "korthweb.yaml:2: clusters.a must be a section of `key: value` lines, not 'b'",
    ),
    "cluster's name": (
        "clusters:\n  a b: {context: x}\n",
        "korthweb.yaml:2: clusters.a b: 'a b' is not a name (letters, digits, '.', '_' and '-')",
    ),
    "server": (
        "clusters: {a: {context: x, server: 10.0.0.1}}\n",
        "korthweb.yaml:1: clusters.a.server: '10.0.0.1' is not a URL like https://10.0.0.1:6443",
    ),
    "clusters is a list": (
        "clusters: [a]\n",
        "korthweb.yaml:1: clusters must be a section of `key: value` lines, not a list",
    ),
    "tenants is a section": (
        "tenants:\n  BHC: {domain: a.b}\n",
        "korthweb.yaml:1: tenants must be a list (lines that begin with `- `), not a section",
    ),
    "tenant is a word": (
        "tenants: [BHC]\n",
        "korthweb.yaml:1: tenants.0 must be a section of `key: value` lines, not 'BHC'",
    ),
    "no tenants": ("tenants: []\n", "korthweb.yaml:1: tenants: at least one tenant is needed"),
    "tenant without domain": ("tenants:\n- name: BHC\n", "korthweb.yaml:2: tenants.BHC needs 'domain'"),
    "tenant without name": ("tenants:\n- domain: a.b\n", "korthweb.yaml:2: tenants.0 needs 'name'"),
    "tenant's name": (
        "tenants:\n- name: B_C\n  domain: a.b\n  namespace: x\n",
        f"korthweb.yaml:2: tenants.B_C.name: 'B_C' {LABEL}",
    ),
    "tenant's name is a number": (
        "tenants:\n- name: 007\n  domain: a.b\n",
        'korthweb.yaml:2: tenants.0.name must be text: write "007" in quotes',
    ),
    "namespace": (
        TENANT + "  namespace: BHC\n",
        f"korthweb.yaml:4: tenants.BHC.namespace: 'BHC' {LABEL}",
    ),
    "domain in capitals": (
        "tenants:\n- name: BHC\n  domain: BHC.Example.org\n",
        "korthweb.yaml:3: tenants.BHC.domain: 'BHC.Example.org' must be lower-case: 'bhc.example.org'",
    ),
    "domain": (
        "tenants:\n- name: BHC\n  domain: https://x\n",
        "korthweb.yaml:3: tenants.BHC.domain: 'https://x' is not a domain name like bhc.example.org",
    ),
    "AE title too long": (
        TENANT + "  aet: ORTHANC_OF_THE_BHC\n",
        "korthweb.yaml:4: tenants.BHC.aet: AE title 'ORTHANC_OF_THE_BHC' has 18 characters; DICOM allows 16",
    ),
    "AE title blank": (
        TENANT + "  aet: '  '\n",
        "korthweb.yaml:4: tenants.BHC.aet is empty: give it a value, or take it away",
    ),
    "AE title backslash": (
        TENANT + "  aet: A\\B\n",
        "korthweb.yaml:4: tenants.BHC.aet: AE title 'A\\\\B' must be printable ASCII without a backslash",
    ),
    "AE title umlaut": (
        TENANT + "  aet: KÖLN\n",
        "korthweb.yaml:4: tenants.BHC.aet: AE title 'KÖLN' must be printable ASCII without a backslash",
    ),
    "AE title spaces": (
        TENANT + "  aet: ' BHC'\n",
        "korthweb.yaml:4: tenants.BHC.aet: AE title ' BHC' must not begin or end with a space",
    ),
    "storage": (
        TENANT + "  storage: 10 GB\n",
        "korthweb.yaml:4: tenants.BHC.storage: '10 GB' is not a size; did you mean 10G or 10Gi?",
    ),
    "storage is a number": (
        TENANT + "  storage: 10\n",
        "korthweb.yaml:4: tenants.BHC.storage: '10' has no unit, so Kubernetes takes it as bytes; did you mean 10Gi?",
    ),
    "no users": (TENANT + "  users: []\n", "korthweb.yaml:4: tenants.BHC.users must not be empty"),
    "users is a word": (
        TENANT + "  users: admin\n",
        "korthweb.yaml:4: tenants.BHC.users must be a list (lines that begin with `- `), not 'admin'",
    ),
    "user postgres": (
        TENANT + "  users: [postgres]\n",
        "korthweb.yaml:4: tenants.BHC.users.0: user 'postgres' is kept for the database",
    ),
    "user's name": (
        TENANT + "  users:\n  - admin\n  - 1st\n",
        f"korthweb.yaml:6: tenants.BHC.users.1: user '1st' {USER}",
    ),
    "users that share": (
        TENANT + "  users: [dr.who, dr_who]\n",
        "korthweb.yaml:4: tenants.BHC.users: users 'dr.who' and 'dr_who' would share one password variable",
    ),
    "same name": (
        "tenants:\n- {name: BHC, domain: a.b}\n- {name: bhc, domain: c.d, namespace: x, aet: Y}\n",
        "korthweb.yaml:1: tenants: tenants BHC and bhc have the same name 'BHC'",
    ),
    "same namespace": (
        "tenants:\n- {name: A, domain: a.b}\n- {name: B, domain: c.d, namespace: a-orthweb}\n",
        "korthweb.yaml:1: tenants: tenants A and B have the same namespace 'a-orthweb'",
    ),
    "same domain": (
        "tenants:\n- {name: A, domain: a.b}\n- {name: B, domain: a.b}\n",
        "korthweb.yaml:1: tenants: tenants A and B have the same domain 'a.b'",
    ),
    "same AE title": (
        "tenants:\n- {name: A, domain: a.b, aet: PACS}\n- {name: B, domain: c.d, aet: pacs}\n",
        "korthweb.yaml:1: tenants: tenants A and B have the same aet 'PACS'",
    ),
    "OverwriteInstances": (
        "orthanc:\n  config:\n    OverwriteInstances: Sometimes\n",
        (
            "korthweb.yaml:3: orthanc.config.OverwriteInstances: must be one of Never, Always, IfChanged, true, false, "
            "not 'Sometimes'"
        ),
    ),
    "IndexConnectionsCount": (
        "orthanc: {config: {PostgreSQL: {IndexConnectionsCount: lots}}}\n",
        "korthweb.yaml:1: orthanc.config.PostgreSQL.IndexConnectionsCount: must be a whole number, not 'lots'",
    ),
    "PostgreSQL": (
        "orthanc: {config: {PostgreSQL: yes}}\n",
        "korthweb.yaml:1: orthanc.config.PostgreSQL: must be a section of settings, not true",
    ),
    "database": (
        "postgres: {database: orthanc-db}\n",
        "korthweb.yaml:1: postgres.database: 'orthanc-db' is not a name for PostgreSQL (a-z, 0-9 and _, no pg_ first)",
    ),
    "database's owner": (
        "postgres: {user: postgres}\n",
        "korthweb.yaml:1: postgres.user: 'postgres' is kept for PostgreSQL itself",
    ),
    "storage class": (
        "storage_class: Fast\n",
        "korthweb.yaml:1: storage_class: 'Fast' is not a name of Kubernetes (a-z, 0-9, - and .)",
    ),
    "amount": (
        "postgres:\n  resources:\n    limits:\n      memory: 2GB\n",
        "korthweb.yaml:4: postgres.resources.limits.memory: '2GB' is not a size; did you mean 2G or 2Gi?",
    ),
    "amount is a number": (
        "postgres: {resources: {requests: {memory: 512}}}\n",
        (
            "korthweb.yaml:1: postgres.resources.requests.memory: '512' has no unit, so Kubernetes takes it as bytes; "
            "did you mean 512Mi?"
        ),
    ),
    "version as a number": (
        "versions:\n  istio: 1.30\n",
        'korthweb.yaml:2: versions.istio must be text: write "1.30" in quotes',
    ),
    "version out of range": (
        "versions:\n  helm: 2.17.0\n",
        "korthweb.yaml:1: versions: helm 2.17.0 is outside the supported range >=3.22,<5",
    ),
    "no version": ("versions: {helm: latest}\n", "korthweb.yaml:1: versions: 'latest' is not a version like 1.2.3"),
    "chart's source": (
        "charts:\n  kiali:\n    source: ftp://x\n",
        "korthweb.yaml:3: charts.kiali.source: 'ftp://x' must begin with oci:// or https://, or be a path",
    ),
    "image": (
        "images:\n  registry: https://mirror/\n",
        f"korthweb.yaml:2: images.registry: 'https://mirror/' {IMAGE}",
    ),
    "pull policy": (
        "images: {pull_policy: Sometime}\n",
        "korthweb.yaml:1: images.pull_policy must be IfNotPresent, Always or Never, not 'Sometime'",
    ),
    "time": (
        "timeouts:\n  step: soon\n",
        "korthweb.yaml:2: timeouts.step: 'soon' is not a time like 90, 90s, 10m or 1h",
    ),
    "no time": ("timeouts: {run: 0}\n", "korthweb.yaml:1: timeouts.run must be more than 0, not 0"),
    "network": (
        "lab: {subnet: 1.1.1.1/8}\n",
        "korthweb.yaml:1: lab.subnet: '1.1.1.1/8' is not an IPv4 network like 198.18.0.0/20: it has host bits set",
    ),
    "lab's name": (
        "lab: {name: My_Lab}\n",
        f"korthweb.yaml:1: lab.name: 'My_Lab' {LABEL}",
    ),
    "date": ("context: 2026-11-22\n", 'korthweb.yaml:1: context must be text: write "2026-11-22" in quotes'),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    text, message = BAD_FILES[name]
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    assert caught.value.message == message
    assert caught.value.exit_code == 2
    assert caught.value.hint


BAD_VARIABLES: dict[str, tuple[str, str, str]] = {
    "unknown": ("KORTHWEB__TENNATS", "[]", "unknown key 'TENNATS' (did you mean 'tenants'?)"),
    "unknown inside": ("KORTHWEB__LAB__NMAE", "x", "unknown key 'NMAE' in lab (did you mean 'name'?)"),
    "unknown tenant": ("KORTHWEB__TENANTS__BCH__AET", "X", "unknown key 'BCH' in tenants (did you mean 'BHC'?)"),
    "no such place": ("KORTHWEB__TENANTS__7__AET", "X", "unknown key '7' in tenants"),
    "below a value": ("KORTHWEB__APPROACH__X", "y", "unknown key 'X' in approach"),
    "empty word": ("KORTHWEB____X", "y", "unknown key ''"),
    "wrong type": (
        "KORTHWEB__ORTHANC__CONNECTIONS",
        "a few",
        "orthanc.connections must be a whole number, not 'a few'",
    ),
    "chart": ("KORTHWEB__CHARTS__FOO__VERSION", "1", "unknown key 'FOO' in charts"),
    "version": ("KORTHWEB__VERSIONS__HELM", "2", "versions: helm 2 is outside the supported range >=3.22,<5"),
    "list from text": (
        "KORTHWEB__TENANTS__BHC__USERS",
        "admin",
        "tenants.BHC.users must be a list (lines that begin with `- `), not 'admin'",
    ),
}


@pytest.mark.parametrize("name", BAD_VARIABLES)
def test_a_bad_variable_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    variable, value, message = BAD_VARIABLES[name]
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, environ={variable: value})
    where = "" if name == "version" else f"environment {variable}: "
    assert caught.value.message.endswith(message)
    assert where in caught.value.message


def test_a_variable_that_is_not_yaml_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^environment KORTHWEB__TENANTS: not YAML: "):
        loaded(tmp_path, environ={"KORTHWEB__TENANTS": "[a"})


def test_a_bad_flag_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, overrides={"timeouts.stepp": 5})
    assert caught.value.message == "flag --timeouts.stepp: unknown key 'stepp' in timeouts (did you mean 'step'?)"


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, "aproach: helm\nlab: {name: x, size: 3}\ntimeouts: {step: -1}\n")
    assert caught.value.message == "korthweb.yaml:1: unknown key 'aproach' (did you mean 'approach'?) (and 2 more)"
    assert caught.value.details.splitlines() == [
        "korthweb.yaml:2: unknown key 'size' in lab",
        "korthweb.yaml:3: timeouts.step must be more than 0, not -1",
    ]


def test_a_tab_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, "lab:\n\tname: x\n")
    assert caught.value.hint == "indent with spaces"


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "korthweb.yaml").mkdir()
    with pytest.raises(SettingsError, match=r"^korthweb\.yaml can't be read: Is a directory$"):
        loaded(tmp_path)


def test_the_other_ending_is_told(tmp_path: Path) -> None:
    (tmp_path / "korthweb.yml").write_text("lab: {}")
    with pytest.raises(SettingsError, match=r"^korthweb\.yml is not read$"):
        loaded(tmp_path)


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "---\n", "\ufeff", "clusters:\ntenants:\nlab:\n", "{}"])
def test_nothing_given_means_the_defaults(text: str | None, tmp_path: Path) -> None:
    found = loaded(tmp_path, text)
    assert found.settings.tenant_names == ("BHC", "MHR")
    assert found.settings.profile == "production"
    assert set(found.origins.values()) == {"default"}


def test_every_layer_comes_above_the_one_before(tmp_path: Path) -> None:
    text = "profile: lab\northanc: {connections: 6}\nstorage_class: fast\ntimeouts: {step: 5m, run: 2h}\n"
    found = loaded(
        tmp_path,
        text,
        {"KORTHWEB__ORTHANC__CONNECTIONS": "7", "KORTHWEB__TIMEOUTS__STEP": "30s"},
        overrides={"timeouts.step": 9},
    )
    settings, origins = found.settings, found.origins
    assert settings.timeouts.step == 9
    assert origins["timeouts.step"] == "flag --timeouts.step"
    assert settings.orthanc.connections == 7
    assert origins["orthanc.connections"] == "environment KORTHWEB__ORTHANC__CONNECTIONS"
    assert settings.timeouts.run == 7200
    assert origins["timeouts.run"] == "korthweb.yaml:4"
    assert (settings.storage_class, origins["storage_class"]) == ("fast", "korthweb.yaml:3")
    assert (settings.images.istio_hub, origins["images.istio_hub"]) == ("korthweb.lab", "profile lab")
    assert (settings.timeouts.command, origins["timeouts.command"]) == (120, "default")


def test_origins_name_tenants_and_lines(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, "tenants:\n- name: BHC\n  domain: a.b\n\n- name: X\n  domain: c.d\n  replicas:\n    max: 4\n"
    )
    assert found.origins["tenants.X.replicas.max"] == "korthweb.yaml:8"
    assert found.origins["tenants.X.replicas.min"] == "default"
    assert found.origins["tenants.X.aet"] == "default"
    assert found.origins["tenants.X.domain"] == "korthweb.yaml:6"
    assert found.origin("tenants.X.replicas.max.nothing") == "korthweb.yaml:8"


GOOD_VARIABLES: dict[str, tuple[str, str, str, Any]] = {
    "by name": ("KORTHWEB__TENANTS__BHC__AET", "PACS", "tenants.BHC.aet", "PACS"),
    "by name in lower case": ("KORTHWEB__TENANTS__mhr__STORAGE", "5Gi", "tenants.MHR.storage", "5Gi"),
    "by place": ("KORTHWEB__TENANTS__1__REPLICAS__MAX", "4", "tenants.MHR.replicas.max", 4),
    "a section": ("KORTHWEB__TENANTS__BHC__REPLICAS", "{min: 1, max: 2}", "tenants.BHC.replicas.max", 2),
    "a list": ("KORTHWEB__TENANTS__BHC__USERS", "[admin, viewer]", "tenants.BHC.users.1", "viewer"),
    "text that looks like a number": ("KORTHWEB__VERSIONS__HELM", "3.22", "versions.helm", "3.22"),
    "a hyphen": ("KORTHWEB__CHARTS__CERT_MANAGER__SOURCE", "/srv/chart", "charts.cert-manager.source", "/srv/chart"),
    "free": ("KORTHWEB__ORTHANC__CONFIG__LimitFindResults", "9", "orthanc.config.LimitFindResults", 9),
    "free section": ("KORTHWEB__ORTHANC__CONFIG__DicomWeb__Root", "/x/", "orthanc.config.DicomWeb.Root", "/x/"),
    "an environment": ("KORTHWEB__ISTIO__PILOT_ENV__PILOT_X", "true", "istio.pilot_env.PILOT_X", "true"),
    "a cluster": ("KORTHWEB__CLUSTERS", "{a: {context: b}}", "clusters.a.context", "b"),
    "nothing": ("KORTHWEB__STORAGE_CLASS", "null", "storage_class", None),
    "true": ("KORTHWEB__LAB__KEEP_BUILD_CACHES", "true", "lab.keep_build_caches", True),
}


@pytest.mark.parametrize("name", GOOD_VARIABLES)
def test_a_variable_reaches_its_place(name: str, tmp_path: Path) -> None:
    variable, value, place, wanted = GOOD_VARIABLES[name]
    found = loaded(tmp_path, environ={variable: value})
    assert found.origins[place] == f"environment {variable}"
    tree: Any = found.settings.model_dump(mode="json")
    tree["tenants"] = {tenant["name"]: tenant for tenant in tree["tenants"]}
    for key in place.split("."):
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    assert tree == wanted


def test_a_variable_for_a_default_tenant_keeps_the_other(tmp_path: Path) -> None:
    found = loaded(tmp_path, environ={"KORTHWEB__TENANTS__BHC__AET": "PACS"})
    assert [tenant.aet for tenant in found.settings.tenants] == ["PACS", "MHR"]
    assert found.origins["tenants.MHR.domain"] == "default"


def test_a_variable_changes_what_the_file_has(tmp_path: Path) -> None:
    text = "clusters:\n  hospital-a: {context: x}\northanc:\n  config: {DicomAet: A}\n"
    found = loaded(
        tmp_path,
        text,
        {"KORTHWEB__CLUSTERS__HOSPITAL_A__PRODUCTION": "true", "KORTHWEB__ORTHANC__CONFIG__DICOMAET": "B"},
    )
    assert found.settings.clusters["hospital-a"].production
    assert found.settings.orthanc.config == {"DicomAet": "B"}


def test_naming_one_chart_keeps_the_others_and_its_own_rest(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "charts:\n  cert-manager:\n    values: {replicaCount: 2}\n").settings
    chart = settings.charts["cert-manager"]
    assert chart.values == {"crds": {"enabled": True}, "replicaCount": 2}
    assert chart.source == "oci://quay.io/jetstack/charts/cert-manager"
    assert chart.version == "v1.21.2"
    assert "traefik" in settings.charts


def test_charts_and_images_follow_versions(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "versions: {cert-manager: 1.20.0, orthanc: 26.9.0, istio: 1.32.0}\n").settings
    assert settings.charts["cert-manager"].version == "v1.20.0"
    assert settings.charts["istiod"].version == "1.32.0"
    assert settings.images.orthanc == "docker.io/orthancteam/orthanc:26.9.0"
    assert settings.images.postgres == "docker.io/library/postgres:17.11"


def test_the_lab_profile_has_what_the_lab_needs(tmp_path: Path) -> None:
    settings = loaded(tmp_path, overrides={"profile": "lab"}).settings
    assert settings.images.orthanc == "korthweb.lab/orthanc:1.12.7"
    assert settings.images.postgres == "korthweb.lab/postgres:17"
    assert settings.charts["cert-manager"].source == "lab"
    assert settings.charts["cert-manager"].version == "v1.11.4"
    assert settings.istio.pilot_env["PILOT_ENABLE_ALPN_FILTER"] == "false"
    assert not settings.istio.telemetry
    assert settings.storage_class == "lab"
    assert settings.orthanc.cpu_target == 400


@pytest.mark.parametrize(
    ("text", "choice", "flag", "profile"),
    [
        ("", None, None, "production"),
        ("", "korthweb-demo", None, "lab"),
        ("", None, "korthweb-demo", "lab"),
        ("", "korthweb-demo", "elsewhere", "production"),
        ("", "korthweb-gone", None, "production"),
        ("context: korthweb-demo\n", "elsewhere", None, "lab"),
        ("clusters: {a: {context: korthweb-demo}}\n", None, None, "lab"),
        ("clusters: {a: {context: korthweb-demo}, b: {context: c}}\n", None, "b", "production"),
        ("profile: production\n", "korthweb-demo", None, "production"),
        ("profile: lab\n", None, "elsewhere", "lab"),
    ],
)
def test_the_profile_follows_the_cluster(
    text: str, choice: str | None, flag: str | None, profile: str, tmp_path: Path
) -> None:
    (tmp_path / "state" / "labs" / "demo").mkdir(parents=True)
    if choice:
        (tmp_path / ".korthweb").mkdir()
        (tmp_path / ".korthweb" / "context").write_text(f"{choice}\n")
    found = loaded(tmp_path, text, context=flag)
    assert found.settings.profile == profile
    if profile == "lab" and "profile" not in text:
        assert found.origins["profile"] == "the chosen context is a lab's"


def test_settings_can_stand_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# settings\n\nKORTHWEB__ORTHANC__CONNECTIONS=8\nKORTHWEB__CONTEXT=a\n")
    found = loaded(tmp_path, environ={"KORTHWEB__CONTEXT": "b"})
    assert found.settings.orthanc.connections == 8
    assert found.origins["orthanc.connections"] == ".env:3"
    assert found.settings.context == "b"
    assert found.origins["context"] == "environment KORTHWEB__CONTEXT"
