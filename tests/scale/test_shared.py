"""What several front doors share: nonces, tickets, sockets that guard orders."""

from websockets.exceptions import InvalidStatus

from oms.clock import NANOS, ManualClock
from oms.requests import AccessAction, AccessRequest
from tests.scale.parts import KEYS, api, engine, know_their_server, wait_for
from tests.web.doors import front_config
from tests.web.programs import Program
from tests.web.wires import Wire


def test_a_name_is_taken_once_by_whichever_front_door(client, config, tmp_path, started):
    """And by none where Redis is out of reach."""
    started(engine, tmp_path, config)
    one, other = started(api, config), started(api, config)
    memory = other.once.memory()
    assert one.once.take("ticket:1", memory=memory) is True
    assert other.once.take("ticket:1", memory=memory) is False
    assert other.once.take("ticket:2", memory=memory) is True
    assert client.pttl(KEYS.once("ticket:2")) > 0
    one.home.circuit.failed(one.home.pace.monotonic_ns(), "a test")
    assert one.once.take("ticket:3", memory=memory) is None


def test_what_was_made_before_redis_lost_its_data_is_taken_by_none(server, config, started):
    """Nor where Redis kept it and is started again: it may have lost the latest. A second more
    passes, as clocks differ."""
    clock = ManualClock()
    one, other = (started(api, config, clock=clock, follows=False) for _ in range(2))
    memory = one.once.memory()
    clock.advance(3)
    assert one.once.take("nonce:k:1", at_ns=clock.wall_ns() + NANOS) is True
    lost = [server.client().flushall, lambda: (server.kill(), server.start())]
    for lose in lost:
        lose()
        wait_for(lambda: {one.once.memory(), other.once.memory()}.isdisjoint(("", memory)))  # noqa: B023
        assert other.once.take("ticket:1", memory=memory) is None
        memory = one.once.memory()
        assert one.once.take("ticket:1", memory=memory) is True
        for at_s in (0, 1):
            assert other.once.take("nonce:k:1", at_ns=clock.wall_ns() + at_s * NANOS) is None
        assert other.once.take("nonce:k:2", at_ns=clock.wall_ns() + 2 * NANOS) is True
        clock.advance(10)


def test_a_front_door_whose_clock_is_wrong_refuses_others_nothing(config, started):
    """It was the first to ask, an hour ahead of the others."""
    clock = ManualClock()
    wrong = started(api, config, clock=ManualClock(clock.wall_ns() + 3600 * NANOS), follows=False)
    right = started(api, config, clock=clock, follows=False)
    wait_for(wrong.once.memory)
    assert right.once.take("nonce:k:1", at_ns=clock.wall_ns()) is None
    clock.advance(3)
    assert right.once.take("nonce:k:1", at_ns=clock.wall_ns()) is True
    assert right.once.take("nonce:k:1", at_ns=clock.wall_ns()) is False


def test_no_front_door_takes_again_what_was_taken_before_redis_lost_its_data(start_split, server):
    """A signed request and a ticket that one has taken, at another one."""
    one = start_split(front_config())
    other = start_split(beside=one)
    ann = one.user("ann")
    bot = Program.of(ann, ["read"])
    wait_for(lambda: other.remote.access.key(bot.key))

    def me(door, headers):
        return door.http.get("/me", headers=headers).status_code

    def enters(ticket):
        try:
            with Wire(other, query=f"?ticket={ticket}"):
                return True
        except InvalidStatus:
            return False

    # given both taken
    both = bot.signed("GET", "/me")
    assert (me(one, both), me(other, both)) == (200, 401)
    signed, ticket = bot.signed("GET", "/me"), ann.ask("POST", "/ticket").json()["ticket"]
    assert me(one, signed) == 200
    with Wire(one, query=f"?ticket={ticket}") as wire:
        assert wire.welcome["user"] == "ann"

    # when Redis loses all
    server.kill()
    server.start()
    know_their_server(server, other.remote)
    wait_for(lambda: not other.remote.home.circuit.failures and not other.server.gate.is_stale())

    # then neither is taken again, and new ones are
    told = set()

    def is_taken_anew():
        told.add(me(other, signed))
        return me(other, bot.signed("GET", "/me")) == 200

    wait_for(is_taken_anew)
    assert told <= {401, 503}
    assert not enters(ticket)
    wait_for(lambda: not one.remote.home.circuit.failures)
    assert enters(ann.ask("POST", "/ticket").json()["ticket"])


def test_the_arms_of_a_front_door_that_died_are_found_by_another(config, tmp_path, started):
    """Those of one that lives are not."""
    made = started(engine, tmp_path, config)
    one, other = started(api, config), started(api, config)
    signed = AccessRequest(
        account="gate", client_order_id="s", action=AccessAction.SIGN_UP, user="ann",
        facts={"email": "ann@example.com", "hash": "$x", "role": "trader", "accounts": "ann"},
    )  # fmt: skip
    assert not one.submit(signed).result(10).refused
    armed = AccessRequest(
        account="gate", client_order_id="a", action=AccessAction.ARM, user="ann",
        facts={"account": "ann", "scope": "account", "grace_s": "1"},
    )  # fmt: skip
    assert not one.submit(armed).result(10).refused
    [arm] = made.oms.access.user("ann").arms
    wait_for(lambda: other.home.arms.held == {arm.arm_id}, 20)
    assert other.lost_arms() == other.lost_arms() == []
    one.stop()
    wait_for(lambda: other.home.arms.held == set(), 20)
    assert (other.lost_arms(), other.lost_arms()) == ([], [("ann", arm)])
