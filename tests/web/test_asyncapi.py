"""/asyncapi.json describes what really crosses a WebSocket, and nothing else."""

import jsonschema
import pytest

from oms.gateways.web.messages import SAID, TOLD
from oms.gateways.web.sockets import OPS
from oms.gateways.web.streams import CHANNELS, OF_ACCOUNT
from tests.web.test_messages import story
from tests.web.wires import Wire


@pytest.fixture
def described(door):
    return door.http.get("/asyncapi.json").json()


def refs_in(value):
    """Every $ref in a part of a document."""
    if isinstance(value, list):
        for each in value:
            yield from refs_in(each)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from refs_in(each)


def at(document, ref):
    """What a $ref stands for."""
    found = document
    for name in ref.removeprefix("#/").split("/"):
        found = found[name]
    return at(document, found["$ref"]) if set(found) == {"$ref"} else found


def named(operation):
    """The names of its messages, and of those that answer it."""
    told = [*operation["messages"], *operation.get("reply", {}).get("messages", ())]
    return {each["$ref"].rpartition("/")[2] for each in told}


def test_all_ops_and_channels_are_there_and_all_that_is_named(described):
    """Each op is received, each channel sent; every message belongs to one of them."""
    operations = described["operations"]
    received = {each["title"] for each in operations.values() if each["action"] == "receive"}
    sent = {each["title"] for each in operations.values() if each["action"] == "send"}
    assert received == set(OPS)
    assert sent == {*CHANNELS, "welcome", "ended", "heartbeat"}
    assert {name for name in OF_ACCOUNT if "security" in operations[name]} == set(OF_ACCOUNT)
    assert "security" not in operations["depth"]
    for ref in refs_in(described):
        assert at(described, ref) is not None, ref
    kinds = {kind.__name__ for kind in (*SAID, *TOLD)} - {"Do"}  # each op of it has its own
    assert set.union(*map(named, operations.values())) >= kinds
    assert described["channels"]["socket"]["address"] == "/ws"


class Described(Wire):
    """A wire whose every message, both ways, has to be one of its operation's."""

    def __init__(self, door, user=None):
        self.document = door.http.get("/asyncapi.json").json()
        self.operations = {each["title"]: each for each in self.document["operations"].values()}
        self.payloads = {}
        for name, message in self.document["components"]["messages"].items():
            schema = {**message["payload"], "components": self.document["components"]}
            jsonschema.Draft7Validator.check_schema(schema)
            self.payloads[name] = jsonschema.Draft7Validator(schema)
        super().__init__(door, user)

    def say(self, **message):
        self.fits(message, self.operations[message["op"]]["messages"])
        super().say(**message)

    def fits(self, message, refs):
        """Which one it is."""
        names = [each["$ref"].rpartition("/")[2] for each in refs]
        found = [name for name in names if self.payloads[name].is_valid(message)]
        assert len(found) == 1, f"{message} is {found} of {names}"
        return found[0]

    def check(self):
        """Which operations told it something, and by which messages."""
        seen = set()
        for message in [*self.told, *self.beats]:
            name = message.get("op") or message["channel"]
            if message.get("event") == "ENDED":
                name = "ended"
            operation = self.operations[name]
            told = operation.get("reply", operation)
            seen.add((name, self.fits(message, told["messages"])))
        return seen


def test_what_a_socket_says_and_is_told_is_as_described(door):
    seen = story(door, 120, wire_of=Described)
    assert {name for name, _ in seen} >= {
        *CHANNELS, *OPS, "welcome", "ended", "heartbeat"
    } - {"session", "order.modify", "order.cancel"}  # fmt: skip
    assert {("subscribe", "Begun"), ("order.place", "order_place_answer")} <= seen
    assert ("order.status", "Refused") in seen


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ("order_place", {"op": "order.place", "params": {"symbol": "BTC_USD", "side": "UP"}}),
        ("order_place", {"op": "order.cancel", "params": {"symbol": "BTC_USD", "side": "BUY"}}),
        ("Subscribe", {"op": "subscribe"}),
        ("DepthEvent", {"channel": "trades"}),
    ],
)
def test_what_is_no_message_fits_none(described, message, wrong):
    payload = described["components"]["messages"][message]["payload"]
    schema = {**payload, "components": described["components"]}
    assert not jsonschema.Draft7Validator(schema).is_valid(wrong)
