"""Listeners of a front door are told in order, with what an order is for, whatever else an engine
is asked meanwhile."""

import threading
from concurrent.futures import Future

import pytest

from oms.errors import StoreBusyError, TransportError
from oms.reports import NUMBER_BITS, Report
from oms.responses import OrderResponse
from oms.roles import heard
from oms.roles.heard import AGAIN_NS, WAIT_NS, Heard
from oms.roles.remote import RemoteOrders
from tests.scale.parts import api, engine, order, wait_for
from tests.scale.test_engine import last_of


@pytest.fixture
def gate():
    """Opened at the latest when the test ends, so that no thread waits for ever."""
    made = threading.Event()
    yield made
    made.set()


def held(gate, monkeypatch, oms, name, found=None):
    """Questions of this name wait at the gate."""
    own = getattr(oms, name)

    def waits(*given, **named):
        assert gate.wait(60)
        return own(*given, **named) if found is None else found

    monkeypatch.setattr(oms, name, waits)


def candles(remote):
    return remote.home.ask("candles", "BTC_USD", "1m", 0, None, None)


def test_subscribers_do_not_wait_for_questions_about_history(
    config, tmp_path, started, gate, monkeypatch
):
    """More of them than threads that answer."""
    monkeypatch.setattr(heard, "WAIT_NS", 60 * WAIT_NS)
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    told = []
    remote.add_listener(lambda response: told.append(remote.details_heard(response)))
    held(gate, monkeypatch, made.oms, "candles", [])
    waiting = [candles(remote) for _ in range(10)]
    remote.submit(order("a-1")).result(10)
    wait_for(lambda: told)
    assert told[0].price == 100
    assert not any(each.done() for each in waiting)
    gate.set()
    assert [each.result(10) for each in waiting] == [[]] * 10


def test_who_asks_more_than_may_wait_is_told_that_the_engine_is_busy(
    config, tmp_path, started, gate, monkeypatch
):
    """It is no mistake of the client; another api has room of its own."""
    monkeypatch.setattr("oms.roles.asks.OF_ONE_MAX", 3)
    made = started(engine, tmp_path, config)
    one, other = started(api, config), started(api, config)
    held(gate, monkeypatch, made.oms, "candles", [])
    waiting = [candles(one) for _ in range(10)]
    wait_for(lambda: sum(each.done() for each in waiting) >= 5)
    of_other = candles(other)
    gate.set()
    assert of_other.result(10) == []
    errors = [each.exception(10) for each in waiting]
    assert {type(each) for each in errors if each} == {StoreBusyError}
    assert 3 <= sum(each is None for each in errors) <= 5


def test_no_more_turns_are_read_than_listeners_can_be_told_of(
    config, tmp_path, started, gate, monkeypatch
):
    """How far behind they are is said, as the lag; then they are told all of it, in order."""
    monkeypatch.setattr(heard, "HELD_MAX", 20)
    monkeypatch.setattr(heard, "WAIT_NS", 60 * WAIT_NS)
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    told = []
    remote.add_listener(lambda response: told.append(response.report.client_order_id))
    held(gate, monkeypatch, made.oms, "order_details")
    names = [f"a-{n}" for n in range(100)]
    for name in names:
        made.oms.submit(order(name)).result(10)
    link = remote.home
    wait_for(lambda: link.heard.full and link.told_seq == last_of(made))
    assert link.heard._held < 40
    assert remote.get_status()["groups"]["main"]["lag"] >= 190
    assert told == []
    gate.set()
    wait_for(lambda: len(told) == 100)
    assert told == names
    wait_for(lambda: not remote.get_status()["groups"]["main"]["lag"])


def test_a_question_of_its_own_that_is_refused_is_not_asked_at_once_again(config):
    link = RemoteOrders(config).home
    asked = []

    def ask(method, *_given):
        asked.append(method)
        answer = Future()
        answer.set_exception(StoreBusyError("too many questions wait for an answer"))
        return answer

    link.ask, link.alive_ns = ask, link.pace.monotonic_ns()
    for _ in range(10):
        link.receiving._follow()
    assert asked == ["view"]


# --- by itself ---


class Told:
    """A Heard around questions that the test answers."""

    def __init__(self):
        self.now_ns, self.questions, self.told = WAIT_NS, [], []
        self.heard = Heard(self.ask, lambda: self.now_ns)
        self.heard.add(lambda each: self.told.append(self.heard.details_of(each.order_id)))

    def ask(self, method, ids):
        assert method == "order_details"
        self.questions.append((ids, Future()))
        return self.questions[-1][1]

    def turn(self, seq, *order_ids, kind="NEW"):
        reports = [report(seq, each, kind) for each in order_ids]
        self.heard.turn(seq, [OrderResponse(each, None) for each in reports], [], 0)
        self.heard.tell()

    def answer(self, text):
        ids, answer = self.questions[-1]
        answer.set_result({each: f"{each} {text}" for each in ids})
        self.heard.tell()


def report(seq, order_id, kind):
    rest = dict.fromkeys(Report._fields, "")
    return Report(**rest)._replace(
        report_id=seq << NUMBER_BITS, order_id=order_id, type=kind, state="NEW"
    )


def test_what_was_asked_before_a_change_does_not_tell_of_it():
    made = Told()
    made.turn(1, 7)
    made.turn(2, 7, kind="REPLACED")
    made.answer("before")
    assert made.told == ["7 before"]
    made.answer("after")
    assert made.told == ["7 before", "7 after"]
    assert made.heard.seq == 2


def test_a_refused_question_is_asked_again_and_after_a_while_they_are_told_without():
    made = Told()
    made.turn(1, 7)
    for _ in range(3):
        made.questions[-1][1].set_exception(TransportError("away"))
        made.heard.tell()
        asked = len(made.questions)
        made.now_ns += AGAIN_NS
        made.heard.tell()
        assert len(made.questions) == asked + 1
    assert made.told == []
    made.now_ns += WAIT_NS
    made.heard.tell()
    assert made.told == [None]


def test_of_many_turns_each_order_is_asked_for_once(monkeypatch):
    """A thousand at once; one turn with more of them in parts."""
    monkeypatch.setattr(heard, "ASKED_MAX", 10)
    made = Told()
    for seq in range(1, 31):
        made.turn(seq, 100 + seq, 100 + seq // 2)
    made.turn(31, *range(200, 225))
    while len(made.told) < 85:
        made.answer("known")
    assert made.told[-1] == "224 known"
    asked = [order_id for ids, _ in made.questions for order_id in ids]
    assert len(asked) == len(set(asked))
    assert max(len(ids) for ids, _ in made.questions) == 10
    assert len(made.questions) <= 9
