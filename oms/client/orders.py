"""Orders: requests over one WebSocket, many on their way at once, each answered once.

Flow:  Client.place -> [order line] -> socket -> server -> future
Owner: one event loop. Requests go out in the order in which they were put, AT_ONCE_MAX at a time.
When the connection is lost, all that was not answered is sent again over the next one, in the same
order and with the same ids; a request is given up once its own tries are over.
"""

import asyncio
import itertools
from bisect import bisect_left
from collections import deque
from contextlib import suppress

from oms.client.answers import response_of
from oms.client.credentials import Reply, refusal_of
from oms.client.retry import Backoff, FailedError, Tries, Verdict, error_of, status_of, verdict_of
from oms.client.said import Call
from oms.client.server import Server
from oms.client.sockets import Socket, learn, open_socket, opened, renew
from oms.client.told import GarbledError, Told, count, reading
from oms.client.transport import LostError
from oms.clock import NANOS
from oms.errors import ServerError, StoppedError
from oms.responses import OrderResponse

AT_ONCE_MAX = 60  # the server reads no further behind 64
WAITING_MAX = 10_000
LOOK_S = 0.25  # how often it is looked whether the oldest answer is overdue
CONNECTION = Call("GET", "/ws")


class Wish:
    """A request, and who waits for its answer. number: its place among all that were put."""

    def __init__(
        self, number: int, call: Call, tries: Tries, answer: "asyncio.Future[OrderResponse]"
    ) -> None:
        self.number, self.call, self.tries, self.answer = number, call, tries, answer
        self.not_before_ns = self.sent_ns = 0

    def fail(self, failed: FailedError, now_ns: int) -> bool:
        """Is there another try? If not, whoever waits is told."""
        try:
            self.not_before_ns = now_ns + int(self.tries.pause_s(failed) * NANOS)
        except ServerError as error:
            self.end(error)
            return False
        return True

    def end(self, error: ServerError | StoppedError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # nobody may be left who waits


class OrderLine:
    """Opened by `async with`; at the end all that was put is answered or given up."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waiting: deque[Wish] = deque()
        self._sent: dict[str, Wish] = {}
        self._numbers, self._names = itertools.count(1), itertools.count(1)
        self._backoff = Backoff(server.chance)
        self._woken = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "OrderLine":
        socket = await opened(self._server, self._server.tries(CONNECTION))
        self._task = asyncio.create_task(self._run(socket))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._woken.set()
        assert self._task is not None, "it was opened"
        await self._task

    def put(self, call: Call) -> "asyncio.Future[OrderResponse]":
        """Raises StoppedError; ServerError if too many wait."""
        if self._closing or self._task is None or self._task.done():
            raise StoppedError("the client has stopped")
        if len(self._waiting) >= WAITING_MAX:
            raise ServerError(f"{WAITING_MAX} requests wait to be sent", code="QUEUE_FULL")
        answer: asyncio.Future[OrderResponse] = asyncio.get_running_loop().create_future()
        wish = Wish(next(self._numbers), call, self._server.tries(call), answer)
        self._waiting.append(wish)
        self._woken.set()
        return answer

    @property
    def _is_done(self) -> bool:
        return self._closing and not self._waiting and not self._sent

    # --- connections, one after the other ---

    async def _run(self, socket: Socket | None) -> None:
        try:
            while not self._is_done:
                try:
                    async with socket or await open_socket(self._server) as socket:
                        self._backoff.reset()
                        await self._use(socket)
                except FailedError as failed:
                    self._lose(failed)
                    await self._pause(failed)
                socket = None
        finally:
            error = StoppedError("the client stopped before the answer: the outcome is unknown")
            for wish in (*self._sent.values(), *self._waiting):
                wish.end(error)

    async def _pause(self, failed: FailedError) -> None:
        """Until there may be another connection, and somebody needs one."""
        await asyncio.sleep(self._backoff.pause_s(failed.later_s))
        if failed.verdict is Verdict.WHO:
            await renew(self._server)
        if not self._waiting and not self._closing:
            await self._wake(None)

    def _lose(self, failed: FailedError) -> None:
        """All that was sent may have been done, and goes again in the old order. What waits is
        given up once its time is over, or if there will be no connection."""
        now_ns = self._server.clock.monotonic_ns()
        sent, self._sent = list(self._sent.values()), {}
        doubt = FailedError(Verdict.DOUBT, failed.error)
        kept = [wish for wish in sent if wish.fail(doubt, now_ns)]
        for wish in self._waiting:
            gives_up = failed.verdict is Verdict.NEVER or wish.tries.is_over
            if not gives_up or wish.fail(failed, now_ns):
                kept.append(wish)
        self._waiting = deque(sorted(kept, key=lambda wish: wish.number))

    # --- one connection ---

    async def _use(self, socket: Socket) -> None:
        """Until it is lost, or all is done. Raises FailedError."""
        hears = asyncio.create_task(self._hear(socket))
        try:
            while not self._is_done and not hears.done():
                await self._say(socket)
        except LostError as error:
            raise FailedError(Verdict.DOUBT, error) from error
        finally:
            failed = hears.done()
            hears.cancel()
            with suppress(asyncio.CancelledError, FailedError):
                await hears
        if failed:
            await hears

    async def _say(self, socket: Socket) -> None:
        """Send what may go, or wait a while. Raises LostError."""
        now_ns = self._server.clock.monotonic_ns()
        oldest = next(iter(self._sent.values()), None)
        if oldest is not None and now_ns - oldest.sent_ns > self._server.answer_s * NANOS:
            raise LostError(f"no answer within {self._server.answer_s:g} s", sent=True)
        if not self._waiting or len(self._sent) >= AT_ONCE_MAX:
            await self._wake(LOOK_S if self._sent else None)
            return
        wish = self._waiting[0]
        due_ns = wish.not_before_ns - now_ns
        if due_ns > 0:
            await self._wake(min(due_ns / NANOS, LOOK_S))
            return
        self._waiting.popleft()
        name = str(next(self._names))
        wish.sent_ns = now_ns
        self._sent[name] = wish
        await socket.say({"op": wish.call.op, "id": name, "params": wish.call.body})

    async def _wake(self, seconds: float | None) -> None:
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _hear(self, socket: Socket) -> None:
        """Take answers until the connection is lost. Raises FailedError."""
        try:
            while True:
                message = await socket.hear()
                name = str(message.get("id"))
                if name in self._sent:
                    await self._answered(name, message)
                self._woken.set()
        except (LostError, GarbledError) as error:
            raise FailedError(Verdict.DOUBT, error) from error
        finally:
            self._woken.set()

    async def _answered(self, name: str, message: Told) -> None:
        """Raises FailedError: the server does not know the client any more."""
        wish = self._sent[name]
        try:
            response = await self._response(wish.call, message)
        except FailedError as failed:
            del self._sent[name]
            if wish.fail(failed, self._server.clock.monotonic_ns()):
                at = bisect_left(self._waiting, wish.number, key=lambda each: each.number)
                self._waiting.insert(at, wish)
            if failed.verdict is Verdict.WHO:
                raise
        except ServerError as error:
            del self._sent[name]
            wish.end(wish.tries.outcome(error))
        else:
            del self._sent[name]
            if not wish.answer.done():
                wish.answer.set_result(response)

    async def _response(self, call: Call, message: Told) -> OrderResponse:
        """Raises FailedError, ServerError."""
        try:
            reply = reply_of(message)
            error = error_of(reply.told)
            verdict = verdict_of(reply.status, error)
            if verdict is not Verdict.DONE:
                raise FailedError(verdict, refusal_of(reply))
            with reading(call.name):
                await learn(self._server, {str(e["symbol"]) for e in reply.told.get("reports", ())})
            return response_of(call, reply, self._server.known)
        except GarbledError as error:
            raise FailedError(Verdict.DOUBT, error) from error


def reply_of(message: Told) -> Reply:
    """The answer to an order, as REST has it. Raises GarbledError."""
    with reading("an answer"):
        if message["ok"] is True:
            return Reply(count(message["status"]), message["result"])
        error = error_of(message)
        if error is None:
            raise GarbledError("an answer that is neither done nor refused")
        return Reply(status_of(error.code), message)
