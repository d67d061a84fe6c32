"""What was: orders, trades, money and positions, page by page, the same after a restart."""

from decimal import Decimal

import pytest

from tests.web.doors import front_config

S = "BTC_USD"


def pages(user, path, rows, limit):
    """All rows of a route, through all of its pages."""
    found, following = [], None
    while True:
        joined = "&" if "?" in path else "?"
        cursor = f"&before={following}" if following else ""
        answer = user.ask("GET", f"{path}{joined}limit={limit}{cursor}")
        assert answer.status_code == 200, answer.text
        found += answer.json()[rows]
        following = answer.json()["next"]
        if following is None:
            return found


def dealt(door, *trades):
    ann, bob = door.user("ann"), door.user("bob")
    for price, quantity in trades:
        ann.sell(quantity, price)
        bob.buy(quantity, price)
    return ann, bob


def test_all_orders_are_there_with_what_they_were_for(door):
    """Open, filled, canceled and refused; newest first, of one's own account alone."""
    ann, bob = door.user("ann"), door.user("bob")
    ann.buy("1", "100", clientOrderId="filled")
    bob.sell("1", "100", clientOrderId="other")
    ann.buy("2", "90.50", clientOrderId="open", timeInForce="DAY")
    ann.buy("3", "80", clientOrderId="gone")
    ann.ask("DELETE", "/order?clientOrderId=gone")
    ann.buy("1", "0.001", clientOrderId="refused")
    told = pages(ann, "/orders", "orders", limit=1)
    assert [(each["clientOrderId"], each["status"]) for each in told] == [
        ("refused", "REJECTED"), ("gone", "CANCELED"), ("open", "NEW"), ("filled", "FILLED"),
    ]  # fmt: skip
    assert [(e["type"], e["timeInForce"], e["price"], e["quantity"]) for e in told[1:]] == [
        ("LIMIT", "GTC", "80", "3"), ("LIMIT", "DAY", "90.5", "2"), ("LIMIT", "GTC", "100", "1"),
    ]  # fmt: skip
    assert [e["clientOrderId"] for e in pages(ann, "/orders?status=NEW", "orders", 2)] == ["open"]
    assert pages(ann, "/orders?side=SELL", "orders", 2) == []
    assert ann.ask("GET", "/orders?account=bob").status_code == 422


def test_a_canceled_order_keeps_its_own_id(door):
    """The cancel's id is told beside it, and any id finds the order."""
    ann = door.user("ann")
    ann.buy("1", "100", clientOrderId="own")
    ann.ask("PATCH", "/order", {"origClientOrderId": "own", "clientOrderId": "m", "price": "99.5"})
    body = {"origClientOrderId": "own", "clientOrderId": "c"}
    canceled = ann.ask("DELETE", "/order", body).json()
    assert (canceled["clientOrderId"], canceled["requestClientOrderId"]) == ("own", "c")
    assert (canceled["price"], canceled["quantity"], canceled["status"]) == (
        "99.5", "1", "CANCELED",
    )  # fmt: skip
    for name in ("own", "m", "c"):
        told = ann.ask("GET", f"/order?clientOrderId={name}").json()
        assert (told["clientOrderId"], told["price"]) == ("own", "99.5")


def test_the_trades_of_a_market_are_everybodys(door):
    ann, _ = dealt(door, ("100", "1"), ("101", "2"), ("102", "3"))
    answer = door.http.get(f"/trade/history?symbol={S}&limit=2").json()
    assert [(each["price"], each["quantity"]) for each in answer["trades"]] == [
        ("102", "3"), ("101", "2"),
    ]  # fmt: skip
    assert {"account", "orderId", "fee"}.isdisjoint(answer["trades"][0])
    prices = [each["price"] for each in pages(ann, f"/trade/history?symbol={S}", "trades", 2)]
    assert prices == ["102", "101", "100"]


def test_ones_own_trades_have_side_and_fee(door):
    ann, bob = dealt(door, ("100", "1"), ("101", "2"))
    eve = door.user("eve")
    told = pages(bob, "/trade/history?mine=true", "trades", 1)
    assert [(each["side"], each["price"], each["account"]) for each in told] == [
        ("BUY", "101", "bob"), ("BUY", "100", "bob"),
    ]  # fmt: skip
    assert [e["side"] for e in pages(ann, "/trade/history?mine=true", "trades", 9)] == ["SELL"] * 2
    assert told[0]["feeAsset"] == "USD"
    assert pages(eve, "/trade/history?mine=true", "trades", 9) == []
    assert eve.ask("GET", "/trade/history?mine=true&account=bob").status_code == 422


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("", 400, "symbol"),
        (f"?symbol={S}&account=ann", 400, "account"),
        ("?mine=true", 401, None),
        (f"?symbol={S}&before=x", 400, "before"), ("?symbol=NO", 404, "symbol"),
        (f"?symbol={S}&mine=maybe", 400, "mine"),
    ],
)  # fmt: skip
def test_a_history_that_cannot_be_asked_for(door, query, status, field):
    answer = door.http.get(f"/trade/history{query}")
    assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)


