"""Markets are listed, suspended and delisted, and get other fees and price steps, while they run.

Rule: what an operator set goes before the configuration, and outlives restarts.
"""

from copy import deepcopy
from dataclasses import replace

import pytest

from oms import Instrument, MemoryStore
from oms.enums import OrderType, Phase, PostOnly, Scope
from oms.errors import StoreError, ValidationError
from oms.market_data import DepthUpdate, MarketState, TopOfBook
from oms.requests import OperatorAction, OperatorRequest, OrderTerms
from oms.sections import ExchangeConfig
from oms.turn.journal import differences, state_mistakes
from tests.fakes import INSTRUMENTS, Stepped, buy, config_of, modify, remote, sell

LIST, DELIST = OperatorAction.LIST, OperatorAction.DELIST
SET_MARKET = OperatorAction.SET_MARKET
NEW = {"price_scale": "2", "quantity_scale": "0", "tick_size": "0.05", "quantity_max": "50"}
CONFIG = config_of()
PAID = config_of(
    exchange=ExchangeConfig(ledger=True, self_trade="none"),
    instruments=tuple(
        replace(each, base="B", quote="Q", base_scale=0, quote_scale=2) for each in INSTRUMENTS
    ),
)


class Floor:
    """One store, a process after the other, and an operator who needs no ids."""

    def __init__(self, config=CONFIG):
        self.config, self.count = config, 0
        self.desk = Stepped(config, store=MemoryStore()).start()

    def request(self, action, symbol="X", settings=None, **said):
        self.count += 1
        return OperatorRequest(
            client_order_id=f"o{self.count}", action=action, scope=Scope.SYMBOL, target=symbol,
            settings=settings, **said,
        )  # fmt: skip

    def operate(self, action, symbol="X", settings=None, **said):
        return self.desk.ask(self.request(action, symbol, settings, **said))

    def done(self, *said, **more):
        answer = self.operate(*said, **more)
        assert answer.type == "COMMAND_DONE", answer.text
        return answer.text

    def refused(self, *said, **more):
        before = self.desk.dispatcher.desk.listings.changed
        answer = self.operate(*said, **more)
        assert answer.type == "COMMAND_REJECTED"
        assert self.desk.dispatcher.desk.listings.changed == before
        return answer.text

    def restart(self, config=None, *, snapshot=True):
        """Another process on the same store; with its journal alone if there is no snapshot."""
        self.config = config or self.config
        if snapshot:
            self.desk.stop()
        store = deepcopy(self.desk.store)
        if not snapshot:
            store._snapshots = []
        self.desk = Stepped(self.config, store=store, clock=self.desk.clock).start()
        assert (self.desk.dispatcher.fold.snapshot_seq > 0) == snapshot

    def is_sound(self):
        """The journal gives the same, and all that was told."""
        desk = self.desk
        assert state_mistakes(desk.dispatcher.fold) == []
        assert desk.refolded() == desk.digest()
        fold = type(desk.dispatcher.fold)(type(desk.venue)())
        assert list(differences(desk.store, fold)) == []
        return True


# --- list ---


def test_a_new_symbol_trades_at_once_and_after_a_restart():
    """Given a symbol that nobody configured, when it is listed, then all of its rules hold."""
    # given
    floor = Floor()
    refused = floor.desk.ask(buy("0", 1, "1.00", symbol="NEW"))
    assert refused.reason == "SYMBOL_UNKNOWN"

    # when
    assert floor.done(LIST, "NEW", NEW) == "symbol=NEW, listed"

    # then
    for snapshot in (None, True, False):
        if snapshot is not None:
            floor.restart(snapshot=snapshot)
        desk, n = floor.desk, str(snapshot)
        assert desk.oms.market_states()["NEW"] is Phase.CONTINUOUS
        assert desk.ask(buy(f"a{n}", 1, "1.01", symbol="NEW")).reason == "PRICE_INVALID"
        assert desk.ask(buy(f"b{n}", 51, "1.05", symbol="NEW")).reason == "QUANTITY_EXCEEDS_MAXIMUM"
        told = desk.send(
            sell(f"c{n}", 5, "1.05", symbol="NEW"), buy(f"d{n}", 5, "1.05", symbol="NEW")
        )
        assert f"d{n} TRADE/FILLED" in told
        assert desk.oms.get_prices("NEW").last_ticks == 105
        assert desk.oms.instruments()["NEW"].tick_size == 5
    assert floor.is_sound()


