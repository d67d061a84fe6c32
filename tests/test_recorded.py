"""Journals of older programs: every later version replays them to the same reports.

A recording holds the journal records of one run, every execution report of that run and the state
at its end. tests/recorded/README.md describes the files; they cannot be recorded again. Of those
of commit 091c228, what has come since is left out: of a report its match number, of the state what
`as_it_was` leaves out. Those of commit 7ba0847, of rules number 2, are the same in full.
"""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from oms import EmbeddedVenue, ManualClock, MemoryStore, PersistentStorage
from oms.clock import NEVER
from oms.config import ExchangeConfig
from oms.desk import snapshot
from oms.desk.settings import RULES, instrument_of
from oms.reports import MEASURED
from oms.requests import MassCancelRequest, codec
from oms.stores import JournalRecord, checked
from oms.turn.day import days
from oms.turn.journal import Fold, differences, state_mistakes
from oms.venues.scripted import ScriptedVenue
from tests.fakes import Stepped, config_of

RECORDED = Path(__file__).with_name("recorded")
DATABASE = "version2"
ALL = sorted(name for path in RECORDED.glob("*.json.gz") if (name := path.name[:-8]) != DATABASE)
RULES_2 = [name for name in ALL if name.startswith("rules2-")]
NAMES = [name for name in ALL if name not in RULES_2]
RESPONSES = "SELECT * FROM order_responses ORDER BY journal_seq, number"
JOURNAL = (
    "SELECT first_seq, last_seq, wall_ns, released, body, checksum FROM journal ORDER BY last_seq"
)
SYMBOL, SIDE, PRICE, LEFT, TERMS, RESTS = 4, 5, 8, 12, 18, 20  # of an order's state
DISPLAY = snapshot.TERMS.index("display_lots")
MARKET_ITEMS, ORDER_ITEMS = 6, 19  # of a market's and an order's state, at that commit


def read(name):
    return json.loads(gzip.decompress((RECORDED / f"{name}.json.gz").read_bytes()))


def as_it_was(state):
    """A state as that commit wrote it down: a book said then where its orders stand, which each
    order says for itself now; and nothing of what is newer."""
    state = json.loads(json.dumps(state))
    for market in state["markets"]:
        assert len(market["state"]) == MARKET_ITEMS + 1
        del market["state"][MARKET_ITEMS:]  # how many trades there were
        del market["places"]
        symbol = market["instrument"]["symbol"]
        inside = [Resting.of(o) for o in state["orders"] if o[SYMBOL] == symbol and o[RESTS]]
        in_line = sorted(inside, key=lambda order: (order.rank, order.placed))
        market["entry"] = [order.id for order in sorted(inside, key=lambda order: order.entered)]
        market["priority"] = [order.id for order in in_line]
        market["hidden"] = [
            [order.id, order.shown, order.left - order.shown, order.display]
            for order in sorted(inside, key=lambda order: order.placed)
            if order.shown < order.left
        ]
    for order in state["orders"]:
        del order[ORDER_ITEMS:]  # the request whose client order id it bears; where it rests
    return state


class Resting(NamedTuple):
    """Where an order stands in its book. rank: bids first, of each side the best price."""

    id: int
    rank: tuple[bool, int]
    left: int
    display: int
    entered: int
    placed: int
    shown: int

    @classmethod
    def of(cls, order):
        sells, price, terms = order[SIDE] == "SELL", order[PRICE], order[TERMS]
        display = terms[DISPLAY] if terms else 0
        return cls(order[0], (sells, price if sells else -price), order[LEFT], display,
                   *order[RESTS])  # fmt: skip


def unordered(state):
    """The same, with icebergs by their ids: then they stood in the order of their last change."""
    markets = [{**m, "hidden": sorted(m["hidden"])} for m in state["markets"]]
    return {**state, "markets": markets}


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_journal_replays_to_the_same_reports_and_state(name):
    """Given a recorded journal, when it is replayed, then reports and state are as recorded."""
    # given
    recorded = read(name)
    columns = [column for column in recorded["columns"] if column not in MEASURED]
    assert len(columns) == len(recorded["columns"]) - 2 == 19

    # when
    fold, reports = replayed(recorded)

    # then
    same_reports(reports, recorded)
    assert snapshot.digest(recorded["state"]) == recorded["digest"]
    assert unordered(as_it_was(fold.state())) == unordered(recorded["state"])
    assert state_mistakes(fold) == []


@pytest.mark.parametrize("name", RULES_2)
def test_a_journal_of_rules_number_2_replays_to_the_same_reports_and_state(name):
    """Given one of the published program, then also the digest is what that computed."""
    recorded = read(name)
    assert all(rules == 2 for rules in rules_of(recorded))
    fold, reports = replayed(recorded)
    same_reports(reports, recorded)
    assert json.loads(json.dumps(fold.state())) == recorded["state"]
    assert snapshot.digest(fold.state()) == recorded["digest"]
    assert state_mistakes(fold) == []


@pytest.mark.parametrize("name", [name for name in RULES_2 if "remote" not in name])
def test_a_journal_of_rules_number_2_goes_on_by_those_of_today(name):
    """Given one whose orders are still open, when a start of today goes on with it, then the whole
    journal, and the last snapshot, give the state that the desk has."""
    # given
    recorded = read(name)
    settings = list(starts_of(recorded))[-1]
    store = MemoryStore()
    store._records = [JournalRecord(*record) for record in recorded["records"]]
    config = config_of(
        instruments=tuple(instrument_of(fields) for fields in settings["instruments"]),
        exchange=ExchangeConfig(ledger=settings["ledger"]),
        fees={(symbol, tier): (maker, taker) for symbol, tier, maker, taker in settings["fees"]},
    )
    clock = ManualClock(wall_ns=store._records[-1].wall_ns)

    # when
    desk = Stepped(config, store=store, clock=clock).start()
    desk.oms.on_data(MassCancelRequest(account="a", client_order_id="all"))
    desk.step()
    clock.advance(60)
    desk.step()
    desk.stop()

    # then
    numbers = [line[1]["rules"] for line in lines_of(store._records) if line[0] == codec.START]
    assert numbers[-1] == RULES > 2
    assert desk.digest() == desk.refolded()
    assert Stepped(config, store=store, clock=clock).start().dispatcher.fold.last_seq
    assert state_mistakes(desk.dispatcher.fold) == []


