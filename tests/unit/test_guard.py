"""The guard: another cluster than the recorded one is refused, with both values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from korthweb_tasks.errors import ClusterUnreachable, CommandFailed, GuardRefused
from korthweb_tasks.run.guard import IDENTITY, Identity, allow, check, record, recorded
from korthweb_tasks.settings.cluster import ClusterSettings
from korthweb_tasks.settings.resolve import ChosenCluster
from tests.fakes import Answer, ScriptedRunner

SERVER, UID = "https://10.0.0.1:6443", "1234-abcd"
ASK = ("get", "--raw", IDENTITY)


def cluster(
    server: str = SERVER,
    *,
    name: str = "a",
    context: str = "admin",
    production: bool = False,
    pinned_server: str | None = None,
    pinned_uid: str | None = None,
) -> ChosenCluster:
    own = ClusterSettings(context=context, production=production, server=pinned_server, uid=pinned_uid)
    return ChosenCluster(context, name=name, settings=own, server=server)


def answering(uid: str = UID) -> ScriptedRunner:
    return ScriptedRunner({ASK: Answer(json.dumps({"kind": "Namespace", "metadata": {"uid": uid}}))})


def test_a_first_look_records_nothing() -> None:
    runner = answering()
    assert check(cluster(), runner.run) == Identity(SERVER, UID)
    assert recorded(cluster()) is None
    assert runner.calls[0].argv == ("kubectl", "--context", "admin", "get", "--raw", IDENTITY)
    assert runner.calls[0].repeatable


def test_the_first_deployment_records_and_later_ones_agree() -> None:
    ref = cluster()
    allow(ref, seen=check(ref, answering().run))
    assert recorded(ref) == Identity(SERVER, UID)
    file = Path(".korthweb/guards.json")
    assert json.loads(file.read_text()) == {"a": {"server": SERVER, "uid": UID}}
    assert file.stat().st_mode & 0o777 == 0o600
    allow(ref, seen=check(ref, answering().run))
    assert recorded(cluster(name="b")) is None


SAME = ["https://10.0.0.1:6443", "https://10.0.0.1:6443/", "HTTPS://10.0.0.1:6443"]


@pytest.mark.parametrize("server", SAME)
def test_the_same_server_may_be_written_otherwise(server: str) -> None:
    record(cluster(), Identity(SERVER, UID))
    check(cluster(server), answering().run)


def test_the_usual_port_may_be_left_out() -> None:
    record(cluster(), Identity("https://Api.Example:443", UID))
    check(cluster("https://api.example"), answering().run)


@pytest.mark.parametrize(
    ("server", "uid", "details"),
    [
        (SERVER, "other", [f"kube-system UID: recorded {UID}, found other"]),
        ("https://10.0.0.2:6443", UID, [f"server: recorded {SERVER}, found https://10.0.0.2:6443"]),
        ("https://10.0.0.1:6444", UID, [f"server: recorded {SERVER}, found https://10.0.0.1:6444"]),
        (SERVER, "", [f"kube-system UID: recorded {UID}, found none"]),
        (
            "http://x:bad",
            "other",
            [f"server: recorded {SERVER}, found http://x:bad", f"kube-system UID: recorded {UID}, found other"],
        ),
    ],
)
def test_a_mismatch_is_refused_with_both_values(server: str, uid: str, details: list[str]) -> None:
    record(cluster(), Identity(SERVER, UID))
    with pytest.raises(GuardRefused) as caught:
        check(cluster(server), answering(uid).run)
    error = caught.value
    assert error.message == "a (context admin) is not the cluster that was recorded at the first deployment"
    assert error.details.splitlines() == details
    assert error.hint.startswith("`korthweb context.use a --accept`")
    assert error.exit_code == 5
    assert recorded(cluster()) == Identity(SERVER, UID)


def test_what_is_pinned_is_stronger_than_the_record() -> None:
    record(cluster(), Identity(SERVER, "recorded-long-ago"))
    pinned = cluster(pinned_uid=UID, pinned_server=SERVER)
    check(pinned, answering().run)
    with pytest.raises(GuardRefused) as caught:
        check(pinned, answering("other").run)
    assert caught.value.message == "a (context admin) is not the cluster that was pinned in the settings"
    assert caught.value.details == f"kube-system UID: pinned {UID}, found other"
    assert "--accept" not in caught.value.hint


def test_an_unreachable_cluster_is_not_another_one() -> None:
    refused = Answer("", "Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: connection refused", 1)
    record(cluster(), Identity(SERVER, UID))
    with pytest.raises(ClusterUnreachable):
        check(cluster(), ScriptedRunner({ASK: refused}).run)


def test_a_forbidden_look_says_what_is_needed() -> None:
    forbidden = Answer("", 'Error from server (Forbidden): namespaces "kube-system" is forbidden', 1)
    with pytest.raises(CommandFailed) as caught:
        check(cluster(), ScriptedRunner({ASK: forbidden}).run)
    assert caught.value.details == forbidden.stderr


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"server": "x"}}'])
def test_a_record_that_can_not_be_read_is_never_taken_for_none(text: str) -> None:
    record(cluster(), Identity(SERVER, UID))
    Path(".korthweb/guards.json").write_text(text)
    with pytest.raises(GuardRefused, match="can't be read, so it is not known which cluster is right"):
        check(cluster(), answering().run)


def test_a_production_cluster_wants_its_name() -> None:
    questions: list[str] = []

    def answer(question: str) -> str:
        questions.append(question)
        return "a\n"

    allow(cluster(production=True), terminal=True, answer=answer)
    assert questions == [f"a ({SERVER}) is a production cluster. Type its name to go on: "]


@pytest.mark.parametrize("typed", ["", "y\n", "A\n", "b\n"])
def test_any_other_word_changes_nothing(typed: str) -> None:
    with pytest.raises(GuardRefused, match="nothing was changed"):
        allow(cluster(production=True), seen=Identity(SERVER, UID), terminal=True, answer=lambda _: typed)
    assert recorded(cluster()) is None


def test_where_nobody_can_be_asked_yes_is_needed() -> None:
    with pytest.raises(GuardRefused) as caught:
        allow(cluster(production=True), terminal=False)
    assert caught.value.hint == "--yes says it beforehand"
    allow(cluster(production=True), terminal=False, yes=True)


def test_other_clusters_do_not_ask() -> None:
    allow(cluster(), terminal=False)


def test_accepting_replaces_one_record_and_no_other() -> None:
    record(cluster(), Identity(SERVER, UID))
    record(cluster(name="b"), Identity(SERVER, "b-uid"))
    record(cluster(), Identity(SERVER, "new"))
    assert recorded(cluster()) == Identity(SERVER, "new")
    assert recorded(cluster(name="b")) == Identity(SERVER, "b-uid")


def test_a_context_with_an_at_sign_is_not_taken_for_the_cluster_before_it() -> None:
    record(cluster(name="admin@b"), Identity(SERVER, "b-uid"))
    record(cluster(name="admin"), Identity(SERVER, UID))
    assert recorded(cluster(name="admin@b")) == Identity(SERVER, "b-uid")


def test_a_lab_made_anew_is_a_new_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORTHWEB_STATE", str(tmp_path))
    file = tmp_path / "labs" / "x" / "kubeconfig"
    file.parent.mkdir(parents=True)
    text = (
        "contexts: [{{name: korthweb-x, context: {{cluster: c}}}}]\n"
        "clusters: [{{name: c, cluster: {{server: s, certificate-authority-data: {}}}}}]\n"
    )
    lab = cluster(name="korthweb-x", context="korthweb-x")
    file.write_text(text.format("QQ=="))
    allow(lab, seen=check(lab, answering("first").run))
    with pytest.raises(GuardRefused):
        check(lab, answering("second").run)
    file.write_text(text.format("Qg=="))
    allow(lab, seen=check(lab, answering("second").run))
    assert recorded(lab) == Identity(SERVER, "second")
    assert len(json.loads(Path(".korthweb/guards.json").read_text())) == 1
