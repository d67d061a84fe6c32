"""Money: the routes of balances, and of what moves them."""

from typing import Annotated

import msgspec

from oms.gateways.web.errors import OUR_FIELDS, REPLAYED, OurFields, Reply, refusal
from oms.gateways.web.front import Ask, Entry, Right
from oms.gateways.web.shapes import Answer, BalancesTold
from oms.gateways.web.told import Told, balances_told, reports_told
from oms.gateways.web.trading import Id, WithReports, made_id
from oms.gateways.web.words import Body, DecimalText, decimal_text
from oms.requests import FundsAction, FundsRequest

OWNED = Answer(BalancesTold)
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
    """The same, to another account."""

    asset: Asset
    amount: DecimalText
    to_account: Id
    account: Id | None = None
    client_order_id: Id | None = None


async def balances(ask: Ask, wanted: OfAccount) -> Reply:
    account = ask.seen_account(wanted.account)
    told = balances_told(await ask.door.looked(ask.oms.balances, account))
    return Reply({"account": account, "balances": told})


async def deposit(ask: Ask, body: Amount) -> Reply:
    return await _move(ask, FundsAction.DEPOSIT, body)


async def withdraw(ask: Ask, body: Amount) -> Reply:
    return await _move(ask, FundsAction.WITHDRAW, body)


async def transfer(ask: Ask, body: Transfer) -> Reply:
    return await _move(ask, FundsAction.TRANSFER, body)


async def _move(ask: Ask, action: FundsAction, body: "Amount | Transfer") -> Reply:
    account = ask.funds_account(body.account, action)
    with OUR_FIELDS:
        request = FundsRequest(
            account=account,
            client_order_id=body.client_order_id or made_id(),
            action=action,
            asset=body.asset,
            amount=decimal_text(body.amount),
            to_account=body.to_account if isinstance(body, Transfer) else "",
            origin=ask.origin,
        )
    response = await ask.submit(request)
    if response.refused:
        other = response.facts.get("account") == request.to_account
        with OurFields({"account": "toAccount"} if other else {}):
            raise refusal(response, reports=body.reports)
    told: Told = {
        "account": account, "seq": str(response.order_id),
        "balances": balances_told(await ask.door.looked(ask.oms.balances, account)),
    }  # fmt: skip
    if body.reports:
        told["reports"] = reports_told(response)
    return Reply(told, 200, dict(REPLAYED) if response.repeated else {})


def entries() -> list[Entry]:
    read, trade = Right.READ, Right.TRADE
    return [
        Entry("GET", "/balance", balances, read, "what an account owns", query=OfAccount,
              answer=OWNED),
        Entry("POST", "/balance/deposit", deposit, trade, "pay money in", Amount, answer=OWNED),
        Entry("POST", "/funds", deposit, trade, "pay money in", Amount, answer=OWNED),
        Entry("POST", "/balance/withdraw", withdraw, trade, "pay money out", Amount, answer=OWNED),
        Entry("POST", "/balance/transfer", transfer, trade, "to another account", Transfer,
              answer=OWNED),
    ]  # fmt: skip
