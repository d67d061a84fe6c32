"""The exchange over kill -9 and a full disk: the kill switch, money, calls that end in auctions."""

import random
from pathlib import Path
from typing import Any

import pytest

from oms.enums import Phase
from tests import test_process_faults as faults
from tests.exchange_flow import Wish, deposit, funding, set_phase
from tests.processes import Audit, Driver, Ledger, Row, audit, let_run, settle, wait_until

EXCHANGE, NOBODY = "--exchange", ("--clients", 0)
OPENS = ("NEW", "PENDING_NEW", "TRADE", "REPLACED", "TRIGGERED")  # what a halted market never says
SYMBOL = "TATA_INR"
CALL_NS = 86_399_000_000_000  # all of a day but its last second
TICKS = 10**6  # of one rupee


def heard(driver: Driver) -> list[Row]:
    """The reports that its listener was told."""
    return list(map(faults.row_of, driver.lines("R")))


def told(driver: Driver, reason: str) -> list[Row]:
    """The reports heard whose reason begins so."""
    return [row for row in heard(driver) if row.reason.startswith(reason)]


def checked(directory: Path, ledger: Ledger, *drivers: Driver) -> Audit:
    """What processes left behind, held against what they told."""
    for driver in drivers:
        ledger.take(driver.lines())
    found = audit(directory)
    ledger.check(found)
    return found


# --- the kill switch ---


def operate(client_id: str, action: str, value: str = "") -> Wish:
    said = {"action": action, **({"value": value} if value else {})}
    return ["operator", client_id, "OPERATOR", said]


def test_the_kill_switch_holds_over_kill_minus_nine(tmp_path: Path) -> None:
    directory, ledger = tmp_path / "data", Ledger()

    # given a market with orders in it, when it is killed by an operator, and then the process too
    with Driver(directory, tmp_path / "1.out", EXCHANGE) as driver:
        wait_until(lambda: len(driver.lines("R")) > 500)
        killed = driver.answer(operate("kill", "KILL"))
    assert killed.type == "COMMAND_DONE"
    found = checked(directory, ledger, driver)

    # then nothing is open, and nothing was accepted after it
    after = (killed.journal_seq, killed.number)
    assert found.fold.desk.executions.orders == {}
    assert opened(found, after) == []

    # nor is it by the process that comes after, which is killed as well
    with Driver(directory, tmp_path / "2.out", EXCHANGE, "--prefix", "late") as driver:
        wait_until(lambda: len(told(driver, "KILL_SWITCH")) > 100)
    found = checked(directory, ledger, driver)
    assert found.fold.desk.executions.orders == {}
    assert opened(found, after) == []

    # until an operator lifts it
    with Driver(directory, tmp_path / "3.out", EXCHANGE, "--prefix", "free") as driver:
        driver.wait_for("started")
        lifted = driver.answer(operate("lift", "SET_TRADING", "ACTIVE"))
        known = len(heard(driver))
        wait_until(lambda: any(row.type == "TRADE" for row in heard(driver)[known:]))
    found = checked(directory, ledger, driver)
    fresh = [(row.journal_seq, row.number) for row in opened(found, after)]
    assert fresh and min(fresh) > (lifted.journal_seq, lifted.number)


def opened(found: Audit, after: tuple[int, int]) -> list[Row]:
    """What was accepted or traded after one report."""
    return [row for key, row in found.rows.items() if key > after and row.type in OPENS]


# --- the disk is full ---


def test_a_full_disk_takes_money_and_orders_whole_or_not_at_all(small_disk: Path) -> None:
    """Twice: once it goes on when there is space again, once it is killed while there is none."""
    ledger, path = Ledger(), small_disk.with_name("out")
    with Driver(small_disk, path, EXCHANGE, "--rate", 300) as driver:
        wait_until(lambda: len(driver.lines("R")) > 500)
        for round_ in range(2):
            # when the disk is full, deposits and orders are refused alike, and not stored
            before = len(driver.lines())
            ballast = faults.fill(small_disk)
            wait_until(lambda at=before: faults.reports(driver.lines()[at:], "DISK_FULL"))
            full = len(driver.lines())
            paid = [driver.answer(deposit("client0", f"full-{round_}-{n}", "INR", "7"))
                    for n in range(5)]  # fmt: skip
            wait_until(lambda at=full: len(faults.reports(driver.lines()[at:])) > 100)
            assert {(row.journal_seq, row.type, row.reason) for row in paid} == {
                (0, "COMMAND_REJECTED", "DISK_FULL")
            }
            assert faults.stored(driver.lines()[full:]) == []
            if not round_:
                ballast.unlink()
                freed = len(driver.lines())
                wait_until(lambda at=freed: len(faults.stored(driver.lines()[at:])) > 200)
    ballast.unlink()

    # then everybody has what the journal says, before and after what is unknown was asked again
    checked(small_disk, ledger, driver)
    settle(small_disk, path.with_suffix(".last"), ledger, EXCHANGE)
    assert ledger.unknown() == []
    found = checked(small_disk, ledger)

    # and a deposit that was refused can be made under the same id, once
    wish = deposit("client0", "full-0-0", "INR", "7")
    before = found.fold.desk.ledger.paid_in["INR"]
    with Driver(small_disk, path.with_suffix(".retry"), EXCHANGE, *NOBODY) as driver:
        driver.wait_for("started")
        assert [driver.answer(wish).type for _ in range(2)] == ["COMMAND_DONE"] * 2
    found = checked(small_disk, ledger, driver)
    assert found.fold.desk.ledger.paid_in["INR"] == before + 7 * 10**8


