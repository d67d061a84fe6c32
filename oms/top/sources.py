"""Sources: where `top` looks, the daemon's control socket or a front door; one shape for both.

Flow:  Source.overview, Source.market -> watcher
A look asks how things stand, and is told nothing in between: what it costs the daemon is the same
however much is traded. The overview is answered by the engine itself, between two turns, so a
daemon whose engine is stuck answers none.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from oms.client.credentials import Credentials, Nobody, Reply, credentials_of
from oms.client.transport import Transport
from oms.clock import Clock
from oms.errors import GatewayError
from oms.gateways.client import ControlClient
from oms.gateways.wire import SOCKET_NAME, Told
from oms.top.seen import Auction, Level, Market, MarketRow, Overview, Print

LOOK_S_MAX = 3.0  # for one answer
ROWS_MAX = 100  # levels a side, and trades
NO_KEY = "for operators: set OMS_KEY and OMS_SECRET"
TEXT_MAX = 200
COUNTS = (
    "waiting", "waiting_peak", "inbox", "in_flight", "unknown", "open_orders", "published",
    "journal_seq",
)  # fmt: skip
FIGURES = ("p50", "p99", "max")
NO_AUCTION: Told = {"auction": None}
SYMBOL = re.compile(r"[!-~]{1,64}")
DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")


class Source(Protocol):
    """Where to look. Raises GatewayError or OSError once it cannot; then it is of no more use."""

    told: str
    """Where that is, for a person."""

    def overview(self) -> Overview: ...

    def market(self, row: MarketRow, rows: int) -> Market:
        """One market of the overview. rows: levels of a side, and trades; at most ROWS_MAX."""
        ...

    def close(self) -> None: ...


@contextmanager
def _understood(who: str) -> Iterator[None]:
    """What is answered must have the shape that it should have. Raises GatewayError."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise GatewayError(f"{who} answers something else than expected: {error!r}") from error


def connector(
    url: str, directory: Path, environment: Mapping[str, str], clock: Clock
) -> Callable[[], Source]:
    """Makes sources: of the front door of that URL, with the key of the environment; without a URL
    of the daemon of that directory. Raises ValidationError on what is no such URL."""
    if not url:
        return lambda: ControlSource(directory)
    key, secret = environment.get("OMS_KEY", ""), environment.get("OMS_SECRET", "")
    credentials = credentials_of("", "", key, secret, clock)
    DoorSource(url, credentials, clock).close()  # what is no URL is said at once
    return lambda: DoorSource(url, credentials, clock)


# --- the control socket ---


class ControlSource:
    """The daemon of a directory. Raises GatewayError if none answers."""

    def __init__(self, directory: Path) -> None:
        self.told = str(directory / SOCKET_NAME)
        daemon = ControlClient.connect(directory)
        if daemon is None:
            raise GatewayError(f"no daemon is running in {directory}")
        self._daemon = daemon

    def overview(self) -> Overview:
        told = self._ask({"ask": "markets"})
        status = self._ask({"ask": "status"})
        with _understood("the daemon"):
            rows = tuple(
                MarketRow(
                    _symbol(each["symbol"]), _text_or_none(each["phase"]),
                    None if each["last"] is None else _decimal(each["last"]),
                    _decimals(each["tick_size"], *(s["tick_size"] for s in each["tick_table"])),
                    _decimals(each["lot_size"]),
                )
                for each in told["markets"]
            )  # fmt: skip
            return Overview(rows, _status(status["status"]))

    def market(self, row: MarketRow, rows: int) -> Market:
        symbol = row.symbol
        depth = self._ask({"ask": "depth", "symbol": symbol, "levels": rows})
        trades = self._ask({"ask": "recent_trades", "symbol": symbol, "limit": rows})
        called = self._ask({"ask": "auction", "symbol": symbol}) if row.in_call else NO_AUCTION
        with _understood("the daemon"):
            book = depth["depth"]
            return Market(
                symbol, _levels(book["bids"]), _levels(book["asks"]),
                tuple(
                    Print(int(each["wall_ns"]), _decimal(each["price"]),
                          _decimal(each["quantity"]), each["taker_side"])
                    for each in reversed(trades["trades"])
                ),
                _auction(called["auction"]),
            )  # fmt: skip

    def _ask(self, given: Told) -> Told:
        return self._daemon.ask(given, LOOK_S_MAX)

    def close(self) -> None:
        self._daemon.close()


# --- the front door ---


