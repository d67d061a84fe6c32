"""Two groups of markets, each with an engine, a journal and a ledger of its own."""

import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from oms import OrderManagement, PersistentStorage
from oms.config import load_config
from oms.enums import Scope
from oms.errors import ConfigError, OutcomeUnknownError, TransportError, ValidationError
from oms.requests import (
    FundsAction,
    FundsRequest,
    MassCancelRequest,
    OperatorAction,
    OperatorRequest,
    OrderRequest,
)
from oms.roles import asking
from oms.roles.engine import Engine
from oms.roles.marshalling import is_of_client
from oms.roles.remote import Broadcast
from tests.scale.parts import api, deposit, engine, scaled, wait_for
from tests.scale.processes import settings
from tests.scale.servers import RedisServer
from tests.web.served import PROGRAM

GROUPS = "usd: BTC_USD, inr: TATA_INR"


@pytest.fixture
def config(server):
    return scaled(server.url, ledger=True, market_groups=GROUPS)


@pytest.fixture
def engines(config, tmp_path, started):
    return {name: started(engine, tmp_path, config, name) for name in ("usd", "inr")}


def buy(name, symbol, price="100", account="ann"):
    return OrderRequest.new(account, name, symbol, "BUY", "1", price)


def done(remote, request):
    response = remote.submit(request).result(10)
    assert not response.refused, response
    return response


@pytest.fixture
def remote(config, engines, started):
    """With an account that has money in both groups."""
    assert len(engines) == 2
    made = started(api, config)
    done(made, FundsRequest(account="ann", client_order_id="c", action=FundsAction.CREATE))
    done(made, deposit("ann", "USD", 1000, "d-usd"))
    done(made, deposit("ann", "INR", 5000, "d-inr"))
    return made


def test_each_order_goes_to_its_symbols_engine(remote, engines):
    usd, inr = done(remote, buy("a-1", "BTC_USD")), done(remote, buy("a-2", "TATA_INR"))
    assert engines["usd"].oms.get_order("ann", "a-1") == usd
    assert engines["inr"].oms.get_order("ann", "a-2") == inr
    assert engines["usd"].oms.get_order("ann", "a-2") is None
    assert {each.symbol for each in remote.open_orders("ann")} == {"BTC_USD", "TATA_INR"}
    details = remote.details_for([usd, inr])
    assert [each.symbol for each in details] == ["BTC_USD", "TATA_INR"]
    assert remote.balances("ann") == {
        "USD": (Decimal(900), Decimal(100)), "INR": (Decimal(4900), Decimal(100)),
    }  # fmt: skip


def test_a_change_finds_the_engine_of_its_order(remote, config, engines, started):
    """Also at an api that did not see the order placed."""
    done(remote, buy("a-1", "TATA_INR"))
    other = started(api, config)
    changed = done(other, OrderRequest.modify("ann", "m-1", "a-1", price="90"))
    assert (changed.symbol, changed.type) == ("TATA_INR", "REPLACED")
    assert done(remote, OrderRequest.cancel("ann", "x-1", "m-1")).state == "CANCELED"
    unknown = remote.submit(OrderRequest.cancel("ann", "x-2", "never")).result(10)
    assert unknown.reason == "UNKNOWN_ORDER"
    assert len(engines) == 2


def test_an_order_id_that_two_groups_know_is_refused(remote):
    """Sequences count in each group alone."""
    ids: dict[int, set[str]] = {}
    for n in range(6):
        for symbol in ("BTC_USD", "TATA_INR"):
            placed = done(remote, buy(f"{symbol}-{n}", symbol, "1"))
            ids.setdefault(placed.order_id, set()).add(symbol)
    both = [order_id for order_id, symbols in ids.items() if len(symbols) == 2]
    assert both, ids
    with pytest.raises(ValidationError, match="clientOrderId"):
        remote.get_order("ann", both[0])
    cancel = OrderRequest.cancel("ann", "x", order_id=both[0])
    with pytest.raises(ValidationError, match="clientOrderId"):
        remote.submit(cancel).result(10)


