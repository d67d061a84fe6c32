"""Client: the order manager of a server, held like one of this process.

Flow:  caller -> [client] -> said -> transport -> server -> told -> caller
Owner: any thread; each call waits for its answer on the caller's thread, over a connection of its
own. Under asyncio `oms.aio` takes a Client, too, over WebSockets: orders.py, streams.py.

A request is sent until it is answered, each time with the same client order id, so that it is done
once. What nobody answers within retry_s is raised: UnansweredError where it may have been done,
ServerError where it was not.
"""

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from fractions import Fraction
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from oms.client.credentials import LoginError, Nobody, Reply, credentials_of, refusal_of
from oms.client.orders import OrderLine
from oms.client.retry import (
    Backoff,
    FailedError,
    Tries,
    Verdict,
    error_of,
    parsed,
    retry_after_s,
    verdict_of,
)
from oms.client.said import Call, call_of
from oms.client.streams import Stream, market_of, reports_of
from oms.client.told import (
    Balances,
    GarbledError,
    Instruments,
    Told,
    answer_of,
    balances_of,
    book_of,
    candle_of,
    instrument_of,
    pnl_of,
    position_of,
    reading,
    report_of,
    rows,
    snapshot_of,
    standing_of,
    text,
    trade_of,
    whole,
)
from oms.client.transport import LostError, Transport
from oms.clock import Clock, SystemClock, pause
from oms.enums import Phase, Side
from oms.errors import ServerError, StoppedError, UnansweredError, ValidationError
from oms.instruments import Instrument
from oms.market_data import Candle, DecimalLevel, DepthSnapshot, MarketEvent, Prices, TradePrint
from oms.positions import Pnl, Position
from oms.reject_reasons import REASONS, RejectReason
from oms.reports import AccountSnapshot, OrderPage, OrderResponse, refused
from oms.requests import Request

