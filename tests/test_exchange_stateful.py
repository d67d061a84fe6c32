"""The exchange against its naive twin: same reports, same balances, same books, whatever comes.

Every order type and term, self-trade prevention, phases and auctions, expiry, funds, and the
ledger on or off. After every step: money is conserved, what is reserved is what open orders
need, no book is crossed in continuous trading. At the end the journal alone gives the same.
"""

from collections import Counter

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from oms import EmbeddedVenue, Instrument
from oms.clock import Instant
from oms.desk import snapshot
from oms.desk.settings import settings_of
from oms.enums import MarketOrderPolicy
from oms.requests import codec
from oms.turn.journal import Fold
from tests.examples import many
from tests.reference_exchange import PlainExchange
from tests.turns import Turns

INSTRUMENTS = (
    # Fills of this one round: a tick times a lot is a tenth of the smallest amount of USD.
    Instrument(
        symbol="AAA_USD", price_scale=1, quantity_scale=1, base_scale=2, quote_scale=1,
        maker_fee_bps=-300, taker_fee_bps=500,
    ),
    Instrument(
        symbol="BBB_USD", price_scale=0, quantity_scale=0, base_scale=0, quote_scale=1,
        lot_size=2, tick_size=2, market_order=MarketOrderPolicy.ALL_OR_NONE,
        market_slippage_bps=300, reference_price_ticks=100, maker_fee_bps=50, taker_fee_bps=0,
    ),
    # A call of this one takes market orders, with a collar that is off its grid.
    Instrument(
        symbol="CCC_USD", price_scale=0, quantity_scale=0, base_scale=0, quote_scale=1,
        tick_size=2, market_slippage_bps=350, reference_price_ticks=100,
    ),
)  # fmt: skip
SYMBOLS = [instrument.symbol for instrument in INSTRUMENTS]
ACCOUNTS = ("a", "b", "c")
GROUPS = {"b": "friends", "c": "friends"}
TIERS = {"a": "vip"}
FEES = {("AAA_USD", "vip"): (100, 300)}
MODES = ("none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement")
PHASES = ("CONTINUOUS", "CONTINUOUS", "HALTED", "OPENING_AUCTION", "PRE_OPEN")
COMMANDS = ("COMMAND_DONE", "COMMAND_REJECTED")

accounts = st.sampled_from(ACCOUNTS)
symbols = st.sampled_from(SYMBOLS)
sides = st.sampled_from(["BUY", "SELL"])
prices = st.sampled_from([96, 98, 98, 100, 100, 102, 104])
lots = st.integers(1, 10).map(lambda n: 2 * n)
resting = st.sampled_from(["GTC", "GTC", "DAY", "GTD"])
modes = st.sampled_from(["", "", "", *MODES])


def code_of(reason):
    """The stable first word of a reason."""
    return reason.partition(":")[0]