def test_a_client_order_id_of_two_groups_is_that_of_the_last_that_this_api_sent(
    remote, config, started
):
    """Another api does not know which is meant, and refuses it."""
    for symbol in ("BTC_USD", "TATA_INR"):
        done(remote, buy("a-1", symbol))
    other = started(api, config)
    with pytest.raises(ValidationError, match="clientOrderId"):
        other.submit(OrderRequest.cancel("ann", "x-1", "a-1")).result(10)
    assert done(remote, OrderRequest.cancel("ann", "x-2", "a-1")).symbol == "TATA_INR"
    assert {each.symbol for each in remote.open_orders("ann")} == {"BTC_USD"}


def test_what_is_about_all_markets_goes_to_every_group(remote, engines):
    done(remote, buy("a-1", "BTC_USD"))
    done(remote, buy("a-2", "TATA_INR"))
    canceled = done(remote, MassCancelRequest(account="ann", client_order_id="m"))
    assert remote.open_orders("ann") == []
    assert canceled.facts == {"canceled": "2"}  # of both together
    assert [each.facts for each in canceled.answers.values()] == [{"canceled": "1"}] * 2
    done(remote, OperatorRequest(client_order_id="k", action=OperatorAction.KILL, why="drill"))
    for symbol in ("BTC_USD", "TATA_INR"):
        refused = remote.submit(buy(f"k-{symbol}", symbol)).result(10)
        assert refused.reason == "KILL_SWITCH"
    assert len(engines) == 2


def test_what_operators_ask_is_answered_of_both_groups(remote):
    """What goes by a group's own numbers is asked of one."""
    # given an order in each, and an account that may only reduce
    usd, _ = done(remote, buy("a-1", "BTC_USD")), done(remote, buy("a-2", "TATA_INR"))
    halt = OperatorRequest(
        client_order_id="h", action=OperatorAction.SET_TRADING, scope=Scope.ACCOUNT,
        target="ann", value="REDUCING", why="a look",
    )  # fmt: skip
    done(remote, halt)

    # then both are counted, explained and told of
    assert remote.count_open("ann") == (2, 1, 2)
    assert remote.count_open(symbol="TATA_INR") == (1, 1, 1)
    done(remote, FundsRequest(account="bob", client_order_id="c", action=FundsAction.CREATE))
    done(remote, deposit("bob", "INR", 5000, "d"))
    done(remote, buy("b-1", "TATA_INR", account="bob"))
    assert remote.count_open() == (3, 2, 2)  # ann is in both groups, and is one
    halts = remote.halts().result(10)
    assert (halts.everybody, halts.accounts) == ("ACTIVE", {"ann": "REDUCING"})
    assert remote.account_limits("ann").result(10).groups == []
    assert remote.explain("a-1", "ann").order_id == usd.order_id
    assert "TATA_INR" in remote.explain("a-2", "ann").heading
    assert remote.explain("never", "ann") is None
    assert remote.calendar(remote.clock.wall_ns(), 1)
    with pytest.raises(ValidationError, match="one of usd, inr"):
        remote.actions()
    asked = [each.actions().actions[0] for each in remote.groups.values()]
    assert [each.client_order_id for each in asked] == ["h", "h"]


def total(remote, asset, account="ann"):
    return sum(remote.balances(account)[asset])


def test_a_deposit_is_paid_once_whatever_is_listed_meanwhile(remote, config, engines, started):
    """Also at an api that starts afterwards; and a withdrawal goes to the same group."""
    # given deposits of an asset of the other group, whose market is delisted then
    delist = OperatorRequest(
        client_order_id="x", action=OperatorAction.DELIST, scope=Scope.SYMBOL, target="TATA_INR",
        why="drill",
    )  # fmt: skip
    done(remote, delist)
    # and of an asset that a market brings, which is listed at the home group
    listing = OperatorRequest(
        client_order_id="l", action=OperatorAction.LIST, scope=Scope.SYMBOL, target="INR_EUR",
        settings={"price_scale": "2", "quantity_scale": "4"}, why="drill",
    )  # fmt: skip
    done(remote, listing)
    done(remote, deposit("ann", "EUR", 70, "d-eur"))
    other = started(api, config)
    for each in (remote, other):
        wait_for(lambda each=each: "INR_EUR" in each.instruments())
        # when each deposit is repeated
        for asset, amount in (("USD", 1000), ("INR", 5000), ("EUR", 70)):
            each.submit(deposit("ann", asset, amount, f"d-{asset.lower()}")).result(10)
    # then each is there once
    assert [total(other, asset) for asset in ("USD", "INR", "EUR")] == [1000, 5000, 70]
    assert engines["inr"].oms.balances("ann") == {"INR": (Decimal(5000), Decimal(0))}
    taken = FundsRequest(
        account="ann", client_order_id="w", action=FundsAction.WITHDRAW, asset="INR", amount=5000
    )
    done(other, taken)
    assert total(remote, "INR") == 0


