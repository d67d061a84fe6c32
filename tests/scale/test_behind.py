"""Whoever has missed turns gets them from the engine, which serves all others meanwhile."""

import threading
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from oms.roles import turns
from oms.roles.remote import RemoteOrders
from oms.transport import wire
from tests.scale.parts import KEYS, api, engine, order, wait_for
from tests.scale.test_engine import last_of


@contextmanager
def busy(oms):
    """The dispatcher's thread is held: nothing goes on that needs it."""
    held, over = threading.Event(), threading.Event()
    oms.between_turns(lambda _desk, _intake: (held.set(), over.wait(60)))
    assert held.wait(30)
    try:
        yield
    finally:
        over.set()


def after(remote, seq):
    """Sequences that the engine makes again behind `seq`."""
    contents = remote.home.ask("turns_after", seq).result(10)
    return [wire.decode_turn(each).seq for each in contents], sum(map(len, contents))


def test_turns_are_made_again_beside_the_dispatcher(config, tmp_path, started):
    """A page of them takes as long as thousands of orders."""
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    begin = last_of(made)
    for n in range(5):
        made.oms.submit(order(f"a-{n}")).result(10)
    with busy(made.oms):
        found, _ = after(remote, begin)
    assert found == list(range(begin + 2, last_of(made) + 1, 2))


def test_a_page_of_turns_is_bounded_by_its_bytes(config, tmp_path, started, monkeypatch):
    """By one turn more at most; the next page goes on behind it."""
    monkeypatch.setattr(turns, "PAGE_BYTES", 2_000)
    made = started(engine, tmp_path, config)
    remote = started(api, config)
    begin = seq = last_of(made)
    for n in range(30):
        made.oms.submit(order(f"a-{n}")).result(10)
    pages = []
    while seq < last_of(made):
        found, size = after(remote, seq)
        assert size < 3_000
        pages.append(found)
        seq = found[-1]
    assert len(pages) > 1
    assert [seq for page in pages for seq in page] == list(range(begin + 2, last_of(made) + 1, 2))


def test_who_has_missed_turns_reads_none_until_it_has_them(
    client, config, tmp_path, started, monkeypatch
):
    """The stream may have thousands: they would be read again for each page, and dropped."""
    # given a stream that lacks forty turns, and has forty later ones
    monkeypatch.setattr(turns, "PAGE", 5)
    made = started(engine, tmp_path, config)
    begin = last_of(made)
    for n in range(80):
        made.oms.submit(order(f"a-{n}")).result(10)
    wait_for(lambda: client.xrevrange(KEYS.turns, count=1)[0][0] == f"{last_of(made)}-0")
    client.xtrim(KEYS.turns, minid=begin + 81, approximate=False)

    # when an api that knows nothing of them follows
    remote = RemoteOrders(config)
    link = remote.home
    link.mirror.seq, link.alive_ns = begin, link.pace.monotonic_ns()
    link.mirror.behind, link.receiving._users_left = False, False
    asked, read = [], []

    def ask(method, *given):
        link.alive_ns = link.pace.monotonic_ns()
        answer = Future()
        if method == "turns_after":
            asked.extend(given)
            answer.set_result(made.engine.asks._turns_after(*given))
        return answer

    monkeypatch.setattr(link, "ask", ask)
    link.receiving._server = server = link.server(reads=True)
    own = server.read

    def counted(ids, count):
        found = own(ids, count)
        read.extend(found.get(KEYS.turns, ()))
        return found

    monkeypatch.setattr(server, "read", counted)
    for _ in range(40):
        link.receiving.step()
        if link.mirror.seq == last_of(made):
            break
    server.close()

    # then it is where the engine is, by pages, and has read what is there twice: to see that turns
    # are missing, and when it had them
    assert link.mirror.seq == last_of(made)
    assert len(asked) == 8
    assert len(read) <= 80


@pytest.mark.parametrize("waiting", [0, 3])
def test_an_engine_tells_what_it_did_not_beside_its_dispatcher(
    waiting, client, config, tmp_path, started, monkeypatch
):
    """All but the last turns, page by page, and none twice."""
    monkeypatch.setattr(turns, "PAGE", 4)
    made = started(engine, tmp_path, config)
    for n in range(16 + waiting):
        made.oms.submit(order(f"a-{n}")).result(10)
    wait_for(lambda: client.xrevrange(KEYS.turns, count=1)[0][0] == f"{last_of(made)}-0")
    made.stop()
    kept = client.xrange(KEYS.turns)
    client.delete(KEYS.turns)
    again, own = [], turns.made_again
    monkeypatch.setattr(
        "oms.roles.telling.made_again", lambda *given: again.append(own(*given)) or again[-1]
    )
    made = started(engine, tmp_path, config)
    wait_for(lambda: client.xlen(KEYS.turns) >= len(kept) + 2)
    told = [wire.decode_turn(fields["e"].encode()) for _, fields in client.xrange(KEYS.turns)]
    assert [each.after for each in told[1:]] == [each.seq for each in told[:-1]]
    assert sum(len(page.turns) for page in again) < 4