T = TypeVar("T")
Read = Callable[[Reply], T]
LEVELS_MAX = 5_000  # of a side, as the server tells them
ROWS_MAX = 1_000  # of a page, or of trades
BATCH_MAX = 100
SECONDS_MAX = 3_600
# What the library answers by a refusal, and the server refuses before it is a request.
NOT_NUMBERS = {
    "price": RejectReason.PRICE_INVALID, "quantity": RejectReason.QUANTITY_INVALID,
}  # fmt: skip


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
        self.clock: Clock = clock or SystemClock()
        self.retry_s, self.answer_s = retry_s, answer_s
        self.chance = chance or random.Random()
        self.transport = Transport(url, tls, self.clock, answer_s)
        self.credentials = credentials_of(user, password, key, secret, self.clock)
        self._wait = wait
        self._instruments: dict[str, Instrument] = {}
        self._stopped = False
        self._line: OrderLine | None = None

    # --- life ---

    def start(self) -> None:
        """See that the server is there and knows the client. Raises ServerError."""
        try:
            self.instruments()
            if self.is_known:
                self._question("/me", {}, lambda _reply: None)
        except BaseException:
            self.transport.close()
            raise

    def stop(self) -> None:
        """Close the connections. Requests raise StoppedError from now on. Safe to repeat."""
        self._stopped = True
        self.transport.close()

    @property
    def is_known(self) -> bool:
        """Does the server know who it is? Else it has public questions alone."""
        return not isinstance(self.credentials, Nobody)

    @property
    def stopped(self) -> bool:
        return self._stopped

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
        self._check_running()
        answer: Future[OrderResponse] = Future()
        try:
            answer.set_result(self._ask(call, lambda reply: self.response_of(call, reply)))
        except ServerError as error:
            response = refused_by(call, error, self.clock.wall_ns())
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

    def response_of(
        self, call: Call, reply: Reply, instruments: Instruments | None = None
    ) -> OrderResponse:
        """The answer to a request. Raises GarbledError; ServerError if it is none of the
        exchange's."""
        with reading(call.name):
            if reply.told.get("reports"):
                return answer_of(reply.told, instruments or self.instrument)
            if error_of(reply.told) is None:
                raise GarbledError(f"{call.name}: an answer without its reports")
        raise refusal_of(reply)

    # --- questions about orders and money ---

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        """How an order stands, by any client order id it has had or by its order id; None if the
        account has none, behind every request that the server had before. Raises ServerError."""
        name = "orderId" if type(named) is int else "clientOrderId"

        asked = {"account": account, name: named, "reports": "true"}
        try:
            return self._question(
                "/order", asked, lambda reply: standing_of(reply.told, self.instrument)
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
            page, after = self._question("/orders/open", asked, self._order_page)
            found += page
        return found

    def orders(
        self, account: str, *, symbol: str = "", side: Side | None = None, before: int = 0,
        limit: int = ROWS_MAX,
    ) -> OrderPage:  # fmt: skip
        """How all orders stand, newest first, page by page."""
        asked = {
            "account": account, "symbol": symbol or None, "side": side, "before": before,
            "limit": limit, "reports": "true",
        }  # fmt: skip
        page, following = self._question("/orders", asked, self._order_page)
        return OrderPage(page, int(following or 0))

    def _order_page(self, reply: Reply) -> tuple[list[OrderResponse], str | None]:
        following = reply.told["next"]
        page = [standing_of(each, self.instrument) for each in rows(reply.told["orders"])]
        return page, None if following is None else str(whole(following))

    def account_snapshot(self, account: str) -> "Future[AccountSnapshot]":
        """Open orders and balances of one instant, and its sequence."""
        return resolved(self._account_snapshot, account)

    def _account_snapshot(self, account: str) -> AccountSnapshot:
        def read(reply: Reply) -> AccountSnapshot:
            return snapshot_of(reply.told, self.instrument)

        return self._question("/account", {"account": account}, read)

    def reports_after(
        self, account: str, seq: int, upto_seq: int | None = None
    ) -> list[OrderResponse] | None:
        """Every report of an account that the turns behind `seq` and up to `upto_seq` made, in
        order; None if that lies too far back, or the exchange is another one."""
        found: list[OrderResponse] = []
        after: str | None = str(seq)

        def read(reply: Reply) -> tuple[list[OrderResponse] | None, str | None]:
            told, following = reply.told["reports"], reply.told["next"]
            if told is None:
                return None, None
            page = [report_of(each, self.instrument) for each in rows(told)]
            return page, None if following is None else text(following)

        while after is not None:
            asked = {"account": account, "after": after, "upto": upto_seq, "limit": ROWS_MAX}
            page, after = self._question("/reports", asked, read)
            if page is None:
                return None
            found += page
        return found

    def catch_up(self, account: str, seq: int) -> CatchUp:
        """At the start of a program: how the account stands, and what happened since `seq`, the
        `now.seq` of the last time."""
        now = self._account_snapshot(account)
        if now.seq < seq:
            return CatchUp(now, None)
        return CatchUp(now, self.reports_after(account, seq, now.seq))

    def balances(self, account: str) -> Balances:
        """By asset: available and reserved."""
        return self._question(
            "/balance", {"account": account}, lambda reply: balances_of(reply.told["balances"])
        )

    def positions(self, account: str) -> list[Position]:
        def read(reply: Reply) -> list[Position]:
            return [position_of(each, account) for each in rows(reply.told["positions"])]

        return self._question("/positions", {"account": account}, read)

    def pnl(self, account: str) -> dict[str, Pnl]:
        """By quote asset."""

        def read(reply: Reply) -> dict[str, Pnl]:
            return {each.asset: each for each in map(pnl_of, rows(reply.told["pnl"]))}

        return self._question("/positions", {"account": account}, read)

    # --- questions about markets ---

    def instruments(self, *, delisted: bool = False) -> dict[str, Instrument]:
        """What is traded; delisted: also what is traded no more."""

        def read(reply: Reply) -> dict[str, Instrument]:
            found = [instrument_of(each) for each in rows(reply.told["markets"])]
            return {each.symbol: each for each in found}

        asked = {"delisted": "true"} if delisted else {}
        found = self._question("/markets", asked, read)
        self._instruments.update(found)
        return found

    def instrument(self, symbol: str) -> Instrument | None:
        """As it was told last; asked for where it is not known. None: no such symbol was traded."""
        if symbol not in self._instruments:
            self.instruments(delisted=True)
        return self._instruments.get(symbol)

    def known(self, symbol: str) -> Instrument | None:
        """The same without asking."""
        return self._instruments.get(symbol)

    def accounts(self) -> list[str]:
        """Those of the user."""

        def read(reply: Reply) -> list[str]:
            return [text(each) for each in rows(reply.told["accounts"])]

        return self._question("/me", {}, read)

    def market_states(self) -> dict[str, Phase]:
        """The phase of each market."""

        def read(reply: Reply) -> dict[str, Phase]:
            told = rows(reply.told["markets"])
            return {text(each["symbol"]): Phase(each["phase"]) for each in told if each["phase"]}

        return self._question("/markets", {}, read)

    def depth_snapshot(self, symbol: str) -> DepthSnapshot:
        """The whole book, up to LEVELS_MAX levels a side, and the id of the last update in it."""
        return self._depth(symbol, LEVELS_MAX)

    def _depth(self, symbol: str, levels: int) -> DepthSnapshot:
        instrument = self.traded(symbol)
        return self._question(
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
        instrument = self.traded(symbol)

        def read(reply: Reply) -> list[TradePrint]:
            return [trade_of(each, instrument) for each in rows(reply.told["trades"])]

        return self._question("/trades", {"symbol": symbol, "limit": ROWS_MAX}, read)

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
        self, symbol: str, width: str, start: int, end: int | None = None
    ) -> list[Candle]:  # fmt: skip
        """What was traded in [start, end), nanoseconds since 1970: whole candles, oldest first."""
        instrument = self.traded(symbol)
        found: list[Candle] = []
        begin: int | None = start

        def read(reply: Reply) -> tuple[list[Candle], int | None]:
            following = reply.told["next"]
            page = [candle_of(each, instrument) for each in rows(reply.told["candles"])]
            return page, None if following is None else whole(following)

        while begin is not None:
            asked = {
                "symbol": symbol, "interval": width, "start": begin, "end": end,
                "limit": ROWS_MAX,
            }  # fmt: skip
            page, begin = self._question("/candles", asked, read)
            found += page
        return found

    def traded(self, symbol: str) -> Instrument:
        """Raises ValidationError: it never was."""
        found = self.instrument(symbol) if type(symbol) is str else None
        if found is None:
            raise ValidationError("symbol", symbol, "one of " + ", ".join(self._instruments))
        return found

    # --- under asyncio ---

    def reports(self, account: str = "", *, from_seq: int | None = None) -> Stream[OrderResponse]:
        """Every report of an account, or of all of the user's, in order: from now on, or behind the
        turn `from_seq`, as `catch_up` or an earlier stream told it. Opened by `async with`."""
        return Stream(self, lambda: reports_of(self, account, from_seq))

    def market_events(self, symbol: str = "") -> Stream[MarketEvent]:
        """What happens in a market, in order; without `symbol` in all there are now, and to the
        balances of the user's accounts. Opened by `async with`."""
        return Stream(self, lambda: market_of(self, symbol))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Client"]:
        """Started, and with a WebSocket for orders; at the end what was sent is answered."""
        await asyncio.to_thread(self.start)
        self._line = OrderLine(self)
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
            response = refused_by(call, error, self.clock.wall_ns())
            if response is None:
                raise
            return response

    # --- asking ---

    def _question(self, path: str, asked: dict[str, Any], read: Read[T]) -> T:
        """Raises ServerError."""
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        call = Call("GET", f"{path}?{query}" if query else path)

        def checked(reply: Reply) -> T:
            if not 200 <= reply.status < 300:
                raise refusal_of(reply)
            with reading(path):
                return read(reply)

        return self._ask(call, checked)

    def _ask(self, call: Call, read: Read[T]) -> T:
        """Send it until there is an answer, or retry_s are over. Each try is signed anew, and has
        the same body. Raises ServerError, of which UnansweredError is one; StoppedError."""
        tries = self.tries(call)
        while True:
            self._check_running()
            try:
                return self._once(call, read)
            except FailedError as failed:
                self._wait(tries.pause_s(failed))
                if failed.verdict is Verdict.WHO:
                    with suppress(ServerError):  # the next try says what is wrong
                        self.credentials.refused(self.exchange)

    def tries(self, call: Call) -> Tries:
        """The count of the tries of a request, which begin now."""
        backoff = Backoff(self.chance)
        patience_s = self.credentials.patience_s
        return Tries(call.name, bool(call.line), self.clock, self.retry_s, patience_s, backoff)

    def _once(self, call: Call, read: Read[T]) -> T:
        """Raises FailedError: there may be another try; ServerError: this is the answer."""
        headers = self.headers(call.method, call.target, call.content)
        try:
            reply = self._exchange(call.method, call.target, headers, call.content)
            verdict = verdict_of(reply.status, error_of(reply.told))
            if verdict is not Verdict.DONE:
                raise FailedError(verdict, refusal_of(reply), reply.later_s)
            return read(reply)
        except LostError as error:
            raise FailedError(Verdict.DOUBT if error.sent else Verdict.LATER, error) from error
        except GarbledError as error:
            raise FailedError(Verdict.DOUBT, error) from error

    def headers(self, method: str, target: str, content: bytes) -> dict[str, str]:
        """By what the server knows the client. Raises FailedError."""
        try:
            return self.credentials.headers(self.exchange, method, target, content)
        except ServerError as error:
            known = (
                isinstance(error, LostError | GarbledError)
                or error.status == 429
                or error.status >= 500
            )
            raise FailedError(Verdict.LATER if known else Verdict.NEVER, error) from error

    def exchange(self, method: str, target: str, body: Told | None) -> Reply:
        """One request without credentials, once. Raises LostError."""
        content = b"" if body is None else json.dumps(body).encode()
        return self._exchange(method, target, {}, content)

    def _exchange(
        self, method: str, target: str, headers: dict[str, str], content: bytes
    ) -> Reply:  # fmt: skip
        sent = {**headers, "Content-Type": "application/json"} if content else headers
        answer = self.transport.exchange(method, target, sent, content)
        told = parsed(answer.content)
        return Reply(answer.status, told, retry_after_s(answer.retry_after))

    def _check_running(self) -> None:
        if self._stopped:
            raise StoppedError("the client has stopped")


def refused_by(call: Call, error: ServerError, wall_ns: int) -> OrderResponse | None:
    """The response that the library gives where the server refuses what is no request yet; None if
    the error is none of the exchange's."""
    reason, said = REASONS.get(error.code), str(error).partition(": ")[2]
    if reason is RejectReason.MALFORMED:
        reason, said = NOT_NUMBERS.get(error.field), str(error).partition(": ")[2]
    if reason is None or error.status in (401, 403):
        return None
    if isinstance(error, UnansweredError | LoginError):
        return None
    response = refused(call.line, reason, wall_ns)
    text_ = said if said.startswith(reason.value) else f"{reason.value}: {said}"
    report = response.report._replace(reason=text_)
    return OrderResponse(report, at_once=(report,))


def resolved(call: Callable[..., T], *given: object) -> "Future[T]":
    """A future with what comes of a call."""
    answer: Future[T] = Future()
    try:
        answer.set_result(call(*given))
    except ServerError as error:
        answer.set_exception(error)
    return answer
