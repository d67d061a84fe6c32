"""Money: the routes of balances, and of what moves them."""

from typing import Annotated

import msgspec

from oms.enums import TransferState
from oms.gateways.web.door import Right
from oms.gateways.web.errors import (
    OUR_FIELDS,
    REPLAYED,
    HttpError,
    OurFields,
    Reply,
    http_error,
    refusal,
)
from oms.gateways.web.fields import reason_told
from oms.gateways.web.front import Ask, Entry
from oms.gateways.web.merging import of_those_heard
from oms.gateways.web.shapes import Answer, BalancesTold, TransferTold
from oms.gateways.web.told import Told, balances_told, reports_told, transfer_told
from oms.gateways.web.trading import Id, WithReports, made_id
from oms.gateways.web.words import Body, DecimalText, decimal_text
from oms.manager import OrderManagement
from oms.money import summed
from oms.reject_reasons import REASONS, RejectReason
from oms.requests import FundsAction, FundsRequest
from oms.requests.accounts import NAME_LENGTH_MAX

OWNED = Answer(BalancesTold)
Group = Annotated[str, msgspec.Meta(max_length=NAME_LENGTH_MAX)]
Asset = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]


class OfAccount(Body):
    account: Id | None = None


class Amount(WithReports, kw_only=True):
    """clientOrderId: the same id again moves nothing again."""

    asset: Asset
    amount: DecimalText
    account: Id | None = None
    client_order_id: Id | None = None


class Transfer(WithReports, kw_only=True):
    """The same, to another account. fromGroup, toGroup: between two groups of markets, also to the
    same account: the answer says how it stands, after two seconds at most."""

    asset: Asset
    amount: DecimalText
    to_account: Id
    account: Id | None = None
    client_order_id: Id | None = None
    from_group: Group = ""
    to_group: Group = ""


class OfTransfer(Body):
    """Between groups of markets."""

    client_order_id: Id
    account: Id | None = None


async def balances(ask: Ask, wanted: OfAccount) -> Reply:
    account = ask.seen_account(wanted.account)
    return Reply({"account": account, **await ask.door.looked(owned, ask.oms, account)})


def owned(oms: OrderManagement, account: str) -> Told:
    """What an account has in the ledgers of all groups together, and which of several groups are
    out of reach. Raises TransportError where all are."""
    if len(oms.groups) == 1:
        return {"balances": balances_told(oms.balances(account))}
    found, silent = of_those_heard(oms.groups, lambda group: group.balances(account))
    return {"balances": balances_told(summed(found)), "silent": silent}


async def deposit(ask: Ask, body: Amount) -> Reply:
    return await _move(ask, FundsAction.DEPOSIT, body)


async def withdraw(ask: Ask, body: Amount) -> Reply:
    return await _move(ask, FundsAction.WITHDRAW, body)


async def transfer(ask: Ask, body: Transfer) -> Reply:
    return await _move(ask, FundsAction.TRANSFER, body)


async def transferred(ask: Ask, wanted: OfTransfer) -> Reply:
    """How a transfer between groups stands."""
    account = ask.seen_account(wanted.account)
    found = await ask.door.looked(ask.oms.transfer, account, wanted.client_order_id)
    if found is None:
        text = "no transfer between groups has that clientOrderId"
        raise http_error(404, "NOT_FOUND", text, field="clientOrderId")
    return Reply(transfer_told(found))


def _account_of(ask: Ask, action: FundsAction, body: "Amount | Transfer") -> str:
    """Whose money may be moved: from one group to another everybody's own stays their own."""
    if isinstance(body, Transfer) and body.from_group:
        account = ask.seen_account(body.account)
        if body.to_account == account:
            return account
    return ask.funds_account(body.account, action)


async def _move(ask: Ask, action: FundsAction, body: "Amount | Transfer") -> Reply:
    account = _account_of(ask, action, body)
    between = isinstance(body, Transfer) and (body.from_group != "" or body.to_group != "")
    with OUR_FIELDS:
        request = FundsRequest(
            account=account,
            client_order_id=body.client_order_id or made_id(),
            action=action,
            asset=body.asset,
            amount=decimal_text(body.amount),
            to_account=body.to_account if isinstance(body, Transfer) else "",
            from_group=body.from_group if isinstance(body, Transfer) else "",
            to_group=body.to_group if isinstance(body, Transfer) else "",
            origin=ask.origin,
        )
        response = await ask.submit(request)
    if response.refused:
        other = response.facts.get("account") == request.to_account
        with OurFields({"account": "toAccount"} if other else {}):
            raise refusal(response, reports=body.reports)
    if between:
        told = await _outcome(ask, request)
    else:
        told = {
            "account": account, "seq": str(response.order_id),
            **await ask.door.looked(owned, ask.oms, account),
        }  # fmt: skip
    if body.reports:
        told["reports"] = reports_told(response)
    return Reply(told, 200, dict(REPLAYED) if response.repeated else {})


async def _outcome(ask: Ask, request: FundsRequest) -> Told:
    """How it stands. Raises HttpError if it came back, with what the other group refused it for."""
    name = request.client_order_id
    found = await ask.door.looked(ask.oms.transfer, request.account, name)
    assert found is not None, "it was answered, so it is on disk"
    if found.state is not TransferState.RETURNED:
        return transfer_told(found)
    code = REASONS.get(found.text.partition(":")[0], RejectReason.COMMAND_INVALID)
    raise HttpError(
        code.http, code.value, reason_told(found.text), number=code.api,
        field="toAccount" if code is RejectReason.ACCOUNT_UNKNOWN else "",
    )  # fmt: skip


def entries() -> list[Entry]:
    read, trade = Right.READ, Right.TRADE
    return [
        Entry("GET", "/balance", balances, read, "what an account owns", query=OfAccount,
              answer=OWNED),
        Entry("POST", "/balance/deposit", deposit, trade, "pay money in", Amount, answer=OWNED),
        Entry("POST", "/funds", deposit, trade, "pay money in", Amount, answer=OWNED),
        Entry("POST", "/balance/withdraw", withdraw, trade, "pay money out", Amount, answer=OWNED),
        Entry("POST", "/balance/transfer", transfer, trade, "to another account", Transfer,
              answer=Answer(BalancesTold, other=TransferTold)),
        Entry("GET", "/balance/transfer", transferred, read, "how one between groups stands",
              query=OfTransfer, answer=Answer(TransferTold)),
    ]  # fmt: skip
