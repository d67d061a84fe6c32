"""The door: whatever a caller hands over, what is wrong with it is said on the caller's thread."""

import contextlib
import copy
from decimal import Decimal
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderManagement,
    OrderRequest,
    OrderTerms,
    Origin,
    Side,
    VenueReport,
)
from oms.enums import RequestType, ResponseType
from oms.errors import OMSError, OutcomeUnknownError, StoppedError, ValidationError
from oms.turn.answer import Answer
from tests.fakes import SOON_S, BreakingVenue, Stepped, buy, config_of, remote


class Broken:
    """Nothing can be asked of it."""

    def _broken(self, *_):
        raise RuntimeError("a bug of the caller's")

    __eq__ = __ne__ = __hash__ = __str__ = __repr__ = __bool__ = __len__ = _broken
    __lt__ = __iter__ = __int__ = __index__ = __float__ = _broken


class BrokenText(str):
    __eq__ = __ne__ = __hash__ = __str__ = __repr__ = __len__ = Broken._broken


class BrokenNumber(Decimal):
    __eq__ = __ne__ = __hash__ = __str__ = __repr__ = Broken._broken


class BrokenOrder(OrderRequest):
    __eq__ = __hash__ = __str__ = __repr__ = Broken._broken
    line = property(lambda _: {"not": "a line"})


class Liar:
    """Says that it is an order."""

    __class__ = OrderRequest  # type: ignore[assignment]
    line = ("N",)


def made_without_constructor(kind):
    return kind.__new__(kind)


def tampered(request, name, value):
    """`frozen` keeps nobody from this."""
    object.__setattr__(request, name, value)
    return request


