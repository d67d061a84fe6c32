"""Answers: requests and questions, as JSON objects, to one order manager; and what it says.

Flow:  line of a client -> [answers] -> OrderManagement -> object of an answer
In:    an object with `request` is a request, read by requests/codec.py; one with `ask` is a
       question. Out: an object, or the promise of one. All numbers are decimals as text.
Owner: whoever calls. Nothing here waits.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from decimal import Decimal
from typing import Any, NamedTuple

from oms.answers import DryRun
from oms.errors import OMSError, ValidationError
from oms.gateways.aside import Aside
from oms.gateways.wire import Told
from oms.instruments import Instrument
from oms.manager import OrderManagement
from oms.market_data import (
    BalanceChange,
    Candle,
    DepthUpdate,
    IndicativePrice,
    Level,
    MarketEvent,
    MarketState,
    TopOfBook,
    TradeBust,
    TradeCorrection,
    TradePrint,
)
from oms.money import to_text
from oms.positions import Pnl, Position, Trade
from oms.requests.codec import REQUEST, of_object
from oms.requests.orders import SEQUENCE_MAX, check_id
from oms.responses import OrderResponse
from oms.turn.history import width_ns
from oms.users import Key, User

ASK, ORIGIN = "ask", "origin"
# Questions whose answer is not there at once.
DRY_RUN, MARKETS, AUCTION, WATCH = "dry_run", "markets", "auction", "watch"
FILLED_IN = ("user", "gateway")  # fields of the origin that are not for a client to say
ROWS, ROWS_MAX = 100, 1_000  # orders or trades in one answer: unless asked otherwise, and at most
TRADES_TOLD_MAX = 100  # of one order, in the answer to its request
EXPECTED_LENGTH_MAX = 400
LEVELS_MAX = 1_000


class Promise(NamedTuple):
    """An answer that is not there yet: what will come, and how it is told."""

    future: Future[Any]
    tell: Callable[[Any], Told]


class Answers:
    """What one order manager says to requests and questions.

    gateway: how the requests come, for the record. aside: who answers what takes a while; None:
    the caller waits.
    """

    def __init__(self, oms: OrderManagement, gateway: str, aside: Aside | None = None) -> None:
        self._oms = oms
        self._gateway = gateway
        self._aside = aside

    def begin(self, given: object, user: str, request_id: str) -> "Told | Promise":
        """The answer to one line. Raises ValidationError, naming the field, and OMSError."""
        if not isinstance(given, dict) or (REQUEST in given) == (ASK in given):
            raise ValidationError("line", given, f"a JSON object with {REQUEST} or {ASK}")
        if REQUEST in given:
            request = of_object(self._signed(given, user, request_id))
            return Promise(self._oms.try_submit(request), self.response)
        values = {name: value for name, value in given.items() if name != ASK}
        name = given[ASK]
        if name == DRY_RUN:
            request = of_object(self._signed(_of(values), user, request_id))
            return Promise(self._oms.dry_run(request), self.dry_run)
        if name == MARKETS:
            _checked(values, {})
            return Promise(self._oms.journal_seq(), self.markets)
        if name == AUCTION:
            symbol = _checked(values, {"symbol": SYMBOL})["symbol"]
            return Promise(self._oms.indicative(symbol), self.auction)
        question = QUESTIONS.get(name) if type(name) is str else None
        if question is None:
            known = ", ".join([*QUESTIONS, MARKETS, AUCTION, DRY_RUN, WATCH])
            raise ValidationError(ASK, name, f"one of {known}")
        fields = _checked(values, question.fields)
        if question.slow and self._aside is not None:
            return Promise(self._aside.ask(lambda: question.answer(self, **fields)), _as_it_is)
        return question.answer(self, **fields)

    def _signed(self, given: Mapping[str, Any], user: str, request_id: str) -> Told:
        """The request with its origin: the client may say request id and sequence alone."""
        origin = given.get(ORIGIN, {})
        if not isinstance(origin, dict):
            raise ValidationError(ORIGIN, origin, "an object")
        for name in FILLED_IN:
            if name in origin:
                raise ValidationError(name, origin[name], "none: the gateway fills it in")
        filled = {"request_id": request_id, **origin, "user": user, "gateway": self._gateway}
        return {**given, ORIGIN: filled}

    # --- requests ---

    def response(self, response: OrderResponse) -> Told:
        """The answer to a request: how the order stands, and the trades that it made at once."""
        told: Told = {"response": report_object(response)}
        trades = response.trades
        if trades:
            told["trades"] = [report_object(each) for each in trades[:TRADES_TOLD_MAX]]
            told["trades_count"] = len(trades)
        return told

    def dry_run(self, found: DryRun) -> Told:
        reserved = to_text(found.reserved_units, found.scale)
        return {
            "dry_run": {
                "refused": found.reason is not None,
                "reason": found.reason.value if found.reason else None,
                "text": found.text, "reserved": reserved, "asset": found.asset,
            }
        }  # fmt: skip

    def markets(self, seq: int) -> Told:
        """What is traded, and how it stands. seq: of the latest turn, as the engine said: it is
        alive."""
        phases = self._oms.market_states()
        told = [
            {
                "symbol": symbol, "base": each.base, "quote": each.quote,
                "phase": phases.get(symbol),
                "last": _last_price(self._oms.recent_trades(symbol, 1)),
                "tick_size": each.tick_size_text, "lot_size": each.lot_size_text,
                "tick_table": [
                    {"from": to_text(at, each.price_scale),
                     "tick_size": to_text(step, each.price_scale)}
                    for at, step in each.tick_table
                ],
            }
            for symbol, each in sorted(self._oms.instruments().items())
        ]  # fmt: skip
        return {"markets": told, "seq": seq}

    def auction(self, found: IndicativePrice | None) -> Told:
        """What an auction would trade if it ended now; null: the market is in no call."""
        return {"auction": None if found is None else indicative_object(found)}

    # --- questions ---

    def status(self) -> Told:
        return {"status": {"pid": os.getpid(), **self._oms.get_status()}}

    def order(self, account: str, order: str | int) -> Told:
        found = self._oms.get_order(account, order)
        return {"order": None if found is None else report_object(found)}

    def orders(self, account: str, after: int, limit: int) -> Told:
        found = [each for each in self._oms.open_orders(account) if each.order_id > after]
        more = len(found) > limit
        return {"orders": [report_object(each) for each in found[:limit]], "more": more}

    def trades(self, symbol: str, account: str, before: str, limit: int) -> Told:
        found = self._oms.trades(account, symbol, before=before, limit=limit)
        return {"trades": [_plain_object(each) for each in found]}

    def recent_trades(self, symbol: str, limit: int) -> Told:
        found = self._oms.recent_trades(symbol, limit)
        return {"trades": [print_object(each) for each in found]}

    def positions(self, account: str) -> Told:
        found = self._oms.positions(account)
        pnl = self._oms.pnl(account).values()
        return {
            "positions": [_plain_object(each) for each in found],
            "pnl": [_plain_object(each) for each in pnl],
        }

    def depth(self, symbol: str, levels: int) -> Told:
        bids, asks = self._oms.get_depth_ticks(symbol, levels)
        instrument, phase = self._instruments[symbol], self._oms.market_states().get(symbol)
        return {
            "depth": {
                "symbol": symbol, "phase": phase,
                "bids": _levels(instrument, bids), "asks": _levels(instrument, asks),
            }
        }  # fmt: skip

    def candles(self, symbol: str, width: str, start: int, end: int, limit: int) -> Told:
        """By default the time of as many candles as are wanted, until now."""
        end = end or self._oms.clock.wall_ns() + 1
        start = start or max(0, end - limit * width_ns(width))
        found = self._oms.candles(symbol, width, start, end)
        shown = [candle_object(each) for each in found[:limit]]
        return {"candles": shown, "more": len(found) > limit}

    def statistics(self, symbol: str, end: int) -> Told:
        found = self._oms.statistics(symbol, end or None)
        told = candle_object(found)
        return {"statistics": {**told, "last": told.pop("close"), "change": _text(found.change)}}

    def balances(self, account: str) -> Told:
        return {
            "balances": {
                asset: {"available": f"{available:f}", "reserved": f"{reserved:f}"}
                for asset, (available, reserved) in self._oms.balances(account).items()
            }
        }

    def users(self, after: str, limit: int) -> Told:
        """Oldest first, after the one that is named; without what could help to log in."""
        users = self._oms.access.users()
        names = [user.name.lower() for user in users]
        start = names.index(after.lower()) + 1 if after.lower() in names else 0
        found = users[start : start + limit]
        return {"users": [user_object(user) for user in found], "more": len(users) > start + limit}

    def keys(self, user: str) -> Told:
        found = self._oms.access.user(user)
        return {"keys": [key_object(key) for key in found.keys] if found is not None else []}

    @property
    def _instruments(self) -> Mapping[str, Instrument]:
        """Delisted ones, too: what is told of may be of them."""
        return self._oms.publisher.instruments

    # --- events of the market ---

    def market_event(self, event: MarketEvent) -> Told:
        """One event under the name of its class, with its fields in the instrument's units."""
        told: Told = {"event": type(event).__name__, "seq": event.seq, "number": event.number}
        if isinstance(event, BalanceChange):
            return told | {
                "account": event.account, "asset": event.asset,
                "available": f"{event.available:f}", "reserved": f"{event.reserved:f}",
            }  # fmt: skip
        told["symbol"] = event.symbol
        instrument = self._instruments[event.symbol]
        price, quantity = instrument.price_scale, instrument.quantity_scale
        match event:
            case MarketState():
                told |= {"phase": event.phase.value, "reason": event.reason}
            case TradePrint():
                told |= print_object(event)
            case TradeBust() | TradeCorrection():
                told |= {
                    "execution_id": event.execution_id, "match_number": event.match_number,
                    "price": to_text(event.price_ticks, price),
                    "quantity": to_text(event.quantity_lots, quantity),
                }  # fmt: skip
            case DepthUpdate():
                told |= {
                    "first_id": event.first_id, "last_id": event.last_id,
                    "bids": _levels(instrument, event.bids_ticks),
                    "asks": _levels(instrument, event.asks_ticks),
                }  # fmt: skip
            case TopOfBook():
                bid, ask = _levels(
                    instrument,
                    [(event.bid_ticks, event.bid_lots), (event.ask_ticks, event.ask_lots)],
                )
                told |= {"bid": bid, "ask": ask}
            case IndicativePrice():
                told |= indicative_object(event)
        return told


