"""Stands in for `kubectl proxy`: a small API server at a socket, whose state is a folder of JSON files.

``proxy.py FOLDER SOCKET``: FOLDER/<plural>.json is a list of objects; a change of the file is a change that a watch
tells, a missing file a kind that is not known (404), FOLDER/<plural>.403 one that may not be listed. FOLDER/down
makes every answer a 502, as kubectl's proxy gives when the API server is away. What is patched goes to
FOLDER/patched, one line for each.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

FOLDER = Path(sys.argv[1])
#: resource version -> what a list had then, by name
SEEN: dict[str, dict[str, Any]] = {}


class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        plural = path.rpartition("/")[2]
        if (FOLDER / "down").exists():
            self.answer(502, {})
        elif (FOLDER / f"{plural}.403").exists():
            self.answer(403, {})
        elif not (FOLDER / f"{plural}.json").exists():
            self.answer(404, {})
        elif "watch=true" in query:
            self.watch(plural, query.rpartition("resourceVersion=")[2])
        else:
            items = read(plural)
            self.answer(200, {"metadata": {"resourceVersion": seen(items)}, "items": list(items.values())})

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with (FOLDER / "patched").open("a") as file:
            file.write(f"{self.path} {body.decode()}\n")
        self.answer(502 if (FOLDER / "down").exists() else 200, {})

    def answer(self, status: int, data: Any) -> None:
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def watch(self, plural: str, version: str) -> None:
        if version not in SEEN:  # of a proxy before this one
            self.answer(410, {})
            return
        self.send_response(200)
        self.end_headers()
        known = SEEN[version]
        while not (FOLDER / "down").exists():
            now = read(plural)
            version = seen(now) if now != known else version
            for name, obj in now.items():
                if known.get(name) != obj:
                    self.tell("MODIFIED" if name in known else "ADDED", obj, version)
            for name in set(known) - set(now):
                self.tell("DELETED", known[name], version)
            known = now
            time.sleep(0.02)

    def tell(self, type_: str, obj: Any, version: str) -> None:
        meta = {"resourceVersion": version, **obj["metadata"]}
        self.wfile.write(json.dumps({"type": type_, "object": {**obj, "metadata": meta}}).encode() + b"\n")

    def log_message(self, *args: object) -> None: ...


def read(plural: str) -> dict[str, Any]:
    try:
        return {obj["metadata"]["name"]: obj for obj in json.loads((FOLDER / f"{plural}.json").read_text())}
    except FileNotFoundError:
        return {}


def seen(items: dict[str, Any]) -> str:
    version = str(time.time_ns())
    SEEN[version] = items
    return version


if __name__ == "__main__":
    socket.setdefaulttimeout(60)
    Server(sys.argv[2], Handler).serve_forever()
