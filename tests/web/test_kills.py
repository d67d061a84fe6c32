"""kill -9 under a front door that is used: what was answered stays, and nothing else appears.

Ann and Bob trade by REST, Cid by WebSocket; somebody listens to Ann's orders, the trades and the
book; and with each process somebody signs up. After each kill the journal has what they were told,
and a retry of what nobody answered makes exactly one order.
"""

import random
from collections import Counter
from pathlib import Path

import pytest

from oms.requests import codec
from tests.processes import ABOUT_OTHERS, TERMINAL, Audit, Row, audit, let_run
from tests.web.clients import Book, Client, Newcomer, RestClient, SocketClient, Watcher, socket_of
from tests.web.served import PASSWORD, Daemon

TRADING_S_MAX = 0.6
BY_REST, BY_SOCKET = ("ann", "bob"), ("cid",)
ASKED_AFTER_KILL = 10


class House:
    """One data directory, and all that its clients know, whichever process told them."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.directory, self.chance = directory, chance
        self.books = {name: Book(name) for name in (*BY_REST, *BY_SOCKET)}
        self.tokens: dict[str, str] = {}
        self.retried = 0
        self.newcomers: list[Newcomer] = []  # of the process before

    def clients_of(self, daemon: Daemon, cycle: object) -> list[Client]:
        """Signed in by the tokens that the very first process gave."""
        found: list[Client] = []
        for name, book in self.books.items():
            if name not in self.tokens:
                daemon.sign_up(name)
                self.tokens[name] = daemon.login(name)["token"]
            chance, token = random.Random(self.chance.random()), self.tokens[name]
            if name in BY_REST:
                session = daemon.session(token)
                found.append(RestClient(session, book, chance, f"{cycle}"))
            else:
                socket = socket_of(daemon.ws_url, token)
                found.append(SocketClient(socket, book, chance, f"{cycle}"))
        return found

    def retry(self, clients: list[Client]) -> None:
        """All that nobody knows the outcome of, with the same ids: each now has one."""
        for client in clients:
            for wish in client.book.unknown():
                self.retried += 1
                answer = client.ask(wish)
                assert answer.status < 500, (wish, answer)
                assert answer.told.get("error", {}).get("code") != "DUPLICATE_ID", (wish, answer)
            assert client.book.unknown() == []

    def still_there(self, daemon: Daemon) -> None:
        """Some orders, asked for by the id that their owners gave them."""
        for name, book in self.books.items():
            placed = [n for n, a in book.accepted().items() if book.sent[n].method == "POST"]
            session = daemon.session(self.tokens[name])
            for client_order_id in self.chance.sample(placed, min(ASKED_AFTER_KILL, len(placed))):
                told = session.good("GET", f"/order?clientOrderId={client_order_id}")
                assert told["orderId"] == book.answers[client_order_id].told["orderId"]

    def newcomer_of(self, daemon: Daemon, cycle: int) -> Newcomer:
        name = f"new{cycle}"
        said = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        self.newcomers.append(Newcomer(daemon.session(), said))
        return self.newcomers[-1]

    def welcome(self, daemon: Daemon) -> None:
        """Whoever signed up is in, with all of their play money; or signs up now."""
        for newcomer in self.newcomers:
            again = daemon.session().ask("POST", "/signup", newcomer.said).status
            assert again in ((409,) if newcomer.status == 201 else (201, 409)), newcomer.status
            session = daemon.signed_in(newcomer.said["username"])
            owned = session.good("GET", "/balance")["balances"]
            assert [each["available"] for each in owned] == ["1000000", "1000000"]
        self.newcomers.clear()

    def check(self, found: Audit) -> None:
        """The journal and its reports against the clients' books."""
        assert found.differences == []
        assert found.digest == found.refolded_digest
        assert found.mistakes == []
        asked = [(line[1], line[2], seq) for seq, line in found.requests if line[0] != codec.ANSWER]
        times = Counter(each[:2] for each in asked)
        seqs = {each[:2]: each[2] for each in asked}
        assert [each for each, count in times.items() if count > 1] == []
        for name, book in self.books.items():
            mine = {client_id for account, client_id in times if account == name}
            made = {"create", "play-BTC", "play-USD"}
            assert mine - made <= set(book.sent), "nobody asked for that"
            accepted = book.accepted()
            assert set(accepted) <= mine, "an answered request is lost"
            for client_id, answer in accepted.items():
                if book.sent[client_id].method == "POST":
                    assert int(answer.told["orderId"]) == seqs[name, client_id]


