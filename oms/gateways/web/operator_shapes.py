"""Operator shapes: what is answered to operators: of figures, halts, limits, actions, stories."""

from typing import NotRequired, TypedDict

from oms.enums import (
    Trading,
)
from oms.gateways.web.shapes import Cursor, Decimal, Digits, OrderTold, ReportTold, TransferTold


class Operated(TypedDict):
    """And the facts of the command, each under its name. seq: of the entry that asked for it; of a
    repeat, that of the first. silent: groups of markets that did not answer; they do it later."""

    seq: Digits
    text: NotRequired[str]
    silent: NotRequired[list[str]]
    reports: NotRequired[list[ReportTold]]


class AccountTold(TypedDict):
    """seq: of the entry that created it; of a repeat, that of the first. silent: groups of markets
    that did not answer; they do it later."""

    account: str
    seq: Digits
    silent: NotRequired[list[str]]
    reports: NotRequired[list[ReportTold]]


class AccountOrders(TypedDict):
    account: str
    orders: list[OrderTold]


class HopTold(TypedDict):
    """Of how long one hop took: how many, percentiles and the longest, in nanoseconds; null where
    nothing was counted."""

    count: int
    p50: Digits | None
    p90: Digits | None
    p99: Digits | None
    p999: Digits | None
    max: Digits | None


class VitalsRow(TypedDict):
    """Of one instant: what waits, is open and is connected, and the sends in the throttle's window;
    and since the row before: entries of the journal, reports, rejects, and latencies by hop."""

    time: Digits
    inbox: int
    waiting: int
    openOrders: int
    sends: int
    sockets: int
    entries: int
    reports: int
    rejects: int
    hops: dict[str, HopTold]


class AnswersTold(TypedDict):
    """How many answers took so long, from the call to the durable answer."""

    fromNs: Digits
    toNs: Digits
    count: int


class VitalsTold(TypedDict):
    """rows: oldest first. minute, answers: of the last minute, by hop and by duration."""

    rows: list[VitalsRow]
    minute: dict[str, HopTold]
    answers: list[AnswersTold]


class DigestTold(TypedDict):
    """seq: of the journal, up to where the state is of."""

    seq: str
    digest: str


class GroupDigest(DigestTold):
    group: str


class DigestsTold(TypedDict):
    """Of each of several groups, at an instant of its own."""

    groups: list[GroupDigest]


class AssetMoneyTold(TypedDict):
    """owned: by all accounts. inFlight: on its way to another group, and not there yet. paidIn:
    deposits less withdrawals; the sum of both."""

    asset: str
    owned: Decimal
    inFlight: Decimal
    paidIn: Decimal


class GroupMoneyTold(TypedDict):
    """Of one group. inFlight: to other groups, also what has arrived and is not known to. carried:
    what came from other groups less what is known to have arrived there. owned and inFlight are
    paidIn and carried."""

    asset: str
    owned: Decimal
    inFlight: Decimal
    paidIn: Decimal
    carried: Decimal


class GroupTold(TypedDict):
    """seq: of the group's journal, up to where it is of."""

    group: str
    seq: Digits
    assets: list[GroupMoneyTold]


class MoneyTold(TypedDict):
    """conserved: nothing is missing and nothing is there twice; null where a group is out of reach,
    as those under silent. assets: of the others. transfers: in flight, the oldest first, 1,000 to
    each group at most."""

    conserved: bool | None
    assets: list[AssetMoneyTold]
    groups: list[GroupTold]
    silent: list[str]
    transfers: list[TransferTold]


class HaltsTold(TypedDict):
    """why: of a halt of everybody, or the kill switch; "" for none. accounts, symbols: those that
    may not trade as all others do."""

    everybody: Trading
    why: str
    accounts: dict[str, Trading]
    symbols: dict[str, Trading]


class OpenTold(TypedDict):
    """How many orders are open, of how many accounts and symbols."""

    orders: int
    accounts: int
    symbols: int


class LimitsTold(TypedDict):
    """limits: limit -> text, as configured and as operators set it; only what is limited."""

    account: str
    groups: list[str]
    tier: str
    limits: dict[str, str]


class ActionTold(TypedDict):
    """One action. user, gateway: who asked, and how. action: "" where it was refused before it was
    recorded. name, value: what was set, and to what. text: what was done, or why not. group: of
    markets, where there are several: whose sequence `seq` is."""

    group: NotRequired[str]
    seq: Digits
    time: Digits
    user: str
    gateway: str
    clientOrderId: str
    action: str
    scope: str
    target: str
    name: str
    value: str
    why: str
    done: bool
    text: str


class ActionsTold(TypedDict):
    """Newest first. next: the cursor of the page behind this one; null: this is the last."""

    actions: list[ActionTold]
    next: Cursor | None


class StoryLineTold(TypedDict):
    seq: Digits
    time: Digits
    text: str


class StoryTold(TypedDict):
    """lines: what happened, oldest first; ending: how it stands."""

    orderId: Digits
    account: str
    heading: str
    lines: list[StoryLineTold]
    ending: str
