"""Requests: what clients and operators ask for, what the session, timers and venues report.

One family of classes. Each has a `line`: the kind letter and the fields in order, as the
journal has them once numbers lie on an instrument's grid; codec.py writes and reads them.
"""

from typing import Any

from oms.errors import ValidationError
from oms.requests.access import AccessAction, AccessRequest
from oms.requests.accounts import FundsAction, FundsRequest
from oms.requests.operators import MassCancelRequest, OperatorAction, OperatorRequest
from oms.requests.orders import OrderRequest, OrderTerms, Origin, made_line

Request = OrderRequest | FundsRequest | MassCancelRequest | OperatorRequest | AccessRequest
REQUESTS = (OrderRequest, FundsRequest, MassCancelRequest, OperatorRequest, AccessRequest)


def line_of(request: object) -> tuple[Any, ...]:
    """The line of any request; ValidationError for everything else.

    A class derived from ours may answer for itself with anything, so only the slots of our own
    classes are read. Those of requests without a stored line are checked again: `frozen` keeps
    nobody from setting them.
    """
    kind = next((base for base in REQUESTS if issubclass(type(request), base)), None)
    try:
        if kind is OrderRequest:
            return made_line(request)
        if kind is not None:
            slots = {name: kind.__dict__[name].__get__(request) for name in kind.__slots__}
            return kind(**slots).line
    except AttributeError:  # made without its constructor
        pass
    raise ValidationError("request", request, "an OrderRequest or another request")


__all__ = [
    "REQUESTS", "AccessAction", "AccessRequest", "FundsAction", "FundsRequest", "MassCancelRequest",
    "OperatorAction", "OperatorRequest", "OrderRequest", "OrderTerms", "Origin", "Request",
    "line_of",
]  # fmt: skip
