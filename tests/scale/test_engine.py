"""The engine's end of the way: what it reads, tells and acknowledges, and what it does not."""

import json
import re
import socketserver
import threading
from pathlib import Path

import pytest

from oms import app, manager
from oms.commands import children
from oms.errors import FencedError, TransportError
from oms.roles import engine as engine_role
from oms.transport import wire
from oms.transport.server import Server, ServerRefusalError, check_server
from tests.scale.parts import KEYS, api, engine, know_their_server, order, wait_for

POSTGRES_MD = Path(__file__).parents[2] / "docs/postgres.md"
INFO = b"$23\r\nrole:master\r\nrun_id:1\r\n\r\n"


def put(client, *names, number=1, asker="tester"):
    """Requests in one entry of the stream, as an api writes it."""
    asked = [wire.asked(at, 0, order(name)) for at, name in enumerate(names, number)]
    content = wire.commands(asker, asked)
    return client.xadd(KEYS.commands, {"v": wire.COMMANDS_VERSION, "e": content})


def replies(client, asker="tester"):
    found = client.xrange(KEYS.replies(asker))
    told = [fields["e"].encode() for _, fields in found if fields["v"] == "1"]
    return [reply for each in told for reply in wire.decode_replies(each)]


def listening(client, asker="tester"):
    client.xadd(KEYS.replies(asker), {"v": "0", "e": ""})


def test_an_engine_whose_threads_all_hang_ends_in_the_time_that_the_docs_tell():
    """So long, at most, all that is waited for at a stop is, one after the other; each gateway that
    may be open is."""
    one_manager = manager.STOP_S_MAX + manager.SIDE_STOP_S
    gateways = 2 * app.GATEWAY_STOP_S + app.ASIDE_STOP_S
    longest_s = app.TICK_S + one_manager + 2 * engine_role.STOP_S + gateways + app.LOG_STOP_S
    told = re.search(
        r"within ([0-9]+) s even if each of its threads hangs", POSTGRES_MD.read_text()
    )
    assert told is not None
    assert longest_s <= int(told[1]) <= children.STOP_S_MAX  # so long `cluster` waits for it


def test_a_request_is_journaled_told_answered_and_then_acknowledged(
    client, config, tmp_path, started
):
    made = started(engine, tmp_path, config)
    listening(client)
    put(client, "a-1", number=7)
    wait_for(lambda: replies(client))
    [reply] = replies(client)
    answer = wire.decode_answered(bytes(reply.content))
    assert (reply.number, answer.reports[-1].client_order_id) == (7, "a-1")
    assert made.oms.get_order("ann", "a-1").journal_seq == reply.seq
    assert client.xrange(KEYS.turns, f"{reply.seq}-0", f"{reply.seq}-0")
    wait_for(lambda: client.xlen(KEYS.commands) == 0)
    assert client.xpending(KEYS.commands, "engine")["pending"] == 0


def test_of_one_turn_each_api_gets_its_own_answers(client, config, tmp_path, started):
    """Requests that waited for the engine are of one turn, and told in one step."""
    askers = ("one", "two", "three")
    for number, asker in enumerate(askers):
        listening(client, asker)
        put(client, f"a-{number}", number=number, asker=asker)
    started(engine, tmp_path, config)
    for number, asker in enumerate(askers):
        wait_for(lambda asker=asker: replies(client, asker))
        [reply] = replies(client, asker)
        answer = wire.decode_answered(bytes(reply.content))
        assert (reply.number, answer.reports[-1].client_order_id) == (number, f"a-{number}")


def test_every_turn_is_told_under_its_journal_sequence(client, config, tmp_path, started):
    """Without a gap: each names the one before."""
    made = started(engine, tmp_path, config)
    for n in range(20):
        made.oms.submit(order(f"a-{n}")).result(10)
    last = made.oms.dispatcher.fold.last_seq
    wait_for(lambda: client.xrevrange(KEYS.turns, count=1)[0][0] == f"{last}-0")
    turns = [wire.decode_turn(fields["e"].encode()) for _, fields in client.xrange(KEYS.turns)]
    assert [each.after for each in turns[1:]] == [each.seq for each in turns[:-1]]


