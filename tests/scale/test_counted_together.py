"""Two front doors of one engine: who goes from one to the other has no more tries, nor requests."""

import threading

import pytest

from oms.clock import ManualClock
from oms.gateways.web.limits import LOGIN, ORDER, Allowance
from tests.processes import wait_until
from tests.scale.parts import KEYS
from tests.scale.processes import Role, ready, settings
from tests.scale.servers import RedisServer, wait_for
from tests.web.doors import PASSWORD, User, front_config
from tests.web.served import Session

LOCKED = "LOGINS_EXCEED_MAXIMUM"


def log_in(door, name="ann", password="wrong one"):
    return door.http.post("/login", json={"username": name, "password": password})


def at(door, user):
    """The same user, at another front door."""
    return User(door, user.name, user.tokens)


def slowly(cost, burst, *doors):
    """So many at once, and then one in a quarter of an hour."""
    for door in doors:
        door.server._door.limits._allowances[cost] = Allowance(0.001, burst)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def doors(start_split, clock):
    """Their time stands still until the test moves it."""
    first = start_split(front_config(), clock=clock)
    return first, start_split(beside=first)


def test_a_lock_out_holds_at_every_front_door_also_where_redis_lost_its_data(doors, server, clock):
    """And where Redis is away, at the one that knows of it."""
    one, other = doors
    one.user("ann")
    clock.advance(1)

    # given failures, at each of them in turns, until one has to wait for 8 s
    tried, wait_s = 0, 0
    while wait_s < 8:
        answer = log_in(doors[tried % 2])
        tried += answer.status_code == 401
        wait_s = int(answer.headers.get("retry-after", "0"))
        if wait_s < 8:
            clock.advance(wait_s)
            wait_for(lambda: not any(door.server.gate.is_stale() for door in doors))

    # then there were no more of them than one front door allows, and both say to wait
    assert tried == 8
    for door in doors:
        assert log_in(door, password=PASSWORD).json()["error"]["code"] == LOCKED

    # when Redis is killed, one that knows goes on alone; and both know once it is back
    known = other.remote.counts._since
    server.kill()
    assert log_in(one, password=PASSWORD).json()["error"]["code"] == LOCKED
    server.start()
    wait_for(lambda: all(known != door.remote.counts._since for door in doors))
    for door in doors:
        assert log_in(door, password=PASSWORD).json()["error"]["code"] == LOCKED
    clock.advance(8)
    wait_for(lambda: not any(door.server.gate.is_stale() for door in doors))
    assert log_in(other, password=PASSWORD).status_code == 200


def test_codes_of_the_second_factor_are_counted_together(doors):
    """Five that are wrong, spread over both, and both say to wait."""
    one, other = doors
    ann = one.user("ann")
    told = [
        at(door, ann).ask("POST", "/factor", {"code": "000000"}).json()["error"]["code"]
        for door in (one, other, one, other, one, other)
    ]
    assert told == ["CODE_INVALID"] * 5 + [LOCKED]


def test_sign_ups_and_logins_of_an_address_are_so_many_at_all_front_doors_together(doors):
    """Ten at once, wherever they are asked for; at both at the same time, too."""
    answers = []

    def ask(door, name):
        said = {"username": name, "email": f"{name}@example.com", "password": "short"}
        answers.append(door.http.post("/signup", json=said).status_code)

    slowly(LOGIN, 10, *doors)
    asking = [
        threading.Thread(target=ask, args=(door, f"u{n}")) for n in range(8) for door in doors
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join(30)
    assert sorted(answers) == [400] * 10 + [429] * 6


def test_the_limit_of_both_together_holds_soon_and_answers_are_as_before(
    start_split, clock, client
):
    """One who uses both has no more than one, once both have heard."""
    one = start_split(front_config(orders_max=10), clock=clock)
    other = start_split(beside=one)
    ann = one.user("ann")
    slowly(ORDER, 20, one, other)
    limits = other.server._door.limits
    first = [ann.buy("1", "9") for _ in range(20)]
    assert [each.status_code for each in first] == [201] * 20
    assert [each.headers["ratelimit-remaining"] for each in first] == [
        str(n) for n in reversed(range(20))
    ]
    told = KEYS.limit(ORDER, "user:ann")
    wait_for(lambda: float((client.get(told) or "20").split()[0]) < 2)  # one may be told later
    there, counts = at(other, ann), other.remote.counts
    wait_for(lambda: counts._since and not counts._anew)
    assert [there.buy("1", "9").status_code for _ in range(2)] == [201] * 2
    wait_for(lambda: limits._buckets[ORDER, "user:ann"].tokens < 1)
    refused = there.buy("1", "9")
    assert refused.status_code == 429
    assert refused.headers["ratelimit-remaining"] == "0"
    assert int(refused.headers["retry-after"]) >= 1


def test_while_redis_hangs_requests_are_still_counted(doors, server):
    """Each front door alone, and none waits for it."""
    one, _ = doors
    server.stop_for_a_while()
    try:
        wait_for(lambda: one.remote.home.circuit.failures > 0)
        answers = [one.http.get("/time") for _ in range(3)]
        left = [int(each.headers["ratelimit-remaining"]) for each in answers]
        assert [each.status_code for each in answers] == [200] * 3
        assert left == sorted(left, reverse=True)
    finally:
        server.go_on()
    wait_for(lambda: not one.remote.home.circuit.failures)
    wait_for(lambda: not one.remote.counts._alone)


@pytest.mark.slow
def test_a_lock_out_of_processes_outlives_redis(tmp_path):
    """As the roles are started by people: an engine, two apis, a server that is killed."""
    server = RedisServer(tmp_path / "redis").start()
    config = settings(tmp_path)
    engine = Role(tmp_path, config, server.url, "engine")
    apis = [Role(tmp_path / str(n), config, server.url, "api") for n in range(2)]
    try:
        for role in (engine, *apis):
            role.start()
        ready(apis)
        said = {"username": "ann", "email": "ann@example.com", "password": PASSWORD}
        assert told(apis[0], "/signup", said).status == 201
        tried = 0
        answer = None
        while answer is None or int(answer.headers.get("retry-after", "0")) < 16:
            said = {"username": "ann", "password": "wrong one"}
            answer = told(apis[tried % 2], "/login", said)
            tried += answer.status == 401
        assert tried <= 11
        server.kill()
        server.start()
        ready(apis)
        good = {"username": "ann", "password": PASSWORD}
        for api in reversed(apis):
            answer = told(api, "/login", good)
            assert answer.told["error"]["code"] == LOCKED, answer
        wait_until(lambda: told(apis[1], "/login", good).status == 200, 60)
    finally:
        for role in (*apis, engine, server):
            role.kill()


def told(api, path, said):
    session = Session(api.url, timeout_s=10)
    try:
        return session.ask("POST", path, said)
    finally:
        session.close()