# --- a call ---


def order(account: str, client_id: str, side: str, quantity: int, price: str) -> Wish:
    return [account, client_id, "NEW", "", SYMBOL, side, quantity, price, "GTC"]


CROSSING = [
    order("anna", "b1", "BUY", 10, "100.50"),
    order("anna", "b2", "BUY", 5, "99.00"),
    order("bert", "s1", "SELL", 8, "99.50"),
    order("bert", "s2", "SELL", 5, "100.00"),
]


def enter_crossing_orders(driver: Driver) -> None:
    """Two accounts, and orders that would trade, were it not for the call."""
    for wish in [*funding("anna"), *funding("bert"), *CROSSING]:
        answer = driver.answer(wish)
        assert answer.type in ("COMMAND_DONE", "NEW"), answer


def assert_uncrossed_once(found: Audit, ledger: Ledger) -> None:
    """10 lots, all at 100.00 where the least is left over, in one turn; both pay no more."""
    trades = [row for row in found.rows.values() if row.type == "TRADE"]
    fills = [
        (row.client_order_id, row.last_price_ticks, row.last_quantity_lots // 10**8, row.liquidity)
        for row in trades
    ]
    assert fills == [
        ("b1", 100 * TICKS, 8, "AUCTION"), ("s1", 100 * TICKS, 8, "AUCTION"),
        ("b1", 100 * TICKS, 2, "AUCTION"), ("s2", 100 * TICKS, 2, "AUCTION"),
    ]  # fmt: skip
    assert [row.match_number for row in trades] == [1, 1, 2, 2]
    assert len({row.journal_seq for row in trades}) == 1
    assert found.fold.venue.get_depth(SYMBOL, 5) == (
        [(99 * TICKS, 5 * 10**8)], [(100 * TICKS, 3 * 10**8)],
    )  # fmt: skip
    assert ledger.unknown() == []


def assert_in_call(found: Audit) -> None:
    """Nothing traded yet, and the book is crossed."""
    assert phase_of(found) is Phase.OPENING_AUCTION
    assert [row for row in found.rows.values() if row.type == "TRADE"] == []
    bids, asks = found.fold.venue.get_depth(SYMBOL, 1)
    assert bids[0][0] > asks[0][0]


def phase_of(found: Audit) -> Phase:
    engine = found.fold.desk.engine
    assert engine is not None
    return engine.markets[SYMBOL].phase


def test_a_call_of_the_calendar_is_resumed_and_ends_in_one_auction(tmp_path: Path) -> None:
    directory, ledger = tmp_path / "data", Ledger()
    all_day = {"always_open": False, "hours": "Mon-Sun 00:00-00:00"}
    call = {"session": {**all_day, "opening_auction_ns": CALL_NS}}

    # when a daemon is killed in a call
    with Driver(directory, tmp_path / "1.out", EXCHANGE, *NOBODY, **call) as driver:
        driver.wait_for("started")
        enter_crossing_orders(driver)
    assert_in_call(checked(directory, ledger, driver))

    # then the next one comes back in it: orders still rest, others are refused
    with Driver(directory, tmp_path / "2.out", EXCHANGE, *NOBODY, **call) as driver:
        driver.wait_for("started")
        at_market = ["anna", "m1", "NEW", "", SYMBOL, "BUY", 1, None, "GTC"]
        assert driver.answer(at_market).reason.startswith("MARKET_STATE: phase=OPENING_AUCTION")
    assert_in_call(checked(directory, ledger, driver))

    # and when the calendar says that the call is over, it ends in one auction, at the start
    open_now: dict[str, Any] = {"session": all_day}
    for n in (3, 4):
        path = tmp_path / f"{n}.out"
        with Driver(directory, path, EXCHANGE, *NOBODY, **open_now) as driver:
            driver.wait_for("started")
            driver.answer(deposit("anna", f"now-{n}", "INR", "1"))  # a turn later
        found = checked(directory, ledger, driver)
        assert phase_of(found) is Phase.CONTINUOUS
        assert_uncrossed_once(found, ledger)


@pytest.mark.parametrize("wait_s_max", [0, 0.005], ids=["at once", "soon"])
def test_a_kill_around_the_end_of_a_call_uncrosses_once(tmp_path: Path, wait_s_max: float) -> None:
    """Whether the kill came before the auction was stored, or after."""
    directory, ledger = tmp_path / "data", Ledger()
    with Driver(directory, tmp_path / "1.out", EXCHANGE, *NOBODY) as driver:
        driver.wait_for("started")
        assert driver.answer(set_phase("call", Phase.OPENING_AUCTION)).type == "COMMAND_DONE"
        enter_crossing_orders(driver)
        driver.ask(set_phase("end", Phase.CONTINUOUS))
        let_run(random.uniform(0, wait_s_max))
    found = checked(directory, ledger, driver)
    print(f"killed in {phase_of(found)}")

    # when it is asked again, with the same id, by another process; and by one more
    for n in (2, 3):
        with Driver(directory, tmp_path / f"{n}.out", EXCHANGE, *NOBODY) as driver:
            driver.wait_for("started")
            assert driver.answer(set_phase("end", Phase.CONTINUOUS)).type == "COMMAND_DONE"
        assert_uncrossed_once(checked(directory, ledger, driver), ledger)
