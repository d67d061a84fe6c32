"""What is beside the journal's chain is not believed blindly: counted, compared, made anew."""

import json
import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from oms import FundsAction, FundsRequest, Instrument, OrderTerms, PersistentStorage
from oms.cli import main
from oms.config import ExchangeConfig
from oms.errors import JournalError, StoreError
from oms.reports import WAITED
from oms.stores import JournalRecord
from oms.stores.schema import SCHEMA_VERSION
from oms.turn.journal import Fold, claims_of, upgraded
from oms.venues import EmbeddedVenue
from tests.databases import alter, beside, flip, storage
from tests.fakes import Stepped, buy, cancel, config_of, modify, sell
from tests.test_recorded import read

ROW = "SELECT * FROM {} ORDER BY 1"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "order_management.db"


def deposit(client_order_id, amount="5", asset="USD"):
    return FundsRequest(
        account="me", client_order_id=client_order_id, action=FundsAction.DEPOSIT, asset=asset,
        amount=amount,
    )  # fmt: skip


def desk_on(path):
    config = config_of(
        instruments=(Instrument(
            symbol="X", price_scale=0, quantity_scale=0, base="SHARE", quote="USD",
            base_scale=0, quote_scale=2,
        ),),
        exchange=ExchangeConfig(self_trade="none", ledger=True),
    )  # fmt: skip
    return Stepped(config, store=PersistentStorage(path, durability="none"))


def lively(path):
    """A database with every kind of claim: orders, changes, refusals, repeats, funds."""
    desk = desk_on(path).start()
    desk.send(
        FundsRequest(account="me", client_order_id="c", action=FundsAction.CREATE),
        deposit("d1", "100000"), deposit("d0", "9", "SHARE"), deposit("d2"),
        deposit("d3", "0.000000000001"),
    )  # fmt: skip
    desk.send(*[buy(f"B{n}", 2, 100 - n) for n in range(6)], buy("odd", "0.5", 100))
    desk.send(sell("S", 3, 90), modify("M1", "B4", price=91), cancel("C1", "B5"), buy("B1", 2, 99))
    desk.send(
        modify("M2", "B4", quantity=4, terms=OrderTerms(display_quantity=2)),
        cancel("C2", "nothing"), deposit("d2"), deposit("d2", "6"), buy("B2", 1, 1),
    )  # fmt: skip
    desk.stop()


def rows(path, table):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(ROW.format(table)).fetchall()


def told_rows(path):
    """All that is served: claims, and reports but for how long things took."""
    claims = [row for row in rows(path, "orders") if row[2] >= " "]
    return claims, [row[:WAITED] for row in rows(path, "reports")], rows(path, "journal")


def run(command, path, *words):
    return main([command, *words, "--data-dir", str(path.parent)])


def refusal(path):
    with pytest.raises(StoreError) as caught:
        desk_on(path).start()
    return str(caught.value)


# --- counted at a start ---


@pytest.mark.parametrize(
    ("damage", "counted"),
    [
        ("DELETE FROM orders WHERE client_order_id = 'd2'", "client order ids"),
        ("DELETE FROM reports WHERE report_id = (SELECT max(report_id) FROM reports)", "reports"),
        ("INSERT INTO orders SELECT 2, account, 'x', symbol, side, terms, content FROM orders "
         "LIMIT 1", "client order ids"),
    ],
)  # fmt: skip
def test_a_row_that_is_missing_stops_the_start_and_rebuild_brings_it_back(
    path, damage, counted, capsys
):
    """A deposit whose id is gone would be paid twice, if it was sent again."""
    # given
    lively(path)
    before = {table: rows(path, table) for table in ("orders", "reports", "report_names")}
    alter(path, damage)

    # then start, digest and verify see it
    assert counted in (told := refusal(path))
    assert "`rebuild`" in told
    assert run("digest", path) == run("verify", path) == 1
    assert capsys.readouterr().out

    # and it can be made anew, to the last bit
    assert run("rebuild", path) == 0
    for table, kept in before.items():
        assert rows(path, table) == kept
    desk = desk_on(path).start()
    answer = desk.ask(deposit("d2"))
    assert answer.order_id < answer.request_seq  # done before
    desk.stop()
    assert run("verify", path) == 0


@pytest.mark.parametrize(
    "damage",
    [
        "orders SET content = content + 1 WHERE client_order_id = 'odd'",
        "orders SET content = content + 1 WHERE client_order_id = 'M2'",
        "orders SET account = 'you' WHERE client_order_id = 'd1'",
        "orders SET client_order_id = 'd9' WHERE client_order_id = 'd1'",
        "orders SET terms = '{}' WHERE client_order_id = 'B0'",
        "orders SET side = 'SELL' WHERE client_order_id = 'C1'",
        "reports SET fee = '1' WHERE report_id = (SELECT max(report_id) FROM reports)",
        "reports SET code = 'zz' WHERE report_id = (SELECT max(report_id) FROM reports)",
        "reports SET reason = CAST(x'ff41' AS TEXT) WHERE report_id IN (SELECT max(report_id) "
        "FROM reports)",
        "report_names SET symbol = 'ALL'",
    ],
)  # fmt: skip
def test_an_altered_row_is_found_by_verify_and_made_anew(path, damage, capsys):
    """The journal says what it was, and its record that it was so."""
    lively(path)
    before = {table: rows(path, table) for table in ("orders", "reports", "report_names")}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(f"UPDATE {damage}").rowcount > 0
        connection.commit()
    assert run("verify", path) == 1
    assert run("rebuild", path) == 0, capsys.readouterr()
    for table, kept in before.items():
        assert rows(path, table) == kept


