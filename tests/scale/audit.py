"""What must be true of a cluster at the end, whatever happened to it: every request answered, once;
money, fills and rows in Postgres as the journals have them; no money between two groups.
"""

import signal
from collections import Counter
from decimal import Decimal

import psycopg

from oms.reports import TRADE
from oms.requests import codec
from tests.processes import DATABASE, Row, audit_of, wait_until
from tests.scale.conserving import conserved
from tests.scale.postgres.test_filler import filled_seq
from tests.scale.postgres.test_projection import differences
from tests.scale.traders import MARKETS, MOVED_ASSET

PLAY = Decimal(1_000_000)
ASSETS = ("USD", "EUR", "BTC")


def audit(cluster):
    """Every answer is in a journal, every request is there once; money, fills, rows add up."""
    clients, groups = cluster.clients, cluster.groups
    assert [len(each.answers) for each in clients] == [each.sent for each in clients]
    moved = {each.name: each.wait_for_moves() for each in clients}
    owned = owned_by(clients)
    fills = {group.name: fills_of(group.store()) for group in groups}
    for each in cluster.followers:
        own = fills[each.group].get(each.account, [])
        wait_until(lambda each=each, own=own: len(each.told) >= len(own) or each.late(30))
        missing = sorted(set(own) - set(each.told))
        assert missing == [], (each.account, each.group, missing, each.log[-20:])
    for group in groups:
        engine = group.left_alone()
        engine.signal(signal.SIGTERM)
        assert engine.process.wait(30) == 0, engine.output
    for each in cluster.followers:
        assert each.complaints == []
        assert each.told == fills[each.group].get(each.account, [])
    found = {group.name: audit_of(group.store()) for group in groups}
    for group in groups:
        check_journal(found[group.name], clients, group.name)
    assert owned == expected(found, clients, moved)
    instants = conserved([group.store() for group in groups], MOVED_ASSET)
    rows = sum(check_projection(group, found[group.name]) for group in groups)
    ended = Counter(state for each in moved.values() for state in each.values())
    assert ended["DONE"] > len(clients) and ended["RETURNED"]
    orders, paid = (sum(len(part) for part in some) for some in zip(
        *((each.answers, each.paid) for each in clients), strict=True
    ))  # fmt: skip
    told = sum(len(own) for each in fills.values() for own in each.values())
    print(
        f"{orders} orders answered, {paid} transfers within a group, {dict(ended)} between two, "
        f"{told} fills told, {rows} rows in Postgres: none lost, none doubled, money conserved "
        f"at each of {instants} instants"
    )


def owned_by(clients):
    """Account and asset: what it has in both groups, available and reserved together."""
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


def check_journal(found, clients, group):
    """It adds up; each order that a client was answered is there, once, and no other one; nothing
    that moves money or cancels took effect twice. Steps between groups: see `conserved`."""
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
        if answer["symbol"] == MARKETS[group]
    }
    effective = Counter(
        (line[1], line[2])
        for _, line in of_clients
        if line[0] != codec.ANSWER and not (line[0] == codec.FUNDS and codec.groups_of(line))
    )
    assert [name for name, times in effective.items() if times > 1] == []


def expected(found, clients, moved):
    """What each account must own: what it was given, the transfers that were done, its trades."""
    owned = {(each.name, asset): PLAY for each in clients for asset in ASSETS}
    for each in clients:
        done = [each.asked[name] for name, state in moved[each.name].items() if state == "DONE"]
        for paid in (*each.paid, *done):
            owned[each.name, paid["asset"]] -= Decimal(paid["amount"])
            owned[paid["toAccount"], paid["asset"]] += Decimal(paid["amount"])
    for row in (row for each in found.values() for row in each.rows.values()):
        if row.type == TRADE:
            lots = Decimal(row.last_quantity_lots) / 10_000
            paid = lots * row.last_price_ticks / 100
            sign = 1 if row.side == "BUY" else -1
            base, quote = row.symbol.split("_")
            owned[row.account, base] += sign * lots
            owned[row.account, quote] -= sign * paid
    return owned


def check_projection(group, found):
    """Filled up to the journal's end, and row by row what the journal says; how many rows."""
    with group.store() as store:
        end = store.find_stretch(0, 1, 0).end_seq
    wait_until(lambda: filled_seq(group.dsn) == end)
    if not group.journal_dsn:
        assert differences(group.engines[0].directory / DATABASE, group.dsn) == []
    with psycopg.connect(group.dsn) as connection:
        rows = connection.execute(f"SELECT {', '.join(Row._fields)} FROM order_responses")
        told = {(row.journal_seq, row.number): unmeasured(row) for row in map(Row._make, rows)}
        assert told == {key: unmeasured(row) for key, row in found.rows.items()}
        totals = connection.execute("SELECT account, asset, total FROM balances")
        totals = {(account, asset): total for account, asset, total in totals if total}
        assert totals == owned_in(found.fold.desk.ledger)
    return len(told)


def owned_in(ledger):
    """Account and asset: what it has in this ledger, where that is something."""
    return {
        (account, asset): Decimal(sum(balance)).scaleb(-ledger.scales[asset])
        for account, assets in ledger.accounts.items()
        for asset, balance in assets.items()
        if sum(balance)
    }


def unmeasured(row):
    """Without what is null there where nothing was measured."""
    return row._replace(waited_ns=0, venue_ns=0)