class DoorSource:
    """A front door, over the network. The daemon's status is for operators alone: without a key of
    one the session is all that is shown of it.

    Raises ValidationError on what is no such URL.
    """

    def __init__(self, url: str, credentials: Credentials, clock: Clock) -> None:
        self.told = url
        self._transport = Transport(url, None, clock, LOOK_S_MAX)
        self._credentials = credentials

    def overview(self) -> Overview:
        told = self._get("/markets")
        status, withheld = self._status()
        with _understood("the front door"):
            session = told["session"]
            known = _status(status) if status else _session({
                "session": session["state"], "trading_date": session["tradingDate"],
                "opens": session["opens"], "closes": session["closes"], "link": session["link"],
            })  # fmt: skip
            rows = tuple(
                MarketRow(
                    _symbol(each["symbol"]), _text_or_none(each["phase"]),
                    None if each["last"] is None else _decimal(each["last"]),
                    _decimals(each["tickSize"], *(s["tickSize"] for s in each["tickTable"])),
                    _decimals(each["lotSize"]),
                )
                for each in told["markets"]
            )  # fmt: skip
            return Overview(rows, known, withheld)

    def _status(self) -> tuple[Told, str]:
        """The daemon's status; nothing, and why, for whoever is no operator."""
        if isinstance(self._credentials, Nobody):
            return {}, NO_KEY
        code, told = self._answer("/admin/status")
        if code == 403:
            return {}, "for operators: this key is none of an operator's"
        return self._fine("/admin/status", code, told), ""

    def market(self, row: MarketRow, rows: int) -> Market:
        symbol, of = row.symbol, f"symbol={quote(row.symbol, safe='')}"
        book = self._get(f"/depth?{of}&limit={rows}")
        trades = self._get(f"/trades?{of}&limit={rows}")
        called = self._get(f"/auction?{of}") if row.in_call else None
        with _understood("the front door"):
            return Market(
                symbol, _levels(book["bids"]), _levels(book["asks"]),
                tuple(
                    Print(int(each["time"]), _decimal(each["price"]), _decimal(each["quantity"]),
                          each["takerSide"] or "")
                    for each in reversed(trades["trades"])
                ),
                _auction(called),
            )  # fmt: skip

    def _get(self, target: str) -> Told:
        return self._fine(target, *self._answer(target))

    def _fine(self, target: str, status: int, told: Told) -> Told:
        if status == 200:
            return told
        with _understood("the front door"):
            raise GatewayError(f"GET {target}: {status} {told['error']['message']}")

    def _answer(self, target: str) -> tuple[int, Told]:
        """Status and answer of one request."""
        headers = self._credentials.headers(self._exchange, "GET", target, b"")
        reply = self._exchange("GET", target, None, headers)
        if reply.status == 401:
            self._credentials.refused(self._exchange)  # our clock may be another
        return reply.status, reply.told

    def _exchange(
        self, method: str, target: str, _body: Told | None, headers: dict[str, str] | None = None
    ) -> Reply:
        answer = self._transport.exchange(method, target, headers or {}, b"")
        with _understood("the front door"):
            return Reply(answer.status, dict(json.loads(answer.content)))

    def close(self) -> None:
        self._transport.close()


# --- what both say ---


def _levels(told: Any) -> tuple[Level, ...]:
    return tuple((_decimal(price), _decimal(quantity)) for price, quantity in told)


def _auction(told: Any) -> Auction | None:
    """None while there is no call, which a front door tells with nulls."""
    if told is None or told["volume"] is None:
        return None
    price, volume = told["price"], _decimal(told["volume"])
    trades = price is not None and Decimal(volume) > 0
    return Auction(_decimal(price) if trades else None, volume, _decimal(told["surplus"]))


def _status(told: Any) -> Told:
    """A daemon's status, with all that is shown of it as it should be."""
    hops = {hop: outcomes["all"] for hop, outcomes in told["latency_ns"].items()}
    throttle = told["throttle"]
    for value in (*(told[name] for name in COUNTS), throttle["sends_max"]):
        _whole(value)
    for value in (throttle["in_use"], *(each[name] for each in hops.values() for name in FIGURES)):
        _whole(0 if value is None else value)
    for name in ("health", "store"):
        _text_or_none(told[name] or None)
    return _session(dict(told))


def _session(told: Told) -> Told:
    for name in ("session", "link", "trading_date"):
        _text_or_none(told[name])
    for name in ("opens", "closes"):
        if told[name] is not None:
            datetime.fromisoformat(told[name]).astimezone(UTC)
    return told


def _whole(value: Any) -> None:
    if type(value) is not int:
        raise TypeError(f"a whole number was expected, was {value!r}"[:TEXT_MAX])


def _text_or_none(value: Any) -> str | None:
    if value is not None and (type(value) is not str or len(value) > TEXT_MAX):
        raise TypeError(f"a text or null was expected, was {value!r}"[:TEXT_MAX])
    return value


def _symbol(value: Any) -> str:
    if type(value) is not str or not SYMBOL.fullmatch(value):
        raise ValueError(f"a symbol was expected, was {value!r}"[:TEXT_MAX])
    return value


def _decimal(value: Any) -> str:
    if type(value) is not str or not DECIMAL.fullmatch(value):
        raise ValueError(f"a decimal as text was expected, was {value!r}"[:TEXT_MAX])
    return value


def _decimals(*steps: Any) -> int:
    """How many a grid of these steps has."""
    return max(len(_decimal(step).partition(".")[2].rstrip("0")) for step in steps)
