"""What several front doors share: nonces, tickets, sockets that guard orders."""

from oms.requests import AccessAction, AccessRequest
from tests.scale.parts import KEYS, api, engine, wait_for


def test_a_name_is_taken_once_by_whichever_front_door(client, config, tmp_path, started):
    """And by none where Redis is out of reach."""
    started(engine, tmp_path, config)
    one, other = started(api, config), started(api, config)
    assert one.once("nonce:k:1", 10_000)
    assert not other.once("nonce:k:1", 10_000)
    assert other.once("nonce:k:2", 10_000)
    assert client.pttl(KEYS.once("nonce:k:2")) > 0
    one.home.circuit.failed(one.home.pace.monotonic_ns(), "a test")
    assert not one.once("nonce:k:3", 10_000)


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
    wait_for(lambda: other.home.sending.held_arms == {arm.arm_id}, 20)
    assert other.lost_arms() == other.lost_arms() == []
    one.stop()
    wait_for(lambda: other.home.sending.held_arms == set(), 20)
    assert (other.lost_arms(), other.lost_arms()) == ([], [("ann", arm)])
