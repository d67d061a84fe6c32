"""Fields: which field of a request a refusal is about, by the name that clients know it by.

Flow:  ValidationError of the library, text of a report -> [fields] -> errors, told
A report's text is a reason and its context, `EXPIRE_TIME_INVALID: expire_ns=5, now=9`: the first
key of the context mostly is the field.
"""

import re
from collections.abc import Mapping

from oms.reject_reasons import RejectReason

# Names that the library, or the context of a reason, has for a field; others are in camelCase here.
FIELDS = {
    "order_type": "type", "expire_ns": "expireTime", "ends_ns": "ends", "order": "orderId",
    "user": "username", "trade": "executionId", "group": "target", "display": "displayQuantity",
    "first_seq": "clientOrderId",
}  # fmt: skip
# Keys of a context that are fields, and not only how things stand.
ABOUT = frozenset((
    "account", "amount", "asset", "display", "display_quantity", "email", "ends_ns", "expire_ns",
    "first_seq", "group", "min_quantity", "name", "oco_with", "price", "protection_price",
    "quantity", "quote_quantity", "scope", "settings", "stop_price", "symbol", "tier", "trade",
    "user", "value",
))  # fmt: skip
# Reasons whose context begins with something else than a field of the request.
ELSEWHERE = (
    RejectReason.FUNDS_INSUFFICIENT, RejectReason.ACCOUNT_TAKEN, RejectReason.USER_UNKNOWN,
)  # fmt: skip
OF_REQUESTS = (400, 404, 409, 422)  # statuses that blame what was asked
HEAD = re.compile(r"(?P<reason>[A-Z_]+: (trade=\S+: )?)(?P<key>[a-z_]+)(?=[=:,]|$)")


def our_name(field: str, names: Mapping[str, str] = FIELDS) -> str:
    """The name that a field of the library has here."""
    first, *rest = names.get(field, FIELDS.get(field, field)).split("_")
    return first + "".join(each.title() for each in rest)


# Keys that are told as the fields are called; all others are said as they are.
TOLD = {"orig": "order"} | {
    name: our_name(name)
    for name in (
        "expire_ns", "ends_ns", "oco_with", "stop_price", "display_quantity", "min_quantity",
        "quote_quantity", "protection_price",
    )
}  # fmt: skip


def field_of(reason: RejectReason | None, text: str, others: str = "") -> str:
    """Which field a refusal is about; "" if it is about none. others: of a command whose context
    names one of its settings."""
    if reason is None or reason.http not in OF_REQUESTS or reason in ELSEWHERE:
        return ""
    found = HEAD.match(text)
    if found is not None and found["key"] in ABOUT:
        return our_name(found["key"])
    return others if reason is RejectReason.COMMAND_INVALID else ""


def reason_told(text: str) -> str:
    """A report's text, with the field that it begins with as clients know it."""
    found = HEAD.match(text)
    if found is None or found["key"] not in TOLD:
        return text
    return found["reason"] + TOLD[found["key"]] + text[found.end() :]
