"""The description says what is: schemathesis asks all of it, and nothing answers otherwise."""

import pytest

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.core.result import Ok  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

from tests.web.doors import FrontDoor  # noqa: E402


def refused(context, response, case):
    """As schemathesis has it; to it, a query that is too long (414) counts as accepted."""
    if response.status_code == 414:
        return None
    return checks.negative_data_rejection(context, response, case)


# Left out is positive_data_acceptance: a well-formed order of a symbol that nobody trades is
# rightly refused.
CHECKS = [
    not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_headers_conformance, checks.response_schema_conformance,
    refused, checks.unsupported_method,
]  # fmt: skip
EXAMPLES = 4
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
ASKED = ("NewOrder", "Change", "Named", "CancelAll", "Amount", "Transfer")
PLAIN = {"symbol", "side", "type", "price", "quantity", "timeInForce", "clientOrderId", "hold"}
PRICE = {"enum": ["1", "2.5", 100, "0.01"]}
LAST = ("post_logout",)  # what it asks ends the login that the others need


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """With a user of each role for each mode: what is asked uses up the sign-ups of the address."""
    door = FrontDoor(tmp_path_factory.mktemp("front"))
    door.users = {
        (mode, role): door.user(f"{role}-{mode.value}", role)
        for mode in MODES
        for role in ("trader", "operator")
    }
    yield door
    door.stop()


@pytest.mark.parametrize("mode", MODES)
def test_the_front_door_is_as_it_is_described(front, mode):
    """Every route, with what fits the description and with what does not."""
    document = front.http.get("/openapi.json").json()
    if mode is GenerationMode.POSITIVE:
        sensible(document, front.users[mode, "trader"].name)
    schema = schemathesis.openapi.from_dict(document)
    operations = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    operations.sort(key=lambda each: each.definition.raw["operationId"] in LAST)
    assert len(operations) > 50
    wrong = {}
    for operation in operations:
        role = "operator" if operation.path.startswith("/admin") else "trader"
        user = front.users[mode, role]
        is_open = not operation.definition.raw["security"]
        try:
            ask(operation, mode, front.url, {} if is_open else user.headers)
        except Unsatisfiable:  # there is nothing that could be said wrongly
            assert mode is GenerationMode.NEGATIVE
        except (Exception, BaseExceptionGroup) as error:
            wrong[operation.label] = str(error)[:2_000]
    assert not wrong, "\n\n".join(f"== {label}\n{text}" for label, text in wrong.items())


def sensible(told, account):
    """Fewer values of some fields, so that more of what is asked can be done."""
    few = {
        "symbol": {"enum": ["BTC_USD", "TATA_INR"]}, "account": {"enum": [account, None]},
        "price": PRICE, "quantity": PRICE, "amount": PRICE, "asset": {"enum": ["USD", "BTC"]},
        "interval": {"enum": ["1s", "1d"]},
    }  # fmt: skip
    order = told["components"]["schemas"]["NewOrder"]
    for name in order["properties"].keys() - PLAIN:
        del order["properties"][name]
    for kind in ASKED:
        schema = told["components"]["schemas"][kind]
        for name in few.keys() & schema.get("properties", {}).keys():
            schema["properties"][name] = few[name]
    for methods in told["paths"].values():
        for operation in methods.values():
            for each in operation["parameters"]:
                if each["name"] in few and each["in"] == "query":
                    each["schema"] = {"enum": [v for v in few[each["name"]]["enum"] if v]}


def ask(operation, mode, url, headers):
    """Some examples of one route. Raises what schemathesis finds."""

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def checked(case):
        case.call_and_validate(base_url=url, headers=headers, checks=CHECKS)

    checked()