def test_orders_of_the_same_turn_know_the_symbol_once_it_is_listed():
    """In the order of arrival: the first comes before, the second after the listing."""
    floor = Floor()
    told = floor.desk.send(
        buy("a", 1, "1.00", symbol="NEW"),
        floor.request(LIST, "NEW", NEW),
        buy("b", 1, "1.00", symbol="NEW"),
        floor.request(DELIST, "NEW", value="cancel"),
        buy("c", 1, "1.00", symbol="NEW"),
    )
    told += floor.desk.step()
    assert [each for each in told if each[0] in "abc"] == [
        "a REJECTED/REJECTED", "b NEW/NEW", "b CANCELED/CANCELED", "c REJECTED/REJECTED"
    ]  # fmt: skip
    assert floor.is_sound()


@pytest.mark.parametrize(
    "symbol, settings, expected",
    [
        ("X", None, "listed already"),
        ("NEW", None, "expected those of [instrument NEW]"),
        ("new", NEW, "symbol: expected 1 to 32 of A-Z"),
        ("NEW", {"tick": "1"}, "tick: expected one of price_scale"),
        ("NEW", {**NEW, "tick_size": "0.001"}, "tick_size"),
        ("NEW", {**NEW, "maker_fee_bps": "-10"}, "maker_fee_bps: expected at least 0"),
        ("NEW", {**NEW, "quantity_min": "60"}, "quantity_min"),
        ("NEW", {**NEW, "maker_fee_bps": "x"}, "maker_fee_bps: expected a whole number"),
    ],
)
def test_what_cannot_be_listed_is_refused_by_name(symbol, settings, expected):
    """And nothing is listed."""
    floor = Floor()
    text = floor.refused(LIST, symbol, settings)
    assert text.startswith("COMMAND_INVALID")
    assert expected in text
    assert set(floor.desk.oms.instruments()) == {"X", "ALL"}


def test_with_a_ledger_a_new_symbol_counts_its_assets_as_they_are_counted():
    """Two assets, each as finely as elsewhere; a base as fine as the quantities."""
    floor = Floor(PAID)
    fine = {"price_scale": "0", "quantity_scale": "0", "quote": "Q"}
    assert "base: expected an asset" in floor.refused(LIST, "NEW", {**fine})
    assert "quantity_scale: expected at most 0" in floor.refused(
        LIST, "NEW", {**fine, "base": "B", "quantity_scale": "2"}
    )
    floor.done(LIST, "NEW", {**fine, "base": "NB"})
    assert floor.desk.oms.instruments()["NEW"].quote_scale == 2
    assert floor.is_sound()


def test_a_section_of_config_ini_takes_over_what_was_listed():
    """Listed with ticks of 0.05, then configured with 0.1: that holds from the next start on."""
    floor = Floor()
    floor.done(LIST, "NEW", NEW)
    section = Instrument(symbol="NEW", price_scale=2, quantity_scale=0, tick_size=10)
    floor.restart(replace(CONFIG, instruments=(*INSTRUMENTS, section)))
    assert floor.desk.oms.instruments()["NEW"] == section
    floor.done(DELIST, "NEW")
    assert "expected none" in floor.refused(LIST, "NEW", NEW)
    floor.done(LIST, "NEW")
    assert floor.desk.oms.instruments()["NEW"] == section


# --- delist ---


def test_a_delisted_symbol_stays_delisted_until_it_is_listed_again():
    """Though config.ini has it, over a restart; then it is as configured, with its last price."""
    floor = Floor()
    floor.desk.send(sell("s", 1, 100), buy("b", 1, 100))
    assert floor.done(DELIST) == "symbol=X, delisted"
    for snapshot in (None, True, False):
        if snapshot is not None:
            floor.restart(snapshot=snapshot)
        desk = floor.desk
        assert desk.ask(buy(f"n{snapshot}", 1, 100)).reason == "SYMBOL_UNKNOWN"
        assert "X" not in desk.oms.market_states()
        with pytest.raises(ValidationError, match="symbol: expected one of ALL, was 'X'"):
            desk.oms.recent_trades("X")
        assert floor.refused(SET_MARKET, settings={"tick_size": "2"}).startswith("SYMBOL_UNKNOWN")
        assert desk.oms.get_order("me", "b").last_price == 100  # it is told in its own units
    floor.done(LIST)
    assert floor.desk.oms.get_prices("X").last == 100
    assert floor.desk.dispatcher.desk.engine.markets["X"].last_ticks == 100
    assert floor.desk.ask(buy("again", 1, 100)).type == "NEW"
    assert floor.is_sound()


