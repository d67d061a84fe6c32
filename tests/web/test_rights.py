"""Who may do what: a table of every route and every word of a socket, by role and by whose it is.

A route without a line here fails, and so does a line whose route says another right. Rights are
asked before a body is read, so a body that nothing is done for shows whether they were there.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from oms.gateways.web import sockets, streams
from oms.gateways.web.door import Right
from oms.gateways.web.front import Entry
from oms.requests.access import AccessAction, AccessRequest
from tests.web.clients import next_of, opened, said_to
from tests.web.doors import PASSWORD, FrontDoor, User, front_config
from tests.web.programs import Program

PUBLIC, METRICS, READ, TRADE, ADMIN = Right
MAKER = {"symbol": "BTC_USD", "side": "BUY", "price": "100", "quantity": "1"}
MONEY = {"asset": "USD", "amount": "1"}
CODE = "123456"


@dataclass(frozen=True)
class Line:
    """What a route should be like. said: a body, or what a query says, that is good for its owner;
    for GET and DELETE a query. login: keys may not, whatever their scopes. theirs: fields that
    name what is somebody else's by right."""

    right: Right
    said: dict[str, Any] = field(default_factory=dict)
    login: bool = False
    theirs: tuple[str, ...] = ()


NEW_USER = {"username": "new", "email": "new@example.com", "password": PASSWORD}
WHY = {"why": "a test"}
ROUTES = {
    "GET /": Line(PUBLIC),
    "GET /static/{name}": Line(PUBLIC),
    "GET /static/{folder}/{version}/{name}": Line(PUBLIC),
    "GET /openapi.json": Line(PUBLIC),
    "GET /ws-schema.json": Line(PUBLIC),
    "GET /docs": Line(PUBLIC),
    "GET /markets": Line(PUBLIC),
    "GET /session": Line(PUBLIC),
    "GET /calendar": Line(PUBLIC),
    "GET /depth": Line(PUBLIC, {"symbol": "BTC_USD"}),
    "GET /trades": Line(PUBLIC, {"symbol": "BTC_USD"}),
    "GET /asyncapi.json": Line(PUBLIC),
    "GET /statistics": Line(PUBLIC, {"symbol": "BTC_USD"}),
    "GET /auction": Line(PUBLIC, {"symbol": "BTC_USD"}),
    "GET /ticker": Line(PUBLIC, {"symbol": "BTC_USD"}),
    "GET /time": Line(PUBLIC),
    "GET /candles": Line(PUBLIC, {"symbol": "BTC_USD", "interval": "1m"}),
    "GET /trade/history": Line(PUBLIC, {"symbol": "BTC_USD"}),
    "GET /orders": Line(READ),
    "GET /account": Line(READ),
    "GET /reports": Line(READ, {"after": "0"}),
    "GET /positions": Line(READ),
    "GET /ledger": Line(READ),
    "GET /health": Line(PUBLIC),
    "GET /ready": Line(PUBLIC),
    "GET /metrics": Line(METRICS),
    "POST /order": Line(TRADE, MAKER),
    "POST /order/test": Line(TRADE, MAKER),
    "PATCH /order/test": Line(TRADE, {"price": "99"}),
    "DELETE /order/test": Line(TRADE),
    "PATCH /order": Line(TRADE, {"price": "99"}),
    "DELETE /order": Line(TRADE),
    "GET /order": Line(READ),
    "GET /orders/open": Line(READ),
    "POST /order/cancel_all": Line(TRADE),
    "POST /orders": Line(TRADE),
    "PATCH /orders/{id}": Line(TRADE, {"price": "99"}),
    "DELETE /orders/{id}": Line(TRADE),
    "GET /orders/{id}": Line(READ),
    "GET /balance": Line(READ),
    "POST /balance/deposit": Line(TRADE, MONEY),
    "POST /funds": Line(TRADE, MONEY),
    "POST /balance/withdraw": Line(TRADE, MONEY),
    "POST /balance/transfer": Line(TRADE, {**MONEY, "toAccount": "eve"}, theirs=("to_account",)),
    "GET /balance/transfer": Line(READ, {"clientOrderId": "t"}),
    "POST /signup": Line(PUBLIC, NEW_USER),
    "POST /login": Line(PUBLIC, {"username": "eve", "password": PASSWORD}),
    "POST /signin": Line(PUBLIC, {"username": "eve", "password": PASSWORD}),
    "POST /refresh": Line(PUBLIC, {"refreshToken": "no"}),
    "POST /logout": Line(READ, login=True),
    "GET /logins": Line(READ),
    "DELETE /logins/{id}": Line(READ, login=True),
    "GET /me": Line(READ),
    "POST /password": Line(
        READ, {"oldPassword": PASSWORD, "newPassword": PASSWORD + "!"}, login=True
    ),
    "POST /password/reset": Line(
        PUBLIC, {"username": "eve", "code": "no", "newPassword": PASSWORD}
    ),
    "POST /ticket": Line(READ, login=True),
    "GET /factor": Line(READ, login=True),
    "POST /factor": Line(READ, {"code": CODE}, login=True),
    "DELETE /factor": Line(READ, {"code": CODE}, login=True),
    "GET /keys": Line(READ),
    "POST /keys": Line(READ, {"name": "more", "scopes": ["read"]}, login=True),
    "DELETE /keys/{id}": Line(READ, login=True),
    "GET /admin/users": Line(ADMIN),
    "POST /admin/users": Line(ADMIN, NEW_USER),
    "PATCH /admin/users/{name}": Line(ADMIN, {"role": "operator"}),
    "POST /admin/users/{name}/code": Line(ADMIN),
    "POST /admin/command": Line(ADMIN, {"action": "KILL", **WHY}),
    "POST /admin/halt": Line(ADMIN),
    "POST /admin/resume": Line(ADMIN),
    "POST /admin/kill": Line(ADMIN, WHY),
    "POST /admin/cancel_all": Line(ADMIN, WHY),
    "POST /admin/phase": Line(ADMIN, {"symbol": "BTC_USD", "phase": "CONTINUOUS"}),
    "POST /admin/limits": Line(ADMIN, {"scope": "ALL", "name": "orders_max", "value": "1"}),
    "POST /admin/bust": Line(ADMIN, {"symbol": "BTC_USD", "executionId": "1-1"}),
    "POST /admin/correct": Line(ADMIN, {"symbol": "BTC_USD", "executionId": "1-1", "price": "1"}),
    "POST /admin/markets": Line(ADMIN, {"symbol": "NEW_USD"}),
    "PATCH /admin/markets": Line(ADMIN, {"symbol": "BTC_USD"}),
    "DELETE /admin/markets": Line(ADMIN, {"symbol": "BTC_USD"}),
    "POST /admin/accounts": Line(ADMIN, {"account": "more"}),
    "GET /admin/orders": Line(ADMIN, {"account": "eve"}),
    "GET /admin/status": Line(ADMIN),
    "GET /admin/vitals": Line(ADMIN),
    "GET /admin/halts": Line(ADMIN),
    "GET /admin/digest": Line(ADMIN),
    "GET /admin/money": Line(ADMIN),
    "GET /admin/open": Line(ADMIN),
    "GET /admin/limits": Line(ADMIN, {"account": "eve"}),
    "GET /admin/actions": Line(ADMIN),
    "GET /admin/explain": Line(ADMIN, {"account": "eve", "clientOrderId": "create"}),
}
OPS = {
    "subscribe": PUBLIC, "unsubscribe": PUBLIC, "list": PUBLIC, "ping": PUBLIC, "auth": PUBLIC,
    "order.place": TRADE, "order.test": TRADE, "order.modify": TRADE, "order.cancel": TRADE,
    "order.cancel_all": TRADE, "order.status": READ, "cancelOnDisconnect": TRADE,
}  # fmt: skip
CHANNELS = {
    "depth": PUBLIC, "trades": PUBLIC, "ticker": PUBLIC, "auction": PUBLIC, "markets": PUBLIC,
    "candles": PUBLIC, "session": PUBLIC, "orders": READ, "fills": READ,
    "reports": READ, "balances": READ,
}  # fmt: skip
# Whoever calls -> which rights they have.
CALLERS = {
    "nobody": set(),
    "viewer": {READ},
    "trader": {READ, TRADE},
    "operator": {READ, TRADE, ADMIN, METRICS},
    "a trader's key to read": {READ},
    "a trader's key to trade": {TRADE},
    "a trader's key for all": {READ, TRADE},
    "a viewer's key for all": {READ},
    "an operator's key to read": {READ},
    "an operator's key for all": {READ, TRADE, ADMIN, METRICS},
}
# Fields of bodies and queries that name something of somebody.
NAMING = (
    "account", "to_account", "order_id", "orig_client_order_id", "client_order_id", "oco_with",
)  # fmt: skip
ANNS = {
    "account": "ann", "orig_client_order_id": "a-1", "client_order_id": "a-1", "oco_with": "a-1",
}  # fmt: skip
NOBODYS = {
    "account": "zoe", "order_id": "987654", "orig_client_order_id": "z-1",
    "client_order_id": "z-1", "oco_with": "z-1",
}  # fmt: skip