def test_where_an_asset_belongs_is_not_guessed_before_it_is_known(config, remote, engines, started):
    """While an api has not heard of a group, it takes no deposit of what no setting names."""
    engines["inr"].stop()
    late = started(api, config, follows=False)
    wait_for(lambda: late.links["usd"].mirror.seq)
    assert not late.submit(deposit("ann", "USD", 5, "d-2")).result(10).refused
    with pytest.raises(TransportError, match="inr"):
        late.submit(deposit("ann", "EUR", 5, "d-3")).result(10)
    assert total(remote.groups["usd"], "USD") == 1005


def test_an_engine_that_is_gone_does_not_disturb_the_other_group(remote, engines):
    engines["inr"].stop()
    wait_for(lambda: not remote.links["inr"].alive)
    assert done(remote, buy("a-1", "BTC_USD")).state == "NEW"
    groups = remote.get_status()["groups"]
    assert (groups["usd"]["ready"], groups["inr"]["ready"]) == (True, False)
    with pytest.raises((TransportError, TimeoutError)):
        remote.submit(buy("a-2", "TATA_INR")).result(1)


@pytest.fixture
def own(tmp_path):
    """Another Redis server."""
    made = RedisServer(tmp_path / "own").start()
    yield made
    made.kill()


def test_a_group_with_a_redis_of_its_own_shares_nothing_but_apis(
    server, own, config, tmp_path, started
):
    """Its keys are there alone; where that server dies the other group goes on, and it goes
    on once that is back."""
    config = replace(config, scale=replace(config.scale, redis_urls=f"inr={own.url}"))
    engines = {name: started(engine, tmp_path, config, name) for name in ("usd", "inr")}
    made = started(api, config)
    done(made, FundsRequest(account="ann", client_order_id="c", action=FundsAction.CREATE))
    for asset in ("USD", "INR"):
        done(made, deposit("ann", asset, 1000, asset))
    for asked in (buy("a-1", "BTC_USD"), buy("a-2", "TATA_INR")):
        done(made, asked)
    with server.client() as home, own.client() as other:
        wait_for(lambda: home.exists("evt:{usd}") and other.exists("evt:{inr}"))
        for client, name in ((home, "usd"), (other, "inr")):
            assert {re.findall("{(.*)}", key)[0] for key in client.scan_iter()} == {name}

    own.kill()
    wait_for(lambda: made.links["inr"].circuit.open)
    done(made, buy("a-3", "BTC_USD"))
    with pytest.raises(TransportError):
        made.submit(buy("a-4", "TATA_INR")).result(10)

    own.start()
    wait_for(lambda: made.links["inr"].alive)
    assert done(made, buy("a-4", "TATA_INR")).state == "NEW"
    assert [each.died for each in engines.values()] == [[], []]


def test_one_engine_of_those_at_a_server_says_that_its_memory_is_small(
    server, config, tmp_path, started, caplog
):
    with server.client() as client:
        client.config_set("maxmemory", 300_000_000)
    made = [started(engine, tmp_path, config, name).oms for name in ("usd", "inr")]
    caplog.clear()
    for oms, name in zip(made, config.scale.names, strict=True):
        Engine(oms, name, config.scale).open()
    said = [each.getMessage() for each in caplog.records if "maxmemory" in each.getMessage()]
    assert [each.partition(" (")[0] for each in said] == [
        "Redis has a maxmemory of 300 MB, and may need 444 MB"
    ]


