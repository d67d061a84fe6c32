"""`top` by Textual's pilot, in front of an exchange that trades: what its user sees and presses."""

import asyncio

import pytest

from oms.enums import Phase
from oms.errors import GatewayError
from oms.gateways.client import ControlClient
from oms.top.sources import ControlSource
from tests.fakes import SOON_S
from tests.watched import SYMBOLS, Exchange, Looks

pytest.importorskip("textual", reason="the extra `tui` is not installed")

from oms.top.screen import Help, Panel, Top

SIZE = (80, 24)


@pytest.fixture
def exchange(tmp_path):
    made = Exchange(tmp_path)
    yield made
    made.stop()
    assert made.died == []


@pytest.fixture
def looks(exchange):
    made = Looks(exchange.directory)
    yield made
    made.stop()


class Reader:
    """Somebody in front of it. `text`: what a panel shows; `look`: the watcher has looked again."""

    def __init__(self, app, pilot, looks):
        self.app, self.pilot, self.looks = app, pilot, looks

    async def look(self, seconds=1.0):
        self.looks.look(seconds)
        await self.pilot.pause()

    async def press(self, *keys):
        """And the watcher's answer to it."""
        await self.pilot.press(*keys)
        self.looks.watcher.step()
        await self.pilot.pause()

    def text(self, name):
        return self.app.screen_stack[0].query_one(f"#{name}", Panel).render().plain

    @property
    def whole(self):
        return "\n".join(
            self.text(name) for name in ("head", "markets", "book", "tape", "daemon", "foot")
        )


def reading(looks, story, size=SIZE, symbol=""):
    """One story of a reader, told by the test."""

    async def told():
        app = Top(looks.watcher, "control.sock", looks.clock, symbol)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await story(Reader(app, pilot, looks))
            return app

    return asyncio.run(told())


def test_books_and_tape_move_with_the_exchange(exchange, looks):
    async def story(reader):
        # given a book with nobody in it
        assert "nobody bids, nobody offers" in reader.text("book")
        assert "no trades yet" in reader.text("tape")

        # when orders come to rest, and one trades
        exchange.quote("BTC_USD", ("sell", "2", "1000.5"), ("buy", "1", "999.05"))
        exchange.quote("BTC_USD", ("buy", "0.5", "1000.5"))
        await reader.look()

        # then book, tape and head have it, with the decimals of the grid
        book = reader.text("book").splitlines()
        assert book[2].split() == ["1.000", "999.05", "|", "1,000.50", "1.500"]
        assert reader.text("tape").splitlines()[1].split()[1:] == ["▲", "1,000.50", "0.500"]
        assert "last 1,000.50" in reader.text("head")
        assert "spread 1.45" in reader.text("head")
        assert "open orders 2" in reader.text("daemon")
        assert reader.text("foot").startswith("● live")

    reading(looks, story)


def test_a_market_is_chosen_by_digit_by_arrow_and_by_name(exchange, looks):
    exchange.quote("TATA_INR", ("buy", "7", "950"))

    async def story(reader):
        chosen = []
        for keys in ("2", "right", "n", "left", "p"):
            await reader.press(keys)
            chosen.append(reader.app.symbol)
        assert chosen == ["ETH_USD", "TATA_INR", "BTC_USD", "TATA_INR", "ETH_USD"]

        # by a part of its name, in small letters; q and digits are letters meanwhile
        await reader.press("slash", *"tata", "enter")
        assert reader.app.symbol == "TATA_INR"
        assert "7.000" in reader.text("book")

        # a digit that no market has, and a name that none has, change nothing
        await reader.press("9")
        await reader.press("slash", *"q9", "enter")
        await reader.press("slash", *"btc", "escape")
        assert reader.app.symbol == "TATA_INR"
        assert "3>● TATA_INR" in reader.text("markets")

    reading(looks, story)


def test_the_one_that_was_asked_for_is_chosen_at_the_start(exchange):
    looks = Looks(exchange.directory, "ETH_USD")

    async def story(reader):
        assert reader.text("head").startswith("ETH_USD")

    reading(looks, story, symbol="ETH_USD")
    looks.stop()


def test_a_halt_and_an_auction_are_shown(exchange, looks):
    exchange.quote("BTC_USD", ("sell", "2", "1000"), ("buy", "1", "999"))

    async def story(reader):
        exchange.force("BTC_USD", Phase.HALTED)
        await reader.look()
        assert "■ halted" in reader.text("head")
        assert "1>■ BTC_USD" in reader.text("markets")
        assert reader.text("book").startswith("Book, halted: nothing trades")

        exchange.force("BTC_USD", Phase.REOPENING_AUCTION)
        exchange.quote("BTC_USD", ("buy", "1", "1001"))
        await reader.look()
        assert "◆ reopening auction" in reader.text("head")
        assert "crossed until the uncross" in reader.text("book")
        assert reader.text("book").splitlines()[1].split() == [
            "indicative", "1,000.00", "volume", "1.000", "▼", "1.000"
        ]  # fmt: skip

        exchange.force("BTC_USD", Phase.CONTINUOUS)
        await reader.look()
        assert "● continuous" in reader.text("head")
        assert "indicative" not in reader.whole
        assert "1,000.00" in reader.text("tape")

    reading(looks, story)


