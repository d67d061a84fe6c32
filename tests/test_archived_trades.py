"""Where archives and positions meet: what was moved away still counts, and can be taken back."""

import sqlite3
from contextlib import closing
from itertools import count

import pytest

from oms import PersistentStorage
from oms.commands import folded
from oms.exchange.accounts import FEE_ACCOUNT
from oms.requests import FundsAction, OperatorAction
from oms.stores.archiving import archive, last_turn_before
from oms.stores.schema import SCHEMA_VERSION
from oms.turn.journal import Fold, differences, upgraded
from oms.venues import EmbeddedVenue
from tests.databases import alter
from tests.test_exchange_restarts import Floor, listed

INSTRUMENTS = (listed("X", taker_fee_bps=100, maker_fee_bps=-20), listed("Y", price_scale=1))
KEPT = ("holdings", "last_prices", "account_balances", "instruments")
VIEWS = ("order_states", "trades", "positions", "balances", "sessions", "operator_actions")


class House:
    """One database and its exchange; archived at restarts, or never."""

    def __init__(self, path, *, archives):
        self.path, self.archives, self.ids = path, archives, count(1)
        self.open()

    def open(self):
        store = PersistentStorage(self.path, durability="none")
        self.floor = Floor(*INSTRUMENTS, store=store)
        self.floor.ids = self.ids

    def restart(self):
        """All that is over is archived meanwhile, if this is the one."""
        self.floor.stop()
        if self.archives:
            with PersistentStorage(self.path, durability="none") as store:
                cut_seq = last_turn_before(store, 1 << 62)
                assert cut_seq
                archive(store, cut_seq, folded(store).desk.executions.orders)
        self.open()

    def rebuild(self):
        self.floor.stop()
        with PersistentStorage(self.path, durability="none") as store:
            if store.outdated:
                store.upgrade(upgraded(store, EmbeddedVenue()))
            store.upgrade(upgraded(store, EmbeddedVenue()))
        self.open()

    def upgrade(self):
        """The database, and its archives, as version 4 had them; then the next start."""
        self.floor.stop()
        for path in self.path.parent.glob(f"{self.path.stem}*.db"):
            as_version_4(path)
        self.open()
        assert self.floor.store._one("PRAGMA user_version") == (SCHEMA_VERSION,)

    def holds(self):
        assert list(differences(self.floor.store, Fold(EmbeddedVenue()))) == []
        assert self.floor.store.damage() == ""
        return True

    def told(self):
        """What a client, and who reads the tables, can know of trades."""
        oms, store = self.floor.oms, self.floor.store
        accounts = ("a", "b", "c")
        return (
            oms.trades(),
            [oms.trades(account, symbol) for account in accounts for symbol in ("", "X", "Y")],
            [oms.positions(account) for account in accounts],
            [oms.ledger(account) for account in accounts],
            [oms.orders(account) for account in accounts],
            [
                oms.order_details([each.order_id for each in oms.orders(account).orders])
                for account in accounts
            ],
            [oms.pnl(account) for account in accounts],
            [oms.balances(account) for account in (*accounts, FEE_ACCOUNT)],
            [oms.get_order("b", report.order_id) for report in store.all_reports()],
            [[row for row in store.kept(table) if any(row[4:])] for table in KEPT],
        )


def as_version_4(path):
    """Without what is kept for readers; its list of changes had their report ids alone."""
    with closing(sqlite3.connect(path)) as connection:
        changes = connection.execute("SELECT report_id FROM trade_changes").fetchall()
    alter(
        path,
        *[f"DROP VIEW {name}" for name in VIEWS],
        *[f"DROP TABLE {name}" for name in (*KEPT, "trade_changes")],
        "CREATE TABLE trade_changes (report_id INTEGER PRIMARY KEY)",
        *[f"INSERT INTO trade_changes VALUES ({report_id})" for (report_id,) in changes],
        "PRAGMA user_version = 4",
    )


@pytest.fixture
def houses(tmp_path):
    """Twins: a plain one, and one that is archived."""
    pair = [
        House(tmp_path / name / "oms.db", archives=name == "archived")
        for name in ("plain", "archived")
    ]
    yield pair
    for house in pair:
        house.floor.stop()


