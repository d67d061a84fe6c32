"""Average cost, realized and unrealized profit: told by examples that a person can reckon."""

from decimal import Decimal

import pytest

from oms import MemoryStore, PersistentStorage
from oms.errors import ValidationError
from oms.positions import Held, half_even
from oms.requests import OperatorAction
from tests.fakes import Stepped, buy, config_of, remote, sell, trade
from tests.test_exchange_restarts import Floor, listed


def of(floor, account, symbol="X"):
    """What matters of a position, in plain numbers."""
    [found] = [each for each in floor.oms.positions(account) if each.symbol == symbol]
    return (
        found.quantity, found.average_cost, found.cost, found.realized, found.unrealized,
    )  # fmt: skip


@pytest.fixture(params=["memory", "sqlite"])
def floor(request, tmp_path):
    store = MemoryStore()
    if request.param == "sqlite":
        store = PersistentStorage(tmp_path / "oms.db", durability="none")
    floor = Floor(listed("X", taker_fee_bps=100), store=store, ledger=False)
    yield floor
    floor.stop()


def test_a_position_is_bought_at_an_average_and_sold_at_a_profit(floor):
    """10 at 100 and 10 at 110 cost 105 each; 5 of them sold at 120 have earned 75."""
    # given
    floor.deal(100, 10)
    floor.deal(110, 10)
    assert of(floor, "b") == (20, 105, 2100, 0, 100)

    # when some are sold
    floor.deal(120, 5, seller="b", buyer="a")

    # then the rest costs what it cost, and is worth the last price
    assert of(floor, "b") == (15, 105, 1575, 75, 225)
    assert of(floor, "a") == (-15, 105, -1575, -75, -225)
    assert floor.oms.pnl("b")["Q"][1:3] == (75, 225)


def test_a_fill_through_zero_closes_and_opens(floor):
    """Who has 10 at 100 and sells 25 at 90 has lost 100, and is short of 15 at 90."""
    floor.deal(100, 10)
    floor.deal(90, 25, seller="b", buyer="a")
    assert of(floor, "b") == (-15, 90, -1350, -100, 0)


def test_a_part_of_the_cost_is_rounded_half_even(floor):
    """2 lots for 100 and 101: half of 201 is 100.5, which goes to 100; nothing is lost."""
    floor.deal(100, 1)
    floor.deal(101, 1)
    floor.deal(101, 1, seller="b", buyer="a")
    quantity, average, cost, realized, unrealized = of(floor, "b")
    assert (quantity, cost, realized, unrealized) == (1, 101, 1, 0)
    assert average == Decimal(101)
    assert [half_even(n, 2) for n in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]


def test_a_bust_is_as_if_there_had_been_no_trade(floor):
    """Also of one long ago, from which later profits came; a correction likewise."""
    # given profits that came of the first trade
    first = floor.deal(100, 10)
    second = floor.deal(110, 10)
    floor.deal(120, 5, seller="b", buyer="a")

    # when it is corrected, what was sold cost less
    settings = {"price": "90", "quantity": "10"}
    floor.operate(OperatorAction.CORRECT, name=first, settings=settings)
    assert of(floor, "b") == (15, 100, 1500, 100, 300)

    # and when it is busted, it came of the second alone
    floor.bust(first)
    assert of(floor, "b") == (5, 110, 550, 50, 50)
    found = {each.execution_id: each for each in floor.oms.trades()}
    assert (found[first].status, found[first].quantity, found[first].traded_quantity) == (
        "BUSTED", 0, 10,
    )  # fmt: skip
    assert found[second].status == ""


def test_trades_go_back_by_execution_id(floor):
    """Of one account, of one symbol, of all; from the latest back."""
    names = [floor.deal(100 + n, 1, buyer="b" if n % 2 else "c") for n in range(5)]
    told = [each.execution_id for each in floor.oms.trades()]
    assert told == names
    assert [each.execution_id for each in floor.oms.trades("b")] == [names[1], names[3]]
    assert [each.execution_id for each in floor.oms.trades(limit=2)] == names[3:]
    before = floor.oms.trades("a", "X", before=names[3], limit=2)
    assert [each.execution_id for each in before] == names[1:3]
    last = floor.oms.trades(limit=1)[0]
    assert (last.aggressor, last.buy_account, last.sell_account) == ("BUY", "c", "a")
    assert floor.oms.trades("nobody") == floor.oms.positions("nobody") == []
    assert floor.oms.pnl("nobody") == {}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("limit", {"limit": 0}), ("limit", {"limit": 1_001}), ("before", {"before": "24"}),
     ("before", {"before": "x-1"}), ("symbol", {"symbol": "NONE"}), ("account", {"account": 5}),
     ("before", {"before": f"1-{1 << 30}"})],
)  # fmt: skip
def test_a_mistaken_question_names_its_field(floor, field, wrong):
    with pytest.raises(ValidationError) as caught:
        floor.oms.trades(**wrong)
    assert caught.value.field == field


def test_fees_are_apart():
    """One percent of 1000 for the taker; the profit is what prices made."""
    floor = Floor(listed("X", taker_fee_bps=100, maker_fee_bps=50), ledger=True)
    floor.seller_and_buyer()
    floor.deal(100, 10)
    [position] = floor.oms.positions("b")
    assert (position.realized, position.unrealized, position.fees) == (0, 0, 10)
    assert floor.oms.pnl("b")["Q"].net == -10
    floor.stop()


def test_one_side_of_a_remote_venue_is_a_position(tmp_path):
    """It has no match number, and nobody on the other side."""
    desk = remote(store=PersistentStorage(tmp_path / "oms.db", durability="none"))
    desk.send(buy("B", 5, 100))
    order_id = desk.oms.open_orders("me")[0].order_id
    desk.oms.on_data_response(trade(order_id, 2, 99, "v1"))
    desk.step()
    [position] = desk.oms.positions("me")
    assert (position.quantity, position.average_cost) == (2, 99)
    [told] = desk.oms.trades()
    assert (told.buy_account, told.sell_account, told.sell_order_id) == ("me", "", 0)
    desk.stop()


def test_a_turn_that_was_undone_left_nothing(tmp_path):
    """What was counted for it is not counted with the next."""
    store = PersistentStorage(tmp_path / "oms.db", durability="none")
    desk = Stepped(config_of(), store=store).start()
    desk.send(buy("B1", 1, 100, account="you"), sell("S1", 1, 100))
    store.begin()
    store._holdings.take([r for r in store.all_reports() if r.type == "TRADE"], 99, set())
    store.rollback()
    desk.send(buy("B2", 1, 100, account="you"), sell("S2", 1, 100))
    assert [each.quantity for each in desk.oms.positions("you")] == [2]
    desk.stop()


def test_no_number_is_too_large():
    """Cost is a whole number of any width."""
    held = Held()
    for _ in range(3):
        held.fill(10**18, 10**18, 0)
    held.fill(-1, 7, 0)
    assert held.cost == 3 * 10**36 - 10**18
    assert held.cash + held.cost == 7 - 10**18
