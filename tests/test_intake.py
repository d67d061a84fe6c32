"""Intake: what a request becomes, decided by what is known when its turn comes."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms import (
    FundsAction,
    FundsRequest,
    Instrument,
    OrderRequest,
    OrderTerms,
    RejectReason,
    ResponseType,
    Side,
)
from oms.enums import OrderState
from oms.turn import claims
from tests.examples import many
from tests.fakes import Stepped, brief, buy, cancel, config_of, modify, sell, throttled

GRID = Instrument(symbol="GRID", price_scale=2, quantity_scale=1, tick_size=5, lot_size=10)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (buy("A", 1, "100.01", symbol="GRID"), RejectReason.PRICE_INVALID),
        (buy("A", 1, "0.001", symbol="GRID"), RejectReason.PRICE_INVALID),
        (buy("A", 1, -100, symbol="GRID"), RejectReason.PRICE_INVALID),
        (buy("A", 1, "abc", symbol="GRID"), RejectReason.PRICE_INVALID),
        (buy("A", "0.5", 100, symbol="GRID"), RejectReason.QUANTITY_INVALID),
        (buy("A", 0, symbol="GRID"), RejectReason.QUANTITY_INVALID),
        (buy("A", float("nan"), 100, symbol="GRID"), RejectReason.QUANTITY_INVALID),
        (buy("A", 1, 100, symbol="NONE"), RejectReason.SYMBOL_UNKNOWN),
    ],
)
def test_an_order_that_does_not_fit_is_rejected_with_what_would(start_stepped, request_, reason):
    """Answered, not raised: it is on record, and its id is used."""
    desk = start_stepped(config_of(instruments=(GRID,)))
    answer = desk.ask(request_)
    assert (answer.type, answer.state) == (ResponseType.REJECTED, OrderState.REJECTED)
    assert answer.reason is reason
    assert answer.text.startswith(f"{reason}: ")
    assert (answer.symbol, answer.side) == (request_.symbol, Side.BUY)
    assert answer.journal_seq > 0
    assert desk.oms.get_order("me", "A") == answer


@pytest.mark.parametrize("terms", [{"price": "100.01"}, {"quantity": "0.5"}, {"quantity": "x"}])
def test_a_modify_that_does_not_fit_leaves_the_order_as_it_is(start_stepped, terms):
    """The refusal tells how the order stands."""
    desk = start_stepped(config_of(instruments=(GRID,)))
    desk.send(buy("A", 3, 100, symbol="GRID"))
    answer = desk.ask(modify("M", "A", **terms))
    assert (answer.type, answer.state) == (ResponseType.CANCEL_REJECTED, OrderState.NEW)
    assert answer.reason in (RejectReason.PRICE_INVALID, RejectReason.QUANTITY_INVALID)
    assert answer.leaves_quantity == 3
    assert desk.oms.get_order("me", "A").order_id == answer.order_id


def test_a_waiting_market_order_takes_a_new_quantity_but_no_price(start_stepped):
    """It has none, and cannot become a limit order."""
    desk = start_stepped(throttled())
    desk.send(buy("0", 1, 100), buy("A", 3))
    assert desk.ask(modify("M", "A", price=100)).reason is RejectReason.PRICE_INVALID
    assert desk.ask(modify("N", "A", quantity=2)).leaves_lots == 2


def test_who_changes_an_order_that_is_over_comes_too_late(stepped):
    """By any id the order has had, the cancel's included; with how it ended."""
    desk = stepped
    desk.send(buy("A", 2, 100), modify("M", "A", quantity=1), cancel("C", "M"))
    for number, orig in enumerate(("A", "M", "C")):
        answer = desk.ask(cancel(f"D{number}", orig))
        assert answer.text == "TOO_LATE: state=CANCELED"
        assert (answer.type, answer.state) == (ResponseType.CANCEL_REJECTED, OrderState.CANCELED)


def test_who_changes_an_order_that_never_was_is_told_so(stepped):
    """One that was rejected is none, either."""
    desk = stepped
    desk.send(buy("R", "0.5", 100), cancel("C", "R"))
    for number, orig in enumerate(("nobody", "R", "C")):
        answer = desk.ask(modify(f"D{number}", orig, quantity=1))
        assert answer.text == f"UNKNOWN_ORDER: orig={orig}"
        assert (answer.type, answer.state) == (ResponseType.CANCEL_REJECTED, OrderState.REJECTED)


def test_the_id_of_a_refused_change_is_no_name_of_the_order(start_stepped):
    """The order is open, and has its own."""
    desk = start_stepped(throttled())
    desk.send(buy("A", 1, 100), cancel("C", "A"), cancel("D", "A"))
    assert desk.ask(cancel("E", "D")).text == "UNKNOWN_ORDER: orig=D"
    assert desk.ask(cancel("F", "C")).text == "ALREADY_PENDING"


def test_a_request_that_names_itself_is_unknown(stepped):
    """The mistake of giving one id for both; the id was claimed, but by this very request."""
    assert stepped.ask(cancel("A", "A")).reason is RejectReason.UNKNOWN_ORDER
    assert stepped.ask(modify("B", "B", quantity=1)).reason is RejectReason.UNKNOWN_ORDER


def test_a_cancel_that_overtakes_its_order_in_one_batch_is_unknown(stepped):
    """A turn claims all its ids at once; what comes later in the turn is not there yet."""
    told = stepped.send(
        cancel("C", "A"), buy("A", 1, 100), cancel("D", "E"), modify("E", "D", price=1)
    )
    assert told == [
        "C CANCEL_REJECTED/REJECTED", "A NEW/NEW", "D CANCEL_REJECTED/REJECTED",
        "E CANCEL_REJECTED/REJECTED",
    ]  # fmt: skip