def _levels(instrument: Instrument, levels: "list[Level] | tuple[Level, ...]") -> list[list[str]]:
    """Price and quantity of each level, best first."""
    price, quantity = instrument.price_scale, instrument.quantity_scale
    return [[to_text(ticks, price), to_text(lots, quantity)] for ticks, lots in levels]


def indicative_object(found: IndicativePrice) -> Told:
    """What an auction would trade if it ended now: of volume 0 nothing, and no price."""
    price, quantity = found.price_scale, found.quantity_scale
    return {
        "price": to_text(found.price_ticks, price),
        "volume": to_text(found.volume_lots, quantity),
        "surplus": to_text(found.surplus_lots, quantity),
    }


def print_object(trade: TradePrint) -> Told:
    """One trade of a market."""
    return {
        "symbol": trade.symbol, "execution_id": trade.execution_id,
        "match_number": trade.match_number, "taker_side": trade.taker_side,
        "price": to_text(trade.price_ticks, trade.price_scale),
        "quantity": to_text(trade.quantity_lots, trade.quantity_scale), "wall_ns": trade.wall_ns,
        "buy_order_id": trade.buy_order_id, "sell_order_id": trade.sell_order_id,
    }  # fmt: skip


def _last_price(trades: list[TradePrint]) -> str | None:
    return to_text(trades[-1].price_ticks, trades[-1].price_scale) if trades else None


