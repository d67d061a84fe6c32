"""The client that docs/api.md prints: run as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from oms.clock import NANOS
from oms.gateways.signatures import Nonces
from tests.web.programs import Program

PAGE = Path(__file__).parents[2] / "docs/api.md"
ORDER = {"symbol": "BTC_USD", "side": "BUY", "price": "9.5", "quantity": "1", "clientOrderId": "c"}


@pytest.fixture
def signed(door, tmp_path):
    """Runs the printed program with a key of Ann's; its exit code and what it printed."""
    [text] = [
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        if "signed.py" in block
    ]
    program = tmp_path / "signed.py"
    program.write_text(text)
    key = Program.of(door.user("ann"), ["read", "trade"])

    def run(*words: str, url: str = door.url, secret: str = key.secret) -> tuple[int, dict]:
        done = subprocess.run(
            [sys.executable, program, *words], capture_output=True, text=True, timeout=60,
            env={"OMS_URL": url, "OMS_KEY": key.key, "OMS_SECRET": secret}, check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    return run


def test_the_printed_client_trades(signed):
    """It places an order, finds it, sends it again without a second one, and cancels it."""
    code, placed = signed("POST", "/order", json.dumps(ORDER))
    assert (code, placed["status"]) == (0, "NEW")
    _, again = signed("POST", "/order", json.dumps(ORDER))
    assert again["orderId"] == placed["orderId"]
    _, found = signed("GET", "/order?clientOrderId=c")
    assert found["orderId"] == placed["orderId"]
    assert signed("DELETE", f"/orders/{placed['orderId']}")[0] == 0
    assert signed("GET", "/orders/open")[1]["orders"] == []


def test_the_printed_client_trades_right_after_a_start(signed, door):
    """Nothing is taken that may have been signed for the process before: it is told to come again,
    and does."""
    began_ns = door.oms.clock.wall_ns() + 2 * NANOS  # so it takes until then, and a second more
    door.server.gate._nonces = Nonces(began_ns)
    code, placed = signed("POST", "/order", json.dumps(ORDER))
    assert (code, placed.get("status")) == (0, "NEW"), placed
    assert door.oms.clock.wall_ns() > began_ns
    assert door.server._door.counts.answered["POST", "/order", 503] >= 1


def test_the_printed_client_says_what_went_wrong(signed):
    code, told = signed("GET", "/me", secret="0" * 64)
    assert (code, told["error"]["code"]) == (1, "SIGNATURE_INVALID")
    code, told = signed("POST", "/order", json.dumps({**ORDER, "price": "x"}))
    assert (code, told["error"]["field"]) == (1, "price")
    code, told = signed("GET", "/me", url="http://127.0.0.1:1")
    assert code == 1 and "refused" in told["error"]["message"]
