"""Client: the order manager of a server, held like one of this process.

Flow:  caller -> [client] -> said -> transport -> server -> told -> caller
Owner: any thread; each call waits for its answer on the caller's thread, over a connection of its
own. Under asyncio `oms.aio` takes a Client, too, over WebSockets: orders.py, streams.py.

A request is sent until it is answered, each time with the same client order id, so that it is done
once. What nobody answers within retry_s is raised: UnansweredError where it may have been done,
ServerError where it was not.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager

from oms.answers import DryRun
from oms.client.accounts import AccountQuestions
from oms.client.answers import refused_by, response_of, tried
from oms.client.credentials import credentials_of
from oms.client.markets import MarketQuestions
from oms.client.operators import OperatorQuestions
from oms.client.orders import OrderLine
from oms.client.said import call_of, test_of
from oms.client.server import Server, resolved
from oms.client.streams import Stream
from oms.client.topics import market_of, reports_of
from oms.client.transport import Transport
from oms.clock import Clock, SystemClock, pause
from oms.errors import ServerError, StoppedError, ValidationError
from oms.market_data import MarketEvent
from oms.pairs import Pair, place_pair
from oms.requests import OrderRequest, Request
from oms.responses import OrderResponse

BATCH_MAX = 100
SECONDS_MAX = 3_600


class Client(AccountQuestions, MarketQuestions, OperatorQuestions):
    """One server, for one user.

    url: http://HOST:PORT, https://HOST:PORT. user and password, or key and secret of an API key.
    retry_s: so long a request is tried, 0 to 3600. answer_s: so long one answer is waited for; the
    server needs 11 s at most. clock, wait, chance: what tells time, lets it pass, and gives the
    pauses between tries their length. tls: instead of ssl.create_default_context().

    Raises ValidationError, naming the argument.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        key: str = "",
        secret: str = "",
        retry_s: float = 30.0,
        answer_s: float = 15.0,
        clock: Clock | None = None,
        wait: Callable[[float], None] = pause,
        chance: random.Random | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        for name, value, low in (("retry_s", retry_s, 0.0), ("answer_s", answer_s, 0.1)):
            if type(value) not in (int, float) or not low <= value <= SECONDS_MAX:
                raise ValidationError(name, value, f"{low:g} to {SECONDS_MAX}")
        clock = clock or SystemClock()
        self._server = Server(
            Transport(url, tls, clock, answer_s),
            credentials_of(user, password, key, secret, clock),
            retry_s=retry_s, answer_s=answer_s, clock=clock, wait=wait,
            chance=chance or random.Random(),
        )  # fmt: skip
        self._line: OrderLine | None = None

    # --- life ---

    def start(self) -> None:
        """See that the server is there and knows the client. Raises ServerError."""
        try:
            self.instruments()
            if self._server.is_known:
                self._server.question("/me", {}, lambda _reply: None)
        except BaseException:
            self._server.transport.close()
            raise

    def stop(self) -> None:
        """Close the connections. Requests raise StoppedError from now on. Safe to repeat."""
        self._server.stop()

    def __enter__(self) -> "Client":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- requests ---

    def submit(self, request: Request) -> "Future[OrderResponse]":
        """Send a request, and wait for its answer: the future is resolved. It holds an
        UnansweredError if the outcome is unknown, a ServerError if nothing was done. A refusal is a
        response. Raises ValidationError, StoppedError."""
        call = call_of(request)
        self._server.check_running()
        server = self._server
        answer: Future[OrderResponse] = Future()
        try:
            found = server.ask(call, lambda reply: response_of(call, reply, server.instrument))
            answer.set_result(found)
        except StoppedError as error:
            answer.set_exception(error)
        except ServerError as error:
            response = refused_by(call, error, server.clock.wall_ns())
            if response is None:
                answer.set_exception(error)
            else:
                answer.set_result(response)
        return answer

    def submit_all(self, requests: Sequence[Request]) -> "list[Future[OrderResponse]]":
        """Up to BATCH_MAX requests, one after the other; each is accepted or refused alone."""
        given = list(requests)
        if len(given) > BATCH_MAX:
            raise ValidationError("requests", len(given), f"at most {BATCH_MAX} of them")
        for each in given:
            call_of(each)
        return [self.submit(each) for each in given]

    def submit_pair(self, stop: OrderRequest, limit: OrderRequest, undo_id: str) -> "Future[Pair]":
        """Place an OCO pair, one order after the other, as `OrderManagement.submit_pair` does. The
        future holds an UnansweredError if the outcome of one of them is unknown: submit the same
        pair again. Raises ValidationError, StoppedError."""
        self._server.check_running()
        return place_pair(self, stop, limit, undo_id, Future())

    def dry_run(self, request: Request) -> "Future[DryRun]":
        """What would become of an order, a modify or a cancel now: why it would be refused, what it
        would reserve. Nothing is recorded. Raises ValidationError, StoppedError."""
        call = call_of(request)
        test, server = test_of(call), self._server
        server.check_running()
        return resolved(server.ask, test, lambda reply: tried(call, reply, server))

    # --- under asyncio ---

    def reports(
        self, account: str = "", *, from_seq: int | Mapping[str, int] | None = None
    ) -> Stream[OrderResponse]:
        """Every report of an account, or of all of the user's, in order: from now on, or behind the
        turn `from_seq`, as `catch_up` or an earlier stream told it; by group, where there are
        several: those that are not named begin now. Opened by `async with`."""
        return Stream(self._server, lambda: reports_of(self._server, account, from_seq))

    def market_events(self, symbol: str = "") -> Stream[MarketEvent]:
        """What happens in a market, in order; without `symbol` in all there are now, and to the
        balances of the user's accounts. Opened by `async with`."""
        return Stream(self._server, lambda: market_of(self._server, symbol))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Client"]:
        """Started, and with a WebSocket for orders; at the end what was sent is answered."""
        await asyncio.to_thread(self.start)
        self._line = OrderLine(self._server)
        try:
            async with self._line:
                yield self
        finally:
            self._line = None
            self.stop()

    async def place(self, request: Request) -> OrderResponse:
        """Send a request over the WebSocket, behind all that were placed before. Whoever is
        canceled loses the answer and not the request. Raises as the future of `submit` does."""
        call = call_of(request)
        if self._line is None:
            raise StoppedError("the client is not running: `async with aio.running(client)`")
        if not call.op:
            return await asyncio.to_thread(lambda: self.submit(request).result())
        try:
            return await asyncio.shield(self._line.put(call))
        except ServerError as error:
            response = refused_by(call, error, self._server.clock.wall_ns())
            if response is None:
                raise
            return response

    async def place_pair(self, stop: OrderRequest, limit: OrderRequest, undo_id: str) -> Pair:
        """As `submit_pair`, over the WebSocket, behind all that were placed before."""
        line = OverSocket(self, asyncio.get_running_loop())
        return await asyncio.to_thread(
            lambda: place_pair(line, stop, limit, undo_id, Future()).result()
        )


class OverSocket:
    """What places a pair, from a thread that waits, by the WebSocket of a client."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def submit(self, request: Request) -> "Future[OrderResponse]":
        """The future is resolved: nothing waits on the loop's own thread."""
        answer = asyncio.run_coroutine_threadsafe(self._client.place(request), self._loop)
        wait([answer])
        return answer

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        return self._client.get_order(account, named)