def candle_object(candle: Candle) -> Told:
    """One candle; prices are null where no trade stands."""
    return {
        "symbol": candle.symbol, "start_ns": candle.start_ns, "end_ns": candle.end_ns,
        "open": _text(candle.open), "high": _text(candle.high), "low": _text(candle.low),
        "close": _text(candle.close), "volume": _text(candle.volume),
        "quote_volume": _text(candle.quote_volume), "vwap": _text(candle.vwap),
        "count": candle.count, "changed": candle.changed,
    }  # fmt: skip


def _text(number: Decimal | None) -> str | None:
    return None if number is None else format(number, "f")


def _as_it_is(told: Told) -> Told:
    return told


def user_object(user: User) -> Told:
    """A user, without the hash of a password or of a code."""
    return {
        "name": user.name, "email": user.email, "role": user.role, "accounts": list(user.accounts),
        "locked": user.locked, "created_ns": user.created_ns, "sessions": len(user.families),
        "keys": len(user.keys), "second_factor": user.factor.on,
    }  # fmt: skip


def key_object(key: Key) -> Told:
    return {
        "key": key.key_id, "name": key.name, "scopes": list(key.scopes),
        "addresses": list(key.addresses), "ends_ns": key.ends_ns, "created_ns": key.created_ns,
    }  # fmt: skip


