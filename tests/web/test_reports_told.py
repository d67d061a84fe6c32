"""Reports: what the library says of a request, said over the network without loss."""

import pytest

from oms.requests import OrderRequest
from oms.responses import OrderResponse
from tests.web.conftest import GROUPS
from tests.web.wires import Wire

of_one_group = pytest.mark.skipif(GROUPS, reason="tests/scale/test_one_door.py names the group")


def told_of(response: OrderResponse) -> dict:
    """What is looked at here of a report."""
    report, instrument = response.report, response.instrument
    return {
        "seq": str(report.journal_seq), "number": report.number, "type": report.type,
        "status": report.state, "clientOrderId": report.client_order_id,
        "lastQuantity": f"{response.last_quantity:f}", "text": report.reason,
        "notional": f"{response.notional:f}" if instrument else "0",
    }  # fmt: skip


def same(told: list[dict], responses) -> None:
    expected = [told_of(each) for each in responses]
    assert [{name: each[name] for name in expected[0]} for each in told] == expected


def test_an_order_is_answered_with_its_reports_where_they_are_asked_for(door):
    """A buy that takes from two sells, a refusal, a repeat; and without the word, none."""
    ann, bob = door.user("ann"), door.user("bob")
    bob.sell("1", "99")
    assert "reports" not in bob.sell("1", "100").json()
    answer = ann.buy("3", "100", clientOrderId="a-1", reports=True)
    assert [each["type"] for each in answer.json()["reports"]] == ["NEW", "TRADE", "TRADE"]
    request = OrderRequest.new("ann", "a-1", "BTC_USD", "BUY", "3", "100")
    again = ann.buy("3", "100", clientOrderId="a-1", reports=True)
    assert again.status_code == 200
    repeated = door.oms.submit(request).result(10)
    [told] = again.json()["reports"]
    assert (told["type"], told["filledQuantity"]) == ("ORDER_STATUS", "2")
    assert told["notional"] == f"{repeated.notional:f}" == "199"
    refused = ann.buy("3", "100.001", clientOrderId="a-2", reports=True).json()
    assert refused["error"]["code"] == "PRICE_INVALID"
    assert [each["type"] for each in refused["reports"]] == ["REJECTED"]
    late = ann.ask("DELETE", "/order?origClientOrderId=none&clientOrderId=a-3&reports=true").json()
    assert [each["type"] for each in late["reports"]] == ["CANCEL_REJECTED"]
    assert "reports" not in ann.ask("DELETE", "/order?origClientOrderId=none").json()


def test_changes_cancels_and_money_are_answered_with_their_reports(door):
    ann = door.user("ann")
    ann.buy("3", "90", clientOrderId="a-1")

    def types(method, path, **said):
        answer = ann.ask(method, path, {"reports": True, **said})
        assert answer.status_code == 200, answer.text
        return [each["type"] for each in answer.json()["reports"]]

    assert types("PATCH", "/order", origClientOrderId="a-1", price="91") == ["REPLACED"]
    assert types("DELETE", "/order", origClientOrderId="a-1") == ["CANCELED"]
    assert types("POST", "/order/cancel_all") == ["COMMAND_DONE"]
    assert types("POST", "/funds", asset="USD", amount="5") == ["COMMAND_DONE"]
    poor = ann.ask(
        "POST", "/balance/withdraw", {"asset": "USD", "amount": "9000000", "reports": True}
    )
    assert [each["type"] for each in poor.json()["reports"]] == ["COMMAND_REJECTED"]


def test_a_long_answer_has_the_first_report_and_the_latest(door, monkeypatch):
    monkeypatch.setattr("oms.gateways.web.told.REPORTS_MAX", 3)
    ann, bob = door.user("ann"), door.user("bob")
    for _ in range(4):
        bob.sell("1", "99")
    told = ann.buy("4", "99", reports=True).json()["reports"]
    assert [(each["type"], each["openQuantity"]) for each in told] == [
        ("NEW", "4"), ("TRADE", "1"), ("TRADE", "0"),
    ]  # fmt: skip


