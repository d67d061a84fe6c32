"""Transfers between groups of markets: the steps that one group's ledger makes.

Flow:  operations -> [transfers] -> ledger
A transfer leaves its account in one group, is in flight, and arrives in another group or comes
back. Each group has a ledger and a journal of its own: what happens there is decided there once,
under the account and the client order id of the transfer, so a step that is asked again changes
nothing.
Owner: the dispatcher thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oms.exchange.accounts import Ledger, Sent
from oms.money import to_text
from oms.reject_reasons import RejectReason
from oms.requests.accounts import ENDS, FundsAction
from oms.requests.codec import Line

if TYPE_CHECKING:
    from oms.desk.desk import Desk

INVALID = RejectReason.COMMAND_INVALID


def why_not(desk: Desk, line: Line, kept: int) -> str:
    """Why a step cannot be made; "" if it can. kept: what must stay in the account."""
    _, account, client_order_id, action, _, _, other, from_group, to_group = line[:9]
    ledger, own = desk.ledger, desk.settings.get("group", "")
    if action in ENDS:
        sent = ledger.transfers.get((account, client_order_id))
        if sent is None or sent[2:] != _sent(0, 0, line)[2:]:
            return f"{INVALID}: transfer={client_order_id}, not in flight"
        return ""
    here = to_group if action == FundsAction.TRANSFER_IN else from_group
    if here != own:
        return f"{INVALID}: group={here}, expected {own or 'none, as markets are not split'}"
    if action == FundsAction.TRANSFER_IN:
        return ledger.would_receive(other)
    return ledger.would_send(account, _sent(0, 0, line), kept)


def move(desk: Desk, seq: int, line: Line) -> str:
    """Make a step that can be made; the text of its report."""
    _, account, client_order_id, action, asset, amount, other, from_group, to_group = line[:9]
    ledger = desk.ledger
    moved = f"asset={asset}, amount={to_text(amount, ledger.scales[asset])}"
    if action == FundsAction.TRANSFER_IN:
        ledger.receive(other, asset, amount, from_group)
        return f"{moved}, to_account={other}, from_group={from_group}"
    if action == FundsAction.TRANSFER:
        ledger.send(account, client_order_id, _sent(seq, desk.instant.wall_ns, line))
        return f"{moved}, {_owned(ledger, account, asset)}, to_account={other}, to_group={to_group}"
    arrived = action == FundsAction.TRANSFER_DONE
    ledger.end_transfer(account, client_order_id, arrived=arrived)
    if arrived:  # its account's money moved before
        return f"transfer=DONE, {moved}, to_account={other}, to_group={to_group}"
    told = f"{moved}, {_owned(ledger, account, asset)}, transfer=RETURNED, to_group={to_group}"
    return f"{told}, why={line[9]}"


def _sent(seq: int, wall_ns: int, line: Line) -> Sent:
    _, _, _, _, asset, amount, other, from_group, to_group = line[:9]
    return Sent(seq, wall_ns, asset, amount, other, from_group, to_group)


def _owned(ledger: Ledger, account: str, asset: str) -> str:
    scale = ledger.scales[asset]
    available, reserved = (to_text(units, scale) for units in ledger.accounts[account][asset])
    return f"available={available}, reserved={reserved}"
