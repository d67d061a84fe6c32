"""What an exchange's journal must hold of what clients wished, and who then owns what.

Both are worked out from the wishes and from the reports alone: nothing of the exchange's own
book-keeping is asked, so it can be held against this.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any

from oms.instruments import Instrument
from oms.money import to_units
from oms.reports import Report
from oms.requests import codec
from oms.requests.codec import Line
from tests.exchange_flow import KINDS, SYMBOLS, Wish

REQUESTS = (
    codec.NEW, codec.MODIFY, codec.CANCEL, codec.ANSWER, codec.FUNDS, codec.MASS_CANCEL,
    codec.OPERATOR, codec.ACCESS,
)  # fmt: skip
Instruments = Mapping[str, Instrument]
Owned = dict[tuple[str, str], int]
"""(account, asset) -> units, available and reserved together."""


def is_line_of(wish: Wish, line: Line, instruments: Instruments) -> bool:
    """Does a line say what was asked for? One that refuses it says nothing of it."""
    account, _client_id, kind, *rest = wish
    if line[0] == codec.ANSWER:
        return True
    if kind in KINDS:
        return list(line[3:]) == _command_fields(account, kind, rest[0])
    orig, symbol, side, quantity, price, tif, *more = rest
    if kind == "CANCEL":
        return line[0] == codec.CANCEL and line[3] == orig
    if kind == "MODIFY":  # both symbols have one grid
        ticks, lots = on_grid(instruments[SYMBOLS[0]], price, quantity)
        return line[0] == codec.MODIFY and line[3:6] == [orig, ticks, lots]
    said = more[0] if more else {}
    stop = "stop_price" in said
    type_ = ("STOP" if stop else "MARKET") if price is None else "STOP_LIMIT" if stop else "LIMIT"
    return (
        line[0] == codec.NEW
        and line[3:9] == [symbol, side, type_, tif, *on_grid(instruments[symbol], price, quantity)]
        and (line[11] if len(line) > 11 else {}) == _line_terms(instruments[symbol], said)
    )


def _command_fields(account: str, kind: str, said: dict[str, str]) -> list[Any]:
    names = {
        "FUNDS": ("action", "asset", "amount", "to_account"),
        "MASS_CANCEL": ("of_account", "symbol", "side"),
        "OPERATOR": ("action", "scope", "target", "name", "value", "why"),
        "ACCESS": ("action", "user", "facts"),
    }[kind]
    own: dict[str, Any] = {"scope": "ALL", "of_account": account, **said}
    if kind == "FUNDS":
        own["amount"] = units_of(said["amount"]) if "amount" in said else 0
    return [own.get(name, "") for name in names]


def _line_terms(instrument: Instrument, said: dict[str, Any]) -> dict[str, Any]:
    """Terms as a line names and counts them."""
    price, lots = instrument.price_ticks, instrument.quantity_lots
    fields: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "stop_price": ("stop", price),
        "display_quantity": ("display", lots),
        "post_only": ("post", str),
        "expire_ns": ("expire", int),
        "min_quantity": ("min", lots),
        "quote_quantity": ("budget", units_of),
        "protection_price": ("protect", price),
        "oco_with": ("oco", str),
        "self_trade": ("stp", str),
    }
    return {fields[name][0]: fields[name][1](value) for name, value in said.items()}


def units_of(amount: str) -> int:
    """An amount of money in units; every asset here has eight decimals."""
    return to_units("amount", amount, 8)


def on_grid(instrument: Instrument, price: str | None, quantity: int | None) -> tuple[int, int]:
    """Price in ticks, 0 for a market order, and quantity in lots, 0 for one by budget."""
    ticks = 0 if price is None else instrument.price_ticks(price)
    return ticks, 0 if quantity is None else instrument.quantity_lots(quantity)


# --- who owns what, by the reports ---


def deposits(wishes: Iterable[Wish]) -> Owned:
    """What these deposits and withdrawals brought in, by asset; the account is ""."""
    paid = Counter[tuple[str, str]]()
    for _account, _id, _kind, said in wishes:
        sign = {"DEPOSIT": 1, "WITHDRAW": -1}.get(said["action"], 0)
        if sign:
            paid["", said["asset"]] += sign * units_of(said["amount"])
    return _without_zeros(paid)


def owned(wishes: Iterable[Wish], trades: Iterable[Report], instruments: Instruments) -> Owned:
    """What everybody has after these movements of money and these fills.

    Of each order as a whole: a buyer pays its worth rounded up, a seller gets it rounded down.
    """
    has, worth = Counter[tuple[str, str]](), defaultdict[int, Fraction](Fraction)
    for account, _id, _kind, said in wishes:
        if said["action"] == "CREATE":
            continue
        units, asset = units_of(said["amount"]), said["asset"]
        has[account, asset] += units if said["action"] == "DEPOSIT" else -units
        if said["action"] == "TRANSFER":
            has[said["to_account"], asset] += units
    for trade in trades:
        account, instrument = trade.account, instruments[trade.symbol]
        lots, fee = trade.last_quantity_lots, int(trade.fee or 0)
        sign, whole = (1, ceil) if trade.side == "BUY" else (-1, floor)
        exact = Fraction(
            trade.last_price_ticks * lots * instrument.quote_unit, instrument.price_quantity_unit
        )
        notional = whole(worth[trade.order_id] + exact) - whole(worth[trade.order_id])
        worth[trade.order_id] += exact
        has[account, instrument.base] += sign * lots * instrument.lot_amount
        has[account, instrument.quote] -= sign * notional + fee
        has["fees", instrument.quote] += fee
        has["rounding", instrument.quote] += sign * notional
    return _without_zeros(has)


def balances(accounts: Mapping[str, Mapping[str, Iterable[int]]]) -> Owned:
    """The same of a ledger's accounts."""
    found = {(name, asset): sum(b) for name, has in accounts.items() for asset, b in has.items()}
    return _without_zeros(found)


def _without_zeros(owned: Mapping[tuple[str, str], int]) -> Owned:
    return {key: units for key, units in owned.items() if units}
