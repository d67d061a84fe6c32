"""What HTTP says of an order: each status with its meaning, and the retry that is always safe."""

import threading
from dataclasses import replace

import pytest

from oms.sections import ThrottleConfig
from tests.fakes import SOON_S
from tests.processes import wait_until
from tests.web.conftest import SPLIT
from tests.web.doors import front_config

ORDER = {"symbol": "BTC_USD", "side": "BUY", "price": "100", "quantity": "1"}
DISPLAY = ("MALFORMED", "displayQuantity", False)
ERROR = {"code", "number", "message", "field", "requestId"}


def post(user, path="/order", **changes):
    return user.ask("POST", path, {**ORDER, **changes})


def patient(monkeypatch, seconds):
    """The front door waits so long for the engine."""
    longest = "oms.gateways.web.door.ANSWER"
    monkeypatch.setattr(f"{longest}_S_MAX", seconds)
    monkeypatch.setattr(f"{longest}_NS_MAX", int(seconds * 10**9), raising=False)


class Stuck:
    """Holds the dispatcher in a listener until it is let go."""

    def __init__(self, oms):
        self.oms, self.reached, self.free = oms, threading.Event(), threading.Event()

    def __enter__(self):
        self.oms.add_listener(self.hear)
        return self

    def hear(self, _response):
        self.reached.set()
        self.free.wait(SOON_S)

    def __exit__(self, *_):
        self.free.set()
        self.oms.remove_listener(self.hear)


@pytest.mark.parametrize(
    ("changes", "status", "code", "field", "has_order"),
    [
        ({"price": "x"}, 400, "MALFORMED", "price", False),
        ({"quantity": 1e400}, 400, "MALFORMED", "body", False),
        ({"stopPrice": "1"}, 400, "MALFORMED", "stopPrice", False),
        ({"displayQuantity": "1", "timeInForce": "IOC"}, 400, *DISPLAY),
        ({"expireTime": "5"}, 400, "MALFORMED", "expireTime", False),
        ({"account": "eve"}, 422, "ACCOUNT_UNKNOWN", "account", False),
        ({"symbol": "NO"}, 422, "SYMBOL_UNKNOWN", "symbol", True),
        ({"price": "100.001"}, 422, "PRICE_INVALID", "price", True),
        ({"quantity": "9999999"}, 422, "FUNDS_INSUFFICIENT", None, True),
        ({"price": "-1"}, 422, "PRICE_INVALID", "price", True),
    ],
)  # fmt: skip
def test_every_error_is_the_same_object(door, changes, status, code, field, has_order):
    """A 422 that was recorded has its order beside it; what never was has none."""
    answer = post(door.user("ann"), clientOrderId="a", **changes)
    told = answer.json()
    assert answer.status_code == status, told
    assert told["error"].keys() == ERROR
    assert (told["error"]["code"], told["error"]["field"]) == (code, field)
    assert told["error"]["requestId"] == answer.headers["x-request-id"]
    assert ("order" in told) == has_order
    if has_order:
        order = told["order"]
        assert (order["status"], order["clientOrderId"], order["type"]) == (
            "REJECTED",
            "a",
            "LIMIT",
        )
        assert (order["reason"], order["orderId"] > "0") == (code, True)


def test_an_order_that_waits_is_answered_202(start_door):
    """The throttle lets one a minute through."""
    throttle = ThrottleConfig(sends_max=1, window_ns=60 * 10**9)
    ann = start_door(replace(front_config(), throttle=throttle)).user("ann")
    assert post(ann).status_code == 201
    waiting = post(ann, clientOrderId="w")
    assert (waiting.status_code, waiting.json()["status"]) == (202, "PENDING_NEW")
    gone = ann.ask("DELETE", "/order?clientOrderId=w")
    assert (gone.status_code, gone.json()["status"]) == (200, "CANCELED")


def test_a_repeat_is_answered_as_the_order_stands_now(door):
    """Also of a refusal: the same again, marked as a replay."""
    ann, bob = door.user("ann"), door.user("bob")
    assert post(ann, clientOrderId="a").status_code == 201
    bob.sell("1", "100")
    again = post(ann, clientOrderId="a", price="100.00")
    assert (again.status_code, again.json()["status"]) == (200, "FILLED")
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.json()["price"], again.json()["type"]) == ("100", "LIMIT")
    refused = [post(ann, clientOrderId="r", price="0.001") for _ in range(2)]
    assert [each.status_code for each in refused] == [422, 422]
    assert [each.headers.get("idempotency-replayed") for each in refused] == [None, "true"]
    assert refused[0].json()["order"]["orderId"] == refused[1].json()["order"]["orderId"]
    other = post(ann, clientOrderId="a", quantity="2")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "DUPLICATE_ID")
    assert other.json()["order"]["status"] == "FILLED"


