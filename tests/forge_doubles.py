"""A forge that listens on the loopback: comments of one pull request as GitHub, GitLab or Gitea serve them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "t0ken-of-the-pipeline"
#: forge -> header of the token, list of comments, one comment, method of an edit, key of the author and of a name
_ISSUES, _COMMENT = "/repos/o/p/issues/7/comments", "/repos/o/p/issues/comments/"
_NOTES = "/projects/42/merge_requests/7/notes"
SPOKEN = {
    "github": ("Authorization", f"Bearer {TOKEN}", _ISSUES, _COMMENT, "PATCH"),
    "gitlab": ("PRIVATE-TOKEN", TOKEN, _NOTES, f"{_NOTES}/", "PUT"),
    "gitea": ("Authorization", f"token {TOKEN}", _ISSUES, _COMMENT, "PATCH"),
}
AUTHOR = {"github": ("user", "login"), "gitlab": ("author", "username"), "gitea": ("user", "login")}


@dataclass
class Answer:
    """What is answered to the next request of ``method`` instead; with ``done`` it is carried out all the same."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    method: str = ""
    done: bool = False


@dataclass
class StandIn:
    """The forge. ``me`` is whom the token belongs to; "" for a pipeline's own, which may not ask."""

    kind: str
    me: str = "deployer"
    robot: str = "github-actions[bot]"
    comments: list[dict[str, Any]] = field(default_factory=list)
    instead: list[Answer] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    pages: int = 2
    url: str = ""
    next_at: str = ""

    def say(self, body: str, who: str, **more: str) -> dict[str, Any]:
        """Put a comment of somebody into the pull request."""
        group, key = AUTHOR[self.kind]
        made = {"id": len(self.comments) + 100, "body": body, group: {key: who, **more}}
        self.comments.append(made)
        return made


class Handler(BaseHTTPRequestHandler):
    """Speaks the API."""

    forge: StandIn

    def answer(self) -> None:
        forge, length = self.forge, int(self.headers.get("Content-Length") or 0)
        given = json.loads(self.rfile.read(length) or b"{}")
        parts = urlsplit(self.path)
        forge.asked.append(f"{self.command} {parts.path}")
        header, wanted, _, _, _ = SPOKEN[forge.kind]
        if self.headers.get(header) != wanted:
            return self.reply(401, {"message": f"Bad credentials {self.headers.get(header)}"})
        if forge.instead and forge.instead[0].method in ("", self.command):
            instead = forge.instead.pop(0)
            if instead.done:
                self.carried_out(parts.path, given)
            return self.reply(instead.code, {"message": f"no {TOKEN}"}, instead.headers)
        return self.usual(parts.path, given, parse_qs(parts.query))

    do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815 - the names that http.server calls

    def usual(self, path: str, given: dict[str, str], query: dict[str, list[str]]) -> None:
        forge = self.forge
        if path == "/user":
            name = "username" if forge.kind == "gitlab" else "login"
            return self.reply(200, {name: forge.me}) if forge.me else self.reply(403, {"message": "not by integration"})
        if self.command == "GET" and path == SPOKEN[forge.kind][2]:
            page = int(query.get("page", ["1"])[0])
            size = min(forge.pages, int(query.get("per_page", ["30"])[0]))
            more = page * size < len(forge.comments)
            link = f'<{forge.next_at or forge.url}{path}?per_page={size}&page={page + 1}>; rel="next"'
            headers = {"Link": link} if more else {}
            return self.reply(200, forge.comments[(page - 1) * size : page * size], headers)
        found = self.carried_out(path, given)
        return self.reply(200 if found else 404, found or {"message": "Not Found"})

    def carried_out(self, path: str, given: dict[str, str]) -> dict[str, Any] | None:
        forge = self.forge
        _, _, listing, one, method = SPOKEN[forge.kind]
        if self.command == "POST" and path == listing:
            return forge.say(given["body"], forge.me or forge.robot)
        number = re.fullmatch(rf"{re.escape(one)}([0-9]+)", path)
        found = [one for one in forge.comments if number and one["id"] == int(number[1])]
        if self.command != method or not found:
            return None
        found[0]["body"] = given["body"]
        return found[0]

    def reply(self, code: int, data: Any, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(data).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(raw)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def listening(forge: StandIn) -> Iterator[StandIn]:
    """Let the forge listen inside the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"forge": forge}))
    forge.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
