"""What an operator sees: figures over time, who may trade, what was done, the story of an order;
and what a user sees of their logins."""

from datetime import UTC, datetime

import pytest

from oms.clock import NANOS, wall_ns_of
from oms.config import SessionConfig
from tests.fakes import config_of
from tests.processes import wait_until
from tests.web.conftest import GROUPS
from tests.web.doors import WEB

S = "BTC_USD"


@pytest.fixture
def boss(door):
    return door.user("boss", role="operator")


def told(user, path):
    answer = user.ask("GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_figures_are_kept_over_time(door, boss, monkeypatch):
    """A row for each step of time, of what happened since the one before."""
    from oms.gateways.web import vitals

    monkeypatch.setattr(vitals, "STEP_NS", 0)  # each second, when the door sweeps
    ann = door.user("ann")
    wait_until(lambda: len(told(boss, "/admin/vitals")["rows"]) > 1)
    last = told(boss, "/admin/vitals")["rows"][-1]["time"]

    # when two orders are placed, and one is refused
    ann.buy("1", "100")
    ann.buy("1", "100")
    ann.buy("1", "100.001")

    # then rows behind the last one tell of them, and so does the last minute
    def rows():
        return told(boss, f"/admin/vitals?after={last}")["rows"]

    wait_until(lambda: sum(row["rejects"] for row in rows()) == 1)
    assert rows()[-1]["openOrders"] == 2
    assert all(int(row["time"]) > int(last) for row in rows())
    found = told(boss, f"/admin/vitals?after={last}")
    assert found["minute"]["total"]["count"] >= 2
    assert sum(each["count"] for each in found["answers"]) == found["minute"]["total"]["count"]
    spent = found["minute"]["total"]
    ranks = [int(spent[name]) for name in ("p50", "p90", "p99", "p999", "max")]
    assert ranks == sorted(ranks)
    assert len(told(boss, "/admin/vitals?limit=1")["rows"]) == 1


def test_percentiles_are_the_nearest_rank():
    """Ten durations of 1 to 10 ns: the ninth is the 90th percentile."""
    from oms.gateways.web.vitals import hop_told, less

    counted = {(ns, ns): 1 for ns in range(1, 11)}
    assert hop_told(counted) == {
        "count": 10, "p50": "5", "p90": "9", "p99": "10", "p999": "10", "max": "10"
    }  # fmt: skip
    assert hop_told({})["p50"] is None
    assert less({(1, 1): 3, (2, 2): 1}, {(1, 1): 1, (2, 2): 1}) == {(1, 1): 2}


@pytest.mark.skipif(GROUPS, reason="each group has a digest of its own")
def test_the_digest_tells_whether_anything_has_changed(door, boss):
    ann = door.user("ann")
    first = told(boss, "/admin/digest")
    assert told(boss, "/admin/digest") == first
    ann.buy("1", "90")
    then = told(boss, "/admin/digest")
    assert int(then["seq"]) > int(first["seq"])
    assert then["digest"] != first["digest"]


def test_who_may_trade_is_told(door, boss):
    assert told(boss, "/admin/halts") == {
        "everybody": "ACTIVE", "why": "", "accounts": {}, "symbols": {}
    }  # fmt: skip
    door.user("ann")
    halt = {"scope": "ACCOUNT", "target": "ann", "reducing": True}
    assert boss.ask("POST", "/admin/halt", halt).status_code == 200
    assert boss.ask("POST", "/admin/kill", {"why": "a drill"}).status_code == 200
    assert told(boss, "/admin/halts") == {
        "everybody": "HALTED", "why": "a drill", "accounts": {"ann": "REDUCING"}, "symbols": {}
    }  # fmt: skip


def test_what_a_kill_switch_would_cancel_is_counted(door, boss):
    for name in ("ann", "bob"):
        assert door.user(name).buy("1", "10").status_code == 201
    assert told(boss, "/admin/open") == {"orders": 2, "accounts": 2, "symbols": 1}
    assert told(boss, "/admin/open?scope=ACCOUNT&target=bob")["orders"] == 1
    assert told(boss, "/admin/open?scope=SYMBOL&target=TATA_INR")["orders"] == 0
    for query in ("scope=ALL&target=ann", "scope=ACCOUNT", "scope=GROUP&target=x"):
        assert boss.ask("GET", f"/admin/open?{query}").status_code == 400


def test_an_accounts_limits_are_told(door, boss):
    door.user("ann")
    limit = {"scope": "ACCOUNT", "target": "ann", "name": "open_orders_max", "value": "7"}
    assert boss.ask("POST", "/admin/limits", limit).status_code == 200
    assert told(boss, "/admin/limits?account=ann") == {
        "account": "ann", "groups": [], "tier": "", "limits": {"open_orders_max": "7"}
    }  # fmt: skip


@pytest.mark.skipif(GROUPS, reason="what is about all markets is told by each group")
def test_what_operators_did_is_told_with_who_and_why(door, boss):
    """Newest first, page by page; a refused command, too."""
    door.user("ann")
    boss.ask("POST", "/admin/halt", {"scope": "SYMBOL", "target": S, "why": "a look at it"})
    boss.ask("POST", "/admin/limits", {"scope": "ALL", "name": "open_orders_max", "value": "9"})
    boss.ask("POST", "/admin/cancel_all", {"why": "the end"})
    boss.ask("PATCH", "/admin/users/ann", {"locked": True, "why": "left us"})
    boss.ask("PATCH", "/admin/markets", {"symbol": S, "settings": {"tick_size": "0.05"}})
    boss.ask("POST", "/admin/limits", {"scope": "GROUP", "target": "no", "name": "credit_max",
                                       "value": "1"})  # fmt: skip
    found = told(boss, "/admin/actions?limit=6")
    rows = [
        (a["user"], a["gateway"], a["action"], a["scope"], a["target"], a["why"], a["done"])
        for a in found["actions"]
    ]
    assert rows == [
        ("boss", "rest", "SET_LIMIT", "GROUP", "no", "", False),
        ("boss", "rest", "SET_MARKET", "SYMBOL", S, "", True),
        ("boss", "rest", "CHANGE_USER", "USER", "ann", "left us", True),
        ("boss", "rest", "MASS_CANCEL", "ALL", "", "the end", True),
        ("boss", "rest", "SET_LIMIT", "ALL", "", "", True),
        ("boss", "rest", "SET_TRADING", "SYMBOL", S, "a look at it", True),
    ]
    assert (found["actions"][4]["name"], found["actions"][4]["value"]) == ("open_orders_max", "9")
    assert found["actions"][0]["text"].startswith("COMMAND_INVALID")
    first = told(boss, "/admin/actions?limit=2")
    second = told(boss, f"/admin/actions?limit=4&before={first['next']}")
    assert first["actions"] + second["actions"] == found["actions"]
    assert all(len(a["seq"]) and int(a["time"]) > 0 for a in found["actions"])


def test_a_bust_and_a_correction_name_the_trade(door, boss):
    ann, bob = door.user("ann"), door.user("bob")
    ann.sell("2", "100")
    trade = bob.buy("2", "100").json()["fills"][0]["executionId"]
    boss.ask("POST", "/admin/correct", {"symbol": S, "executionId": trade, "price": "90"})
    boss.ask("POST", "/admin/bust", {"symbol": S, "executionId": trade, "why": "no such trade"})
    rows = told(boss, "/admin/actions?limit=2")["actions"]
    assert [(a["action"], a["target"], a["name"], a["why"]) for a in rows] == [
        ("BUST", S, trade, "no such trade"), ("CORRECT", S, trade, ""),
    ]  # fmt: skip


def test_any_order_is_explained(door, boss):
    """By its number, by any client order id it has had, by the execution id of its trade."""
    ann, bob = door.user("ann"), door.user("bob")
    order = ann.sell("2", "100", clientOrderId="s-1").json()
    trade = bob.buy("2", "100").json()["fills"][0]["executionId"]
    by_number = told(boss, f"/admin/explain?orderId={order['orderId']}")
    by_name = told(boss, "/admin/explain?account=ann&clientOrderId=s-1")
    assert by_number == by_name
    assert (by_name["orderId"], by_name["account"]) == (order["orderId"], "ann")
    texts = [line["text"] for line in by_name["lines"]]
    assert texts[0].startswith('request "s-1": SELL 2')
    assert any("traded 2 at 100" in text and "of bob" in text for text in texts)
    assert by_name["ending"] == "the order is over: FILLED, 2 filled"
    assert told(boss, f"/admin/explain?executionId={trade}")["account"] in ("ann", "bob")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400), ("clientOrderId=s-1", 400), ("orderId=1&executionId=1-1", 400),
        ("orderId=999999", 404), ("account=ann&clientOrderId=no", 404), ("executionId=9-9", 404),
    ],
)  # fmt: skip
def test_what_names_no_order_is_refused(boss, query, status):
    assert boss.ask("GET", f"/admin/explain?{query}").status_code == status