def test_a_busted_trade_is_told_as_it_stands(door):
    ann, bob = dealt(door, ("100", "1"), ("101", "2"))
    boss = door.user("boss", role="operator")
    newest = door.http.get(f"/trade/history?symbol={S}").json()["trades"][0]
    body = {"symbol": S, "executionId": newest["executionId"], "why": "a mistake"}
    assert boss.ask("POST", "/admin/bust", body).status_code == 200
    again = door.http.get(f"/trade/history?symbol={S}").json()["trades"][0]
    assert (again["executionId"], again["status"], again["quantity"]) == (
        newest["executionId"], "BUSTED", "0",
    )  # fmt: skip
    assert bob.ask("GET", "/positions").json()["positions"][0]["quantity"] == "1"
    kinds = [each["kind"] for each in ann.ask("GET", "/ledger?limit=1").json()["entries"]]
    assert set(kinds) == {"TRADE_BUSTED"}


def test_positions_have_profit_and_loss(door):
    """Bob buys at 100 and 110, sells one at 130: thirty less the average is made."""
    _, bob = dealt(door, ("100", "1"), ("110", "1"))
    carl = door.user("carl")
    carl.buy("1", "130")
    bob.sell("1", "130")
    told = bob.ask("GET", "/positions").json()
    (position,) = told["positions"]
    assert (position["quantity"], position["averageCost"], position["lastPrice"]) == (
        "1", "105", "130",
    )  # fmt: skip
    assert (position["realized"], position["unrealized"]) == ("25", "25")
    assert told["pnl"] == [
        {"asset": "USD", "realized": "25", "unrealized": "25", "fees": "0", "net": "50"}
    ]
    assert door.user("eve").ask("GET", "/positions").json()["positions"] == []


def _named(entry):
    """Execution ids are a group's own, where there are several."""
    return entry.get("group"), entry["executionId"]


def test_the_ledger_adds_up_to_the_balances(door):
    ann, bob = dealt(door, ("100.01", "1"), ("101.5", "0.0301"))
    ann.ask("POST", "/balance/deposit", {"asset": "USD", "amount": 7.5, "clientOrderId": "d"})
    bob.buy("1", "50")  # what is reserved has moved nowhere
    for user in (ann, bob):
        totals = {}
        for each in pages(user, "/ledger", "entries", 2):
            before = totals.get(each["asset"], Decimal(0))
            totals[each["asset"]] = before + Decimal(each["amount"])
        owned = user.ask("GET", "/balance").json()["balances"]
        assert totals == {
            each["asset"]: Decimal(each["available"]) + Decimal(each["reserved"]) for each in owned
        }
        # the limit is of trades and requests, and what one of them moved stands on one page
        entries, before = [], "0"
        while before is not None:
            page = user.ask("GET", f"/ledger?limit=2&before={before}").json()
            named = {_named(each) for each in page["entries"]}
            assert len(named) <= 2
            assert len(page["entries"]) <= 6
            assert named.isdisjoint(map(_named, entries))
            entries += page["entries"]
            before = page["next"]
    newest = ann.ask("GET", "/ledger?limit=1").json()["entries"][0]
    assert (newest["kind"], newest["amount"], newest["clientOrderId"]) == ("DEPOSIT", "7.5", "d")
    assert ann.ask("GET", "/ledger?account=bob").status_code == 422


def test_all_of_it_is_there_after_a_restart(start_door):
    first = start_door()
    ann, _ = dealt(first, ("100", "1"), ("101", "2"))
    paths = ("/orders", "/trade/history?mine=true", "/positions", "/ledger")
    before = [ann.ask("GET", path).json() for path in paths]
    first.stop()
    again = start_door(front_config()).login("ann")
    assert [again.ask("GET", path).json() for path in paths] == before


@pytest.mark.parametrize("path", ["/orders", "/positions", "/ledger"])
def test_nobody_reads_it_without_signing_in(door, path):
    assert door.http.get(path).status_code == 401


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/orders?limit=0", "limit"), ("/orders?limit=1001", "limit"),
        ("/orders?before=99999999999999999999", "before"), ("/orders?status=GONE", "status"),
        ("/ledger?before=-1", "before"), ("/positions?symbol=X", "symbol"),
    ],
)  # fmt: skip
def test_a_page_that_cannot_be_names_its_field(door, path, field):
    answer = door.user("ann").ask("GET", path)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