def test_a_daemon_that_stops_is_stale_at_once_and_live_again_when_it_is_back(exchange, looks):
    exchange.quote("BTC_USD", ("sell", "2", "1000"))

    async def story(reader):
        # when it stops
        await reader.look()
        exchange.stop()
        await reader.look(0.2)

        # then all panels say so, and keep what they had
        assert reader.whole.count("▲ stale") == 6
        assert "1,000.00" in reader.text("book")
        assert "try 1 in 0 s" in reader.text("foot")

        # when it is tried in vain, again and again, less and less often
        for _ in range(3):
            await reader.look(5)
        assert "▲ stale 15.2 s, try 4 in 2 s" in reader.text("foot")

        # when it is back, and has another order
        exchange.start()
        exchange.quote("BTC_USD", ("buy", "3", "990"))
        await reader.look(5)

        # then all is live
        assert "stale" not in reader.whole
        assert reader.text("book").splitlines()[2].split()[:2] == ["3.000", "990.00"]

    reading(looks, story)


def test_silence_is_stale_though_the_connection_stands(looks):
    """No look has ended for two seconds: the socket says nothing about that."""

    async def story(reader):
        looks.clock.advance(1.9)
        reader.app._look()
        assert "stale" not in reader.whole
        looks.clock.advance(0.1)
        reader.app._look()
        assert "▲ stale 2.0 s  no answer from control.sock" in reader.text("foot")
        assert reader.whole.count("▲ stale") == 6

    reading(looks, story)


def test_an_engine_that_is_stuck_is_stale_though_its_control_socket_answers(exchange):
    """The overview is the engine's own answer: while it does nothing else, there is none."""
    told = []

    def busy(_desk, _intake):
        with ControlClient.connect(exchange.directory) as other:
            told.append(other.ask({"ask": "depth", "symbol": "BTC_USD"}, SOON_S))
            other.send({"ask": "markets"})
            return other.receive(0.5)

    # given an engine that is busy, as long as somebody waits for its answer
    assert exchange.oms.between_turns(busy).result(SOON_S) is None

    # then other questions were answered, and the overview is once it goes on
    assert "depth" in told[0]
    source = ControlSource(exchange.directory)
    assert source.overview().row("BTC_USD")
    source.close()


def test_space_stops_painting_says_so_and_goes_on(exchange, looks):
    async def story(reader):
        await reader.pilot.press("space")
        exchange.quote("BTC_USD", ("sell", "2", "1000"))
        await reader.look()
        assert "nobody bids" in reader.text("book")
        assert reader.whole.count("▲ paused") == 6
        await reader.pilot.press("space")
        assert "1,000.00" in reader.text("book")
        assert "paused" not in reader.whole

    reading(looks, story)


def test_the_keys_are_told_and_the_page_is_left(looks):
    async def story(reader):
        for key in ("escape", "question_mark", "q"):
            await reader.pilot.press("question_mark")
            assert isinstance(reader.app.screen, Help)
            await reader.look()  # news beneath it do no harm
            await reader.pilot.press(key)
            assert not isinstance(reader.app.screen, Help)
        assert reader.app.is_running
        await reader.pilot.press("q")

    app = reading(looks, story)
    assert app.return_code == 0
    assert app.died is None


def test_a_larger_terminal_has_more_levels_and_columns(exchange, looks):
    for n in range(20):
        exchange.quote("BTC_USD", ("sell", "1", f"{1000 + n}"), ("buy", "1", f"{900 - n}"))

    async def story(reader):
        await reader.look()
        lines = {}
        for size in ((80, 24), (100, 50), (160, 50)):
            await reader.pilot.resize_terminal(*size)
            await reader.pilot.pause()
            await reader.look()
            lines[size] = reader.text("book").splitlines()
        heads = {size: found[1].split() for size, found in lines.items()}
        assert len(lines[80, 24]) == 10
        assert len(lines[100, 50]) > 25
        assert "sum" not in heads[80, 24]
        assert heads[160, 50].count("sum") == 2
        assert sum("|" in line for line in lines[100, 50]) == 21  # all 20 levels, and the head

    reading(looks, story)


def test_a_small_terminal_shows_what_it_can_and_says_that_it_is_small(exchange, looks):
    exchange.quote("BTC_USD", ("sell", "1", "1000"))

    async def story(reader):
        await reader.look()
        assert "made for 80 x 24 or more, this is 60 x 15" in reader.text("keys")
        assert "1,000.00" in reader.text("book")
        await reader.pilot.resize_terminal(80, 24)
        await reader.pilot.pause()
        assert "made for" not in reader.text("keys")

    reading(looks, story, size=(60, 15))


def test_a_delisted_market_gives_way_to_the_first(exchange, looks):
    from oms.requests import OperatorAction, OperatorRequest

    async def story(reader):
        await reader.press("2")
        exchange.done(
            OperatorRequest(
                client_order_id="D", action=OperatorAction.DELIST, scope="SYMBOL",
                target="ETH_USD", value="cancel", why="drill",
            )
        )  # fmt: skip
        for _ in range(3):
            await reader.look()
        assert reader.app.symbol == "BTC_USD"
        assert "ETH_USD" not in reader.whole
        assert reader.text("foot").startswith("● live")

    reading(looks, story)


def test_a_mistake_on_the_watchers_thread_ends_it(looks):
    async def story(reader):
        error = ZeroDivisionError("ours")
        reader.app.thread_died("oms-top", error)
        await reader.pilot.pause()
        assert reader.app.died is error

    reading(looks, story)


def test_where_no_daemon_runs_there_is_nothing_to_see(tmp_path):
    with pytest.raises(GatewayError, match="no daemon is running"):
        Looks(tmp_path)


def test_all_symbols_are_there_with_the_grid_they_have(exchange):
    source = ControlSource(exchange.directory)
    rows = source.overview().markets
    source.close()
    assert [row.symbol for row in rows] == list(SYMBOLS)
    assert {(row.price_decimals, row.quantity_decimals) for row in rows} == {(2, 3)}
