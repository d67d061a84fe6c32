"""`top` over the network: a front door shows what the control socket shows."""

import http.server
import json
import signal
import threading
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from oms import Instrument
from oms.client.credentials import Key, Nobody
from oms.clock import ManualClock, SystemClock
from oms.enums import Phase
from oms.errors import GatewayError, ValidationError
from oms.gateways.control import ControlGateway
from oms.requests import OperatorAction, OperatorRequest
from oms.top.lines import View, standing_of
from oms.top.seen import Auction, MarketRow, Print
from oms.top.sources import NO_KEY, ControlSource, DoorSource
from oms.top.watcher import Watcher
from oms.turn.threads import Worker
from tests.fakes import SOON_S, buy, config_of, sell
from tests.processes import wait_until
from tests.web.doors import WEB
from tests.web.sandboxed import Served

GRIDS = (
    Instrument(symbol="BTC_USD", price_scale=2, quantity_scale=4, tick_size=5, lot_size=10),
    Instrument(symbol="TATA_INR", price_scale=4, quantity_scale=0, tick_table=((10_000, 2_500),)),
)
LOOK_NS = 200_000_000
BTC = MarketRow("BTC_USD", "CONTINUOUS", None, 2, 3)
X = MarketRow("X", None, None, 0, 0)
SESSION = {"state": "open", "tradingDate": None, "opens": None, "closes": None, "link": "up"}
MARKET = {
    "symbol": "X", "phase": None, "last": None, "tickSize": "1", "lotSize": "1", "tickTable": [],
}  # fmt: skip


@pytest.fixture
def door(start_door):
    """Without a ledger, so that orders need no money."""
    return start_door(config_of(instruments=GRIDS, web=WEB))


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def front(door, stack, credentials=None):
    source = DoorSource(door.url, credentials or Nobody(), SystemClock())
    stack.callback(source.close)
    return source


def control(door, directory, stack):
    """The control socket of the same exchange."""
    gateway = ControlGateway(door.oms, directory)
    gateway.open()
    worker = Worker("oms-control", gateway, lambda *died: door.died.append(died))
    worker.start()
    source = ControlSource(directory)
    stack.callback(gateway.close)
    stack.callback(worker.stop, SOON_S)
    stack.callback(source.close)
    return source


def key_of(door, name, role, scopes):
    made = door.user(name, role).ask("POST", "/keys", {"name": "top", "scopes": scopes}).json()
    return Key(made["id"], made["secret"], SystemClock())


def trade(door):
    """Orders at rest, two trades, and a market that is halted."""
    for make, client_id, quantity, price in (
        (sell, "S1", "2", "1000.05"), (sell, "S2", "0.5", "1001"), (buy, "B1", "1", "999.5"),
        (buy, "B2", "0.25", "1000.05"), (sell, "S3", "0.001", "999.5"),
    ):  # fmt: skip
        order = make(client_id, quantity, price, symbol="BTC_USD")
        assert not door.oms.submit(order).result(SOON_S).refused
    halt = OperatorRequest(
        client_order_id="H", action=OperatorAction.SET_PHASE, scope="SYMBOL", target="TATA_INR",
        value=Phase.HALTED.value, why="drill",
    )  # fmt: skip
    assert not door.oms.submit(halt).result(SOON_S).refused


def test_both_sources_tell_the_same(door, tmp_path, stack):
    """One shape: markets, session, books and trades; an operator's key is told the status, too."""
    # given an exchange that has traded, and both ways to it
    trade(door)
    door.http.get("/time")  # behind Redis the front door knows of it by then
    near, far = control(door, tmp_path, stack), front(door, stack)

    # when both look
    overview, market = near.overview(), near.market(BTC, 10)
    seen = far.overview()

    # then they see the same
    assert [row.phase for row in overview.markets] == ["CONTINUOUS", "HALTED"]
    assert [row.price_decimals for row in overview.markets] == [2, 4]
    decimals = {row.symbol: row.last and float(row.last) for row in overview.markets}
    assert decimals == {"BTC_USD": 999.5, "TATA_INR": None}
    assert [row._replace(last=None) for row in seen.markets] == [
        row._replace(last=None) for row in overview.markets
    ]
    assert [row.last and float(row.last) for row in seen.markets] == [999.5, None]
    session = ("session", "trading_date", "opens", "closes", "link")
    assert seen.status == {name: overview.status[name] for name in session}
    assert seen.withheld == NO_KEY
    assert market.bids == (("999.5", "0.999"),)
    assert far.market(BTC, 10)[:3] == market[:3]
    assert [in_numbers(each) for each in far.market(BTC, 10).trades] == [
        in_numbers(each) for each in market.trades
    ]
    assert [each.taker_side for each in market.trades] == ["SELL", "BUY"]


