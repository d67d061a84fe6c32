"""Hostile clients of the control socket: each is told in one line, and disturbs nobody."""

import socket
from contextlib import suppress

import pytest

from oms.gateways import control
from oms.gateways.connection import (
    LINE_NS_MAX,
    UNREAD_BYTES_MAX,
    WRITE_NS_MAX,
)
from oms.gateways.control import CONNECTIONS_MAX, EVENTS_MAX, WATCHERS_MAX
from oms.gateways.wire import ANSWER_S_MAX, LINE_BYTES_MAX, LINES_AHEAD_MAX
from tests.fakes import SECOND, buy, cancel
from tests.spoken import Spoken, new

STATUS = {"ask": "status"}


@pytest.fixture
def spoken(tmp_path):
    """With a well-behaved client beside the hostile ones, who must be answered in the end."""
    made = Spoken(tmp_path)
    made.good = made.client()
    yield made
    try:
        made.good.lines()
        assert "status" in made.ask(made.good, STATUS)
    finally:
        made.close()


# --- what is no line ---


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"\n", "request: expected JSON: Expecting value: line 1 column 1 (char 0), was ''"),
        (b"hello\n", "request: expected JSON: Expecting value: line 1 column 1 (char 0), was 'hel"),
        (b"\xff\xfe\n", "line: expected UTF-8 text, was b'\\xff\\xfe'"),
        (b"[1, 2]\n", "line: expected a JSON object with request or ask, was [1, 2]"),
        (b"{}\n", "line: expected a JSON object with request or ask, was {}"),
        (b'{"ask": "status", "request": "NEW"}\n', "line: expected a JSON object with request or"),
        (b'{"ask": "status", "ask": "status"}\n', "ask: expected one value, was 'two values'"),
        (b'{"ask": "the weather"}\n', "ask: expected one of status, order, orders, trades"),
        (b'{"ask": ["status"]}\n', "ask: expected one of status"),
        (b'{"ask": "status", "of": 1}\n', "of: expected one of ask, was 1"),
        (b'{"ask": "depth"}\n', "symbol: expected a value, was None"),
        (b'{"ask": "depth", "symbol": "Y"}\n', "symbol: expected one of X, ALL, was 'Y'"),
        (b'{"ask": "depth", "symbol": "X", "levels": 1e3}\n', "levels: expected a whole number fr"),
        (b'{"ask": "depth", "symbol": "X", "levels": true}\n', "levels: expected a whole number "),
        (b'{"ask": "order", "account": "me", "order": -1}\n', "order: expected a whole number"),
        (b'{"ask": "dry_run", "of": "NEW"}\n', "of: expected an object: the request, was 'NEW'"),
        (b'{"request": "BUY"}\n', "request: expected one of NEW, MODIFY, CANCEL"),
        (b'{"request": "KILL", "price": 1}\n', "price: expected one of client_order_id, scope"),
        (b'{"request": "KILL", "client_order_id": "\\ud800"}\n', "client_order_id: expected 1"),
        (b"[" * 10_000 + b"\n", "expected JSON"),
        (b'{"ask": ' + b"9" * 10_000 + b"}\n", "expected JSON"),
        (b'{"request": "NEW", "price": NaN}\n', "price: expected a finite number, was nan"),
    ],
)  # fmt: skip
def test_garbage_is_answered_by_one_line_that_names_the_field(spoken, line, text):
    client = spoken.client()
    told = spoken.ask(client, line)
    assert list(told) == ["error"] and set(told["error"]) == {"field", "expected", "text"}
    assert text in told["error"]["text"]
    assert len(told["error"]["text"]) <= 800
    assert "status" in spoken.ask(client, STATUS), "the next line is answered"


def test_deep_nesting_within_a_request_is_answered(spoken):
    """As deep as the parser lets through, and then as deep as it does not."""
    client = spoken.client()
    for depth in (100, 900, 980, 1_500, 7_000):
        nested = b"[" * depth + b"]" * depth
        told = spoken.ask(client, b'{"request": "NEW", "price": ' + nested + b"}\n")
        assert "error" in told


def test_a_mistake_of_our_own_ends_neither_daemon_nor_connection(spoken, monkeypatch, caplog):
    """A line that no test thought of: it is logged, and its client is told."""
    monkeypatch.setattr(spoken.desk.oms, "get_status", lambda: 1 / 0)
    client = spoken.client()
    told = spoken.ask(client, STATUS)
    assert told["error"]["text"] == "the line cannot be answered; the daemon's log says why"
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()


def test_after_a_mistake_a_client_is_not_read_for_a_while(spoken):
    """A hundred bad lines a second at most: garbage must not take the interpreter from others."""
    # given a client that sends nothing but garbage
    client = spoken.client()
    client.send(b"garbage\n" * 50)

    # then one line is answered until the clock goes on
    spoken.step(5)
    assert len(client.lines()) == 1
    spoken.desk.clock.advance(0.01)
    spoken.step(5)
    assert len(client.lines()) == 1


