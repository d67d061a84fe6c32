"""The api's end of the way: what it answers when the other end, or Redis, is not there."""

import itertools
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from oms.app import status_line
from oms.clock import NANOS
from oms.enums import Phase
from oms.errors import (
    JournalError,
    OutcomeUnknownError,
    StoppedError,
    TransportError,
    ValidationError,
)
from oms.requests import MassCancelRequest, OperatorAction, OperatorRequest, OrderRequest
from oms.roles import receiving, sending
from oms.roles.remote import Broadcast, RemoteOrders
from oms.shared import Used
from oms.transport import wire
from oms.transport.scripts import SEND
from oms.transport.server import Server
from oms.transport.wire import TurnEntry, encode, events_told
from tests.scale.parts import (
    KEYS,
    api,
    engine,
    know_their_server,
    order,
    replace,
    wait_for,
    with_password,
)
from tests.scale.test_engine import last_of


def phase(value):
    return OperatorRequest(
        client_order_id=value.value, action=OperatorAction.SET_PHASE, value=value.value, why="drill"
    )


def test_the_same_requests_are_answered_as_by_an_order_manager(config, tmp_path, started):
    """Place, change, cancel, look: types, numbers and errors are the library's own."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    placed = remote.submit(order("a-1", quantity="2")).result(10)
    assert (placed.state, placed.instrument.symbol) == ("NEW", "BTC_USD")
    filled = remote.submit(order("b-1", "SELL", account="bob")).result(10)
    assert [each.last_quantity for each in filled.trades] == [1]
    assert remote.get_order("ann", "a-1") == made.oms.get_order("ann", "a-1")
    assert remote.details_for([placed]) == made.oms.details_for([placed])
    ahead = remote.queue_ahead("BTC_USD", [placed.order_id]).result(10)
    assert ahead == made.oms.queue_ahead("BTC_USD", [placed.order_id]).result(10) != {}
    assert remote.trades(symbol="BTC_USD") == made.oms.trades(symbol="BTC_USD")
    assert remote.positions("ann") == made.oms.positions("ann")
    wait_for(lambda: remote.recent_trades("BTC_USD") == made.oms.recent_trades("BTC_USD"))
    assert remote.depth_snapshot("BTC_USD") == made.oms.depth_snapshot("BTC_USD")
    assert remote.indicative("BTC_USD").result(10) is None
    made.oms.submit(phase(Phase.OPENING_AUCTION)).result(10)
    found = remote.indicative("BTC_USD").result(10)
    assert (found.volume_lots, found) == (0, made.oms.indicative("BTC_USD").result(10))
    made.oms.submit(phase(Phase.CONTINUOUS)).result(10)
    with pytest.raises(ValidationError) as of_remote:
        remote.orders("ann", symbol="BTC_USD", limit=5000)
    with pytest.raises(ValidationError) as of_engine:
        made.oms.orders("ann", symbol="BTC_USD", limit=5000)
    assert str(of_remote.value) == str(of_engine.value)
    for hop in ("send", "venue", "publish", "total"):
        assert sum(count for _, _, count in remote.latency_rows(hop)) == 2
    limit = OperatorRequest(
        client_order_id="l", action=OperatorAction.SET_LIMIT, scope="ACCOUNT", target="ann",
        name="position_max", value="7.5",
    )  # fmt: skip
    made.oms.submit(limit).result(10)
    tried = remote.dry_run(order("a-7")).result(10)
    assert tried == made.oms.dry_run(order("a-7")).result(10)
    assert tried.room.quantity == 5.5
    canceled = remote.submit(OrderRequest.cancel("ann", "a-2", "a-1")).result(10)
    assert canceled.state == "CANCELED"


def test_its_status_is_a_daemons_before_an_engine_was_heard_of_and_after(config, tmp_path, started):
    """The line that is logged each minute, and health, which says whether orders are taken."""
    remote = started(api, config, follows=False)
    before = remote.get_status()
    assert before["health"] == "degraded"
    assert status_line(before).startswith("degraded, session open")
    started(engine, tmp_path, config)
    wait_for(lambda: remote.get_status()["health"] == "ok")
    assert status_line(remote.get_status()).startswith("ok, session open")


def test_beyond_the_lag_requests_are_refused_and_nothing_is_recorded(
    client, config, tmp_path, started
):
    """Cancels pass twice as far. What waits is answered by the engine that comes."""
    config = replace(config, scale=replace(config.scale, lag_max=3))
    started(engine, tmp_path, config).stop()
    remote = started(api, config, follows=False)
    wait_for(lambda: client.exists(KEYS.replies(remote.client)))
    waiting = [remote.submit(order(f"a-{n}")) for n in range(3)]
    refused = remote.submit(order("a-3")).result(10)
    assert (refused.reason, refused.journal_seq) == ("QUEUE_FULL", 0)
    swept = remote.submit(MassCancelRequest(account="ann", client_order_id="m"))
    wait_for(lambda: client.xlen(KEYS.commands) == 4)
    started(engine, tmp_path, config)
    assert [each.result(10).client_order_id for each in waiting] == ["a-0", "a-1", "a-2"]
    assert swept.result(10).facts["canceled"] == "3"


def test_what_waits_together_goes_as_one_entry_and_each_request_counts(
    client, config, tmp_path, started
):
    """Where more wait than may, each is let in or refused alone, in its order."""
    config = replace(config, scale=replace(config.scale, lag_max=45))
    started(engine, tmp_path, config).stop()
    # given an api with more requests in its queue than have room, the last one urgent
    remote = started(RemoteOrders, config)
    waiting = [remote.home.submit(order(f"a-{n}")) for n in range(50)]
    waiting.append(remote.home.submit(OrderRequest.cancel("ann", "c-1", "a-0")))
    # when it begins to send
    remote.start()
    # then what has room is there, and what has none is refused
    refused = [each.result(10).reason for each in waiting[45:50]]
    assert refused == ["QUEUE_FULL"] * 5
    assert client.get(KEYS.waiting) == "46"
    entries = client.xrange(KEYS.commands)
    counts = [len(wire.read_commands(b"2", e["e"].encode()).requests) for _, e in entries]
    assert counts == [20, 20, *[1] * 6]
    # when an engine takes them
    started(engine, tmp_path, config)
    # then each has its answer, and nothing waits
    assert [each.result(10).client_order_id for each in waiting[:45]] == [
        f"a-{n}" for n in range(45)
    ]
    assert waiting[50].result(10).state == "CANCELED"
    wait_for(lambda: client.xlen(KEYS.commands) == 0)
    assert client.get(KEYS.waiting) == "0"


def lose_answers(link, *places):
    """Of these calls that send requests, counted from 0: Redis does what is asked, the answer does
    not arrive."""
    server = link.server()
    run, calls = server.run, itertools.count()

    def losing(script, keys, given):
        answer = run(script, keys, given)
        if script is SEND and next(calls) in places:
            raise TransportError("Redis: the answer is lost")
        return answer

    server.run = losing
    link.sending._server = server


def reason_of(future):
    try:
        return future.result(10).reason
    except OutcomeUnknownError:
        return "UNKNOWN"


def test_requests_gather_while_an_answer_is_awaited(config, tmp_path, started, monkeypatch):
    """Then all go as one entry; the engine is stopped, and tells the first answer when it may."""
    # given an engine that tells nothing
    monkeypatch.setattr(sending, "GATHER_S", 3_600.0)
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    wait_for(lambda: not remote.home.receiving._users_left)  # no question of its own is on its way
    may_tell, write = threading.Event(), made.engine.telling._write
    together, add = [], remote.home.sending._add

    def write_later(*given):
        may_tell.wait()
        write(*given)

    def add_counted(server, requests):
        together.append(len(requests))
        add(server, requests)

    monkeypatch.setattr(made.engine.telling, "_write", write_later)
    monkeypatch.setattr(remote.home.sending, "_add", add_counted)

    # when one request is sent, and others come before its answer
    first = remote.submit(order("a-0"))
    wait_for(lambda: together)
    others = [remote.submit(order(f"a-{n}")) for n in range(1, 6)]
    may_tell.set()

    # then they were sent together, and each is answered
    assert {each.result(10).state for each in [first, *others]} == {"NEW"}
    assert together == [1, 5]


def test_requests_go_though_no_answer_comes(client, config, started):
    """There is no engine."""
    remote = started(api, config, follows=False)
    for n in range(3):
        remote.submit(order(f"a-{n}"))
        wait_for(lambda sent=n + 1: client.xlen(KEYS.commands) == sent)


def test_a_question_and_what_gathered_before_it_go_at_once(client, config, started, monkeypatch):
    """In their order: who looks sees what was asked for before. There is no engine."""
    # given a request that is not answered, and one that waits for that
    monkeypatch.setattr(sending, "GATHER_S", 3_600.0)
    remote = started(api, config, follows=False)
    remote.submit(order("a-0"))
    wait_for(lambda: client.xlen(KEYS.commands) == 1)
    remote.submit(order("a-1"))

    # when somebody looks
    remote.home.ask("journal_seq")

    # then both are sent
    wait_for(lambda: client.xlen(KEYS.asks) == 1)
    assert client.xlen(KEYS.commands) == 2


def test_what_fills_a_call_is_sent_though_an_answer_is_awaited(
    client, config, started, monkeypatch
):
    """No more could go with it; there is no engine. A stop does not wait for the answer either."""
    monkeypatch.setattr(sending, "GATHER_S", 3_600.0)
    monkeypatch.setattr(sending, "BATCH_MAX", 1)
    remote = started(api, config, follows=False)
    for n in range(3):
        remote.submit(order(f"a-{n}"))
    wait_for(lambda: client.xlen(KEYS.commands) == 3)


def test_a_request_that_a_failed_call_sent_is_not_told_as_refused(config, tmp_path, started):
    """It fills the last place itself, so that there is none for its second copy."""
    config = replace(config, scale=replace(config.scale, lag_max=1))
    started(engine, tmp_path, config).stop()
    remote = RemoteOrders(config)
    lose_answers(remote.home, 0)
    started(lambda: remote).start()
    sent = remote.submit(order("a-1"))
    assert reason_of(sent) == "UNKNOWN"
    made = started(engine, tmp_path, config)
    wait_for(lambda: made.oms.get_order("ann", "a-1"))


def test_of_a_batch_that_was_sent_in_part_none_that_lives_is_told_as_refused(
    config, tmp_path, started
):
    """The first entry has room; of those that go alone the answer is lost."""
    config = replace(config, scale=replace(config.scale, lag_max=21))
    started(engine, tmp_path, config).stop()
    remote = RemoteOrders(config)
    lose_answers(remote.home, 1)
    waiting = {f"a-{n}": remote.home.submit(order(f"a-{n}")) for n in range(30)}
    started(lambda: remote).start()
    wait_for(lambda: sum(each.done() for each in waiting.values()) >= 29)
    made = started(engine, tmp_path, config)
    wait_for(lambda: len(made.oms.open_orders("ann")) == 21)
    lives = {each.client_order_id for each in made.oms.open_orders("ann")}
    reasons = {name: reason_of(each) for name, each in waiting.items()}
    assert not lives & {name for name, reason in reasons.items() if reason == "QUEUE_FULL"}


def test_a_request_that_is_sent_again_after_a_loss_is_not_told_as_refused(
    client, config, tmp_path, started
):
    """Only the stream of answers was lost: the first copy waits, and has the only place."""
    config = replace(config, scale=replace(config.scale, lag_max=1))
    started(engine, tmp_path, config).stop()
    remote = started(api, config, follows=False)
    sent = remote.submit(order("a-1"))
    wait_for(lambda: client.xlen(KEYS.commands) == 1)
    client.delete(KEYS.replies(remote.client))
    assert reason_of(sent) == "UNKNOWN"
    made = started(engine, tmp_path, config)
    wait_for(lambda: made.oms.get_order("ann", "a-1"))


def test_a_refusal_of_the_first_of_two_copies_is_not_told(client, config, tmp_path, started):
    """The engine has no room for the first, and takes the second."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    take, refused = made.oms.hand_over, []

    def refuse_first(request, asker):
        if refused:
            take(request, asker)
        else:
            wait_for(lambda: client.xlen(KEYS.commands) == 2)
            refused.append(request)
            made.oms._refuse(request.line, asker)

    made.oms.hand_over = refuse_first
    lose_answers(remote.home, 0)
    assert reason_of(remote.submit(order("a-1"))) == "UNKNOWN"
    wait_for(lambda: made.oms.get_order("ann", "a-1"))


