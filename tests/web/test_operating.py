"""What an operator may do over REST: halt, kill, limit, correct, list; and that nobody else may."""

import pytest

from oms.requests import FundsAction
from oms.requests.codec import why_of

S = "BTC_USD"


@pytest.fixture
def boss(door):
    return door.user("boss", role="operator")


def do(user, path, body, method="POST", status=200):
    answer = user.ask(method, f"/admin/{path}", body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_trading_is_halted_for_one_symbol_and_goes_on(door, boss):
    ann = door.user("ann")
    do(boss, "halt", {"scope": "SYMBOL", "target": S, "why": "a look at it"})
    refused = ann.buy("1", "10")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "MARKET_STATE")
    do(boss, "resume", {"scope": "SYMBOL", "target": S})
    assert ann.buy("1", "10").status_code == 201


def test_an_account_may_only_reduce(door, boss):
    ann = door.user("ann")
    do(boss, "halt", {"scope": "ACCOUNT", "target": "ann", "reducing": True})
    assert ann.buy("1", "10").json()["error"]["code"] == "REDUCING_ONLY"


def test_the_kill_switch_cancels_and_stays_until_it_is_released(door, boss):
    ann = door.user("ann")
    ann.buy("1", "10", clientOrderId="a")
    first = do(boss, "kill", {"why": "something is wrong", "clientOrderId": "k"})
    assert ann.ask("GET", "/order?clientOrderId=a").json()["status"] == "CANCELED"
    assert ann.buy("1", "10").json()["error"]["code"] == "KILL_SWITCH"
    again = boss.ask("POST", "/admin/kill", {"why": "something is wrong", "clientOrderId": "k"})
    assert again.json()["seq"] == first["seq"]
    assert again.headers["idempotency-replayed"] == "true"
    do(boss, "resume", {})
    assert ann.buy("1", "10").status_code == 201


@pytest.mark.parametrize(
    ("body", "left"),
    [({}, 0), ({"scope": "ACCOUNT", "target": "ann"}, 1), ({"scope": "SYMBOL", "target": S}, 0)],
)
def test_open_orders_are_canceled_and_trading_goes_on(door, boss, body, left):
    ann, bob = door.user("ann"), door.user("bob")
    ann.buy("1", "10")
    bob.buy("1", "10")
    do(boss, "cancel_all", {"why": "end of the trial", **body})
    assert ann.ask("GET", "/orders/open").json()["orders"] == []
    assert len(bob.ask("GET", "/orders/open").json()["orders"]) == left
    assert ann.buy("1", "10").status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "ALL", "target": S}, "target"),
        ({"scope": "SYMBOL"}, "target"),
        ({"scope": "ACCOUNT", "target": ""}, "target"),
        ({"scope": "GROUP", "target": "g1"}, "scope"),
    ],
)
def test_a_mass_cancel_of_an_unclear_scope_cancels_nothing(door, boss, body, field):
    ann = door.user("ann")
    ann.buy("1", "10")
    told = do(boss, "cancel_all", {"why": "a slip", **body}, status=400)
    assert (told["error"]["code"], told["error"]["field"]) == ("MALFORMED", field)
    assert len(ann.ask("GET", "/orders/open").json()["orders"]) == 1


def test_a_mass_cancel_is_recorded_with_its_reason_and_repeated_as_one(door, boss):
    # given a mass cancel of everybody
    door.user("ann").buy("1", "10")
    body = {"why": "end of the trial", "clientOrderId": "all-1"}
    first = do(boss, "cancel_all", body)

    # then its reason is in the journal, and a repeat is told as one
    line = door.oms.store.line_of(int(first["seq"]))
    assert (why_of(line), line[-1][0]) == ("end of the trial", "boss")
    told = boss.ask("GET", "/admin/actions").json()["actions"][0]
    assert (told["action"], told["user"], told["why"]) == ("MASS_CANCEL", "boss", body["why"])
    again = boss.ask("POST", "/admin/cancel_all", body)
    assert again.json() == first
    assert again.headers["idempotency-replayed"] == "true"

    # and with another reason it is another request
    told = do(boss, "cancel_all", {**body, "why": "a slip"}, status=409)
    assert told["error"]["code"] == "DUPLICATE_ID"


def test_a_phase_is_forced_and_told(door, boss):
    do(boss, "phase", {"symbol": S, "phase": "PRE_OPEN"})
    assert door.http.get("/markets").json()["markets"][0]["phase"] == "PRE_OPEN"


def test_a_limit_holds_at_once_and_is_taken_back(door, boss):
    ann = door.user("ann")
    limit = {"scope": "ACCOUNT", "target": "ann", "name": "open_orders_max", "value": "1"}
    do(boss, "limits", limit)
    assert [ann.buy("1", "10").status_code for _ in range(2)] == [201, 422]
    do(boss, "limits", {**limit, "value": ""})
    assert ann.buy("1", "10").status_code == 201


def test_a_trade_is_corrected_and_busted(door, boss):
    ann, bob = door.user("ann"), door.user("bob")
    ann.sell("2", "100")
    trade = bob.buy("2", "100").json()["fills"][0]["executionId"]
    do(boss, "correct", {"symbol": S, "executionId": trade, "price": "90"})
    assert door.http.get(f"/trades?symbol={S}").json()["trades"][0]["price"] == "90"
    do(boss, "bust", {"symbol": S, "executionId": trade, "why": "no such trade"})
    assert door.http.get(f"/trades?symbol={S}").json()["trades"] == []


