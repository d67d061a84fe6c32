"""Orders through Redis: what a client of the front door sees is what the engine's journal has."""


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
