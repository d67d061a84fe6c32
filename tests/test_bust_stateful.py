"""Busts and corrections among all that an exchange does, against the naive twin.

The twin strikes the trade out of its list and reckons anew: orders, positions, last prices. What
stops, auctions and limits of the twin do later follows from those.
"""

from collections import Counter

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from oms.requests import codec
from tests.examples import many
from tests.reference_exchange import PlainExchange
from tests.test_exchange_stateful import COMMANDS, MODES, ExchangeMachine

CHANGES = ("TRADE_BUSTED", "TRADE_CORRECTED")


class PlainWithBusts(PlainExchange):
    """written: every trade: both orders, price, lots; 0 lots: struck out."""

    def fill(self, first, second, price, lots, liquidity):
        super().fill(first, second, price, lots, liquidity)
        self.written.append([first, second, price, lots])

    def change(self, number, price, lots):
        """The trade is so from now on."""
        first, second, _, before = trade = self.written[number]
        trade[2:] = price, lots
        kind = "TRADE_CORRECTED" if lots else "TRADE_BUSTED"
        for order in (first, second):
            order.cumulative -= before - lots
            if order.state in ("NEW", "PARTIALLY_FILLED"):
                order.state = "PARTIALLY_FILLED" if order.cumulative else "NEW"
            elif order.state == "FILLED" and lots < before:
                order.state = "CANCELED"
        self.lasts[first.symbol] = self.last_written(first.symbol)
        return kind, first, second

    def wake(self, symbol):
        """Stops go by the last price, whatever made it what it is."""
        self.trades.append(self.lasts[symbol])
        self.settle(symbol)

    def last_written(self, symbol):
        stands = [t for t in self.written if t[0].symbol == symbol and t[3]]
        return stands[-1][2] if stands else 0

    def positions(self):
        held = Counter()
        for first, second, _, lots in self.written:
            for order in (first, second):
                held[order.account, order.symbol] += lots if order.buys else -lots
        return {key: lots for key, lots in held.items() if lots}


class BustMachine(ExchangeMachine):
    """Without the ledger: what a bust does to money is told in tests/test_bust.py."""

    @initialize(stp=st.sampled_from(MODES))
    def begin(self, stp):
        self.trades, self.latest, self.noted = [], {}, 0
        ExchangeMachine.begin(self, ledger=False, stp=stp, rich=False)
        self.plain.__class__, self.plain.written = PlainWithBusts, []

    def turn(self, line):
        seq = super().turn(line)
        halves = {}
        for report in self.turns.reports:
            if report.report_id <= self.noted:
                continue
            self.noted = report.report_id
            if report.type not in COMMANDS:
                self.latest[report.order_id] = report
            if report.type == "TRADE":
                other = halves.pop((report.symbol, report.match_number), None)
                if other is None:
                    halves[report.symbol, report.match_number] = report
                else:
                    self.trades.append((other, report))
        return seq

    @rule(pick=st.integers(0, 99), price=st.sampled_from([0, 0, 96, 100, 104]), less=st.booleans())
    def change(self, pick, price, less):
        """0: taken back; else at this price, and for less if it can be."""
        if not self.trades:
            return
        number = pick % len(self.trades)
        _, _, price_now, lots_now = self.plain.written[number]
        if not lots_now:
            return
        lots = (lots_now - 2 if less and lots_now > 2 else lots_now) if price else 0
        if (price, lots) == (price_now, lots_now):
            return
        fields = [self.fill_of(fill, price_now, lots_now) for fill in self.trades[number]]
        kind, *orders = self.plain.change(number, price, lots)
        terms = [price, lots, self.plain.last(orders[0].symbol)]
        self.turn((codec.TRADE_CHANGE, "operator", self.next_name(), "why", fields, terms))
        for order in orders:
            told = (price, lots) if lots else (price_now, lots_now)
            self.plain.report(kind, order, kind, *told)
        self.plain.wake(orders[0].symbol)

    def fill_of(self, fill, price, lots):
        """One side of a trade as an intake writes it."""
        last = self.latest[fill.order_id]
        return [
            fill.journal_seq, fill.number, last.order_id, last.request_seq, last.account,
            last.client_order_id, last.symbol, last.side, last.type, last.state, price, lots,
            last.cumulative_lots, last.leaves_lots, last.notional, "", fill.match_number,
            last.named_seq, last.state, 0,
        ]  # fmt: skip

    def end_once(self, told):
        """A trade of an order that is over may still be taken back."""
        super().end_once([report for report in told if report[0] not in CHANGES])

    @invariant()
    def hold_the_same(self):
        if hasattr(self, "turns"):
            assert self.turns.desk.executions.positions == self.plain.positions()


TestBusts = BustMachine.TestCase
TestBusts.settings = hypothesis_settings(max_examples=many(60), stateful_step_count=25)