def test_a_broadcast_of_one_group_tells_that_groups_turns(remote, config, engines, started):
    """And knows the users of the home group; requests it takes none."""
    listens = Broadcast(config, group="inr")
    listens.start()
    started(lambda: listens)
    wait_for(lambda: listens.links["inr"].mirror.seq and listens.home.mirror.seq)
    heard = []
    listens.add_listener(lambda response: heard.append(response.client_order_id))
    done(remote, buy("a-1", "BTC_USD"))
    done(remote, buy("a-2", "TATA_INR"))
    wait_for(lambda: heard)
    assert heard == ["a-2"]
    assert listens.instruments().keys() == {"TATA_INR"}
    with pytest.raises(ValidationError, match="an api"):
        listens.submit(buy("a-3", "TATA_INR"))
    snapshot = listens.account_snapshot("ann").result(10)
    assert [each.client_order_id for each in snapshot.orders] == ["a-2"]
    with pytest.raises(ValidationError, match="one of usd, inr"):
        remote.account_snapshot("ann")
    usd = remote.groups["usd"].account_snapshot("ann").result(10)
    assert [each.client_order_id for each in usd.orders] == ["a-1"]
    assert len(engines) == 2


def test_settings_of_groups_fit_the_instruments(server):
    with pytest.raises(ConfigError, match="one of usd, inr"):
        scaled(server.url, market_groups=GROUPS).of_group("eur")
    for wrong in ("usd: BTC_USD", f"{GROUPS}, x: ETH_USD", "usd: BTC_USD, inr: TATA_INR BTC_USD"):
        with pytest.raises(ValidationError, match="market_groups"):
            scaled(server.url, market_groups=wrong)
    assert [
        e.symbol for e in scaled(server.url, market_groups=GROUPS).of_group("inr").instruments
    ] == ["TATA_INR"]


def test_an_engine_refuses_the_journal_of_another_group_before_it_writes(tmp_path, server):
    """Whatever Redis knows; one line says which group it is of."""
    path = settings(tmp_path, market_groups="usd: BTC_USD, inr: TATA_INR")
    with path.open("a", encoding="utf-8") as more:
        more.write("\n[instrument TATA_INR]\nbase = TATA\nquote = INR\n")
    config = load_config(path, {})
    with OrderManagement(config.of_group("usd"), directory=tmp_path) as oms:
        pass
    last_seq = oms.dispatcher.fold.last_seq
    words = [
        sys.executable, PROGRAM, "engine", "--group", "inr", "--config", path,
        "--data-dir", tmp_path,
    ]  # fmt: skip
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "OMS__SCALE__REDIS_URL": server.url},
    )  # fmt: skip
    assert done.returncode == 2
    [*_, said] = done.stderr.splitlines()
    assert said == "order_management: --group: expected usd, which the journal is of, was inr"
    with PersistentStorage(tmp_path / config.store.database, read_only=True) as store:
        assert store.record_of(last_seq) is not None
        assert store.record_of(last_seq + 1) is None


def test_an_engine_that_answers_no_questions_is_asked_none_until_it_does(remote, engines):
    """Those who ask wait on a thread that asks of all groups: one hung group must not hold them."""
    # given an engine that says that it lives, and whose answers hang
    asks, link = engines["usd"].engine.asks, remote.links["usd"]
    answer, heard = asks._answer_aside, []

    def hear(question):  # what a front door follows it by is answered by a thread of its own
        if is_of_client(question.method):
            heard.append(question)
        else:
            answer(question)

    asks._answer_aside = hear

    # when it was asked in vain
    with pytest.raises(TransportError, match=r"no answer in|answers no questions"):
        remote.trades("ann", "BTC_USD")
    wait_for(lambda: link.silent)

    # then it is asked no more, but by the link itself; the other group is
    asked = [each.method for each in heard].count("trades")
    for group in (remote, remote.groups["usd"]):
        with pytest.raises(TransportError, match="answers no questions"):
            group.trades("ann", "BTC_USD")
    assert [each.method for each in heard].count("trades") == asked
    assert remote.trades("ann", "TATA_INR") == []
    assert link.alive  # orders go on
    assert done(remote, buy("a-1", "BTC_USD")).state == "NEW"
    wait_for(lambda: "journal_seq" in [each.method for each in heard])

    # when it answers again
    asks._answer_aside = answer
    wait_for(lambda: not link.silent)
    assert remote.trades("ann", "BTC_USD") == []


