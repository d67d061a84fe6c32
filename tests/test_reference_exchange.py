"""The plain exchange itself, against cases worked out by hand, and against its own sums."""

import random
from functools import partial

import pytest

from tests.reference_exchange import PlainExchange

CURRENT = {
    "price_scale": 3, "quantity_scale": 2, "base_scale": 4, "quote_scale": 4,
    "tick_size": 1, "lot_size": 1, "base": "B", "quote": "Q", "market_order": "partial",
    "market_slippage_bps": 0, "reference_price": 0, "maker_fee_bps": 100, "taker_fee_bps": 200,
}  # fmt: skip
PRO = {"fees": {("X", "pro"): (-100, 200)}, "tiers": {"a": "pro"}}
PHASES = ("PRE_OPEN", "OPENING_AUCTION", "CONTINUOUS", "CLOSING_AUCTION", "CLOSED", "HALTED")
MODES = ("none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement")


class Desk(PlainExchange):
    """Short commands: the ids count up, and are the names too."""

    def __init__(self, *accounts, funds=10**6, terms=(), **settings):
        super().__init__({"X": CURRENT | dict(terms)}, ledger=bool(accounts), **settings)
        for account in accounts:
            assert self.create(account) == ""
            assert self.deposit(account, "Q", funds) == self.deposit(account, "B", funds) == ""

    def send(self, account, side, price, lots, kind="LIMIT", tif="GTC", **terms):
        number = len(self.orders) + 1
        self.new(number, account, str(number), "X", side, kind, tif, price, lots, terms)
        return number

    def told(self):
        """Type, id, lots of a trade or else left, reason."""
        return [f"{r[0]} {r[1]} {r[4] or r[6]} {r[9]}".strip() for r in self.reports]

    def filled(self):
        return [(r[1], r[3], r[4]) for r in self.reports if r[0] == "TRADE"]


def test_a_market_order_takes_the_best_first():
    desk = Desk()
    a, b, c, _ = (desk.send("m", "SELL", *at) for at in ((98, 5), (98, 3), (100, 10), (105, 20)))
    desk.send("t", "BUY", 0, 15, "MARKET")
    assert desk.filled()[1::2] == [(a, 98, 5), (b, 98, 3), (c, 100, 7)]
    assert sum(price * lots for _, price, lots in desk.filled()[1::2]) == 1484
    assert desk.open_orders()[c] == (100, 10, 7, 3, "PARTIALLY_FILLED")
    assert desk.depth("X") == ([], [(100, 3), (105, 20)])


@pytest.mark.parametrize(
    ("mode", "own", "told"),
    [
        ("none", 4, ["TRADE 3 4", "TRADE 2 4"]),
        ("cancel_newest", 4, ["CANCELED 3 0 SELF_TRADE"]),
        ("cancel_oldest", 4, ["CANCELED 2 0 SELF_TRADE"]),
        ("cancel_both", 4, ["CANCELED 2 0 SELF_TRADE", "CANCELED 3 0 SELF_TRADE"]),
        ("decrement", 4, ["CANCELED 2 0 SELF_TRADE", "RESTATED 3 3 SELF_TRADE"]),
        ("decrement", 9, ["CANCELED 3 0 SELF_TRADE", "RESTATED 2 2 SELF_TRADE"]),
        ("decrement", 7, ["CANCELED 2 0 SELF_TRADE", "CANCELED 3 0 SELF_TRADE"]),
    ],
)
def test_self_trade_prevention(mode, own, told):
    """Another's 3 lots stand first, then one's own; the taker is of the same group."""
    desk = Desk(stp=mode, groups={"a": "g", "b": "g"})
    for account, side, lots in (("c", "SELL", 3), ("a", "SELL", own), ("b", "BUY", 10)):
        desk.send(account, side, 100, lots)
    assert desk.told()[2:] == ["NEW 3 10", "TRADE 3 3", "TRADE 1 3", *told]
    rests = {"none": 3, "cancel_oldest": 7, "decrement": 3 if own == 4 else 0}.get(mode, 0)
    assert desk.depth("X")[0] == ([(100, rests)] if rests else [])


