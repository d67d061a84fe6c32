"""One door for the markets of two groups: sockets, pages, questions of operators, our client."""

import asyncio

import pytest

from oms.client import Client
from oms.errors import ServerError, ValidationError
from oms.market_data import BalanceChange
from oms.requests import OrderRequest
from tests.processes import WAIT_S_MAX
from tests.scale.servers import wait_for
from tests.scale.split import EngineThreads
from tests.web.doors import PASSWORD
from tests.web.wires import Wire as OfOneGroup

GROUPS = "usd: BTC_USD, inr: TATA_INR"
SYMBOLS = {"usd": "BTC_USD", "inr": "TATA_INR"}


class Wire(OfOneGroup):
    """A socket that is told all, and names no group by itself."""

    of_group = ()

    def next(self):
        return self.heard()

    def begin(self, channel, **more):
        """Without a group: the answers of both, by group."""
        self.say(op="subscribe", channel=channel, **more)
        answers = [self.until(lambda m: m.get("op") == "subscribe") for _ in SYMBOLS]
        return {each["group"]: each for each in answers}

    def beat_of(self, group, seq=0):
        """Everything of the group up to `seq` was told."""
        while True:
            message = self.heard()
            if message.get("channel") != "heartbeat":
                self.told.append(message)
            elif message["group"] == group and int(message["seq"]) >= seq:
                return message


@pytest.fixture
def door(start_split):
    return start_split(market_groups=GROUPS)


@pytest.fixture
def ann(door):
    return door.user("ann")


def order(user, symbol, name, side="BUY", price="100", quantity="1"):
    """Placed; as it is told."""
    body = {
        "symbol": symbol, "side": side, "price": price, "quantity": quantity,
        "clientOrderId": name,
    }  # fmt: skip
    answer = user.ask("POST", "/order", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_private_channel_is_one_subscription_to_each_group(door, ann):
    """It is answered once for each; sequences are told with their group, and resumed by it."""
    # given an order in each group, and a socket that names none
    placed = {name: order(ann, symbol, f"{name}-1") for name, symbol in SYMBOLS.items()}
    with Wire(door, ann) as wire:
        assert wire.groups == ["usd", "inr"]
        begun = wire.begin("orders", id="7")
        for name, each in begun.items():
            assert (each["id"], each["event"]) == ("7", "SNAPSHOT")
            assert [o["clientOrderId"] for o in each["orders"]] == [f"{name}-1"]
            assert int(each["seq"]) >= int(placed[name]["seq"])
        assert {e["asset"] for e in begun["inr"]["balances"]} >= {"TATA", "INR"}
        assert [each["group"] for each in wire.ask(op="list")["subscriptions"]] == ["usd", "inr"]

        # when both trade, each is told with its group; and beats of each come behind
        later = {name: order(ann, symbol, f"{name}-2") for name, symbol in SYMBOLS.items()}
        for name, each in later.items():
            wire.beat_of(name, int(each["seq"]))
        told = {each["group"]: each for each in wire.events("orders")}
        assert {n: e["data"]["clientOrderId"] for n, e in told.items()} == {
            "usd": "usd-2", "inr": "inr-2",
        }  # fmt: skip
    order(ann, "TATA_INR", "inr-3")

    # then each goes on by its own sequence, and none without saying whose that is
    with Wire(door, ann) as wire:
        for name, missed in (("usd", []), ("inr", ["inr-3"])):
            last = told[name]
            at = {"fromSeq": last["seq"], "fromNumber": str(last["number"]), "group": name}
            again = wire.subscribe("orders", **at)
            assert (again["event"], again["group"]) == ("RESUMED", name)
            wire.beat_of(name, int(again["seq"]))
            found = [e for e in wire.events("orders") if e["group"] == name]
            assert [e["data"]["clientOrderId"] for e in found] == missed
        refused = wire.ask(op="subscribe", channel="fills", fromSeq="1")
        assert refused["error"]["field"] == "group"
        other = wire.ask(op="subscribe", channel="fills", group="eur")
        assert other["error"]["field"] == "group"
        assert wire.ask(op="unsubscribe", channel="orders")["ok"]
        assert wire.ask(op="list")["subscriptions"] == []


def test_public_channels_name_the_group_of_their_market(door, ann):
    with Wire(door) as wire:
        assert wire.subscribe("depth", symbol="TATA_INR")["group"] == "inr"
        phases = {name: each["markets"] for name, each in wire.begin("markets").items()}
        assert phases == {"usd": {"BTC_USD": "CONTINUOUS"}, "inr": {"TATA_INR": "CONTINUOUS"}}
        placed = order(ann, "TATA_INR", "a-1")
        wire.beat_of("inr", int(placed["seq"]))
        assert [each["group"] for each in wire.events("depth")] == ["inr"]
        wrong = wire.ask(op="subscribe", channel="trades", symbol="TATA_INR", group="usd")
        assert wrong["error"]["field"] == "group"
    told = door.http.get("/markets").json()
    assert told["groups"] == ["usd", "inr"]
    assert {e["symbol"]: e["group"] for e in told["markets"]} == {
        "BTC_USD": "usd",
        "TATA_INR": "inr",
    }


def test_pages_without_a_symbol_are_of_all_groups_by_time(door, ann):
    """Orders, fills and money, page by page; the cursor has a place in each group."""
    bob = door.user("bob")
    names = []
    for n in range(4):
        for symbol in ("TATA_INR", "BTC_USD", "BTC_USD")[: 1 + n % 3]:
            names.append(f"a-{len(names)}")
            order(bob, symbol, f"b{names[-1]}", "SELL")
            order(ann, symbol, names[-1])

    def pages(path, field):
        following, found = "0", []
        while following is not None:
            told = ann.ask("GET", f"{path}before={following}&limit=2").json()
            found += told[field]
            following = told["next"]
        return found

    assert [e["clientOrderId"] for e in pages("/orders?", "orders")] == names[::-1]
    mine = pages("/trade/history?mine=true&", "trades")
    assert len({(e["symbol"], e["executionId"]) for e in mine}) == len(mine) == len(names)
    assert [int(e["time"]) for e in mine] == sorted((int(e["time"]) for e in mine), reverse=True)
    moved = pages("/ledger?", "entries")
    for each in ann.ask("GET", "/balance").json()["balances"]:
        own = sum(float(e["amount"]) for e in moved if e["asset"] == each["asset"])
        assert own == float(each["available"]) + float(each["reserved"]), each
    assert {e["group"] for e in moved} == set(SYMBOLS)
    of_one = pages("/orders?symbol=TATA_INR&", "orders")
    assert {e["symbol"] for e in of_one} == {"TATA_INR"}
    assert pages("/orders?group=inr&", "orders") == of_one
    refused = ann.ask("GET", "/orders?before=eur:1")
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "before")