def test_the_calendar_tells_sessions_with_their_phases(start_door):
    """Hours of a week with auctions, from a Friday afternoon on: the rest of it, then Monday."""
    session = SessionConfig(
        hours="Mon-Fri 09:00-17:00", pre_open_ns=600 * NANOS, opening_auction_ns=300 * NANOS
    )
    door = start_door(config_of(session=session, web=WEB))
    friday = wall_ns_of(datetime(2026, 11, 27, 12, tzinfo=UTC))
    found = door.http.get(f"/calendar?start={friday}&days=3").json()
    assert [each["tradingDate"] for each in found["windows"]] == ["2026-11-27", "2026-11-30"]
    monday = found["windows"][1]
    assert [each["phase"] for each in monday["phases"]] == [
        "PRE_OPEN", "OPENING_AUCTION", "CONTINUOUS",
    ]  # fmt: skip
    opens = int(monday["opens"])
    after_s = [(int(each["from"]) - opens) // NANOS for each in monday["phases"]]
    assert after_s == [0, 600, 900]


def test_a_market_that_never_closes_has_days(door):
    found = door.http.get("/calendar?days=2").json()
    assert found["alwaysOpen"] is True
    assert 2 <= len(found["windows"]) <= 3


def test_a_user_sees_their_logins_and_ends_one(door):
    """The other one's token is good no more; one's own goes on."""
    ann = door.user("ann")
    other = door.login("ann")
    found = told(ann, "/logins")["logins"]
    assert [each["current"] for each in found] == [True, False]
    assert int(found[0]["began"]) <= int(found[1]["began"]) < int(found[0]["ends"])
    assert ann.ask("DELETE", f"/logins/{found[1]['id']}").status_code == 200
    assert other.ask("GET", "/me").status_code == 401
    assert len(told(ann, "/logins")["logins"]) == 1
    assert ann.ask("DELETE", f"/logins/{found[1]['id']}").status_code >= 400
