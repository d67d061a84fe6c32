"""What crosses the network is what was meant: requests there, reports back, to the last field."""

import random
import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from oms import ManualClock, MemoryStore, OrderManagement
from oms.client.said import call_of
from oms.client.told import answer_of, report_of, traded_of, update_of
from oms.config import ExchangeConfig
from oms.enums import OrderType, PostOnly, SelfTrade, Side, TimeInForce
from oms.gateways.gate import Caller
from oms.gateways.web.events import report_event, trade_event
from oms.gateways.web.front import Ask
from oms.gateways.web.told import levels_told, report_told, reports_told
from oms.gateways.web.trading import Change, Named, NewOrder, _modify, _which, new_request
from oms.gateways.web.words import parse_json, typed
from oms.market_data import DepthUpdate, TradePrint
from oms.requests import FundsRequest, OrderRequest, OrderTerms
from oms.users import AccessScope
from tests.examples import many
from tests.fakes import config_of
from tests.web.doors import INSTRUMENTS

NUMBERS = st.one_of(
    st.integers(1, 10**6), st.decimals("0.0001", "99999", places=4),
    st.sampled_from(["1", "100.50", "0.00000001"]), st.floats(1e-7, 1e6),
)  # fmt: skip
IDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=64)


@st.composite
def new_orders(draw):
    kind = draw(st.sampled_from(OrderType))
    terms = draw(st.none() | st.just(OrderTerms()))
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT) or draw(st.booleans()):
        optional = st.none() | NUMBERS
        terms = OrderTerms(
            stop_price=draw(NUMBERS), display_quantity=draw(optional),
            post_only=draw(st.none() | st.sampled_from(PostOnly)),
            expire_ns=draw(st.integers(1, 2**63 - 1)), min_quantity=draw(optional),
            quote_quantity=draw(optional), protection_price=draw(optional),
            oco_with=draw(st.just("") | IDS),
            self_trade=draw(st.none() | st.sampled_from(SelfTrade)),
        )  # fmt: skip
    return {
        "type": "NEW", "account": "ann", "client_order_id": draw(IDS), "symbol": "BTC_USD",
        "side": draw(st.sampled_from(Side)), "order_type": kind, "quantity": draw(NUMBERS),
        "price": draw(NUMBERS) if "LIMIT" in kind.value else None,
        "time_in_force": draw(st.sampled_from(TimeInForce)), "hold": draw(st.booleans()),
        "terms": terms,
    }  # fmt: skip


def asked(path=None):
    """A request of Ann's, at a door of which nothing is looked at."""
    caller = Caller("ann", "trader", frozenset(AccessScope), ("ann",))
    return Ask(None, "1.1", {}, "", path or {}, "", b"", caller)


def even(value):
    """A number of any form as one that compares; all else as it is."""
    if isinstance(value, OrderTerms):
        return [even(getattr(value, name)) for name in value.__slots__]
    if isinstance(value, float):
        return Fraction(Decimal(repr(value)))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Fraction(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return Fraction(value)
    return value


def same_lines(one, other):
    """But for the origin, and the forms of numbers that are the same."""
    assert [even(v) for v in one[:-1]] == [even(v) for v in other[:-1]]


@settings(max_examples=many(200))
@given(new_orders())
def test_an_order_is_read_as_the_one_that_was_meant(fields):
    try:
        request = OrderRequest(**fields)
    except ValueError:
        return  # the library makes no such order
    body = typed(NewOrder, parse_json(call_of(request).content))
    same_lines(request.line, new_request(asked(), body).line)


@settings(max_examples=many(50))
@given(IDS, IDS, st.none() | NUMBERS, NUMBERS, st.booleans())
def test_changes_and_cancels_are_read_as_they_were_meant(own, other, price, quantity, by_number):
    named = {"order_id": 17} if by_number else {"orig_client_order_id": other}
    ids = {"account": "ann", "client_order_id": own, **named}
    change = OrderRequest(type="MODIFY", price=price, quantity=quantity, **ids)
    body = typed(Change, parse_json(call_of(change).content))
    same_lines(change.line, _modify(asked(), body).line)
    cancel = OrderRequest(type="CANCEL", **ids)
    said = typed(Named, parse_json(call_of(cancel).content))
    assert said.client_order_id == own
    order_id, orig = _which(asked(), said.order_id, said.orig_client_order_id)
    assert (orig or order_id) == cancel.line[3]


def flow(oms, steps, seed):
    """Orders of all sorts of two accounts with money; what each request was answered."""
    chance, ids = random.Random(seed), []
    for account in ("ann", "bob"):
        yield oms.submit(FundsRequest(account=account, client_order_id="c", action="CREATE"))
        for asset in ("BTC", "USD"):
            yield oms.submit(FundsRequest(
                account=account, client_order_id=f"d-{asset}", action="DEPOSIT", asset=asset,
                amount="1000",
            ))  # fmt: skip
    for step in range(steps):
        account = chance.choice(("ann", "bob"))
        price = f"{chance.randint(95, 105)}.{chance.randint(0, 99):02}"
        if ids and chance.random() < 0.2:
            other = chance.choice(ids)
            cancel = OrderRequest.cancel(account, f"x-{step}", other)
            change = OrderRequest.modify(account, f"x-{step}", other, quantity="3")
            yield oms.submit(chance.choice((cancel, change)))
            continue
        ids.append(f"o-{step}")
        side, tif = chance.choice(("BUY", "SELL")), chance.choice(("GTC", "IOC"))
        yield oms.submit(OrderRequest.new(
            account, f"o-{step}", chance.choice(["BTC_USD"] * 9 + ["NO_SUCH"]), side,
            f"{chance.randint(1, 9)}.{chance.randint(0, 9)}", price, time_in_force=tif,
        ))  # fmt: skip


def test_every_report_and_event_comes_back_as_it_was():
    """Of a long flow, with fees and every sort of report: the same, whichever way it is told."""
    instruments = (replace(INSTRUMENTS[0], maker_fee_bps=-1, taker_fee_bps=7), INSTRUMENTS[1])
    config = config_of(exchange=ExchangeConfig(ledger=True), instruments=instruments)
    heard, events = [], []
    with OrderManagement(config, store=MemoryStore(), clock=ManualClock()) as oms:
        oms.add_listener(heard.append)
        oms.add_market_listener(events.append)
        answers = [each.result(10) for each in flow(oms, 400, seed=5)]
        known = oms.instruments().get
    assert len({each.type for each in heard}) >= 7
    for each in heard:
        assert report_of(report_told(each), known) == each
        assert report_of(report_event(each)["data"], known) == each
    for answer in answers:
        again = answer_of({"reports": reports_told(answer)}, known)
        assert (again, again.reports, again.trades) == (answer, answer.reports, answer.trades)
        assert (again.refused, again.reason, again.facts, again.average_price) == (
            answer.refused, answer.reason, answer.facts, answer.average_price,
        )  # fmt: skip
    instrument = instruments[0]
    scales = instrument.price_scale, instrument.quantity_scale
    for event in events:
        if isinstance(event, TradePrint):
            nobodys = event._replace(number=3, buy_order_id=0, sell_order_id=0)
            assert traded_of(trade_event(event, 3), instrument) == nobodys
        elif isinstance(event, DepthUpdate):
            told = {
                "seq": str(event.seq), "firstId": str(event.first_id),
                "lastId": str(event.last_id), "bids": levels_told(event.bids_ticks, scales),
                "asks": levels_told(event.asks_ticks, scales),
            }  # fmt: skip
            assert update_of(told, instrument) == replace(event, number=0)
