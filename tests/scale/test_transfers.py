"""Money between two groups of markets, through Redis and over REST."""

from dataclasses import replace
from decimal import Decimal

import httpx
import pytest

from oms import Instrument, PersistentStorage
from oms.answers import AssetMoney
from oms.client import Client
from oms.errors import OutcomeUnknownError, ServerError, TransportError
from oms.gateways.web import open_web
from oms.requests import FundsAction, FundsRequest
from oms.roles.remote import Broadcast
from oms.turn.threads import Worker
from tests.processes import DATABASE
from tests.scale.conserving import conserved
from tests.scale.parts import api, deposit, engine, scaled, wait_for
from tests.web.doors import PASSWORD, WEB, FrontDoor

SCALES = {"price_scale": 2, "quantity_scale": 2, "base_scale": 2, "quote_scale": 2}
INSTRUMENTS = tuple(Instrument(symbol=each, **SCALES) for each in ("A_USD", "A_EUR"))


@pytest.fixture
def config(server):
    """The asset A is known in both."""
    plain = replace(scaled(server.url, ledger=True), instruments=INSTRUMENTS)
    groups = replace(plain.scale, market_groups="usd: A_USD, eur: A_EUR")
    return replace(plain, scale=groups, web=replace(WEB, play_money=0))


@pytest.fixture
def engines(config, tmp_path, started):
    return {name: started(engine, tmp_path, config, name) for name in ("usd", "eur")}


class Door(FrontDoor):
    """The front door of an api, in this process."""

    def __init__(self, config, directory):
        directory.mkdir()
        self.died = []
        self.oms = api(config, directory=directory)
        self.server = open_web(self.oms, directory)
        self.worker = Worker("oms-web", self.server, lambda *died: self.died.append(died))
        self.worker.start()
        self.http = httpx.Client(base_url=self.server.urls[0], timeout=30)


@pytest.fixture
def door(config, engines, tmp_path, started):
    assert len(engines) == 2
    return started(Door, config, tmp_path / "api")


@pytest.fixture
def ann(door):
    """She has 100 A in the group that is first."""
    user = door.user("ann")
    boss = door.user("boss", role="operator")
    paid = {"asset": "A", "amount": "100", "account": "ann"}
    assert boss.ask("POST", "/balance/deposit", paid).status_code == 200
    return user


def move(user, name, amount="30", to="ann", *, back=False, **more):
    groups = ("eur", "usd") if back else ("usd", "eur")
    body = {
        "asset": "A", "amount": amount, "toAccount": to, "clientOrderId": name,
        "fromGroup": groups[0], "toGroup": groups[1], **more,
    }  # fmt: skip
    return user.ask("POST", "/balance/transfer", body)


def stands(user, name):
    return user.ask("GET", f"/balance/transfer?clientOrderId={name}").json()


def owned(engines, account="ann"):
    return {name: each.oms.balances(account).get("A", (0,))[0] for name, each in engines.items()}


def test_a_user_moves_what_is_theirs_to_the_other_group(door, ann, engines):
    answer = move(ann, "t-1")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told | {"seq": "", "time": ""} == {
        "account": "ann", "clientOrderId": "t-1", "asset": "A", "amount": "30",
        "toAccount": "ann", "fromGroup": "usd", "toGroup": "eur", "seq": "", "time": "",
        "state": "DONE", "why": None,
    }  # fmt: skip
    assert owned(engines) == {"usd": 70, "eur": 30}
    assert stands(ann, "t-1") == told
    balances = ann.ask("GET", "/balance").json()["balances"]
    assert balances == [{"asset": "A", "available": "100", "reserved": "0"}]

    # again it is the same, and back it is another one
    again = move(ann, "t-1")
    assert (again.json(), again.headers["idempotency-replayed"]) == (told, "true")
    assert move(ann, "t-2", "10", back=True).json()["state"] == "DONE"
    assert owned(engines) == {"usd": 80, "eur": 20}
    assert door.died == []


def test_a_client_of_the_library_asks_for_it_as_for_any_request(door, ann, engines):
    client = Client(door.server.urls[0], user=ann.name, password=PASSWORD)
    client.start()

    def asked(name, amount):
        return client.submit(
            FundsRequest(
                account="ann", client_order_id=name, action=FundsAction.TRANSFER, asset="A",
                amount=amount, to_account="ann", from_group="usd", to_group="eur",
            )
        ).result(10)  # fmt: skip

    try:
        done, refused = asked("t-1", "30"), asked("t-2", 71)
        assert (done.type, done.facts["to_group"]) == ("COMMAND_DONE", "eur")
        assert (refused.refused, refused.reason) == (True, "FUNDS_INSUFFICIENT")
        assert asked("t-1", 30).repeated
        # and tells how it stands, as an order manager does
        there = door.oms.transfer("ann", "t-1")
        assert (client.transfer("ann", "t-1"), there.state) == (there, "DONE")
        assert client.transfer("ann", "t-3") is None
        with pytest.raises(ServerError, match="FORBIDDEN"):
            client.money().result(10)
    finally:
        client.stop()
    assert owned(engines) == {"usd": 70, "eur": 30}