def test_what_can_be_done_is_answered_as_described(door):
    """A day's work, each answer held to its shape: what chance seldom gets to."""
    ann, boss = door.user("anna"), door.user("bossa", role="operator")
    schema = schemathesis.openapi.from_dict(door.http.get("/openapi.json").json())

    def do(user, method, path, status, body=None, query=None, **ids):
        sent = {} if body is None else {"body": body, "media_type": "application/json"}
        case = schema[path][method].Case(query=query or {}, path_parameters=ids, **sent)
        answer = case.call_and_validate(base_url=door.url, headers=user.headers, checks=CHECKS[:5])
        assert answer.status_code == status, answer.text
        return answer.json()

    order = {"symbol": "BTC_USD", "side": "SELL", "price": "100", "quantity": "2"}
    placed = do(ann, "POST", "/order", 201, {**order, "clientOrderId": "s"})
    do(ann, "POST", "/order", 200, {**order, "clientOrderId": "s"})
    do(ann, "POST", "/order", 409, {**order, "clientOrderId": "s", "quantity": "3"})
    do(ann, "POST", "/order", 422, {**order, "price": "0.001"})
    do(ann, "POST", "/order/test", 200, order)
    terms = {
        "type": "STOP_LIMIT",
        "stopPrice": "90",
        "expireTime": "4" + "0" * 18,
        "selfTrade": "NONE",
    }
    do(ann, "POST", "/order", 201, {**order, **terms, "timeInForce": "GTD"})
    do(ann, "POST", "/orders", 200, [order, {**order, "symbol": "NO"}])
    do(boss, "POST", "/order", 201, {**order, "side": "BUY", "quantity": "0.5"})
    do(ann, "PATCH", "/orders/{id}", 200, {"price": "101"}, id=placed["orderId"])
    do(ann, "GET", "/order", 200, query={"clientOrderId": "s"})
    do(ann, "GET", "/orders", 200)
    do(ann, "GET", "/orders/open", 200)
    do(ann, "GET", "/trade/history", 200, query={"mine": "true"})
    do(ann, "GET", "/positions", 200)
    do(ann, "GET", "/ledger", 200)
    do(ann, "GET", "/ticker", 200, query={"symbol": "BTC_USD"})
    do(ann, "GET", "/candles", 200, query={"symbol": "BTC_USD", "interval": "1h"})
    do(ann, "DELETE", "/orders/{id}", 200, id=placed["orderId"])
    do(ann, "DELETE", "/orders/{id}", 409, id=placed["orderId"])
    do(ann, "POST", "/order/cancel_all", 200, {})
    key = do(ann, "POST", "/keys", 201, {"name": "k", "scopes": ["trade"]})
    do(ann, "GET", "/keys", 200)
    do(ann, "DELETE", "/keys/{id}", 200, id=key["id"])
    do(boss, "POST", "/admin/users/{name}/code", 201, name="anna")
    do(boss, "PATCH", "/admin/users/{name}", 200, {"locked": True, "why": "x"}, name="anna")
    trade = do(boss, "GET", "/trade/history", 200, query={"symbol": "BTC_USD"})["trades"][0]
    body = {"symbol": "BTC_USD", "executionId": trade["executionId"]}
    do(boss, "POST", "/admin/bust", 200, body)


def test_every_route_says_what_it_answers(front):
    """No answer without a shape, no status without a meaning, no way in that is not named."""
    document = front.http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            done = [text for status, text in told["responses"].items() if status < "300"]
            assert done, (path, method)
            for answer in done:
                (content,) = answer["content"].values()
                assert content["schema"], (path, method)
            assert all(answer["description"] for answer in told["responses"].values())
    order = document["paths"]["/order"]["post"]
    assert [*map(set, order["security"])] == [
        {"bearer"}, {"X-Api-Key", "X-Api-Time", "X-Api-Nonce", "X-Api-Signature"},
    ]  # fmt: skip
    assert {"200", "201", "202", "400", "401", "403", "409", "422", "429", "503", "504"} <= set(
        order["responses"]
    )
    assert document["paths"]["/depth"]["get"]["security"] == []


def test_nobody_comes_in_without_what_is_asked_of_them(front):
    """By the description: each route that names a way in is closed without one."""
    document = front.http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            if told["security"] and {} not in told["security"]:
                answer = front.http.request(method, path.replace("{", "").replace("}", ""))
                assert answer.status_code == 401, (method, path)
