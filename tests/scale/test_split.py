"""Orders through Redis: what a client of the front door sees is what the engine's journal has."""

import gc

import httpx
import pytest

from tests.scale.servers import wait_for


def test_an_order_goes_through_redis_and_its_answer_comes_back(split):
    """Two users trade; each is told, and so is everybody."""
    # given two users and a resting order
    ann, bob = split.user("ann"), split.user("bob")
    rested = ann.sell("2", "100")
    assert rested.status_code == 201, rested.text

    # when the other buys a part of it
    taken = bob.buy("0.5", "100")

    # then both sides, book, trades and balances tell of it
    assert taken.json()["status"] == "FILLED"
    found = ann.ask("GET", f"/orders/{rested.json()['orderId']}").json()
    assert (found["status"], found["fills"][0]["quantity"]) == ("PARTIALLY_FILLED", "0.5")
    book = split.http.get("/depth", params={"symbol": "BTC_USD"}).json()
    assert book["asks"] == [["100", "1.5"]]
    [trade] = split.http.get("/trades", params={"symbol": "BTC_USD"}).json()["trades"]
    assert trade["quantity"] == "0.5"


def test_the_same_id_gives_one_order(split):
    ann = split.user("ann")
    first = ann.buy("1", "100", clientOrderId="a-1")
    again = ann.buy("1", "100", clientOrderId="a-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json()["orderId"] == again.json()["orderId"]


@pytest.mark.parametrize(("said", "code"), [("ok", 200), ("silent", 503), ("DISK_FULL", 503)])
def test_ready_says_how_the_postgres_of_a_group_is(split, said, code):
    """As its engine says: here of a journal in a file, which says so all the same."""
    assert split.http.get("/ready").json()["parts"]["group main"]["postgres"] is None
    split.oms._postgres = lambda _silent_ns: said
    answer = split.http.get("/ready")
    part = answer.json()["parts"]["group main"]
    assert (answer.status_code, part["postgres"], part["ready"]) == (code, said, code == 200)


def test_ready_names_each_group_and_how_it_is_reached(split, server):
    """/ready of an api tells of Redis and of the engine by group."""
    # given an api whose engine serves
    found = split.http.get("/ready")
    assert found.status_code == 200, found.text
    told = found.json()["parts"]["group main"]
    assert (told["ready"], told["redis"], told["engine"]) == (True, "ok", "alive")

    # when Redis is gone
    server.kill()
    wait_for(lambda: split.remote.home.circuit.open)

    # then the api is not ready, and says which group it does not reach, and why
    gone = split.http.get("/ready")
    assert gone.status_code == 503, gone.text
    told = gone.json()["parts"]["group main"]
    assert (told["ready"], told["redis"]) == (False, "open")
    assert "Redis" in told["why"]

    # and is ready again when Redis is back
    server.start()
    wait_for(lambda: split.http.get("/ready").status_code == 200)


def test_a_look_at_an_engine_that_is_given_up_is_not_complained_of_later(split, caplog):
    """Once what it asked has failed, too."""
    split.engine.stop()
    wait_for(lambda: not split.remote.home.alive)
    answer = httpx.get(split.url + "/ready")
    assert answer.status_code == 503
    assert "no answer within 1 s" in answer.json()["parts"]["engine"]["why"]
    split.remote.stop()
    assert httpx.get(split.url + "/health").status_code == 200
    gc.collect()
    assert [each.getMessage() for each in caplog.records if each.name == "asyncio"] == []