def test_all_groups_are_asked_before_an_answer_is_awaited(remote, engines, monkeypatch):
    """What several have takes as long as the slowest of them, and not all of them together."""
    # given an engine that holds its answers
    monkeypatch.setattr(asking, "ANSWER_S_MAX", 60.0)
    asks = engines["usd"].engine.asks
    answer, held, heard = asks._answer_aside, [], []
    asks._answer_aside = held.append
    other = engines["inr"].engine.asks
    tell = other._answer_aside
    other._answer_aside = lambda question: heard.append(question.method) or tell(question)

    # when a question to both is asked, the other one hears it meanwhile
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(remote.positions, "ann")
        wait_for(lambda: "positions" in heard and "positions" in [e.method for e in held])
        asks._answer_aside = answer
        for each in held:
            answer(each)
        assert asked.result(10) == []
    with pytest.raises(ValidationError, match="one of usd, inr"):
        remote.fills("ann", 1)


def test_an_engine_whose_dispatcher_hangs_is_silent(remote, engines):
    """Though it goes on to say that it lives."""
    go_on = threading.Event()
    hung = engines["usd"].oms.between_turns(lambda _desk, _intake: go_on.wait(60))
    try:
        wait_for(lambda: not remote.links["usd"].alive)
        with pytest.raises(TransportError, match="silent"):
            remote.trades("ann", "BTC_USD")
        groups = remote.get_status()["groups"]
        assert (groups["usd"]["ready"], groups["inr"]["ready"]) == (False, True)
    finally:
        go_on.set()
    assert hung.result(10)
    wait_for(lambda: remote.links["usd"].alive)


def test_what_is_about_all_markets_is_answered_without_a_group_that_is_away(
    remote, engines, config, tmp_path, started
):
    """The answer names that group, which does it once its engine is back."""
    # given an order in each group, and one engine that is gone
    done(remote, buy("a-1", "BTC_USD"))
    done(remote, buy("a-2", "TATA_INR"))
    engines["inr"].stop()
    wait_for(lambda: not remote.links["inr"].alive)

    # when all are canceled, and everybody is stopped
    mass = MassCancelRequest(account="ann", client_order_id="m")
    canceled = done(remote, mass)
    kill = OperatorRequest(client_order_id="k", action=OperatorAction.KILL, why="drill")
    killed = done(remote, kill)

    # then the group that is there has done it, and the other one is named
    for each in (canceled, killed):
        assert (list(each.answers), each.silent) == (["usd"], ("inr",))
    assert canceled.facts == {"canceled": "1"}
    assert engines["usd"].oms.open_orders("ann") == []
    assert remote.submit(buy("k-1", "BTC_USD")).result(10).reason == "KILL_SWITCH"

    # when its engine is back, it does it; the same again is the answer of all
    engines["inr"] = started(engine, tmp_path, config, "inr")
    again = done(remote, mass)
    assert (again.silent, again.facts) == ((), {"canceled": "2"})
    assert engines["inr"].oms.open_orders("ann") == []
    assert done(remote, kill).silent == ()

    # and where no group is there, nothing is known
    for each in engines.values():
        each.stop()
    wait_for(lambda: not any(link.alive for link in remote.links.values()))
    with pytest.raises(OutcomeUnknownError):
        remote.submit(MassCancelRequest(account="ann", client_order_id="m-2")).result(10)


def test_an_engine_that_dies_amid_a_request_about_all_markets_is_silent(remote, engines):
    """It was there when it was asked: the answer comes once it is known that it is not."""
    engines["inr"].oms.hand_over = lambda _request, _asker: None  # it takes it, and does nothing
    asked = remote.submit(MassCancelRequest(account="ann", client_order_id="m"))
    wait_for(lambda: not remote.links["usd"].waiting)
    engines["inr"].engine.stop()
    assert asked.result(10).silent == ("inr",)
