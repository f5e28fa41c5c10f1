"""ci.comment: one comment, edited in place, against forges that listen and speak each API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import invoke
import pytest

from korthweb_tasks import ci
from korthweb_tasks.errors import StepFailed
from korthweb_tasks.services.ci.forge import Forge, NoRight
from korthweb_tasks.services.ci.place import Place, place_of
from tests.forge_doubles import TOKEN, Answer, StandIn, listening
from tests.own_site import Site, entered
from tests.unit.test_ci_diff import SETTINGS, commit, git

KINDS = ("github", "gitlab", "gitea")
MARK = "<!-- korthweb changes x -->"


@pytest.fixture(params=KINDS)
def forge(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with listening(StandIn(request.param)) as made:
        yield made


def place(forge: StandIn, token: str = TOKEN, *, fork: bool = False) -> Place:
    return Place(forge.kind, forge.url, "42" if forge.kind == "gitlab" else "o/p", "7", token, fork)


def client(forge: StandIn, token: str = TOKEN, slept: list[float] | None = None) -> Forge:
    return Forge(place(forge, token), sleep=(slept if slept is not None else []).append, now=lambda: 1000.0)


def test_it_is_made_then_edited_then_left_alone(forge: StandIn) -> None:
    assert client(forge).put(MARK, f"{MARK} one") == "made"
    assert client(forge).put(MARK, f"{MARK} two") == "edited"
    assert client(forge).put(MARK, f"{MARK} two") == "unchanged"
    assert [one["body"] for one in forge.comments] == [f"{MARK} two"]


def test_without_differences_none_is_made_and_an_old_one_is_closed(forge: StandIn) -> None:
    assert client(forge).put(MARK, f"{MARK} none", always=False) == "nothing to say"
    assert forge.comments == []
    client(forge).put(MARK, f"{MARK} one")
    assert client(forge).put(MARK, f"{MARK} none", always=False) == "edited"


def test_it_is_found_on_the_last_page(forge: StandIn) -> None:
    for number in range(7):
        forge.say(f"talk {number}", "somebody")
    forge.say(f"{MARK} one", forge.me)
    assert client(forge).put(MARK, f"{MARK} two") == "edited"
    assert len(forge.comments) == 8


def test_a_copied_marker_is_left_alone(forge: StandIn) -> None:
    copied = forge.say(f"{MARK} all is well", "mallory")
    assert client(forge).put(MARK, f"{MARK} one") == "made"
    assert copied["body"] == f"{MARK} all is well"


@pytest.mark.parametrize(("kind", "robot"), [("github", "my-app[bot]"), ("gitea", "gitea-actions")])
def test_a_token_that_may_not_ask_its_name_knows_the_robots(kind: str, robot: str) -> None:
    with listening(StandIn(kind, me="", robot=robot)) as forge:
        forge.say(f"{MARK} all is well", "mallory", type="User")
        forge.say(f"{MARK} one", robot, **({"type": "Bot"} if kind == "github" else {}))
        assert client(forge).put(MARK, f"{MARK} two") == "edited"
        assert [one["body"] for one in forge.comments] == [f"{MARK} all is well", f"{MARK} two"]


@pytest.mark.parametrize(
    ("answer", "slept"),
    [
        (Answer(429, {"Retry-After": "17"}), 17),
        (Answer(403, {"Retry-After": "9"}), 9),
        (Answer(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1030"}), 30),
        (Answer(502), 0),
        (Answer(500, method="POST", done=True), 0),
    ],
    ids=["429", "403 limit", "403 reset", "502", "made, but 500"],
)
def test_what_passes_is_tried_again_and_nothing_is_made_twice(forge: StandIn, answer: Answer, slept: int) -> None:
    forge.instead.append(Answer(answer.code, answer.headers, answer.method, answer.done))
    pauses: list[float] = []
    assert client(forge, slept=pauses).put(MARK, f"{MARK} one") in ("made", "unchanged")
    assert len(forge.comments) == 1
    assert len(pauses) == 1
    assert slept <= pauses[0] < slept + 2


def test_a_limit_of_an_hour_is_told_and_not_waited_for(forge: StandIn) -> None:
    forge.instead.append(Answer(429, {"Retry-After": "3600"}))
    pauses: list[float] = []
    with pytest.raises(StepFailed, match="not before 1 h"):
        client(forge, slept=pauses).put(MARK, "x")
    assert pauses == []


def test_a_forge_that_stays_down_ends_it(forge: StandIn) -> None:
    forge.instead += [Answer(503)] * 9
    with pytest.raises(StepFailed, match="503") as raised:
        client(forge).put(MARK, "x")
    assert TOKEN not in str(raised.value)
    assert len(forge.asked) == 6


@pytest.mark.parametrize(("code", "word"), [(401, "does not know the token"), (403, "does not let"), (404, "404")])
def test_a_refusal_is_told_once_and_without_the_token(forge: StandIn, code: int, word: str) -> None:
    forge.instead.append(Answer(code))
    with pytest.raises(StepFailed, match=word) as raised:
        client(forge).put(MARK, "x")
    assert isinstance(raised.value, NoRight) == (code != 404)
    assert len(forge.asked) == 1
    assert raised.value.hint
    assert TOKEN not in f"{raised.value.message} {raised.value.hint} {raised.value.details}"


def test_another_token_is_refused_and_not_repeated(forge: StandIn) -> None:
    with pytest.raises(NoRight) as raised:
        client(forge, token="wrong-one").put(MARK, "x")
    assert "wrong-one" not in str(raised.value)


def test_the_token_goes_to_no_other_server(forge: StandIn) -> None:
    with listening(StandIn(forge.kind)) as other:
        forge.next_at = other.url
        for number in range(3):
            forge.say(f"talk {number}", "somebody")
        with pytest.raises(StepFailed, match="gets no token"):
            client(forge).put(MARK, "x")
        assert other.asked == []


def test_a_server_that_is_gone_is_told() -> None:
    with listening(StandIn("github")) as forge:
        made = client(forge)
    with pytest.raises(StepFailed, match="no answer"):
        made.put(MARK, "x")


GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/p", "GITHUB_REF": "refs/pull/7/merge"}
GITLAB = {"GITLAB_CI": "true", "CI_PROJECT_ID": "9", "CI_MERGE_REQUEST_PROJECT_ID": "42"}
GITLAB |= {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "42", "CI_MERGE_REQUEST_IID": "7"}


def test_each_forge_is_known_by_its_environment() -> None:
    assert place_of({}) is None
    found = place_of({**GITHUB, "GITHUB_API_URL": "https://a", "GITHUB_TOKEN": "t"})
    assert found == Place("github", "https://a", "o/p", "7", "t")
    gitea = place_of({**GITHUB, "GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "https://g", "GITEA_TOKEN": "t"})
    assert gitea == Place("gitea", "https://g/api/v1", "o/p", "7", "t")
    found = place_of({**GITLAB, "CI_API_V4_URL": "https://l/api/v4", "GITLAB_TOKEN": "t"})
    assert found == Place("gitlab", "https://l/api/v4", "42", "7", "t")
    assert "t0" not in repr(place_of({**GITHUB, "GITHUB_TOKEN": "t0"}))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = entered(tmp_path, monkeypatch)
    site.settings(SETTINGS)
    git("init", "--quiet", "--initial-branch=main", ".")
    commit("first")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return site


def github(forge: StandIn, monkeypatch: pytest.MonkeyPatch, *, token: str, fork: bool = False) -> None:
    event = {"head": {"repo": {"full_name": "x/p" if fork else "o/p"}}, "base": {"repo": {"full_name": "o/p"}}}
    Path("event.json").write_text(json.dumps({"pull_request": {"number": 7, **event}}))
    more = {"GITHUB_API_URL": forge.url, "GITHUB_TOKEN": token, "GITHUB_EVENT_PATH": "event.json"}
    for name, value in {**GITHUB, **more}.items():
        monkeypatch.setenv(name, value)


def test_a_pull_request_from_its_first_comment_to_its_last(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(StandIn("github")) as forge:
        github(forge, monkeypatch, token=TOKEN)
        site.settings(SETTINGS + "orthanc: {drain_seconds: 100}\n")
        ci.comment(invoke.Context(), base="main", approach="manual")
        assert "associations are cut" in forge.comments[0]["body"]
        site.settings(SETTINGS)
        ci.comment(invoke.Context(), base="main", approach="manual")
        (only,) = forge.comments
    assert "No differences" in only["body"]
    assert "associations are cut" in (site.folder / "summary").read_text()
    assert TOKEN not in "".join(capsys.readouterr())


@pytest.mark.parametrize("token", ["", TOKEN], ids=["no token", "a token that may only read"])
def test_a_fork_gets_one_line_and_the_markdown(
    token: str, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.settings(SETTINGS + "orthanc: {drain_seconds: 100}\n")
    with listening(StandIn("github")) as forge:
        github(forge, monkeypatch, token=token, fork=True)
        forge.instead.append(Answer(403, method="POST"))
        ci.comment(invoke.Context(), base="main", approach="manual")
        assert forge.comments == []
    shown = capsys.readouterr()
    assert "fork" in shown.err
    assert "associations are cut" in shown.out
    assert "associations are cut" in (site.folder / "summary").read_text()


def test_a_token_that_may_only_read_is_an_error_outside_of_a_fork(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.settings(SETTINGS + "orthanc: {drain_seconds: 100}\n")
    with listening(StandIn("github")) as forge:
        github(forge, monkeypatch, token=TOKEN)
        forge.instead.append(Answer(403, method="POST"))
        with pytest.raises(NoRight) as raised:
            ci.comment(invoke.Context(), base="main", approach="manual")
    assert "pull-requests: write" in raised.value.hint


def test_a_dry_run_asks_nobody(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with listening(StandIn("github")) as forge:
        github(forge, monkeypatch, token=TOKEN)
        ci.comment(invoke.Context(), base="main", dry_run=True)
        assert forge.asked == []
    assert not (site.folder / "summary").exists()
    assert "No differences" in capsys.readouterr().out
