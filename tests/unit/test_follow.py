"""Following: when it is done, what ends it, how often a source is asked, and what a person sees."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from korthweb_tasks.core.tree import Object, Ref, Tree
from korthweb_tasks.errors import Interrupted, NotReady
from korthweb_tasks.flux.objects import ref_of
from korthweb_tasks.flux.tree import build
from korthweb_tasks.run import follow as following
from korthweb_tasks.run.console import Console
from korthweb_tasks.run.follow import REQUEST, Follow, Goal, Requests
from korthweb_tasks.run.informer import Change, Lost
from korthweb_tasks.run.tree_view import TreeView
from korthweb_tasks.tools.flux import asking
from tests.flux_doubles.objects import NEW, OLD, SYSTEM, deployment, git, layer, pod, release, told, waiting

TOP = Ref("Kustomization", SYSTEM, "top")
DECODE = "MalformedYAMLError: yaml: line 4: did not find expected key in File: a.yaml"


class Clock:
    """Time that goes on by a fixed step for each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        self.now += 1e-6
        return int(self.now * 1e9)


class Script:
    """A informer that shows one scene for each look, the last one for ever. ``seconds`` pass from scene to scene."""

    def __init__(
        self, clock: Clock, scenes: Iterable[list[Any]], seconds: float = 1.0, statuses: Iterable[int] = ()
    ) -> None:
        self.clock, self.seconds = clock, seconds
        self.scenes: Iterator[list[Any]] = iter(scenes)
        self.objects: dict[Ref, Object] = {}
        self.patches: list[tuple[Ref, Mapping[str, Any]]] = []
        self.silent = False
        self.statuses = itertools.chain(statuses, itertools.repeat(200))

    def news(self, seconds: float) -> list[Change]:
        self.clock.now += self.seconds
        scene = next(self.scenes, None)
        if scene is not None:
            for error in (one for one in scene if isinstance(one, type)):
                raise error("x")
            self.objects = {ref_of(obj): obj for obj in scene}
        return []

    def listed(self, *kinds: str) -> bool:
        return True

    def patch(self, ref: Ref, body: Mapping[str, Any], seconds: float = 10.0) -> int:
        status = next(self.statuses)
        if status == 0:
            raise Lost("away")
        self.patches.append((ref, body))
        return status


class Silent:
    """A view that shows nothing."""

    @contextmanager
    def opened(self, title: str) -> Iterator[None]:
        yield

    def show(self, tree: Tree, seconds: float) -> None: ...

    def say(self, text: str) -> None: ...


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(following, "time", found)
    return found


Make = Callable[..., Follow]


@pytest.fixture
def make(clock: Clock) -> Make:
    def made(
        *scenes: list[Any], goal: Goal | None = None, seconds: float = 1.0, statuses: Iterable[int] = ()
    ) -> Follow:
        informer: Any = Script(clock, scenes, seconds, statuses)
        return Follow(informer, build, goal or Goal(), Silent(), Requests(informer, asking), clock.monotonic())

    return made


def asked(follow: Follow) -> list[str]:
    patches: list[tuple[Ref, Any]] = follow.informer.patches  # type: ignore[attr-defined]
    return [ref.name for ref, _ in patches]


def test_it_ends_when_all_is_ready_and_tells_when_each_was(make: Make) -> None:
    first, done = layer("first"), layer("top", needs=["first"])
    going = layer("top", "Unknown", "Progressing", "x", needs=["first"], applied=OLD)
    records = make([], [git(), first, going], [git(), first, going], [git(), first, done]).run(60)
    assert [(record.name.rpartition("/")[2], record.verdict, record.start, record.end) for record in records] == [
        ("first", "unchanged", 2.0, 2.0),
        ("top", "changed", 2.0, 4.0),
    ]


def test_it_does_not_end_before_something_is_there(make: Make) -> None:
    with pytest.raises(NotReady, match="nothing is there after 5 s"):
        make([]).run(5)


