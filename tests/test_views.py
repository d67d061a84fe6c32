"""The database, read with plain sqlite3: no config.ini, nothing of ours but the file."""

import random
import sqlite3
from contextlib import closing
from fractions import Fraction

import pytest

from oms import OrderTerms, PersistentStorage
from oms.cli import main
from oms.money import to_text
from oms.positions import half_even
from oms.requests import MassCancelRequest, OperatorAction, Origin
from oms.stores.views import VIEWS, average, decimal, product, rounded, time_of
from tests.databases import alter
from tests.test_derived_tables import lively
from tests.test_exchange_restarts import Floor, listed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "order_management.db"


def read(path, query):
    """As anybody would: columns by name, a list of dicts."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def asked(expression):
    with closing(sqlite3.connect(":memory:")) as connection:
        return connection.execute(f"SELECT {expression}").fetchone()[0]


# --- the decimals ---


def test_sql_writes_decimals_as_we_do():
    """Of any width, sign and scale."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(200):
        scale = chance.randint(0, 24)
        number = chance.choice([-1, 1]) * chance.randrange(10 ** chance.randint(1, 30))
        assert asked(decimal(f"'{number}'", str(scale))) == to_text(number, scale)
        places = chance.randint(-2, 16)
        small = number % 10**18
        told = asked(rounded(f"'{-small}'", str(places)))
        expected = half_even(-small, 10**places) if places > 0 else -small * 10**-places
        assert told == expected or abs(expected) >= 2**63
        one, other = chance.randrange(-(10**18), 10**18), chance.randrange(10**18)
        assert asked(product(str(one), str(other))) == str(one * other)
        total, count = abs(number), chance.randrange(1, 10 ** chance.randint(1, 15))
        quotient = half_even(total * 10**4, count)
        if quotient < 10**22:
            assert asked(average(f"'{total}'", str(count), "6")) == to_text(quotient, 10)


@pytest.mark.parametrize(
    ("number", "places", "told"),
    [("5", 1, 0), ("15", 1, 2), ("-15", 1, -2), ("-5", 1, 0), ("0", 3, 0), ("51", 2, 1),
     ("50", 2, 0), ("7", 0, 7), ("7", -2, 700), ("-7", 0, -7)],
)  # fmt: skip
def test_sql_rounds_half_even(number, places, told):
    assert asked(rounded(f"'{number}'", str(places))) == told
    assert half_even(int(number) * 10**2, 10 ** (places + 2)) == told or places < 0


def test_an_average_of_nothing_is_null():
    assert asked(average("'0'", "0", "2")) is None
    assert asked(average("'1'", "3", "0")) == "0.3333"
    assert asked(average("'199995'", "10", "0")) == "19999.5"
    assert Fraction(asked(average("'2'", "3", "2"))) == Fraction(6667, 10**6)


def test_times_are_iso_8601():
    assert asked(time_of("1700000000000000001")) == "2023-11-14T22:13:20.000000001Z"


# --- the stories ---


def test_an_order_is_told_as_it_stands(path):
    """Filled, modified, canceled, refused: one row each, and none for what is no order."""
    lively(path)
    rows = read(path, "SELECT * FROM order_states ORDER BY order_id")
    told = {
        row["client_order_id"]: (row["state"], row["price"], row["quantity"], row["filled"])
        for row in rows
    }
    assert told == {
        "B0": ("FILLED", "100", "2", "2"), "B1": ("PARTIALLY_FILLED", "99", "2", "1"),
        "B2": ("NEW", "98", "2", "0"), "B3": ("NEW", "97", "2", "0"),
        "B4": ("NEW", "91", "2", "0"), "B5": ("CANCELED", "95", "2", "0"),
        "odd": ("REJECTED", None, None, "0"), "S": ("FILLED", "90", "3", "3"),
    }  # fmt: skip
    [sold] = [row for row in rows if row["client_order_id"] == "S"]
    assert (sold["average_price"], sold["notional"]) == ("99.6667", "299")
    assert (sold["type"], sold["time_in_force"], sold["side"]) == ("LIMIT", "GTC", "SELL")
    assert [row["reason"] for row in rows if row["client_order_id"] in ("B2", "B4")] == ["", ""]
    assert rows[-2]["reason"].startswith("QUANTITY_INVALID")