def test_a_client_of_an_operator_learns_of_all_money_and_of_what_is_in_flight(door, ann, engines):
    # given money on its way to a group that is out of reach
    engines["eur"].stop()
    wait_for(lambda: not door.oms.links["eur"].alive)
    assert move(ann, "t-1").json()["state"] == "IN_FLIGHT"

    # when an operator's client asks
    with Client(door.server.urls[0], user="boss", password=PASSWORD) as client:
        money, transfers = client.money().result(10), client.transfers().result(10)

    # then it has what an order manager tells
    assert money == door.oms.money().result(10)
    assert money["eur"] is None
    assert money["usd"].assets["A"] == AssetMoney(
        owned=Decimal(70), in_flight=Decimal(30), paid_in=Decimal(100), carried=Decimal(0)
    )
    assert transfers == door.oms.transfers().result(10) == [door.oms.transfer("ann", "t-1")]


def test_what_the_other_group_refuses_is_an_error_and_has_come_back(ann, engines, door):
    boss = door.login("boss")
    door.user("cid")
    refused = move(boss, "t-1", to="nobody", account="ann")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "ACCOUNT_UNKNOWN")
    assert refused.json()["error"]["field"] == "toAccount"
    found = boss.ask("GET", "/balance/transfer?clientOrderId=t-1&account=ann").json()
    assert (found["state"], found["why"]) == ("RETURNED", "ACCOUNT_UNKNOWN: account=nobody")
    assert owned(engines) == {"usd": 100, "eur": 0}
    too_much = move(ann, "t-2", "100.01").json()["error"]
    assert too_much["code"] == "FUNDS_INSUFFICIENT"


def test_what_is_no_transfer_of_ones_own_is_refused(ann, engines):
    for more, status, field in (
        ({"toGroup": "inr"}, 400, "toGroup"), ({"fromGroup": "inr"}, 400, "fromGroup"),
        ({"toGroup": "usd"}, 400, "toGroup"), ({"toGroup": ""}, 400, "toGroup"),
        ({"toAccount": "boss"}, 403, None), ({"account": "boss"}, 422, "account"),
    ):  # fmt: skip
        answer = move(ann, "t-1", **more)
        assert answer.status_code == status, (more, answer.text)
        assert answer.json()["error"].get("field") == field
    assert owned(engines) == {"usd": 100, "eur": 0}
    assert ann.ask("GET", "/balance/transfer?clientOrderId=t-1").status_code == 404


def test_while_the_other_group_is_out_of_reach_money_is_in_flight(
    ann, engines, door, config, tmp_path, started
):
    # given an engine that is gone
    boss = door.login("boss")
    before = boss.ask("GET", "/admin/money").json()
    assert (before["conserved"], before["transfers"]) == (True, [])
    assert {"asset": "A", "owned": "100", "inFlight": "0", "paidIn": "100"} in before["assets"]
    engines["eur"].stop()
    wait_for(lambda: not door.oms.links["eur"].alive)

    # when money is to go there
    answer = move(ann, "t-1")

    # then it is said to be in flight, to the user and to operators
    assert answer.json()["state"] == "IN_FLIGHT", answer.text
    money = boss.ask("GET", "/admin/money").json()
    assert (money["conserved"], money["silent"]) == (None, ["eur"])
    assert [each["clientOrderId"] for each in money["transfers"]] == ["t-1"]
    [asset] = [each for each in money["groups"][0]["assets"] if each["asset"] == "A"]
    assert (asset["owned"], asset["inFlight"], asset["paidIn"]) == ("70", "30", "100")

    # and arrives once the engine is back, though the api that began it is gone
    door.stop()
    engines["eur"] = started(engine, tmp_path, config, "eur")
    other = started(Door, config, tmp_path / "other")
    wait_for(lambda: owned(engines) == {"usd": 70, "eur": 30}, 20)
    wait_for(lambda: not engines["usd"].oms.transfers().result(30))
    assert stands(other.login("ann"), "t-1")["state"] == "DONE"
    after = other.login("boss").ask("GET", "/admin/money").json()
    assert (after["conserved"], after["transfers"], after["silent"]) == (True, [], [])


