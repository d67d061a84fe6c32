"""Trading hours, from the order's side: who waits, who goes out, who expires, who is refused.

freezegun owns the machine's clock here; every turn is stepped by hand.
"""

import pytest
from freezegun import freeze_time

from oms import EmbeddedVenue, MemoryStore, RejectReason, ResponseType, SystemClock, TimeInForce
from oms.config import SessionConfig, ThrottleConfig
from oms.enums import OrderState
from oms.requests import MassCancelRequest
from oms.turn.journal import Fold
from tests.fakes import Stepped, buy, cancel, config_of, remote, sell

DAY, IOC = TimeInForce.DAY, TimeInForce.IOC
HOURS = SessionConfig(hours="Mon-Fri 09:00-17:00", time_zone="UTC")
HOLDING = SessionConfig(hours="Mon-Fri 09:00-17:00", time_zone="UTC", outside_hours="hold")


def desk_of(session=HOURS, store=None, **sections):
    config = config_of(session=session, **sections)
    return Stepped(config, clock=SystemClock(), store=store or MemoryStore()).start()


def folded(store, *, use_snapshot):
    """The digest of what the journal gives."""
    fold = Fold(EmbeddedVenue())
    for _ in fold.recover(store, use_snapshot=use_snapshot):
        pass
    return fold.digest()


def test_an_early_order_goes_out_at_the_open():
    """The session opens at 09:00; the order comes at 08:59."""
    with freeze_time("2024-03-04 08:59:30") as frozen:
        # given an order that waits for the open
        desk = desk_of(HOLDING)
        assert desk.send(buy("A", 1, 100)) == ["A PENDING_NEW/PENDING_NEW"]

        # when turns are taken up to the open, and at it
        frozen.move_to("2024-03-04 08:59:59.999999")
        early = desk.step()
        frozen.move_to("2024-03-04 09:00:00")
        at_the_open = desk.step()

        # then it left at the open
        assert early == []
        assert at_the_open == ["A NEW/NEW"]


def test_an_order_outside_hours_is_rejected_unless_it_asks_to_be_held():
    """The default; each order may say otherwise. What must trade at once cannot."""
    with freeze_time("2024-03-04 20:00"):
        desk = desk_of()
        assert desk.ask(buy("A", 1, 100)).reason is RejectReason.SESSION_CLOSED
        assert desk.ask(buy("B", 1, 100, hold=True)).text == "HELD_SESSION"
        assert desk.ask(buy("C", 1, hold=True)).reason is RejectReason.SESSION_CLOSED
        ioc = buy("D", 1, 100, hold=True, time_in_force=IOC)
        assert desk.ask(ioc).reason is RejectReason.SESSION_CLOSED
        assert desk.ask(cancel("E", "B")).type is ResponseType.CANCELED


def test_the_close_itself_is_outside():
    """Half-open: 16:59:59.999999 trades, 17:00:00 does not."""
    with freeze_time("2024-03-04 16:59:59.999999") as frozen:
        desk = desk_of()
        assert desk.ask(buy("A", 1, 100)).type is ResponseType.NEW
        frozen.move_to("2024-03-04 17:00:00")
        assert desk.ask(buy("B", 1, 100)).reason is RejectReason.SESSION_CLOSED


def test_at_the_close_day_orders_expire_in_book_order_then_queue_order():
    """GTC orders stay, resting or waiting, and go out the next morning in their order."""
    with freeze_time("2024-03-04 16:59:59.6") as frozen:
        # given resting and waiting orders, DAY and GTC, at one send a second
        desk = desk_of(throttle=ThrottleConfig(sends_max=2))
        desk.send(buy("R-GTC", 1, 98), buy("R-DAY", 1, 99, time_in_force=DAY))
        desk.send(
            buy("W1-DAY", 1, 97, time_in_force=DAY), buy("W2-GTC", 1, 97),
            buy("W3-DAY", 1, 97, time_in_force=DAY), buy("W4-GTC", 1, 97), buy("W5-MARKET", 1),
        )  # fmt: skip

        # when the market closes
        frozen.move_to("2024-03-04 17:00:00")
        told = desk.step()

        # then what cannot stay expires, and the rest waits for the morning
        assert told == [
            *(f"{name} EXPIRED/EXPIRED" for name in ("R-DAY", "W1-DAY", "W3-DAY", "W5-MARKET")),
            *(f"{name} PENDING_NEW/PENDING_NEW" for name in ("W2-GTC", "W4-GTC")),
        ]
        assert desk.oms.get_order("me", "W2-GTC").text == "HELD_SESSION"
        assert desk.waiting == ["W2-GTC", "W4-GTC"]
        assert desk.oms.get_order("me", "R-GTC").state is OrderState.NEW
        frozen.move_to("2024-03-05 09:00:00")
        assert desk.step() == ["W2-GTC NEW/NEW", "W4-GTC NEW/NEW"]