def test_an_iceberg_shows_its_next_lots_behind_the_others():
    desk = Desk()
    iceberg, other = desk.send("a", "SELL", 100, 10, display=4), desk.send("b", "SELL", 100, 3)
    assert desk.depth("X")[1] == [(100, 7)]
    desk.send("t", "BUY", 100, 9)
    assert desk.filled()[1::2] == [(iceberg, 100, 4), (other, 100, 3), (iceberg, 100, 2)]
    assert desk.depth("X")[1] == [(100, 2)] and desk.open_orders()[iceberg][3] == 4


def test_three_stops_in_a_cascade():
    """103 sets off two, 102 first; what that takes at 105 sets off the third, after both."""
    desk = Desk()
    late, third = (desk.send("a", "BUY", 0, 1, "STOP", stop=price) for price in (103, 105))
    early = desk.send("a", "BUY", 110, 1, "STOP_LIMIT", stop=102)
    for side, price in (("SELL", 103), ("SELL", 105), ("SELL", 106), ("BUY", 103)):
        desk.send("t" if side == "BUY" else "m", side, price, 1)
    assert [r[1] for r in desk.reports if r[0] == "TRIGGERED"] == [early, late, third]
    assert desk.told()[-1] == "CANCELED 2 0 INSUFFICIENT_LIQUIDITY"
    assert desk.stops("X") == [] and desk.last("X") == 106


def test_oco_pair():
    """The dearer leg is set aside; a fill of one, or its trigger, cancels the other."""
    desk = Desk("a", "b")
    desk.send("a", "SELL", 0, 4, "STOP", stop=90)
    desk.send("a", "SELL", 110, 6, oco="1")
    assert desk.balances()["a", "B"] == (10**6 - 600, 600)
    desk.send("b", "BUY", 110, 6)
    assert desk.told()[-1] == "CANCELED 1 0 OCO"
    desk.send("a", "SELL", 110, 6, oco="1")
    assert desk.told()[-1] == "REJECTED 4 0 OCO_INVALID"
    desk.send("b", "SELL", 112, 1)
    stop = desk.send("a", "BUY", 120, 4, "STOP_LIMIT", stop=112)
    limit = desk.send("a", "BUY", 90, 4, oco=str(stop))
    assert desk.balances()["a", "Q"][1] == 48 + 1
    desk.send("b", "BUY", 112, 1, stp="none")
    assert desk.told()[-2:] == [f"TRIGGERED {stop} 4", f"CANCELED {limit} 0 OCO"]
    assert desk.depth("X")[0] == [(120, 4)]


def test_a_reservation_falls_to_what_is_left():
    """50 lots at 100 ticks: 500 and 2% = 510. Ten go at 95: fees 1.9 and -0.95, up to 2 and 0."""
    desk = Desk("a", "t", funds=5_000, **PRO)
    desk.send("a", "SELL", 95, 10)
    desk.send("t", "BUY", 100, 50)
    money = desk.balances()
    assert (money["t", "Q"], money["t", "B"]) == ((5_000 - 97 - 408, 408), (6_000, 0))
    assert (money["a", "Q"], money["a", "B"]) == ((5_000 + 95, 0), (4_000, 0))
    assert money["fees", "Q"] == (2, 0) and len(money) == 5
    desk.send("t", "BUY", 100, 900)
    assert desk.told()[-1] == "REJECTED 3 0 FUNDS_INSUFFICIENT"
    assert desk.withdraw("t", "Q", 4_497) == "FUNDS_INSUFFICIENT"
    assert desk.transfer("t", "no", "Q", 1) == "ACCOUNT_UNKNOWN" and desk.create("t") != ""


def test_a_budget_buys_the_most_lots_it_can():
    """Lots cost 10 each and 2%: 30 of them 300 + 6; the 31st would make it 310 + 6 > 315."""
    desk = Desk("m", "t", funds=10**4)
    desk.send("m", "SELL", 100, 99)
    desk.send("t", "BUY", 0, 0, "MARKET", "IOC", budget=315)
    assert desk.told()[1:3] == ["NEW 2 30", "TRADE 2 30"]
    assert desk.balances()["t", "Q"] == (10**4 - 306, 0)
    desk.send("t", "BUY", 0, 0, "MARKET", "IOC", budget=9)
    assert desk.told()[-2:] == ["NEW 3 0", "CANCELED 3 0 NOTIONAL_BELOW_MINIMUM"]


