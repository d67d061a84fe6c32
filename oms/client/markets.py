"""Markets: what a client asks of markets: what is traded, books, trades, prices, hours.

Flow:  caller -> [markets] -> server -> told -> caller
"""

from concurrent.futures import Future
from decimal import Decimal

from oms.answers import CalendarWindow
from oms.client.credentials import Reply
from oms.client.server import Server, resolved
from oms.client.told import (
    book_of,
    candle_of,
    indicative_of,
    rows,
    text,
    trade_of,
    whole,
    window_of,
)
from oms.clock import Moment, instant_ns
from oms.enums import Phase
from oms.instruments import Instrument
from oms.market_data import (
    Candle,
    DecimalLevel,
    DepthSnapshot,
    IndicativePrice,
    Prices,
    TradePrint,
)

LEVELS_MAX = 5_000  # of a side, as the server tells them
ROWS_MAX = 1_000  # of a page, or of trades


class MarketQuestions:
    """What everybody may ask."""

    _server: Server

    def instruments(self, *, delisted: bool = False) -> dict[str, Instrument]:
        """What is traded; delisted: also what is traded no more."""
        return self._server.instruments(delisted=delisted)

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

    def indicative(self, symbol: str) -> "Future[IndicativePrice | None]":
        """What an auction would trade if it ended now, at most 0.1 s old; None: there is no call.
        Its `seq` is 0."""
        return resolved(self._indicative, symbol)

    def _indicative(self, symbol: str) -> IndicativePrice | None:
        instrument = self._server.traded(symbol)

        def read(reply: Reply) -> IndicativePrice | None:
            told = reply.told
            return None if told["volume"] is None else indicative_of(told, 0, 0, instrument)

        return self._server.question("/auction", {"symbol": symbol}, read)

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
        return Prices.of(symbol, book.bids_ticks, book.asks_ticks, trades, book.price_scale)

    def candles(
        self, symbol: str, width: str, start: Moment, end: Moment | None = None
    ) -> list[Candle]:
        """What was traded in [start, end), nanoseconds since 1970 or datetimes with a zone: whole
        candles, oldest first."""
        instrument = self._server.traded(symbol)
        found: list[Candle] = []
        until_ns = None if end is None else instant_ns("end", end)
        begin: int | None = instant_ns("start", start)

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

    def statistics(self, symbol: str, end: Moment | None = None) -> Candle:
        """The 24 hours before `end` as one candle; by default those before now, at most 5 s ago."""
        instrument = self._server.traded(symbol)
        asked = {"symbol": symbol, "end": None if end is None else instant_ns("end", end)}

        def read(reply: Reply) -> Candle:
            return candle_of(reply.told, instrument)

        return self._server.question("/statistics", asked, read)

    def calendar(self, from_ns: int, days: int = 7) -> list[CalendarWindow]:
        """Windows of trading that end after an instant and begin within so many days of it."""

        def read(reply: Reply) -> list[CalendarWindow]:
            return [window_of(each) for each in rows(reply.told["windows"])]

        return self._server.question("/calendar", {"start": from_ns, "days": days}, read)