def test_a_life_in_one_batch_is_told_step_by_step(start_stepped):
    """New, modify, cancel, and a cancel of the modify's id: all before anything was sent."""
    desk = start_stepped(throttled())
    desk.send(buy("0", 1, 100))
    told = desk.send(buy("A", 3, 100), modify("M", "A", quantity=2), cancel("C", "M"),
                     cancel("D", "M"), cancel("E", "C"))  # fmt: skip
    assert told == [
        "A PENDING_NEW/PENDING_NEW", "M REPLACED/PENDING_NEW", "C CANCELED/CANCELED",
        "D CANCEL_REJECTED/CANCELED", "E CANCEL_REJECTED/CANCELED",
    ]  # fmt: skip


def test_a_long_chain_of_modifies_is_followed_to_its_order(stepped):
    """Each modify names the id before it; after the end any of them finds the order."""
    stepped.send(buy("m0", 1_000, 100))
    for first in range(1, 300, 100):
        stepped.send(*(
            modify(f"m{n}", f"m{n - 1}", quantity=1_000 - n) for n in range(first, first + 100)
        ))  # fmt: skip
    stepped.send(cancel("C", "m300"))
    order_id = stepped.oms.get_order("me", "m0").order_id
    for name in ("m0", "m1", "m150", "m300", "C"):
        assert stepped.ask(cancel(f"D{name}", name)).text == "TOO_LATE: state=CANCELED"
        assert stepped.oms.get_order("me", name).order_id == order_id


ABSURD = [
    pytest.param(10**5000, id="10**5000"), "9" * 100_000, 1e308, float("inf"), Decimal("sNaN"),
    Decimal("1e999999"), "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("quantity", ABSURD)
def test_an_absurd_number_is_refused_with_a_short_text(stepped, quantity):
    """Python refuses to write some of them out; the journal must not hold megabytes of them."""
    answer = stepped.ask(buy("A", quantity, 100))
    assert answer.reason is RejectReason.QUANTITY_INVALID
    assert len(answer.text) < 250


@pytest.mark.parametrize("number", ABSURD)
def test_an_absurd_number_is_refused_in_any_request(stepped, number):
    """Of a modify, of terms, of money; for an order that there is and for one that is not."""
    stepped.send(buy("A", 1, 100))
    for request in (
        modify("1", "A", price=number), modify("2", "A", quantity=number),
        modify("3", "nobody", price=number), buy("4", 1, number),
        buy("5", 1, 100, terms=OrderTerms(min_quantity=number)),
        buy("6", number, 100, symbol="NONE"),
        FundsRequest(
            account="me", client_order_id="7", action=FundsAction.DEPOSIT, asset="USD",
            amount=number,
        ),
    ):  # fmt: skip
        for _ in range(2):
            answer = stepped.ask(request)
            assert answer.refused
            assert len(answer.text) < 250
    assert stepped.oms.get_depth("X", 5) == ([(100, 1)], [])
    assert stepped.refolded() == stepped.digest()


def test_a_request_of_a_class_derived_from_ours_is_a_request(stepped):
    """People put fields of their own into subclasses."""

    class Tagged(OrderRequest):
        pass

    for expected in (ResponseType.NEW, ResponseType.ORDER_STATUS):
        assert stepped.ask(Tagged.new("me", "A", "X", Side.BUY, 1, 100)).type is expected
    assert stepped.oms.get_depth("X", 1) == ([(100, 1)], [])


wishes = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 5), st.integers(0, 3)),
    min_size=1, max_size=12,
)  # fmt: skip


@given(st.lists(wishes, max_size=5))
@settings(max_examples=many(200))
def test_whatever_ids_a_batch_uses_each_request_is_answered_and_none_acts_twice(batches):
    """Five ids, used for anything, naming anything: the dispatcher survives, the journal agrees."""
    desk, accepted = Stepped(throttled(sends_max=3)).start(), []
    for batch in batches:
        requests = [_request(*wish) for wish in batch]
        answers = [desk.oms.submit(request) for request in requests]
        accepted += [r.order_id for r in desk.turn() if r.type is ResponseType.NEW]
        for request, answer in zip(requests, answers, strict=True):
            assert answer.result(0).client_order_id == request.client_order_id
        desk.clock.advance(0.5)
    assert len(set(accepted)) == len(accepted) <= 5
    assert desk.refolded() == desk.digest()


def _request(kind: int, name: int, orig: int, terms: int) -> OrderRequest:
    if kind < 2:
        request = (buy, sell)[kind](f"#{name}", 1 + terms, 100)
        return replace(request, symbol="NONE") if orig == 5 else request
    if kind == 2:
        return cancel(f"#{name}", f"#{orig}")
    return modify(f"#{name}", f"#{orig}", quantity="0.5" if terms == 3 else 1 + terms)


def test_a_batch_is_told_in_the_order_of_its_requests(stepped):
    """With permits left, each request meets the book before the next is looked at."""
    stepped.send(buy("A", 2, 100), buy("B", "x", 100), sell("S", 1, 100), cancel("C", "nobody"))
    rows = list(stepped.store.all_reports())
    numbers = [row[:2] for row in rows]
    assert numbers == sorted(set(numbers))
    assert brief([stepped.oms.publisher.response(row) for row in rows])[:2] == [
        "A NEW/NEW", "B REJECTED/REJECTED"
    ]  # fmt: skip


def test_the_content_of_an_order_does_not_hang_on_the_order_of_its_terms():
    """A line has them by name, a request as it declares them: made anew, the content is equal."""
    asked, journaled = {"post": "REJECT", "expire": 5}, {"expire": 5, "post": "REJECT"}
    assert claims.about_of("LIMIT", "GTD", asked) == claims.about_of("LIMIT", "GTD", journaled)
