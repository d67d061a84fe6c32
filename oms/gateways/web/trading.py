"""Trading: the routes of orders: place, change, cancel, look.

What a client says is made a request of the library's own family, and the answer tells how the
order stands once it is on disk.
"""

import secrets
from functools import partial
from typing import Annotated

import msgspec

from oms.enums import OrderType, PostOnly, RequestType, SelfTrade, Side, TimeInForce
from oms.errors import ValidationError
from oms.gateways.web.door import Right
from oms.gateways.web.errors import OUR_FIELDS, REPLAYED, HttpError, Reply, error_reply, refusal
from oms.gateways.web.fields import field_of, reason_told
from oms.gateways.web.front import Ask, Entry
from oms.gateways.web.limits import CANCEL, ORDER
from oms.gateways.web.merging import START, Page, Row, groups_of, merged
from oms.gateways.web.orders import FILLS_MAX, fills_told, orders_told
from oms.gateways.web.shapes import (
    Answer,
    CanceledAll,
    OneOfMany,
    OrderPageTold,
    OrderTold,
    Tried,
)
from oms.gateways.web.told import (
    Told,
    decimal_told,
    ended,
    fill_told,
    order_told,
    reports_told,
)
from oms.gateways.web.words import (
    ID,
    Body,
    CursorText,
    DecimalText,
    WholeText,
    decimal_text,
    parse_json,
    read_query,
    shortest,
    typed,
)
from oms.manager import OrderManagement
from oms.reject_reasons import RejectReason, mass_cancel_reason
from oms.requests import MassCancelRequest, OrderRequest, OrderTerms
from oms.requests.orders import SEQUENCE_MAX
from oms.responses import OrderResponse

Id = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=64, pattern=ID,
        description="1 to 64 printable ASCII characters, no quote or backslash.",
    ),
]  # fmt: skip
PLACED, CHANGED = Answer(OrderTold, (200, 201, 202)), Answer(OrderTold, (200, 202))
TURN_MAX = 100_000  # requests, see [queue] batch_max
BATCH_MAX = 20
WAIT_S = 30
PAGE, PAGE_MAX = 100, 1_000
Why = Annotated[str, msgspec.Meta(max_length=200)]
COUNT = Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)]


class WithReports(Body):
    """reports: the answer has the execution reports that it is told from, as `reports`."""

    reports: bool = False


class NewOrder(WithReports, kw_only=True):
    """An order to place. Without clientOrderId the gateway makes one, and a retry is no longer
    safe: it may be an order again. expireTime: nanoseconds since 1970, of a GTD order."""

    symbol: Id
    side: Side
    type: OrderType = OrderType.LIMIT
    quantity: DecimalText | None = None
    price: DecimalText | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    client_order_id: Id | None = None
    account: Id | None = None
    hold: bool = False
    stop_price: DecimalText | None = None
    display_quantity: DecimalText | None = None
    post_only: PostOnly | None = None
    expire_time: WholeText | None = None
    min_quantity: DecimalText | None = None
    quote_quantity: DecimalText | None = None
    protection_price: DecimalText | None = None
    oco_with: Id | None = None
    self_trade: SelfTrade | None = None


class Change(WithReports):
    """A change of an order that is open; what is left out stays. quantity: the new total, fills
    included. The order is named by orderId or origClientOrderId; clientOrderId is the change's."""

    order_id: WholeText | None = None
    orig_client_order_id: Id | None = None
    client_order_id: Id | None = None
    account: Id | None = None
    price: DecimalText | None = None
    quantity: DecimalText | None = None
    stop_price: DecimalText | None = None
    display_quantity: DecimalText | None = None


class Named(WithReports):
    """Which order: by orderId, or by any clientOrderId it has had."""

    order_id: WholeText | None = None
    orig_client_order_id: Id | None = None
    client_order_id: Id | None = None
    account: Id | None = None


class Looked(Named):
    """The same. ahead: the answer has `aheadQuantity`, where the order rests in the book."""

    ahead: bool = False


class CancelAll(WithReports):
    """Which open orders to cancel: all of the account, or those of a symbol or a side. why: for
    the record."""

    account: Id | None = None
    symbol: Id | None = None
    side: Side | None = None
    why: Why = ""
    client_order_id: Id | None = None


