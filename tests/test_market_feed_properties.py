"""Whatever is traded: who applies the events has what the engine has, after every turn.

Plain listeners stand in for gateways. They know nothing but snapshots and events; each joins at
another moment, and one process after the other is their exchange.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from oms import Instrument, OrderType, Side, TimeInForce
from oms.config import ExchangeConfig, SessionConfig
from oms.enums import PostOnly, Scope, SelfTrade
from oms.errors import StoreFullError
from oms.exchange.order import Order
from oms.market_data import (
    BalanceChange,
    DepthUpdate,
    IndicativePrice,
    MarketState,
    TopOfBook,
    TradePrint,
)
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderTerms,
)
from tests.examples import many
from tests.fakes import SECOND, FaultyStore, Stepped, buy, cancel, config_of, modify, sell

SYMBOLS = ("X", "Y")
ACCOUNTS = ("a", "b", "c")
MARKETS = tuple(
    Instrument(
        symbol=symbol, price_scale=0, quantity_scale=0, base=f"{symbol}COIN", quote="CASH",
        base_scale=0, quote_scale=2, maker_fee_bps=-10, taker_fee_bps=30,
        reference_price_ticks=100, breaker_band_bps=300 if symbol == "Y" else 0,
    )
    for symbol in SYMBOLS
)  # fmt: skip
DAY = SessionConfig(  # nearly around the clock; tests begin ten seconds before the first uncross
    hours="Mon-Sun 22:13-22:12", opening_auction_ns=30 * SECOND, closing_auction_ns=32_400 * SECOND
)
CONFIG = config_of(
    session=DAY,
    instruments=MARKETS,
    exchange=ExchangeConfig(
        ledger=True, breaker_window_ns=SECOND, breaker_limit_ns=0, breaker_pause_ns=2 * SECOND,
        reopening_auction_ns=2 * SECOND,
    ),
)  # fmt: skip

NO_ORDER = Order(
    0, "a", "none", MARKETS[0], Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 100, 1
)  # fmt: skip


class Consumer:
    """Holds what it was told, and nothing else; asserts that it was told in order."""

    def __init__(self, oms):
        self.books, self.last, self.tops, self.phases = {}, (0, 0), {}, oms.market_states()
        self.balances = {name: oms.balances_units(name) for name in (*ACCOUNTS, "fees")}
        self.prints, self.indicative = [], {}
        for symbol in SYMBOLS:
            snapshot = oms.depth_snapshot(symbol)
            self.books[symbol] = [snapshot.last_id, dict(snapshot.bids), dict(snapshot.asks)]
            best_bid, best_ask = (side[:1] or ((0, 0),) for side in (snapshot.bids, snapshot.asks))
            self.tops[symbol] = (*best_bid[0], *best_ask[0])

    def __call__(self, event):
        seq, number = self.last
        assert (event.seq, event.number) == (seq, number + 1) or (
            event.seq > seq and event.number == 1
        )
        self.last = (event.seq, event.number)
        if isinstance(event, DepthUpdate):
            self.update(event)
        elif isinstance(event, TopOfBook):
            top = (event.bid_ticks, event.bid_lots, event.ask_ticks, event.ask_lots)
            assert top != self.tops[event.symbol]
            self.tops[event.symbol] = top
        elif isinstance(event, MarketState):
            self.phases[event.symbol] = event.phase
            self.indicative.pop(event.symbol, None)
        elif isinstance(event, IndicativePrice):
            told = (event.price_ticks, event.volume_lots, event.surplus_lots)
            assert told != self.indicative.get(event.symbol)
            self.indicative[event.symbol] = told
        elif isinstance(event, BalanceChange):
            self.balances[event.account][event.asset] = (
                event.available_units,
                event.reserved_units,
            )
        else:
            self.prints.append(event)

    def update(self, event):
        book = self.books[event.symbol]
        if event.last_id <= book[0]:
            return
        assert event.first_id == book[0] + 1 and event.last_id == event.seq
        assert event.bids or event.asks
        book[0] = event.last_id
        assert list(event.bids) == sorted(event.bids, reverse=True)
        assert list(event.asks) == sorted(event.asks)
        for levels, changed in ((book[1], event.bids), (book[2], event.asks)):
            for price, lots in changed:
                assert lots != levels.get(price, 0)
                if lots:
                    levels[price] = lots
                else:
                    del levels[price]


class Exchange:
    """An order manager that is driven at random, and what its consumers are compared with."""

    def __init__(self):
        self.store, self.count = FaultyStore("commit"), 0
        self.trades, self.sent = [], []
        self.start()
        for account in ACCOUNTS:
            self.send(self.funds(account, FundsAction.CREATE))
            for asset, amount in (("CASH", 20_000), ("XCOIN", 90), ("YCOIN", 90)):
                self.send(self.funds(account, FundsAction.DEPOSIT, asset=asset, amount=amount))

    def start(self, clock=None):
        parts = {"clock": clock} if clock else {}
        self.desk = Stepped(CONFIG, store=self.store, **parts)
        self.desk.oms.add_listener(self.keep_trade)
        self.desk.oms.add_market_listener(lambda _event: 1 // 0)
        self.desk.start()
        self.consumers = []
        self.join()

    def join(self):
        consumer = Consumer(self.desk.oms)
        consumer.joined = len(self.trades)
        self.desk.oms.add_market_listener(consumer)
        self.consumers.append(consumer)

    def keep_trade(self, report):
        if report.type == "TRADE":
            self.trades.append(report)

    def name(self):
        self.count += 1
        return f"#{self.count}"

    def funds(self, account, action, **more):
        return FundsRequest(account=account, client_order_id=self.name(), action=action, **more)

    def send(self, *requests):
        self.sent += requests
        self.desk.send(*requests)
        self.check()

    def pass_time(self, seconds):
        self.desk.clock.advance(seconds)
        self.desk.keep()
        self.desk.step()
        self.check()

    # --- what is random ---

    def order(self, account, symbol, sells, kind, price, lots, extra, stp):
        """One of every kind of order; extra picks its terms."""
        terms = {"self_trade": stp} if stp else {}
        more, at, side = {}, price, sell if sells else buy
        if kind == "iceberg":
            terms["display_quantity"] = 1 + extra % 3
        elif kind == "post_only":
            terms["post_only"] = list(PostOnly)[extra % 2]
        elif kind in ("stop", "stop_limit"):
            terms["stop_price"] = 98 + extra % 6
            at = price if kind == "stop_limit" else None
        elif kind == "market":
            at = None
        elif kind == "oco":
            stop = self.pick(extra, lambda order: order.suspended)
            account, terms["oco_with"] = stop.account, stop.client_order_id
            symbol, side = stop.instrument.symbol, buy if stop.side == "BUY" else sell
        elif kind == "min":
            terms["min_quantity"] = 1 + extra
        elif kind in ("IOC", "FOK", "DAY"):
            more["time_in_force"] = TimeInForce(kind)
        elif kind == "GTD":
            more["time_in_force"] = TimeInForce.GTD
            terms["expire_ns"] = self.desk.clock.wall_ns() + (1 + extra) * SECOND
        return side(
            self.name(), lots, at, account=account, symbol=symbol,
            terms=OrderTerms(**terms) if terms else None, **more,
        )  # fmt: skip

    def change(self, how, pick, price, lots, display):
        """Of an order that was open before this turn."""
        order = self.pick(pick)
        account, orig = order.account, order.client_order_id
        if how == "cancel":
            return cancel(self.name(), orig, account=account)
        terms = OrderTerms(display_quantity=display) if display else None
        return modify(self.name(), orig, account=account, price=price, quantity=lots, terms=terms)

    def pick(self, number, fits=lambda _order: True):
        """An open order; a stop of nobody's where there is none, which will be refused."""
        orders = [o for o in self.desk.dispatcher.desk.executions.orders.values() if fits(o)]
        return orders[number % len(orders)] if orders else NO_ORDER

    def mass_cancel(self, account, symbol):
        return MassCancelRequest(account=account, client_order_id=self.name(), symbol=symbol)

    def phase(self, symbol, phase):
        return OperatorRequest(
            client_order_id=self.name(), action=OperatorAction.SET_PHASE, scope=Scope.SYMBOL,
            target=symbol, value=phase,
        )  # fmt: skip

    # --- what must hold ---

    def check(self):
        desk = self.desk.dispatcher.desk
        for consumer in self.consumers:
            self.check_books(desk, consumer)
            ledger = {name: dict(held) for name, held in desk.ledger.accounts.items()}
            for name, held in consumer.balances.items():
                now = ledger.get(name, {})
                assert held == {asset: tuple(balance) for asset, balance in now.items()}
                assert held == self.desk.oms.balances_units(name)
            self.check_prints(consumer)

    def check_books(self, desk, consumer):
        for symbol, market in desk.engine.markets.items():
            last_id, bids, asks = consumer.books[symbol]
            shown = market.book.get_depth(1_000)
            assert (sorted(bids.items(), reverse=True), sorted(asks.items())) == shown
            snapshot = self.desk.oms.depth_snapshot(symbol)
            assert (list(snapshot.bids), list(snapshot.asks)) == shown
            assert snapshot.last_id == last_id
            best_bid, best_ask = (side[:1] or [(0, 0)] for side in shown)
            assert consumer.tops[symbol] == (*best_bid[0], *best_ask[0])
            assert consumer.phases[symbol] is market.phase
            assert self.desk.oms.market_states()[symbol] is market.phase
            if symbol in consumer.indicative:
                assert market.phase.value.endswith("AUCTION")
                assert consumer.indicative[symbol] == (market.indicative() or (0, 0, 0))

    def check_prints(self, consumer):
        """Each trade has two reports and one print."""
        reports = self.trades[consumer.joined :]
        assert 2 * len(consumer.prints) == len(reports)
        told = {report.execution_id: report for report in reports}
        sides = {(r.symbol, r.match_number, r.side): r.order_id for r in reports}
        assert len(sides) == len(reports)
        for printed in consumer.prints:
            report = told[printed.execution_id]
            trade = (printed.symbol, printed.match_number)
            assert printed.match_number == report.match_number > 0
            assert printed.buy_order_id == sides[(*trade, "BUY")]
            assert printed.sell_order_id == sides[(*trade, "SELL")]
            assert isinstance(printed, TradePrint) and printed.symbol == report.symbol
            assert printed.price_ticks == report.last_price_ticks
            assert printed.quantity_lots == report.last_quantity_lots
            assert report.liquidity == ("TAKER" if printed.taker_side else "AUCTION")
            assert report.side == (printed.taker_side or "BUY")
        volume = sum(printed.quantity_lots for printed in consumer.prints)
        assert 2 * volume == sum(report.last_quantity_lots for report in reports)


