"""What everybody may ask: markets, books, trades, prices, candles, hours, time."""

from dataclasses import replace

import pytest

from oms.clock import ManualClock
from oms.sections import SessionConfig
from tests.processes import wait_until
from tests.web.doors import front_config

S = "BTC_USD"


def ask(door, path, status=200):
    answer = door.http.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


def trade(door, *trades):
    ann, bob = door.user("ann"), door.user("bob")
    for price, quantity in trades:
        ann.sell(quantity, price)
        assert bob.buy(quantity, price).json()["status"] == "FILLED"
    return ann, bob


def test_what_is_traded_and_how(start_door):
    limits = {S: {"quantity_max": "50", "notional_min": "1.5", "price_band_bps": "500"}}
    limited = start_door(replace(front_config(), limits=limits))
    first, second = ask(limited, "/markets")["markets"]
    assert (first["symbol"], first["base"], first["quote"], first["phase"]) == (
        S, "BTC", "USD", "CONTINUOUS",
    )  # fmt: skip
    assert (first["tickSize"], first["lotSize"]) == ("0.01", "0.0001")
    assert first["filters"] == {
        "minQuantity": None, "maxQuantity": "50", "maxMarketQuantity": None, "minNotional": "1.5",
        "maxNotional": None, "maxMarketNotional": None, "priceBandBps": 500,
        "priceBandAround": "last",
    }  # fmt: skip
    assert set(second["filters"].values()) == {None}


def test_a_filter_that_an_operator_sets_is_told(door):
    boss = door.user("boss", role="operator")
    body = {"scope": "SYMBOL", "target": S, "name": "quantity_max", "value": "3"}
    assert boss.ask("POST", "/admin/limits", body).status_code == 200
    assert ask(door, "/markets")["markets"][0]["filters"]["maxQuantity"] == "3"
    refused = boss.buy("4", "10")
    assert refused.json()["error"]["code"] == "QUANTITY_EXCEEDS_MAXIMUM"


def test_hours_are_told_with_the_next_open_and_close(start_door, tmp_path):
    always = start_door()
    told = ask(always, "/session")
    assert (told["state"], told["opens"], told["closes"]) == ("open", None, None)
    hours = SessionConfig(hours="Mon-Sun 00:00-23:59")
    (tmp_path / "b").mkdir()
    with_hours = start_door(replace(front_config(), session=hours), tmp_path / "b")
    told = ask(with_hours, "/markets")["session"]
    assert told["closes"].endswith("23:59:00Z")


def test_the_book_and_the_latest_trades(door):
    ann, bob = trade(door, ("100", "1"), ("101.5", "2"))
    ann.sell("3", "110")
    ann.sell("4", "110")
    bob.buy("1", "90")
    book = ask(door, f"/depth?symbol={S}&limit=1")
    assert (book["bids"], book["asks"]) == ([["90", "1"]], [["110", "7"]])
    trades = ask(door, f"/trades?symbol={S}&limit=5")["trades"]
    assert [(each["price"], each["quantity"]) for each in trades] == [("100", "1"), ("101.5", "2")]
    assert "account" not in str(trades)
    assert len(ask(door, f"/trades?symbol={S}&limit=1")["trades"]) == 1
    assert [each["last"] for each in ask(door, "/markets")["markets"]] == ["101.5", None]


def test_the_ticker_has_the_last_24_hours(door):
    trade(door, ("100", "1"), ("104", "2"), ("102", "1"))
    told = ask(door, f"/ticker?symbol={S}")
    assert (told["last"], told["open"], told["high"], told["low"]) == ("102", "100", "104", "100")
    assert (told["volume"], told["quoteVolume"], told["count"]) == ("4", "410", 3)
    assert (told["change"], told["vwap"], told["bid"]) == ("2", "102.5", None)
    empty = ask(door, "/ticker?symbol=TATA_INR")
    assert (empty["last"], empty["open"], empty["count"], empty["volume"]) == (None, None, 0, "0")


def test_the_ticker_is_summed_up_once_for_all(door, monkeypatch):
    """However many ask within five seconds, the day's trades are read once."""
    trade(door, ("100", "1"))
    asked, real = [], door.oms.statistics
    monkeypatch.setattr(door.oms, "statistics", lambda symbol: asked.append(symbol) or real(symbol))
    for _ in range(5):
        ask(door, f"/ticker?symbol={S}")
    assert len(asked) == 1