def test_flipped_bytes_are_never_served_silently(path, tmp_path):
    """Wherever in the file: a start refuses it, or `verify` finds it, or it changed nothing."""
    lively(path)
    sound, seed = path.read_bytes(), random.randrange(10**6)
    print(f"seed {seed}")
    chance, unseen = random.Random(seed), 0
    sound_rows = told_rows(path)
    for number in range(60):
        damaged = tmp_path / f"{number}" / path.name
        damaged.parent.mkdir()
        content = bytearray(sound)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        damaged.write_bytes(content)
        if run("verify", damaged) == 0:
            unseen += 1
            assert told_rows(damaged) == sound_rows
    assert unseen < 60


def test_an_index_that_lost_an_entry_is_found_and_made_anew(path, capsys):
    """What is looked up by it would be missing, though every row is there."""
    lively(path)
    with closing(sqlite3.connect(path)) as connection:
        root, page_bytes = connection.execute(
            "SELECT rootpage, page_size FROM sqlite_master, pragma_page_size "
            "WHERE name = 'sqlite_autoindex_journal_1'"
        ).fetchone()
    content = bytearray(path.read_bytes())
    content[(root - 1) * page_bytes + 4] -= 1  # the low byte of how many entries the page has
    path.write_bytes(content)
    assert run("verify", path) == 1
    assert "damaged" in capsys.readouterr().out
    assert run("rebuild", path) == 0


# --- texts that are none ---


def test_a_snapshot_that_is_no_text_is_ignored(path, caplog):
    """It is a cache."""
    lively(path)
    alter(path, "UPDATE snapshots SET last = CAST(x'80ff' || CAST(last AS BLOB) AS TEXT)")
    desk = desk_on(path).start()
    assert desk.dispatcher.fold.snapshot_seq == 0
    assert "ignored" in caplog.text
    desk.stop()


def test_a_journal_entry_that_is_no_text_is_refused_by_its_sequence(path):
    """Named, as every other damage."""
    lively(path)
    alter(
        path,
        "UPDATE journal SET body = CAST(x'ff' || CAST(body AS BLOB) AS TEXT) "
        "WHERE last_seq = (SELECT last_seq FROM journal LIMIT 1 OFFSET 2)",
    )
    with closing(sqlite3.connect(path)) as connection:
        [first_seq] = connection.execute(
            "SELECT first_seq FROM journal LIMIT 1 OFFSET 2"
        ).fetchone()
    assert f"journal sequence {first_seq}: " in refusal(path)


def test_a_report_that_cannot_be_read_is_an_error_of_ours(path):
    """Neither a traceback of SQLite nor something that is not so."""
    lively(path)
    alter(path, "UPDATE reports SET code = 'zz'")
    store = storage(path)
    with pytest.raises(JournalError, match="not readable"):
        store.find_reports("me", "B0")
    store.close()


def test_after_an_unclean_stop_the_pages_are_checked(path):
    """A page that no recovery reads, of a database that was killed."""
    # given
    desk = Stepped(store=storage(path, durability="normal")).start()
    desk.send(buy("A", 1, 100))
    desk.store._db.execute("PRAGMA wal_checkpoint(RESTART)")
    desk.send(buy("B", 1, 100))
    image = path.parent / "killed" / path.name
    image.parent.mkdir()
    for name in ("", "-wal", "-high"):
        shutil.copy(beside(path, name), beside(image, name))
    query = "SELECT rootpage FROM sqlite_schema WHERE name = 'report_names'"
    [page] = desk.store._db.execute(query).fetchone()
    desk.stop()

    # when one of its pages is damaged
    flip(image, (page - 1) * 4096)

    # then the start is refused
    other = Stepped(store=PersistentStorage(image, durability="normal"))
    with pytest.raises(JournalError, match=r"a damaged page: .*`rebuild`"):
        other.start()


# --- older databases ---


def test_a_database_of_schema_version_3_is_widened_in_place(path):
    """Its records have no tally; what it held is counted from the first start on."""
    # given the journal of a recording, as version 3 had it
    recorded = read("desk-11")
    store, fold = storage(path), Fold(EmbeddedVenue())
    for fields in recorded["records"]:
        record = JournalRecord(*fields)
        reports = fold.apply(record)
        store.begin()
        store.claim(claims_of(fold, record, reports))
        store.append(record, reports)
        store.commit()
    store.close()
    new = ("elapsed_ns", "clock_ns", "tally")
    drops = [f"ALTER TABLE journal DROP COLUMN {name}" for name in new]
    alter(path, *drops, "PRAGMA user_version = 3")
    before = {table: rows(path, table) for table in ("orders", "reports")}

    # when it is started
    store = storage(path)
    assert store.outdated
    store.upgrade(upgraded(store, EmbeddedVenue()))
    store.close()

    # then all is there, and the journal is what it was
    assert rows(path, "orders") == before["orders"]
    assert rows(path, "reports") == before["reports"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert run("verify", path) == 0

    # and the first record that a start writes counts what was there
    desk = Stepped(config_as_recorded(recorded), store=PersistentStorage(path)).start()
    desk.stop()
    last = rows(path, "journal")[-1]
    tally = json.loads(last[-1])
    assert tally[0] == len([row for row in rows(path, "orders") if row[2] >= " "])
    assert tally[2] == len(rows(path, "reports"))
    assert run("verify", path) == 0
    alter(path, "DELETE FROM orders WHERE seq = (SELECT min(seq) FROM orders)")
    assert run("verify", path) == 1


def config_as_recorded(recorded):
    fold = Fold(EmbeddedVenue())
    for fields in recorded["records"]:
        fold.apply(JournalRecord(*fields))
    return config_of(
        instruments=tuple(fold.desk.instruments.values()),
        exchange=ExchangeConfig(ledger=bool(fold.desk.settings.get("ledger"))),
    )
