"""Command intake: what is not about one order becomes a journal entry.

Flow:  intake -> [command_intake] -> desk
What the desk cannot see is decided here and written into the entry: amounts in units of their
asset, and both fills of a trade that is to be taken back.
"""

from collections.abc import Callable

from oms.controls import (
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
)
from oms.desk import entries
from oms.desk.entries import Entry
from oms.desk.order_desk import OrderDesk
from oms.errors import ValidationError
from oms.messages import RejectReason, ResponseType
from oms.money import to_units
from oms.reports import Row

Command = FundsRequest | MassCancelRequest | OperatorRequest
BUSTED = ResponseType.TRADE_BUSTED.value
COMMAND_REJECTED = ResponseType.COMMAND_REJECTED.value


def command_entry(
    desk: OrderDesk,
    seq: int,
    request: Command,
    trade_of: Callable[[str], list[Row]],
    rows_of: Callable[[int], list[Row]],
) -> Entry:
    """The entry of a command that was not given before; or of its refusal.

    trade_of: both reports of an execution id. rows_of: every report of an order.
    """
    account, client_id = request.account, request.client_order_id
    if isinstance(request, FundsRequest):
        return _funds(desk, seq, request)
    if isinstance(request, MassCancelRequest):
        of_account = "" if request.everybody else account
        side = request.side.value if request.side is not None else ""
        return (entries.MASS_CANCEL, account, client_id, of_account, request.symbol, side)
    if request.action is OperatorAction.BUST:
        return _bust(seq, request, trade_of(request.name), rows_of)
    return (
        entries.OPERATOR, account, client_id, request.action.value, request.scope.value,
        request.target, request.name, request.value, request.why,
    )  # fmt: skip


def _funds(desk: OrderDesk, seq: int, request: FundsRequest) -> Entry:
    amount, scales = 0, desk.ledger.scales
    if request.amount is not None:
        if request.asset not in scales:
            known = "|".join(scales)
            reason = f"{RejectReason.ASSET_UNKNOWN}: asset={request.asset}, known={known}"
            return command_refused(request, seq, reason)
        try:
            amount = to_units("amount", request.amount, scales[request.asset])
        except ValidationError as error:
            return command_refused(request, seq, f"{RejectReason.AMOUNT_INVALID}: {error}")
        if amount <= 0:
            reason = f"{RejectReason.AMOUNT_INVALID}: amount={request.amount}, expected above 0"
            return command_refused(request, seq, reason)
    return (
        entries.FUNDS, request.account, request.client_order_id, request.action.value,
        request.asset, amount, request.to_account,
    )  # fmt: skip


def _bust(
    seq: int,
    request: OperatorRequest,
    trade: list[Row],
    rows_of: Callable[[int], list[Row]],
) -> Entry:
    """The fills as they were reported, and how their orders stood last."""
    invalid = RejectReason.COMMAND_INVALID
    if not trade:
        return command_refused(request, seq, f"{invalid}: trade={request.name}, no such trade")
    fills = []
    for row in trade:
        told = rows_of(row[2])
        busted = f"trade={row[0]}-{row[1]}"
        if any(other[8] == BUSTED and busted in other[16] for other in told):
            return command_refused(request, seq, f"{invalid}: trade={request.name}, taken back")
        fills.append([*row[:2], *told[-1][2:10], *row[10:12], *told[-1][12:15], row[18]])
    return (entries.BUST, request.account, request.client_order_id, request.why, fills)


def same_bust(original: Entry, request: Command) -> bool:
    """Did an entry take back the trade that a request names? By now it is taken back."""
    if original[0] != entries.BUST or not isinstance(request, OperatorRequest):
        return False
    named = [f"{fill[0]}-{fill[1]}" for fill in original[4]]
    return request.action is OperatorAction.BUST and request.name in named


def command_refused(request: Command, seq: int, reason: str) -> Entry:
    """A command that cannot be obeyed as it stands."""
    return (
        entries.ANSWER, request.account, request.client_order_id, COMMAND_REJECTED, seq, "", "", "",
        0, 0, "", reason, "",
    )  # fmt: skip