def test_an_uncross_finds_the_price_of_most_lots():
    """At 101 bids 8, asks 8; at 100 8 and 5; at 102 5 and 8."""
    desk = Desk()
    desk.set_phase("X", "PRE_OPEN")
    for side, price, lots in (("BUY", 102, 5), ("BUY", 101, 3), ("SELL", 100, 5), ("SELL", 101, 3)):
        desk.send("a" if side == "BUY" else "b", side, price, lots)
    assert desk.indicative("X") == (101, 8)
    desk.set_phase("X", "CONTINUOUS")
    assert desk.filled() == [(i, 101, n) for i, n in ((1, 5), (3, 5), (2, 3), (4, 3))]
    assert {r[7] for r in desk.reports} == {"", "AUCTION"} and desk.open_orders() == {}


KINDS = ("LIMIT",) * 5 + ("MARKET", "STOP", "STOP_LIMIT")
TERMS = {
    "LIMIT": [{"display": 3}, {"post": "REJECT"}, {"post": "SLIDE"}, {"min": 6}, {}, {}],
    "MARKET": [{"budget": 90}, {"protect": 101}, {"min": 4}, {}],
    "STOP": [{"protect": 105}, {}],
    "STOP_LIMIT": [{}],
}


def send_any(desk, rng):
    side, kind, account = rng.choice(("BUY", "SELL")), rng.choice(KINDS), rng.choice("abcd")
    terms = dict(rng.choice(TERMS[kind])) | {"stp": rng.choice((*MODES, ""))}
    at_once = kind == "MARKET" or (kind == "LIMIT" and "post" not in terms and rng.random() < 0.3)
    tifs = ("IOC", "FOK", "GTC") if kind == "MARKET" else ("IOC", "FOK")
    tif = rng.choice(tifs if at_once else ("GTC", "GTC", "DAY", "GTD"))
    terms |= {"expire": rng.randint(1, 99)} if tif == "GTD" else {}
    terms |= {"stop": rng.randint(92, 108)} if "STOP" in kind else {}
    stops = [o for o in desk.orders if o.state == "SUSPENDED" and o.side == side]
    if kind == "LIMIT" and stops and rng.random() < 0.3:
        account, terms["oco"] = stops[-1].account, stops[-1].names[0]
    side = "BUY" if "budget" in terms else side
    price = rng.randint(92, 108) if "LIMIT" in kind else 0
    lots = 0 if "budget" in terms else rng.randint(1, 30)
    desk.send(account, side, price, lots, kind, tif, **terms)


def change_any(desk, rng):
    number = rng.choice([*desk.open_orders(), len(desk.orders)])
    terms = {"display": rng.choice((0, 2, 5)), "stop": rng.choice((0, 95, 105))}
    price, lots = rng.choice((0, 97, 100, 103)), rng.choice((0, 4, 20))
    modify = partial(desk.modify, 0, "", number, price, lots, terms)
    cancel = partial(desk.cancel, 0, "", number)
    mass, gtd = partial(desk.mass_cancel, "a", reason="MASS"), partial(desk.expire_gtd, 50)
    rng.choice([modify] * 40 + [cancel] * 20 + [desk.expire_day, gtd, mass])()


@pytest.mark.parametrize("policy", ["partial", "all_or_none"])
def test_random_operations_lose_nothing(policy):
    """Tier pro has a maker rebate; with all_or_none, market orders have bounds too."""
    terms = {"market_order": policy, "market_slippage_bps": 400 * (policy != "partial")}
    desk = Desk(*"abcd", funds=8_000, terms=terms, groups={"b": "g", "c": "g"}, **PRO)
    rng = random.Random(policy)
    for _ in range(3_000):
        act = rng.choice((send_any, send_any, change_any)) if desk.orders else send_any
        act(desk, rng)
        if rng.random() < 0.04:
            desk.set_phase("X", rng.choice(PHASES + ("CONTINUOUS",) * 9))
        desk.check({"B": 32_000, "Q": 32_000})
    assert len({report[0] for report in desk.reports}) == 9
