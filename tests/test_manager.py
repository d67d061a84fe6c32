"""OrderManagement as a library: futures, listeners, questions, bounds; with its own threads."""

import json
import threading
from queue import SimpleQueue

import pytest

from oms import EmbeddedVenue, MemoryStore, PersistentStorage, RejectReason, ResponseType
from oms.config import MarketDataConfig, QueueConfig
from oms.errors import ValidationError
from oms.flow.journal import Fold
from oms.messages import OrderState
from tests.fakes import SOON_S, buy, cancel, config_of, hear, modify, sell

# --- requests and answers ---


def test_a_future_resolves_with_the_first_durable_answer(start_manager):
    """By then it is on disk, and the questions know of it."""
    oms = start_manager()
    answer = oms.submit(buy("A", 3, 100)).result(SOON_S)
    assert answer.type in (ResponseType.NEW, ResponseType.PENDING_NEW)
    assert oms.store.find_rows("me", "A")[0] == answer.row
    assert oms.get_order("me", "A").order_id == answer.order_id


def test_listeners_are_told_everything_in_order_and_isolated(start_manager):
    """One raises at each report; the others hear all the same, and the failures are counted."""
    oms = start_manager()
    oms.add_listener(lambda _report: 1 // 0)
    late = SimpleQueue()
    oms.add_listener(late.put)
    for n in range(5):
        oms.on_data(buy(f"#{n}", 1, 100))
    oms.on_data(sell("S", 5, 100))
    filled = [hear(oms, ResponseType.TRADE) for _ in range(10)]
    assert [r.client_order_id for r in filled] == [
        name for n in range(5) for name in ("S", f"#{n}")
    ]  # fmt: skip
    oms.stop()
    assert oms.get_status()["listener_failures"] == oms.get_status()["published"]
    assert late.qsize() == oms.get_status()["published"]


def test_many_threads_at_once_lose_and_double_nothing(start_manager):
    """800 orders from eight threads: each answered once, by its own id; the journal agrees."""
    oms = start_manager()
    futures = {}
    ready = threading.Barrier(8)

    def client(number):
        ready.wait()
        for n in range(100):
            name = f"{number}-{n}"
            side = buy if (number + n) % 2 else sell
            futures[name] = oms.submit(side(name, 1 + n % 3, 100 + n % 3, account=f"c{number}"))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = {name: future.result(SOON_S) for name, future in futures.items()}
    oms.stop()
    assert all(answer.client_order_id == name for name, answer in answers.items())
    assert len({answer.order_id for answer in answers.values()}) == 800
    fold = Fold(EmbeddedVenue())
    for _ in fold.recover(oms.store, use_snapshot=False):
        pass
    assert fold.digest() == oms.dispatcher.fold.digest()


# --- questions ---


def test_an_order_is_found_open_and_done_by_any_of_its_ids(start_manager, tmp_path):
    """On disk too, from this thread, while the dispatcher writes."""
    oms = start_manager(store=PersistentStorage(tmp_path / "orders.db", durability="none"))
    for request in (buy("A", 5, 100), modify("M", "A", quantity=4), sell("S", 1, 100)):
        oms.submit(request).result(SOON_S)
    hear(oms, ResponseType.TRADE)
    for name in "AM":
        assert oms.get_order("me", name).leaves_lots == 3
    oms.submit(cancel("C", "M")).result(SOON_S)
    hear(oms, ResponseType.CANCELED)
    for name in "AMC":
        assert oms.get_order("me", name).state is OrderState.CANCELED
    assert oms.get_order("me", "nobody") is oms.get_order("you", "A") is None


def test_open_orders_are_those_of_the_account_oldest_first(start_manager):
    """Nobody sees another's; what ended is gone."""
    oms = start_manager()
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    oms.submit(buy("B", 1, 99, account="you")).result(SOON_S)
    for request in (buy("C", 1, 98), buy("D", 1, 97), cancel("E", "C")):
        oms.submit(request).result(SOON_S)
    hear(oms, ResponseType.CANCELED)
    assert [report.client_order_id for report in oms.open_orders("me")] == ["A", "D"]
    assert [report.client_order_id for report in oms.open_orders("you")] == ["B"]
    assert oms.open_orders("nobody") == []


def test_depth_best_prices_and_trades_are_public(start_manager):
    """As many levels and trades as configured; unknown symbols are named."""
    market_data = MarketDataConfig(depth_levels=2, trades_kept=2)
    oms = start_manager(config_of(market_data=market_data))
    for n in range(3):
        oms.on_data(buy(f"B{n}", n + 1, 100 - n))
        oms.on_data(sell(f"S{n}", n + 1, 110 + n))
    for n in range(3):
        oms.submit(sell(f"T{n}", 1, 99)).result(SOON_S)
    trades = [hear(oms, ResponseType.TRADE) for _ in range(6)]
    assert oms.get_depth("X", 9) == ([(98, 3)], [(110, 1), (111, 2)])
    assert (oms.best_bid("X"), oms.best_ask("X")) == (98, 110)
    assert oms.get_depth("X", 1) == ([(98, 3)], [(110, 1)])
    assert [trade.price_ticks for trade in oms.recent_trades("X")] == [99, 99]
    assert {trade.side for trade in oms.recent_trades("X")} == {"SELL"}
    prices = oms.get_prices("X")
    assert (prices.last, prices.vwap) == (99, 99)
    assert oms.recent_trades("X")[-1].execution_id == trades[-2].execution_id
    assert (oms.best_bid("ALL"), oms.get_depth("ALL", 5)) == (None, ([], []))
    for ask in (oms.best_bid, oms.best_ask, oms.recent_trades):
        with pytest.raises(ValidationError, match="symbol: expected one of X, ALL, was 'Y'"):
            ask("Y")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_questions_may_be_asked_at_any_time(start_manager, tmp_path, kind):
    """Four threads ask while thousands of orders come and go: no error, no half-made answer."""
    # given threads that ask whatever can be asked, again and again
    sqlite = PersistentStorage(tmp_path / "orders.db", durability="none")
    oms = start_manager(store=sqlite if kind == "sqlite" else MemoryStore())
    done, answers = threading.Event(), SimpleQueue()

    def ask(n):
        while not done.is_set():
            order = oms.get_order("me", f"#{n % 200}")
            assert order is None or order.client_order_id.strip("#C").isdigit()
            assert all(report.leaves_lots > 0 for report in oms.open_orders("me"))
            bids, asks = oms.get_depth("X", 5)
            assert not bids or not asks or bids[0][0] < asks[0][0]
            oms.recent_trades("X")
            json.dumps(oms.get_status())
            n += 7
        answers.put(n)

    askers = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for asker in askers:
        asker.start()

    # when orders come, trade and are canceled
    for n in range(0, 1_000, 4):
        oms.on_data(buy(f"#{n}", 2, 100 + n % 5))
        oms.on_data(sell(f"#{n + 1}", 1, 101 + n % 3))
        oms.on_data(cancel(f"C{n + 2}", f"#{n}"))
        if n % 40 == 0:
            oms.submit(buy(f"#{n + 3}", 1, 90)).result(SOON_S)
    done.set()
    for asker in askers:
        asker.join(SOON_S)

    # then every thread came to its end
    assert answers.qsize() == 4


# --- bounds ---


class Gate(MemoryStore):
    """Commits wait until the test lets them."""

    def __init__(self):
        super().__init__()
        self.open_gate = threading.Event()
        self.at_gate = threading.Event()
        self.open_gate.set()

    def commit(self):
        if not self.open_gate.is_set():
            self.at_gate.set()
            assert self.open_gate.wait(SOON_S)
        super().commit()


def test_a_full_inbox_refuses_orders_at_once_while_cancels_pass(start_manager):
    """QUEUE_FULL, on the caller's thread; twice as many cancels have room; then it goes on."""
    # given a dispatcher that is held up in a commit
    store = Gate()
    oms = start_manager(config_of(queue=QueueConfig(inbox_max=2)), store=store)
    oms.submit(buy("A", 1, 100)).result(SOON_S)
    store.open_gate.clear()
    oms.submit(buy("B", 1, 100))
    assert store.at_gate.wait(SOON_S)

    # when more comes than the inbox holds
    orders = [oms.submit(buy(f"#{n}", 1, 100)) for n in range(3)]
    cancels = [oms.submit(cancel(f"C{n}", name)) for n, name in enumerate(("A", "B", "#0"))]

    # then order and cancel beyond the bound are refused before the rest is answered
    assert orders[2].result(0).reason is RejectReason.QUEUE_FULL
    assert cancels[2].result(0).type is ResponseType.CANCEL_REJECTED
    assert oms.get_status()["inbox"] == 4
    store.open_gate.set()
    assert [f.result(SOON_S).type for f in cancels[:2]] == [ResponseType.CANCELED] * 2
    assert [f.result(SOON_S).journal_seq > 0 for f in orders[:2]] == [True] * 2
    assert oms.submit(buy("#2", 1, 100)).result(SOON_S).journal_seq > 0
