"""Sources: where `top` looks, the daemon's control socket or a front door; one shape for both.

Flow:  Source.overview, Source.market -> watcher
A look asks how things stand, and is told nothing in between: what it costs the daemon is the same
however much is traded. The overview is answered by the engine itself, between two turns, so a
daemon whose engine is stuck answers none.
"""

import http.client
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from oms.clock import SystemClock
from oms.errors import GatewayError, ValidationError
from oms.gateways.client import ControlClient
from oms.gateways.signatures import signature_of
from oms.gateways.wire import SOCKET_NAME, Told
from oms.top.seen import Level, Market, MarketRow, Overview, Print

LOOK_S_MAX = 3.0  # for one answer
ROWS_MAX = 100  # levels a side, and trades
ANSWER_BYTES_MAX = 8_000_000
NO_KEY = "for operators: set OMS_KEY and OMS_SECRET"
MILLIS = 1_000_000
TEXT_MAX = 200
COUNTS = (
    "waiting", "waiting_peak", "inbox", "in_flight", "unknown", "open_orders", "published",
    "journal_seq",
)  # fmt: skip
FIGURES = ("p50", "p99", "max")
SYMBOL = re.compile(r"[!-~]{1,64}")
DECIMAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")


class Source(Protocol):
    """Where to look. Raises GatewayError or OSError once it cannot; then it is of no more use."""

    told: str
    """Where that is, for a person."""

    def overview(self) -> Overview: ...

    def market(self, symbol: str, rows: int) -> Market:
        """rows: levels of a side, and trades; at most ROWS_MAX."""
        ...

    def close(self) -> None: ...


@contextmanager
def _understood(who: str) -> Iterator[None]:
    """What is answered must have the shape that it should have. Raises GatewayError."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise GatewayError(f"{who} answers something else than expected: {error!r}") from error


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

    def market(self, symbol: str, rows: int) -> Market:
        depth = self._ask({"ask": "depth", "symbol": symbol, "levels": rows})
        trades = self._ask({"ask": "recent_trades", "symbol": symbol, "limit": rows})
        with _understood("the daemon"):
            book = depth["depth"]
            return Market(
                symbol, _levels(book["bids"]), _levels(book["asks"]),
                tuple(
                    Print(int(each["wall_ns"]), _decimal(each["price"]),
                          _decimal(each["quantity"]), each["taker_side"])
                    for each in reversed(trades["trades"])
                ),
            )  # fmt: skip

    def _ask(self, given: Told) -> Told:
        return self._daemon.ask(given, LOOK_S_MAX)

    def close(self) -> None:
        self._daemon.close()


# --- the front door ---


class ApiKey(NamedTuple):
    """What signs requests; see docs/api.md."""

    key_id: str
    secret: str

    @classmethod
    def of_environment(cls) -> "ApiKey | None":
        key_id, secret = os.environ.get("OMS_KEY", ""), os.environ.get("OMS_SECRET", "")
        return cls(key_id, secret) if key_id and secret else None


class DoorSource:
    """A front door, over the network. The daemon's status is for operators alone: without a key of
    one the session is all that is shown of it.

    Raises ValidationError on what is no such URL.
    """

    def __init__(self, url: str, key: ApiKey | None) -> None:
        self.told = url
        kind, host, port, self._path = door_parts(url)
        self._connection = kind(host, port, timeout=LOOK_S_MAX)
        self._key = key

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
        if self._key is None:
            return {}, NO_KEY
        code, told = self._answer("/admin/status")
        if code == 403:
            return {}, "for operators: this key is none of an operator's"
        return self._fine("/admin/status", code, told), ""

    def market(self, symbol: str, rows: int) -> Market:
        query = f"symbol={quote(symbol, safe='')}&limit={rows}"
        book, trades = self._get(f"/depth?{query}"), self._get(f"/trades?{query}")
        with _understood("the front door"):
            return Market(
                symbol, _levels(book["bids"]), _levels(book["asks"]),
                tuple(
                    Print(int(each["time"]), _decimal(each["price"]), _decimal(each["quantity"]),
                          each["takerSide"] or "")
                    for each in reversed(trades["trades"])
                ),
            )  # fmt: skip

    def _get(self, target: str) -> Told:
        return self._fine(target, *self._answer(target))

    def _fine(self, target: str, status: int, told: Told) -> Told:
        if status == 200:
            return told
        with _understood("the front door"):
            raise GatewayError(f"GET {target}: {status} {told['error']['message']}")

    def _answer(self, target: str) -> tuple[int, Told]:
        """Status and answer of one request; always the same connection."""
        target = self._path + target
        try:
            self._connection.request("GET", target, headers=self._signed(target))
            response = self._connection.getresponse()
            body = response.read(ANSWER_BYTES_MAX)
        except http.client.HTTPException as error:
            raise GatewayError(f"the front door has gone: {error!r}") from None
        if not response.isclosed():
            raise GatewayError(f"GET {target}: expected at most {ANSWER_BYTES_MAX} bytes")
        with _understood("the front door"):
            return response.status, dict(json.loads(body))

    def _signed(self, target: str) -> dict[str, str]:
        if self._key is None:
            return {}
        time_ms, nonce = str(SystemClock().wall_ns() // MILLIS), secrets.token_hex(16)
        secret = self._key.secret.encode()
        return {
            "X-Api-Key": self._key.key_id, "X-Api-Time": time_ms, "X-Api-Nonce": nonce,
            "X-Api-Signature": signature_of(secret, time_ms, nonce, "GET", target, b""),
        }  # fmt: skip

    def close(self) -> None:
        self._connection.close()


Kind = type[http.client.HTTPConnection]


def door_parts(url: str) -> tuple[Kind, str, int | None, str]:
    """How and where to connect, and the path before every route's. Raises ValidationError."""
    expected = "the URL of a front door, such as http://127.0.0.1:3000"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValidationError("URL", url, expected) from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.username:
        raise ValidationError("URL", url, expected)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return kind, host, port, parts.path.rstrip("/")


# --- what both say ---


def _levels(told: Any) -> tuple[Level, ...]:
    return tuple((_decimal(price), _decimal(quantity)) for price, quantity in told)


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