def test_open_orders_are_listed_and_canceled_in_all_groups(ann):
    """Oldest first; the answer to a cancel of all names each with its group."""
    names = [f"a-{n}" for n in range(5)]
    for n, name in enumerate(names):
        order(ann, ("BTC_USD", "TATA_INR")[n % 2], name, price=f"{90 + n}")
    found, after = [], "0"
    while after is not None:
        told = ann.ask("GET", f"/orders/open?limit=2&after={after}").json()
        found += [e["clientOrderId"] for e in told["orders"]]
        after = told["next"]
    assert found == names
    told = ann.ask("POST", "/order/cancel_all", {"clientOrderId": "x"}).json()
    assert told["canceled"] == "5"
    assert sorted((e["group"], e["clientOrderId"]) for e in told["orders"]) == [
        ("inr", "a-1"), ("inr", "a-3"), ("usd", "a-0"), ("usd", "a-2"), ("usd", "a-4"),
    ]  # fmt: skip
    again = ann.ask("POST", "/order/cancel_all", {"clientOrderId": "x"}).json()
    assert again["orders"] == told["orders"]


def test_an_operator_sees_all_groups(door, ann):
    """How many orders of how many accounts a kill switch would cancel, what was done, and where."""
    olga = door.user("olga", "operator")
    for name, symbol in SYMBOLS.items():
        order(ann, symbol, f"{name}-1")
    assert olga.ask("GET", "/admin/open").json() == {"orders": 2, "accounts": 1, "symbols": 2}
    killed = olga.ask("POST", "/admin/kill", {"why": "a drill", "clientOrderId": "k"}).json()
    assert killed["canceled"] == "2"
    told = olga.ask("GET", "/admin/actions?limit=1")
    first = told.json()["actions"]
    rest = olga.ask("GET", f"/admin/actions?before={told.json()['next']}").json()["actions"]
    kills = [e for e in first + rest if e["action"] == "KILL"]
    assert sorted((e["group"], e["text"]) for e in kills) == [
        ("inr", "trading=HALTED, canceled=1"), ("usd", "trading=HALTED, canceled=1"),
    ]  # fmt: skip
    for each in kills:
        query = f"orderId={each['seq']}&group={each['group']}"
        assert olga.ask("GET", f"/admin/explain?{query}").json()["lines"]
    digests = olga.ask("GET", "/admin/digest").json()["groups"]
    assert {e["group"]: e["digest"] for e in digests} == {
        name: each.oms.digest().result(10).digest for name, each in door.engines.items()
    }