class OpenOrders(WithReports):
    """Of which account and symbol; after: the orderId behind which the page begins. ahead: orders
    have `aheadQuantity`, where they rest in the book."""

    ahead: bool = False
    account: Id | None = None
    symbol: Id | None = None
    after: CursorText = START
    limit: COUNT = PAGE


class Waiting(Body):
    """wait=done: answer once the order is over; 202 with the order as it stands if that takes
    longer than `seconds`."""

    wait: str | None = None
    seconds: Annotated[int, msgspec.Meta(ge=1, le=WAIT_S)] = WAIT_S


AT_ONCE = Waiting()

# --- placing ---


async def place(ask: Ask, body: NewOrder) -> Reply:
    waiting = read_query(Waiting, ask.query) if ask.query else AT_ONCE
    if waiting.wait not in (None, "done"):
        raise ValidationError("wait", waiting.wait, "done")
    request = new_request(ask, body)
    response = await ask.submit(request)
    if not waiting.wait or response.refused or ended(response):
        return await placed(ask, body, request, response)
    door = ask.door
    now = await door.ends.wait(response, waiting.seconds)
    told = await door.order_told(now)
    told["fills"] = await door.looked(fills_told, door.oms_of(now.symbol), request.account, now)
    if body.reports:
        told["reports"] = reports_told(response)
    if response.repeated:
        return Reply(told, 200 if ended(now) else 202, dict(REPLAYED))
    return Reply(told, 201 if ended(now) else 202)


@OUR_FIELDS
def new_request(ask: Ask, body: NewOrder) -> OrderRequest:
    """The library's request for what the body says."""
    terms = None
    if body.type is not OrderType.LIMIT or _has_terms(body):
        terms = OrderTerms(
            stop_price=decimal_text(body.stop_price),
            display_quantity=decimal_text(body.display_quantity),
            post_only=body.post_only,
            expire_ns=_nanoseconds("expireTime", body.expire_time),
            min_quantity=decimal_text(body.min_quantity),
            quote_quantity=decimal_text(body.quote_quantity),
            protection_price=decimal_text(body.protection_price),
            oco_with=body.oco_with or "",
            self_trade=body.self_trade,
        )
    return OrderRequest(
        type=RequestType.NEW,
        account=ask.account(body.account),
        client_order_id=body.client_order_id or made_id(),
        symbol=body.symbol,
        side=body.side,
        order_type=body.type,
        price=decimal_text(body.price),
        quantity=decimal_text(body.quantity),
        time_in_force=body.time_in_force,
        hold=body.hold,
        terms=terms,
        origin=ask.origin,
    )


def _has_terms(body: NewOrder) -> bool:
    return not (
        body.stop_price is body.display_quantity is body.post_only is body.expire_time
        is body.min_quantity is body.quote_quantity is body.protection_price is body.oco_with
        is body.self_trade is None
    )  # fmt: skip


def _nanoseconds(name: str, text: str | None) -> int:
    value = int(text or 0)
    if value > SEQUENCE_MAX:
        raise ValidationError(name, text, "nanoseconds since 1970")
    return value


def made_id() -> str:
    """An id for a request that came without one; nobody else has it."""
    return f"g-{secrets.token_hex(12)}"


async def placed(ask: Ask, body: NewOrder, request: OrderRequest, response: OrderResponse) -> Reply:
    """201 accepted, 202 it waits, 200 known already; a refusal is raised with its order."""
    refused, repeated = response.refused, response.repeated
    # What the order's last report says may be no answer: its rest was canceled, say, because it met
    # an order of the same account. A refusal always is one.
    if repeated or (refused and response.order_id != response.request_seq):
        order = await ask.door.order_told(response)  # under this id there was an order before
        if refused:
            raise refusal(response, order, reports=body.reports)
    else:
        order = order_told(response, None) | asked_told(body, request)
        if refused:
            recorded = order if response.journal_seq else None
            raise refusal(response, recorded, reports=body.reports)
    if body.reports:
        order["reports"] = reports_told(response)
    order["fills"] = [fill_told(each) for each in response.trades[:FILLS_MAX]]
    if repeated:
        return Reply(order, 200, dict(REPLAYED))
    return Reply(order, 202 if response.report.state in ("PENDING_NEW", "UNKNOWN") else 201)