@pytest.mark.parametrize(
    ("version", "content"),
    [("2", "no json"), ("9", '["tester",[[5,0,{}]]]'), ("2", '["tester",[]]'), ("1", "[]")],
)
def test_what_cannot_be_read_is_set_aside_and_the_next_is_handled(
    client, config, tmp_path, started, version, content
):
    """Kept in `dead` with the reason, acknowledged; whose it is cannot be told."""
    started(engine, tmp_path, config)
    listening(client)
    client.xadd(KEYS.commands, {"v": version, "e": content})
    put(client, "a-1", number=6)
    wait_for(lambda: replies(client))
    assert [(each.number, each.error) for each in replies(client)] == [(6, None)]
    [(_, dead)] = client.xrange(KEYS.dead)
    assert (dead["e"], dead["v"]) == (content, version)
    assert "expected" in dead["why"]
    wait_for(lambda: client.xlen(KEYS.commands) == 0)


@pytest.mark.parametrize("bad", ['{"request":"NEW"}', '{"request":"NEW","account":"a\\"b"}', "7"])
def test_a_bad_request_is_answered_as_an_error_and_those_beside_it_are_handled(
    client, config, tmp_path, started, bad
):
    """It alone is kept in `dead`, as an entry of its own."""
    started(engine, tmp_path, config)
    listening(client)
    good = [wire.asked(number, 0, order(f"a-{number}")).decode() for number in (4, 6)]
    content = f'["tester",[{good[0]},[5,0,{bad}],{good[1]}]]'
    client.xadd(KEYS.commands, {"v": "2", "e": content})
    wait_for(lambda: len(replies(client)) == 3)
    told = {each.number: each.error and each.error.kind for each in replies(client)}
    assert told == {4: None, 5: "ValidationError", 6: None}
    [(_, dead)] = client.xrange(KEYS.dead)
    assert (dead["e"], dead["v"]) == (f'["tester",[[5,0,{bad}]]]', "2")
    wait_for(lambda: client.xlen(KEYS.commands) == 0)


def test_an_entry_of_an_api_of_the_version_before_is_handled(client, config, tmp_path, started):
    """One request, without a list."""
    started(engine, tmp_path, config)
    listening(client)
    [number, sent_ns, request] = json.loads(wire.asked(7, 0, order("a-1")))
    content = json.dumps(["tester", number, sent_ns, request])
    client.xadd(KEYS.commands, {"v": "1", "e": content})
    wait_for(lambda: replies(client))
    assert [(each.number, each.error) for each in replies(client)] == [(7, None)]
    wait_for(lambda: client.xlen(KEYS.commands) == 0)


def test_what_was_read_and_not_acknowledged_is_handled_by_the_next_engine(
    client, config, tmp_path, started
):
    """Its own pending entries come first, then new ones; a known id is no second order."""
    first = started(engine, tmp_path, config)
    first.oms.submit(order("a-1")).result(10)
    first.stop()
    # given two requests that an engine had read when it died, one of them in the journal
    put(client, "a-1", number=1)
    put(client, "a-2", number=2)
    client.xreadgroup("engine", "engine", {KEYS.commands: ">"})
    put(client, "a-3", number=3)
    listening(client)

    # when the next engine starts
    second = started(engine, tmp_path, config)
    wait_for(lambda: len(replies(client)) == 3)

    # then each is answered, in order, and each is one order
    assert [each.number for each in replies(client)] == [1, 2, 3]
    assert len(second.oms.orders("ann").orders) == 3
    wait_for(lambda: client.xlen(KEYS.commands) == 0)


def test_a_request_is_not_acknowledged_before_it_is_answered(
    client, config, tmp_path, started, monkeypatch
):
    """An engine reads it and gets no further: it is pending, and the next one answers it."""
    first = started(engine, tmp_path, config)
    monkeypatch.setattr(first.oms, "hand_over", lambda _request, _asker: None)
    put(client, "a-1")
    listening(client)
    wait_for(lambda: client.xpending(KEYS.commands, "engine")["pending"] == 1)
    first.stop()
    assert (replies(client), client.xlen(KEYS.commands)) == ([], 1)
    second = started(engine, tmp_path, config)
    wait_for(lambda: replies(client))
    assert [each.client_order_id for each in second.oms.open_orders("ann")] == ["a-1"]


