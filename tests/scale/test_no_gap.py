"""Subscribers of one door for two groups miss nothing and are told nothing twice."""

import json
import random
import signal
import threading
import time
from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from oms.client import Client
from oms.requests import OrderRequest
from tests.processes import wait_until
from tests.scale.processes import Persistent, Role, ready, settings
from tests.scale.servers import RedisServer, wait_for
from tests.scale.split import EngineThreads
from tests.scale.test_one_door import GROUPS, SYMBOLS, order
from tests.web.clients import BROKEN
from tests.web.doors import PASSWORD

SILENT_S = 4.0  # heartbeats come each second
# What becomes of a login, too, while its engine or Redis is away.
LOST = (*BROKEN, WebSocketException, TimeoutError, httpx.HTTPError, AssertionError, KeyError)


class Follower:
    """Follows an account's reports in all groups, at whichever of the doors is there; each group
    goes on behind its own last event. token: a call, as a login may be another one by then."""

    def __init__(self, doors, token, account="ann"):
        self.doors, self.token, self.account = doors, token, account
        self.told = {name: [] for name in SYMBOLS}  # of each group (seq, number), client order id
        self.begun, self.snapshots = {}, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            with suppress(*LOST):
                self._follow(self.doors[turn % len(self.doors)])
            self.stopping.wait(0.05)

    def _follow(self, url):
        headers = {"authorization": f"Bearer {self.token()}"}
        place = url.replace("http", "ws", 1) + "/ws"
        with connect(place, additional_headers=headers, open_timeout=3, close_timeout=1) as socket:
            for name in SYMBOLS:
                self._subscribe(socket, name)
            while not self.stopping.is_set():
                told = json.loads(socket.recv(SILENT_S))
                name = told.get("group")
                if told.get("op") == "subscribe" and not told.get("ok"):
                    time.sleep(0.2)  # its engine is away
                    self._subscribe(socket, told.get("id"))
                elif told.get("op") == "subscribe":
                    if name in self.begun and told["event"] == "SNAPSHOT":
                        self.snapshots.append(told)
                    self.begun.setdefault(name, int(told["seq"]))
                elif told.get("channel") == "reports":
                    at = int(told["seq"]), told["number"]
                    self.told[name].append((at, told["data"]["clientOrderId"]))

    def _subscribe(self, socket, name):
        said = {"op": "subscribe", "channel": "reports", "account": self.account, "group": name}
        if self.told[name]:
            seq, number = self.told[name][-1][0]
            said |= {"fromSeq": str(seq), "fromNumber": str(number)}
        elif name in self.begun:
            said["fromSeq"] = str(self.begun[name])
        socket.send(json.dumps({**said, "id": name}))

    def has(self, name, client_order_id):
        return any(each == client_order_id for _, each in self.told[name])

    def stop(self):
        self.stopping.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


def checked(follower, reports_after):
    """What it was told of each group is what the group's journal has, in order, and once."""
    for name, told in follower.told.items():
        found = reports_after(name, follower.begun[name])
        assert [at for at, _ in told] == [(e.journal_seq, e.number) for e in found], name
    assert follower.snapshots == []


def test_a_follower_of_two_groups_has_no_gap_over_a_dead_engine_and_lost_data(
    start_split, server
):  # fmt: skip
    """One engine ends and begins anew; then Redis is killed, and comes back with nothing."""
    door = start_split(market_groups=GROUPS)
    ann = door.user("ann")
    follower = Follower([door.url], lambda: door.login("ann").headers["authorization"][7:])
    wait_for(lambda: len(follower.begun) == 2)

    def both(n):
        for symbol in SYMBOLS.values():
            order(ann, symbol, f"{symbol}-{n}", price=f"{50 + n}")

    both(1)
    door.engines["inr"].stop()
    wait_for(lambda: not door.remote.links["inr"].alive)
    order(ann, "BTC_USD", "alone")
    config = door.config.of_group("inr")
    door.engines["inr"] = EngineThreads(door.directory / "engine-inr", config, "inr", None)
    wait_for(lambda: door.remote.links["inr"].alive)
    both(2)
    server.kill()
    for name, symbol in SYMBOLS.items():  # of the journal alone, as Redis is away
        away = OrderRequest.new("ann", f"{symbol}-away", symbol, "BUY", "1", "9")
        assert not door.engines[name].oms.submit(away).result(10).refused
    server.start()
    wait_for(lambda: all(each.alive for each in door.remote.links.values()))
    wait_for(lambda: door.remote.get_status()["health"] == "ok")
    both(3)
    wait_for(lambda: all(follower.has(n, f"{s}-3") for n, s in SYMBOLS.items()), 30)
    follower.stop()
    assert follower.has("usd", "alone")
    assert follower.has("inr", "TATA_INR-away")
    checked(
        follower,
        lambda name, seq: door.engines[name].oms.reports_after("ann", seq, 2**38),
    )