def test_nothing_expires_at_a_lunch_break():
    """Two segments of one day: DAY orders rest over lunch, and end with the day."""
    lunch = SessionConfig(hours="Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00", time_zone="UTC")
    with freeze_time("2024-03-04 11:59") as frozen:
        desk = desk_of(lunch)
        desk.send(buy("A", 1, 100, time_in_force=DAY))
        frozen.move_to("2024-03-04 12:00")
        assert desk.step() == []
        assert desk.ask(buy("B", 1, 100)).reason is RejectReason.SESSION_CLOSED
        frozen.move_to("2024-03-04 13:00")
        assert desk.send(sell("S", 1, 100)) == [
            "S NEW/NEW", "S TRADE/FILLED", "A TRADE/FILLED"
        ]  # fmt: skip
        desk.send(buy("C", 1, 100, time_in_force=DAY))
        frozen.move_to("2024-03-04 17:00")
        assert desk.step() == ["C EXPIRED/EXPIRED"]


def test_after_an_early_close_of_an_overnight_market_day_orders_are_over():
    """Evening and day are one trading date, which ends in the evening: it is no break."""
    session = SessionConfig(
        hours="Sun-Thu 20:00-02:00, Mon-Fri 08:00-17:00", early_close="2024-03-04 22:00",
        holidays="2024-03-06",
    )  # fmt: skip
    with freeze_time("2024-03-04 21:00") as frozen:
        # given
        desk = desk_of(session)
        desk.send(buy("DAY", 1, 100, time_in_force=DAY), buy("GTC", 1, 99))
        # when it closes early, then DAY orders end, not at a later close
        frozen.move_to("2024-03-04 22:00")
        assert desk.step() == ["DAY EXPIRED/EXPIRED"]
        # and neither the next morning, nor the next day's evening and day are there
        for closed in ("2024-03-05 08:00", "2024-03-05 20:00", "2024-03-06 08:00"):
            frozen.move_to(closed)
            assert desk.ask(buy(closed, 1, 98)).reason is RejectReason.SESSION_CLOSED
        frozen.move_to("2024-03-06 20:00")
        assert desk.ask(buy("C", 1, 98)).type is ResponseType.NEW


@pytest.mark.parametrize("crashed", [False, True])
@pytest.mark.parametrize("back", ["2024-03-04 20:00", "2024-03-05 10:00"])
def test_a_close_that_nobody_saw_is_made_up_for_at_the_next_start(back, crashed):
    """The daemon stopped before the close and starts after it: the same evening, or next day."""
    store = MemoryStore()
    with freeze_time("2024-03-04 16:00") as frozen:
        desk = desk_of(store=store)
        desk.send(buy("DAY", 1, 100, time_in_force=DAY), buy("GTC", 1, 99))
        if not crashed:
            desk.stop()
        frozen.move_to(back)
        again = Stepped(config_of(session=HOURS), clock=SystemClock(), store=store)
        again.dispatcher.start()
        assert again.step() == ["DAY EXPIRED/EXPIRED"]
        assert again.oms.get_order("me", "GTC").state is OrderState.NEW


def test_a_clock_set_back_reopens_nothing_twice_and_stamps_never_decrease():
    """An hour back at noon: the session goes on; the journal's stamps stand still."""
    with freeze_time("2024-03-04 12:00") as frozen:
        desk = desk_of()
        first = desk.ask(buy("A", 1, 100))
        frozen.move_to("2024-03-04 11:00")
        second = desk.ask(buy("B", 1, 100))
        assert second.type is ResponseType.NEW
        assert second.wall_ns == first.wall_ns
        stamps = [record.wall_ns for record in desk.store.records()]
        assert stamps == sorted(stamps)


