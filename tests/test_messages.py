"""Requests are checked when they are made; reports are views on what is stored."""

from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import (
    FundsAction,
    FundsRequest,
    Instrument,
    Liquidity,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    OrderState,
    OrderTerms,
    Origin,
    RejectReason,
    ResponseType,
    Side,
)
from oms.enums import OrderType, PostOnly, RequestType, Scope, TimeInForce
from oms.errors import ValidationError
from oms.reports import ROW_COLUMNS
from oms.requests.orders import ID_LENGTH_MAX
from oms.responses import HopTimes, OrderResponse, refused
from tests.fakes import buy, cancel, modify, report_of

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
    change = OrderRequest.modify("me", "M", "A", quantity="2", origin=Origin(request_id="r1"))
    assert (change.type, change.orig_client_order_id) == (RequestType.MODIFY, "A")
    assert (change.price, change.quantity, change.origin.request_id) == (None, "2", "r1")
    assert OrderRequest.cancel("me", "C", "A").type is RequestType.CANCEL


def test_a_request_cannot_be_changed_after_the_check(stepped):
    """It crosses threads; who alters it on the way changes nothing of what is handed over."""
    # given
    request = buy("A", 1, 100)
    line = request.line

    # when
    request.quantity, request.price, request.account = 2, None, ""
    told = stepped.ask(request)

    # then
    assert request.line is line and isinstance(line, tuple)
    assert (told.account, told.type, told.leaves_lots) == ("me", ResponseType.NEW, 1)
    # and the others cannot be altered at all
    for other in (
        FundsRequest(account="me", client_order_id="F", action=FundsAction.CREATE),
        MassCancelRequest(account="me", client_order_id="X"),
        OperatorRequest(client_order_id="O", action=OperatorAction.KILL),
    ):
        with pytest.raises(FrozenInstanceError):
            other.account = "you"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        OrderTerms(stop_price=1).stop_price = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "new"), ("account", ""), ("account", None), ("account", "a\nb"),
        ("client_order_id", "x" * 65), ("client_order_id", 'say "hi"'),
        ("client_order_id", "back\\slash"), ("client_order_id", "ümlaut"), ("symbol", ""),
        ("side", "buy"), ("side", None), ("side", "LIMIT"), ("order_type", "BUY"),
        ("time_in_force", "gtc"), ("side", OrderType.LIMIT),
        ("time_in_force", None), ("quantity", None), ("quantity", True), ("quantity", b"1"),
        ("price", [100]), ("price", None), ("hold", "yes"), ("hold", 1), ("origin", "me"),
        ("order_id", 7),
    ],
)  # fmt: skip
def test_a_new_order_with_a_bad_field_is_refused_by_name(field, value):
    """Wrong types too: what the dispatcher is given, it can work with."""
    with pytest.raises(ValidationError) as caught:
        OrderRequest(**{**NEW, field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_id", "\x7f"), ("user", "ü"), ("gateway", None), ("sequence", -1),
        ("sequence", True), ("sequence", 2**63),
    ],
)  # fmt: skip
def test_an_origin_with_a_bad_field_is_refused_by_name(field, value):
    """It is for the record, so it stands in the journal."""
    for fields in (NEW, CANCEL):
        with pytest.raises(ValidationError) as caught:
            OrderRequest(**fields, origin=Origin(**{field: value}))
        assert caught.value.field == field


def test_a_market_order_has_no_price():
    """Neither is left to guess."""
    with pytest.raises(ValidationError, match="price: expected none for MARKET, was '100'"):
        OrderRequest(**{**NEW, "order_type": OrderType.MARKET})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("orig_client_order_id", ""), ("orig_client_order_id", None), ("side", "B"),
        ("symbol", "a\tb"), ("hold", None), ("order_id", 7), ("order_id", -1), ("order_id", True),
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


@pytest.mark.parametrize(
    ("terms", "price", "kind"),
    [
        ({}, 100, OrderType.LIMIT), ({}, None, OrderType.MARKET),
        ({"stop_price": "90"}, None, OrderType.STOP), ({"stop_price": 1}, 1, OrderType.STOP_LIMIT),
        ({"protection_price": "80"}, None, OrderType.MARKET),
        ({"display_quantity": 1, "post_only": PostOnly.SLIDE, "oco_with": "a"}, 1, OrderType.LIMIT),
    ],
)  # fmt: skip
def test_terms_and_price_say_what_type_an_order_is(terms, price, kind):
    """And its terms are handed over as they are."""
    given_ = OrderTerms(**terms) if terms else None
    request = OrderRequest.new("me", "A", "X", Side.SELL, 1, price, terms=given_)
    assert request.order_type is kind
    assert given_ in request.line and kind.value in request.line


FUNDS = {"account": "a", "client_order_id": "b", "asset": "USD", "amount": 1}


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("price", lambda: buy("a", 1, True)),
        ("stop_price", lambda: OrderTerms(stop_price=b"1")),
        ("expire_ns", lambda: OrderTerms(expire_ns=-1)),
        ("price", lambda: OrderRequest(**{**NEW, "price": None})),
        ("amount", lambda: FundsRequest(**FUNDS | {"action": FundsAction.CREATE})),
        ("amount", lambda: FundsRequest(**FUNDS | {"action": FundsAction.DEPOSIT, "amount": True})),
        ("action", lambda: FundsRequest(**FUNDS, action="deposit")),
        ("asset", lambda: FundsRequest(**FUNDS | {"action": FundsAction.DEPOSIT, "asset": '"'})),
        ("to_account", lambda: FundsRequest(**FUNDS, action=FundsAction.TRANSFER)),
        ("to_account", lambda: FundsRequest(**FUNDS, action=FundsAction.DEPOSIT, to_account="c")),
        ("everybody", lambda: MassCancelRequest(account="a", client_order_id="b", everybody=True)),
        ("side", lambda: MassCancelRequest(account="a", client_order_id="b", side="LONG")),
        ("target", lambda: OperatorRequest(
            client_order_id="k", action=OperatorAction.KILL, scope=Scope.SYMBOL)),
        ("value", lambda: OperatorRequest(
            client_order_id="k", action=OperatorAction.SET_TRADING, value="sometimes")),
    ],
)  # fmt: skip
def test_any_request_is_checked_when_it_is_made(field, make):
    """By the name of the field that is wrong."""
    with pytest.raises(ValidationError, match=f"^{field}: "):
        make()


