"""Details: what an order is for, as it was asked and changed since: type, price, quantity, terms.

Flow:  store: an order's request and its accepted changes -> [details] -> OrderManagement
A report tells how an order stands, in as few numbers as a turn can write; the rest is in the
journal, once, and is put together when somebody reads it. Owner: whoever asks, on its own thread.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from oms.enums import OrderType, PostOnly, SelfTrade, Side, TimeInForce
from oms.instruments import Instrument
from oms.money import to_decimal, to_units
from oms.reject_reasons import RejectReason
from oms.requests.codec import NEW
from oms.stores import AskedOrder

SLID = f"{RejectReason.POST_ONLY.value}: price="
CHANGED = ("stop", "display")  # terms that a modify may change


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDetails:
    """What an order is for. client_order_id: its own, under which it was placed.

    type, time_in_force, price, quantity: None of an order that was refused because its numbers fit
    no instrument: they were not recorded. price, quantity: None also where it has none. quantity:
    the total, as asked and as modified. The terms are as in OrderTerms, with stop_price as asked
    also when it is triggered; oco_with: the name that was given.
    """

    order_id: int
    account: str
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType | None
    time_in_force: TimeInForce | None
    price: Decimal | None = None
    quantity: Decimal | None = None
    hold: bool = False
    stop_price: Decimal | None = None
    display_quantity: Decimal | None = None
    post_only: PostOnly | None = None
    expire_ns: int = 0
    min_quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    protection_price: Decimal | None = None
    oco_with: str = ""
    self_trade: SelfTrade | None = None


def details_of(asked: AskedOrder, instruments: Mapping[str, Instrument]) -> OrderDetails:
    """From what the store has of it. instruments: also those that are traded no more."""
    order_id, account, client_order_id, symbol, side, about, _ = asked.claim
    instrument = instruments.get(symbol)
    price_scale = instrument.price_scale if instrument is not None else 0
    quantity_scale = instrument.quantity_scale if instrument is not None else 0
    quote_scale = instrument.quote_scale if instrument is not None else 0
    terms: dict[str, Any] = json.loads(about) if about else {}
    ticks, lots, hold = _numbers(asked, price_scale, terms)
    recorded = asked.line[0] == NEW or bool(about)

    def number(value: int, scale: int) -> Decimal | None:
        return to_decimal(value, scale) if value else None

    return OrderDetails(
        order_id=order_id, account=account, client_order_id=client_order_id, symbol=symbol,
        side=Side(side),
        type=OrderType(terms.get("type", OrderType.LIMIT)) if recorded else None,
        time_in_force=TimeInForce(terms.get("tif", TimeInForce.GTC)) if recorded else None,
        price=number(ticks, price_scale), quantity=number(lots, quantity_scale), hold=hold,
        stop_price=number(terms.get("stop", 0), price_scale),
        display_quantity=number(terms.get("display", 0), quantity_scale),
        post_only=PostOnly(terms["post"]) if "post" in terms else None,
        expire_ns=terms.get("expire", 0),
        min_quantity=number(terms.get("min", 0), quantity_scale),
        quote_quantity=number(terms.get("budget", 0), quote_scale),
        protection_price=number(terms.get("protect", 0), price_scale),
        oco_with=terms.get("oco", ""),
        self_trade=SelfTrade(terms["stp"]) if "stp" in terms else None,
    )  # fmt: skip


def _numbers(asked: AskedOrder, price_scale: int, terms: dict[str, Any]) -> tuple[int, int, bool]:
    """Ticks, lots and hold after all changes; the terms that were changed are replaced."""
    ticks = lots = 0
    hold = False
    if asked.line[0] == NEW:
        ticks, lots, hold = asked.line[7], asked.line[8], bool(asked.line[9])
    for line, text, total in asked.changes:
        lots = total if lots else lots
        if line is None:
            if text.startswith(SLID):
                ticks = to_units("price", text.removeprefix(SLID), price_scale)
            continue
        ticks = line[4] or ticks
        for given in line[7:]:
            if isinstance(given, dict):
                terms |= {name: given[name] for name in CHANGED if given.get(name)}
    return ticks, lots, hold
