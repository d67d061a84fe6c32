"""Balances over REST, and what moves them: play money in a trial, an operator's hand elsewhere."""

import pytest

from tests.web.doors import front_config


def owned(user, account=None, asset="USD"):
    query = f"?account={account}" if account else ""
    told = user.ask("GET", f"/balance{query}").json()["balances"]
    return next((each["available"] for each in told if each["asset"] == asset), "0")


@pytest.mark.parametrize("path", ["/balance/deposit", "/funds"])
def test_play_money_is_paid_in_once_for_each_id(door, path):
    ann = door.user("ann")
    body = {"asset": "USD", "amount": "12.5", "clientOrderId": "d-1"}
    first, again = (ann.ask("POST", path, body) for _ in range(2))
    assert (first.status_code, first.headers.get("idempotency-replayed")) == (200, None)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert door.oms.store.line_of(int(first.json()["seq"]))[2] == "d-1"
    assert again.json() == first.json()
    assert owned(ann) == "100012.5"
    other = ann.ask("POST", path, {**body, "amount": "13"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "DUPLICATE_ID")


def test_money_goes_out_and_over_to_another_account(door):
    ann, bob = door.user("ann"), door.user("bob")
    assert ann.ask("POST", "/balance/withdraw", {"asset": "USD", "amount": 1000}).status_code == 200
    moved = {"asset": "USD", "amount": "9000", "toAccount": "bob", "clientOrderId": "t-1"}
    first, again = (ann.ask("POST", "/balance/transfer", moved) for _ in range(2))
    assert (first.status_code, again.json()) == (200, first.json())
    assert (owned(ann), owned(bob)) == ("90000", "109000")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("withdraw", {"asset": "USD", "amount": "100000.01"}, 422, "FUNDS_INSUFFICIENT"),
        ("withdraw", {"asset": "USD", "amount": "-1"}, 400, "AMOUNT_INVALID"),
        ("withdraw", {"asset": "USD", "amount": "0"}, 400, "AMOUNT_INVALID"),
        ("deposit", {"asset": "USD"}, 400, "MALFORMED"),
        ("deposit", {"asset": "USD", "amount": "1", "account": "bob"}, 422, "ACCOUNT_UNKNOWN"),
        ("transfer", {"asset": "USD", "amount": "1"}, 400, "MALFORMED"),
        ("transfer", {"asset": "USD", "amount": "1", "toAccount": "no"}, 422, "ACCOUNT_UNKNOWN"),
    ],
)
def test_what_cannot_be_moved_stays(door, path, body, status, code):
    ann, _ = door.user("ann"), door.user("bob")
    answer = ann.ask("POST", f"/balance/{path}", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert owned(ann) == "100000"


def test_without_play_money_an_operator_pays_in(start_door):
    """To anybody's account; and nobody else sees another's."""
    door = start_door(front_config(play_money=0))
    ann, boss = door.user("ann"), door.user("boss", role="operator")
    body = {"asset": "USD", "amount": "5"}
    assert ann.ask("POST", "/balance/deposit", body).status_code == 403
    paid = boss.ask("POST", "/balance/deposit", {**body, "account": "ann"})
    assert (paid.status_code, owned(ann)) == (200, "5")
    assert owned(boss, "ann") == "5"
    assert ann.ask("GET", "/balance?account=boss").status_code == 422
