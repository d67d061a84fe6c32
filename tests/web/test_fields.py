"""Which field is wrong: said of every refusal that is about one, by its name in the request."""

import re

import pytest

from oms.gateways.web.fields import field_of, reason_told
from oms.reject_reasons import RejectReason

S = "BTC_USD"
ORDER = {"symbol": S, "side": "BUY", "price": "9", "quantity": "1"}
FAR = "9" * 19
MONEY = {"asset": "USD", "amount": "1"}
# Words of the program, which no client has said.
INTERNAL = re.compile(
    r"_ns\b|\borig=|regex|\bstr\b|\bint\b|<\w+\.|\^\[|\boco_|client_order_id|_price\b"
)

OF_TRADERS = (
    ("POST", "/order", {**ORDER, "price": "0.001"}, "price"),
    ("POST", "/order", {**ORDER, "quantity": "0"}, "quantity"),
    ("POST", "/order", {**ORDER, "symbol": "NO"}, "symbol"),
    ("POST", "/order", {**ORDER, "timeInForce": "GTD", "expireTime": "5"}, "expireTime"),
    ("POST", "/order", {**ORDER, "timeInForce": "GTD", "expireTime": "-5"}, "expireTime"),
    ("POST", "/order", {**ORDER, "timeInForce": "GTD", "expireTime": FAR}, "expireTime"),
    ("POST", "/order", {**ORDER, "quantity": "9", "displayQuantity": "0.0001"}, "displayQuantity"),
    ("POST", "/order", {**ORDER, "minQuantity": "5"}, "minQuantity"),
    ("POST", "/order", {**ORDER, "ocoWith": "zz"}, "ocoWith"),
    ("POST", "/order", {**ORDER, "postOnly": "REJECT", "timeInForce": "IOC"}, "postOnly"),
    ("POST", "/order", {**ORDER, "clientOrderId": "dup"}, "clientOrderId"),
    ("POST", "/order/test", {**ORDER, "price": "0.001"}, "price"),
    ("POST", "/orders", [ORDER, {**ORDER, "price": "x"}], "[1].price"),
    ("POST", "/orders", [ORDER, {**ORDER, "price": None}], "[1].price"),
    ("POST", "/orders", [{**ORDER, "clientOrderId": "\u20ac"}], "[0].clientOrderId"),
    ("DELETE", "/orders/%E2%82%AC", None, "origClientOrderId"),
    ("DELETE", "/order?orderId=300", None, None),
    ("POST", "/funds", {**MONEY, "amount": "-5"}, "amount"),
    ("POST", "/funds", {**MONEY, "amount": "0.000000000001"}, "amount"),
    ("POST", "/funds", {**MONEY, "asset": "XXX"}, "asset"),
    ("POST", "/balance/withdraw", {**MONEY, "amount": "1000000000"}, None),
    ("POST", "/balance/transfer", {**MONEY, "toAccount": "zoe"}, "toAccount"),
    ("POST", "/keys", {"name": "n", "scopes": ["read"], "ends": "5"}, "ends"),
    ("POST", "/keys", {"name": "n", "scopes": ["read"], "ends": FAR}, "ends"),
    ("POST", "/keys", {"name": "", "scopes": ["read"]}, "name"),
    ("POST", "/keys", {"name": "n", "scopes": []}, "scopes"),
    ("POST", "/keys", {"name": "n", "scopes": [5]}, "scopes[0]"),
    ("DELETE", "/keys/%22", None, "id"),
    ("GET", f"/candles?symbol={S}&start=-5", None, "start"),
    ("GET", f"/candles?symbol={S}&interval=7x", None, "interval"),
    ("GET", f"/trade/history?symbol={S}&before=%E2%82%AC", None, "before"),
    ("GET", "/orders?before=-1", None, "before"),
    ("GET", "/orders/open?limit=0", None, "limit"),
)
OF_OPERATORS = (
    ("POST", "/admin/limits", {"scope": "ALL", "name": "nonsense", "value": "1"}, "name"),
    ("POST", "/admin/limits", {"scope": "ALL", "name": "open_orders_max", "value": "x"}, "value"),
    (
        "POST", "/admin/limits",
        {"scope": "ACCOUNT", "target": "ann", "name": "restricted_symbols", "value": "NO"}, "value",
    ),
    (
        "POST", "/admin/limits",
        {"scope": "GROUP", "target": "no", "name": "open_orders_max", "value": "1"}, "target",
    ),
    ("POST", "/admin/halt", {"scope": "SYMBOL", "target": "NO"}, "target"),
    ("POST", "/admin/halt", {"scope": "GROUP", "target": "no"}, "scope"),
    ("POST", "/admin/phase", {"symbol": "NO", "phase": "CONTINUOUS"}, "symbol"),
    ("POST", "/admin/bust", {"symbol": S, "executionId": "1-1"}, "executionId"),
    ("POST", "/admin/command", {
        "action": "BUST", "scope": "SYMBOL", "target": S, "name": "1-1"}, "name"),
    ("POST", "/admin/correct", {"symbol": S, "executionId": "TRADE", "price": "0.001"}, "price"),
    ("POST", "/admin/correct", {"symbol": S, "executionId": "TRADE", "quantity": "-1"}, "quantity"),
    ("POST", "/admin/correct", {"symbol": S, "executionId": "TRADE"}, "price"),
    ("POST", "/admin/markets", {"symbol": S, "settings": {"price_scale": "2"}}, "symbol"),
    ("POST", "/admin/markets", {"symbol": "N_USD", "settings": {"price_scale": "x"}}, "settings"),
    ("PATCH", "/admin/markets", {"symbol": S, "settings": {"tick_size": "-1"}}, "settings"),
    ("PATCH", "/admin/markets", {"symbol": "NO", "settings": {"tick_size": "1"}}, "symbol"),
    ("DELETE", "/admin/markets", {"symbol": "NO"}, "symbol"),
    ("POST", "/admin/accounts", {"account": "ann"}, "account"),
    ("PATCH", "/admin/users/a%20b", {"role": "viewer"}, "name"),
    ("POST", "/admin/users", {
        "username": "a b", "email": "q@x", "password": "a long one"}, "username"),
    ("POST", "/admin/users", {
        "username": "ann", "email": "q@x", "password": "a long one"}, "username"),
    ("POST", "/admin/users", {
        "username": "q", "email": "ann@example.com", "password": "a long one"}, "email"),
)  # fmt: skip