def route_of(entry: Entry) -> str:
    return f"{entry.method} {entry.path}"


def camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(each.title() for each in more)


def asked(caller: Any, entry: Entry, said: dict[str, Any], **ids: str) -> Any:
    """Call the route. ids: what stands in its path; one that nobody has, if not said."""
    path = re.sub(r"{(\w+)}", lambda found: ids.get(found[1], "987654"), entry.path)
    if entry.body is None and said:
        return caller.ask(entry.method, f"{path}?" + "&".join(f"{k}={v}" for k, v in said.items()))
    return caller.ask(entry.method, path, said if entry.body is not None else None)


class Nobody:
    def __init__(self, door: FrontDoor) -> None:
        self.door = door

    def ask(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body)
        return self.door.http.request(method, path, content=content)


@pytest.fixture
def entries(door) -> tuple[Entry, ...]:
    return door.server.front.entries


def callers_at(door: FrontDoor) -> dict[str, Any]:
    """One of each kind of caller, each a user of their own."""
    every = ["read", "trade", "admin"]
    found: dict[str, Any] = {"nobody": Nobody(door)}
    for role in ("viewer", "trader", "operator"):
        found[role] = door.user(f"the-{role}", role)
    for role, scopes, name in (
        ("trader", ["read"], "a trader's key to read"),
        ("trader", ["trade"], "a trader's key to trade"),
        ("trader", every[:2], "a trader's key for all"),
        ("operator", ["read"], "an operator's key to read"),
        ("operator", every, "an operator's key for all"),
    ):
        found[name] = Program.of(found[role], scopes)
    was_trader = door.user("a-viewer-now")
    found["a viewer's key for all"] = Program.of(was_trader, every[:2])
    operate(door, was_trader.name, AccessAction.SET_ROLE, role="viewer")
    return found


