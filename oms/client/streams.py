"""Streams: what the server tells, in order, across lost connections and restarts.

Flow:  server -> socket -> [stream: its topics] -> `async for`
Owner: the coroutine that reads; each stream has a WebSocket of its own. What is not read waits in
the connection; when that is too much the server closes it, and the stream goes on behind its last
event. What cannot be told any more is a GapError, and the stream goes on behind it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Generic

from oms.client.credentials import Reply, refusal_of
from oms.client.retry import FailedError, Tries, Verdict, error_of, status_of, verdict_of
from oms.client.said import Call
from oms.client.server import Server
from oms.client.sockets import Socket, again, learn, opened
from oms.client.told import (
    GarbledError,
    Told,
    reading,
    text,
    whole,
)
from oms.client.topics import ReportsOf, T, Topic
from oms.client.transport import LostError
from oms.errors import GapError, StoppedError

SILENCE_S_MAX = 10.0  # there is a heartbeat each second
ANSWER_S_MAX = 15.0  # of a subscription
READ_MAX = 100  # events read in a row before other coroutines have their turn


class Stream(Generic[T]):
    """Events of one server, for one coroutine; opened by `async with`, read by `async for`.

    make: its topics, made in a thread. Raises ServerError once no connection could be had for
    retry_s, and GapError: iterate again, and it goes on. It ends when the client has stopped.
    """

    def __init__(self, server: Server, make: "Callable[[], list[Topic[T]]]") -> None:
        self._server = server
        self._make: Callable[[], list[Topic[T]]] = make
        self._topics: dict[tuple[str, str, str], Topic[T]] = {}
        # Over the connection of now, each with the group of markets whose sequences it goes by.
        self._begun: list[tuple[str, Topic[T]]] = []
        self._ready: deque[T | GapError] = deque()
        self._socket: Socket | None = None
        self._tries: Tries | None = None
        self._opened = self._closed = False
        self._read = 0

    async def __aenter__(self) -> "Stream[T]":
        if self._opened:
            raise StoppedError("a stream is opened once")
        self._opened = True
        for topic in await asyncio.to_thread(self._make):
            self._topics[_key(topic.words)] = topic
        await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        self._ready.clear()
        await self._leave()

    @property
    def seqs(self) -> dict[str, int]:
        """Of a stream of reports: up to which turn of each group of markets all was told; what to
        keep, and give as `from_seq` the next time. Where there is one group, it has no name."""
        found: dict[str, int] = {}
        for topic in self._topics.values():
            if isinstance(topic, ReportsOf) and topic.told_seq is not None:
                found[topic.group] = min(found.get(topic.group, topic.told_seq), topic.told_seq)
        return found

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        if not self._opened:
            raise StoppedError("a stream is opened by `async with`")
        self._read += 1
        if self._read % READ_MAX == 0:
            await asyncio.sleep(0)
        while not self._ready:
            if self._closed or self._server.stopped:
                raise StopAsyncIteration
            socket = await self._connected()
            try:
                await self._take(await socket.hear(SILENCE_S_MAX))
            except (LostError, GarbledError) as error:
                await self._lost(FailedError(Verdict.LATER, error))
        found = self._ready.popleft()
        if isinstance(found, GapError):
            raise found
        return found

    # --- connections ---

    async def _connected(self) -> Socket:
        """The connection, with all topics subscribed. Raises ServerError."""
        while self._socket is None:
            tries = self._tries = self._tries or self._server.tries(Call("GET", "/ws"))
            self._socket = await opened(self._server, tries)
            try:
                for topic in self._topics.values():
                    await self._subscribe(self._socket, topic)
                self._tries = None
            except (LostError, GarbledError) as error:
                await self._lost(FailedError(Verdict.LATER, error))
            except FailedError as failed:
                await self._lost(failed)
            except BaseException:
                await self._leave()
                raise
        return self._socket

    async def _lost(self, failed: FailedError) -> None:
        """Raises ServerError: there is no other try."""
        await self._leave()
        tries = self._tries = self._tries or self._server.tries(Call("GET", "/ws"))
        await again(self._server, tries, failed)

    async def _leave(self) -> None:
        socket, self._socket = self._socket, None
        self._begun.clear()
        if socket is not None:
            await socket.close()

    async def _subscribe(self, socket: Socket, topic: Topic[T]) -> None:
        """Raises LostError, GarbledError, FailedError; ServerError: it never will be."""
        said = {"op": "subscribe", **topic.words, **topic.resumes()}
        await socket.say(said)
        while True:
            told = await socket.hear(ANSWER_S_MAX)
            if told.get("op") != "subscribe":
                await self._take(told)
                continue
            error = error_of(told)
            if error is None:
                await self._told(topic.begin, told)
                self._begun.append((text(told.get("group", "")), topic))
                return
            reply = Reply(status_of(error.code), told)
            verdict = verdict_of(reply.status, error)
            if verdict is Verdict.DONE:
                raise refusal_of(reply)
            raise FailedError(verdict, refusal_of(reply))

    # --- messages ---

    async def _take(self, told: Told) -> None:
        """Raises GarbledError, ServerError."""
        if told.get("channel") == "heartbeat":
            with reading("a heartbeat"):
                for group, each in self._begun:
                    if group == told.get("group", ""):
                        each.beat(whole(told["seq"]))
            return
        with reading("a message"):
            topic = self._topics.get(_key({**told.get("data", {}), **told}))
        if topic is not None and "op" not in told:
            await self._told(topic.take, told)

    async def _told(self, read: "Callable[[Told], list[T | GapError]]", told: Told) -> None:
        with reading("a message"):
            reports = [*told.get("reports", ()), told.get("data", {})]
            if "reports" in told or told.get("channel") == "reports":
                await learn(self._server, {str(each.get("symbol", "")) for each in reports})
            self._ready.extend(read(told))


def _key(words: Mapping[str, Any]) -> tuple[str, str, str]:
    """Channel; the symbol, which is of one group of markets, or account and group."""
    channel, group = str(words.get("channel")), str(words.get("group", ""))
    if channel in ("reports", "balances"):
        return channel, str(words.get("account", "")), group
    if channel == "markets":
        return channel, "", group
    return channel, str(words.get("symbol", "")), ""
