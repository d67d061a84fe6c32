"""The library under asyncio: await an answer, iterate over reports and market events.

Flow:  coroutine -> [aio] -> manager -> inbox -> ... -> publisher -> [aio] -> event loop
Owner: a stream belongs to the event loop that opened it. The dispatcher's thread puts events into
       its buffer, which has a lock and a bound, and wakes the loop once a burst. Nothing here
       makes the dispatcher wait, and nothing but `running` takes a thread.

    async with aio.running(OrderManagement(config)) as oms, aio.reports(oms) as reports:
        placed = await aio.submit(oms, OrderRequest.new("me", "1", "BTC_USD", "BUY", "1", "100"))
        async for report in reports:
            print(report.client_order_id, report.state)
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, overload

from oms.answers import DryRun
from oms.client import Client
from oms.client.streams import Stream as RemoteStream
from oms.errors import OverrunError, StoppedError, ValidationError
from oms.manager import OrderManagement
from oms.market_data import BalanceChange, MarketEvent
from oms.pairs import Pair
from oms.requests import OrderRequest, Request
from oms.requests.orders import check_optional_id
from oms.responses import OrderResponse

EVENTS_MAX = 10_000  # of a stream, unless told otherwise
SIZE_MAX = 1_000_000
READ_MAX = 100  # events read in a row before other coroutines have their turn

__all__ = ["Stream", "dry_run", "market_events", "reports", "running", "submit", "submit_pair"]

T = TypeVar("T", OrderResponse, MarketEvent)


AnyManager = TypeVar("AnyManager", OrderManagement, Client)


@asynccontextmanager
async def running(oms: AnyManager) -> AsyncIterator[AnyManager]:
    """Start an order manager, or a client of one, and stop it at the end; the loop goes on
    meanwhile.

    Raises as start() and stop() do, which read the journal and wait for threads, so that a
    coroutine should not call them itself.
    """
    if isinstance(oms, Client):
        async with oms.running():
            yield oms
        return
    start = asyncio.create_task(asyncio.to_thread(oms.start))
    try:
        await asyncio.shield(start)
        yield oms
    finally:
        await asyncio.wait([start])  # a thread cannot be canceled: what it starts is stopped
        if start.exception() is None:
            await asyncio.to_thread(oms.stop)


async def submit(oms: OrderManagement | Client, request: Request) -> OrderResponse:
    """The answer to a request: how the order stands once the venue has answered.

    As `OrderManagement.try_submit`: raises ValidationError, StoppedError, StoreError. A coroutine
    that is canceled, or waits no longer (asyncio.timeout), loses the answer and not the request:
    submit the same request again to learn what became of it. gather() awaits many at once. Of a
    client: raises ServerError, and UnansweredError where the outcome is unknown.
    """
    if isinstance(oms, Client):
        return await oms.place(request)
    return await asyncio.wrap_future(oms.try_submit(request))


async def submit_pair(
    oms: OrderManagement | Client, stop: OrderRequest, limit: OrderRequest, undo_id: str
) -> Pair:
    """The answers to an OCO pair: see `OrderManagement.submit_pair`. Raises as `submit`."""
    if isinstance(oms, Client):
        return await oms.place_pair(stop, limit, undo_id)
    return await asyncio.wrap_future(oms.submit_pair(stop, limit, undo_id))


async def dry_run(oms: OrderManagement | Client, request: Request) -> DryRun:
    """What would become of a request now: see `OrderManagement.dry_run`; of a client, of an order,
    a modify or a cancel. Raises as `submit`."""
    if isinstance(oms, Client):
        return await asyncio.to_thread(lambda: oms.dry_run(request).result())
    return await asyncio.wrap_future(oms.dry_run(request))


@overload
def reports(
    oms: OrderManagement, *, account: str = "", size_max: int = EVENTS_MAX
) -> "Stream[OrderResponse]": ...
@overload
def reports(
    oms: Client, *, account: str = "", size_max: int = EVENTS_MAX
) -> RemoteStream[OrderResponse]: ...
def reports(
    oms: OrderManagement | Client, *, account: str = "", size_max: int = EVENTS_MAX
) -> "Stream[OrderResponse] | RemoteStream[OrderResponse]":
    """Every published response from now on, in order; those of one account if it is named. Of a
    client those of its user's accounts; what waits is bounded by the connection."""
    check_optional_id("account", account)
    _check_size(size_max)
    if isinstance(oms, Client):
        return oms.reports(account)
    return Stream(oms, size_max, lambda response: account in ("", response.report.account))