def test_a_request_of_which_engines_died_is_set_aside(client, config, tmp_path, started):
    """By its delivery count; those beside it are handled."""
    started(engine, tmp_path, config).stop()
    listening(client)
    killer, other = put(client, "a-1", number=1), put(client, "a-2", number=2)
    client.xreadgroup("engine", "engine", {KEYS.commands: ">"})
    for _ in range(config.scale.deliveries_max):
        client.xclaim(KEYS.commands, "engine", "engine", 0, [killer])
    started(engine, tmp_path, config)
    wait_for(lambda: len(replies(client)) == 2)
    assert {each.number: each.error is None for each in replies(client)} == {1: False, 2: True}
    [(_, dead)] = client.xrange(KEYS.dead)
    assert "ended 4 times" in dead["why"]
    assert other
    wait_for(lambda: client.xlen(KEYS.commands) == 0)


def test_of_an_entry_with_one_request_that_kills_engines_the_others_are_handled(
    client, config, tmp_path, started
):
    """After too many deaths each is handled alone, and noted before; the one that was noted at the
    next death is set aside."""
    started(engine, tmp_path, config).stop()
    listening(client)
    entry = put(client, "a-1", "a-2", "a-3", number=1)
    client.xreadgroup("engine", "engine", {KEYS.commands: ">"})
    for _ in range(config.scale.deliveries_max):
        client.xclaim(KEYS.commands, "engine", "engine", 0, [entry])
    client.hset(KEYS.fence, "tried", f"{entry} 1")  # the engine before died of the second one
    made = started(engine, tmp_path, config)
    wait_for(lambda: len(replies(client)) == 3)
    told = {each.number: each.error is None for each in replies(client)}
    assert told == {1: True, 2: False, 3: True}
    assert len(made.oms.orders("ann").orders) == 2
    [(_, dead)] = client.xrange(KEYS.dead)
    assert wire.read_commands(b"2", dead["e"].encode()).requests[0].number == 2
    wait_for(lambda: client.xlen(KEYS.commands) == 0)


def test_an_entry_is_acknowledged_with_its_last_answer(client, config, tmp_path, started):
    """Before, it is pending: who dies then handles all of it again, and each is one order."""
    first = started(engine, tmp_path, config)
    first.oms.submit(order("a-1")).result(10)
    first.stop()
    listening(client)
    put(client, "a-1", "a-2", number=1)
    client.xreadgroup("engine", "engine", {KEYS.commands: ">"})
    second = started(engine, tmp_path, config)
    wait_for(lambda: client.xlen(KEYS.commands) == 0)
    answers = {each.number: wire.decode_answered(bytes(each.content)) for each in replies(client)}
    assert [answers[n].reports[-1].client_order_id for n in (1, 2)] == ["a-1", "a-2"]
    assert len(second.oms.orders("ann").orders) == 2


def test_what_was_committed_and_not_told_is_told_by_the_next_engine(
    client, config, tmp_path, started
):
    """From the journal, behind the last id in `evt`."""
    first = started(engine, tmp_path, config)
    first.oms.submit(order("a-1")).result(10)
    wait_for(lambda: client.xrevrange(KEYS.turns, count=1)[0][0] == f"{last_of(first)}-0")
    first.engine.stop()  # it tells nothing more
    first.oms.submit(order("a-2", "SELL")).result(10)
    first.oms.submit(order("a-3")).result(10)
    first.stop()
    second = started(engine, tmp_path, config)
    wait_for(lambda: client.xrevrange(KEYS.turns, count=1)[0][0] == f"{last_of(second)}-0")
    turns = [wire.decode_turn(fields["e"].encode()) for _, fields in client.xrange(KEYS.turns)]
    assert [each.after for each in turns[1:]] == [each.seq for each in turns[:-1]]
    told = [r.client_order_id for each in turns for r in wire.decode_reports(each.reports)]
    assert {"a-1", "a-2", "a-3"} <= set(told)


def last_of(made):
    return made.oms.dispatcher.fold.last_seq


def test_an_engine_of_another_journal_is_refused(config, tmp_path, started):
    started(engine, tmp_path / "a", config)
    with pytest.raises(FencedError, match="another journal"):
        started(engine, tmp_path / "b", config)


def test_an_engine_that_another_took_the_place_of_reads_and_tells_nothing(
    client, config, tmp_path, started
):
    """Its number is lower: no entry moves, and it ends."""
    stale = started(engine, tmp_path, config)
    wait_for(lambda: client.exists(KEYS.alive))
    client.hset(KEYS.fence, "number", last_of(stale) + 100)
    told = client.xlen(KEYS.turns)
    listening(client)
    put(client, "a-1")
    wait_for(lambda: stale.died)
    assert all(isinstance(error, FencedError) for _, error in stale.died)
    assert client.xlen(KEYS.turns) == told
    assert client.xlen(KEYS.commands) == 1
    assert replies(client) == []