# --- the table ---


def test_every_route_has_a_line_and_says_the_same_right(entries):
    """A new route has no line; one whose right was changed has another."""
    assert {route_of(each): each.right for each in entries} == {
        route: line.right for route, line in ROUTES.items()
    }


def test_every_word_of_a_socket_has_a_line():
    assert set(sockets.OPS) == set(OPS)
    assert set(streams.CHANNELS) == set(CHANNELS)


def test_each_caller_comes_as_far_as_their_rights_on_every_route(door, entries):
    """Nobody is told to sign in (401); whoever is known and may not, is forbidden (403)."""
    callers, wrong = callers_at(door), []
    assert set(callers) == set(CALLERS)
    for entry in entries:
        line = ROUTES[route_of(entry)]
        for name, caller in callers.items():
            by_key = "key" in name
            told = asked(caller, entry, {"noSuchField": "1"})
            may = line.right in CALLERS[name] or line.right is PUBLIC
            if line.right is METRICS and name == "nobody":
                may = True  # this machine asks
            if may and line.login and by_key:
                told = asked(caller, entry, line.said)
                may = False
            denied = told.status_code in (401, 403)
            if denied == may or (denied and (told.status_code == 401) != (name == "nobody")):
                wrong.append((name, route_of(entry), told.status_code, told.text[:80]))
    assert not wrong, "\n".join(map(str, wrong))


