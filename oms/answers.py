"""Answers: what questions of an order manager are answered with, as types.

The same in one process, in an api and in a client; reports.py, positions.py and market_data.py have
those of orders, holdings and markets.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from oms.enums import Phase, Trading, TransferState
from oms.money import to_decimal
from oms.reject_reasons import REASONS, RejectReason


class Room(NamedTuple):
    """What the limits of an account and its groups still allow beside all that is open, before the
    order in question; None: nothing limits it.

    orders: open at once. lots: of the symbol, on the order's side. units: of the quote asset, that
    orders may be worth; of gross and net exposure at least so much.
    """

    orders: int | None
    lots: int | None
    units: int | None
    quantity_scale: int = 0
    quote_scale: int = 0

    @property
    def quantity(self) -> Decimal | None:
        return None if self.lots is None else to_decimal(self.lots, self.quantity_scale)

    @property
    def value(self) -> Decimal | None:
        return None if self.units is None else to_decimal(self.units, self.quote_scale)


class DryRun(NamedTuple):
    """What would become of a request now.

    text: why it would be refused, a RejectReason and its context; "" if it would be taken.
    reserved: what the order would have reserved of `asset`; 0 without a ledger, or for a market
    buy without bound, which reserves when it meets the book. reserved_units: the same in whole
    units of 10**-scale. room: of a new order, where its account has limits.
    """

    text: str
    reserved_units: int = 0
    asset: str = ""
    scale: int = 0
    room: Room | None = None

    @property
    def reserved(self) -> Decimal:
        return to_decimal(self.reserved_units, self.scale)

    def __repr__(self) -> str:
        return f"DryRun(text={self.text!r}, reserved={self.reserved:f}, asset={self.asset!r})"

    @property
    def reason(self) -> RejectReason | None:
        return REASONS.get(self.text.partition(":")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One amount of one asset, in or out of an account.

    seq, number: the report that told of it; execution_id has both. kind: TRADE, FEE, TRADE_BUSTED,
    TRADE_CORRECTED, DEPOSIT, WITHDRAW or TRANSFER; fees of busts and corrections are FEE, too.
    amount: below zero if it went out. order_id, symbol: 0 and "" of funds. client_order_id: of the
    request. other: the other account of a transfer, "".
    """

    seq: int
    number: int
    execution_id: str
    wall_ns: int
    account: str
    asset: str
    amount: Decimal
    kind: str
    order_id: int
    client_order_id: str
    symbol: str
    other: str


class MovementPage(NamedTuple):
    """Newest first. before: where the next page begins, 0 if there is none."""

    movements: list[Movement]
    before: int


class OpenCount(NamedTuple):
    """How many orders are open, and of how many accounts and symbols."""

    orders: int
    accounts: int
    symbols: int


class StateDigest(NamedTuple):
    """Two exchanges of the same digest are in the same state. seq: of the journal, up to there."""

    seq: int
    digest: str


class Halts(NamedTuple):
    """Who may trade. everybody: of all. why: of a halt of all, as the operator said; "" for none.
    accounts, symbols: those of which an operator said something else than ACTIVE; a market that is
    halted has the phase HALTED, too."""

    everybody: Trading
    why: str
    accounts: dict[str, Trading]
    symbols: dict[str, Trading]


class AccountLimits(NamedTuple):
    """What an account may do at most. groups: those it is in. limits: limit -> text, as configured
    and as operators set it since; only what is limited."""

    groups: list[str]
    tier: str
    limits: dict[str, str]


class CalendarWindow(NamedTuple):
    """One stretch of trading. phases: when each begins, nanoseconds since 1970, in order."""

    trading_date: str
    open_ns: int
    close_ns: int
    note: str
    phases: list[tuple[Phase, int]]


class Action(NamedTuple):
    """One action. seq: of its line in the journal; wall_ns: when its turn was committed.

    user, gateway: who asked, and how; "" for a caller of the library. action: an OperatorAction,
    an AccessAction, a FundsAction or MASS_CANCEL; "" where it was refused before it was recorded.
    scope: a Scope or USER, with its target. name, value: what is set, and to what. text: the facts
    of what was done, or the reason of the refusal.
    """

    seq: int
    wall_ns: int
    user: str
    gateway: str
    client_order_id: str
    action: str
    scope: str
    target: str
    name: str
    value: str
    why: str
    done: bool
    text: str


class ActionPage(NamedTuple):
    """Newest first. before: of the page behind this one; 0: there is none."""

    actions: list[Action]
    before: int


class StoryLine(NamedTuple):
    """One line of the story; `seq` is a journal line's or a turn's."""

    wall_ns: int
    seq: int
    text: str


class Explained(NamedTuple):
    """The whole story. heading: what it is about; ending: how that stands."""

    order_id: int
    account: str
    heading: str
    lines: list[StoryLine]
    ending: str


class Transfer(NamedTuple):
    """A transfer between groups, as one of them knows it. seq, wall_ns: of the step there that
    began it. text: of a refusal or return, why."""

    account: str
    client_order_id: str
    asset: str
    amount: Decimal
    to_account: str
    from_group: str
    to_group: str
    seq: int
    wall_ns: int
    state: TransferState
    text: str = ""


class AssetMoney(NamedTuple):
    """What a group has of an asset. owned, by accounts, and in_flight, to other groups, are
    together paid_in, deposits less withdrawals, and carried: what came from other groups less what
    is known to have arrived there."""

    owned: Decimal
    in_flight: Decimal
    paid_in: Decimal
    carried: Decimal


class GroupMoney(NamedTuple):
    """As of the turn `seq` of the group's journal."""

    seq: int
    assets: dict[str, AssetMoney]
