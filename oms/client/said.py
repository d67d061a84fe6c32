"""Said: a request of the library as the server is asked for it.

Flow:  OrderRequest, FundsRequest, MassCancelRequest, OperatorRequest -> [said] -> Call
       -> transport, socket
"""

import json
from decimal import Decimal
from functools import cached_property
from typing import Any

from oms.enums import OrderType, RequestType, Scope
from oms.errors import ValidationError
from oms.money import Number
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorRequest,
    OrderRequest,
    OrderTerms,
    Request,
    line_of,
)

FUNDS = {
    FundsAction.DEPOSIT: "/balance/deposit", FundsAction.WITHDRAW: "/balance/withdraw",
    FundsAction.TRANSFER: "/balance/transfer",
}  # fmt: skip
TESTS = "/test"  # behind the path of an order: what would become of it


class Call:
    """One request to the server. body: None for a question. op: its name over a WebSocket, "" if it
    has none. line: of the request that it says; its id makes sure that it is done once."""

    def __init__(
        self,
        method: str,
        target: str,
        body: dict[str, Any] | None = None,
        op: str = "",
        line: tuple[Any, ...] = (),
    ) -> None:
        self.method, self.target, self.body, self.op, self.line = method, target, body, op, line

    @cached_property
    def content(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body).encode()

    @property
    def name(self) -> str:
        return str(self.line[2]) if self.line else f"{self.method} {self.target.partition('?')[0]}"


def call_of(request: Request) -> Call:
    """Raises ValidationError: no request at all, or none that a server takes of its clients."""
    line = line_of(request)
    match request:
        case OrderRequest(type=RequestType.NEW):
            return Call("POST", "/order", _order(request), "order.place", line)
        case OrderRequest(type=RequestType.MODIFY):
            said = _named(request) | _numbers(request) | _terms(request.terms)
            return Call("PATCH", "/order", said, "order.modify", line)
        case OrderRequest():
            return Call("DELETE", "/order", _named(request), "order.cancel", line)
        case MassCancelRequest(everybody=False):
            said = _own(request) | {"symbol": request.symbol or None, "side": request.side}
            said["why"] = request.why or None
            return Call("POST", "/order/cancel_all", _there(said), "order.cancel_all", line)
        case MassCancelRequest():
            said = _operated(request) | {"side": request.side}
            if request.symbol:
                said |= {"scope": Scope.SYMBOL, "target": request.symbol}
            return Call("POST", "/admin/cancel_all", _there(said), "", line)
        case OperatorRequest(account="operator"):
            said = _operated(request) | {
                "action": request.action, "scope": request.scope, "target": request.target,
                "name": request.name, "value": request.value,
                "settings": dict(request.settings) if request.settings else None,
            }  # fmt: skip
            return Call("POST", "/admin/command", _there(said), "", line)
        case FundsRequest(action=FundsAction.CREATE):
            return Call("POST", "/admin/accounts", _own(request), "", line)
        case FundsRequest() if request.action in FUNDS:
            said = _own(request) | {"asset": request.asset, "amount": _text(request.amount)}
            said |= {"toAccount": request.to_account} if request.to_account else {}
            if request.from_group:
                said |= {"fromGroup": request.from_group, "toGroup": request.to_group}
            return Call("POST", FUNDS[request.action], said, "", line)
    expected = "a request about orders or money, or an operator's command"
    raise ValidationError("request", request, expected)


def test_of(call: Call) -> Call:
    """What would become of this request. Raises ValidationError, as for orders, changes and cancels
    alone the server says that."""
    if call.body is None or call.target != "/order":
        raise ValidationError("request", call.name, "an order, a modify or a cancel")
    body = {name: value for name, value in call.body.items() if name != "reports"}
    return Call(call.method, call.target + TESTS, body)


def _operated(request: MassCancelRequest | OperatorRequest) -> dict[str, Any]:
    return {"clientOrderId": request.client_order_id, "why": request.why, "reports": True}


def _own(request: OrderRequest | MassCancelRequest | FundsRequest) -> dict[str, Any]:
    return {
        "account": request.account, "clientOrderId": request.client_order_id, "reports": True,
    }  # fmt: skip


def _order(request: OrderRequest) -> dict[str, Any]:
    said = _own(request) | {
        "symbol": request.symbol, "side": request.side, "timeInForce": request.time_in_force,
    }  # fmt: skip
    if request.order_type is not OrderType.LIMIT:
        said["type"] = request.order_type
    if request.hold:
        said["hold"] = True
    return said | _numbers(request) | _terms(request.terms)


def _named(request: OrderRequest) -> dict[str, Any]:
    said = _own(request)
    if request.orig_client_order_id:
        return said | {"origClientOrderId": request.orig_client_order_id}
    return said | {"orderId": str(request.order_id)}


def _numbers(request: OrderRequest) -> dict[str, Any]:
    return _there({"price": _text(request.price), "quantity": _text(request.quantity)})


def _terms(terms: OrderTerms | None) -> dict[str, Any]:
    if terms is None:
        return {}
    return _there({
        "stopPrice": _text(terms.stop_price), "displayQuantity": _text(terms.display_quantity),
        "postOnly": terms.post_only,
        "expireTime": str(terms.expire_ns) if terms.expire_ns else None,
        "minQuantity": _text(terms.min_quantity), "quoteQuantity": _text(terms.quote_quantity),
        "protectionPrice": _text(terms.protection_price), "ocoWith": terms.oco_with or None,
        "selfTrade": terms.self_trade,
    })  # fmt: skip


def _there(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


def _text(number: Number | None) -> str | None:
    """As the library reads it: a float by the shortest text that reads back as the same."""
    if number is None or isinstance(number, str):
        return number
    try:
        return format(Decimal(repr(number)) if isinstance(number, float) else Decimal(number), "f")
    except (ArithmeticError, ValueError):
        raise ValidationError("number", "one of thousands of digits", "fewer digits") from None