def test_what_a_list_brings_after_the_news_is_not_taken_for_nothing(make: Make) -> None:
    """The lists end between the news and our question whether they have: what they brought is not seen yet."""
    follow = make([git(), layer("first")], [git(), layer("first"), layer("top", "Unknown", applied=OLD)])
    informer: Any = follow.informer
    told_first, seen = [False], informer.news

    def news(seconds: float) -> list[Change]:
        found: list[Change] = seen(seconds)
        told_first[0] = True
        return found

    informer.news, informer.listed = news, lambda *kinds: told_first[0]
    with pytest.raises(NotReady, match="top"):
        follow.run(10)


def test_with_a_commit_it_ends_only_when_that_was_fetched_and_applied(make: Make) -> None:
    old, new = [git(OLD), layer("top", applied=OLD)], [git(NEW), layer("top", applied=OLD)]
    follow = make(old, old, new, new, [git(NEW), layer("top")], goal=Goal(revision="bbbb"))
    (record,) = follow.run(60)
    assert (round(record.start), round(record.end)) == (3, 5)
    assert asked(follow) == [SYSTEM]


def test_a_newer_commit_in_between_will_do(make: Make, clock: Clock) -> None:
    """Somebody else has pushed: the source answers our request with something that is not the wanted commit."""
    follow = make([git(OLD), layer("top", applied=OLD)], goal=Goal(revision="bbbb"))
    informer: Any = follow.informer

    def answered() -> Iterator[list[Any]]:
        yield [git(OLD), layer("top", applied=OLD)]
        source = git("main@sha1:dddd")
        source["status"]["lastHandledReconcileAt"] = informer.patches[0][1]["metadata"]["annotations"][
            "reconcile.fluxcd.io/requestedAt"
        ]
        yield [source, layer("top", applied="main@sha1:dddd")]

    informer.scenes = answered()
    assert [record.verdict for record in follow.run(10)] == ["unchanged"]


def test_only_some_with_what_is_below_them(make: Make) -> None:
    other = layer("other", "Unknown", "Progressing", "x")
    mine = layer("top", inventory=[f"{SYSTEM}_r_helm.toolkit.fluxcd.io_HelmRelease"])
    late = release("r", "Unknown", "Progressing", "Running 'install'")
    goal = Goal(frozenset({TOP}))
    records = make([git(), other, mine, late], [git(), other, mine, release("r")], goal=goal).run(60)
    assert {record.title: record.end for record in records} == {"Kustomization top": 2.0, "HelmRelease r": 2.0}


def again(name: str, **more: Any) -> Object:
    """Return a Kustomization that is looked at once more: nothing is new, and it is not called ready meanwhile."""
    made_ = layer(name, "Unknown", "Progressing", "Reconciliation in progress", **more)
    return told(made_, "True", "Progressing", "Detecting drift", "Reconciling")


def test_what_is_looked_at_again_is_done_all_the_same(make: Make) -> None:
    """With a short interval there may be no moment in which all is called ready."""
    blocked = layer("top", "False", "DependencyNotReady", needs=["first"])
    first = [git(), layer("first"), blocked, layer("other", "Unknown", applied=OLD)]
    second = [git(), again("first"), layer("top", needs=["first"]), layer("other", "Unknown", applied=OLD)]
    third = [git(), again("first"), blocked, layer("other")]
    make(first, second, first, third).run(60)


def test_what_was_ready_and_then_broke_is_not_done(make: Make) -> None:
    fine = [git(), layer("top", inventory=["app_web_apps_Deployment"]), deployment("web")]
    other = layer("other", "Unknown", applied=OLD)
    broke = [git(), layer("top", inventory=["app_web_apps_Deployment"]), deployment("web", ready=False)]
    with pytest.raises(NotReady, match="Deployment app/web"):
        make([*fine, other], [*broke, layer("other")]).run(10)