def test_a_symbol_with_open_orders_is_delisted_only_with_them():
    """One rests, one is a stop: named by their number; canceled if that is asked for."""
    floor = Floor()
    stop = OrderTerms(stop_price=90)
    floor.desk.send(buy("a", 1, 99), sell("b", 1, 80, terms=stop, order_type=OrderType.STOP_LIMIT))
    floor.desk.send(buy("other", 1, 99, symbol="ALL"))
    assert "open_orders=2, cancel them first" in floor.refused(DELIST)
    floor.desk.oms.on_data(floor.request(DELIST, value="cancel", why="no longer ours"))
    told = floor.desk.turn()
    assert [(r.client_order_id, r.type, r.text) for r in told[:2]] == [
        ("a", "CANCELED", "SYMBOL_DELISTED: no longer ours"),
        ("b", "CANCELED", "SYMBOL_DELISTED: no longer ours"),
    ]
    assert told[2].text == "symbol=X, delisted, canceled=2"
    assert [order.client_order_id for order in floor.desk.oms.open_orders("me")] == ["other"]
    assert floor.is_sound()


def test_a_symbol_comes_back_with_the_scales_it_had():
    """Positions are counted in them."""
    floor = Floor()
    floor.done(LIST, "NEW", NEW)
    floor.done(DELIST, "NEW")
    finer = {**NEW, "quantity_scale": "1"}
    assert "expected base=, quote=, price_scale=2, quantity_scale=0" in floor.refused(
        LIST, "NEW", finer
    )
    floor.done(LIST, "NEW")  # as it was
    assert floor.desk.oms.instruments()["NEW"].tick_size == 5


def test_the_market_hears_of_what_is_listed_and_delisted():
    """A first phase, and a last one; the depth of a new symbol is told from its first order on."""
    floor, events = Floor(), []
    floor.desk.oms.add_market_listener(events.append)
    floor.desk.step()
    floor.done(LIST, "NEW", NEW)
    seq = floor.desk.dispatcher.fold.last_seq
    assert events == [MarketState(seq, 1, "NEW", Phase.CONTINUOUS, "")]
    assert floor.desk.oms.depth_snapshot("NEW").last_id == seq
    del events[:]
    floor.desk.send(buy("a", 1, "1.00", symbol="NEW"))
    assert [type(event) for event in events] == [DepthUpdate, TopOfBook]
    assert events[0].first_id == seq + 1
    del events[:]
    floor.done(DELIST, "NEW", value="cancel")
    seq = floor.desk.dispatcher.fold.last_seq
    assert events == [MarketState(seq, 1, "NEW", Phase.CLOSED, "DELISTED")]


def test_changes_of_other_books_in_the_turn_of_a_listing_are_told():
    """What came before it in the same turn is not lost."""
    floor, events = Floor(), []
    floor.desk.oms.add_market_listener(events.append)
    floor.desk.step()
    floor.desk.send(buy("a", 1, 99), floor.request(LIST, "NEW", NEW))
    assert [type(event) for event in events] == [MarketState, DepthUpdate, TopOfBook]
    assert floor.desk.oms.depth_snapshot("X").bids == ((99, 1),)


def test_trades_in_the_turn_of_a_listing_are_on_the_tape_once():
    """The tape is read anew then, and has them already."""
    floor = Floor()
    floor.desk.send(sell("s", 1, 100), buy("b", 1, 100), floor.request(LIST, "NEW", NEW))
    assert [trade.price_ticks for trade in floor.desk.oms.recent_trades("X")] == [100]


def test_a_remote_venue_s_symbol_is_listed_and_not_delisted_under_orders():
    """We can only ask the venue to cancel; it answers later."""
    floor = Floor()
    floor.desk = remote()
    floor.done(LIST, "NEW", NEW)
    floor.desk.send(buy("a", 1, "1.00", symbol="NEW"))
    floor.desk.hear()
    assert "open_orders=1" in floor.refused(DELIST, "NEW", value="cancel")
    assert floor.desk.ask(buy("b", 1, "1.01", symbol="NEW")).reason == "PRICE_INVALID"