# --- lines that are too long, too slow, or never whole ---


def test_a_line_that_is_too_long_is_told_and_the_client_left(spoken):
    client = spoken.client()
    client.sock.setblocking(True)
    client.send(b"x" * LINE_BYTES_MAX)
    client.sock.setblocking(False)
    spoken.step(3)
    [told] = client.lines()
    assert told["error"]["expected"] == f"at most {LINE_BYTES_MAX} bytes and a line feed"
    assert told["error"]["field"] == "line"
    assert client.closed


def test_the_longest_line_is_taken(spoken):
    """At the bound: line feed included."""
    client = spoken.client()
    line = b'{"ask": "status"}'
    told = spoken.ask(client, line + b" " * (LINE_BYTES_MAX - len(line) - 1) + b"\n")
    assert "status" in told


def test_a_line_that_comes_too_slowly_is_told(spoken):
    """One byte now and then: the time counts from the first."""
    client = spoken.client()
    for _ in range(LINE_NS_MAX // SECOND + 2):
        with suppress(BrokenPipeError):
            client.send(b"x")
        spoken.step(2)
        spoken.desk.clock.advance(1)
    spoken.step()
    [told] = client.lines()
    assert told["error"]["text"] == (
        "line: expected a line feed at its end, within 5 s, was b'xxxxxxx'"
    )
    assert client.closed


def test_half_a_line_and_then_the_end_is_told(spoken):
    client = spoken.client()
    client.send(b'{"ask": "sta')
    client.sock.shutdown(socket.SHUT_WR)
    spoken.step(3)
    [told] = client.lines()
    assert told["error"]["expected"].startswith("a line feed at its end")
    assert client.closed


def test_a_client_that_goes_in_the_middle_of_everything_is_forgotten(spoken):
    """Half a line sent, an answer due: the order is in the journal, and nobody is there to hear."""
    client = spoken.client()
    client.send(new("A"), b'{"ask"')
    spoken.step()
    client.sock.close()
    spoken.turn()
    spoken.step(2)
    assert spoken.desk.oms.get_order("me", "A").leaves_lots == 1
    assert len(spoken.gateway._connections) == 1


# --- clients that do not read ---


def test_a_client_that_never_reads_is_read_no_more_and_then_left(spoken):
    """Nobody can have answers pile up."""
    # given a client that asks and asks
    client = spoken.client()
    [_, connection] = spoken.gateway._connections.values()
    for _ in range(5_000):
        with suppress(BlockingIOError):
            client.sock.send(b'{"ask": "status"}\n')
        spoken.step()

    # then its answers are kept up to the bound, and its lines are not taken any more
    assert UNREAD_BYTES_MAX <= connection.unwritten < UNREAD_BYTES_MAX + 10_000
    with pytest.raises(BlockingIOError):
        client.sock.send(b"x")
    assert "status" in spoken.ask(spoken.good, STATUS)

    # when it takes nothing for a while
    spoken.desk.clock.advance(WRITE_NS_MAX / SECOND + 1)
    spoken.step(2)

    # then it is gone
    assert connection.gone
    assert len(spoken.gateway._connections) == 1


def test_a_client_has_so_many_lines_under_way_and_the_rest_waits(spoken):
    """At the bound no line is read, until answers have gone out."""
    client = spoken.client()
    client.send(*(new(f"A{n}") for n in range(LINES_AHEAD_MAX + 20)))
    spoken.step(LINES_AHEAD_MAX)
    assert spoken.desk.oms.inbox.size == LINES_AHEAD_MAX
    spoken.turn()
    spoken.step(20)
    spoken.turn()
    assert len(client.lines()) == LINES_AHEAD_MAX + 20


def test_an_answer_that_does_not_come_is_told_as_unknown(spoken):
    """The dispatcher is stuck: the client is not left without a word."""
    client = spoken.client()
    client.send(new("A"))
    spoken.step()
    spoken.desk.clock.advance(ANSWER_S_MAX + 1)
    spoken.step(2)
    [told] = client.lines()
    assert told["error"]["text"].startswith("no answer within 30 s: its outcome is unknown")

    # and an answer that is late is not taken for that of another line
    spoken.desk.turn()
    assert "status" in spoken.ask(client, STATUS)


# --- many of them ---


def test_for_a_new_connection_the_one_that_was_idle_longest_goes(spoken):
    """A crowd that says nothing keeps no operator out, nor closes the one who was there before."""
    # given a client that has had an answer, and since then a crowd that says nothing
    spoken.ask(spoken.good, STATUS)
    idle = []
    for _ in range(CONNECTIONS_MAX - 1):
        idle.append(spoken.client())
        spoken.desk.clock.advance(0.001)

    # when one more comes
    client = spoken.client()

    # then it is served, and the oldest was told why it is not any more
    told = spoken.ask(client, {"request": "KILL", "client_order_id": "k"})
    assert told["response"]["text"] == "trading=HALTED, canceled=0"
    [told] = idle[0].lines()
    assert told["error"]["text"] == (
        f"connections: expected at most {CONNECTIONS_MAX}; the one that was idle longest is "
        f"closed, was {CONNECTIONS_MAX + 1}"
    )
    assert idle[0].closed
    assert idle[1].lines() == [] and not idle[1].closed


def test_if_all_connections_wait_for_answers_the_new_one_is_told(spoken):
    # given as many clients as there may be, each with an order under way
    busy = [spoken.good, *(spoken.client() for _ in range(CONNECTIONS_MAX - 1))]
    for n, each in enumerate(busy):
        each.send(new(f"A{n}"))
    spoken.step()

    # when one more comes
    client = spoken.client()

    # then it is told so, and the others get their answers
    [told] = client.lines()
    assert told["error"]["field"] == "connections"
    assert client.closed
    spoken.turn()
    assert all(len(each.lines()) == 1 for each in busy)


def test_without_descriptors_it_goes_on_and_accepts_again_later(spoken, monkeypatch, caplog):
    """A process that has used up its descriptors: those who are connected are served."""

    class Full:
        def __init__(self, listener):
            self._listener = listener

        def accept(self):
            raise OSError(24, "Too many open files")

        def __getattr__(self, name):
            return getattr(self._listener, name)

    # given a gateway that cannot accept
    listener = spoken.gateway._listener
    full = Full(listener)
    spoken.gateway._selector.unregister(listener)
    spoken.gateway._selector.register(full, 1)
    spoken.gateway._listener = full
    client = spoken.client()
    assert "Too many open files" in caplog.text

    # when it can again, a second later
    monkeypatch.setattr(Full, "accept", lambda self: self._listener.accept())
    spoken.desk.clock.advance(1)
    spoken.step(2)

    # then the client that waited is served
    assert "status" in spoken.ask(client, STATUS)


# --- watchers ---


def test_watchers_have_a_bound(spoken):
    watchers = [spoken.client() for _ in range(WATCHERS_MAX)]
    assert all("watch" in spoken.ask(each, {"ask": "watch"}) for each in watchers)
    told = spoken.ask(spoken.client(), {"ask": "watch"})
    assert told["error"]["text"] == f"ask: expected at most {WATCHERS_MAX} watchers, was 'watch'"

    # and one that goes makes room
    watchers[0].sock.close()
    assert "watch" in spoken.ask(spoken.client(), {"ask": "watch"})


def test_a_watcher_that_does_not_read_is_told_so_behind_what_it_did_not_read(spoken, monkeypatch):
    """Bounded, and dropped with a line; who reads goes on."""
    monkeypatch.setattr(control, "WATCH_BYTES_MAX", 1_000_000)
    # given two watchers, one of whom never reads
    slow, quick = spoken.client(), spoken.client()
    for client in (slow, quick):
        spoken.ask(client, {"ask": "watch"})

    # when far more is published than is kept for one
    heard, count = [], 0
    while not slow_is_dropped(spoken) and count < 20_000:
        spoken.desk.send(*(buy(f"B{count + n}", 1, 90) for n in range(100)))
        count += 100
        spoken.step(3)
        heard += quick.lines()
    spoken.step(2)

    # then the quick one has heard all, and the slow one reads why it hears no more
    heard += quick.lines()
    assert sum("report" in line for line in heard) == count
    told = slow.lines()
    assert slow.closed
    assert told[-1]["error"]["expected"] == (
        "a client that reads: at most 1000000 bytes are kept for it"
    )
    assert told[-1]["error"]["field"] == "watch"
    assert all("report" in line or "market" in line for line in told[:-1])


def slow_is_dropped(spoken: Spoken) -> bool:
    watchers = [c for c in spoken.gateway._connections.values() if c.watch is not None]
    return len(watchers) < 2


def test_if_the_gateway_does_not_keep_up_watchers_are_told_and_the_dispatcher_goes_on(
    spoken, monkeypatch
):
    """Events that wait have a bound of their own, whoever is slow."""
    monkeypatch.setattr(control, "EVENTS_MAX", 10)
    client = spoken.client()
    spoken.ask(client, {"ask": "watch"})
    spoken.desk.send(*(buy(f"B{n}", 1, 90) for n in range(30)))
    assert spoken.gateway.events.size == 10
    spoken.step(2)
    told = client.lines()
    assert told[-1]["error"]["expected"] == "at most 10 events that nobody was told yet"
    assert client.closed
    assert EVENTS_MAX > 10

    # and nothing is kept once nobody watches
    spoken.desk.send(cancel("C", "B1"))
    assert spoken.gateway.events.size == 0
