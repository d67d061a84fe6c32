"""Commands on orders, one by one and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from oms.controls import (
    MassCancelRequest,
    Request,
)
from oms.errors import ValidationError
from oms.language.base import Amount, BaseCommand
from oms.messages import (
    OrderType,
    PostOnly,
    SelfTrade,
    Side,
    TimeInForce,
)
from oms.requests import NO_TERMS, OrderRequest, OrderTerms

BATCH_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder(BaseCommand):
    """A new order. What it is follows from what is given, unless order_type says it:

    price alone: LIMIT; none: MARKET; stop_price alone: STOP; both: STOP_LIMIT. The other fields
    are those of OrderRequest and OrderTerms.
    """

    NUMBERS = (
        "quantity", "price", "stop_price", "display_quantity", "min_quantity", "quote_quantity",
        "protection_price",
    )  # fmt: skip

    symbol: str
    side: Side
    quantity: Amount | None = None
    price: Amount | None = None
    order_type: OrderType | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    hold: bool = False
    stop_price: Amount | None = None
    display_quantity: Amount | None = None
    post_only: PostOnly | None = None
    expire_ns: int = 0
    min_quantity: Amount | None = None
    quote_quantity: Amount | None = None
    protection_price: Amount | None = None
    oco_with: str = ""
    self_trade: SelfTrade | None = None
    request_id: str = ""

    def _made(self) -> tuple[Request, ...]:
        terms = OrderTerms(
            stop_price=self.stop_price, display_quantity=self.display_quantity,
            post_only=self.post_only, expire_ns=self.expire_ns, min_quantity=self.min_quantity,
            quote_quantity=self.quote_quantity, protection_price=self.protection_price,
            oco_with=self.oco_with, self_trade=self.self_trade,
        )  # fmt: skip
        return (
            OrderRequest.new(
                self.account, self.client_order_id, self.symbol, self.side, self.quantity,
                self.price, order_type=self.order_type, time_in_force=self.time_in_force,
                hold=self.hold, request_id=self.request_id,
                terms=None if terms == NO_TERMS else terms,
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifyOrder(BaseCommand):
    """Other terms for an open order, by any id it has had; quantity is the new total."""

    NUMBERS = ("price", "quantity", "stop_price", "display_quantity")

    orig_client_order_id: str
    price: Amount | None = None
    quantity: Amount | None = None
    stop_price: Amount | None = None
    display_quantity: Amount | None = None
    request_id: str = ""

    def _made(self) -> tuple[Request, ...]:
        terms = OrderTerms(stop_price=self.stop_price, display_quantity=self.display_quantity)
        return (
            OrderRequest.modify(
                self.account, self.client_order_id, self.orig_client_order_id, price=self.price,
                quantity=self.quantity, request_id=self.request_id,
                terms=None if terms == NO_TERMS else terms,
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder(BaseCommand):
    """Take back what is left of an order, by any id it has had."""

    orig_client_order_id: str
    request_id: str = ""

    def _made(self) -> tuple[Request, ...]:
        return (
            OrderRequest.cancel(
                self.account, self.client_order_id, self.orig_client_order_id,
                request_id=self.request_id,
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOco(BaseCommand):
    """A stop and a limit order of which one cancels the other.

    client_order_id: of the pair, beside those of both orders. Should the limit order be refused,
        the stop is canceled under this id: nothing of a pair that did not come about stays.
    limit: leave its oco_with empty, it is set here.
    """

    stop: PlaceOrder
    limit: PlaceOrder

    def _made(self) -> tuple[Request, ...]:
        stop, limit = self.stop, self.limit
        for name, leg in (("stop", stop), ("limit", limit)):
            if type(leg) is not PlaceOrder:
                raise ValidationError(name, leg, "a PlaceOrder")
        for name in ("symbol", "side"):
            if getattr(stop, name) != getattr(limit, name):
                raise ValidationError(name, getattr(limit, name), "the same for both orders")
        if {stop.account, limit.account} != {self.account}:
            raise ValidationError("account", limit.account, f"{self.account} for both orders")
        ids = {self.client_order_id, stop.client_order_id, limit.client_order_id}
        if len(ids) < 3:
            expected = "three ids: of the pair, the stop and the limit order"
            raise ValidationError("client_order_id", self.client_order_id, expected)
        if stop.stop_price is None:
            raise ValidationError("stop", stop, "an order with a stop_price")
        if limit.oco_with:
            raise ValidationError("oco_with", limit.oco_with, "nothing: it is set by the pair")
        linked = replace(limit, oco_with=stop.client_order_id)
        undo = OrderRequest.cancel(self.account, self.client_order_id, stop.client_order_id)
        return (*stop.requests, *linked.requests, undo)


@dataclass(frozen=True, slots=True, kw_only=True)
class MassCancel(BaseCommand):
    """Cancel every open order of the account; of one symbol, or one side, if given.

    everybody: of all accounts; only for the operator.
    """

    symbol: str = ""
    side: Side | None = None
    everybody: bool = False

    def _made(self) -> tuple[Request, ...]:
        return (
            MassCancelRequest(
                account=self.account, client_order_id=self.client_order_id, symbol=self.symbol,
                side=self.side, everybody=self.everybody,
            ),
        )  # fmt: skip


# --- batches: no order of them depends on another ---


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrders:
    """Up to 100 new orders of one account, in their order; each is accepted or refused alone."""

    orders: Sequence[PlaceOrder]

    def __post_init__(self) -> None:
        object.__setattr__(self, "orders", _batch(self.orders, PlaceOrder))

    @property
    def account(self) -> str:
        return self.orders[0].account


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrders:
    """Up to 100 cancels of one account, in their order; each succeeds or not alone."""

    orders: Sequence[CancelOrder]

    def __post_init__(self) -> None:
        object.__setattr__(self, "orders", _batch(self.orders, CancelOrder))

    @property
    def account(self) -> str:
        return self.orders[0].account


def _batch(commands: Sequence[BaseCommand], kind: type[BaseCommand]) -> tuple[BaseCommand, ...]:
    if not 1 <= len(commands) <= BATCH_MAX:
        raise ValidationError("orders", len(commands), f"1 to {BATCH_MAX} of them")
    for each in commands:
        if type(each) is not kind:
            raise ValidationError("orders", each, f"{kind.__name__} alone")
        if each.account != commands[0].account:
            raise ValidationError("account", each.account, f"{commands[0].account} for all")
    return tuple(commands)