def test_what_an_account_has_is_told_without_the_group_that_is_away(
    door, ann, engines, config, tmp_path, started
):
    """It is named; a deposit to the other one is answered, too."""
    # given money in both groups, and an engine that is gone
    assert move(ann, "t-1").json()["state"] == "DONE"
    assert ann.ask("GET", "/balance").json()["silent"] == []
    engines["eur"].stop()
    wait_for(lambda: not door.oms.links["eur"].alive)

    # when somebody asks, and pays in what is the other group's
    told = ann.ask("GET", "/balance").json()
    paid = {"asset": "A", "amount": "5", "account": "ann", "clientOrderId": "d-1"}
    deposited = door.login("boss").ask("POST", "/balance/deposit", paid)

    # then they are told of that one, and a client of the library gets no half of it as a whole
    assert told == {
        "account": "ann", "balances": [{"asset": "A", "available": "70", "reserved": "0"}],
        "silent": ["eur"],
    }  # fmt: skip
    assert deposited.status_code == 200, deposited.text
    assert deposited.json()["balances"][0]["available"] == "75"
    assert deposited.json()["silent"] == ["eur"]
    with Client(door.server.urls[0], user="ann", password=PASSWORD) as client:
        with pytest.raises(ServerError, match="group eur is out of reach") as caught:
            client.balances("ann")
        assert caught.value.code == "UNAVAILABLE"

        # and of both once it is back; of none while neither is there
        engines["eur"] = started(engine, tmp_path, config, "eur")
        wait_for(lambda: ann.ask("GET", "/balance").json().get("silent") == [])
        assert client.balances("ann") == {"A": (Decimal(105), Decimal(0))}
    for each in engines.values():
        each.stop()
    wait_for(lambda: not any(link.alive for link in door.oms.links.values()))
    assert ann.ask("GET", "/balance").status_code == 503


def test_who_signs_up_or_in_while_a_group_is_away_has_an_account_there_later(
    door, engines, config, tmp_path, started
):
    # given a group whose engine is away, which is not the one that has the users
    engines["eur"].stop()
    wait_for(lambda: not door.oms.links["eur"].alive)

    # when somebody becomes a user, and signs in
    ann = door.user("ann")

    # then they are in, with an account in the group that is there
    assert ann.ask("GET", "/me").json()["accounts"] == ["ann"]
    assert "ann" in engines["usd"].oms.dispatcher.desk.ledger.accounts

    # and in the other one with the first login behind its return
    engines["eur"] = started(engine, tmp_path, config, "eur")
    wait_for(lambda: door.oms.links["eur"].alive)
    door.login("ann")
    assert "ann" in engines["eur"].oms.dispatcher.desk.ledger.accounts


def test_redis_may_lose_all_it_has_amid_transfers(config, engines, started, server, tmp_path):
    """Two apis; each transfer is asked for until it is answered. The journals agree in the end."""
    # given an account with money in the first group
    apis = [started(api, config) for _ in range(2)]
    create = FundsRequest(account="ann", client_order_id="c", action=FundsAction.CREATE)
    for request in (create, deposit("ann", "A", 1000, "d")):
        assert not apis[0].submit(request).result(10).refused

    # when Redis is killed and comes back with nothing, while transfers go there, back and nowhere
    def transfer(number):
        groups = ("usd", "eur") if number % 3 else ("eur", "usd")
        return FundsRequest(
            account="ann", client_order_id=f"t-{number}", action=FundsAction.TRANSFER, asset="A",
            amount=7, to_account="ann" if number % 4 else "nobody", from_group=groups[0],
            to_group=groups[1],
        )  # fmt: skip

    left, told = dict.fromkeys(range(40)), {}
    asked = {number: apis[number % 2].submit(transfer(number)) for number in left}
    wait_for(lambda: any(future.done() for future in asked.values()))
    server.kill()
    server.start()
    while left:
        for number in list(left):
            try:
                told[number] = asked[number].result(30)
                del left[number]
            except (TransportError, OutcomeUnknownError, TimeoutError):
                asked[number] = apis[number % 2].submit(transfer(number))

    # then all of them end, each as it was told
    wait_for(lambda: not any(each.oms.transfers().result(30) for each in engines.values()), 30)
    for number, response in told.items():
        state = apis[0].transfer("ann", f"t-{number}").state
        assert state == ("REFUSED" if response.refused else "DONE" if number % 4 else "RETURNED"), (
            number
        )
    assert sum(owned(engines).values()) == 1000
    for each in engines.values():
        each.stop()
    stores = [
        PersistentStorage(tmp_path / f"engine-{name}" / DATABASE, read_only=True)
        for name in engines
    ]
    assert conserved(stores, "A") > 5


def test_a_broadcast_drives_nothing(config, engines, started):
    listens = started(Broadcast, config)
    listens.start()
    wait_for(lambda: all(link.alive for link in listens.links.values()))
    oms = engines["usd"].oms
    for request in (
        FundsRequest(account="ann", client_order_id="c", action=FundsAction.CREATE),
        deposit("ann", "A", 100, "d"),
        FundsRequest(
            account="ann", client_order_id="t", action=FundsAction.TRANSFER, asset="A", amount=5,
            to_account="ann", from_group="usd", to_group="eur",
        ),
    ):  # fmt: skip
        assert not oms.submit(request).result(10).refused
    assert [each.amount for each in listens.transfers().result(30)] == [Decimal(5)]
    assert "oms-transfers" not in {worker._thread.name for worker in listens._workers}
