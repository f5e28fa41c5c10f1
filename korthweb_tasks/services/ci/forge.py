"""One comment of a pull request, made or edited in place by the HTTP API of GitHub, GitLab or Gitea."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from korthweb_tasks.core.command import masked
from korthweb_tasks.core.durations import limit
from korthweb_tasks.errors import StepFailed
from korthweb_tasks.run.retry import asked_again
from korthweb_tasks.services.ci.place import Place

#: seconds, as a forge tells them in its headers
NUMBER = re.compile("[0-9]+")

Done = Literal["made", "edited", "unchanged", "nothing to say"]
#: seconds that a rate limit may ask for; more is told, not waited for
PATIENCE = 120.0
PAGES = 100


class NoRight(StepFailed):
    """The token may not write here."""


@dataclass(frozen=True, slots=True)
class Passing:
    """A fault that passes by itself: what it was, and how many seconds the forge wants (0: it does not say)."""

    text: str
    seconds: float = 0.0


@dataclass
class Forge:
    """Comments of one pull request. ``sleep`` and ``now`` (seconds since 1970) are the clock."""

    place: Place
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        trust = ssl.create_default_context(cafile=self.place.ca_file) if self.place.ca_file else True
        timeout, headers = httpx.Timeout(30.0, connect=10.0), self.place.api.login(self.place.token)
        self.client = httpx.Client(timeout=timeout, headers=headers, verify=trust)

    def put(self, marker: str, body: str, *, always: bool = True) -> Done:
        """Let the one comment with ``marker`` be ``body``; without ``always`` none is made where there is none.

        A fault that passes is tried again from the list of comments on, so that none is ever made twice.
        Raises NoRight for a token that is refused, StepFailed for everything else.
        """
        asked = asked_again(lambda: self._put(marker, body, always), pause=_pause, sleep=self.sleep)
        if isinstance(asked, Passing):
            raise StepFailed(f"{self._where}: {asked.text}", hint="run the job again later")
        return asked

    def _put(self, marker: str, body: str, always: bool) -> Done | Passing:
        try:
            mine = self._mine(marker)
            if mine is None and not always:
                return "nothing to say"
            if mine is None:
                self._ask("POST", self._path(self.place.api.listing), body)
                return "made"
            if mine.get("body") == body:
                return "unchanged"
            self._ask(self.place.api.edit, self._path(self.place.api.one, mine["id"]), body)
        except _Passes as error:
            return error.fault
        return "edited"

    def _mine(self, marker: str) -> dict[str, Any] | None:
        """Return our own comment; one of somebody else who has copied the marker is left alone."""
        group, key = self.place.api.author
        marked = [one for one in self._comments() if marker in str(one.get("body"))]
        if not marked:
            return None
        name, robots = self._name(), self.place.api.robots
        for one in marked:
            author = one.get(group) or {}
            robot = author.get("type") == "Bot" or author.get(key) in robots
            if author.get(key) == name if name else robot:
                return one
        return None

    def _comments(self) -> Iterator[dict[str, Any]]:
        url: httpx.URL | None = httpx.URL(self._path(self.place.api.listing)).copy_merge_params({"per_page": "100"})
        home = url.netloc if url else b""
        for _ in range(PAGES):
            if url is None:
                return
            answer = self._ask("GET", url)
            yield from _json(answer, list)
            link = answer.links.get("next", {}).get("url")
            url = answer.url.join(link) if link else None
            if url and url.netloc != home:  # the token is for this server alone
                raise StepFailed(f"{self._where}: its next page is at {url.host}, which gets no token")

    def _name(self) -> str:
        """Return what the token is called; "" for a pipeline's own or an app's, which may not ask and is a robot's."""
        api = self.place.api
        try:
            answer = self._ask("GET", f"{self.place.url.rstrip('/')}/user")
        except NoRight:
            if not api.robots:
                raise
            return ""
        return str(_json(answer, dict).get("username" if self.place.forge == "gitlab" else "login"))

    def _ask(self, method: str, url: str | httpx.URL, body: str = "") -> httpx.Response:
        try:
            answer = self.client.request(method, url, json={"body": body} if body else None)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            text = masked(str(error), (self.place.token,))
            if isinstance(error, httpx.TransportError) and "certificate" not in text.lower():
                raise _Passes(Passing(f"no answer: {text or type(error).__name__}")) from error
            raise StepFailed(f"{self._where}: {text}") from error
        if answer.is_success:
            return answer
        raise self._refusal(answer)

    def _refusal(self, answer: httpx.Response) -> Exception:
        code, text = answer.status_code, f"{answer.status_code} {masked(_said(answer), (self.place.token,))}".strip()
        limited = code == 429 or "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"
        if (code in (403, 429) and limited) or code >= 500:
            seconds = self._wanted(answer)
            if seconds > PATIENCE:
                return StepFailed(f"{self._where}: {text}: not before {limit(seconds)}", hint="run the job again later")
            return _Passes(Passing(text, seconds))
        if code in (401, 403):
            what = "does not know the token" if code == 401 else "does not let the token write"
            return NoRight(f"{self._where} {what}: {text}", hint=self.place.api.right)
        return StepFailed(
            f"{self._where}: {text}", hint=f"is it there, and may the token see it? {self.place.api.right}"
        )

    def _wanted(self, answer: httpx.Response) -> float:
        given = answer.headers.get("retry-after", "")
        if NUMBER.fullmatch(given):
            return float(given)
        reset = answer.headers.get("x-ratelimit-reset", "")
        return max(0.0, float(reset) - self.now()) if NUMBER.fullmatch(reset) and answer.status_code < 500 else 0.0

    def _path(self, path: str, number: object = "") -> str:
        place = self.place
        return f"{place.url.rstrip('/')}/{path.format(project=place.project, number=place.number, id=number)}"

    @property
    def _where(self) -> str:
        return f"{self.place.api.title} ({self.place.project}, pull request {self.place.number})"


class _Passes(Exception):
    """A passing fault on its way to who tries again."""

    def __init__(self, fault: Passing) -> None:
        super().__init__(fault.text)
        self.fault = fault


def _pause(answer: Done | Passing) -> float | None:
    return answer.seconds if isinstance(answer, Passing) else None


def _json(answer: httpx.Response, kind: type[Any]) -> Any:
    try:
        data = answer.json()
    except ValueError:
        data = None
    if not isinstance(data, kind):
        raise StepFailed(
            f"{answer.url.host} did not answer as a forge's API does", hint="is the address of the API right?"
        )
    return data


def _said(answer: httpx.Response) -> str:
    try:
        data = answer.json()
    except ValueError:
        return ""
    return str(data.get("message", ""))[:200] if isinstance(data, dict) else ""