# --- suspend ---


def test_a_suspended_market_trades_nothing_until_it_is_resumed():
    """To suspend is to halt a symbol: one way."""
    floor = Floor()
    floor.desk.send(sell("s", 1, 100))
    floor.done(OperatorAction.SET_TRADING, value="HALTED")
    assert floor.desk.ask(buy("b", 1, 100)).refused
    floor.restart()
    assert floor.desk.oms.market_states()["X"] is Phase.HALTED
    floor.done(OperatorAction.SET_TRADING, value="ACTIVE")
    assert floor.desk.oms.market_states()["X"] is Phase.REOPENING_AUCTION


# --- fees and price steps ---


def test_fees_are_set_for_everybody_or_a_tier_and_given_back():
    """Everybody's, and those of a tier; over a restart, and until the configured hold again."""
    floor = Floor(PAID)
    desk = floor.desk.dispatcher.desk
    floor.done(SET_MARKET, settings={"maker_fee_bps": "10", "taker_fee_bps": "20"})
    assert desk.instruments["X"].maker_fee_bps == 10
    floor.done(SET_MARKET, name="pro", settings={"taker_fee_bps": "5"})
    assert desk.ledger.rates == {("X", "pro"): (10, 5)}
    floor.restart()
    desk = floor.desk.dispatcher.desk
    assert desk.instruments["X"].taker_fee_bps == 20
    assert desk.ledger.rates == {("X", "pro"): (10, 5)}
    floor.done(SET_MARKET, settings={"maker_fee_bps": "", "taker_fee_bps": ""})
    floor.done(SET_MARKET, name="pro", settings={"taker_fee_bps": ""})
    assert (desk.instruments["X"], desk.ledger.rates) == (PAID.instruments[0], {})
    assert floor.is_sound()


def with_tier(floor, account="user-1", tier="vip"):
    """An account that an operator gave a tier."""
    request = OperatorRequest(
        client_order_id=f"tier-{account}-{tier}", action=OperatorAction.SET_ACCOUNT,
        scope=Scope.ACCOUNT, target=account, name="tier", value=tier,
    )  # fmt: skip
    assert floor.desk.ask(request).text == f"tier={tier or 'as configured'}"


def test_fees_of_a_tier_stay_as_long_as_an_account_has_it():
    """It would pay what everybody pays, in a state that is refused when it is asked for."""
    # given fees of a tier, and an account that has it; also while X is not listed
    floor, cheap = Floor(PAID), {"taker_fee_bps": "1"}
    floor.done(SET_MARKET, name="vip", settings=cheap)
    with_tier(floor)
    floor.done(DELIST)
    floor.restart()
    floor.done(LIST)

    # when they are to be given back
    none = {"taker_fee_bps": "", "maker_fee_bps": ""}
    text = floor.refused(SET_MARKET, name="vip", settings=none)

    # then the accounts are named; it is done where the tier has other fees, or no account
    assert text == (
        "COMMAND_INVALID: tier=vip, expected fees of it as long as accounts have it (1): user-1"
    )
    floor.done(SET_MARKET, "ALL", name="vip", settings=cheap)
    floor.done(SET_MARKET, name="vip", settings=none)
    for n in range(12):
        with_tier(floor, f"a{n:02}")
    text = floor.refused(SET_MARKET, "ALL", name="vip", settings=none)
    assert text.endswith("as long as accounts have it (13): " + ", ".join(
        f"a{n:02}" for n in range(10)) + ", ...")  # fmt: skip
    assert floor.is_sound()


def test_a_configuration_without_the_fees_of_a_tier_that_an_operator_gave_is_refused():
    """With a line that names the accounts; it starts once they have another tier."""
    tiers = replace(PAID, fees={("X", "vip"): (0, 1)})
    floor = Floor(tiers)
    with_tier(floor)
    floor.desk.stop()
    says = r"\[fees SYMBOL TIER\]: tier=vip, .*: user-1; give these accounts another tier first"
    with pytest.raises(StoreError, match=says):
        Stepped(PAID, store=floor.desk.store).start()

    floor.desk = Stepped(tiers, store=floor.desk.store).start()
    with_tier(floor, tier="")
    floor.restart(PAID)
    assert floor.is_sound()


