"""What an api cannot read, such as an entry of a later version: left out, and the api goes on."""

import logging
from itertools import pairwise

import msgspec
import pytest

from oms.errors import TransportError
from oms.requests import AccessAction, AccessRequest
from oms.roles import receiving, telling
from oms.roles.remote import RemoteOrders
from oms.roles.turns import Page
from oms.transport.wire import Reply
from tests.scale.parts import KEYS, api, engine, order, wait_for
from tests.scale.test_engine import last_of


def access(made, action, name, **facts):
    """Something about ann."""
    request = AccessRequest(
        account="operator", client_order_id=name, action=action, user="ann", facts=facts
    )
    response = made.oms.submit(request).result(10)
    assert not response.refused, response


def sign_up(made):
    access(made, AccessAction.SIGN_UP, "s", email="ann@x", hash="$1", role="trader",
           accounts="ann")  # fmt: skip


@pytest.fixture
def warned(caplog):
    caplog.set_level(logging.WARNING)
    return lambda: [each.getMessage() for each in caplog.records if "readable" in each.getMessage()]


@pytest.mark.parametrize("content", [b"no JSON", b'["of a later version"]', b'[1,0,0,true,"",7]'])
def test_a_turn_that_is_not_readable_is_left_out_and_all_else_followed(
    content, config, tmp_path, started, monkeypatch, warned
):
    """Books, users and what is traded are as the engine has them; said in one line."""
    made = started(engine, tmp_path, config)
    sign_up(made)
    remote = started(api, config)
    heard = []
    remote.add_listener(lambda response: heard.append(response.report.client_order_id))
    wait_for(lambda: remote.access.user("ann"))
    made.oms.submit(order("a-0")).result(10)
    with monkeypatch.context() as later:
        later.setattr(telling, "entry_of", lambda *_: content)
        access(made, AccessAction.LOCK_USER, "l", why="drill")
        made.oms.submit(order("a-1", price="90")).result(10)
    made.oms.submit(order("a-2", price="80")).result(10)

    assert remote.submit(order("a-3", price="70")).result(10).state == "NEW"
    wait_for(lambda: remote.depth_snapshot("BTC_USD") == made.oms.depth_snapshot("BTC_USD"))
    wait_for(lambda: remote.access.user("ann").locked)
    wait_for(lambda: "a-3" in heard)
    assert [each for each in heard if each.startswith("a-")] == ["a-0", "a-2", "a-3"]
    assert len(warned()) == 1
    assert remote.failure is None


def test_how_far_the_engine_is_is_told_though_its_latest_turn_is_left_out(
    config, tmp_path, started, monkeypatch
):
    """A subscription begins there: listeners are told nothing more up to it."""
    monkeypatch.setattr(receiving, "HEARD_NS", 10**12)
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    monkeypatch.setattr(telling, "entry_of", lambda *_: b"no JSON")
    made.oms.submit(order("a-1")).result(10)
    assert remote.journal_seq().result(10) == last_of(made)


def test_how_far_the_engine_is_is_not_waited_for_without_end(config, monkeypatch):
    """Its turn may not come: Redis lost it, and the engine died."""
    link = RemoteOrders(config).home
    link.mirror.seq = 7
    asked = link.ask("journal_seq")
    link.receiving._reply(Reply(1, 0, msgspec.Raw(b"9")))
    link.receiving._release()
    assert not asked.done()
    late_ns = link.pace.monotonic_ns() + receiving.HEARD_NS
    monkeypatch.setattr(link.pace, "monotonic_ns", lambda: late_ns)
    link.receiving._release()
    with pytest.raises(TransportError, match="does not come"):
        asked.result(0)


def test_a_turn_of_a_later_version_is_left_out(client, config, tmp_path, started, warned):
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    wait_for(lambda: remote.home.mirror.seq == last_of(made))
    made.stop()
    client.xadd(KEYS.turns, {"v": "9", "e": "{}"}, id=f"{last_of(made) + 1}-0")
    wait_for(lambda: remote.home.mirror.seq == last_of(made) + 1)
    [said] = warned()
    assert "expected one of 1, 2" in said
    assert remote.failure is None


def test_turns_that_were_missed_and_are_not_readable_are_left_out(
    server, config, tmp_path, started, monkeypatch
):
    """Those that the engine is asked for: the api goes on where the engine is."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    made.oms.submit(order("a-0")).result(10)
    server.kill()
    made.oms.submit(order("a-1", price="90")).result(10)
    page = Page([(1, b"[7]")], more=False)
    monkeypatch.setattr("oms.roles.asks.made_beside", lambda *_: page)
    monkeypatch.setattr(made.engine.telling, "_queue", type(made.engine.telling._queue)())
    server.start()
    wait_for(lambda: remote.home.alive)
    made.oms.submit(order("a-2", price="80")).result(10)
    wait_for(lambda: remote.depth_snapshot("BTC_USD") == made.oms.depth_snapshot("BTC_USD"))
    assert remote.submit(order("a-3")).result(10).state == "NEW"
    assert remote.failure is None


@pytest.mark.parametrize(("version", "content"), [("9", "[]"), ("1", "no JSON"), ("1", "[[7]]")])
def test_answers_that_are_not_readable_are_dropped(
    version, content, client, config, tmp_path, started, warned
):
    started(engine, tmp_path, config)
    remote = started(api, config)
    client.xadd(KEYS.replies(remote.client), {"v": version, "e": content})
    assert remote.submit(order("a-1")).result(10).state == "NEW"
    assert len(warned()) == 1
    assert remote.failure is None


def test_a_question_whose_answer_is_not_readable_is_asked_again_in_a_while(
    client, config, tmp_path, started, warned
):
    """As of an engine of a later version, until the api is upgraded: not time and again."""
    made = started(engine, tmp_path, config)
    sign_up(made)
    as_it_is = made.engine.asks._own["users"]
    made.engine.asks._own["users"] = lambda _start: ["a user of a later version"]
    remote = started(api, config)
    wait_for(lambda: len(warned()) > 1)
    made.engine.asks._own["users"] = as_it_is
    wait_for(lambda: remote.access.user("ann"))
    asked = [
        int(name.partition("-")[0])
        for name, fields in client.xrange(KEYS.asks)
        if '"users"' in fields["e"]
    ]
    assert len(asked) > 2
    assert all(later - earlier > 1_000 for earlier, later in pairwise(asked))


def test_a_user_who_was_locked_while_redis_lost_its_data_is_locked_at_each_api(
    server, config, tmp_path, started
):
    """Turns that are told from the journal do not tell which users changed."""
    made = started(engine, tmp_path, config)
    sign_up(made)
    remote = started(api, config)
    wait_for(lambda: remote.access.user("ann"))
    server.kill()
    access(made, AccessAction.LOCK_USER, "l", why="drill")
    made.stop()
    server.start()
    started(engine, tmp_path, config)
    wait_for(lambda: remote.access.user("ann").locked)