def test_the_view_is_shown_what_is_asked_for(make: Make) -> None:
    seen: list[Tree] = []
    follow = make([git(), layer("other", "Unknown"), layer("top")], goal=Goal(frozenset({TOP})))
    follow.view.show = lambda tree, seconds: seen.append(tree)  # type: ignore[method-assign]
    follow.run(60)
    assert [node.ref for node in seen[-1].walk()] == [TOP]
    assert not seen[-1].causes


def test_a_name_that_does_not_come_is_told(make: Make) -> None:
    with pytest.raises(NotReady, match="there is no Kustomization flux-system/top"):
        make([git(), layer("other")], goal=Goal(frozenset({TOP}))).run(5)


def test_a_request_has_to_be_answered_first(make: Make) -> None:
    before, after = layer("top", "False", "BuildFailed", DECODE), layer("top")
    after["status"]["lastHandledReconcileAt"] = "now"
    goal = Goal(frozenset({TOP}), handled={TOP: "now"})
    make(*[[git(), before]] * 20, [git(), after], goal=goal).run(60)  # and the old fault ends nothing


def test_a_request_that_came_after_another_answers_it_too(make: Make) -> None:
    asked, later, earlier = (f"{REQUEST}{number}" for number in (20, 21, 19))
    for handled, met in ((later, True), (asked, True), (earlier, False), ("2026-11-22T21:00:00Z", False)):
        top = layer("top")
        top["status"]["lastHandledReconcileAt"] = handled
        follow = make([git(), top], goal=Goal(frozenset({TOP}), handled={TOP: asked}))
        if met:
            follow.run(5)
        else:
            with pytest.raises(NotReady):
                follow.run(1)


def test_a_suspended_one_is_left_out_unless_it_is_asked_for(make: Make) -> None:
    held = layer("top", "False", "BuildFailed", "x", suspend=True)
    scene = [git(), layer("fine"), held]
    slow = [git(), layer("fine", "Unknown", applied=OLD), held]
    records = make(*[slow] * 30, scene).run(60)
    assert [(record.name.rpartition("/")[2], record.verdict) for record in records] == [
        ("fine", "changed"),
        ("top", "skipped"),
    ]
    with pytest.raises(NotReady, match="top: suspended") as caught:
        make(scene, goal=Goal(frozenset({TOP}))).run(60)
    assert caught.value.hint == "korthweb gitops.resume top"


PULL = [
    git(),
    layer("top", "Unknown", inventory=["app_web_apps_Deployment"], applied=OLD),
    deployment("web", ready=False),
    pod("web-1", app="web", containerStatuses=[waiting("ImagePullBackOff", "nowhere/x:1")]),
]
ENDS = [
    ("an image that can not be pulled", PULL, "Pod app/web-1: container orthanc: ImagePullBackOff"),
    ("a file that is no YAML", [git(), layer("top", "False", "BuildFailed", DECODE)], "a.yaml, line 4: not YAML"),
    ("a dependency suspended by a person",
     [git(), layer("first", applied=OLD, suspend=True),
      layer("top", "False", "DependencyNotReady", needs=["first"], applied=OLD)],
     "Kustomization flux-system/first: suspended"),
]  # fmt: skip