def test_what_an_auction_would_trade(door):
    """All null while there is no call, or after it. It may be a tenth of a second old."""

    def told():
        found = ask(door, f"/auction?symbol={S}")
        return found["price"], found["volume"], found["surplus"]

    def set_phase(phase):
        body = {"symbol": S, "phase": phase}
        assert boss.ask("POST", "/admin/phase", body).status_code == 200

    assert told() == (None, None, None)
    boss, ann, bob = door.user("olga", "operator"), door.user("ann"), door.user("bob")
    set_phase("OPENING_AUCTION")
    wait_until(lambda: told() == (None, "0", "0"))
    ann.sell("2", "100")
    bob.buy("5", "102")
    wait_until(lambda: told() == ("102", "2", "3"))
    set_phase("CONTINUOUS")
    wait_until(lambda: told() == (None, None, None))


def test_an_auction_is_reckoned_once_for_all_who_ask(start_door):
    """However many ask within a tenth of a second, the engine is asked once."""
    clock = ManualClock()
    door = start_door(clock=clock)
    asked, real = [], door.oms.indicative
    door.oms.indicative = lambda symbol: asked.append(symbol) or real(symbol)
    for _ in range(5):
        ask(door, f"/auction?symbol={S}")
    assert asked == [S]
    clock.advance(0.1)
    ask(door, f"/auction?symbol={S}")
    assert asked == [S, S]


def test_candles_are_the_same_after_a_restart(start_door):
    first = start_door()
    trade(first, ("100", "1"), ("103", "2"), ("99", "1"))
    before = ask(first, f"/candles?symbol={S}&interval=1d")
    first.stop()
    again = start_door()
    assert ask(again, f"/candles?symbol={S}&width=1d") == before
    candle = before["candles"][-1]
    assert (candle["high"], candle["low"], candle["close"]) == ("103", "99", "99")
    assert candle["volume"] == "4"


def test_candles_page_by_page_have_each_trade_once(door):
    trade(door, *[(str(100 + n), "1") for n in range(5)])
    times = [int(each["time"]) for each in ask(door, f"/trades?symbol={S}")["trades"]]
    start, count, pages = times[0] - 1_500_000_000, 0, 0
    while start is not None:
        page = ask(door, f"/candles?symbol={S}&interval=1s&start={start}&limit=1")
        count += sum(each["count"] for each in page["candles"])
        start, pages = page["next"], pages + 1
        assert pages < 100
    assert count == 5


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"/candles?symbol={S}&interval=2d", "interval"),
        (f"/candles?symbol={S}&interval=0s", "interval"),
        (f"/candles?symbol={S}&limit=1001", "limit"),
        (f"/candles?symbol={S}&start=99999999999999999999", "start"),
        (f"/candles?symbol={S}&interval=1m&width=5m", "width"),
        (f"/candles?symbol={S}&nonsense=1", "nonsense"),
        (f"/depth?symbol={S}&symbol=TATA_INR", "symbol"),
        (f"/depth?symbol={S}&market=TATA_INR", "market"),
        (f"/depth?symbol={S}&limit=1e3", "limit"),
        (f"/depth?symbol={S}&limit=0", "limit"),
        ("/depth", "symbol"),
        ("/depth?symbol=%00", "symbol"),
        ("/depth?symbol=%ff", "query"),
        ("/depth?symbol", "query"),
    ],
)
def test_a_query_that_cannot_be_names_its_field(door, path, field):
    assert ask(door, path, 400)["error"]["field"] == field


@pytest.mark.parametrize("path", ["/depth", "/trades", "/ticker", "/auction", "/candles"])
def test_an_unknown_symbol_is_not_there(door, path):
    error = ask(door, f"{path}?symbol=NO", 404)["error"]
    assert (error["code"], error["field"]) == ("SYMBOL_UNKNOWN", "symbol")


def test_the_time_is_the_exchanges(door):
    told = ask(door, "/time")
    assert int(told["serverTimeNs"]) // 1_000_000 == int(told["serverTime"])


def test_a_market_order_without_a_book_is_told_with_its_end(door):
    """An empty book: nothing trades, and the order is over."""
    told = door.user("ann").buy("1").json()
    assert (told["status"], told["type"], told["price"]) == ("CANCELED", "MARKET", None)