def test_each_caller_comes_as_far_as_their_rights_over_a_socket(door):
    """The same rights as over REST; without a token a socket is for what everybody may see."""
    wrong = []
    for name in ("nobody", "viewer", "trader", "operator"):
        user = None if name == "nobody" else door.user(f"the-{name}", name)
        with opened(door, user) as socket:
            for op, right in OPS.items():
                told = said_to(socket, op, params={"noSuchField": "1"})
                may = right is PUBLIC or right in CALLERS[name]
                denied = told.get("error", {}).get("code") in ("UNAUTHORIZED", "FORBIDDEN")
                if denied == may:
                    wrong.append((name, op, told))
            for channel, right in CHANNELS.items():
                of = {"symbol": "BTC_USD"} if channel in streams.OF_SYMBOL else {}
                told = said_to(socket, "subscribe", channel=channel, **of)
                if told["ok"] != (right is PUBLIC or right in CALLERS[name]):
                    wrong.append((name, channel, told))
    assert not wrong, "\n".join(map(str, wrong))


def test_a_socket_opens_for_nobody_whose_token_is_not_good(door):
    """A bad token is no token at all: nothing is opened, not even what is public."""
    with pytest.raises(InvalidStatus) as caught:
        connect(door.ws_url, additional_headers={"authorization": "Bearer no"}).close()
    assert caught.value.response.status_code == 401
    with pytest.raises(InvalidStatus):
        connect(door.ws_url + "?ticket=no").close()


# --- what is somebody else's ---


def naming_cases(entries: tuple[Entry, ...]) -> list[tuple[Entry, str]]:
    """Every route that is not an operator's, with each place where it says whose."""
    found = []
    for entry in entries:
        line = ROUTES[route_of(entry)]
        if line.right is ADMIN:
            continue
        kinds = [kind for kind in (entry.body, entry.query) if kind is not None]
        fields = {name for kind in kinds for name in kind.__struct_fields__}
        found += [(entry, f) for f in NAMING if f in fields and f not in line.theirs]
        found += [(entry, f"{{{name}}}") for name in re.findall(r"{(\w+)}", entry.path)]
    return found


def test_what_is_another_users_answers_like_what_is_not_there(door, entries):
    """On every route and in every field that names an order, an account, a key: the same status,
    the same words; and nothing of the other user's has changed."""
    ann, eve = door.user("ann"), door.user("eve")
    order = ann.buy("1", "100", clientOrderId="a-1").json()
    key = Program.of(ann, ["read", "trade"]).key
    login = ann.ask("GET", "/logins").json()["logins"][0]["id"]
    anns = {**ANNS, "order_id": order["orderId"]}
    before = everything_of(ann)
    cases, different = naming_cases(entries), []
    assert len(cases) > 20
    for entry, field_name in cases:
        told = []
        for whose in (anns, NOBODYS):
            path_id = whose["order_id"]
            if entry.path.startswith("/keys/"):
                path_id = key if whose is anns else "987654-abc"
            if entry.path.startswith("/logins/"):
                path_id = login if whose is anns else "987654-abc"
            said = dict(ROUTES[route_of(entry)].said)
            if not field_name.startswith("{"):
                said[camel(field_name)] = whose[field_name]
            if field_name == "account" and "{" not in entry.path and needs_order(entry):
                said["origClientOrderId"] = "a-1"
            answer = asked(eve, entry, said, id=path_id)
            told.append((answer.status_code, shape(answer.json(), {*whose.values(), path_id})))
        if told[0] != told[1] or "500" in str(told):
            different.append((route_of(entry), field_name, *told))
    assert not different, "\n".join(map(str, different))
    assert everything_of(ann) == before