def test_every_refusal_names_the_field_in_the_clients_words(door):
    """Whoever finds it out: the reading of a body, the library, the exchange; and in no other
    words than the client's."""
    ann, boss = door.user("ann"), door.user("boss", "operator")
    ann.sell("1", "100", clientOrderId="dup")
    trade = boss.buy("1", "100").json()["fills"][0]["executionId"]
    wrong = []
    for user, cases in ((ann, OF_TRADERS), (boss, OF_OPERATORS)):
        for method, path, body, field in cases:
            if isinstance(body, dict) and body.get("executionId") == "TRADE":
                body = {**body, "executionId": trade}
            answer = user.ask(method, path, body)
            error = answer.json().get("error", {})
            said = error.get("message", "")
            if answer.status_code not in (400, 404, 409, 422):
                wrong.append((method, path, body, answer.status_code, answer.text[:200]))
            elif error["field"] != field or INTERNAL.search(said):
                wrong.append((method, path, body, error["field"], said))
            elif answer.json().get("order", {}).get("text", said) != said:
                wrong.append((method, path, body, answer.json()["order"]["text"], said))
    assert not wrong, "\n".join(map(str, wrong))


def test_a_new_password_is_told_by_its_own_name(door):
    ann = door.user("ann")
    said = {"oldPassword": "correct horse battery staple", "newPassword": "short"}
    assert ann.ask("POST", "/password", said).json()["error"]["field"] == "newPassword"
    said = {"username": "ann", "code": "x", "newPassword": "short"}
    told = door.http.post("/password/reset", json=said).json()["error"]
    assert (told["field"], "short" in told["message"]) == ("newPassword", True)


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("PRICE_INVALID: price: expected above 0", "price", None),
        ("PRICE_INVALID: stop_price: no", "stopPrice", "PRICE_INVALID: stopPrice: no"),
        ("EXPIRE_TIME_INVALID: expire_ns=5, now=9", "expireTime",
         "EXPIRE_TIME_INVALID: expireTime=5, now=9"),
        ("UNKNOWN_ORDER: orig=300", "", "UNKNOWN_ORDER: order=300"),
        ("FUNDS_INSUFFICIENT: asset=USD, needed=2, available=1", "", None),
        ("COMMAND_INVALID: the second factor is off", "rest", None),
        ("COMMAND_INVALID: tick_size: expected above 0", "rest", None),
        ("COMMAND_INVALID: trade=7-2, no such trade", "executionId", None),
        ("COMMAND_INVALID: trade=7-2: price: no", "price", None),
        ("MESSAGES_EXCEED_MAXIMUM: symbol=X", "", None),
        ("KILL_SWITCH: orig is a word, too", "", None),
        ("VENUE_REJECTED", "", None),
    ],
)  # fmt: skip
def test_the_first_key_of_a_context_is_the_field(text, field, told):
    reason = RejectReason(text.partition(":")[0])
    assert field_of(reason, text, "rest") == field
    assert reason_told(text) == (told or text)
