"""Orders over REST: placed, changed, canceled, asked for; and what is answered if they are not."""

import pytest

from oms.errors import TransportError
from oms.gateways.web.errors import http_error, unavailable
from oms.reject_reasons import RejectReason
from tests.web.doors import front_config
from tests.web.wires import Wire


def test_two_people_trade(door):
    """Ann offers, Bob takes: both are told, and both have what they traded."""
    ann, bob = door.user("ann"), door.user("bob")
    offered = ann.sell("2", "100.50", clientOrderId="a-1")
    assert offered.status_code == 201
    assert offered.json()["status"] == "NEW"
    taken = bob.buy("0.5", "101", clientOrderId="b-1")
    assert taken.status_code == 201
    order = taken.json()
    assert (order["status"], order["filledQuantity"], order["averagePrice"]) == (
        "FILLED", "0.5", "100.5",
    )  # fmt: skip
    assert [(fill["price"], fill["quantity"]) for fill in order["fills"]] == [("100.5", "0.5")]
    assert ann.ask("GET", "/order?clientOrderId=a-1").json()["openQuantity"] == "1.5"
    owned = {each["asset"]: each for each in bob.ask("GET", "/balance").json()["balances"]}
    assert owned["BTC"]["available"] == "100000.5"
    assert owned["USD"]["available"] == "99949.75"
    assert door.http.get("/depth?symbol=BTC_USD").json()["asks"] == [["100.5", "1.5"]]
    assert door.http.get("/trades?symbol=BTC_USD").json()["trades"][0]["takerSide"] == "BUY"


def test_the_same_id_again_is_the_same_order(door):
    """Safe to send again when an answer was lost; other content is a conflict."""
    ann = door.user("ann")
    first = ann.buy("1", "100", clientOrderId="a-1")
    again = ann.buy("1.00", "100.0", clientOrderId="a-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["orderId"] == first.json()["orderId"]
    other = ann.buy("2", "100", clientOrderId="a-1")
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "DUPLICATE_ID"
    assert len(ann.ask("GET", "/orders/open").json()["orders"]) == 1


def test_a_refused_order_is_told_with_its_record(door):
    ann = door.user("ann")
    answer = ann.buy("1", "100.001", clientOrderId="a-1")
    told = answer.json()
    assert answer.status_code == 422
    assert told["error"]["code"] == "PRICE_INVALID"
    assert told["error"]["number"] == RejectReason.PRICE_INVALID.api
    assert (told["order"]["clientOrderId"], told["order"]["status"]) == ("a-1", "REJECTED")


def test_an_order_is_changed_and_canceled_by_either_name(door):
    ann = door.user("ann")
    order_id = ann.buy("1", "100", clientOrderId="a-1").json()["orderId"]
    changed = ann.ask("PATCH", f"/orders/{order_id}", {"price": "99", "clientOrderId": "a-2"})
    assert changed.status_code == 200
    assert door.http.get("/depth?symbol=BTC_USD").json()["bids"] == [["99", "1"]]
    canceled = ann.ask("DELETE", "/order?clientOrderId=a-1")
    assert (canceled.status_code, canceled.json()["status"]) == (200, "CANCELED")
    late = ann.ask("DELETE", f"/orders/{order_id}")
    assert (late.status_code, late.json()["error"]["code"]) == (409, "TOO_LATE")
    unknown = ann.ask("DELETE", "/orders/999999")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "UNKNOWN_ORDER")


def test_another_users_order_is_one_that_there_is_not(door):
    ann, eve = door.user("ann"), door.user("eve")
    order_id = ann.buy("1", "100", clientOrderId="a-1").json()["orderId"]
    for method, path in (
        ("GET", f"/orders/{order_id}"), ("DELETE", f"/orders/{order_id}"),
        ("PATCH", f"/orders/{order_id}"),
    ):  # fmt: skip
        body = {"price": "1"} if method == "PATCH" else None
        theirs = eve.ask(method, path, body)
        absent = eve.ask(method, "/orders/987654321", body)
        assert theirs.status_code == absent.status_code == 404
        assert theirs.json()["error"]["code"] == absent.json()["error"]["code"]
    named = eve.ask("GET", "/order?clientOrderId=a-1&account=ann")
    absent = eve.ask("GET", "/order?clientOrderId=a-1&account=nobody")
    assert named.status_code == absent.status_code == 422
    assert ann.ask("GET", f"/orders/{order_id}").json()["status"] == "NEW"


