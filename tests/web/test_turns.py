"""One client's questions hold up no other's: they take turns, and orders have their own thread."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from oms.clock import pause
from oms.gateways.web.pools import READING

CANDLES = "/candles?symbol=BTC_USD&interval=1m"
LEDGER = "/ledger?limit=1"


@pytest.fixture
def held(start_door, monkeypatch):
    """A front door whose candles wait until they are let go; what was read, in order."""
    door = start_door()
    go, asked, read = threading.Event(), threading.Semaphore(0), []
    candles, ledger = door.oms.candles, door.oms.ledger

    def slow_candles(*given):
        asked.release()
        assert go.wait(60)
        read.append("candles")
        return candles(*given)

    def quick_ledger(*given, **more):
        read.append("ledger")
        return ledger(*given, **more)

    monkeypatch.setattr(door.oms, "candles", slow_candles)
    monkeypatch.setattr(door.oms, "ledger", quick_ledger)
    door.go, door.asked, door.read = go, asked, read
    yield door
    go.set()


def waiting(door, count):
    """So many questions about history wait."""
    for _ in range(6_000):
        if door.server._door.reading.waiting == count:
            return
        pause(0.01)
    raise AssertionError(f"not {count} wait")


def test_a_client_waits_for_one_question_of_another_not_for_all(held):
    ann = held.user("ann")
    with ThreadPoolExecutor(12) as pool:
        # given somebody who has asked for candles ten times, of which one is being read
        many = [pool.submit(held.http.get, CANDLES) for _ in range(10)]
        assert held.asked.acquire(timeout=60)
        waiting(held, 9)

        # when a user asks for the ledger, then how an order stands is told at once
        mine = pool.submit(ann.ask, "GET", LEDGER)
        waiting(held, 10)
        placed = ann.buy("1", "10", clientOrderId="a")
        assert placed.status_code == 201
        assert ann.ask("GET", "/order?clientOrderId=a").json()["status"] == "NEW"

        # and the ledger is next but one
        held.go.set()
        assert mine.result(60).status_code == 200
        assert {each.result(60).status_code for each in many} == {200}
    assert "ledger" in held.read[:3]


def test_a_client_with_too_many_questions_is_told_to_come_later_and_no_other(held):
    ann = held.user("ann")
    with ThreadPoolExecutor(READING.of_one_max + 4) as pool:
        many = [pool.submit(held.http.get, CANDLES) for _ in range(READING.of_one_max + 1)]
        assert held.asked.acquire(timeout=60)
        waiting(held, READING.of_one_max)
        beyond = held.http.get(CANDLES)
        assert (beyond.status_code, beyond.json()["error"]["code"]) == (429, "TOO_MANY_REQUESTS")
        assert beyond.headers["retry-after"] == "1"
        mine = pool.submit(ann.ask, "GET", LEDGER)
        waiting(held, READING.of_one_max + 1)
        held.go.set()
        assert mine.result(60).status_code == 200
        assert {each.result(60).status_code for each in many} == {200}