def test_both_sources_tell_what_an_auction_would_trade(door, tmp_path, stack):
    """In a call with nothing to trade, with a cross, and after its end though the look before said
    that there was one."""
    sources = control(door, tmp_path, stack), front(door, stack)
    called = BTC._replace(phase="OPENING_AUCTION")

    def told():
        return [source.market(called, 10).auction for source in sources]

    def force(name, phase):
        done = OperatorRequest(
            client_order_id=name, action=OperatorAction.SET_PHASE, scope="SYMBOL",
            target="BTC_USD", value=phase.value, why="drill",
        )  # fmt: skip
        assert not door.oms.submit(done).result(SOON_S).refused

    assert told() == [None, None]
    force("P", Phase.OPENING_AUCTION)
    wait_until(lambda: all(told()))
    assert told() == [Auction(None, "0", "0")] * 2
    for make, name, quantity, price in ((buy, "B", "3", "1001"), (sell, "S", "0.5", "1000")):
        door.oms.submit(make(name, quantity, price, symbol="BTC_USD")).result(SOON_S)
    wait_until(lambda: told() == [Auction("1001", "0.5", "2.5")] * 2)
    force("Q", Phase.CONTINUOUS)
    wait_until(lambda: told() == [None, None])


def in_numbers(trade: Print):
    return trade._replace(price=float(trade.price), quantity=float(trade.quantity))


def test_so_many_rows_as_were_asked_for(door, tmp_path, stack):
    trade(door)
    for source in (control(door, tmp_path, stack), front(door, stack)):
        market = source.market(BTC, 1)
        assert [len(each) for each in market[1:4]] == [1, 1, 1]
        assert market.trades[0].taker_side == "SELL"  # the newest


def test_an_operators_key_is_told_queue_and_latencies_another_why_not(door, stack):
    operator = front(door, stack, key_of(door, "olga", "operator", ["read", "admin"]))
    trader = front(door, stack, key_of(door, "ann", "trader", ["read"]))

    def taken():  # the first second takes no signed request
        try:
            return operator.overview()
        except GatewayError as error:
            assert "503" in str(error)
            return None

    wait_until(taken)
    found = operator.overview()
    assert found.withheld == ""
    assert found.status["waiting"] == 0
    assert found.status["latency_ns"].keys() >= {"total", "disk"}
    assert trader.overview().withheld == "for operators: this key is none of an operator's"


def test_a_front_door_that_stops_is_lost_and_found_again(door, start_door, tmp_path, stack):
    # given a look at it
    clock, sources = ManualClock(), []

    def connect():
        sources.append(DoorSource(at[0], Nobody(), SystemClock()))
        return sources[-1]

    at = [door.url]
    watcher = Watcher(connect, clock, LOOK_NS)
    stack.callback(watcher.finish)
    watcher.begin()
    assert watcher.seen.overview.row("BTC_USD") is not None

    # when it stops, and when another one is there
    door.stop()
    clock.advance(1)
    watcher.step()
    assert watcher.seen.lost
    clock.advance(1)
    watcher.step()
    assert watcher.seen.tries == 1
    other = tmp_path / "other"
    other.mkdir()
    at[0] = start_door(config_of(instruments=GRIDS[:1], web=WEB), other).url
    clock.advance(5)
    watcher.step()

    # then all is there at once
    assert watcher.seen.lost == ""
    assert [row.symbol for row in watcher.seen.overview.markets] == ["BTC_USD"]
    assert len(sources) == 3