def asked_told(body: NewOrder, request: OrderRequest) -> Told:
    """What a new order is for, as `details_told` has it, without a look into the store."""
    told: Told = {
        "clientOrderId": request.client_order_id, "type": body.type,
        "timeInForce": body.time_in_force, "price": shortest(body.price),
        "quantity": shortest(body.quantity),
    }  # fmt: skip
    if body.hold:
        told["hold"] = True
    if request.terms is None:  # by far the most
        return told
    terms = {
        "stopPrice": shortest(body.stop_price),
        "displayQuantity": shortest(body.display_quantity), "postOnly": body.post_only,
        "expireTime": body.expire_time, "minQuantity": shortest(body.min_quantity),
        "quoteQuantity": shortest(body.quote_quantity),
        "protectionPrice": shortest(body.protection_price), "ocoWith": body.oco_with,
        "selfTrade": body.self_trade,
    }  # fmt: skip
    return told | {name: value for name, value in terms.items() if value is not None}


async def place_many(ask: Ask, _: None) -> Reply:
    """One order, or a list of them: each is answered alone, in the order of the list."""
    given = parse_json(ask.body)
    if isinstance(given, dict):
        return await place(ask, typed(NewOrder, given))
    if not isinstance(given, list) or not 1 <= len(given) <= BATCH_MAX:
        raise ValidationError("body", None, f"an order, or a list of 1 to {BATCH_MAX} orders")
    bodies: list[NewOrder] = []
    requests: list[OrderRequest] = []
    for place_, item in enumerate(given):
        if not isinstance(item, dict):
            raise ValidationError(f"[{place_}]", item, "an order")
        try:
            bodies.append(typed(NewOrder, item))
            requests.append(new_request(ask, bodies[-1]))
        except ValidationError as error:
            where = f"[{place_}].{error.field}"
            raise ValidationError(where, error.value, error.expected) from None
    left = ask.door.allow(ORDER, ask.client, len(requests) - 1)  # one was counted as the request
    futures = [ask.oms.try_submit(each) for each in requests]
    told: list[Told] = []
    for body, request, future in zip(bodies, requests, futures, strict=True):
        try:
            reply = await placed(ask, body, request, await ask.door.settled(future))
            told.append({"status": reply.status, "order": reply.told})
        except HttpError as error:
            reply = error_reply(error, ask.request_id)
            told.append({"status": reply.status, **reply.told})
    return Reply(told, 200, left.headers)


async def test(ask: Ask, body: NewOrder) -> Reply:
    """What would become of the order now; nothing is recorded."""
    return await _tried(ask, new_request(ask, body))


async def test_modify(ask: Ask, body: Change) -> Reply:
    """What would become of the change now. reserved: what the order would have reserved then."""
    return await _tried(ask, _modify(ask, body))


async def test_cancel(ask: Ask, named: Named) -> Reply:
    """What would become of the cancel now."""
    return await _tried(ask, _cancel(ask, named))


async def _tried(ask: Ask, request: OrderRequest) -> Reply:
    found = await ask.door.answered(ask.oms.dry_run(request))
    if found.reason is not None:
        raise HttpError(
            found.reason.http, found.reason.value, reason_told(found.text),
            number=found.reason.api, field=field_of(found.reason, found.text),
        )  # fmt: skip
    room = found.room
    return Reply(
        {
            "accepted": True, "reserved": decimal_told(found.reserved),
            "asset": found.asset or None,
            "room": room and {
                "orders": room.orders, "quantity": decimal_told(room.quantity),
                "value": decimal_told(room.value),
            },
        }
    )  # fmt: skip


# --- changing and canceling ---


async def modify(ask: Ask, body: Change) -> Reply:
    return await changed(ask, await ask.submit(_modify(ask, body)), body.reports)


@OUR_FIELDS
def _modify(ask: Ask, body: Change) -> OrderRequest:
    order_id, client_order_id = _which(ask, body.order_id, body.orig_client_order_id)
    terms = None
    if body.stop_price is not None or body.display_quantity is not None:
        terms = OrderTerms(
            stop_price=decimal_text(body.stop_price),
            display_quantity=decimal_text(body.display_quantity),
        )
    return OrderRequest(
        type=RequestType.MODIFY,
        account=ask.account(body.account),
        client_order_id=body.client_order_id or made_id(),
        orig_client_order_id=client_order_id,
        order_id=order_id,
        price=decimal_text(body.price),
        quantity=decimal_text(body.quantity),
        terms=terms,
        origin=ask.origin,
    )


async def cancel(ask: Ask, named: Named) -> Reply:
    return await changed(ask, await ask.submit(_cancel(ask, named)), named.reports)