def test_without_redis_requests_are_refused_at_once(server, config, tmp_path, started):
    """What was sent and has no answer is told as unknown once the circuit is open."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    made.engine.commands.wake()
    made.engine.stop()
    sent = remote.submit(order("a-1"))
    wait_for(lambda: server.client().xlen(KEYS.commands) == 1)
    server.kill()
    with pytest.raises(OutcomeUnknownError):
        sent.result(10)
    with pytest.raises(TransportError):
        remote.submit(order("a-2")).result(0.5)
    told = remote.get_status()["groups"]["main"]
    assert (told["ready"], told["redis"], bool(told["why"])) == (False, "open", True)
    server.start()
    wait_for(lambda: not remote.home.circuit.failures)
    assert remote.get_status()["groups"]["main"]["redis"] == "ok"


def test_requests_in_flight_survive_a_server_without_persistence(server, config, tmp_path, started):
    """Killed and started again within the circuit's patience, or asked again after: each request is
    one order."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    names = [f"a-{n}" for n in range(300)]
    futures = {name: remote.submit(order(name)) for name in names}
    server.kill()
    server.start()
    know_their_server(server, remote)
    for name, future in futures.items():
        try:
            future.result(10)
        except (OutcomeUnknownError, TransportError):
            assert remote.submit(order(name)).result(10).state == "NEW"
    assert sorted(each.client_order_id for each in made.oms.open_orders("ann")) == sorted(names)


