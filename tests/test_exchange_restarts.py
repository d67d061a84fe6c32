"""What a restart may not change: markets, money, and what a trade was settled by.

Each story runs two processes or more over one store; what they start from must not matter.
"""

from copy import deepcopy
from dataclasses import replace
from itertools import count

import pytest

from oms import Instrument, ManualClock, MemoryStore, OrderRequest, Side
from oms.config import ExchangeConfig
from oms.enums import Phase, Scope
from oms.errors import StoreError
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
)
from oms.turn.journal import Fold, differences, state_mistakes
from oms.venues import EmbeddedVenue
from tests.fakes import INSTRUMENTS, Stepped, buy, config_of, modify

BUY, SELL = Side.BUY, Side.SELL
LEDGERS = pytest.mark.parametrize("ledger", [True, False], ids=["ledger", "no ledger"])


def listed(symbol="X", **terms):
    """An instrument in whole numbers, B for Q; amounts of Q have two decimals."""
    plain = {"price_scale": 0, "quantity_scale": 0, "base_scale": 0, "quote_scale": 2}
    return Instrument(**{"symbol": symbol, "base": "B", "quote": "Q", **plain, **terms})


class Floor(Stepped):
    """An exchange with accounts of its own, and an operator who needs no ids."""

    ids = count(1)

    def __init__(self, *instruments, store=None, ledger=True, **sections):
        config = config_of(
            exchange=ExchangeConfig(ledger=ledger, self_trade="none", reopening_auction_ns=0),
            instruments=instruments or (listed(),), **sections,
        )  # fmt: skip
        super().__init__(config, store=store or MemoryStore())
        self.start()

    def told(self, request):
        """All that one request's turn told."""
        self.oms.on_data(request)
        return self.turn()

    def new(self, account, name, side, quantity, price=None, symbol="X", **more):
        """The first answer to a new order."""
        request = OrderRequest.new(account, name, symbol, side, quantity, price, **more)
        return self.ask(request)

    def deal(self, price=100, lots=10, symbol="X", seller="a", buyer="b"):
        """One of them sells to the other; the trade's execution id."""
        self.new(seller, f"s{next(self.ids)}", SELL, lots, price, symbol)
        name = f"b{next(self.ids)}"
        told = self.told(OrderRequest.new(buyer, name, symbol, BUY, lots, price))
        return next(report.execution_id for report in told if report.type == "TRADE")

    def funds(self, account, action, **terms):
        name = f"f{next(self.ids)}"
        request = FundsRequest(account=account, client_order_id=name, action=action, **terms)
        return self.ask(request)

    def fund(self, account, **amounts):
        """An account with so much of each asset."""
        assert self.funds(account, FundsAction.CREATE).type == "COMMAND_DONE"
        for asset, amount in amounts.items():
            done = self.funds(account, FundsAction.DEPOSIT, asset=asset, amount=amount)
            assert done.type == "COMMAND_DONE"

    def seller_and_buyer(self):
        """Account a has 1000 of B; account b has 100000 of Q."""
        self.fund("a", B=1_000)
        self.fund("b", Q=100_000)

    def operate(self, action, **terms):
        name = f"o{next(self.ids)}"
        return self.ask(OperatorRequest(client_order_id=name, action=action, **terms))

    def bust(self, trade):
        return self.operate(OperatorAction.BUST, name=trade)

    def limit(self, scope, target, name, value):
        terms = {"scope": scope, "target": target, "name": name, "value": value}
        assert self.operate(OperatorAction.SET_LIMIT, **terms).type == "COMMAND_DONE"

    def mass_cancel(self, account):
        name = f"m{next(self.ids)}"
        return self.told(MassCancelRequest(account=account, client_order_id=name))

    @property
    def desk(self):
        return self.dispatcher.desk

    @property
    def market(self):
        return self.dispatcher.fold.desk.engine.markets["X"]

    @property
    def money(self):
        """Account -> asset -> what is available, and what is reserved, where it has any."""
        accounts = self.desk.ledger.accounts
        return {
            account: {asset: tuple(balance) for asset, balance in assets.items() if any(balance)}
            for account, assets in accounts.items()
        }

    def is_sound(self):
        """Nothing impossible, and the journal from its first entry on gives the same."""
        assert state_mistakes(self.dispatcher.fold) == []
        assert self.digest() == self.refolded()
        return True


