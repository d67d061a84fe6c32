"""Expiry: GTD orders at their instant, DAY orders at the close, wherever they are by then.

Both are journaled as what is due, so that a replay needs no clock.
"""

from datetime import UTC, datetime

import pytest

from oms import Instrument, ManualClock, MemoryStore, RejectReason, ResponseType
from oms.clock import wall_ns_of
from oms.config import AccountConfig, ExchangeConfig, SessionConfig, ThrottleConfig
from oms.enums import TimeInForce
from oms.errors import StoreFullError, ValidationError
from oms.requests import FundsAction, FundsRequest, OrderTerms
from tests.fakes import (
    SECOND,
    FaultyStore,
    Stepped,
    brief,
    buy,
    cancel,
    config_of,
    modify,
    sell,
    throttled,
)

DAY, GTD = TimeInForce.DAY, TimeInForce.GTD
HOURS = SessionConfig(hours="Mon-Fri 09:00-17:00")
CALLS = SessionConfig(
    hours="Mon-Fri 09:00-17:00", opening_auction_ns=600 * SECOND, closing_auction_ns=600 * SECOND
)


def instant(time, day=4):
    """A time of 2024-03-04, a Monday, or of a day after it."""
    hour, minute = map(int, time.split(":"))
    return datetime(2024, 3, day, hour, minute, tzinfo=UTC)


def desk_at(time, config=None, **parts):
    clock = ManualClock.at(instant(time))
    return Stepped(config or config_of(session=HOURS), clock=clock, **parts).start()


def at(desk, time, day=4, early_ns=0):
    """The clock shows this, less so many nanoseconds; what the turn told."""
    now_ns, then_ns = desk.clock.wall_ns(), wall_ns_of(instant(time, day)) - early_ns
    desk.clock.advance((then_ns - now_ns) / SECOND)
    desk.keep()
    return desk.step()


def until(time, day=4, **terms):
    """What makes an order good till then."""
    expire_ns = wall_ns_of(instant(time, day))
    return {"time_in_force": GTD, "terms": OrderTerms(expire_ns=expire_ns, **terms)}


# --- good till date ---


def test_a_gtd_order_is_good_up_to_its_instant_and_not_at_it():
    """Half-open, to the nanosecond; the dispatcher wakes up for it."""
    # given an order until noon
    desk = desk_at("11:59")
    assert desk.send(buy("A", 2, 100, **until("12:00"))) == ["A NEW/NEW"]
    assert desk.dispatcher._due_lines.next_s(desk.dispatcher.desk, None) == 60

    # when it is a nanosecond to noon, then it still trades
    at(desk, "12:00", early_ns=1)
    assert desk.send(sell("B", 1, 100))[-1] == "A TRADE/PARTIALLY_FILLED"

    # and at noon it does not: it expires before anybody else is looked at
    desk.clock.advance(1e-9)
    desk.oms.on_data(sell("C", 1, 100))
    reports = desk.turn()
    assert brief(reports) == ["A EXPIRED/EXPIRED", "C NEW/NEW"]
    expired = reports[0]
    assert (expired.text, expired.cumulative_lots, expired.leaves_lots) == ("EXPIRE_TIME", 1, 0)


def test_an_instant_that_has_come_is_refused():
    """Now is too late; a nanosecond from now is not."""
    desk = desk_at("12:00")
    now_ns = desk.clock.wall_ns()
    for name, expire_ns in (("A", now_ns), ("B", 1)):
        terms = OrderTerms(expire_ns=expire_ns)
        answer = desk.ask(buy(name, 1, 100, time_in_force=GTD, terms=terms))
        assert answer.text == f"EXPIRE_TIME_INVALID: expire_ns={expire_ns}, now={now_ns}"
    terms = OrderTerms(expire_ns=now_ns + 1)
    assert desk.ask(buy("C", 1, 100, time_in_force=GTD, terms=terms)).type is ResponseType.NEW
    desk.clock.advance(1e-9)
    assert desk.step() == ["C EXPIRED/EXPIRED"]


def test_an_instant_goes_with_gtd_and_nothing_else():
    """Neither without the other."""
    for more in ({"time_in_force": GTD}, {"terms": OrderTerms(expire_ns=5)}):
        with pytest.raises(ValidationError, match="expire_ns"):
            buy("A", 1, 100, **more)


def test_orders_expire_in_the_order_of_the_book():
    """Several at one instant, and some that are over already."""
    desk = desk_at("11:00")
    desk.send(
        buy("A", 1, 99, **until("12:00")), buy("B", 1, 100, **until("11:30")),
        sell("C", 1, 105, **until("12:00")), buy("D", 1, 98, **until("12:00")),
        buy("E", 1, 97, **until("12:01")),
    )  # fmt: skip
    desk.send(cancel("F", "D"), modify("G", "A", price=101))
    assert at(desk, "12:00") == ["B EXPIRED/EXPIRED", "C EXPIRED/EXPIRED", "G EXPIRED/EXPIRED"]
    assert at(desk, "12:01") == ["E EXPIRED/EXPIRED"]