@overload
def market_events(
    oms: OrderManagement, *, symbol: str = "", size_max: int = EVENTS_MAX
) -> "Stream[MarketEvent]": ...
@overload
def market_events(
    oms: Client, *, symbol: str = "", size_max: int = EVENTS_MAX
) -> RemoteStream[MarketEvent]: ...
def market_events(
    oms: OrderManagement | Client, *, symbol: str = "", size_max: int = EVENTS_MAX
) -> "Stream[MarketEvent] | RemoteStream[MarketEvent]":
    """The events of market_data from the next turn on, in order; of one symbol if it is named.

    Balances have no symbol: they are told where none is named. Of a client those of its user's
    accounts; what waits is bounded by the connection.
    """
    check_optional_id("symbol", symbol)
    _check_size(size_max)
    if isinstance(oms, Client):
        return oms.market_events(symbol)

    def wanted(event: MarketEvent) -> bool:
        if isinstance(event, BalanceChange):
            return not symbol
        return symbol in ("", event.symbol)

    return Stream(oms, size_max, wanted, market=True)


def _check_size(size_max: object) -> None:
    if type(size_max) is not int or not 1 <= size_max <= SIZE_MAX:
        raise ValidationError("size_max", size_max, f"1 to {SIZE_MAX}")


class Stream(Generic[T]):
    """Events of one order manager, for one coroutine; opened by `async with`.

    The iteration ends when the order manager has stopped, and all that it told was read; after
    the `async with`, at once. At most size_max events wait to be read. One more, and the stream is
    cut off: what waits can still be read, then OverrunError is raised. Nothing is lost but to
    this reader: open another stream, and ask `get_order`, `open_orders` or `depth_snapshot`. If
    the order manager has failed, StoppedError is raised at the end.
    """

    def __init__(
        self,
        oms: OrderManagement,
        size_max: int,
        wanted: Callable[[T], bool],
        *,
        market: bool = False,
    ) -> None:
        self._oms = oms
        self._size_max = size_max
        self._wanted: Callable[[T], bool] = wanted
        self._market = market
        self._lock = threading.Lock()
        self._events: deque[T] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled = asyncio.Event()
        self._overrun = self._ended = self._opened = self._closed = False
        self._read = 0
        self._woken = False  # the loop was told, and has not looked yet

    # --- the coroutine ---

    async def __aenter__(self) -> "Stream[T]":
        if self._opened:
            raise StoppedError("a stream is opened once")
        self._opened = True
        self._loop = asyncio.get_running_loop()
        self._oms.publisher.at_end(self._end)
        if self._market:
            self._oms.add_market_listener(self._put)  # type: ignore[arg-type]
        else:
            self._oms.add_listener(self._put)  # type: ignore[arg-type]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._let_go()
        with self._lock:
            self._events.clear()
            self._closed = True
        self._filled.set()

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        if not self._opened:
            raise StoppedError("a stream is opened by `async with`")
        self._read += 1
        if self._read % READ_MAX == 0:
            await asyncio.sleep(0)  # a stream that never runs dry must not keep the loop
        while True:
            with self._lock:
                if self._events:
                    return self._events.popleft()
                self._raise_if_over()
                self._woken = False
                self._filled.clear()
            await self._filled.wait()

    def _raise_if_over(self) -> None:
        """What was there is read; will more come?"""
        if self._closed:
            raise StopAsyncIteration
        if self._overrun:
            raise OverrunError(f"more than {self._size_max} events waited to be read")
        if self._ended and self._oms.failure is not None:
            name, error = self._oms.failure
            raise StoppedError(f"thread {name} died: {error!r}")
        if self._ended:
            raise StopAsyncIteration

    # --- the threads that publish ---

    def _put(self, event: T) -> None:
        if not self._wanted(event):
            return
        with self._lock:
            if self._overrun or self._ended or self._closed:
                return
            if len(self._events) < self._size_max:
                self._events.append(event)
            else:
                self._overrun = True
        if self._overrun:
            self._let_go()
        self._wake()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
        self._wake()

    def _wake(self) -> None:
        """Tell the loop, once for all that comes before it looks."""
        with self._lock:
            woken, self._woken = self._woken, True
        if woken or self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._filled.set)
        except RuntimeError:  # the loop was closed, and the stream was not
            self._let_go()

    def _let_go(self) -> None:
        self._oms.remove_listener(self._put)
        self._oms.publisher.forget_at_end(self._end)