def test_all_orders_are_canceled_and_each_is_named(door):
    ann = door.user("ann")
    ids = {ann.buy("1", str(90 + n)).json()["orderId"] for n in range(3)}
    sale = ann.sell("1", "200").json()["orderId"]
    done = ann.ask("POST", "/order/cancel_all", {"side": "BUY"}).json()
    assert done["canceled"] == "3"
    assert {each["orderId"] for each in done["orders"]} == ids
    left = ann.ask("GET", "/orders/open").json()["orders"]
    assert [each["orderId"] for each in left] == [sale]


def test_a_list_of_orders_is_answered_one_by_one(door):
    ann = door.user("ann")
    good = {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1"}
    answers = ann.ask("POST", "/orders", [good, {**good, "symbol": "NO"}, good]).json()
    assert [each["status"] for each in answers] == [201, 422, 201]
    wrong = ann.ask("POST", "/orders", [good, {**good, "price": True}])
    assert wrong.status_code == 400
    assert wrong.json()["error"]["field"] == "[1].price"
    assert len(ann.ask("GET", "/orders/open").json()["orders"]) == 2  # nothing of the second list


def test_a_list_counts_as_so_many_orders(start_door):
    """Else the allowance of orders would be one of lists; nothing of a list too many is placed."""
    door = start_door(front_config(orders_max=4))
    ann = door.user("ann")
    good = {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1"}
    first = ann.ask("POST", "/orders", [good] * 6)
    assert first.status_code == 200
    assert first.headers["ratelimit-remaining"] in ("2", "3")  # 8 at once, 4 more a second
    second = ann.ask("POST", "/orders", [good] * 8)
    assert second.status_code == 429
    assert int(second.headers["retry-after"]) >= 1
    assert len(ann.ask("GET", "/orders/open").json()["orders"]) == 6


def test_a_mass_cancel_repeated_names_the_same_orders(door):
    ann = door.user("ann")
    order_id = ann.buy("1", "90").json()["orderId"]
    first = ann.ask("POST", "/order/cancel_all", {"clientOrderId": "all-1"})
    ann.buy("1", "91")
    again = ann.ask("POST", "/order/cancel_all", {"clientOrderId": "all-1"})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert [each["orderId"] for each in again.json()["orders"]] == [order_id]


def test_whoever_waits_is_told_when_the_order_is_over(door):
    """wait=done: the end, or 202 with the order as it stands when that takes too long."""
    ann = door.user("ann")
    open_ = ann.ask(
        "POST", "/order?wait=done&seconds=1",
        {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1"},
    )  # fmt: skip
    assert (open_.status_code, open_.json()["status"]) == (202, "NEW")
    repeated = ann.ask(
        "POST", "/order?wait=done&seconds=1",
        {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1",
         "clientOrderId": open_.json()["clientOrderId"]},
    )  # fmt: skip
    assert (repeated.status_code, repeated.json()["status"]) == (202, "NEW")
    assert repeated.headers["idempotency-replayed"] == "true"
    over = ann.ask(
        "POST", "/order?wait=done",
        {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1", "timeInForce": "IOC"},
    )  # fmt: skip
    assert (over.status_code, over.json()["status"]) == (201, "CANCELED")


def test_an_order_is_tried_without_being_placed(door):
    ann = door.user("ann")
    body = {"symbol": "BTC_USD", "side": "BUY", "price": "100", "quantity": "2"}
    tried = ann.ask("POST", "/order/test", body).json()
    assert (tried["accepted"], tried["reserved"], tried["asset"]) == (True, "200", "USD")
    refused = ann.ask("POST", "/order/test", {**body, "quantity": "1000000"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "FUNDS_INSUFFICIENT")
    assert ann.ask("GET", "/orders/open").json()["orders"] == []


def test_nobody_trades_without_signing_in(door):
    order = {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1"}
    answer = door.http.post("/order", json=order)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize("path", ["/order", "/v1/order"])
def test_every_path_is_also_under_v1(door, path):
    ann = door.user("ann")
    order = {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1"}
    assert ann.ask("POST", path, order).status_code == 201


def test_an_order_says_how_much_is_ahead_of_it_if_asked(door):
    """What is shown at its price before it: an iceberg's hidden part is nobody's to know."""
    ann, bob = door.user("ann"), door.user("bob")
    bob.buy("5", "90", displayQuantity="2")
    mine = ann.buy("1", "90").json()
    assert "aheadQuantity" not in ann.ask("GET", f"/orders/{mine['orderId']}").json()
    assert ann.ask("GET", f"/orders/{mine['orderId']}?ahead=true").json()["aheadQuantity"] == "2"
    waits = ann.buy("1", "125", type="STOP_LIMIT", stopPrice="120").json()
    told = ann.ask("GET", "/orders/open?ahead=true").json()["orders"]
    assert [each.get("aheadQuantity") for each in told] == ["2", None]
    assert told[1]["orderId"] == waits["orderId"]
    assert bob.ask("GET", f"/orders/{mine['orderId']}?ahead=true").status_code == 404
    ended = ann.ask("DELETE", f"/orders/{mine['orderId']}").json()
    found = ann.ask("GET", f"/orders/{ended['orderId']}?ahead=true").json()
    assert (found["status"], "aheadQuantity" in found) == ("CANCELED", False)


def test_a_try_says_what_the_limits_of_the_account_leave(door):
    olga, ann = door.user("olga", "operator"), door.user("ann")
    body = {"symbol": "BTC_USD", "side": "BUY", "price": "90", "quantity": "1"}
    assert ann.ask("POST", "/order/test", body).json()["room"] is None
    said = {"scope": "ACCOUNT", "target": "ann", "name": "position_max", "value": "5"}
    assert olga.ask("POST", "/admin/limits", said).status_code == 200
    ann.buy("2", "90")
    room = {"orders": None, "quantity": "3", "value": None}
    assert ann.ask("POST", "/order/test", body).json()["room"] == room


@pytest.mark.parametrize(
    "error",
    [TransportError("group main is out of reach"), unavailable("busy"),
     http_error(429, "TOO_MANY_REQUESTS", "later")],
    ids=["transport", "busy", "many"],
)  # fmt: skip
def test_what_is_done_is_not_told_as_if_it_were_not(door, monkeypatch, error):
    """A client that reads 503 or 429 asks for another order; of 504 it asks how it stands."""

    def fails(*_given, **_named):
        raise error

    ann, _ = door.user("ann"), door.user("bob")
    order_id, other_id = (ann.buy("1", "90").json()["orderId"] for _ in range(2))
    with Wire(door, ann) as wire, monkeypatch.context() as broken:
        broken.setattr("oms.gateways.web.door.orders_told", fails)
        broken.setattr("oms.gateways.web.money.owned", fails)
        moved = {"asset": "USD", "amount": "1", "toAccount": "bob", "clientOrderId": "t-1"}
        told = [
            ann.ask("DELETE", f"/order?orderId={order_id}&clientOrderId=c-1"),
            ann.ask("POST", "/balance/transfer", moved),
        ]
        said = wire.ask(op="order.cancel", params={"orderId": other_id})
    assert [each.status_code for each in told] == [504, 504]
    assert {each.json()["error"]["code"] for each in told} == {"OUTCOME_UNKNOWN"}
    assert (said["ok"], said["error"]["code"]) == (False, "OUTCOME_UNKNOWN")
    for each in (order_id, other_id):
        assert ann.ask("GET", f"/orders/{each}").json()["status"] == "CANCELED"
    assert ann.ask("POST", "/balance/transfer", moved).headers["idempotency-replayed"] == "true"
