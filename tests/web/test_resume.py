"""Whoever was away goes on where they were: no gap, no repeat, or a snapshot with a word why."""

import asyncio

from oms import OrderRequest
from oms.gateways.web.streams import Streams
from tests.web.wires import Wire

ORDER = OrderRequest.new("ann", "a-1", "BTC_USD", "BUY", "1", "90")


def placed(message):
    return int(message["seq"]), message["number"]


def at(message):
    return {"fromSeq": message["seq"], "fromNumber": str(message["number"])}


def test_what_ended_while_one_was_away_is_told_from_the_store(door):
    """Ann's order is traded and canceled while she is away; she goes on behind her last event."""
    ann, bob = door.user("ann"), door.user("bob")
    with Wire(door, ann) as wire:
        wire.subscribe("orders")
        ann.buy("3", "99", clientOrderId="a-1")
        last = wire.until(lambda m: m.get("channel") == "orders")
    bob.sell("1", "99")
    ann.ask("DELETE", "/order?clientOrderId=a-1")
    with Wire(door, ann) as wire:
        begun = wire.subscribe("orders", **at(last))
        assert begun["event"] == "RESUMED"
        traded = wire.until(lambda m: m.get("channel") == "orders")
        ended = wire.until(lambda m: m.get("channel") == "orders")
        assert [m["event"] for m in (traded, ended)] == ["TRADE", "CANCELED"]
        assert placed(last) < placed(traded) < placed(ended) <= (int(begun["seq"]), 1 << 24)
        fills = wire.subscribe("fills", **at(last))
        assert fills["event"] == "RESUMED"
        assert wire.until(lambda m: m.get("channel") == "fills")["data"]["quantity"] == "1"
        ann.buy("1", "98")
        fresh = wire.until(lambda m: m.get("channel") == "orders")
        assert fresh["event"] == "NEW"
        assert placed(fresh) > placed(ended)


def test_what_is_resumed_is_what_was_told_then(door):
    """One wire stays, one leaves and comes back: both have the same messages in the end."""
    ann, bob = door.user("ann"), door.user("bob")
    with Wire(door, ann) as stays:
        first = {c: stays.subscribe(c, **of) for c, of in (
            ("orders", {}), ("fills", {}), ("trades", {"symbol": "BTC_USD"}),
        )}  # fmt: skip
        for price in ("99", "98", "97"):
            ann.buy("1", price)
        bob.sell("2.5", "97")
        bob.sell("9", "1", timeInForce="IOC")
        stays.beat(int(bob.buy("1", "1").json()["seq"]))
        for channel, of in (("orders", {}), ("fills", {}), ("trades", {"symbol": "BTC_USD"})):
            told = stays.events(channel)
            assert len(told) >= 3
            # from its beginning, and from the middle of a turn
            for start, left in ((first[channel]["seq"], told), (at(told[1]), told[2:])):
                start = start if isinstance(start, dict) else {"fromSeq": start}
                with Wire(door, ann) as comes:
                    begun = comes.subscribe(channel, **start, **of)
                    assert begun["event"] == "RESUMED"
                    comes.beat(int(begun["seq"]))
                    assert comes.events(channel) == left


def test_it_goes_on_across_a_restart(start_door, tmp_path):
    """The daemon stops while Ann is away; what it did while it stopped and started is told."""
    door = start_door()
    ann, bob = door.user("ann"), door.user("bob")
    with Wire(door, ann) as wire:
        wire.subscribe("orders")
        wire.subscribe("trades", symbol="BTC_USD")
        ann.buy("3", "99", clientOrderId="a-1")
        last = wire.until(lambda m: m.get("channel") == "orders")
    bob.sell("1", "99")
    door.stop()
    door = start_door(directory=tmp_path)
    ann, bob = door.login("ann"), door.login("bob")
    bob.sell("2", "99")
    with Wire(door, ann) as wire:
        assert wire.subscribe("orders", **at(last))["event"] == "RESUMED"
        told = [wire.until(lambda m: m.get("channel") == "orders") for _ in range(2)]
        assert [m["data"]["filledQuantity"] for m in told] == ["1", "3"]
        assert wire.subscribe("trades", symbol="BTC_USD", fromSeq=last["seq"])["event"] == "RESUMED"
        trades = [wire.until(lambda m: m.get("channel") == "trades") for _ in range(2)]
        assert [m["data"]["quantity"] for m in trades] == ["1", "2"]


def test_what_cannot_be_resumed_begins_with_a_snapshot_that_says_why(door, monkeypatch):
    """Of a channel that keeps no past, of another exchange's sequence, too far back, too much."""
    ann = door.user("ann")
    for number in range(3):
        ann.buy("1", str(90 + number))

    def why(channel, **said):
        with Wire(door, ann) as wire:
            begun = wire.subscribe(channel, **said)
            assert begun["event"] == "SNAPSHOT"
            return begun["why"]

    assert why("balances", fromSeq="1") == "NOT_KEPT"
    assert why("depth", symbol="BTC_USD", fromSeq="1") == "NOT_KEPT"
    assert why("orders", fromSeq="999999") == "UNKNOWN_SEQUENCE"
    monkeypatch.setattr("oms.gateways.web.streams.RESUMED_MAX", 2)
    assert why("orders", fromSeq="0") == "TOO_MUCH"
    monkeypatch.setattr("oms.stores.sql_reader.LOOKED_AT_MAX", 2)
    assert why("orders", fromSeq="0") == "TOO_FAR_BACK"


def test_no_heartbeat_overtakes_what_a_subscription_begins_with(door, monkeypatch):
    """It says that all up to its sequence was told: not while an event waits to be told."""
    ann, beats = door.user("ann"), []
    monkeypatch.setattr("oms.gateways.web.hub.HEARTBEAT_S", 0.01)
    begin = Streams.begin

    async def slow(streams, topic, place):
        """Meanwhile Ann's order is accepted, and heartbeats come that know of it."""
        if topic.channel == "orders":
            publish = streams._hub.publish

            def counted(topic, told, seq):
                if topic.channel == "heartbeat":
                    beats.append(seq)
                publish(topic, told, seq)

            monkeypatch.setattr(streams._hub, "publish", counted)
            seq = (await streams._door.settled(door.oms.try_submit(ORDER))).journal_seq
            while not beats or beats[-1] < seq:
                await asyncio.sleep(0.005)
        return await begin(streams, topic, place)

    monkeypatch.setattr(Streams, "begin", slow)
    with Wire(door, ann) as wire:
        wire.subscribe("trades", symbol="BTC_USD")
        before = door.oms.journal_seq().result(10)
        wire.subscribe("orders", fromSeq=str(before))
        assert all(int(each["seq"]) <= before for each in wire.beats)
        wire.beat(before + 1)
        assert [each["event"] for each in wire.events("orders")] == ["NEW"]


def test_a_long_past_is_told_as_fast_as_it_is_read(door):
    """More than fits into what a client may leave unread; it reads, so it is not let go."""
    ann = door.user("ann")
    orders = [
        {"symbol": "BTC_USD", "side": "BUY", "price": "9", "quantity": "1", "timeInForce": "IOC"}
    ] * 20
    for _ in range(150):
        assert ann.ask("POST", "/orders", orders).status_code == 200
    with Wire(door, ann) as wire:
        begun = wire.subscribe("orders", fromSeq="0")
        assert begun["event"] == "RESUMED"
        wire.beat(int(begun["seq"]))
        assert len(wire.events("orders")) == 6_000  # each is new, then canceled
        assert sum(len(str(each)) for each in wire.told) > 1_048_576
