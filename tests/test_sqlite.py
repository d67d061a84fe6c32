"""SQLite: what only the real thing can show. Schema versions, places, readers."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from oms import (
    EmbeddedVenue,
    MemoryStore,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
    OrderState,
    OrderTerms,
    PersistentStorage,
    RejectReason,
    ResponseType,
    TimeInForce,
)
from oms.errors import OMSError, StoreError
from oms.reports import ROW_COLUMNS
from oms.stores import Noted, Snapshot, checksum, schema
from oms.stores.schema import OF_ORDER, SCHEMA_VERSION, SELECT_REPORT
from oms.turn.journal import Fold, differences
from tests.databases import SmallDisk, alter, storage, traded
from tests.fakes import Stepped, buy, cancel, modify, sell, throttled
from tests.test_idempotency import WITH_MONEY, funds, mass_cancel, operator
from tests.test_journal import lively
from tests.test_store_contract import claim, keep, new, record, report


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders.db"


# --- opening ---


def test_an_empty_file_is_brought_up_to_the_schema(path):
    """And a second start finds nothing to do."""
    path.touch()
    for _ in range(2):
        storage(path).close()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_schema_is_refused(path, read_only):
    """A newer program made it; its data is left alone, and the file let go."""
    storage(path).close()
    alter(path, "PRAGMA user_version = 99")
    store = PersistentStorage(path, read_only=read_only)
    with pytest.raises(StoreError, match=f"expected schema version {SCHEMA_VERSION}, was 99"):
        store.open()
    with pytest.raises(StoreError, match="not open"):
        store.begin()


# What the first two versions had instead of orders, reports and the view; version 2 had fees.
OLD_COLUMNS = [name for name in ROW_COLUMNS if name not in ("fee", "match_number")]
OLD_TABLES = [
    """CREATE TABLE journal (last_seq INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL UNIQUE,
    wall_ns INTEGER NOT NULL, released INTEGER NOT NULL, body TEXT NOT NULL,
    checksum INTEGER NOT NULL)""",
    """CREATE TABLE client_orders (account TEXT NOT NULL, client_order_id TEXT NOT NULL,
    journal_seq INTEGER NOT NULL, PRIMARY KEY (account, client_order_id)) WITHOUT ROWID""",
    f"CREATE TABLE order_responses ({' NOT NULL, '.join(OLD_COLUMNS)} NOT NULL)",
    "CREATE INDEX order_responses_by_order ON order_responses (order_id)",
    """CREATE TABLE snapshots (journal_seq INTEGER PRIMARY KEY, checksum INTEGER NOT NULL,
    body TEXT NOT NULL)""",
    "CREATE TABLE probe (bytes BLOB)",
]
FEES = "ALTER TABLE order_responses ADD COLUMN fee TEXT NOT NULL DEFAULT ''"


def write_old(path, version, store):
    """What is in a store, as an older program would have left it."""
    columns = OLD_COLUMNS + ["fee"] * (version > 1)
    reports = list(store.all_reports())
    places = ", ".join("?" * len(columns))
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in OLD_TABLES + [FEES] * (version > 1):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
        before = 0
        for r in store.records():
            numbers = r.last_seq, r.first_seq, r.wall_ns, r.released, r.body
            before = checksum(before, r.first_seq, r.last_seq, r.wall_ns, r.released, r.body)
            connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", (*numbers, before))
        connection.executemany(
            f"INSERT INTO order_responses ({', '.join(columns)}) VALUES ({places})",
            [[getattr(each, name) for name in columns] for each in reports],
        )
        connection.executemany(
            "INSERT OR IGNORE INTO client_orders VALUES (?, ?, ?)",
            [(r.account, r.client_order_id, r.request_seq) for r in reports if r.request_seq],
        )
        connection.execute("INSERT INTO snapshots VALUES (5, 0, 'of another program')")


@pytest.mark.parametrize("version", [1, 2])
def test_a_database_of_an_older_version_is_brought_up_to_date(path, version):
    """By the next start, from its journal: every report, name and duration as it was."""
    # given a database as an older version made it
    before = Stepped(store=MemoryStore()).start()
    before.send(buy("A", 5, 100), sell("S", 2, 100), buy("B", 1, "0.5"), cancel("Z", "nobody"))
    before.send(modify("M", "A", quantity=4), cancel("C", "A"), cancel("D", "A"))
    before.send(buy("A", 5, 100), buy("E", 1, 90), buy("F", 1, 90, symbol="NONE"))
    before.stop()
    reports = [r._replace(waited_ns=7, venue_ns=r.number) for r in before.store.all_reports()]
    before.store._reports = {0: reports}
    write_old(path, version, before.store)

    # when the next version starts on it, and again
    for _ in range(2):
        desk = Stepped(store=storage(path)).start()

        # then nothing is lost
        assert list(desk.store.all_reports())[: len(reports)] == reports
        assert desk.refolded() == desk.digest()
        for name in ("A", "M", "C", reports[0].order_id):
            assert desk.oms.get_order("me", name).state is OrderState.CANCELED
        assert [report.client_order_id for report in desk.oms.open_orders("me")] == ["E"]
        desk.stop()

    # and whoever repeats a request is answered as ever
    desk = Stepped(store=storage(path)).start()
    again = [desk.ask(r) for r in (buy("E", 1, 90), cancel("C", "A"), buy("B", 1, "0.5"))]
    assert [answer.type for answer in again] == [ResponseType.ORDER_STATUS] * 3
    assert desk.ask(buy("E", 2, 90)).reason is RejectReason.DUPLICATE_ID
    desk.stop()


def test_what_an_older_version_was_asked_is_known_by_its_content(path):
    """Orders with terms, changes, money, operators: the same again is the same, others are not."""
    # given requests of every kind, as an older version has them in its journal
    first = [
        funds("1", "CREATE"), funds("2", "DEPOSIT", "CASH", "900.50"),
        funds("3", "WITHDRAW", "CASH", 5_000), buy("A", 2, "100.50"),
        buy("S", 1, "120.50", terms=OrderTerms(stop_price="119.50")),
        modify("M", "A", quantity=1), modify("N", "A", price="100.505"), cancel("C", "A"),
        mass_cancel("X", symbol="X"),
        operator("P", "SET_PHASE", "SYMBOL", "X", value="HALTED", why="a test"),
    ]  # fmt: skip
    before = Stepped(WITH_MONEY, store=MemoryStore()).start()
    answers = [before.ask(request) for request in first]
    before.stop()
    write_old(path, 2, before.store)

    # when they come again, written another way; and others under their ids
    desk = Stepped(WITH_MONEY, store=storage(path)).start()
    again = [
        funds("1", "CREATE"), funds("2", "DEPOSIT", "CASH", 900.5),
        funds("3", "WITHDRAW", "CASH", "5000.0"), buy("A", "2.0", "100.5"),
        buy("S", "1.0", "120.5", terms=OrderTerms(stop_price="119.5")),
        modify("M", "A", quantity="1.0"), modify("N", "A", price="100.5050"), *first[7:],
    ]  # fmt: skip
    others = [
        funds("1", "DEPOSIT", "CASH", 1), funds("2", "DEPOSIT", "CASH", "900.51"),
        buy("A", 2, "100.51"), buy("S", 1, "120.50", terms=OrderTerms(stop_price="119.51")),
        modify("M", "A", quantity=2), cancel("C", "S"), mass_cancel("X", symbol="Y"),
        operator("P", "SET_PHASE", "SYMBOL", "X", value="CONTINUOUS", why="a test"),
    ]  # fmt: skip
    balances = desk.oms.balances_units("me")

    # then the first are answered as they were, and nothing is done
    for request, answer in zip(again, answers, strict=True):
        repeated = desk.ask(request)
        assert (repeated.order_id, repeated.text) == (answer.order_id, answer.text), request
    for request in others:
        assert desk.ask(request).reason is RejectReason.DUPLICATE_ID, request
    assert desk.oms.balances_units("me") == balances == before.oms.balances_units("me")
    assert desk.refolded() == desk.digest()
    desk.stop()


@pytest.mark.parametrize("version", [1, 2])
def test_looking_does_not_bring_a_database_up_to_date(path, version):
    """A tool must not; it says who will."""
    write_old(path, version, MemoryStore())
    before = path.read_bytes()
    with pytest.raises(StoreError, match="`migrate` upgrades it"):
        PersistentStorage(path, read_only=True).open()
    assert path.read_bytes() == before


def test_an_upgrade_that_fails_changes_nothing(path):
    """It is one transaction; the next start tries again."""
    before = Stepped(store=MemoryStore()).start()
    before.send(buy("A", 5, 100), sell("S", 2, 100))
    write_old(path, 2, before.store)
    store = storage(path)

    def turns():
        yield [claim(1, "A")], [], Noted(1, None, [])
        raise StoreError("a journal that cannot be read")

    with pytest.raises(StoreError, match="cannot be read"):
        store.upgrade(turns())
    store.close()
    desk = Stepped(store=storage(path)).start()
    assert list(desk.store.all_reports()) == list(before.store.all_reports())
    desk.stop()


def test_looking_creates_nothing(path):
    """A tool with a wrong path must not leave an empty database there."""
    with pytest.raises(StoreError, match="cannot be used: unable to open"):
        PersistentStorage(path, read_only=True).open()
    assert list(path.parent.iterdir()) == []


def test_looking_writes_nothing(path):
    """Whoever only reads may do so while the daemon runs, and cannot harm it."""
    storage(path).close()
    reader = storage(path, read_only=True)
    with closing(reader), pytest.raises(StoreError):
        keep(reader, record(1, new("A")))


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"x" * 99]
)
def test_a_file_that_is_no_database_is_refused(path, content):
    """It is not overwritten."""
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be used"):
        PersistentStorage(path).open()
    assert path.read_bytes() == content


def test_a_place_that_cannot_hold_a_database_is_refused(tmp_path):
    """A directory that is not there; a directory where the file should be."""
    for place in (tmp_path / "missing" / "orders.db", tmp_path):
        with pytest.raises(StoreError, match="cannot be used"):
            PersistentStorage(place).open()


def test_a_path_may_have_characters_that_mean_something_in_an_address(tmp_path):
    """SQLite is given a URI; a question mark in a directory's name must not end it."""
    directory = tmp_path / "a b?mode=ro#c%20d"
    directory.mkdir()
    store = storage(directory / "orders.db")
    keep(store, record(1, new("A")), [report(2, 1, 1, 1)], [claim(1, "A")])
    assert store.find_reports("me", "A") == [report(2, 1, 1, 1)]
    store.close()
    assert (directory / "orders.db").stat().st_size > 0