def test_an_order_that_waits_for_a_permit_expires_in_the_queue():
    """It was never sent; what waits behind it goes out in its place."""
    desk = desk_at("11:59", throttled(1))
    assert desk.send(buy("A", 1, 100), buy("B", 1, 100, **until("12:00")), buy("C", 1, 100)) == [
        "A NEW/NEW",
        "B PENDING_NEW/PENDING_NEW",
        "C PENDING_NEW/PENDING_NEW",
    ]
    assert at(desk, "12:00") == ["B EXPIRED/EXPIRED", "C NEW/NEW"]


def test_a_suspended_stop_expires():
    """No trade can wake it any more."""
    desk = desk_at("11:00")
    assert desk.send(buy("A", 1, **until("12:00", stop_price=110))) == ["A NEW/SUSPENDED"]
    assert at(desk, "12:00") == ["A EXPIRED/EXPIRED"]
    told = desk.send(buy("B", 1, 110), sell("C", 1, 110))
    assert told == ["B NEW/NEW", "C NEW/NEW", "C TRADE/FILLED", "B TRADE/FILLED"]


def test_a_triggered_stop_keeps_its_instant():
    """A limit order by then, it still ends at noon."""
    desk = desk_at("11:00")
    desk.send(buy("A", 1, 90, **until("12:00", stop_price=100)), buy("B", 1, 100))
    assert desk.send(sell("C", 1, 100))[-1] == "A TRIGGERED/NEW"
    assert at(desk, "12:00") == ["A EXPIRED/EXPIRED"]


def test_an_order_held_over_night_expires_at_its_time():
    """The session is closed; its instant comes all the same."""
    desk = desk_at("18:00")
    assert desk.ask(buy("A", 1, 100, hold=True, **until("20:00"))).text == "HELD_SESSION"
    assert at(desk, "20:00") == ["A EXPIRED/EXPIRED"]
    assert at(desk, "09:00", 5) == []


def test_an_instant_survives_a_restart():
    """From the journal, and from the snapshot that a stop leaves; also while nobody is there."""
    # given two orders
    store, clock = MemoryStore(), ManualClock.at(instant("11:00"))
    desk = Stepped(config_of(session=HOURS), clock=clock, store=store).start()
    desk.send(buy("A", 1, 100, **until("12:00")), buy("B", 1, 99, **until("12:30")))
    desk.stop()

    # when the first instant passes without a process
    clock.advance(3600)
    again = Stepped(config_of(session=HOURS), clock=clock, store=store)
    told = []
    again.oms.add_listener(told.append)
    again.start()

    # then it is due at once, the second at its time
    assert brief(told) == ["A EXPIRED/EXPIRED"]
    assert at(again, "12:30") == ["B EXPIRED/EXPIRED"]
    assert again.digest() == again.refolded()


def test_at_the_instant_of_an_uncross_an_order_takes_no_part_in_it():
    """Good till 09:10, when the opening call ends: half-open there too."""
    desk = desk_at("09:00", config_of(session=CALLS))
    desk.send(buy("A", 1, 102, **until("09:10")), buy("B", 1, 101), sell("C", 2, 99))
    assert at(desk, "09:10") == [
        "A EXPIRED/EXPIRED", "B TRADE/FILLED", "C TRADE/PARTIALLY_FILLED",
    ]  # fmt: skip


def test_an_expiry_is_entered_again_when_the_disk_was_full():
    """Nothing is lost with the turn that was undone."""
    store = FaultyStore()
    desk = desk_at("11:59", config_of(), store=store)
    desk.send(buy("A", 1, 100, **until("12:00")))
    store.faults.append(StoreFullError("full"))
    assert at(desk, "12:00") == []
    assert desk.step() == ["A EXPIRED/EXPIRED"]
    assert desk.digest() == desk.refolded()


# --- the close ---


def test_day_stops_expire_at_the_close():
    """Suspended ones in both markets, after what rests; GTC ones stay."""
    desk = desk_at("16:00")
    stops = {"terms": OrderTerms(stop_price=120)}
    desk.send(
        buy("A", 1, time_in_force=DAY, **stops), buy("B", 1, 121, time_in_force=DAY, **stops),
        buy("C", 1, **stops), buy("D", 1, 90, time_in_force=DAY),
        buy("E", 1, time_in_force=DAY, symbol="ALL", **stops),
    )  # fmt: skip
    assert at(desk, "17:00") == [f"{name} EXPIRED/EXPIRED" for name in "DABE"]
    assert desk.dispatcher.desk.executions.find("me", "C") is not None


