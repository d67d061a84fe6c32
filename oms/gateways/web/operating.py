"""Operating: the routes under /admin: what an operator asks of the exchange.

Each is one request of the library's own family under the operator's account, journaled with the
name of the user who asked.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from oms.enums import Phase, Scope, Side, Trading
from oms.errors import ValidationError
from oms.gateways.web.door import Right
from oms.gateways.web.errors import REPLAYED, OurFields, Reply, refusal
from oms.gateways.web.front import Ask, Entry, Handler
from oms.gateways.web.operator_shapes import AccountOrders, AccountTold, Operated
from oms.gateways.web.shapes import Answer
from oms.gateways.web.told import Told, reports_told
from oms.gateways.web.trading import Id, Why, WithReports, made_id, silent_told
from oms.gateways.web.words import Body, DecimalText, SettingText, decimal_text
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
)
from oms.requests.operators import OPERATOR
from oms.responses import OrderResponse

OPERATED = Answer(Operated, (200, 202))
Settings = dict[str, SettingText]


OF_TARGET = {"symbol": "target", "tier": "value"}
OF_TRADE = {"target": "symbol", "name": "executionId"}
OF_MARKET = {"target": "symbol", "name": "tier"}
# What the library calls a field -> what the route of that action does.
NAMES: Mapping[OperatorAction, Mapping[str, str]] = {
    OperatorAction.SET_PHASE: {"target": "symbol", "value": "phase"},
    OperatorAction.BUST: OF_TRADE, OperatorAction.CORRECT: OF_TRADE,
    OperatorAction.LIST: OF_MARKET, OperatorAction.SET_MARKET: OF_MARKET,
    OperatorAction.DELIST: OF_MARKET,
}  # fmt: skip


class Command(WithReports, kw_only=True):
    """An operator's command, with the words of the library: see docs/operations.md."""

    action: OperatorAction
    scope: Scope = Scope.ALL
    target: Annotated[str, msgspec.Meta(max_length=64)] = ""
    name: Annotated[str, msgspec.Meta(max_length=64)] = ""
    value: SettingText = ""
    settings: Settings | None = None
    why: Why = ""
    client_order_id: Id | None = None


class Halt(Body):
    """What to halt: all, a symbol or an account. reducing: orders that make a position smaller
    may still trade."""

    scope: Scope = Scope.ALL
    target: Annotated[str, msgspec.Meta(max_length=64)] = ""
    reducing: bool = False
    why: Why = ""
    client_order_id: Id | None = None


class Stop(Body):
    """The kill switch: everything halted, all open orders canceled, until it is released."""

    why: Why
    scope: Scope = Scope.ALL
    target: Annotated[str, msgspec.Meta(max_length=64)] = ""
    client_order_id: Id | None = None


class CancelEverything(WithReports, kw_only=True):
    """Which open orders to cancel: of everybody, of an account or of a symbol; of a side of it, if
    given."""

    why: Why
    scope: Scope = Scope.ALL
    target: Annotated[str, msgspec.Meta(max_length=64)] = ""
    side: Side | None = None
    client_order_id: Id | None = None


class SetPhase(Body):
    """Force a market into a phase."""

    symbol: Id
    phase: Phase
    why: Why = ""
    client_order_id: Id | None = None


class SetLimit(Body):
    """A limit of everybody, an account or a group; value "" takes it back."""

    scope: Scope
    name: Id
    value: SettingText
    target: Annotated[str, msgspec.Meta(max_length=64)] = ""
    why: Why = ""
    client_order_id: Id | None = None


class Trade(Body):
    """A trade, by its execution id."""

    symbol: Id
    execution_id: Id
    why: Why = ""
    client_order_id: Id | None = None


class Correction(Trade):
    """What the trade was: price, quantity, or both."""

    price: DecimalText | None = None
    quantity: DecimalText | None = None


class Market(Body):
    """What is traded: settings as config.ini has them for an instrument."""

    symbol: Id
    settings: Settings | None = None
    value: Annotated[str, msgspec.Meta(max_length=200)] = ""
    tier: Annotated[str, msgspec.Meta(max_length=16)] = ""
    why: Why = ""
    client_order_id: Id | None = None