@pytest.mark.parametrize(("durability", "expected"), [("full", 2), ("normal", 1), ("none", 0)])
def test_durability_is_what_sqlite_is_told(path, durability, expected):
    """synchronous: FULL, NORMAL, OFF."""
    store = SmallDisk(path, durability=durability)
    store.open()
    assert store.synchronous() == expected
    store.close()


def test_a_store_that_is_not_open_says_so():
    """An error of ours, not one of SQLite's."""
    store = PersistentStorage("nowhere.db")
    for ask in (
        store.begin,
        store.probe,
        lambda: store.reports_of(1),
        lambda: list(store.records()),
    ):
        with pytest.raises(OMSError, match="not open"):
            ask()
    store.close()


# --- readers ---


def test_anyone_may_read_the_reports_while_the_daemon_writes(path):
    """order_responses reads like a table; a reader waits for nobody and sees committed turns."""
    # given a turn that is kept, and one under way
    store = storage(path)
    keep(store, record(1, new("A")), [report(2, 1, 1, 1)], [claim(1, "A")])
    store.begin()
    assert store.claim([claim(3, "B")])
    store.append(record(3, new("B")), [report(4, 1, 3, 3, client_id="B")])

    # when somebody opens the file read-only
    query = "SELECT client_order_id, state FROM order_responses"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0)) as reader:
        before = reader.execute(query).fetchall()
        store.commit()
        after = reader.execute(query).fetchall()

    # then it sees the one, and the other after its commit
    assert (len(before), len(after)) == (1, 2)
    store.close()


