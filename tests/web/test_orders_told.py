"""An order is told the same way by every route and over the socket, whatever was done to it."""

import json
from contextlib import contextmanager

from websockets.sync.client import connect

WHAT = ("orderId", "clientOrderId", "type", "timeInForce", "price", "quantity")


@contextmanager
def listen(door, user, channel):
    with connect(door.ws_url, additional_headers=user.headers) as socket:
        socket.send(json.dumps({"op": "subscribe", "channel": channel}))
        while (begun := json.loads(socket.recv(timeout=30))).get("op") != "subscribe":
            pass
        yield socket, begun  # what happens from now on is told


def events(socket, channel, count):
    """The next `count` events of a channel, without its snapshot."""
    found = []
    while len(found) < count:
        told = json.loads(socket.recv(timeout=10))
        if told.get("channel") == channel and "data" in told:
            found.append(told)
    return found


def test_the_socket_tells_what_the_routes_tell(door):
    """Placed, modified, partly filled and canceled by requests that say ever less of it."""
    ann, bob = door.user("ann"), door.user("bob")
    with listen(door, ann, "orders") as (socket, _):
        ann.sell("3", "100.50", clientOrderId="own", timeInForce="DAY")
        ann.ask("PATCH", "/order", {"origClientOrderId": "own", "clientOrderId": "m", "price": 99})
        bob.buy("1", "99")
        ann.ask("DELETE", "/order", {"origClientOrderId": "own", "clientOrderId": "c"})
        told = [each["data"] for each in events(socket, "orders", 4)]
    assert [each["status"] for each in told] == ["NEW", "NEW", "PARTIALLY_FILLED", "CANCELED"]
    assert [each["requestClientOrderId"] for each in told] == ["own", "m", None, "c"]
    order_id = told[0]["orderId"]
    now = (order_id, "own", "LIMIT", "DAY", "99", "3")
    assert [tuple(each[name] for name in WHAT) for each in told[1:]] == [now] * 3
    for path in ("/order?clientOrderId=own", f"/orders/{order_id}"):
        order = ann.ask("GET", path).json()
        assert tuple(order[name] for name in WHAT) == now
    (listed,) = ann.ask("GET", "/orders").json()["orders"]
    assert tuple(listed[name] for name in WHAT) == now


def test_a_snapshot_tells_open_orders_whole(door):
    ann = door.user("ann")
    ann.buy("2", "80", clientOrderId="a", displayQuantity="1")
    with listen(door, ann, "orders") as (_, begun):
        (order,) = begun["orders"]
    assert (order["price"], order["quantity"], order["displayQuantity"]) == ("80", "2", "1")


def test_fills_bear_the_orders_own_id(door):
    """Also after a modify gave it another."""
    ann, bob = door.user("ann"), door.user("bob")
    with listen(door, ann, "fills") as (socket, _):
        ann.sell("1", "100", clientOrderId="own")
        ann.ask(
            "PATCH", "/order", {"origClientOrderId": "own", "clientOrderId": "m", "price": "99"}
        )
        bob.buy("1", "99")
        (fill,) = events(socket, "fills", 1)
    assert fill["data"]["clientOrderId"] == "own"
    order = ann.ask("GET", "/order?clientOrderId=m").json()
    assert [each["clientOrderId"] for each in order["fills"]] == ["own"]


def test_an_order_that_meets_one_of_its_own_account_is_told_as_it_was_placed(door):
    """Its last report is of a cancel that nobody asked for; the answer is of the order."""
    ann, bob = door.user("ann"), door.user("bob")
    bob.sell("1", "100")
    ann.sell("1", "101", clientOrderId="rests")
    told = ann.buy("3", "101", clientOrderId="own", selfTrade="CANCEL_NEWEST").json()
    assert (told["status"], told["filledQuantity"], told["openQuantity"]) == ("CANCELED", "1", "0")
    assert [each["price"] for each in told["fills"]] == ["100"]
    order = ann.ask("GET", "/order?clientOrderId=own").json()
    fills = [told.pop("fills"), order.pop("fills")]
    assert told == order
    assert [[each["tradeId"] for each in those] for those in fills] == [["1"], ["1"]]