@pytest.fixture(autouse=True)
def directories(tmp_path):
    for name in ("plain", "archived"):
        (tmp_path / name).mkdir()


def busy(house):
    """Trades of orders that are over, one of an order that stays open, a bust, a correction."""
    floor = house.floor
    floor.fund("c", B=1_000, Q=100_000)
    floor.seller_and_buyer()
    names = [floor.deal(100 + n, 10) for n in range(4)]
    names.append(floor.deal(50, 2, symbol="Y"))
    floor.bust(names[0])
    settings = {"price": "99", "quantity": "4"}
    floor.operate(OperatorAction.CORRECT, name=names[1], settings=settings)
    floor.new("c", "rests", "SELL", 30, 90)
    floor.new("b", "takes", "BUY", 10, 95)
    names.append(floor.oms.trades(limit=1)[0].execution_id)
    return names


def test_archived_trades_are_told_and_count_as_before(houses):
    """Given the same trades in both, when one is archived, then nobody can tell."""
    plain, archived = houses
    for house in houses:
        busy(house)
        before = house.told()
        house.restart()
        assert house.told() == before
    assert archived.floor.store.archives
    few = archived.floor.store._one("SELECT count(*) FROM reports WHERE code LIKE 'F%'")
    assert few < (6,)  # most fills are in the archive
    assert archived.told() == plain.told()
    assert archived.holds()

    # and an archive reads by itself, with its scales
    row = archived.floor.store.archives[0]
    with closing(sqlite3.connect(archived.path.with_name(row.name))) as connection:
        found = connection.execute("SELECT price, quantity, status FROM trades ORDER BY report_id")
        assert found.fetchall()[:3] == [
            ("100", "0", "BUSTED"), ("99", "4", "CORRECTED"), ("102", "10", ""),
        ]  # fmt: skip


def test_a_bust_of_an_archived_trade_does_or_refuses_the_same(houses):
    """Given archived trades, when some are busted and corrected, then positions and trades are
    those of the twin: at once, after a restart with another archive, and after a rebuild."""
    # given
    for house in houses:
        names = busy(house)
        house.restart()
    plain, archived = houses
    assert archived.floor.store.archives

    # when one is busted, one corrected, the open order's, and one that a side cannot give back
    answers = [change_some(house.floor, names) for house in houses]
    assert answers[0] == answers[1]
    assert [answer[0] for answer in answers[0]] == ["COMMAND_DONE"] * 4 + ["COMMAND_REJECTED"] * 2

    # then
    told = plain.told()
    assert archived.told() == told
    for house in houses:
        house.restart()
        assert house.told() == told
        assert house.holds()
        house.rebuild()
        assert house.told() == told
        assert house.holds()
    assert len(archived.floor.store.archives) == 2


def change_some(floor, names):
    """Type and text of each answer."""
    cheaper = {"price": "80", "quantity": "3"}
    answers = [
        floor.bust(names[2]),
        floor.operate(OperatorAction.CORRECT, name=names[3], settings=cheaper),
        floor.operate(OperatorAction.CORRECT, name=names[1], settings={"price": "98"}),
        floor.bust(names[5]),
        floor.bust(names[0]),  # it was before
    ]
    amount = floor.oms.balances("a")["Q"][0]
    floor.funds("a", FundsAction.WITHDRAW, asset="Q", amount=amount)
    answers.append(floor.bust(names[1]))  # its seller has spent what it got
    return [(answer.type, answer.text) for answer in answers]


def test_a_database_of_version_4_with_archives_is_brought_up_to_date(houses):
    """Given both as version 4 had them, when they are started, then all is as before; an archive
    stays as it was, and is read."""
    plain, archived = houses
    for house in houses:
        names = busy(house)
        house.restart()
        house.floor.bust(names[2])
        house.restart()
        before = house.told()

        # when
        house.upgrade()

        # then
        assert house.told() == before
        assert house.holds()
        house.floor.bust(names[3])
        house.rebuild()
        assert house.holds()
    assert archived.told() == plain.told()
    row = archived.floor.store.archives[0]
    with closing(sqlite3.connect(archived.path.with_name(row.name))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (4,)