KINDS = (
    *["limit"] * 10, "iceberg", "iceberg", "post_only", "stop", "stop_limit",
    "market", "oco", "min", "IOC", "FOK", "DAY", "GTD",
)  # fmt: skip
prices, lots, extras = st.integers(97, 103), st.integers(1, 12), st.integers(0, 9)
symbols, accounts = st.sampled_from(SYMBOLS), st.sampled_from(ACCOUNTS)
orders = st.tuples(
    st.just("order"), accounts, symbols, st.booleans(), st.sampled_from(KINDS), prices, lots,
    extras, st.sampled_from([None] * 6 + [SelfTrade.DECREMENT, *SelfTrade]),
)  # fmt: skip
changes = st.tuples(
    st.just("change"), st.sampled_from(["cancel", "modify", "modify"]), extras,
    st.none() | prices, lots, st.none() | st.integers(1, 4),
)  # fmt: skip
rare = st.one_of(
    st.tuples(st.just("mass_cancel"), accounts, st.sampled_from(["", *SYMBOLS])),
    st.tuples(
        st.just("phase"), symbols,
        st.sampled_from(["OPENING_AUCTION", "HALTED", "CONTINUOUS", "CONTINUOUS", "CONTINUOUS"]),
    ),
)  # fmt: skip
turn_of = st.lists(
    st.one_of(orders, orders, orders, orders, changes, changes, rare), min_size=1, max_size=6
)
moments = st.sampled_from([0, 0, 0, 3, 15, 28_800, "join", "restart", "disk full"])


