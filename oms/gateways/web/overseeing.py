"""Overseeing: what an operator sees: how it has been, who may trade, what was done, and why.

Nothing here changes anything; the routes that do are in operating.py.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from oms.answers import Action, GroupMoney
from oms.enums import Scope
from oms.errors import ValidationError
from oms.gateways.web.door import Right
from oms.gateways.web.errors import HttpError, Reply
from oms.gateways.web.front import Ask, Entry
from oms.gateways.web.merging import START, Page, Row, merged, of_group
from oms.gateways.web.operator_shapes import (
    ActionsTold,
    DigestsTold,
    DigestTold,
    HaltsTold,
    LimitsTold,
    MoneyTold,
    OpenTold,
    StoryTold,
    VitalsTold,
)
from oms.gateways.web.shapes import Answer
from oms.gateways.web.told import Told, decimal_told, transfer_told
from oms.gateways.web.trading import Id, cursor
from oms.gateways.web.vitals import ROWS_MAX
from oms.gateways.web.words import Body, CursorText, WholeText
from oms.manager import OrderManagement
from oms.questions import ACTIONS_MAX
from oms.reject_reasons import RejectReason

TRIES = 3
ROWS = 180  # a quarter of an hour


class Rows(Body):
    """after: rows behind this instant, nanoseconds since 1970: the `time` of the last one seen."""

    after: WholeText = "0"
    limit: Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)] = ROWS


class Actions(Body):
    """before: `next` of the page before."""

    before: CursorText = START
    limit: Annotated[int, msgspec.Meta(ge=1, le=ACTIONS_MAX)] = 50


class OfOrder(Body):
    """One of them: orderId; executionId, of a trade or report; or account and clientOrderId, also
    of a change, a deposit or a command. group: of markets, where several may have one of this
    name."""

    group: Id | None = None
    order_id: WholeText | None = None
    execution_id: Id | None = None
    account: Id | None = None
    client_order_id: Id | None = None


class LimitsOf(Body):
    """Of which account."""

    account: Id


class Scoped(Body):
    """Of all, of an account or of a symbol, as a halt or the kill switch has it."""

    scope: Scope = Scope.ALL
    target: Annotated[str, msgspec.Meta(max_length=64)] = ""


async def vitals(ask: Ask, wanted: Rows) -> Reply:
    """A row of figures each five seconds, of the last hour at most, and the last minute by hop.
    Durations are nanoseconds, never too low, at most 1/16 too high."""
    return Reply(ask.door.vitals.told(cursor("after", wanted.after), wanted.limit))


async def digest(ask: Ask, _: None) -> Reply:
    """The fingerprint of the state, as the command `digest` prints it; of each group, where there
    are several."""
    asked = {name: oms.digest() for name, oms in ask.oms.groups.items()}
    told: list[Told] = []
    for name, future in asked.items():
        found = await ask.door.answered(future)
        told.append({"group": name, "seq": str(found.seq), "digest": found.digest})
    if ask.door.group_names:
        return Reply({"groups": told})
    return Reply({"seq": told[0]["seq"], "digest": told[0]["digest"]})


async def money(ask: Ask, _: None) -> Reply:
    """What all accounts own in all groups of markets, and what is in flight between them. Each
    group is of an instant of its own: where a transfer moved meanwhile, they are asked again."""
    for _again in range(TRIES):
        groups = await ask.door.answered(ask.oms.money())
        reached = {name: found for name, found in groups.items() if found is not None}
        assets, conserved = _together(reached)
        if conserved:
            break
    transfers = await ask.door.answered(ask.oms.transfers())
    return Reply({
        "conserved": conserved if len(reached) == len(groups) else None, "assets": assets,
        "groups": [
            {
                "group": name, "seq": str(found.seq),
                "assets": [
                    {
                        "asset": asset, "owned": decimal_told(each.owned),
                        "inFlight": decimal_told(each.in_flight),
                        "paidIn": decimal_told(each.paid_in), "carried": decimal_told(each.carried),
                    }
                    for asset, each in found.assets.items()
                ],
            }
            for name, found in reached.items()
        ],
        "silent": [name for name in groups if name not in reached],
        "transfers": [transfer_told(each) for each in transfers],
    })  # fmt: skip


def _together(groups: Mapping[str, GroupMoney]) -> tuple[list[Told], bool]:
    """All groups as one, and whether it adds up: what a group is told to have sent is on its way,
    or carried into another one; if nothing is on its way, what went out has come in."""
    told, conserved = list[Told](), True
    for asset in sorted({asset for found in groups.values() for asset in found.assets}):
        those = [found.assets[asset] for found in groups.values() if asset in found.assets]
        owned, sent, paid_in, carried = (sum(each) for each in zip(*those, strict=True))
        conserved &= 0 <= sent - carried <= sent and owned + sent - carried == paid_in
        told.append({
            "asset": asset, "owned": decimal_told(owned), "inFlight": decimal_told(sent - carried),
            "paidIn": decimal_told(paid_in),
        })  # fmt: skip
    return told, conserved


async def halts(ask: Ask, _: None) -> Reply:
    """As operators said it; a market that is halted has the phase HALTED, too."""
    found = await ask.door.answered(ask.oms.halts())
    return Reply(
        {
            "everybody": found.everybody.value, "why": found.why,
            "accounts": {name: state.value for name, state in sorted(found.accounts.items())},
            "symbols": {name: state.value for name, state in sorted(found.symbols.items())},
        }
    )  # fmt: skip


async def open_count(ask: Ask, wanted: Scoped) -> Reply:
    """What a kill switch or a cancel of this scope would cancel now."""
    if wanted.scope is Scope.GROUP:
        raise ValidationError("scope", wanted.scope, "ALL, ACCOUNT or SYMBOL")
    if (wanted.scope is Scope.ALL) != (wanted.target == ""):
        raise ValidationError("target", wanted.target, "whose it is; none for ALL")
    account = wanted.target if wanted.scope is Scope.ACCOUNT else ""
    symbol = wanted.target if wanted.scope is Scope.SYMBOL else ""
    found = await ask.door.in_thread(ask.oms.count_open, account, symbol)
    return Reply(found._asdict())


async def limits(ask: Ask, wanted: LimitsOf) -> Reply:
    found = await ask.door.answered(ask.oms.account_limits(wanted.account))
    return Reply({"account": wanted.account, **found._asdict()})


async def actions(ask: Ask, page: Actions) -> Reply:
    """What operators did, newest first: commands, cancels of everybody, busts, changes of markets
    and users; refused ones, too."""

    def look(oms: OrderManagement, before: str) -> Page:
        found = oms.actions(before=cursor("before", before), limit=page.limit)
        rows = [Row(each.wall_ns, str(each.seq), _action_told(each)) for each in found.actions]
        return Page(rows, str(found.before) if found.before else None)

    found = await ask.door.in_thread(
        merged, ask.oms.groups, look, "before", page.before, page.limit
    )
    return Reply({"actions": [of_group(each) for each in found.rows], "next": found.next})


def _action_told(each: Action) -> Told:
    return {
        "seq": str(each.seq), "time": str(each.wall_ns), "user": each.user,
        "gateway": each.gateway, "clientOrderId": each.client_order_id, "action": each.action,
        "scope": each.scope, "target": each.target, "name": each.name, "value": each.value,
        "why": each.why, "done": each.done, "text": each.text,
    }  # fmt: skip


async def explain(ask: Ask, wanted: OfOrder) -> Reply:
    """What happened to one order or command and why, from what is on disk."""
    oms = ask.oms
    if wanted.group is not None:
        oms = oms.groups[ask.door.one_group(wanted.group, "an order")]
    found = await ask.door.slowly(oms.explain, _named(wanted), wanted.account or "")
    if found is None:
        reason = RejectReason.UNKNOWN_ORDER
        raise HttpError(404, reason.value, "no order or command has that name", number=reason.api)
    return Reply(
        {
            "orderId": str(found.order_id), "account": found.account, "heading": found.heading,
            "lines": [
                {"seq": str(each.seq), "time": str(each.wall_ns), "text": each.text}
                for each in found.lines
            ],
            "ending": found.ending,
        }
    )  # fmt: skip


def _named(wanted: OfOrder) -> str:
    """As the library names it. Raises ValidationError unless one thing is named."""
    named = {
        "orderId": wanted.order_id and f"order {int(wanted.order_id)}",
        "executionId": wanted.execution_id, "clientOrderId": wanted.client_order_id,
    }  # fmt: skip
    found = [text for text in named.values() if text is not None]
    if len(found) != 1:
        given = ", ".join(name for name, text in named.items() if text is not None) or None
        raise ValidationError("orderId", given, "one of orderId, executionId, clientOrderId")
    if wanted.client_order_id is not None and wanted.account is None:
        raise ValidationError("account", None, "whose clientOrderId it is")
    return found[0]


def entries() -> list[Entry]:
    admin = Right.ADMIN
    return [
        Entry("GET", "/admin/vitals", vitals, admin, "figures over time", query=Rows,
              answer=Answer(VitalsTold)),
        Entry("GET", "/admin/digest", digest, admin, "the fingerprint of the state",
              answer=Answer(DigestTold, other=DigestsTold)),
        Entry("GET", "/admin/money", money, admin, "all money, and what is in flight",
              answer=Answer(MoneyTold)),
        Entry("GET", "/admin/halts", halts, admin, "who may trade", answer=Answer(HaltsTold)),
        Entry("GET", "/admin/open", open_count, admin, "how many orders are open", query=Scoped,
              answer=Answer(OpenTold)),
        Entry("GET", "/admin/limits", limits, admin, "an account's limits", query=LimitsOf,
              answer=Answer(LimitsTold)),
        Entry("GET", "/admin/actions", actions, admin, "what operators did", query=Actions,
              answer=Answer(ActionsTold)),
        Entry("GET", "/admin/explain", explain, admin, "the story of one order", query=OfOrder,
              answer=Answer(StoryTold)),
    ]  # fmt: skip