def needs_order(entry: Entry) -> bool:
    kind = entry.body or entry.query
    return kind is not None and "orig_client_order_id" in kind.__struct_fields__


def shape(told: Any, ids: set[str]) -> Any:
    """An error without the ids that it was given, nor sequences; of anything else its names."""
    if not isinstance(told, dict) or "error" not in told:
        return sorted(told) if isinstance(told, dict) else type(told).__name__
    error = {**told["error"], "requestId": ""}
    for each in sorted(ids, key=len, reverse=True):
        error["message"] = error["message"].replace(each, "*")
    error["message"] = re.sub(r"\d+", "*", error["message"])
    return error


def everything_of(user: User) -> list[Any]:
    paths = ("/orders/open", "/balance", "/keys", "/me")
    return [user.ask("GET", path).json() for path in paths]


def test_a_list_of_orders_may_name_no_other_account(door):
    ann, eve = door.user("ann"), door.user("eve")
    answers = [eve.ask("POST", "/orders", [{**MAKER, "account": who}]) for who in ("ann", "zoe")]
    assert answers[0].status_code == answers[1].status_code
    assert ann.ask("GET", "/orders/open").json()["orders"] == []


def test_over_a_socket_too_what_is_another_users_is_not_there(door):
    ann, eve = door.user("ann"), door.user("eve")
    order_id = ann.buy("1", "100", clientOrderId="a-1").json()["orderId"]
    before, different = everything_of(ann), []
    with opened(door, eve) as socket:
        for op in OPS:
            if not op.startswith("order."):
                continue
            base = {**MAKER} if op in ("order.place", "order.test") else {}
            for name, theirs, absent in (
                ("account", "ann", "zoe"), ("orderId", order_id, "987654"),
                ("origClientOrderId", "a-1", "z-1"),
            ):  # fmt: skip
                more = {"origClientOrderId": "a-1"} if name == "account" and not base else {}
                if op == "order.modify":
                    more["price"] = "99"
                told = [
                    said_to(socket, op, params={**base, **more, name: value})
                    for value in (theirs, absent)
                ]
                if shape(told[0], {theirs}) != shape(told[1], {absent}):
                    different.append((op, name, *told))
        for channel, right in CHANNELS.items():
            if right is not PUBLIC:
                told = [said_to(socket, "subscribe", channel=channel, account=who)
                        for who in ("ann", "zoe")]  # fmt: skip
                assert not told[0]["ok"]
                if shape(told[0], {"ann"}) != shape(told[1], {"zoe"}):
                    different.append((channel, *told))
    assert not different, "\n".join(map(str, different))
    assert everything_of(ann) == before


def test_an_operator_sees_every_account_and_trades_for_none_but_their_own(door, entries):
    # given an account with orders, trades and money, two operators' keys, and a trader
    ann, boss, eve = door.user("ann"), door.user("boss", "operator"), door.user("eve")
    ann.sell("1", "100", clientOrderId="a-1")
    ann.buy("0.5", "100", clientOrderId="a-2", selfTrade="NONE")
    refused = {**MONEY, "toAccount": "ann", "clientOrderId": "t", "fromGroup": "a", "toGroup": "b"}
    assert ann.ask("POST", "/balance/transfer", refused).status_code == 400  # there are no groups
    whole = Program.of(boss, ["read", "trade", "admin"])
    reads = Program.of(boss, ["read"])
    looks = [
        entry for entry in entries
        if entry.method == "GET" and entry.query and not entry.path.startswith("/admin")
        and "account" in entry.query.__struct_fields__
    ]  # fmt: skip
    assert len(looks) >= 8

    # then whoever may do all as an operator is told what the owner is
    for entry in looks:
        said = {**ROUTES[route_of(entry)].said, "account": "ann"}
        if needs_order(entry) and "{" not in entry.path:
            said["origClientOrderId"] = "a-1"
        if "mine" in entry.query.__struct_fields__:
            said["mine"] = "true"
        own = asked(ann, entry, said, id="a-1")
        assert own.status_code == 200, own.text
        for caller in (boss, whole):
            assert asked(caller, entry, said, id="a-1").json() == own.json(), entry.path
        for caller in (reads, eve):
            refused = asked(caller, entry, said, id="a-1").json()
            assert refused["error"]["code"] == "ACCOUNT_UNKNOWN", entry.path

    # and hears it over a socket, but has no order placed, changed or canceled
    with opened(door, boss) as socket:
        for channel in streams.OF_ACCOUNT:
            assert said_to(socket, "subscribe", channel=channel, account="ann")["ok"]
        ann.buy("1", "90", clientOrderId="a-3")
        assert next_of(socket, "orders")["data"]["clientOrderId"] == "a-3"
    for method, path, body in (
        ("POST", "/order", MAKER), ("PATCH", "/order", {"orderId": "1", "price": "1"}),
        ("DELETE", "/order", {"orderId": "1"}), ("POST", "/order/cancel_all", {}),
    ):  # fmt: skip
        refused = boss.ask(method, path, {**body, "account": "ann"})
        assert refused.json()["error"]["code"] == "ACCOUNT_UNKNOWN", path