@of_one_group
def test_an_account_is_told_as_of_one_instant(door):
    """Its open orders, as the library tells them, what it owns, and the sequence of both."""
    ann = door.user("ann")
    ann.buy("3", "90", clientOrderId="a-1")
    told = ann.ask("GET", "/account").json()
    now = door.oms.account_snapshot("ann").result(10)
    same(told["reports"], now.orders)
    assert int(told["seq"]) == now.seq
    owned = {each["asset"]: each["reserved"] for each in told["balances"]}
    assert owned["USD"] == f"{now.balances['USD'][1]:f}" == "270"


@of_one_group
def test_what_happened_meanwhile_is_told_page_by_page(door):
    """Orders and money alike; each report once, whatever the size of a page."""
    ann, bob = door.user("ann"), door.user("bob")
    seq = int(ann.ask("GET", "/account").json()["seq"])
    ann.buy("3", "90", clientOrderId="a-1")
    bob.sell("3", "90")
    ann.ask("POST", "/funds", {"asset": "USD", "amount": "5"})
    latest = door.oms.journal_seq().result(10)
    expected = door.oms.reports_after("ann", seq, latest)
    assert [each.type for each in expected] == ["NEW", "TRADE", "COMMAND_DONE"]
    for limit in (1, 2, 3, 1_000):
        found, after = [], str(seq)
        while after is not None:
            page = ann.ask("GET", f"/reports?after={after}&limit={limit}").json()
            assert len(page["reports"]) <= limit
            found += page["reports"]
            after = page["next"]
        same(found, expected)
    assert len(ann.ask("GET", f"/reports?after={seq}&upto={latest - 1}").json()["reports"]) == 2


@of_one_group
def test_what_cannot_be_told_of_the_past_says_why(door, monkeypatch):
    ann = door.user("ann")
    for price in ("90", "91", "92"):
        ann.buy("1", price)
    ahead = ann.ask("GET", "/reports?after=999999").json()
    assert (ahead["reports"], ahead["why"]) == (None, "UNKNOWN_SEQUENCE")
    monkeypatch.setattr("oms.stores.sql_reader.LOOKED_AT_MAX", 2)
    far = ann.ask("GET", "/reports?after=0").json()
    assert (far["reports"], far["why"]) == (None, "TOO_FAR_BACK")
    for after in ("x", "1-x", "9" * 30):
        answer = ann.ask("GET", f"/reports?after={after}")
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, "after")


def test_the_channel_of_reports_has_every_report_live_and_resumed(door):
    """Also those that are about no order, which `orders` leaves out."""
    ann, bob = door.user("ann"), door.user("bob")
    ann.buy("1", "80", clientOrderId="a-0")
    with Wire(door, ann) as wire:
        begun = wire.subscribe("reports")
        assert begun["event"] == "SNAPSHOT"
        assert [each["clientOrderId"] for each in begun["reports"]] == ["a-0"]
        assert {each["asset"] for each in begun["balances"]} >= {"USD"}
        ann.buy("3", "90", clientOrderId="a-1")
        bob.sell("3", "90")
        wire.beat(int(ann.ask("POST", "/funds", {"asset": "USD", "amount": "5"}).json()["seq"]))
        live = wire.events("reports")
    expected = door.oms.reports_after("ann", int(begun["seq"]), 1 << 30)
    same([each["data"] for each in live], expected)
    with Wire(door, ann) as wire:
        resumed = wire.subscribe("reports", fromSeq=begun["seq"])
        assert resumed["event"] == "RESUMED"
        wire.beat(int(resumed["seq"]))
        assert wire.events("reports") == live


def test_a_market_is_told_with_all_that_an_instrument_has(door):
    told = {each["symbol"]: each for each in door.http.get("/markets").json()["markets"]}
    btc = door.oms.instruments()["BTC_USD"]
    assert (told["BTC_USD"]["quoteScale"], told["BTC_USD"]["marketOrder"]) == (
        btc.quote_scale, btc.market_order.value,
    )  # fmt: skip


def test_a_delisted_market_is_told_where_it_is_asked_for(door):
    olga = door.user("olga", "operator")
    assert olga.ask("DELETE", "/admin/markets?symbol=TATA_INR").status_code == 200
    assert "TATA_INR" not in door.http.get("/markets").text
    told = door.http.get("/markets?delisted=true").json()["markets"]
    assert [(e["symbol"], e["phase"] is None) for e in told] == [
        ("BTC_USD", False), ("TATA_INR", True),
    ]  # fmt: skip