def test_listeners_hear_every_report_once_though_redis_lost_its_data(
    server,
    config,
    tmp_path,
    started,
):
    """What the stream no longer has comes from the engine's journal."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    heard = []
    remote.add_listener(lambda response: heard.append(response.report))
    for n in range(20):
        made.oms.submit(order(f"a-{n}")).result(10)
    server.kill()
    for n in range(20, 40):
        made.oms.submit(order(f"a-{n}")).result(10)
    server.start()
    for n in range(40, 60):
        made.oms.submit(order(f"a-{n}")).result(10)
    wait_for(lambda: heard and heard[-1].client_order_id == "a-59")
    assert [each.client_order_id for each in heard] == [f"a-{n}" for n in range(60)]


def test_depth_goes_on_without_a_gap_though_turns_were_lost(server, config, tmp_path, started):
    """Ids of updates are contiguous; set one after the other they give the engine's book."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    before, updates = remote.depth_snapshot("BTC_USD"), []
    remote.add_market_listener(lambda event: updates.append(event))
    for n in range(5):
        made.oms.submit(order(f"a-{n}", price=f"{90 + n}")).result(10)
    server.kill()
    for n in range(5, 10):
        made.oms.submit(order(f"a-{n}", price=f"{90 + n}")).result(10)
    server.start()
    made.oms.submit(order("a-10", price="80")).result(10)
    wait_for(lambda: remote.depth_snapshot("BTC_USD") == made.oms.depth_snapshot("BTC_USD"))
    depth = [each for each in updates if type(each).__name__ == "DepthUpdate"]
    assert depth[0].first_id <= before.last_id + 1
    assert [each.first_id for each in depth[1:]] == [each.last_id + 1 for each in depth[:-1]]
    levels = dict(before.bids_ticks)
    for each in depth:
        levels.update(each.bids_ticks)
    assert {k: v for k, v in levels.items() if v} == dict(
        made.oms.depth_snapshot("BTC_USD").bids_ticks
    )