@pytest.mark.slow
def test_followers_have_no_gap_while_processes_are_killed(tmp_path):
    """Engines, the broadcast, the api and Redis are killed at random under load, some of them
    several times; two followers, one at each door, have all of both groups in the end."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    server = RedisServer(tmp_path / "redis").start()
    config = settings(tmp_path, market_groups=GROUPS)
    with config.open("a", encoding="utf-8") as more:
        more.write("\n[instrument TATA_INR]\nprice_scale = 2\nquantity_scale = 4\n"
                   "tick_size = 0.01\nlot_size = 0.0001\nbase = TATA\nquote = INR\n")  # fmt: skip
    engines = [Role(tmp_path, config, server.url, "engine", "--group", name) for name in SYMBOLS]
    api, broadcast = (Role(tmp_path, config, server.url, kind) for kind in ("api", "broadcast"))
    roles, followers, traders = [*engines, api, broadcast], [], []
    try:
        for each in roles:
            each.start()
        ready([api])
        ann = Persistent("ann", [api], chance)
        ann.sign_up()
        followers = [Follower([d.url], lambda: ann.token) for d in (api, broadcast)]
        wait_until(lambda: all(len(each.begun) == 2 for each in followers), 60)
        placed, stopping = [], threading.Event()

        def trade():
            n = 0
            while not stopping.is_set():
                n += 1
                symbol = ("BTC_USD", "TATA_INR")[n % 2]
                body = {
                    "symbol": symbol, "side": ("BUY", "SELL")[n // 2 % 2], "price": "100",
                    "quantity": "0.01", "clientOrderId": f"{symbol}-{n}",
                }  # fmt: skip
                assert ann.ask("POST", "/order", body).status in (200, 201, 202, 422)
                placed.append(symbol)

        traders = [threading.Thread(target=trade, daemon=True)]
        traders[0].start()
        victims = [*engines, broadcast, api, server]
        chance.shuffle(victims)
        for victim in [*victims, chance.choice(engines)]:
            before = len(placed)
            wait_until(lambda: len(placed) > before + 4, 60)  # noqa: B023
            victim.kill()
            (victim.revive if isinstance(victim, Role) else victim.start)()
        before = len(placed)
        wait_until(lambda: len(placed) > before + 10, 90)
        stopping.set()
        traders[0].join(60)
        assert not traders[0].is_alive()
        ready([api])
        last = {}
        for name, symbol in SYMBOLS.items():
            body = {"symbol": symbol, "side": "BUY", "price": "1", "quantity": "0.01",
                    "clientOrderId": f"last-{name}"}  # fmt: skip
            assert ann.ask("POST", "/order", body).status == 201
            last[name] = f"last-{name}"
        wait_until(lambda: all(f.has(n, i) for f in followers for n, i in last.items()), 60)
        for each in followers:
            each.stop()
        with Client(api.url, user="ann", password=PASSWORD) as client:
            for each in followers:
                checked(each, lambda name, seq: client.reports_after("ann", seq, group=name))
    finally:
        for each in followers:
            each.stopping.set()
        for each in roles:
            each.signal(signal.SIGCONT)
            each.kill()
        server.kill()