def test_an_account_s_instant_is_asked_of_one_group(ann):
    for path in ("/account", "/reports?after=0"):
        answer = ann.ask("GET", path)
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, "group")
    order(ann, "TATA_INR", "a-1")
    now = ann.ask("GET", "/account?group=inr").json()
    assert [e["clientOrderId"] for e in now["reports"]] == ["a-1"]
    missed = ann.ask("GET", f"/reports?after=0&group=inr&upto={now['seq']}").json()
    assert missed["reports"][-1]["clientOrderId"] == "a-1"


def test_a_lost_socket_cancels_what_was_placed_over_it_in_every_group(door, ann):
    with Wire(door, ann) as wire:
        assert wire.ask(op="cancelOnDisconnect", scope="session")["ok"]
        for name, symbol in SYMBOLS.items():
            params = {
                "symbol": symbol, "side": "BUY", "price": "9", "quantity": "1",
                "clientOrderId": f"{name}-1",
            }  # fmt: skip
            assert wire.ask(op="order.place", params=params)["status"] == 201
        order(ann, "BTC_USD", "stays")
    wait_for(lambda: len(ann.ask("GET", "/orders/open").json()["orders"]) == 1)
    [left] = ann.ask("GET", "/orders/open").json()["orders"]
    assert left["clientOrderId"] == "stays"


def test_a_group_whose_engine_is_gone_leaves_the_other_alone(door, ann):
    """Subscriptions to it are refused, told with its name; it goes on when its engine is back."""
    first = order(ann, "TATA_INR", "inr-1")
    with Wire(door, ann) as wire:
        begun = wire.begin("orders")
        door.engines["inr"].stop()
        wait_for(lambda: not door.remote.links["inr"].alive)
        placed = order(ann, "BTC_USD", "usd-1")
        wire.beat_of("usd", int(placed["seq"]))
        assert [e["data"]["clientOrderId"] for e in wire.events("orders")] == ["usd-1"]
        with Wire(door, ann) as other:
            answers = other.begin("fills")
            assert {name: each["ok"] for name, each in answers.items()} == {
                "usd": True, "inr": False,
            }  # fmt: skip
            assert answers["inr"]["error"]["code"] == "UNAVAILABLE"
        assert ann.ask("GET", "/orders").status_code == 503
        told = door.http.get("/markets").json()["markets"]
        assert {e["symbol"] for e in told} == set(SYMBOLS.values())
        assert ann.ask("GET", "/order?clientOrderId=never").status_code == 503  # it may be there
        assert ann.ask("GET", "/orders?symbol=BTC_USD").status_code == 200

        # an order that another api placed is found and canceled, though one group is silent
        door.remote.routes._went.clear()
        assert ann.ask("GET", "/order?clientOrderId=usd-1").json()["status"] == "NEW"
        canceled = ann.ask("DELETE", "/order?origClientOrderId=usd-1&clientOrderId=x")
        assert canceled.json()["status"] == "CANCELED"

        # the engine is back: what it does is told to the same socket, without a new subscription
        directory, config = door.directory / "engine-inr", door.config.of_group("inr")
        door.engines["inr"] = EngineThreads(directory, config, "inr", None)
        wait_for(lambda: door.remote.links["inr"].alive)
        wire.told.clear()
        later = order(ann, "TATA_INR", "inr-2")
        wire.beat_of("inr", int(later["seq"]))
        found = [e for e in wire.events("orders") if e["group"] == "inr"]
        assert [e["data"]["clientOrderId"] for e in found] == ["inr-2"]
        assert int(begun["inr"]["seq"]) >= int(first["seq"])


