"""A small ingress: ends TLS by SNI in front of Orthanc, soundly or with one chosen fault."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from tests.verify_doubles.pki import server_context

TLS_HANDSHAKE = b"\x16"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
_HOST = re.compile(rb"(?im)^host: *([^:\r\n]+)")


@dataclass(frozen=True)
class Faults:
    """What may be wrong with the gateway."""

    any_name: bool = False  # serves names that it should not know
    any_host: bool = False  # routes any Host header
    plain: bool = False  # takes connections without TLS
    mute: bool = False  # keeps connections without TLS, and says nothing
    old: bool = False  # takes TLS 1.0 and 1.1
    any_password: bytes = b""  # puts this Authorization in place of any other
    keeps: bool = False  # answers to DELETE without doing it
    closed: bool = False  # does not listen
    ends: int = 0  # closes each so-manieth connection when the ClientHello has come
    pause: float = 0.0  # seconds after each piece that goes in
    most: int = 0  # bytes that may go in over one connection, which is cut then


@dataclass
class Listener:
    """One port of the gateway."""

    backend: int
    host: str
    pem: bytes
    http: bool
    faults: Faults = Faults()
    port: int = 0
    taken: int = 0

    def context(self) -> ssl.SSLContext:
        context = server_context(self.pem, old=self.faults.old)

        def by_name(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
            known = name == self.host or self.faults.any_name
            return None if known else int(ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)

        context.sni_callback = by_name
        return context

    async def serve(self, listening: socket.socket) -> None:
        loop, context = asyncio.get_running_loop(), self.context()
        tasks: set[asyncio.Task[None]] = set()
        while True:
            connection, _ = await loop.sock_accept(listening)
            task = asyncio.create_task(self._guarded(connection, context))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _guarded(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._connection(connection, context)

    async def _connection(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await _readable(connection)
        first = connection.recv(1, socket.MSG_PEEK)
        if first and first != TLS_HANDSHAKE and self.faults.mute:
            await asyncio.Event().wait()
        if not first or (first != TLS_HANDSHAKE and not self.faults.plain):
            connection.close()
            return
        self.taken += 1
        if self.faults.ends and self.taken % self.faults.ends == 0:
            connection.recv(1 << 14)  # or the kernel would send a reset
            connection.close()
            return
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        secured = context if first == TLS_HANDSHAKE else None
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=secured)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._talk(reader, writer)
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n") if self.http else b""
        if self.http:
            found = _HOST.search(head)
            if not self.faults.any_host and (not found or found[1].decode() != self.host):
                writer.write(NOT_FOUND)
                await writer.drain()
                return
            if self.faults.keeps and head.startswith(b"DELETE"):
                writer.write(EMPTY)
                await writer.drain()
                return
            if self.faults.any_password:
                swapped = b"Authorization: " + self.faults.any_password
                head = re.sub(rb"(?im)^authorization:[^\r\n]*", lambda _: swapped, head)
            head = re.sub(rb"(?im)^connection:[^\r\n]*", b"Connection: close", head)
        behind, to_behind = await asyncio.open_connection("127.0.0.1", self.backend)
        try:
            to_behind.write(head)
            both = [
                asyncio.create_task(_pump(reader, to_behind, self.faults)),
                asyncio.create_task(self._answer(behind, writer)),
            ]
            _, pending = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        finally:
            to_behind.close()

    async def _answer(self, behind: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.http:
            # One request per connection, so that each one passes here.
            head = await behind.readuntil(b"\r\n\r\n")
            writer.write(
                re.sub(rb"(?im)^(connection|keep-alive):[^\n]*\n", b"", head[:-2]) + b"Connection: close\r\n\r\n"
            )
        await _pump(behind, writer)


async def _readable(connection: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, faults: Faults = Faults()) -> None:
    through = 0
    with suppress(OSError):
        while data := await source.read(1 << 16):
            through += len(data)
            if faults.most and through > faults.most:
                return
            sink.write(data)
            await sink.drain()
            await asyncio.sleep(faults.pause)


@dataclass
class Gateway:
    """Listeners in a thread of their own; a context manager."""

    listeners: tuple[Listener, ...]
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Gateway:
        for listener in self.listeners:
            listening = socket.create_server(("127.0.0.1", 0))
            listening.setblocking(False)
            listener.port = listening.getsockname()[1]
            if listener.faults.closed:
                listening.close()
                continue
            self._sockets.append(listening)
            self._loop.call_soon(self._begin, listener, listening)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread:
            self._thread.join(5)
        for listening in self._sockets:
            listening.close()
        self._loop.close()

    def _begin(self, listener: Listener, listening: socket.socket) -> None:
        self._tasks.append(self._loop.create_task(listener.serve(listening)))

    async def _cancel(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