class Account(WithReports, kw_only=True):
    """An account to create."""

    account: Id
    client_order_id: Id | None = None


class OrdersOf(Body):
    """Whose."""

    account: Id


async def command(ask: Ask, body: Command) -> Reply:
    return await _operate(
        ask, body.client_order_id, body.action, body.scope, body.target, name=body.name,
        value=body.value, why=body.why, settings=body.settings, reports=body.reports,
        names={"symbol": "target", "executionId": "name"},
    )  # fmt: skip


async def halt(ask: Ask, body: Halt) -> Reply:
    trading = Trading.REDUCING if body.reducing else Trading.HALTED
    return await _operate(
        ask, body.client_order_id, OperatorAction.SET_TRADING, body.scope, body.target,
        value=trading.value, why=body.why,
    )  # fmt: skip


async def resume(ask: Ask, body: Halt) -> Reply:
    return await _operate(
        ask, body.client_order_id, OperatorAction.SET_TRADING, body.scope, body.target,
        value=Trading.ACTIVE.value, why=body.why,
    )  # fmt: skip


async def kill(ask: Ask, body: Stop) -> Reply:
    return await _operate(
        ask, body.client_order_id, OperatorAction.KILL, body.scope, body.target, why=body.why
    )


async def phase(ask: Ask, body: SetPhase) -> Reply:
    return await _operate(
        ask, body.client_order_id, OperatorAction.SET_PHASE, Scope.SYMBOL, body.symbol,
        value=body.phase.value, why=body.why,
    )  # fmt: skip


async def limit(ask: Ask, body: SetLimit) -> Reply:
    return await _operate(
        ask, body.client_order_id, OperatorAction.SET_LIMIT, body.scope, body.target,
        name=body.name, value=body.value, why=body.why,
    )  # fmt: skip


async def bust(ask: Ask, body: Trade) -> Reply:
    return await _operate(
        ask, body.client_order_id, OperatorAction.BUST, Scope.SYMBOL, body.symbol,
        name=body.execution_id, why=body.why,
    )  # fmt: skip


async def correct(ask: Ask, body: Correction) -> Reply:
    given = {"price": body.price, "quantity": body.quantity}
    settings = {name: decimal_text(text) or text for name, text in given.items() if text}
    if not settings:
        raise ValidationError("price", None, "a price, a quantity, or both")
    return await _operate(
        ask, body.client_order_id, OperatorAction.CORRECT, Scope.SYMBOL, body.symbol,
        name=body.execution_id, why=body.why, settings=settings,
    )  # fmt: skip


async def list_market(ask: Ask, body: Market) -> Reply:
    return await _market(ask, body, OperatorAction.LIST)


async def set_market(ask: Ask, body: Market) -> Reply:
    return await _market(ask, body, OperatorAction.SET_MARKET)


async def delist_market(ask: Ask, body: Market) -> Reply:
    return await _market(ask, body, OperatorAction.DELIST)


async def _market(ask: Ask, body: Market, action: OperatorAction) -> Reply:
    return await _operate(
        ask, body.client_order_id, action, Scope.SYMBOL, body.symbol, name=body.tier,
        value=body.value, why=body.why, settings=body.settings,
    )  # fmt: skip


async def _operate(
    ask: Ask,
    client_order_id: str | None,
    action: OperatorAction,
    scope: Scope,
    target: str,
    *,
    name: str = "",
    value: str = "",
    why: str = "",
    settings: Settings | None = None,
    reports: bool = False,
    names: Mapping[str, str] | None = None,
) -> Reply:
    with OurFields(NAMES.get(action, OF_TARGET) if names is None else names):
        request = OperatorRequest(
            client_order_id=client_order_id or made_id(),
            action=action,
            scope=scope,
            target=target,
            name=name,
            value=value,
            why=why,
            settings=settings,
            origin=ask.origin,
        )
        response = await ask.submit(request)
        if response.refused:
            others = "value" if action is OperatorAction.SET_LIMIT else "settings"
            raise refusal(response, reports=reports, others=others)
    return _done({"text": response.text, **response.facts}, response, reports)


