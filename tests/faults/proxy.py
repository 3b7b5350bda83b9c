"""The wire between two processes, as bad as it has to be: one process of TCP proxies with a control socket.

    python -m tests.faults.proxy SOCKET

A line of JSON to SOCKET (see `links.py`, its other end) makes a link, points it at another server or makes it
behave: what a link does (its mode) holds for the connections that are open and for those that come.

pass      bytes go through as they come
delay     each piece waits `seconds` in each direction
stall     nothing goes through, and nothing is lost: what was held back goes through once the mode ends
cut       the same in one direction only (`way`: up, to the server, or down)
half_open the servers' ends are reset while the clients' ends stay open, silent; later connections lead nowhere either
trickle   one byte at a time, the first of each piece a millisecond apart
truncate  `bytes` more in the direction `way`, then both ends are closed in the middle of what was being said

What ends half_open resets the connections that had to suffer it. `reset` is no mode: it breaks what is open, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

UP: Final = "up"
DOWN: Final = "down"
PIECE: Final = 65_536
_SLOW: Final = 100
_RST: Final = struct.pack("ii", 1, 0)
End = tuple[asyncio.StreamReader, asyncio.StreamWriter]
T = TypeVar("T")


@dataclass(slots=True)
class Mode:
    """What a link does to the bytes. `changed` is set when another mode takes its place."""

    name: str = "pass"
    seconds: float = 0.0
    way: str = UP
    bytes: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def holds(self, way: str) -> bool:
        return self.name == "stall" or (self.name == "cut" and self.way == way)


class Link:
    """One listening port and where it leads to: a unix socket's path, or host and port."""

    def __init__(self, target: list[Any]) -> None:
        self.target = target
        self.mode = Mode()
        self.pairs: set[Pair] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = Pair(self, (reader, writer))
        self.pairs.add(pair)
        try:
            await pair.run()
        finally:
            self.pairs.discard(pair)

    def become(self, mode: Mode) -> None:
        before, self.mode = self.mode, mode
        if mode.name == "half_open":
            for pair in self.pairs:
                pair.lose_server()
        if before.name == "half_open":
            self.reset(deaf=True)
        before.changed.set()

    def reset(self, *, deaf: bool = False) -> None:
        """Break connections: all, or those that no longer lead to a server."""
        for pair in list(self.pairs):
            if pair.deaf or not deaf:
                pair.abort()


class Pair:
    """A client's connection and the one to the server behind it."""

    def __init__(self, link: Link, client: End) -> None:
        self.link = link
        self.client = client
        self.server: End | None = None
        self.deaf = False
        self._gone = asyncio.Event()

    async def run(self) -> None:
        try:
            while self.link.mode.holds(UP):  # a connection's first packet goes up too
                await self._while(self.link.mode)
            self.deaf = self.link.mode.name == "half_open"
            if not self.deaf:
                self.server = await _connect(self.link.target)
            await self._pump()
        except OSError:
            pass
        finally:
            self.abort()

    async def _pump(self) -> None:
        ways = [asyncio.ensure_future(self._one_way(UP)), asyncio.ensure_future(self._one_way(DOWN))]
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            while not gone.done() and not all(way.done() for way in ways):
                waiting = {future for future in (*ways, gone) if not future.done()}
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if any(way.exception() for way in done if way in ways):
                    return
        finally:
            for future in (*ways, gone):
                future.cancel()
            await asyncio.gather(*ways, gone, return_exceptions=True)

    async def _one_way(self, way: str) -> None:
        """Carry one direction until its end, and hand the end on."""
        while True:
            source = self.client if way == UP else self.server
            if source is None:  # deaf: the client hears nothing more
                await self._gone.wait()
                return
            try:
                piece = await source[0].read(PIECE)
            except OSError:
                if not self.deaf:
                    raise
                piece = b""
            if self.deaf:
                if piece:
                    continue
                await self._gone.wait()
                return
            await self._forward(piece, way)
            if not piece:
                return

    async def _forward(self, piece: bytes, way: str) -> None:
        """An empty piece is the end."""
        mode = self.link.mode
        if mode.name == "delay":
            await asyncio.sleep(mode.seconds)
        while self.link.mode.holds(way):
            await self._while(self.link.mode)
        sink = self.server if way == UP else self.client
        if self.deaf or sink is None:
            return
        writer, mode = sink[1], self.link.mode
        if not piece:
            with contextlib.suppress(OSError):
                writer.write_eof()
        elif mode.name == "trickle":
            await self._trickle(piece, writer, mode)
        elif mode.name == "truncate" and mode.way == way:
            writer.write(piece[: mode.bytes])
            mode.bytes -= len(piece)
            if mode.bytes <= 0:
                await writer.drain()
                self._close()
        else:
            writer.write(piece)
        await writer.drain()

    async def _trickle(self, piece: bytes, writer: asyncio.StreamWriter, mode: Mode) -> None:
        for at in range(len(piece)):
            if mode is not self.link.mode:
                writer.write(piece[at:])
                return
            writer.write(piece[at : at + 1])
            await asyncio.sleep(0.001 if at < _SLOW else 0)

    async def _while(self, mode: Mode) -> None:
        """Until the link has another mode, or this pair has gone."""
        waits = [asyncio.ensure_future(mode.changed.wait()), asyncio.ensure_future(self._gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._gone.is_set():
            raise ConnectionResetError

    def lose_server(self) -> None:
        self.deaf = True
        if self.server is not None:
            _abort(self.server[1])

    def abort(self) -> None:
        for end in (self.client, self.server):
            if end is not None:
                _abort(end[1])
        self._gone.set()

    def _close(self) -> None:
        """What was written still arrives, then the end, and nothing after it."""
        for end in (self.client, self.server):
            if end is not None:
                end[1].close()
        self._gone.set()


async def _connect(target: list[Any]) -> End:
    if len(target) == 1:
        return await asyncio.open_unix_connection(target[0], limit=PIECE)
    reader, writer = await asyncio.open_connection(*target, limit=PIECE)
    return reader, writer


def _abort(writer: asyncio.StreamWriter) -> None:
    """A reset, where there is one to send (a unix socket knows none)."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family == socket.AF_INET and not writer.is_closing():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()


class Proxy:
    """All links, and the control socket's commands."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self._servers: list[asyncio.Server] = []

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked = json.loads(line)
            writer.write(json.dumps(await self.do(**asked)).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def do(self, command: str, link: str, **more: Any) -> dict[str, Any]:
        """`open` (port, target), `target` (target), `mode` (the fields of Mode), `reset`; each tells how it stands."""
        if command == "open":
            made = self.links[link] = Link(more["target"])
            listening = await asyncio.start_server(made.accept, "127.0.0.1", more["port"], limit=PIECE, backlog=1024)
            self._servers.append(listening)
        found = self.links[link]
        if command == "target":
            found.target = more["target"]
        elif command == "mode":
            found.become(Mode(**more))
        elif command == "reset":
            found.reset()
        return {"mode": found.mode.name, "open": len(found.pairs)}


async def main(path: Path) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    proxy = Proxy()
    async with await asyncio.start_unix_server(proxy.control, path):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
