"""When answers are lost, garbled or late: one order all the same, and a clear word in the end."""

import json
import time

import pytest

from oms import OrderRequest
from oms.client import Client
from oms.errors import ServerError, UnansweredError
from tests.client.hostile import Hostile, drips, floods, http, says

SYMBOL = "BTC_USD"
ORDER = OrderRequest.new("ann", "a-1", SYMBOL, "BUY", "1", "90")


def error(code, field=None):
    return json.dumps({"error": {"code": code, "message": "so", "field": field}})


def told(status, code, *headers):
    return http(status, error(code), *headers)


def outcome(answers, retry_s=0.3, answer_s=0.3, request=ORDER):
    """What comes of an order at such a server; how often it was asked."""
    with Hostile(answers) as server:
        client = Client(server.url, retry_s=retry_s, answer_s=answer_s)
        began = time.monotonic()
        try:
            found = client.submit(request).result(0)
        except ServerError as failed:
            found = failed
        assert time.monotonic() - began < 20
        client.stop()
        return found, len(server.asked)


# --- at a server of ours ---


def test_an_order_whose_answer_is_lost_is_placed_once(door, clients, between):
    """It is sent again by itself; the second answer says that it was there."""
    line = between(door.url)
    ann = clients("ann", line.url)
    line.loses = 1
    placed = ann.submit(ORDER).result(0)
    assert (placed.repeated, placed.leaves_quantity) == (True, 1)
    assert len(door.oms.open_orders("ann")) == 1
    for request, state in (
        (OrderRequest.modify("ann", "a-2", "a-1", quantity="2"), "NEW"),
        (OrderRequest.cancel("ann", "a-3", "a-2"), "CANCELED"),
    ):
        line.loses = 1
        answer = ann.submit(request).result(0)
        assert (answer.repeated, answer.state) == (True, state)


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(door, clients, between):
    line = between(door.url)
    ann = clients("ann", line.url)
    for _ in range(3):
        line.cut()
        assert ann.balances("ann")


def test_while_the_server_is_away_nothing_is_in_doubt(door, clients, between):
    """What was never sent is known not to be done; what may have been is not."""
    line = between(door.url)
    ann = clients("ann", line.url, retry_s=0.5)
    line.server_url = "http://127.0.0.1:1"
    line.cut()
    line.close = line.close  # it is there, and drops whatever comes
    with pytest.raises(UnansweredError) as caught:
        ann.submit(ORDER).result(0)
    assert "a-1" in str(caught.value)
    assert door.oms.open_orders("ann") == []
    gone = Client("http://127.0.0.1:1", retry_s=0.2)
    with pytest.raises(ServerError) as failed:
        gone.submit(ORDER).result(0)
    assert type(failed.value) is ServerError or not isinstance(failed.value, UnansweredError)
    line.server_url = door.url
    assert not ann.submit(ORDER).result(0).repeated
    assert len(door.oms.open_orders("ann")) == 1


# --- at a hostile one ---


@pytest.mark.parametrize(
    "answer",
    [
        says(""),
        says("HTTP/1.1 2"),
        says("HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"),
        says("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        says(b"\x00\xff" * 100),
        says("HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 200 + "\r\n"),
        says("HTTP/1.1 200 OK\r\nX: " + "y" * 70_000 + "\r\n\r\n"),
        http(201, "{}"),
        http(201, "no JSON"),
        http(201, "[" * 5_000),
        http(201, '{"reports": []}'),
        http(201, '{"reports": [{"seq": "1"}]}'),
        http(201, '{"reports": "x", "error": 1}'),
        http(200, error("PRICE_INVALID")),
        http(502, "<html>Bad Gateway</html>"),
        http(503, "<html>Service Unavailable</html>"),
        http(504, error("OUTCOME_UNKNOWN")),
        http(500, error("INTERNAL")),
        http(429, "slow down"),
        http(302, "", "Location: http://127.0.0.1:1/"),
        drips("HTTP/1.1 201 Created\r\n", 0.05),
        floods("HTTP/1.1 201 Created\r\n\r\n", b" " * 65_536),
    ],
)  # fmt: skip
def test_an_answer_that_says_nothing_leaves_the_order_in_doubt(answer, monkeypatch):
    """Within a bounded time, whatever it is."""
    monkeypatch.setattr("oms.client.transport.ANSWER_BYTES_MAX", 1_000_000)
    found, asked = outcome([answer])
    assert isinstance(found, UnansweredError), found
    assert asked >= 1


@pytest.mark.parametrize(
    ("status", "code"), [(429, "TOO_MANY_REQUESTS"), (503, "UNAVAILABLE"), (408, "TOO_SLOW")]
)
def test_what_the_server_did_not_take_is_not_in_doubt(status, code):
    found, asked = outcome([told(status, code)])
    assert isinstance(found, ServerError) and not isinstance(found, UnansweredError)
    assert (found.status, found.code) == (status, code)
    assert asked > 1


def test_a_queue_that_stays_full_is_a_refusal_as_in_one_process():
    found, asked = outcome([told(503, "QUEUE_FULL")])
    assert (found.refused, found.reason, found.journal_seq) == (True, "QUEUE_FULL", 0)
    assert asked > 1


def test_once_in_doubt_a_later_no_changes_nothing():
    """The first try may have been taken, whatever the server says of the second."""
    for later in (told(503, "UNAVAILABLE"), told(429, "TOO_MANY_REQUESTS")):
        found, _ = outcome([says(""), later])
        assert isinstance(found, UnansweredError)
    found, _ = outcome([says(""), told(401, "TOKEN_INVALID")])
    assert isinstance(found, UnansweredError)


def test_a_server_may_ask_to_come_later_but_not_for_ever():
    """A Retry-After is heeded; one beyond the client's own time ends it at once."""
    began = time.monotonic()
    found, asked = outcome([told(503, "UNAVAILABLE", "Retry-After: 1"), http(400, error("X"))], 5)
    assert (found.status, asked) == (400, 2)
    assert time.monotonic() - began >= 1
    found, asked = outcome([told(503, "UNAVAILABLE", "Retry-After: 999999")])
    assert (found.status, asked) == (503, 1)


def test_an_error_that_is_final_is_told_at_once_with_its_field():
    found, asked = outcome([http(400, error("MALFORMED", "timeInForce"))])
    assert (found.status, found.code, found.field, asked) == (400, "MALFORMED", "timeInForce", 1)
    assert not isinstance(found, UnansweredError)


def test_a_question_that_nobody_answers_is_never_in_doubt():
    with Hostile([says("")]) as server:
        client = Client(server.url, retry_s=0.2)
        with pytest.raises(ServerError) as caught:
            client.market_states()
        assert not isinstance(caught.value, UnansweredError)
