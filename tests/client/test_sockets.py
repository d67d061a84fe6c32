"""WebSockets of a client: logins that end, and servers that say nothing, or nonsense."""

import asyncio
import json
import ssl
import subprocess
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import serve

from oms import FundsRequest, OrderRequest, aio
from oms.client import Client
from oms.client.orders import OrderLine
from oms.client.said import call_of
from oms.errors import ServerError, StoppedError, UnansweredError
from tests.processes import WAIT_S_MAX
from tests.web.doors import front_config
from tests.web.programs import Program

SYMBOL = "BTC_USD"
ORDER = OrderRequest.new("ann", "a-1", SYMBOL, "BUY", "1", "90")
REFUSED = {"error": {"code": "PRICE_INVALID", "message": "so", "field": None}}


def run(story):
    async def limited():
        async with asyncio.timeout(WAIT_S_MAX):
            return await story

    return asyncio.run(limited())


@asynccontextmanager
async def serving(behave):
    """A WebSocket server that does this with each connection; its address, and how many came."""
    count = []

    async def handle(socket):
        count.append(1)
        await behave(socket)

    async with serve(handle, "127.0.0.1", 0, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", count


# --- at a server of ours ---


def test_a_key_opens_sockets_too(door):
    key = Program.of(door.user("ann"), ["read", "trade"])

    async def story():
        async with (
            aio.running(Client(door.url, key=key.key, secret=key.secret)) as oms,
            aio.reports(oms, account="ann") as reports,
        ):
            placed = await aio.submit(oms, ORDER)
            return placed, await anext(reports)

    placed, report = run(story())
    assert placed == report


def test_a_login_that_ended_under_a_stream_is_begun_anew(door, clients):
    """All logins of the user end; what happened then is told over the next one."""
    ann = clients("ann")

    async def story():
        async with aio.running(ann), ann.reports("ann") as reports:
            await aio.submit(ann, ORDER)
            first = await anext(reports)
            await asyncio.to_thread(door.login("ann").ask, "POST", "/logout", {"everywhere": True})
            change = OrderRequest.modify("ann", "a-2", "a-1", quantity="2")
            changed = await aio.submit(ann, change)
            return first, changed, await anext(reports)

    first, changed, second = run(story())
    assert (first.type, changed.type, second.type) == ("NEW", "REPLACED", "REPLACED")


def test_a_key_that_was_revoked_ends_what_it_opened(door):
    """The stream and the orders say so, and how sure that is."""
    user = door.user("ann")
    key = Program.of(user, ["read", "trade"])
    client = Client(door.url, key=key.key, secret=key.secret, retry_s=5)

    async def story():
        async with client.reports("ann") as reports:
            gone = await asyncio.to_thread(user.ask, "DELETE", f"/keys/{key.key}")
            assert gone.status_code == 200
            with pytest.raises(ServerError) as caught:
                await anext(reports)
            return caught.value

    assert run(story()).status == 401
    client.stop()


def test_a_refusal_money_and_a_repeat_are_answered_as_without_a_loop(clients):

    ann = clients("ann")

    async def story():
        async with aio.running(ann):
            bad = OrderRequest.new("ann", "bad", SYMBOL, "BUY", "1", "90.001")
            paid = FundsRequest(
                account="ann", client_order_id="m", action="DEPOSIT", asset="USD", amount="5"
            )
            no_number = OrderRequest.new("ann", "nan", SYMBOL, "BUY", "1", "abc")
            return [await aio.submit(ann, each) for each in (ORDER, ORDER, bad, paid, no_number)]

    placed, again, bad, paid, no_number = run(story())
    assert (placed.type, again.repeated) == ("NEW", True)
    assert (bad.reason, paid.type, no_number.reason) == (
        "PRICE_INVALID", "COMMAND_DONE", "PRICE_INVALID",
    )  # fmt: skip


def test_whoever_waits_no_longer_loses_the_answer_and_not_the_order(door, clients):
    ann = clients("ann")

    async def story():
        async with aio.running(ann):
            task = asyncio.create_task(aio.submit(ann, ORDER))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

    assert run(story())
    assert [each.client_order_id for each in door.oms.open_orders("ann")] == ["a-1"]


def test_orders_need_a_running_client(clients):
    ann = clients("ann")
    with pytest.raises(StoppedError):
        run(aio.submit(ann, ORDER))


# --- at a hostile one ---


async def says_nothing(socket):
    await socket.wait_closed()


async def goes_at_once(socket):
    await socket.close()


async def says_nonsense(socket):
    await socket.recv()
    await socket.send("no JSON")
    await socket.wait_closed()


async def says_a_list(socket):
    await socket.recv()
    await socket.send("[1]")
    await socket.wait_closed()


async def says_bytes(socket):
    await socket.recv()
    await socket.send(b"\xff\x00")
    await socket.wait_closed()


async def answers_emptily(socket):
    async for text in socket:
        await socket.send(json.dumps({"op": "subscribe", "id": json.loads(text).get("id")}))


async def answers_half(socket):
    """As an answer begins, without what it must have."""
    async for text in socket:
        said = json.loads(text)
        told = {"op": said["op"], "id": said.get("id"), "ok": True, "event": "SNAPSHOT"}
        await socket.send(json.dumps({**told, "status": 201, "result": {"reports": [{}]}}))


HOSTILE = [
    says_nothing, goes_at_once, says_nonsense, says_a_list, says_bytes, answers_emptily,
    answers_half,
]  # fmt: skip


@pytest.mark.parametrize("behave", HOSTILE)
def test_a_stream_at_a_server_that_is_none_ends_within_its_time(behave, monkeypatch):
    monkeypatch.setattr("oms.client.streams.SILENCE_S_MAX", 0.2)
    monkeypatch.setattr("oms.client.streams.ANSWER_S_MAX", 0.2)

    async def story():
        async with serving(behave) as (url, count):
            client = Client(url, retry_s=0.5)
            client._server._groups = [""]  # it has asked for the markets before
            with pytest.raises(ServerError) as caught:
                async with client.reports("ann") as reports:
                    await anext(reports)
            client.stop()
            return caught.value, len(count)

    error, count = run(story())
    assert not isinstance(error, UnansweredError)
    assert count >= 1


@pytest.mark.parametrize("behave", HOSTILE)
def test_an_order_at_a_server_that_is_none_is_in_doubt_in_the_end(behave):
    """It may have been taken each time that it was sent."""

    async def story():
        async with serving(behave) as (url, _):
            client = Client(url, retry_s=0.8, answer_s=0.2)
            async with OrderLine(client._server) as line:
                placed = line.put(call_of(ORDER))
                with pytest.raises(ServerError) as caught:
                    await placed
            client.stop()
            return caught.value

    error = run(story())
    assert isinstance(error, UnansweredError)
    assert "a-1" in str(error)


def test_a_server_that_asks_to_come_later_is_asked_in_the_old_order():
    """The first three are put off; they are sent again before those that came behind them."""
    asked = []

    async def busy(socket):
        async for text in socket:
            said = json.loads(text)
            asked.append(said["params"]["clientOrderId"])
            code = "TOO_MANY_REQUESTS" if len(asked) <= 3 else "PRICE_INVALID"
            error = {"error": {"code": code, "message": "so", "field": None}}
            await socket.send(
                json.dumps({"op": said["op"], "id": said["id"], "ok": False, **error})
            )

    async def story():
        async with serving(busy) as (url, _):
            client = Client(url, retry_s=10)
            async with OrderLine(client._server) as line:
                calls = [
                    call_of(OrderRequest.new("ann", f"o-{n}", SYMBOL, "BUY", "1", "1"))
                    for n in range(3)
                ]
                found = await asyncio.gather(
                    *[line.put(call) for call in calls], return_exceptions=True
                )
            client.stop()
            return found

    found = run(story())
    assert [each.code for each in found] == ["PRICE_INVALID"] * 3
    assert asked == ["o-0", "o-1", "o-2"] * 2


def test_more_than_may_wait_is_refused_and_nothing_after_the_end(monkeypatch):
    monkeypatch.setattr("oms.client.orders.WAITING_MAX", 2)

    async def story():
        async with serving(says_nothing) as (url, _):
            client = Client(url, retry_s=0.3, answer_s=0.2)
            async with OrderLine(client._server) as line:
                for _ in range(2):
                    line.put(call_of(ORDER))
                with pytest.raises(ServerError) as caught:
                    line.put(call_of(ORDER))
            with pytest.raises(StoppedError):
                line.put(call_of(ORDER))
            client.stop()
            return caught.value

    assert run(story()).code == "QUEUE_FULL"


# --- over TLS ---


def test_over_tls_the_server_is_known_by_its_certificate(start_door, tmp_path):
    """Requests and sockets by the certificate that is trusted; another one is not spoken to."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    door = start_door(front_config(tls_certificate=str(certificate), tls_key=str(key)))
    url = door.url.replace("127.0.0.1", "localhost")
    trusted = ssl.create_default_context(cafile=str(certificate))

    async def story():
        async with (
            aio.running(Client(url, tls=trusted)) as oms,
            oms.market_events(SYMBOL) as events,
        ):
            await asyncio.wrap_future(door.oms.submit(FundsRequest(
                account="ann", client_order_id="c", action="CREATE",
            )))  # fmt: skip
            await asyncio.wrap_future(door.oms.submit(FundsRequest(
                account="ann", client_order_id="d", action="DEPOSIT", asset="USD", amount="500",
            )))  # fmt: skip
            await asyncio.wrap_future(door.oms.submit(ORDER))
            return await anext(events), await asyncio.to_thread(oms.best_bid, SYMBOL)

    event, bid = run(story())
    assert (event.bids[0][0], bid) == (90, 90)
    with pytest.raises(ServerError, match="CERTIFICATE"):
        Client(url, retry_s=0.1).start()
