"""Requests are checked when they are made; reports are views on what is stored."""

from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import Instrument, Liquidity, OrderRequest, OrderState, RejectReason, ResponseType, Side
from oms.errors import ValidationError
from oms.messages import OrderType, RequestType, TimeInForce
from oms.reports import ROW_COLUMNS, HopTimes, OrderResponse, refusal
from oms.requests import ID_LENGTH_MAX
from tests.fakes import buy, cancel, modify

NEW: dict[str, Any] = {
    "type": RequestType.NEW, "account": "me", "client_order_id": "A", "symbol": "X",
    "side": Side.BUY, "quantity": "1", "price": "100",
}  # fmt: skip
CANCEL: dict[str, Any] = {
    "type": RequestType.CANCEL, "account": "me", "client_order_id": "C",
    "orig_client_order_id": "A",
}  # fmt: skip


def test_the_short_ways_to_a_request_fill_in_the_rest():
    """A limit order where there is a price, a market order where there is none."""
    limit = OrderRequest.new("me", "A", "X", Side.BUY, "1", "100")
    market = OrderRequest.new("me", "B", "X", Side.SELL, 5)
    assert (limit.type, limit.order_type, limit.price) == (RequestType.NEW, OrderType.LIMIT, "100")
    assert (market.order_type, market.price, market.side) == (OrderType.MARKET, None, Side.SELL)
    assert limit.time_in_force is TimeInForce.GTC
    change = OrderRequest.modify("me", "M", "A", quantity="2", request_id="r1")
    assert (change.type, change.orig_client_order_id) == (RequestType.MODIFY, "A")
    assert (change.price, change.quantity, change.request_id) == (None, "2", "r1")
    assert OrderRequest.cancel("me", "C", "A").type is RequestType.CANCEL


def test_a_request_cannot_be_changed_after_the_check():
    """It crosses threads; nobody may alter it on the way."""
    with pytest.raises(FrozenInstanceError):
        buy("A", 1, 100).quantity = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "NEW"), ("account", ""), ("account", None), ("account", "a\nb"),
        ("client_order_id", "x" * 65), ("client_order_id", 'say "hi"'),
        ("client_order_id", "back\\slash"), ("client_order_id", "ümlaut"), ("symbol", ""),
        ("side", "BUY"), ("side", None), ("order_type", "LIMIT"), ("time_in_force", "GTC"),
        ("time_in_force", None), ("quantity", None), ("quantity", True), ("quantity", b"1"),
        ("price", [100]), ("price", None), ("hold", "yes"), ("hold", 1), ("request_id", "\x7f"),
    ],
)  # fmt: skip
def test_a_new_order_with_a_bad_field_is_refused_by_name(field, value):
    """Wrong types too: what the dispatcher is given, it can work with."""
    with pytest.raises(ValidationError) as caught:
        OrderRequest(**{**NEW, field: value})
    assert caught.value.field == field


def test_a_market_order_has_no_price():
    """Neither is left to guess."""
    with pytest.raises(ValidationError, match="price: expected none for MARKET, was '100'"):
        OrderRequest(**{**NEW, "order_type": OrderType.MARKET})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("orig_client_order_id", ""), ("orig_client_order_id", None), ("side", "BUY"),
        ("symbol", "a\tb"), ("hold", None),
    ],
)  # fmt: skip
def test_a_cancel_with_a_bad_field_is_refused_by_name(field, value):
    """Also in fields that a cancel does not need: its refusal repeats them."""
    with pytest.raises(ValidationError) as caught:
        OrderRequest(**{**CANCEL, field: value})
    assert caught.value.field == field


def test_a_modify_must_change_something():
    """A new price, a new quantity, or both."""
    with pytest.raises(ValidationError, match="a new price or a new quantity"):
        modify("M", "A")


@given(st.text(max_size=70))
def test_an_id_stands_in_json_as_it_is(text):
    """1 to 64 printable ASCII characters without quote or backslash; the journal relies on it."""
    fits = 1 <= len(text) <= ID_LENGTH_MAX and all(
        " " <= character <= "~" and character not in '"\\' for character in text
    )
    try:
        request = buy(text, 1, 100)
    except ValidationError:
        assert not fits
    else:
        assert fits and request.client_order_id == text