def test_without_a_durable_answer_the_outcome_is_unknown(door, monkeypatch):
    """504; the question about it waits behind it, and the retry with the same id is safe."""
    patient(monkeypatch, 0.2)
    ann = door.user("ann")
    with Stuck(door.oms) as stuck:
        post(ann, clientOrderId="first")  # in its listener the dispatcher stays
        assert stuck.reached.wait(SOON_S)
        lost = post(ann, clientOrderId="lost")
        assert (lost.status_code, lost.json()["error"]["code"]) == (504, "OUTCOME_UNKNOWN")
        assert lost.headers["retry-after"] == "1"
        asked = ann.ask("GET", "/order?clientOrderId=lost")
        assert (asked.status_code, asked.headers["retry-after"]) == (503, "1")  # never a 404
    patient(monkeypatch, SOON_S)
    wait_until(lambda: not door.server.gate.is_stale())  # behind Redis it hears again of users
    assert ann.ask("GET", "/order?clientOrderId=lost").json()["status"] == "NEW"
    retry = post(ann, clientOrderId="lost")
    assert (retry.status_code, retry.headers["idempotency-replayed"]) == (200, "true")
    assert len(ann.ask("GET", "/orders/open").json()["orders"]) == 2
    assert ann.ask("GET", "/order?clientOrderId=never").status_code == 404


@pytest.mark.skipif(SPLIT, reason="what an engine does not take, the next engine answers")
def test_what_is_not_taken_now_may_come_again(door):
    """503 with Retry-After; nothing is recorded, and reading goes on."""
    ann = door.user("ann")
    door.oms.inbox.close()
    refused = post(ann, clientOrderId="a")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["code"] == "SHUTTING_DOWN"
    assert "order" not in refused.json()
    assert ann.ask("GET", "/orders").json()["orders"] == []
    door.oms.inbox.open()
    assert post(ann, clientOrderId="a").status_code == 201


def test_who_asks_too_often_is_told_when_to_come_back(start_door):
    """Orders have an allowance, cancels a larger one of their own."""
    ann = start_door(front_config(orders_max=1, cancels_max=5)).user("ann")
    answers = [post(ann) for _ in range(4)]
    assert answers[0].headers["ratelimit-limit"] == "2"
    late = answers[-1]
    assert (late.status_code, late.json()["error"]["code"]) == (429, "TOO_MANY_REQUESTS")
    assert int(late.headers["retry-after"]) >= 1
    assert late.headers["ratelimit-remaining"] == "0"
    assert ann.ask("POST", "/order/cancel_all", {}).status_code == 200


def test_the_first_clients_bodies_work(door):
    """As the sources have them, with numbers that are no text; prices keep their digits."""
    ann = door.user("ann")
    body = {"order_type": "Buy", "order_kind": "Limit", "price": 100.50, "quantity": 10,
            "market": "TATA_INR"}  # fmt: skip
    answer = ann.ask("POST", "/order", body)
    told = answer.json()
    assert (answer.status_code, told["symbol"], told["side"]) == (201, "TATA_INR", "BUY")
    assert (told["price"], told["quantity"], told["type"]) == ("100.5", "10", "LIMIT")


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/order?wait=soon", ORDER, "wait"),
        ("POST", "/order?wait=done&wait=done", ORDER, "wait"),
        ("POST", "/order?x=1", ORDER, "x"),
        ("POST", "/order", {**ORDER, "account_id": 1}, "account_id"),
        ("POST", "/order", {**ORDER, "market": "TATA_INR"}, "market"),
        ("POST", "/order", {**ORDER, "time_in_force": "GTC", "timeInForce": "IOC"}, "timeInForce"),
        ("POST", "/orders", [], "body"),
        ("POST", "/orders", [ORDER] * 21, "body"),
        ("POST", "/orders", [ORDER, 5], "[1]"),
        ("POST", "/orders?wait=done", [ORDER], "query"),
        ("PATCH", "/order", {"price": "1"}, "orderId"),
        ("PATCH", "/order", {"orderId": "1", "origClientOrderId": "a", "price": "1"}, "orderId"),
        ("PATCH", "/orders/1", {"orderId": "1", "price": "1"}, "orderId"),
        ("DELETE", "/order", None, "orderId"),
        ("DELETE", "/order?orderId=0", None, "orderId"),
        ("DELETE", "/order?orderId=1", {"orderId": "1"}, "query"),
        ("POST", "/ticket", {"account": "eve"}, "body"),
        ("GET", "/me?role=operator", None, "query"),
        ("GET", "/order?clientOrderId=a&nobody=1", None, "nobody"),
    ],
)
def test_what_nobody_knows_or_says_twice_is_refused(door, method, path, body, field):
    answer = door.user("ann").ask(method, path, body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field), answer.text


def test_an_order_is_waited_for_with_all_its_fills(door):
    """wait=done: answered when a second order fills the rest."""
    ann, bob = door.user("ann"), door.user("bob")
    bob.sell("0.4", "100")
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(post(ann, "/order?wait=done&seconds=20", clientOrderId="w"))
    )
    waiting.start()
    while ann.ask("GET", "/order?clientOrderId=w").status_code == 404:
        pass
    bob.sell("0.6", "100")
    waiting.join(SOON_S)
    (answer,) = answers
    assert (answer.status_code, answer.json()["status"]) == (201, "FILLED")
    assert [each["quantity"] for each in answer.json()["fills"]] == ["0.4", "0.6"]


def test_another_method_says_which_there_are(door):
    answer = door.http.request("PUT", "/order")
    assert answer.status_code == 405
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(answer.headers["allow"].split(", "))
    assert door.http.get("/nothing").json()["error"].keys() == ERROR