def _cancel(ask: Ask, named: Named) -> OrderRequest:
    """clientOrderId alone names the order, not the cancel."""
    own_id = named.client_order_id
    original = named.orig_client_order_id
    if named.order_id is None and original is None and "id" not in ask.path:
        own_id, original = None, named.client_order_id
    order_id, client_order_id = _which(ask, named.order_id, original)
    with OUR_FIELDS:
        return OrderRequest(
            type=RequestType.CANCEL,
            account=ask.account(named.account),
            client_order_id=own_id or made_id(),
            orig_client_order_id=client_order_id,
            order_id=order_id,
            origin=ask.origin,
        )


async def changed(ask: Ask, response: OrderResponse, reports: bool) -> Reply:
    """200 done, 202 on its way; a refusal is raised, with the order if there is one."""
    is_order = response.order_id != response.request_seq
    order = await ask.door.order_told(response) if is_order else None
    if response.refused:
        raise refusal(response, order, reports=reports)
    if reports and order is not None:
        order["reports"] = reports_told(response)
    headers = dict(REPLAYED) if response.repeated else {}
    pending = response.report.state in ("PENDING_CANCEL", "PENDING_REPLACE", "UNKNOWN")
    return Reply(order, 202 if pending else 200, headers)


def _which(ask: Ask, order_id: str | None, client_order_id: str | None) -> tuple[int, str]:
    """The one name of the order: from the path, else of the two the one that is given."""
    named = ask.path.get("id")
    if named is not None:
        if order_id is not None or client_order_id is not None:
            raise ValidationError("orderId", order_id or client_order_id, "none beside the path's")
        is_number = named.isascii() and named.isdecimal() and len(named) <= 19
        order_id, client_order_id = (named, None) if is_number else (None, named)
    if (order_id is None) == (client_order_id is None):
        raise ValidationError("orderId", order_id, "one of orderId and origClientOrderId")
    number = int(order_id) if order_id is not None else 0
    if order_id is not None and not 1 <= number <= SEQUENCE_MAX:
        raise ValidationError("orderId", order_id, f"1 to {SEQUENCE_MAX}")
    return number, client_order_id or ""


async def cancel_all(ask: Ask, body: CancelAll) -> Reply:
    """Each order that is canceled is told by its id."""
    account = ask.account(body.account)
    response = await ask.submit(
        MassCancelRequest(
            account=account,
            client_order_id=body.client_order_id or made_id(),
            symbol=body.symbol or "",
            side=body.side,
            why=body.why,
            origin=ask.origin,
        )
    )
    if response.refused:
        raise refusal(response, reports=body.reports)
    canceled = await ask.door.in_thread(_canceled, ask, response, body.symbol or "")
    headers = dict(REPLAYED) if response.repeated else {}
    told = {**response.facts, "orders": canceled, **silent_told(response)}
    if body.reports:
        told["reports"] = reports_told(response)
    return Reply(told, 202 if response.silent else 200, headers)


def silent_told(response: OrderResponse) -> Told:
    """The groups of which it is not known whether they did it."""
    return {"silent": list(response.silent)} if response.silent else {}


def _canceled(ask: Ask, done: OrderResponse, symbol: str) -> list[Told]:
    """The same of every group that it went to: all, or that of the symbol."""
    told: list[Told] = []
    for group, answer in done.answers.items():
        name = group or ask.door.group_of(symbol)
        if name in ask.oms.groups:  # else there never was such a symbol
            named = {"group": name} if name else {}
            told += [{**each, **named} for each in _canceled_by(ask.oms.groups[name], answer)]
    return told


def _canceled_by(oms: OrderManagement, done: OrderResponse) -> list[Told]:
    """The orders that its turn says this mass cancel ended, or is about to end; also when it is
    asked for again, unless that turn lies too far back."""
    asked = done.order_id  # the entry of the first request; its turn ends some requests later
    upto = min(done.journal_seq, asked + TURN_MAX)
    found = oms.reports_after(done.account, asked, upto) or []
    reason = mass_cancel_reason(done.account, done.client_order_id)
    told = orders_told(oms, [each for each in found if each.text == reason])
    return [{name: each[name] for name in ("orderId", "clientOrderId", "status")} for each in told]


# --- looking ---