def test_a_clock_set_back_over_the_open_closes_the_market_again():
    """Hours are looked at anew: 08:30 is before the open, whatever was said at 09:10."""
    with freeze_time("2024-03-04 09:10") as frozen:
        desk = desk_of()
        desk.send(buy("A", 1, 100))
        frozen.move_to("2024-03-04 08:30")
        assert desk.ask(buy("B", 1, 100)).reason is RejectReason.SESSION_CLOSED
        frozen.move_to("2024-03-04 09:00")
        assert desk.ask(buy("C", 1, 100)).type is ResponseType.NEW


def test_no_order_is_stamped_past_its_session():
    """D8 holds to the nanosecond, though reading a clock takes time: one reading decides both."""

    class Ticking(SystemClock):
        """Each look at the wall clock is a tenth of a second later."""

        def __init__(self):
            self.now_ns = 1_709_571_599_000_000_000  # 16:59:59

        def wall_ns(self):
            self.now_ns += 100_000_000
            return self.now_ns

    # given a desk whose clock runs while it works
    desk = Stepped(config_of(session=HOURS), clock=Ticking(), store=MemoryStore()).start()

    # when orders come all through the last second
    answers = [desk.ask(buy(f"#{n}", 1, 100)) for n in range(20)]

    # then those accepted are stamped before the close, and those refused at it or after
    close_ns = 1_709_571_600_000_000_000
    accepted = [a.wall_ns for a in answers if a.type is ResponseType.NEW]
    refused = [a.wall_ns for a in answers if a.type is ResponseType.REJECTED]
    assert accepted and max(accepted) < close_ns
    assert refused and min(refused) >= close_ns


def test_held_orders_survive_a_restart_in_their_order():
    """What waits for the open is in the journal."""
    store = MemoryStore()
    with freeze_time("2024-03-03 12:00") as frozen:
        desk = desk_of(HOLDING, store)
        desk.send(*(buy(f"#{n}", 1, 100) for n in range(5)))
        desk.stop()
        frozen.move_to("2024-03-04 08:00")
        again = desk_of(HOLDING, store)
        assert again.waiting == [f"#{n}" for n in range(5)]
        frozen.move_to("2024-03-04 08:59")
        again.keep()
        assert again.step() == []
        frozen.move_to("2024-03-04 09:00")
        assert again.step() == [f"#{n} NEW/NEW" for n in range(5)]


def test_a_cancel_by_night_is_done_at_once_on_our_own_exchange():
    """As a mass cancel is: the link is down, but that is a remote venue's limit."""
    with freeze_time("2024-03-04 16:00") as frozen:
        # given orders in the book, and a night with the link down
        desk = desk_of()
        desk.send(buy("A", 1, 100), buy("B", 1, 99))
        frozen.move_to("2024-03-04 23:00")
        desk.keep()
        desk.step()
        assert not desk.dispatcher.desk.link_up

        # when one is canceled by its id and the other with all, then both are gone
        assert desk.send(cancel("C", "A")) == ["C CANCELED/CANCELED"]
        told = desk.send(MassCancelRequest(account="me", client_order_id="M"))
        assert told == ["B CANCELED/CANCELED", "M COMMAND_DONE/None"]
        assert desk.digest() == desk.refolded()


def test_a_cancel_by_night_waits_for_the_link_to_a_remote_venue():
    """Nobody is there to be told."""
    with freeze_time("2024-03-04 16:00") as frozen:
        desk = remote(config=config_of(session=HOURS), clock=SystemClock())
        desk.send(buy("A", 1, 100))
        desk.hear()
        frozen.move_to("2024-03-04 23:00")
        desk.keep()
        desk.step()
        assert desk.ask(cancel("C", "A")).type is ResponseType.PENDING_CANCEL


# --- when it opens next ---


def test_a_refusal_for_hours_says_when_the_market_opens(caplog):
    """As do the status and the log; in the journal, so that a replay says the same."""
    caplog.set_level("INFO", "oms")
    with freeze_time("2024-03-08 16:59") as frozen:
        # given an open market, of which nothing is said
        desk = desk_of()
        assert desk.oms.get_status()["opens"] is None
        desk.send(buy("A", 1, 100))

        # when it closes on a Friday
        frozen.move_to("2024-03-08 17:00")
        answer = desk.ask(buy("B", 1, 100))

        # then Monday is named everywhere, also after a restart on Sunday
        assert answer.text == "SESSION_CLOSED: symbol=X, tif=GTC, opens=2024-03-11T09:00:00Z"
        assert desk.oms.get_status()["opens"] == "2024-03-11T09:00:00Z"
        assert "session CLOSE, 2024-03-08; opens next 2024-03-11T09:00:00Z" in caplog.messages
        desk.stop()
        assert folded(desk.store, use_snapshot=True) == folded(desk.store, use_snapshot=False)
        frozen.move_to("2024-03-10 12:00")
        caplog.clear()
        again = desk_of(store=desk.store)
        assert again.ask(buy("C", 1, 100)).text == answer.text
        assert "the session is closed; it opens next 2024-03-11T09:00:00Z" in caplog.messages
        frozen.move_to("2024-03-11 09:00")
        again.keep()
        assert again.ask(buy("D", 1, 99)).type is ResponseType.NEW
        assert again.oms.get_status()["opens"] is None