WRONG = [
    pytest.param(wrong, id=f"{number}")
    for number, wrong in enumerate([
        None, 0, "N", b"N", {"request": "NEW"}, ("N", "me", "A"), [1], object(), OrderRequest,
        Broken(), BrokenText("N"), BrokenNumber(1), Liar(),
        made_without_constructor(OrderRequest), made_without_constructor(MassCancelRequest),
        tampered(MassCancelRequest(account="me", client_order_id="A"), "symbol", {}),
        tampered(
            FundsRequest(account="me", client_order_id="A", action=FundsAction.CREATE),
            "account", Broken(),
        ),
        tampered(
            OperatorRequest(client_order_id="A", action=OperatorAction.KILL), "why", "\ud800"
        ),
    ])
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_request_is_refused_on_the_callers_thread(stepped, wrong):
    """One clear error, by every way in; nothing reaches the dispatcher."""
    for way_in in (
        stepped.oms.submit, stepped.oms.try_submit, stepped.oms.on_data, stepped.oms.dry_run,
        lambda request: stepped.oms.hand_over(request, Answer()),
        lambda request: stepped.oms.submit_all([buy("B", 1, 100), request]),
        lambda request: stepped.oms.submit_all(request),
        lambda request: stepped.oms.submit_pair(request, request, "U"),
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            way_in(wrong)
    assert stepped.oms.inbox.size == 0
    assert stepped.send(buy("A", 1, 100)) == ["A NEW/NEW"]


def test_a_broken_class_derived_from_ours_is_an_order_like_any_other(stepped):
    """What was checked when it was made goes in, whatever the class says of itself later."""
    order = BrokenOrder.new("me", "A", "X", Side.BUY, 1, 100)
    assert stepped.send(order) == ["A NEW/NEW"]


def test_the_line_of_an_order_cannot_be_set(stepped):
    """It was made from checked values; a copy has the same."""
    order = buy("A", 1, 100)
    with pytest.raises(AttributeError):
        order.line = ("N", {})
    order.price = Broken()
    assert copy.copy(order).line == order.line
    assert stepped.send(order) == ["A NEW/NEW"]


@pytest.mark.parametrize(
    "field",
    [
        "account", "client_order_id", "orig_client_order_id", "order_id", "symbol", "side",
        "order_type", "price", "quantity", "time_in_force", "hold", "terms", "origin",
    ],
)  # fmt: skip
def test_a_broken_value_in_any_field_of_an_order_raises_the_one_error(field):
    """It is not asked whether it equals something, nor what it looks like."""
    plain = {"account": "me", "client_order_id": "A", "symbol": "X"}
    of_kind = {
        RequestType.NEW: {"side": Side.BUY, "price": 1, "quantity": 1},
        RequestType.MODIFY: {"orig_client_order_id": "O", "price": 1},
        RequestType.CANCEL: {"orig_client_order_id": "O"},
    }
    for kind, fields in of_kind.items():
        for wrong in (Broken(), BrokenText("A"), BrokenNumber(1)):
            if kind is RequestType.CANCEL and field in ("terms",):
                continue  # of no use in a cancel, and not handed over
            with pytest.raises(ValidationError, match=field):
                OrderRequest(type=kind, **{**plain, **fields, field: wrong})


@pytest.mark.parametrize("wrong", [Broken(), BrokenText("A"), BrokenNumber(1)], ids=["o", "t", "n"])
def test_a_broken_value_in_any_other_request_raises_the_one_error(wrong):
    """Terms, origins, money, mass cancels, operators."""
    who = {"account": "me", "client_order_id": "A"}
    money = {**who, "action": FundsAction.TRANSFER, "asset": "USD", "amount": 1, "to_account": "b"}
    operator = {"client_order_id": "A", "action": OperatorAction.KILL}
    for kind, fields, names in (
        (OrderTerms, {}, OrderTerms.__slots__),
        (FundsRequest, money, FundsRequest.__slots__),
        (MassCancelRequest, who, MassCancelRequest.__slots__),
        (OperatorRequest, operator, OperatorRequest.__slots__),
    ):
        for name in names:
            with pytest.raises(ValidationError):
                kind(**{**fields, name: wrong})
    for name in Origin._fields:
        with pytest.raises(ValidationError):
            MassCancelRequest(**who, origin=Origin(**{name: wrong}))


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(),
    st.lists(st.none() | st.integers()), st.dictionaries(st.text(), st.integers()),
    st.just(Decimal("sNaN")), st.builds(Broken), st.builds(object),
    st.builds(lambda: BrokenText("me")),
    st.builds(lambda: BrokenNumber(1)), st.sampled_from(ResponseType), st.just(int), st.just(len),
    st.builds(
        VenueReport, st.sampled_from(ResponseType) | st.integers(),
        *[st.integers(0, 3) | st.integers() | st.text()] * 4,
        *[st.text(max_size=5) | st.integers()] * 3,
    ),
    st.builds(lambda: buy("o", 1, 100)),
)  # fmt: skip
METHODS = {
    "on_data": 1, "submit": 1, "try_submit": 1, "hand_over": 2,
    "submit_all": 1, "submit_pair": 3, "dry_run": 1,
    "on_data_response": 1, "between_turns": 1, "add_listener": 1, "add_market_listener": 1,
    "remove_listener": 1, "add_turn_listener": 1, "journal_seq": 1,
    "get_order": 2, "open_orders": 1, "get_depth": 2, "depth_snapshot": 1, "balances": 1,
    "best_bid": 1, "best_ask": 1, "recent_trades": 2, "get_prices": 1, "get_depth_ticks": 2,
    "balances_units": 1, "best_bid_ticks": 1, "best_ask_ticks": 1, "candles": 4, "statistics": 2,
    "positions": 1, "pnl": 1, "trades": 2,
    "account_snapshot": 1, "orders": 1, "order_details": 1, "details_for": 1, "details_heard": 1,
    "fills": 2, "find_order": 2, "ledger": 1, "origins": 1, "placed_ns": 1,
    "reports_after": 3,
    "trades_after": 3, "latency_rows": 1,
    "account_limits": 1, "indicative": 1, "queue_ahead": 2, "calendar": 2,
    "count_open": 2, "explain": 2, "transfer": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
@given(data=st.data())
def test_no_object_handed_to_any_method_harms_the_dispatcher(name, data):
    """The method answers, or raises an error of ours; orders are taken as before."""
    for desk in (Stepped().start(), remote()):
        desk.send(buy("A", 2, 100))
        with contextlib.suppress(OMSError):
            getattr(desk.oms, name)(*(data.draw(anything) for _ in range(METHODS[name])))
        desk.step()
        desk.step()
        assert desk.send(buy("B", 1, 100))[-1].startswith("B ")


def test_every_public_method_is_among_those():
    """One that is added is thrown at, too."""
    public = {name for name in dir(OrderManagement) if not name.startswith("_")}
    without = {
        "start",
        "start_by_hand",
        "stop",
        "get_status",
        "published_ns",
        "instruments",
        "market_states",
        "journal_seq",
        "symbol_limits",
        "halts",
        "digest",
        "money",
        "transfers",
        "actions",
        "lost_arms",
        "should_stop",
    }
    assert public == {*METHODS, *without}


def test_what_a_callback_raises_does_not_end_the_dispatcher(stepped):
    """Listeners, questions, callbacks of futures: not even what no `except Exception` catches."""

    def leave(*_):
        raise SystemExit

    stepped.oms.add_listener(leave)
    stepped.oms.add_market_listener(leave)
    stepped.oms.submit(buy("A", 1, 100)).add_done_callback(leave)
    assert stepped.step() == ["A NEW/NEW"]
    stepped.oms._running = True  # so that the question waits for a turn
    question = stepped.oms.between_turns(leave)
    stepped.step()
    assert isinstance(question.exception(0), SystemExit)


def test_a_future_that_its_owner_resolved_does_not_end_the_dispatcher(stepped):
    """It is the caller's, to spoil."""
    spoilt = stepped.oms.submit(buy("A", 1, 100))
    spoilt.set_result("mine")
    sound = stepped.oms.submit(buy("B", 1, 100))
    assert stepped.step() == ["A NEW/NEW", "B NEW/NEW"]
    assert sound.result(0).order_id > 0


@pytest.mark.parametrize("reason", ["half a \ud800", "x" * 1_001])
def test_a_venue_report_that_no_store_can_write_is_refused(reason):
    """What a venue's adapter has to cut or clean is said to the adapter."""
    desk = remote()
    with pytest.raises(ValidationError, match="reason"):
        desk.oms.on_data_response(VenueReport(ResponseType.REJECTED, 1, reason=reason))
    with pytest.raises(ValidationError, match="order_id"):
        desk.oms.on_data_response(VenueReport(ResponseType.REJECTED, 10**5000))


def test_after_a_dispatcher_died_a_new_instance_starts_in_the_same_process(tmp_path):
    """The one that died rolled its turn back and let go of the database."""
    # given one that died in a turn
    failures = SimpleQueue()
    first = OrderManagement(
        config_of(),
        venue=BreakingVenue("B".__eq__),
        directory=tmp_path,
        on_failure=lambda *f: failures.put(f),
    )
    first.start()
    first.submit(buy("A", 1, 100)).result(SOON_S)
    answer = first.submit(buy("B", 1, 100))
    assert isinstance(answer.exception(SOON_S), OutcomeUnknownError)
    assert failures.get(timeout=SOON_S)[0] == "oms-dispatch"

    # when another starts, without the first being stopped
    with OrderManagement(config_of(), directory=tmp_path) as second:
        # then it takes orders, and has those that were answered
        second.submit(buy("C", 1, 100)).result(SOON_S)
        assert [r.client_order_id for r in second.open_orders("me")] == ["A", "C"]
    with pytest.raises(StoppedError, match="a bug"):
        first.stop()
