"""The answers of the language of commands: one a command, made of the report that answers it.

Flow:  publisher -> report -> [answers] -> gateway
A refusal is an Error, with the codes of rejects.py; it is no exception. A report that was
PENDING_NEW (the order waits for the open, or for the throttle) is an answer too: the order is
recorded, `status` says that it waits, and what becomes of it is told to the listeners.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from oms.errors import ValidationError
from oms.language import (
    AddFunds,
    CancelOrder,
    CreateAccount,
    MassCancel,
    ModifyOrder,
    PlaceOrder,
    Transfer,
    Withdraw,
    Write,
)
from oms.messages import Liquidity, OrderState, RejectReason, ResponseType, Side
from oms.money import to_decimal
from oms.rejects import MALFORMED, MALFORMED_NAME, code_of
from oms.reports import OrderResponse

REFUSALS = (
    ResponseType.REJECTED, ResponseType.CANCEL_REJECTED, ResponseType.COMMAND_REJECTED,
)  # fmt: skip


class Fill(NamedTuple):
    """One trade of one order. fee: in the quote asset; negative: a rebate."""

    execution_id: str
    price: Decimal
    quantity: Decimal
    fee: Decimal


class PriceLevel(NamedTuple):
    """A price and what is shown there: as decimal text, and in ticks and lots."""

    price: str
    quantity: str
    price_ticks: int
    quantity_lots: int


class Balance(NamedTuple):
    available: Decimal
    reserved: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """A no. code: a RejectReason's name, or MALFORMED. text: code, then key=value."""

    code: str
    api_code: int
    http_status: int
    text: str

    @classmethod
    def of(cls, reason: RejectReason, text: str = "") -> Error:
        row = code_of(reason)
        name = reason.value
        return cls(code=name, api_code=row.api, http_status=row.http, text=text or name)

    @classmethod
    def malformed(cls, error: ValidationError) -> Error:
        """What a gateway answers when no command could be made of a message."""
        return cls(
            code=MALFORMED_NAME, api_code=MALFORMED.api, http_status=MALFORMED.http,
            text=f"{MALFORMED_NAME}: {error}",
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatus:
    """How an order stands.

    client_order_id: the id of the command that is answered; of a question, the order's latest.
    notional: sum of price times quantity of all its fills, exact.
    text: why it ended, or why it waits; "" if there is nothing to say.
    """

    account: str
    client_order_id: str
    order_id: int
    symbol: str
    side: Side | None
    status: OrderState | None
    filled: Decimal
    leaves: Decimal
    notional: Decimal
    text: str

    @property
    def average_price(self) -> Fraction | None:
        """Exact average price of all fills; None before the first."""
        return Fraction(self.notional) / Fraction(self.filled) if self.filled else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlaced(OrderStatus):
    """The order is recorded. It may have ended at once: status and text say how.

    trades: what it took at once. repeated: its id was known with the same content: nothing was
    done again, status is that of now, and trades is empty, but filled and notional are not.
    """

    trades: tuple[Fill, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderModified(OrderStatus):
    """The order has its new terms, or will have (PENDING_REPLACE); trades: what they took."""

    trades: tuple[Fill, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCanceled(OrderStatus):
    """success: it is canceled; else the cancel is on its way (PENDING_CANCEL)."""

    success: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OcoPlaced:
    """Both orders of a pair; or the stop alone, because it was triggered before it had a pair."""

    stop: OrderPlaced
    limit: OrderPlaced | Error


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One answer for each command of a batch, in their order."""

    answers: tuple[OrderPlaced | OrderCanceled | Error, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MassCanceled:
    """How many orders were open, and are no more (at a remote venue: are asked to go)."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrders:
    orders: tuple[OrderStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBookDepth:
    """Bids and asks, best first."""

    symbol: str
    bids: tuple[PriceLevel, ...]
    asks: tuple[PriceLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountBalance:
    account: str
    balances: Mapping[str, Balance]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCreated:
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsAdded:
    """new_balance: what the account has available now; beside what is reserved."""

    account: str
    asset: str
    new_balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsWithdrawn:
    account: str
    asset: str
    new_balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsMoved:
    """new_balance: of the account that gave."""

    account: str
    to_account: str
    asset: str
    new_balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDone:
    """An operator's command took effect. text: key=value, what is so now."""

    client_order_id: str
    text: str


Answer = (
    Error | OrderPlaced | OrderModified | OrderCanceled | OcoPlaced | Batch | MassCanceled
    | OrderStatus | OpenOrders | OrderBookDepth | AccountBalance | AccountCreated | FundsAdded
    | FundsWithdrawn | FundsMoved | CommandDone
)  # fmt: skip


def status_of(response: OrderResponse, client_order_id: str) -> OrderStatus:
    """The order of its latest report, for who asks how it stands; what it is called.

    That report may be the refusal of a change: its id and its reason are not the order's.
    """
    standing = _standing(response, client_order_id)
    if response.type is ResponseType.CANCEL_REJECTED:
        standing["text"] = ""
    return OrderStatus(**standing)


def answer_to(command: Write, response: OrderResponse) -> Answer:
    """What the first durable report of its request tells whoever gave a command."""
    if _refused(response, of_order=isinstance(command, PlaceOrder)):
        return Error.of(response.reason or RejectReason.VENUE_REJECTED, response.text)
    repeated = response.type is ResponseType.ORDER_STATUS
    if isinstance(command, PlaceOrder | ModifyOrder):
        last = response.siblings[-1] if response.siblings else response
        standing = _standing(last, command.client_order_id)
        made = OrderPlaced if isinstance(command, PlaceOrder) else OrderModified
        return made(**standing, trades=_trades(response), repeated=repeated)
    if isinstance(command, CancelOrder):
        canceled = response.state is OrderState.CANCELED
        return OrderCanceled(**_standing(response), success=canceled)
    told = _told(response.text)
    if isinstance(command, MassCancel):
        return MassCanceled(count=int(told["canceled"]))
    if isinstance(command, CreateAccount):
        return AccountCreated(account=command.account)
    if isinstance(command, AddFunds | Withdraw | Transfer):
        asset, balance = command.asset, Decimal(told["available"])
        if isinstance(command, Transfer):
            return FundsMoved(
                account=command.account, to_account=command.to_account, asset=asset,
                new_balance=balance,
            )  # fmt: skip
        moved = FundsAdded if isinstance(command, AddFunds) else FundsWithdrawn
        return moved(account=command.account, asset=asset, new_balance=balance)
    return CommandDone(client_order_id=command.client_order_id, text=response.text)


def _refused(response: OrderResponse, *, of_order: bool) -> bool:
    """A no, or the repeat of one: of an order that was rejected, of a change that was refused."""
    if response.type is not ResponseType.ORDER_STATUS:
        return response.type in REFUSALS
    if of_order:
        return response.state is OrderState.REJECTED
    return response.reason is not None


def _standing(response: OrderResponse, client_order_id: str = "") -> dict[str, Any]:
    instrument = response.instrument
    scale = instrument.price_scale + instrument.quantity_scale if instrument else 0
    return {
        "account": response.account,
        "client_order_id": client_order_id or response.client_order_id,
        "order_id": response.order_id,
        "symbol": response.symbol,
        "side": response.side,
        "status": response.state,
        "filled": response.cumulative_quantity,
        "leaves": response.leaves_quantity,
        "notional": to_decimal(response.notional, scale),
        "text": response.text,
    }


def _trades(response: OrderResponse) -> tuple[Fill, ...]:
    """All that one request took at once."""
    return tuple(
        Fill(
            each.execution_id, each.last_price, each.last_quantity,
            to_decimal(each.fee, each.instrument.quote_scale if each.instrument else 0),
        )
        for each in response.siblings
        if each.type is ResponseType.TRADE and each.liquidity is Liquidity.TAKER
    )  # fmt: skip


def _told(text: str) -> dict[str, str]:
    """key=value, key=value."""
    pairs = (part.partition("=") for part in text.split(", "))
    return {key: value for key, _, value in pairs}