def test_numbers_of_json_will_do_where_texts_do(door, boss):
    """Taken exactly as they stand, in settings, limits and corrections."""
    ann, bob = door.user("ann"), door.user("bob")
    ann.sell("2", "100")
    trade = bob.buy("2", "100").json()["fills"][0]["executionId"]
    do(boss, "correct", {"symbol": S, "executionId": trade, "price": 90.5, "quantity": 1e0})
    told = door.http.get(f"/trades?symbol={S}").json()["trades"][0]
    assert (told["price"], told["quantity"]) == ("90.5", "1")

    settings = {"price_scale": 2, "quantity_scale": 0, "tick_size": 0.05}
    do(boss, "markets", {"symbol": "NEW_USD", "settings": settings})
    markets = {each["symbol"]: each for each in door.http.get("/markets").json()["markets"]}
    assert markets["NEW_USD"]["tickSize"] == "0.05"

    limit = {"scope": "ACCOUNT", "target": "ann", "name": "open_orders_max", "value": 1}
    do(boss, "limits", limit)
    assert [ann.buy("1", "10").status_code for _ in range(2)] == [201, 422]
    do(boss, "command", {"action": "SET_LIMIT", **limit, "value": 2})
    assert ann.buy("1", "10").status_code == 201


@pytest.mark.parametrize("wrong", [True, None, [2], {"a": 2}])
def test_a_setting_that_is_neither_text_nor_number_is_refused(boss, wrong):
    told = do(boss, "markets", {"symbol": "N", "settings": {"price_scale": wrong}}, status=400)
    assert told["error"]["field"].startswith("settings")
    limit = {"scope": "ALL", "name": "open_orders_max", "value": wrong}
    assert do(boss, "limits", limit, status=400)["error"]["field"] == "value"


def test_a_market_is_listed_changed_and_delisted(door, boss):
    settings = {"price_scale": "2", "quantity_scale": "0"}
    do(boss, "markets", {"symbol": "NEW_USD", "settings": settings})
    do(boss, "markets", {"symbol": "NEW_USD", "settings": {"tick_size": "0.05"}}, "PATCH")
    told = {each["symbol"]: each for each in door.http.get("/markets").json()["markets"]}
    assert told["NEW_USD"]["tickSize"] == "0.05"
    do(boss, "markets", {"symbol": "NEW_USD"}, "DELETE")
    symbols = [each["symbol"] for each in door.http.get("/markets").json()["markets"]]
    assert "NEW_USD" not in symbols


def test_each_wrong_setting_of_a_new_market_is_told_in_one_sentence(boss):
    settings = {"price_scale": "x", "lot_size": "-1"}
    answer = boss.ask("POST", "/admin/markets", {"symbol": "NEW_USD", "settings": settings})
    error = answer.json()["error"]
    assert (answer.status_code, error["field"]) == (400, "settings")
    assert error["message"] == (
        "COMMAND_INVALID: lot_size: expected a number above 0, such as 0.05, was '-1'; "
        "price_scale: expected a whole number from 0 to 12, was 'x'"
    )


def test_an_account_that_no_list_could_name_is_not_created(door, boss):
    """A user's accounts are a list, separated by commas. One that is there stays."""
    answer = boss.ask("POST", "/admin/accounts", {"account": "a,b"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (
        400,
        "COMMAND_INVALID",
        "account",
    )
    assert error["message"] == "COMMAND_INVALID: account: expected no comma in it, was 'a,b'"
    door.oms.dispatcher.desk.ledger.move(FundsAction.CREATE, "c,d", "", 0, "")  # as earlier
    there = boss.ask("POST", "/admin/accounts", {"account": "c,d"}).json()["error"]
    assert there["code"] == "ACCOUNT_EXISTS"


def test_an_account_is_created_and_its_orders_are_seen(door, boss):
    body = {"account": "fund", "clientOrderId": "new"}
    first = do(boss, "accounts", body, status=201)
    assert first["account"] == "fund"
    again = boss.ask("POST", "/admin/accounts", body)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json() == first
    door.user("ann").buy("1", "10.5")
    answer = boss.ask("GET", "/admin/orders?account=ann").json()
    assert [(each["price"], each["quantity"]) for each in answer["orders"]] == [("10.5", "1")]


def test_any_command_and_the_status(door, boss):
    command = {"action": "SET_TRADING", "value": "HALTED", "scope": "SYMBOL", "target": S}
    do(boss, "command", command)
    assert door.user("ann").buy("1", "10").json()["error"]["code"] == "MARKET_STATE"
    assert boss.ask("GET", "/admin/status").json()["health"] == "ok"


def test_a_command_that_cannot_be_is_refused(boss):
    told = do(boss, "limits", {"scope": "SYMBOL", "name": "nonsense", "value": "1"}, status=400)
    assert told["error"]["code"] == "MALFORMED"
    told = do(boss, "bust", {"symbol": S, "executionId": "1-1"}, status=400)
    assert told["error"]["code"] == "COMMAND_INVALID"


def test_nobody_else_may(door):
    ann = door.user("ann")
    for path in ("halt", "kill", "phase", "limits", "bust", "markets", "accounts", "command"):
        assert ann.ask("POST", f"/admin/{path}", {}).status_code == 403
    assert door.http.get("/admin/status").status_code == 401