def test_what_is_of_one_market_is_told_though_another_group_is_away(door, ann):
    """Open orders of a symbol; positions of the groups that are there, and which is not."""
    bob = door.user("bob")
    for symbol in SYMBOLS.values():
        order(ann, symbol, f"{symbol}-1", quantity="2")
        order(bob, symbol, f"{symbol}-2", side="SELL")
    whole = ann.ask("GET", "/positions").json()
    assert ([e["symbol"] for e in whole["positions"]], whole["silent"]) == (
        ["BTC_USD", "TATA_INR"], [],
    )  # fmt: skip
    door.engines["inr"].stop()
    wait_for(lambda: not door.remote.links["inr"].alive)

    found = ann.ask("GET", "/orders/open?symbol=BTC_USD")
    assert [e["clientOrderId"] for e in found.json()["orders"]] == ["BTC_USD-1"]
    assert ann.ask("GET", "/orders/open?symbol=TATA_INR").status_code == 503
    assert ann.ask("GET", "/orders/open").status_code == 503
    told = ann.ask("GET", "/positions").json()
    assert [e["symbol"] for e in told["positions"]] == ["BTC_USD"]
    assert ([e["asset"] for e in told["pnl"]], told["silent"]) == (["USD"], ["inr"])
    with (
        Client(door.url, user="ann", password=PASSWORD) as client,
        pytest.raises(ServerError, match="group inr is out of reach"),
    ):
        client.positions("ann")


def test_what_is_about_all_markets_is_answered_though_a_group_is_away(door, ann):
    """202, with the groups of which it is not known: whoever is in a hurry learns what is done."""
    olga = door.user("olga", "operator")
    placed = order(ann, "BTC_USD", "usd-1")
    door.engines["inr"].stop()
    wait_for(lambda: not door.remote.links["inr"].alive)

    swept = ann.ask("POST", "/order/cancel_all", {"clientOrderId": "sweep"})
    assert (swept.status_code, swept.json()["silent"]) == (202, ["inr"]), swept.text
    assert [(e["orderId"], e["group"]) for e in swept.json()["orders"]] == [
        (placed["orderId"], "usd")
    ]
    order(ann, "BTC_USD", "usd-2")
    killed = olga.ask("POST", "/admin/kill", {"why": "a drill"})
    assert (killed.status_code, killed.json()["silent"]) == (202, ["inr"]), killed.text
    assert killed.json()["canceled"] == "1"


# --- our own client ---


def run(story):
    async def limited():
        async with asyncio.timeout(WAIT_S_MAX):
            return await story

    return asyncio.run(limited())


@pytest.fixture
def client(door):
    door.user("ann")
    made = Client(door.url, user="ann", password=PASSWORD)
    made.start()
    yield made
    made.stop()


def buy(symbol, name, price="9"):
    return OrderRequest.new("ann", name, symbol, "BUY", "1", price)


def test_our_client_s_streams_are_of_all_groups_and_go_on_by_each(client):
    """Reports with a place in each group, and the sum of what is owned."""
    assert client.groups() == ["usd", "inr"]

    async def first():
        async with client.reports("ann") as reports, client.market_events() as events:
            for symbol in SYMBOLS.values():
                await asyncio.to_thread(client.submit, buy(symbol, f"{symbol}-1"))
            told = [await anext(reports) for _ in SYMBOLS]
            assert {each.client_order_id for each in told} == {"BTC_USD-1", "TATA_INR-1"}
            changes = {}
            while len(changes) < 2:
                event = await anext(events)
                if isinstance(event, BalanceChange):
                    changes[event.asset] = event.reserved
            assert changes == {"USD": 9, "INR": 9}
            return reports.seqs

    seqs = run(first())
    assert seqs.keys() == SYMBOLS.keys()
    for symbol in SYMBOLS.values():
        client.submit(buy(symbol, f"{symbol}-2"))

    async def later():
        async with client.reports("ann", from_seq=seqs) as reports:
            found = {}
            while len(found) < 4:  # the turn that was under way is told again
                report = await anext(reports)
                found[report.client_order_id] = report
            return found

    assert {name.rpartition("-")[2] for name in run(later())} == {"1", "2"}
    with pytest.raises(ValidationError, match="from_seq"):
        run(client.reports("ann", from_seq=5).__aenter__())


def test_our_client_asks_of_each_group(client):
    for symbol in SYMBOLS.values():
        client.submit(buy(symbol, f"{symbol}-1")).result()
    assert {e.symbol for e in client.open_orders("ann")} == set(SYMBOLS.values())
    for name, symbol in SYMBOLS.items():
        now, missed = client.catch_up("ann", 0, name)
        assert [e.symbol for e in now.orders] == [symbol]
        assert missed[-1].client_order_id == f"{symbol}-1"
        assert [e.symbol for e in client.orders("ann", group=name).orders] == [symbol]
    with pytest.raises(ValidationError, match="group"):
        client.catch_up("ann", 0)
    with pytest.raises((ValidationError, ServerError), match="group"):
        client.orders("ann")
