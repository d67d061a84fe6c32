"""Whatever is traded, busted, corrected and restarted: the views, the library and a second
reckoning from the journal say the same of every position, trade and balance.
"""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from oms import EmbeddedVenue, OrderRequest, PersistentStorage
from oms.commands import folded
from oms.positions import changes_in, trade_of, trade_rows
from oms.requests import OperatorAction
from oms.stores.archiving import archive, last_turn_before
from oms.turn.journal import Fold, differences, upgraded
from tests.databases import alter
from tests.examples import many
from tests.reference_positions import plain_positions
from tests.test_exchange_restarts import Floor, listed

# Odd scales: a tick times a lot is a tenth of a unit of the quote asset.
INSTRUMENTS = (
    listed("X", price_scale=1, quantity_scale=1, quote_scale=1, taker_fee_bps=700,
           maker_fee_bps=-100, base_scale=2),
    listed("Y", price_scale=2, quantity_scale=0, quote_scale=1, base="C", taker_fee_bps=300),
)  # fmt: skip
ACCOUNTS = ("a", "b", "c")


class ViewMachine(RuleBasedStateMachine):
    """An exchange over a database file, and everybody who reads it."""

    @initialize(ledger=st.booleans())
    def begin(self, ledger):
        self.place = Path(tempfile.mkdtemp())
        self.path, self.ledger, self.count = self.place / "oms.db", ledger, 0
        self.archived = False
        self.open()
        for account in ACCOUNTS if ledger else ():
            self.floor.fund(account, B=3_000, C=3_000, Q=100_000)

    def open(self):
        store = PersistentStorage(self.path, durability="none")
        self.floor = Floor(*INSTRUMENTS, store=store, ledger=self.ledger)

    @rule(
        orders=st.lists(
            st.tuples(
                st.sampled_from(ACCOUNTS), st.sampled_from("XXXY"),
                st.sampled_from(["BUY", "SELL"]), st.integers(1, 9), st.integers(1, 5),
            ),
            min_size=1, max_size=6,
        )
    )  # fmt: skip
    def trade(self, orders):
        """Several in one turn: a position may be opened, lessened and turned around at once."""
        for account, symbol, side, lots, price in orders:
            self.count += 1
            quantity = Decimal(lots) / (10 if symbol == "X" else 1)
            self.floor.oms.on_data(
                OrderRequest.new(
                    account, f"n{self.count}", symbol, side, quantity, f"10{price}.{price % 2}"
                )
            )
        self.floor.turn()

    @rule(pick=st.integers(0, 99), anew=st.sampled_from(["", "", "0.1", "0.2"]))
    def change(self, pick, anew):
        """A trade is busted, or gets another price and quantity; it may be refused."""
        trades = self.floor.oms.trades()
        if not trades:
            return
        named = trades[pick % len(trades)].execution_id
        if not anew:
            self.floor.bust(named)
            return
        terms = {"price": "99.5", "quantity": anew if pick % 2 else "1"}
        self.floor.operate(OperatorAction.CORRECT, name=named, settings=terms)

    @rule(remembers=st.booleans())
    def restart(self, remembers):
        self.floor.stop()
        if not remembers:
            alter(self.path, "DELETE FROM snapshots")
        self.open()

    @rule(back=st.integers(0, 20))
    def archive(self, back):
        """Up to some turn before the latest snapshot; what is kept for readers stays as it is."""
        before = self.kept()
        self.floor.stop()
        with PersistentStorage(self.path, durability="none") as store:
            record = store.record_of(max(1, last_turn_before(store, 1 << 62) - back))
            if record is not None and store.begins[0] < record.last_seq <= newest(store):
                archive(store, record.last_seq, folded(store).desk.executions.orders)
                self.archived = True
        assert self.kept() == before
        self.open()

    @rule()
    def rebuild(self):
        """All that is beside the journal, made anew: no row is another."""
        before = self.kept()
        self.floor.stop()
        with closing(PersistentStorage(self.path, durability="none")) as store:
            store.open()
            store.upgrade(upgraded(store, EmbeddedVenue()))
        assert self.kept() == before
        self.open()

    def kept(self):
        tables = ("holdings", "account_balances", "instruments")
        return {
            table: [row for row in self.rows(f"SELECT * FROM {table}") if any(row[4:])]
            for table in tables
        }

    def rows(self, query, *arguments):
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return connection.execute(query, arguments).fetchall()

    def told(self):
        """Every report that the journal gives."""
        fold = Fold(EmbeddedVenue())
        return [r for turn in fold.recover(self.floor.store, use_snapshot=False) for r in turn]

    @invariant()
    def the_views_are_the_librarys_answers(self):
        oms = self.floor.oms
        for account in ACCOUNTS:
            query = """SELECT account, symbol, quantity, average_cost, cost, realized, unrealized,
                fees, last_price, quote FROM positions WHERE account = ? ORDER BY symbol"""
            assert self.rows(query, account) == [as_texts(row) for row in oms.positions(account)]
            query = "SELECT asset, available_units, reserved_units FROM balances WHERE account = ?"
            held = {asset: tuple(rest) for asset, *rest in self.rows(query, account)}
            assert held == (oms.balances_units(account) if self.ledger else {})
        fields = """execution_id, match_number, symbol, wall_ns, aggressor, price, quantity,
            traded_price, traded_quantity, status, buy_order_id, buy_account, buy_fee,
            sell_order_id, sell_account, sell_fee"""
        of_all = [as_texts(row) for row in reversed(oms.trades())]
        shown = self.rows(f"SELECT {fields} FROM trades ORDER BY report_id DESC LIMIT 1000")
        if self.archived:  # it lacks what was moved, or one side of it
            told = {row[0]: row for row in of_all}
            assert all(one_side_of(told[row[0]], row) for row in shown)
        else:
            assert shown == of_all
        for account in ACCOUNTS:
            mine = [row for row in of_all if account in (row[11], row[14])]
            assert mine == [as_texts(row) for row in reversed(oms.trades(account))]

    @invariant()
    def a_second_reckoning_gives_the_same(self):
        """With Fractions, from the journal alone; each lessening may round by half a unit."""
        reports = self.told()
        plain, lasts = plain_positions(reports)
        rows = self.rows(
            "SELECT account, symbol, quantity_lots, cost_raw, realized_raw, fee_units, "
            "last_ticks, realized, unrealized, average_cost FROM positions"
        )
        assert {row[:2] for row in rows} == plain.keys()
        for account, symbol, lots, cost, realized, fees, last, *decimals in rows:
            twin = plain[account, symbol]
            bound = Fraction(twin.lessened, 2)
            assert (lots, int(fees)) == (twin.lots, twin.fees)
            assert abs(int(cost) - twin.cost) <= bound
            assert int(realized) - int(cost) == twin.earned - twin.cost  # cash, to the last unit
            assert last == lasts.get(symbol)
            self.decimals_fit(symbol, twin, last, bound, *decimals)
        instruments = {each.symbol: each for each in INSTRUMENTS}

        def scales(symbol, _seq):
            each = instruments[symbol]
            return each.price_scale, each.quantity_scale, each.quote_scale

        executions = [r for r in reports if r.type.startswith("TRADE")]
        trades = [trade_of(row) for row in trade_rows(executions, changes_in(executions), scales)]
        assert trades[-1000:] == self.floor.oms.trades()
        if self.ledger:
            paid = sum(int(row[5]) for row in rows)
            assert paid == paid_fees(self.floor)

    def decimals_fit(self, symbol, twin, last, bound, realized, unrealized, average):
        """What is printed is what the twin has, but for one rounding of each number."""
        each = next(i for i in INSTRUMENTS if i.symbol == symbol)
        unit = Fraction(1, 10 ** (each.price_scale + each.quantity_scale))
        money = Fraction(1, 10**each.quote_scale)
        assert abs(Fraction(realized) - twin.earned * unit) <= money / 2 + bound * unit
        worth = twin.lots * (last or 0)
        assert abs(Fraction(unrealized) - (worth - twin.cost) * unit) <= money + bound * unit
        if twin.lots:
            place = Fraction(1, 10 ** (each.price_scale + 4))
            told = Fraction(average) * 10**each.price_scale
            allowed = place / 2 * 10**each.price_scale + bound / abs(twin.lots)
            assert abs(told - twin.average) <= allowed
        else:
            assert average is None

    @invariant()
    def verify_finds_nothing(self):
        assert list(differences(self.floor.store, Fold(EmbeddedVenue()))) == []

    def teardown(self):
        self.floor.stop()
        shutil.rmtree(self.place)


def newest(store):
    return max((snapshot.seq for snapshot in store.snapshots()), default=0)


def one_side_of(told, shown):
    """Is it the same trade, or the same without one of its sides?"""
    bare = (told[:10], told[10:13], told[13:]), (shown[:10], shown[10:13], shown[13:])
    return all(mine in (whole, (0, "", "0")) for whole, mine in zip(*bare, strict=True))


def paid_fees(floor):
    """What the exchange's own account has taken."""
    return sum(balance[0] for balance in floor.desk.ledger.accounts["fees"].values())


def as_texts(row):
    return tuple(f"{value:f}" if isinstance(value, Decimal) else value for value in row)


TestViews = ViewMachine.TestCase
TestViews.settings = hypothesis_settings(max_examples=many(12), stateful_step_count=10)
