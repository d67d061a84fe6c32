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
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from types import TracebackType
from typing import NamedTuple, TypeVar

from oms.client.answers import refused_by, response_of
from oms.client.credentials import Reply, credentials_of
from oms.client.orders import OrderLine
from oms.client.said import call_of
from oms.client.server import Server
from oms.client.streams import Stream
from oms.client.told import (
    Balances,
    balances_of,
    book_of,
    candle_of,
    pnl_of,
    position_of,
    report_of,
    rows,
    snapshot_of,
    standing_of,
    text,
    trade_of,
    whole,
)
from oms.client.topics import market_of, reports_of
from oms.client.transport import Transport
from oms.clock import Clock, SystemClock, pause, wall_ns_of
from oms.enums import Phase, Side
from oms.errors import ServerError, StoppedError, ValidationError
from oms.instruments import Instrument
from oms.market_data import Candle, DecimalLevel, DepthSnapshot, MarketEvent, Prices, TradePrint
from oms.positions import Pnl, Position
from oms.reject_reasons import RejectReason
from oms.reports import AccountSnapshot, OrderPage, OrderResponse
from oms.requests import Request

T = TypeVar("T")
Instant = int | datetime
LEVELS_MAX = 5_000  # of a side, as the server tells them
ROWS_MAX = 1_000  # of a page, or of trades
BATCH_MAX = 100
SECONDS_MAX = 3_600


class CatchUp(NamedTuple):
    """An account at the start of a program. now: open orders and balances, and their sequence
    `seq`: what to keep for the next time. missed: every report since the last time; None if that
    lies too far back, or is of another exchange: then `now` is all there is."""

    now: AccountSnapshot
    missed: list[OrderResponse] | None


