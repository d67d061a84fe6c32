"""Accounts: what a client asks of an account: its orders, money, positions, and what happened.

Flow:  caller -> [accounts] -> server -> told -> caller
"""

from concurrent.futures import Future
from http import HTTPStatus
from typing import Any, NamedTuple

from oms.answers import MovementPage, Transfer
from oms.client.credentials import Reply
from oms.client.server import Server, resolved
from oms.client.told import (
    Balances,
    balances_of,
    movement_of,
    pnl_of,
    position_of,
    report_of,
    rows,
    snapshot_of,
    standing_of,
    text,
    traded_by,
    transfer_of,
    whole,
)
from oms.enums import Side
from oms.errors import ServerError, ValidationError
from oms.positions import Pnl, Position, Trade
from oms.reject_reasons import RejectReason
from oms.responses import AccountSnapshot, OrderPage, OrderResponse

ROWS_MAX = 1_000  # of a page


class CatchUp(NamedTuple):
    """An account at the start of a program. now: open orders and balances, and their sequence
    `seq`: what to keep for the next time. missed: every report since the last time; None if that
    lies too far back, or is of another exchange: then `now` is all there is."""

    now: AccountSnapshot
    missed: list[OrderResponse] | None


class AccountQuestions:
    """What is asked of an account of the user; an operator may ask of every one."""

    _server: Server

    def accounts(self) -> list[str]:
        """Those of the user."""
        return self._server.accounts()

    def get_order(self, account: str, named: str | int) -> OrderResponse | None:
        """How an order stands, by any client order id it has had or by its order id; None if the
        account has none, behind every request that the server had before. Raises ServerError."""
        name = "orderId" if type(named) is int else "clientOrderId"

        asked = {"account": account, name: named, "reports": "true"}
        try:
            return self._server.question(
                "/order", asked, lambda reply: standing_of(reply.told, self._server.instrument)
            )
        except ServerError as error:
            if error.code == RejectReason.UNKNOWN_ORDER:
                return None
            raise

    def transfer(self, account: str, client_order_id: str) -> Transfer | None:
        """How a transfer between groups of markets stands where the money leaves; None if there is
        none of that id, or its numbers were refused. Raises ServerError."""
        asked = {"account": account, "clientOrderId": client_order_id}
        try:
            return self._server.question(
                "/balance/transfer", asked, lambda reply: transfer_of(reply.told)
            )
        except ServerError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def find_order(self, account: str, named: str | int) -> "Future[OrderResponse | None]":
        return resolved(self.get_order, account, named)

    def open_orders(self, account: str) -> list[OrderResponse]:
        """How each open order stands, oldest first."""
        found: list[OrderResponse] = []
        after: str | None = "0"
        while after is not None:
            asked = {"account": account, "after": after, "limit": ROWS_MAX, "reports": "true"}
            page, after = self._server.question("/orders/open", asked, self._order_page)
            found += page
        return found

    def orders(
        self, account: str, *, symbol: str = "", side: Side | None = None, before: int = 0,
        limit: int = ROWS_MAX, group: str = "",
    ) -> OrderPage:  # fmt: skip
        """How all orders stand, newest first, page by page. group: where there are several, and
        no symbol is named."""
        asked = {
            "account": account, "symbol": symbol or None, "side": side, "before": before,
            "limit": limit, "reports": "true", "group": None if symbol else self._group(group),
        }  # fmt: skip
        page, following = self._server.question("/orders", asked, self._order_page)
        return OrderPage(page, int(following or 0))

    def _order_page(self, reply: Reply) -> tuple[list[OrderResponse], str | None]:
        following = reply.told["next"]
        page = [standing_of(each, self._server.instrument) for each in rows(reply.told["orders"])]
        return page, None if following is None else text(following)

    def groups(self) -> list[str]:
        """The groups of markets of the server, each with sequences of its own: what goes by one
        is asked of each. Where there is one, it has no name: [""]."""
        return list(self._server.groups())

    def _group(self, named: str) -> str | None:
        """As the server is told it. Raises ValidationError: none, of several."""
        known = self._server.groups()
        if named not in known:
            expected = "none, as there is one group" if known == [""] else f"one of {known}"
            raise ValidationError("group", named, expected)
        return named or None

    def account_snapshot(self, account: str, group: str = "") -> "Future[AccountSnapshot]":
        """Open orders and balances of one instant, and its sequence. group: where there are
        several."""
        return resolved(self._account_snapshot, account, group)

    def _account_snapshot(self, account: str, group: str) -> AccountSnapshot:
        def read(reply: Reply) -> AccountSnapshot:
            return snapshot_of(reply.told, self._server.instrument)

        asked = {"account": account, "group": self._group(group)}
        return self._server.question("/account", asked, read)

    def reports_after(
        self, account: str, seq: int, upto_seq: int | None = None, group: str = ""
    ) -> list[OrderResponse] | None:
        """Every report of an account that the turns behind `seq` and up to `upto_seq` made, in
        order; None if that lies too far back, or the exchange is another one. group: where there
        are several, whose sequences these are."""
        found: list[OrderResponse] = []
        after: str | None = str(seq)

        def read(reply: Reply) -> tuple[list[OrderResponse] | None, str | None]:
            told, following = reply.told["reports"], reply.told["next"]
            if told is None:
                return None, None
            page = [report_of(each, self._server.instrument) for each in rows(told)]
            return page, None if following is None else text(following)

        while after is not None:
            asked = {
                "account": account, "after": after, "upto": upto_seq, "limit": ROWS_MAX,
                "group": self._group(group),
            }  # fmt: skip
            page, after = self._server.question("/reports", asked, read)
            if page is None:
                return None
            found += page
        return found

    def catch_up(self, account: str, seq: int, group: str = "") -> CatchUp:
        """At the start of a program: how the account stands, and what happened since `seq`, the
        `now.seq` of the last time. group: each one, where there are several."""
        now = self._account_snapshot(account, group)
        if now.seq < seq:
            return CatchUp(now, None)
        return CatchUp(now, self.reports_after(account, seq, now.seq, group))

    def balances(self, account: str) -> Balances:
        """By asset: available and reserved. Raises ServerError, also where a group of markets is
        out of reach, which has a part of it."""

        def read(reply: Reply) -> Balances:
            check_whole(reply)
            return balances_of(reply.told["balances"])

        return self._server.question("/balance", {"account": account}, read)

    def positions(self, account: str) -> list[Position]:
        """Raises as `balances`."""

        def read(reply: Reply) -> list[Position]:
            check_whole(reply)
            return [position_of(each, account) for each in rows(reply.told["positions"])]

        return self._server.question("/positions", {"account": account}, read)

    def pnl(self, account: str) -> dict[str, Pnl]:
        """By quote asset. Raises as `balances`."""

        def read(reply: Reply) -> dict[str, Pnl]:
            check_whole(reply)
            return {each.asset: each for each in map(pnl_of, rows(reply.told["pnl"]))}

        return self._server.question("/positions", {"account": account}, read)

    def ledger(
        self, account: str, *, before: int = 0, limit: int = ROWS_MAX, group: str = ""
    ) -> MovementPage:
        """What moved an account's money, newest first, page by page. group: where there are
        several, each with a ledger of its own."""

        def read(reply: Reply) -> MovementPage:
            found = [movement_of(each, account) for each in rows(reply.told["entries"])]
            return MovementPage(found, whole(reply.told["next"] or "0"))

        asked = {
            "account": account, "before": before, "limit": limit, "group": self._group(group),
        }  # fmt: skip
        return self._server.question("/ledger", asked, read)

    def trades(
        self, account: str = "", symbol: str = "", *, before: str = "", limit: int = ROWS_MAX,
        group: str = "",
    ) -> list[Trade]:  # fmt: skip
        """The latest trades of an account, or of a symbol, oldest first. Of other accounts than
        this one nobody is told: their side has no account, order id 0 and no fee. group: where
        there are several, and no symbol is named."""
        if not account and not symbol:
            raise ValidationError("symbol", symbol, "a symbol, or an account")
        asked: dict[str, Any] = {
            "symbol": symbol or None, "before": before or None, "limit": limit,
            "group": None if symbol else self._group(group),
        }  # fmt: skip
        asked |= {"mine": "true", "account": account} if account else {}

        def read(reply: Reply) -> list[Trade]:
            return traded_by(rows(reply.told["trades"]))

        return self._server.question("/trade/history", asked, read)


def check_whole(reply: Reply) -> None:
    """Raises ServerError where a group of markets is out of reach, and its part is missing."""
    silent = [text(each) for each in rows(reply.told.get("silent", []))]
    if silent:
        why = f"group {', '.join(silent)} is out of reach, and has a part of it"
        raise ServerError(why, status=reply.status, code="UNAVAILABLE")