def replayed(recorded):
    """The fold of a recorded journal, and its reports."""
    fold, reports = Fold(ScriptedVenue() if recorded["remote"] else EmbeddedVenue()), []
    for record in checked((JournalRecord(*fields) for fields in recorded["records"]), 0, 0):
        reports += fold.apply(record)
    return fold, reports


def same_reports(reports, recorded):
    """But for what was measured: a replay has no latencies."""
    columns = [column for column in recorded["columns"] if column not in MEASURED]
    for ours, theirs in zip(reports, recorded["rows"], strict=False):
        expected = dict(zip(recorded["columns"], theirs, strict=True))
        assert [getattr(ours, column) for column in columns] == [
            expected[column] for column in columns
        ], f"report {ours.execution_id}"
    assert len(reports) == len(recorded["rows"])


def lines_of(records):
    return [line for record in records for line in codec.decode_all(record.body, 1)]


def starts_of(recorded):
    """The settings of each START line."""
    records = [JournalRecord(*fields) for fields in recorded["records"]]
    return (line[1] for line in lines_of(records) if line[0] == codec.START)


def rules_of(recorded):
    return [settings.get("rules", 1) for settings in starts_of(recorded)]


# --- a database of schema version 2 ---


@pytest.fixture
def old(tmp_path):
    """Where a database lies that was written by commit 091c228."""
    path = tmp_path / "order_management.db"
    path.write_bytes(gzip.decompress((RECORDED / f"{DATABASE}.db.gz").read_bytes()))
    return path


def select(path, query):
    """The rows, each a dict by the names of its columns."""
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def config_as_it_was(journal):
    """With the ledger, and the instruments of the last start: whoever has money keeps it."""
    starts = [
        json.loads(line)[1]
        for row in journal
        for line in row["body"].split("\n")
        if line.startswith('["B",')
    ]
    fold = Fold(EmbeddedVenue())
    fold.desk.begin(1, NEVER, 0)
    fold.desk.enter(1, (codec.START, starts[-1]))
    instruments = tuple(fold.desk.instruments.values())
    return config_of(instruments=instruments, exchange=ExchangeConfig(ledger=True))


def test_a_database_of_schema_version_2_is_upgraded_with_every_report_and_client_order_id(old):
    """Given a database of an earlier version, when a start upgrades it, then nothing is lost."""
    # given
    recorded = read(DATABASE)
    before = select(old, RESPONSES)
    assert [[row[name] for name in recorded["columns"]] for row in before] == recorded["rows"]
    journal = select(old, JOURNAL)
    last_seq = journal[-1]["last_seq"]

    # when a start upgrades it
    store = PersistentStorage(old, durability="none")
    desk = Stepped(config_as_it_was(journal), store=store).start()
    assert not store.outdated
    desk.stop()

    # then each old column of each old row says what it said
    rows = select(old, RESPONSES)
    assert list(rows[0]) == [*recorded["columns"], "match_number"]
    kept = [row for row in rows if row["journal_seq"] <= last_seq]
    for row in kept:  # what was not measured was 0 then, and is NULL in the view
        row.update({name: row[name] or 0 for name in ("waited_ns", "venue_ns")})
    assert [{name: row[name] for name in before[0]} for row in kept] == before

    # and the ids are claimed by whom they were, and the journal is what it was
    claims = [
        [row["account"], row["client_order_id"], row["seq"]]
        for row in select(old, "SELECT * FROM orders")
        if row["seq"] <= last_seq
    ]
    taken = [claim for claim in claims if not claim[1].startswith("\n")]  # no client id does
    assert sorted(taken) == sorted(recorded["client_orders"])
    refused = {row["order_id"] for row in before if row["reason"].startswith("DUPLICATE_ID")}
    assert {claim[2] for claim in claims if claim not in taken} <= refused
    assert [row for row in select(old, JOURNAL) if row["last_seq"] <= last_seq] == journal

    # and the journal alone gives the state of that commit, and all that the reports say
    store.open()
    try:
        for account, client_order_id, seq in recorded["client_orders"]:
            assert store.owner(account, client_order_id)[0] == seq
        fold = Fold(EmbeddedVenue())
        for record in checked(store.records(), 0, 0):
            if record.last_seq <= last_seq:
                fold.apply(record)
        assert snapshot.digest(as_it_was(fold.state())) == recorded["digest"]
        assert list(differences(store, Fold(EmbeddedVenue()))) == []
    finally:
        store.close()


@pytest.mark.parametrize("name", ["corners", "exchange-calendar", "exchange-machine-909", "kill"])
def test_older_journals_have_their_trading_dates(name):
    """By the rules of their time; each statement adds up, or `days` would raise. A date that was
    opened again is one date."""
    store = MemoryStore()
    store._records = [JournalRecord(*record) for record in read(name)["records"]]
    found = list(days(store, EmbeddedVenue()))
    assert sum(len(day.trades) for day in found) > 10
    assert [day.date for day in found] == sorted({day.date for day in found})
