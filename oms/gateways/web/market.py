"""Market: the public routes: what is traded, books, trades, prices, hours, time."""

from typing import Annotated

import msgspec

from oms.errors import ValidationError
from oms.gateways.web.door import Right
from oms.gateways.web.errors import HttpError, Reply
from oms.gateways.web.front import Ask, Entry
from oms.gateways.web.hub import last_told
from oms.gateways.web.market_shapes import (
    AuctionTold,
    CalendarTold,
    CandlesTold,
    DepthTold,
    MarketsTold,
    SessionTold,
    StatisticsTold,
    TickerTold,
    TimeTold,
    TradesTold,
)
from oms.gateways.web.shapes import Answer
from oms.gateways.web.told import (
    auction_told,
    candle_told,
    decimal_told,
    filters_told,
    instrument_told,
    levels_told,
    statistics_told,
    trade_told,
)
from oms.gateways.web.trading import Id
from oms.gateways.web.words import SPAN, Body, WholeText
from oms.instruments import Instrument
from oms.reject_reasons import RejectReason
from oms.requests.orders import SEQUENCE_MAX
from oms.turn.history import width_ns

LEVELS, LEVELS_MAX = 20, 5_000
TRADES, TRADES_MAX = 100, 1_000
CANDLES, CANDLES_MAX = 100, 1_000


class OfSymbol(Body):
    """Of which market."""

    symbol: Id


class Markets(Body):
    """delisted: also those that are traded no more; they have no phase."""

    delisted: bool = False


class Depth(Body):
    """limit: price levels a side."""

    symbol: Id
    limit: Annotated[int, msgspec.Meta(ge=1, le=LEVELS_MAX)] = LEVELS


class Candles(Body):
    """interval: 1s to 1d, such as 30s, 5m, 4h; alias width. start, end: nanoseconds since 1970 UTC,
    the latter excluded; by default the time of `limit` intervals until now. From trades as they
    stand, also of the time before this start. Spans without a trade have no candle."""

    symbol: Id
    interval: Annotated[str, msgspec.Meta(pattern=SPAN)] = "1m"
    start: WholeText | None = None
    end: WholeText | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=CANDLES_MAX)] = CANDLES


class Statistics(Body):
    """The 24 hours before `end`, nanoseconds since 1970; by default those before now, at most 5 s
    ago."""

    symbol: Id
    end: WholeText | None = None


class Days(Body):
    """Windows that end after start (nanoseconds since 1970, now if not said), and begin within so
    many days of it; at most 400."""

    start: WholeText | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 7


class Trades(Body):
    """The latest `limit` trades, newest last."""

    symbol: Id
    limit: Annotated[int, msgspec.Meta(ge=1, le=TRADES_MAX)] = TRADES


def instrument_of(ask: Ask, symbol: str) -> Instrument:
    found = ask.oms.instruments().get(symbol)
    if found is None:
        text = f"no such symbol is traded: {symbol!r}"
        raise HttpError(
            404, RejectReason.SYMBOL_UNKNOWN.value, text, number=RejectReason.SYMBOL_UNKNOWN.api,
            field="symbol",
        )  # fmt: skip
    return found


async def markets(ask: Ask, wanted: Markets) -> Reply:
    phases = ask.oms.market_states()
    limits = await ask.door.symbol_limits()
    listed, names = ask.oms.instruments(), ask.door.group_names
    told = [
        {
            **instrument_told(each, phase.value if (phase := phases.get(symbol)) else None),
            **({"group": ask.door.group_of(symbol)} if names else {}),
            "last": last_told(ask.oms.recent_trades(symbol, 1) if symbol in listed else [])["last"],
            "filters": filters_told(limits.get(symbol, {})),
        }
        for symbol, each in sorted(ask.oms.instruments(delisted=wanted.delisted).items())
    ]
    found = {"markets": told, "session": ask.door.session_told()}
    return Reply({"groups": names, **found} if names else found)


async def session(ask: Ask, _: None) -> Reply:
    return Reply(ask.door.session_told())


async def calendar(ask: Ask, wanted: Days) -> Reply:
    """When the market trades in the next days, and which phases each session has."""
    start_ns = _instant("start", wanted.start)
    now_ns = ask.oms.clock.wall_ns()
    found = await ask.door.in_thread(
        ask.oms.calendar, now_ns if start_ns is None else start_ns, wanted.days
    )
    session = ask.oms.config.session
    return Reply(
        {
            "alwaysOpen": session.always_open, "zone": session.time_zone,
            "windows": [
                {
                    "tradingDate": each.trading_date, "opens": str(each.open_ns),
                    "closes": str(each.close_ns), "note": each.note,
                    "phases": [
                        {"phase": phase.value, "from": str(at)} for phase, at in each.phases
                    ],
                }
                for each in found
            ],
        }
    )  # fmt: skip