def test_nothing_private_reaches_a_socket_that_did_not_say_who_it_is(door):
    """user_id in the address names somebody, and proves nothing."""
    ann = door.user("ann")
    with connect(door.ws_url + "?user_id=ann") as socket:
        welcome = json.loads(socket.recv(10))
        assert (welcome["authenticated"], welcome["user"]) == (False, None)
        for channel in streams.OF_ACCOUNT:
            told = said_to(socket, "subscribe", channel=channel, account="ann")
            assert told["error"]["code"] == "UNAUTHORIZED"
        said_to(socket, "subscribe", channel="trades", symbol="BTC_USD")
        ann.sell("1", "100")
        ann.buy("1", "100", selfTrade="NONE")
        trade = next_of(socket, "trades")
    assert '"ann"' not in json.dumps(trade)


# --- what nobody may give themselves ---


EXTRA = ("role", "accounts", "account", "user", "userId", "scopes", "locked", "isAdmin", "origin",
         "family", "hash", "credential", "admin", "orderIdOverride")  # fmt: skip


def test_no_body_takes_a_field_that_is_not_its_own(door, entries):
    """Role, accounts, rights of another cannot be slipped in: each is refused by its name."""
    operator, taken = door.user("boss", "operator"), []
    for entry in entries:
        if entry.body is None:
            continue
        own = {camel(name) for name in entry.body.__struct_fields__}
        for name in EXTRA:
            if name in own:
                continue
            answer = asked(operator, entry, {**ROUTES[route_of(entry)].said, name: "operator"})
            error = answer.json().get("error", {})
            if answer.status_code != 400 or error["field"] != name:
                taken.append((route_of(entry), name, answer.status_code, answer.text[:80]))
    assert not taken, "\n".join(map(str, taken))


def test_no_question_takes_a_body(door, entries):
    operator, taken = door.user("boss", "operator"), []
    for entry in entries:
        if entry.method == "GET":
            path = re.sub(r"{\w+}", "987654", entry.path)
            answer = operator.ask("GET", path, {"side": "BUY"})
            error = answer.json().get("error", {}) if answer.status_code == 400 else {}
            if error.get("field") != "body":
                taken.append((entry.path, answer.status_code, answer.text[:80]))
    assert not taken, "\n".join(map(str, taken))


def test_a_new_user_is_a_trader_of_one_account_whatever_they_say(door):
    for more in ({"role": "operator"}, {"accounts": ["boss"]}, {"account": "boss"}):
        assert door.http.post("/signup", json={**NEW_USER, **more}).status_code == 400
    for name in ("operator", "gate", "fees", "rounding"):
        said = {**NEW_USER, "username": name}
        assert door.http.post("/signup", json=said).status_code in (409, 422), name
    door.user("boss", "operator")
    assert door.http.post("/signup", json={**NEW_USER, "username": "BOSS"}).status_code == 409
    new = door.user("new")
    told = new.ask("GET", "/me").json()
    assert (told["role"], told["accounts"]) == ("trader", ["new"])
    changed = new.ask("PATCH", "/admin/users/new", {"role": "operator"})
    assert changed.status_code == 403


