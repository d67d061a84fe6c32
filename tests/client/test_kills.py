"""kill -9 of the daemon under a client: nothing doubled, nothing missed.

Ann trades by asyncio over a WebSocket and listens to her reports; Bob trades by HTTP. Neither knows
that there is more than one process: they retry and resume by themselves.
"""

import asyncio
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from oms import OrderRequest, aio
from oms.client import Client
from oms.enums import RequestType
from oms.requests import codec
from tests.client.between import Between
from tests.processes import audit, let_run
from tests.web.served import PASSWORD, Daemon

SYMBOL = "BTC_USD"
RUN_S_MAX = 0.8
RETRY_S = 120.0  # a machine that has other work starts a daemon in many seconds
AT_ONCE = 20


def wish_of(account, side, n, chance):
    """An order near 100; sometimes a cancel or a change of one before."""
    name, dice = f"{account}-{n}", chance.random()
    price = f"{100 + chance.randint(-5, 5) * 0.01:.2f}"
    if n > 20 and dice < 0.3:
        other = f"{account}-{n - chance.randint(1, 20)}"
        if dice < 0.2:
            return OrderRequest.cancel(account, name, other)
        return OrderRequest.modify(account, name, other, price=price)
    return OrderRequest.new(account, name, SYMBOL, side, str(chance.randint(1, 9)), price)


class Trader(threading.Thread):
    """A client in a thread of its own. answers: by client order id."""

    def __init__(self, account, side, url, chance):
        super().__init__(daemon=True)
        self.account, self.side, self.chance = account, side, chance
        self.client = Client(url, user=account, password=PASSWORD, retry_s=RETRY_S)
        self.stopping = False
        self.asked, self.answers, self.reports = {}, {}, []
        self.error, self.seq = None, 0
        self.ready = threading.Event()

    def run(self):
        try:
            self.trade()
        except BaseException as error:
            self.error = error
        finally:
            self.ready.set()
            self.client.stop()

    def wish(self):
        wish = wish_of(self.account, self.side, len(self.asked), self.chance)
        self.asked[wish.client_order_id] = wish.type
        return wish

    def trade(self):
        raise NotImplementedError


class ByHttp(Trader):
    def trade(self):
        self.client.start()
        self.ready.set()
        while not self.stopping:
            wish = self.wish()
            self.answers[wish.client_order_id] = self.client.submit(wish).result(0)


class BySocket(Trader):
    def trade(self):
        asyncio.run(self._trade())

    async def _trade(self):
        async with aio.running(self.client) as oms:
            self.seq = (await asyncio.to_thread(self.client.account_snapshot, "ann")).result(0).seq
            async with oms.reports("ann", from_seq=self.seq) as reports:
                hears = asyncio.create_task(self._hear(reports))
                self.ready.set()
                await asyncio.gather(*[self._ask(oms) for _ in range(AT_ONCE)])
                self.asked["last"] = RequestType.NEW
                last = OrderRequest.new("ann", "last", SYMBOL, "BUY", "1", "1")
                self.answers["last"] = await aio.submit(oms, last)
                await hears

    async def _ask(self, oms):
        while not self.stopping:
            wish = self.wish()
            self.answers[wish.client_order_id] = await aio.submit(oms, wish)

    async def _hear(self, reports):
        async for each in reports:
            self.reports.append(each)
            if each.client_order_id == "last" and each.type == "NEW":
                return


def check(traders, found):
    """The journal against what the clients asked and heard."""
    assert found.differences == []
    assert found.mistakes == []
    asked = [(line[1], line[2], seq) for seq, line in found.requests if line[0] != codec.ANSWER]
    times = Counter(each[:2] for each in asked)
    seqs = {each[:2]: each[2] for each in asked}
    assert [each for each, count in times.items() if count > 1] == [], "doubled"
    for trader in traders:
        assert trader.error is None, trader.error
        made = {"create", "play-BTC", "play-USD"}
        mine = {name for account, name in times if account == trader.account}
        assert mine - made <= set(trader.asked), "nobody asked for that"
        assert set(trader.answers) == set(trader.asked), "unanswered"
        accepted = {name for name, answer in trader.answers.items() if not answer.refused}
        assert accepted <= mine, "an answered request is lost"
        for name, answer in trader.answers.items():
            if trader.asked[name] is RequestType.NEW and name in accepted:
                assert answer.order_id == seqs[trader.account, name]
    ann = traders[0]
    told = [(each.journal_seq, each.number) for each in ann.reports]
    due = sorted(
        key for key, row in found.rows.items() if row.account == "ann" and key[0] > ann.seq
    )
    assert told == due[: len(told)], "missed, or told twice"
    assert ann.reports[-1].client_order_id == "last"
    for each in ann.reports:
        row = found.rows[each.journal_seq, each.number]
        assert (row.type, row.state, row.leaves_lots) == (
            each.type, each.state or "", each.leaves_lots,
        )  # fmt: skip


def kill_again_and_again(directory: Path, kills: int) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance, line = random.Random(seed), Between()
    # given a daemon, and two who trade with each other over a line
    daemon = Daemon(directory)
    try:
        line.server_url = daemon.url
        for name in ("ann", "bob"):
            daemon.sign_up(name)
        traders = [
            BySocket("ann", "BUY", line.url, random.Random(seed + 1)),
            ByHttp("bob", "SELL", line.url, random.Random(seed + 2)),
        ]
        for each in traders:
            each.start()
            assert each.ready.wait(RETRY_S)
        # when it is killed under them, again and again
        for _ in range(kills):
            let_run(chance.random() * RUN_S_MAX)
            daemon.__exit__(None, None, None)
            daemon = Daemon(directory)
            if chance.random() < 0.8:  # else it is killed while it starts
                line.server_url = daemon.url
        line.server_url = daemon.url
        let_run(RUN_S_MAX)
        for each in traders:
            each.stopping = True
        for each in traders:
            each.join(RETRY_S)
            assert not each.is_alive()
        assert daemon.stop()[0] == 0
    finally:
        daemon.__exit__(None, None, None)
        line.close()
    # then each request was done once, each was answered, and each report was told once
    check(traders, audit(directory))
    asked = sum(len(each.asked) for each in traders)
    repeated = sum(answer.repeated for each in traders for answer in each.answers.values())
    print(f"{kills} kills, {asked} requests, {repeated} answered when they were sent again, "
          f"{len(traders[0].reports)} reports")  # fmt: skip
    assert repeated or kills < 10


def test_a_few_kills_double_nothing_and_miss_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "data", 4)


@pytest.mark.slow
def test_sixty_kills_double_nothing_and_miss_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "data", 60)