def stopped(floor):
    """The process ends as it should; what it leaves."""
    floor.stop()
    assert floor.store.snapshots()
    return floor.store


def relisted(store, ledger):
    """X leaves the configuration for one process; what that one leaves."""
    without = Floor(listed("Y"), store=store, ledger=ledger)
    assert without.is_sound()
    return stopped(without)


def both_ways(store, *instruments, ledger):
    """Two of the same: from the snapshot, and from the whole journal."""
    other = deepcopy(store)
    other._snapshots = []  # as if they were lost
    quick = Floor(*instruments, store=store, ledger=ledger)
    whole = Floor(*instruments, store=other, ledger=ledger)
    assert quick.dispatcher.fold.snapshot_seq > 0
    assert whole.dispatcher.fold.snapshot_seq == 0
    assert quick.digest() == whole.digest()
    assert quick.is_sound()
    return quick, whole


# --- instruments that leave the configuration, and come back ---


@LEDGERS
def test_a_halt_outlives_the_listing(ledger):
    """Rule: a halt lasts until an operator ends it, and not until the instrument is delisted."""
    # given
    floor = Floor(listed(), listed("Y"), store=MemoryStore(), ledger=ledger)
    halt = {"scope": Scope.SYMBOL, "target": "X", "value": "HALTED"}
    assert floor.operate(OperatorAction.SET_TRADING, **halt).type == "COMMAND_DONE"

    # when
    store = relisted(stopped(floor), ledger)

    # then
    for again in both_ways(store, listed(), listed("Y"), ledger=ledger):
        assert again.market.phase is Phase.HALTED
        resume = {**halt, "value": "ACTIVE"}
        assert again.operate(OperatorAction.SET_TRADING, **resume).type == "COMMAND_DONE"
        assert again.market.phase is Phase.CONTINUOUS


@LEDGERS
def test_the_last_price_outlives_the_listing(ledger):
    """Rule: of a market that has only traded, a snapshot knows what a replay knows."""
    # given
    floor = Floor(listed(), listed("Y"), store=MemoryStore(), ledger=ledger)
    if ledger:
        floor.seller_and_buyer()
    floor.deal(price=100)

    # when
    store = relisted(stopped(floor), ledger)

    # then
    for again in both_ways(store, listed(), listed("Y"), ledger=ledger):
        assert again.market.last_ticks == 100


def test_markets_keep_their_order_over_a_relisting():
    """Rule: what happens to all markets happens in the order they were first listed in."""
    # given
    floor = Floor(listed(), listed("Y"), store=MemoryStore())
    floor.fund("a", B=1_000)
    store = relisted(stopped(floor), ledger=True)

    # when they are configured the other way round, and orders of both are canceled
    told = []
    for again in both_ways(store, listed("Y"), listed(), ledger=True):
        for number, symbol in enumerate("YXYX"):
            again.new("a", f"n{number}", SELL, 5, 100 + number, symbol)
        cancel = MassCancelRequest(account="a", client_order_id="mass")
        told.append([(report.client_order_id, report.type) for report in again.told(cancel)])

        # then the journal gives what was told
        again.stop()
        assert list(differences(again.store, Fold(EmbeddedVenue()))) == []
    assert told[0] == told[1]
    assert [name for name, type_ in told[0] if type_ == "CANCELED"] == ["n1", "n3", "n0", "n2"]


# --- what accounts are counted in ---


@pytest.mark.parametrize("asset, field", [("Q", "quote_scale"), ("B", "base_scale")])
def test_an_asset_that_accounts_have_keeps_its_scale(asset, field):
    """Rule: amounts are whole numbers of an asset's smallest unit, so that unit cannot change."""
    floor = Floor(store=MemoryStore())
    floor.seller_and_buyer()
    store = stopped(floor)
    with pytest.raises(StoreError, match=rf"^\[asset {asset}\] scale: expected \d .* was 4$"):
        Floor(listed(**{field: 4}), store=store)

    # nothing was written, so that the old configuration goes on
    again = Floor(store=store)
    assert again.is_sound()
    assert again.money == floor.money