RULES = "docs/scale.md"


def asked_of(remote):
    """Ann's open orders, by the engine's word."""
    return remote.account_snapshot("ann").result(10).orders


def _may_count(remote):
    counts = remote.counts
    assert counts.begin("password", "ann", "a", remote.clock.monotonic_ns()) == 0
    counts.succeeded("password", "ann", "a")
    used = Used("order", f"user:{remote.client}", 10, 20, 3)
    assert (counts.settle([used]), counts.settle([used]), counts.take(used)) == (None, [None], None)
    assert not counts._alone
    memory = remote.once.memory()
    assert memory and remote.once.take(f"ticket:{remote.client}", memory=memory)


def test_access_rules_of_the_page_let_each_role_do_its_part_and_no_more(
    server,
    config,
    tmp_path,
    started,
):
    """The rules are read from the page, as a reader would copy them."""
    from tests.test_docs import ROOT

    page = (ROOT / RULES).read_text(encoding="utf-8")
    rules = [line.split()[1:] for line in page.splitlines() if re.match(r"user \w+ on ", line)]
    assert [rule[0] for rule in rules] == ["engine", "api", "broadcast"]
    with server.client() as root:
        for name, *words in rules:
            given = [each.replace("NAME", "main").replace("SECRET", "secret") for each in words]
            root.execute_command("ACL", "SETUSER", name, *given)
        root.execute_command("ACL", "SETUSER", "default", "off")
    urls = [with_password(server.url, name, "secret") for name in ("engine", "api", "broadcast")]
    as_engine, as_api, as_broadcast = (
        replace(config, scale=replace(config.scale, redis_url=url)) for url in urls
    )
    started(engine, tmp_path, as_engine)
    remote = started(api, as_api)
    assert remote.submit(order("a-1")).result(10).state == "NEW"
    _may_count(remote)
    # a broadcast hears of it, asks, and counts
    telling = started(Broadcast, as_broadcast)
    telling.start()
    wait_for(lambda: telling.home.mirror.seq and telling.home.alive)
    assert [each.client_order_id for each in asked_of(telling)] == ["a-1"]
    _may_count(telling)
    told, others = telling.home.keys.replies(telling.client), KEYS.replies(remote.client)
    wait_for(lambda: not telling.home.circuit.failures and telling.home.arms.held is not None)
    calling = telling.home.server()
    assert calling.call("EXISTS", told) == calling.call("EXISTS", others) == 1
    for command in (
        ("XADD", KEYS.commands, "*", "v", "2", "e", "forged"), ("XLEN", KEYS.commands),
        ("XREAD", "STREAMS", KEYS.commands, "0"), ("SET", KEYS.waiting, "0"),
        ("XADD", others, "*", "v", "1", "e", "forged"), ("DEL", others),
        ("XADD", KEYS.turns, "*", "v", "1", "e", "forged"), ("SET", KEYS.alive, "forged"),
        ("HSET", KEYS.fence, "number", "9"), ("FLUSHALL",),
    ):  # fmt: skip
        with pytest.raises(TransportError, match="NOPERM"):
            calling.call(*command)
    with pytest.raises(TransportError, match=r"NOPERM|ermission"):
        calling.run(SEND, [KEYS.commands, KEYS.waiting], [10])
    calling.close()
    # an api may send, and no more
    calling = remote.home.server()
    for command in (
        ("XADD", KEYS.turns, "*", "v", "1", "e", "forged"), ("HSET", KEYS.fence, "number", "9"),
        ("XDEL", KEYS.commands, "1-1"), ("DEL", KEYS.turns), ("FLUSHALL",), ("KEYS", "*"),
        ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
        ("XADD", told, "*", "v", "1", "e", "forged"), ("EXISTS", told), ("DEL", told),
    ):  # fmt: skip
        with pytest.raises(TransportError, match="NOPERM"):
            calling.call(*command)
    assert calling.run(SEND, [KEYS.commands, KEYS.waiting], [10]) == b""
    calling.close()


