"""An operator's script moves by one line, too: what it does, and what it is told."""

import re

import pytest

from oms import FundsRequest, MassCancelRequest, MemoryStore, OrderManagement, OrderRequest
from oms.errors import ServerError, ValidationError
from oms.requests import OperatorAction, OperatorRequest
from oms.requests.access import AccessAction, AccessRequest
from tests.client.test_strategy import with_money
from tests.web.doors import front_config

SYMBOL = "BTC_USD"
OF_ANN = {"scope": "ACCOUNT", "target": "ann"}
OF_MARKET = {"scope": "SYMBOL", "target": "DOGE_USD"}
GRID = {"tick_size": "0.5", "lot_size": "1"}


def order(account, name, side, quantity, price=None):
    return OrderRequest.new(account, name, SYMBOL, side, quantity, price)


def command(own_id, action, **more):
    return OperatorRequest(client_order_id=own_id, action=action, why=f"drill {own_id}", **more)


def unnumbered(text):
    """Execution ids are other ones in another journal."""
    return re.sub(r"\b\d+-\d+\b", "N-N", text)


def drill(oms, ann, bob):
    """What an operator does on a day, in front of two who trade; what each step was answered.
    ann, bob: the order manager as each of them has it."""
    told = []

    def ask(who, request):
        response = who.submit(request).result(10)
        told.extend(
            (each.type, each.account, each.client_order_id, unnumbered(each.text),
             each.leaves_quantity)
            for each in response.reports
        )  # fmt: skip
        facts = {name: unnumbered(value) for name, value in response.facts.items()}
        told.append((response.refused, response.reason, response.repeated, facts))
        return response

    # two trades, of which one is corrected and one is taken back
    ask(bob, order("bob", "b-1", "SELL", "3", "100"))
    first, second = (ask(ann, order("ann", f"a-{n}", "BUY", "1", "100")) for n in (1, 2))
    of = {"scope": "SYMBOL", "target": SYMBOL}
    ask(oms, command("correct", OperatorAction.CORRECT, **of, name=first.trades[0].execution_id,
                     settings={"price": "99.50"}))  # fmt: skip
    ask(oms, command("bust", OperatorAction.BUST, **of, name=second.trades[0].execution_id))

    # accounts, limits, a halt of one account
    for _ in range(2):
        ask(oms, FundsRequest(account="new", client_order_id="create", action="CREATE"))
    limit = {"name": "open_orders_max", "value": "2"}
    ask(oms, command("limit", OperatorAction.SET_LIMIT, **OF_ANN, **limit))
    ask(oms, command("none", OperatorAction.SET_LIMIT, **OF_ANN, name="no_such", value="2"))
    ask(oms, command("halt", OperatorAction.SET_TRADING, **OF_ANN, value="HALTED"))
    told.append(oms.halts().result(10))
    ask(ann, order("ann", "a-3", "BUY", "1", "90"))
    ask(oms, command("resume", OperatorAction.SET_TRADING, **OF_ANN, value="ACTIVE"))

    # a market comes, is changed, and goes
    ask(oms, command("list", OperatorAction.LIST, **OF_MARKET, settings=GRID))
    fees = {"settings": {"maker_fee_bps": "1"}}
    ask(oms, command("fees", OperatorAction.SET_MARKET, **OF_MARKET, **fees))
    ask(oms, command("delist", OperatorAction.DELIST, **OF_MARKET))

    # open orders are canceled: of a side, of an account, of everybody
    for n, price in enumerate(("90", "91", "92")):
        ask(ann, order("ann", f"a-{4 + n}", "BUY", "1", price))
    told.append([oms.count_open(), oms.count_open("ann"), oms.count_open(symbol=SYMBOL)])
    ask(oms, MassCancelRequest(account="operator", client_order_id="sells", symbol=SYMBOL,
                               side="SELL", everybody=True, why="a side"))  # fmt: skip
    ask(ann, MassCancelRequest(account="ann", client_order_id="of-ann", why="as asked"))
    ask(bob, order("bob", "b-2", "SELL", "1", "101"))
    for _ in range(2):
        ask(oms, command("kill", OperatorAction.KILL))
    told.append(oms.halts().result(10))
    ask(oms, command("release", OperatorAction.SET_TRADING, value="ACTIVE"))
    ask(oms, command("phase", OperatorAction.SET_PHASE, **of, value="HALTED"))

    # what was done is told
    told.append(oms.account_limits("ann").result(10))
    page = oms.actions(limit=5)
    told += [
        each._replace(seq=0, wall_ns=0, user="", gateway="", text=unnumbered(each.text))
        for each in page.actions
    ]
    told.append(len(oms.actions(before=page.before).actions) > 5)
    for named, account in (("a-1", "ann"), ("kill", "operator"), ("nothing", "ann")):
        found = oms.explain(named, account)
        told.append(found and (found.account, len(found.lines), found.ending))
    return told


@pytest.fixture
def operator(door, clients):
    """A client with an operator's rights."""
    made = clients("olga")
    request = AccessRequest(
        account="operator", client_order_id="role-olga", user="olga",
        action=AccessAction.SET_ROLE, facts={"role": "operator"},
    )  # fmt: skip
    assert not door.oms.submit(request).result(10).refused
    made.stop()
    return clients("olga")


def test_a_drill_of_an_operator_is_answered_alike_both_ways(clients, operator):
    with OrderManagement(front_config(), store=MemoryStore()) as oms:
        with_money(oms)
        near = drill(oms, oms, oms)
    far = drill(operator, clients("ann"), clients("bob"))
    for here, there in zip(near, far, strict=True):
        assert there == here


def test_how_it_goes_is_told_to_an_operator_alone(door, clients, operator):
    """Digest, status, every account; anybody else is told that it is not for them."""
    ann, oms = clients("ann"), door.oms
    ann.submit(order("ann", "a-1", "BUY", "1", "90")).result()
    assert operator.digest().result() == oms.digest().result(10)
    assert operator.get_status().keys() >= oms.get_status().keys()  # an api tells of groups, too
    assert operator.open_orders("ann") == oms.open_orders("ann") != []
    assert operator.explain("order 999999") is operator.explain("1-1") is None
    with pytest.raises(ValidationError, match="whose client order id"):
        operator.explain("a-1")
    with pytest.raises(ValidationError, match="none beside an account"):
        operator.count_open("ann", SYMBOL)
    for asked in (ann.get_status, ann.actions, ann.count_open, ann.halts().result):
        with pytest.raises(ServerError) as refused:
            asked()
        assert refused.value.status == 403
    with pytest.raises(ServerError) as refused:
        ann.submit(command("kill", OperatorAction.KILL)).result()
    assert (refused.value.status, oms.halts().result(10).why) == (403, "")


def test_requests_of_users_are_none_of_a_client_s(operator):
    """Passwords and their hashes are for the routes of /admin/users."""
    request = AccessRequest(
        account="operator", client_order_id="lock", user="ann", action=AccessAction.LOCK_USER,
        facts={"why": "a test"},
    )  # fmt: skip
    with pytest.raises(ValidationError, match="about orders or money, or an operator's command"):
        operator.submit(request)
