"""What an order is for: told by the store as the exchange has it, whatever was done to it since."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms import (
    Instrument,
    MemoryStore,
    OrderManagement,
    OrderRequest,
    OrderState,
    OrderTerms,
    OrderType,
    PostOnly,
    RequestType,
    SelfTrade,
    Side,
    TimeInForce,
    ValidationError,
)
from oms.config import ExchangeConfig
from oms.requests.orders import Origin
from tests.examples import many
from tests.fakes import config_of

SYMBOL = "X"
GRID = (Instrument(symbol="X", price_scale=2, quantity_scale=2),)


def placed(account, name, side, price, quantity, **more):
    return OrderRequest(
        type=RequestType.NEW, account=account, client_order_id=name, symbol=SYMBOL, side=side,
        order_type=more.pop("order_type", OrderType.LIMIT), price=price, quantity=quantity, **more,
    )  # fmt: skip


def changed(account, name, orig, price=None, quantity=None, **more):
    return OrderRequest(
        type=RequestType.MODIFY, account=account, client_order_id=name, orig_client_order_id=orig,
        price=price, quantity=quantity, **more,
    )  # fmt: skip


@pytest.fixture(params=["memory", "sqlite"])
def oms(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else None
    with OrderManagement(config_of(instruments=GRID), store=store, directory=tmp_path) as started:
        yield started


def done(oms, request):
    return oms.submit(request).result(10)


def test_an_order_is_told_with_all_that_was_asked(oms):
    order = done(oms, placed(
        "a", "1", Side.SELL, "101.5", "10", time_in_force=TimeInForce.DAY,
        terms=OrderTerms(stop_price="99", self_trade=SelfTrade.DECREMENT),
        order_type=OrderType.STOP_LIMIT,
        origin=Origin("ann", "rest", "r1"),
    ))  # fmt: skip
    found = oms.order_details([order.order_id])[order.order_id]
    assert (found.client_order_id, found.type, found.time_in_force) == ("1", "STOP_LIMIT", "DAY")
    assert (found.price, found.quantity) == (Decimal("101.5"), Decimal(10))
    assert (found.stop_price, found.self_trade) == (Decimal(99), SelfTrade.DECREMENT)
    assert (found.min_quantity, found.post_only, found.hold) == (None, None, False)


def test_changes_count_and_refused_ones_do_not(oms):
    order = done(oms, placed("a", "1", Side.BUY, "100", "5"))
    done(oms, changed("a", "2", "1", price="99"))
    done(oms, changed("a", "3", "2", quantity="7"))
    assert done(oms, changed("a", "4", "3", price="0.0000001")).refused
    found = oms.order_details([order.order_id])[order.order_id]
    assert (found.client_order_id, found.price, found.quantity) == ("1", Decimal(99), Decimal(7))


def test_a_price_that_the_exchange_moved_is_the_orders_price(oms):
    done(oms, placed("a", "1", Side.SELL, "100", "5"))
    slid = done(oms, placed(
        "b", "1", Side.BUY, "105", "5", terms=OrderTerms(post_only=PostOnly.SLIDE)
    ))  # fmt: skip
    found = oms.order_details([slid.order_id])[slid.order_id]
    assert found.price == oms.best_bid(SYMBOL) < 100


def test_a_refused_order_is_told_as_far_as_it_is_known(oms):
    refused = done(oms, placed("a", "1", Side.BUY, "100.123456789", "1"))
    assert refused.refused
    found = oms.order_details([refused.order_id])[refused.order_id]
    assert (found.type, found.price, found.quantity) == (None, None, None)


def test_what_is_no_order_has_no_details(oms):
    order = done(oms, placed("a", "1", Side.BUY, "100", "5"))
    cancel = OrderRequest(
        type=RequestType.CANCEL, account="a", client_order_id="2", orig_client_order_id="1"
    )
    done(oms, cancel)
    assert oms.order_details([order.order_id + 1, 10**12, 0, -1]) == {}


def test_all_orders_of_an_account_page_by_page(oms):
    """Open, ended and refused ones; those of others are not among them."""
    mine = []
    for number in range(7):
        side = Side.BUY if number % 2 else Side.SELL
        price = ("90", "110")[side is Side.SELL] if number != 3 else "0.123456789"
        mine.append(done(oms, placed("a", f"m{number}", side, price, "1")).order_id)
        done(oms, placed("b", f"t{number}", Side.BUY, "50", "1"))
        done(oms, placed("a", f"m{number}", side, price, "1"))  # a repeat is no order
    page = oms.orders("a", limit=3)
    found = [each.order_id for each in page.orders]
    while page.before:
        page = oms.orders("a", limit=3, before=page.before)
        found += [each.order_id for each in page.orders]
    assert found == mine[::-1]
    assert {each.state for each in oms.orders("a").orders} == {"NEW", "REJECTED"}
    buys = oms.orders("a", side=Side.BUY, symbol=SYMBOL).orders
    assert [each.order_id for each in buys] == mine[1::2][::-1]
    assert oms.orders("a", symbol="NO").orders == oms.orders("nobody").orders == []


@pytest.mark.parametrize("given", [{"limit": 0}, {"limit": 1_001}, {"before": -1}])
def test_a_page_that_cannot_be_is_refused(oms, given):
    with pytest.raises(ValidationError, match=next(iter(given))):
        oms.orders("a", **given)


def test_an_account_with_many_ids_is_paged_all_the_same(tmp_path, monkeypatch):
    """Its latest orders are looked for among the latest of all: a look is bounded."""
    monkeypatch.setattr("oms.stores.sql_reader.BY_ACCOUNT_MAX", 5)
    monkeypatch.setattr("oms.stores.sql_reader.SCANNED_MAX", 8)
    with OrderManagement(config_of(instruments=GRID), directory=tmp_path) as oms:
        mine = []
        for number in range(12):
            mine.append(done(oms, placed("a", f"m{number}", Side.BUY, "90", "1")).order_id)
            done(oms, placed("b", f"t{number}", Side.BUY, "50", "1"))
        found, before = [], 0
        for _ in range(100):
            page = oms.orders("a", limit=3, before=before)
            found += [each.order_id for each in page.orders]
            before = page.before
            if not before:
                break
        assert found == mine[::-1]


steps = st.lists(
    st.tuples(
        st.sampled_from(["new", "slide", "iceberg", "modify", "cancel"]), st.sampled_from("ab"),
        st.sampled_from(list(Side)), st.integers(97, 103), st.integers(1, 5), st.integers(0, 30),
    ),
    max_size=30,
)  # fmt: skip


@settings(suppress_health_check=list(HealthCheck), max_examples=many(60))
@given(steps)
def test_whatever_is_done_the_store_and_the_book_agree(steps):
    """The exchange's own orders are the twin: price and quantity of each that is open."""
    config = config_of(instruments=GRID, exchange=ExchangeConfig(self_trade="decrement"))
    with OrderManagement(config, store=MemoryStore()) as oms:
        names = []
        for number, (what, account, side, price, lots, which) in enumerate(steps):
            name = f"n{number}"
            if what in ("modify", "cancel") and names:
                account, orig = names[which % len(names)]
                kind = RequestType.MODIFY if what == "modify" else RequestType.CANCEL
                numbers = {"price": str(price), "quantity": str(lots)} if what == "modify" else {}
                oms.submit(OrderRequest(
                    type=kind, account=account, client_order_id=name, orig_client_order_id=orig,
                    **numbers,
                ))  # fmt: skip
            else:
                terms = {
                    "slide": OrderTerms(post_only=PostOnly.SLIDE),
                    "iceberg": OrderTerms(display_quantity="1"),
                }.get(what)
                oms.submit(placed(account, name, side, str(price), str(lots), terms=terms))
                names.append((account, name))
        twins = oms.between_turns(
            lambda desk, _: {
                each.order_id: (each.price_ticks, each.quantity_lots, each.instrument)
                for each in desk.executions.orders.values()
            },
            behind="a",
        ).result(10)
        found = oms.order_details(list(twins))
        assert found.keys() == twins.keys()
        for order_id, (ticks, lots, instrument) in twins.items():
            details = found[order_id]
            assert instrument.price_ticks(details.price) == ticks
            assert instrument.quantity_lots(details.quantity) == lots
        states = {each.order_id: each.state for name in "ab" for each in oms.orders(name).orders}
        assert {n for n, state in states.items() if not OrderState(state).terminal} == set(twins)
