"""Dry run: what a request would do, without doing it.

Owner: the dispatcher's thread, between two turns. It only looks.
"""

from oms.answers import DryRun
from oms.desk.bust import Anew, why_not_change
from oms.desk.desk import Desk
from oms.desk.listings import Listing
from oms.enums import OrderState, ResponseType, Side
from oms.reject_reasons import REASONS
from oms.requests.codec import (
    ACCESS,
    ANSWER,
    CANCEL,
    FUNDS,
    MARKET,
    MODIFY,
    NEW,
    OPERATOR,
    TRADE_CHANGE,
    Line,
)
from oms.turn.intake import Intake


def dry_run(intake: Intake, desk: Desk, request: Line) -> DryRun:
    """On the dispatcher's thread, between two turns."""
    line = intake.would_be(request)
    if line[0] == ANSWER:
        kind, state, text = line[3], line[7], line[11]
        again = kind == ResponseType.ORDER_STATUS  # of a known id: was the first one refused?
        taken = again and state != OrderState.REJECTED and text.partition(":")[0] not in REASONS
        return DryRun("" if taken or kind == ResponseType.COMMAND_DONE else text)
    if line[0] == NEW:
        account, symbol, side = line[1], line[3], Side(line[4])
        room = desk.risk.room(account, desk.instruments[symbol], side)
        return _reserving(desk, *desk.would(line))._replace(room=room)
    if line[0] == MODIFY:
        return _reserving(desk, *desk.changes.would(line))
    if line[0] == CANCEL:
        return DryRun(desk.changes.would_cancel(line))
    if line[0] == FUNDS:
        return DryRun(desk.operations.would_fund(line))
    if line[0] == OPERATOR:
        return DryRun(desk.operations.why_not(line))
    if line[0] == TRADE_CHANGE:
        return DryRun(why_not_change(desk, line[4], Anew(*line[5])))
    if line[0] == ACCESS:
        return DryRun(desk.access.why_not(0, line))
    if line[0] == MARKET:
        return DryRun(desk.listings.why_not(Listing(*line[3:9])))
    return DryRun("")


def _reserving(desk: Desk, text: str, units: int, asset: str) -> DryRun:
    return DryRun(text, units, asset, desk.ledger.scales.get(asset, 0))