class ExchangeMachine(RuleBasedStateMachine):
    """The desk with its exchange, and the plain one, fed alike."""

    make_turns = Turns

    @initialize(ledger=st.booleans(), stp=st.sampled_from(MODES), rich=st.booleans())
    def begin(self, ledger, stp, rich):
        exchange = {
            "ledger": ledger, "self_trade": stp, "tiers": TIERS, "stp_groups": GROUPS,
            "fees": [[*key, *rates] for key, rates in FEES.items()],
        }  # fmt: skip
        self.turns = self.make_turns()
        start = settings_of(
            INSTRUMENTS, hold_when_closed=False, waiting_max=1_000, remote=False, exchange=exchange
        )
        self.turns.turn((codec.START, start), (codec.LINK, "UP", ""))
        self.plain = PlainExchange(
            {i.symbol: self.terms_of(i) for i in INSTRUMENTS},
            ledger=ledger, stp=stp, fees=FEES, tiers=TIERS, groups=GROUPS,
        )  # fmt: skip
        self.count, self.now, self.ledger = 0, 0, ledger
        self.deposits = Counter()
        self.ended, self.whole = set(), True
        for account in ACCOUNTS if ledger else ():
            self.fund(account, "CREATE", "", 0, "")
            for asset, amount in (
                ("USD", 9_000 if rich else 900),
                ("AAA", 300),
                ("BBB", 40),
                ("CCC", 60),
            ):
                self.fund(account, "DEPOSIT", asset, amount, "")

    @staticmethod
    def terms_of(instrument):
        names = (
            "price_scale", "quantity_scale", "tick_size", "lot_size", "base", "quote",
            "base_scale", "quote_scale", "market_slippage_bps", "maker_fee_bps", "taker_fee_bps",
        )  # fmt: skip
        return {name: getattr(instrument, name) for name in names} | {
            "market_order": instrument.market_order.value,
            "reference_price": instrument.reference_price_ticks,
        }

    # --- what may come ---

    @rule(
        account=accounts, symbol=symbols, side=sides, price=prices, lots=lots, tif=resting,
        mode=modes, special=st.sampled_from(["", "", "", "display", "REJECT", "SLIDE", "min"]),
        small=st.integers(1, 3),
    )  # fmt: skip
    def limit(self, account, symbol, side, price, lots, tif, mode, special, small):
        terms = {"stp": mode} if mode else {}
        if special == "display":
            terms["display"] = 2 * small
        elif special == "min":
            terms["min"] = 2 * small
        elif special:
            terms["post"] = special
        self.place(account, symbol, side, "LIMIT", tif, price, lots, terms)

    @rule(
        account=accounts, symbol=symbols, side=sides, lots=lots, mode=modes, price=prices,
        how=st.sampled_from([
            "market", "ioc", "fok", "market fok", "protected", "min", "budget", "budget fok",
            "budget min", "patient", "patient protected",
        ]),
        budget=st.integers(1, 2_000),
    )  # fmt: skip
    def at_once(self, account, symbol, side, lots, mode, price, how, budget):
        terms = {"stp": mode} if mode else {}
        kind, tif = "MARKET", "FOK" if "fok" in how else "IOC"
        if how in ("ioc", "fok"):
            kind = "LIMIT"
        else:
            price, bound = 0, price
            if "patient" in how:  # it may wait for an uncross
                tif = "GTC"
            if "protected" in how:
                terms["protect"] = bound
            if "min" in how:
                terms["min"] = 4
            if "budget" in how:
                terms["budget"], side, lots = budget, "BUY", 0
        self.place(account, symbol, side, kind, tif, price, lots, terms)

    @rule(
        account=accounts, symbol=symbols, side=sides, lots=lots, stop=prices, price=prices,
        tif=resting, how=st.sampled_from(["STOP", "STOP_LIMIT", "protected", "pair", "pair"]),
        mode=modes, limit=prices, more=lots,
    )  # fmt: skip
    def stop(self, account, symbol, side, lots, stop, price, tif, how, mode, limit, more):
        """A stop; or one with the limit order that is its partner."""
        terms = {"stop": stop} | ({"stp": mode} if mode else {})
        kind = "STOP_LIMIT" if how in ("STOP_LIMIT", "pair") else "STOP"
        if how == "protected":
            terms["protect"] = price
        name = self.place(
            account, symbol, side, kind, tif, price if kind == "STOP_LIMIT" else 0, lots, terms
        )
        if how == "pair":
            self.place(account, symbol, side, "LIMIT", "GTC", limit, more, {"oco": name})

    @rule(pick=st.integers(0, 99), price=prices, lots=st.integers(0, 10), what=st.integers(0, 5))
    def modify(self, pick, price, lots, what):
        order = self.pick(pick)
        if order is None:
            return
        fixed = order.market or what in (0, 1)
        price, lots, terms = 0 if fixed else price, 2 * lots, {}
        if what == 2 and order.waits:
            terms["stop"] = price or 100
        if what == 3 and order.display:
            terms["display"] = 2
        if not (price or lots or terms):
            lots = 6
        name = self.next_name()
        change = (codec.MODIFY, order.account, name, order.names[-1], price, lots, "")
        change += (terms,) if terms else ()
        seq = self.turn(change)
        self.plain.modify(seq, name, order.id, price, lots, terms)

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick):
        order = self.pick(pick)
        if order is not None:
            name = self.next_name()
            seq = self.turn((codec.CANCEL, order.account, name, order.names[-1], ""))
            self.plain.cancel(seq, name, order.id)

    @rule(
        account=st.sampled_from(["", *ACCOUNTS]), symbol=st.sampled_from(["", *SYMBOLS]),
        side=st.sampled_from(["", "BUY", "SELL"]),
    )  # fmt: skip
    def mass_cancel(self, account, symbol, side):
        self.turn((codec.MASS_CANCEL, "operator", self.next_name(), account, symbol, side))
        self.plain.mass_cancel(account, symbol, side, "CANCELED", "MASS_CANCEL")

    @rule(symbol=symbols, phase=st.sampled_from(PHASES))
    def phase(self, symbol, phase):
        """As an operator does; the calendar goes the same way through the same door."""
        command = ("SET_PHASE", "SYMBOL", symbol, "", phase, "")
        self.turn((codec.OPERATOR, "operator", self.next_name(), *command))
        self.plain.set_phase(symbol, phase)

    @rule(
        symbol=symbols, ends=st.sampled_from(["CONTINUOUS", "CONTINUOUS", "HALTED", ""]),
        entries=st.lists(
            st.tuples(accounts, sides, st.integers(0, 8), lots, modes), min_size=2, max_size=8
        ),
    )  # fmt: skip
    def call(self, symbol, ends, entries):
        """Orders that cross, market orders among them, and mostly an uncross."""
        self.phase(symbol, "OPENING_AUCTION")
        for account, side, step, lots, mode in entries:
            price = 2 * (46 + step) if step and symbol != "AAA_USD" else step and 96 + step
            kind, terms = "LIMIT" if price else "MARKET", {"stp": mode} if mode else {}
            self.place(account, symbol, side, kind, "GTC", price, lots, terms)
            self.have_the_same()
        if ends:
            self.phase(symbol, ends)

    @rule(phase=st.sampled_from(["CLOSING_AUCTION", "HALTED", "OPENING_AUCTION", "PRE_OPEN"]))
    def night(self, phase):
        """The session closes, in a call, a halt or before trading began, and opens again."""
        halted = phase == "HALTED"
        for symbol in SYMBOLS:
            command = ("SET_PHASE", "SYMBOL", symbol, "", phase, "")
            self.turn((codec.OPERATOR, "operator", self.next_name(), *command))
            self.plain.set_phase(symbol, phase)
        self.turn((codec.SESSION, "CLOSE", "2024-03-04"))
        for symbol in SYMBOLS:
            self.plain.set_phase(symbol, "CLOSED")
            assert not self.turns.desk.engine.markets[symbol].book.crossed
        self.plain.expire_day()
        self.turn((codec.SESSION, "OPEN", "2024-03-05"))
        for symbol in SYMBOLS:
            if halted:  # an operator's halt outlasts the night
                command = ("SET_PHASE", "SYMBOL", symbol, "", "CONTINUOUS", "")
                self.turn((codec.OPERATOR, "operator", self.next_name(), *command))
            self.plain.set_phase(symbol, "CONTINUOUS")

    @rule()
    def time_passes(self):
        """GTD orders are good for three such steps."""
        self.now += 1
        self.turn((codec.GOOD_TILL, self.now))
        self.plain.expire_gtd(self.now)

    @rule(
        account=accounts, action=st.sampled_from(["DEPOSIT", "WITHDRAW", "TRANSFER"]),
        asset=st.sampled_from(["USD", "AAA", "BBB", "CCC"]), amount=st.integers(1, 1_000),
        other=st.sampled_from([*ACCOUNTS, "nobody"]),
    )  # fmt: skip
    def funds(self, account, action, asset, amount, other):
        if self.ledger:
            self.fund(account, action, asset, amount, other if action == "TRANSFER" else "")

    # --- both ---

    def place(self, account, symbol, side, kind, tif, price, lots, terms):
        name = self.next_name()
        if tif == "GTD":
            terms = {**terms, "expire": self.now + 3}
        fields = (terms,) if terms else ()
        new = (codec.NEW, account, name, symbol, side, kind, tif, price, lots, 0, "", *fields)
        seq = self.turn(new)
        self.plain.new(seq, account, name, symbol, side, kind, tif, price, lots, terms)
        return name

    def fund(self, account, action, asset, amount, other):
        before = len(self.turns.reports)
        self.turn((codec.FUNDS, account, self.next_name(), action, asset, amount, other))
        told = self.turns.reports[before]
        refused = code_of(told.reason) if told.type == "COMMAND_REJECTED" else ""
        if action == "CREATE":
            assert refused == self.plain.create(account)
        elif action == "TRANSFER":
            assert refused == self.plain.transfer(account, other, asset, amount)
        else:
            move = self.plain.deposit if action == "DEPOSIT" else self.plain.withdraw
            assert refused == move(account, asset, amount)
            if not refused:
                self.deposits[asset] += amount if action == "DEPOSIT" else -amount

    def turn(self, line):
        """One line, one turn; its sequence."""
        self.turns.fold.instant = Instant(self.now, self.now, self.now)
        self.whole = False
        seq = self.turns.fold.last_seq + 1
        self.turns.turn(line)
        self.whole = True
        return seq

    def pick(self, number):
        orders = [order for order in self.plain.orders if order.open]
        return orders[number % len(orders)] if orders else None

    def next_name(self):
        self.count += 1
        return f"#{self.count}"

    # --- what must be the same, and what must hold ---

    @invariant()
    def tell_the_same(self):
        if not hasattr(self, "turns"):
            return
        told = [self.brief(each) for each in self.turns.reports if each.type not in COMMANDS]
        plain = [self.brief_plain(report) for report in self.plain.reports]
        for number, (ours, theirs) in enumerate(zip(told, plain, strict=False)):
            assert ours == theirs, f"report {number}: {ours} and the twin's {theirs}"
        assert len(told) == len(plain), (told[len(plain) :], plain[len(told) :])
        self.turns.reports, self.plain.reports = [], []  # from here on only what is new
        self.end_once(told)

    @staticmethod
    def brief(told):
        return (
            told.type, told.order_id, told.state, told.last_price_ticks, told.last_quantity_lots,
            told.cumulative_lots, told.leaves_lots, told.liquidity, int(told.fee or 0),
            code_of(told.reason) if told.type != "EXPIRED" else "",
        )  # fmt: skip

    @staticmethod
    def brief_plain(report):
        return (*report[:9], code_of(report[9]))

    def end_once(self, told):
        """One end for each order, and nothing but refused changes after it."""
        for report in told:
            order_id, state = report[1], report[2]
            assert order_id not in self.ended or report[0] == "CANCEL_REJECTED"
            if state in ("FILLED", "CANCELED", "EXPIRED", "REJECTED"):
                self.ended.add(order_id)

    @invariant()
    def have_the_same(self):
        if not hasattr(self, "turns"):
            return
        desk, plain = self.turns.desk, self.plain
        balances = {
            (account, asset): tuple(balance)
            for account, assets in desk.ledger.accounts.items()
            for asset, balance in assets.items()
            if any(balance)
        }
        assert balances == plain.balances()
        for symbol, market in desk.engine.markets.items():
            if symbol not in SYMBOLS:
                continue
            market.book.check(crossed=market.phase is not market.phase.CONTINUOUS)
            market.stops.check()
            in_line = [order.order_id for order in market.book.orders()]
            assert in_line == plain.priority(symbol)
            assert market.book.get_depth(99) == plain.depth(symbol)
            assert sorted(id for id, _ in market.stops.entries()) == sorted(plain.stops(symbol))
            assert market.last_ticks == plain.last(symbol)
            found = market.indicative()
            assert (found and found[:2]) == plain.indicative(symbol)
        assert {
            order.order_id: (
                order.price_ticks, order.quantity_lots, order.cumulative_lots, order.leaves_lots,
                order.state.value,
            )
            for order in desk.executions.orders.values()
        } == plain.open_orders()  # fmt: skip

    @invariant()
    def add_up(self):
        """Conserved, nobody below zero, what is reserved is what open orders need."""
        if not hasattr(self, "turns"):
            return
        desk, executions = self.turns.desk, self.turns.desk.executions
        assert desk.ledger.mistakes(desk.executions.orders.values()) == []
        assert +self.deposits == +Counter(desk.ledger.paid_in)
        for order in desk.executions.orders.values():
            assert order.cumulative_lots + order.leaves_lots == order.quantity_lots
            if self.ledger:
                need = executions.need(order, order.price_ticks, order.leaves_lots)
                holds = executions.holder(order) is order  # of a pair, the limit order for both
                assert order.reserved == (need if holds else 0)
        assert not desk.engine.rules.triggered and not desk.executions.losers

    def teardown(self):
        """The journal alone gives the same state; and drained, nothing is reserved."""
        if not hasattr(self, "turns") or not self.whole:
            return
        state = self.turns.fold.state()
        refolded = self.turns.refold()
        assert refolded.fold.digest() == self.turns.fold.digest()
        loaded = Fold(EmbeddedVenue())
        snapshot.load(loaded.desk, state)
        assert snapshot.dump(loaded.desk, self.turns.fold.last_seq) == state
        self.turns.turn((codec.MASS_CANCEL, "operator", self.next_name(), "", "", ""))
        assert self.turns.desk.executions.orders == {}
        for assets in self.turns.desk.ledger.accounts.values():
            assert all(reserved == 0 for _, reserved in assets.values())


TestExchange = ExchangeMachine.TestCase
TestExchange.settings = hypothesis_settings(max_examples=many(120), stateful_step_count=100)