def test_other_hours_at_the_next_start_are_other_opens():
    """What the settings say now counts, not what they said at the close."""
    store = MemoryStore()
    with freeze_time("2024-03-08 18:00"):
        desk = desk_of(store=store)
        assert desk.ask(buy("A", 1, 100)).text.endswith("opens=2024-03-11T09:00:00Z")
        desk.stop()
        again = desk_of(SessionConfig(hours="Sun 10:00-12:00", time_zone="Asia/Tokyo"), store)
        assert again.ask(buy("B", 1, 100)).text.endswith("opens=2024-03-10T01:00:00Z")


# --- a market that never closes ---


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_day_orders_end_with_the_date_where_the_market_never_closes(zone):
    """Midnight in its zone: resting and waiting DAY orders end, all others go on as they were."""
    always = SessionConfig(always_open=True, time_zone=zone, done_for_day=True)
    midnight = {"UTC": "2024-03-05 00:00:00", "America/New_York": "2024-03-05 05:00:00"}[zone]
    before = midnight.replace("05 00:00:00", "04 23:59:59").replace("05:00:00", "04:59:59")
    with freeze_time(before) as frozen:
        # given orders that rest and that wait for the throttle
        desk = desk_of(always, throttle=ThrottleConfig(sends_max=2, window_ns=10**11))
        assert desk.oms.get_status()["trading_date"] == "2024-03-04"
        desk.send(buy("R-DAY", 1, 99, time_in_force=DAY), buy("R-GTC", 1, 98))
        desk.send(buy("W-DAY", 1, 97, time_in_force=DAY), buy("W-IOC", 1, 97, time_in_force=IOC))

        # when the date changes
        assert desk.step() == []
        frozen.move_to(midnight)
        told = desk.step()

        # then DAY orders end with their date, in book order, then queue order
        assert told == ["R-DAY EXPIRED/EXPIRED", "W-DAY EXPIRED/EXPIRED"]
        ended = desk.oms.get_order("me", "W-DAY")
        assert ended.text == "SESSION_ENDED: trading_date=2024-03-04"
        assert desk.waiting == ["W-IOC"]
        assert desk.oms.get_status()["trading_date"] == "2024-03-05"
        assert set(desk.oms.market_states().values()) == {"CONTINUOUS"}
        assert desk.step() == []
        desk.stop()
        assert folded(desk.store, use_snapshot=True) == folded(desk.store, use_snapshot=False)


def test_the_dispatcher_wakes_at_midnight_where_the_market_never_closes():
    """Nobody has to send anything for DAY orders to end."""
    with freeze_time("2024-03-04 23:59:00"):
        desk = desk_of(SessionConfig(always_open=True))
        desk.step()
        due_s = desk.dispatcher._due_lines.next_s(desk.dispatcher.desk, None)
        assert due_s == 60


def test_a_held_order_is_told_at_each_close_and_break():
    """It waited for the throttle, then for the open: its text says which."""
    lunch = SessionConfig(hours="Mon-Fri 09:00-12:00, Mon-Fri 13:00-17:00", time_zone="UTC")
    with freeze_time("2024-03-04 11:59:59") as frozen:
        desk = desk_of(lunch, throttle=ThrottleConfig(sends_max=1, window_ns=10**11))
        desk.send(buy("A", 1, 100))
        assert desk.ask(buy("B", 1, 100)).text == "QUEUED_THROTTLE"
        frozen.move_to("2024-03-04 12:00")
        assert desk.step() == ["B PENDING_NEW/PENDING_NEW"]
        held = desk.oms.get_order("me", "B")
        assert (held.text, held.request_seq) == ("HELD_SESSION", 0)
        assert desk.step() == []