def test_rebates_never_exceed_the_lowest_fee_of_any_tier():
    """The fee account would run dry; also when the configuration changes under it."""
    floor = Floor(PAID)
    floor.done(SET_MARKET, name="pro", settings={"maker_fee_bps": "0", "taker_fee_bps": "5"})
    text = floor.refused(SET_MARKET, settings={"maker_fee_bps": "-10", "taker_fee_bps": "20"})
    assert "[instrument X] maker_fee_bps: expected at least -5" in text
    dear = replace(PAID.instruments[0], maker_fee_bps=-10, taker_fee_bps=20)
    floor.desk.stop()
    config = replace(PAID, instruments=(dear,))
    with pytest.raises(StoreError, match=r"with what operators set: .*maker_fee_bps"):
        Stepped(config, store=floor.desk.store).start()


def test_other_steps_hold_for_new_prices_and_never_strand_an_order():
    """An order at 99 is in the way of steps of 2 and stays; without it they hold at once."""
    floor = Floor()
    floor.desk.send(buy("a", 1, 99))
    assert "open_orders=1 are not on those ticks" in floor.refused(
        SET_MARKET, settings={"tick_size": "2"}
    )
    floor.desk.send(modify("m", "a", price=98))
    told = floor.desk.send(buy("b", 1, 97), floor.request(SET_MARKET, settings={"tick_size": "2"}))
    assert told[0] == "b NEW/NEW"
    assert told[1].endswith("COMMAND_REJECTED/None")
    floor.desk.send(modify("m2", "b", price=96))
    floor.done(SET_MARKET, settings={"tick_size": "2"})
    assert floor.desk.ask(buy("c", 1, 97)).reason == "PRICE_INVALID"
    assert floor.desk.ask(modify("m3", "a", price=95)).reason == "PRICE_INVALID"
    assert floor.is_sound()


def test_a_tick_table_gives_each_price_its_step():
    """Steps of 1 up to 100, of 5 up to 1000, then of 50; a post-only order slides by them."""
    floor = Floor()
    floor.done(SET_MARKET, settings={"tick_table": "100: 5, 1000: 50"})
    desk = floor.desk
    for n, (price, fits) in enumerate(
        [(99, True), (100, True), (101, False), (105, True), (1005, False), (1050, True)]
    ):
        assert (desk.ask(buy(f"b{n}", 1, price, symbol="X")).reason is None) == fits
    slide = OrderTerms(post_only=PostOnly.SLIDE)
    floor.done(DELIST, value="cancel")
    floor.done(LIST)
    desk.send(sell("ask", 1, 100), buy("below", 1, 105, terms=slide, account="you"))
    assert desk.oms.get_depth("X", 1) == ([(99, 1)], [(100, 1)])
    desk.send(buy("bid", 2, 100))  # takes the ask, rests
    desk.send(sell("above", 1, 95, terms=slide, account="you"))
    assert desk.oms.get_depth("X", 1) == ([(100, 1)], [(105, 1)])
    assert floor.is_sound()
    for wrong in ("100: 3", "100: 5, 50: 1", "abc", "0: 1"):
        assert "tick_table" in floor.refused(SET_MARKET, settings={"tick_table": wrong})


@pytest.mark.parametrize("scope", [Scope.ALL, Scope.ACCOUNT])
def test_a_market_is_named(scope):
    """By its symbol."""
    with pytest.raises(ValidationError, match="scope: expected SYMBOL with LIST"):
        OperatorRequest(
            client_order_id="1", action=LIST, scope=scope, target="X" if scope != "ALL" else ""
        )


@pytest.mark.parametrize(
    "said, field",
    [
        ({"action": DELIST, "value": "yes"}, "value"),
        ({"action": SET_MARKET}, "settings"),
        ({"action": SET_MARKET, "settings": {"base": "B"}}, "settings"),
        ({"action": DELIST, "settings": {"tick_size": "1"}}, "settings"),
        ({"action": LIST, "settings": {"tick_size": 1}}, "settings"),
    ],
)
def test_what_a_market_s_request_may_not_say(said, field):
    """Each by its field."""
    with pytest.raises(ValidationError, match=f"^{field}: "):
        OperatorRequest(client_order_id="1", scope=Scope.SYMBOL, target="X", **said)