def test_terms_and_types_are_in_words(path):
    floor = Floor(listed(), store=PersistentStorage(path, durability="none"), ledger=False)
    floor.new("a", "stop", "SELL", 3, terms=OrderTerms(stop_price="90"))
    floor.new("a", "gone", "BUY", 3)
    floor.stop()
    rows = read(path, "SELECT client_order_id, type, price, state FROM order_states ORDER BY 1")
    assert [tuple(row.values()) for row in rows] == [
        ("gone", "MARKET", None, "CANCELED"), ("stop", "STOP", None, "SUSPENDED"),
    ]  # fmt: skip


def test_a_busted_and_a_corrected_trade_are_marked(path):
    floor = Floor(listed(), store=PersistentStorage(path, durability="none"), ledger=False)
    busted, corrected, plain = floor.deal(100, 10), floor.deal(101, 10), floor.deal(102, 10)
    floor.bust(busted)
    settings = {"price": "99", "quantity": "4"}
    floor.operate(OperatorAction.CORRECT, name=corrected, settings=settings)
    floor.stop()
    rows = read(path, "SELECT * FROM trades ORDER BY report_id")
    assert [
        (r["execution_id"], r["price"], r["quantity"], r["status"], r["traded_price"]) for r in rows
    ] == [
        (busted, "100", "0", "BUSTED", "100"), (corrected, "99", "4", "CORRECTED", "101"),
        (plain, "102", "10", "", "102"),
    ]  # fmt: skip
    assert [(r["aggressor"], r["buy_account"], r["sell_account"]) for r in rows] == [
        ("BUY", "b", "a")
    ] * 3
    [position] = read(path, "SELECT * FROM positions WHERE account = 'b'")
    assert (position["quantity"], position["average_cost"]) == ("14", "101.1429")
    assert position["unrealized"] == "12"
    actions = read(path, "SELECT action, outcome, name FROM operator_actions")
    assert [(row["action"], row["outcome"]) for row in actions] == [
        ("BUST", "COMMAND_DONE"), ("CORRECT", "COMMAND_DONE"),
    ]  # fmt: skip
    known = {row["execution_id"] for row in read(path, "SELECT execution_id FROM trades")}
    assert {row["name"] for row in actions} <= known


def test_an_action_says_what_was_set_to_what_and_why(path):
    """In columns, not only in the journal's entry."""
    # given a deposit, a limit and a halt with a reason
    floor = Floor(listed("X"), store=PersistentStorage(path, durability="none"))
    floor.fund("me", Q=12)
    floor.operate(
        OperatorAction.SET_LIMIT, scope="ACCOUNT", target="me", name="open_orders_max", value="7",
        why="a new member",
    )  # fmt: skip
    for number, why in enumerate(("a slip", "")):
        floor.told(MassCancelRequest(
            account="me", client_order_id=f"all-{number}", symbol="X", side="BUY", why=why,
            origin=Origin("ann", "rest", "1.1"),
        ))  # fmt: skip
    floor.stop()

    # when
    rows = read(path, "SELECT action, target, name, value, why FROM operator_actions")

    # then
    assert [tuple(row.values()) for row in rows] == [
        ("CREATE", "me", None, None, None),
        ("DEPOSIT", "me", "Q", "12", None),
        ("SET_LIMIT", "me", "open_orders_max", "7", "a new member"),
        ("MASS_CANCEL", "me", "X", "BUY", "a slip"),
        ("MASS_CANCEL", "me", "X", "BUY", None),
    ]