def test_a_key_has_no_more_rights_than_its_user(door):
    """Also one that asks for them; and it cannot make another key, or end its owner's logins."""
    viewer = door.user("vic")
    key = Program.of(viewer, ["read", "trade"])
    operate(door, "vic", AccessAction.SET_ROLE, role="viewer")
    assert key.ask("GET", "/me").json()["scopes"] == ["read"]
    every = {"name": "n", "scopes": ["read", "trade"]}
    assert viewer.ask("POST", "/keys", every).status_code == 403
    assert key.ask("POST", "/order", MAKER).status_code == 403
    assert key.ask("GET", "/admin/status").status_code == 403
    assert key.ask("POST", "/keys", {"name": "n", "scopes": ["read"]}).status_code == 403
    assert key.ask("POST", "/logout", {}).status_code == 403
    assert viewer.ask("GET", "/me").status_code == 200


def test_where_money_is_real_only_operators_move_it(start_door):
    """Of whatever account; a trader has no way to, and cannot name another's account."""
    door = start_door(front_config(play_money=0))
    boss, ann = door.user("boss", "operator"), door.user("ann")
    ways = ("/balance/deposit", "/funds", "/balance/withdraw", "/balance/transfer")
    for path in ways:
        for account in ("ann", "boss"):
            said = {**MONEY, "account": account}
            said |= {"toAccount": "boss"} if path.endswith("transfer") else {}
            assert ann.ask("POST", path, said).status_code == 403, path
    assert boss.ask("POST", "/funds", {**MONEY, "account": "ann"}).status_code == 200
    back = {**MONEY, "account": "ann", "toAccount": "boss"}
    assert boss.ask("POST", "/balance/transfer", back).status_code == 200


# --- rights that change while somebody is signed in ---


def operate(door: FrontDoor, name: str, action: AccessAction, **facts: str) -> None:
    """As the daemon's owner would, by the library."""
    request = AccessRequest(
        account="operator", client_order_id=f"{action}-{name}-{len(facts)}", action=action,
        user=name, facts=facts or None,
    )  # fmt: skip
    assert not door.oms.submit(request).result(10).refused


def test_a_role_that_is_taken_away_is_gone_with_the_next_request(door):
    boss, ann = door.user("boss", "operator"), door.user("ann")
    assert boss.ask("GET", "/admin/status").status_code == 200
    assert ann.buy("1", "100").status_code == 201
    assert boss.ask("PATCH", "/admin/users/ann", {"role": "viewer"}).status_code == 200
    assert ann.buy("1", "100").status_code == 403
    assert ann.ask("GET", "/orders/open").status_code == 200
    operate(door, "boss", AccessAction.SET_ROLE, role="trader")
    assert boss.ask("GET", "/admin/status").status_code == 403


def test_a_refused_change_of_a_user_changes_nothing(door):
    """Role, accounts and lock are one request: if one of them cannot be, none is."""
    boss, ann = door.user("boss", "operator"), door.user("ann")
    before = boss.ask("GET", "/admin/users").json()
    for more in ({"accounts": ["operator"]}, {"accounts": ["ann", "fees"], "locked": True}):
        answer = boss.ask("PATCH", "/admin/users/ann", {"role": "operator", **more})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ACCOUNT_TAKEN")
        assert boss.ask("GET", "/admin/users").json() == before
    assert ann.ask("GET", "/admin/status").status_code == 403
    whole = {"role": "viewer", "accounts": ["ann", "more"], "locked": True, "why": "a test"}
    told = boss.ask("PATCH", "/admin/users/ann", whole).json()
    assert (told["role"], told["accounts"], told["locked"]) == ("viewer", ["ann", "more"], "a test")
    told = boss.ask("PATCH", "/admin/users/ann", {"locked": False}).json()
    assert (told["role"], told["accounts"], told["locked"]) == ("viewer", ["ann", "more"], None)