# --- reports ---

ROW = (
    12, 1, 7, 11, "me", "A", "BTC", "BUY", "TRADE", "PARTIALLY_FILLED", 10_050, 3_000, 5_000,
    1_000, str(10_050 * 3_000 + 10_000 * 2_000), "TAKER", "", 1_700_000_000_000_000_000, "-7", 5, 6,
)  # fmt: skip
BTC = Instrument(symbol="BTC", price_scale=2, quantity_scale=3)


def test_a_report_shows_its_row_in_words_and_exact_numbers():
    """3 at 100.50 after 2 at 100.00: the average is 100.3, exactly."""
    report = OrderResponse(ROW, BTC)
    assert report.execution_id == "12-1"
    assert (report.type, report.state) == (ResponseType.TRADE, OrderState.PARTIALLY_FILLED)
    assert (report.side, report.liquidity) == (Side.BUY, Liquidity.TAKER)
    assert (report.last_price, report.last_quantity) == (Decimal("100.5"), Decimal(3))
    assert (report.cumulative_quantity, report.leaves_quantity) == (Decimal(5), Decimal(1))
    assert report.average_price == Fraction("100.3")
    assert report.hops is None
    assert "client_order_id='A'" in repr(report)


def test_there_is_no_average_before_the_first_fill():
    """Rather than a zero that looks like a price."""
    unfilled = OrderResponse((*ROW[:10], 0, 0, 0, 6_000, "", *ROW[15:]), BTC)
    assert unfilled.average_price is None
    assert unfilled.notional == 0


def test_reports_are_equal_when_their_rows_are():
    """What a caller was told compares with what is on disk."""
    assert OrderResponse(ROW, BTC) == OrderResponse(ROW)
    assert len({OrderResponse(ROW, BTC), OrderResponse(ROW)}) == 1
    assert OrderResponse((13, *ROW[1:])) != OrderResponse(ROW)
    assert OrderResponse(ROW) != ROW
    assert len(ROW) == len(ROW_COLUMNS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", None),
        ("SESSION_CLOSED: symbol=X, tif=GTC", RejectReason.SESSION_CLOSED),
        ("TOO_LATE", RejectReason.TOO_LATE),
        ("QUEUED_THROTTLE", None),
        ("HELD_SESSION", None),
        ("whatever a venue says", None),
    ],
)
def test_the_reason_is_a_stable_code_where_there_is_one(text, reason):
    """A report that says why an order waits has a text and no reject reason."""
    report = OrderResponse((*ROW[:16], text, *ROW[17:]))
    assert report.reason is reason
    assert report.text == text


def test_the_hops_of_a_request_are_told_with_its_report():
    """From received to published, in the order they are passed."""
    report = OrderResponse(ROW, BTC, ("accepted", 1, 2, 3, 4, 5), (6, 7))
    assert report.hops == HopTimes(1, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("request_", "type_"),
    [
        (buy("A", 1, 100), ResponseType.REJECTED),
        (modify("M", "A", quantity=2), ResponseType.CANCEL_REJECTED),
        (cancel("C", "A"), ResponseType.CANCEL_REJECTED),
    ],
)
def test_a_request_turned_away_before_the_journal_leaves_no_number(request_, type_):
    """journal_seq 0: nothing is recorded, so the same id may be sent again."""
    report = refusal(request_, RejectReason.QUEUE_FULL, 5)
    assert (report.type, report.state) == (type_, OrderState.REJECTED)
    assert (report.reason, report.journal_seq, report.wall_ns) == (RejectReason.QUEUE_FULL, 0, 5)
    assert report.client_order_id == request_.client_order_id


def test_states_know_whether_they_are_final():
    """UNKNOWN is not: the venue still owes an answer."""
    final = {state for state in OrderState if state.terminal}
    assert final == {
        OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED
    }  # fmt: skip
