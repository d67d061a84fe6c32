"""OCO pairs: a stop, then a limit order that one cancels with the other; or neither."""

import pytest

from oms import OrderState, Side
from oms.config import ExchangeConfig
from oms.errors import ValidationError
from tests.fakes import throttled
from tests.teller import MARKETS, Teller, order, pair, refused


def test_of_a_pair_one_cancels_the_other(teller):
    """Round trip: both stand, what they need is reserved once; one fills, the other goes."""
    # when
    stop, limit = teller.pair()

    # then
    assert (stop.state, limit.state) == (OrderState.SUSPENDED, OrderState.NEW)
    assert teller.balance("ann", "ACME") == (9_995, 5)

    # when the limit order trades, even a part of it
    teller.buy("bob", 110, 2)

    # then the stop is gone
    gone = teller.oms.get_order("ann", "stop")
    assert (gone.state, gone.text) == (OrderState.CANCELED, "OCO")
    assert teller.open_ids("ann") == ["limit"]
    # and a repeat tells how both stand now
    stop, limit = teller.pair()
    assert (stop.state, limit.cumulative_lots) == (OrderState.CANCELED, 2)
    assert stop.repeated and limit.repeated
    assert teller.open_ids("ann") == ["limit"]


def test_a_pair_whose_limit_order_trades_at_once_has_lost_its_stop(teller):
    teller.buy("bob", 110, 2)
    _stop, limit = teller.pair()
    assert [trade.last_quantity for trade in limit.trades] == [2]
    gone = teller.oms.get_order("ann", "stop")
    assert (gone.state, gone.text) == (OrderState.CANCELED, "OCO")


def test_a_pair_that_cannot_be_leaves_nothing(teller):
    """The limit order is refused: the stop, which stood already, is canceled; and so again."""
    for _ in range(2):
        _stop, limit = teller.pair(*pair(quantity=10**9))
        assert refused(limit, "FUNDS_INSUFFICIENT")
        assert teller.open_ids("ann") == []
        assert teller.balance("ann", "ACME") == (10_000, 0)
    assert teller.oms.get_order("ann", "stop").state is OrderState.CANCELED


def test_a_pair_that_cannot_be_undone_says_that_its_stop_stands(teller):
    """The id to undo under is another request's: the stop is not canceled, and nobody is misled."""
    # given
    teller.ask(order("undo", price=120))

    # when, then
    with pytest.raises(ValidationError, match=r"undo_id.*the stop stands"):
        teller.pair(*pair(quantity=10**9))
    assert teller.open_ids("ann") == ["undo", "stop"]


def test_a_pair_that_is_still_being_undone_says_so():
    """One send a second: the cancel of the stop has to wait, and the stop is told as pending."""
    # given
    config = throttled(instruments=MARKETS, exchange=ExchangeConfig(ledger=True))
    teller = Teller(config).fund("ann")

    # when
    _stop, limit = teller.pair(*pair(quantity=10**9))

    # then
    assert refused(limit, "FUNDS_INSUFFICIENT")
    assert teller.oms.get_order("ann", "stop").state is OrderState.PENDING_CANCEL
    # and a second later the same pair has the outcome of any other such pair
    teller.stepped.clock.advance(1.0)
    teller.stepped.turn()
    assert teller.open_ids("ann") == []
    assert refused(teller.pair(*pair(quantity=10**9))[1], "FUNDS_INSUFFICIENT")


def test_a_refused_stop_ends_the_pair(teller):
    """And the limit order is never placed: its partner would be somebody else's stop."""
    # given that the stop's id is another stop's
    teller.ask(order("stop", price=None, stop_price=50))

    # when
    stop, limit = teller.pair()

    # then
    assert refused(stop, "DUPLICATE_ID")
    assert limit is None
    assert teller.open_ids("ann") == ["stop"]


def test_a_stop_triggered_before_it_has_a_partner_goes_its_way(teller):
    """Its trigger would have taken the limit order away: so that is not placed at all."""
    # given a last price at which it triggers, and nobody to trade with
    teller.sell("cid", 90, 1)
    teller.buy("bob", 90, 1)

    # when
    stop, limit = teller.pair(
        order("stop", price=95, stop_price=90), order("limit", price=110, oco_with="stop")
    )

    # then
    assert stop.state is OrderState.NEW
    assert refused(limit, "OCO_INVALID")
    assert teller.open_ids("ann") == ["stop"]


def test_a_pair_cut_in_two_by_a_shutdown_says_what_stands(teller):
    """The stop is recorded, the limit order comes too late: both are told, and a retry mends it."""
    future = teller.oms.submit_pair(*pair(), "undo")
    teller.oms.inbox.close()
    teller.stepped.turn()
    stop, limit = future.result(0)
    assert stop.state is OrderState.SUSPENDED
    assert refused(limit, "SHUTTING_DOWN")
    assert refused(teller.oms.submit(order("x")).result(0), "SHUTTING_DOWN")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("symbol", {"limit": order("limit", symbol="FEE_USD", oco_with="stop")}),
        ("side", {"limit": order("limit", side=Side.BUY, oco_with="stop")}),
        ("account", {"limit": order("limit", account="bob", oco_with="stop")}),
        ("undo_id", {"limit": order("stop", oco_with="stop")}),
        ("undo_id", {"undo_id": "limit"}),
        ("undo_id", {"undo_id": "stop"}),
        ("client_order_id", {"undo_id": ""}),
        ("stop", {"stop": order("stop")}),
        ("stop", {"stop": None}),
        ("limit", {"limit": None}),
        ("oco_with", {"limit": order("limit", oco_with="x")}),
        ("oco_with", {"limit": order("limit")}),
        ("oco_with", {"limit": order("limit", price=None)}),
    ],
)
def test_a_pair_has_two_orders_that_fit(teller, field, change):
    """One symbol, side and account; a stop and a limit order; three ids. Or nothing is taken."""
    good = {
        "limit": order("limit", oco_with="stop"), "undo_id": "undo",
        "stop": order("stop", price=None, stop_price=90),
    }  # fmt: skip
    with pytest.raises(ValidationError, match=f"^{field}: "):
        teller.oms.submit_pair(**{**good, **change})
    assert teller.oms.inbox.size == 0
    teller.oms.submit_pair(**good)
    assert teller.oms.inbox.size == 1