def test_a_list_has_the_items_that_it_says(door):
    """A comma in one would make two of it, and an empty one would make the list empty: all
    accounts gone, or a key that is good from everywhere."""
    boss, ann = door.user("boss", "operator"), door.user("ann")
    before = everything_of(ann)
    for items in (["a,b"], [""], ["ann", ""], ["ann", "ann"], ["x" * 65], [","]):
        answer = boss.ask("PATCH", "/admin/users/ann", {"accounts": items})
        assert answer.status_code == 400, items
        assert answer.json()["error"]["field"].startswith("accounts")
        answer = boss.ask("POST", "/admin/users", {**NEW_USER, "accounts": items})
        assert answer.status_code == 400, items
    for items in (["192.0.2.0/24,0.0.0.0/0"], [""], ["192.0.2.0/24", ""]):
        said = {"name": "n", "scopes": ["read"], "addresses": items}
        answer = ann.ask("POST", "/keys", said)
        assert answer.status_code == 400, items
        assert answer.json()["error"]["field"].startswith("addresses")
    assert everything_of(ann) == before


def test_who_is_locked_out_is_let_in_by_nothing(door):
    """Neither token, key nor password; unlocked, the key is good again and the token is not."""
    boss, ann = door.user("boss", "operator"), door.user("ann")
    key = Program.of(ann, ["read", "trade"])
    assert boss.ask("PATCH", "/admin/users/ann", {"locked": True}).status_code == 200
    assert ann.ask("GET", "/me").status_code == 401
    assert ann.buy("1", "100").status_code == 401
    assert key.ask("GET", "/me").status_code == 401
    refresh = {"refreshToken": ann.tokens["refreshToken"]}
    assert door.http.post("/refresh", json=refresh).status_code in (401, 403)
    said = {"username": "ann", "password": PASSWORD}
    assert door.http.post("/login", json=said).status_code == 403
    assert door.http.post("/login", json={**said, "password": "no"}).status_code == 401
    assert boss.ask("PATCH", "/admin/users/ann", {"locked": False}).status_code == 200
    assert ann.ask("GET", "/me").status_code == 401
    assert key.ask("GET", "/me").status_code == 200
    assert door.login("ann").ask("GET", "/me").status_code == 200


def test_one_user_trades_for_several_accounts_as_long_as_they_have_them(door):
    """The first one where none is named; one that was taken away is like one that there is not."""
    boss = door.user("boss", "operator")
    for account in ("fund-a", "fund-b"):
        assert boss.ask("POST", "/admin/accounts", {"account": account}).status_code == 201
        money = {**MONEY, "amount": "1000", "account": account}
        assert boss.ask("POST", "/balance/deposit", money).status_code == 200
    ann = door.user("ann")
    accounts = {"accounts": ["fund-a", "fund-b"]}
    assert boss.ask("PATCH", "/admin/users/ann", accounts).status_code == 200
    assert ann.buy("1", "100", clientOrderId="1").json()["account"] == "fund-a"
    second = ann.buy("1", "100", clientOrderId="1", account="fund-b")
    assert (second.status_code, second.json()["account"]) == (201, "fund-b")
    assert ann.buy("1", "100", account="ann").json()["error"]["code"] == "ACCOUNT_UNKNOWN"
    found = ann.ask("GET", "/orders/open?account=fund-b").json()["orders"]
    assert [each["orderId"] for each in found] == [second.json()["orderId"]]
    assert boss.ask("PATCH", "/admin/users/ann", {"accounts": ["fund-a"]}).status_code == 200
    gone = ann.ask("GET", f"/order?account=fund-b&orderId={second.json()['orderId']}")
    absent = ann.ask("GET", "/order?account=fund-c&orderId=1")
    assert gone.status_code == absent.status_code
    assert gone.json()["error"]["code"] == absent.json()["error"]["code"]
