"""The one codec: requests as lines of the journal, and as JSON objects for people and gateways.

A journal line is a JSON array: the kind of the request, then its fields in order. All is text
and whole numbers: prices in ticks, quantities in lots, amounts in units of their asset. Replaying
the lines replays the state. A JSON object of a request has its fields by name, and numbers as
decimal text; unknown fields are refused, numbers are never rounded.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from oms.enums import (
    RequestType,
)
from oms.errors import JournalError, ValidationError
from oms.requests.access import AccessAction, AccessRequest
from oms.requests.accounts import FundsAction, FundsRequest
from oms.requests.operators import MassCancelRequest, OperatorAction, OperatorRequest
from oms.requests.orders import NO_ORIGIN, OrderRequest, OrderTerms, Origin

Line = tuple[Any, ...]

# --- kinds of lines ---

NEW = "N"  # account, client id, symbol, side, type, tif, price, quantity, hold, request id
#            and, if the order is not plain, its terms as a dict
MODIFY = "M"  # account, client id, the order's client id (or its order id, a number), price or 0,
#               quantity or 0, request id and, if they are to change, terms
CANCEL = "C"  # account, client id, the order's client id (or its order id), request id
ANSWER = "A"  # account, client id, response type, order id, symbol, side, state, filled, open,
#               notional, reason, request id: a request answered from what is known;
#               and, if the id was used before, the sequence of its first request
SESSION = "S"  # "OPEN", "PAUSE" (the trading date goes on later) or "CLOSE", trading date; of an
#                open the first phase, of the others when the market opens next (0: unknown).
#                Or "DATE", a new trading date of a market that stays open
LINK = "L"  # "UP" or "DOWN", detail
VENUE = "V"  # the fields of a VenueReport
IGNORED = "I"  # the same, of a report that cannot be true: it changes nothing
OVERDUE = "U"  # request sequence: the venue owes an answer
START = "B"  # a process began; configuration that the replay depends on, as a dict
LOSS = "E"  # the last entry that is there, the last that is missing: it goes on without them;
#            the record of this line is numbered after them, so that no number is used twice
STOP = "K"  # the daemon stops and cancels what waits
FUNDS = "F"  # account, id, FundsAction, asset, amount, other account; of a transfer between groups
#            also from which, to which, and if it comes back, why
MASS_CANCEL = "X"  # who asks, id, of which account or "", symbol or "", side or "" and, if
#                    there is one, why: see why_of
OPERATOR = "O"  # account, id, OperatorAction, Scope, target, name, value, why
PHASE = "P"  # the calendar: the phase of every market that is not halted
TIMER = "T"  # symbol: its pause, call or limit state is over
DRAWN = "D"  # symbol, nanoseconds: by chance its call lasts so long beyond its regular end
GOOD_TILL = "G"  # wall clock: orders that are good till then, or before, expire
BUST = "R"  # account, id, why, the fills of a trade to take back: of older programs
TRADE_CHANGE = "Q"  # the same, and what the trade is from now on: price, lots (0: it is taken
#                     back), and what its market traded at last then; see desk/bust.py

MARKET = "Y"  # account, id, OperatorAction, symbol, tier, value, why, terms as a dict: what is
#               traded, at which fees and price steps; see desk/listings.py

ACCESS = "H"  # who asks, id, AccessAction, user, facts as a dict; see requests/access.py

# How many items a line has. A request whose origin is not empty has one more, after its terms or
# why: user, gateway and MsgSeqNum. (Its request id has a place of its own in N, M, C and A.)
LENGTHS = {
    NEW: (11, 12, 13), MODIFY: (7, 8, 9), CANCEL: (5, 6), ANSWER: (13, 14), SESSION: (3, 4),
    LINK: (3,), VENUE: (9,), IGNORED: (9,), OVERDUE: (2,), START: (2,), STOP: (1,),
    FUNDS: (7, 8, 10, 11), MASS_CANCEL: (6, 7, 8), OPERATOR: (9, 10), PHASE: (2,), TIMER: (2,),
    DRAWN: (3,), GOOD_TILL: (2,), BUST: (5, 6), LOSS: (3,), TRADE_CHANGE: (6, 7), MARKET: (9, 10),
    ACCESS: (6, 7),
}  # fmt: skip

# The three kinds that come by the thousand are written by one format each, and one more if they
# come by a gateway and have no terms; ids hold no quote or backslash, so the result is JSON as it
# stands. Measured: 0.5 us instead of 2, or 5 of a gateway's. By kind and number of items:
FORMATS = {
    (NEW, 11): '["%s","%s","%s","%s","%s","%s","%s",%d,%d,%d,"%s"]',
    (MODIFY, 7): '["%s","%s","%s","%s",%d,%d,"%s"]',
    (CANCEL, 5): '["%s","%s","%s","%s","%s"]',
}
FORMATS_WITH_ORIGIN = {
    (NEW, 13): '["%s","%s","%s","%s","%s","%s","%s",%d,%d,%d,"%s",{},["%s","%s",%d]]',
    (MODIFY, 9): '["%s","%s","%s","%s",%d,%d,"%s",{},["%s","%s",%d]]',
    (CANCEL, 6): '["%s","%s","%s","%s","%s",["%s","%s",%d]]',
}


def encode(line: Line) -> str:
    """One line of JSON."""
    shape = line[0], len(line)
    text = FORMATS.get(shape)
    if text is not None and type(line[3]) is str:
        return text % line
    text = FORMATS_WITH_ORIGIN.get(shape)
    if text is not None and type(line[3]) is str:
        if line[0] == CANCEL:
            return text % (*line[:-1], *line[-1])
        if not line[-2]:
            return text % (*line[:-2], *line[-1])
    return json.dumps(line, separators=(",", ":"), sort_keys=True)


def decode_all(body: str, first_seq: int) -> list[Line]:
    """The lines of one journal record; JournalError, naming the sequence, if unreadable."""
    try:
        lines = json.loads(f"[{body.replace(chr(10), ',')}]") if body else []
    except ValueError as error:
        raise JournalError(f"journal sequence {first_seq}: not readable: {error}") from error
    for seq, line in enumerate(lines, first_seq):
        try:
            known = isinstance(line, list) and len(line) in LENGTHS[line[0]]
        except (LookupError, TypeError):
            known = False
        if not known:
            raise JournalError(f"journal sequence {seq}: unknown entry {str(line)[:80]}")
    return lines


def with_origin(line: Line, origin: Origin) -> Line:
    """The line of a request that came by a gateway; an empty origin adds nothing."""
    if origin[:2] == ("", "") and not origin.sequence:
        return line
    if line[0] in (NEW, MODIFY) and len(line) == LENGTHS[line[0]][0]:
        line = (*line, {})
    elif line[0] == MASS_CANCEL and len(line) == LENGTHS[MASS_CANCEL][0]:
        line = (*line, "")
    return (*line, [origin.user, origin.gateway, origin.sequence])


def origin_of(line: Line) -> Origin:
    """The origin of a new order; an empty one if it came from a caller of the library."""
    if line[0] != NEW or len(line) < LENGTHS[NEW][-1]:
        return NO_ORIGIN
    user, gateway, sequence = line[-1]
    return Origin(user, gateway, line[10], sequence)


def why_of(line: Line) -> str:
    """Why a mass cancel was asked; older programs wrote its origin in this place, and no why."""
    said = line[6:7]
    return said[0] if said and type(said[0]) is str else ""


def groups_of(line: Line) -> Line:
    """From and to which group, of a FUNDS line between two of them, and why; else nothing."""
    return tuple(line[7:10]) if len(line) >= LENGTHS[FUNDS][2] else ()


def comes_to(line: Line, account: str) -> int:
    """1 if the money of a FUNDS line comes to an account of this ledger, -1 if it leaves it, 0 if
    neither."""
    action, sender, receiver = line[3], line[1], line[6]
    if action == FundsAction.TRANSFER and not groups_of(line):
        return 1 if receiver == account else -1 if sender == account else 0
    if action == FundsAction.TRANSFER_IN:
        return int(receiver == account)
    signs = {
        FundsAction.DEPOSIT: 1, FundsAction.WITHDRAW: -1, FundsAction.TRANSFER: -1,
        FundsAction.TRANSFER_BACK: 1,
    }  # fmt: skip
    return signs.get(action, 0) if sender == account else 0


# --- requests as JSON objects ---

REQUEST = "request"  # the field that says which request it is
CLASSES: dict[str, type] = {
    **dict.fromkeys(RequestType, OrderRequest),
    **dict.fromkeys(FundsAction, FundsRequest),
    "MASS_CANCEL": MassCancelRequest,
    **dict.fromkeys(OperatorAction, OperatorRequest),
    **dict.fromkeys(AccessAction, AccessRequest),
}
NAMED_BY = {
    OrderRequest: "type", FundsRequest: "action", OperatorRequest: "action",
    AccessRequest: "action",
}  # fmt: skip
NESTED = {"terms": OrderTerms, "origin": Origin}


def _fields(kind: type) -> dict[str, Field[Any]]:
    return {f.name: f for f in fields(kind) if f.init and f.name != NAMED_BY.get(kind)}


FIELDS = {kind: _fields(kind) for kind in {*CLASSES.values(), OrderTerms}}


def to_object(request: Any) -> dict[str, Any]:
    """A request as a JSON object; what has its default is left out."""
    kind = type(request)
    if kind not in FIELDS:
        raise ValidationError(REQUEST, request, "a request")
    named_by = NAMED_BY.get(kind)
    name = getattr(request, named_by).value if named_by else "MASS_CANCEL"
    return {REQUEST: name, **_plain(request, FIELDS[kind])}


def _plain(thing: Any, known: Mapping[str, Field[Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, about in known.items():
        value = getattr(thing, name)
        if about.default is not MISSING and value == about.default:
            continue
        if isinstance(value, OrderTerms):
            found[name] = _plain(value, FIELDS[OrderTerms])
        elif isinstance(value, Origin):
            pairs = value._asdict().items()
            found[name] = {key: item for key, item in pairs if item != getattr(NO_ORIGIN, key)}
        else:
            found[name] = str(value) if isinstance(value, Decimal | StrEnum) else value
    return found


def of_object(given: object) -> Any:
    """The request that a JSON object says.

    Raises ValidationError, naming the field: one that is unknown, missing or out of range.
    """
    if not isinstance(given, dict):
        raise ValidationError(REQUEST, given, "a JSON object")
    name = given.get(REQUEST)
    name = name if isinstance(name, str) else ""
    kind = CLASSES.get(name)
    if kind is None:
        raise ValidationError(REQUEST, name, "one of " + ", ".join(CLASSES))
    values = _typed({key: value for key, value in given.items() if key != REQUEST}, FIELDS[kind])
    if kind is OrderRequest:
        values["type"] = RequestType(name)
    elif kind is FundsRequest:
        values["action"] = FundsAction(name)
    elif kind is OperatorRequest:
        values["action"] = OperatorAction(name)
    elif kind is AccessRequest:
        values["action"] = AccessAction(name)
    return kind(**values)


def _typed(given: Mapping[str, Any], known: Mapping[str, Field[Any]]) -> dict[str, Any]:
    """Objects become what they stand for; words, their request makes members of."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise ValidationError(name, value, "one of " + ", ".join(known))
        if type(value) in (float, Decimal) and not Decimal(value).is_finite():
            raise ValidationError(name, value, "a finite number")
        values[name] = _nested(name, value)
    for name, about in known.items():
        if name not in values and about.default is MISSING:
            raise ValidationError(name, None, "a value")
    return values


def _nested(name: str, value: Any) -> Any:
    if name in NESTED and value is not None:
        if not isinstance(value, dict):
            raise ValidationError(name, value, "an object")
        if name == "terms":
            return OrderTerms(**_typed(value, FIELDS[OrderTerms]))
        for key, item in value.items():
            if key not in Origin._fields:
                raise ValidationError(key, item, "one of " + ", ".join(Origin._fields))
        return Origin(**value)
    return value


def loads(text: str) -> Any:
    """The request of a JSON text, with its numbers exact; ValidationError if there is none."""
    return of_object(parse(text))


def parse(text: str) -> Any:
    """The value of a JSON text, with its numbers exact.

    Raises ValidationError if it is no JSON, or a field stands in it twice.
    """
    try:
        return json.loads(text, parse_float=_exact, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            raise
        raise ValidationError("request", text[:40], f"JSON: {error}") from None


def _exact(text: str) -> Decimal:
    """A number as it stands; with an exponent that no Decimal has it is none."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A field that stands twice would be one that nobody saw."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValidationError(twice, "two values", "one value")
    return found


def dumps(request: Any) -> str:
    """A request as one line of JSON."""
    return json.dumps(to_object(request), separators=(",", ":"))