def test_equal_requests_are_equal():
    """What is derived does not count, and is not shown."""
    assert buy("A", 1, 100) == buy("A", 1, 100)
    assert buy("A", 1, 100) != buy("B", 1, 100)
    assert "line" not in repr(buy("A", 1, 100))


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

REPORT = report_of(
    12, 1, order_id=7, request_seq=11, type="TRADE", state="PARTIALLY_FILLED",
    last_price_ticks=10_050, last_quantity_lots=3_000, cumulative_lots=5_000, leaves_lots=1_000,
    notional=str(10_050 * 3_000 + 10_000 * 2_000), liquidity="TAKER", fee="-7", match_number=9,
    waited_ns=5, venue_ns=6, account="me", client_order_id="A", symbol="BTC", side="BUY",
    wall_ns=1_700_000_000_000_000_000,
)  # fmt: skip
BTC = Instrument(symbol="BTC", price_scale=2, quantity_scale=3)


def test_a_report_shows_its_row_in_words_and_exact_numbers():
    """3 at 100.50 after 2 at 100.00: the average is 100.3, exactly."""
    report = OrderResponse(REPORT, BTC)
    assert (report.execution_id, report.journal_seq, report.number) == ("12-1", 12, 1)
    assert (report.type, report.state) == (ResponseType.TRADE, OrderState.PARTIALLY_FILLED)
    assert (report.side, report.liquidity) == (Side.BUY, Liquidity.TAKER)
    assert (report.last_price, report.last_quantity) == (Decimal("100.5"), Decimal(3))
    assert (report.cumulative_quantity, report.leaves_quantity) == (Decimal(5), Decimal(1))
    assert report.average_price == Decimal("100.3")
    assert (report.fee_units, report.match_number) == (-7, 9)
    assert report.hops is None
    assert "client_order_id='A'" in repr(report)
    assert "last_price=100.5, last_quantity=3, cumulative_quantity=5" in repr(report)
    assert repr(report).startswith("OrderResponse(journal_seq=12, number=1, ")  # no text


def test_there_is_no_average_before_the_first_fill():
    """Rather than a zero that looks like a price."""
    nothing = {"last_price_ticks": 0, "last_quantity_lots": 0, "cumulative_lots": 0}
    unfilled = OrderResponse(REPORT._replace(**nothing, leaves_lots=6_000, notional=""), BTC)
    assert unfilled.average_price is None
    assert unfilled.notional == 0


def test_reports_are_equal_when_their_rows_are():
    """What a caller was told compares with what is on disk."""
    assert OrderResponse(REPORT, BTC) == OrderResponse(REPORT)
    assert len({OrderResponse(REPORT, BTC), OrderResponse(REPORT)}) == 1
    assert OrderResponse(REPORT._replace(order_id=8)) != OrderResponse(REPORT)
    assert OrderResponse(REPORT) != REPORT


def test_a_report_has_the_columns_of_its_table():
    """As docs/reports.md documents them: the order is a promise, too."""
    assert dict(zip(ROW_COLUMNS, REPORT.row(), strict=True)) == {
        "journal_seq": 12, "number": 1, "order_id": 7, "request_seq": 11, "account": "me",
        "client_order_id": "A", "symbol": "BTC", "side": "BUY", "type": "TRADE",
        "state": "PARTIALLY_FILLED", "last_price_ticks": 10_050, "last_quantity_lots": 3_000,
        "cumulative_lots": 5_000, "leaves_lots": 1_000, "notional": "50150000",
        "liquidity": "TAKER", "reason": "", "wall_ns": 1_700_000_000_000_000_000, "fee": "-7",
        "waited_ns": 5, "venue_ns": 6, "match_number": 9,
    }  # fmt: skip
    assert ROW_COLUMNS == (
        "journal_seq", "number", "order_id", "request_seq", "account", "client_order_id",
        "symbol", "side", "type", "state", "last_price_ticks", "last_quantity_lots",
        "cumulative_lots", "leaves_lots", "notional", "liquidity", "reason", "wall_ns", "fee",
        "waited_ns", "venue_ns", "match_number",
    )  # fmt: skip


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
    report = OrderResponse(REPORT._replace(reason=text))
    assert report.reason is reason
    assert report.text == text


def test_the_hops_of_a_request_are_told_with_its_report():
    """From received to published, in the order they are passed."""
    report = OrderResponse(REPORT, BTC, ("accepted", 1, 2, 3, 4, 5), (6, 7))
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
    report = refused(request_.line, RejectReason.QUEUE_FULL, 5)
    assert (report.type, report.state) == (type_, OrderState.REJECTED)
    assert (report.reason, report.journal_seq, report.wall_ns) == (RejectReason.QUEUE_FULL, 0, 5)
    assert report.client_order_id == request_.client_order_id


def test_states_know_whether_they_are_final():
    """UNKNOWN is not: the venue still owes an answer."""
    final = {state for state in OrderState if state.terminal}
    assert final == {
        OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED
    }  # fmt: skip
