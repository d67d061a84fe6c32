"""Operators: what a client with an operator's rights asks: who may trade, what was done, and why.

Flow:  caller -> [operators] -> server -> the library's types
What an operator does is a request like any other: Client.submit.
"""

import re
from concurrent.futures import Future
from typing import Any

from oms.answers import (
    AccountLimits,
    Action,
    ActionPage,
    AssetMoney,
    Explained,
    GroupMoney,
    Halts,
    OpenCount,
    StateDigest,
    StoryLine,
    Transfer,
)
from oms.client.credentials import Reply
from oms.client.server import Server, resolved
from oms.client.told import Told, count, decimal, rows, text, transfer_of, whole
from oms.enums import Scope, Trading
from oms.errors import ServerError, ValidationError
from oms.reject_reasons import RejectReason

ACTIONS_MAX = 200  # of a page
ORDER_ID = re.compile(r"order (\d{1,18})", re.ASCII)
EXECUTION_ID = re.compile(r"\d{1,18}-\d{1,8}", re.ASCII)


class OperatorQuestions:
    """What is told to operators alone: to all others a ServerError of status 403 is raised."""

    _server: Server

    def halts(self) -> "Future[Halts]":
        """Who may trade, as operators said it."""
        return resolved(self._server.question, "/admin/halts", {}, _halts)

    def account_limits(self, account: str) -> "Future[AccountLimits]":
        """Groups, tier and limits of an account."""
        return resolved(self._server.question, "/admin/limits", {"account": account}, _limits)

    def digest(self) -> "Future[StateDigest]":
        """The fingerprint of the state, as the command `digest` prints it."""
        return resolved(self._server.question, "/admin/digest", {}, _digest)

    def count_open(self, account: str = "", symbol: str = "") -> OpenCount:
        """How many orders are open: of an account or of a symbol; "": of all. Raises
        ValidationError if both are named."""
        if account and symbol:
            raise ValidationError("symbol", symbol, "none beside an account: the server has either")
        asked: dict[str, Any] = {}
        if account or symbol:
            scope = Scope.ACCOUNT if account else Scope.SYMBOL
            asked = {"scope": scope.value, "target": account or symbol}
        return self._server.question("/admin/open", asked, _open)

    def money(self) -> "Future[dict[str, GroupMoney | None]]":
        """What all accounts own and what is in flight, by group of markets; None for a group that
        is out of reach. Requests wait meanwhile: some 0.2 us for each account and asset."""
        return resolved(self._server.question, "/admin/money", {}, _money)

    def transfers(self) -> "Future[list[Transfer]]":
        """What is in flight between groups, the oldest first; 1,000 to each at most."""
        return resolved(
            self._server.question, "/admin/money", {},
            lambda reply: [transfer_of(each) for each in rows(reply.told["transfers"])],
        )  # fmt: skip

    def actions(self, *, before: int = 0, limit: int = ACTIONS_MAX) -> ActionPage:
        """What operators did, newest first, page by page."""
        asked = {"before": before, "limit": limit}
        return self._server.question("/admin/actions", asked, _actions)

    def explain(self, named: str, account: str = "") -> Explained | None:
        """The story of an order or command; None if nothing has that name. named: a client order
        id of the account; "order 8", or an execution id, "9-2", without an account. Raises
        ValidationError."""
        try:
            return self._server.question("/admin/explain", _named(named, account), _explained)
        except ServerError as error:
            if error.code == RejectReason.UNKNOWN_ORDER:
                return None
            raise

    def get_status(self) -> dict[str, Any]:
        """How the daemon goes: plain data. Durations are nanoseconds."""
        return self._server.question("/admin/status", {}, lambda reply: dict(reply.told))


def _named(named: str, account: str) -> dict[str, str]:
    if account:
        return {"clientOrderId": named, "account": account}
    if match := ORDER_ID.fullmatch(named):
        return {"orderId": match[1]}
    if EXECUTION_ID.fullmatch(named):
        return {"executionId": named}
    raise ValidationError("account", account, f"whose client order id {named!r} is")


def _halts(reply: Reply) -> Halts:
    told = reply.told

    def states(name: str) -> dict[str, Trading]:
        return {text(key): Trading(value) for key, value in told[name].items()}

    return Halts(
        Trading(told["everybody"]), text(told["why"]), states("accounts"), states("symbols")
    )


def _limits(reply: Reply) -> AccountLimits:
    told = reply.told
    limits = {text(name): text(value) for name, value in told["limits"].items()}
    return AccountLimits([text(each) for each in rows(told["groups"])], text(told["tier"]), limits)


def _digest(reply: Reply) -> StateDigest:
    return StateDigest(whole(reply.told["seq"]), text(reply.told["digest"]))


def _open(reply: Reply) -> OpenCount:
    return OpenCount(*(count(reply.told[name]) for name in OpenCount._fields))


def _money(reply: Reply) -> dict[str, GroupMoney | None]:
    found: dict[str, GroupMoney | None] = {
        text(each["group"]): GroupMoney(
            whole(each["seq"]),
            {text(asset["asset"]): _asset_money(asset) for asset in rows(each["assets"])},
        )
        for each in rows(reply.told["groups"])
    }
    return found | dict.fromkeys((text(each) for each in rows(reply.told["silent"])), None)


def _asset_money(told: Told) -> AssetMoney:
    return AssetMoney(*(decimal(told[each]) for each in ("owned", "inFlight", "paidIn", "carried")))


def _actions(reply: Reply) -> ActionPage:
    found = [_action(each) for each in rows(reply.told["actions"])]
    return ActionPage(found, whole(reply.told["next"] or "0"))


def _action(told: Told) -> Action:
    if type(told["done"]) is not bool:
        raise TypeError("true or false")
    return Action(
        whole(told["seq"]), whole(told["time"]), text(told["user"]), text(told["gateway"]),
        text(told["clientOrderId"]), text(told["action"]), text(told["scope"]),
        text(told["target"]), text(told["name"]), text(told["value"]), text(told["why"]),
        told["done"], text(told["text"]),
    )  # fmt: skip


def _explained(reply: Reply) -> Explained:
    told = reply.told
    lines = [
        StoryLine(whole(each["time"]), whole(each["seq"]), text(each["text"]))
        for each in rows(told["lines"])
    ]
    return Explained(
        whole(told["orderId"]), text(told["account"]), text(told["heading"]), lines,
        text(told["ending"]),
    )  # fmt: skip