def check_told(watchers: list[Watcher], found: Audit) -> None:
    """What subscribers were told, each going on where the one before was cut off, is what the
    journal has: without a gap and without a repeat."""
    snapshot, *resumed = (each.told["orders"][0] for each in watchers)
    assert [each["event"] for each in resumed] == ["RESUMED"] * len(resumed)
    events = [event for each in watchers for event in each.told["orders"][1:]]
    keys = [(int(each["seq"]), each["number"]) for each in events]
    began, last = int(snapshot["seq"]), keys[-1] if keys else (0, 0)
    account = watchers[0].account
    rows = [row for row in found.rows.values() if row.account == account and row.state]
    due = sorted(
        (row.journal_seq, row.number) for row in rows
        if row.journal_seq > began and (row.journal_seq, row.number) <= last
    )  # fmt: skip
    assert keys == due
    for key, event in zip(keys, events, strict=True):
        assert found.rows[key].state == event["data"]["status"]
    assert {int(each["orderId"]) for each in snapshot["orders"]} == open_at(began, rows)
    first = watchers[0].told["trades"][0]["trades"]
    trades = [event["data"] for each in watchers for event in each.told["trades"][1:]]
    ids = [int(each["tradeId"]) for each in (*first, *trades)]
    assert ids == list(range(ids[0], ids[0] + len(ids))) if ids else True
    book, *updates = watchers[-1].told["depth"]
    at = int(book["lastId"])
    for update in updates:
        assert int(update["firstId"]) <= at + 1, "a gap"
        assert int(update["lastId"]) > at, "a repeat"
        at = int(update["lastId"])


def open_at(seq: int, rows: list[Row]) -> set[int]:
    """Orders that are not over, by the reports up to that sequence."""
    latest: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: (row.journal_seq, row.number)):
        if row.journal_seq <= seq and row.type not in ABOUT_OTHERS:
            latest[row.order_id] = row
    return {order_id for order_id, row in latest.items() if row.state not in TERMINAL}


def kill_again_and_again(directory: Path, cycles: int) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    house, watchers = House(directory, chance), list[Watcher]()
    for cycle in range(cycles):
        with Daemon(directory) as daemon:
            if cycle and chance.random() < 0.15:  # killed while it starts
                let_run(chance.random())
                continue
            # given clients who first clear up what the process before left unknown
            clients = house.clients_of(daemon, cycle)
            house.retry(clients)
            house.still_there(daemon)
            house.welcome(daemon)
            before = watchers[-1] if watchers else None
            watchers.append(Watcher(daemon.ws_url, house.tokens["ann"], "ann", before).start())
            # when the daemon is killed under them
            newcomer = house.newcomer_of(daemon, cycle).start()
            for client in clients:
                client.start()
            let_run(chance.random() * TRADING_S_MAX)
            daemon.kill()
            for thread in (*clients, watchers[-1], newcomer):
                thread.join()
        # then the journal has all that they were told
        found = audit(directory)
        house.check(found)
        check_told(watchers, found)
    with Daemon(directory) as daemon:
        house.retry(house.clients_of(daemon, "last"))
        house.welcome(daemon)
        assert daemon.stop()[0] == 0
    house.check(audit(directory))
    sent = sum(len(book.sent) for book in house.books.values())
    print(f"{cycles} kills, {sent} requests, {house.retried} unknown and asked again")


def test_a_dozen_kills_lose_no_answered_order_and_double_none(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "data", 12)


@pytest.mark.slow
@pytest.mark.parametrize("_life", range(4))
def test_25_kills_lose_no_answered_order_and_double_none(tmp_path: Path, _life: int) -> None:
    kill_again_and_again(tmp_path / "data", 25)
