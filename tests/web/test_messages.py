"""Every message that crosses a WebSocket is one that /ws-schema.json describes."""

import random

import jsonschema
import pytest

from oms.gateways.web.messages import TOLD, WIDTHS
from tests.web.wires import Wire

SYMBOLS = ("BTC_USD", "TATA_INR")
CHANNELS = [
    *({"channel": c, "symbol": s} for c in ("trades", "auction") for s in SYMBOLS),
    *({"channel": c, "symbol": s, "interval": i} for c in ("depth", "ticker") for s in SYMBOLS
      for i in (0, 100)),
    *({"channel": "candles", "symbol": SYMBOLS[0], "width": w} for w in WIDTHS),
    *({"channel": c} for c in ("markets", "session", "orders", "fills", "reports", "balances")),
]  # fmt: skip


class Checked(Wire):
    """A wire whose every message, both ways, is checked."""

    def __init__(self, door, user=None):
        schema = door.http.get("/ws-schema.json").json()
        jsonschema.Draft202012Validator.check_schema(schema)
        parts, refs = schema["$defs"], {kind.__name__: f"#/$defs/{kind.__name__}" for kind in TOLD}

        def of(ref):
            return jsonschema.Draft202012Validator({"$defs": parts, "$ref": ref})

        self.said_ok = of("#/$defs/Said")
        self.kinds = {name: of(ref) for name, ref in refs.items()}
        # What is of one of these kinds is what the schema calls Told.
        assert parts["Told"] == {"anyOf": [{"$ref": ref} for ref in refs.values()]}
        super().__init__(door, user)

    def say(self, **message):
        self.said_ok.validate(message)
        super().say(**message)

    def check(self):
        """Which kinds were among what it was told."""
        seen = set()
        for message in [*self.told, *self.beats]:
            fits = [name for name, kind in self.kinds.items() if kind.is_valid(message)]
            assert len(fits) == 1, f"{message} is {fits}"
            seen.add(fits[0])
        return seen


def flow(wire, users, operator, steps, seed):
    """Orders of all sorts, refusals, calls, halts, busts, other tokens; what `wire` says, too."""
    chance, placed, filled = random.Random(seed), [], []
    for step in range(steps):
        user = chance.choice(users)
        draw = chance.random()
        if draw < 0.6:
            order = {
                "symbol": chance.choice(SYMBOLS), "side": chance.choice(("BUY", "SELL")),
                "price": str(chance.randint(97, 103)), "quantity": str(chance.randint(1, 3)),
                "clientOrderId": f"o-{step}",
            }  # fmt: skip
            order |= {} if chance.random() < 0.9 else {"price": "1.2345"}
            answer = user.ask("POST", "/order", order).json()
            placed.append((user, f"o-{step}"))
            filled += [(order["symbol"], f["executionId"]) for f in answer.get("fills", ())]
        elif draw < 0.75 and placed:
            owner, own_id = chance.choice(placed)
            owner.ask("DELETE", f"/order?origClientOrderId={own_id}")
        elif draw < 0.8 and placed:
            owner, own_id = chance.choice(placed)
            owner.ask("PATCH", "/order", {"origClientOrderId": own_id, "quantity": "5"})
        elif draw < 0.85 and filled:
            symbol, execution_id = filled.pop()
            how = chance.choice(("bust", "correct"))
            body = {"symbol": symbol, "executionId": execution_id, "why": "a test"}
            body |= {"quantity": "0.5"} if how == "correct" else {}
            operator.ask("POST", f"/admin/{how}", body)
        elif draw < 0.9:
            phase = {
                "symbol": SYMBOLS[0],
                "phase": chance.choice(("OPENING_AUCTION", "CONTINUOUS")),
            }
            operator.ask("POST", "/admin/phase", phase)
        elif draw < 0.95:
            where = {"scope": "SYMBOL", "target": SYMBOLS[1]}
            operator.ask("POST", f"/admin/{chance.choice(('halt', 'resume'))}", where)
        else:
            params = {"symbol": SYMBOLS[0], "side": "BUY", "price": "99", "quantity": "1"}
            wire.ask(op="order.place", id=str(step), params=params)
            wire.ask(op="order.status", params={"clientOrderId": f"o-{step}"})
            wire.ask(op="order.test", params=params)
            wire.ask(op="order.cancel_all", params={})


def story(door, steps, seed=11, wire_of=Checked):
    users, operator = [door.user("ann"), door.user("bob")], door.user("olga", "operator")
    with wire_of(door, users[0]) as wire:
        for words in CHANNELS:
            assert wire.ask(op="subscribe", id="s", **words)["ok"]
        wire.ask(op="ping")
        wire.ask(op="list")
        wire.ask(op="cancelOnDisconnect", scope="session", grace=1)
        flow(wire, users, operator, steps, seed)
        seq = int(wire.ask(op="order.cancel_all", params={})["result"].get("seq", 0))
        wire.beat(seq)
        if not wire.events("candles"):  # they are read on another thread
            wire.until(lambda message: message.get("channel") == "candles")
        for words in CHANNELS[:4]:
            assert wire.ask(op="unsubscribe", **words)["ok"]
        wire.ask(op="auth", token=users[1].tokens["token"])
        for channel in ("orders", "fills", "reports", "balances"):
            wire.ask(op="subscribe", channel=channel, fromSeq="1")
        wire.ask(op="subscribe", channel="trades", symbol=SYMBOLS[0], fromSeq="0")
        wire.beats.clear()
        wire.beat()
        return wire.check()


def test_each_message_is_of_one_kind_that_is_described(door):
    seen = story(door, 120)
    assert seen >= {kind.__name__ for kind in TOLD} - {"SessionEvent"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_long_run_tells_nothing_else(door, seed):
    story(door, 2_000, seed)
