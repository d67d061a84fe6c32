"""Actions: what operators asked, by whom, why, and what came of it, as rows to read.

Flow:  store: a line of the journal and its answer -> [actions] -> OrderManagement.actions
Owner: whoever asks, on its own thread.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from oms.answers import Action
from oms.enums import Scope
from oms.reports import COMMAND_ANSWERS, Report
from oms.requests.access import AccessAction
from oms.requests.codec import (
    ACCESS,
    ANSWER,
    BUST,
    FUNDS,
    LENGTHS,
    MARKET,
    MASS_CANCEL,
    OPERATOR,
    TRADE_CHANGE,
    Line,
    why_of,
)
from oms.requests.operators import OperatorAction
from oms.stores import COMMAND_DONE, Store

USER = "USER"
SHOWN = ("role", "accounts", "email", "locked")  # facts about a user that are no hash


def actions_of(store: Store, seqs: Iterable[int]) -> Iterator[Action]:
    """Of these requests; what is no action of an operator is left out."""
    for seq in seqs:
        record, told = store.record_of(seq), store.told(seq)
        if record is not None and told is not None and told.type in COMMAND_ANSWERS:
            yield action_of(seq, record.wall_ns, store.line_of(seq), told)


class Command(NamedTuple):
    """What a line asks for; see Action."""

    action: str
    scope: str = ""
    target: str = ""
    name: str = ""
    value: str = ""
    why: str = ""


def action_of(seq: int, wall_ns: int, line: Line, told: Report) -> Action:
    has_origin = len(line) == LENGTHS[line[0]][-1] and line[0] != ANSWER
    if line[0] in (FUNDS, MASS_CANCEL):  # one or the other may be without what goes before
        has_origin = type(line[-1]) is list
    user, gateway, *_ = line[-1] if has_origin else ("", "")
    return Action(
        seq, wall_ns, user, gateway, line[2], *command_of(line), told.type == COMMAND_DONE,
        told.reason,
    )  # fmt: skip


def command_of(line: Line) -> Command:
    """Of a line; its action is "" if it is none."""
    kind = line[0]
    if kind == OPERATOR:
        return Command(line[3], line[4], line[5], line[6], line[7], line[8])
    if kind == MARKET:
        changed = line[3] == OperatorAction.SET_MARKET
        value = ", ".join(f"{k}={v}" for k, v in line[8].items()) if changed else line[6]
        return Command(line[3], Scope.SYMBOL.value, line[4], line[5], value, line[7])
    if kind == MASS_CANCEL:
        account, symbol, side = line[3:6]
        scope = Scope.ACCOUNT if account else Scope.SYMBOL if symbol else Scope.ALL
        return Command("MASS_CANCEL", scope.value, account or symbol, side, why=why_of(line))
    if kind in (BUST, TRADE_CHANGE):
        fill = line[4][0]
        corrected = kind == TRADE_CHANGE and line[5][1]
        action = OperatorAction.CORRECT if corrected else OperatorAction.BUST
        return Command(
            action.value, Scope.SYMBOL.value, fill[6], f"{fill[0]}-{fill[1]}", why=line[3]
        )
    if kind == ACCESS:
        facts = line[5]
        value = ", ".join(f"{name}={facts[name]}" for name in SHOWN if name in facts)
        return Command(AccessAction(line[3]).value, USER, line[4], "", value, facts.get("why", ""))
    if kind == FUNDS:
        return Command(line[3], Scope.ACCOUNT.value, line[1], line[4])
    return Command("")