def _done(told: Told, response: OrderResponse, reports: bool, status: int = 200) -> Reply:
    """What was done, with the sequence of the entry that asked for it; of a repeat the first's. 202
    where a group did not answer."""
    told = {"seq": str(response.order_id), **told, **silent_told(response)}
    if reports:
        told["reports"] = reports_told(response)
    headers = dict(REPLAYED) if response.repeated else {}
    return Reply(told, 202 if response.silent else 200 if response.repeated else status, headers)


async def create_account(ask: Ask, body: Account) -> Reply:
    response = await ask.submit(
        FundsRequest(
            account=body.account,
            client_order_id=body.client_order_id or made_id(),
            action=FundsAction.CREATE,
            origin=ask.origin,
        )
    )
    if response.refused:
        raise refusal(response, reports=body.reports)
    return _done({"account": body.account}, response, body.reports, 201)


async def cancel_everything(ask: Ask, body: CancelEverything) -> Reply:
    """Every open order of everybody, or of one account or symbol; trading goes on."""
    if body.scope is Scope.GROUP:
        raise ValidationError("scope", body.scope.value, "ALL, ACCOUNT or SYMBOL")
    if (body.scope is Scope.ALL) != (body.target == ""):
        raise ValidationError("target", body.target, "whose it is; none for ALL")
    everybody = body.scope is not Scope.ACCOUNT
    response = await ask.submit(
        MassCancelRequest(
            account=OPERATOR if everybody else body.target,
            client_order_id=body.client_order_id or made_id(),
            symbol=body.target if body.scope is Scope.SYMBOL else "",
            side=body.side,
            everybody=everybody,
            why=body.why,
            origin=ask.origin,
        )
    )
    if response.refused:
        raise refusal(response, reports=body.reports)
    return _done(response.facts, response, body.reports)


async def account_orders(ask: Ask, body: OrdersOf) -> Reply:
    """The open orders of any account."""
    found = await ask.door.in_thread(ask.oms.open_orders, body.account)
    return Reply({"account": body.account, "orders": await ask.door.orders_told(found)})


async def status(ask: Ask, _: None) -> Reply:
    """All of the daemon's status: queue, throttle, latency percentiles, store."""
    return Reply(ask.oms.get_status())


def operated(
    method: str, path: str, handler: Handler, brief: str, body: type[Body],
    query: type[Body] | None = None,
) -> Entry:  # fmt: skip
    """A route of operators that is answered as one request of theirs."""
    return Entry(method, path, handler, Right.ADMIN, brief, body, query, answer=OPERATED)


def entries() -> list[Entry]:
    admin = Right.ADMIN
    return [
        operated("POST", "/admin/command", command, "any command of an operator", Command),
        operated("POST", "/admin/halt", halt, "halt trading", Halt),
        operated("POST", "/admin/resume", resume, "let trading go on", Halt),
        operated("POST", "/admin/kill", kill, "the kill switch", Stop),
        operated("POST", "/admin/cancel_all", cancel_everything, "cancel open orders",
                 CancelEverything),
        operated("POST", "/admin/phase", phase, "force a market's phase", SetPhase),
        operated("POST", "/admin/limits", limit, "set a limit", SetLimit),
        operated("POST", "/admin/bust", bust, "take a trade back", Trade),
        operated("POST", "/admin/correct", correct, "correct a trade", Correction),
        operated("POST", "/admin/markets", list_market, "list a market", Market),
        operated("PATCH", "/admin/markets", set_market, "change a market", Market),
        operated("DELETE", "/admin/markets", delist_market, "delist a market", Market, Market),
        Entry("POST", "/admin/accounts", create_account, admin, "create an account", Account,
              answer=Answer(AccountTold, (200, 201, 202))),
        Entry("GET", "/admin/orders", account_orders, admin, "open orders of an account",
              query=OrdersOf, answer=Answer(AccountOrders)),
        Entry("GET", "/admin/status", status, admin, "the daemon's status"),
    ]  # fmt: skip