def test_an_iceberg_expires_with_what_it_hides():
    """All of its lots are over."""
    desk = desk_at("16:00")
    iceberg = OrderTerms(display_quantity=2)
    desk.send(buy("A", 10, 100, time_in_force=DAY, terms=iceberg), sell("B", 3, 100))
    desk.clock.advance(3600)
    (report,) = desk.turn()
    assert (report.type, report.cumulative_lots, report.leaves_lots) == (
        ResponseType.EXPIRED, 3, 0,
    )  # fmt: skip
    assert desk.oms.get_depth("X", 5) == ([], [])


def test_the_reason_names_the_trading_date():
    """A close is told apart from an instant."""
    desk = desk_at("16:00")
    desk.send(buy("A", 1, 100, time_in_force=DAY))
    desk.clock.advance(3600)
    assert [r.text for r in desk.turn()] == ["SESSION_ENDED: trading_date=2024-03-04"]


# --- pairs ---


@pytest.mark.parametrize("which", ["stop", "limit", "both"])
def test_when_one_of_a_pair_expires_the_other_goes(which):
    """OCO: each exactly once, and in the same turn."""
    # given a pair, one of which is good till noon
    desk = desk_at("11:00")
    both = until("12:00") if which != "stop" else {"terms": OrderTerms()}
    stop = until("12:00", stop_price=110) if which != "limit" else {
        "terms": OrderTerms(stop_price=110)
    }  # fmt: skip
    desk.send(buy("S", 1, **stop))
    expire_ns = both["terms"].expire_ns
    limit = {**both, "terms": OrderTerms(expire_ns=expire_ns, oco_with="S")}
    assert desk.send(buy("L", 1, 90, **limit)) == ["L NEW/NEW"]

    # when it is noon, then the one expires and the other is canceled, or both expire
    told = set(at(desk, "12:00"))
    assert (
        told
        == {
            "stop": {"S EXPIRED/EXPIRED", "L CANCELED/CANCELED"},
            "limit": {"L EXPIRED/EXPIRED", "S CANCELED/CANCELED"},
            "both": {"L EXPIRED/EXPIRED", "S EXPIRED/EXPIRED"},
        }[which]
    )
    assert desk.dispatcher.desk.executions.orders == {}
    assert desk.digest() == desk.refolded()


def test_many_pairs_expire_at_the_close_each_order_once():
    """A hundred DAY pairs; the throttle holds half of them back."""
    config = config_of(session=HOURS, throttle=ThrottleConfig(sends_max=150))
    desk = desk_at("16:59", config)
    pairs = []
    for n in range(100):
        pairs.append(buy(f"S{n}", 1, time_in_force=DAY, terms=OrderTerms(stop_price=110)))
    desk.send(*pairs)
    told = desk.send(
        *(buy(f"L{n}", 1, 90, time_in_force=DAY, terms=OrderTerms(oco_with=f"S{n}"))
          for n in range(100))
    )  # fmt: skip
    assert told.count("L99 PENDING_NEW/PENDING_NEW") == 1
    told = at(desk, "17:00")
    assert sorted(line.split()[0] for line in told) == sorted(
        f"{leg}{n}" for leg in "LS" for n in range(100)
    )
    assert desk.dispatcher.desk.executions.orders == {}


def test_what_expires_gives_back_what_it_held():
    """Money, and room under a limit."""
    market = Instrument(
        symbol="X_USD", price_scale=0, quantity_scale=0, base_scale=0, quote_scale=0
    )
    config = config_of(
        session=HOURS, instruments=(market,), exchange=ExchangeConfig(ledger=True),
        accounts={"me": AccountConfig(open_orders_max=2, credit_max="1000")},
    )  # fmt: skip
    desk = desk_at("11:00", config)
    desk.send(
        FundsRequest(account="me", client_order_id="1", action=FundsAction.CREATE),
        FundsRequest(
            account="me", client_order_id="2", action=FundsAction.DEPOSIT, asset="USD", amount=1_000
        ),
    )
    desk.send(
        buy("A", 5, 100, symbol="X_USD", **until("12:00")),
        buy("B", 5, 100, symbol="X_USD", time_in_force=DAY),
    )
    assert desk.dispatcher.desk.ledger.accounts["me"]["USD"] == [0, 1_000]
    assert desk.ask(buy("C", 1, 1, symbol="X_USD")).reason is (
        RejectReason.OPEN_ORDERS_EXCEED_MAXIMUM
    )
    at(desk, "12:00")
    assert desk.ask(buy("D", 5, 100, symbol="X_USD", time_in_force=DAY)).type is ResponseType.NEW
    at(desk, "17:00")
    assert desk.dispatcher.desk.ledger.accounts["me"]["USD"] == [1_000, 0]
    assert desk.dispatcher.desk.ledger.mistakes([]) == []
