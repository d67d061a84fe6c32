"""Transfers between groups as readers see them, and the money of one group's ledger.

Flow:  desk, between two turns -> [transfers] -> OrderManagement; stored reports -> [transfers]
Owner: whoever asks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from oms.answers import AssetMoney, GroupMoney, Transfer
from oms.desk.desk import Desk
from oms.enums import TransferState
from oms.money import to_decimal
from oms.reports import Report
from oms.requests.accounts import FundsAction
from oms.requests.codec import FUNDS, Line, groups_of
from oms.responses import OrderResponse
from oms.sections import ONE_GROUP
from oms.stores import COMMAND_DONE

TRANSFERS_TOLD = 1_000  # to each group


def in_flight(desk: Desk) -> list[Transfer]:
    """The oldest first; so many at most to each group."""
    found, told = list[Transfer](), Counter[str]()
    for (account, client_order_id), sent in desk.ledger.transfers.items():
        told[sent.to_group] += 1
        if told[sent.to_group] <= TRANSFERS_TOLD:
            amount = to_decimal(sent.amount, desk.ledger.scales[sent.asset])
            found.append(Transfer(
                account, client_order_id, sent.asset, amount, sent.to_account, sent.from_group,
                sent.to_group, sent.seq, sent.wall_ns, TransferState.IN_FLIGHT,
            ))  # fmt: skip
    return found


def money_of(desk: Desk, seq: int) -> dict[str, GroupMoney]:
    """By the group's name."""
    ledger, found = desk.ledger, dict[str, AssetMoney]()
    owned = Counter[str]()
    for assets in ledger.accounts.values():
        for asset, balance in assets.items():
            owned[asset] += sum(balance)
    for asset in sorted({*owned, *ledger.paid_in, *ledger.carried}):
        units = (
            owned[asset], ledger.in_flight(asset), ledger.paid_in.get(asset, 0),
            ledger.carried.get(asset, 0),
        )  # fmt: skip
        found[asset] = AssetMoney(*(to_decimal(each, ledger.scales[asset]) for each in units))
    return {desk.settings.get("group", ONE_GROUP): GroupMoney(seq, found)}


def transfer_of(
    line: Line, reports: Sequence[Report], scales: Mapping[str, int]
) -> Transfer | None:
    """How it stands by the request that began it here, and all reports of that; None if it is no
    transfer between groups."""
    if line[0] != FUNDS or not groups_of(line) or not reports:
        return None
    _, account, client_order_id, action, asset, units, to_account, from_group, to_group = line[:9]
    first, *later = reports
    state, text = TransferState.IN_FLIGHT, ""
    if first.type != COMMAND_DONE:
        state, text = TransferState.REFUSED, first.reason
    elif action == FundsAction.TRANSFER_IN:
        state = TransferState.ARRIVED
    for each in later:  # repeats, and its end
        ended = OrderResponse(each).facts.get("transfer")
        if ended is not None and each.type == COMMAND_DONE:
            state, text = TransferState(ended), each.reason.partition("why=")[2]
    return Transfer(
        account, client_order_id, asset, to_decimal(units, scales[asset]), to_account, from_group,
        to_group, first.order_id, first.wall_ns, state, text,
    )  # fmt: skip