def test_what_an_engine_was_asked_before_it_died_is_asked_of_the_next_one(
    client, config, tmp_path, started
):
    """An api that has missed turns reads none until it has them: it asks soon again."""
    # given an api that asks for turns which it has not been told, and no engine that hears it
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    remote.submit(order("a-1")).result(10)
    wait_for(lambda: remote.home.mirror.seq == last_of(made))
    made.stop()
    missing = remote.home.mirror.seq + 100
    asked = client.xlen(KEYS.asks)
    told = TurnEntry(
        missing + 1, missing, 0, True, msgspec.Raw(b"[]"), events_told([]), [], None
    )  # fmt: skip
    client.xadd(KEYS.turns, {"v": "1", "e": encode(told)}, id=f"{missing + 1}-0")
    wait_for(lambda: client.xlen(KEYS.asks) > asked)
    client.delete(KEYS.turns)

    # when another engine serves the group
    made = started(engine, tmp_path, config)
    made.oms.submit(order("a-2")).result(10)

    # then the api knows what it has told, long before it gives up on its question
    wait_for(lambda: remote.home.mirror.seq == last_of(made), 15)
    assert remote.submit(order("a-3")).result(10).order_id
    wait_for(lambda: remote.depth_snapshot("BTC_USD") == made.oms.depth_snapshot("BTC_USD"))


