"""A TCP proxy that makes a peer far away: rtt/2 later in each direction, in order, at full throughput.

    proxy = DelayProxy(("127.0.0.1", 0), ("127.0.0.1", 22), rtt_seconds=0.05)
    host, port = await proxy.start()          # inside an event loop
    with delayed([("127.0.0.1", 22)], 0.05) as far:     # or in a process of its own
        far.ports, far.trips()

It counts round trips, too: what a peer sends knows of what has reached that peer, so that every item has a depth,
as in a logical clock (Lamport, 1978); the deepest answer is how many trips had to follow one another. A slow
machine is no farther away: it can only make the number larger, where an answer overtakes what nothing waited for.

The kernel's `tc netem` is often missing in containers, and it would slow the whole interface down.
Standard library only. epoll counts in milliseconds: a direction is up to 1 ms slower than asked for.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Address = tuple[str, int]

# More than any window on the way, so that delay alone limits the speed, yet a bound on memory.
IN_FLIGHT = 64 << 20


@dataclass
class _Peer:
    """Who sits at one side of the proxy: how deep what has reached them was, and how much deeper what they send is."""

    step: int  # 1 for who asks, 0 for who answers
    depth: int = 0


class _End(asyncio.Protocol):
    """One end of a connection, that of `peer`; what it receives reaches `other` after `half` seconds."""

    def __init__(self, peer: _Peer, half: float, not_before: float) -> None:
        self.peer, self.half, self.not_before = peer, half, not_before
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.line: deque[tuple[float, int, bytes | None]] = deque()  # (due, depth, data); None ends the stream
        self.held = 0
        self.blocked = False  # `other` cannot take more at the moment
        self.said_all = False  # nothing more comes from here
        self.ended = False  # and the other end has been told
        self.lost = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.held += len(data)
        self._queue(data)
        if self.held > IN_FLIGHT:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.said_all = True
        self._queue(None)
        return True  # half-closed: the other direction lives on

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if exc is not None and self.other is not None:
            self.loop.call_later(self.half, self.other.abort)  # a reset travels as well

    def abort(self) -> None:
        # asyncio calls connection_lost on nothing if a transport that is gone already is aborted
        if self.transport is not None and not self.lost:
            self.transport.abort()

    def pause_writing(self) -> None:
        self.other.blocked = True

    def resume_writing(self) -> None:
        self.other.blocked = False
        self.other.flush()

    def _queue(self, item: bytes | None) -> None:
        due = max(self.loop.time() + self.half, self.not_before)
        self.line.append((due, self.peer.depth + self.peer.step, item))
        if self.timer is None:
            self.timer = self.loop.call_at(self.line[0][0], self.flush)

    def flush(self) -> None:
        """Hand over what is due."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.other is None:  # the far side is not connected yet: it flushes when it is
            return
        while self.line and not self.blocked and self.line[0][0] <= self.loop.time():
            _, depth, item = self.line.popleft()
            if item is not None:
                self.held -= len(item)
                if not self.other.transport.is_closing():
                    self.other.transport.write(item)
                    if not self.other.said_all:  # who has closed reads no more
                        self.other.peer.depth = max(self.other.peer.depth, depth)
                continue
            self.ended = True
            if self.other.ended:
                self.transport.close()
                self.other.transport.close()
            elif not self.other.transport.is_closing():
                self.other.transport.write_eof()
        if self.held <= IN_FLIGHT and not self.transport.is_closing():
            self.transport.resume_reading()
        if self.line and not self.blocked:
            self.timer = self.loop.call_at(self.line[0][0], self.flush)


class DelayProxy:
    """Accept on `listen` (port 0: any free one), hand on to `upstream`, both directions delayed."""

    def __init__(self, listen: Address, upstream: Address, rtt_seconds: float) -> None:
        self.listen, self.upstream, self.rtt = listen, upstream, rtt_seconds
        self.server: asyncio.Server | None = None
        self.opening: set[asyncio.Task[None]] = set()
        self.ends: list[_End] = []
        self.asking, self.answering = _Peer(1), _Peer(0)

    def trips(self) -> int:
        """Return how many round trips of the connections since the last call followed one another, connects aside."""
        trips = self.asking.depth
        self.asking, self.answering = _Peer(1), _Peer(0)  # what is still on its way counts for the old ones
        return trips

    async def start(self) -> Address:
        """Listen; the address really bound."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self._accepted, *self.listen, backlog=512)
        return self.server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        self.server.close()
        for task in self.opening:
            task.cancel()
        for end in self.ends:
            end.abort()
        await asyncio.sleep(0)

    def _accepted(self) -> _End:
        # SYN, SYN-ACK, ACK: on a real line the server sees a new connection 1.5 trips after connect(),
        # here the kernel has answered connect() at once, so that the wait is made up for.
        loop = asyncio.get_running_loop()
        near = _End(self.asking, self.rtt / 2, loop.time() + 1.5 * self.rtt)
        task = loop.create_task(self._open(near, self.answering))
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)
        self.ends = [end for end in self.ends if not end.lost]
        self.ends.append(near)
        return near

    async def _open(self, near: _End, answering: _Peer) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1.5 * self.rtt)
        far = _End(answering, self.rtt / 2, 0)
        far.other = near
        try:
            await loop.create_connection(lambda: far, *self.upstream)
        except OSError:
            loop.call_later(self.rtt / 2, near.abort)
            return
        if near.transport.is_closing():  # gave up before we were through
            far.abort()
            return
        self.ends.append(far)
        near.other = far
        near.flush()


@dataclass(frozen=True)
class Distant:
    """Proxies in a process of their own: their ports on 127.0.0.1, in the order of what they lead to."""

    ports: list[int]
    orders: IO[str]
    answers: IO[str]

    def trips(self) -> list[int]:
        """Return for each port how many round trips of the connections since the last call followed one another."""
        self.orders.write("trips\n")
        self.orders.flush()
        trips: list[int] = json.loads(self.answers.readline())
        return trips


@contextmanager
def delayed(upstreams: list[Address], rtt_seconds: float) -> Iterator[Distant]:
    """Make every one of `upstreams` that far away, through a port of its own, while the context lasts."""
    child = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the parent, which then ends the proxy
    )
    try:
        child.stdin.write(json.dumps({"rtt": rtt_seconds, "upstreams": upstreams}) + "\n")
        child.stdin.flush()
        yield Distant(json.loads(child.stdout.readline()), child.stdin, child.stdout)
    finally:
        child.stdin.close()  # the proxy ends when its standard input does, also if the parent is killed
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


async def _serve() -> None:
    order = json.loads(sys.stdin.readline())
    proxies = [DelayProxy(("127.0.0.1", 0), tuple(up), order["rtt"]) for up in order["upstreams"]]
    print(json.dumps([(await proxy.start())[1] for proxy in proxies]), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps([proxy.trips() for proxy in proxies]), flush=True)
    for proxy in proxies:
        await proxy.close()


if __name__ == "__main__":
    asyncio.run(_serve())