def test_the_scale_is_kept_while_the_asset_is_not_traded():
    """Rule: the same, if the asset was not in the configuration in between."""
    floor = Floor(listed(), listed("Y", base="C", quote="D"), store=MemoryStore())
    floor.fund("a", D=5)
    between = Floor(store=stopped(floor))
    between.is_sound()
    with pytest.raises(StoreError, match=r"^\[asset D\] scale: expected 2 "):
        Floor(listed(), listed("Y", base="C", quote="D", quote_scale=3), store=stopped(between))


# --- fees and busts of another configuration ---


@pytest.mark.parametrize("kept", [0, 3], ids=["no fees", "some fees"])
def test_a_rebate_of_old_never_empties_the_fee_account(kept):
    """Rule: an order keeps its rebate over a restart; it is paid from what fees there are."""
    # given an order that is owed 10.00 when it is filled
    floor = Floor(listed(maker_fee_bps=-100, taker_fee_bps=200), store=MemoryStore())
    floor.seller_and_buyer()
    if kept:  # a fill of 300 leaves 3.00 of fees
        floor.deal(price=100, lots=3)
    floor.new("a", "s1", SELL, 10, 100)
    assert floor.money["fees"].get("Q", (0, 0)) == (kept * 100, 0)
    had = floor.money["a"].get("Q", (0, 0))[0]

    # when nobody pays fees any more
    again = Floor(store=stopped(floor))
    again.new("b", "b1", BUY, 10, 100)

    # then
    assert again.money["fees"].get("Q", (0, 0)) == (0, 0)
    assert again.money["a"]["Q"] == (had + 100_000 + kept * 100, 0)
    assert again.is_sound()


def before_a_change(change):
    """A trade, and the exchange that is asked to take it back, with other settings since."""
    store = MemoryStore()
    floor = Floor(store=store, ledger=change != "ledger")
    if change == "scale":
        floor.seller_and_buyer()
    trade = floor.deal()
    stopped(floor)
    again = Floor(listed(price_scale=2 if change == "scale" else 0), store=store)
    if change == "ledger":
        again.seller_and_buyer()
    return trade, again


@pytest.mark.parametrize("change", ["scale", "ledger"])
def test_a_bust_needs_to_know_what_the_trade_moved(change):
    """Rule: a trade settled under other scales, or without the ledger, cannot be taken back."""
    trade, again = before_a_change(change)
    money, positions = again.money, dict(again.desk.executions.positions)
    since = again.desk.money_terms["X"][1]
    refused = again.bust(trade)
    assert refused.type == "COMMAND_REJECTED"
    assert refused.text.startswith(f"COMMAND_INVALID: trade={trade}, ")
    assert refused.text.endswith(f"since journal sequence {since}")
    assert again.money == money
    assert again.desk.executions.positions == positions

    # but a trade since then can be, before and after another restart
    trades = [again.deal(price=7), again.deal(price=8)]
    assert again.bust(trades[0]).type == "COMMAND_DONE"
    last = Floor(*again.desk.instruments.values(), store=stopped(again))
    assert last.bust(trades[1]).type == "COMMAND_DONE"
    assert last.money == money
    assert last.is_sound()


# --- the grid of open orders ---


@pytest.mark.parametrize(
    ("coarser", "says"),
    [
        ({"lot_size": 10}, "[instrument X] lot_size: expected 1, or what divides it"),
        ({"tick_size": 10}, "[instrument X] tick_size: expected 1, or what divides it"),
    ],
)
def test_a_coarser_grid_is_refused_while_an_open_order_is_off_it(coarser, says):
    """It would rest with a price or a quantity that nobody else may ask for."""
    # given an open order of 15 at 105
    store, clock = MemoryStore(), ManualClock()
    desk = Stepped(store=store, clock=clock).start()
    desk.send(buy("A", 15, 105))
    desk.stop()

    # when the grid gets coarser, then a start is refused, and names the order
    config = config_of(instruments=tuple(replace(each, **coarser) for each in INSTRUMENTS))
    with pytest.raises(StoreError) as refused:
        Stepped(config, store=store, clock=clock).start()
    assert str(refused.value).startswith(says)
    assert str(refused.value).endswith("was 10; A of me is one")

    # and it is no matter once the order is gone, or if it fits
    desk = Stepped(store=store, clock=clock).start()
    desk.send(modify("B", "A", quantity=20, price=110))
    desk.stop()
    Stepped(config, store=store, clock=clock).start()