def test_a_request_that_was_sent_with_a_question_that_was_not_is_unknown(
    config, client, tmp_path, started, monkeypatch
):
    """The call that failed was the second of two."""
    # given an engine that reads nothing, and a Redis that takes no questions
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    made.engine.commands.wake()
    made.engine.stop()
    send_all = Server.all

    def sends(server, commands):
        if any(KEYS.asks in each for each in commands):
            raise TransportError("Redis: a test")
        return send_all(server, commands)

    monkeypatch.setattr(Server, "all", sends)

    # when both are sent together
    sending = remote.home.sending
    with monkeypatch.context() as unheard:
        unheard.setattr(sending, "put", lambda number, **_: sending._queue.append(number))
        placed = remote.submit(order("a-1"))
    remote.home.ask("digest")

    # then of the request it is not said that nothing was sent
    with pytest.raises(OutcomeUnknownError):
        placed.result(20)
    assert client.xlen(KEYS.commands) > 0


def test_an_answer_waits_for_books_that_are_read_anew(config, tmp_path, started, monkeypatch):
    """As behind a turn of another engine, which tells no changes of books."""
    # given an api whose books are behind, and an engine that takes its time to tell them
    monkeypatch.setattr(receiving, "HELD_NS", 60 * NANOS)
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    remote.submit(order("a-1")).result(10)
    asked, gate = threading.Event(), threading.Event()
    view = made.engine.asks._own["view"]
    made.engine.asks._own["view"] = lambda: (asked.set(), gate.wait(60), view())[-1]
    remote.home.mirror.behind = True
    assert asked.wait(30)

    # when an order is placed
    placed = remote.submit(order("a-2"))
    wait_for(lambda: remote.home.receiving._held)
    gate.set()

    # then who has its answer sees it in the book
    assert placed.result(10).state == "NEW"
    assert remote.depth_snapshot("BTC_USD") == made.oms.depth_snapshot("BTC_USD")