@pytest.mark.parametrize(("scene", "text"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
def test_what_will_not_heal_ends_it_after_a_moment(make: Make, clock: Clock, scene: list[Any], text: str) -> None:
    follow = make(scene)
    with pytest.raises(NotReady, match=text):
        follow.run(600)
    assert 5.0 < clock.now < 8.0
    assert follow.records()[-1].verdict in ("failed", "skipped")


def test_a_fault_that_heals_in_time_ends_nothing(make: Make) -> None:
    fine = [git(), layer("top", inventory=["app_web_apps_Deployment"]), deployment("web")]
    make(PULL, PULL, PULL, fine).run(600)


def test_a_fault_seen_twice_with_a_long_pause_has_not_stayed(make: Make) -> None:
    quiet = [git(), layer("top", "Unknown", applied=OLD)]
    fine = [git(), layer("top")]
    make(PULL, *[quiet] * 30, PULL, fine).run(600)


def test_the_fault_of_an_older_commit_ends_nothing(make: Make) -> None:
    broken = [git(OLD), layer("top", "False", "BuildFailed", DECODE, applied="x", attempted=OLD)]
    make(*[broken] * 20, [git(NEW), layer("top")], goal=Goal(revision="bbbb")).run(600)


def test_at_the_deadline_the_deepest_cause_comes_first(make: Make) -> None:
    scene = [
        git(),
        layer("top", "Unknown", "Progressing", "x", inventory=["app_web_apps_Deployment"], applied=OLD),
        deployment("web", ready=False),
        pod("web-1", app="web", containerStatuses=[waiting("ContainerCreating")]),
        layer("other", "Unknown", "Progressing", "also slow", applied=OLD),
    ]
    with pytest.raises(NotReady) as caught:
        make(scene).run(20)
    assert caught.value.message == "Kustomization flux-system/other: also slow (after 20 s)"
    assert caught.value.hint
    with pytest.raises(NotReady) as caught:
        make(scene[:-1]).run(20)
    assert caught.value.message == "Pod app/web-1: Pending (after 20 s)"
    assert caught.value.details == f"way: {TOP} > Deployment app/web > Pod app/web-1"


@pytest.mark.parametrize("error", [KeyboardInterrupt, Interrupted])
def test_an_interrupt_is_told_and_leaves_records(make: Make, error: type[BaseException]) -> None:
    follow = make([git(), layer("first"), layer("top", "Unknown", applied=OLD)], [error])
    with pytest.raises(Interrupted):
        follow.run(60)
    assert [record.verdict for record in follow.records()] == ["unchanged", "interrupted"]


def test_a_source_is_asked_once_and_again_where_that_did_not_arrive(make: Make) -> None:
    old = [git(OLD), layer("top", applied=OLD)]
    follow = make(*[old] * 5, [git(NEW), layer("top")], goal=Goal(revision="bbbb"), statuses=[0, 429, 503])
    follow.run(60)
    assert asked(follow) == [SYSTEM] * 3  # after the one that was lost: refused twice, then taken


def test_plain_lines_tell_each_deepest_cause_once_and_no_passing_words(clock: Clock) -> None:
    stream = io.StringIO()
    view = TreeView(Console(stream=stream))
    above = layer(SYSTEM, inventory=[f"{SYSTEM}_top_kustomize.toolkit.fluxcd.io_Kustomization"])
    slow = [git(), layer("top", "Unknown", inventory=["app_web_apps_Deployment"]), deployment("web", ready=False)]
    scenes = [
        *[(second, [above, *PULL]) for second in range(6)],
        *[(second, [git(), layer("top"), layer("next", "Unknown", applied=OLD)]) for second in range(6, 20)],
        *[(second, slow) for second in range(20, 33)],
    ]
    with view.opened("Following Flux"):
        for second, scene in scenes:
            view.show(build(scene), float(second))
    assert stream.getvalue().splitlines() == [
        "Following Flux",
        "  ✗ Pod app/web-1: container orthanc: ImagePullBackOff nowhere/x:1",
        "  ✓ Kustomization top: ready (6.0 s)",
        "  … Deployment app/web: 0 of 1 pods are available",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_tree_and_hides_what_is_ready_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "12")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    view = TreeView(Console(stream=stream))
    many = [git(), *(layer(f"fine-{number}") for number in range(40)), *PULL[1:]]
    with view.opened("Following Flux"):
        view.show(build(many), 3.0)
        text = view._render().plain
    assert "Kustomization flux-system/top" in text
    assert "fine" not in text
    assert len(text.splitlines()) <= 12
    assert "Following Flux" in stream.getvalue()