def run(exchange, turn, moment):
    """One turn; time passes, or somebody or something comes or goes."""
    if moment == "disk full":
        exchange.store.faults = [StoreFullError("full")]
    exchange.send(*(getattr(exchange, kind)(*terms) for kind, *terms in turn))
    if moment == "join":
        exchange.join()
    elif moment == "restart":
        exchange.start(exchange.desk.clock)
        exchange.check()
    elif moment != "disk full":
        exchange.pass_time(moment)


@given(st.lists(st.tuples(turn_of, moments), min_size=5, max_size=25))
@settings(max_examples=many(200))
def test_a_consumer_holds_what_the_engine_has(flow):
    """Books, tops, phases, auction prices, balances and trades, whenever it joined."""
    exchange = Exchange()
    for turn, moment in flow:
        before = exchange.consumers[0].books
        run(exchange, turn, moment)
        if moment == "restart":  # the same books, under higher ids
            for symbol, (last_id, *levels) in exchange.consumers[0].books.items():
                assert last_id > before[symbol][0] and levels == before[symbol][1:]


@given(st.lists(st.tuples(turn_of, moments.filter(lambda m: type(m) is int)), max_size=12))
@settings(max_examples=many(25))
def test_that_somebody_listens_changes_nothing(flow):
    """The same requests with nobody there: the same journal, reports and views."""
    # given a second exchange, which gets what the first one got
    exchange = Exchange()
    quiet = Stepped(CONFIG).start()
    for request in exchange.sent:
        quiet.send(request)
    for turn, moment in flow:
        del exchange.sent[:]
        run(exchange, turn, moment)
        quiet.send(*exchange.sent)
        quiet.clock.advance(moment)
        quiet.keep()
        quiet.step()

    # then nobody can tell them apart
    loud = exchange.desk
    assert quiet.digest() == loud.digest()
    assert list(quiet.store.all_reports()) == list(loud.store.all_reports())
    assert quiet.oms.market_states() == loud.oms.market_states()
    for account in ACCOUNTS:
        assert quiet.oms.balances_units(account) == loud.oms.balances_units(account)
    for symbol in SYMBOLS:
        assert quiet.oms.get_depth(symbol, 9) == loud.oms.get_depth(symbol, 9)
        assert quiet.oms.recent_trades(symbol) == loud.oms.recent_trades(symbol)
    assert all(m.changed is None for m in quiet.dispatcher.desk.engine.markets.values())