def _plain_object(row: Trade | Position | Pnl) -> Told:
    """Its fields by name; decimals as text."""
    return {
        name: _shortest(value) if isinstance(value, Decimal) else value
        for name, value in row._asdict().items()
    }


def _shortest(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def report_object(response: OrderResponse) -> Told:
    """One execution report; what it does not say is left out."""
    report, reason, instrument = response.report, response.reason, response.instrument
    told: Told = {
        "type": report.type, "state": report.state, "account": report.account,
        "client_order_id": report.client_order_id, "symbol": report.symbol, "side": report.side,
        "text": report.reason, "reason": reason.value if reason else "",
    }  # fmt: skip
    told = {name: value for name, value in told.items() if value}
    told |= {
        "refused": response.refused, "repeated": response.repeated,
        "order_id": report.order_id, "request_seq": report.request_seq,
        "execution_id": report.execution_id, "wall_ns": report.wall_ns,
    }  # fmt: skip
    if reason is not None and response.refused:
        told |= {"api": reason.api, "http": reason.http}
    if report.state and instrument is not None:
        price, quantity = instrument.price_scale, instrument.quantity_scale
        told["filled"] = to_text(report.cumulative_lots, quantity)
        told["open"] = to_text(report.leaves_lots, quantity)
        if report.cumulative_lots:
            told["notional"] = f"{response.notional:f}"
            told["average_price"] = f"{response.average_price:f}"
        if report.last_quantity_lots:
            told |= {
                "last_price": to_text(report.last_price_ticks, price),
                "last_quantity": to_text(report.last_quantity_lots, quantity),
                "last_fee": to_text(response.fee_units, instrument.quote_scale),
                "liquidity": report.liquidity, "match_number": report.match_number,
            }  # fmt: skip
    return told


def error_object(error: OMSError) -> Told:
    """The answer to a line that is none, or that cannot be answered."""
    text = str(error)[: 2 * EXPECTED_LENGTH_MAX]
    if isinstance(error, ValidationError):
        expected = error.expected[:EXPECTED_LENGTH_MAX]
        return {"error": {"field": error.field[:80], "expected": expected, "text": text}}
    return {"error": {"field": "answer", "expected": "an outcome", "text": text}}


# --- the questions, and their fields ---

Check = Callable[[str, object], object]
REQUIRED = object()


class Question(NamedTuple):
    """How it is answered; its fields, each with its default and its check. slow: it reads much."""

    answer: Callable[..., Told]
    fields: Mapping[str, tuple[object, Check]]
    slow: bool = False


def _whole(low: int, high: int) -> Check:
    def check(name: str, value: object) -> object:
        if type(value) is not int or not low <= value <= high:
            raise ValidationError(name, value, f"a whole number from {low} to {high}")
        return value

    return check


def _width(_name: str, value: object) -> object:
    width_ns(value)  # type: ignore[arg-type]  # it says what is wrong
    return value


def _flag(name: str, value: object) -> object:
    if type(value) is not bool:
        raise ValidationError(name, value, "true or false")
    return value


def _id_or_none(name: str, value: object) -> object:
    return value if value == "" else check_id(name, value)


def _order_name(name: str, value: object) -> object:
    """An order id is a number, a client order id is text."""
    return _whole(1, SEQUENCE_MAX)(name, value) if type(value) is int else check_id(name, value)


def _of(values: Told) -> Told:
    """The request that a dry run is about."""
    given = _checked(values, {"of": (REQUIRED, lambda _, value: value)})["of"]
    if not isinstance(given, dict):
        raise ValidationError("of", given, "an object: the request")
    return given


def _checked(given: Told, known: Mapping[str, tuple[object, Check]]) -> Told:
    """The fields of a question; an unknown, missing or wrong one is named."""
    for name in given:
        if name not in known:
            raise ValidationError(name, given[name], "one of " + ", ".join([ASK, *known]))
    found = {}
    for name, (default, check) in known.items():
        if name in given:
            found[name] = check(name, given[name])
        elif default is REQUIRED:
            raise ValidationError(name, None, "a value")
        else:
            found[name] = default
    return found


ACCOUNT = SYMBOL = (REQUIRED, check_id)
OPTIONAL = ("", _id_or_none)
LIMIT = (ROWS, _whole(1, ROWS_MAX))
QUESTIONS = {
    "status": Question(Answers.status, {}),
    "order": Question(Answers.order, {"account": ACCOUNT, "order": (REQUIRED, _order_name)}),
    "orders": Question(
        Answers.orders,
        {"account": ACCOUNT, "after": (0, _whole(0, SEQUENCE_MAX)), "limit": LIMIT},
    ),
    "trades": Question(
        Answers.trades,
        {"symbol": OPTIONAL, "account": OPTIONAL, "before": OPTIONAL, "limit": LIMIT},
        slow=True,
    ),
    "recent_trades": Question(Answers.recent_trades, {"symbol": SYMBOL, "limit": LIMIT}),
    "positions": Question(Answers.positions, {"account": ACCOUNT}),
    "depth": Question(Answers.depth, {"symbol": SYMBOL, "levels": (10, _whole(1, LEVELS_MAX))}),
    "candles": Question(
        Answers.candles,
        {
            "symbol": SYMBOL,
            "width": ("1m", _width),
            "start": (0, _whole(0, SEQUENCE_MAX)),
            "end": (0, _whole(0, SEQUENCE_MAX)),
            "limit": LIMIT,
        },
        slow=True,
    ),
    "statistics": Question(
        Answers.statistics, {"symbol": SYMBOL, "end": (0, _whole(0, SEQUENCE_MAX))}, slow=True
    ),
    "balances": Question(Answers.balances, {"account": ACCOUNT}),
    "users": Question(Answers.users, {"after": ("", _id_or_none), "limit": LIMIT}),
    "keys": Question(Answers.keys, {"user": (REQUIRED, check_id)}),
}
WATCHED: Mapping[str, tuple[object, Check]] = {
    "account": ("", _id_or_none), "symbol": ("", _id_or_none),
    "reports": (True, _flag), "market": (True, _flag),
}  # fmt: skip


class Watch(NamedTuple):
    """What a watcher wants to be told: reports, market events; of one account, one symbol."""

    account: str
    symbol: str
    reports: bool
    market: bool

    @classmethod
    def of(cls, given: Told) -> "Watch":
        """Raises ValidationError, naming the field."""
        return cls(**_checked({k: v for k, v in given.items() if k != ASK}, WATCHED))

    def wants(self, event: OrderResponse | MarketEvent) -> bool:
        """Events of the market have no account but for balances, balances have no symbol."""
        if isinstance(event, OrderResponse):
            account, symbol, wanted = event.report.account, event.report.symbol, self.reports
        elif isinstance(event, BalanceChange):
            account, symbol, wanted = event.account, "", self.market
        else:
            account, symbol, wanted = "", event.symbol, self.market
        return (
            wanted
            and (not self.account or account in ("", self.account))
            and (not self.symbol or symbol == self.symbol)
        )
