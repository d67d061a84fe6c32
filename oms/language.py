"""The language of commands: what any gateway may ask, each with one answer (answers.py).

Flow:  gateway -> [language] -> requests -> inbox
A command that writes is made of the requests of requests.py and controls.py, and nothing else:
`requests` has them, checked when the command is made. So there is one way into the journal.
A command that reads is answered at once from what is published.
Prices, quantities and amounts are text, int or Decimal. Who may speak for an account is the
gateway's to know: `account` of a command is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import ClassVar

from oms.controls import (
    OPERATOR,
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    Request,
)
from oms.errors import ValidationError
from oms.messages import (
    OrderType,
    Phase,
    PostOnly,
    Scope,
    SelfTrade,
    Side,
    TimeInForce,
    Trading,
)
from oms.requests import NO_TERMS, OrderRequest, OrderTerms, check_id

Amount = str | int | Decimal
BATCH_MAX = 100
LEVELS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """One who asks, and the id that makes a repeat of the command one and the same.

    client_order_id: unique per account for ever, over orders and all other commands; the same
        id with the same content gets the same outcome and no second effect.
    requests: what goes into the journal for it.

    Raises ValidationError, naming the field, on a value out of range.
    """

    NUMBERS: ClassVar[tuple[str, ...]] = ()

    account: str
    client_order_id: str
    requests: tuple[Request, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in self.NUMBERS:
            if type(getattr(self, name)) is float:
                raise ValidationError(name, getattr(self, name), "text, int or Decimal")
        object.__setattr__(self, "requests", self._made())  # frozen for everybody else

    def _made(self) -> tuple[Request, ...]:
        raise NotImplementedError


# --- orders ---


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder(_Command):
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
class ModifyOrder(_Command):
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
class CancelOrder(_Command):
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
class PlaceOco(_Command):
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
class MassCancel(_Command):
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


def _batch(commands: Sequence[_Command], kind: type[_Command]) -> tuple[_Command, ...]:
    if not 1 <= len(commands) <= BATCH_MAX:
        raise ValidationError("orders", len(commands), f"1 to {BATCH_MAX} of them")
    for each in commands:
        if type(each) is not kind:
            raise ValidationError("orders", each, f"{kind.__name__} alone")
        if each.account != commands[0].account:
            raise ValidationError("account", each.account, f"{commands[0].account} for all")
    return tuple(commands)


# --- funds ---


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAccount(_Command):
    """Open the account that asks."""

    def _made(self) -> tuple[Request, ...]:
        return (_funds(self, FundsAction.CREATE),)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Funds(_Command):
    """An amount above 0, in whole units of an asset ("12.5")."""

    NUMBERS = ("amount",)

    asset: str
    amount: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFunds(_Funds):
    """Money comes in."""

    def _made(self) -> tuple[Request, ...]:
        return (_funds(self, FundsAction.DEPOSIT, self.asset, self.amount),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw(_Funds):
    """Money goes out, of what is available."""

    def _made(self) -> tuple[Request, ...]:
        return (_funds(self, FundsAction.WITHDRAW, self.asset, self.amount),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(_Funds):
    """Money goes to another account, of what is available."""

    to_account: str

    def _made(self) -> tuple[Request, ...]:
        return (_funds(self, FundsAction.TRANSFER, self.asset, self.amount, self.to_account),)


def _funds(
    command: _Command,
    action: FundsAction,
    asset: str = "",
    amount: Amount | None = None,
    to_account: str = "",
) -> FundsRequest:
    return FundsRequest(
        account=command.account, client_order_id=command.client_order_id, action=action,
        asset=asset, amount=amount, to_account=to_account,
    )  # fmt: skip


# --- operators ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operator(_Command):
    """scope, target: ALL, one ACCOUNT or one SYMBOL. why: for the record, one line."""

    account: str = OPERATOR
    scope: Scope = Scope.ALL
    target: str = ""
    why: str = ""

    def _asks(
        self, action: OperatorAction, name: str = "", value: str = ""
    ) -> tuple[OperatorRequest]:
        return (
            OperatorRequest(
                client_order_id=self.client_order_id, action=action, scope=self.scope,
                target=self.target, name=name, value=value, why=self.why, account=self.account,
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill(_Operator):
    """Stop all trading, and cancel what is open; it stays so until SetTrading."""

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.KILL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTrading(_Operator):
    """Who may trade: ACTIVE, REDUCING or HALTED."""

    trading: Trading

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.SET_TRADING, value=str(self.trading))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPhase(_Operator):
    """Put a market, or all, into a phase."""

    phase: Phase

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.SET_PHASE, value=str(self.phase))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimit(_Operator):
    """Another limit from now on; an empty value gives back the configured one."""

    name: str
    value: str = ""

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.SET_LIMIT, self.name, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAccount(_Operator):
    """Another tier or stp_group (`name`) of an account (`target`); "": the configured one."""

    scope: Scope = Scope.ACCOUNT
    name: str
    value: str = ""

    def _made(self) -> tuple[Request, ...]:
        return self._asks(OperatorAction.SET_ACCOUNT, self.name, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class BustTrade(_Operator):
    """Take back a trade, named by the execution id of either side; both are as without it."""

    execution_id: str

    def _made(self) -> tuple[Request, ...]:
        check_id("execution_id", self.execution_id)
        return self._asks(OperatorAction.BUST, self.execution_id)


# --- questions ---


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDepth:
    """The best prices of a symbol and what is shown there; at most depth_levels a side."""

    symbol: str
    levels: int = 10

    def __post_init__(self) -> None:
        check_id("symbol", self.symbol)
        if type(self.levels) is not int or not 1 <= self.levels <= LEVELS_MAX:
            raise ValidationError("levels", self.levels, f"1 to {LEVELS_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBalance:
    """What an account has, by asset."""

    account: str

    def __post_init__(self) -> None:
        check_id("account", self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOrder:
    """How an order of the account stands, by any id it has had."""

    account: str
    client_order_id: str

    def __post_init__(self) -> None:
        check_id("account", self.account)
        check_id("client_order_id", self.client_order_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOpenOrders:
    """How every open order of the account stands, oldest first; of one symbol, if given."""

    account: str
    symbol: str = ""

    def __post_init__(self) -> None:
        check_id("account", self.account)
        if self.symbol:
            check_id("symbol", self.symbol)


Operate = Kill | SetTrading | SetPhase | SetLimit | SetAccount | BustTrade
Write = (
    PlaceOrder | ModifyOrder | CancelOrder | MassCancel | CreateAccount | AddFunds | Withdraw
    | Transfer | Operate
)  # fmt: skip
Read = GetDepth | GetBalance | GetOrder | GetOpenOrders
Command = Write | PlaceOco | PlaceOrders | CancelOrders | Read