async def order(ask: Ask, named: Looked) -> Reply:
    """How one order stands. Asked behind every request that came before: an id that is answered
    404 was never handed over before."""
    order_id, client_order_id = _which(
        ask, named.order_id, named.orig_client_order_id or named.client_order_id
    )
    account = ask.seen_account(named.account)
    found = await ask.door.order(account, order_id or client_order_id, reports=named.reports)
    if found is None:
        reason = RejectReason.UNKNOWN_ORDER
        raise HttpError(404, reason.value, "the account has no such order", number=reason.api)
    if named.ahead:
        await _tell_ahead(ask, [found])
    return Reply(found)


async def _tell_ahead(ask: Ask, orders: list[Told]) -> None:
    """What is shown ahead of each at its price, as the book stands now; nothing of those that do
    not rest."""
    by_symbol: dict[str, list[Told]] = {}
    for each in orders:
        by_symbol.setdefault(each["symbol"], []).append(each)
    for symbol, some in by_symbol.items():
        if symbol not in ask.oms.instruments():
            continue
        ids = [int(each["orderId"]) for each in some]
        ahead = await ask.door.answered(ask.oms.queue_ahead(symbol, ids))
        for each, order_id in zip(some, ids, strict=True):
            if order_id in ahead:
                each["aheadQuantity"] = decimal_told(ahead[order_id])


async def open_orders(ask: Ask, page: OpenOrders) -> Reply:
    account, groups = ask.seen_account(page.account), groups_of(ask, page.symbol, None)

    def look(oms: OrderManagement, place: str) -> Page:
        after = cursor("after", place)
        those = [
            each for each in oms.open_orders(account)
            if each.order_id > after and page.symbol in (None, each.symbol)
        ]  # fmt: skip
        some = those[: page.limit]
        ids = [each.order_id for each in some]
        placed_ns = oms.placed_ns(ids) if len(groups) > 1 else {}
        told = orders_told(oms, some, reports=page.reports)
        rows = [
            Row(placed_ns.get(order_id, 0), str(order_id), each)
            for order_id, each in zip(ids, told, strict=True)
        ]
        return Page(rows, rows[-1].place if len(those) > page.limit else None)

    found = await ask.door.in_thread(
        partial(merged, groups, look, "after", page.after, page.limit, newest_first=False)
    )
    told = [each.told for each in found.rows]
    if page.ahead:
        await _tell_ahead(ask, told)
    return Reply({"orders": told, "next": found.next})


def cursor(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) > SEQUENCE_MAX:
        raise ValidationError(name, text, f"0 to {SEQUENCE_MAX}")
    return int(text)


def entries() -> list[Entry]:
    trade, read = Right.TRADE, Right.READ
    return [
        Entry("POST", "/order", place, trade, "place an order", NewOrder, Waiting, ORDER,
              PLACED),
        Entry("POST", "/order/test", test, trade, "what would become of an order", NewOrder,
              answer=Answer(Tried)),
        Entry("PATCH", "/order/test", test_modify, trade, "what would become of a change", Change,
              answer=Answer(Tried)),
        Entry("DELETE", "/order/test", test_cancel, trade, "what would become of a cancel", Named,
              Named, answer=Answer(Tried)),
        Entry("PATCH", "/order", modify, trade, "change an order", Change, None, ORDER,
              CHANGED),
        Entry("DELETE", "/order", cancel, trade, "cancel an order", Named, Named, CANCEL,
              CHANGED),
        Entry("GET", "/order", order, read, "how an order stands", query=Looked,
              answer=Answer(OrderTold)),
        Entry("GET", "/orders/open", open_orders, read, "open orders, oldest first",
              query=OpenOrders, answer=Answer(OrderPageTold)),
        Entry(
            "POST", "/order/cancel_all", cancel_all, trade, "cancel what is open", CancelAll,
            CancelAll, CANCEL, Answer(CanceledAll, (200, 202)),
        ),
        Entry("POST", "/orders", place_many, trade, "place one order or several",
              query=None, cost=ORDER, sent=NewOrder | list[NewOrder],
              answer=Answer(OrderTold | list[OneOfMany], (200, 201, 202))),
        Entry("PATCH", "/orders/{id}", modify, trade, "change an order", Change, None, ORDER,
              CHANGED),
        Entry("DELETE", "/orders/{id}", cancel, trade, "cancel an order", Named, Named, CANCEL,
              CHANGED),
        Entry("GET", "/orders/{id}", order, read, "how an order stands", query=Looked,
              answer=Answer(OrderTold)),
    ]  # fmt: skip
