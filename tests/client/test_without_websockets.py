"""Without the extra all that is synchronous works; the rest says which extra it needs."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from oms import OrderRequest, aio
from oms.client import Client
from oms.errors import ServerError
from tests.web.doors import PASSWORD

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
sys.modules.update({name: None for name in
                    ("websockets", "starlette", "uvicorn", "msgspec", "jwt", "httpx")})
from oms import OrderRequest
from oms.client import Client
with Client(sys.argv[1], user="ann", password=sys.argv[2]) as oms:
    order = OrderRequest.new("ann", "a-1", "BTC_USD", "BUY", "1", "90")
    print(oms.submit(order).result().state, len(oms.open_orders("ann")))
"""


def test_a_program_without_any_package_trades(door):
    door.user("ann")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, door.url, PASSWORD], capture_output=True, text=True,
        timeout=60, check=False, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "NEW 1\n"), done.stderr


def test_under_asyncio_the_extra_is_named_that_is_missing(door, clients, monkeypatch):
    monkeypatch.setattr("oms.client.sockets.connect", None)
    ann = clients("ann")

    async def streams():
        async with ann.reports("ann"):
            raise AssertionError("it was opened")

    async def orders():
        async with aio.running(Client(door.url, user="ann", password=PASSWORD)) as oms:
            await aio.submit(oms, OrderRequest.new("ann", "a", "BTC_USD", "BUY", "1", "90"))

    for story in (streams, orders):
        with pytest.raises(ServerError, match=r"order-management\[client\]"):
            asyncio.run(story())
