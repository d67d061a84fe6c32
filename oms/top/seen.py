"""Seen: what `top` shows, in one shape for both sources.

Prices and quantities are decimals as text, as the exchange tells them; nothing here reckons.
"""

from typing import Any, NamedTuple

from oms.enums import CALLS

Level = tuple[str, str]
"""Price, and the quantity shown there."""


class MarketRow(NamedTuple):
    """One market. phase: None at a remote venue; last: the last price, None before the first trade.
    decimals: as many as its grid of prices, and that of quantities, has."""

    symbol: str
    phase: str | None
    last: str | None
    price_decimals: int
    quantity_decimals: int

    @property
    def in_call(self) -> bool:
        """Do orders gather, for an uncross to come?"""
        return self.phase in CALLS


class Overview(NamedTuple):
    """All markets, and how the daemon is.

    status: as `get_status` tells it; or the keys of the session alone, and `withheld` says why.
    """

    markets: tuple[MarketRow, ...]
    status: dict[str, Any]
    withheld: str = ""

    def row(self, symbol: str) -> MarketRow | None:
        return next((each for each in self.markets if each.symbol == symbol), None)


class Print(NamedTuple):
    """One trade. taker_side: BUY or SELL; "" in an auction, where nobody takes."""

    wall_ns: int
    price: str
    quantity: str
    taker_side: str


class Auction(NamedTuple):
    """What an auction would trade if it ended now. price: None where nothing would trade.
    surplus: above 0 buyers are left over, below 0 sellers."""

    price: str | None
    volume: str
    surplus: str


class Market(NamedTuple):
    """One market from near: the best levels of both sides, best first; trades, newest first.
    auction: of its call; None while it is in none."""

    symbol: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    trades: tuple[Print, ...]
    auction: Auction | None = None


class Seen(NamedTuple):
    """What the last looks gave.

    at_ns: monotonic, when the last whole look ended. reports_per_s: None before the second look
    at the status. lost: why there is no connection; "" while there is one. tries: since it was
    lost; retry_ns: monotonic, when the next one is.
    """

    overview: Overview
    market: Market | None
    at_ns: int
    reports_per_s: float | None = None
    lost: str = ""
    tries: int = 0
    retry_ns: int = 0