class Client:
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

    # --- questions about orders and money ---

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        """How an order stands, by any client order id it has had or by its order id; None if the
        account has none, behind every request that the server had before. Raises ServerError."""
        name = "orderId" if type(named) is int else "clientOrderId"

        asked = {"account": account, name: named, "reports": "true"}
        try:
            return self._server.question(
                "/order", asked, lambda reply: standing_of(reply.told, self._server.instrument)
            )
        except ServerError as error:
            if error.code == RejectReason.UNKNOWN_ORDER:
                return None
            raise

    def find_order(self, account: str, named: str | int) -> "Future[OrderResponse | None]":
        return resolved(self.get_order, account, named)

    def open_orders(self, account: str) -> list[OrderResponse]:
        """How each open order stands, oldest first."""
        found: list[OrderResponse] = []
        after: str | None = "0"
        while after is not None:
            asked = {"account": account, "after": after, "limit": ROWS_MAX, "reports": "true"}
            page, after = self._server.question("/orders/open", asked, self._order_page)
            found += page
        return found

    def orders(
        self, account: str, *, symbol: str = "", side: Side | None = None, before: int = 0,
        limit: int = ROWS_MAX, group: str = "",
    ) -> OrderPage:  # fmt: skip
        """How all orders stand, newest first, page by page. group: where there are several, and
        no symbol is named."""
        asked = {
            "account": account, "symbol": symbol or None, "side": side, "before": before,
            "limit": limit, "reports": "true", "group": None if symbol else self._group(group),
        }  # fmt: skip
        page, following = self._server.question("/orders", asked, self._order_page)
        return OrderPage(page, int(following or 0))

    def _order_page(self, reply: Reply) -> tuple[list[OrderResponse], str | None]:
        following = reply.told["next"]
        page = [standing_of(each, self._server.instrument) for each in rows(reply.told["orders"])]
        return page, None if following is None else text(following)

    def groups(self) -> list[str]:
        """The groups of markets of the server, each with sequences of its own: what goes by one
        is asked of each. Where there is one, it has no name: [""]."""
        return list(self._server.groups())

    def _group(self, named: str) -> str | None:
        """As the server is told it. Raises ValidationError: none, of several."""
        known = self._server.groups()
        if named not in known:
            expected = "none, as there is one group" if known == [""] else f"one of {known}"
            raise ValidationError("group", named, expected)
        return named or None

    def account_snapshot(self, account: str, group: str = "") -> "Future[AccountSnapshot]":
        """Open orders and balances of one instant, and its sequence. group: where there are
        several."""
        return resolved(self._account_snapshot, account, group)

    def _account_snapshot(self, account: str, group: str) -> AccountSnapshot:
        def read(reply: Reply) -> AccountSnapshot:
            return snapshot_of(reply.told, self._server.instrument)

        asked = {"account": account, "group": self._group(group)}
        return self._server.question("/account", asked, read)

    def reports_after(
        self, account: str, seq: int, upto_seq: int | None = None, group: str = ""
    ) -> list[OrderResponse] | None:
        """Every report of an account that the turns behind `seq` and up to `upto_seq` made, in
        order; None if that lies too far back, or the exchange is another one. group: where there
        are several, whose sequences these are."""
        found: list[OrderResponse] = []
        after: str | None = str(seq)

        def read(reply: Reply) -> tuple[list[OrderResponse] | None, str | None]:
            told, following = reply.told["reports"], reply.told["next"]
            if told is None:
                return None, None
            page = [report_of(each, self._server.instrument) for each in rows(told)]
            return page, None if following is None else text(following)

        while after is not None:
            asked = {
                "account": account, "after": after, "upto": upto_seq, "limit": ROWS_MAX,
                "group": self._group(group),
            }  # fmt: skip
            page, after = self._server.question("/reports", asked, read)
            if page is None:
                return None
            found += page
        return found

    def catch_up(self, account: str, seq: int, group: str = "") -> CatchUp:
        """At the start of a program: how the account stands, and what happened since `seq`, the
        `now.seq` of the last time. group: each one, where there are several."""
        now = self._account_snapshot(account, group)
        if now.seq < seq:
            return CatchUp(now, None)
        return CatchUp(now, self.reports_after(account, seq, now.seq, group))

    def balances(self, account: str) -> Balances:
        """By asset: available and reserved."""
        return self._server.question(
            "/balance", {"account": account}, lambda reply: balances_of(reply.told["balances"])
        )

    def positions(self, account: str) -> list[Position]:
        def read(reply: Reply) -> list[Position]:
            return [position_of(each, account) for each in rows(reply.told["positions"])]

        return self._server.question("/positions", {"account": account}, read)

    def pnl(self, account: str) -> dict[str, Pnl]:
        """By quote asset."""

        def read(reply: Reply) -> dict[str, Pnl]:
            return {each.asset: each for each in map(pnl_of, rows(reply.told["pnl"]))}

        return self._server.question("/positions", {"account": account}, read)

    # --- questions about markets ---

    def instruments(self, *, delisted: bool = False) -> dict[str, Instrument]:
        """What is traded; delisted: also what is traded no more."""
        return self._server.instruments(delisted=delisted)

    def accounts(self) -> list[str]:
        """Those of the user."""
        return self._server.accounts()

    def market_states(self) -> dict[str, Phase]:
        """The phase of each market."""

        def read(reply: Reply) -> dict[str, Phase]:
            told = rows(reply.told["markets"])
            return {text(each["symbol"]): Phase(each["phase"]) for each in told if each["phase"]}

        return self._server.question("/markets", {}, read)

    def depth_snapshot(self, symbol: str) -> DepthSnapshot:
        """The whole book, up to LEVELS_MAX levels a side, and the id of the last update in it."""
        return self._depth(symbol, LEVELS_MAX)

    def _depth(self, symbol: str, levels: int) -> DepthSnapshot:
        instrument = self._server.traded(symbol)
        return self._server.question(
            "/depth", {"symbol": symbol, "limit": levels},
            lambda reply: book_of(reply.told, "lastUpdateId", instrument),
        )  # fmt: skip

    def get_depth(self, symbol: str, levels: int) -> tuple[list[DecimalLevel], list[DecimalLevel]]:
        """Bids and asks, best first: (price, open quantity)."""
        book = self._depth(symbol, max(1, min(levels, LEVELS_MAX)))
        return list(book.bids[:levels]), list(book.asks[:levels])

    def best_bid(self, symbol: str) -> Decimal | None:
        bids, _ = self.get_depth(symbol, 1)
        return bids[0][0] if bids else None

    def best_ask(self, symbol: str) -> Decimal | None:
        _, asks = self.get_depth(symbol, 1)
        return asks[0][0] if asks else None

    def recent_trades(self, symbol: str) -> list[TradePrint]:
        """The last trades, up to ROWS_MAX, oldest first, as they stand. Whose orders they were the
        server tells nobody: their ids are 0."""
        instrument = self._server.traded(symbol)

        def read(reply: Reply) -> list[TradePrint]:
            return [trade_of(each, instrument) for each in rows(reply.told["trades"])]

        return self._server.question("/trades", {"symbol": symbol, "limit": ROWS_MAX}, read)

    def get_prices(self, symbol: str) -> Prices:
        """Last, mid and volume-weighted average price, of the book and the trades as asked for."""
        book, trades = self._depth(symbol, 1), self.recent_trades(symbol)
        lots = sum(trade.quantity_lots for trade in trades)
        value = sum(trade.price_ticks * trade.quantity_lots for trade in trades)
        both = book.bids_ticks and book.asks_ticks
        return Prices(
            symbol,
            trades[-1].price_ticks if trades else None,
            Fraction(book.bids_ticks[0][0] + book.asks_ticks[0][0], 2) if both else None,
            Fraction(value, lots) if lots else None,
            book.price_scale,
        )

    def candles(
        self, symbol: str, width: str, start: Instant, end: Instant | None = None
    ) -> list[Candle]:
        """What was traded in [start, end), nanoseconds since 1970 or datetimes with a zone: whole
        candles, oldest first."""
        instrument = self._server.traded(symbol)
        found: list[Candle] = []
        until_ns = None if end is None else instant_ns(end)
        begin: int | None = instant_ns(start)

        def read(reply: Reply) -> tuple[list[Candle], int | None]:
            following = reply.told["next"]
            page = [candle_of(each, instrument) for each in rows(reply.told["candles"])]
            return page, None if following is None else whole(following)

        while begin is not None:
            asked = {
                "symbol": symbol, "interval": width, "start": begin, "end": until_ns,
                "limit": ROWS_MAX,
            }  # fmt: skip
            page, begin = self._server.question("/candles", asked, read)
            found += page
        return found

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


def instant_ns(instant: Instant) -> int:
    return wall_ns_of(instant) if isinstance(instant, datetime) else instant


def resolved(call: Callable[..., T], *given: object) -> "Future[T]":
    """A future with what comes of a call."""
    answer: Future[T] = Future()
    try:
        answer.set_result(call(*given))
    except ServerError as error:
        answer.set_exception(error)
    return answer
