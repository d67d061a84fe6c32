"""Claims: each client order id is claimed once, for ever, with what was asked under it.

Flow:  intake -> [claims] -> store; journal -> [claims] -> store, where one is made anew
In:    requests, or the lines they became. Out: claims: ids with symbol, side and a hash of the
       content, the same however the numbers were written.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from zlib import crc32

from oms.desk.desk import Desk
from oms.enums import OrderType, TimeInForce
from oms.money import to_text
from oms.reports import Report
from oms.requests import OrderTerms
from oms.requests.accounts import ENDS
from oms.requests.codec import (
    ACCESS,
    ANSWER,
    BUST,
    CANCEL,
    FUNDS,
    LENGTHS,
    MARKET,
    MASS_CANCEL,
    MODIFY,
    NEW,
    OPERATOR,
    TRADE_CHANGE,
    Line,
    groups_of,
    why_of,
)
from oms.requests.orders import NO_ORIGIN, NUMBERS
from oms.stores import CONTENT_UNKNOWN, Claim
from oms.stores.tally import Rest

GTC, LIMIT = TimeInForce.GTC.value, OrderType.LIMIT.value
SAYS_ALL = frozenset((NEW, CANCEL, FUNDS, MASS_CANCEL, OPERATOR, ACCESS))  # see says_all
DIGITS_MAX = 19  # of a sequence
LARGE = 10**40
NUMBERS_AT = {NEW: (7, 8, 10), MODIFY: (4, 5, 6), FUNDS: (5,)}  # of a request, terms included
TERM_NAMES = {  # of OrderTerms -> in a line
    "stop_price": "stop", "display_quantity": "display", "post_only": "post",
    "expire_ns": "expire", "min_quantity": "min", "quote_quantity": "budget",
    "protection_price": "protect", "oco_with": "oco", "self_trade": "stp",
}  # fmt: skip


def claim_of(seq: int, request: Line) -> Claim:
    """Who claims which id, and a hash of what was asked, however it was written."""
    kind, account, client_id = request[:3]
    numbers = NUMBERS_AT.get(kind, ())
    content = "|".join([  # without its origin
        _canonical(item) if place in numbers else repr(item)
        for place, item in enumerate(request[:-1])
        if place not in (1, 2)
    ])  # fmt: skip
    symbol = side = about = ""
    if kind == NEW:
        symbol, side = request[3], request[4]
    elif kind in (FUNDS, MASS_CANCEL):
        symbol = request[4]
    elif kind == OPERATOR and request[4] == "SYMBOL":
        symbol = request[5]
    return seq, account, client_id, symbol, side, about, crc32(content.encode())


def claims_in(
    desk: Desk,
    first_seq: int,
    lines: Sequence[Line],
    reports: Sequence[Report],
    rests: Mapping[int, Rest] | None,
) -> list[Claim]:
    """The claims of a turn, from its lines and from what they do not say (`Intake.rests`).

    rests: None if an older program wrote the turn: then refused requests, repeats, and modifies
    with terms are without their content, which is not in its journal.
    """
    symbols = {report.request_seq: report.symbol for report in reports}
    claims: list[Claim] = []
    for seq, line in enumerate(lines, first_seq):
        kind = line[0]
        if rests is not None and (seq in rests or not says_all(line)):
            if seq in rests:  # else it was a repeat, or of no client
                symbol, side, about, content = rests[seq]
                claims.append((seq, line[1], line[2], symbol, side, about, content))
        elif kind == NEW:
            _, account, client_id, symbol, side, order_type, tif, ticks, lots, hold, *more = line
            fields = more[1] if len(more) > 1 else {}
            plain = not fields and tif == GTC and order_type == LIMIT
            about = "" if plain else about_of(order_type, tif, fields)
            content = crc32(f"{symbol}|{side}|{ticks}|{lots}|{bool(hold)}|{about}".encode())
            claims.append((seq, account, client_id, symbol, side, about, content))
        elif kind == MODIFY and len(line) == LENGTHS[MODIFY][0]:
            _, account, client_id, named, ticks, lots, _ = line
            instrument = desk.instruments.get(symbols.get(seq, ""))
            price = quantity = None
            if instrument is not None:
                price = to_text(ticks, instrument.price_scale) if ticks else None
                quantity = to_text(lots, instrument.quantity_scale) if lots else None
            request = (kind, account, client_id, named, price, quantity, None, NO_ORIGIN)
            claims.append(claim_of(seq, request))
        elif kind == FUNDS:
            _, account, client_id, action, asset, units, other = line[: LENGTHS[FUNDS][0]]
            if action in ENDS:
                continue  # it is about the id that its transfer claimed
            amount = to_text(units, desk.ledger.scales.get(asset, 0)) if asset else None
            groups = groups_of(line)
            request = (kind, account, client_id, action, asset, amount, other, *groups, NO_ORIGIN)
            claims.append(claim_of(seq, request))
        elif kind == CANCEL:
            claims.append(claim_of(seq, (*line[:4], NO_ORIGIN)))
        elif kind == MASS_CANCEL:
            why = why_of(line)
            said = (*line[: LENGTHS[kind][0]], *((why,) if why else ()))
            claims.append(claim_of(seq, (*said, NO_ORIGIN)))
        elif kind in (OPERATOR, ACCESS):
            claims.append(claim_of(seq, (*line[: LENGTHS[kind][0]], NO_ORIGIN)))
        elif kind in (ANSWER, MODIFY, BUST, TRADE_CHANGE, MARKET):
            symbol, side = (line[5], line[6]) if kind == ANSWER and line[4] == seq else ("", "")
            claims.append((seq, line[1], line[2], symbol, side, "", CONTENT_UNKNOWN))
    return claims


def says_all(line: Line) -> bool:
    """The line says all that the claim of its request does."""
    kind = line[0]
    return kind in SAYS_ALL or (kind == MODIFY and len(line) == LENGTHS[MODIFY][0])


def about_of(order_type: str, tif: str, fields: dict[str, Any]) -> str:
    """What else an order is, if it is not a plain limit order, for the table of orders.

    Its terms by name, as a line has them: the content of a claim made anew from it is the same.
    """
    about = {"type": order_type, "tif": tif, **dict(sorted(fields.items()))}
    return json.dumps(about, separators=(",", ":"))


def _canonical(value: Any) -> str:
    """One text for one number: 1, 1.0 and "1.00" are the same."""
    if isinstance(value, OrderTerms):
        given = ((name, getattr(value, name)) for name in TERM_NAMES)
        return "|".join(_canonical(v) if name in NUMBERS else repr(v) for name, v in given)
    if type(value) is int:
        return f"{value}" if abs(value) < LARGE else f"{value:x}"  # Python will not write it out
    try:
        number = Decimal(repr(value) if type(value) is float else value)
    except (InvalidOperation, TypeError, ValueError):
        return repr(value)
    if not number.is_finite() or abs(number.adjusted()) > 2 * DIGITS_MAX:
        return repr(value)
    return format(number.normalize(), "f")