def test_the_reports_are_a_view_with_all_documented_columns(path):
    """In the documented order, what is stored once put beside what is stored each time."""
    desk = Stepped(store=storage(path)).start()
    desk.send(buy("A", 5, 100), sell("S", 2, 100), buy("B", 1, 100, symbol="NONE"))
    desk.send(cancel("C", "A"), cancel("Z", "nobody"))
    desk.stop()
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT type FROM sqlite_master WHERE name = 'order_responses'"
        assert connection.execute(query).fetchone() == ("view",)
        cursor = connection.execute("SELECT * FROM order_responses ORDER BY journal_seq, number")
        assert tuple(column[0] for column in cursor.description) == ROW_COLUMNS
        rows = cursor.fetchall()
    with closing(storage(path, read_only=True)) as store:
        stored = [dict(zip(ROW_COLUMNS, each.row(), strict=True)) for each in store.all_reports()]
    for row in stored:
        row.update({name: row[name] or None for name in ("waited_ns", "venue_ns")})
    assert rows == [tuple(row.values()) for row in stored]
    assert [row[ROW_COLUMNS.index("client_order_id")] for row in rows] == [*"ASSABCZ"]
    assert rows[2][ROW_COLUMNS.index("match_number")] == 1


ORDERS, ACCOUNTS, A_TURN = 100_000, 50, 1_000


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """200,000 reports of 100,000 orders of 50 accounts."""
    path = tmp_path_factory.mktemp("busy") / "orders.db"
    store = storage(path)
    seq, before = 1, 0
    for _ in range(ORDERS // A_TURN):
        names = [f"c{n}" for n in range(seq, seq + A_TURN)]
        turn = record(seq, *map(new, names), before=before)
        told = [
            report(
                turn.last_seq, 2 * n + first, seq + n, seq + n if first else 0, client_id=name,
                named_seq=seq + n, account=f"a{n % ACCOUNTS}",
            )
            for n, name in enumerate(names)
            for first in (1, 2)
        ]  # fmt: skip
        owned = [claim(seq + n, name, f"a{n % ACCOUNTS}") for n, name in enumerate(names)]
        keep(store, turn, told, owned)
        seq, before = turn.last_seq + 1, turn.checksum
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("order_id = 7777", 2), ("account = 'a7'", 2 * ORDERS // ACCOUNTS),
        ("account = 'a7' AND client_order_id = 'c8'", 2),
        ("account = 'a7' AND type = 'TRADE'", 0), ("order_id IN (8, 9, 10)", 6),
    ],
)  # fmt: skip
def test_a_search_by_order_or_account_looks_at_no_report_in_vain(busy, where, found):
    """Of 200,000 only those that are asked for are read: by an index, at every step."""
    query = f"SELECT * FROM order_responses WHERE {where}"
    assert len(busy.execute(query).fetchall()) == found
    steps = [step[3] for step in busy.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert steps
    assert [step for step in steps if not step.startswith("SEARCH ")] == []
    assert any("reports_by_order" in step for step in steps)


def test_a_search_by_client_id_alone_looks_at_each_report_once(busy):
    """As it always did: whose id it is makes it quick."""
    query = "SELECT * FROM order_responses WHERE client_order_id = 'c8'"
    assert len(busy.execute(query).fetchall()) == 2
    steps = [step[3] for step in busy.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len([step for step in steps if step.startswith("SCAN ")]) <= 1
    assert all("INTEGER PRIMARY KEY" in step or "INDEX" in step for step in steps[1:])


def test_what_the_program_itself_asks_is_answered_by_an_index(busy):
    """The reports of an order, of a turn; who owns an id."""
    for query in (
        SELECT_REPORT + OF_ORDER,
        SELECT_REPORT + "WHERE r.report_id BETWEEN ? AND ? ORDER BY r.report_id",
        "SELECT seq, content FROM orders WHERE account = ? AND client_order_id = ?",
        "SELECT max(report_id) FROM reports",
    ):
        values = [1] * query.count("?")
        steps = [step[3] for step in busy.execute(f"EXPLAIN QUERY PLAN {query}", values)]
        assert [step for step in steps if step.startswith("SCAN ")] == [], query


def test_the_content_of_an_id_can_be_made_anew_whatever_terms_the_order_has(path):
    desk = Stepped(store=storage(path)).start()
    terms = OrderTerms(stop_price=90, expire_ns=desk.clock.wall_ns() + 10**12)
    desk.send(buy("A", 2, 100, terms=terms, time_in_force=TimeInForce.GTD), buy("A", 2, 100))

    assert list(differences(desk.store, Fold(EmbeddedVenue()))) == []
    desk.stop()


def test_what_is_stored_is_what_the_journal_gives(path):
    """Every report, put together from the two tables and read back, is the one that was told."""
    told = []
    desk = Stepped(throttled(3), store=storage(path)).start()
    desk.oms.add_listener(told.append)
    lively(desk)
    for again in (buy("B1", 1, 100), buy("B2", 5, 50), cancel("C3", "S0"), cancel("C4", "?")):
        desk.send(again, buy(f"{again.client_order_id}-", "0.5", 1), sell("N", 1, 1, symbol="NONE"))
    assert list(differences(desk.store, Fold(EmbeddedVenue()))) == []
    kept = [each._replace(waited_ns=0, venue_ns=0) for each in desk.store.all_reports()]
    assert kept[-len(told) :] == [
        response.report._replace(waited_ns=0, venue_ns=0) for response in told
    ]
    desk.stop()


@pytest.mark.skipif(os.name != "posix", reason="directories are not synced there")
def test_a_new_database_is_synced_into_its_directory(path, monkeypatch):
    """Else a power loss takes the file away, whatever was synced in it."""
    synced, fsync = [], os.fsync

    def note(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    storage(path, durability="full").close()

    assert path.parent.stat().st_ino in synced


def test_the_write_ahead_log_is_emptied_at_the_end(path):
    """One file to copy; beside it is only what says how far it came."""
    traded(path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["orders.db", "orders.db-high"]


def test_two_snapshots_are_kept(path):
    """The latest, and the one before."""
    store = storage(path)
    for seq in range(1, 6):
        store.save_part(seq, 1, "part")
        store.save_snapshot(Snapshot(seq, 0, "state", seq))
    while store.drop_parts(-1):
        pass
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT journal_seq FROM snapshots ORDER BY 1").fetchall()
        parts = connection.execute("SELECT parts_id FROM snapshot_parts ORDER BY 1").fetchall()
    assert kept == parts == [(4,), (5,)]


def test_numbers_that_no_database_holds_find_nothing(path):
    """Anybody may ask for any order; an operator may mistype a trade."""
    desk = Stepped(store=storage(path)).start()
    desk.send(buy("A", 1, 100))
    for number in (2**62, 2**63 - 1, 2**63, 10**30, -1, -(10**30)):
        assert desk.oms.get_order("me", number) is None
    for n, name in enumerate(("1099511627776-1", "999999999999999999-1", "0-0", "1-" + "9" * 40)):
        answer = desk.ask(
            OperatorRequest(client_order_id=f"{n}", action=OperatorAction.BUST, name=name)
        )
        assert answer.text == f"COMMAND_INVALID: trade={name}, no such trade"
    for n, number in enumerate((2**62, 2**63 - 1)):
        answer = desk.ask(OrderRequest.cancel("me", f"C{n}", order_id=number))
        assert answer.text == f"UNKNOWN_ORDER: orig={number}"
    desk.stop()


def test_opening_twice_is_opening_once(path):
    """An order manager may be given a store that is open; a connection left over would stay."""
    store = storage(path)
    store.open()
    keep(store, record(1, new("A")))
    store.close()
    assert sorted(p.name for p in path.parent.iterdir()) == ["orders.db", "orders.db-high"]


def test_an_order_is_still_found_after_the_end(path):
    """Questions about what is on disk need no running daemon."""
    desk = Stepped(store=storage(path)).start()
    desk.send(buy("A", 1, 100), sell("S", 1, 100))
    desk.stop()
    assert desk.oms.get_order("me", "A").type is ResponseType.TRADE


def test_the_view_of_an_older_program_learns_the_new_words(tmp_path):
    """Its words are in the database; a view that is as it should be is not touched."""
    path = tmp_path / "t.db"

    def opened():
        store = PersistentStorage(path)
        store.open()
        store.close()

    def one(query):
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(query).fetchone()[0]

    view = "SELECT sql FROM sqlite_master WHERE name = 'order_responses'"
    version = "PRAGMA schema_version"
    # given
    opened()
    told = one(view)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP VIEW order_responses")
        connection.execute(told.replace("TRADE_CORRECTED", "UNHEARD_OF"))
        connection.commit()

    # when, then
    opened()
    assert one(view) == told
    before = one(version)
    opened()
    assert one(version) == before


def test_no_statement_numbers_its_placeholders():
    """Python 3.12 warns of ?1 with a sequence, and tests and some users take that for an error."""
    files = list(Path(schema.__file__).parent.glob("*.py"))
    assert len(files) > 8
    numbered = [path.name for path in files if re.search(r"\?\d", path.read_text("utf-8"))]
    assert numbered == []