@pytest.mark.slow
def test_a_daemon_that_is_stopped_or_killed_is_stale_and_comes_back(tmp_path, stack):
    """A real `serve`: SIGSTOP leaves its sockets open and nothing behind them, SIGKILL nothing."""
    clock, died = SystemClock(), []

    def is_live():
        return standing_of(watcher.seen, View("", None, clock.monotonic_ns(), 0)).live

    with Served(tmp_path, "--agents", 20) as daemon:
        # given a view of it that is live, and goes on
        daemon.wait_for("Ctrl-C stops it")
        watcher = Watcher(lambda: ControlSource(tmp_path / "sandbox"), clock, LOOK_NS)
        watcher.begin()
        worker = Worker("oms-top", watcher, lambda *dead: died.append(dead))
        worker.start()
        stack.callback(worker.stop, SOON_S)
        wait_until(lambda: watcher.seen.market is not None and watcher.seen.market.trades)
        assert is_live()

        # when it stands still, then it is stale; when it goes on, it is live
        daemon.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: not is_live())
        daemon.process.send_signal(signal.SIGCONT)
        wait_until(is_live)

        # when it is killed, then it is lost, and what was seen is kept
        daemon.process.kill()
        wait_until(lambda: watcher.seen.lost)
        assert not is_live()
        before = watcher.seen.overview
        assert before.row("BTC_USD")

    # when it is started again, then it is found, with all that there was
    with Served(tmp_path, "--agents", 0) as daemon:
        daemon.wait_for("Ctrl-C stops it")
        wait_until(is_live)
        assert watcher.seen.overview.status["journal_seq"] >= before.status["journal_seq"]
        assert watcher.seen.market.trades
    assert died == []


def test_what_is_no_url_is_named():
    with pytest.raises(ValidationError, match="url: expected http://HOST:PORT"):
        DoorSource("127.0.0.1:3000", Nobody(), SystemClock())


# --- what is no front door of ours ---


@pytest.fixture
def strange(stack):
    """A server that answers each path as it is told to."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            status, body = answers.get(self.path.partition("?")[0], (404, b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    stack.callback(server.server_close)
    stack.callback(thread.join)
    stack.callback(server.shutdown)
    source = DoorSource(f"http://127.0.0.1:{server.server_address[1]}", Nobody(), SystemClock())
    stack.callback(source.close)
    return SimpleNamespace(answers=answers, source=source)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "something else than expected"),
        (b"[]", "something else than expected"),
        (b"{}", "KeyError"),
        ({"markets": [], "session": {**SESSION, "opens": "soon"}}, "soon"),
        ({"markets": [{**MARKET, "last": "1e9"}], "session": SESSION}, "a decimal as text"),
        ({"markets": [{**MARKET, "last": 5}], "session": SESSION}, "a decimal as text"),
        ({"markets": [{**MARKET, "symbol": "\x1b[2J"}], "session": SESSION}, "a symbol"),
        ({"markets": [{**MARKET, "phase": 7}], "session": SESSION}, "a text or null"),
        ({"markets": [{**MARKET, "tickSize": ""}], "session": SESSION}, "a decimal as text"),
    ],
)
def test_a_strange_answer_is_an_error_and_never_shown(strange, body, said):
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    strange.answers["/markets"] = (200, text)
    with pytest.raises(GatewayError, match=said):
        strange.source.overview()


def test_a_refusal_says_what_the_front_door_said(strange):
    error = {"error": {"code": "TOO_MANY_REQUESTS", "message": "at most 100 a second"}}
    strange.answers["/markets"] = (429, json.dumps(error).encode())
    with pytest.raises(GatewayError, match="GET /markets: 429 at most 100 a second"):
        strange.source.overview()


def test_what_it_tells_of_a_market_is_checked_too(strange):
    strange.answers["/depth"] = (200, b'{"bids": [["1", "x"]], "asks": []}')
    strange.answers["/trades"] = (200, b'{"trades": []}')
    with pytest.raises(GatewayError, match="a decimal as text was expected, was 'x'"):
        strange.source.market(X, 5)
    strange.answers["/depth"] = (200, b'{"bids": [], "asks": []}')
    assert strange.source.market(X, 5).trades == ()
