"""Requests: what clients and operators ask for, what the session, timers and venues report.

One family of classes. Each has a `line`: the kind letter and the fields in order, as the
journal has them once numbers lie on an instrument's grid; codec.py writes and reads them.
"""

from oms.requests.accounts import FundsAction, FundsRequest
from oms.requests.operators import MassCancelRequest, OperatorAction, OperatorRequest
from oms.requests.orders import OrderRequest, OrderTerms, Origin

Request = OrderRequest | FundsRequest | MassCancelRequest | OperatorRequest
REQUESTS = (OrderRequest, FundsRequest, MassCancelRequest, OperatorRequest)

__all__ = [
    "REQUESTS", "FundsAction", "FundsRequest", "MassCancelRequest", "OperatorAction",
    "OperatorRequest", "OrderRequest", "OrderTerms", "Origin", "Request",
]  # fmt: skip