def test_an_engine_that_another_took_the_place_of_leaves_what_the_other_says(
    client, config, tmp_path, started
):
    """Told to stop, or about to note a request, it changes nothing of the next one's."""
    stale = started(engine, tmp_path, config)
    stale.engine.stop()
    client.hset(KEYS.fence, "number", last_of(stale) + 100)
    client.set(KEYS.alive, "the next one's")
    stale.engine.telling.finish()
    assert client.get(KEYS.alive) == "the next one's"

    entry = put(client, "a-1", "a-2")
    calling = stale.engine.server()
    with pytest.raises(FencedError, match="a later engine"):
        stale.engine.commands._park(calling, entry.encode(), 4)
    calling.close()
    assert not client.hexists(KEYS.fence, "tried")


def test_an_older_copy_of_the_journal_is_refused(client, config, tmp_path, started):
    """What Redis told of is more than it has."""
    made = started(engine, tmp_path, config)
    last = last_of(made)
    made.stop()
    client.xadd(KEYS.turns, {"v": "1", "e": ""}, id=f"{last + 50}-0")
    with pytest.raises(FencedError, match="older copy"):
        started(engine, tmp_path, config)


def test_a_server_that_throws_entries_away_is_refused(client, config, tmp_path, started):
    client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(TransportError, match="noeviction"):
        started(engine, tmp_path, config)


def test_a_connection_that_the_server_closed_is_made_anew_by_the_next_call(server, client):
    """As a proxy or the server's own time-out closes what is idle: no call fails for that."""
    calling = Server(server.url, 1)
    calling.call("PING")
    client.client_kill_filter(_type="normal", skipme=True)
    assert calling.all([("PING",), ("ECHO", "a")]) == [b"PONG", b"a"]
    calling.close()


def test_of_several_commands_the_first_error_is_told_and_all_are_answered(server, client):
    calling = Server(server.url, 1)
    with pytest.raises(ServerRefusalError, match="unknown command 'FIRST'") as raised:
        calling.all([("SET", "a", "1"), ("FIRST",), ("SECOND",), ("SET", "b", "2")])
    assert raised.value.code == "unknown"
    assert (client.get("a"), client.get("b")) == ("1", "2")
    assert calling.call("ECHO", "c") == b"c"
    calling.close()


def test_no_call_is_repeated_and_each_gives_up(server):
    """A server that hangs: one call, one time-out."""
    calling = Server(server.url, 1)
    calling.call("PING")
    server.stop_for_a_while()
    with pytest.raises(TransportError):
        calling.call("XADD", "x", "*", "a", "1")
    server.go_on()
    with server.client() as looking:
        wait_for(lambda: looking.xlen("x") >= 1)
    assert calling.call("PING") == b"PONG"
    with server.client() as looking:
        assert looking.xlen("x") == 1
    check_server(calling)
    calling.close()


def test_what_may_have_arrived_is_not_sent_again():
    """A connection that ends behind the request, before its answer: one request came."""
    heard = []

    class Cut(socketserver.BaseRequestHandler):
        def handle(self):
            while piece := self.request.recv(65_536):
                if b"XADD" in piece:
                    heard.append(piece)
                    return
                info = b"INFO" in piece
                self.request.sendall(b"+OK\r\n" * (piece.count(b"*") - info) + INFO * info)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Cut) as cutting:
        thread = threading.Thread(target=cutting.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        calling = Server(f"redis://127.0.0.1:{cutting.server_address[1]}/0", 2)
        with pytest.raises(TransportError):
            calling.call("XADD", "x", "*", "a", "1")
        calling.close()
        cutting.shutdown()
        thread.join()
    assert len(heard) == 1


def test_redis_may_lose_all_it_has_while_the_engine_runs(server, config, tmp_path, started):
    """The group of readers is made anew, and what comes then is answered."""
    started(engine, tmp_path, config)
    remote = started(api, config)
    remote.submit(order("a-1")).result(10)
    server.kill()
    server.start()
    know_their_server(server, remote)
    assert remote.submit(order("a-2")).result(10).state == "NEW"
    assert remote.submit(order("a-1")).result(10).repeated
