"""What must be true of a cluster at the end, whatever happened to it: every request answered, once;
money, fills and rows in Postgres as the journal has them.
"""

import signal
from collections import Counter
from decimal import Decimal

import psycopg

from oms.reports import TRADE
from oms.requests import codec
from tests.processes import DATABASE, Row, audit_of, wait_until
from tests.scale.postgres.test_filler import filled_seq
from tests.scale.postgres.test_projection import differences

PLAY = Decimal(1_000_000)


def audit(cluster):
    """Every answer is in the journal, every request is there once; money, fills, rows add up."""
    clients = cluster.clients
    assert [len(each.answers) for each in clients] == [each.sent for each in clients]
    owned = owned_by(clients)
    fills = fills_of(cluster.store())
    for each in cluster.followers:
        own = fills[each.account]
        wait_until(lambda each=each, own=own: len(each.told) >= len(own) or each.late(30))
        missing = sorted(set(own) - set(each.told))
        assert missing == [], (each.account, missing, each.log[-20:])
    engine = cluster.left_alone()
    engine.signal(signal.SIGTERM)
    assert engine.process.wait(30) == 0, engine.output
    for each in cluster.followers:
        assert each.complaints == []
        assert each.told == fills[each.account]
    found = audit_of(cluster.store())
    check_journal(found, clients)
    assert owned == expected(found, clients)
    rows = check_projection(cluster, found, owned)
    orders, paid = (sum(len(part) for part in some) for some in zip(
        *((each.answers, each.paid) for each in clients), strict=True
    ))  # fmt: skip
    print(
        f"{orders} orders answered, {paid} transfers, {sum(map(len, fills.values()))} fills told, "
        f"{rows} rows in Postgres: none lost, none doubled, money conserved"
    )


def owned_by(clients):
    """Account and asset: what it has, available and reserved together."""
    return {
        (each.name, row["asset"]): Decimal(row["available"]) + Decimal(row["reserved"])
        for each in clients
        for row in each.ask("GET", "/balance").told["balances"]
    }


def fills_of(opening):
    """By account, turn and number of every fill, oldest first."""
    found = {}
    with opening as store:
        for each in store.all_reports():
            if each.type == TRADE:
                told = str(each.journal_seq), str(each.number)
                found.setdefault(each.account, []).append(told)
    return found


def check_journal(found, clients):
    """It adds up; each order that a client was answered is there, once, and no other one; nothing
    that moves money or cancels took effect twice."""
    assert (found.differences, found.mistakes) == ([], [])
    assert found.digest == found.refolded_digest
    names = {each.name for each in clients}
    of_clients = [(seq, line) for seq, line in found.requests if line[1] in names]
    placed = {
        (line[1], line[2]): str(seq) for seq, line in of_clients if line[0] == codec.NEW
    }  # fmt: skip
    assert placed == {
        (each.name, name): answer["orderId"]
        for each in clients
        for name, answer in each.answers.items()
    }
    effective = Counter(
        (line[1], line[2]) for _, line in of_clients if line[0] != codec.ANSWER
    )  # fmt: skip
    assert [name for name, times in effective.items() if times > 1] == []


def expected(found, clients):
    """What each account must own: what it was given, the transfers it was answered, its trades."""
    owned = {(each.name, asset): PLAY for each in clients for asset in ("USD", "BTC")}
    for each in clients:
        for moved in each.paid:
            owned[each.name, "USD"] -= Decimal(moved["amount"])
            owned[moved["toAccount"], "USD"] += Decimal(moved["amount"])
    for row in found.rows.values():
        if row.type == TRADE:
            lots = Decimal(row.last_quantity_lots) / 10_000
            paid = lots * row.last_price_ticks / 100
            sign = 1 if row.side == "BUY" else -1
            owned[row.account, "BTC"] += sign * lots
            owned[row.account, "USD"] -= sign * paid
    return owned


def check_projection(cluster, found, owned):
    """Filled up to the journal's end, and row by row what the journal says; how many rows."""
    with cluster.store() as store:
        end = store.find_stretch(0, 1, 0).end_seq
    wait_until(lambda: filled_seq(cluster.dsn) == end)
    if cluster.journal == "sqlite":
        assert differences(cluster.engines[0].directory / DATABASE, cluster.dsn) == []
    with psycopg.connect(cluster.dsn) as connection:
        rows = connection.execute(f"SELECT {', '.join(Row._fields)} FROM order_responses")
        told = {(row.journal_seq, row.number): unmeasured(row) for row in map(Row._make, rows)}
        assert told == {key: unmeasured(row) for key, row in found.rows.items()}
        totals = connection.execute("SELECT account, asset, total FROM balances")
        totals = {(account, asset): total for account, asset, total in totals}
        assert {key: totals.get(key) for key in owned} == owned
    return len(told)


def unmeasured(row):
    """Without what is null there where nothing was measured."""
    return row._replace(waited_ns=0, venue_ns=0)