def test_an_api_that_stops_waits_for_answers_that_are_on_their_way(config, tmp_path, started):
    """A restart of one api after the other makes no outcome unknown."""
    # given an engine that hands requests over once the api stops
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    take, held = made.oms.hand_over, threading.Event()

    def later(request, asker):
        assert held.wait(30)
        take(request, asker)

    made.oms.hand_over = later
    waiting = [remote.submit(order(f"a-{n}")) for n in range(50)]
    wait_for(lambda: not remote.home.sending._queue)

    # when it stops
    with ThreadPoolExecutor(1) as beside:
        beside.submit(lambda: wait_for(lambda: remote._stopped) or held.set())
        remote.stop()

    # then it takes nothing more, and each has its answer
    with pytest.raises(StoppedError):
        remote.submit(order("late"))
    assert [each.result(0).state for each in waiting] == ["NEW"] * 50


def test_what_an_api_that_stops_has_not_sent_was_not_done(config, tmp_path, started):
    """Of what was sent the outcome is unknown. Questions fail at once, also those of later."""
    started(engine, tmp_path, config).stop()
    remote = started(api, config, follows=False)
    sent = remote.submit(order("a-1"))
    wait_for(lambda: not remote.home.sending._queue)
    remote.home.sending._send = lambda _server: None
    left = remote.submit(order("a-2"))
    remote.stop()
    with pytest.raises(OutcomeUnknownError, match="this process stops"):
        sent.result(0)
    with pytest.raises(TransportError, match="out of reach: this process stops"):
        left.result(0)
    with pytest.raises(TransportError, match="this process stops"):
        remote.account_snapshot("ann").result(0)


def test_an_outcome_that_is_unknown_says_why(config, tmp_path, started, monkeypatch):
    """Redis is well, and the engine is away."""
    started(engine, tmp_path, config).stop()
    remote = started(api, config, follows=False)
    monkeypatch.setattr(sending, "FORGET_NS", 0)
    with pytest.raises(OutcomeUnknownError, match="none came in"):
        remote.submit(order("a-1")).result(10)


@pytest.fixture(params=["an older copy", "another one"])
def other_engine(request, server, config, tmp_path, started):
    """An api that has followed a journal; the failures that it told; a way to start an engine of
    another journal, once Redis has lost its data."""
    started(engine, tmp_path, config).stop()
    if request.param == "an older copy":
        shutil.copytree(tmp_path, tmp_path / "other", ignore=lambda *_: ["redis"])
    made = started(engine, tmp_path, config)
    died = []
    remote = api(config, on_failure=lambda _name, error: died.append(error))
    started(lambda: remote)
    for n in range(20):
        remote.submit(order(f"a-{n}")).result(10)
    wait_for(lambda: remote.home.mirror.seq == last_of(made))
    made.stop()
    server.kill()
    server.start()
    return remote, died, lambda: started(engine, tmp_path / "other", config)


def test_an_api_ends_where_a_shorter_journal_goes_on(other_engine):
    """It would go on to tell what that engine does not know, and follow none of its turns."""
    remote, died, start = other_engine
    assert last_of(start()) < remote.home.mirror.seq
    wait_for(lambda: died)
    assert isinstance(died[0], JournalError)
    assert "has to start anew" in str(died[0])


def test_an_api_ends_though_a_shorter_journal_has_overtaken_what_it_followed(other_engine):
    """The engine's first word that the api hears is of a longer journal."""
    remote, died, start = other_engine
    remote.home.sending._check_journal = lambda _ends, _followed: None
    other = start()
    while last_of(other) <= remote.home.mirror.seq:
        other.oms.submit(order(f"b-{last_of(other)}")).result(10)
    wait_for(lambda: died)
    assert isinstance(died[0], JournalError)


def test_an_api_goes_on_with_the_next_engine_of_its_journal(config, tmp_path, started):
    """Its number lies behind all that was told; turns go on."""
    died = []
    made = started(engine, tmp_path, config)
    remote = api(config, on_failure=lambda _name, error: died.append(error))
    started(lambda: remote)
    for n in range(3):
        remote.submit(order(f"a-{n}")).result(10)
        made.stop()
        made = started(engine, tmp_path, config)
        wait_for(lambda made=made: remote.home.mirror.seq == last_of(made) and remote.home.alive)
    assert remote.submit(order("a-9")).result(10).state == "NEW"
    assert died == []