def test_what_was_not_measured_is_null(path):
    """So that an average over order_responses leaves it out: a trade of a resting order."""
    lively(path)
    query = "SELECT count(*) AS all_, count(waited_ns) AS waited, min(waited_ns) AS least"
    [row] = read(path, f"{query} FROM order_responses")
    assert row["waited"] < row["all_"]
    assert row["least"] is None or row["least"] > 0


def test_instruments_are_kept_as_they_were(path):
    """Listed by configuration, changed by an operator, gone at the next start."""
    floor = Floor(listed("X"), listed("Y"), store=PersistentStorage(path, durability="none"))
    terms = {"scope": "SYMBOL", "target": "X", "settings": {"taker_fee_bps": "7"}}
    assert floor.operate(OperatorAction.SET_MARKET, **terms).type == "COMMAND_DONE"
    floor.stop()
    Floor(listed("X"), store=PersistentStorage(path, durability="none")).stop()
    query = "SELECT symbol, until_seq IS NULL AS now, taker_fee_bps FROM instruments ORDER BY 1, 2"
    assert [tuple(row.values()) for row in read(path, query)] == [
        ("X", 0, 0), ("X", 1, 7), ("Y", 0, 0),
    ]  # fmt: skip
    assert main(["verify", "--data-dir", str(path.parent)]) == 0


def test_balances_and_sessions_are_there(path):
    lively(path)
    rows = read(path, "SELECT asset, available, reserved, total FROM balances")
    assert [tuple(row.values()) for row in rows] == [
        ("SHARE", "9", "0", "9"), ("USD", "99334", "671", "100005"),
    ]  # fmt: skip
    events = [row["event"] for row in read(path, "SELECT event FROM sessions")]
    assert events == ["START", "OPEN", "LINK UP"]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE holdings SET cost = cost + 1",
        "DELETE FROM holdings WHERE account = 'me'",
        "UPDATE last_prices SET price_ticks = 1",
        "UPDATE account_balances SET available_units = 5 WHERE asset = 'USD'",
        "UPDATE instruments SET quote_scale = 3",
    ],
)
def test_what_was_altered_is_found_and_made_anew(path, damage, capsys):
    lively(path)
    before = {name: read(path, f"SELECT * FROM {name}") for name in (*VIEWS, "instruments")}
    alter(path, damage)
    assert main(["verify", "--data-dir", str(path.parent)]) == 1
    assert "the journal gives" in capsys.readouterr().out
    assert main(["rebuild", "--data-dir", str(path.parent)]) == 0
    assert before == {name: read(path, f"SELECT * FROM {name}") for name in before}


@pytest.mark.parametrize("version", [3, 4])
def test_an_older_database_gets_what_it_lacks(path, version):
    """As versions 3 and 4 had it: no such tables or views."""
    lively(path)
    before = {name: read(path, f"SELECT * FROM {name}") for name in (*VIEWS, "instruments")}
    kept = ("holdings", "last_prices", "account_balances", "instruments")
    drops = [f"DROP VIEW {name}" for name in VIEWS] + [f"DROP TABLE {name}" for name in kept]
    alter(path, *drops, "DROP TABLE trade_changes", f"PRAGMA user_version = {version}")
    assert main(["migrate", "--data-dir", str(path.parent)]) == 0
    assert before == {name: read(path, f"SELECT * FROM {name}") for name in before}
    assert main(["verify", "--data-dir", str(path.parent)]) == 0


@pytest.mark.parametrize(
    ("view", "where", "index"),
    [("order_states", "account = 'me'", "orders_by_id"),
     ("order_states", "order_id = 12", "o USING"),
     ("trades", "report_id = 12", "f USING"), ("positions", "account = 'me'", "h USING")],
)  # fmt: skip
def test_a_search_uses_an_index(path, view, where, index):
    lively(path)
    plan = read(path, f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE {where}")
    assert any("SEARCH" in row["detail"] and index in row["detail"] for row in plan)
    assert not any(row["detail"].startswith(("SCAN o", "SCAN f", "SCAN h")) for row in plan)