async def depth(ask: Ask, wanted: Depth) -> Reply:
    instrument_of(ask, wanted.symbol)
    book = await ask.door.book(wanted.symbol)
    scales = book.price_scale, book.quantity_scale
    return Reply(
        {
            "symbol": wanted.symbol, "lastUpdateId": str(book.last_id),
            "bids": levels_told(book.bids_ticks[: wanted.limit], scales),
            "asks": levels_told(book.asks_ticks[: wanted.limit], scales),
        }
    )  # fmt: skip


async def trades(ask: Ask, wanted: Trades) -> Reply:
    instrument_of(ask, wanted.symbol)
    found = ask.oms.recent_trades(wanted.symbol, wanted.limit)
    return Reply({"trades": [trade_told(each) for each in found]})


async def candles(ask: Ask, wanted: Candles) -> Reply:
    """Oldest first; with `next`, where a following page would start, if there are more."""
    instrument_of(ask, wanted.symbol)
    width, now_ns = _width(wanted.interval), ask.oms.clock.wall_ns()
    end = _instant("end", wanted.end) or now_ns + 1
    start = _instant("start", wanted.start)
    if start is None:
        start = max(0, end - wanted.limit * width)
    last = min(end, start + wanted.limit * width)
    found = await ask.door.slowly(ask.oms.candles, wanted.symbol, wanted.interval, start, last)
    following = max([last, *(each.end_ns for each in found[-1:])])  # the last candle is whole
    return Reply({
        "symbol": wanted.symbol, "interval": wanted.interval,
        "candles": [candle_told(each) for each in found],
        "next": str(following) if following < min(end, now_ns) else None,
    })  # fmt: skip


def _width(interval: str) -> int:
    try:
        return width_ns(interval)
    except ValidationError as error:
        raise ValidationError("interval", interval, error.expected) from None


def _instant(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    value = int(text)
    if value > SEQUENCE_MAX:
        raise ValidationError(name, text, "nanoseconds since 1970")
    return value


async def ticker(ask: Ask, wanted: OfSymbol) -> Reply:
    """Last price, the best of both sides, and the last 24 hours, which are at most 5 s old; null
    where there is none."""
    instrument_of(ask, wanted.symbol)
    book = await ask.door.book(wanted.symbol)
    scales = book.price_scale, book.quantity_scale
    bid = levels_told(book.bids_ticks[:1], scales)
    ask_ = levels_told(book.asks_ticks[:1], scales)
    last = last_told(ask.oms.recent_trades(wanted.symbol, 1))
    return Reply(
        {
            "symbol": wanted.symbol, **last,
            "bid": bid[0] if bid else None, "ask": ask_[0] if ask_ else None,
            **statistics_told(await ask.door.statistics(wanted.symbol)),
        }
    )  # fmt: skip


async def statistics(ask: Ask, wanted: Statistics) -> Reply:
    instrument_of(ask, wanted.symbol)
    end = _instant("end", wanted.end)
    if end is None:
        day = await ask.door.statistics(wanted.symbol)
    else:
        day = await ask.door.slowly(ask.oms.statistics, wanted.symbol, end)
    told = candle_told(day)
    return Reply({"symbol": wanted.symbol, **told, "change": decimal_told(day.change)})


async def auction(ask: Ask, wanted: OfSymbol) -> Reply:
    """At most 0.1 s old."""
    instrument_of(ask, wanted.symbol)
    return Reply(auction_told(wanted.symbol, await ask.door.indicative(wanted.symbol)))


async def time(ask: Ask, _: None) -> Reply:
    now_ns = ask.oms.clock.wall_ns()
    return Reply({"serverTime": str(now_ns // 1_000_000), "serverTimeNs": str(now_ns)})


def entries() -> list[Entry]:
    public = Right.PUBLIC
    return [
        Entry("GET", "/markets", markets, public, "what is traded, and how it stands",
              query=Markets, answer=Answer(MarketsTold)),
        Entry("GET", "/session", session, public, "whether orders trade, and when next",
              answer=Answer(SessionTold)),
        Entry("GET", "/calendar", calendar, public, "when the market trades", query=Days,
              answer=Answer(CalendarTold)),
        Entry("GET", "/depth", depth, public, "a market's book", query=Depth,
              answer=Answer(DepthTold)),
        Entry("GET", "/trades", trades, public, "a market's latest trades", query=Trades,
              answer=Answer(TradesTold)),
        Entry("GET", "/ticker", ticker, public, "a market's prices", query=OfSymbol,
              answer=Answer(TickerTold)),
        Entry("GET", "/statistics", statistics, public, "a market's 24 hours", query=Statistics,
              answer=Answer(StatisticsTold)),
        Entry("GET", "/auction", auction, public, "what an auction would trade if it ended now",
              query=OfSymbol, answer=Answer(AuctionTold)),
        Entry("GET", "/candles", candles, public, "what was traded in spans of time",
              query=Candles, answer=Answer(CandlesTold)),
        Entry("GET", "/time", time, public, "the exchange's clock", answer=Answer(TimeTold)),
    ]  # fmt: skip
